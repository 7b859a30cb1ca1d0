//! Where a worker's next partition comes from: claims beside other workers, or numbers that an engine sends.

use std::io::{BufRead, Read};
use std::time::Duration;

use futures::stream;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::error::{Exit, Problem, RunError, quoted};
use crate::flow::open::Open;
use crate::flow::ordered::off_io;
use crate::flow::stop::{Phase, Stop};
use crate::ledger::{Board, ClaimRule, Layout, Plan, check_stands, claim, is_committed, release};
use crate::source::{Partition, Todo};
use crate::store::Root;

/// Partitions that are claimed ahead of the one that is scored, so that reading and scoring overlap.
const AHEAD: usize = 1;
/// Claims in a row that others had before, after which the listing is old.
const MISSES: u32 = 4;
/// How often a worker that waits says so.
const TICK: Duration = Duration::from_millis(100);
/// Time between two looks at what others do, the shortest and the longest.
pub(super) const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Most bytes of a line with a partition's number.
const MAX_LINE_BYTES: u64 = 32;

/// Which partitions of a run a call works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Work {
    /// All.
    #[default]
    All,
    /// Partitions `p` with `p % n == k`, as `(k, n)`.
    Shard(u32, u32),
    /// One after the other, each claimed, beside any number of other workers.
    Claimed,
    /// Those whose numbers come on standard input.
    Asked,
}

impl Work {
    /// Whether a partition may be this call's.
    pub(super) fn takes(self, partition: u32) -> bool {
        match self {
            Self::Shard(k, n) => partition % n == k,
            Self::All | Self::Claimed | Self::Asked => true,
        }
    }
}

/// What both kinds of worker share.
pub(super) struct Desk {
    pub(super) root: Root,
    pub(super) layout: Layout,
    pub(super) plan: Plan,
    pub(super) open: Open,
    pub(super) stop: Stop,
}

impl Desk {
    pub(super) fn new(root: Root, plan: &Plan, open: Open, stop: Stop) -> Self {
        let (layout, plan) = (Layout::new(&plan.run_id), plan.clone());
        Self { root, layout, plan, open, stop }
    }

    fn partition(&self, index: u32) -> Option<Partition> {
        let rows = self.plan.rows_of(index);
        (index < self.plan.n_partitions).then_some(Partition { index, rows })
    }

    fn is_stopped(&self) -> bool {
        self.stop.phase() >= Phase::Draining
    }

    /// What `work` comes to, or `None` once the process is asked to stop. Nothing stalls while no partition is open.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut stop, mut work) = (self.stop.clone(), std::pin::pin!(work));
        loop {
            tokio::select! {
                biased;
                () = stop.reached(Phase::Draining) => return None,
                done = &mut work => return Some(done),
                () = sleep(TICK) => {
                    if self.open.n_open() == 0 {
                        self.open.waited();
                    }
                }
            }
        }
    }

    /// Waits while `partition` is open here; `None` once the process is asked to stop.
    async fn settled(&self, partition: u32) -> Option<()> {
        while self.open.has(partition) {
            self.unless_stopped(self.open.at_most(self.open.n_open().saturating_sub(1))).await?;
        }
        Some(())
    }

    /// Waits until one more partition may be begun; `None` once the process is asked to stop.
    async fn room(&self) -> Option<()> {
        self.unless_stopped(self.open.at_most(AHEAD)).await
    }
}

/// Claims partitions that have no receipt, first those that nobody has claimed.
pub(super) struct Claims {
    desk: Desk,
    worker: String,
    rule: ClaimRule,
    board: Board,
    start: u32,
    n_misses: u32,
}

impl Claims {
    /// Looks at the run once; `worker` decides where the search for partitions begins.
    pub(super) async fn begin(desk: Desk, worker: &str, rule: ClaimRule) -> Result<Self, RunError> {
        let n_partitions = desk.plan.n_partitions;
        let mut board = Board::new(n_partitions);
        board.look(&desk.root, &desk.layout).await?;
        Ok(Self {
            desk,
            worker: worker.to_owned(),
            rule,
            board,
            start: start_of(worker, n_partitions),
            n_misses: 0,
        })
    }

    /// The partitions as the source asks for them.
    pub(super) fn todo(self) -> Todo {
        let open = self.desk.open.clone();
        let claimed = stream::try_unfold(self, |mut claims| async move {
            let next = claims.next().await.map_err(RunError::into_first)?;
            Ok(next.map(|partition| (partition, claims)))
        });
        Todo::asked(claimed, open)
    }

    /// The next partition, claimed; `None` when all have receipts or the process is asked to stop.
    async fn next(&mut self) -> Result<Option<Partition>, RunError> {
        if self.desk.room().await.is_none() {
            return Ok(None);
        }
        let mut is_fresh = false;
        while !self.board.is_done() && !self.desk.is_stopped() {
            let next = self.board.next(self.start, self.rule, |partition| self.desk.open.has(partition));
            match next {
                // What nobody has claimed is taken on the word of an old listing, for the claim itself is looked at; another's is not.
                Some((partition, generation)) if generation == 0 || is_fresh => {
                    if let Some(claimed) = self.take(partition, generation).await? {
                        return Ok(Some(claimed));
                    }
                    is_fresh = false;
                }
                _ => {
                    if is_fresh && self.wait().await.is_none() {
                        return Ok(None);
                    }
                    self.look().await?;
                    is_fresh = true;
                }
            }
        }
        Ok(None)
    }

