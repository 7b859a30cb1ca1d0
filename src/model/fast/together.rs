//! Work that threads do side by side, many times in a row.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IndexedParallelIterator, ParallelIterator};

/// Turns of a wait, of some 40 to 140 cycles each: a tenth of a millisecond.
const TURNS: usize = 2_000;

/// Calls `f` with every item, each on a thread of its own where the pool has them, and returns when all are done.
///
/// Who is done first waits awake for a while: the pool would send its thread to sleep at once, and waking it for the next step takes
/// longer than most steps differ.
pub(super) fn together<I: IndexedParallelIterator>(items: I, f: impl Fn(I::Item) + Sync) {
    let (n_items, n_done) = (items.len(), AtomicUsize::new(0));
    items.with_max_len(1).for_each(|item| {
        f(item);
        n_done.fetch_add(1, Ordering::Relaxed);
        for _ in 0..TURNS {
            if n_done.load(Ordering::Relaxed) >= n_items {
                return;
            }
            spin_loop();
        }
    });
}
