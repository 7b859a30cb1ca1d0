//! Changes of saturation or value in HSV.

use super::level;
use t3b_image::simd::widest;

/// Pixels converted together: every step below is one loop over them, which becomes vector instructions.
const N: usize = 64;

/// One number for each of the pixels.
type Lanes = [f64; N];

/// Replaces the saturation `s` of every pixel by `factor * s + shift`, clipped.
///
/// Order: `f`; RGB to HSV; the change; back; times 255; truncate. Greys have hue 0 and turn red.
///
/// Reference: `Saturate` of medmnistc (with factor 1) and `saturate` of ImageNet-C.
pub(super) fn saturate(factor: f64, shift: f64, image: &[u8], out: &mut [u8]) {
    widest(
        #[inline(always)]
        || map(image, out, |hsv| each(&mut hsv.saturation, |s| (s * factor + shift).clamp(0.0, 1.0))),
    );
}

/// Adds `shift` to the value of every pixel, clipped. Order as in [`saturate`].
///
/// Reference: `brightness` of ImageNet-C.
pub(super) fn brighten(shift: f64, image: &[u8], out: &mut [u8]) {
    widest(
        #[inline(always)]
        || map(image, out, |hsv| each(&mut hsv.value, |v| (v + shift).clamp(0.0, 1.0))),
    );
}

/// Sixths of the hue circle in `[0, 6]`, saturation and value in `[0, 1]`.
struct Hsv {
    sixths: Lanes,
    saturation: Lanes,
    value: Lanes,
}

#[inline(always)]
fn each(numbers: &mut Lanes, change: impl Fn(f64) -> f64) {
    numbers.iter_mut().for_each(|number| *number = change(*number));
}

#[inline(always)]
fn map(image: &[u8], out: &mut [u8], change: impl Fn(&mut Hsv)) {
    let (mut to, mut from) = ([[0u8; 3]; N], [[0u8; 3]; N]);
    for (out, image) in out.chunks_mut(3 * N).zip(image.chunks(3 * N)) {
        from.as_flattened_mut()[..image.len()].copy_from_slice(image);
        let mut hsv = to_hsv(&from);
        change(&mut hsv);
        to_rgb(&hsv, &mut to);
        out.copy_from_slice(&to.as_flattened()[..out.len()]);
    }
}

/// Reference: `skimage.color.rgb2hsv`.
#[inline(always)]
fn to_hsv(pixels: &[[u8; 3]; N]) -> Hsv {
    let mut planes = [[0.0; N]; 3];
    for (c, plane) in planes.iter_mut().enumerate() {
        for (f, pixel) in plane.iter_mut().zip(pixels) {
            *f = f64::from(pixel[c]) / 255.0;
        }
    }
    let [reds, greens, blues] = planes;
    let mut hsv = Hsv { sixths: [0.0; N], saturation: [0.0; N], value: [0.0; N] };
    for i in 0..N {
        let (r, g, b) = (reds[i], greens[i], blues[i]);
        let value = max(max(r, g), b);
        let delta = value - min(min(r, g), b);
        // Where two channels are the maximum, the later one decides.
        let (offset, difference) = if b == value {
            (4.0, r - g)
        } else if g == value {
            (2.0, b - r)
        } else {
            (0.0, g - b)
        };
        let turn = (offset + difference / delta) / 6.0;
        let hue = if turn < 0.0 { turn + 1.0 } else { turn };
        let is_grey = delta == 0.0;
        hsv.sixths[i] = if is_grey { 0.0 } else { hue * 6.0 };
        hsv.saturation[i] = if is_grey { 0.0 } else { delta / value };
        hsv.value[i] = value;
    }
    hsv
}

// Without the care `f64::max` takes of numbers that are not.
#[inline(always)]
fn max(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[inline(always)]
fn min(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Levels of the three channels, truncated.
///
/// Reference: `skimage.color.hsv2rgb`.
#[inline(always)]
fn to_rgb(hsv: &Hsv, pixels: &mut [[u8; 3]; N]) {
    let (mut reds, mut greens, mut blues) = ([0; N], [0; N], [0; N]);
    for i in 0..N {
        let (sixths, saturation, value) = (hsv.sixths[i], hsv.saturation[i], hsv.value[i]);
        let sector = level::whole(sixths);
        let phase = sixths - f64::from(sector);
        let p = value * (1.0 - saturation);
        let q = value * (1.0 - phase * saturation);
        let t = value * (1.0 - (1.0 - phase) * saturation);
        let [v, p, q, t] = [value, p, q, t].map(|f| level::whole(f * 255.0));
        // Chosen and not branched on: no branch predictor knows the hue. Sector 6 is 0 again.
        reds[i] = choose(sector, [v, q, p, p, t, v, v]);
        greens[i] = choose(sector, [t, v, v, q, p, p, t]);
        blues[i] = choose(sector, [p, p, t, v, v, q, p]);
    }
    for (pixel, ((r, g), b)) in pixels.iter_mut().zip(reds.into_iter().zip(greens).zip(blues)) {
        *pixel = [r, g, b].map(|level| level as u8);
    }
}

#[inline(always)]
fn choose(sector: u32, levels: [u32; 7]) -> u32 {
    (1..).zip(&levels[1..]).fold(levels[0], |chosen, (k, &level)| if sector == k { level } else { chosen })
}

#[cfg(test)]
mod tests {
    use super::saturate;

    #[test]
    fn greys_turn_red() {
        let mut out = [0; 6];
        saturate(1.0, 0.25, &[128, 128, 128, 255, 255, 255], &mut out);
        assert_eq!(out, [128, 96, 96, 255, 191, 191]);
    }
}
