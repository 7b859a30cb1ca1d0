//! Elastic deformation: a random affine map, then a smooth random displacement.

use super::blur::reflect_101;
use super::blur::smooth::{Border, Filter};
use super::streams::Streams;
use t3b_image::Rgb8;

/// How far things move, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elasticity {
    /// Scale of the smoothed displacement.
    pub displacement_px: f64,
    /// Standard deviation of its smoothing.
    pub sigma_px: f64,
    /// Largest shift of each of the three points that fix the affine map, along each axis.
    pub affine_px: f64,
}

/// Fields, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    fractions: Vec<f32>,
    warped: Vec<f32>,
    dx: Vec<f64>,
    dy: Vec<f64>,
    filter: Filter,
}

/// Deforms the image.
///
/// Order: draw three shifted points and warp by the affine map they fix, linearly in steps of 1/32 pixel,
/// borders mirrored without repeating the edge; draw and smooth a column and a row displacement per pixel, and
/// sample linearly, borders mirrored with the edge repeated; clip; times 255; truncate.
///
/// Reference: `elastic_transform` of ImageNet-C; OpenCV `warpAffine`, SciPy `map_coordinates(order=1)`.
pub(super) fn elastic(
    elasticity: &Elasticity,
    image: &Rgb8,
    streams: &mut Streams,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let Buffers { fractions, warped, dx, dy, filter } = buffers;
    fractions.clear();
    fractions.extend(image.as_bytes().iter().map(|&level| f32::from(level) / 255.0));
    let inverse = random_affine(elasticity.affine_px as f32, width, height, streams);
    warp(&inverse, fractions, width, warped);
    for field in [&mut *dx, &mut *dy] {
        field.clear();
        field.extend((0..width * height).map(|_| streams.uniform(-1.0, 1.0)));
        filter.run(elasticity.sigma_px, 3.0, Border::Mirror, 1, width, field);
        field.iter_mut().for_each(|d| *d = f64::from((*d * elasticity.displacement_px) as f32));
    }
    for (i, to) in out.as_bytes_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i % width) as f64 + dx[i], (i / width) as f64 + dy[i]);
        for (to, f) in to.iter_mut().zip(sample(warped, x, y, width, height)) {
            *to = (f * 255.0) as u8;
        }
    }
}

/// Rows of an affine map: `x' = m[0] x + m[1] y + m[2]`.
type Affine = [[f64; 3]; 2];

/// Draws where three points around the centre go, and returns the map from output to input positions.
fn random_affine(max_px: f32, width: usize, height: usize, streams: &mut Streams) -> Affine {
    let (cx, cy) = ((width / 2) as f32, (height / 2) as f32);
    let r = (width.min(height) / 3) as f32;
    let from = [[cx + r, cy + r], [cx + r, cy - r], [cx - r, cy - r]];
    let to =
        from.map(|point| point.map(|v| v + streams.uniform(-f64::from(max_px), f64::from(max_px)) as f32));
    // Solved in the output's corner 1, where the two edges of the input triangle are axes.
    if r == 0.0 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    }
    let wide = |p: [f32; 2]| p.map(f64::from);
    let (to, corner) = (to.map(wide), wide(from[1]));
    let edge = 2.0 * f64::from(r);
    let row = |axis: usize| {
        let along_y = (to[0][axis] - to[1][axis]) / edge;
        let along_x = (to[1][axis] - to[2][axis]) / edge;
        [along_x, along_y, to[1][axis] - along_x * corner[0] - along_y * corner[1]]
    };
    invert([row(0), row(1)])
}

/// Reference: the inversion in OpenCV `warpAffine`, which maps a singular matrix to zero.
fn invert([a, b]: Affine) -> Affine {
    let determinant = a[0] * b[1] - a[1] * b[0];
    let d = if determinant == 0.0 { 0.0 } else { 1.0 / determinant };
    let (m00, m01, m10, m11) = (b[1] * d, -a[1] * d, -b[0] * d, a[0] * d);
    [[m00, m01, -m00 * a[2] - m01 * b[2]], [m10, m11, -m10 * a[2] - m11 * b[2]]]
}

