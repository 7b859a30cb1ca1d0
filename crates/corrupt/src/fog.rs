//! Fog: a plasma fractal laid over the image.

use super::streams::Streams;
use t3b_image::Rgb8;

/// Smallest side of the height map; larger images take the next power of two.
const MIN_SIDE: usize = 256;

/// Height map and sums, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    map: Vec<f64>,
    sums: Vec<f64>,
}

/// Adds `amount` times a height map in `[0, 1]` to every channel and rescales to the image's own maximum.
///
/// Formula: `trunc(255 * clip((f + amount * h) * max / (max + amount), 0, 1))`.
///
/// Reference: `fog` of ImageNet-C.
pub(super) fn fog(
    amount: f64,
    decay: f64,
    image: &Rgb8,
    streams: &mut Streams,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let side = width.max(height).next_power_of_two().max(MIN_SIDE);
    plasma(side, decay, streams, buffers);
    let max = image.as_bytes().iter().max().map_or(0.0, |&level| f64::from(level) / 255.0);
    let rows = image.as_bytes().chunks_exact(width * 3).zip(buffers.map.chunks_exact(side));
    for (to, (from, map)) in out.as_bytes_mut().chunks_exact_mut(width * 3).zip(rows) {
        for ((to, from), h) in to.chunks_exact_mut(3).zip(from.chunks_exact(3)).zip(map) {
            for (to, &level) in to.iter_mut().zip(from) {
                let f = f64::from(level) / 255.0 + amount * h;
                *to = (f * max / (max + amount) * 255.0) as u8;
            }
        }
    }
}

/// Makes a height map that wraps around, scaled to `[0, 1]`, by the diamond-square algorithm.
///
/// Each halving of the step fills the middles of squares and then the middles of their edges with the mean of
/// four neighbours plus a uniform number, whose range shrinks by `decay` per halving.
///
/// Reference: `plasma_fractal` of ImageNet-C. Its range is the wobble squared, because the wobble scales a
/// number drawn from `[-wobble, wobble)`.
fn plasma(side: usize, decay: f64, streams: &mut Streams, Buffers { map, sums }: &mut Buffers) {
    map.clear();
    map.resize(side * side, 0.0);
    let mut wobble = 100.0;
    let mut step = side;
    while step >= 2 {
        let (n, half) = (side / step, step / 2);
        let wrap = |i: usize| (i % n) * step;
        // Sums are grouped as the reference groups them, so that they round alike.
        grid(n, sums, |i, j| {
            let column = |j: usize| map[wrap(i) * side + wrap(j)] + map[wrap(i + 1) * side + wrap(j)];
            column(j) + column(j + 1)
        });
        place(sums, n, wobble, streams, |i, j, h| map[(i * step + half) * side + j * step + half] = h);
        grid(n, sums, |i, j| {
            let middle = |i: usize| map[(wrap(i) + half) * side + wrap(j) + half];
            let corner = |j: usize| map[wrap(i) * side + wrap(j)];
            (middle(i) + middle(i + n - 1)) + (corner(j) + corner(j + 1))
        });
        place(sums, n, wobble, streams, |i, j, h| map[i * step * side + j * step + half] = h);
        grid(n, sums, |i, j| {
            let middle = |j: usize| map[(wrap(i) + half) * side + wrap(j) + half];
            let corner = |i: usize| map[wrap(i) * side + wrap(j)];
            (middle(j) + middle(j + n - 1)) + (corner(i) + corner(i + 1))
        });
        place(sums, n, wobble, streams, |i, j, h| map[(i * step + half) * side + j * step] = h);
        step = half;
        wobble /= decay;
    }
    let low = map.iter().copied().fold(f64::INFINITY, f64::min);
    let high = map.iter().map(|h| h - low).fold(0.0, f64::max);
    map.iter_mut().for_each(|h| *h = (*h - low) / high);
}

/// Evaluates a sum at every point of an `n` by `n` grid, row by row.
fn grid(n: usize, sums: &mut Vec<f64>, sum: impl Fn(usize, usize) -> f64) {
    sums.clear();
    sums.extend((0..n * n).map(|k| sum(k / n, k % n)));
}

/// Sets every point of the grid to a quarter of its sum, wobbled.
fn place(sums: &[f64], n: usize, wobble: f64, streams: &mut Streams, mut set: impl FnMut(usize, usize, f64)) {
    for (k, sum) in sums.iter().enumerate() {
        set(k / n, k % n, sum / 4.0 + wobble * streams.uniform(-wobble, wobble));
    }
}
