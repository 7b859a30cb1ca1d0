//! `t3b manifest`: the frozen list of samples, made of what lies in a store.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::commands::start_logging;
use crate::error::{Exit, Problem, RunError};
use crate::source::catalog::{CatalogRule, catalog, encoded};
use crate::spec::{Settings, Sources};
use crate::store::Root;

/// `t3b manifest`.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Lists the images and tar shards below a root, in the order of their names.
    Build(BuildArgs),
}

/// `t3b manifest build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Object store URI or folder; what `input.root` will be.
    #[arg(value_name = "ROOT", env = "T3B_MANIFEST_ROOT")]
    pub root: String,
    /// The manifest to write: Parquet, or CSV by its ending.
    #[arg(short, long, value_name = "FILE", env = "T3B_MANIFEST_OUT")]
    pub out: PathBuf,
    /// Takes the folder that an image lies in as its label.
    #[arg(long)]
    pub labels_from_folders: bool,
    /// Reads every image and pins its sha256, so that no damaged one is ever scored.
    #[arg(long)]
    pub sha256: bool,
    /// How the store is spoken to, for example config/s3.toml.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG")]
    pub config: Option<PathBuf>,
}

pub(super) fn manifest(command: &ManifestCommand) -> Result<Exit, RunError> {
    let ManifestCommand::Build(args) = command;
    let settings = Settings::defaults(&Sources { config: args.config.clone(), ..Sources::default() })?;
    start_logging(&settings);
    let root = Root::open(&super::from_here(&args.root), false, &settings.store)?;
    let rule = CatalogRule { labels_from_folders: args.labels_from_folders, sha256: args.sha256 };
    let runtime = super::commands::runtime(&settings)?;
    let rows = catalog(&root, runtime.handle(), rule)?;
    let bytes = encoded(&rows, &args.out.to_string_lossy())?;
    fs::write(&args.out, bytes).map_err(|error| {
        let what = format!("{}: cannot be written ({})", args.out.display(), error.kind());
        Problem::new("C007", Exit::Permission, what).hint("choose another --out")
    })?;
    println!("{}  {} samples", args.out.display(), rows.len());
    Ok(Exit::Done)
}
