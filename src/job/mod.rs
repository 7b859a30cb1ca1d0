//! From settings to a run: what `plan`, `check` and `run` share, and the steps of a run around the graph.

mod execute;
mod look;
pub(crate) mod models;
mod next;
mod nightly;
mod pace;
mod pictures;
mod publishing;
mod recipes;
mod reproduce;
mod rules;
mod samples;
mod secret;
mod whose;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Exit, Problem, RunError, quoted, shown_place};
use crate::flow::meter::Meter;
use crate::flow::ordered::off_io;
use crate::ledger::{Facts, Finalized, Group, Plan, SpecMap, fingerprint};
use crate::messages::Mixing;
use crate::score::ModelPair;
use crate::settings::{Effective, PATH_KEYS, Spec};
use crate::source::{
    Frozen, Manifest, ManifestFile, ManifestRule, Partition, Partitions, Stretch, is_frozen,
};
use crate::store::Root;
use crate::tables::FORMAT_VERSION;
pub use look::Looked;
pub use next::Work;
pub use nightly::{Call, Night, Nights};
pub use pace::Pace;
pub use pictures::Album;
use recipes::{FirstPass, Recipes};
pub use reproduce::Reproduced;
pub use samples::{Named, grouping, samples};
pub use secret::{PSEUDONYM_KEY, new_secret};
use t3b_decode::worker::Decoder;
pub use whose::Whose;

/// What ids are worth without a secret.
const KEYLESS: &str = "T3B_PSEUDONYM_KEY is not set: whoever has the manifest, or can rebuild it from a listing, can turn \
                       sample_id back into names; t3b key new prints a secret, docs/privacy.md says more";

/// Most bytes of the head of a frozen manifest.
const MAX_HEAD_BYTES: u64 = 256 << 20;

/// Checked settings with everything they name, read and checked.
#[derive(Debug)]
pub struct Job {
    /// The settings.
    pub spec: Spec,
    /// Where objects are read.
    pub input: Root,
    /// The frozen manifest.
    pub manifest: Arc<Manifest>,
    /// The two checkpoints and the prompts.
    pub models: ModelPair,
    /// What deserves a word but stops nothing.
    pub warnings: Vec<String>,
    /// The program whose `__decode` decodes risky pictures: `t3b`, which is the one that runs unless the caller says
    /// otherwise.
    pub decoder: PathBuf,
    recipes: Recipes,
    spec_map: SpecMap,
}

/// Which run, and which part of it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names the run; by default the pipeline's name and the first digits of its fingerprint.
    pub run_id: Option<String>,
    /// Day of the run; by default today in UTC, asked once when the run is planned.
    pub run_date: Option<String>,
    /// Which partitions of it.
    pub work: Work,
    /// Name of this process in receipts and claims; by default a random one.
    pub worker: Option<String>,
    /// Goes on with a run that another numerics class began; receipts say which partition is whose.
    pub allow_other_numerics: bool,
    /// Ends before it begins where nothing at all can be scored; otherwise such a run is published, as a night is.
    pub must_score: bool,
    /// Counts what this process does, for whoever looks while or after it runs.
    pub meter: Meter,
}

/// How a run ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Everything was there already; nothing was written.
    AlreadyDone(Finalized),
    /// All partitions are committed and published.
    Published(Finalized),
    /// This process's part is done; others are not, or publish.
    ShardDone {
        /// Partitions of the run without a receipt.
        n_missing: usize,
    },
}

