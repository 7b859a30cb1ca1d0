use std::collections::BTreeSet;

use crate::support::{Fixture, repo};

/// Another value for every key of `config/default.toml`.
const VARIATIONS: &[(&str, &str)] = &[
    ("memory.budget_mib", "16"),
    ("memory.weights", "spilled"),
    ("fetch.concurrency", "1"),
    ("fetch.range_mib", "1"),
    ("threads.io", "1"),
    ("threads.cpu", "5"),
    ("threads.score", "1"),
    ("threads.score", "3"),
    ("queues.fetched", "1"),
    ("queues.decoded", "1"),
    ("queues.corrupted", "1"),
    ("queues.batches", "1"),
    ("queues.scored", "64"),
    ("decoder.isolation", "all"),
    ("decoder.isolation", "none"),
    ("store.allow_http", "true"),
    ("store.connect_timeout_s", "7"),
    ("store.read_timeout_s", "7"),
    ("store.request_timeout_s", "7"),
    ("store.operation_deadline_s", "60"),
    ("store.max_retries", "0"),
    ("store.retry_budget_s", "7"),
    ("store.fsync", "false"),
    ("store.umask", "0077"),
    ("device.kind", "cpu"),
    ("device.kind", "[\"cpu\", \"cpu\"]"),
    ("device.kind", "[\"cpu\", \"cpu\", \"cpu\"]"),
    ("stop.drain_deadline_s", "1"),
    ("stop.stall_deadline_s", "60"),
    ("worker.claim_factor", "1"),
    ("worker.claim_age_s", "1"),
    ("log.format", "json"),
    ("log.every_s", "1"),
    ("metrics.every_s", "1"),
    ("lineage.namespace", "ward"),
    ("report.images", "true"),
];

#[test]
fn no_config_key_changes_a_byte() {
    let fixture = Fixture::new();
    fixture.run("reference", &[("output.probs", "true")]).unwrap();
    let reference = fixture.published("reference");
    for (n, variation) in VARIATIONS.iter().enumerate() {
        let out = format!("out{n}");
        fixture.run(&out, &[*variation, ("output.probs", "true")]).unwrap();
        assert!(fixture.published(&out) == reference, "{variation:?} changed the tables");
    }
    let all: Vec<_> = VARIATIONS.iter().copied().chain([("output.probs", "true")]).collect();
    fixture.run("all", &all).unwrap();
    assert!(fixture.published("all") == reference, "all variations at once changed the tables");
}

#[test]
fn every_config_key_is_varied_above() {
    let text = std::fs::read_to_string(repo("config/default.toml")).unwrap();
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap().to_owned();
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}.{}", key.trim()));
        }
    }
    let varied: BTreeSet<String> = VARIATIONS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(keys, varied);
}

#[test]
fn a_pipeline_key_does_change_rows() {
    let fixture = Fixture::new();
    fixture.run("reference", &[]).unwrap();
    fixture.run("seed", &[("run.seed", "1")]).unwrap();
    assert!(fixture.published("seed") != fixture.published("reference"));
}
