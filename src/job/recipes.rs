//! From `[merge]` to what the lane does for each method, with the whole-set numbers of an earlier run where a
//! rule needs them.

use crate::error::{Exit, Problem, RunError};
use crate::ledger::{Layout, Plan, SpecMap, read_plan, split_run_uri};
use crate::merge::beta_mixture::BetaMixture;
use crate::merge::coefficient::T3Rule;
use crate::merge::divergence::{Signals, entropy_nats, log_softmax};
use crate::merge::entropy_ratio::{DawinOffset, EntropySummary, Temperatures, entropy_ratio};
use crate::merge::lerp::m3_coefficient;
use crate::merge::method::Method;
use crate::merge::recipe::{CoefficientRule, Recipe, StaticRule, t3};
use crate::merge::statistics::Running;
use crate::report::{SignalRow, parent_probs, signals};
use crate::settings::{Merge, Spec};
use crate::store::Root;

/// What an earlier run says of the whole set.
#[derive(Debug, Default)]
pub(super) struct FirstPass {
    /// The earlier run's fingerprint, part of ours.
    pub(super) spec_sha256: String,
    rows: Vec<SignalRow>,
    /// Entropies (pretrained, expert) at the DaWin family's temperatures.
    entropies: Vec<(f64, f64)>,
}

impl FirstPass {
    /// Reads the run that `merge.from` names, when a method needs it.
    ///
    /// # Errors
    /// `C009` when it is needed and not named, not complete, of other models, classes or pixels, or lacks the class
    /// probabilities; store failures.
    pub(super) async fn read(spec: &Spec, ours: &SpecMap) -> Result<Option<Self>, RunError> {
        let merge = &spec.pipeline.merge;
        let needs = |method: &&Method| {
            method.needs_first_pass() && !(**method == Method::Constant && merge.constant_lambda.is_some())
        };
        let Some(method) = merge.methods.iter().find(needs) else { return Ok(None) };
        let Some(uri) = &merge.from else { return Err(run_first(*method).into()) };
        let (root, run_id) = split_run_uri(uri).ok_or_else(|| run_first(*method))?;
        let root = Root::open(root, false, &spec.settings.store)?;
        let plan = read_plan(&root, &Layout::new(run_id)).await?.ok_or_else(|| run_first(*method))?;
        must_be_of_the_same(&plan.spec, ours)?;
        let rows = signals(&root, &plan).await?;
        if rows.is_empty() {
            return Err(run_first(*method).into());
        }
        let of_dawin = |method: &Method| matches!(method, Method::DawinOffset | Method::DawinClusters);
        let entropies = if merge.dawin != Temperatures::ONE && merge.methods.iter().any(of_dawin) {
            tempered(&root, &plan, merge.dawin).await?
        } else {
            rows.iter().map(|row| (row.pt_entropy_nats, row.ft_entropy_nats)).collect()
        };
        Ok(Some(Self { spec_sha256: plan.spec_sha256, rows, entropies }))
    }

    fn lambda_mean(&self) -> f64 {
        let lambda: Vec<f64> = self.rows.iter().map(|row| row.lambda_sample).collect();
        Running::of(&lambda).mean().unwrap_or_default()
    }

    fn offset(&self) -> Result<DawinOffset, Problem> {
        let summary = |side: fn(&(f64, f64)) -> f64| {
            EntropySummary::of(&Running::of(&self.entropies.iter().map(side).collect::<Vec<_>>()))
        };
        let (Some(pt), Some(ft)) = (summary(|h| h.0), summary(|h| h.1)) else {
            return Err(unusable("the run in merge.from has fewer than two rows"));
        };
        DawinOffset::of(pt, ft).map_err(|error| unusable(&error.to_string()))
    }

