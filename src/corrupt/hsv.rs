//! Changes of saturation or value in HSV.

/// Hue in `[0, 1)`, saturation and value in `[0, 1]`.
#[derive(Clone, Copy, Debug)]
struct Hsv {
    hue: f64,
    saturation: f64,
    value: f64,
}

/// Replaces the saturation `s` of every pixel by `factor * s + shift`, clipped.
///
/// Order: `f`; RGB to HSV; the change; back; times 255; truncate. Greys have hue 0 and turn red.
///
/// Reference: `Saturate` of medmnistc (with factor 1) and `saturate` of ImageNet-C.
pub(super) fn saturate(factor: f64, shift: f64, image: &[u8], out: &mut [u8]) {
    map(image, out, |hsv| Hsv { saturation: (hsv.saturation * factor + shift).clamp(0.0, 1.0), ..hsv });
}

/// Adds `shift` to the value of every pixel, clipped. Order as in [`saturate`].
///
/// Reference: `brightness` of ImageNet-C.
pub(super) fn brighten(shift: f64, image: &[u8], out: &mut [u8]) {
    map(image, out, |hsv| Hsv { value: (hsv.value + shift).clamp(0.0, 1.0), ..hsv });
}

fn map(image: &[u8], out: &mut [u8], change: impl Fn(Hsv) -> Hsv) {
    let fractions: [f64; 256] = std::array::from_fn(|v| v as f64 / 255.0);
    for (to, from) in out.chunks_exact_mut(3).zip(image.chunks_exact(3)) {
        let hsv = to_hsv([0, 1, 2].map(|c| fractions[usize::from(from[c])]));
        to.copy_from_slice(&to_rgb(change(hsv)));
    }
}

/// Reference: `skimage.color.rgb2hsv`.
fn to_hsv([r, g, b]: [f64; 3]) -> Hsv {
    let value = r.max(g).max(b);
    let delta = value - r.min(g).min(b);
    if delta == 0.0 {
        return Hsv { hue: 0.0, saturation: 0.0, value };
    }
    // Where two channels are the maximum, the later one decides.
    let (offset, difference) = if b == value {
        (4.0, r - g)
    } else if g == value {
        (2.0, b - r)
    } else {
        (0.0, g - b)
    };
    let turn = (offset + difference / delta) / 6.0;
    Hsv { hue: if turn < 0.0 { turn + 1.0 } else { turn }, saturation: delta / value, value }
}

/// Levels of the three channels, truncated.
///
/// Reference: `skimage.color.hsv2rgb`.
fn to_rgb(Hsv { hue, saturation, value }: Hsv) -> [u8; 3] {
    /// Which of value, p, q and t each channel takes, by sixth of the hue circle.
    const ORDERS: [[usize; 3]; 8] =
        [[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2], [0, 3, 1], [0, 3, 1]];
    let sector = (hue * 6.0) as i32;
    let phase = hue * 6.0 - f64::from(sector);
    let p = value * (1.0 - saturation);
    let q = value * (1.0 - phase * saturation);
    let t = value * (1.0 - (1.0 - phase) * saturation);
    // Looked up and not branched on: in a colourful image no branch predictor knows the hue.
    let levels = [value, p, q, t].map(|f| (f * 255.0) as u8);
    ORDERS[(sector & 7) as usize].map(|k| levels[k])
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
