//! A whole corrupted test set in the files of MedMNIST-C.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Assets, Entry, Scratch, Severity, Streams, Suite, apply};
use t3b_image::Rgb8;
use t3b_image::npz::{NpyHeader, Npz, NpzError, NpzWriter};

const IMAGES: &str = "test_images";
const LABELS: &str = "test_labels";

/// Why a data set could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No suite of MedMNIST-C has that name.
    #[error("data set: found {found:?}, allowed {allowed}")]
    DataSet {
        /// The name that was given.
        found: String,
        /// All names, separated by commas.
        allowed: String,
    },
    /// The data set's file was refused.
    #[error("{}: {source}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NpzError,
    },
    /// The images do not have the type or shape that the suite is for.
    #[error("test_images: found {found}, allowed {allowed}")]
    Images {
        /// Element type and shape.
        found: String,
        /// What the suite is for.
        allowed: &'static str,
    },
    /// Images and labels differ in number.
    #[error("test_labels: found {found} rows, allowed {allowed}, one per image")]
    Labels {
        /// Rows of labels.
        found: u64,
        /// Images.
        allowed: u64,
    },
    /// An output file or folder cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: NpzError,
    },
}

/// The data set that a file of MedMNIST holds, by its name: `bloodmnist` for `bloodmnist_224.npz`.
#[must_use]
pub fn data_set_name(file: &Path) -> Option<&str> {
    let stem = file.file_stem()?.to_str()?;
    Some(stem.strip_suffix("_224").unwrap_or(stem))
}

/// Corrupts the test set in `data_set_npz` as MedMNIST-C was made, and calls `on_written` after each file.
///
/// Writes `<out_dir>/<data set>/<corruption>.npz` with `test_images` `[5n, height, width(, 3)]` and `test_labels`
/// `[5n, k]`: all images at severity 1, then all at severity 2, and so on. A file is replaced as a whole, or not.
///
/// Order: the sequential streams are seeded once, then every corruption in registry order, every severity, every
/// image. So the files cannot be made one by one, and an interrupted export starts again.
///
/// Memory: one image in and one out. The archive is read again for every severity instead.
///
/// # Errors
/// When the data set is unknown or does not fit its suite, or a file cannot be read or written.
///
/// Reference: `DatasetManager.create_single_dataset` of medmnistc 0.1.0.
pub fn export_medmnist_c(
    data_set_npz: &Path,
    data_set: &str,
    out_dir: &Path,
    assets: &Assets,
    seed: u64,
    mut on_written: impl FnMut(&Path),
) -> Result<Vec<PathBuf>, ExportError> {
    let suite = medmnist_suite(data_set, assets)?;
    let mut source = Source::open(data_set_npz, &suite)?;
    let folder = out_dir.join(suite.name());
    fs::create_dir_all(&folder).map_err(|error| unwritable(&folder)(NpzError::Io(error)))?;
    let mut hand =
        Hand { streams: Streams::numpy_compat(seed), scratch: Scratch::default(), grey: suite.grey() };
    let mut written = Vec::new();
    for entry in suite.entries() {
        let path = folder.join(format!("{}.npz", entry.name));
        // Beside its place and moved there once whole, so that no half file can be taken for a whole one.
        let partial = folder.join(format!("{}.npz.partial", entry.name));
        let done = write_one(&mut source, entry, &mut hand, &partial);
        if let Err(error) = done {
            // The first error is the one to tell.
            let _left_behind = fs::remove_file(&partial);
            return Err(error);
        }
        fs::rename(&partial, &path).map_err(|error| unwritable(&path)(NpzError::Io(error)))?;
        on_written(&path);
        written.push(path);
    }
    Ok(written)
}

fn medmnist_suite(data_set: &str, assets: &Assets) -> Result<Suite, ExportError> {
    // The other suites are not of any data set.
    let is_data_set = |name: &str| name.ends_with("mnist");
    let suite = Suite::with_assets(data_set, assets).filter(|suite| is_data_set(suite.name()));
    suite.ok_or_else(|| {
        let allowed: Vec<&str> = Suite::names().iter().copied().filter(|name| is_data_set(name)).collect();
        ExportError::DataSet { found: data_set.to_owned(), allowed: allowed.join(", ") }
    })
}

/// What corrupts one image after another.
struct Hand {
    streams: Streams,
    scratch: Scratch,
    grey: bool,
}

