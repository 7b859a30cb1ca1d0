//! The merge rules: against values made by another program, against laws, and at the edges.

/// Equal to the values of `tests/golden/merge`, which a Python script makes from the method's formulas.
mod golden;

/// True for every input: bounds, symmetry, monotonicity, exact ends.
mod laws;

/// Named after what could go wrong.
mod edges;

use serde_json::Value;

/// Fails unless `got` is within `tolerance` of `want`, absolutely below 1 and relatively above.
#[track_caller]
fn close(what: &str, got: f64, want: f64, tolerance: f64) {
    let error = (got - want).abs() / want.abs().max(1.0);
    assert!(error <= tolerance, "{what}: got {got:e}, want {want:e}, off by {error:e}");
}

/// A field that is a number.
fn number(case: &Value, field: &str) -> f64 {
    case[field].as_f64().unwrap_or_else(|| panic!("{field} is not a number in {case}"))
}

/// A field that is a list of numbers.
fn numbers(case: &Value, field: &str) -> Vec<f64> {
    cases(&case[field]).iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// A list.
fn cases(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
