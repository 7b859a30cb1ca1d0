//! Publishing by one of many workers that all see the last receipt.

use tokio::time::sleep;

use super::Outcome;
use super::next::LOOKS;
use crate::error::RunError;
use crate::flow::stop::{Phase, Stop};
use crate::ledger::{
    Board, ClaimRule, Layout, Plan, check_stands, claim, finalize_plan, is_published, release,
};
use crate::store::Root;

/// Publishes, unless another worker has claimed that and its claim is not too old; then waits for it.
///
/// Publishing twice at once is the same bytes and twice the requests, so the claim saves work and decides nothing. `None` when the
/// process is asked to stop before.
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
    let (layout, number) = (Layout::new(&plan.run_id), plan.n_partitions);
    let mut board = Board::new(number);
    board.look(root, &layout).await?;
    let mut every = LOOKS.0;
    loop {
        check_stands(root, plan).await?;
        if is_published(root, plan).await? {
            return Ok(Some(Outcome::ShardDone { n_missing: 0 }));
        }
        if board.age(number).is_none_or(|age| age >= rule.age) {
            let generation = board.last(number).map_or(0, |last| last.generation + 1);
            if claim(root, &layout, (number, generation), worker).await? {
                return publish(root, plan, &layout, (number, generation)).await.map(Some);
            }
            board.claim(number, generation);
        }
        tokio::select! {
            () = stop.reached(Phase::Draining) => return Ok(None),
            () = sleep(every) => every = (every * 2).min(LOOKS.1),
        }
    }
}

async fn publish(root: &Root, plan: &Plan, layout: &Layout, ours: (u32, u32)) -> Result<Outcome, RunError> {
    let published = finalize_plan(root, plan.clone()).await;
    if published.is_err() {
        // Nobody waits for a publisher that has failed; what it failed with is said whether or not this works.
        let _old_anyway = release(root, layout, ours).await;
    }
    published.map(Outcome::Published)
}
