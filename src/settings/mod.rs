//! `pipelines/` and `config/` become checked values; the only module that knows TOML.
//!
//! Two kinds of settings: a [`Pipeline`] says what is computed and is fingerprinted, [`Settings`] say how a
//! run is carried out and can change no row. Precedence, lowest first: the embedded default file, the file,
//! environment variables `T3B_SECTION_KEY`, `--set` flags. Every problem is reported at once.

mod config;
mod corrupt;
mod layers;
mod merge;
mod models;
mod nightly;
mod pipeline;
mod schema;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Table;

pub use config::{Settings, Threads};
pub use corrupt::Corrupt;
pub use layers::{Effective, Origin, env_name};
pub use merge::Merge;
pub use models::Models;
pub use nightly::{Incoming, Nightly};
pub use pipeline::{Input, Labels, Output, Pipeline};
pub use schema::schema;
pub use sweep::{Sweep, Variation};

use crate::error::{Exit, Problem, RunError};
use layers::{Reader, Shape, is_dotted_key, nested, parse_scalar, variable};

const PIPELINE_DEFAULT: &str = include_str!("../../pipelines/default.toml");
const CONFIG_DEFAULT: &str = include_str!("../../config/default.toml");

/// Most bytes of a settings file; a large one has a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Sections that belong to `config/*.toml`; a `--set` key goes by its section.
const CONFIG_SECTIONS: [&str; 13] = [
    "memory", "fetch", "threads", "queues", "decoder", "store", "device", "stop", "worker", "log", "metrics",
    "lineage", "traces",
];

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
        let mut file = read_table(&sources.pipeline)?;
        file.remove("sweep");
        let mut layers = vec![(Origin::Default, parse(PIPELINE_DEFAULT, "pipelines/default.toml")?)];
        let flags = flag_layers(sources, |section| !CONFIG_SECTIONS.contains(&section))?;
        // Names of a labels file are as strong as what names it, and weaker than names written beside that.
        let labels = labels_layer(&file, &flags, &dir)?;
        let (below, above): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(is_override, _)| !is_override);
        layers.extend(below.into_iter().map(|(_, layer)| layer));
        layers.push((Origin::File(display(&sources.pipeline)), file));
        layers.extend(above.into_iter().map(|(_, layer)| layer));
        layers.extend(flags);
        let mut reader = Reader::new(layers);
        let pipeline = Pipeline::read(&mut reader, &dir);
        let pipeline_keys = reader.finish();

        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        layers.extend(config_layers(sources)?);
        layers.extend(flag_layers(sources, |section| CONFIG_SECTIONS.contains(&section))?);
        let mut reader = Reader::new(layers);
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

    /// Every key its reader asks for, and what each may hold.
    fn known(self) -> BTreeMap<String, Shape> {
        let table = parse(self.default_text(), self.default_name()).unwrap_or_default();
        let mut reader = Reader::new(vec![(Origin::Default, table)]);
        match self {
            Self::Pipeline => drop(Pipeline::read(&mut reader, Path::new("/"))),
            Self::Config => drop(Settings::read(&mut reader)),
        }
        reader.known()
    }
}

/// Every key of both kinds, with or without a default: what their readers ask for.
#[must_use]
pub fn known_keys() -> BTreeSet<String> {
    [FileKind::Pipeline, FileKind::Config].into_iter().flat_map(|kind| kind.known().into_keys()).collect()
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
        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        layers.extend(config_layers(sources)?);
        layers.extend(flag_layers(sources, |_| true)?);
        let mut reader = Reader::new(layers);
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
    let labels = nested("labels", read_table(&path)?.into());
    let origin = if by_flag.is_some() { Origin::FlagFile(name) } else { Origin::File(name) };
    Ok(Some((is_override, (origin, labels))))
}

/// The folder a file lies in, absolute: a bare name lies where the command is called.
fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn config_layers(sources: &Sources) -> Result<Vec<OriginTable>, RunError> {
    let layer = |path: &PathBuf| {
        let mut table = read_table(path)?;
        // Several files lie in several folders, so places are made absolute before their layers are one.
        for (section, name) in PATH_KEYS.iter().filter_map(|key| key.split_once('.')) {
            let place = table.get_mut(section).and_then(|inner| inner.get_mut(name));
            if let Some(place) = place
                && let Some(text) = place.as_str()
            {
                *place = pipeline::location(text, &folder_of(path)).into();
            }
        }
        Ok((Origin::File(display(path)), table))
    };
    sources.config.iter().map(layer).collect()
}

/// What flags set, in their order.
fn flag_layers(sources: &Sources, wanted: impl Fn(&str) -> bool) -> Result<Vec<OriginTable>, RunError> {
    let mut layers = Vec::new();
    for (key, text) in sources.set.iter().filter(|(key, _)| wanted(key.split('.').next().unwrap_or_default()))
    {
        if !is_dotted_key(key) {
            let what = "--set: found a key that none can be, allowed a few names of letters, digits, _ and - with dots between";
            return Err(Problem::new("C006", Exit::Config, what).into());
        }
        let value = parse_scalar(text).ok_or_else(|| {
            Problem::new(
                "C001",
                Exit::Config,
                format!("{key}: found a control character outside a quoted text (from flag)"),
            )
        })?;
        layers.push((Origin::Flag, nested(key, value)));
    }
    Ok(layers)
}

fn read_table(path: &Path) -> Result<Table, RunError> {
    let unusable = |why: String| {
        let what = format!("{}: {why}", display(path));
        RunError::from(Problem::new("C007", Exit::Config, what).hint("check the path; see t3b run --help"))
    };
    let unreadable = |source: std::io::Error| unusable(format!("cannot be read ({})", source.kind()));
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable(format!("over {MAX_FILE_BYTES} bytes, more than settings need")));
    }
    parse(&text, &display(path))
}

fn parse(text: &str, name: &str) -> Result<Table, RunError> {
    text.parse::<Table>().map_err(|source| {
        let line = source.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        let what = format!("{name}: line {line}: {}", source.message());
        RunError::from(Problem::new("C007", Exit::Config, what))
    })
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
