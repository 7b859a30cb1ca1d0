//! The decode stage: verified bytes to pixels, side by side and in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Exit, Problem};
use crate::flow::budget::ByteBudget;
use crate::flow::ordered::map_ordered;
use crate::flow::verdict::StageEnd;
use crate::messages::{Decoded, Fetched, Flow, Reason, Reject, Stage};
use crate::messages::{Inlet, Outlet};
use t3b_decode::worker::{Decoder, Isolation, WorkerError};
use t3b_decode::{Limits, Rendering, decoded_bytes_with};
use t3b_image::pool::ScratchPool;
use t3b_image::resize::{Framing, Resizer};

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
    /// From a picture to the model's square, or `None` to keep the picture's own size.
    pub framing: Option<Framing>,
}

impl DecodeRule {
    fn rendering_of(&self, fetched: &Fetched) -> Rendering {
        Rendering { frame: fetched.sample.frame, slice: fetched.sample.slice, ..self.rendering }
    }
}

/// Order per image: header limits, decode, then where asked the model's framing. An image that keeps its size keeps its share of the budget.
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
    let n_warned = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&n_warned);
    let weighing = rule.clone();
    let weigh = move |fetched: &Fetched| {
        decoded_bytes_with(&fetched.bytes, &weighing.rendering_of(fetched)).unwrap_or(0)
    };
    let job = move |fetched: Fetched, permit: Option<OwnedSemaphorePermit>| {
        let one = |resizer: &mut _| decode_one(&rule, &decoder, resizer, &fetched, permit, &count);
        Ok(vec![resizers.with(one)?])
    };
    let ended = map_ordered(n_jobs, inlet, outlet, Some((budget, weigh)), job).await;
    let n_warned = n_warned.load(Relaxed);
    if n_warned > 0 {
        let what = "16-bit pictures have most of their values below 5 % of the range and were scored nearly black; \
                    see decode.window and t3b decode";
        tracing::warn!(n = n_warned, "{what}");
    }
    ended
}

impl From<WorkerError> for Problem {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Ended { .. } => {
                let hint = "where the machine is out of memory, lower threads.cpu or memory.budget_mib; then run \
                            the same command again to go on";
                Self::new("P003", Exit::Preempted, error.to_string()).hint(hint)
            }
            WorkerError::Unfit(_) => Self::new("B007", Exit::Bug, error.to_string()).hint(
                "it is this program with the argument __decode; decoder.isolation = \"none\" does without it",
            ),
        }
    }
}

/// The permit goes along with an image that keeps its size, and is given back here with any other.
fn decode_one(
    rule: &DecodeRule,
    decoder: &Decoder,
    resizer: &mut Resizer,
    fetched: &Fetched,
    permit: Option<OwnedSemaphorePermit>,
    n_warned: &AtomicU64,
) -> Result<Flow<Decoded>, Problem> {
    let sample = fetched.sample.clone();
    let (facts, image) = decoder.decode(&fetched.bytes, &rule.limits, &rule.rendering_of(fetched))?;
    n_warned.fetch_add(facts.warning().is_some().into(), Relaxed);
    let image = match image {
        Ok(image) => image,
        Err(error) => {
            return Ok(Flow::Reject(Reject {
                cell: sample.declared,
                sample,
                stage: Stage::Decode,
                reason: Reason::Decode(error.reason),
                detail: error.detail,
                size_bytes: Some(fetched.bytes.len() as u64),
                format: Some(error.format.name()),
                declared_px: error.declared_px,
            }));
        }
    };
    Ok(Flow::Item(match &rule.framing {
        Some(framing) => {
            let pixels = resizer.frame(&image, framing);
            Decoded { sample, pixels, permit: None }
        }
        None => Decoded { sample, pixels: image, permit },
    }))
}
