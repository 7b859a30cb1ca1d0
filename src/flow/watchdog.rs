//! Notices a run that no longer moves, and says which stage holds it.

use std::time::Duration;

use super::meter::Meter;
use crate::error::{Exit, Problem};

/// Looks per deadline; a stall is noticed within a tenth of the deadline after it is one.
const LOOKS: u32 = 10;

/// Returns when no message has moved, no partition was committed and `n_steps`, which counts what goes on within a stage, stayed as it was
/// for `deadline`.
///
/// The stage at fault is the one furthest down the flow that holds a message: whatever is before it waits for it.
pub async fn stalled(meter: &Meter, n_steps: impl Fn() -> u64, deadline: Duration) -> Problem {
    let moved = || meter.n_moves() + n_steps();
    let mut watched = Watched { seen: moved(), still: 0 };
    loop {
        tokio::time::sleep(deadline / LOOKS).await;
        if watched.is_stalled_at(moved()) {
            let what =
                format!("no progress in {} s: stage {} is stalled", deadline.as_secs(), meter.holding());
            return Problem::new("P002", Exit::StoreIo, what)
                .hint("run the same command again to go on; raise stop.stall_deadline_s for slow devices");
        }
    }
}

/// What the last look saw, and how many in a row saw nothing else.
struct Watched {
    seen: u64,
    still: u32,
}

impl Watched {
    fn is_stalled_at(&mut self, moved: u64) -> bool {
        self.still = if moved == self.seen { self.still + 1 } else { 0 };
        self.seen = moved;
        self.still >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_stalled_when_a_whole_deadline_of_looks_saw_nothing_move() {
        let mut watched = Watched { seen: 0, still: 0 };
        for moved in [0, 1, 2] {
            assert!((1..LOOKS).all(|_| !watched.is_stalled_at(moved)), "it moved to {moved} in time");
        }
        assert!(!watched.is_stalled_at(3));
        assert_eq!((0..LOOKS).filter(|_| watched.is_stalled_at(3)).count(), 1);
    }
}