    fn t3_coefficients(&self, rule: &T3Rule, merge: &Merge, guarded: bool, n_classes: usize) -> Vec<f64> {
        let guard = guarded.then_some(&merge.guard);
        let coefficient = |row: &SignalRow| {
            let signals = Signals {
                js_nats: row.js_nats,
                pt_entropy_nats: row.pt_entropy_nats,
                ft_entropy_nats: row.ft_entropy_nats,
                n_classes,
            };
            t3(rule, guard, &signals).coefficient
        };
        self.rows.iter().map(coefficient).collect()
    }
}

/// What decides the signals of a run, by the keys of its plan. An earlier version's plan may lack the last.
const SAME: [(&str, &str); 5] = [
    ("content.pretrained_sha256", "pretrained model"),
    ("content.expert_sha256", "expert"),
    ("labels.names", "list of classes"),
    ("content.class_text_sha256", "set of class texts"),
    ("content.preprocess", "preprocessing"),
];

/// Numbers of one pair of models say nothing about another.
fn must_be_of_the_same(theirs: &SpecMap, ours: &SpecMap) -> Result<(), Problem> {
    let differs = |key: &str| theirs.get(key).is_some_and(|found| Some(found) != ours.get(key));
    match SAME.into_iter().find(|(key, _)| differs(key)) {
        None => Ok(()),
        Some((key, what)) => {
            let found = unusable(&format!("the run is of another {what} ({key})"));
            Err(found.hint("run the first pass again with this pipeline's models, labels and preprocessing"))
        }
    }
}

async fn tempered(root: &Root, plan: &Plan, temperatures: Temperatures) -> Result<Vec<(f64, f64)>, RunError> {
    let probs = parent_probs(root, plan).await?.ok_or_else(|| {
        unusable("dawin temperatures other than 1 need the class probabilities of both parents")
            .hint("run it again with output.probs = true and the methods pretrained and expert")
    })?;
    // log p differs from the logits by a constant, which a softmax at any temperature ignores.
    let entropy = |p: &[f32], temperature| {
        let logits: Vec<f64> = p.iter().map(|&p| f64::from(p).max(f64::MIN_POSITIVE).ln()).collect();
        entropy_nats(&log_softmax(&logits, temperature))
    };
    let both =
        |[pt, ft]: &[Vec<f32>; 2]| (entropy(pt, temperatures.pretrained), entropy(ft, temperatures.expert));
    Ok(probs.iter().map(both).collect())
}

fn unusable(what: &str) -> Problem {
    Problem::new("C009", Exit::Config, format!("merge.from: {what}")).hint(
        "name a complete run of the same models and classes; docs/methods.md says which methods need one",
    )
}

fn run_first(method: Method) -> Problem {
    let what = format!(
        "{} needs numbers over the whole set: set merge.from to the URI of a complete run",
        method.name()
    );
    unusable(&what).hint(
        "first: t3b run PIPELINE.toml --set merge.methods='[\"pretrained\",\"expert\",\"t3_b\"]' --set output.probs=true; \
         then set merge.from to the URI on its first line",
    )
}

/// What the lane is told of `[merge]`: the one way on which gamma and its like reach a coefficient.
#[derive(Debug)]
pub(super) struct Recipes {
    /// One per method, in output order.
    pub(super) methods: Vec<(Method, Recipe)>,
    /// The rule whose coefficient `signals` shows: T3's.
    pub(super) signal_rule: CoefficientRule,
}

impl Recipes {
    /// # Errors
    /// `C009` when the first pass does not allow a rule.
    pub(super) fn new(spec: &Spec, first: Option<&FirstPass>) -> Result<Self, Problem> {
        let merge = &spec.pipeline.merge;
        let signal_rule = t3_rule(merge, merge.guard_enabled);
        Ok(Self { methods: methods(spec, first)?, signal_rule })
    }
}

fn t3_rule(merge: &Merge, guarded: bool) -> CoefficientRule {
    CoefficientRule::T3 { rule: merge.rule, guard: guarded.then_some(merge.guard) }
}

