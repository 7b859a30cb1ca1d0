//! Colour conversion and chroma resampling, a row at a time.
//!
//! Rows of `i16` hold planar samples; YCbCr samples are centred (minus 128).

use crate::words::widen;

/// Splits interleaved RGB into centred Y, Cb and Cr; `words` is working memory.
///
/// Reference: libjpeg `rgb_ycc_convert`, 16-bit fixed point.
#[inline(always)]
pub(super) fn rgb_to_ycc(rgb: &[u8], words: &mut Vec<u32>, y: &mut [i16], cb: &mut [i16], cr: &mut [i16]) {
    const HALF: i32 = 1 << 15;
    words.resize(rgb.len() / 3, 0);
    widen(rgb, words);
    let outs = y.iter_mut().zip(cb.iter_mut()).zip(cr.iter_mut());
    for (&word, ((y, cb), cr)) in words.iter().zip(outs) {
        let [r, g, b] = [word, word >> 8, word >> 16].map(|channel| (channel & 0xff) as i32);
        *y = ((19595 * r + 38470 * g + 7471 * b + HALF) >> 16) as i16 - 128;
        // libjpeg rounds chroma with one unit less than a half, so that 0 to 255 cannot overflow.
        *cb = ((-11059 * r - 21709 * g + (b << 15) + HALF - 1) >> 16) as i16;
        *cr = (((r << 15) - 27439 * g - 5329 * b + HALF - 1) >> 16) as i16;
    }
}

/// Joins centred Y, Cb and Cr into interleaved RGB, clipped; `planes` is working memory.
///
/// Reference: libjpeg `ycc_rgb_convert`. Its constants 1.402, 1.772 and 0.71414 are split into a whole and a
/// 16-bit fraction, which gives the same integers.
#[inline(always)]
pub(super) fn ycc_to_rgb(y: &[i16], cb: &[i16], cr: &[i16], planes: &mut [Vec<u8>; 3], rgb: &mut [u8]) {
    let fraction = |product: i32| ((product + 32768) >> 16) as i16;
    planes.iter_mut().for_each(|plane| plane.resize(y.len(), 0));
    // Planar first: a loop that also interleaves does one pixel at a time.
    let [reds, greens, blues] = &mut *planes;
    let outs = reds.iter_mut().zip(greens).zip(blues);
    for (((r, g), b), ((&y, &cb), &cr)) in outs.zip(y.iter().zip(cb).zip(cr)) {
        let (y, wide_cb, wide_cr) = (y + 128, i32::from(cb), i32::from(cr));
        *r = (y + cr + fraction(26345 * wide_cr)).clamp(0, 255) as u8;
        *g = (y - cr + fraction(18734 * wide_cr - 22554 * wide_cb)).clamp(0, 255) as u8;
        *b = (y + 2 * cb + fraction(-14942 * wide_cb)).clamp(0, 255) as u8;
    }
    let [reds, greens, blues] = &*planes;
    for (((pixel, r), g), b) in rgb.chunks_exact_mut(3).zip(reds).zip(greens).zip(blues) {
        pixel.copy_from_slice(&[*r, *g, *b]);
    }
}

/// Averages two rows two by two, rounding down and up in turn.
///
/// Reference: libjpeg `h2v2_downsample`. Subtracting 128 first changes nothing: it is a multiple of the divisor.
#[inline(always)]
pub(super) fn halve(upper: &[i16], lower: &[i16], out: &mut [i16]) {
    let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
    for (i, (to, (u, l))) in out.iter_mut().zip(pairs).enumerate() {
        *to = (u[0] + u[1] + l[0] + l[1] + 1 + (i & 1) as i16) >> 2;
    }
}

/// Doubles a row of `near.len()` samples, three quarters from `near` and one from `far` in each direction.
///
/// `out` holds `2 * near.len()` samples or one less; `sums` is working memory.
///
/// Reference: libjpeg `h2v2_fancy_upsample`, and `h2v2_upsample` for up to two samples.
#[inline(always)]
pub(super) fn double(near: &[i16], far: &[i16], sums: &mut Vec<i16>, out: &mut [i16]) {
    let n = near.len();
    if n <= 2 {
        out.iter_mut().enumerate().for_each(|(i, to)| *to = near[i / 2]);
        return;
    }
    sums.clear();
    sums.extend(near.iter().zip(far).map(|(&near, &far)| 3 * near + far));
    out[0] = (4 * sums[0] + 8) >> 4;
    for (pair, s) in out[1..].chunks_exact_mut(2).zip(sums.windows(2)) {
        pair[0] = (3 * s[0] + s[1] + 7) >> 4;
        pair[1] = (3 * s[1] + s[0] + 8) >> 4;
    }
    if out.len() == 2 * n {
        out[2 * n - 1] = (4 * sums[n - 1] + 7) >> 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greys_have_no_chroma_and_come_back() {
        for v in 0..=255u8 {
            let (mut y, mut cb, mut cr, mut rgb) = ([0], [0], [0], [0; 3]);
            rgb_to_ycc(&[v; 3], &mut Vec::new(), &mut y, &mut cb, &mut cr);
            assert_eq!((y, cb, cr), ([i16::from(v) - 128], [0], [0]));
            ycc_to_rgb(&y, &cb, &cr, &mut Default::default(), &mut rgb);
            assert_eq!(rgb, [v; 3]);
        }
    }
}
