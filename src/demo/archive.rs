//! Writes the drawn crops as a small object store: images and the manifest that lists them.

use std::path::{Path, PathBuf};
use std::{fmt::Write as _, fs, io};

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use sha2::{Digest, Sha256};

use super::draw::{CellClass, draw_crop};
use super::rng::Draws;
use t3b_image::Rgb8;

/// Name of the manifest in the archive's root.
pub const MANIFEST_FILE: &str = "manifest.csv";

/// Folder of the images in the archive's root.
const IMAGE_FOLDER: &str = "images";

/// High enough to keep the drawing's detail, low enough to leave JPEG's traces as cameras do.
const JPEG_QUALITY: u8 = 92;

/// Keeps the shuffle's numbers apart from those of any crop.
const SHUFFLE_INDEX: u64 = u64::MAX;

/// Trouble while an archive is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A folder or file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An image could not be encoded.
    #[error("cannot encode {name}")]
    Encode {
        /// The image's place in the archive.
        name: String,
        /// The encoder's answer.
        source: image::ImageError,
    },
}

/// What [`write_archive`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Where the manifest lies.
    pub manifest: PathBuf,
    /// Images, which is also the number of manifest rows.
    pub n_images: usize,
    /// Images per class, in label order.
    pub n_per_class: [usize; 4],
    /// Bytes of all images together.
    pub image_bytes: u64,
    /// Lower-case hex SHA-256 of the manifest; since that lists every image's own, it names the archive.
    pub manifest_sha256: String,
}

/// Writes an archive of `n_images` drawn crops and its manifest under `out_dir`.
///
/// Classes take turns, so their counts differ by at most one; the rows are then shuffled. Seven of ten
/// images are PNG, the rest JPEG. The manifest's columns are `uri, sample_id, label_idx, label, split,
/// sha256, bytes`; a URI is relative to the manifest. Files that are there already are replaced.
///
/// # Errors
/// When a file cannot be written or an image cannot be encoded; what was written stays.
pub fn write_archive(out_dir: &Path, seed: u64, n_images: usize) -> Result<ArchiveSummary, ArchiveError> {
    let folder = out_dir.join(IMAGE_FOLDER);
    fs::create_dir_all(&folder).map_err(|source| ArchiveError::Write { path: folder, source })?;
    let mut manifest = String::from("uri,sample_id,label_idx,label,split,sha256,bytes\n");
    let mut n_per_class = [0; 4];
    let mut image_bytes = 0;
    for (row, index) in shuffled(seed, n_images).into_iter().enumerate() {
        let class = CellClass::ALL[index % CellClass::ALL.len()];
        let format = Format::of(seed, index);
        let uri = format!("{IMAGE_FOLDER}/{row:05}.{}", format.extension());
        let encoded = format
            .encode(&draw_crop(class, seed, index as u64))
            .map_err(|source| ArchiveError::Encode { name: uri.clone(), source })?;
        write(out_dir.join(&uri), &encoded)?;
        let (label_idx, label, sha256, bytes) =
            (class.label_idx(), class.name(), sha256_hex(&encoded), encoded.len());
        // Neither the names nor the ids below tell the class: they count shuffled rows.
        let line = format!("{uri},demo-{row:05},{label_idx},{label},test,{sha256},{bytes}\n");
        manifest.push_str(&line);
        n_per_class[label_idx] += 1;
        image_bytes += bytes as u64;
    }
    let path = out_dir.join(MANIFEST_FILE);
    // Last, so that a folder with a manifest is a whole archive.
    write(path.clone(), manifest.as_bytes())?;
    let manifest_sha256 = sha256_hex(manifest.as_bytes());
    Ok(ArchiveSummary { manifest: path, n_images, n_per_class, image_bytes, manifest_sha256 })
}

/// The numbers `0..n` in an order that the seed decides (Fisher-Yates).
fn shuffled(seed: u64, n: usize) -> Vec<usize> {
    let mut draws = Draws::new(seed, SHUFFLE_INDEX);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, draws.below(last as u64 + 1) as usize);
    }
    order
}

/// How one image of the archive is stored.
#[derive(Debug, Clone, Copy)]
enum Format {
    Png,
    Jpeg,
}

impl Format {
    /// Drawn from the index, apart from the crop's own numbers, so that it tells nothing of the class.
    fn of(seed: u64, index: usize) -> Self {
        let jpeg = Draws::new(!seed, index as u64).chance(0.3);
        if jpeg { Self::Jpeg } else { Self::Png }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }

    fn encode(self, crop: &Rgb8) -> Result<Vec<u8>, image::ImageError> {
        let mut encoded = Vec::new();
        let (pixels, width, height, colour) =
            (crop.as_bytes(), crop.width_px(), crop.height_px(), ExtendedColorType::Rgb8);
        match self {
            Self::Png => PngEncoder::new(&mut encoded).write_image(pixels, width, height, colour)?,
            Self::Jpeg => {
                JpegEncoder::new_with_quality(&mut encoded, JPEG_QUALITY)
                    .write_image(pixels, width, height, colour)?;
            }
        }
        Ok(encoded)
    }
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<(), ArchiveError> {
    fs::write(&path, bytes).map_err(|source| ArchiveError::Write { path, source })
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_bytes() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let a = write_archive(first.path(), 5, 12).unwrap();
        let b = write_archive(second.path(), 5, 12).unwrap();
        assert_eq!((&a.manifest_sha256, a.image_bytes), (&b.manifest_sha256, b.image_bytes));
        let c = write_archive(second.path(), 6, 12).unwrap();
        assert_ne!(a.manifest_sha256, c.manifest_sha256);
    }

    #[test]
    fn the_manifest_tells_the_truth_about_every_object() {
        let folder = tempfile::tempdir().unwrap();
        let summary = write_archive(folder.path(), 9, 22).unwrap();
        assert_eq!(summary.n_per_class, [6, 6, 5, 5]);
        let manifest = fs::read_to_string(&summary.manifest).unwrap();
        let mut lines = manifest.lines();
        assert_eq!(lines.next(), Some("uri,sample_id,label_idx,label,split,sha256,bytes"));
        let mut total = 0;
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let object = fs::read(folder.path().join(fields[0])).unwrap();
            assert_eq!(fields[3], CellClass::ALL[fields[2].parse::<usize>().unwrap()].name());
            assert_eq!((fields[5], fields[6]), (&*sha256_hex(&object), &*object.len().to_string()));
            total += object.len() as u64;
        }
        assert_eq!((manifest.lines().count() - 1, total), (summary.n_images, summary.image_bytes));
    }

    #[test]
    fn both_formats_decode_to_the_size_that_was_drawn() {
        let crop = draw_crop(CellClass::WhiteBloodCell, 1, 2);
        for format in [Format::Png, Format::Jpeg] {
            let decoded = image::load_from_memory(&format.encode(&crop).unwrap()).unwrap().to_rgb8();
            assert_eq!(decoded.dimensions(), (crop.width_px(), crop.height_px()));
            let exact = decoded.as_raw() == crop.as_bytes();
            assert_eq!(exact, matches!(format, Format::Png));
        }
    }

    #[test]
    fn the_bytes_are_the_same_on_every_machine() {
        let crop = draw_crop(CellClass::RedBloodCell, 2024, 0);
        assert_eq!(
            sha256_hex(crop.as_bytes()),
            "3eda253076f11eab5c3a7ffab13947f7e6b9abf997d28249c39d83a58b75d9b9"
        );
    }
}