fn write_one(source: &mut Source, entry: &Entry, hand: &mut Hand, path: &Path) -> Result<(), ExportError> {
    let failed = unwritable(path);
    let mut out = NpzWriter::create(path).map_err(&failed)?;
    out.start(IMAGES, &five_times(&source.images)).map_err(&failed)?;
    for severity in Severity::ALL {
        source.for_each_row(IMAGES, |row, shape| {
            let image = shape.image(row);
            let mut corrupted = image.clone();
            let kind = entry.at(severity);
            apply(kind, hand.grey, &image, &mut hand.streams, &mut hand.scratch, &mut corrupted);
            out.write_rows(&shape.row(corrupted)).map_err(&failed)
        })?;
    }
    out.start(LABELS, &five_times(&source.labels)).map_err(&failed)?;
    for _severity in Severity::ALL {
        source.for_each_row(LABELS, |row, _| out.write_rows(row).map_err(&failed))?;
    }
    out.finish().map_err(&failed)
}

fn five_times(header: &NpyHeader) -> NpyHeader {
    let mut header = header.clone();
    header.shape[0] *= Severity::ALL.len() as u64;
    header
}

/// The data set's file, checked against the suite.
struct Source {
    path: PathBuf,
    shape: Shape,
    images: NpyHeader,
    labels: NpyHeader,
}

/// How a row of bytes is an image.
#[derive(Clone, Copy)]
struct Shape {
    width_px: u32,
    height_px: u32,
    grey: bool,
}

impl Source {
    fn open(path: &Path, suite: &Suite) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Source { path: path.to_owned(), source };
        let header = |member| {
            Ok(Npz::open(path).and_then(|npz| npz.into_rows(member)).map_err(failed)?.header().clone())
        };
        let (images, labels): (NpyHeader, NpyHeader) = (header(IMAGES)?, header(LABELS)?);
        let allowed = if suite.grey() {
            "|u1 of shape (n, height, width)"
        } else {
            "|u1 of shape (n, height, width, 3)"
        };
        let shape = Shape::of(&images, suite.grey()).ok_or_else(|| ExportError::Images {
            found: format!("{} of shape {:?}", images.descr, images.shape),
            allowed,
        })?;
        if labels.n_rows() != images.n_rows() {
            return Err(ExportError::Labels { found: labels.n_rows(), allowed: images.n_rows() });
        }
        Ok(Self { path: path.to_owned(), shape, images, labels })
    }

    /// Hands every row of an array to `work`, from the first one on.
    fn for_each_row(
        &mut self,
        member: &str,
        mut work: impl FnMut(&[u8], Shape) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let failed = |source| ExportError::Source { path: self.path.clone(), source };
        let mut rows = Npz::open(&self.path).and_then(|npz| npz.into_rows(member)).map_err(failed)?;
        let mut row = Vec::new();
        while rows.next_into(&mut row).map_err(failed)? {
            work(&row, self.shape)?;
        }
        Ok(())
    }
}

impl Shape {
    /// `None` when there is no such image, or five times the set could not be counted.
    fn of(images: &NpyHeader, grey: bool) -> Option<Self> {
        let (height, width) = match (images.shape.as_slice(), grey) {
            (&[_, height, width], true) | (&[_, height, width, 3], false) => (height, width),
            _ => return None,
        };
        let n_bytes = images.shape.iter().try_fold(5, |n: u64, &axis| n.checked_mul(axis));
        let fits = images.descr == "|u1" && height > 0 && width > 0 && n_bytes.is_some();
        let (width_px, height_px) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        fits.then_some(Self { width_px, height_px, grey })
    }

    /// Grey becomes three equal channels, which is what corruptions work on.
    fn image(self, row: &[u8]) -> Rgb8 {
        let values =
            if self.grey { row.iter().flat_map(|&value| [value; 3]).collect() } else { row.to_vec() };
        Rgb8::new(self.width_px, self.height_px, values).expect("a row has the size its shape says")
    }

    fn row(self, image: Rgb8) -> Vec<u8> {
        if self.grey {
            image.as_bytes().iter().step_by(Rgb8::CHANNELS).copied().collect()
        } else {
            image.into_bytes()
        }
    }
}

fn unwritable(path: &Path) -> impl Fn(NpzError) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Write { path: path.clone(), source }
}
