//! `t3b manifest`: the frozen list of samples, made of what lies in a store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::commands::start_logging;
use super::deliver::deliver;
use crate::error::{Exit, RunError};
use crate::settings::Settings;
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
    /// The manifest to write, a file or a URI: Parquet, or CSV by its ending.
    #[arg(short, long, value_name = "FILE", env = "T3B_MANIFEST_OUT")]
    pub out: PathBuf,
    /// Takes the folder that an image lies in as its label.
    #[arg(long)]
    pub labels_from_folders: bool,
    /// Reads every image and pins its sha256, so that none that is damaged later is ever scored.
    #[arg(long)]
    pub sha256: bool,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: super::ConfigArgs,
}

pub(super) fn manifest(command: &ManifestCommand) -> Result<Exit, RunError> {
    let ManifestCommand::Build(args) = command;
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    let root = Root::open(&super::from_here(&args.root), false, &settings.store)?;
    let rule = CatalogRule { labels_from_folders: args.labels_from_folders, sha256: args.sha256 };
    let done = deliver(&args.out, &settings, |out| {
        let runtime = super::commands::runtime(&settings)?;
        runtime.block_on(catalog(&root, rule, out)).map_err(|problem| {
            // Of a listing that found nothing, nothing stays; chunks that were listed are kept for the next call.
            let mut parts = out.as_os_str().to_owned();
            parts.push(".parts");
            let _kept_unless_empty = std::fs::remove_dir(parts);
            RunError::from(problem)
        })
    })?;
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
