//! Runs plain loops with the widest vectors of the machine at hand.

/// Calls `f` compiled for the best instruction set found at run time.
///
/// `f` and what it calls must be marked for inlining to profit. Products and sums are never fused behind the
/// source's back, so floating-point loops give the same bits on every machine too.
#[inline(always)]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}
