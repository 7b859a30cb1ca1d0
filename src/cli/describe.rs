//! What the program says of itself for shells, readers and editors: completions, man pages, schemas, settings in force.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde_json::json;

use super::Cli;
use super::opening::{load, start_logging};
use super::plan::print_keys;
use crate::error::{Exit, Problem, RunError};
use crate::settings::{FileKind, Settings, Sources, Spec, schema};

/// `t3b completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell.
    #[arg(value_name = "SHELL", env = "T3B_COMPLETIONS_SHELL")]
    pub shell: Shell,
}

/// `t3b man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for one page a command; by default the page of t3b itself is printed.
    #[arg(value_name = "DIR", env = "T3B_MAN_DIR")]
    pub dir: Option<PathBuf>,
}

/// `t3b schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which kind of file.
    #[arg(value_name = "KIND", env = "T3B_SCHEMA_KIND")]
    pub kind: Kind,
}

/// Kinds of settings files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What is computed.
    Pipeline,
    /// How it is carried out.
    Config,
}

impl From<Kind> for FileKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Pipeline => Self::Pipeline,
            Kind::Config => Self::Config,
        }
    }
}

/// `t3b config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every key in force and where it comes from, without reading what the keys name.
    Show(ConfigShowArgs),
}

/// `t3b config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// Shows the keys of this pipeline too.
    #[arg(value_name = "PIPELINE.toml", env = "T3B_PIPELINE")]
    pub pipeline: Option<PathBuf>,
    /// How it is carried out, for example config/s3.toml; may be repeated, the last one wins key by key.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG", value_delimiter = ';')]
    pub config: Vec<PathBuf>,
    /// Overrides one key; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", env = "T3B_SET", value_delimiter = ';', value_parser = super::key_value)]
    pub set: Vec<(String, String)>,
    /// Prints the commented files of defaults instead, or the one of this kind, to begin a file of your own.
    #[arg(long, value_name = "KIND", env = "T3B_SHOW_DEFAULT", num_args = 0..=1, require_equals = true, default_missing_value = "both")]
    pub default: Option<Defaults>,
    /// Prints one JSON object a key.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// Which defaults are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Defaults {
    /// One file behind the other.
    Both,
    /// What is computed.
    Pipeline,
    /// How it is carried out.
    Config,
}

#[expect(clippy::unnecessary_wraps, reason = "as every command")]
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, RunError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "t3b", &mut text);
    say!("{}", String::from_utf8_lossy(&text).trim_end());
    Ok(Exit::Done)
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, RunError> {
    let unwritable = |_| {
        let dir = args.dir.as_deref().unwrap_or(Path::new(".")).display();
        Problem::new("C007", Exit::Permission, format!("DIR: the folder {dir} cannot be written"))
            .hint("choose another DIR")
    };
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(documented()).render(&mut page).map_err(unwritable)?;
        say!("{}", String::from_utf8_lossy(&page).trim_end());
        return Ok(Exit::Done);
    };
    write_pages(dir).map_err(unwritable)?;
    say!("pages   {}", dir.display());
    Ok(Exit::Done)
}

/// The command line as its pages show it.
fn documented() -> clap::Command {
    Cli::command().disable_help_subcommand(true)
}

fn write_pages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(documented(), dir)
}

#[expect(clippy::unnecessary_wraps, reason = "as every command")]
pub(super) fn print_schema(args: &SchemaArgs) -> Result<Exit, RunError> {
    say!("{:#}", schema(args.kind.into()));
    Ok(Exit::Done)
}

pub(super) fn config(command: &ConfigCommand) -> Result<Exit, RunError> {
    let ConfigCommand::Show(args) = command;
    let kinds: &[FileKind] = match args.default {
        None => return show(args),
        Some(Defaults::Both) => &[FileKind::Pipeline, FileKind::Config],
        Some(Defaults::Pipeline) => &[FileKind::Pipeline],
        Some(Defaults::Config) => &[FileKind::Config],
    };
    for kind in kinds {
        say!("# {}\n{}", kind.default_name(), kind.default_text().trim_end());
    }
    Ok(Exit::Done)
}

fn show(args: &ConfigShowArgs) -> Result<Exit, RunError> {
    let (pipeline_keys, config_keys) = match &args.pipeline {
        Some(pipeline) => {
            let (config, set) = (args.config.clone(), args.set.clone());
            let args = super::SpecArgs { pipeline: pipeline.clone(), config, set, output: None };
            let Spec { pipeline_keys, config_keys, .. } = load(&args)?;
            (pipeline_keys, config_keys)
        }
        None => {
            let sources =
                Sources { config: args.config.clone(), set: args.set.clone(), ..Sources::default() };
            let (settings, keys) = Settings::effective(&sources)?;
            start_logging(&settings);
            (Vec::new(), keys)
        }
    };
    if args.json {
        for key in pipeline_keys.iter().chain(&config_keys) {
            say!("{}", json!({ "key": key.key, "value": key.value, "origin": key.origin.to_string() }));
        }
        return Ok(Exit::Done);
    }
    if !pipeline_keys.is_empty() {
        print_keys("pipeline", &pipeline_keys);
    }
    print_keys("config", &config_keys);
    Ok(Exit::Done)
}
