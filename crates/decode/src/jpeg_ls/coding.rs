//! Parameters of a scan and what follows from them alone.

use super::super::error::Fault;
use super::bits::BitReader;

/// The entropy-coded data hold an impossible code.
#[derive(Debug, Clone, Copy)]
pub(super) struct BadData;

/// Values that a preset segment may set; 0 keeps the default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Presets {
    pub(super) max_value: u16,
    pub(super) thresholds: [u16; 3],
    pub(super) reset: u16,
}

/// Parameters of a scan; the names are those of T.87.
#[derive(Debug)]
pub(super) struct Coding {
    pub(super) max_value: i32,
    pub(super) near: i32,
    thresholds: [i32; 3],
    pub(super) reset: i32,
    range: i32,
    /// Bits of an escaped error.
    qbpp: u32,
    pub(super) limit: i32,
}

impl Coding {
    /// Fills in the defaults of C.2.4.1.1.
    pub(super) fn new(precision: u8, near: u8, presets: Presets) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("JPEG-LS parameters");
        let largest = (1_i32 << precision) - 1;
        let max_value = if presets.max_value == 0 { largest } else { i32::from(presets.max_value) };
        let near = i32::from(near);
        if max_value > largest || near > max_value / 2 {
            return Err(bad());
        }
        let set = presets.thresholds.map(i32::from);
        let default = default_thresholds(max_value, near);
        let thresholds = [0, 1, 2].map(|i| if set[i] == 0 { default[i] } else { set[i] });
        let [t1, t2, t3] = thresholds;
        if t1 <= near || t2 < t1 || t3 < t2 || t3 > max_value.max(near + 1) {
            return Err(bad());
        }
        let reset = if presets.reset == 0 { 64 } else { i32::from(presets.reset) };
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bpp = 2.max(log2_ceil(max_value + 1));
        let limit = 2 * (bpp + 8.max(bpp)) as i32;
        if reset < 3 {
            return Err(bad());
        }
        Ok(Self { max_value, near, thresholds, reset, range, qbpp: log2_ceil(range), limit })
    }

    pub(super) fn start_a(&self) -> i32 {
        2.max((self.range + 32) / 64)
    }

    /// Width of a quantisation step.
    #[inline]
    pub(super) fn step(&self) -> i32 {
        2 * self.near + 1
    }

    /// Takes a Golomb code of limited length (A.5.3).
    #[inline]
    pub(super) fn golomb(&self, reader: &mut BitReader<'_>, k: u32, limit: i32) -> Result<i32, BadData> {
        let escape = limit - self.qbpp as i32 - 1;
        let zeros = reader.zeros(escape.max(0) as u32).ok_or(BadData)?;
        if (zeros as i32) < escape {
            let high = i64::from(zeros) << k;
            return i32::try_from(high + i64::from(reader.take(k))).map_err(|_| BadData);
        }
        Ok(reader.take(self.qbpp) as i32 + 1)
    }

    #[inline]
    pub(super) fn quantize(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let class = i32::from(size > self.near)
            + i32::from(size >= t1)
            + i32::from(size >= t2)
            + i32::from(size >= t3);
        class * gradient.signum()
    }

    /// Prediction and error to a value (A.4.5, A.8).
    #[inline]
    pub(super) fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let mut value = prediction + error * self.step();
        if value < -self.near {
            value += self.range * self.step();
        } else if value > self.max_value + self.near {
            value -= self.range * self.step();
        }
        value.clamp(0, self.max_value)
    }
}

fn log2_ceil(n: i32) -> u32 {
    (n.max(1) as u32).next_power_of_two().trailing_zeros()
}

fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, least: i32| if value > max_value || value < least { least } else { value };
    if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        let t1 = clamp(factor + 2 + 3 * near, near + 1);
        let t2 = clamp(4 * factor + 3 + 5 * near, t1);
        return [t1, t2, clamp(17 * factor + 4 + 7 * near, t2)];
    }
    let factor = 256 / (max_value + 1);
    let t1 = clamp(2.max(3 / factor + 3 * near), near + 1);
    let t2 = clamp(3.max(7 / factor + 5 * near), t1);
    [t1, t2, clamp(4.max(21 / factor + 7 * near), t2)]
}
