//! Publishing by many workers that all see the last receipt.

use tokio::time::sleep;

use super::Outcome;
use super::next::{LOOKS, start_of};
use crate::error::RunError;
use crate::flow::stop::{Phase, Stop};
use crate::ledger::{
    Board, ClaimRule, Claimed, Layout, Plan, check_stands, claim_on, close, finalize_plan, has_lists,
    is_published, publish_span, release_on,
};
use crate::store::Root;

/// Publishes spans that nobody else has claimed, or whose claim is too old, and once all of them have a record whatever is done once;
/// waits for others where there is nothing else to do. A run of one span is published by one worker.
///
/// Publishing twice at once is the same bytes and twice the requests, so claims save work and decide nothing. `None` when the
/// process is asked to stop before the run is published.
///
/// # Errors
/// As [`finalize_plan`].
pub(super) async fn publish_once(
    root: &Root,
    plan: &Plan,
    worker: &str,
    rule: ClaimRule,
    mut stop: Stop,
) -> Result<Option<Outcome>, RunError> {
    let layout = Layout::new(&plan.run_id);
    // A run without records of spans has nothing that could be shared.
    let n_spans = if has_lists(root, &layout, plan).await? { 0 } else { plan.n_spans() };
    let mut desk = Desk { root, plan, layout, worker, rule, n_spans, board: Board::of_spans(n_spans) };
    let mut every = LOOKS.0;
    loop {
        check_stands(root, plan).await?;
        if is_published(root, plan).await? {
            return Ok(Some(Outcome::ShardDone { n_missing: 0 }));
        }
        if stop.phase() >= Phase::Draining {
            return Ok(None);
        }
        match desk.step().await? {
            Step::Closed(outcome) => return Ok(Some(*outcome)),
            Step::Span => every = LOOKS.0,
            Step::Nothing => tokio::select! {
                () = stop.reached(Phase::Draining) => return Ok(None),
                () = sleep(every) => every = (every * 2).min(LOOKS.1),
            },
        }
    }
}

/// What one look at a run led to.
enum Step {
    /// A span was published, here or elsewhere in the same moment.
    Span,
    /// All is claimed by others.
    Nothing,
    /// The run was published here.
    Closed(Box<Outcome>),
}

struct Desk<'a> {
    root: &'a Root,
    plan: &'a Plan,
    layout: Layout,
    worker: &'a str,
    rule: ClaimRule,
    /// Spans that have records; 0 where the run has lists instead.
    n_spans: u32,
    board: Board,
}

impl Desk<'_> {
    /// Looks at records and claims, and takes what is to be done next.
    async fn step(&mut self) -> Result<Step, RunError> {
        self.board.look(self.root, &self.layout).await?;
        if self.board.is_done() {
            return self.close().await;
        }
        let start = start_of(self.worker, self.n_spans);
        let Some((span, generation)) = self.board.next(start, self.rule, |_| false) else {
            return Ok(Step::Nothing);
        };
        if self.claim(span, generation).await? {
            let published = publish_span(self.root, self.plan, span).await;
            self.unless_failed(published, (span, generation)).await?;
        }
        Ok(Step::Span)
    }

    /// The last step has the number behind the last span. How long it takes no median says.
    async fn close(&mut self) -> Result<Step, RunError> {
        let number = self.n_spans;
        if self.board.age(number).is_some_and(|age| age < self.rule.age) {
            return Ok(Step::Nothing);
        }
        let generation = self.board.last(number).map_or(0, |last| last.generation + 1);
        if !self.claim(number, generation).await? {
            return Ok(Step::Nothing);
        }
        let closed = match number {
            0 => finalize_plan(self.root, self.plan.clone()).await,
            _ => close(self.root, self.plan.clone()).await,
        };
        let closed = self.unless_failed(closed, (number, generation)).await?;
        Ok(Step::Closed(Box::new(Outcome::Published(closed))))
    }

    async fn claim(&self, number: u32, generation: u32) -> Result<bool, RunError> {
        let claim = (Claimed::Span, number, generation);
        claim_on(self.root, &self.layout, claim, self.worker).await
    }

    /// Nobody waits for a publisher that has failed; what it failed with is said whether or not the claim can be taken back.
    async fn unless_failed<T>(
        &self,
        done: Result<T, RunError>,
        (number, generation): (u32, u32),
    ) -> Result<T, RunError> {
        if done.is_err() {
            let _old_anyway = release_on(self.root, &self.layout, (Claimed::Span, number, generation)).await;
        }
        done
    }
}
