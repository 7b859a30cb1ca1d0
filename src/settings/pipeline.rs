//! `pipelines/*.toml`: what is computed. Any key here may change a row, so all of them are fingerprinted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use toml::Value;

use super::corrupt::Corrupt;
use super::layers::Reader;
use super::merge::Merge;
use super::models::Models;
use super::nightly::Nightly;
use super::places::normal;
use crate::error::{Exit, Problem, quoted, shown_place};
use crate::ledger::{Facts, is_name};
use crate::merge::method::{Method, MethodKind};
use crate::messages::Mixing;
use crate::score::TowerKind;
use crate::store::local_path;
use t3b_decode::{BurnedIn, Limits, Rendering, Window};

/// A checked pipeline. Locations are as written, made absolute where they were relative paths.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Names the run; part of the default run id.
    pub name: String,
    /// `run.tags`: what the images are, for tables of several runs; by name of the tag.
    pub tags: BTreeMap<String, String>,
    /// Keys every random number.
    pub seed: u64,
    /// Samples that share one coefficient.
    pub batch_size: u32,
    /// Which cells share a batch.
    pub mixing: Mixing,
    /// Samples per partition; a multiple of `batch_size`.
    pub partition_size: u32,
    /// Share of quarantined (sample, cell) pairs above which the run ends with exit code 3.
    pub max_quarantine: f64,
    /// Share of missing objects, at the first look and in the first partition, above which nothing is scored.
    pub max_missing_first: f64,
    /// Where the samples are.
    pub input: Input,
    /// What a decoder may be asked to hold.
    pub limits: Limits,
    /// How medical formats become 8 bits; the frame is each sample's own.
    pub rendering: Rendering,
    /// Classes and prompts.
    pub labels: Labels,
    /// The two checkpoints.
    pub models: Models,
    /// Cells, and how images become them.
    pub corrupt: Corrupt,
    /// Methods and coefficient rule.
    pub merge: Merge,
    /// Where the tables go.
    pub output: Output,
    /// What `t3b nightly` does around a run.
    pub nightly: Nightly,
}

/// Where the samples are.
#[derive(Debug, Clone)]
pub struct Input {
    /// Object store URI or absolute path; every sample's key is below it.
    pub root: String,
    /// The manifest: a URI or path of its own, or a key below `root`.
    pub manifest: String,
    /// Folder of the pipeline file, where a manifest that is not below `root` is looked for.
    pub pipeline_dir: PathBuf,
    /// Keeps only the rows of this split.
    pub split: Option<String>,
    /// Larger objects are quarantined unread.
    pub max_object_bytes: u64,
    /// Where the archive can be had, for whoever does not have it.
    pub about: Option<String>,
}

/// Classes in index order and the prompts they are put into.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Class names; the position is the `label_idx`.
    pub names: Vec<String>,
    /// Each holds one `{}` for the class name; with several, a class is the mean of its prompts.
    pub templates: Vec<String>,
    /// Whether texts are cleaned as OpenAI's own tokenizer does it before they are cut into tokens.
    pub cleans_as_openai: bool,
}

/// Where the tables go.
#[derive(Debug, Clone)]
pub struct Output {
    /// Object store URI or absolute path.
    pub root: String,
    /// Adds the class probabilities to `predictions`.
    pub probs: bool,
    /// Adds the pretrained model's image features to `signals`.
    pub features: bool,
    /// Adds each published run to a Delta log beside its tables.
    pub delta: bool,
    /// Publishes the rows of many partitions in one object; otherwise each partition is one.
    pub compact: bool,
    /// Partitions that are published together, 1 to 4096.
    pub span: u32,
}

