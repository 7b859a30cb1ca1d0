//! The command line; the only module that knows clap.

#[macro_use]
mod output;

mod closing;
mod commands;
mod corrupt;
mod dashboard;
mod decode;
mod deliver;
mod describe;
mod evaluate;
#[cfg(feature = "hub")]
mod fetch;
mod fold;
mod key;
mod manifest;
mod models;
mod nightly;
mod opening;
mod past;
mod pictures;
mod plan;
mod profile;
mod run;
mod runs;
mod samples;
mod signals;
mod sweep;
mod system;
mod variables;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

pub use commands::execute;
pub use corrupt::{CorruptArgs, ExportLayout, Rng};
pub use dashboard::DashboardArgs;
pub use decode::DecodeArgs;
pub use describe::{CompletionsArgs, ConfigCommand, ConfigShowArgs, Defaults, Kind, ManArgs, SchemaArgs};
pub use evaluate::{DriftArgs, EvaluateArgs, TuneArgs};
#[cfg(feature = "hub")]
pub use fetch::FetchArgs;
pub use key::KeyCommand;
pub use manifest::{BuildArgs, FreezeArgs, ManifestCommand};
pub use models::{CompareArgs, ConvertArgs, InspectArgs, ModelsCommand, ShapeArgs};
pub use nightly::NightlyArgs;
pub use output::finish;
pub use past::{DiscardArgs, RunsCommand, RunsListArgs, RunsShowArgs, ShowArgs};
pub use samples::SamplesArgs;
pub use worker::WorkerArgs;

use crate::error::{Exit, may_be_secret, printable};
use crate::settings::{PATH_KEYS, Sources, env_name, key_named};

/// Scores archives of medical images with two CLIP models merged at test time (T3_B).
///
/// A pipeline file says what is computed, a config file how. Start with `t3b demo`, then copy and change
/// the pipeline file that it writes.
#[derive(Debug, Parser)]
#[command(name = "t3b", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads the command line. Help and version are printed and end with 0, what cannot be understood with 2; neither a
/// credential nor a control character of it is repeated.
///
/// # Errors
/// The code to end with.
pub fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            return match error.print() {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::StoreIo,
                _ => Exit::Done,
            };
        }
        let text = error.render().to_string();
        // A word that begins with dashes is no value of any command.
        let lines = text.lines().filter(|line| !line.contains("as a value, use '-- "));
        tell!("{}", printable_lines(&lines.collect::<Vec<_>>().join("\n")));
        if let Some(key) = as_setting(&error) {
            tell!(
                "  hint: {key} is a setting: --set {key}=VALUE where a pipeline is given, or {}",
                env_name(&key)
            );
        }
        Exit::Usage
    })
}

/// The setting that an unknown flag was probably meant to be: `--split` for `input.split`.
fn as_setting(error: &clap::Error) -> Option<String> {
    let ContextValue::String(flag) = error.get(ContextKind::InvalidArg)? else { return None };
    key_named(&flag.strip_prefix("--")?.split('=').next()?.replace('-', "_"))
}

