//! Black corners: the round field of view of a dermatoscope.

use t3b_image::Rgb8;

/// Blackens everything outside a disc about the centre.
///
/// The radius is `factor` times the distance from the centre to the nearest border, truncated.
///
/// Reference: `BlackCorner`; OpenCV `circle`, filled.
pub(super) fn black_corner(factor: f64, image: &Rgb8, out: &mut Rgb8) {
    let (width, height) = (i64::from(image.width_px()), i64::from(image.height_px()));
    let (cx, cy) = (width / 2, height / 2);
    // The centre never lies past the middle, so the near borders decide.
    let radius = (cx.min(cy) as f64 * factor) as i64;
    let row_len = width as usize * 3;
    out.as_bytes_mut().fill(0);
    let mut keep = |dy: i64, half_width: i64| {
        let start = (cx - half_width).clamp(0, width) as usize * 3;
        let end = (cx + half_width + 1).clamp(0, width) as usize * 3;
        for y in [cy - dy, cy + dy] {
            if (0..height).contains(&y) {
                let at = y as usize * row_len;
                out.as_bytes_mut()[at + start..at + end]
                    .copy_from_slice(&image.as_bytes()[at + start..at + end]);
            }
        }
    };

    // OpenCV's midpoint walk over one eighth of the rim; beyond a radius of 129 it is no longer the set of
    // pixels within the radius.
    let (mut dx, mut dy, mut error, mut minus) = (radius, 0, 0, 2 * radius - 1);
    while dx >= dy {
        keep(dy, dx);
        keep(dx, dy);
        error += 2 * dy + 1;
        dy += 1;
        if error > 0 {
            error -= minus;
            dx -= 1;
            minus -= 2;
        }
    }
}
