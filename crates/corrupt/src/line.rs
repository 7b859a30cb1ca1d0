//! Anti-aliased lines.

use std::sync::LazyLock;

use super::math::exp;
use t3b_image::Rgb8;

/// Fraction bits of a coordinate.
pub(super) const SHIFT: u32 = 16;

/// One pixel.
const ONE: i64 = 1 << SHIFT;

/// Distance from the border within which nothing is drawn, so that the three pixels across always exist.
const BORDER_PX: i64 = 2;

/// A point in fixed point, [`SHIFT`] fraction bits.
pub(super) type Point = (i64, i64);

/// Coverage of a pixel by its distance from the line, in steps of 1/32 pixel: a Gaussian.
static COVERAGE: LazyLock<[i64; 64]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let z = (i as f64 - 15.5) / 24.0;
        (255.0 * exp(-z * z)) as i64
    })
});

/// Widening of a slanted line, by the slope in steps of 1/32.
static SLANT: LazyLock<[i64; 32]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let slope = (i as f64 + 0.5) / 32.0;
        (256.0 * ((1.0 + slope * slope) / 2.0).sqrt()) as i64
    })
});

/// Draws one anti-aliased segment of width 1.
///
/// Order: clip two pixels inside the image; walk along the longer axis; at each step blend three pixels across,
/// each twice, with weights for the distance, the slant and the two ends.
///
/// Reference: OpenCV 4 `LineAA`.
pub(super) fn draw(image: &mut Rgb8, from: Point, to: Point, colour: [u8; 3]) {
    let inset = |p: Point| (p.0 - BORDER_PX * ONE, p.1 - BORDER_PX * ONE);
    let room = |side: u32| (i64::from(side) - 2 * BORDER_PX - 1) << SHIFT;
    let limits = (room(image.width_px()), room(image.height_px()));
    let Some((from, to)) = clip(inset(from), inset(to), limits) else {
        return;
    };
    let steep = (to.0 - from.0).abs() <= (to.1 - from.1).abs();
    // From here on a point is (along, across).
    let turn = |p: Point| if steep { (p.1, p.0) } else { p };
    let (mut start, mut end) = (turn(from), turn(to));
    if end.0 < start.0 {
        std::mem::swap(&mut start, &mut end);
    }
    let step = ((end.1 - start.1) << SHIFT) / ((end.0 - start.0) | 1);
    end.0 += ONE;
    let n_steps = (end.0 >> SHIFT) - (start.0 >> SHIFT);
    let ends = EndWeights::new(slant(step), start.0, end.0);
    let mut across = start.1 + ((step * -(start.0 & (ONE - 1))) >> SHIFT) + ONE / 2;
    for done in 0..=n_steps {
        let weight = ends.at(done, n_steps - done);
        let distance = ((across >> (SHIFT - 5)) & 31) as usize;
        let coverage = [distance + 32, distance, 63 - distance];
        for (offset, i) in (-1..).zip(coverage) {
            let (x, y) = turn(((start.0 >> SHIFT) + done, (across >> SHIFT) + offset));
            let alpha = ((weight * COVERAGE[i]) >> 8) & 0xff;
            blend(image, x + BORDER_PX, y + BORDER_PX, colour, alpha);
        }
        across += step;
    }
}

fn slant(step: i64) -> i64 {
    let index = (step >> (SHIFT - 5)) & 63;
    let index = if step < 0 { index ^ 63 } else { index };
    if index & 32 != 0 { 256 } else { SLANT[index as usize] }
}

/// Weights of the first two, the middle and the last two steps, from the fractions at which the line ends.
struct EndWeights([i64; 9]);

