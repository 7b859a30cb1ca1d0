//! The decode stage: verified bytes to pixels, side by side and in order.

use tokio::sync::OwnedSemaphorePermit;

use crate::decode::resize::Resizer;
use crate::decode::{Limits, Rendering, decode_with, decoded_bytes_with};
use crate::flow::{Decoded, Fetched, Flow, Reject, Stage};
use crate::run::budget::ByteBudget;
use crate::run::link::{Inlet, Outlet};
use crate::run::ordered::{ScratchPool, map_ordered};
use crate::run::verdict::StageEnd;

/// What decoding needs to know.
#[derive(Debug, Clone, Copy)]
pub struct DecodeRule {
    /// Checked on the header before any memory is taken.
    pub limits: Limits,
    /// How values become 8 bits; the frame is the sample's own.
    pub rendering: Rendering,
    /// Side of the model's square input, or `None` to keep the image's own size.
    pub resize_to_px: Option<u32>,
}

impl DecodeRule {
    fn rendering_of(&self, fetched: &Fetched) -> Rendering {
        Rendering { frame: fetched.sample.frame, ..self.rendering }
    }
}

/// Order per image: header limits, decode, then where asked bicubic resize of the short side and
/// centre crop. An image that keeps its size keeps its share of the budget.
///
/// # Errors
/// `Torn` and `Hangup` from the links, `Panicked` when a job panics.
pub async fn run(
    rule: DecodeRule,
    n_jobs: usize,
    budget: ByteBudget,
    inlet: Inlet<Fetched>,
    outlet: Outlet<Decoded>,
) -> Result<(), StageEnd> {
    let resizers = ScratchPool::<Resizer>::default();
    let weigh =
        move |fetched: &Fetched| decoded_bytes_with(&fetched.bytes, &rule.rendering_of(fetched)).unwrap_or(0);
    let job = move |fetched: Fetched, permit: Option<OwnedSemaphorePermit>| {
        let decoded = resizers.with(|resizer| decode_one(&rule, resizer, &fetched));
        vec![match decoded {
            Ok(decoded) => {
                Flow::Item(Decoded { permit: permit.filter(|_| rule.resize_to_px.is_none()), ..decoded })
            }
            Err(reject) => Flow::Reject(reject),
        }]
    };
    map_ordered(n_jobs, inlet, outlet, Some((budget, weigh)), job).await
}

fn decode_one(rule: &DecodeRule, resizer: &mut Resizer, fetched: &Fetched) -> Result<Decoded, Reject> {
    let reject = |reason, detail, format, declared_px| Reject {
        sample: fetched.sample.clone(),
        cell: None,
        stage: Stage::Decode,
        reason,
        detail,
        size_bytes: Some(fetched.bytes.len() as u64),
        format,
        declared_px,
    };
    let image = decode_with(&fetched.bytes, &rule.limits, &rule.rendering_of(fetched)).map_err(|error| {
        reject(error.reason.code(), error.detail, Some(error.format.name()), error.declared_px)
    })?;
    let pixels = match rule.resize_to_px {
        Some(side_px) => resizer.short_side_then_center_crop(&image, side_px),
        None => image,
    };
    Ok(Decoded { sample: fetched.sample.clone(), pixels, permit: None })
}
