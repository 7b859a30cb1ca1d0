//! Pillow's resize to the nearest pixel.

use std::ops::Range;

use crate::pixels::Rgb8;

/// Columns `xs` and rows `ys` of `src` resized to `full`.
///
/// Reference: Pillow `Geometry.c`, `ImagingScaleAffine`: the place is added up step by step, so its rounding grows from
/// left to right.
pub(super) fn resize(src: &Rgb8, full: (u32, u32), xs: Range<u32>, ys: Range<u32>) -> Rgb8 {
    let columns = places(src.width_px(), full.0, xs);
    let rows = places(src.height_px(), full.1, ys);
    let stride = src.width_px() as usize * Rgb8::CHANNELS;
    let mut data = Vec::with_capacity(rows.len() * columns.len() * Rgb8::CHANNELS);
    for y in &rows {
        let row = &src.as_bytes()[y * stride..(y + 1) * stride];
        for x in &columns {
            data.extend_from_slice(&row[x * Rgb8::CHANNELS..(x + 1) * Rgb8::CHANNELS]);
        }
    }
    Rgb8::new(columns.len() as u32, rows.len() as u32, data).expect("the windows are not empty")
}

/// The input positions of a range of output positions.
fn places(n_in: u32, n_out: u32, window: Range<u32>) -> Vec<usize> {
    let step = f64::from(n_in) / f64::from(n_out);
    let mut place = step * 0.5;
    let mut found = Vec::with_capacity(window.len());
    for out in 0..window.end {
        if out >= window.start {
            found.push((place as u32).min(n_in - 1) as usize);
        }
        place += step;
    }
    found
}
