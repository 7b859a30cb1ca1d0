//! What later readers of a run need of its settings, typed: the plan holds it beside the settings themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that decides a row, by dotted key; canonical because the keys are sorted.
pub type SpecMap = BTreeMap<String, Value>;

/// What a run is, as its row and reports say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// `run.name`.
    pub name: String,
    /// Keyed hash of the manifest file: a plain one would confirm whoever guesses names. In format 1 a plain one.
    pub manifest_hmac_sha256: String,
    /// `run.tags`: what the images are, by name of the tag.
    pub tags: BTreeMap<String, String>,
    /// Content hash of the pretrained model's weights.
    pub pretrained_sha256: String,
    /// Content hash of the expert's weights.
    pub expert_sha256: String,
    /// Samples of a full batch.
    pub batch_size: u32,
    /// `run.seed`.
    pub seed: u64,
    /// Share of (sample, cell) pairs that may be quarantined, `[0, 1]`.
    pub max_quarantine: f64,
    /// Class names in index order.
    pub classes: Vec<String>,
    /// Prompts that were longer than the text tower reads.
    pub n_truncated_prompts: u64,
    /// Names of the methods in output order.
    pub methods: Vec<String>,
    /// Names of the rows that `merge.grid` adds behind the methods.
    pub grid: Vec<String>,
    /// `corrupt.suite`, where cells came from one.
    pub suite: Option<String>,
    /// Corruptions whose pictures are our own and not the reference's.
    pub stand_ins: Vec<String>,
    /// The method that the run's diagnostics are about.
    pub primary_method: String,
    /// Slope of T3's sigmoid.
    pub gamma: f64,
    /// Lower bound of T3's coefficient.
    pub lambda_min: f64,
    /// Upper bound of T3's coefficient.
    pub lambda_max: f64,
    /// How far the guard moves a coefficient.
    pub guard_delta: f64,
    /// Share of the largest entropy below which a model counts as certain.
    pub guard_tau: f64,
    /// Unit of the divergence inside the sigmoid: `nats` or `bits`.
    pub log_base: String,
    /// Whether `predictions` has the class probabilities.
    pub probs: bool,
    /// Whether `signals` has the pretrained model's features.
    #[serde(default, skip_serializing_if = "is_false")]
    pub features: bool,
    /// Whether publishing adds the run to the tables' Delta logs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub delta: bool,
    /// Whether published objects hold the rows of many partitions each; otherwise of one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub compact: bool,
    /// Partitions that are published together.
    #[serde(default = "usual_span", skip_serializing_if = "is_usual_span")]
    pub span: u32,
}

/// Partitions of a span where nothing else is set, and in every run whose plan does not say.
const USUAL_SPAN: u32 = 256;

fn usual_span() -> u32 {
    USUAL_SPAN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_usual_span(span: &u32) -> bool {
    *span == USUAL_SPAN
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Facts {
    /// Names of the tags, as the `runs` table has them.
    pub(crate) const TAGS: [&str; 4] = ["modality", "dataset", "setting", "site"];

    /// The facts of a plan of format 1, which had its settings only and knew neither tags nor truncated prompts; `None` when one is missing.
    pub(super) fn from_format_1(spec: &SpecMap) -> Option<Self> {
        let text = |key: &str| spec.get(key)?.as_str().map(str::to_owned);
        let number = |key: &str| spec.get(key)?.as_f64();
        let texts = |key: &str| {
            let items = spec.get(key)?.as_array()?;
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Some(Self {
            name: text("run.name")?,
            manifest_hmac_sha256: text("content.manifest_sha256")?,
            tags: BTreeMap::new(),
            pretrained_sha256: text("content.pretrained_sha256")?,
            expert_sha256: text("content.expert_sha256")?,
            batch_size: u32::try_from(spec.get("run.batch_size")?.as_u64()?).ok()?,
            seed: spec.get("run.seed")?.as_u64()?,
            max_quarantine: number("run.max_quarantine")?,
            classes: texts("labels.names")?,
            n_truncated_prompts: 0,
            methods: texts("merge.methods")?,
            grid: Vec::new(),
            suite: text("corrupt.suite"),
            stand_ins: texts("content.not_reference_exact").unwrap_or_default(),
            primary_method: text("merge.primary")?,
            gamma: number("merge.gamma")?,
            lambda_min: number("merge.lambda_min")?,
            lambda_max: number("merge.lambda_max")?,
            guard_delta: number("merge.guard.delta")?,
            guard_tau: number("merge.guard.tau")?,
            log_base: text("merge.log_base")?,
            probs: spec.get("output.probs").and_then(Value::as_bool)?,
            features: false,
            delta: false,
            compact: false,
            span: USUAL_SPAN,
        })
    }
}
