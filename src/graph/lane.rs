//! The lanes' own OS threads: made first, so that their numerics are known before anything is planned; linked later.
//!
//! A lane takes whole batches, and what it says of one depends on nothing but the batch. So any lane may take any batch, and
//! only the order of what leaves has to be restored: as many batches are under way as all lanes have at once, and results leave in
//! the order in which batches came.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use async_channel::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Exit, Problem};
use crate::flow::budget::ByteBudget;
use crate::flow::ordered::{driven, follow_ordered};
use crate::flow::verdict::{StageEnd, panic_text, verdict};
use crate::flow::{Flow, Stage};
use crate::messages::{Batch, Inlet, Outlet, Scored};
use crate::score::{Costs, Lane};

/// What a lane says of a batch, or the text of its panic.
type Answer = Result<Result<Scored, Problem>, String>;

/// A batch and who waits for the answer.
type Question = (Batch, oneshot::Sender<Answer>);

/// Bytes of a batch.
type Weigh = fn(&Batch) -> u64;

/// What is known of a lane that stands ready: its canary, its costs, and batches that it has under way.
type Ready = Result<(String, Costs, usize), StageEnd>;

/// Lanes on their threads, waiting for batches. Dropping it ends the threads.
#[derive(Debug)]
pub struct ReadyLanes {
    /// Hash of the logits of two fixed images: the numerics of these devices and this program.
    pub canary: String,
    /// Where the time of all lanes' scoring goes.
    pub costs: Costs,
    questions: Sender<Question>,
    /// As many as all lanes take at once.
    n_under_way: usize,
}

impl ReadyLanes {
    /// Makes lanes on threads of their own, side by side, and asks each for its canary.
    ///
    /// # Errors
    /// Whatever kept a lane from being made; `D002` when two devices give different numbers.
    pub async fn start<L>(makes: Vec<L>) -> Result<Self, Problem>
    where
        L: FnOnce() -> Result<Lane, Problem> + Send + 'static,
    {
        let (questions, asked) = async_channel::bounded(makes.len().max(1));
        let started: Vec<oneshot::Receiver<Ready>> =
            makes.into_iter().enumerate().map(|(n, make)| thread_of(n, make, asked.clone())).collect();
        let (mut canaries, mut costs, mut n_under_way) = (Vec::new(), Vec::new(), 0);
        for ready in started {
            match ready.await.unwrap_or(Err(StageEnd::Torn)) {
                Ok((canary, cost, n_of_lane)) => {
                    n_under_way += n_of_lane;
                    canaries.push(canary);
                    costs.push(cost);
                }
                Err(end) => return Err(verdict(&[(Stage::Score, Err(end))]).expect("an error has a verdict")),
            }
        }
        let canary = canaries.first().cloned().unwrap_or_default();
        if canaries.iter().any(|other| *other != canary) {
            let what = "device.kind: the devices give different numbers for the same images";
            return Err(Problem::new("D002", Exit::Config, what)
                .hint("rows must not depend on who scored them; name devices of one model"));
        }
        Ok(Self { canary, costs: Costs::joined(costs), questions, n_under_way })
    }

    /// Scores what comes and sends it on in order; rejects and seals keep their place.
    pub(super) async fn run(self, inlet: Inlet<Batch>, outlet: Outlet<Scored>) -> Result<(), StageEnd> {
        let (questions, meter) = (self.questions, inlet.meter());
        let follow = move |batch, _permit: Option<OwnedSemaphorePermit>| {
            let (questions, meter) = (questions.clone(), Arc::clone(&meter));
            driven(async move {
                let started = Instant::now();
                let scored = ask(&questions, batch).await;
                meter.worked(started.elapsed());
                Ok(vec![Flow::Item(scored?)])
            })
        };
        // Batches are bounded by the links; no budget is kept of them here.
        let unweighed = None::<(ByteBudget, Weigh)>;
        follow_ordered(self.n_under_way, inlet, outlet, unweighed, follow).await
    }
}

/// Waits for any lane's answer.
async fn ask(questions: &Sender<Question>, batch: Batch) -> Result<Scored, StageEnd> {
    let (answer, answered) = oneshot::channel();
    let asked = questions.send((batch, answer)).await.is_ok();
    match answered.await {
        Ok(Ok(scored)) => Ok(scored?),
        // The panic is the stage's, wherever it happened.
        Ok(Err(text)) => Err(StageEnd::Panicked(text)),
        Err(_) => panic!("a lane's thread ended without an answer (asked: {asked})"),
    }
}

