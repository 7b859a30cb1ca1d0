//! A small archive, a tiny random pair and a pipeline over them, in a folder that goes away.

pub mod dicom;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use t3b::demo::write_archive;
use t3b::error::RunError;
use t3b::flow::stop::{Stop, stop};
use t3b::job::{Job, Outcome, Request};
use t3b::model::ClipConfig;
use t3b::model::random::{Seeds, safetensors};
use t3b::settings::{Sources, Spec};
use tempfile::TempDir;

/// Images of the fixture's archive: two full partitions and a short one.
pub const N_IMAGES: usize = 40;
/// Cells of the fixture's pipeline: clean and two corruptions at two severities.
pub const N_CELLS: usize = 5;
/// Methods of the fixture's pipeline.
/// Methods of the fixture that merge weights: wise_ft and t3_b.
pub const N_MERGING: usize = 2;
pub const N_METHODS: usize = 4;

const CONFIG: &str = r#"{
  "projection_dim": 16,
  "text_config": { "vocab_size": 1024, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "max_position_embeddings": 32, "projection_dim": 16,
    "bos_token_id": 1022, "eos_token_id": 1023 },
  "vision_config": { "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 32, "patch_size": 16, "projection_dim": 16 }
}"#;

const PIPELINE: &str = r#"
[run]
name = "fixture"
batch_size = 8
partition_size = 16

[input]
root = "archive"

[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]

[models]
pretrained = "pretrained"
expert = "expert"

[corrupt]
suite = "dermamnist"
corruptions = ["gaussian_noise", "pixelate"]
severities = [1, 4]

[output]
root = "out"
"#;

/// The folder with everything in it.
pub struct Fixture {
    dir: TempDir,
}

impl Fixture {
    /// Draws the archive and writes the pair and `pipeline.toml`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        write_archive(&dir.path().join("archive"), 7, N_IMAGES).expect("the archive is drawn");
        let config = ClipConfig::from_hf_json(CONFIG).expect("a valid architecture");
        for (name, vision) in [("pretrained", 1), ("expert", 2)] {
            let folder = dir.path().join(name);
            fs::create_dir_all(&folder).expect("a folder");
            let weights = safetensors(&config, Seeds { vision, text: 3 }).expect("random weights");
            fs::write(folder.join("model.safetensors"), weights).expect("weights");
            fs::write(folder.join("config.json"), CONFIG).expect("config");
            fs::copy(repo("models/tiny/generalist/merges.txt"), folder.join("merges.txt")).expect("merges");
        }
        fs::write(dir.path().join("pipeline.toml"), PIPELINE).expect("pipeline");
        Self { dir }
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The settings, with overrides.
    pub fn spec(&self, set: &[(&str, &str)]) -> Result<Spec, RunError> {
        let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Spec::load(&Sources { pipeline: self.path("pipeline.toml"), config: Vec::new(), set })
    }

    /// Runs in this process into `out`, with overrides and a fixed date.
    pub fn run_until(&self, out: &str, set: &[(&str, &str)], stop: Stop) -> Result<Outcome, RunError> {
        let mut set = set.to_vec();
        let root = self.path(out).to_string_lossy().into_owned();
        set.push(("output.root", &root));
        let spec = self.spec(&set)?;
        let request = request();
        runtime().block_on(async { prepare(spec).await?.run(&request, stop).await })
    }

    /// [`Fixture::run_until`] with a stop nobody asks for.
    pub fn run(&self, out: &str, set: &[(&str, &str)]) -> Result<Outcome, RunError> {
        let (_handle, stop) = stop();
        self.run_until(out, set, stop)
    }

    /// Runs the binary with the fixture's pipeline.
    pub fn t3b(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary starts")
    }

    /// The binary, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t3b"));
        command.args(args).current_dir(self.dir.path()).env_remove("RUST_LOG");
        command
    }

    /// Bytes of every file below a folder, by path.
    pub fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let (root, mut files) = (self.path(folder), BTreeMap::new());
        collect(&root, &root, &mut files);
        files
    }

    /// Sets every value of one tensor of a checkpoint, which no check of one file can find wrong.
    pub fn overwrite_weights(&self, checkpoint: &str, tensor: &str, value: f32) {
        let path = self.path(checkpoint).join("model.safetensors");
        let mut bytes = fs::read(&path).expect("weights");
        let header_len =
            usize::try_from(u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"))).expect("small");
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).expect("a header");
        let place = |n: usize| {
            let offset = header[tensor]["data_offsets"][n].as_u64().expect("an offset");
            8 + header_len + usize::try_from(offset).expect("small")
        };
        for number in bytes[place(0)..place(1)].chunks_exact_mut(4) {
            number.copy_from_slice(&value.to_le_bytes());
        }
        fs::write(path, bytes).expect("weights");
    }

    /// Bytes of every published object of the promised tables, by path.
    pub fn published(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.path(out).join("tables");
        collect(&root, &root, &mut files);
        files.retain(|name, _| !name.starts_with("runs/") && !name.starts_with("attempts/"));
        // What a killed process leaves of a file it was writing; no listing shows it, and `t3b tidy` deletes it.
        files.retain(|name, _| !name.contains(".parquet#"));
        assert!(!files.is_empty(), "something is published");
        files
    }
}

/// The run that every test speaks of.
pub fn request() -> Request {
    Request { run_id: Some("r".into()), run_date: Some("2026-01-02".into()), ..Request::default() }
}

/// A job in this process whose decoding processes are the binary.
pub async fn prepare(spec: Spec) -> Result<Job, RunError> {
    let mut job = Job::prepare(spec).await?;
    job.decoder = env!("CARGO_BIN_EXE_t3b").into();
    Ok(job)
}

/// A runtime like the binary's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Ends a runtime as the binary does: without waiting for ever for what died in it, and without detaching threads as they end.
pub fn end_of(runtime: tokio::runtime::Runtime) {
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
}

/// A path below the repository.
pub fn repo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A page in Chromium, by a script of `dashboard/test`, which says what it checks.
pub fn in_chromium(script: &str, page: &Path) {
    let script = repo("dashboard/test").join(script);
    let Ok(said) = Command::new("node").arg(script).arg(page).output() else {
        println!("skipped: no node here");
        return;
    };
    let words = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    println!("{words}");
    assert!(matches!(said.status.code(), Some(0 | 77)), "{words}");
}

/// The arguments of a run named `r`, of a fixed day, whose tables lie at `output`.
pub fn run_to(output: &str) -> [&str; 8] {
    ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--output", output]
}

/// A path below `../shared`, or `None` with a line that says what is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = repo("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: ../shared/{name} is not there");
    None
}

/// The Python of the test set-up, or `None` with a line that says what is skipped.
pub fn python() -> Option<PathBuf> {
    let path = repo(".cache/py/bin/python");
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: run tests/support/setup.sh for the Python peers");
    None
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).expect("readable"));
        }
    }
}
