//! `t3b models fetch`: a checkpoint from the Hugging Face hub, at one commit and with its hash. Built with the feature `hub`.
//!
//! The only place that downloads a model: a job reads what is there and never goes and gets it.

use std::path::PathBuf;

use clap::Args;
use hf_hub::HFClientSync;
use hf_hub::HFError;
use hf_hub::repository::RepoTreeEntry;

use crate::error::{Exit, Problem, RunError, quoted};
use crate::model::checkpoint::CheckpointSpec;
use crate::model::files::Files;
use crate::model::{Checkpoint, Role};

/// Hex digits of a commit.
const COMMIT_DIGITS: usize = 40;

/// `t3b models fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The repository, as in openai/clip-vit-base-patch16.
    #[arg(value_name = "OWNER/NAME")]
    pub repository: String,
    /// The commit, 40 hex digits: branches move, so they are refused.
    #[arg(long, value_name = "COMMIT", env = "T3B_MODELS_FETCH_REVISION")]
    pub revision: String,
    /// Sha256 of the weights file, 64 hex digits.
    #[arg(long, value_name = "HEX", env = "T3B_MODELS_FETCH_SHA256")]
    pub sha256: String,
    /// Where to write.
    #[arg(short, long, value_name = "OUT_DIR", env = "T3B_MODELS_FETCH_OUT")]
    pub out: PathBuf,
}

/// Fetches the files of a checkpoint and checks them as a job would.
pub(super) fn fetch(args: &FetchArgs) -> Result<(), RunError> {
    let is_commit =
        args.revision.len() == COMMIT_DIGITS && args.revision.chars().all(|c| c.is_ascii_hexdigit());
    let (Some((owner, name)), true) = (args.repository.split_once('/'), is_commit) else {
        let what = format!(
            "models fetch: found {} at {}, allowed OWNER/NAME and a commit of 40 hex digits",
            quoted(&args.repository),
            quoted(&args.revision)
        );
        return Err(Problem::new("C001", Exit::Usage, what)
            .hint("a branch moves, a commit does not: the page of a model's files shows the newest one")
            .into());
    };
    let repository = HFClientSync::new().map_err(|error| failed(&error))?.model(owner, name);
    let listed = repository.list_tree().revision(args.revision.as_str()).send();
    for file in wanted(listed.map_err(|error| failed(&error))?) {
        let download = repository.download_file().filename(file.as_str()).revision(args.revision.as_str());
        download.local_dir(args.out.as_path()).send().map_err(|error| failed(&error))?;
        say!("{file}");
    }
    let spec = CheckpointSpec {
        files: Files::at(&args.out),
        role: Role::Pretrained,
        architecture: None,
        sha256: Some(args.sha256.clone()),
    };
    let checkpoint = Checkpoint::load(&spec).map_err(Problem::from)?;
    say!("ok  {} tensors, sha256 {}", checkpoint.tensors().len(), checkpoint.sha256());
    Ok(())
}

/// The files of a checkpoint; of several weights, those that `transformers` would take.
fn wanted(entries: Vec<RepoTreeEntry>) -> Vec<String> {
    let names = entries.into_iter().filter_map(|entry| match entry {
        RepoTreeEntry::File { path, .. } => Some(path),
        RepoTreeEntry::Directory { .. } => None,
    });
    let names: Vec<String> = names.filter(|name| Files::may_be_part(name)).collect();
    let single = "model.safetensors";
    let has_single = names.iter().any(|name| name == single);
    let is_wanted = |name: &String| !has_single || !name.contains(".safetensors") || name == single;
    names.into_iter().filter(is_wanted).collect()
}

/// The hub's own text may quote an address with a token, so only the kind is told.
fn failed(error: &HFError) -> Problem {
    let kind = match error {
        HFError::AuthRequired { .. } => "it asks for a token",
        HFError::RepoNotFound { .. } => "there is no such repository",
        HFError::RevisionNotFound { .. } => "there is no such commit",
        _ => "it did not answer as expected",
    };
    let what = format!("models fetch: the hub refused or failed: {kind}");
    Problem::new("S007", Exit::StoreIo, what).hint("check the repository, the commit and HF_TOKEN")
}
