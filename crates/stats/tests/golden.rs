//! Every metric, interval and test against scikit-learn, scipy, statsmodels, confidenceinterval and medmnistc.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use t3b_stats::{
    Calibrator, CellErrors, Histogram, Isotonic, Metric, Outcome, Ranked, Tally, adaptive_ece, alexnet_error,
    balanced_against_alexnet, best_assignment, compare, holm, mcnemar_exact, normal_quantile, one_vs_rest,
    percentile, wilson,
};

const TOLERANCE: f64 = 1e-9;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/golden.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= TOLERANCE, "{what}: {found} for {expected}");
}

struct Set {
    n_classes: usize,
    labels: Vec<u32>,
    probs: Vec<f32>,
}

impl Set {
    fn read(item: &Value) -> Self {
        Self {
            n_classes: item["n_classes"].as_u64().unwrap() as usize,
            labels: numbers(&item["labels"]).iter().map(|label| *label as u32).collect(),
            probs: numbers(&item["probs"]).iter().map(|p| *p as f32).collect(),
        }
    }

    fn repeated(&self, weights: &[f64]) -> Self {
        let mut set = Self { n_classes: self.n_classes, labels: Vec::new(), probs: Vec::new() };
        for ((label, row), weight) in
            self.labels.iter().zip(self.probs.chunks_exact(self.n_classes)).zip(weights)
        {
            for _ in 0..*weight as usize {
                set.labels.push(*label);
                set.probs.extend(row);
            }
        }
        set
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let rows = self.labels.iter().zip(self.probs.chunks_exact(self.n_classes));
        rows.map(|(label, row)| Outcome::of(*label, row)).collect()
    }

    fn check(&self, tally: &Tally, expected: &Value, what: &str) {
        let rows = self.outcomes();
        for metric in Metric::ALL {
            let Some(value) = expected.get(metric.name()).and_then(Value::as_f64) else { continue };
            let found = match metric {
                Metric::Auc => one_vs_rest(self.n_classes, &self.labels, &self.probs).unwrap().value,
                Metric::EceAdaptive => adaptive_ece(
                    &mut rows.iter().map(|row| (row.confidence, row.is_correct())).collect::<Vec<_>>(),
                )
                .value(),
                other => tally.value(other),
            };
            close(found.unwrap(), value, &format!("{what} {}", metric.name()));
        }
    }
}

#[test]
fn metrics_equal_scikit_learns_on_twenty_sets() {
    for (index, item) in list(&golden()["sets"]).iter().enumerate() {
        let set = Set::read(item);
        let mut tally = Tally::new(set.n_classes);
        set.outcomes().iter().for_each(|row| tally.add(row, 1));
        assert_eq!(item["metrics"].as_object().unwrap().len(), 10);
        set.check(&tally, &item["metrics"], &format!("set {index}"));
        for (class, expected) in list(&item["classes"]).iter().enumerate() {
            let (expected, found) = (numbers(expected), tally.confusion.class(class));
            close(found.precision.unwrap_or(0.0), expected[0], "precision");
            close(found.recall.unwrap_or(0.0), expected[1], "recall");
            close(found.f1.unwrap_or(0.0), expected[2], "f1");
            assert_eq!(found.n as f64, expected[3]);
        }
        let share = wilson(tally.confusion.n_correct(), tally.confusion.n(), 0.95).unwrap();
        let expected = numbers(&item["wilson"]);
        close(share.low, expected[0], "wilson");
        close(share.high, expected[1], "wilson");
    }
}

#[test]
fn a_weighted_tally_is_the_tally_of_repeated_rows() {
    for item in list(&golden()["sets"]) {
        let set = Set::read(item);
        let mut top1 = Vec::new();
        for (weights, expected) in list(&item["weights"]).iter().zip(list(&item["replicates"])) {
            let weights = numbers(weights);
            let mut tally = Tally::new(set.n_classes);
            set.outcomes().iter().zip(&weights).for_each(|(row, weight)| tally.add(row, *weight as u64));
            set.repeated(&weights).check(&tally, expected, "replicate");
            let weights: Vec<u32> = weights.iter().map(|weight| *weight as u32).collect();
            if let Some(expected) = expected["auc"].as_f64() {
                let ranked = Ranked::new(set.n_classes, &set.labels, &set.probs).unwrap();
                close(ranked.value(&weights).unwrap(), expected, "weighted auc");
            }
            top1.push(tally.value(Metric::Top1).unwrap());
        }
        let interval = percentile(&mut top1, 0.95).unwrap();
        let expected = numbers(&item["percentile"]);
        close(interval.low, expected[0], "percentile");
        close(interval.high, expected[1], "percentile");
    }
}

#[test]
fn tallies_of_parts_add_up() {
    let golden = golden();
    let set = Set::read(&golden["sets"][4]);
    let rows = set.outcomes();
    let (mut whole, mut first, mut rest) =
        (Tally::new(set.n_classes), Tally::new(set.n_classes), Tally::new(set.n_classes));
    for (n, row) in rows.iter().enumerate() {
        whole.add(row, 1);
        if n < 40 { first.add(row, 1) } else { rest.add(row, 1) }
    }
    first.merge(&rest, 1);
    for metric in Metric::ALL {
        match (whole.value(metric), first.value(metric)) {
            (Some(a), Some(b)) => close(a, b, metric.name()),
            (a, b) => assert_eq!(a, b),
        }
    }
}

