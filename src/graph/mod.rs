//! The graph, on one screen: `source -> decode -> corrupt -> batch -> score -> sink`.
//!
//! Every stage owns the ends of its links, so a stage that ends is heard on both sides. Only the source hears
//! [`Stop`]. The first fault names the run ([`verdict`]).

pub mod batch;
pub mod corrupt;
pub mod decode;
pub mod lane;
mod pictures;
pub mod sink;

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::task::JoinSet;

use crate::error::Problem;
use crate::flow::budget::ByteBudget;
use crate::flow::link::link;
use crate::flow::meter::Meter;
use crate::flow::stop::Stop;
use crate::flow::verdict::{StageEnd, verdict};
use crate::flow::{Stage, watchdog};
use crate::messages::Mixing;
use crate::source::{Manifest, SourceRule, Todo, source};
use crate::store::Root;
use batch::{Batcher, batch};
use corrupt::CorruptRule;
use decode::DecodeRule;
use lane::ReadyLanes;
pub use pictures::pictures;
use sink::{SinkRule, sink};

/// Everything the stages need, by value.
#[derive(Debug)]
pub struct Graph {
    /// Where objects are read.
    pub input: Root,
    /// Where tables are written.
    pub output: Root,
    /// The frozen manifest.
    pub manifest: Arc<Manifest>,
    /// Partitions to score, in order.
    pub todo: Todo,
    /// Rules of the stages, in flow order.
    pub rules: Rules,
    /// The lanes, on the threads that own them.
    pub lanes: ReadyLanes,
}

/// What the graph may take from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Messages between stages.
    pub queues: Queues,
    /// Decode and corrupt jobs at once.
    pub n_cpu: usize,
    /// Bytes of compressed and decoded images in flight.
    pub budget_bytes: u64,
    /// How long nothing may move before the run is given up.
    pub stall_deadline: Duration,
}

/// Capacity of each link, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// source to decode.
    pub fetched: NonZeroUsize,
    /// decode to corrupt.
    pub decoded: NonZeroUsize,
    /// corrupt to batch.
    pub corrupted: NonZeroUsize,
    /// batch to score.
    pub batches: NonZeroUsize,
    /// score to sink.
    pub scored: NonZeroUsize,
}

/// Rules of the stages, in flow order.
#[derive(Debug, Clone)]
pub struct Rules {
    /// source
    pub source: SourceRule,
    /// decode
    pub decode: DecodeRule,
    /// corrupt
    pub corrupt: CorruptRule,
    /// batch: samples of a full batch, and which cells share one
    pub batch: (u32, Mixing),
    /// sink
    pub sink: SinkRule,
}

type End = (Stage, Result<(), StageEnd>);

/// Scores and commits `graph.todo`. Returns when every stage has ended, or when nothing moves any more.
///
/// # Errors
/// The first fault of any stage; `P002` when the run is stalled.
pub async fn score_partitions(
    graph: Graph,
    resources: Resources,
    stop: Stop,
    meter: Meter,
) -> Result<(), Problem> {
    let started = Instant::now();
    let flowed = flow(graph, resources, stop, &meter).await;
    meter.ran(started.elapsed());
    flowed
}

async fn flow(graph: Graph, resources: Resources, stop: Stop, meter: &Meter) -> Result<(), Problem> {
    let (queues, n_cpu) = (resources.queues, resources.n_cpu);
    let (compressed, decoded) = ByteBudget::split(resources.budget_bytes);
    let (to_decode, from_source) = link(queues.fetched, &meter.source, &meter.decode);
    let (to_corrupt, from_decode) = link(queues.decoded, &meter.decode, &meter.corrupt);
    let (to_batch, from_corrupt) = link(queues.corrupted, &meter.corrupt, &meter.batch);
    let (to_score, from_batch) = link(queues.batches, &meter.batch, &meter.score);
    let (to_sink, from_score) = link(queues.scored, &meter.score, &meter.sink);
    let Graph { input, output, manifest, todo, rules, lanes } = graph;
    let batcher = Batcher::new(rules.batch.0, rules.batch.1, rules.corrupt.n_made, rules.corrupt.cells.len());

    let costs = lanes.costs.clone();
    let mut stages = JoinSet::new();
    let read = source(rules.source, input, manifest, todo, compressed, stop, to_decode);
    spawn(&mut stages, Stage::Source, read);
    spawn(&mut stages, Stage::Decode, decode::run(rules.decode, n_cpu, decoded, from_source, to_corrupt));
    spawn(&mut stages, Stage::Corrupt, corrupt::run(rules.corrupt, n_cpu, from_decode, to_batch));
    spawn(&mut stages, Stage::Batch, batch(batcher, from_corrupt, to_score));
    spawn(&mut stages, Stage::Score, lanes.run(from_batch, to_sink));
    spawn(&mut stages, Stage::Sink, sink(rules.sink, output, from_score, meter.clone()));

    let mut ends: Vec<End> = Vec::new();
    let mut stalled = std::pin::pin!(watchdog::stalled(meter, || costs.n_passes(), resources.stall_deadline));
    loop {
        tokio::select! {
            ended = stages.join_next() => match ended {
                Some(Ok(end)) => ends.push(end),
                Some(Err(_)) => {}
                None => return verdict(&ends).map_or(Ok(()), Err),
            },
            // Dropping the stages gives their work up; the lanes' threads end with the stage or the process.
            problem = &mut stalled => return Err(problem),
        }
    }
}

fn spawn<F>(stages: &mut JoinSet<End>, stage: Stage, work: F)
where
    F: Future<Output = Result<(), StageEnd>> + Send + 'static,
{
    stages.spawn(async move {
        let end = AssertUnwindSafe(work).catch_unwind().await;
        (stage, end.unwrap_or_else(|payload| Err(StageEnd::from_panic(payload.as_ref()))))
    });
}