/// Text of several lines that may repeat what was typed.
fn printable_lines(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        let words =
            line.split(' ').map(|word| if may_be_secret(word) { "***".into() } else { printable(word) });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 usage, 3 done but over run.max_quarantine or drift, 65 bad manifest or \
checkpoint, 69 store unfit, 70 bug, 74 store gave up (run again to resume), 75 stopped by a signal (run again to \
resume), 76 published by other bytes or withdrawn, 77 access denied, 78 settings.

Every setting can be overridden by an environment variable: run.batch_size by T3B_RUN_BATCH_SIZE. Logs follow \
RUST_LOG.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draws a labelled blood-smear archive, scores it with the shipped tiny pair and prints accuracies.
    ///
    /// Example: t3b demo --out t3b-demo
    Demo(DemoArgs),
    /// Scores an archive; resumes where an earlier call stopped, and writes nothing when all is done.
    ///
    /// Example: t3b run my.toml --set merge.gamma=1.0 --run-id night-7
    Run(RunArgs),
    /// Works on a run beside other workers, partition by partition, until it is published; come and go at any time.
    ///
    /// Example: t3b worker my.toml --run-id night-7 --name gpu-3
    Worker(WorkerArgs),
    /// Scores what came since the nights before, and publishes, checks, evaluates and compares it; for a scheduler.
    ///
    /// Example: t3b nightly ward.toml --exit-when-empty 99
    Nightly(NightlyArgs),
    /// Prints samples, partitions, cells and batches; writes nothing.
    ///
    /// Example: t3b plan my.toml --json
    Plan(PlanArgs),
    /// Checks settings, labels, manifest, checkpoints and the output store, and prints what is in force.
    ///
    /// Example: t3b check my.toml
    Check(SpecArgs),
    /// Runs every combination of a file's [sweep.axes] and writes one summary table.
    ///
    /// Example: t3b sweep pipelines/experiments/batch_size_sweep.toml
    Sweep(SweepArgs),
    /// Corrupts one image, draws a sheet of a whole suite, or exports a MedMNIST test set as MedMNIST-C.
    ///
    /// Example: t3b corrupt cell.png --suite bloodmnist --corruption motion_blur --severity 3 -o blurred.png
    Corrupt(CorruptArgs),
    /// Decodes one image as a run would and says what was found: format, transfer syntax, bits, window, or the reason.
    ///
    /// Nothing that is printed identifies anybody. Example: t3b decode chest.dcm -o chest.png --window minmax
    Decode(DecodeArgs),
    /// Builds a manifest of the images and tar shards below a root.
    ///
    /// Example: t3b manifest build s3://archive/2026 -o manifest.parquet --sha256
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Inspects, compares and converts checkpoints.
    ///
    /// Example: t3b models compare models/generalist models/expert
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Makes the secret that keys pseudonyms.
    ///
    /// Example: export T3B_PSEUDONYM_KEY=$(t3b key new)
    #[command(subcommand)]
    Key(KeyCommand),
    /// Publishes a run whose partitions are all committed, for shards that ended elsewhere.
    ///
    /// Example: t3b finalize s3://bucket/out/_t3b/runs/night-7
    Finalize(RunUriArgs),
    /// Compares every published object of a run with its receipt: bytes, hash, rows, and nothing more.
    ///
    /// Example: t3b verify s3://bucket/out/_t3b/runs/night-7
    Verify(VerifyArgs),
    /// Shows what of a run is committed, missing and quarantined, how fast it goes and how long it will take.
    ///
    /// Example: t3b status s3://bucket/out/_t3b/runs/night-7
    Status(StatusArgs),
    /// Lists staged objects that no receipt names, which crashes leave behind; deletes them with --delete.
    ///
    /// Example: t3b tidy s3://bucket/out/_t3b/runs/night-7 --delete --older-than 7d
    Tidy(TidyArgs),
    /// Lists runs below an output root, and shows what one of them is.
    ///
    /// Example: t3b runs list s3://bucket/out
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Shows everything that a published run says of one sample and, with its owner's pipeline, which object it is.
    ///
    /// Example: t3b show s3://bucket/out/_t3b/runs/night-7 0f3c... --pipeline my.toml
    Show(ShowArgs),
    /// Withdraws a run: counts, and with --delete deletes, its tables and its own folder; a record of them stays.
    ///
    /// Example: t3b discard s3://bucket/out/_t3b/runs/night-7 --delete
    Discard(DiscardArgs),
    /// Scores random batches of a published run again and compares every row, bit for bit.
    ///
    /// Example: t3b reproduce my.toml --run-id night-7 --slots 10
    Reproduce(ReproduceArgs),
    /// Turns published tables into figures with intervals, tables and a report; reads no model.
    ///
    /// Example: t3b evaluate out/_t3b/runs/night-7 --out report
    #[command(alias = "report")]
    Evaluate(EvaluateArgs),
    /// Picks lambda, gamma, bounds and batch size from a scored grid (merge.grid) and prints the pipeline's lines; runs
    /// no model.
    ///
    /// Example: t3b tune my.toml --split val
    Tune(TuneArgs),
    /// Compares a run with others by effect size; exit code 3 when something drifted.
    ///
    /// Example: t3b drift out/_t3b/runs/night-8 --against out/_t3b/runs/night-7
    Drift(DriftArgs),
    /// Writes one static page of all nights below an output root: accuracy, lambda, drift, what was left out, throughput.
    ///
    /// Example: t3b dashboard s3://bucket/out --out nights
    Dashboard(DashboardArgs),
    /// Names what sample ids stand for, as CSV: for the owner, who has the manifest and the key.
    ///
    /// Example: t3b samples my.toml --ids uncertain.txt
    Samples(SamplesArgs),
    /// Prints every key in force and where it comes from, or the defaults with their comments.
    ///
    /// Example: t3b config show pipelines/bccd.toml
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the JSON Schema of a kind of settings file, for editors.
    ///
    /// Example: t3b schema pipeline > pipeline.schema.json
    Schema(SchemaArgs),
    /// Prints completions for a shell.
    ///
    /// Example: t3b completions bash > ~/.local/share/bash-completion/completions/t3b
    Completions(CompletionsArgs),
    /// Prints the man page, or writes one for each command into a folder.
    ///
    /// Example: t3b man ~/.local/share/man/man1
    Man(ManArgs),
    /// Decodes pictures for another t3b, in a process that may die of them.
    ///
    /// Example: `t3b run` starts it where decoder.isolation asks for it.
    #[command(name = t3b_decode::worker::COMMAND, hide = true)]
    DecodeWorker,
}

