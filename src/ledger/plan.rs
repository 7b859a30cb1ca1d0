//! What a run computes, frozen once: created before the first partition and compared ever after.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::coverage::{Coverage, Group};
use super::facts::{Facts, SpecMap};
use super::layout::{Layout, MAX_JSON_BYTES};
use super::seal;
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::Origin;

/// The frozen plan of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT_VERSION`](crate::tables::FORMAT_VERSION) of the writer.
    pub format_version: u32,
    /// Hash of the plan's own text, with zeros in this place; empty until the plan is frozen, and in format 1.
    #[serde(default)]
    pub plan_sha256: String,
    /// Names the run below one output root.
    pub run_id: String,
    /// Day of the run, `YYYY-MM-DD`; asked from the clock once, here.
    pub run_date: String,
    /// When the plan was made, RFC 3339; information only.
    pub planned_at: String,
    /// Content hash of `spec`.
    pub spec_sha256: String,
    /// Pipeline keys and the content hashes of manifest and checkpoints.
    pub spec: SpecMap,
    /// What readers need of `spec`, typed.
    pub facts: Facts,
    /// Samples of the frozen manifest.
    pub n_samples: u64,
    /// Partitions they are cut into.
    pub n_partitions: u32,
    /// Corruption and severity of every cell, in scoring order.
    pub cells: Vec<(String, u8)>,
    /// Where rows declare their cells, which samples are in which; empty where all are in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Version of the program that planned.
    pub code_version: String,
    /// Numerics of the machine that planned: hash of two fixed images' logits.
    pub canary: String,
}

/// Reads the frozen plan; `None` when the run has not been planned. Reads format 1 too.
///
/// # Errors
/// Store failures, `R007` unreadable, `R020` damaged or contradicting itself.
pub async fn read_plan(root: &Root, layout: &Layout) -> Result<Option<Plan>, RunError> {
    let found = root.read(&layout.plan(), "plan", MAX_JSON_BYTES).await.map_err(Problem::from)?;
    let Some(bytes) = found else { return Ok(None) };
    let plan = parse(&bytes)?;
    if layout.plan() != Layout::new(&plan.run_id).plan() {
        return Err(contradiction("it is the plan of another run").into());
    }
    Ok(Some(plan))
}

/// A plan as it is stored, of any format that is read.
///
/// # Errors
/// `R007` unreadable, `R020` damaged or contradicting itself.
pub fn parse(bytes: &[u8]) -> Result<Plan, Problem> {
    let unreadable = || Problem::new("R007", Exit::BadData, "the stored plan is unreadable");
    let parsed = serde_json::from_slice::<Value>(bytes).ok();
    let is_format_1 = parsed.as_ref().is_some_and(|value| {
        value.get("format_version").and_then(Value::as_u64) == Some(1) && value.get("plan_sha256").is_none()
    });
    if is_format_1 {
        return parse_format_1(parsed.ok_or_else(unreadable)?).ok_or_else(unreadable);
    }
    let text = seal::check(bytes, "plan_sha256", "the stored plan")?;
    let plan: Plan = serde_json::from_str(text).map_err(|_| unreadable())?;
    // The settings as they stand in the text: a number may be printed otherwise than it was read.
    let spec = seal::compact_field(text, "spec").unwrap_or_default();
    if hex::encode(Sha256::digest(&spec)) != plan.spec_sha256 {
        return Err(contradiction("its settings have another hash than it says"));
    }
    let size = plan.partition_size().ok_or_else(|| contradiction("it has no partition size"))?;
    let coverage = plan.coverage();
    if !plan.groups.is_empty() && !coverage.is_whole(plan.n_samples, plan.cells.len(), plan.facts.batch_size)
    {
        return Err(contradiction("its declared cells hold other samples than it has"));
    }
    if coverage.end().div_ceil(size) != u64::from(plan.n_partitions) || plan.cells.is_empty() {
        return Err(contradiction("its samples make another number of partitions"));
    }
    Ok(plan)
}

fn parse_format_1(mut value: Value) -> Option<Plan> {
    let spec: SpecMap = serde_json::from_value(value.get("spec")?.clone()).ok()?;
    let facts = serde_json::to_value(Facts::from_format_1(&spec)?).ok()?;
    value.as_object_mut()?.insert("facts".to_owned(), facts);
    serde_json::from_value(value).ok()
}

fn contradiction(why: &str) -> Problem {
    Problem::new("R020", Exit::BadData, format!("the stored plan contradicts itself: {why}"))
        .hint("restore it from a copy, or use a new run id")
}

/// Lower-case hex SHA-256 of the canonical JSON of `spec`.
///
/// # Panics
/// Never: a map of JSON values has a JSON text.
#[must_use]
pub fn fingerprint(spec: &SpecMap) -> String {
    let text = serde_json::to_vec(spec).expect("a map of JSON values has a JSON text");
    hex::encode(Sha256::digest(text))
}