impl EndWeights {
    fn new(slant: i64, start: i64, end: i64) -> Self {
        let fraction = |along: i64| (along >> (SHIFT - 7)) & 0x78;
        let (i, j) = (fraction(start), fraction(end));
        let first = ((0x78 - i) | 4) * slant;
        let last = (j | 4) * slant;
        let whole = slant << 7;
        let single = (((j - i) & 0x78) | 4) * slant;
        let double = (((j - i) + 0x80) | 4) * slant;
        let weights = [0, single, first, single, double, first + whole, last, last + whole, slant << 8];
        Self(weights.map(|weight| (weight >> 8) & 0x1ff))
    }

    fn at(&self, done: i64, left: i64) -> i64 {
        self.0[(3 * done.min(2) + left.min(2)) as usize]
    }
}

/// Moves a pixel towards `colour`, twice.
fn blend(image: &mut Rgb8, x: i64, y: i64, colour: [u8; 3], alpha: i64) {
    let (width, height) = (i64::from(image.width_px()), i64::from(image.height_px()));
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return;
    }
    let at = (y * width + x) as usize * 3;
    for (value, colour) in image.as_bytes_mut()[at..at + 3].iter_mut().zip(colour) {
        let towards = |v: i64| v + (((i64::from(colour) - v) * alpha + 127) >> 8);
        *value = towards(towards(i64::from(*value))) as u8;
    }
}

/// The part of a segment inside `0..=limits.0` by `0..=limits.1`; `None` when there is none.
///
/// Cohen and Sutherland, with divisions that truncate.
///
/// Reference: OpenCV `clipLine`.
fn clip(mut p: Point, mut q: Point, limits: Point) -> Option<(Point, Point)> {
    if limits.0 < 0 || limits.1 < 0 {
        return None;
    }
    let side = |v: i64, limit: i64| i64::from(v > limit) - i64::from(v < 0);
    let bound = |side: i64, limit: i64| if side < 0 { 0 } else { limit };
    let same = |a: i64, b: i64| a != 0 && a == b;
    if same(side(p.1, limits.1), side(q.1, limits.1)) || same(side(p.0, limits.0), side(q.0, limits.0)) {
        return None;
    }
    // The second end is cut against the first as already cut: that decides the last bits.
    let rows = side(p.1, limits.1);
    if rows != 0 {
        let y = bound(rows, limits.1);
        p = (p.0 + (y - p.1) * (q.0 - p.0) / (q.1 - p.1), y);
    }
    let rows = side(q.1, limits.1);
    if rows != 0 {
        let y = bound(rows, limits.1);
        q = (q.0 + (y - q.1) * (q.0 - p.0) / (q.1 - p.1), y);
    }
    if same(side(p.0, limits.0), side(q.0, limits.0)) {
        return None;
    }
    let columns = side(p.0, limits.0);
    if columns != 0 {
        let x = bound(columns, limits.0);
        p = (x, p.1 + (x - p.0) * (q.1 - p.1) / (q.0 - p.0));
    }
    let columns = side(q.0, limits.0);
    if columns != 0 {
        let x = bound(columns, limits.0);
        q = (x, q.1 + (x - q.0) * (q.1 - p.1) / (q.0 - p.0));
    }
    Some((p, q))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SlopeCorrTable and FilterTable of OpenCV 4, ends and middle.
    #[test]
    fn tables_are_opencvs() {
        assert_eq!((SLANT[0], SLANT[15], SLANT[31]), (181, 201, 254));
        assert_eq!(
            (COVERAGE[0], COVERAGE[15], COVERAGE[31], COVERAGE[32], COVERAGE[63]),
            (168, 254, 168, 158, 5)
        );
    }

    #[test]
    fn nothing_is_drawn_where_there_is_no_room() {
        for side in 1..12 {
            let mut image = Rgb8::filled(side, side, [9; 3]);
            draw(&mut image, (-ONE, -ONE), (20 * ONE, 13 * ONE), [255; 3]);
            draw(&mut image, (30 * ONE, 2 * ONE), (20 * ONE, 3 * ONE), [255; 3]);
            assert!(side > 4 || image.as_bytes().iter().all(|v| *v == 9));
        }
    }
}