fn methods(spec: &Spec, first: Option<&FirstPass>) -> Result<Vec<(Method, Recipe)>, Problem> {
    let merge = &spec.pipeline.merge;
    let n_classes = spec.pipeline.labels.names.len();
    // A first pass was read exactly when a method needs one, so the empty one is never looked at.
    let none = FirstPass::default();
    let first = first.unwrap_or(&none);
    let t3_rule = |guarded: bool| t3_rule(merge, guarded);
    let clustered = |rule: CoefficientRule, values: Vec<f64>| {
        let mixture =
            BetaMixture::fit(&values, &merge.clusters).map_err(|error| unusable(&error.to_string()))?;
        Ok::<_, Problem>(Recipe::PerSample(CoefficientRule::Clustered(Box::new(rule), mixture)))
    };
    let t3_clusters =
        |guarded| clustered(t3_rule(guarded), first.t3_coefficients(&merge.rule, merge, guarded, n_classes));
    let guarded = merge.guard_enabled;
    let recipe = |method: Method| {
        Ok::<_, Problem>(match method {
            Method::Pretrained => Recipe::Pretrained,
            Method::Expert => Recipe::Expert,
            Method::Ensemble => Recipe::MeanProbabilities,
            Method::EnsembleLogits => Recipe::MeanLogits,
            Method::WiseFt => Recipe::Static(StaticRule::Lerp(merge.wise_ft_alpha)),
            Method::TaskArithmetic => Recipe::Static(StaticRule::Lerp(merge.task_arithmetic_scale)),
            Method::Ties => Recipe::Static(StaticRule::Ties { keep: merge.ties.0, scale: merge.ties.1 }),
            Method::Dare => Recipe::Static(StaticRule::Dare(merge.dare)),
            Method::Slerp => Recipe::Static(StaticRule::Slerp(merge.slerp_position)),
            Method::M3 => Recipe::Static(StaticRule::Lerp(m3_coefficient(spec.pipeline.seed, merge.m3_draw))),
            Method::Constant => {
                Recipe::Static(StaticRule::Lerp(merge.constant_lambda.unwrap_or_else(|| first.lambda_mean())))
            }
            Method::Expo => Recipe::Static(StaticRule::Lerp(merge.expo_scale)),
            Method::Line(percent) => Recipe::Line(f64::from(percent) / 100.0),
            Method::Dawin => Recipe::PerSample(CoefficientRule::EntropyRatio(merge.dawin)),
            Method::DawinOffset => {
                Recipe::PerSample(CoefficientRule::DawinOffset(merge.dawin, first.offset()?))
            }
            Method::DawinClusters => {
                let ratios = first.entropies.iter().map(|&(pt, ft)| entropy_ratio(pt, ft)).collect();
                clustered(CoefficientRule::EntropyRatio(merge.dawin), ratios)?
            }
            Method::EntropyRatio => Recipe::PerSample(CoefficientRule::EntropyRatio(Temperatures::ONE)),
            Method::EntropyRatioB => Recipe::PerBatch(CoefficientRule::EntropyRatio(Temperatures::ONE)),
            Method::T3 => Recipe::PerSample(t3_rule(guarded)),
            Method::T3B => Recipe::PerBatch(t3_rule(guarded)),
            Method::T3Clusters => t3_clusters(guarded)?,
            Method::T3Guard => Recipe::PerSample(t3_rule(true)),
            Method::T3BGuard => Recipe::PerBatch(t3_rule(true)),
            Method::T3ClustersGuard => t3_clusters(true)?,
        })
    };
    let batch_of_one = spec.pipeline.batch_size == 1;
    let place = |&method: &Method| match recipe(method)? {
        // One sample's merge is its batch's merge: the same weights, so the same bits.
        Recipe::PerSample(rule) if batch_of_one => Ok((method, Recipe::PerBatch(rule))),
        recipe => Ok((method, recipe)),
    };
    merge.methods.iter().chain(&merge.grid).map(place).collect()
}
