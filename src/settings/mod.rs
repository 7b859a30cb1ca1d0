//! `pipelines/` and `config/` become checked values; the only module that knows TOML.
//!
//! Two kinds of settings: a [`Pipeline`] says what is computed and is fingerprinted, [`Settings`] say how a
//! run is carried out and can change no row. Precedence, lowest first: the embedded default file, the file,
//! environment variables `T3B_SECTION_KEY`, `--set` flags. Every problem is reported at once.

mod config;
mod corrupt;
mod files;
mod kind;
mod layers;
mod merge;
mod models;
mod nightly;
mod pipeline;
mod places;
mod refused;
mod schema;
mod sweep;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Table;

pub use config::{Settings, Threads};
pub use corrupt::Corrupt;
pub use kind::FileKind;
pub use layers::Effective;
pub use merge::Merge;
pub use models::{Int8, Models};
pub use nightly::{Incoming, Nightly};
pub use pipeline::{Input, Labels, Output, Pipeline};
pub use schema::schema;
pub use sweep::{Sweep, Variation};
pub use values::{Origin, env_name};

use crate::error::{Exit, Problem, RunError};
use files::{display, read_kind, read_table};
use layers::Reader;
use values::{is_dotted_key, nested, parse_scalar, variable, with_section};

/// Most bytes of a settings file; a large one has a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Both kinds of settings with the origin of every key.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What is computed.
    pub pipeline: Pipeline,
    /// How it is carried out.
    pub settings: Settings,
    /// Every effective pipeline key.
    pub pipeline_keys: Vec<Effective>,
    /// Every effective config key.
    pub config_keys: Vec<Effective>,
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Config files, the last one winning key by key.
    pub config: Vec<PathBuf>,
    /// `key=value` pairs, strongest of all.
    pub set: Vec<(String, String)>,
}

/// Keys whose values are places: a relative path is taken from the folder of the file it is written in, and from where the
/// command is called when it comes from the command line or the environment.
pub const PATH_KEYS: [&str; 13] = [
    "input.root",
    "models.pretrained",
    "models.expert",
    "models.text_features",
    "labels.file",
    "merge.from",
    "corrupt.assets.dir",
    "output.root",
    "nightly.manifests",
    "nightly.incoming",
    "nightly.calibrate_from",
    "metrics.textfile",
    "lineage.file",
];

impl Spec {
    /// Reads, layers and checks everything.
    ///
    /// # Errors
    /// Every problem found in any layer, each naming its key and file.
    pub fn load(sources: &Sources) -> Result<Self, RunError> {
        let dir = folder_of(&sources.pipeline);
        let (mut file, config) = read_files(sources)?;
        file.remove("sweep");
        let mut layers = vec![(Origin::Default, FileKind::Pipeline.defaults()?)];
        // A `--set` key goes by its section.
        let of_config = FileKind::Config.sections();
        let flags = flag_layers(sources, |section| !of_config.contains(section))?;
        // Names of a labels file are as strong as what names it, and weaker than names written beside that.
        let labels = labels_layer(&file, &flags, &dir)?;
        let (below, above): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(is_override, _)| !is_override);
        layers.extend(below.into_iter().map(|(_, layer)| layer));
        layers.push((Origin::File(display(&sources.pipeline)), file));
        layers.extend(above.into_iter().map(|(_, layer)| layer));
        layers.extend(flags);
        let mut reader = Reader::new(FileKind::Pipeline, layers);
        let pipeline = Pipeline::read(&mut reader, &dir);
        let pipeline_keys = reader.finish();

        let mut layers = vec![(Origin::Default, FileKind::Config.defaults()?)];
        layers.extend(config);
        layers.extend(flag_layers(sources, |section| of_config.contains(section))?);
        let mut reader = Reader::new(FileKind::Config, layers);
        let settings = Settings::read(&mut reader);
        match (pipeline_keys, reader.finish()) {
            (Ok(pipeline_keys), Ok(config_keys)) => {
                Ok(Self { pipeline, settings, pipeline_keys, config_keys })
            }
            (pipeline, config) => {
                let problems = [pipeline.err(), config.err()].into_iter().flatten().flatten();
                Err(RunError::all(problems.collect()))
            }
        }
    }
}

/// Every key of both kinds, with or without a default: what their readers ask for.
#[must_use]
pub fn known_keys() -> BTreeSet<String> {
    [FileKind::Pipeline, FileKind::Config].into_iter().flat_map(|kind| kind.known().keys().cloned()).collect()
}

/// The key of that name: the whole one, or the last part of one.
#[must_use]
pub fn key_named(name: &str) -> Option<String> {
    let keys = known_keys();
    let whole = keys.get(name).map(String::as_str);
    whole.or_else(|| with_section(name, keys.iter().map(String::as_str))).map(str::to_owned)
}

impl Settings {
    /// The embedded defaults with config files, variables and flags over them, for commands that read no pipeline.
    ///
    /// # Errors
    /// Problems in any of them; keys of a pipeline are unknown here.
    pub fn defaults(sources: &Sources) -> Result<Self, RunError> {
        Self::effective(sources).map(|(settings, _)| settings)
    }

