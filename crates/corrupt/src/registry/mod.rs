//! Which corruptions belong to which data set, in which order, how strong.

mod entries;
mod imagenet;
mod medmnist;

use super::assets::Assets;
use super::kind::Corruption;
use super::severity::Severity;

const NAMES: [&str; 14] = [
    "pathmnist",
    "bloodmnist",
    "dermamnist",
    "retinamnist",
    "tissuemnist",
    "octmnist",
    "breastmnist",
    "chestmnist",
    "pneumoniamnist",
    "organamnist",
    "organcmnist",
    "organsmnist",
    "imagenet-c",
    "medimeta-c-like",
];

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
        let name = *NAMES.iter().find(|known| **known == name)?;
        let (grey, entries) = match name {
            "imagenet-c" => (false, imagenet::all()),
            "medimeta-c-like" => (false, imagenet::medimeta()),
            _ => medmnist::data_set(name, assets)?,
        };
        Some(Self { name, grey, entries })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_published_number_of_corruptions() {
        let counts: Vec<usize> =
            NAMES.iter().map(|name| Suite::named(name).map_or(0, |suite| suite.entries().len())).collect();
        assert_eq!(counts, [11, 11, 15, 8, 8, 6, 7, 13, 13, 13, 13, 13, 17, 7]);
        assert!(Suite::named("imagenet").is_none());
    }
}
