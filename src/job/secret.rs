//! The secret that keys pseudonyms: from the environment, strong enough, in one of three forms.

use std::collections::BTreeSet;
use std::ffi::OsString;

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};

use crate::error::{Exit, Problem};

/// Environment variable with the secret that keys pseudonyms.
pub const PSEUDONYM_KEY: &str = "T3B_PSEUDONYM_KEY";

/// Bits that a guesser has to find; fewer are found.
const MIN_BITS: f64 = 128.0;
/// Most characters of a secret.
const MAX_CHARS: usize = 1024;

/// The secret in the environment, if there is one, as `hex:` and lower-case digits or as the text it is.
///
/// # Errors
/// `C021` when it is empty, not UTF-8, in no valid form or too weak: an unset variable of a scheduler must not pass for a
/// secret. The message holds nothing of it.
pub(super) fn pseudonym_secret() -> Result<Option<String>, Problem> {
    std::env::var_os(PSEUDONYM_KEY).map(checked).transpose()
}

fn checked(given: OsString) -> Result<String, Problem> {
    let text = given.into_string().map_err(|_| refused("is not UTF-8 text"))?;
    if text.trim().is_empty() {
        return Err(refused("is empty"));
    }
    let is_stray = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'');
    if text.starts_with(is_stray) || text.ends_with(is_stray) {
        return Err(refused(
            "begins or ends with a blank, a newline or a quote, which would make it another secret",
        ));
    }
    if text.len() > MAX_CHARS {
        return Err(refused("has over 1024 characters"));
    }
    let bytes = match text.split_once(':') {
        Some(("hex", digits)) => {
            hex::decode(digits).map_err(|_| refused("has a hex: form that is no hex"))?
        }
        Some(("base64", digits)) => {
            decode_base64(digits).ok_or_else(|| refused("has a base64: form that is no base64"))?
        }
        _ if bits(&text) < MIN_BITS => return Err(refused("is weaker than 128 bits")),
        _ => return Ok(text),
    };
    let distinct: BTreeSet<u8> = bytes.iter().copied().collect();
    if bytes.len() < 16 || distinct.len() < 8 {
        return Err(refused("is weaker than 128 bits"));
    }
    Ok(format!("hex:{}", hex::encode(bytes)))
}

fn refused(why: &str) -> Problem {
    let hint = "t3b key new prints a good one; t3b run goes without when the variable is unset, t3b nightly never does";
    Problem::new("C021", Exit::Config, format!("{PSEUDONYM_KEY} {why}")).hint(hint)
}

/// Standard or URL alphabet, with or without padding.
fn decode_base64(digits: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url = GeneralPurpose::new(&alphabet::URL_SAFE, config);
    let standard = GeneralPurpose::new(&alphabet::STANDARD, config);
    standard.decode(digits).or_else(|_| url.decode(digits)).ok()
}

/// What a text is worth at most: the logarithm of how many texts of its length its kinds of characters can make, where
/// characters repeat no more than chance would have it.
#[expect(clippy::cast_precision_loss, reason = "a secret has at most 1024 characters")]
fn bits(text: &str) -> f64 {
    let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
    let is_hex = text.chars().all(|c| c.is_ascii_hexdigit());
    let kinds = [
        (has(char::is_ascii_digit), 10),
        (has(char::is_ascii_lowercase), 26),
        (has(char::is_ascii_uppercase), 26),
        (has(|c| !c.is_ascii_alphanumeric()), 33),
    ];
    let alphabet = kinds.iter().filter(|(there, _)| *there).map(|&(_, n)| n).sum();
    let alphabet = if is_hex { 16.min(alphabet) } else { alphabet };
    let distinct: BTreeSet<char> = text.chars().collect();
    // Fewer than eight different characters among as many as a strong text needs are no chance.
    let alphabet = if distinct.len() < 8 { 1 } else { alphabet };
    text.chars().count() as f64 * f64::from(alphabet).log2()
}

/// A fresh secret of 256 bits, in the form that the variable takes.
///
/// # Errors
/// `B004` when the system gives no randomness.
pub fn new_secret() -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::new("B004", Exit::Bug, "the system gives no random numbers"))?;
    Ok(format!("base64:{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn what_guards_nothing_is_refused_and_not_repeated() {
        for text in [
            "",
            "  ",
            "zqxsecret",
            "correct horse",
            "passwordpasswordpassword",
            &"a".repeat(500),
            &"0123".repeat(20),
            "hex:",
            "hex:zqx",
            "hex:0011223344556677",
            &format!("hex:{}", "00".repeat(32)),
            "base64:",
            "base64:c2hvcnQ=",
            "base64:zqx!",
            "12345678901234567890123456789012345678",
            &"Aa1!".repeat(300),
        ] {
            let problem = checked(text.into()).unwrap_err();
            assert_eq!((problem.code, problem.exit), ("C021", Exit::Config), "{text:?}");
            assert!(!problem.to_string().contains("zqx"), "{problem}");
        }
        assert_eq!(checked(OsString::from_vec(vec![0xff; 40])).unwrap_err().code, "C021");
    }

    #[test]
    fn one_secret_in_three_forms() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
        let hex = format!("hex:{}", hex::encode(&bytes));
        assert_eq!(checked(hex.clone().into()), Ok(hex.clone()));
        assert_eq!(checked(hex.to_uppercase().replacen("HEX", "hex", 1).into()), Ok(hex.clone()));
        assert_eq!(checked(format!("base64:{}", STANDARD.encode(&bytes)).into()), Ok(hex));
        let text = "3f1c09aa4de27b6601c8d9e5f7a2b0c4";
        assert_eq!(checked(text.into()), Ok(text.to_owned()));
        assert!(checked("kqzvWpLxTnRbYcDfGhJm3X".into()).is_ok());
    }

    #[test]
    fn fresh_secrets_pass_and_differ() {
        let (a, b) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(a, b);
        assert!(checked(a.into()).is_ok());
    }
}
