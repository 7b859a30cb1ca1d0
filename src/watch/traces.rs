//! Traces after OpenTelemetry: run, partition and batch as spans, posted as OTLP's JSON to a collector.
//!
//! The format is that of `opentelemetry/proto/collector/trace/v1` in the JSON of its specification: identifiers in hexadecimal, times as
//! decimal text of nanoseconds. Where `TRACEPARENT` (W3C Trace Context) is set, as orchestrators do, the run is a part of that trace.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Ended, Subject, post};
use crate::flow::spans::{Attribute, Span, Spans};

/// Time between two posts while a run goes.
const EVERY: Duration = Duration::from_secs(5);
/// Spans of one post at most, so that a collector's limit on a request's size (4 MiB by default) is kept.
const SPANS_A_POST: usize = 4096;
/// OTLP's numbers of a span's kind and status.
const KIND_INTERNAL: u8 = 1;
const STATUS_OK: u8 = 1;
const STATUS_ERROR: u8 = 2;

/// Posts the spans of one run.
#[derive(Debug, Clone)]
pub(super) struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    spans: Spans,
    subject: Subject,
    trace_id: String,
    /// The span outside of this process that the run is a part of.
    parent_id: Option<String>,
    run_id: String,
    began: SystemTime,
    /// Spans in OTLP's form that are on their way.
    pending: Mutex<Vec<Value>>,
}

impl Traces {
    pub(super) fn new(url: String, spans: Spans, subject: Subject) -> Self {
        spans.open();
        let parent = std::env::var("TRACEPARENT").ok().and_then(|text| parent_of(&text));
        let (trace_id, parent_id) = match parent {
            Some((trace, span)) => (trace, Some(span)),
            None => (random_hex::<16>(), None),
        };
        let (run_id, began) = (random_hex::<8>(), SystemTime::now());
        let pending = Mutex::default();
        Self(Arc::new(Inner { url, spans, subject, trace_id, parent_id, run_id, began, pending }))
    }

    /// Posts what was left since the last time, again and again.
    pub(super) async fn keep_posting(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            self.post_held(Vec::new()).await;
        }
    }

    /// Posts what is left, and the run itself.
    pub(super) async fn close(&self, ended: &Ended) {
        self.post_held(vec![self.run_span(ended)]).await;
        let n = self.0.spans.n_left_out();
        if n > 0 {
            tracing::warn!(n, "spans were left out: the collector took them too slowly");
        }
    }

    async fn post_held(&self, more: Vec<Value>) {
        // What a cancelled post has taken up stays here, so that the last post sends it.
        let mut pending = self.0.pending.lock().await;
        for span in self.0.spans.take() {
            self.flatten(&span, &self.0.run_id, &mut pending);
        }
        pending.extend(more);
        while !pending.is_empty() {
            let n = pending.len().min(SPANS_A_POST);
            let sent = post::post(&self.0.url, self.request(&pending[..n]).to_string(), None).await;
            pending.drain(..n);
            if let Err(why) = sent {
                pending.clear();
                tracing::warn!(why, "traces.url did not take spans; the run goes on");
            }
        }
    }

    fn request(&self, spans: &[Value]) -> Value {
        let version = env!("CARGO_PKG_VERSION");
        let resource = [
            ("service.name", Attribute::Text("t3b".into())),
            ("service.version", Attribute::Text(version.into())),
            ("t3b.pipeline", Attribute::Text(self.0.subject.pipeline.clone())),
        ];
        json!({ "resourceSpans": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeSpans": [{ "scope": { "name": "t3b", "version": version }, "spans": spans }],
        }] })
    }

    fn flatten(&self, span: &Span, parent_id: &str, into: &mut Vec<Value>) {
        let span_id = random_hex::<8>();
        span.parts.iter().for_each(|part| self.flatten(part, &span_id, into));
        into.push(self.span(&span_id, Some(parent_id), span));
    }

    fn span(&self, span_id: &str, parent_id: Option<&str>, span: &Span) -> Value {
        json!({
            "traceId": self.0.trace_id, "spanId": span_id, "parentSpanId": parent_id.unwrap_or_default(),
            "name": span.name, "kind": KIND_INTERNAL,
            "startTimeUnixNano": nanoseconds(span.began), "endTimeUnixNano": nanoseconds(span.ended),
            "attributes": attributes(&span.attributes), "status": {},
        })
    }

    fn run_span(&self, ended: &Ended) -> Value {
        let Subject { run_id, shard, n_samples, .. } = &self.0.subject;
        let mut said = vec![
            ("t3b.run_id", Attribute::Text(run_id.clone())),
            ("t3b.n_samples", Attribute::Count(*n_samples)),
            ("t3b.exit_code", Attribute::Count(ended.exit().code().into())),
        ];
        said.extend(shard.map(|(k, n)| ("t3b.shard", Attribute::Text(format!("{k}/{n}")))));
        let span = Span {
            name: "run",
            began: self.0.began,
            ended: SystemTime::now(),
            attributes: said,
            parts: Vec::new(),
        };
        let mut run = self.span(&self.0.run_id, self.0.parent_id.as_deref(), &span);
        run["status"] = match ended {
            Ended::Failed(error) => json!({ "code": STATUS_ERROR, "message": error.to_string() }),
            _ => json!({ "code": STATUS_OK }),
        };
        run
    }
}