/// Samples at mapped positions rounded to 1/32 pixel, from partial products rounded to 1/1024.
fn warp(map: &Affine, image: &[f32], width: usize, out: &mut Vec<f32>) {
    const SCALE: f64 = 1024.0;
    let height = image.len() / 3 / width;
    let round = |v: f64| (v * SCALE).round_ties_even() as i64;
    out.clear();
    for y in 0..height {
        let [x0, y0] = map.map(|row| round(row[1] * y as f64 + row[2]) + 16);
        for x in 0..width {
            let (x32, y32) =
                ((x0 + round(map[0][0] * x as f64)) >> 5, (y0 + round(map[1][0] * x as f64)) >> 5);
            let (wx, wy) = ((x32 & 31) as f32 / 32.0, (y32 & 31) as f32 / 32.0);
            let at = |dx: i64, dy: i64, c: usize| {
                let column = reflect_101((x32 >> 5) as isize + dx as isize, width);
                let row = reflect_101((y32 >> 5) as isize + dy as isize, height);
                image[(row * width + column) * 3 + c]
            };
            out.extend((0..3).map(|c| {
                at(0, 0, c) * ((1.0 - wy) * (1.0 - wx))
                    + at(1, 0, c) * ((1.0 - wy) * wx)
                    + at(0, 1, c) * (wy * (1.0 - wx))
                    + at(1, 1, c) * (wy * wx)
            }));
        }
    }
}

/// Linear interpolation at any position.
fn sample(image: &[f32], x: f64, y: f64, width: usize, height: usize) -> [f32; 3] {
    let (x, y) = (fold(x, width), fold(y, height));
    let (wx, wy) = (x - x.floor(), y - y.floor());
    let columns = [0, 1].map(|d| Border::Mirror.index(x.floor() as isize + d, width));
    let rows = [0, 1].map(|d| Border::Mirror.index(y.floor() as isize + d, height));
    std::array::from_fn(|c| {
        let at = |row: usize, column: usize| f64::from(image[(row * width + column) * 3 + c]);
        let sum = at(rows[0], columns[0]) * (1.0 - wy) * (1.0 - wx)
            + at(rows[0], columns[1]) * (1.0 - wy) * wx
            + at(rows[1], columns[0]) * wy * (1.0 - wx)
            + at(rows[1], columns[1]) * wy * wx;
        sum as f32
    })
}

/// Folds a position beyond the border back to `(-1, n)`.
///
/// Reference: SciPy `map_coordinate`, mode `reflect`.
fn fold(position: f64, n: usize) -> f64 {
    let (n, period) = (n as f64, 2.0 * n as f64);
    if n == 1.0 {
        return 0.0;
    }
    if position < 0.0 {
        let turned =
            if position < -period { period * (-position / period).trunc() + position } else { position };
        if turned < -n { turned + period } else { turned.min(-1e-15).abs() - 1.0 }
    } else if position > n - 1.0 {
        let turned = position - period * (position / period).trunc();
        if turned >= n { period - turned - 1.0 } else { turned }
    } else {
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_elasticity_changes_nothing() {
        let image = Rgb8::new(5, 4, (0..60).map(|v| v * 4).collect()).unwrap();
        let mut out = Rgb8::filled(5, 4, [0; 3]);
        let still = Elasticity { displacement_px: 0.0, sigma_px: 1.0, affine_px: 0.0 };
        elastic(&still, &image, &mut Streams::numpy_compat(0), &mut Buffers::default(), &mut out);
        assert_eq!(out, image);
    }

    #[test]
    fn positions_fold_as_scipy_folds_them() {
        let folded = [-0.3, -1.3, -4.5, 2.5, 3.5, 7.25].map(|p| fold(p, 3));
        for (ours, scipys) in folded.into_iter().zip([-0.7, 0.3, 1.5, 2.5, 1.5, 1.25]) {
            assert!((ours - scipys).abs() < 1e-12, "{folded:?}");
        }
    }
}
