//! One picture of a whole suite: a row per corruption, a column per severity.

use std::path::Path;
use std::{fs, io};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::font;
use crate::{Corruption, Scratch, Severity, Streams, Suite, apply};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

/// Side of a tile.
const TILE_PX: u32 = 112;

/// Longest side at which an image is corrupted; the suites are made for this one.
const SIDE_PX: u32 = 224;

/// Between tiles.
const GAP_PX: u32 = 6;

/// Around everything, and between labels and tiles.
const MARGIN_PX: u32 = 14;

/// Between lines of text, with room for what hangs below a line.
const LINE_GAP_PX: u32 = 12;

/// From one tile to the next.
const PITCH_PX: u32 = TILE_PX + GAP_PX;

const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [40; 3];

/// Shows what every corruption of `suite` does to `image` at every severity, beside the clean image.
///
/// Rows follow the registry, each labelled with the corruption's name; columns are clean and severities 1 to 5.
/// An image with a side over 224 px is first made 224 px square (or as its short side is, if shorter), as the
/// suites expect. Every tile has its own counter stream, so that one tile does not depend on another.
#[must_use]
pub fn contact_sheet(image: &Rgb8, suite: &Suite, seed: u64) -> Rgb8 {
    let mut resizer = Resizer::default();
    let image = prepared(image, suite.grey(), &mut resizer);
    let frame = Frame::of(suite);
    let mut sheet = frame.empty();
    frame.write_labels(suite, &mut sheet);
    let clean = resizer.short_side_then_center_crop(&image, TILE_PX);
    let (mut scratch, mut out) = (Scratch::default(), image.clone());
    for (entry, row) in suite.entries().iter().zip(0..) {
        frame.place(&clean, 0, row, &mut sheet);
        for severity in Severity::ALL {
            let mut streams = Streams::counter(seed, "sheet", entry.name, severity);
            apply(entry.at(severity), suite.grey(), &image, &mut streams, &mut scratch, &mut out);
            let tile = resizer.short_side_then_center_crop(&out, TILE_PX);
            frame.place(&tile, u32::from(severity.get()), row, &mut sheet);
        }
    }
    sheet
}

/// At the size and in the colours in which the suite would meet it.
fn prepared(image: &Rgb8, grey: bool, resizer: &mut Resizer) -> Rgb8 {
    let (short, long) = (image.width_px().min(image.height_px()), image.width_px().max(image.height_px()));
    let sized = if long > SIDE_PX {
        resizer.short_side_then_center_crop(image, short.min(SIDE_PX))
    } else {
        image.clone()
    };
    if !grey {
        return sized;
    }
    // A brightness of 1 changes nothing, which leaves the reduction to luma.
    let (nothing, mut luma) = (Corruption::Brightness { factor: 1.0 }, sized.clone());
    apply(&nothing, true, &sized, &mut Streams::numpy_compat(0), &mut Scratch::default(), &mut luma);
    luma
}

/// Where things are on a sheet.
struct Frame {
    left_px: u32,
    top_px: u32,
    n_rows: u32,
}

impl Frame {
    fn of(suite: &Suite) -> Self {
        let longest =
            suite.entries().iter().map(|entry| font::width_px(entry.name)).max().unwrap_or_default();
        // Two lines of column labels.
        let top_px = MARGIN_PX + 2 * font::HEIGHT_PX + LINE_GAP_PX + MARGIN_PX;
        Self { left_px: MARGIN_PX + longest + MARGIN_PX, top_px, n_rows: suite.entries().len() as u32 }
    }

    fn empty(&self) -> Rgb8 {
        let n_columns = 1 + Severity::ALL.len() as u32;
        let width_px = self.left_px + n_columns * PITCH_PX - GAP_PX + MARGIN_PX;
        let height_px = self.top_px + self.n_rows * PITCH_PX - GAP_PX + MARGIN_PX;
        Rgb8::filled(width_px, height_px, PAPER)
    }

    fn write_labels(&self, suite: &Suite, sheet: &mut Rgb8) {
        let centred = |text: &str, column: u32, n_columns: u32, top: u32, sheet: &mut Rgb8| {
            let width = n_columns * PITCH_PX - GAP_PX;
            let left = self.left_px + column * PITCH_PX + (width - font::width_px(text)) / 2;
            font::write(text, left, top, INK, sheet);
        };
        let n_severities = Severity::ALL.len() as u32;
        let second_line = MARGIN_PX + font::HEIGHT_PX + LINE_GAP_PX;
        centred("severity", 1, n_severities, MARGIN_PX, sheet);
        centred("clean", 0, 1, second_line, sheet);
        for severity in Severity::ALL {
            centred(&severity.get().to_string(), u32::from(severity.get()), 1, second_line, sheet);
        }
        for (entry, row) in suite.entries().iter().zip(0..) {
            let top = self.top_px + row * PITCH_PX + (TILE_PX - font::HEIGHT_PX) / 2;
            let left = self.left_px - MARGIN_PX - font::width_px(entry.name);
            font::write(entry.name, left, top, INK, sheet);
        }
    }

    fn place(&self, tile: &Rgb8, column: u32, row: u32, sheet: &mut Rgb8) {
        let (left, top) = (self.left_px + column * PITCH_PX, self.top_px + row * PITCH_PX);
        let stride = sheet.width_px() as usize * Rgb8::CHANNELS;
        let n_bytes = tile.width_px() as usize * Rgb8::CHANNELS;
        for (line, y) in tile.as_bytes().chunks_exact(n_bytes).zip(top as usize..) {
            let at = y * stride + left as usize * Rgb8::CHANNELS;
            sheet.as_bytes_mut()[at..at + n_bytes].copy_from_slice(line);
        }
    }
}

/// Writes an image as PNG, compressed well.
///
/// # Errors
/// When the file cannot be written.
pub fn write_png(path: &Path, image: &Rgb8) -> io::Result<()> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive)
        .write_image(image.as_bytes(), image.width_px(), image.height_px(), ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    fs::write(path, bytes)
}
