//! Runs plain loops with the widest vectors of the machine at hand.

/// Calls `f` compiled for the best instruction set found at run time.
///
/// `f` and what it calls must be marked for inlining to profit. Only integer loops go through here, so the results are
/// the same on every machine.
#[inline(always)]
pub(super) fn widest<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}
