//! The corrupt stage: one image in, one per cell out; read once, corrupt many.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::flow::budget::ByteBudget;
use crate::flow::ordered::map_ordered;
use crate::flow::verdict::StageEnd;
use crate::messages::{Corrupted, Decoded, Flow};
use crate::messages::{Inlet, Outlet};
use t3b_corrupt::{Cell, Grey, RngMode, Scratch, Streams, apply, apply_native_grey};
use t3b_image::Rgb8;
use t3b_image::pool::ScratchPool;
use t3b_image::resize::{Framing, Resizer};

/// Where corruption happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorruptAt {
    /// At model resolution, as MedMNIST-C does.
    Model,
    /// At the image's own size, before the resize.
    Source,
}

/// What corrupting needs to know.
#[derive(Debug, Clone)]
pub struct CorruptRule {
    /// Every cell, in scoring order.
    pub cells: Arc<[Cell]>,
    /// How many of them are made here, the first ones; into the others only images come that declare them.
    pub n_made: usize,
    /// What is done for grey data sets.
    pub grey: Grey,
    /// Which streams to draw from.
    pub rng: RngMode,
    /// The pipeline's seed.
    pub seed: u64,
    /// From a picture to the model's square, where that comes after corruption.
    pub framing: Option<Framing>,
}

/// Sends every image once per cell, in cell order, at model resolution; one that declares its cell into that cell alone, as it is.
///
/// # Errors
/// `Torn` and `Hangup` from the links, `Panicked` when a job panics.
pub async fn run(
    rule: CorruptRule,
    n_jobs: usize,
    inlet: Inlet<Decoded>,
    outlet: Outlet<Corrupted>,
) -> Result<(), StageEnd> {
    let pool = ScratchPool::<(Scratch, Resizer)>::default();
    // Streams of the other mode begin anew for each image, and a clean copy has none: nothing to hash pixels for.
    let is_corrupted = rule.cells[..rule.n_made].iter().any(|cell| cell.kind().is_some());
    let draws = rule.rng == RngMode::Counter && is_corrupted;
    let job = move |decoded: Decoded, _: Option<OwnedSemaphorePermit>| {
        pool.with(|(scratch, resizer)| {
            let Decoded { sample, pixels, permit } = decoded;
            let item = |cell, pixels| Flow::Item(Corrupted { sample: Arc::clone(&sample), cell, pixels });
            let messages: Vec<_> = match sample.declared {
                // Corrupted already, by whoever made the archive.
                Some(cell) => vec![item(cell, rule.sized(pixels.clone(), resizer))],
                None => {
                    let image_id = if draws { content_id(&pixels) } else { String::new() };
                    let cells = rule.cells[..rule.n_made].iter().enumerate();
                    let corrupted = cells
                        .map(|(n, cell)| item(n, rule.corrupt(&image_id, &pixels, cell, scratch, resizer)));
                    corrupted.collect()
                }
            };
            // The source-sized image is gone only now.
            drop((pixels, permit));
            Ok(messages)
        })
    };
    map_ordered(n_jobs, inlet, outlet, None::<(ByteBudget, fn(&Decoded) -> u64)>, job).await
}

/// What keys the random streams of an image: its size and its pixels where corruption begins, and nothing else. The same image
/// is so corrupted alike whatever its id, its place, its archive or the manifest it is listed in.
#[must_use]
pub fn content_id(pixels: &Rgb8) -> String {
    let mut hash = Sha256::new();
    hash.update(pixels.width_px().to_le_bytes());
    hash.update(pixels.height_px().to_le_bytes());
    hash.update(pixels.as_bytes());
    hex::encode(&hash.finalize()[..16])
}

impl CorruptRule {
    fn corrupt(
        &self,
        image_id: &str,
        pixels: &Rgb8,
        cell: &Cell,
        scratch: &mut Scratch,
        resizer: &mut Resizer,
    ) -> Rgb8 {
        let mut out = pixels.clone();
        if let Some((severity, kind)) = cell.kind() {
            let mut streams = match self.rng {
                RngMode::Counter => Streams::counter(self.seed, image_id, &cell.corruption, *severity),
                RngMode::NumpyCompat => Streams::numpy_compat(self.seed),
            };
            match self.grey {
                Grey::Native => apply_native_grey(kind, pixels, &mut streams, scratch, &mut out),
                grey => apply(kind, grey == Grey::Luma, pixels, &mut streams, scratch, &mut out),
            }
        }
        self.sized(out, resizer)
    }

    /// The image at the model's side.
    fn sized(&self, image: Rgb8, resizer: &mut Resizer) -> Rgb8 {
        match &self.framing {
            Some(framing) => resizer.frame(&image, framing),
            None => image,
        }
    }
}
