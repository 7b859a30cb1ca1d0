//! Time of the cores, which other programs on the machine hardly change.

use rustix::time::{ClockId, clock_gettime};

/// Seconds that all threads of this process had a core.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
