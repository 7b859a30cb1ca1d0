//! Component rows to RGB.
//!
//! Reference: libjpeg's YCbCr to RGB: full-range BT.601 in 16-bit fixed point, clipped.

const FRACTION_BITS: u32 = 16;
const HALF: i32 = 1 << (FRACTION_BITS - 1);
/// Pixels converted together: enough to fill the widest vectors, and a divisor of every plane's row length.
const CHUNK: usize = 64;

/// Three equal channels.
#[inline(always)]
pub(super) fn grey_row(grey: &[u8], rgb: &mut [u8]) {
    for (rgb, &grey) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(grey) {
        *rgb = [grey; 3];
    }
}

/// Interleaves three planes.
#[inline(always)]
pub(super) fn rgb_row(planes: [&[u8]; 3], rgb: &mut [u8]) {
    let [r, g, b] = planes;
    for (((rgb, &r), &g), &b) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(r).zip(g).zip(b) {
        *rgb = [r, g, b];
    }
}

/// Converts one row of luma and chroma, each at least as long as the row rounded up to whole chunks.
#[inline(always)]
pub(super) fn ycbcr_row(planes: [&[u8]; 3], rgb: &mut [u8]) {
    let [y, cb, cr] = planes.map(|plane| plane.as_chunks::<CHUNK>().0);
    let (mut r, mut g, mut b) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
    for (((rgb, y), cb), cr) in rgb.chunks_mut(3 * CHUNK).zip(y).zip(cb).zip(cr) {
        // Plane by plane first: interleaving and arithmetic in one loop would not be vectorised.
        for i in 0..CHUNK {
            [r[i], g[i], b[i]] = ycbcr(y[i], cb[i], cr[i]);
        }
        rgb_row([&r, &g, &b], rgb);
    }
}

/// Converts one pixel.
#[inline(always)]
pub(crate) fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let clip = |value: i32| value.clamp(0, 255) as u8;
    [
        clip(y + ((91_881 * cr + HALF) >> FRACTION_BITS)), // 1.40200
        clip(y + ((-22_554 * cb - 46_802 * cr + HALF) >> FRACTION_BITS)), // -0.34414, -0.71414
        clip(y + ((116_130 * cb + HALF) >> FRACTION_BITS)), // 1.77200
    ]
}
