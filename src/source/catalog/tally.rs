//! Whatever a listing met: rows, refused rows and what was left out, counted by kind, so that nothing vanishes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kinds that are counted apart; a folder of UIDs must not fill the memory with endings.
const MAX_KINDS: usize = 40;

/// What some objects turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Objects that are images or hold some outside an archive.
    pub(super) n_images: u64,
    /// Archives with at least one image.
    pub(super) n_archives: u64,
    /// Objects that are one refused row each.
    pub(super) n_refused: u64,
    /// Objects without a row, by kind.
    pub(super) left_out: BTreeMap<String, u64>,
    /// What archives hold beside images, by kind.
    pub(super) inside: BTreeMap<String, u64>,
    /// What deserves a word, and how often.
    pub(super) notes: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn leave_out(&mut self, kind: &str) {
        count(&mut self.left_out, kind, 1);
    }

    pub(super) fn leave_inside(&mut self, kind: &str) {
        count(&mut self.inside, kind, 1);
    }

    pub(super) fn note(&mut self, what: &str) {
        count(&mut self.notes, what, 1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.n_images += other.n_images;
        self.n_archives += other.n_archives;
        self.n_refused += other.n_refused;
        for (into, from) in [
            (&mut self.left_out, &other.left_out),
            (&mut self.inside, &other.inside),
            (&mut self.notes, &other.notes),
        ] {
            from.iter().for_each(|(kind, n)| count(into, kind, *n));
        }
    }

    /// Objects that were listed.
    pub(super) fn n_objects(&self) -> u64 {
        self.n_images + self.n_archives + self.n_refused + self.left_out.values().sum::<u64>()
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, kind: &str, n: u64) {
    let is_new = !kinds.contains_key(kind);
    let kind = if is_new && kinds.len() >= MAX_KINDS { "of other kinds" } else { kind };
    *kinds.entry(kind.to_owned()).or_default() += n;
}
