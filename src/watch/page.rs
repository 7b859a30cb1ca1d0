//! Every number of a run as the text that Prometheus reads.

use prometheus::core::Collector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Subject;
use crate::flow::meter::Meter;
use crate::flow::progress::rss_mib;
use crate::store;

/// What is known of the run beside what it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    /// When it began, seconds since 1970.
    pub(super) started_s: f64,
    /// When a run of this pipeline was last published, as far as this machine knows.
    pub(super) last_success_s: Option<f64>,
    /// How it ended, once it has.
    pub(super) exit_code: Option<u8>,
}

/// The numbers of one run; its text is made anew each time.
#[derive(Debug, Clone)]
pub(super) struct Page {
    meter: Meter,
    labels: Vec<(String, String)>,
    pub(super) state: State,
}

impl Page {
    /// Files of several pipelines and shards are read together, so every number says whose it is.
    pub(super) fn new(meter: Meter, subject: &Subject, state: State) -> Self {
        let mut labels = vec![("pipeline".to_owned(), subject.pipeline.clone())];
        labels.extend(subject.shard.map(|(k, n)| ("shard".to_owned(), format!("{k}/{n}"))));
        Self { meter, labels, state }
    }

    pub(super) fn with(&self, state: State) -> Self {
        Self { state, ..self.clone() }
    }

    /// The page, names in order.
    pub(super) fn text(&self) -> String {
        let mut families = Families::default();
        families.run(&self.meter, self.state);
        families.stages(&self.meter);
        families.histograms(&self.meter);
        families.store();
        let mut families = families.0;
        for family in &mut families {
            for metric in family.mut_metric() {
                let mut labels = metric.get_label().to_vec();
                labels.extend(self.labels.iter().map(|(name, value)| label(name, value)));
                labels.sort_by(|a, b| a.name().cmp(b.name()));
                metric.set_label(labels);
            }
        }
        families.retain(|family| !family.get_metric().is_empty());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        // Writing into memory fails where a family has no metric, which none has.
        drop(TextEncoder::new().encode(&families, &mut text));
        String::from_utf8(text).unwrap_or_default()
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A number under one label, or under none.
type Sample<'a> = (Option<(&'a str, &'a str)>, f64);

#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn run(&mut self, meter: &Meter, state: State) {
        let count = |n: &std::sync::atomic::AtomicU64| [(None, float(n.load(Relaxed)))];
        self.counter("t3b_pairs_total", "(sample, cell) pairs scored by this process.", count(&meter.pairs));
        let n_batches = [(None, float(meter.score.n_items()))];
        self.counter("t3b_batches_total", "Batches scored by this process.", n_batches);
        let help = "Partitions committed by this process, or found committed by another.";
        self.counter("t3b_partitions_total", help, count(&meter.committed));
        self.gauge("t3b_planned_batches", "Batches of the whole run.", count(&meter.planned_batches));
        self.gauge(
            "t3b_planned_partitions",
            "Partitions of the whole run.",
            count(&meter.planned_partitions),
        );
        let reasons = meter.found.quarantined();
        let reasons = reasons.iter().map(|(reason, n)| (Some(("reason", *reason)), float(*n)));
        self.counter("t3b_quarantine_rows_total", "Rows of the quarantine table, by reason.", reasons);
        let version = [(Some(("version", env!("CARGO_PKG_VERSION"))), 1.0)];
        self.gauge("t3b_build_info", "The program that writes these numbers.", version);
        let memory = |which| rss_mib(which).map(|mib| (None, float(mib << 20)));
        self.gauge("t3b_resident_memory_bytes", "Memory of this process.", memory("VmRSS:"));
        self.gauge("t3b_resident_memory_peak_bytes", "The most it ever had.", memory("VmHWM:"));
        self.gauge("t3b_run_start_timestamp_seconds", "When this call began.", [(None, state.started_s)]);
        let help = "When a run of this pipeline was last published, exit code 3 included.";
        let last = state.last_success_s.map(|s| (None, s));
        self.gauge("t3b_last_success_timestamp_seconds", help, last);
        let code = state.exit_code.map(|code| (None, f64::from(code)));
        self.gauge("t3b_last_exit_code", "How the last call ended; absent while it goes.", code);
    }

