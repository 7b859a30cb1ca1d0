//! Where a run stands: a bar on a terminal, one line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::meter::Meter;
use super::profile::slowest;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A progress bar.
    Bar,
    /// One plain line at a time.
    Plain,
    /// One JSON object a line.
    Json,
}

/// Logs and progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The form.
    pub format: LogFormat,
    /// Time between progress lines.
    pub every: Duration,
}

/// How much there is to do, and how much of it was done by earlier calls and by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Batches of the whole run.
    pub n_batches: u64,
    /// Those that this call will not score.
    pub n_batches_before: u64,
    /// Partitions of the whole run.
    pub n_partitions: u64,
    /// Those that this call will not commit.
    pub n_partitions_before: u64,
}

/// Shows `meter` until dropped.
#[derive(Debug)]
pub struct Progress {
    task: tokio::task::JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts showing. Must be called inside a runtime.
    #[must_use]
    pub fn start(meter: Meter, extent: Extent, log: LogSettings) -> Self {
        let with_bar = match log.format {
            LogFormat::Auto => std::io::stderr().is_terminal(),
            LogFormat::Bar => true,
            LogFormat::Plain | LogFormat::Json => false,
        };
        let bar = with_bar.then(|| bar(extent));
        let every = if with_bar { Duration::from_millis(200) } else { log.every };
        let task = tokio::spawn(show(meter, extent, every, bar.clone()));
        Self { task, bar }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Where an earlier call stopped, the bar goes on.
fn bar(extent: Extent) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len}  {elapsed}{msg}");
    let bar = ProgressBar::new(extent.n_batches).with_position(extent.n_batches_before);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn show(meter: Meter, extent: Extent, every: Duration, bar: Option<ProgressBar>) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(every);
    // A machine that stood still says one line afterwards, not all that were due.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (scored, committed) = (meter.score.n_items(), meter.committed.load(Relaxed));
        let slow = slowest(&meter);
        if let Some(bar) = &bar {
            let rss = rss_mib("VmRSS:").unwrap_or_default();
            bar.set_position((extent.n_batches_before + scored).min(extent.n_batches));
            let committed = extent.n_partitions_before + committed;
            let left = left(started.elapsed(), scored, extent);
            let left = left.map(|left| format!("+{}", HumanDuration(left))).unwrap_or_default();
            let parts = extent.n_partitions;
            bar.set_message(format!("{left}  {committed}/{parts} parts, on {slow}, {rss} MiB"));
        } else {
            tell_line(extent, (scored, committed), started.elapsed(), slow);
        }
    }
}

/// One line of the log: how much of the whole run is done, in batches and in partitions, and what is left of this call.
fn tell_line(extent: Extent, (scored, committed): (u64, u64), elapsed: Duration, waiting_on: &str) {
    tracing::info!(
        batches_scored = extent.n_batches_before + scored,
        batches = extent.n_batches,
        partitions_committed = extent.n_partitions_before + committed,
        partitions = extent.n_partitions,
        elapsed_s = elapsed.as_secs(),
        left_s = left(elapsed, scored, extent).map(|left| left.as_secs()),
        rss_mib = rss_mib("VmRSS:"),
        waiting_on,
        "progress"
    );
}

/// The time that is left at this call's own speed; what earlier calls scored says nothing about it.
fn left(elapsed: Duration, scored: u64, extent: Extent) -> Option<Duration> {
    let to_do = extent.n_batches.saturating_sub(extent.n_batches_before + scored);
    (scored > 0).then(|| elapsed.mul_f64(to_do as f64 / scored as f64))
}

/// A resident-set figure of this process, `VmRSS:` now or `VmHWM:` at its peak, where the system tells.
#[must_use]
pub fn rss_mib(which: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(which))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_bar_starts_where_the_run_stood() {
        let extent = Extent { n_batches: 7, n_batches_before: 5, n_partitions: 4, n_partitions_before: 3 };
        let bar = bar(extent);
        assert_eq!((bar.position(), bar.length()), (5, Some(7)));
    }

    #[test]
    fn what_earlier_calls_scored_does_not_shorten_what_is_left() {
        let extent =
            Extent { n_batches: 320, n_batches_before: 60, n_partitions: 10, n_partitions_before: 2 };
        let in_ten = |scored| left(Duration::from_secs(10), scored, extent);
        assert_eq!((in_ten(0), in_ten(20)), (None, Some(Duration::from_secs(120))));
    }
}
