//! The decode stage: verified bytes to pixels, side by side and in order.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::decode::resize::Resizer;
use crate::decode::worker::{Decoder, Isolation};
use crate::decode::{Limits, Rendering, decoded_bytes_with};
use crate::error::Problem;
use crate::flow::{Decoded, Fetched, Flow, Reject, Stage};
use crate::run::budget::ByteBudget;
use crate::run::link::{Inlet, Outlet};
use crate::run::ordered::{ScratchPool, map_ordered};
use crate::run::verdict::StageEnd;

/// What decoding needs to know.
#[derive(Debug, Clone)]
pub struct DecodeRule {
    /// Checked on the header before any memory is taken.
    pub limits: Limits,
    /// How values become 8 bits; the frame is the sample's own.
    pub rendering: Rendering,
    /// Which pictures are decoded in a process of their own.
    pub isolation: Isolation,
    /// The program of that process.
    pub program: Arc<Path>,
    /// Side of the model's square input, or `None` to keep the image's own size.
    pub resize_to_px: Option<u32>,
}

impl DecodeRule {
    fn rendering_of(&self, fetched: &Fetched) -> Rendering {
        Rendering { frame: fetched.sample.frame, slice: fetched.sample.slice, ..self.rendering }
    }
}

/// Order per image: header limits, decode, then where asked bicubic resize of the short side and
/// centre crop. An image that keeps its size keeps its share of the budget.
///
/// # Errors
/// `Torn` and `Hangup` from the links, `Panicked` when a job panics, `P003` and `B007` from [`Decoder::decode`].
pub async fn run(
    rule: DecodeRule,
    n_jobs: usize,
    budget: ByteBudget,
    inlet: Inlet<Fetched>,
    outlet: Outlet<Decoded>,
) -> Result<(), StageEnd> {
    let resizers = ScratchPool::<Resizer>::default();
    let decoder = Decoder::new(rule.isolation, Arc::clone(&rule.program));
    let weighing = rule.clone();
    let weigh = move |fetched: &Fetched| {
        decoded_bytes_with(&fetched.bytes, &weighing.rendering_of(fetched)).unwrap_or(0)
    };
    let job = move |fetched: Fetched, permit: Option<OwnedSemaphorePermit>| {
        let flow = resizers.with(|resizer| decode_one(&rule, &decoder, resizer, &fetched, permit))?;
        Ok(vec![flow])
    };
    map_ordered(n_jobs, inlet, outlet, Some((budget, weigh)), job).await
}

/// The permit goes along with an image that keeps its size, and is given back here with any other.
fn decode_one(
    rule: &DecodeRule,
    decoder: &Decoder,
    resizer: &mut Resizer,
    fetched: &Fetched,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Flow<Decoded>, Problem> {
    let sample = fetched.sample.clone();
    let image = match decoder.decode(&fetched.bytes, &rule.limits, &rule.rendering_of(fetched))? {
        Ok(image) => image,
        Err(error) => {
            return Ok(Flow::Reject(Reject {
                sample,
                cell: None,
                stage: Stage::Decode,
                reason: error.reason.code(),
                detail: error.detail,
                size_bytes: Some(fetched.bytes.len() as u64),
                format: Some(error.format.name()),
                declared_px: error.declared_px,
            }));
        }
    };
    Ok(Flow::Item(match rule.resize_to_px {
        Some(side_px) => {
            let pixels = resizer.short_side_then_center_crop(&image, side_px);
            Decoded { sample, pixels, permit: None }
        }
        None => Decoded { sample, pixels: image, permit },
    }))
}
