//! Labels that are no class, told together: three bad rows should not take three calls; and the splits that were not asked for.

use std::collections::BTreeSet;

use super::fields::Labelled;
use super::problems::bad;
use crate::error::Problem;

/// Rows that are named.
const MAX_ROWS: usize = 20;

/// Rows whose labels are no class, from 0.
#[derive(Debug, Default)]
pub(super) struct BadLabels {
    names: Rows,
    indices: Rows,
}

#[derive(Debug, Default)]
struct Rows {
    n: usize,
    shown: Vec<String>,
}

impl Rows {
    fn push(&mut self, text: impl FnOnce() -> String) {
        self.n += 1;
        if self.shown.len() < MAX_ROWS {
            self.shown.push(text());
        }
    }

    fn told(&self) -> String {
        let more = self.n - self.shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("row{} {}{more}", if self.n == 1 { "" } else { "s" }, self.shown.join(", "))
    }
}

/// Splits of the rows that were left out, some of them by name.
#[derive(Debug, Default)]
pub(super) struct Splits {
    named: BTreeSet<String>,
}

/// Splits that a message names, and most letters of each; a column of something else has a name in every row.
const MAX_SPLITS: usize = 6;
const MAX_SPLIT_CHARS: usize = 12;

impl Splits {
    /// Notes the split of a row.
    pub(super) fn push(&mut self, split: Option<&str>) {
        if self.named.len() <= MAX_SPLITS {
            self.named.insert(split.unwrap_or_default().to_owned());
        }
    }

    /// Their names, where they are a few short words; how many they are at least where they could be anything.
    pub(super) fn told(&self) -> String {
        let is_word = |name: &String| {
            name.chars().count() <= MAX_SPLIT_CHARS
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        if self.named.len() > MAX_SPLITS || !self.named.iter().all(is_word) {
            return "other splits".to_owned();
        }
        let quoted: Vec<String> = self.named.iter().map(|name| format!("{name:?}")).collect();
        quoted.join(", ")
    }
}

impl BadLabels {
    /// Notes a row whose label is no class.
    pub(super) fn push(&mut self, row: usize, label: Labelled) {
        match label {
            Labelled::UnknownIndex(Some(index)) => self.indices.push(|| format!("{row} ({index})")),
            Labelled::UnknownIndex(None) => self.indices.push(|| row.to_string()),
            _ => self.names.push(|| row.to_string()),
        }
    }

    /// # Errors
    /// `M010` when there are any.
    pub(super) fn check(&self, n_classes: usize) -> Result<(), Problem> {
        let mut told = Vec::new();
        if self.names.n > 0 {
            told.push(format!("label is not one of labels.names: {}", self.names.told()));
        }
        if self.indices.n > 0 {
            let last = n_classes.saturating_sub(1);
            told.push(format!(
                "label_idx is no class, allowed 0 to {last} and -1 for none: {}",
                self.indices.told()
            ));
        }
        if told.is_empty() {
            return Ok(());
        }
        let hint = "rows count from 0 behind the header; labels.names are the classes in the order of label_idx, and \
                    are compared letter by letter";
        Err(bad("M010", told.join("; ")).hint(hint))
    }
}
