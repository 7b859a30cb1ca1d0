//! One open batch per cell, cut by count and flushed by a seal; never by time.
//!
//! A batch is pure, all of one cell, or mixed: then the cells rotate with the manifest row, so that every batch
//! holds all of them. A slot is `batch_size` consecutive manifest rows in one cell. A rejected sample leaves a hole: the batch
//! shrinks and nothing is pulled forward, because a coefficient depends on who shares its batch.

use std::sync::Arc;

use crate::flow::verdict::StageEnd;
use crate::messages::{Batch, CellIdx, Corrupted, Flow, Member, Mixing, Sample, Slot};
use crate::messages::{Inlet, Outlet};

/// Collects one batch per cell at a time.
#[derive(Debug)]
pub struct Batcher {
    batch_size: u32,
    mixing: Mixing,
    /// Cells that a sample without one of its own is brought into.
    n_made: usize,
    open: Vec<Option<Batch>>,
}

impl Batcher {
    /// A batcher with no open batch, for `n_cells` cells of which the pipeline makes the first `n_made`.
    #[must_use]
    pub fn new(batch_size: u32, mixing: Mixing, n_made: usize, n_cells: usize) -> Self {
        let open = std::iter::repeat_with(|| None).take(n_cells).collect();
        Self { batch_size, mixing, n_made, open }
    }

    /// Fills one place of the sample's slot in `cell`, with pixels or with a hole; returns the batch when its
    /// slot is full, or the one before it when that ended in a gap. Samples must come in manifest order.
    pub fn place(&mut self, sample: &Arc<Sample>, cell: CellIdx, pixels: Option<&[u8]>) -> Option<Batch> {
        let place = self.slot_of(sample, cell);
        let number = sample.row / u64::from(self.batch_size);
        // Both cannot be full: the one before would have left when it was.
        let before = self.open[place].take_if(|open| open.slot.batch != number);
        let batch = self.open[place].get_or_insert_with(|| Batch {
            slot: Slot { batch: number, cell: place, first_row: sample.row, n_planned: 0 },
            members: Vec::new(),
            pixels: Vec::new(),
        });
        batch.slot.n_planned += 1;
        if let Some(pixels) = pixels {
            if batch.members.is_empty() {
                batch.pixels.reserve_exact(pixels.len() * self.batch_size as usize);
            }
            batch.members.push(Member { sample: Arc::clone(sample), cell });
            batch.pixels.extend_from_slice(pixels);
        }
        let is_full = batch.slot.n_planned == self.batch_size;
        debug_assert!(!(is_full && before.is_some()), "a batch of one leaves at once");
        if is_full { self.open[place].take() } else { before }
    }

    fn slot_of(&self, sample: &Sample, cell: CellIdx) -> usize {
        let n_cells = self.open.len();
        let turn = usize::try_from(sample.row % n_cells as u64).unwrap_or_default();
        match self.mixing {
            Mixing::Pure => cell,
            Mixing::Mixed => (cell + turn) % n_cells,
        }
    }

    /// Ends the partition: whatever is open, in cell order.
    pub fn flush(&mut self) -> Vec<Batch> {
        self.open.iter_mut().filter_map(Option::take).collect()
    }
}

/// The stage: corrupted images in, full slots out, rejects and seals at their place.
///
/// # Errors
/// `Torn` and `Hangup` from the links.
pub async fn batch(
    mut batcher: Batcher,
    mut inlet: Inlet<Corrupted>,
    mut outlet: Outlet<Batch>,
) -> Result<(), StageEnd> {
    let n_made = batcher.n_made;
    while let Some(message) = inlet.next().await? {
        match message {
            Flow::Item(Corrupted { sample, cell, pixels }) => {
                if let Some(full) = batcher.place(&sample, cell, Some(pixels.as_bytes())) {
                    outlet.send(Flow::Item(full)).await?;
                }
            }
            Flow::Reject(reject) => {
                for cell in reject.cell.map_or(0..n_made, |cell| cell..cell + 1) {
                    if let Some(full) = batcher.place(&reject.sample, cell, None) {
                        outlet.send(Flow::Item(full)).await?;
                    }
                }
                outlet.send(Flow::Reject(reject)).await?;
            }
            Flow::Seal(seal) => {
                for rest in batcher.flush() {
                    outlet.send(Flow::Item(rest)).await?;
                }
                outlet.send(Flow::Seal(seal)).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(row: u64) -> Arc<Sample> {
        Arc::new(Sample { row, ..crate::source::testing::sample() })
    }

    #[test]
    fn a_hole_shrinks_its_batch_and_pulls_nothing_forward() {
        let mut batcher = Batcher::new(3, Mixing::Pure, 1, 1);
        assert!(batcher.place(&sample(0), 0, Some(&[0])).is_none());
        assert!(batcher.place(&sample(1), 0, None).is_none());
        let full = batcher.place(&sample(2), 0, Some(&[2])).unwrap();
        assert_eq!((full.slot.n_planned, full.members.len(), full.pixels), (3, 2, vec![0, 2]));
        assert!(batcher.place(&sample(3), 0, Some(&[3])).is_none());
        let rest = batcher.flush();
        assert_eq!((rest[0].slot.batch, rest[0].slot.first_row, rest[0].slot.n_planned), (1, 3, 1));
    }

    #[test]
    fn mixed_batches_hold_every_cell_and_every_pair_once() {
        let mut batcher = Batcher::new(3, Mixing::Mixed, 3, 3);
        let mut batches = Vec::new();
        for row in 0..3 {
            batches.extend((0..3).filter_map(|cell| batcher.place(&sample(row), cell, Some(&[0]))));
        }
        batches.sort_by_key(|batch| batch.slot.cell);
        let cells = |batch: &Batch| batch.members.iter().map(|member| member.cell).collect::<Vec<_>>();
        assert_eq!(batches.iter().map(cells).collect::<Vec<_>>(), [[0, 2, 1], [1, 0, 2], [2, 1, 0]]);
    }

    #[test]
    fn a_batch_that_ends_in_a_gap_leaves_when_the_next_begins() {
        let mut batcher = Batcher::new(4, Mixing::Pure, 1, 1);
        assert!(batcher.place(&sample(0), 0, Some(&[0])).is_none());
        assert!(batcher.place(&sample(1), 0, None).is_none());
        let cut = batcher.place(&sample(4), 0, Some(&[4])).unwrap();
        assert_eq!((cut.slot.batch, cut.slot.n_planned, cut.members.len()), (0, 2, 1));
        assert_eq!(batcher.flush()[0].slot.batch, 1);
    }

    #[test]
    fn a_slot_of_holes_is_still_a_batch() {
        let mut batcher = Batcher::new(2, Mixing::Pure, 2, 2);
        assert!(batcher.place(&sample(0), 1, None).is_none());
        let full = batcher.place(&sample(1), 1, None).unwrap();
        assert_eq!((full.slot.cell, full.members.len(), full.slot.n_planned), (1, 0, 2));
    }
}