#[test]
fn areas_and_their_variances_equal_delongs() {
    for item in list(&golden()["sets"]) {
        let set = Set::read(item);
        let found = one_vs_rest(set.n_classes, &set.labels, &set.probs).unwrap();
        let by_class = list(&item["auc_by_class"]);
        // With two classes the area of class 0 is that of class 1, which rounding of its own column may miss.
        for (class, expected) in
            by_class.iter().enumerate().filter(|(class, _)| set.n_classes > 2 || *class == 1)
        {
            let Some(expected) = expected.as_array() else {
                assert!(found.classes[class].is_none());
                continue;
            };
            let auc = found.classes[class].unwrap();
            close(auc.value, expected[0].as_f64().unwrap(), "auc");
            close(auc.variance.unwrap(), expected[1].as_f64().unwrap(), "variance");
            if set.n_classes == 2 {
                close(found.variance.unwrap(), expected[1].as_f64().unwrap(), "variance by influence");
            }
        }
        if let Some(expected) = item.get("auc_macro_variance").and_then(Value::as_f64) {
            close(found.variance.unwrap(), expected, "macro variance");
        }
    }
}

#[test]
fn tests_of_pairs_equal_statsmodels() {
    let golden = golden();
    for item in list(&golden["mcnemar"]) {
        let item = numbers(item);
        close(mcnemar_exact(item[0] as u64, item[1] as u64), item[2], "mcnemar");
    }
    for item in list(&golden["holm"]) {
        let (found, expected) = (holm(&numbers(&item[0])), numbers(&item[1]));
        found.iter().zip(expected).for_each(|(found, expected)| close(*found, expected, "holm"));
    }
    for item in list(&golden["normal"]) {
        let item = numbers(item);
        close(normal_quantile(item[0]), item[1], "normal quantile");
    }
}

#[test]
fn isotonic_regression_equals_scikit_learns() {
    for item in list(&golden()["isotonic"]) {
        let [x, y, at, expected] = [0, 1, 2, 3].map(|k| numbers(&item[k]));
        let fit = Isotonic::fit(&x.into_iter().zip(y).collect::<Vec<_>>()).unwrap();
        at.iter().zip(expected).for_each(|(at, expected)| close(fit.at(*at), expected, "isotonic"));
    }
}

#[test]
fn effects_of_drift_equal_scipys() {
    for item in list(&golden()["drift"]) {
        let counts = |key: &str| Histogram::of(numbers(&item[key]).iter().map(|n| *n as u64).collect());
        let found = compare(&counts("a"), &counts("b"), 1, 0).unwrap();
        close(found.ks.value, item["ks"].as_f64().unwrap(), "ks");
        close(found.js_nats.value, item["js"].as_f64().unwrap(), "js");
        close(found.psi.value, item["psi"].as_f64().unwrap(), "psi");
    }
}

#[test]
fn the_best_assignment_is_worth_what_scipys_is() {
    for item in list(&golden()["assignment"]) {
        let values: Vec<Vec<f64>> = list(&item[0]).iter().map(numbers).collect();
        let best = best_assignment(&values);
        let mut columns = best.clone();
        columns.sort_unstable();
        assert_eq!(columns, (0..values.len()).collect::<Vec<_>>());
        let worth = best.iter().enumerate().map(|(row, column)| values[row][*column]).sum::<f64>();
        close(worth, item[1].as_f64().unwrap(), "assignment");
    }
}

#[test]
fn balanced_errors_equal_medmnistcs_evaluator() {
    for item in list(&golden()["medmnistc"]) {
        let corruptions = item["errors"].as_object().unwrap();
        let errors = CellErrors {
            clean: item["clean"].as_f64(),
            corruptions: corruptions.iter().map(|(name, by)| (name.clone(), numbers(by))).collect(),
        };
        let suite = alexnet_error(item["set"].as_str().unwrap()).unwrap();
        let (plain, relative) = balanced_against_alexnet(&errors, suite).unwrap();
        let said = &item["said"];
        close(plain.value, said["metrics"]["be"].as_f64().unwrap(), "BE");
        close(relative.value, said["metrics"]["rbe"].as_f64().unwrap(), "rBE");
        for (name, value) in &plain.parts {
            close(*value, said["be_scores"][name].as_f64().unwrap(), name);
        }
        for (name, value) in &relative.parts {
            close(*value, said["rbe_scores"][name].as_f64().unwrap(), name);
        }
        let is_pneumonia = item["set"] == "pneumoniamnist";
        assert_eq!(relative.unstable.contains(&"contrast_up".to_owned()), is_pneumonia);
    }
}

#[test]
fn a_calibrator_of_no_rows_leaves_probabilities_alone() {
    let same = Calibrator::fit(2, &[], &[]).unwrap();
    assert_eq!(same.apply(&[0.25, 0.75]), vec![0.25, 0.75]);
}