impl Pipeline {
    /// Reads and checks every key; problems stay in `reader`. Relative paths are taken from `dir`.
    pub(super) fn read(reader: &mut Reader, dir: &Path) -> Self {
        let batch_size = narrow(reader.whole("run.batch_size", 1..=4096));
        let corrupt = Corrupt::read(reader, dir);
        let partition_size = read_partition_size(reader, batch_size, corrupt.cells.len());
        if batch_size == 0 || !partition_size.is_multiple_of(batch_size) {
            let what = format!(
                "run.partition_size: found {partition_size}, allowed a multiple of run.batch_size ({batch_size})"
            );
            let keys = ["run.partition_size", "run.batch_size"];
            reader.problem(&keys, Problem::new("C001", Exit::Config, what));
        }
        let tags = Facts::TAGS.iter().filter_map(|tag| {
            reader.opt_text(&format!("run.tags.{tag}")).map(|text| ((*tag).to_owned(), text))
        });
        let tags = tags.collect();
        let seed = reader.whole("run.seed", 0..=u64::from(u32::MAX));
        let (input, output) = (Input::read(reader, dir), Output::read(reader, dir));
        let nightly = Nightly::read(reader, dir, &input.root);
        let pipeline = Self {
            name: read_name(reader),
            tags,
            seed,
            batch_size,
            mixing: reader.choice("run.batches", ("pure", Mixing::Pure), &[("mixed", Mixing::Mixed)]),
            partition_size,
            max_quarantine: reader.number("run.max_quarantine", 0.0..=1.0),
            max_missing_first: reader.number("run.max_missing_first", 0.0..=1.0),
            input,
            limits: read_limits(reader),
            rendering: read_rendering(reader),
            labels: Labels::read(reader),
            models: Models::read(reader, dir),
            corrupt,
            merge: Merge::read(reader, seed, dir),
            output,
            nightly,
        };
        pipeline.check_roots(reader);
        pipeline.check_int8(reader);
        pipeline
    }

    /// Whether a place lies inside `output.root`, links followed: readers of tables are not readers of names.
    #[must_use]
    pub fn is_in_output(&self, root: &str) -> bool {
        !self.output.root.is_empty() && place(root).starts_with(&place(&self.output.root))
    }

    /// Parents in 8-bit integers give coefficients and signals. What shows a parent's own outputs would need it in `f32` too, and then
    /// integers save nothing.
    fn check_int8(&self, reader: &mut Reader) {
        if self.models.int8.is_none() {
            return;
        }
        let shows_parents =
            |method: &&Method| matches!(method.kind(), MethodKind::Parent | MethodKind::Ensemble);
        let shown: Vec<&str> = self.merge.methods.iter().filter(shows_parents).map(|m| m.name()).collect();
        let refused = [
            (!shown.is_empty())
                .then(|| ("merge.methods", shown.join(", "), "leave them out of merge.methods")),
            self.output
                .features
                .then(|| ("output.features", "true".to_owned(), "set output.features = false")),
            (self.models.tower == TowerKind::Reference)
                .then(|| ("models.tower", "reference".to_owned(), "set models.tower = \"fast\"")),
        ];
        for (key, found, remedy) in refused.into_iter().flatten() {
            let what = format!(
                "{key}: found {found}, which needs both parents in f32: with models.coefficient_dtype = \"int8\" not allowed"
            );
            let hint = format!("{remedy}, or set models.coefficient_dtype = \"f32\"");
            reader.problem(
                &[key, "models.coefficient_dtype"],
                Problem::new("C001", Exit::Config, what).hint(hint),
            );
        }
    }

    fn check_roots(&self, reader: &mut Reader) {
        let (input, output) = (place(&self.input.root), place(&self.output.root));
        if !self.input.root.is_empty() && output.starts_with(&input) {
            let what = format!(
                "output.root: found {}, which lies inside input.root ({}), links followed",
                shown_place(&self.output.root),
                shown_place(&self.input.root)
            );
            let problem =
                Problem::new("C002", Exit::Config, what).hint("write the tables outside the archive");
            reader.problem(&["output.root", "input.root"], problem);
        }
        if self.is_in_output(&self.nightly.manifests) {
            let what = format!(
                "nightly.manifests: found {}, which lies inside output.root ({}), links followed",
                shown_place(&self.nightly.manifests),
                shown_place(&self.output.root)
            );
            let problem = Problem::new("C002", Exit::Config, what)
                .hint("manifests hold names of the archive: keep them where its owner alone can read");
            reader.problem(&["nightly.manifests", "output.root"], problem);
        }
    }
}

