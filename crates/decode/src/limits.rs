//! What an image may declare before anything is allocated for it.

use super::error::{Fault, Reason};

/// Bounds on the declared size of an image.
///
/// They are facts of the run, not of the machine: raising one changes which objects are quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest side, in pixels.
    pub max_side_px: u32,
    /// Shortest side, in pixels; at least 1.
    pub min_side_px: u32,
    /// Width times height.
    pub max_pixels: u64,
    /// Long side over short side, rounded up; at least 1.
    pub max_aspect: u32,
}

impl Default for Limits {
    /// 16,384 pixels a side, 64 Mi pixels (192 MiB as RGB), no side under 8, aspect at most 50.
    fn default() -> Self {
        Self { max_side_px: 16_384, min_side_px: 8, max_pixels: 64 << 20, max_aspect: 50 }
    }
}

impl Limits {
    /// Checks a declared size. Order: zero side, aspect, short side, long side, pixel count.
    ///
    /// Aspect comes before size because a 1 x 30,000 strip is better named by its shape than by its width.
    pub(super) fn check(&self, width_px: u32, height_px: u32) -> Result<(), Fault> {
        let (short, long) = (width_px.min(height_px), width_px.max(height_px));
        if short == 0 {
            return Err(Fault::corrupt(format!("zero dimension: {width_px}x{height_px} px")));
        }
        let (reason, allowed) = if u64::from(long) > u64::from(short) * u64::from(self.max_aspect) {
            (Reason::AspectExceedsLimit, format!("long side at most {} times the short one", self.max_aspect))
        } else if short < self.min_side_px {
            (Reason::ImageTooSmall, format!("min side {}", self.min_side_px))
        } else if long > self.max_side_px {
            (Reason::DimensionsExceedLimit, format!("max side {}", self.max_side_px))
        } else if u64::from(width_px) * u64::from(height_px) > self.max_pixels {
            (Reason::DimensionsExceedLimit, format!("max {} pixels", self.max_pixels))
        } else {
            return Ok(());
        };
        Err(Fault::new(reason, format!("found {width_px}x{height_px} px, allowed {allowed}")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Reason};

    #[test]
    fn each_bound_is_inclusive_and_gives_its_own_reason() {
        let limits = Limits { max_side_px: 400, min_side_px: 8, max_pixels: 40_000, max_aspect: 50 };
        let reason = |w, h| limits.check(w, h).err().map(|fault| fault.reason);
        assert_eq!(reason(8, 400), None);
        assert_eq!(reason(200, 200), None);
        assert_eq!(reason(0, 9), Some(Reason::Corrupt));
        assert_eq!(reason(1, 1), Some(Reason::ImageTooSmall));
        assert_eq!(reason(7, 100), Some(Reason::ImageTooSmall));
        assert_eq!(reason(1, 30_000), Some(Reason::AspectExceedsLimit));
        assert_eq!(reason(401, 9), Some(Reason::DimensionsExceedLimit));
        assert_eq!(reason(200, 201), Some(Reason::DimensionsExceedLimit));
        assert_eq!(reason(u32::MAX, u32::MAX), Some(Reason::DimensionsExceedLimit));
    }
}
