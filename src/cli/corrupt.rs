//! `t3b corrupt`: corruptions as files, to look at or to hand on.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::deliver::deliver;
use super::opening::start_logging;
use crate::demo::{CellClass, DEFAULT_SEED, draw_crop};
use crate::error::{Exit, Problem, RunError};
use crate::graph::corrupt::content_id;
use crate::settings::Settings;
use t3b_corrupt::export::{ExportError, contact_sheet, data_set_name, export_medmnist_c, write_png};
use t3b_corrupt::{Assets, Corruption, Entry, RngMode, Scratch, Severity, Streams, Suite, apply};
use t3b_decode::{self, Limits};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

/// Side of the image that is drawn when none is given.
const DRAWN_PX: u32 = 224;

/// `t3b corrupt`.
#[derive(Debug, Args)]
pub struct CorruptArgs {
    /// The image, PNG or JPEG; with --export the data set's .npz; with --sheet a drawn cell if left out.
    #[arg(value_name = "IMAGE", env = "T3B_CORRUPT_INPUT")]
    pub input: Option<PathBuf>,
    /// With --export: the folder or URI below which `<data set>/<corruption>.npz` are written.
    #[arg(value_name = "OUT_DIR", env = "T3B_CORRUPT_OUT_DIR")]
    pub out_dir: Option<PathBuf>,
    /// Data set whose corruptions are meant, for example bloodmnist; with --export read from the file's name.
    #[arg(long, value_name = "NAME", env = "T3B_CORRUPT_SUITE")]
    pub suite: Option<String>,
    /// One of the suite's corruptions, for example motion_blur.
    #[arg(long, value_name = "NAME", env = "T3B_CORRUPT_CORRUPTION")]
    pub corruption: Option<String>,
    /// From 1, weakest, to 5.
    #[arg(long, value_name = "1-5", env = "T3B_CORRUPT_SEVERITY")]
    pub severity: Option<u8>,
    /// Whose random numbers; numpy-compat is seeded just before the image, counter is keyed by the image's pixels: what
    /// t3b run draws for it with corrupt.at = "source".
    #[arg(long, value_name = "MODE", default_value = "counter", env = "T3B_CORRUPT_RNG")]
    pub rng: Rng,
    /// Seed of the random numbers.
    #[arg(long, value_name = "N", default_value_t = 0, env = "T3B_CORRUPT_SEED")]
    pub seed: u64,
    /// Folder with the reference's stains and letters, docs/corruptions.md says how to get them.
    #[arg(long, value_name = "DIR", env = "T3B_CORRUPT_ASSETS")]
    pub assets: Option<PathBuf>,
    /// Writes one picture of all the suite's corruptions at all severities, with counter streams.
    #[arg(long, conflicts_with = "export", env = "T3B_CORRUPT_SHEET")]
    pub sheet: bool,
    /// Corrupts a whole MedMNIST test set into files of this layout, with numpy-compat streams.
    #[arg(long, value_name = "LAYOUT", env = "T3B_CORRUPT_EXPORT")]
    pub export: Option<ExportLayout>,
    /// The PNG to write, a file or a URI.
    #[arg(short, long, value_name = "OUT.png", env = "T3B_CORRUPT_OUT")]
    pub out: Option<PathBuf>,
    /// How the store is spoken to, where what is written lies in one.
    #[command(flatten)]
    pub how: super::ConfigArgs,
}

/// Where random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rng {
    /// One stream per (seed, sample, corruption, severity).
    Counter,
    /// The sequential streams of the Python reference.
    NumpyCompat,
}

/// Layouts of corrupted data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportLayout {
    /// One .npz per corruption with test_images and test_labels, severity by severity.
    #[value(name = "medmnist-c")]
    MedmnistC,
}

/// Corrupts one image, draws a sheet or exports a data set.
pub(super) fn corrupt(args: &CorruptArgs) -> Result<Exit, RunError> {
    let assets = match &args.assets {
        None => Assets::default(),
        Some(dir) if !dir.is_dir() => return Err(unreadable(dir, "not a folder").into()),
        Some(dir) => Assets::from_dir(dir).map_err(|error| unreadable(dir, &error.to_string()))?,
    };
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    match args.export {
        Some(ExportLayout::MedmnistC) => export(args, &settings, &assets)?,
        None if args.sheet => sheet(args, &settings, &assets)?,
        None => one(args, &settings, &assets)?,
    }
    Ok(Exit::Done)
}

fn one(args: &CorruptArgs, settings: &Settings, assets: &Assets) -> Result<(), RunError> {
    let suite = suite(args, assets)?;
    let entry = entry(args, &suite)?;
    let found = args.severity.map_or_else(|| "none".to_owned(), |severity| severity.to_string());
    let severity =
        args.severity.and_then(Severity::new).ok_or_else(|| bad("--severity", &found, "1 to 5"))?;
    let input = args.input.as_deref().ok_or_else(|| bad("IMAGE", "none", "a PNG or JPEG file"))?;
    let out = out(args)?;
    let image = read_image(input)?;
    let mut streams = match args.rng {
        Rng::Counter => Streams::counter(args.seed, &content_id(&image), entry.name, severity),
        Rng::NumpyCompat => Streams::numpy_compat(args.seed),
    };
    let (kind, mut corrupted) = (entry.at(severity), image.clone());
    apply(kind, suite.grey(), &image, &mut streams, &mut Scratch::default(), &mut corrupted);
    deliver(out, settings, |out| Ok(write(out, &corrupted)?))?;
    say!(
        "{}  {} severity {}, {}x{} px",
        out.display(),
        entry.name,
        severity.get(),
        image.width_px(),
        image.height_px()
    );
    if streams.mode() == RngMode::NumpyCompat {
        note_stand_ins(&[kind]);
    }
    Ok(())
}

