//! Values reused between jobs that run side by side.

use std::sync::{Mutex, PoisonError};

/// Scratch values lent to jobs; as many exist as jobs ever ran at once.
#[derive(Debug, Default)]
pub struct ScratchPool<S> {
    idle: Mutex<Vec<S>>,
}

impl<S: Default> ScratchPool<S> {
    /// Lends one value to `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut S) -> R) -> R {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = idle().pop().unwrap_or_default();
        let result = work(&mut scratch);
        idle().push(scratch);
        result
    }
}
