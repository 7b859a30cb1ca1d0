//! Snow: blown flakes and a whitened scene.

use super::blur::motion::{self, line_taps};
use super::blur::zoom::{Sample, axis_samples};
use super::streams::Streams;
use t3b_image::Rgb8;

/// What falls, and how the scene whitens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snowfall {
    /// Mean of the normal noise flakes are cut from, as a fraction of full scale.
    pub mean: f64,
    /// Standard deviation of that noise.
    pub std: f64,
    /// Enlargement of the noise: the size of a flake in pixels.
    pub zoom: f64,
    /// Noise below this is no flake.
    pub threshold: f64,
    /// Half the length of a flake's trace.
    pub radius_px: f64,
    /// Standard deviation of the weights along the trace.
    pub sigma_px: f64,
    /// Share of the scene that keeps its colour.
    pub mix: f64,
}

/// Flakes, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    noise: Vec<f64>,
    columns: Vec<Sample>,
    rows: Vec<Sample>,
    flakes: Vec<u8>,
    blown: Vec<u8>,
    motion: motion::Buffers,
}

/// Lays flakes, and the same flakes turned by half a turn, over a whitened scene.
///
/// Order: normal noise per pixel; enlarged about the centre; cut at the threshold; truncated to levels; blurred
/// along an angle in `[-135, -45)` degrees. The scene is mixed with its luma, brightened, where that is
/// lighter; the two layers of flakes are added; clip; times 255; truncate.
///
/// Reference: `snow` of ImageNet-C.
pub(super) fn snow(
    fall: &Snowfall,
    image: &Rgb8,
    streams: &mut Streams,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    buffers.noise.resize(width * height, 0.0);
    streams.normals(&mut buffers.noise);
    buffers.noise.iter_mut().for_each(|g| *g = fall.mean + fall.std * *g);
    cut_flakes(fall, width, buffers);
    let Buffers { flakes, blown, motion, .. } = buffers;
    let angle_deg = streams.uniform(-135.0, -45.0);
    blown.resize(width * height, 0);
    line_taps(fall.radius_px, fall.sigma_px, angle_deg, motion);
    motion::along_line(flakes, 1, width, motion, blown);

    let turned = blown.iter().rev();
    let pixels = out.as_bytes_mut().chunks_exact_mut(3).zip(image.as_bytes().chunks_exact(3));
    for (((to, from), flake), turned_flake) in pixels.zip(blown.iter()).zip(turned) {
        let rgb: [f32; 3] = std::array::from_fn(|c| f32::from(from[c]) / 255.0);
        let whitened = luma(rgb) * 1.5 + 0.5;
        for (to, f) in to.iter_mut().zip(rgb) {
            let scene = fall.mix as f32 * f + (1.0 - fall.mix) as f32 * f.max(whitened);
            let layers = f64::from(*flake) / 255.0;
            let lit = f64::from(scene) + layers + f64::from(*turned_flake) / 255.0;
            *to = (lit * 255.0) as u8;
        }
    }
}

/// Enlarges the noise, drops what is below the threshold and truncates the rest to levels.
fn cut_flakes(fall: &Snowfall, width: usize, buffers: &mut Buffers) {
    let Buffers { noise, columns, rows, flakes, .. } = buffers;
    axis_samples(width, fall.zoom, columns);
    axis_samples(noise.len() / width, fall.zoom, rows);
    flakes.clear();
    for row in rows.iter() {
        let line = |y: usize| &noise[y * width..][..width];
        let (above, below) = (line(row.below), line(row.above));
        flakes.extend(columns.iter().map(|column| {
            let along = |line: &[f64]| {
                line[column.below] * (1.0 - column.weight) + line[column.above] * column.weight
            };
            let inside = !(row.outside || column.outside);
            let height = along(above) * (1.0 - row.weight) + along(below) * row.weight;
            if inside && height >= fall.threshold { (height * 255.0) as u8 } else { 0 }
        }));
    }
}

/// Reference: OpenCV `COLOR_RGB2GRAY` in single precision, with its fused steps.
fn luma([r, g, b]: [f32; 3]) -> f32 {
    b.mul_add(0.114, g.mul_add(0.587, r * 0.299))
}
