//! Claims: who says that they work on a partition, or publish a span of them, so that others take another one.
//!
//! A claim decides nothing. It is created under the partition's or span's number and a generation; whoever finds the last one too old
//! creates the next generation, and of several who try one wins. Where claims are lost, ignored, or wrong in every way, a
//! partition is scored twice to the same bytes and its receipt says whose count.
//!
//! Ages are told by the store's own times alone, so no clock of a machine matters: [`StoreClock`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::{Claimed, Layout, MAX_JSON_BYTES, is_run_id};
use super::receipt::{Listed, before_all, committed_from};
use super::span::recorded;
use crate::error::{Problem, RunError};
use crate::store::{Created, Root};

/// Partitions that must have been claimed and committed before their median says how long one takes.
const FEW: usize = 3;
/// Stores tell whole seconds, so no claim is older than it looks by less.
const LEAST_AGE: Duration = Duration::from_secs(2);

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Name of the worker, as in its receipts.
    pub worker: String,
    /// The worker's own time, RFC 3339; information only.
    pub claimed_at: String,
}

/// The last claim on a partition, as the store lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastClaim {
    /// From 0; each generation passes over the one before.
    pub generation: u32,
    /// The store's time in milliseconds since 1970.
    pub at_ms: i64,
}

/// When claims are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRule {
    /// Age while no median is known, and of the claim on publishing.
    pub age: Duration,
    /// Otherwise: this many times the median from claim to receipt.
    pub factor: u32,
}

/// The store's time, from what it has listed: never later than it is there, and going on by itself.
#[derive(Debug, Clone, Copy)]
struct StoreClock {
    newest_ms: i64,
    seen: Instant,
}

impl StoreClock {
    fn now_ms(&self) -> i64 {
        self.newest_ms.saturating_add(millis(self.seen.elapsed()))
    }

