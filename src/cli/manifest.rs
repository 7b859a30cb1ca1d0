//! `t3b manifest`: the frozen list of samples, made of what lies in a store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::commands::start_logging;
use crate::error::{Exit, RunError};
use crate::settings::{Settings, Sources};
use crate::source::catalog::{CatalogRule, catalog};
use crate::store::Root;

/// `t3b manifest`.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Lists the images below a root and inside its tar, npz and Parquet archives, folder by folder, by name.
    ///
    /// A call that was cut short is taken up again where it stood.
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
    /// Reads every image and pins its sha256, so that none that is damaged later is ever scored.
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
    let done = runtime.block_on(catalog(&root, rule, &args.out))?;
    say!("{}  {} samples", args.out.display(), done.n_rows);
    if done.n_chunks.1 > 0 {
        say!("{} of {} chunks were left by an earlier listing", done.n_chunks.1, done.n_chunks.0);
    }
    for (reason, n) in &done.refused {
        say!("refused: {reason} {n}");
    }
    if done.n_others > 0 {
        say!("left out: {} objects that are no images or archives by their names", done.n_others);
    }
    Ok(Exit::Done)
}