fn sheet(args: &CorruptArgs, settings: &Settings, assets: &Assets) -> Result<(), RunError> {
    let (suite, out) = (suite(args, assets)?, out(args)?);
    let image = match &args.input {
        Some(path) => read_image(path)?,
        None => drawn(),
    };
    let sheet = contact_sheet(&image, &suite, args.seed);
    deliver(out, settings, |out| Ok(write(out, &sheet)?))?;
    let (n_rows, width, height) = (suite.entries().len(), sheet.width_px(), sheet.height_px());
    say!("{}  {n_rows} corruptions, {width}x{height} px", out.display());
    Ok(())
}

/// A white blood cell as the demo archive draws them, at the size the suites are made for.
fn drawn() -> Rgb8 {
    let crop = draw_crop(CellClass::WhiteBloodCell, DEFAULT_SEED, 0);
    let mut large = Resizer::default().short_side_then_center_crop(&crop, DRAWN_PX);
    // The camera's grain of the small crop would show as a coarse pattern in the large one.
    let smooth = Corruption::SmoothBlur { sigma_px: 1.0 };
    let grainy = large.clone();
    apply(&smooth, false, &grainy, &mut Streams::numpy_compat(0), &mut Scratch::default(), &mut large);
    large
}

fn export(args: &CorruptArgs, settings: &Settings, assets: &Assets) -> Result<(), RunError> {
    let source =
        args.input.as_deref().ok_or_else(|| bad("IMAGE", "none", "the .npz of a MedMNIST data set"))?;
    let out_dir = args.out_dir.as_deref().ok_or_else(|| bad("OUT_DIR", "none", "a folder to write to"))?;
    let name = args.suite.as_deref().or_else(|| data_set_name(source)).unwrap_or_default();
    if let Some(suite) = Suite::with_assets(name, assets) {
        note_stand_ins(&suite.entries().iter().map(|entry| &entry.levels[0]).collect::<Vec<_>>());
    }
    let on_written = |path: &Path| say!("{}", path.display());
    let export = |dir: &Path| export_medmnist_c(source, name, dir, assets, args.seed, on_written);
    deliver(out_dir, settings, |dir| {
        export(dir).map_err(|error| {
            match error {
                ExportError::DataSet { .. } => Problem::new("C001", Exit::Config, error.to_string())
                    .hint("name the data set with --suite"),
                ExportError::Write { .. } => Problem::new("C007", Exit::Permission, error.to_string())
                    .hint("choose another OUT_DIR, or free space"),
                _ => Problem::new("C007", Exit::Config, error.to_string())
                    .hint("give a <data set>_224.npz of MedMNIST"),
            }
            .into()
        })
    })?;
    Ok(())
}

fn suite(args: &CorruptArgs, assets: &Assets) -> Result<Suite, Problem> {
    let found = args.suite.as_deref().unwrap_or("none");
    Suite::with_assets(found, assets).ok_or_else(|| bad("--suite", found, &Suite::names().join(", ")))
}

fn entry<'a>(args: &CorruptArgs, suite: &'a Suite) -> Result<&'a Entry, Problem> {
    let found = args.corruption.as_deref().unwrap_or("none");
    suite.entry(found).ok_or_else(|| {
        let known: Vec<&str> = suite.entries().iter().map(|entry| entry.name).collect();
        bad("--corruption", found, &known.join(", "))
    })
}

fn out(args: &CorruptArgs) -> Result<&Path, Problem> {
    args.out.as_deref().ok_or_else(|| bad("--out", "none", "the path of the PNG to write"))
}

fn read_image(path: &Path) -> Result<Rgb8, Problem> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error.kind().to_string()))?;
    t3b_decode::decode(&bytes, &Limits::default()).map_err(|error| unreadable(path, &error.to_string()))
}

fn write(path: &Path, image: &Rgb8) -> Result<(), Problem> {
    write_png(path, image).map_err(|error| {
        let what = format!("{}: cannot be written ({})", path.display(), error.kind());
        Problem::new("C007", Exit::Permission, what).hint("choose another --out")
    })
}

/// Pictures made here stand in for the reference's, so those who want its bytes must be told.
fn note_stand_ins(kinds: &[&Corruption]) {
    if kinds.iter().any(|kind| !kind.is_exact()) {
        tell!("note: stains and letters made here stand in for the reference's; --assets gives its bytes");
    }
}

fn bad(name: &str, found: &str, allowed: &str) -> Problem {
    Problem::new("C001", Exit::Config, format!("{name}: found {found}, allowed {allowed}"))
        .hint("t3b corrupt --help has an example; docs/corruptions.md says what each does")
}

fn unreadable(path: &Path, why: &str) -> Problem {
    Problem::new("C007", Exit::Config, format!("{}: cannot be read ({why})", path.display()))
        .hint("name an image: docs/inputs.md lists the formats")
}
