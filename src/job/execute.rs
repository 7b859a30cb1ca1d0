//! The steps of a run around the graph: what is left, the lanes, the plan, the graph, publishing.

use std::io::BufReader;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures::{Stream, stream};

use super::next::{Asked, Claims, Desk, Work};
use super::publishing::publish_once;
use super::rules::{corrupt_rule, decode_rule, source_rule};
use super::{Job, Outcome, Request};
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::progress::{Extent, Progress};
use crate::flow::stop::{Phase, Stop};
use crate::graph::corrupt::CorruptAt;
use crate::graph::lane::ReadyLanes;
use crate::graph::sink::SinkRule;
use crate::graph::{Graph, Rules, score_partitions};
use crate::ledger::{
    Attempt, Layout, Listed, Plan, check_stands, committed, finalize_plan, is_published, nonce, read_plan,
    record, withdrawn,
};
use crate::score::{Int8Rule, Lane, LaneRule, Wanted, numerics_class};
use crate::settings::{Settings, Spec};
use crate::source::{Manifest, Partition, Partitions, Todo};
use crate::store::{Created, Root};
use crate::tables::Names;
use crate::watch::{Ended, Subject, Watch};

/// A job whose lanes stand ready; what is left to know is the plan and where tables go.
pub(super) struct Ready {
    pub(super) lanes: ReadyLanes,
    pub(super) rules: Rules,
    pub(super) input: Root,
    pub(super) manifest: Arc<Manifest>,
    pub(super) settings: Settings,
}

impl Job {
    /// Scores what is not committed yet, and publishes once everything is.
    ///
    /// # Errors
    /// The first fault of any stage; `P001` (exit 75) when `stop` ended it early; `R001` when the run was
    /// started with another spec.
    pub async fn run(self, request: &Request, stop: Stop) -> Result<Outcome, RunError> {
        let output = Root::open(&self.spec.pipeline.output.root, true, &self.spec.settings.store)?;
        self.run_on(output, request, stop).await
    }

    /// [`Job::run`] into a store the caller opened.
    ///
    /// # Errors
    /// See [`Job::run`].
    pub async fn run_on(self, output: Root, request: &Request, stop: Stop) -> Result<Outcome, RunError> {
        let ours = self.plan(request)?;
        let subject = self.subject(&ours, request);
        let watch = Watch::start(&self.spec.settings.watch, &request.meter, subject).await;
        let ended = self.carry_out(ours, output, request, stop).await;
        watch.close(&told(&ended)).await;
        ended
    }

    /// What those who watch are told of the run: nothing that identifies.
    fn subject(&self, plan: &Plan, request: &Request) -> Subject {
        Subject {
            pipeline: plan.facts.name.clone(),
            run_id: plan.run_id.clone(),
            shard: match request.work {
                Work::Shard(k, n) => Some((k, n)),
                Work::All | Work::Claimed | Work::Asked => None,
            },
            spec_sha256: plan.spec_sha256.clone(),
            n_samples: plan.n_samples,
            n_methods: (plan.facts.methods.len() + plan.facts.grid.len()) as u64,
        }
    }

    async fn carry_out(
        self,
        ours: Plan,
        output: Root,
        request: &Request,
        stop: Stop,
    ) -> Result<Outcome, RunError> {
        let (layout, n_partitions) = (Layout::new(&ours.run_id), ours.n_partitions as usize);
        tracing::info!(run_id = %ours.run_id, spec_sha256 = %ours.spec_sha256, "run");
        let stored = read_plan(&output, &layout).await?;
        if let Some(stored) = &stored {
            stored.check_same(&ours)?;
        }
        let joins = stored.is_some() && request.work != Work::All;
        let done = committed(&output, &layout, ours.n_partitions).await?;
        if let Some(plan) = stored.filter(|_| done.receipts.len() == n_partitions) {
            let was_published = is_published(&output, &plan).await?;
            if !was_published && matches!(request.work, Work::Claimed | Work::Asked) {
                let worker = request.worker.clone().map_or_else(nonce, Ok)?;
                let shared = publish_once(&output, &plan, &worker, self.spec.settings.claims, stop).await?;
                return shared.ok_or_else(|| preempted(n_partitions, n_partitions).into());
            }
            let published = finalize_plan(&output, plan).await?;
            let outcome = if was_published { Outcome::AlreadyDone } else { Outcome::Published };
            return Ok(outcome(published));
        }
        let todo = Unscored { all: self.partitions(), work: request.work, done };
        if let Some(first) = todo.iter().next() {
            self.look(&first, joins, request.must_score).await?;
        }
        let claims = self.spec.settings.claims;
        let (plan, worker) = self.score(ours, request, todo, output.clone(), stop.clone()).await?;
        let ended = match left(&output, &plan, request.work, stop.phase() > Phase::Running).await {
            Ok(n_missing) if n_missing > 0 => Ok(Outcome::ShardDone { n_missing }),
            Ok(_) => match request.work {
                Work::All | Work::Shard(..) => {
                    finalize_plan(&output, plan.clone()).await.map(Outcome::Published)
                }
                Work::Claimed | Work::Asked => {
                    let published = publish_once(&output, &plan, &worker, claims, stop).await;
                    published.and_then(|outcome| {
                        outcome.ok_or_else(|| preempted(n_partitions, n_partitions).into())
                    })
                }
            },
            Err(error) => Err(error),
        };
        match ended {
            // What failed may be that the run is no more.
            Err(error) => Err(withdrawn(&output, &plan).await.map_or(error, RunError::from)),
            ended => ended,
        }
    }

