//! How an adapter is refused.

use crate::model::error::{CheckpointFault, ModelError};

pub(super) fn refused(key: &str, found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Adapter { key: key.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }
        .into()
}
