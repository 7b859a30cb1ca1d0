//! Settings in layers: embedded defaults, a file, environment variables, flags; each value knows its origin.
//!
//! A [`Reader`] is asked for every key that exists. What it was asked for is the list of known keys, so the
//! list cannot drift from the code, and whatever a layer holds beyond it is refused with the nearest key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::FileKind;
use super::places::location;
use super::refused::Refused;
use super::values::{Origin, Shape, env_name, nearest_of, shown, variable};
use crate::error::{Exit, Problem};
use crate::store::has_credentials;

/// One effective key, for `t3b check` and the fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// Dotted key, such as `run.batch_size`.
    pub key: String,
    /// The value in force.
    pub value: Value,
    /// The layer it came from.
    pub origin: Origin,
}

/// Flattened layers of one kind of settings, with the problems found so far.
#[derive(Debug)]
pub(super) struct Reader {
    kind: FileKind,
    values: BTreeMap<String, (Value, Origin)>,
    known: BTreeMap<String, Shape>,
    refused: Refused,
}

impl Reader {
    /// Lays `layers` of one kind over each other, the last winning, key by key.
    #[must_use]
    pub(super) fn new(kind: FileKind, layers: Vec<(Origin, Table)>) -> Self {
        let mut values = BTreeMap::new();
        for (origin, table) in layers {
            flatten("", table, &mut |key, value| {
                values.insert(key, (value, origin.clone()));
            });
        }
        Self { kind, values, known: BTreeMap::new(), refused: Refused::default() }
    }

    /// The keys that were asked for so far, and what each may hold.
    #[must_use]
    pub(super) fn known(self) -> BTreeMap<String, Shape> {
        self.known
    }

    /// Says more of what a key that was asked for may hold; `null` takes a keyword back.
    pub(super) fn narrow(&mut self, key: &str, keywords: Json) {
        let Json::Object(keywords) = keywords else { return };
        let shape = self.known.entry(key.to_owned()).or_default();
        for (name, value) in keywords {
            if value.is_null() {
                shape.remove(&name)
            } else {
                shape.insert(name, value)
            };
        }
    }

    /// Records a problem of the caller's own with the first of `keys`, unless one of them has been refused already: then it would
    /// only follow.
    pub(super) fn problem(&mut self, keys: &[&str], problem: Problem) {
        self.refused.add(keys, problem);
    }

    /// Records that a key has to be there and is not.
    pub(super) fn missing(&mut self, key: &str) {
        self.refused.add_missing(key);
    }

    fn take(&mut self, key: &str) -> Option<(Value, Origin)> {
        let is_first = !self.known.contains_key(key);
        self.known.entry(key.to_owned()).or_default();
        let is_flag = matches!(self.values.get(key), Some((_, Origin::Flag | Origin::FlagFile(_))));
        match variable(&env_name(key)) {
            Ok(Some((value, origin))) if !is_flag => {
                self.values.insert(key.to_owned(), (value, origin));
            }
            Err(problem) if is_first => self.refused.add_unread(key, problem),
            _ => {}
        }
        self.values.get(key).cloned()
    }

    fn wrong(&mut self, key: &str, found: &Value, origin: &Origin, allowed: &str) {
        let what = format!("{key}: found {}, allowed {allowed} (from {origin})", shown(found));
        let mut problem = Problem::new("C001", Exit::Config, what);
        let is_list = found.as_str().is_some_and(|text| text.starts_with('['));
        if is_list {
            problem = problem.hint(format!(
                "texts of a list stand in double quotes, and the whole in single ones: --set '{key}=[\"a\", \"b\"]'"
            ));
        } else if let Some(nearest) = self.nearest_name(key, found) {
            problem = problem.hint(format!("did you mean \"{nearest}\"?"));
        }
        self.refused.add_unread(key, problem);
    }

    /// Of the words that a key may hold the one that `found` was probably meant to be.
    fn nearest_name(&self, key: &str, found: &Value) -> Option<String> {
        let names = self.known.get(key)?.get("enum")?.as_array()?;
        nearest_of(found.as_str()?, names.iter().filter_map(Json::as_str)).map(str::to_owned)
    }

