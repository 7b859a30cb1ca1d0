//! Notices a run that no longer moves, and says which stage holds it.

use std::time::Duration;

use super::meter::Meter;
use crate::error::{Exit, Problem};

/// Looks per deadline; a stall is noticed within a tenth of the deadline after it is one.
const LOOKS: u32 = 10;

/// Returns when no message has moved and no partition was committed for `deadline`.
///
/// The stage at fault is the one furthest down the flow that holds a message: whatever is before it waits for it.
pub async fn stalled(meter: &Meter, deadline: Duration) -> Problem {
    let (mut seen, mut still) = (meter.n_moves(), 0);
    loop {
        tokio::time::sleep(deadline / LOOKS).await;
        let now = meter.n_moves();
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
        if still >= LOOKS {
            let what =
                format!("no progress in {} s: stage {} is stalled", deadline.as_secs(), meter.holding());
            return Problem::new("P002", Exit::StoreIo, what)
                .hint("run the same command again to go on; raise stop.stall_deadline_s for slow devices");
        }
    }
}
