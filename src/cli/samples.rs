//! `t3b samples`: from pseudonyms back to the owner's names.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use clap::Args;

use super::SpecArgs;
use super::opening::{load, on_runtime};
use crate::error::{Exit, Problem, RunError};
use crate::job::{PSEUDONYM_KEY, samples};

/// Which pipeline, and which ids.
#[derive(Debug, Args)]
pub struct SamplesArgs {
    /// Where the manifest is named.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// A file with one sample_id a line; by default every sample.
    #[arg(long, value_name = "FILE", env = "T3B_IDS")]
    pub ids: Option<PathBuf>,
}

/// Prints CSV on standard output; writes nothing else, the output store least of all.
pub(super) fn print_samples(args: &SamplesArgs) -> Result<Exit, RunError> {
    let ids = args.ids.as_ref().map(read_ids).transpose()?;
    let spec = load(&args.spec)?;
    if std::env::var_os(PSEUDONYM_KEY).is_none() {
        tell!(
            "note: without T3B_PSEUDONYM_KEY ids that the manifest does not give are of this manifest alone; a run that had a key has others"
        );
    }
    let settings = spec.settings.clone();
    let found = on_runtime(&settings, samples(&spec, ids.as_ref()))?;
    let mut table = csv::Writer::from_writer(io::stdout().lock());
    let unwritable = |_| {
        Problem::new("C007", Exit::StoreIo, "standard output cannot be written")
            .hint("send it to a file on a disk with space")
    };
    table.write_record(["sample_id", "manifest_row", "sample_row", "uri", "within"]).map_err(unwritable)?;
    for named in found {
        let (manifest_row, sample_row) = (named.manifest_row.to_string(), named.sample_row.to_string());
        let within = named.within.map(|at| at.to_string()).unwrap_or_default();
        let row = [&named.sample_id, &manifest_row, &sample_row, &named.uri, &within];
        table.write_record(row).map_err(unwritable)?;
    }
    table.flush().map_err(|_| unwritable(io::Error::other("").into()))?;
    Ok(Exit::Done)
}

fn read_ids(path: &PathBuf) -> Result<HashSet<String>, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("--ids: cannot read {} ({})", path.display(), error.kind());
        Problem::new("C007", Exit::Config, what).hint("name a text file with a sample id on each line")
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