    /// The items of a list without repeats; a list is a set, so a repeat is a problem.
    fn distinct<T: PartialEq>(&mut self, key: &str, items: Vec<T>) -> Vec<T> {
        let n = items.len();
        let mut distinct: Vec<T> = Vec::with_capacity(n);
        for item in items {
            if !distinct.contains(&item) {
                distinct.push(item);
            }
        }
        if distinct.len() < n {
            let what =
                format!("{key}: found {n} items, {} distinct, allowed each at most once", distinct.len());
            self.refused.add_unread(key, Problem::new("C001", Exit::Config, what));
        }
        distinct
    }

    /// An optional value of any other kind; `allowed` is what the problem says when `parse` takes nothing, `shape` what a
    /// schema says of the key.
    pub(super) fn typed<T>(
        &mut self,
        key: &str,
        allowed: &str,
        shape: Json,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let taken = self.take(key);
        self.narrow(key, shape);
        let (value, origin) = taken?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.wrong(key, &value, &origin, allowed);
        }
        parsed
    }

    /// A value of any other kind that must be there; `fallback` after a problem.
    pub(super) fn one<T>(
        &mut self,
        key: &str,
        allowed: &str,
        shape: Json,
        parse: impl Fn(&Value) -> Option<T>,
        fallback: T,
    ) -> T {
        let value = self.typed(key, allowed, shape, parse);
        self.required(key, value, fallback)
    }

    fn required<T>(&mut self, key: &str, value: Option<T>, fallback: T) -> T {
        if value.is_none() && !self.values.contains_key(key) {
            self.missing(key);
        }
        value.unwrap_or(fallback)
    }

    /// An optional text. Settings are printed, so one that holds credentials is refused here.
    pub(super) fn opt_text(&mut self, key: &str) -> Option<String> {
        let text =
            self.typed(key, "a text", json!({ "type": "string" }), |v| v.as_str().map(str::to_owned))?;
        if has_credentials(&text) {
            let what = format!("{key}: credentials in a URI are refused");
            let problem = Problem::new("C003", Exit::Config, what);
            let hint = "use the provider's environment variables or role";
            self.refused.add_unread(key, problem.hint(hint));
            return None;
        }
        Some(text)
    }

    /// An optional place: a URI as it is; a relative path made absolute, from `dir` where it is written in a file there or set
    /// beside it, from the process's folder where it comes from the environment.
    pub(super) fn opt_place(&mut self, key: &str, dir: &Path) -> Option<String> {
        let text = self.opt_text(key)?;
        let is_env = matches!(self.values.get(key), Some((_, Origin::Env(_))));
        Some(location(&text, if is_env { Path::new("") } else { dir }))
    }

    /// A place that must be there; empty after a problem.
    pub(super) fn place(&mut self, key: &str, dir: &Path) -> String {
        let value = self.opt_place(key, dir);
        self.required(key, value, String::new())
    }

    /// A text that must be there; empty after a problem.
    pub(super) fn text(&mut self, key: &str) -> String {
        let value = self.opt_text(key);
        self.required(key, value, String::new())
    }

    /// The value beside one of the names; `first`'s after a problem.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, first: (&str, T), others: &[(&str, T)]) -> T {
        let choices = || std::iter::once(&first).chain(others);
        let allowed = choices().map(|(name, _)| *name).collect::<Vec<_>>().join(" | ");
        let named = |text: &str| choices().find(|(name, _)| *name == text).map(|(_, value)| *value);
        let names: Vec<&str> = choices().map(|(name, _)| *name).collect();
        let value = self.typed(key, &allowed, json!({ "enum": names }), |v| v.as_str().and_then(named));
        self.required(key, value, first.1)
    }

    /// A switch.
    pub(super) fn switch(&mut self, key: &str) -> bool {
        let value = self.typed(key, "true | false", json!({ "type": "boolean" }), Value::as_bool);
        self.required(key, value, false)
    }

    /// A whole number in `range`; its lower end after a problem.
    pub(super) fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> u64 {
        let allowed = format!("{}..={}", range.start(), range.end());
        let shape = json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
        let value = self.typed(key, &allowed, shape, |v| {
            v.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n))
        });
        self.required(key, value, *range.start())
    }

    /// A finite number in `range`; its lower end after a problem.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> f64 {
        let start = *range.start();
        let value = self.opt_number(key, range);
        self.required(key, value, start)
    }

    /// An optional finite number in `range`.
    pub(super) fn opt_number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let allowed = format!("a finite number in {}..={}", range.start(), range.end());
        let shape = json!({ "type": "number", "minimum": range.start(), "maximum": range.end() });
        self.typed(key, &allowed, shape, |v| as_number(v).filter(|n| range.contains(n)))
    }

    /// An optional list of distinct texts.
    pub(super) fn opt_texts(&mut self, key: &str) -> Option<Vec<String>> {
        let shape = json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true });
        let texts = self.typed(key, "a list of texts", shape, |v| {
            v.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })?;
        Some(self.distinct(key, texts))
    }

    /// An optional list of tables.
    pub(super) fn opt_tables(&mut self, key: &str) -> Option<Vec<Table>> {
        let shape = json!({ "type": "array", "items": { "type": "object" } });
        self.typed(key, "a list of tables", shape, |v| {
            v.as_array()?.iter().map(|item| item.as_table().cloned()).collect()
        })
    }

    /// A list of distinct whole numbers, each in `range`; empty after a problem.
    pub(super) fn wholes(&mut self, key: &str, range: RangeInclusive<u64>) -> Vec<u64> {
        let allowed = format!("a list of numbers in {}..={}", range.start(), range.end());
        let item = json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
        let shape = json!({ "type": "array", "items": item, "uniqueItems": true });
        let value = self.typed(key, &allowed, shape, |v| {
            let items = v.as_array()?.iter();
            items.map(|n| u64::try_from(n.as_integer()?).ok().filter(|n| range.contains(n))).collect()
        });
        let value = value.map(|items| self.distinct(key, items));
        self.required(key, value, Vec::new())
    }

    /// Ends the reading: the effective values, or every problem found, unknown keys included.
    ///
    /// # Errors
    /// All problems recorded while reading, then one per unknown key.
    pub(super) fn finish(self) -> Result<Vec<Effective>, Vec<Problem>> {
        let problems = self.refused.finish(self.kind, &self.values, &self.known);
        if !problems.is_empty() {
            return Err(problems);
        }
        let values = self.values.into_iter();
        Ok(values.map(|(key, (value, origin))| Effective { key, value, origin }).collect())
    }
}