    async fn look(&mut self) -> Result<(), RunError> {
        self.n_misses = 0;
        self.board.look(&self.desk.root, &self.desk.layout).await
    }

    /// Until a claim may have become old, or a partition of our own is committed.
    async fn wait(&self) -> Option<()> {
        let bound = self.board.bound(self.rule);
        // Of long partitions many workers wait long, and each look lists claims and receipts.
        let quarter = (bound / 4).clamp(LOOKS.0, LOOKS.1.max(bound / 100));
        let n_open = self.desk.open.n_open();
        self.desk
            .unless_stopped(async {
                tokio::select! {
                    () = sleep(quarter) => {}
                    () = self.desk.open.at_most(n_open.saturating_sub(1)), if n_open > 0 => {}
                }
            })
            .await
    }

    /// Claims one partition; `None` when another was first, when it is committed, or when the process is asked to stop.
    async fn take(&mut self, partition: u32, generation: u32) -> Result<Option<Partition>, RunError> {
        let (root, layout) = (&self.desk.root, &self.desk.layout);
        let is_ours = claim(root, layout, (partition, generation), &self.worker).await?;
        self.board.claim(partition, generation);
        if !is_ours {
            self.n_misses += 1;
            if self.n_misses >= MISSES {
                self.look().await?;
            }
            return Ok(None);
        }
        if let Err(problem) = check_stands(root, &self.desk.plan).await {
            // Nothing of a withdrawn run is left by whoever came late.
            release(root, layout, (partition, generation)).await?;
            return Err(problem.into());
        }
        if is_committed(root, layout, partition).await? {
            self.board.commit(partition);
            return Ok(None);
        }
        if self.desk.is_stopped() {
            release(root, layout, (partition, generation)).await?;
            return Ok(None);
        }
        if generation > 0 {
            tracing::info!(partition, generation, "an old claim is passed over");
        }
        (self.n_misses, self.start) = (0, partition + 1);
        Ok(self.desk.partition(partition))
    }
}

/// Where a worker's search begins: names that are alike begin far from each other.
pub(super) fn start_of(worker: &str, n_partitions: u32) -> u32 {
    let digest = Sha256::digest(worker.as_bytes());
    let drawn = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    drawn % n_partitions.max(1)
}

/// Reads numbers of partitions, one a line.
pub(super) struct Asked<R> {
    desk: Desk,
    lines: Option<R>,
}

impl<R: BufRead + Send + 'static> Asked<R> {
    pub(super) fn new(desk: Desk, lines: R) -> Self {
        Self { desk, lines: Some(lines) }
    }

    /// The partitions as the source asks for them.
    pub(super) fn todo(self) -> Todo {
        let open = self.desk.open.clone();
        let asked = stream::try_unfold(self, |mut asked| async move {
            let next = asked.next().await.map_err(RunError::into_first)?;
            Ok(next.map(|partition| (partition, asked)))
        });
        Todo::asked(asked, open)
    }

    /// The next partition without a receipt; `None` at the end of the lines, or when the process is asked to stop.
    async fn next(&mut self) -> Result<Option<Partition>, RunError> {
        if self.desk.room().await.is_none() {
            return Ok(None);
        }
        while let Some(mut lines) = self.lines.take() {
            let reading = off_io(move || {
                let mut line = Vec::new();
                let read = lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
                (lines, read.map(|_| line))
            });
            let Some((lines, line)) = self.desk.unless_stopped(reading).await else { return Ok(None) };
            let line = line.map_err(|_| bad_line("a line that cannot be read"))?;
            if line.is_empty() {
                return Ok(None);
            }
            self.lines = Some(lines);
            let text = String::from_utf8_lossy(&line);
            let partition = self.partition(text.trim())?;
            if self.desk.settled(partition.index).await.is_none() {
                return Ok(None);
            }
            if !is_committed(&self.desk.root, &self.desk.layout, partition.index).await? {
                return Ok(Some(partition));
            }
            self.desk.open.found(partition.index).await;
        }
        Ok(None)
    }

    fn partition(&self, text: &str) -> Result<Partition, Problem> {
        let found = text.parse::<u32>().ok().and_then(|number| self.desk.partition(number));
        let n_partitions = self.desk.plan.n_partitions;
        found.ok_or_else(|| {
            bad_line(&quoted(text)).hint(format!("the run has {n_partitions} partitions, counted from 0"))
        })
    }
}

fn bad_line(found: &str) -> Problem {
    let what =
        format!("standard input: found {found}, allowed the number of a partition of the run on each line");
    Problem::new("C032", Exit::Usage, what)
        .hint("t3b plan PIPELINE says how many partitions there are; they count from 0")
}
