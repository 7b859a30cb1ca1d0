//! Objects that carry the hash of their own bytes, so that no bit of them can change unnoticed.
//!
//! The hash stands in a field of the object's JSON text; it is the SHA-256 of that text with 64 zeros in the field. The text
//! itself is hashed, never what was parsed of it: a number may be written otherwise than it was read.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Exit, Problem};

/// Digits of a hash.
const N_DIGITS: usize = 64;

/// Text of `value` with its hash in `field`, which must be empty in `value`; the text and the hash.
pub(super) fn sealed(value: &impl Serialize, field: &str) -> (String, String) {
    let text = serde_json::to_string_pretty(value).expect("an object of the ledger has a JSON text");
    let (empty, zeros) = (format!("\"{field}\": \"\""), format!("\"{field}\": \"{}\"", "0".repeat(N_DIGITS)));
    let text = text.replacen(&empty, &zeros, 1);
    let hash = hex::encode(Sha256::digest(&text));
    let text = text.replacen(&zeros, &format!("\"{field}\": \"{hash}\""), 1);
    (text, hash)
}

/// Checks the hash in `field` of a sealed text.
///
/// # Errors
/// `R020` when there is none or another, naming `object`.
pub(super) fn check<'a>(bytes: &'a [u8], field: &str, object: &str) -> Result<&'a str, Problem> {
    let damaged = || {
        Problem::new(
            "R020",
            Exit::BadData,
            format!("{object} has changed: its bytes are not those of its own hash"),
        )
        .hint("restore the object from a copy, or use a new run id")
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    // A quote inside a text is escaped, so this can only be the field.
    let before = format!("\"{field}\": \"");
    let (head, rest) = text.split_once(&before).ok_or_else(damaged)?;
    let (hash, tail) = rest.split_at_checked(N_DIGITS).ok_or_else(damaged)?;
    if tail.contains(&before) {
        return Err(damaged());
    }
    let mut found = Sha256::new();
    for part in [head, before.as_str(), &"0".repeat(N_DIGITS), tail] {
        found.update(part.as_bytes());
    }
    if hex::encode(found.finalize()) == hash { Ok(text) } else { Err(damaged()) }
}

/// The value of `field`, an object, in the text of a sealed one, without blanks between its parts: as a compact writer
/// wrote it.
pub(super) fn compact_field(text: &str, field: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\n  \"{field}\": "))?;
    let (mut compact, mut depth, mut in_text, mut is_escaped) = (String::new(), 0_u32, false, false);
    for c in rest.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_text => is_escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            ' ' | '\n' => continue,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        compact.push(c);
        if depth == 0 && !in_text {
            return Some(compact);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn object() -> BTreeMap<&'static str, serde_json::Value> {
        BTreeMap::from([
            ("hash", "".into()),
            ("number", 0.1_f64.into()),
            ("spec", serde_json::json!({"a {\" }": [1, {"b": "x  y\\"}], "c": 1e-7, "e": {}})),
            ("text", "\"hash\": \"".into()),
        ])
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (text, _) = sealed(&object(), "hash");
        assert!(check(text.as_bytes(), "hash", "plan").is_ok());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert_eq!(check(&bytes, "hash", "plan").unwrap_err().code, "R020", "byte {at}, bit {bit}");
            }
            assert!(check(&text.as_bytes()[..at], "hash", "plan").is_err());
        }
        assert!(check(format!("{text} ").as_bytes(), "hash", "plan").is_err());
    }

    #[test]
    fn a_field_is_read_as_a_compact_writer_wrote_it() {
        let (text, _) = sealed(&object(), "hash");
        let compact = serde_json::to_string(&object()["spec"]).unwrap();
        assert_eq!(compact_field(&text, "spec"), Some(compact));
    }
}
