use crate::support::Fixture;
use crate::tables::{Columns, table};

/// A column of `coefficients`, the rows of t3_b only.
fn of_t3_b(coefficients: &Columns, column: &str) -> Vec<f64> {
    let (method, values) = (coefficients.text("method"), coefficients.number(column));
    (0..coefficients.n_rows).filter(|&n| method[n] == "t3_b").map(|n| values[n]).collect()
}

#[test]
fn a_batch_of_one_has_the_coefficient_of_its_sample() {
    let fixture = Fixture::new();
    fixture.run("out", &[("run.batch_size", "1"), ("merge.log_base", "bits")]).unwrap();
    let sample = table(&fixture.path("out"), "signals").number("lambda_sample");
    let coefficients = table(&fixture.path("out"), "coefficients");
    assert_eq!(sample, of_t3_b(&coefficients, "lambda_mean"));
    assert!(sample.iter().any(|&lambda| lambda > 0.5), "the parents disagree somewhere");
}

#[test]
fn a_constant_coefficient_of_one_half_is_wise_ft_exactly() {
    let fixture = Fixture::new();
    let bounds = [("merge.lambda_min", "0.5"), ("merge.lambda_max", "0.5"), ("output.probs", "true")];
    fixture.run("out", &bounds).unwrap();
    let predictions = table(&fixture.path("out"), "predictions");
    let method = predictions.text("method");
    for column in ["pred_idx", "pred_prob", "margin", "entropy_nats"] {
        let values = predictions.text(column);
        let of = |name: &str| {
            let rows = (0..predictions.n_rows).filter(|&n| method[n] == name);
            rows.map(|n| values[n].clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("t3_b"), of("wise_ft"), "{column}");
        assert_ne!(of("t3_b"), of("pretrained"), "{column} tells the models apart");
    }
}

#[test]
fn the_batch_coefficient_is_the_mean_of_its_samples() {
    let fixture = Fixture::new();
    fixture
        .run("out", &[("merge.guard.enabled", "true"), ("merge.guard.tau", "0.9"), ("merge.gamma", "3.0")])
        .unwrap();
    let signals = table(&fixture.path("out"), "signals");
    let coefficients = table(&fixture.path("out"), "coefficients");
    let means = of_t3_b(&coefficients, "lambda_mean");
    let batches = table(&fixture.path("out"), "batches");
    let place = |t: &Columns| -> Vec<[String; 3]> {
        let columns = ["corruption", "severity", "batch"].map(|name| t.text(name));
        (0..t.n_rows).map(|n| columns.each_ref().map(|column| column[n].clone())).collect()
    };
    let (of_signal, lambda) = (place(&signals), signals.number("lambda_sample"));
    for (n, batch) in place(&batches).iter().enumerate() {
        let members: Vec<f64> =
            (0..signals.n_rows).filter(|&s| of_signal[s] == *batch).map(|s| lambda[s]).collect();
        let mean = members.iter().sum::<f64>() / members.len() as f64;
        assert!((mean - means[n]).abs() < 1e-15, "{batch:?}");
    }
    let moved: f64 = ["guard_plus", "guard_minus"].iter().flat_map(|name| of_t3_b(&coefficients, name)).sum();
    assert!(moved > 0.0, "the guard acts at this threshold");
}
