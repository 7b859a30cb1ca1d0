//! What is wrong with settings: each thing said once, with its place and a hint, and nothing that only follows from
//! something said already.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::FileKind;
use super::schema::explained;
use super::values::{Origin, Shape, env_name, nearest_of, with_section};
use crate::error::{Exit, Problem, may_be_secret, printable, quoted};

/// Unknown keys that are named one by one.
const MAX_NAMED: usize = 20;
/// Names of a section that a hint lists.
const MAX_LISTED: usize = 12;

/// Problems in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Refused {
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    /// The key that it is about.
    key: String,
    /// Keys in whose light it was seen.
    others: Vec<String>,
    problem: Problem,
    why: Why,
}

/// What a problem says of the value of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// There is none.
    Missing,
    /// It is no value of the key's kind, so nothing was read.
    Unread,
    /// It was read and does not fit.
    Unfit,
}

impl Refused {
    /// A value that could not be read.
    pub(super) fn add_unread(&mut self, key: &str, problem: Problem) {
        self.found.push(Found { key: key.to_owned(), others: Vec::new(), problem, why: Why::Unread });
    }

    /// A problem of the first of `keys`, seen in the light of the others. It only follows, and is left out, where that key was
    /// not read at all or where anything is wrong with another.
    pub(super) fn add(&mut self, keys: &[&str], problem: Problem) {
        let Some((key, others)) = keys.split_first() else { return };
        let follows = self.found.iter().any(|found| {
            (found.key == *key && found.why != Why::Unfit) || others.contains(&found.key.as_str())
        });
        if !follows {
            let others = others.iter().map(|&other| other.to_owned()).collect();
            self.found.push(Found { key: (*key).to_owned(), others, problem, why: Why::Unfit });
        }
    }

    /// A key that has to be there and is not.
    pub(super) fn add_missing(&mut self, key: &str) {
        if !self.found.iter().any(|found| found.key == key) {
            let problem =
                Problem::new("C001", Exit::Config, format!("{key}: missing, and it has no default"));
            self.found.push(Found { key: key.to_owned(), others: Vec::new(), problem, why: Why::Missing });
        }
    }

    /// Everything found, with what nothing asked for behind it.
    pub(super) fn finish(
        self,
        kind: FileKind,
        values: &BTreeMap<String, (Value, Origin)>,
        known: &BTreeMap<String, Shape>,
    ) -> Vec<Problem> {
        let mut unknown = values.iter().filter(|(key, _)| !known.contains_key(*key));
        let named: Vec<(&String, &Origin)> =
            unknown.by_ref().take(MAX_NAMED).map(|(key, (_, origin))| (key, origin)).collect();
        let n_more = unknown.count();
        // A misspelt key is missing under its right name, which needs no saying.
        let misspelt: BTreeSet<&str> = named.iter().filter_map(|(key, _)| nearest(key, known)).collect();
        let said = self
            .found
            .into_iter()
            .filter(|found| found.why != Why::Missing || !misspelt.contains(&*found.key))
            .filter(|found| !found.others.iter().any(|other| misspelt.contains(other.as_str())));
        let mut problems: Vec<Problem> = said.map(|found| placed(found, kind, values)).collect();
        problems.extend(named.into_iter().map(|(key, origin)| unknown_key(key, origin, kind, known)));
        if n_more > 0 {
            let more = Problem::new("C006", Exit::Config, format!("and {n_more} unknown keys more"));
            problems.push(more.hint("t3b config show --default prints every key that has a default"));
        }
        problems
    }
}

/// The problem with where its value comes from and, where it has no hint of its own, what the key means.
fn placed(found: Found, kind: FileKind, values: &BTreeMap<String, (Value, Origin)>) -> Problem {
    let Found { key, mut problem, why, .. } = found;
    if let Some((_, origin)) = values.get(&key)
        && problem.what.starts_with(&key)
        && !problem.what.contains("(from ")
    {
        problem.what = format!("{} (from {origin})", problem.what);
    }
    if problem.hint.is_some() {
        return problem;
    }
    let explained = explained(kind, &key);
    if why == Why::Missing {
        let file = if kind == FileKind::Pipeline { "the pipeline file" } else { "a config file" };
        return problem
            .hint(format!("{explained}; set it in {file}, with --set {key}=... or as {}", env_name(&key)));
    }
    problem.hint(explained)
}

/// The known key that `key` was probably meant to be.
fn nearest<'k>(key: &str, known: &'k BTreeMap<String, Shape>) -> Option<&'k str> {
    if key.len() > 200 {
        return None;
    }
    let keys = || known.keys().map(String::as_str);
    with_section(key, keys()).or_else(|| nearest_of(key, keys()))
}

fn unknown_key(key: &str, origin: &Origin, kind: FileKind, known: &BTreeMap<String, Shape>) -> Problem {
    let name = if may_be_secret(key) || key.len() > 200 { quoted(key) } else { printable(key).into_owned() };
    let problem = Problem::new("C006", Exit::Config, format!("{name}: unknown key (from {origin})"));
    if kind.other().known().contains_key(key) {
        let place = match kind.other() {
            FileKind::Pipeline => "it says what is computed and belongs into a pipeline file",
            FileKind::Config => "it says how a run is carried out and belongs into a file of --config",
        };
        return problem.hint(place);
    }
    if let Some(nearest) = nearest(key, known) {
        return problem.hint(format!("did you mean {nearest}?"));
    }
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let siblings: Vec<&str> = known
        .keys()
        .filter_map(|known| known.strip_prefix(section)?.strip_prefix('.'))
        .filter(|name| !section.is_empty() && !name.contains('.'))
        .take(MAX_LISTED)
        .collect();
    if siblings.is_empty() {
        let sections: Vec<String> = kind.sections().into_iter().map(|name| format!("[{name}]")).collect();
        return problem.hint(format!("sections are {}", sections.join(", ")));
    }
    problem.hint(format!("[{section}] has {}", siblings.join(", ")))
}
