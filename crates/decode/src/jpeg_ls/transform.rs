//! The colour transforms of HP, which CharLS writes on demand and names in an APP8 segment.
//!
//! Not of the standard, and not allowed in DICOM, where files have them all the same. Without undoing them the colours
//! are wrong and nothing else shows it. Reference: CharLS 2.4, `color_transform.h`.

use super::super::error::{Fault, Reason};

/// Which of them was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Hp1,
    Hp2,
    Hp3,
}

impl Transform {
    /// Reads an APP8 segment; those of other writers change nothing.
    pub(super) fn read(body: &[u8], before: Self) -> Result<Self, Fault> {
        match *body {
            [b'm', b'r', b'f', b'x', number, ..] => match number {
                0 => Ok(Self::None),
                1 => Ok(Self::Hp1),
                2 => Ok(Self::Hp2),
                3 => Ok(Self::Hp3),
                _ => {
                    let detail = format!("JPEG-LS with HP colour transform {number}, allowed 0 to 3");
                    Err(Fault::new(Reason::UnsupportedFormat, detail))
                }
            },
            _ => Ok(before),
        }
    }

    /// Makes RGB in place of three components of 8 or 16 bits, modulo their range.
    pub(super) fn undo(self, values: &mut [u16], n_components: usize, precision: u8) -> Result<(), Fault> {
        if self == Self::None {
            return Ok(());
        }
        if n_components != 3 || !matches!(precision, 8 | 16) {
            let detail =
                format!("JPEG-LS with an HP colour transform of {n_components} components, {precision} bits");
            return Err(Fault::new(Reason::UnsupportedFormat, detail));
        }
        let range = 1_i32 << precision;
        for pixel in values.as_chunks_mut::<3>().0 {
            *pixel = self.rgb(pixel.map(i32::from), range).map(|value| value.rem_euclid(range) as u16);
        }
        Ok(())
    }

    fn rgb(self, [a, b, c]: [i32; 3], range: i32) -> [i32; 3] {
        let wrap = |value: i32| value.rem_euclid(range);
        match self {
            Self::None => [a, b, c],
            Self::Hp1 => [a + b - range / 2, b, c + b - range / 2],
            Self::Hp2 => {
                let red = wrap(a + b - range / 2);
                [red, b, c + ((red + b) >> 1) - range / 2]
            }
            Self::Hp3 => {
                let green = wrap(a - ((c + b) >> 2) + range / 4);
                [c + green - range / 2, green, b + green - range / 2]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Transform;

    /// The transforms as CharLS's encoder applies them.
    fn applied(transform: Transform, [r, g, b]: [i32; 3], range: i32) -> [i32; 3] {
        let wrap = |value: i32| value.rem_euclid(range);
        match transform {
            Transform::None => [r, g, b],
            Transform::Hp1 => [wrap(r - g + range / 2), g, wrap(b - g + range / 2)],
            Transform::Hp2 => [wrap(r - g + range / 2), g, wrap(b - ((r + g) >> 1) - range / 2)],
            Transform::Hp3 => {
                let (v2, v3) = (wrap(b - g + range / 2), wrap(r - g + range / 2));
                [wrap(g + ((v2 + v3) >> 2) - range / 4), v2, v3]
            }
        }
    }

    #[test]
    fn d20_every_transform_is_undone_exactly() {
        for transform in [Transform::None, Transform::Hp1, Transform::Hp2, Transform::Hp3] {
            for (precision, step) in [(8, 7), (16, 1801)] {
                let range = 1 << precision;
                for r in (0..range).step_by(step) {
                    for (g, b) in [(0, 0), (range - 1, 0), (r / 3, range - 1 - r), (17, r)] {
                        let coded = applied(transform, [r, g, b], range);
                        let mut values = coded.map(|value| value as u16);
                        transform.undo(&mut values, 3, precision).unwrap();
                        assert_eq!(values.map(i32::from), [r, g, b], "{transform:?} {precision}");
                    }
                }
            }
        }
        assert!(Transform::Hp1.undo(&mut [0; 3], 3, 12).is_err());
    }
}