impl Job {
    /// Reads and checks the manifest and both checkpoints.
    ///
    /// # Errors
    /// `M...` the manifest, `W...` the checkpoints, store failures.
    pub async fn prepare(spec: Spec) -> Result<Self, RunError> {
        let pipeline = &spec.pipeline;
        let input = open_archive(&spec)?;
        let manifest = read_manifest(&spec, &input).await?;
        let (models, mut warnings) = models::load(&spec).await?;
        warnings.extend(manifest.notes.iter().cloned());
        if !manifest.is_keyed && manifest.n_pseudonyms > 0 {
            warnings.push(KEYLESS.to_owned());
        }
        let mut spec_map = spec_map(&spec.pipeline_keys, &manifest, &models);
        // What "auto" came to, so that a program with another rule would not cut the same run in two ways.
        spec_map.insert("run.partition_size".to_owned(), pipeline.partition_size.into());
        let first = FirstPass::read(&spec, &spec_map).await?;
        let recipes = Recipes::new(&spec, first.as_ref())?;
        let inexact = &spec.pipeline.corrupt.inexact;
        spec_map.insert("content.not_reference_exact".to_owned(), inexact.clone().into());
        if let Some(first) = first {
            spec_map.insert("content.from_spec_sha256".to_owned(), first.spec_sha256.into());
        }
        let (manifest, decoder) = (Arc::new(manifest), Decoder::this_program());
        Ok(Self { input, manifest, models, warnings, decoder, recipes, spec_map, spec })
    }

    /// Content hash of everything that decides a row.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.spec_map)
    }

    /// The partitions of the manifest.
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        self.manifest.partitions()
    }

    /// Whether any sample's id was derived here, and not given by the manifest.
    #[must_use]
    pub fn has_derived_ids(&self) -> bool {
        self.manifest.n_pseudonyms > 0
    }

    /// The run id in force.
    ///
    /// # Errors
    /// `C005` when it cannot be part of a key.
    pub fn run_id(&self, request: &Request) -> Result<String, Problem> {
        let default = || format!("{}-{}", self.spec.pipeline.name, &self.fingerprint()[..12]);
        let run_id = request.run_id.clone().unwrap_or_else(default);
        if crate::ledger::is_run_id(&run_id) {
            return Ok(run_id);
        }
        let what = format!("run id: found {}, allowed [a-z0-9][a-z0-9_-]{{0,63}}", quoted(&run_id));
        Err(Problem::new("C005", Exit::Config, what)
            .hint("--run-id names the run in object keys: small letters, digits, _ and -"))
    }

    /// The plan this job would freeze.
    ///
    /// # Errors
    /// `C005` a run id or date that cannot be part of a key.
    pub fn plan(&self, request: &Request) -> Result<Plan, Problem> {
        let now = chrono::Utc::now();
        let run_date = request.run_date.clone().unwrap_or_else(|| now.format("%Y-%m-%d").to_string());
        let digits = |at: std::ops::Range<usize>| {
            run_date.get(at).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_written = run_date.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10);
        if !is_written || chrono::NaiveDate::parse_from_str(&run_date, "%Y-%m-%d").is_err() {
            let what = format!("run date: found {}, allowed YYYY-MM-DD", quoted(&run_date));
            return Err(Problem::new("C005", Exit::Config, what)
                .hint("--run-date is the day in table paths, for example 2026-01-31"));
        }
        let cells = &self.manifest.cells;
        Ok(Plan {
            format_version: FORMAT_VERSION,
            plan_sha256: String::new(),
            run_id: self.run_id(request)?,
            run_date,
            planned_at: now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            spec_sha256: self.fingerprint(),
            spec: self.spec_map.clone(),
            facts: self.facts(),
            n_samples: self.manifest.n_samples,
            n_partitions: self.partitions().n(),
            cells: cells.iter().map(|cell| (cell.corruption.to_string(), cell.severity)).collect(),
            groups: groups(&self.manifest),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            canary: String::new(),
        })
    }

    fn facts(&self) -> Facts {
        let pipeline = &self.spec.pipeline;
        let merge = &pipeline.merge;
        Facts {
            name: pipeline.name.clone(),
            manifest_hmac_sha256: self.manifest.hmac_sha256.clone(),
            tags: pipeline.tags.clone(),
            pretrained_sha256: self.models.pretrained.sha256().to_owned(),
            expert_sha256: self.models.expert.sha256().to_owned(),
            batch_size: pipeline.batch_size,
            seed: pipeline.seed,
            max_quarantine: pipeline.max_quarantine,
            classes: pipeline.labels.names.clone(),
            n_truncated_prompts: self.models.text.n_truncated() as u64,
            grid: merge.grid.iter().map(|method| method.name().to_owned()).collect(),
            suite: pipeline.corrupt.suite.clone(),
            stand_ins: pipeline.corrupt.inexact.clone(),
            methods: merge.methods.iter().map(|method| method.name().to_owned()).collect(),
            primary_method: merge.primary.name().to_owned(),
            gamma: merge.rule.gamma,
            lambda_min: merge.rule.lambda_min,
            lambda_max: merge.rule.lambda_max,
            guard_delta: merge.guard.delta,
            guard_tau: merge.guard.tau,
            log_base: merge.rule.log_base.name().to_owned(),
            probs: pipeline.output.probs,
            features: pipeline.output.features,
            delta: pipeline.output.delta,
            compact: pipeline.output.compact,
            span: pipeline.output.span,
        }
    }

    /// Batches of `partitions` over all cells.
    #[must_use]
    pub fn n_batches(&self, partitions: impl IntoIterator<Item = Partition>) -> u64 {
        let size = self.spec.pipeline.batch_size;
        partitions.into_iter().map(|partition| self.manifest.n_batches(&partition.rows, size)).sum()
    }
}