/// Which settings.
#[derive(Debug, Clone, Args)]
pub struct SpecArgs {
    /// What is computed, for example my.toml.
    #[arg(value_name = "PIPELINE.toml", env = "T3B_PIPELINE")]
    pub pipeline: PathBuf,
    /// How it is carried out, for example config/laptop.toml; may be repeated, the last one wins key by key.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG", value_delimiter = ';')]
    pub config: Vec<PathBuf>,
    /// Overrides one key of either file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", env = "T3B_SET", value_delimiter = ';', value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Overrides output.root.
    #[arg(long, value_name = "URI", env = "T3B_OUTPUT")]
    pub output: Option<String>,
}

impl SpecArgs {
    fn sources(&self) -> Sources {
        let mut set: Vec<_> = self.set.iter().map(|(key, value)| (key.clone(), meant(key, value))).collect();
        let output = self.output.as_ref().map(|root| ("output.root".to_owned(), from_here(root)));
        set.extend(output);
        Sources { pipeline: self.pipeline.clone(), config: self.config.clone(), set }
    }
}

/// How a command that reads no pipeline speaks to stores.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// How it is carried out, for example config/s3.toml; may be repeated, the last one wins key by key.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG", value_delimiter = ';')]
    pub config: Vec<PathBuf>,
    /// Overrides one key of a config file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", env = "T3B_SET", value_delimiter = ';', value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

impl ConfigArgs {
    fn sources(&self) -> Sources {
        Sources { config: self.config.clone(), set: self.set.clone(), ..Sources::default() }
    }
}

/// What `--set` means by a value: a relative path is taken from where the user stands, as `--output` is.
fn meant(key: &str, value: &str) -> String {
    let is_path = PATH_KEYS.contains(&key) && !value.is_empty() && !value.starts_with(['"', '\'']);
    if is_path { from_here(value) } else { value.to_owned() }
}

