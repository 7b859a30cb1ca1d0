//! The graph, on one screen: `source -> decode -> corrupt -> batch -> score -> sink`. No domain knowledge.
//!
//! Every stage owns the ends of its links, so a stage that ends is heard on both sides. Only the source hears
//! [`stop::Stop`]. The first fault names the run ([`verdict::verdict`]).

pub mod budget;
pub mod link;
pub mod meter;
pub mod ordered;
pub mod progress;
pub mod stop;
pub mod verdict;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::batch::{Batcher, Mixing, batch};
use crate::corrupt::stage::{self as corrupt, CorruptRule};
use crate::decode::stage::{self as decode, DecodeRule};
use crate::error::Problem;
use crate::flow::Stage;
use crate::score::{Lane, score};
use crate::sink::{SinkRule, sink};
use crate::source::{Manifest, Partition, SourceRule, source};
use crate::spec::Settings;
use crate::store::Root;
use budget::ByteBudget;
use link::link;
use meter::Meter;
use stop::{Phase, Stop};
use verdict::{StageEnd, verdict};

/// Everything the stages need, by value.
#[derive(Debug)]
pub struct Graph<L> {
    /// Where objects are read.
    pub input: Root,
    /// Where tables are written.
    pub output: Root,
    /// The frozen manifest.
    pub manifest: Arc<Manifest>,
    /// Partitions to score, in order.
    pub todo: Vec<Partition>,
    /// Rules of the stages, in flow order.
    pub rules: Rules,
    /// Makes the lane, on the thread that will own it.
    pub make_lane: L,
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

/// Scores and commits `graph.todo`. Returns when every stage has ended, or when `stop` aborts.
///
/// # Errors
/// The first fault of any stage.
pub async fn score_partitions<L>(
    graph: Graph<L>,
    settings: &Settings,
    mut stop: Stop,
    meter: Meter,
) -> Result<(), Problem>
where
    L: FnOnce() -> Result<Lane, Problem> + Send + 'static,
{
    let (queues, n_cpu) = (settings.queues, settings.threads.cpu);
    let (compressed, decoded) = ByteBudget::split(settings.budget_bytes);
    let (to_decode, from_source) = link(queues.fetched, Arc::clone(&meter.source));
    let (to_corrupt, from_decode) = link(queues.decoded, Arc::clone(&meter.decode));
    let (to_batch, from_corrupt) = link(queues.corrupted, Arc::clone(&meter.corrupt));
    let (to_score, from_batch) = link(queues.batches, Arc::clone(&meter.batch));
    let (to_sink, from_score) = link(queues.scored, Arc::clone(&meter.score));
    let Graph { input, output, manifest, todo, rules, make_lane } = graph;
    let batcher = Batcher::new(rules.batch.0, rules.batch.1, rules.corrupt.cells.len());

    let mut stages = JoinSet::new();
    let read = source(rules.source, input, manifest, todo, compressed, stop.clone(), to_decode);
    spawn(&mut stages, Stage::Source, read);
    spawn(&mut stages, Stage::Decode, decode::run(rules.decode, n_cpu, decoded, from_source, to_corrupt));
    spawn(&mut stages, Stage::Corrupt, corrupt::run(rules.corrupt, n_cpu, from_decode, to_batch));
    spawn(&mut stages, Stage::Batch, batch(batcher, from_corrupt, to_score));
    let lane = own_thread("lane-0", move || score(&mut make_lane()?, from_batch, to_sink));
    spawn(&mut stages, Stage::Score, lane);
    spawn(&mut stages, Stage::Sink, sink(rules.sink, output, from_score, meter));

    let mut ends: Vec<End> = Vec::new();
    loop {
        tokio::select! {
            ended = stages.join_next() => match ended {
                Some(Ok(end)) => ends.push(end),
                Some(Err(_)) => {}
                None => return verdict(&ends).map_or(Ok(()), Err),
            },
            () = stop.reached(Phase::Aborting) => {
                stages.abort_all();
                return Ok(());
            }
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

/// Runs `work` on an OS thread of its own and waits for its end without blocking the runtime.
async fn own_thread<F>(name: &str, work: F) -> Result<(), StageEnd>
where
    F: FnOnce() -> Result<(), StageEnd> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        let end = std::panic::catch_unwind(AssertUnwindSafe(work));
        let end = end.unwrap_or_else(|payload| Err(StageEnd::from_panic(payload.as_ref())));
        // Nobody listens after an abort; then the end does not matter.
        drop(sender.send(end));
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    if thread.is_err() {
        return Err(StageEnd::Panicked("the system starts no more threads".to_owned()));
    }
    receiver.await.unwrap_or(Err(StageEnd::Torn))
}