/// Which samples are in which cells, where rows declare theirs.
fn groups(manifest: &Manifest) -> Vec<Group> {
    let stretches = &manifest.stretches;
    if stretches.iter().all(|stretch| stretch.declared.is_none()) {
        return Vec::new();
    }
    let whole = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let group = |stretch: &Stretch| {
        let (first_cell, n_cells) = stretch.declared.map_or((0, manifest.n_made), |cell| (cell, 1));
        Group {
            first_row: stretch.first_row,
            n_samples: stretch.n_samples,
            first_cell: whole(first_cell),
            n_cells: whole(n_cells),
        }
    };
    stretches.iter().map(group).collect()
}

/// Opens `input.root`; a folder that is not there is named, with where its archive can be had.
fn open_archive(spec: &Spec) -> Result<Root, Problem> {
    let input = &spec.pipeline.input;
    Root::open(&input.root, false, &spec.settings.store).map_err(|problem| {
        let folder = input.root.strip_prefix("file://").unwrap_or(&input.root);
        if folder.contains("://") || std::path::Path::new(folder).exists() {
            return problem;
        }
        let what = format!("input.root: no folder {}", shown_place(&input.root));
        let about = input.about.as_ref().map(|about| format!("{about}; ")).unwrap_or_default();
        Problem::new("S003", Exit::Config, what)
            .hint(format!("{about}point to a copy with --set input.root=FOLDER"))
    })
}

/// The manifest that `input.manifest` names: below `input.root`, beside the pipeline file, or anywhere by its whole place.
async fn read_manifest(spec: &Spec, input: &Root) -> Result<Manifest, RunError> {
    let secret = secret::pseudonym_secret()?;
    let place = &spec.pipeline.input;
    let (root, name) = match place.manifest.rsplit_once('/') {
        Some((folder, name))
            if place.manifest.contains("://") || folder.starts_with('/') || folder.is_empty() =>
        {
            (Root::open(folder, false, &spec.settings.store)?, name)
        }
        _ => (input.clone(), place.manifest.as_str()),
    };
    let mut manifest = manifest_at(spec, &root, name, secret.as_deref()).await?;
    if manifest.is_none() {
        let beside = Root::open(&place.pipeline_dir.to_string_lossy(), false, &spec.settings.store)?;
        manifest = manifest_at(spec, &beside, name, secret.as_deref()).await?;
    }
    let manifest = manifest.ok_or_else(|| {
        let what = format!(
            "input.manifest: found no object {:?} below input.root ({}) or beside the pipeline file ({})",
            place.manifest,
            shown_place(&place.root),
            place.pipeline_dir.display()
        );
        Problem::new("M019", Exit::BadData, what).hint(
            "t3b manifest build ROOT -o manifest.parquet writes one; then set input.manifest to its name",
        )
    })?;
    let declares = manifest.stretches.iter().any(|stretch| stretch.declared.is_some());
    if declares && spec.pipeline.mixing == Mixing::Mixed {
        let what = "run.batches: found mixed, allowed pure: the manifest declares cells (corruption, severity), and such an image is \
                    in one cell only";
        return Err(Problem::new("C001", Exit::Config, what)
            .hint("or set corrupt.declared = \"corrupt\" to ignore the two columns and corrupt these images once more")
            .into());
    }
    Ok(manifest)
}