impl Input {
    fn read(reader: &mut Reader, dir: &Path) -> Self {
        Self {
            root: reader.place("input.root", dir),
            manifest: reader.text("input.manifest"),
            pipeline_dir: dir.to_path_buf(),
            split: reader.opt_text("input.split"),
            max_object_bytes: reader.whole("input.max_object_bytes", 1..=1 << 40),
            about: reader.opt_text("input.about"),
        }
    }
}

impl Labels {
    fn read(reader: &mut Reader) -> Self {
        // The file itself became a layer before reading; here it is only a known key.
        reader.opt_text("labels.file");
        let names = read_names(reader);
        let templates = reader.opt_texts("labels.templates").unwrap_or_default();
        let template = json!({ "type": "string", "pattern": r"\{\}" });
        reader.narrow("labels.templates", json!({ "items": template, "minItems": 1 }));
        let bad = templates.iter().find(|template| template.matches("{}").count() != 1);
        if let Some(found) =
            bad.map(|template| quoted(template)).or(templates.is_empty().then(|| "none".to_owned()))
        {
            let what =
                format!("labels.templates: found {found}, allowed texts with one {{}} each, at least one");
            let problem = Problem::new("C001", Exit::Config, what)
                .hint("write {} where the class name goes: \"a photo of a {}.\"");
            reader.problem(&["labels.templates"], problem);
        }
        let cleans_as_openai = reader.choice("labels.text_cleanup", ("none", false), &[("openai", true)]);
        Self { names, templates, cleans_as_openai }
    }
}

/// The classes: two at least, each once.
fn read_names(reader: &mut Reader) -> Vec<String> {
    let found = reader.opt_texts("labels.names");
    reader.narrow("labels.names", json!({ "minItems": 2 }));
    let Some(names) = found else {
        reader.missing("labels.names");
        return Vec::new();
    };
    if names.len() < 2 {
        let what = format!("labels.names: found {} names, allowed at least 2, all distinct", names.len());
        let hint = "set labels.names or labels.file; their order is the label_idx";
        reader.problem(&["labels.names"], Problem::new("C001", Exit::Config, what).hint(hint));
    }
    names
}

impl Output {
    fn read(reader: &mut Reader, dir: &Path) -> Self {
        Self {
            root: reader.place("output.root", dir),
            probs: reader.switch("output.probs"),
            features: reader.switch("output.features"),
            delta: reader.switch("output.delta"),
            compact: reader.choice("output.files", ("partition", false), &[("compact", true)]),
            span: narrow(reader.whole("output.span", 1..=4096)),
        }
    }
}

/// (sample, cell) pairs of an automatic partition: minutes of work on a CPU, and what an interrupt can cost.
const AUTO_PAIRS: u32 = 8192;
/// Most samples of an automatic partition.
const AUTO_SAMPLES: u32 = 4096;

/// `"auto"`: as many whole batches as have about [`AUTO_PAIRS`] pairs, one at least and [`AUTO_SAMPLES`] samples at most. A pure
/// function of settings, so that every worker and every machine cuts alike.
pub(super) fn auto_partition_size(batch_size: u32, n_cells: usize) -> u32 {
    let per_sample = u32::try_from(n_cells).unwrap_or(u32::MAX).max(1);
    let n_samples = (AUTO_PAIRS / per_sample).min(AUTO_SAMPLES);
    (n_samples / batch_size.max(1)).max(1) * batch_size
}

