//! `config/*.toml`: how a run is carried out. No key here may change a row.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use t3b_decode::Isolation;

use super::layers::Reader;
use crate::error::{Exit, Problem, quoted, shown_place};
use crate::flow::progress::{LogFormat, LogSettings};
use crate::graph::{Queues, Resources};
use crate::ledger::ClaimRule;
use crate::score::Devices;
use crate::store::StoreSettings;
use crate::watch::{LineageSettings, MetricsSettings, WatchSettings, parse_address};

/// Checked run settings. Every field is bounded; see `config/default.toml` for the meaning of each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Bytes of compressed and decoded images in flight.
    pub budget_bytes: u64,
    /// Whether blocks in `f32` are put aside in a file, where a run can do with those in integers.
    pub spills_weights: bool,
    /// Objects read at once.
    pub fetch_concurrency: usize,
    /// Bytes of one ranged GET.
    pub fetch_range_bytes: u64,
    /// Threads of each kind, never zero.
    pub threads: Threads,
    /// Messages between stages.
    pub queues: Queues,
    /// Which pictures are decoded in a process of their own.
    pub isolation: Isolation,
    /// Object store behaviour.
    pub store: StoreSettings,
    /// Where the models run: one lane on each.
    pub devices: Devices,
    /// How long a drain may take after the first signal.
    pub drain_deadline: Duration,
    /// How long nothing may move before the run is given up.
    pub stall_deadline: Duration,
    /// When a worker passes over the claims of others.
    pub claims: ClaimRule,
    /// How progress and logs are shown.
    pub log: LogSettings,
    /// Where metrics and lineage events go.
    pub watch: WatchSettings,
    /// Whether reports may hold pictures of the archive.
    pub report_images: bool,
}

/// Threads of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// tokio workers.
    pub io: usize,
    /// Decode and corrupt jobs at once.
    pub cpu: usize,
    /// Threads of the scoring lanes together.
    pub score: usize,
}

impl Settings {
    /// What the graph may take.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources {
            queues: self.queues,
            n_cpu: self.threads.cpu,
            budget_bytes: self.budget_bytes,
            stall_deadline: self.stall_deadline,
        }
    }

    /// Reads and checks every key; problems stay in `reader`.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let settings = Self {
            budget_bytes: reader.whole("memory.budget_mib", 16..=1 << 20) << 20,
            spills_weights: reader.choice("memory.weights", ("held", false), &[("spilled", true)]),
            fetch_concurrency: size(reader.whole("fetch.concurrency", 1..=1024)),
            fetch_range_bytes: reader.whole("fetch.range_mib", 1..=16) << 20,
            threads: Threads {
                io: size(reader.whole("threads.io", 1..=64)),
                cpu: or_cores(reader.whole("threads.cpu", 0..=most_threads())),
                score: or_cores(reader.whole("threads.score", 0..=most_threads())),
            },
            queues: Queues {
                fetched: capacity(reader, "queues.fetched"),
                decoded: capacity(reader, "queues.decoded"),
                corrupted: capacity(reader, "queues.corrupted"),
                batches: capacity(reader, "queues.batches"),
                scored: capacity(reader, "queues.scored"),
            },
            isolation: reader.choice(
                "decoder.isolation",
                ("risky", Isolation::Risky),
                &[("all", Isolation::All), ("none", Isolation::None)],
            ),
            store: read_store(reader),
            devices: read_devices(reader),
            drain_deadline: seconds(reader, "stop.drain_deadline_s"),
            stall_deadline: seconds(reader, "stop.stall_deadline_s"),
            claims: ClaimRule {
                age: seconds(reader, "worker.claim_age_s"),
                factor: u32::try_from(reader.whole("worker.claim_factor", 1..=100)).unwrap_or(u32::MAX),
            },
            log: LogSettings {
                format: reader.choice(
                    "log.format",
                    ("auto", LogFormat::Auto),
                    &[("bar", LogFormat::Bar), ("plain", LogFormat::Plain), ("json", LogFormat::Json)],
                ),
                every: seconds(reader, "log.every_s"),
            },
            watch: read_watch(reader),
            report_images: reader.switch("report.images"),
        };
        for key in ["threads.cpu", "threads.score"] {
            // A file may be written for a larger machine; the limit is looked at where it is used.
            reader.narrow(key, json!({ "maximum": null }));
        }
        settings
    }
}