impl Plan {
    /// What the footers of its tables say.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { run_id: self.run_id.clone(), spec_sha256: self.spec_sha256.clone() }
    }

    /// The plan with its own hash in it, and its text.
    #[must_use]
    pub fn sealed(mut self) -> (Self, String) {
        self.plan_sha256.clear();
        let (text, hash) = seal::sealed(&self, "plan_sha256");
        self.plan_sha256 = hash;
        (self, text)
    }

    /// Samples of a full partition, from the settings.
    fn partition_size(&self) -> Option<u64> {
        self.spec.get("run.partition_size")?.as_u64().filter(|&size| size > 0)
    }

    /// Which samples are in which cells.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage::new(&self.groups, self.n_samples, self.cells.len())
    }

    /// Positions in the frozen list that partition `partition` has; where cells are declared, not at each stands a sample.
    #[must_use]
    pub fn rows_of(&self, partition: u32) -> Range<u64> {
        let (size, end) = (self.partition_size().unwrap_or(1), self.coverage().end());
        let start = u64::from(partition).saturating_mul(size).min(end);
        start..start.saturating_add(size).min(end)
    }

    /// (sample, cell) pairs of the run.
    #[must_use]
    pub fn n_pairs(&self) -> u64 {
        self.coverage().n_pairs(&(0..u64::MAX))
    }

    /// Checks that `ours` would compute the same rows as this stored plan, and has the partitions and cells that it has.
    ///
    /// # Errors
    /// `R005` another format, `R002` another manifest, `R001` any other difference, each named; `R020` the same settings with
    /// other partitions or cells.
    pub fn check_same(&self, ours: &Self) -> Result<(), Problem> {
        if self.format_version != ours.format_version {
            let what =
                format!("plan format {}, this program writes {}", self.format_version, ours.format_version);
            return Err(Problem::new("R005", Exit::Config, what));
        }
        if self.spec_sha256 == ours.spec_sha256 {
            let shape =
                |plan: &Self| (plan.n_samples, plan.n_partitions, plan.cells.clone(), plan.groups.clone());
            if shape(self) != shape(ours) {
                let what = format!(
                    "it has {} samples in {} partitions and {} cells ({} pairs), its manifest and settings make {}, {} and {} ({})",
                    self.n_samples,
                    self.n_partitions,
                    self.cells.len(),
                    self.n_pairs(),
                    ours.n_samples,
                    ours.n_partitions,
                    ours.cells.len(),
                    ours.n_pairs()
                );
                return Err(contradiction(&what));
            }
            return Ok(());
        }
        let differing = differences(&self.spec, &ours.spec);
        let of_manifest = ["content.manifest_hmac_sha256", "content.sample_ids_sha256"];
        let manifest_only = differing.iter().all(|(key, _)| of_manifest.contains(&key.as_str()));
        let (code, hint) = if manifest_only {
            ("R002", "another manifest, split or T3B_PSEUDONYM_KEY: use a new --run-id, or those of the run")
        } else {
            (
                "R001",
                "use a new --run-id (of a sweep another run.name), restore the setting, or withdraw the run with t3b discard",
            )
        };
        let list: Vec<_> = differing.into_iter().map(|(key, change)| format!("{key} {change}")).collect();
        let what = format!("run {} was started with another spec: {}", self.run_id, list.join("; "));
        Err(Problem::new(code, Exit::Config, what).hint(hint))
    }
}

impl Plan {
    /// Checks that this machine computes the same bits as the one that planned.
    ///
    /// # Errors
    /// `R004` when it does not.
    pub fn check_numerics(&self, canary: &str) -> Result<(), Problem> {
        if self.canary == canary {
            return Ok(());
        }
        let start = |text: &str| text.chars().take(12).collect::<String>();
        let what = format!(
            "numerics canary is {}..., run {} was started with {}...: other rows would differ in their last bits",
            start(canary),
            self.run_id,
            start(&self.canary)
        );
        Err(Problem::new("R004", Exit::Config, what)
            .hint("go on on the same kind of machine, or pass --allow-other-numerics; receipts record it"))
    }
}

