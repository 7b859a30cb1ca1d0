//! JSON Schema of the two kinds of settings files, for editors and checks before a run.
//!
//! It is made of what the readers ask for, so a key that is read is in it with what it may hold. What only several keys together
//! decide, and whether a key without a default is there, is left to `t3b check`: such a key may also come by variable or by flag.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::values::{Shape, env_name};
use super::{FileKind, known_keys};

/// Where keys without a default are described.
const DOCS: &str = include_str!("../../docs/settings.md");

/// The schema of one kind of file, draft 7: every key with its type, what it may hold, its default and its meaning.
#[must_use]
pub fn schema(kind: FileKind) -> Value {
    let (comments, meanings, defaults) = (comments(kind.default_text()), meanings(), defaults(kind));
    let mut root = section();
    for (key, shape) in kind.known() {
        let mut shape = shape.clone();
        if let Some(value) = defaults.get(key) {
            shape.insert("default".to_owned(), value.clone());
        }
        let meaning = comments.get(key).or_else(|| meanings.get(key)).map_or("", String::as_str);
        let variable = format!("${}", env_name(key));
        let described = if meaning.is_empty() { variable } else { format!("{meaning} ({variable})") };
        shape.insert("description".to_owned(), described.into());
        place(&mut root, key, shape);
    }
    if kind == FileKind::Pipeline {
        root["properties"]["sweep"] = sweep();
    }
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["title"] = match kind {
        FileKind::Pipeline => "t3b pipeline: what is computed",
        FileKind::Config => "t3b config: how it is carried out",
    }
    .into();
    root
}

/// What a key means, in the words of the file of defaults or of the table of keys without one, and where that stands.
pub(super) fn explained(kind: FileKind, key: &str) -> String {
    if let Some(meaning) = meanings().remove(key) {
        return format!("{meaning} (docs/settings.md)");
    }
    let file = kind.default_name();
    match (comments(kind.default_text()).remove(key), defaults(kind).remove(key)) {
        (Some(meaning), _) => format!("{meaning} ({file})"),
        (None, Some(default)) => format!("the default is {default} ({file})"),
        (None, None) => format!("{file} has the keys with their meanings"),
    }
}

fn section() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

/// Puts a key's shape where its dots say.
fn place(root: &mut Value, key: &str, shape: Shape) {
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut at = root;
    for part in parts {
        let inner = &mut at["properties"][part];
        if inner.is_null() {
            *inner = section();
        }
        at = inner;
    }
    at["properties"][last] = Value::Object(shape);
}

/// `[sweep.axes]`: any key with the values it takes in turn.
fn sweep() -> Value {
    let values = json!({ "type": "array", "minItems": 1, "uniqueItems": true });
    let mut axes = json!({ "type": "object", "additionalProperties": values });
    axes["propertyNames"] = json!({ "enum": known_keys() });
    let mut sweep = section();
    sweep["properties"]["axes"] = axes;
    sweep["description"] = "t3b sweep: one run for every combination of these values".into();
    sweep
}

/// Values of the embedded file, by key.
fn defaults(kind: FileKind) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        let Value::Object(inner) = value else { return drop(found.insert(prefix.to_owned(), value.clone())) };
        for (name, value) in inner {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            walk(&key, value, found);
        }
    }
    let mut found = BTreeMap::new();
    let table = kind.defaults().unwrap_or_default();
    walk("", &serde_json::to_value(table).unwrap_or_default(), &mut found);
    found
}

/// What stands behind each key of a file of defaults.
fn comments(text: &str) -> BTreeMap<String, String> {
    let (mut section, mut found) = ("", BTreeMap::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name;
        } else if let Some((key, rest)) = line.split_once(" = ") {
            let mut is_quoted = false;
            let start = rest.find(|c| {
                is_quoted ^= c == '"';
                c == '#' && !is_quoted
            });
            if let Some(start) = start {
                found.insert(format!("{section}.{}", key.trim()), rest[start + 1..].trim().to_owned());
            }
        }
    }
    found
}

/// The meanings of the table of keys without a default.
fn meanings() -> BTreeMap<String, String> {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `"));
    let of_row = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let meaning = row.rsplit("| ").next().unwrap_or_default().trim_end_matches('|').trim().to_owned();
        let keys = cells.first().copied().unwrap_or_default().split('`').skip(1).step_by(2);
        keys.map(|key| (key.to_owned(), meaning.clone())).collect::<Vec<_>>()
    };
    rows.flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_type_and_a_meaning() {
        for kind in [FileKind::Pipeline, FileKind::Config] {
            for (key, shape) in kind.known() {
                let is_typed = ["type", "enum", "anyOf"].iter().any(|word| shape.contains_key(*word));
                assert!(is_typed, "{key}");
            }
            let root = schema(kind);
            assert!(root["properties"].as_object().unwrap().len() > 8);
        }
        let seed = &schema(FileKind::Pipeline)["properties"]["run"]["properties"]["seed"];
        assert_eq!(seed["default"], 0);
        assert_eq!(seed["type"], "integer");
        let words = seed["description"].as_str().unwrap();
        assert!(words.starts_with("keys every random number") && words.ends_with("($T3B_RUN_SEED)"));
        let split = &schema(FileKind::Pipeline)["properties"]["input"]["properties"]["split"];
        assert!(split["description"].as_str().unwrap().starts_with("keeps the manifest's rows"));
    }

    #[test]
    fn a_hash_sign_inside_a_text_begins_no_comment() {
        let found = comments("[a]\nb = \"x # y\"  # said\nc = 1");
        assert_eq!(found, BTreeMap::from([("a.b".to_owned(), "said".to_owned())]));
    }
}