fn flatten(prefix: &str, table: Table, emit: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, emit),
            leaf => emit(key, leaf),
        }
    }
}

fn as_number(value: &Value) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a setting written as an integer is small")]
    let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64))?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: &str) -> Reader {
        let default = "[run]\nbatch_size = 32".parse().unwrap();
        Reader::new(
            FileKind::Pipeline,
            vec![(Origin::Default, default), (Origin::File("p.toml".into()), text.parse().unwrap())],
        )
    }

    #[test]
    fn the_file_wins_over_the_default_and_says_so() {
        let mut reader = reader("[run]\nbatch_size = 8");
        assert_eq!(reader.whole("run.batch_size", 1..=64), 8);
        let effective = reader.finish().unwrap();
        assert_eq!(effective[0].origin, Origin::File("p.toml".into()));
    }

    #[test]
    fn every_problem_is_reported_at_once_with_the_nearest_key() {
        let mut reader = reader("[run]\nbatch_size = 0\nbatchsize = 3\n[merge]\ngamma = nan");
        reader.whole("run.batch_size", 1..=64);
        reader.number("merge.gamma", 0.0..=10.0);
        let problems = reader.finish().unwrap_err();
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[2].hint.as_deref(), Some("did you mean run.batch_size?"));
    }

    #[test]
    fn a_list_is_a_set() {
        let mut reader = reader("[run]\nsome = [1, 2, 1]\ntexts = [\"a\", \"a\"]");
        assert_eq!(reader.wholes("run.some", 1..=5), [1, 2]);
        assert_eq!(reader.opt_texts("run.texts").unwrap(), ["a"]);
        reader.whole("run.batch_size", 1..=64);
        let problems = reader.finish().unwrap_err();
        assert!(problems[0].what.contains("3 items, 2 distinct"), "{}", problems[0]);
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn a_million_unknown_keys_are_refused_at_once() {
        let mut text = String::from("[merge]\n");
        (0..200_000).for_each(|n| text.push_str(&format!("k{n} = 1\n")));
        let mut reader = reader(&text);
        reader.whole("run.batch_size", 1..=64);
        let problems = reader.finish().unwrap_err();
        assert_eq!(problems.len(), 21);
        assert!(problems[20].what.contains("199980"), "{}", problems[20]);
    }
}
