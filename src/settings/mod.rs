//! `pipelines/` and `config/` become checked values; the only module that knows TOML.
//!
//! Two kinds of settings: a [`Pipeline`] says what is computed and is fingerprinted, [`Settings`] say how a
//! run is carried out and can change no row. Precedence, lowest first: the embedded default file, the file,
//! environment variables `T3B_SECTION_KEY`, `--set` flags. Every problem is reported at once.

mod corrupt;
mod layers;
mod merge;
mod pipeline;
mod settings;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

pub use corrupt::Corrupt;
pub use layers::{Effective, Origin, env_name};
pub use merge::Merge;
pub use pipeline::{Input, Labels, Models, Output, Pipeline};
pub use settings::{Settings, Threads};
pub use sweep::{Sweep, Variation};

use crate::error::{Exit, Problem, RunError};
use layers::{Reader, nested, parse_scalar};

const PIPELINE_DEFAULT: &str = include_str!("../../pipelines/default.toml");
const CONFIG_DEFAULT: &str = include_str!("../../config/default.toml");

/// Sections that belong to `config/*.toml`; a `--set` key goes by its section.
const CONFIG_SECTIONS: [&str; 9] =
    ["memory", "fetch", "threads", "queues", "decoder", "store", "device", "stop", "log"];

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
pub const PATH_KEYS: [&str; 8] = [
    "input.root",
    "models.pretrained",
    "models.expert",
    "models.text_features",
    "labels.file",
    "merge.from",
    "corrupt.assets.dir",
    "output.root",
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
        let labels = labels_layer(&file, sources, &dir)?;
        // A file of labels is as strong as the place it is named in.
        let (below, above) = match labels {
            Some((Named::InFile, layer)) => (Some(layer), None),
            Some((Named::Above, layer)) => (None, Some(layer)),
            None => (None, None),
        };
        layers.extend(below);
        layers.push((Origin::File(display(&sources.pipeline)), file));
        layers.extend(above);
        layers.extend(flag_layers(sources, |section| !CONFIG_SECTIONS.contains(&section)));
        let mut reader = Reader::new(layers);
        let pipeline = Pipeline::read(&mut reader, &dir);
        let pipeline_keys = reader.finish();

        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        layers.extend(config_layers(sources)?);
        layers.extend(flag_layers(sources, |section| CONFIG_SECTIONS.contains(&section)));
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

impl Settings {
    /// The embedded defaults with config files, variables and flags over them, for commands that read no pipeline.
    ///
    /// # Errors
    /// Problems in any of them; keys of a pipeline are unknown here.
    pub fn defaults(sources: &Sources) -> Result<Self, RunError> {
        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        layers.extend(config_layers(sources)?);
        layers.extend(flag_layers(sources, |_| true));
        let mut reader = Reader::new(layers);
        let settings = Self::read(&mut reader);
        reader.finish().map_err(RunError::all)?;
        Ok(settings)
    }
}

/// Where `labels.file` is named.
enum Named {
    /// In the pipeline file, whose other keys are stronger.
    InFile,
    /// On the command line, by a sweep or in the environment, over the pipeline file.
    Above,
}

/// The labels file in force as a layer of its own.
fn labels_layer(
    file: &Table,
    sources: &Sources,
    dir: &Path,
) -> Result<Option<(Named, (Origin, Table))>, RunError> {
    const KEY: &str = "labels.file";
    let flag = sources
        .set
        .iter()
        .rev()
        .find(|(key, _)| key == KEY)
        .map(|(_, text)| text.trim_matches('"').to_owned());
    let variable = std::env::var(env_name(KEY)).ok();
    let written = file.get("labels").and_then(|labels| labels.get("file")).and_then(|file| file.as_str());
    let (named, name, path) = match (flag, variable, written) {
        (Some(name), ..) => (Named::Above, name.clone(), dir.join(name)),
        (None, Some(name), _) => (Named::Above, name.clone(), PathBuf::from(name)),
        (None, None, Some(name)) => (Named::InFile, name.to_owned(), dir.join(name)),
        (None, None, None) => return Ok(None),
    };
    let labels = read_table(&path)?;
    Ok(Some((named, (Origin::File(name), nested("labels", labels.into())))))
}

/// The folder a file lies in, absolute: a bare name lies where the command is called.
fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn config_layers(sources: &Sources) -> Result<Vec<(Origin, Table)>, RunError> {
    sources.config.iter().map(|path| Ok((Origin::File(display(path)), read_table(path)?))).collect()
}

fn flag_layers(sources: &Sources, wanted: impl Fn(&str) -> bool) -> Vec<(Origin, Table)> {
    let chosen = sources.set.iter().filter(|(key, _)| wanted(key.split('.').next().unwrap_or_default()));
    chosen.map(|(key, text)| (Origin::Flag, nested(key, parse_scalar(text)))).collect()
}

fn read_table(path: &Path) -> Result<Table, RunError> {
    let text = fs::read_to_string(path).map_err(|source| {
        let what = format!("{}: cannot be read ({})", display(path), source.kind());
        RunError::from(Problem::new("C007", Exit::Config, what).hint("check the path; see t3b run --help"))
    })?;
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