fn thread_of<L>(n: usize, make: L, asked: Receiver<Question>) -> oneshot::Receiver<Ready>
where
    L: FnOnce() -> Result<Lane, Problem> + Send + 'static,
{
    let (tell, ready) = oneshot::channel();
    let body = move || {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let lane = make()?;
            let canary = lane.canary()?;
            Ok::<_, StageEnd>((lane, canary))
        }));
        match made.unwrap_or_else(|payload| Err(StageEnd::from_panic(payload.as_ref()))) {
            Ok((lane, canary)) => {
                let (n_at_once, n_abreast) = (lane.n_batches_at_once(), lane.n_batches_abreast());
                drop(tell.send(Ok((canary, lane.costs(), n_at_once * n_abreast))));
                thread::scope(|scope| {
                    let answer = || answer(&asked, n_at_once, |batches| lane.score(batches));
                    for _ in 1..n_abreast {
                        // Where the system starts no more threads, this one answers for all.
                        let named = thread::Builder::new().name(format!("lane-{n}"));
                        drop(named.spawn_scoped(scope, answer));
                    }
                    answer();
                });
            }
            Err(end) => drop(tell.send(Err(end))),
        }
    };
    if thread::Builder::new().name(format!("lane-{n}")).spawn(body).is_err() {
        let (tell, ready) = oneshot::channel();
        drop(tell.send(Err(StageEnd::Panicked("the system starts no more threads".to_owned()))));
        return ready;
    }
    ready
}

/// Scores what is asked until nobody can ask any more: what waits, up to `n_at_once` batches, together. A thread whose lane panicked
/// asks it no more.
fn answer(
    asked: &Receiver<Question>,
    n_at_once: usize,
    score: impl Fn(&[Batch]) -> Result<Vec<Scored>, Problem>,
) {
    while let Ok(first) = asked.recv_blocking() {
        let waiting = std::iter::from_fn(|| asked.try_recv().ok()).take(n_at_once - 1);
        let (batches, answers): (Vec<Batch>, Vec<_>) = std::iter::once(first).chain(waiting).unzip();
        let scored = catch_unwind(AssertUnwindSafe(|| score(&batches)));
        let is_broken = scored.is_err();
        tell(scored, answers);
        if is_broken {
            return;
        }
    }
}

