//! `t3b evaluate`: published tables to figures, files and a page. Reads no model.

use bytes::Bytes;
use t3b_report::{
    Attempt, Choices, Estimated, Figures, PageSet, Picture, Settings, SummarySet, calibrators,
    clip_benchmark, contenders, cross_fitted, medmnist_result, metrics_json, page, summary_csv, tables_md,
    tables_tex, unaggregated_csv,
};
use t3b_stats::{Calibrator, Metric};

use super::examples::Examples;
use super::grouping::units;
use super::reading::{RunTables, facts, read};
use super::run_at::RunAt;
use super::summary::summary_parquet;
use crate::error::{Exit, Problem, RunError};
use crate::source::Grouping;
use crate::store::Root;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method that `mce` divides by, resamples and their seed.
    pub settings: Settings,
    /// A run of another split with a grid, which picks lambda for `best_static`.
    pub static_from: Option<RunAt>,
    /// A labelled run whose clean rows calibrate estimates without labels.
    pub calibrate_from: Option<RunAt>,
    /// Manifests with a column `group`: what is resampled together. Every run must be of one of them; none groups nothing.
    pub groupings: Vec<Grouping>,
}

/// One figure of a run's primary method on clean images.
#[derive(Debug, Clone, PartialEq)]
pub struct Headline {
    /// Which figure.
    pub metric: Metric,
    /// A share.
    pub value: f64,
    /// 95 % interval; an estimate has none.
    pub interval: Option<[f64; 2]>,
    /// Told from confidence, because there are no labels.
    pub is_estimate: bool,
    /// Rows behind it.
    pub n: u64,
}

/// Everything computed of several runs.
#[derive(Debug)]
pub struct Evaluation {
    sets: Vec<EvaluatedSet>,
}

#[derive(Debug)]
struct EvaluatedSet {
    figures: Figures,
    signals: Vec<t3b_report::CellSignals>,
    quarantine: Vec<(String, u64)>,
    estimates: Vec<Estimated>,
    worklist: String,
    sure_disagreements: (u64, u64),
    attempts: Vec<Attempt>,
    examples: Examples,
    pictures: Vec<Picture>,
}

/// Reads and evaluates `runs`, one after another.
///
/// # Errors
/// Store failures, `V002` damaged parts, `E002` tables that do not cover their plan, `E003` no room for sorted scores,
/// `E008` groups of another manifest.
pub async fn evaluate(runs: &[RunAt], request: &Request) -> Result<Evaluation, RunError> {
    let choices = Choices { best_static: best_static(request.static_from.as_ref()).await? };
    let mut sets = Vec::new();
    for run in runs {
        let calibrator = match &request.calibrate_from {
            Some(from) => calibrator_of(from, run).await?,
            None => None,
        };
        let grouping = match request.groupings.as_slice() {
            [] => None,
            all => Some(units(run, all, facts(&run.plan)?.n_positions()).await?),
        };
        let tables = read(&run.root, &run.plan, calibrator.as_ref(), grouping).await?;
        sets.push(evaluate_one(tables, choices, request.settings.clone())?);
    }
    Ok(Evaluation { sets })
}

/// The weight of the grid that was best over all cells of another run: mean of clean and corrupted top-1, the smallest
/// among equals.
async fn best_static(from: Option<&RunAt>) -> Result<Option<f64>, RunError> {
    let Some(from) = from else { return Ok(None) };
    let tables = read(&from.root, &from.plan, None, None).await?;
    let settings = Settings { n_draws: 0, ..Settings::default() };
    let figures = Figures::new(tables.rows, settings).map_err(|_| no_room())?;
    let found = super::tune::best_lambda(&figures).ok_or_else(|| {
        let what = format!("run {} has no grid", from.plan.run_id);
        Problem::new("E004", Exit::Config, what).hint("score it with merge.grid = 11")
    })?;
    Ok(Some(found.lambda))
}

async fn calibrator_of(from: &RunAt, run: &RunAt) -> Result<Option<Calibrator>, RunError> {
    let primary = facts(&run.plan)?.primary;
    let tables = read(&from.root, &from.plan, None, None).await?;
    let unfit =
        |_| Problem::new("E005", Exit::BadData, "the calibration run's rows do not fit their classes");
    let found = calibrators(&tables.rows).map_err(unfit)?;
    Ok(found.into_iter().find(|(method, _)| *method == primary).map(|(_, calibrator)| calibrator))
}

fn no_room() -> Problem {
    Problem::new("E003", Exit::StoreIo, "sorted scores cannot be put aside")
        .hint("set TMPDIR to a disk with room")
}

fn evaluate_one(tables: RunTables, choices: Choices, settings: Settings) -> Result<EvaluatedSet, RunError> {
    let RunTables {
        mut rows, signals, quarantine, worklist, unlabelled, confidence, attempts, examples, ..
    } = tables;
    rows.derive(choices);
    let facts = rows.facts().clone();
    let unfit = |_| Problem::new("E005", Exit::BadData, "probabilities do not fit their classes");
    let mut figures = Figures::new(rows, settings).map_err(|_| no_room())?;
    let truth = |metric| figures.line(&facts.primary, Some("clean"), Some(0), metric).map(|line| line.value);
    let mut estimates: Vec<Estimated> = Vec::new();
    if let Some(sums) = unlabelled {
        let (n, interval) = (sums.n(), sums.interval());
        estimates.extend(sums.finish().into_iter().filter_map(|(metric, estimate)| {
            Some(Estimated {
                method: facts.primary.clone(),
                metric,
                estimate: estimate?,
                interval: interval.filter(|_| metric == Metric::Top1),
                truth: truth(metric),
                n,
            })
        }));
    } else if let Some(found) = confidence.estimate(&facts.primary) {
        estimates.push(Estimated { truth: truth(Metric::Top1), ..found });
    }
    for one in cross_fitted(&figures.rows, &facts.primary).map_err(unfit)? {
        estimates.push(Estimated { method: format!("{}, cross-fitted", one.method), ..one });
    }
    figures.shrink();
    Ok(EvaluatedSet {
        signals,
        quarantine,
        estimates,
        sure_disagreements: (worklist.n_sure, worklist.n),
        worklist: worklist.csv(&facts.classes),
        figures,
        attempts,
        examples,
        pictures: Vec::new(),
    })
}

