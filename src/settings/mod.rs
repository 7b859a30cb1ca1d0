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
    /// A config file.
    pub config: Option<PathBuf>,
    /// `key=value` pairs, strongest of all.
    pub set: Vec<(String, String)>,
}

impl Spec {
    /// Reads, layers and checks everything.
    ///
    /// # Errors
    /// Every problem found in any layer, each naming its key and file.
    pub fn load(sources: &Sources) -> Result<Self, RunError> {
        let dir = sources.pipeline.parent().unwrap_or(Path::new(".")).to_path_buf();
        let mut file = read_table(&sources.pipeline)?;
        file.remove("sweep");
        let mut layers = vec![(Origin::Default, parse(PIPELINE_DEFAULT, "pipelines/default.toml")?)];
        layers.extend(labels_layer(&file, &dir)?);
        layers.push((Origin::File(display(&sources.pipeline)), file));
        layers.extend(flag_layers(sources, |section| !CONFIG_SECTIONS.contains(&section)));
        let mut reader = Reader::new(layers);
        let pipeline = Pipeline::read(&mut reader, &dir);
        let pipeline_keys = reader.finish();

        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        if let Some(path) = &sources.config {
            layers.push((Origin::File(display(path)), read_table(path)?));
        }
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
    /// The embedded defaults, for commands that read no pipeline.
    ///
    /// # Errors
    /// Problems in environment variables that override a key.
    pub fn defaults(sources: &Sources) -> Result<Self, RunError> {
        let mut layers = vec![(Origin::Default, parse(CONFIG_DEFAULT, "config/default.toml")?)];
        if let Some(path) = &sources.config {
            layers.push((Origin::File(display(path)), read_table(path)?));
        }
        let mut reader = Reader::new(layers);
        let settings = Self::read(&mut reader);
        reader.finish().map_err(RunError::all)?;
        Ok(settings)
    }
}

/// The labels file as a layer of its own, below the pipeline file that names it.
fn labels_layer(file: &Table, dir: &Path) -> Result<Option<(Origin, Table)>, RunError> {
    let name = file.get("labels").and_then(|labels| labels.get("file")).and_then(|file| file.as_str());
    let Some(name) = name else { return Ok(None) };
    let labels = read_table(&dir.join(name))?;
    Ok(Some((Origin::File(name.to_owned()), nested("labels", labels.into()))))
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