fn differences(old: &SpecMap, new: &SpecMap) -> Vec<(String, String)> {
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let shown = |value: Option<&Value>| {
        let text = value.map_or("(none)".to_owned(), Value::to_string);
        if text.len() > 40 { format!("{}...", text.chars().take(37).collect::<String>()) } else { text }
    };
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    changed.map(|key| (key.clone(), format!("{} -> {}", shown(old.get(key)), shown(new.get(key))))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::FORMAT_VERSION;

    fn facts() -> Facts {
        Facts {
            name: "night".into(),
            manifest_hmac_sha256: String::new(),
            tags: std::collections::BTreeMap::new(),
            pretrained_sha256: String::new(),
            expert_sha256: String::new(),
            batch_size: 32,
            seed: 0,
            max_quarantine: 0.0,
            classes: vec![],
            n_truncated_prompts: 0,
            methods: vec![],
            grid: vec![],
            suite: None,
            stand_ins: vec![],
            primary_method: "t3_b".into(),
            gamma: 0.5,
            lambda_min: 0.0,
            lambda_max: 1.0,
            guard_delta: 0.1,
            guard_tau: 0.05,
            log_base: "nats".into(),
            probs: false,
            features: false,
            delta: false,
            compact: false,
            span: 256,
        }
    }

    fn plan(gamma: f64) -> Plan {
        let spec = SpecMap::from([
            ("merge.gamma".to_owned(), gamma.into()),
            ("run.partition_size".to_owned(), 8.into()),
            ("run.seed".to_owned(), 0.into()),
        ]);
        Plan {
            format_version: FORMAT_VERSION,
            plan_sha256: String::new(),
            run_id: "night-1".into(),
            run_date: "2026-01-02".into(),
            planned_at: String::new(),
            spec_sha256: fingerprint(&spec),
            spec,
            facts: facts(),
            n_samples: 1,
            n_partitions: 1,
            cells: vec![("clean".into(), 0)],
            groups: vec![],
            code_version: String::new(),
            canary: String::new(),
        }
    }

    #[test]
    fn a_changed_setting_is_named_with_both_values() {
        let problem = plan(0.5).check_same(&plan(0.7)).unwrap_err();
        assert_eq!(problem.code, "R001");
        assert!(problem.what.contains("merge.gamma 0.5 -> 0.7"), "{problem}");
        assert!(!problem.what.contains("run.seed"), "{problem}");
    }

    #[test]
    fn a_plan_that_contradicts_itself_is_refused_even_when_it_is_sealed_again() {
        let (whole, text) = plan(0.1 + 0.2).sealed();
        assert_eq!(parse(text.as_bytes()).unwrap().plan_sha256, whole.plan_sha256);
        let changes: [fn(&mut Plan); 6] = [
            |plan| plan.n_partitions = 2,
            |plan| plan.n_samples = 99,
            |plan| plan.groups = vec![Group { first_row: 0, n_samples: 2, first_cell: 0, n_cells: 1 }],
            |plan| plan.groups = vec![Group { first_row: 0, n_samples: 1, first_cell: 0, n_cells: 2 }],
            |plan| plan.spec_sha256 = "0".repeat(64),
            |plan| drop(plan.spec.insert("run.seed".to_owned(), 1.into())),
        ];
        for change in changes {
            let mut changed = plan(0.5);
            change(&mut changed);
            assert_eq!(parse(changed.sealed().1.as_bytes()).unwrap_err().code, "R020");
        }
        let mut other = plan(0.5);
        other.cells.push(("fog".into(), 1));
        assert_eq!(other.check_same(&plan(0.5)).unwrap_err().code, "R020");
    }

    #[test]
    fn rows_of_partitions_tile_the_frozen_list() {
        let mut plan = plan(0.5);
        (plan.n_samples, plan.n_partitions) = (19, 3);
        assert_eq!([0, 1, 2, 3].map(|n| plan.rows_of(n)), [0..8, 8..16, 16..19, 19..19]);
        let group = |first_row, n_samples| Group { first_row, n_samples, first_cell: 0, n_cells: 1 };
        plan.groups = vec![group(0, 6), group(8, 13)];
        assert_eq!([0, 1, 2, 3].map(|n| plan.rows_of(n)), [0..8, 8..16, 16..21, 21..21]);
        assert_eq!(plan.n_pairs(), 19);
    }

    #[test]
    fn a_plan_without_declared_cells_is_stored_as_ever() {
        assert!(!plan(0.5).sealed().1.contains("groups"));
        let mut declared = plan(0.5);
        declared.groups = vec![Group { first_row: 0, n_samples: 1, first_cell: 0, n_cells: 1 }];
        let (whole, text) = declared.sealed();
        assert_eq!(parse(text.as_bytes()).unwrap(), whole);
        assert_eq!(plan(0.5).check_same(&whole).unwrap_err().code, "R020");
    }

    #[test]
    fn the_fingerprint_is_of_the_canonical_text() {
        let spec = SpecMap::from([("b".to_owned(), 2.into()), ("a".to_owned(), 1.into())]);
        assert_eq!(fingerprint(&spec), hex::encode(Sha256::digest(br#"{"a":1,"b":2}"#)));
    }
}
