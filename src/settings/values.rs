//! One value of a setting: where it came from, what it may be, how it is written.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::error::{Exit, Problem, may_be_secret};

/// Where an effective value came from, lowest precedence first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The commented file embedded in the binary.
    Default,
    /// The settings file, by the name the user gave.
    File(String),
    /// An environment variable, by name.
    Env(String),
    /// A command-line flag.
    Flag,
    /// A file that a command-line flag names.
    FlagFile(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => f.write_str(name),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag => f.write_str("flag"),
            Self::FlagFile(name) => write!(f, "{name}, by flag"),
        }
    }
}

/// What a key may hold, as the keywords that JSON Schema has for it.
pub(super) type Shape = serde_json::Map<String, Json>;

/// The one of `names` that `found` was probably meant to be: a letter in three may differ.
pub(super) fn nearest_of<'n>(found: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(name, found);
    let near = names.map(|name| (name, distance(name))).filter(|(_, far)| *far <= 1 + found.len() / 4);
    near.min_by_key(|(_, far)| *far).map(|(name, _)| name)
}

/// The one of `keys` that `name` is without its section.
pub(super) fn with_section<'k>(name: &str, mut keys: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    keys.find(|key| key.rsplit_once('.').is_some_and(|(_, last)| last == name))
}

/// The environment variable that overrides `key`.
#[must_use]
pub fn env_name(key: &str) -> String {
    format!("T3B_{}", key.replace('.', "_").to_uppercase())
}

/// Value of an environment variable that overrides a key, if it is set.
///
/// # Errors
/// `C001` when it is not UTF-8 or no value.
pub(super) fn variable(name: &str) -> Result<Option<(Value, Origin)>, Problem> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let wrong = |why: &str| {
        Problem::new("C001", Exit::Config, format!("${name}: {why}"))
            .hint("set it to one value in one line, or unset it")
    };
    let text = text.into_string().map_err(|_| wrong("not UTF-8 text"))?;
    let value =
        parse_scalar(&text).ok_or_else(|| wrong("found a control character outside a quoted text"))?;
    Ok(Some((value, Origin::Env(name.to_owned()))))
}

/// Reads `text` as one TOML value, or as a plain text when it is none; `None` where a plain text would hold a control
/// character, such as what follows a value behind a newline.
#[must_use]
pub(super) fn parse_scalar(text: &str) -> Option<Value> {
    let plain = || (!text.contains(char::is_control)).then(|| Value::String(text.to_owned()));
    text.parse().ok().or_else(plain)
}

/// Most parts of a dotted key; the deepest that exists has three.
const MAX_PARTS: usize = 8;

/// Whether `key` is written as keys are: a few parts of letters, digits, `_` and `-`, with dots between.
#[must_use]
pub(super) fn is_dotted_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    key.len() <= 200
        && key.split('.').count() <= MAX_PARTS
        && key.split('.').all(|part| !part.is_empty() && part.chars().all(plain))
}

/// A table that holds `value` under the dotted `key`, which [`is_dotted_key`].
#[must_use]
pub(super) fn nested(key: &str, value: Value) -> Table {
    let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
    let inner = rest.map_or(value.clone(), |rest| Value::Table(nested(rest, value)));
    Table::from_iter([(head.to_owned(), inner)])
}

/// A value as messages show it: shortened, and by its length alone where it could be a secret.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let text = text.trim();
    if may_be_secret(text) {
        return format!("a value of {} characters", text.chars().count());
    }
    if text.chars().count() > 60 {
        format!("{}...", text.chars().take(57).collect::<String>())
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_rides_in_behind_a_newline_and_no_key_is_deep() {
        for text in ["1.5\n[run]\nseed = 7", "1.5\nseed = 7", "text\n", "a\u{1b}b", "1\r\n2"] {
            assert_eq!(parse_scalar(text), None, "{text:?}");
        }
        assert!(is_dotted_key("merge.dawin.pretrained_temperature"));
        for key in
            ["", ".", "a..b", "a.", "a b", "a\nb", "s3://k:PASS@b", &"a.".repeat(30_000), &"k".repeat(300)]
        {
            assert!(!is_dotted_key(key));
        }
    }

    #[test]
    fn set_values_are_toml_or_plain_text() {
        assert_eq!(parse_scalar("0.7"), Some(Value::Float(0.7)));
        assert_eq!(parse_scalar("s3://bucket/x"), Some(Value::String("s3://bucket/x".into())));
        assert_eq!(parse_scalar("[1,\n 2]"), Some(Value::Array(vec![1.into(), 2.into()])));
        assert_eq!(nested("a.b", Value::Integer(1)).to_string().trim(), "[a]\nb = 1");
    }
}