    async fn score(
        self,
        ours: Plan,
        request: &Request,
        todo: Unscored,
        output: Root,
        stop: Stop,
    ) -> Result<(Plan, String), RunError> {
        let n_partitions = u64::from(self.partitions().n());
        let n_partitions_before = n_partitions - todo.iter().count() as u64;
        let n_batches = self.n_batches(self.partitions());
        let n_batches_before = n_batches - self.n_batches(todo.iter());
        let mut ready = self.ready(ours).await?;
        let plan = freeze(&output, ready.rules.sink.plan, request.allow_other_numerics).await?;
        ready.rules.sink.plan = plan.clone();
        let meter = request.meter.clone();
        let id = nonce()?;
        let worker = request.worker.clone().unwrap_or_else(|| id.clone());
        ready.rules.sink.worker.clone_from(&worker);
        let rules = &ready.rules.sink;
        let mut attempt = Attempt::open(id, &worker, &rules.device, &rules.canary);
        let claims = ready.settings.claims;
        meter.planned_batches.store(n_batches, Relaxed);
        meter.planned_partitions.store(n_partitions, Relaxed);
        let shown = Extent { n_batches, n_batches_before, n_partitions, n_partitions_before };
        let progress = Progress::start(meter.clone(), shown, ready.settings.log);
        let costs = ready.lanes.costs.clone();
        let open = meter.open.clone();
        let desk = || Desk::new(output.clone(), &plan, open.clone(), stop.clone());
        let todo = match request.work {
            Work::All | Work::Shard(..) => Todo::asked(todo.into_stream(), open.clone()),
            Work::Claimed => Claims::begin(desk(), &worker, claims).await?.todo(),
            Work::Asked => Asked::new(desk(), BufReader::new(std::io::stdin())).todo(),
        };
        let scored = ready.go(todo, output.clone(), stop.clone(), meter.clone()).await;
        drop(progress);
        for (stage, counts) in meter.stages() {
            let (sent, blocked_ms) = (counts.n_sent(), counts.blocked().as_millis());
            tracing::debug!(stage, sent, blocked_ms, "stage");
        }
        attempt.count(&meter, costs.seconds());
        record(&output, &plan, attempt.close(scored.as_ref().err())).await?;
        scored?;
        Ok((plan, worker))
    }

    /// Builds the lanes and the rules of every stage; `ours` gets the lanes' canary.
    pub(super) async fn ready(self, mut ours: Plan) -> Result<Ready, Problem> {
        let (tower, compute) = (self.spec.pipeline.models.tower, self.spec.pipeline.models.compute);
        let int8 = self.spec.pipeline.models.int8;
        let wanted = Wanted { config: self.models.pretrained.config(), tower, compute, int8: int8.is_some() };
        let devices = self.spec.settings.devices.pick(&wanted)?;
        let mut rules = self.rules(ours.clone(), numerics_class(&devices[0], compute));
        let Spec { pipeline, settings, .. } = self.spec;
        let rule = LaneRule {
            methods: self.recipes.methods,
            signal_rule: self.recipes.signal_rule,
            temperatures: pipeline.merge.temperatures,
            tower,
            compute,
            batch_size: pipeline.batch_size as usize,
            n_threads: (settings.threads.score / devices.len()).max(1),
            features: pipeline.output.features,
            int8: int8.map(|int8| Int8Rule {
                bound: int8.bound,
                merges: int8.merges,
                n_batches: pipeline.partition_size / pipeline.batch_size.max(1),
            }),
        };
        // The last lane's are the only ones left, which it frees as its device takes them.
        let given = iter::repeat_n((self.models, rule), devices.len());
        let lane = |(device, (models, rule))| move || Lane::new(models, rule, &device);
        let lanes = ReadyLanes::start(devices.into_iter().zip(given).map(lane).collect()).await?;
        ours.canary.clone_from(&lanes.canary);
        rules.sink.canary.clone_from(&lanes.canary);
        rules.sink.plan = ours;
        Ok(Ready { lanes, rules, input: self.input, manifest: self.manifest, settings })
    }