fn read_devices(reader: &mut Reader) -> Devices {
    let name = json!({ "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]{1,2})?)$" });
    let shape = json!({ "anyOf": [name, { "type": "array", "items": name, "minItems": 1, "maxItems": 64 }] });
    let parse = |value: &toml::Value| match value {
        toml::Value::Array(names) => {
            Devices::parse(&names.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>()?)
        }
        value => Devices::parse(&[value.as_str()?]),
    };
    reader.one("device.kind", Devices::ALLOWED, shape, parse, Devices::AUTO)
}

fn read_watch(reader: &mut Reader) -> WatchSettings {
    let port = json!({ "type": "integer", "minimum": 0, "maximum": 65535 });
    let shape = json!({ "anyOf": [port, { "type": "string", "pattern": ":?[0-9]{1,5}$" }] });
    let address = reader.typed("metrics.address", "a port, or an IP address with a port", shape, |value| {
        let port = value.as_integer().map(|port| port.to_string());
        parse_address(port.as_deref().or(value.as_str())?)
    });
    WatchSettings {
        metrics: MetricsSettings {
            textfile: read_textfile(reader),
            every: seconds(reader, "metrics.every_s"),
            address,
        },
        lineage: LineageSettings {
            file: reader.opt_place("lineage.file", Path::new("")).map(PathBuf::from),
            url: read_url(reader, "lineage.url"),
            namespace: reader.text("lineage.namespace"),
        },
        traces_url: read_url(reader, "traces.url"),
    }
}

/// The collector takes no other files.
fn read_textfile(reader: &mut Reader) -> Option<PathBuf> {
    let path = reader.opt_place("metrics.textfile", Path::new(""));
    reader.narrow("metrics.textfile", json!({ "pattern": r"\.prom$" }));
    let path = path?;
    if !path.ends_with(".prom") || path.contains("://") {
        let what = format!(
            "metrics.textfile: found {}, allowed a local path that ends with .prom",
            shown_place(&path)
        );
        reader.problem(&["metrics.textfile"], Problem::new("C001", Exit::Config, what));
    }
    Some(path.into())
}

fn read_url(reader: &mut Reader, key: &str) -> Option<String> {
    let url = reader.opt_text(key);
    reader.narrow(key, json!({ "pattern": "^https?://" }));
    let url = url?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        let what =
            format!("{key}: found {}, allowed a URL that begins with https:// or http://", quoted(&url));
        reader.problem(&[key], Problem::new("C001", Exit::Config, what));
    }
    Some(url)
}

fn read_store(reader: &mut Reader) -> StoreSettings {
    StoreSettings {
        endpoint: read_url(reader, "store.endpoint"),
        region: reader.opt_text("store.region"),
        allow_http: reader.switch("store.allow_http"),
        connect_timeout: seconds(reader, "store.connect_timeout_s"),
        read_timeout: seconds(reader, "store.read_timeout_s"),
        request_timeout: seconds(reader, "store.request_timeout_s"),
        operation_deadline: seconds(reader, "store.operation_deadline_s"),
        max_retries: size(reader.whole("store.max_retries", 0..=100)),
        retry_budget: seconds(reader, "store.retry_budget_s"),
        umask: read_umask(reader),
        fsync: reader.switch("store.fsync"),
    }
}

/// Octal digits in a text, as shells write them; what the system's own mask takes away stays away.
fn read_umask(reader: &mut Reader) -> u32 {
    let shape = json!({ "type": "string", "pattern": "^0{0,2}[0-7]{1,2}$" });
    let parsed =
        reader.typed("store.umask", "octal digits in a text, \"0000\" to \"0077\"", shape, |value| {
            let digits =
                value.as_str().filter(|text| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))?;
            u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o77)
        });
    parsed.unwrap_or(0o27)
}

fn seconds(reader: &mut Reader, key: &str) -> Duration {
    Duration::from_secs(reader.whole(key, 1..=86_400))
}

fn capacity(reader: &mut Reader, key: &str) -> NonZeroUsize {
    NonZeroUsize::new(size(reader.whole(key, 1..=4096))).unwrap_or(NonZeroUsize::MIN)
}

/// Threads beyond a few on each core only take turns, each with its own memory.
fn most_threads() -> u64 {
    64.max(4 * or_cores(0) as u64)
}

fn or_cores(threads: u64) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if threads == 0 { cores() } else { size(threads) }
}

/// Every value read here is bounded far below `usize::MAX`.
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
