//! Blurs.

pub(super) mod defocus;
mod disc;
pub(super) mod gaussian;
pub(super) mod glass;
pub(super) mod motion;
pub(super) mod smooth;
pub(super) mod zoom;

/// Mirrors an index at both ends without repeating the end itself: ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
///
/// Works for any distance from the image, also where the image is smaller than the kernel.
///
/// Reference: OpenCV `BORDER_REFLECT_101`; PyTorch `reflect` where the latter is defined.
#[inline(always)]
pub(super) fn reflect_101(i: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as isize - 1);
    let folded = i.rem_euclid(period);
    folded.min(period - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::reflect_101;

    #[test]
    fn reflection_does_not_repeat_the_ends() {
        let row: Vec<usize> = (-4..8).map(|i| reflect_101(i, 3)).collect();
        assert_eq!(row, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(reflect_101(-9, 1), 0);
    }
}
