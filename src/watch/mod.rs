//! What others see of a run while it goes and when it has ended: metrics, lineage events, traces, an orchestrator's messages.
//!
//! All of them render one [`Meter`] and one [`Subject`]. None of them can fail a run or change a row: what cannot be written or
//! sent is a warning. No key, path or text of the archive is known here.

mod dagster;
mod endpoint;
mod lineage;
mod page;
mod post;
mod settings;
mod textfile;
mod traces;

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

pub use settings::{LineageSettings, MetricsSettings, WatchSettings, parse_address};

use crate::error::{Exit, RunError};
use crate::flow::meter::Meter;
use dagster::Pipes;
use lineage::{Event, Lineage};
use page::{Page, State};
use textfile::Textfile;
use traces::Traces;

/// Which run is watched, in words that identify nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's id.
    pub run_id: String,
    /// Which part of it this process works on.
    pub shard: Option<(u32, u32)>,
    /// Fingerprint of what is computed.
    pub spec_sha256: String,
    /// Samples of the manifest.
    pub n_samples: u64,
    /// Methods that are scored.
    pub n_methods: u64,
}

#[cfg(test)]
impl Subject {
    /// Four samples under two methods.
    fn example() -> Self {
        Self {
            pipeline: "p".into(),
            run_id: "r".into(),
            shard: None,
            spec_sha256: "s".into(),
            n_samples: 4,
            n_methods: 2,
        }
    }
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Everything is published.
    Published {
        /// (sample, cell) pairs scored.
        n_scored: u64,
        /// (sample, cell) pairs quarantined.
        n_quarantined: u64,
        /// Whether that is more than the pipeline allows.
        is_over: bool,
    },
    /// This shard is done; others are not.
    Shard {
        /// Partitions that are not committed yet.
        n_missing: u64,
    },
    /// An error ended it.
    Failed(RunError),
}

impl Ended {
    /// The code that `t3b run` ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Published { is_over: true, .. } => Exit::OverQuarantine,
            Self::Published { .. } | Self::Shard { .. } => Exit::Done,
            Self::Failed(error) => error.exit(),
        }
    }

    fn is_success(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// Everything that watches one run; dropping it ends the endpoint and the writing.
#[derive(Debug)]
pub struct Watch {
    page: Page,
    textfile: Option<Textfile>,
    lineage: Lineage,
    pipes: Option<Pipes>,
    traces: Option<Traces>,
    tasks: JoinSet<()>,
}

impl Watch {
    /// Opens the endpoint, tells the beginning, and writes the metrics file until closed.
    pub async fn start(settings: &WatchSettings, meter: &Meter, subject: Subject) -> Self {
        let textfile = settings.metrics.textfile.clone().map(Textfile::new);
        let last_success_s = match &textfile {
            Some(file) => file.last_success_s().await,
            None => None,
        };
        let state = State { started_s: now_s(), last_success_s, exit_code: None };
        let page = Page::new(meter.clone(), &subject, state);
        let mut tasks = JoinSet::new();
        if let Some(address) = settings.metrics.address {
            let page = page.clone();
            endpoint::open(&mut tasks, address, move || page.text()).await;
        }
        if let Some(file) = textfile.clone() {
            let (page, every) = (page.clone(), settings.metrics.every);
            tasks.spawn(async move { file.keep_writing(&page, every).await });
        }
        let pipes = Pipes::from_environment(&subject);
        if let Some(pipes) = &pipes {
            pipes.opened();
        }
        let traces =
            settings.traces_url.clone().map(|url| Traces::new(url, meter.spans.clone(), subject.clone()));
        if let Some(traces) = traces.clone() {
            tasks.spawn(async move { traces.keep_posting().await });
        }
        let lineage = Lineage::new(settings.lineage.clone(), subject);
        lineage.tell(Event::Start).await;
        Self { page, textfile, lineage, pipes, traces, tasks }
    }

    /// Tells the end, and writes the last metrics.
    pub async fn close(mut self, ended: &Ended) {
        self.tasks.abort_all();
        let mut state = State { exit_code: Some(ended.exit().code()), ..self.page.state };
        if ended.is_success() {
            state.last_success_s = Some(now_s());
        }
        // The tasks that write and post have ended before the last word; what a thread still writes, the file waits for.
        while self.tasks.join_next().await.is_some() {}
        if let Some(file) = &self.textfile {
            file.write(self.page.with(state).text()).await;
        }
        self.lineage.tell(Event::End(ended)).await;
        if let Some(traces) = &self.traces {
            traces.close(ended).await;
        }
        if let Some(pipes) = &self.pipes {
            pipes.closed(ended);
        }
    }
}

/// Seconds since 1970.
fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