/// A path on the command line is meant from where the user stands, not from the pipeline file.
fn from_here(root: &str) -> String {
    if root.contains("://") {
        return root.to_owned();
    }
    std::path::absolute(root).map_or_else(|_| root.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// `t3b demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the archive, the pipeline file and the tables.
    #[arg(long, value_name = "DIR", default_value = "t3b-demo", env = "T3B_DEMO_OUT")]
    pub out: PathBuf,
}

/// `t3b run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which settings.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Names the run; by default the pipeline's name and its fingerprint, so that the same work resumes.
    #[arg(long, value_name = "ID", env = "T3B_RUN_ID")]
    pub run_id: Option<String>,
    /// Day of the run in table paths; by default today (UTC), asked once.
    #[arg(long, value_name = "YYYY-MM-DD", env = "T3B_RUN_DATE")]
    pub run_date: Option<String>,
    /// Works on partitions p with p % n == k; the shard that commits last publishes.
    #[arg(long, value_name = "K/N", env = "T3B_SHARD", value_parser = shard)]
    pub shard: Option<(u32, u32)>,
    /// Goes on with a run that a machine with other numerics began; each receipt records its own.
    #[arg(long, env = "T3B_ALLOW_OTHER_NUMERICS")]
    pub allow_other_numerics: bool,
    /// Prints every corruption as a column, however wide.
    #[arg(long, env = "T3B_WIDE")]
    pub wide: bool,
    /// Prints what each stage did with its time, how full the links were, and which stage holds up the others.
    #[arg(long, env = "T3B_PROFILE")]
    pub profile: bool,
    /// Prints one JSON object when the run has ended, and nothing else.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Which settings.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Prints every corruption as a column, however wide.
    #[arg(long, env = "T3B_WIDE")]
    pub wide: bool,
    /// Prints the summary as one JSON object, and nothing else.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which settings.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunUriArgs,
    /// The hash that an earlier verification printed: fails when the run is another one now, whoever rewrote it.
    #[arg(long, value_name = "HASH", env = "T3B_EXPECT")]
    pub expect: Option<String>,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// Which run, for commands that read no pipeline.
#[derive(Debug, Args)]
pub struct RunUriArgs {
    /// Output root and run id: `<root>/_t3b/runs/<run id>`.
    #[arg(value_name = "RUN_URI", env = "T3B_RUN_URI")]
    pub run: String,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: ConfigArgs,
}

/// `t3b status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunUriArgs,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b tidy`.
#[derive(Debug, Args)]
pub struct TidyArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunUriArgs,
    /// Deletes what would otherwise only be listed.
    #[arg(long, env = "T3B_DELETE")]
    pub delete: bool,
    /// Keeps what the store says is younger: a number and s, m, h or d.
    #[arg(long, value_name = "AGE", default_value = "7d", env = "T3B_OLDER_THAN", value_parser = runs::age)]
    pub older_than: Duration,
}

/// `t3b reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Which settings: those of the run.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Names the run; by default as `t3b run` does.
    #[arg(long, value_name = "ID", env = "T3B_RUN_ID")]
    pub run_id: Option<String>,
    /// How many batches, each in every cell.
    #[arg(long, value_name = "K", default_value_t = 10, env = "T3B_SLOTS")]
    pub slots: usize,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, for example merge.gamma=1.0")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn shard(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(k, n)| k < n).ok_or_else(|| "expected K/N with 0 <= K < N, for example 3/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        for command in Cli::command().get_subcommands() {
            for arg in
                command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            {
                let name = arg.get_env().and_then(|name| name.to_str());
                assert!(
                    name.is_some_and(|name| name.starts_with("T3B_")),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            assert!(command.get_long_about().is_some_and(|about| about.to_string().contains("Example:")));
        }
    }

    #[test]
    fn shards_count_from_zero() {
        assert_eq!(shard("3/8"), Ok((3, 8)));
        assert!(shard("8/8").is_err());
    }
}
