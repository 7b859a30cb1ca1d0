use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{collector, fed};
use crate::support::{Fixture, N_CELLS, N_IMAGES, python, repo, run_to};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OUTSIDE: &str = "00f067aa0ba902b7";

/// Runs the fixture with its spans posted to a collector; exit code and bodies.
fn traced(fixture: &Fixture, output: &str) -> (Option<i32>, Vec<String>) {
    let (port, taken) = collector();
    let mut command = fixture.command(&run_to(output));
    command.env("T3B_TRACES_URL", format!("http://127.0.0.1:{port}/v1/traces"));
    command.env("TRACEPARENT", format!("00-{TRACE}-{OUTSIDE}-01"));
    let said = command.output().unwrap();
    let taken = taken.lock().unwrap().clone();
    assert!(taken.iter().all(|(head, _)| head.starts_with("POST /v1/traces ")), "{taken:?}");
    (said.status.code(), taken.into_iter().map(|(_, body)| body).collect())
}

fn spans(bodies: &[String]) -> Vec<Value> {
    let requests = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
    let of_request = |request: Value| {
        let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        spans.as_array().unwrap().clone()
    };
    requests.flat_map(of_request).collect()
}

/// An attribute's value as text.
fn said(span: &Value, key: &str) -> Option<String> {
    let attribute = span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    let value = attribute["value"].as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[test]
fn every_partition_and_batch_is_a_span_inside_its_run_and_the_orchestrators_trace() {
    let fixture = Fixture::new();
    let (code, bodies) = traced(&fixture, "out");
    assert_eq!(code, Some(0));
    let spans = spans(&bodies);
    let of = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let (run, partitions, batches) = (of("run"), of("partition"), of("batch"));
    assert_eq!((run.len(), run[0]["parentSpanId"].as_str()), (1, Some(OUTSIDE)));
    assert!(spans.iter().all(|span| span["traceId"] == TRACE));
    assert_eq!(
        spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect::<BTreeSet<_>>().len(),
        spans.len()
    );
    assert!(partitions.iter().all(|span| span["parentSpanId"] == run[0]["spanId"]));
    let wholes: BTreeMap<&str, &Value> =
        partitions.iter().map(|span| (span["spanId"].as_str().unwrap(), *span)).collect();
    let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    for batch in &batches {
        let whole = wholes[batch["parentSpanId"].as_str().unwrap()];
        let (began, ended) = (time(batch, "startTimeUnixNano"), time(batch, "endTimeUnixNano"));
        assert!(began <= ended && time(whole, "startTimeUnixNano") <= began);
        assert!(ended <= time(whole, "endTimeUnixNano") && ended <= time(run[0], "endTimeUnixNano"));
        let lambda: f64 = said(batch, "t3b.lambda").unwrap().parse().unwrap();
        assert!((0.5..=0.5858).contains(&lambda), "{batch}");
    }
    let n_scored: usize =
        batches.iter().map(|span| said(span, "t3b.n_scored").unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(n_scored, N_IMAGES * N_CELLS);
    assert_eq!(said(run[0], "t3b.exit_code").as_deref(), Some("0"));

    let Some(python) = python() else { return };
    let (is_fine, text) = fed(Command::new(python).arg(repo("tests/support/traces.py")), &bodies.join("\n"));
    assert!(is_fine, "{text}");
    assert_eq!(
        text,
        format!("batch {}\npartition {}\nrun 1\nt3b fixture\n", batches.len(), partitions.len())
    );
}

#[test]
fn a_run_that_fails_is_a_span_that_says_so_and_a_collector_that_is_gone_fails_nothing() {
    let fixture = Fixture::new();
    let gone = fixture
        .command(&run_to("out"))
        .env("T3B_TRACES_URL", "http://127.0.0.1:1/v1/traces")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&gone.stderr);
    assert!(gone.status.success() && text.contains("traces.url did not take spans"), "{text}");
    let rows = "uri\n".to_owned() + &(0..N_IMAGES).map(|n| format!("gone{n}.png\n")).collect::<String>();
    fs::write(fixture.path("archive/manifest.csv"), rows).unwrap();
    let (code, bodies) = traced(&fixture, "other");
    let run = spans(&bodies).pop().unwrap();
    assert_eq!((code, run["status"]["code"].as_u64()), (Some(65), Some(2)));
    assert!(run["status"]["message"].as_str().unwrap().starts_with("error[M031]"), "{run}");
}
