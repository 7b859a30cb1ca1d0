//! The two kinds of settings files: what each is called, holds and has by default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use toml::Table;

use super::files::parse;
use super::layers::Reader;
use super::values::{Origin, Shape};
use super::{Pipeline, Settings};
use crate::error::Problem;

const PIPELINE_DEFAULT: &str = include_str!("../../pipelines/default.toml");
const CONFIG_DEFAULT: &str = include_str!("../../config/default.toml");

/// The two kinds of settings files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What is computed.
    Pipeline,
    /// How it is carried out.
    Config,
}

impl FileKind {
    /// The commented file of defaults that is embedded in the program.
    #[must_use]
    pub fn default_text(self) -> &'static str {
        match self {
            Self::Pipeline => PIPELINE_DEFAULT,
            Self::Config => CONFIG_DEFAULT,
        }
    }

    /// Where that file lies in the repository.
    #[must_use]
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Pipeline => "pipelines/default.toml",
            Self::Config => "config/default.toml",
        }
    }

    /// The file of defaults, parsed.
    ///
    /// # Errors
    /// `C007` where it is no TOML, which every test of settings would notice.
    pub(super) fn defaults(self) -> Result<Table, Problem> {
        parse(self.default_text(), self.default_name())
    }

    /// The kind that it is not.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Pipeline => Self::Config,
            Self::Config => Self::Pipeline,
        }
    }

    /// What messages call a file of it.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Pipeline => "a pipeline file (PIPELINE.toml: what is computed)",
            Self::Config => "a config file (--config: how it is carried out)",
        }
    }

    /// The sections that its files have.
    pub(super) fn sections(self) -> BTreeSet<&'static str> {
        let of_sweeps = (self == Self::Pipeline).then_some("sweep");
        let section = |key: &'static String| key.split('.').next().unwrap_or_default();
        self.known().keys().map(section).chain(of_sweeps).collect()
    }

    /// Every key its reader asks for, and what each may hold; the reader is asked once.
    pub(super) fn known(self) -> &'static BTreeMap<String, Shape> {
        static PIPELINE: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| FileKind::Pipeline.asked());
        static CONFIG: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| FileKind::Config.asked());
        match self {
            Self::Pipeline => &PIPELINE,
            Self::Config => &CONFIG,
        }
    }

    fn asked(self) -> BTreeMap<String, Shape> {
        let table = self.defaults().unwrap_or_default();
        let mut reader = Reader::new(self, vec![(Origin::Default, table)]);
        match self {
            Self::Pipeline => drop(Pipeline::read(&mut reader, Path::new("/"))),
            Self::Config => drop(Settings::read(&mut reader)),
        }
        reader.known()
    }
}
