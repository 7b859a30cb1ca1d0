//! What every command begins with: its settings, its log, its threads, and the run that it names.

use std::time::Duration;

use super::output::Log;
use super::{RunUriArgs, SpecArgs};
use crate::error::{Exit, Problem, RunError};
use crate::flow::progress::LogFormat;
use crate::ledger::run_of;
use crate::settings::{Settings, Spec};
use crate::store::Root;

pub(super) fn load(args: &SpecArgs) -> Result<Spec, RunError> {
    let spec = Spec::load(&args.sources())?;
    start_logging(&spec.settings);
    Ok(spec)
}

/// How long the threads of a command that has ended are waited for.
const LONGEST_END: Duration = Duration::from_secs(1);

/// Crates whose events hold keys and addresses.
const CLIENT: [&str; 5] = ["object_store", "hyper", "reqwest", "rustls", "h2"];

pub(super) fn start_logging(settings: &Settings) {
    use tracing_subscriber::{EnvFilter, fmt};
    // The store's client prints keys in its own events, and keys may identify patients.
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    // The most specific directive wins, so those that name the client's modules are left out first.
    let is_theirs = |directive: &&str| CLIENT.iter().any(|name| directive.trim().starts_with(name));
    let ours: Vec<&str> = asked.split(',').filter(|directive| !is_theirs(directive)).collect();
    let filter = EnvFilter::try_new(ours.join(",")).ok().filter(|_| !asked.is_empty());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    let off = CLIENT.iter().filter_map(|name| format!("{name}=off").parse().ok());
    let filter = off.fold(filter, EnvFilter::add_directive);
    // Its own words about a line that could not be written would panic where the standard error is full.
    let lines =
        fmt().with_env_filter(filter).with_writer(|| Log).with_target(false).log_internal_errors(false);
    // A second command in the same process keeps the first one's logging.
    let _already_set = match settings.log.format {
        LogFormat::Json => lines.json().try_init(),
        _ => lines.with_ansi(false).try_init(),
    };
}

/// Threads that may wait for a disk or compute: one for each job, and as many as a disk or a file server answers at a time. Objects of a
/// folder that are read at once, `fetch.concurrency`, wait for them in turn. A run has them all behind its first reads, so that a long one
/// takes little more memory than a short one. Of jobs that wait for another there are few at a time: one reads archives, four list them.
fn most_waiting(settings: &Settings) -> usize {
    const FILES: usize = 32;
    settings.threads.cpu + FILES
}

/// The I/O threads.
fn runtime(settings: &Settings) -> Result<tokio::runtime::Runtime, Problem> {
    super::system::check_address_space(settings.budget_bytes)?;
    super::system::restrict_files(settings.store.umask);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads.io)
        .max_blocking_threads(most_waiting(settings))
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|_| Problem::new("B006", Exit::Bug, "the I/O threads cannot be started"))?;
    super::system::outlive_file_limits(&runtime);
    Ok(runtime)
}

pub(super) fn on_runtime<T>(
    settings: &Settings,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    let runtime = runtime(settings)?;
    let done = runtime.block_on(work);
    // A stalled read must not hold the process after the verdict for long. Threads that end are waited for and not detached:
    // glibc's `pthread_detach` reads what a thread that ends at that moment may have unmapped, and the process would segfault.
    runtime.shutdown_timeout(LONGEST_END);
    done
}

pub(super) fn open_run(
    args: &RunUriArgs,
    writes: bool,
) -> Result<(Settings, Root, String, String), RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    let (output, root, run_id) = open_run_at(&args.run, &settings, writes)?;
    Ok((settings, output, root, run_id))
}

/// The run that a URI names: where it lies, its output root and its id.
pub(super) fn open_run_at(
    uri: &str,
    settings: &Settings,
    writes: bool,
) -> Result<(Root, String, String), RunError> {
    let (root, run_id) = run_of(uri)?;
    let place = super::from_here(root);
    // What is only looked at is opened so that nothing can be written; a root that is not there is not made.
    let mut output = Root::open(&place, false, &settings.store)?;
    if writes {
        output = Root::open(&place, true, &settings.store)?;
    }
    Ok((output, root.to_owned(), run_id.to_owned()))
}