    fn see(&mut self, newest_ms: i64) {
        if newest_ms > self.now_ms() {
            *self = Self { newest_ms, seen: Instant::now() };
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What listings have shown of a run: what is done, what is claimed, and the store's time. What it says of partitions and their
/// receipts, a board of spans says of spans and their records.
#[derive(Debug)]
pub struct Board {
    on: Claimed,
    n_partitions: u32,
    committed: Vec<bool>,
    n_committed: usize,
    claims: BTreeMap<u32, LastClaim>,
    clock: StoreClock,
    median: Option<Duration>,
}

impl Board {
    /// Knows nothing yet of a run of `n_partitions`.
    #[must_use]
    pub fn new(n_partitions: u32) -> Self {
        Self::on(Claimed::Partition, n_partitions)
    }

    /// Knows nothing yet of a run of `n_spans`.
    #[must_use]
    pub fn of_spans(n_spans: u32) -> Self {
        Self::on(Claimed::Span, n_spans)
    }

    fn on(on: Claimed, n_partitions: u32) -> Self {
        Self {
            on,
            n_partitions,
            committed: vec![false; n_partitions as usize],
            n_committed: 0,
            claims: BTreeMap::new(),
            clock: StoreClock { newest_ms: i64::MIN / 2, seen: Instant::now() },
            median: None,
        }
    }

    /// What two listings show.
    pub(super) fn of(n_partitions: u32, claims: &BTreeMap<u32, LastClaim>, receipts: &Listed) -> Self {
        let mut board = Self::new(n_partitions);
        board.take_in(claims.clone(), receipts);
        board
    }

    /// Lists claims, then receipts: two listings. What is known to be done up to the first that is missing is not listed again.
    ///
    /// # Errors
    /// Store failures.
    pub async fn look(&mut self, root: &Root, layout: &Layout) -> Result<(), RunError> {
        let known = self.first_open();
        // What is behind the last is claimed under the number behind its own.
        let after = before_all(known, self.n_partitions.saturating_add(1));
        let claims = last_claims(root, layout, self.on, after.as_deref()).await?;
        let listed = match self.on {
            Claimed::Partition => committed_from(root, layout, self.n_partitions, known).await?,
            Claimed::Span => recorded(root, layout, self.n_partitions).await?,
        };
        self.take_in(claims, &listed);
        Ok(())
    }

    /// The first partition that is not known to have a receipt.
    fn first_open(&self) -> u32 {
        let first = self.committed.iter().position(|is_committed| !is_committed);
        first.and_then(|first| u32::try_from(first).ok()).unwrap_or(self.n_partitions)
    }

    fn take_in(&mut self, claims: BTreeMap<u32, LastClaim>, listed: &Listed) {
        let times = listed.receipts.iter().map(|&(_, at)| at).chain(claims.values().map(|claim| claim.at_ms));
        if let Some(newest_ms) = times.max() {
            self.clock.see(newest_ms);
        }
        for &(partition, _) in &listed.receipts {
            self.commit(partition);
        }
        // Where nothing new was listed, what was known before stands.
        self.median = median(&claims, &listed.receipts).or(self.median);
        self.claims = claims;
    }

    /// Notes that a partition has a receipt.
    pub fn commit(&mut self, partition: u32) {
        if let Some(is_committed) = self.committed.get_mut(partition as usize) {
            self.n_committed += usize::from(!*is_committed);
            *is_committed = true;
        }
    }

    /// Notes that a claim of that generation is there, ours or another's.
    pub fn claim(&mut self, partition: u32, generation: u32) {
        let at_ms = self.clock.now_ms();
        self.claims.insert(partition, LastClaim { generation, at_ms });
    }

    /// Whether every partition has a receipt.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.n_committed == self.committed.len()
    }

    /// The age from which claims are passed over.
    #[must_use]
    pub fn bound(&self, rule: ClaimRule) -> Duration {
        self.median.map_or(rule.age, |median| median.saturating_mul(rule.factor)).max(LEAST_AGE)
    }

    /// The last claim on a partition.
    #[must_use]
    pub fn last(&self, partition: u32) -> Option<LastClaim> {
        self.claims.get(&partition).copied()
    }

    /// How old the last claim on a partition is; `None` where there is none.
    #[must_use]
    pub fn age(&self, partition: u32) -> Option<Duration> {
        let claim = self.claims.get(&partition)?;
        Some(Duration::from_millis(
            u64::try_from(self.clock.now_ms().saturating_sub(claim.at_ms)).unwrap_or(0),
        ))
    }

    /// The next partition to claim and the generation to claim it with: without receipt, not `skipped`, and unclaimed; where all are
    /// claimed, the one whose last claim is the oldest and over the bound. `start` is where the search begins, so that workers
    /// do not meet at every partition.
    #[must_use]
    pub fn next(&self, start: u32, rule: ClaimRule, is_skipped: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let split = start.min(self.n_partitions);
        let missing = (split..self.n_partitions)
            .chain(0..split)
            .filter(|&p| !self.committed[p as usize] && !is_skipped(p));
        let mut oldest: Option<(Duration, u32, u32)> = None;
        let bound = self.bound(rule);
        for partition in missing {
            let Some(claim) = self.claims.get(&partition) else { return Some((partition, 0)) };
            let age = self.age(partition).unwrap_or_default();
            if age >= bound && oldest.is_none_or(|(known, ..)| age > known) {
                oldest = Some((age, partition, claim.generation + 1));
            }
        }
        oldest.map(|(_, partition, generation)| (partition, generation))
    }
}

/// The median time from a partition's only claim to its receipt.
fn median(claims: &BTreeMap<u32, LastClaim>, receipts: &[(u32, i64)]) -> Option<Duration> {
    let taken = receipts.iter().filter_map(|(partition, at_ms)| {
        let claim = claims.get(partition).filter(|claim| claim.generation == 0)?;
        u64::try_from(at_ms - claim.at_ms).ok()
    });
    let mut taken: Vec<u64> = taken.collect();
    taken.sort_unstable();
    (taken.len() >= FEW).then(|| Duration::from_millis(taken[taken.len() / 2]))
}

/// The last claim on each partition or span, from one listing, of names behind `after` alone.
///
/// # Errors
/// Store failures.
pub(super) async fn last_claims(
    root: &Root,
    layout: &Layout,
    on: Claimed,
    after: Option<&str>,
) -> Result<BTreeMap<u32, LastClaim>, RunError> {
    let mut claims: BTreeMap<u32, LastClaim> = BTreeMap::new();
    let see = |entry: crate::store::Listed| {
        let Some((partition, generation)) = layout.claim_of(on, &entry.name) else { return };
        let claim = LastClaim { generation, at_ms: entry.modified_ms };
        let last = claims.entry(partition).or_insert(claim);
        if generation > last.generation {
            *last = claim;
        }
    };
    root.each_listed(&layout.claims(on), after, "claims", see).await.map_err(Problem::from)?;
    Ok(claims)
}

/// Claims a partition for `worker`; `false` when somebody else was first.
///
/// # Errors
/// Store failures.
pub async fn claim(root: &Root, layout: &Layout, ours: (u32, u32), worker: &str) -> Result<bool, RunError> {
    claim_on(root, layout, (Claimed::Partition, ours.0, ours.1), worker).await
}

/// [`claim`] of a partition or a span: on which, its number, the generation.
///
/// # Errors
/// Store failures.
pub(crate) async fn claim_on(
    root: &Root,
    layout: &Layout,
    (on, number, generation): (Claimed, u32, u32),
    worker: &str,
) -> Result<bool, RunError> {
    let claimed_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let claim = Claim { worker: worker.to_owned(), claimed_at };
    let bytes = Bytes::from(serde_json::to_vec(&claim).expect("a claim has a JSON text"));
    let created = root.create(&layout.claim(on, number, generation), &object(on, number), bytes).await;
    Ok(created.map_err(Problem::from)? == Created::Ours)
}

fn object(on: Claimed, number: u32) -> String {
    match on {
        Claimed::Partition => format!("claim on partition {number}"),
        Claimed::Span => format!("claim on publishing span {number}"),
    }
}

/// Takes a claim back that nothing was done about.
///
/// # Errors
/// Store failures.
pub async fn release(root: &Root, layout: &Layout, ours: (u32, u32)) -> Result<(), RunError> {
    release_on(root, layout, (Claimed::Partition, ours.0, ours.1)).await
}

/// [`release`] of a claim on a partition or a span.
///
/// # Errors
/// Store failures.
pub(crate) async fn release_on(
    root: &Root,
    layout: &Layout,
    (on, number, generation): (Claimed, u32, u32),
) -> Result<(), RunError> {
    let key = layout.claim(on, number, generation);
    Ok(root.delete(&key, &object(on, number)).await.map_err(Problem::from)?)
}

/// Whether `text` can name a worker: it stands in claims, receipts and what is printed of them.
#[must_use]
pub fn is_worker_name(text: &str) -> bool {
    is_run_id(text)
}

/// What a listed claim says; `None` when it is gone or no claim.
///
/// # Errors
/// Store failures.
pub(super) async fn read_claim(
    root: &Root,
    layout: &Layout,
    partition: u32,
    generation: u32,
) -> Result<Option<Claim>, RunError> {
    let key = layout.claim(Claimed::Partition, partition, generation);
    let found = root.read(&key, &object(Claimed::Partition, partition), MAX_JSON_BYTES).await;
    Ok(found.map_err(Problem::from)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: ClaimRule = ClaimRule { age: Duration::from_secs(60), factor: 2 };

    fn board(claims: &[(u32, u32, i64)], receipts: &[(u32, i64)]) -> Board {
        let mut board = Board::new(6);
        let claims = claims.iter().map(|&(p, generation, at_ms)| (p, LastClaim { generation, at_ms }));
        board.take_in(claims.collect(), &Listed { receipts: receipts.to_vec(), foreign: Vec::new() });
        board
    }

    fn advance(board: &mut Board, seconds: u64) {
        board.clock.seen -= Duration::from_secs(seconds);
    }

    fn age_s(board: &Board, partition: u32) -> Option<u64> {
        board.age(partition).map(|age| age.as_secs())
    }

    #[test]
    fn the_unclaimed_come_first_and_then_the_oldest_over_the_bound() {
        let mut board = board(&[(0, 0, 1_000), (1, 0, 2_000), (2, 1, 1_500)], &[]);
        assert_eq!(board.next(0, RULE, |_| false), Some((3, 0)));
        assert_eq!(board.next(5, RULE, |_| false), Some((5, 0)));
        for partition in 3..6 {
            board.commit(partition);
        }
        assert_eq!(board.next(0, RULE, |_| false), None, "all claims are young");
        advance(&mut board, 59);
        assert_eq!(board.next(0, RULE, |_| false), Some((0, 1)), "60 s old, and no other is");
        advance(&mut board, 2);
        assert_eq!(board.next(0, RULE, |_| false), Some((0, 1)), "the oldest of all");
        assert_eq!(board.next(0, RULE, |p| p == 0), Some((2, 2)), "the oldest of the others, claimed again");
    }

    #[test]
    fn a_median_of_few_says_nothing_and_one_of_more_sets_the_bound() {
        let claims = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 1, 0)];
        assert_eq!(board(&claims, &[(0, 4_000), (1, 8_000), (3, 99)]).bound(RULE), RULE.age);
        let known = board(&claims, &[(0, 4_000), (1, 8_000), (2, 90_000), (3, 99)]);
        assert_eq!(known.bound(RULE), Duration::from_secs(16));
        let quick = board(&claims, &[(0, 1), (1, 1), (2, 1)]);
        assert_eq!(quick.bound(RULE), LEAST_AGE);
    }

    #[test]
    fn ages_are_the_stores_and_go_on_when_it_is_silent() {
        let mut board = board(&[(0, 0, 5_000), (1, 0, 9_000)], &[]);
        assert_eq!(age_s(&board, 0), Some(4));
        advance(&mut board, 3);
        assert_eq!(age_s(&board, 0), Some(7));
        // A listing without anything new does not turn the clock back.
        board.take_in(board.claims.clone(), &Listed::default());
        assert_eq!((age_s(&board, 1), age_s(&board, 5)), (Some(3), None));
    }

    #[test]
    fn a_run_without_partitions_is_done() {
        assert!(Board::new(0).is_done() && !Board::new(1).is_done());
    }
}