    fn stages(&mut self, meter: &Meter) {
        let stages = meter.stages();
        let by_stage = |value: fn(&crate::flow::meter::StageMeter) -> f64| {
            stages.map(|(name, stage)| (Some(("stage", name)), value(stage)))
        };
        let help = "Items that each stage sent: objects, images, images in cells, batches.";
        self.counter("t3b_stage_items_total", help, by_stage(|stage| float(stage.n_items())));
        let help = "Time in which a stage had something in hand and did not wait for the next one.";
        self.counter("t3b_stage_busy_seconds_total", help, by_stage(|stage| seconds(stage.busy())));
        let help = "Time in which a stage waited for the next one to take something.";
        self.counter("t3b_stage_blocked_seconds_total", help, by_stage(|stage| seconds(stage.blocked())));
        let queues = meter.queues();
        let fill = queues.map(|(name, fill, _)| (Some(("queue", name)), float(fill)));
        self.gauge("t3b_queue_messages", "Messages that wait between two stages.", fill);
        let capacity = queues.map(|(name, _, capacity)| (Some(("queue", name)), float(capacity)));
        self.gauge("t3b_queue_capacity_messages", "Most messages that can wait there.", capacity);
    }

    fn histograms(&mut self, meter: &Meter) {
        self.0.extend(meter.found.lambda.collect());
        self.0.extend(meter.found.js_nats.collect());
    }

    fn store(&mut self) {
        let meter = store::meter();
        self.0.extend(meter.durations.collect());
        let count = |n: &std::sync::atomic::AtomicU64| [(None, float(n.load(Relaxed)))];
        let help = "Requests that were sent again because the store or the network failed.";
        self.counter("t3b_store_retries_total", help, count(&meter.n_retries));
        self.counter("t3b_store_read_bytes_total", "Bytes read from stores.", count(&meter.n_read_bytes));
        self.counter(
            "t3b_store_written_bytes_total",
            "Bytes written to stores.",
            count(&meter.n_written_bytes),
        );
    }

    fn counter<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'a>>) {
        self.push(name, help, MetricType::COUNTER, samples);
    }

    fn gauge<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'a>>) {
        self.push(name, help, MetricType::GAUGE, samples);
    }

    fn push<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        let metric = |(under, value): Sample<'_>| {
            let mut metric = Metric::default();
            metric.set_label(under.iter().map(|(name, value)| label(name, value)).collect());
            let (mut counter, mut gauge) = (Counter::default(), Gauge::default());
            counter.set_value(value);
            gauge.set_value(value);
            if kind == MetricType::COUNTER {
                metric.set_counter(counter)
            } else {
                metric.set_gauge(gauge)
            }
            metric
        };
        let mut family = MetricFamily::default();
        family.set_metric(samples.into_iter().map(metric).collect());
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.0.push(family);
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_says_whose_it_is_and_a_label_is_escaped() {
        let meter = Meter::default();
        meter.pairs.fetch_add(3, Relaxed);
        meter.found.quarantine("empty_object");
        meter.found.lambda.observe(0.4);
        let subject = Subject {
            pipeline: "a\"b".into(),
            run_id: "r".into(),
            shard: Some((1, 4)),
            spec_sha256: String::new(),
            n_samples: 1,
            n_methods: 1,
        };
        let state = State { started_s: 5.0, last_success_s: None, exit_code: None };
        let page = Page::new(meter, &subject, state);
        let text = page.text();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        has("t3b_pairs_total{pipeline=\"a\\\"b\",shard=\"1/4\"} 3");
        has("t3b_quarantine_rows_total{pipeline=\"a\\\"b\",reason=\"empty_object\",shard=\"1/4\"} 1");
        has("t3b_lambda_bucket{pipeline=\"a\\\"b\",shard=\"1/4\",le=\"0.4\"} 1");
        has("# TYPE t3b_stage_busy_seconds_total counter");
        assert!(!text.contains("t3b_last_exit_code") && !text.contains("t3b_last_success"));
        let numbers = text.lines().filter(|line| !line.starts_with('#'));
        assert!(numbers.clone().count() > 60 && numbers.clone().all(|line| line.contains("pipeline=")));
        let ended = page.with(State { last_success_s: Some(7.0), exit_code: Some(3), ..state }).text();
        assert!(ended.contains("t3b_last_exit_code{pipeline=\"a\\\"b\",shard=\"1/4\"} 3"), "{ended}");
    }
}
