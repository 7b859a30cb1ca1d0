//! Components of lower resolution to the image's, one row at a time.
//!
//! Reference: libjpeg's "fancy" upsampling. Halved axes are interpolated 3:1 between neighbouring samples, clamped at
//! the edges, with a rounding that alternates between neighbours; other ratios, and halved widths of one or two
//! samples, repeat samples.

use super::frame::Component;
use super::planes::Plane;

/// How one component reaches full resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upsampling {
    None,
    /// Interpolate columns.
    Columns,
    /// Interpolate rows.
    Rows,
    /// Interpolate both.
    Both,
    /// Repeat each sample this often across and down.
    Repeat(usize, usize),
}

impl Upsampling {
    /// Chooses as libjpeg does.
    pub(super) fn choose(component: &Component, max_sampling: (usize, usize)) -> Self {
        let ratio = (max_sampling.0 / component.sampling.0, max_sampling.1 / component.sampling.1);
        let is_wide = component.size.0 > 2;
        match ratio {
            (1, 1) => Self::None,
            (2, 1) if is_wide => Self::Columns,
            (1, 2) => Self::Rows,
            (2, 2) if is_wide => Self::Both,
            (across, down) => Self::Repeat(across, down),
        }
    }

    /// Row `y` of the image at full width, in `out` or straight from the plane; longer than the image is wide.
    ///
    /// `sums` is a buffer.
    #[inline(always)]
    pub(super) fn row<'a>(
        self,
        plane: &'a Plane,
        y: usize,
        sums: &mut Vec<u16>,
        out: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self {
            Self::None => return plane.row(y),
            Self::Columns => {
                weigh_rows(plane.row(y), plane.row(y), [1, 0], sums);
                interpolate(sums, [1, 2], 2, out);
            }
            Self::Rows => {
                weigh_rows(plane.row(y / 2), neighbour_row(plane, y), [3, 1], sums);
                let rounding = 1 + (y % 2) as u16;
                out.resize(sums.len() - 2, 0);
                for (out, &sum) in out.iter_mut().zip(&sums[1..]) {
                    *out = ((sum + rounding) >> 2) as u8;
                }
            }
            Self::Both => {
                weigh_rows(plane.row(y / 2), neighbour_row(plane, y), [3, 1], sums);
                interpolate(sums, [8, 7], 4, out);
            }
            Self::Repeat(across, down) => {
                out.clear();
                out.extend(
                    plane.row(y / down).iter().flat_map(|&sample| std::iter::repeat_n(sample, across)),
                );
            }
        }
        out
    }
}

/// The second-nearest row: above for even rows, below for odd ones.
fn neighbour_row(plane: &Plane, y: usize) -> &[u8] {
    plane.row(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 })
}

/// Fills `sums`, from its second value on, with the weighted sum of two rows; the first value repeats the second, as
/// the plane repeats its last column, so that edges need no case of their own.
#[inline(always)]
fn weigh_rows(near: &[u8], far: &[u8], weights: [u16; 2], sums: &mut Vec<u16>) {
    sums.resize(near.len() + 2, 0);
    for ((sum, &near), &far) in sums[1..].iter_mut().zip(near).zip(far) {
        *sum = weights[0] * u16::from(near) + weights[1] * u16::from(far);
    }
    sums[0] = sums[1];
}

/// Two samples for each inner value: 3/4 of it and 1/4 of the left, then of the right neighbour.
#[inline(always)]
fn interpolate(sums: &[u16], rounding: [u16; 2], n_bits: u32, out: &mut Vec<u8>) {
    let n = sums.len() - 2;
    out.resize(2 * n, 0);
    let neighbours = sums[..n].iter().zip(&sums[1..]).zip(&sums[2..]);
    for (pair, ((&left, &here), &right)) in out.as_chunks_mut::<2>().0.iter_mut().zip(neighbours) {
        let here = 3 * here;
        *pair =
            [((here + left + rounding[0]) >> n_bits) as u8, ((here + right + rounding[1]) >> n_bits) as u8];
    }
}
