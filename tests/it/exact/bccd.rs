use std::process::Command;

use serde_json::Value;

use crate::support::{python, repo, shared};

/// Test crops of the data set.
const N_SAMPLES: u64 = 396;
/// clean, and four corruptions at five severities.
const N_CELLS: u64 = 21;

/// Scores the crops with the shipped pair and returns what DuckDB counts.
fn run_and_count() -> Option<Value> {
    let (_data, python) = (shared("data/bccd")?, python()?);
    let out = tempfile::tempdir().unwrap();
    let root = out.path().to_string_lossy().into_owned();
    let pipeline = repo("pipelines/bccd.toml");
    let args = ["run", pipeline.to_str().unwrap(), "--output", &root];
    let said = Command::new(env!("CARGO_BIN_EXE_t3b")).args(args).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    println!("{}", String::from_utf8_lossy(&said.stdout));
    let counted = Command::new(python).arg(repo("tests/support/count_rows.py")).arg(&root).output().unwrap();
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    Some(serde_json::from_slice(&counted.stdout).unwrap())
}

#[test]
fn duckdb_counts_what_was_planned_and_the_pair_does_what_its_card_says() {
    let Some(counted) = run_and_count() else { return };
    let count = |name: &str| counted[name].as_u64().unwrap();
    assert_eq!(count("runs"), 1);
    assert_eq!((count("samples"), count("cells"), count("quarantine")), (N_SAMPLES, N_CELLS, 0));
    assert_eq!(count("predictions"), N_SAMPLES * N_CELLS * 4);
    assert_eq!(count("distinct"), count("predictions"), "every sample once per cell and method");
    assert_eq!(count("signals"), N_SAMPLES * N_CELLS);
    assert_eq!(count("batches"), N_SAMPLES.div_ceil(32) * N_CELLS);
    assert_eq!((count("not_finite"), count("probs_off")), (0, 0));

    let accuracy = |cell: &str| counted["accuracy"][cell].as_f64().unwrap();
    assert!(accuracy("expert clean 0") >= 0.90, "expert on clean crops: {}", accuracy("expert clean 0"));
    let strong = [4, 5].map(|s| {
        accuracy(&format!("pretrained gaussian_noise {s}")) - accuracy(&format!("expert gaussian_noise {s}"))
    });
    assert!(strong.iter().any(|&lead| lead > 0.02), "the generalist leads on strong noise: {strong:?}");
}