    fn rules(&self, plan: Plan, device: &str) -> Rules {
        let pipeline = &self.spec.pipeline;
        let (cells, n_made) = (Arc::clone(&self.manifest.cells), self.manifest.n_made);
        let framing = self.models.preprocess.framing;
        let is_corrupted_first = pipeline.corrupt.at == CorruptAt::Source;
        Rules {
            source: source_rule(&self.spec, (n_made, cells.len())),
            decode: decode_rule(&self.spec, self.decoder.as_path(), (!is_corrupted_first).then_some(framing)),
            corrupt: corrupt_rule(
                &self.spec,
                Arc::clone(&cells),
                n_made,
                is_corrupted_first.then_some(framing),
            ),
            batch: (pipeline.batch_size, pipeline.mixing),
            sink: SinkRule {
                plan,
                names: Names {
                    classes: pipeline.labels.names.clone().into(),
                    cells,
                    batch_size: pipeline.batch_size,
                    mixing: pipeline.mixing,
                },
                primary: pipeline.merge.primary,
                probs: pipeline.output.probs,
                features: pipeline.output.features,
                n_made,
                n_pairs: self.manifest.n_pairs(),
                device: device.to_owned(),
                canary: String::new(),
                worker: String::new(),
            },
        }
    }
}

impl Ready {
    /// Runs the graph over `todo`.
    pub(super) async fn go(self, todo: Todo, output: Root, stop: Stop, meter: Meter) -> Result<(), Problem> {
        let Self { lanes, rules, input, manifest, settings } = self;
        let graph = Graph { input, output, manifest, todo, rules, lanes };
        score_partitions(graph, settings.resources(), stop, meter).await
    }
}

/// Partitions of a call that had no receipt when it began.
struct Unscored {
    all: Partitions,
    work: Work,
    done: Listed,
}

impl Unscored {
    fn iter(&self) -> impl Iterator<Item = Partition> {
        self.all.filter(|partition| self.work.takes(partition.index) && !self.done.has(partition.index))
    }

    fn into_stream(self) -> impl Stream<Item = Result<Partition, Problem>> {
        let Self { all, work, done } = self;
        let is_left = move |p: &Partition| work.takes(p.index) && !done.has(p.index);
        stream::iter(all.filter(is_left).map(Ok))
    }
}

/// Partitions of the run without a receipt, once this process's part is done.
async fn left(output: &Root, plan: &Plan, work: Work, was_stopped: bool) -> Result<usize, RunError> {
    check_stands(output, plan).await?;
    let n_partitions = plan.n_partitions as usize;
    let done = committed(output, &Layout::new(&plan.run_id), plan.n_partitions).await?;
    let n_done = done.receipts.len();
    if was_stopped {
        return Err(preempted(n_done, n_partitions).into());
    }
    let mine = || (0..plan.n_partitions).filter(|partition| work.takes(*partition));
    let n_lost = mine().filter(|partition| !done.has(*partition)).count();
    // An engine's numbers are its own to count.
    if n_lost > 0 && work != Work::Asked {
        return Err(lost(n_lost, mine().count()).into());
    }
    Ok(n_partitions.saturating_sub(n_done))
}

/// The end of a run, as those who watch are told of it.
fn told(ended: &Result<Outcome, RunError>) -> Ended {
    match ended {
        Ok(Outcome::Published(done) | Outcome::AlreadyDone(done)) => Ended::Published {
            n_scored: done.n_scored,
            n_quarantined: done.n_quarantined,
            is_over: done.over_quarantine,
        },
        Ok(Outcome::ShardDone { n_missing }) => Ended::Shard { n_missing: *n_missing as u64 },
        Err(error) => Ended::Failed(error.clone()),
    }
}

/// Receipts that this process wrote, or found written, and that the store does not list: its listing is not to be trusted.
fn lost(n_lost: usize, n_all: usize) -> Problem {
    let what = format!("list receipts: the store does not list {n_lost} of {n_all} receipts that are there");
    Problem::new("S007", Exit::StoreIo, what)
        .hint("run the same command again; committed partitions are kept")
}

fn preempted(n_done: usize, n_partitions: usize) -> Problem {
    let what = format!("stopped with {n_done} of {n_partitions} partitions committed");
    Problem::new("P001", Exit::Preempted, what).hint("run the same command again to go on")
}

/// Creates the plan, or takes the stored one when it computes the same rows with the same numerics.
async fn freeze(output: &Root, ours: Plan, allow_other_numerics: bool) -> Result<Plan, RunError> {
    let layout = Layout::new(&ours.run_id);
    let stored = match read_plan(output, &layout).await? {
        Some(stored) => stored,
        None => {
            output.probe(&nonce()?).await?;
            let (sealed, text) = ours.clone().sealed();
            match output.create(&layout.plan(), "plan", text.into()).await.map_err(Problem::from)? {
                Created::Ours => return Ok(sealed),
                // Read whatever stands there: it must be a whole plan before it is followed.
                Created::Exists(_) => read_plan(output, &layout).await?.ok_or_else(|| {
                    let what = "create plan: the store says that it exists and does not give it";
                    Problem::new("S007", Exit::StoreIo, what).hint("run the same command again")
                })?,
            }
        }
    };
    stored.check_same(&ours)?;
    check_stands(output, &stored).await?;
    if let Err(problem) = stored.check_numerics(&ours.canary) {
        if !allow_other_numerics {
            return Err(problem.into());
        }
        tracing::warn!("going on with other numerics; each receipt records its own");
    }
    Ok(stored)
}