    /// [`Settings::defaults`] with every effective key.
    ///
    /// # Errors
    /// See there.
    pub fn effective(sources: &Sources) -> Result<(Self, Vec<Effective>), RunError> {
        let mut layers = vec![(Origin::Default, FileKind::Config.defaults()?)];
        layers.extend(config_layers(sources).map_err(RunError::all)?);
        layers.extend(flag_layers(sources, |_| true)?);
        let mut reader = Reader::new(FileKind::Config, layers);
        let settings = Self::read(&mut reader);
        let keys = reader.finish().map_err(RunError::all)?;
        Ok((settings, keys))
    }
}

/// Settings of one place, and which place it is.
type OriginTable = (Origin, Table);

/// The labels file as a layer of its own: the one that a flag names, else an environment variable, else the pipeline file.
/// It lies below the pipeline file that names it, and above it otherwise, which is said beside it.
fn labels_layer(
    file: &Table,
    flags: &[OriginTable],
    dir: &Path,
) -> Result<Option<(bool, OriginTable)>, RunError> {
    let of = |table: &Table| {
        let name = table.get("labels").and_then(|labels| labels.get("file")).and_then(|file| file.as_str());
        name.map(str::to_owned)
    };
    let by_flag = flags.iter().rev().find_map(|(_, table)| of(table));
    let by_variable =
        variable(&env_name("labels.file"))?.and_then(|(name, _)| name.as_str().map(str::to_owned));
    let is_override = by_flag.is_some() || by_variable.is_some();
    let Some(name) = by_flag.clone().or(by_variable).or_else(|| of(file)) else { return Ok(None) };
    // What a variable names is meant from where the command is called.
    let path = if by_flag.is_none() && is_override { PathBuf::from(&name) } else { dir.join(&name) };
    let table = read_table(&path)?;
    check_labels_file(&table, &display(&path))?;
    let labels = nested("labels", table.into());
    let origin = if by_flag.is_some() { Origin::FlagFile(name) } else { Origin::File(name) };
    Ok(Some((is_override, (origin, labels))))
}

/// A labels file has no sections: one that has is a pipeline or something else.
fn check_labels_file(table: &Table, name: &str) -> Result<(), Problem> {
    let sections = table.iter().filter(|(_, value)| value.is_table());
    let sections: Vec<String> = sections.map(|(key, _)| format!("[{key}]")).take(4).collect();
    if sections.is_empty() {
        return Ok(());
    }
    let what = format!(
        "labels.file: {name} holds {}, allowed names and, if wanted, templates and text_cleanup",
        sections.join(", ")
    );
    Err(Problem::new("C006", Exit::Config, what)
        .hint("write names = [\"...\", \"...\"] into a file of its own, without a section"))
}

/// The folder a file lies in, absolute: a bare name lies where the command is called.
fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// The pipeline file and the layers of config files; whatever is wrong with any of them is said at once.
fn read_files(sources: &Sources) -> Result<(Table, Vec<OriginTable>), RunError> {
    match (read_kind(&sources.pipeline, FileKind::Pipeline), config_layers(sources)) {
        (Ok(pipeline), Ok(config)) => Ok((pipeline, config)),
        (pipeline, config) => {
            let problems = pipeline.err().into_iter().chain(config.err().into_iter().flatten());
            Err(RunError::all(problems.collect()))
        }
    }
}

fn config_layers(sources: &Sources) -> Result<Vec<OriginTable>, Vec<Problem>> {
    let layer = |path: &PathBuf| {
        let mut table = read_kind(path, FileKind::Config)?;
        // Several files lie in several folders, so places are made absolute before their layers are one.
        for (section, name) in PATH_KEYS.iter().filter_map(|key| key.split_once('.')) {
            let place = table.get_mut(section).and_then(|inner| inner.get_mut(name));
            if let Some(place) = place
                && let Some(text) = place.as_str()
            {
                *place = places::location(text, &folder_of(path)).into();
            }
        }
        Ok((Origin::File(display(path)), table))
    };
    let (mut layers, mut problems) = (Vec::new(), Vec::new());
    for read in sources.config.iter().map(layer) {
        match read {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(layers) } else { Err(problems) }
}

/// What flags set, in their order.
fn flag_layers(sources: &Sources, wanted: impl Fn(&str) -> bool) -> Result<Vec<OriginTable>, RunError> {
    let mut layers = Vec::new();
    for (key, text) in sources.set.iter().filter(|(key, _)| wanted(key.split('.').next().unwrap_or_default()))
    {
        if !is_dotted_key(key) {
            let what = "--set: found a key that none can be, allowed a few names of letters, digits, _ and - with dots between";
            return Err(Problem::new("C006", Exit::Config, what)
                .hint("write --set SECTION.KEY=VALUE, for example --set merge.gamma=1.0")
                .into());
        }
        let value = parse_scalar(text).ok_or_else(|| {
            Problem::new(
                "C001",
                Exit::Config,
                format!("{key}: found a control character outside a quoted text (from flag)"),
            )
            .hint("one --set sets one key, in one line")
        })?;
        layers.push((Origin::Flag, nested(key, value)));
    }
    Ok(layers)
}
