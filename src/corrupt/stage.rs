//! The corrupt stage: one image in, one per cell out; read once, corrupt many.

use std::sync::Arc;

use crate::corrupt::{RngMode, Scratch, Streams, apply};
use crate::flow::{Cell, Corrupted, Decoded, Flow, Sample};
use crate::pixels::Rgb8;
use crate::run::budget::ByteBudget;
use crate::run::link::{Inlet, Outlet};
use crate::run::ordered::{ScratchPool, map_ordered};
use crate::run::verdict::StageEnd;

/// What corrupting needs to know.
#[derive(Debug, Clone)]
pub struct CorruptRule {
    /// Every cell, in scoring order.
    pub cells: Arc<[Cell]>,
    /// Grey data sets are corrupted as RGB, then reduced to luma.
    pub grey: bool,
    /// Which streams to draw from.
    pub rng: RngMode,
    /// The pipeline's seed.
    pub seed: u64,
}

/// Sends every image once per cell, in cell order.
///
/// # Errors
/// `Torn` and `Hangup` from the links, `Panicked` when a job panics.
pub async fn run(
    rule: CorruptRule,
    n_jobs: usize,
    inlet: Inlet<Decoded>,
    outlet: Outlet<Corrupted>,
) -> Result<(), StageEnd> {
    let scratch = ScratchPool::<Scratch>::default();
    let job = move |Decoded { sample, pixels }: Decoded| {
        scratch.with(|scratch| {
            let corrupted = rule.cells.iter().map(|cell| rule.corrupt(&sample, &pixels, cell, scratch));
            let messages = corrupted.enumerate().map(|(cell, pixels)| {
                Flow::Item(Corrupted { sample: Arc::clone(&sample), cell, pixels })
            });
            messages.collect()
        })
    };
    map_ordered(n_jobs, inlet, outlet, None::<(ByteBudget, fn(&Decoded) -> u64)>, job).await
}

impl CorruptRule {
    fn corrupt(&self, sample: &Sample, pixels: &Rgb8, cell: &Cell, scratch: &mut Scratch) -> Rgb8 {
        let mut out = pixels.clone();
        if let Some((severity, kind)) = cell.kind() {
            let mut streams = match self.rng {
                RngMode::Counter => Streams::counter(self.seed, &sample.id, &cell.corruption, *severity),
                RngMode::NumpyCompat => Streams::numpy_compat(self.seed),
            };
            apply(kind, self.grey, pixels, &mut streams, scratch, &mut out);
        }
        out
    }
}
