use std::collections::HashMap;

use crate::support::{Fixture, N_CELLS, N_IMAGES, N_MERGING, N_METHODS};
use crate::tables::table;

#[test]
fn every_sample_is_predicted_once_per_cell_and_method() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let predictions = table(&fixture.path("out"), "predictions");
    assert_eq!(predictions.n_rows, N_IMAGES * N_CELLS * N_METHODS);
    let columns = ["manifest_row", "corruption", "severity", "method"].map(|name| predictions.text(name));
    let mut seen: HashMap<_, usize> = HashMap::new();
    for n in 0..predictions.n_rows {
        *seen.entry(columns.each_ref().map(|column| column[n].clone())).or_default() += 1;
    }
    assert_eq!(seen.len(), predictions.n_rows, "no row twice");
    assert_eq!(table(&fixture.path("out"), "signals").n_rows, N_IMAGES * N_CELLS);
    let n_batches = N_IMAGES.div_ceil(8) * N_CELLS;
    assert_eq!(table(&fixture.path("out"), "batches").n_rows, n_batches);
    assert_eq!(table(&fixture.path("out"), "coefficients").n_rows, n_batches * N_MERGING);
    assert_eq!(table(&fixture.path("out"), "quarantine").n_rows, 0);
}

#[test]
fn batches_are_consecutive_samples_in_one_cell() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let signals = table(&fixture.path("out"), "signals");
    let (rows, batches, places) =
        (signals.number("sample_row"), signals.number("batch"), signals.number("pos_in_batch"));
    for n in 0..signals.n_rows {
        assert_eq!((batches[n], places[n]), ((rows[n] / 8.0).floor(), rows[n] % 8.0));
    }
}

#[test]
fn no_source_key_reaches_a_table_or_the_terminal() {
    let fixture = Fixture::new();
    let manifest = std::fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let uris: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let output = fixture
        .command(&["run", "pipeline.toml", "--output", "out", "--run-id", "r"])
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut haystacks: Vec<Vec<u8>> = fixture.published("out").into_values().collect();
    haystacks.extend([output.stdout, output.stderr]);
    for (n, haystack) in haystacks.iter().enumerate() {
        let text = String::from_utf8_lossy(haystack);
        assert!(uris.iter().all(|uri| !text.contains(uri)), "a key is in output {n}");
    }
}
