//! `t3b manifest`: the frozen list of samples, made of what lies in a store.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::SpecArgs;
use super::deliver::deliver;
use super::opening::{load, on_runtime, start_logging};
use crate::error::{Exit, Problem, RunError, shown_place};
use crate::settings::Settings;
use crate::source::catalog::{Catalog, CatalogRule, Pick, Slices, catalog};
use crate::source::is_frozen;
use crate::store::Root;

/// `t3b manifest`.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Lists the images below a root and inside its tar, npz and Parquet archives, folder by folder, by name.
    ///
    /// A call that was cut short is taken up again where it stood.
    Build(BuildArgs),
    /// Checks a pipeline's manifest once and writes it as a list of partitions, so that any number of workers open it by a few reads.
    ///
    /// The pipeline then names the list as its `input.manifest`. It holds names of the archive, as the manifest does.
    Freeze(FreezeArgs),
}

/// `t3b manifest freeze`.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// The pipeline whose manifest, split, classes and sizes are meant.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The list to write, a file or a URI that ends in .frozen; its parts lie beside it.
    #[arg(short, long, value_name = "FILE", env = "T3B_MANIFEST_OUT")]
    pub out: String,
}

/// `t3b manifest build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Object store URI or folder, what `input.root` will be; or a DICOMDIR, whose images are listed below its folder.
    #[arg(value_name = "ROOT", env = "T3B_MANIFEST_ROOT")]
    pub root: String,
    /// The manifest to write, a file or a URI: Parquet, or CSV by its ending.
    #[arg(short, long, value_name = "FILE", env = "T3B_MANIFEST_OUT")]
    pub out: PathBuf,
    /// Takes the folder that an image lies in as its label.
    #[arg(long)]
    pub labels_from_folders: bool,
    /// Opens DICOM and TIFF objects and lists their pictures: all, first, middle or every:N.
    #[arg(long, value_name = "WHICH")]
    pub frames: Option<Pick>,
    /// Opens NIfTI volumes and lists their slices along an axis, 0, 1 or 2: for example 2:every:10, 2:middle, 0:all.
    #[arg(long, value_name = "AXIS:WHICH")]
    pub slices: Option<Slices>,
    /// Column of labels in Parquet archives, by default label, label_idx or labels.
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// Reads every image and pins its sha256, so that none that is damaged later is ever scored.
    #[arg(long)]
    pub sha256: bool,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: super::ConfigArgs,
}

pub(super) fn manifest(command: &ManifestCommand) -> Result<Exit, RunError> {
    match command {
        ManifestCommand::Build(args) => build(args),
        ManifestCommand::Freeze(args) => freeze(args),
    }
}

fn freeze(args: &FreezeArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let (folder, name) = args.out.rsplit_once('/').unwrap_or((".", &args.out));
    if !is_frozen(name) || name.starts_with('.') {
        let what = format!("-o: found {}, allowed a name that ends in .frozen", shown_place(&args.out));
        return Err(Problem::new("C007", Exit::Config, what)
            .hint("frozen manifests are known by their ending: -o lists/night.frozen")
            .into());
    }
    let (settings, place) = (spec.settings.clone(), super::from_here(folder));
    if spec.pipeline.is_in_output(&place) {
        let what = format!("-o: found {}, which lies inside output.root", shown_place(&args.out));
        return Err(Problem::new("C002", Exit::Config, what)
            .hint("manifests hold names of the archive: keep them where its owner alone can read")
            .into());
    }
    let root = Root::open(&place, true, &settings.store)?;
    let (n_samples, frozen) = on_runtime(&settings, crate::job::freeze(&spec, &root, name))?;
    say!("{}  {n_samples} samples in {} parts, {} bytes", args.out, frozen.n_parts, frozen.n_bytes);
    Ok(Exit::Done)
}

fn build(args: &BuildArgs) -> Result<Exit, RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    let (root, directory) = split_directory(&args.root);
    let root = Root::open(&super::from_here(root), false, &settings.store)?;
    let rule = CatalogRule {
        labels_from_folders: args.labels_from_folders,
        sha256: args.sha256,
        frames: args.frames,
        slices: args.slices,
        label_column: args.label_column.clone(),
        directory: directory.map(str::to_owned),
    };
    check_ending(&args.out)?;
    let done = deliver(&args.out, &settings, |out| {
        on_runtime(&settings, async { Ok(catalog(&root, rule, out).await?) }).inspect_err(|_| {
            // Of a listing that found nothing, nothing stays; chunks that were listed are kept for the next call.
            let mut parts = out.as_os_str().to_owned();
            parts.push(".parts");
            let _kept_unless_empty = std::fs::remove_dir(parts);
        })
    })?;
    say!("{}  {} samples", args.out.display(), done.n_rows);
    print_catalog(&done);
    Ok(Exit::Done)
}

/// A manifest is read by its ending, so it is written by one.
fn check_ending(out: &Path) -> Result<(), Problem> {
    let ending = out.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if ["parquet", "csv"].contains(&ending.as_str()) {
        return Ok(());
    }
    let what = format!("-o: found {}, allowed a name that ends in .parquet or .csv", out.display());
    Err(Problem::new("C007", Exit::Config, what)
        .hint("manifests are read by their ending: -o manifest.parquet, or -o manifest.csv to look into it"))
}

/// A DICOMDIR's folder and its name.
fn split_directory(root: &str) -> (&str, Option<&str>) {
    let (folder, name) = root.rsplit_once('/').unwrap_or((".", root));
    if name.eq_ignore_ascii_case("DICOMDIR") { (folder, Some(name)) } else { (root, None) }
}

/// The closing lines: whatever was met is in one of them.
fn print_catalog(done: &Catalog) {
    if done.n_chunks.1 > 0 {
        say!("{} of {} chunks were left by an earlier listing", done.n_chunks.1, done.n_chunks.0);
    }
    for (reason, n) in &done.refused {
        say!("refused: {reason} {n}");
    }
    let kinds = |kinds: &[(String, u64)]| {
        kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
    };
    if !done.left_out.is_empty() {
        say!("left out: {}", kinds(&done.left_out));
    }
    if !done.inside.is_empty() {
        say!("left out inside archives: {}", kinds(&done.inside));
    }
    if done.n_labelled > 0 || !done.notes.is_empty() {
        say!("labels: {} of {} samples have one", done.n_labelled, done.n_rows);
    }
    for (what, n) in &done.notes {
        say!("not read: {what}, {n} times");
    }
    let n_left_out: u64 = done.left_out.iter().map(|(_, n)| n).sum();
    say!(
        "{} objects: {} images, {} archives, {} refused, {n_left_out} left out",
        done.n_objects,
        done.n_images,
        done.n_archives,
        done.n_refused
    );
}
