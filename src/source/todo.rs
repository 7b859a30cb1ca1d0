//! Which partition comes next: from a list, or from whoever is asked once there is room for one more.

use std::fmt;

use futures::stream::{self, BoxStream, Stream, StreamExt};

use super::Partition;
use crate::error::Problem;
use crate::flow::open::Open;

/// Partitions to score, in the order in which they are admitted.
pub struct Todo {
    partitions: BoxStream<'static, Result<Partition, Problem>>,
    open: Open,
}

impl fmt::Debug for Todo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Todo").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Todo {
    /// These, one after the other.
    #[must_use]
    pub fn listed(partitions: Vec<Partition>, open: Open) -> Self {
        Self::asked(stream::iter(partitions.into_iter().map(Ok)), open)
    }

    /// What the stream gives; it is asked for the next one when the one before has been read.
    pub fn asked(
        partitions: impl Stream<Item = Result<Partition, Problem>> + Send + 'static,
        open: Open,
    ) -> Self {
        Self { partitions: partitions.boxed(), open }
    }

    /// The next one, admitted; `None` when there is no more.
    ///
    /// # Errors
    /// What kept it from being known.
    pub(super) async fn next(&mut self) -> Result<Option<Partition>, Problem> {
        let next = self.partitions.next().await.transpose()?;
        if let Some(partition) = &next {
            self.open.admit(partition.index);
        }
        Ok(next)
    }
}