/// Each asker gets its batch's rows, and all of them what ended the work on all. Nobody listens when the run has ended already;
/// then an answer does not matter.
fn tell(scored: thread::Result<Result<Vec<Scored>, Problem>>, answers: Vec<oneshot::Sender<Answer>>) {
    match scored {
        Ok(Ok(scored)) => {
            for (scored, answer) in scored.into_iter().zip(answers) {
                drop(answer.send(Ok(Ok(scored))));
            }
        }
        Ok(Err(problem)) => {
            for answer in answers {
                drop(answer.send(Ok(Err(problem.clone()))));
            }
        }
        Err(payload) => {
            let text = panic_text(payload.as_ref());
            for answer in answers {
                drop(answer.send(Err(text.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::flow::Seal;
    use crate::flow::link::link;
    use crate::messages::Slot;

    const N_BATCHES: u64 = 60;

    /// Lanes whose answers follow from the batch alone, after a delay that follows from lane and batch; `fail` may end one. Each
    /// takes up to three batches at once, the first lane one.
    fn lanes(n_lanes: usize, fail: fn(usize, u64) -> Option<Problem>) -> ReadyLanes {
        let (questions, asked) = async_channel::bounded::<Question>(n_lanes);
        for lane in 0..n_lanes {
            let asked = asked.clone();
            thread::spawn(move || {
                let one = |batch: &Batch| {
                    let number = batch.slot.batch;
                    // A delay in work, not in time: some batches take a hundred times as long as others.
                    let n_rounds = (number.wrapping_mul(2_654_435_761) ^ (lane as u64 * 40_503)) % 97;
                    let work: u64 = (0..n_rounds * 2000).map(std::hint::black_box).sum();
                    std::hint::black_box(work);
                    if n_rounds.is_multiple_of(3) {
                        thread::yield_now();
                    }
                    match fail(lane, number) {
                        Some(problem) => Err(problem),
                        None => Ok(scored(batch)),
                    }
                };
                answer(&asked, 1 + 2 * lane.min(1), |batches| batches.iter().map(one).collect());
            });
        }
        ReadyLanes { canary: String::new(), costs: Costs::default(), questions, n_under_way: 3 * n_lanes }
    }

    fn scored(batch: &Batch) -> Scored {
        Scored {
            slot: batch.slot,
            members: Vec::new(),
            signals: Vec::new(),
            features: Some(vec![vec![batch.pixels.iter().map(|byte| f32::from(*byte)).sum()]]),
            methods: Vec::new(),
            rejects: Vec::new(),
            deviation: None,
            scored: (UNIX_EPOCH, UNIX_EPOCH),
        }
    }

    /// What leaves, in order: a batch as its number and what is said of it, a seal as its partition.
    async fn run(lanes: ReadyLanes) -> (Vec<String>, Result<(), StageEnd>) {
        let room = NonZeroUsize::new(2).unwrap();
        let (mut to_lanes, inlet) = link(room, &Arc::default(), &Arc::default());
        let (outlet, mut from_lanes) = link(room, &Arc::default(), &Arc::default());
        let feeding = tokio::spawn(async move {
            for number in 0..N_BATCHES {
                let slot = Slot { batch: number, cell: 0, first_row: number, n_planned: 1 };
                let batch = Batch { slot, members: Vec::new(), pixels: vec![number.to_le_bytes()[0]; 7] };
                if to_lanes.send(Flow::Item(batch)).await.is_err() {
                    return;
                }
                if number % 10 == 9 {
                    let seal = Seal { partition: number as u32 / 10, n_samples: 10, n_by_cell: [10].into() };
                    if to_lanes.send(Flow::Seal(seal)).await.is_err() {
                        return;
                    }
                }
            }
        });
        let running = tokio::spawn(lanes.run(inlet, outlet));
        let mut left = Vec::new();
        while let Ok(Some(message)) = from_lanes.next().await {
            left.push(match message {
                Flow::Item(scored) => format!("{} {:?}", scored.slot.batch, scored.features),
                Flow::Seal(seal) => format!("seal {}", seal.partition),
                Flow::Reject(_) => unreachable!("nothing is rejected here"),
            });
        }
        feeding.await.unwrap();
        (left, running.await.unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn several_lanes_give_what_one_gives_in_its_order() {
        let (one, ended) = run(lanes(1, |_, _| None)).await;
        assert_eq!((ended, one.len()), (Ok(()), 66));
        for n_lanes in [2, 3, 7] {
            assert_eq!(run(lanes(n_lanes, |_, _| None)).await, (one.clone(), Ok(())), "{n_lanes} lanes");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fault_of_one_lane_ends_the_stage_at_its_batch_and_nothing_behind_it_leaves() {
        let (one, _) = run(lanes(1, |_, _| None)).await;
        let fault = |_, number| (number == 23).then(|| Problem::new("N002", Exit::BadData, "out"));
        for n_lanes in [1, 2, 3] {
            let (left, ended) = run(lanes(n_lanes, fault)).await;
            assert!(
                matches!(ended, Err(StageEnd::Fault(ref problem)) if problem.code == "N002"),
                "{ended:?}"
            );
            // Twenty-three batches and two seals came before; those scored together with it end with it.
            let is_alone = n_lanes == 1;
            let n_others = if is_alone { 0 } else { 9 };
            assert!((25 - n_others..=25).contains(&left.len()), "{n_lanes} lanes: {}", left.len());
            assert_eq!(left, one[..left.len()], "{n_lanes} lanes");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_of_one_lane_is_the_stages() {
        let (left, ended) = run(lanes(2, |_, number| (number == 11).then(|| panic!("boom")))).await;
        assert!(matches!(ended, Err(StageEnd::Panicked(ref text)) if text == "boom"), "{ended:?}");
        // Eleven batches and a seal came before, less those scored together with the panicking one.
        assert!((12 - 6..=12).contains(&left.len()), "{}", left.len());
    }
}