/// Trace and span of `00-<32 hex>-<16 hex>-<2 hex>`.
fn parent_of(text: &str) -> Option<(String, String)> {
    let [version, trace, span, flags] = text.trim().split('-').collect::<Vec<_>>().try_into().ok()?;
    let is_hex = |text: &str, n: usize| {
        text.len() == n && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fits = is_hex(version, 2) && version != "ff" && is_hex(flags, 2);
    let fits = fits && is_hex(trace, 32) && is_set(trace) && is_hex(span, 16) && is_set(span);
    fits.then(|| (trace.to_owned(), span.to_owned()))
}

fn attributes(pairs: &[(&'static str, Attribute)]) -> Value {
    let one = |(key, value): &(&'static str, Attribute)| {
        let value = match value {
            Attribute::Text(text) => json!({ "stringValue": text }),
            // Whole numbers of 64 bits are text in the JSON of protocol buffers.
            Attribute::Count(n) => json!({ "intValue": n.to_string() }),
            Attribute::Measure(x) => json!({ "doubleValue": x }),
        };
        json!({ "key": key, "value": value })
    };
    pairs.iter().map(one).collect()
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn random_hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    // Identifiers are never all zero; without the system's randomness the spans of a run fall together, and the run goes on.
    bytes[N - 1] = 1;
    let _ignored = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_only_where_its_parent_is_well_formed() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let parsed = parent_of(&format!("00-{trace}-{span}-01"));
        assert_eq!(parsed, Some((trace.to_owned(), span.to_owned())));
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{}-01", &span[1..]),
        ] {
            assert_eq!(parent_of(&bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_name_their_whole() {
        let traces = Traces::new("http://127.0.0.1:1".into(), Spans::default(), Subject::example());
        let (began, ended) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_nanos(5));
        let batch = Span { name: "batch", began, ended, attributes: vec![], parts: vec![] };
        let partition = Span { name: "partition", parts: vec![batch.clone(), batch.clone()], ..batch };
        let mut spans = Vec::new();
        traces.flatten(&partition, "r", &mut spans);
        let whole = spans.last().unwrap();
        assert_eq!((whole["name"].as_str(), whole["parentSpanId"].as_str()), (Some("partition"), Some("r")));
        assert!(spans[..2].iter().all(|part| part["parentSpanId"] == whole["spanId"]));
        assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
        assert_eq!(whole["endTimeUnixNano"], "5");
    }
}
