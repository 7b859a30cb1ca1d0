//! The files of a tokenizer beside the weights, and what they say of texts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    error::{CheckpointFault, ModelError},
    files::Files,
};

/// Bounds in bytes; the largest real ones are 34 MB (Gemma's `tokenizer.json`), 0.5 MB and 0.3 MB.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
const MAX_LIST_BYTES: u64 = 16 << 20;
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// What is done to a text before its tokens are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaning {
    /// Nothing.
    None,
    /// Lower case.
    Lower,
    /// Lower case, ASCII punctuation out, runs of spaces to one: SigLIP's.
    Canonical,
    /// HTML entities resolved twice, curled quotes straightened, runs of spaces to one: OpenAI's tokenizer.
    OpenAi,
}

/// Content of the files, where they are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VocabularyFiles {
    merges: Option<Vec<u8>>,
    tokenizer: Option<Vec<u8>>,
    words: Option<Vec<u8>>,
    config: Map<String, Value>,
    open_clip_text: Map<String, Value>,
}

impl VocabularyFiles {
    /// Reads what is there.
    pub(super) fn read(files: &Files) -> Result<Self, ModelError> {
        let object = |name: &str| -> Result<Map<String, Value>, ModelError> {
            let bytes = files.read_if_there(name, MAX_CONFIG_BYTES)?;
            Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
        };
        let open_clip = object("open_clip_config.json")?;
        let text =
            open_clip.get("model_cfg").and_then(|model| model.get("text_cfg")).and_then(Value::as_object);
        Ok(Self {
            merges: files.read_if_there("merges.txt", MAX_LIST_BYTES)?,
            tokenizer: files.read_if_there("tokenizer.json", MAX_TOKENIZER_BYTES)?,
            words: files.read_if_there("vocab.txt", MAX_LIST_BYTES)?,
            config: object("tokenizer_config.json")?,
            open_clip_text: text.cloned().unwrap_or_default(),
        })
    }

    /// Content of `merges.txt`.
    #[must_use]
    pub fn merges(&self) -> Option<&[u8]> {
        self.merges.as_deref()
    }

    pub(super) fn tokenizer_json(&self) -> Option<&[u8]> {
        self.tokenizer.as_deref()
    }

    pub(super) fn vocab_txt(&self) -> Option<&[u8]> {
        self.words.as_deref()
    }

    /// Whether open_clip's configuration names another tokenizer than CLIP's.
    pub(super) fn names_a_tokenizer(&self) -> bool {
        self.open_clip_text.get("hf_tokenizer_name").is_some_and(|name| !name.is_null())
    }

    /// Whether a BERT vocabulary is of lower-case words.
    pub(super) fn lowers_case(&self) -> bool {
        self.config.get("do_lower_case").and_then(Value::as_bool).unwrap_or(true)
    }

    /// The padding token, and whether it stands before the text.
    ///
    /// # Errors
    /// `W014` when no file says which token it is.
    pub(super) fn padding(&self) -> Result<(String, bool), ModelError> {
        let padding = self.tokenizer.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let padding =
            padding.and_then(|mut file| file.get_mut("padding").map(Value::take)).unwrap_or_default();
        // A token is written as a text, or as an object with its content.
        let token = self.config.get("pad_token").map(|token| token.get("content").unwrap_or(token).clone());
        let token = token.filter(Value::is_string).or_else(|| padding.get("pad_token").cloned());
        let side =
            self.config.get("padding_side").or_else(|| padding.get("direction")).and_then(Value::as_str);
        let is_left = side.is_some_and(|side| side.eq_ignore_ascii_case("left"));
        match token.as_ref().and_then(Value::as_str) {
            Some(token) => Ok((token.to_owned(), is_left)),
            None if self.tokenizer.is_none() => Err(refused(
                "no tokenizer.json",
                "tokenizer.json and tokenizer_config.json beside the weights",
            )),
            None => Err(refused("no pad_token", "tokenizer_config.json with its pad_token")),
        }
    }

    /// What is done to texts first, as the tokenizer's class or open_clip's `tokenizer_kwargs` say.
    ///
    /// # Errors
    /// `W014` for a way that is not carried.
    pub(super) fn cleaning(&self) -> Result<Cleaning, ModelError> {
        if let Some(options) = self.open_clip_text.get("tokenizer_kwargs").and_then(Value::as_object) {
            if let Some(key) = options.keys().find(|key| *key != "clean") {
                return Err(refused(&format!("text_cfg.tokenizer_kwargs.{key}"), "clean alone"));
            }
            return match options.get("clean").and_then(Value::as_str) {
                None | Some("whitespace") => Ok(Cleaning::None),
                Some("lower") => Ok(Cleaning::Lower),
                Some("canonicalize") => Ok(Cleaning::Canonical),
                Some(other) => Err(refused(
                    &format!("text_cfg.tokenizer_kwargs.clean {other}"),
                    "whitespace, lower or canonicalize",
                )),
            };
        }
        Ok(match self.config.get("tokenizer_class").and_then(Value::as_str) {
            Some("SiglipTokenizer") => Cleaning::Canonical,
            Some("Siglip2Tokenizer") => Cleaning::Lower,
            _ => Cleaning::None,
        })
    }
}

impl Cleaning {
    /// The cleaned text.
    pub(super) fn of(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => text.into(),
            Self::Lower => text.to_lowercase().into(),
            Self::Canonical => {
                let lower = text.to_lowercase();
                let kept: String = lower.chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
                one_space(&kept).into()
            }
            Self::OpenAi => {
                let straight: String = unescaped(&unescaped(text)).chars().map(straight).collect();
                one_space(&straight).into()
            }
        }
    }
}

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The straight form of a curled quote (ftfy's `uncurl_quotes`).
fn straight(letter: char) -> char {
    match letter {
        '\u{2018}'..='\u{201b}' | '\u{2bc}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        other => other,
    }
}

/// Entities by name that occur in English text; numbers are taken in either base.
const ENTITIES: [(&str, char); 24] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("micro", 'µ'),
    ("middot", '·'),
    ("times", '×'),
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("mu", 'μ'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("hellip", '…'),
    ("trade", '™'),
];

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let found = rest[1..].find(';').and_then(|end| Some((entity(&rest[1..=end])?, end + 2)));
        let (letter, len) = found.unwrap_or(('&', 1));
        out.push(letter);
        rest = &rest[len..];
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

pub(super) fn refused(found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Vocabulary { found: found.to_owned(), allowed: allowed.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_each_tokenizer_does_it() {
        assert_eq!(Cleaning::Canonical.of(" A photo, of   X-ray!"), "a photo of xray");
        assert_eq!(
            Cleaning::OpenAi.of("it\u{2019}s 5 &amp;lt; 6 &#176;C &unknown;"),
            "it's 5 < 6 °C &unknown;"
        );
        assert_eq!(Cleaning::Lower.of("CT Scan"), "ct scan");
        assert_eq!(Cleaning::None.of("A  b"), "A  b");
    }
}