/// The manifest of a name below `root`, opened where it was frozen before, copied and checked otherwise; `None` when there is none.
async fn manifest_at(
    spec: &Spec,
    root: &Root,
    name: &str,
    secret: Option<&str>,
) -> Result<Option<Manifest>, Problem> {
    if is_frozen(name) {
        let head = root.read(name, "frozen manifest", MAX_HEAD_BYTES).await?;
        return head.map(|head| Manifest::open(root, name, &head, &manifest_rule(spec, secret))).transpose();
    }
    let Some(file) = ManifestFile::fetch(root, name).await? else { return Ok(None) };
    let (spec, secret) = (spec.clone(), secret.map(str::to_owned));
    off_io(move || Manifest::parse(&file, manifest_rule(&spec, secret.as_deref()))).await.map(Some)
}

fn manifest_rule<'a>(spec: &'a Spec, secret: Option<&'a str>) -> ManifestRule<'a> {
    let pipeline = &spec.pipeline;
    ManifestRule {
        labels: &pipeline.labels.names,
        split: pipeline.input.split.as_deref(),
        pseudonym_key: secret,
        cells: &pipeline.corrupt.cells,
        batch_size: pipeline.batch_size,
        partition_size: pipeline.partition_size,
        ignores_declared: pipeline.corrupt.ignores_declared,
    }
}

/// Checks a pipeline's manifest and freezes it at `to`, so that workers open it by a few reads.
///
/// # Errors
/// `M...` the manifest, `C007` a place that holds another one; store failures.
pub async fn freeze(spec: &Spec, to: &Root, name: &str) -> Result<(u64, Frozen), RunError> {
    let input = open_archive(spec)?;
    let manifest = read_manifest(spec, &input).await?;
    // The head holds hashes under the secret and never asks for it.
    let frozen = manifest.freeze(to, name, &manifest_rule(spec, None)).await?;
    Ok((manifest.n_samples, frozen))
}

/// Keys that change no row, beside the [places](PATH_KEYS), of which what they hold is fingerprinted by content instead.
const OF_NO_ROW: [&str; 7] = [
    "input.about",
    "input.manifest",
    "models.arch",
    "output.delta",
    "output.files",
    "output.span",
    "run.max_missing_first",
];

fn spec_map(keys: &[Effective], manifest: &Manifest, models: &ModelPair) -> SpecMap {
    let changes_rows = |key: &&Effective| {
        let key = key.key.as_str();
        !PATH_KEYS.contains(&key) && !OF_NO_ROW.contains(&key) && !key.starts_with("nightly.")
    };
    let by_value = keys.iter().filter(changes_rows);
    let json = |key: &Effective| serde_json::to_value(&key.value).unwrap_or(Value::Null);
    let mut map: SpecMap = by_value.map(|key| (key.key.clone(), json(key))).collect();
    for (name, hash) in [
        ("manifest_hmac_sha256", manifest.hmac_sha256.as_str()),
        ("sample_ids_sha256", manifest.ids_sha256.as_str()),
        ("pretrained_sha256", models.pretrained.sha256()),
        ("expert_sha256", models.expert.sha256()),
    ] {
        map.insert(format!("content.{name}"), hash.into());
    }
    map.insert("content.class_text_sha256".into(), models.text.sha256().into());
    map.insert("content.n_truncated_prompts".into(), models.text.n_truncated().into());
    map.insert("content.preprocess".into(), models.preprocess.to_json());
    let config = models.pretrained.config().to_hf_json();
    map.insert("content.architecture".into(), serde_json::from_str(&config).unwrap_or(Value::Null));
    map
}
