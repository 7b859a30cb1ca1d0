//! For targets that contain a library's panics as the program does: only a panic that comes out of them counts.
//!
//! libFuzzer's own hook ends the process at every panic, also at one that is caught.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use crate::targets::Target;

/// Runs a target; ends the process when it panics.
pub fn contained(target: Target, data: &[u8]) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
        std::process::abort();
    }
}
