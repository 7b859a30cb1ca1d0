//! Which corruptions belong to which data set, in which order, how strong.

mod entries;
mod imagenet;
mod medmnist;

use super::assets::Assets;
use super::kind::{Corruption, Severity};

const NAMES: [&str; 14] = {
    let m = medmnist::NAMES;
    let [imagenet, medimeta] = [imagenet::IMAGENET_C, imagenet::MEDIMETA_C_LIKE];
    [m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11], imagenet, medimeta]
};

/// The corruptions of one data set.
#[derive(Clone, Debug)]
pub struct Suite {
    name: &'static str,
    grey: bool,
    entries: Vec<Entry>,
}

/// One named corruption at its five severities.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name in the reference's registry, such as `jpeg_compression`; unique within a suite.
    pub name: &'static str,
    /// Parameters for severities 1 to 5.
    pub levels: [Corruption; 5],
}

impl Suite {
    /// The suite of a data set by its registry name, such as `dermamnist`; `None` for other names.
    ///
    /// Stains and letters are those made here; see [`with_assets`](Self::with_assets).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::with_assets(name, &Assets::default())
    }

    /// As [`named`](Self::named), drawing the stains and letters of `assets` where it has them.
    #[must_use]
    pub fn with_assets(name: &str, assets: &Assets) -> Option<Self> {
        medmnist::suite(name, assets).or_else(|| imagenet::suite(name))
    }

    /// Every name [`named`](Self::named) knows: the twelve of MedMNIST-C, `imagenet-c` and `medimeta-c-like`.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// The name of the data set.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the data set is grey, so that images become luma after corruption.
    #[must_use]
    pub fn grey(&self) -> bool {
        self.grey
    }

    /// The corruptions in registry order, which is the order the sequential streams expect.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The corruption of that name; `None` when the data set does not have it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Entry {
    /// The corruption at one severity.
    #[must_use]
    pub fn at(&self, severity: Severity) -> &Corruption {
        &self.levels[severity.index()]
    }
}
