use std::fs;

use crate::support::Fixture;

#[test]
fn a9_a_sweep_answers_by_its_axes() {
    let fixture = Fixture::new();
    let pipeline = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let axes = "\n[merge]\nmethods = [\"pretrained\", \"wise_ft\", \"t3\", \"entropy_ratio\", \"t3_b\", \"entropy_ratio_b\"]\n[sweep.axes]\n\"run.batch_size\" = [4, 8]\n";
    fs::write(fixture.path("sweep.toml"), pipeline + axes).unwrap();
    let said = fixture.t3b(&["sweep", "sweep.toml", "--json"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let rows = summary["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    let of = |size: &str, method: &str, column: &str| -> serde_json::Value {
        rows.iter().find(|row| row["run.batch_size"] == size && row["method"] == method).unwrap()[column]
            .clone()
    };
    assert_eq!(of("4", "t3", "n"), 40);
    assert!(of("8", "t3_b", "stderr_clean").is_number() && of("8", "t3_b", "accuracy_pixelate").is_number());
    assert!(of("4", "pretrained", "coefficient_mean").is_null(), "a parent merges nothing");
    assert_ne!(
        of("4", "t3_b", "coefficient_mean"),
        of("4", "entropy_ratio_b", "coefficient_mean"),
        "each its own"
    );
    assert!(of("4", "t3", "r_js_correct").is_null(), "the primary method's alone");
    let csv = fs::read_to_string(fixture.path("out/sweeps/fixture.csv")).unwrap();
    assert!(
        csv.starts_with("run_id,run.batch_size,method,n,accuracy_clean,stderr_clean,accuracy_corrupted,"),
        "{csv}"
    );
}