fn read_partition_size(reader: &mut Reader, batch_size: u32, n_cells: usize) -> u32 {
    let allowed = r#""auto" or a whole number in 1..=1048576"#;
    let shape =
        json!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 1 << 20 }] });
    let size = reader.typed("run.partition_size", allowed, shape, |value| {
        if value.as_str() == Some("auto") {
            return Some(auto_partition_size(batch_size, n_cells));
        }
        value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=1 << 20).contains(n))
    });
    size.unwrap_or(batch_size)
}

fn read_name(reader: &mut Reader) -> String {
    let name = reader.text("run.name");
    reader.narrow("run.name", json!({ "pattern": "^[a-z0-9][a-z0-9_-]{0,47}$" }));
    if !is_name(&name) {
        let what = format!("run.name: found {}, allowed [a-z0-9][a-z0-9_-]{{0,47}}", quoted(&name));
        let hint = "begin with a small letter or a digit; then small letters, digits, _ and -";
        reader.problem(&["run.name"], Problem::new("C005", Exit::Config, what).hint(hint));
    }
    name
}

fn read_limits(reader: &mut Reader) -> Limits {
    Limits {
        max_side_px: narrow(reader.whole("decode.max_side_px", 1..=1 << 20)),
        min_side_px: narrow(reader.whole("decode.min_side_px", 1..=4096)),
        max_pixels: reader.whole("decode.max_pixels", 1..=1 << 34),
        max_aspect: narrow(reader.whole("decode.max_aspect", 1..=100_000)),
    }
}

fn read_rendering(reader: &mut Reader) -> Rendering {
    let allowed = r#""file", "minmax", "percentile" or [center, width] with a width of at least 1"#;
    let fixed = json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 });
    let shape = json!({ "anyOf": [{ "enum": ["file", "minmax", "percentile"] }, fixed] });
    let window = reader.typed("decode.window", allowed, shape, |value| {
        match (value.as_str(), value.as_array().map(Vec::as_slice)) {
            (Some("file"), _) => Some(Window::File),
            (Some("minmax"), _) => Some(Window::MinMax),
            (Some("percentile"), _) => Some(Window::Percentile),
            (None, Some([center, width])) => {
                let number = |value: &Value| value.as_float().or(value.as_integer().map(|n| n as f64));
                let (center, width) = (number(center)?, number(width)?);
                let usable = center.is_finite() && width.is_finite() && width >= 1.0;
                usable.then_some(Window::Fixed { center, width })
            }
            _ => None,
        }
    });
    let burned_in = reader.choice(
        "decode.burned_in",
        ("score", BurnedIn::Score),
        &[("quarantine", BurnedIn::Quarantine)],
    );
    Rendering { window: window.unwrap_or_default(), burned_in, ..Rendering::default() }
}

/// What a root resolves to, so that one inside another is found: links of local folders followed as far as they exist,
/// one name for each scheme, one slash at the end.
fn place(root: &str) -> String {
    if let Some(folder) = local_path(root) {
        return format!("{}/", resolved(Path::new(&folder)).to_string_lossy().trim_end_matches('/'));
    }
    let (scheme, rest) = root.split_once("://").unwrap_or(("", root));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "s3a" => "s3".to_owned(),
        "azure" => "az".to_owned(),
        other => other.to_owned(),
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    format!("{scheme}://{}/", parts.join("/"))
}

/// `path` with the links of the longest part of it that exists followed.
fn resolved(path: &Path) -> PathBuf {
    let path = normal(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    let found = path.ancestors().find_map(|there| Some((there, std::fs::canonicalize(there).ok()?)));
    let Some((there, real)) = found else { return path };
    path.strip_prefix(there).map_or_else(|_| path.clone(), |rest| real.join(rest))
}

/// Every value read here is bounded below `u32::MAX`.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automatic_partition_is_sized_by_pairs_and_holds_whole_batches() {
        assert_eq!(auto_partition_size(32, 66), 96);
        assert_eq!(auto_partition_size(32, 21), 384);
        assert_eq!(auto_partition_size(32, 1), 4096);
        assert_eq!(auto_partition_size(4096, 66), 4096);
        assert_eq!(auto_partition_size(1, 100_000), 1);
    }
}
