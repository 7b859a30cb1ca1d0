//! Shapes of dried stain.

use super::AssetError;
use crate::math::sin_cos;
use crate::rng::counter::Counter;

/// Masks per side in the reference's file, which fixes the range of the random choice.
const N_MASKS: usize = 10;

/// Name in the reference's archive and side in pixels of the two sizes that are ever used.
const SIZES: [(&str, usize); 2] = [("3", 24), ("4", 32)];

/// Ten square stains in each of two sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StainMasks {
    small: Vec<StainMask>,
    large: Vec<StainMask>,
    exact: bool,
}

/// One square stain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StainMask {
    side_px: usize,
    /// Row by row; `true` is stained.
    cells: Vec<bool>,
}

impl StainMask {
    /// Columns, and rows.
    #[must_use]
    pub fn side_px(&self) -> usize {
        self.side_px
    }

    /// Whether each pixel is stained; `side_px * side_px`, row by row.
    #[must_use]
    pub fn cells(&self) -> &[bool] {
        &self.cells
    }
}

impl StainMasks {
    /// Reads the arrays of the reference's `inks.npz`, each as the bytes of an unpacked `.npy` file.
    ///
    /// Keys are archive names with or without `.npy`; arrays that are never used may be absent.
    ///
    /// # Errors
    /// When an array is absent, is not little-endian `u64` of shape `(10, side, side)`, or holds a number
    /// other than 0 and 1.
    pub fn from_npy_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, AssetError> {
        let mut sets = [None, None];
        for (key, bytes) in entries {
            let key = key.trim_end_matches(".npy");
            if let Some(i) = SIZES.iter().position(|(name, _)| *name == key) {
                let masks = parse_npy(bytes, SIZES[i].1);
                sets[i] =
                    Some(masks.map_err(|problem| AssetError::BadArray { key: key.to_owned(), problem })?);
            }
        }
        let [small, large] = sets;
        let missing = |i: usize| AssetError::MissingArray { key: SIZES[i].0 };
        Ok(Self {
            small: small.ok_or_else(|| missing(0))?,
            large: large.ok_or_else(|| missing(1))?,
            exact: true,
        })
    }

    /// Stains made here: discs with a wavy rim, of about the areas of the reference's.
    #[must_use]
    pub fn procedural() -> Self {
        let set = |side_px: usize, radius_share: f64| {
            (0..N_MASKS).map(|i| wavy_disc(side_px, radius_share * side_px as f64, i)).collect()
        };
        Self { small: set(24, 0.445), large: set(32, 0.415), exact: false }
    }

    /// Whether these are the reference's masks.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The ten masks for severities 1 to 4 (24 pixels) or for severity 5 (`large`, 32 pixels).
    #[must_use]
    pub fn of_size(&self, large: bool) -> &[StainMask] {
        if large { &self.large } else { &self.small }
    }
}

/// Reads version 1 of NumPy's array format.
fn parse_npy(bytes: &[u8], side_px: usize) -> Result<Vec<StainMask>, &'static str> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00").ok_or("not a version 1 .npy file")?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or("cut short")?;
    let (header, data) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or("cut short")?;
    let header = std::str::from_utf8(header).map_err(|_| "header is not text")?;
    if !header.contains("'descr': '<u8'") || !header.contains("'fortran_order': False") {
        return Err("not little-endian u64 in C order");
    }
    if !header.contains(&format!("'shape': ({N_MASKS}, {side_px}, {side_px})")) {
        return Err("not ten square masks of the expected side");
    }
    if data.len() != N_MASKS * side_px * side_px * 8 {
        return Err("cut short");
    }
    let mask = |cells: &[u8]| {
        let cells = cells.chunks_exact(8).map(|word| match word {
            [first @ (0 | 1), 0, 0, 0, 0, 0, 0, 0] => Ok(*first == 1),
            _ => Err("a cell is neither 0 nor 1"),
        });
        Ok(StainMask { side_px, cells: cells.collect::<Result<_, _>>()? })
    };
    data.chunks_exact(side_px * side_px * 8).map(mask).collect()
}

/// A disc whose radius varies with the angle by a few harmonics of random size and phase.
fn wavy_disc(side_px: usize, radius_px: f64, index: usize) -> StainMask {
    const HARMONICS: [u8; 4] = [2, 3, 5, 7];
    let mut draws = Counter::keyed(side_px as u64, "stain mask", "", index as u8);
    let waves = HARMONICS.map(|k| {
        let amplitude = draws.next_f64() * 0.45 / f64::from(k);
        let (sin, cos) = sin_cos(draws.next_f64() * std::f64::consts::TAU);
        (k, amplitude * cos, amplitude * sin)
    });
    let inside = |x: f64, y: f64| {
        let distance = (x * x + y * y).sqrt();
        let (cos, sin) = (x / distance, y / distance);
        let wave = |&(k, a, b): &(u8, f64, f64)| {
            let (mut cos_k, mut sin_k) = (1.0, 0.0);
            for _ in 0..k {
                (cos_k, sin_k) = (cos_k * cos - sin_k * sin, sin_k * cos + cos_k * sin);
            }
            a * cos_k + b * sin_k
        };
        distance <= radius_px * (1.0 + waves.iter().map(wave).sum::<f64>())
    };
    // Half a pixel off every centre, so the distance is never 0.
    let offset = |i: usize| i as f64 + 0.5 - side_px as f64 / 2.0;
    let cells = (0..side_px * side_px).map(|i| inside(offset(i % side_px), offset(i / side_px))).collect();
    StainMask { side_px, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Mean stained cells of the reference's masks.
    #[test]
    fn procedural_stains_have_the_references_areas() {
        let masks = StainMasks::procedural();
        for (large, reference) in [(false, 359.9), (true, 564.3)] {
            let set = masks.of_size(large);
            let area = set.iter().flat_map(StainMask::cells).filter(|stained| **stained).count();
            assert!((area as f64 / 10.0 / reference - 1.0).abs() < 0.1, "{area}");
        }
    }

    #[test]
    fn a_cell_that_is_not_a_bit_is_refused() {
        let header = format!("{:<118}", "{'descr': '<u8', 'fortran_order': False, 'shape': (10, 24, 24), }");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 10 * 24 * 24 * 8]);
        assert!(parse_npy(&bytes, 24).is_ok());
        *bytes.last_mut().unwrap() = 1;
        assert_eq!(parse_npy(&bytes, 24), Err("a cell is neither 0 nor 1"));
        let error = StainMasks::from_npy_entries([("4.npy", &bytes[..20])]).unwrap_err();
        assert_eq!(error.to_string(), "stain mask array `4`: cut short");
    }
}