impl Evaluation {
    /// Every file of the evaluation: name and content. The same runs give the same bytes.
    ///
    /// # Errors
    /// `B005` when the summary cannot be encoded.
    pub fn files(&self) -> Result<Vec<(String, Bytes)>, Problem> {
        let figures: Vec<&Figures> = self.sets.iter().map(|set| &set.figures).collect();
        let summary: Vec<SummarySet<'_>> = self.sets.iter().map(EvaluatedSet::summary).collect();
        let json = serde_json::to_vec_pretty(&metrics_json(&figures)).expect("figures have a JSON text");
        let mut files = vec![
            ("summary.csv".to_owned(), summary_csv(&summary).into()),
            ("summary.parquet".to_owned(), summary_parquet(&summary)?.into()),
            ("metrics.json".to_owned(), json.into()),
            ("tables.md".to_owned(), tables_md(&figures).into()),
            ("tables.tex".to_owned(), tables_tex(&figures).into()),
            ("unaggregated_results.csv".to_owned(), unaggregated_csv(&figures).into()),
            ("report.html".to_owned(), self.page().into()),
        ];
        for set in &self.sets {
            let facts = &set.figures.facts;
            for place in contenders(facts) {
                let method = &facts.methods[place];
                if let Some(json) = clip_benchmark(&set.figures, method) {
                    let text = serde_json::to_vec_pretty(&json).expect("figures have a JSON text");
                    files.push((format!("clip_benchmark/{}_{method}.json", facts.run_id), text.into()));
                }
                if let Some((name, text)) = medmnist_result(&set.figures, method) {
                    files.push((format!("medmnist/{name}"), text.into()));
                }
            }
            files.push((format!("worklist/{}.csv", facts.run_id), set.worklist.clone().into()));
        }
        Ok(files)
    }

    fn page(&self) -> String {
        let sets: Vec<PageSet<'_>> = self.sets.iter().map(EvaluatedSet::page).collect();
        page(&sets, "t3b report")
    }

    /// Tables and warnings for a terminal.
    #[must_use]
    pub fn words(&self) -> String {
        let figures: Vec<&Figures> = self.sets.iter().map(|set| &set.figures).collect();
        let mut text = tables_md(&figures);
        for set in &self.sets {
            for one in t3b_report::signatures(&set.page()) {
                text += &format!("\n{}: {} {}\n", set.figures.facts.run_id, one.name, one.words);
            }
        }
        text
    }

    /// Samples of a run that are worth showing.
    #[must_use]
    pub fn examples(&self, run: usize) -> Option<&Examples> {
        self.sets.get(run).map(|set| &set.examples)
    }

    /// Puts pictures into the page of a run.
    pub fn show(&mut self, run: usize, pictures: Vec<Picture>) {
        if let Some(set) = self.sets.get_mut(run) {
            set.pictures = pictures;
        }
    }

    /// Rows that were read, over all runs.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.sets.iter().map(|set| set.figures.rows.n_rows()).sum()
    }

    /// Figures of a run's primary method on clean images, or estimates where there are no labels.
    #[must_use]
    pub fn headlines(&self, run: usize) -> Vec<Headline> {
        let Some(set) = self.sets.get(run) else { return Vec::new() };
        let measured =
            [Metric::Top1, Metric::BalancedAccuracy, Metric::Auc].into_iter().filter_map(|metric| {
                let line = set.figures.line(&set.figures.facts.primary, Some("clean"), Some(0), metric)?;
                let interval = line.interval.map(|interval| [interval.low, interval.high]);
                Some(Headline { metric, value: line.value, interval, is_estimate: false, n: line.n })
            });
        let measured: Vec<Headline> = measured.filter(|one| one.n > 0).collect();
        if !measured.is_empty() {
            return measured;
        }
        let estimates = set.estimates.iter().map(|one| Headline {
            metric: one.metric,
            value: one.estimate,
            interval: None,
            is_estimate: true,
            n: one.n,
        });
        estimates.collect()
    }

    /// Top-1 of one method of one run's clean cell; for tests.
    #[must_use]
    pub fn clean_top1(&self, run: usize, method: &str) -> Option<f64> {
        self.sets.get(run)?.figures.line(method, Some("clean"), Some(0), Metric::Top1).map(|line| line.value)
    }
}

impl EvaluatedSet {
    fn summary(&self) -> SummarySet<'_> {
        SummarySet { figures: &self.figures, estimates: &self.estimates, signals: &self.signals }
    }

    fn page(&self) -> PageSet<'_> {
        PageSet {
            figures: &self.figures,
            signals: &self.signals,
            quarantine: &self.quarantine,
            estimates: &self.estimates,
            sure_disagreements: self.sure_disagreements,
            attempts: &self.attempts,
            pictures: &self.pictures,
        }
    }
}

/// Writes files below a root.
///
/// # Errors
/// Store failures.
pub async fn write(root: &Root, files: Vec<(String, Bytes)>) -> Result<(), RunError> {
    for (name, bytes) in files {
        root.write(&name, "report", bytes).await.map_err(Problem::from)?;
    }
    Ok(())
}
