//! Saturation in HSV.

/// Adds `shift` to the saturation of every pixel.
///
/// Order: `f`; RGB to HSV; saturation plus `shift`, clipped to `[0, 1]`; back; times 255; truncate. Greys have
/// hue 0 and turn red.
///
/// Reference: `Saturate`; `skimage.color.rgb2hsv` and `hsv2rgb`.
pub(super) fn saturate(shift: f64, image: &[u8], out: &mut [u8]) {
    let fractions: [f64; 256] = std::array::from_fn(|v| v as f64 / 255.0);
    for (to, from) in out.chunks_exact_mut(3).zip(image.chunks_exact(3)) {
        let rgb = [0, 1, 2].map(|c| fractions[usize::from(from[c])]);
        to.copy_from_slice(&shifted(rgb, shift).map(|f| (f * 255.0) as u8));
    }
}

fn shifted([r, g, b]: [f64; 3], shift: f64) -> [f64; 3] {
    let value = r.max(g).max(b);
    let delta = value - r.min(g).min(b);
    let (saturation, sixths) = if delta == 0.0 {
        (0.0, 0.0)
    } else {
        // Where two channels are the maximum, the later one decides.
        let sixths = if b == value {
            4.0 + (r - g) / delta
        } else if g == value {
            2.0 + (b - r) / delta
        } else {
            (g - b) / delta
        };
        (delta / value, sixths)
    };
    let turn = sixths / 6.0;
    let hue = if turn < 0.0 { turn + 1.0 } else { turn };
    let saturation = (saturation + shift).clamp(0.0, 1.0);

    let sector = (hue * 6.0) as i32;
    let phase = hue * 6.0 - f64::from(sector);
    let p = value * (1.0 - saturation);
    let q = value * (1.0 - phase * saturation);
    let t = value * (1.0 - (1.0 - phase) * saturation);
    match sector {
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        5 => [value, p, q],
        _ => [value, t, p],
    }
}

#[cfg(test)]
mod tests {
    use super::saturate;

    #[test]
    fn greys_turn_red() {
        let mut out = [0; 6];
        saturate(0.25, &[128, 128, 128, 255, 255, 255], &mut out);
        assert_eq!(out, [128, 96, 96, 255, 191, 191]);
    }
}
