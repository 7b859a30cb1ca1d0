//! Coefficients and merges from parents in 8-bit integers: what a run says of their deviation, how little they depend on, and what is refused.

use std::process::Output;

use crate::support::{Fixture, run_to};
use crate::tables::{Columns, table};

const METHODS: (&str, &str) = ("merge.methods", r#"["t3_b", "t3", "wise_ft"]"#);
const INT8: (&str, &str) = ("models.coefficient_dtype", "int8");
const MERGES: (&str, &str) = ("models.merged_dtype", "int8");
/// Anything goes, for models of random weights.
const WIDE: (&str, &str) = ("models.coefficient_bound", "1");
/// Columns of the `runs` row.
const COLUMNS: [&str; 5] =
    ["int8_js_max_nats", "int8_js_mean_nats", "int8_lambda_max", "int8_lambda_mean", "int8_changed_share"];

/// The rows of some methods, of a column of numbers.
fn of_methods(columns: &Columns, name: &str, methods: &[&str]) -> Vec<f64> {
    let rows = columns.text("method").into_iter().zip(columns.number(name));
    rows.filter(|(method, _)| methods.contains(&&**method)).map(|(_, number)| number).collect()
}

/// Absolute differences, their largest and their mean.
fn differences(ours: &[f64], exact: &[f64]) -> (Vec<f64>, f64, f64) {
    assert_eq!(ours.len(), exact.len());
    let all: Vec<f64> = ours.iter().zip(exact).map(|(ours, exact)| (ours - exact).abs()).collect();
    let (most, sum) = (all.iter().copied().fold(0.0, f64::max), all.iter().sum::<f64>());
    let mean = sum / all.len() as f64;
    (all, most, mean)
}

/// How many are not zero.
fn n_moved(differences: &[f64]) -> usize {
    differences.iter().filter(|difference| **difference > 0.0).count()
}

fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-12 * wanted.abs().max(1e-9), "{found} is not {wanted}");
}

/// Every partition is one batch, so all of them are measured; the same run in `f32` is the other side.
#[test]
fn what_a_run_says_of_its_deviation_is_what_two_runs_show() {
    let fixture = Fixture::new();
    let small = ("run.partition_size", "8");
    fixture.run("int8", &[METHODS, INT8, WIDE, small]).unwrap();
    fixture.run("f32", &[METHODS, small]).unwrap();
    let of = |out: &str, name: &str| table(&fixture.path(out), name);
    let said = of("int8", "runs");
    let said = COLUMNS.map(|column| said.number(column)[0]);
    println!("{COLUMNS:?} {said:?}");

    let js = |out| of(out, "signals").number("js_nats");
    let (all, most, mean) = differences(&js("int8"), &js("f32"));
    assert!(n_moved(&all) > all.len() / 2, "integers were used");
    assert_eq!(said[0].to_bits(), most.to_bits());
    near(said[1], mean);

    let lambda = |out| of_methods(&of(out, "coefficients"), "lambda_mean", &["t3_b", "t3"]);
    let (_, most, mean) = differences(&lambda("int8"), &lambda("f32"));
    assert!(most > 0.0 && most < 0.05, "{most}");
    assert_eq!(said[2].to_bits(), most.to_bits());
    near(said[3], mean);

    let classes = |out| of_methods(&of(out, "predictions"), "pred_idx", &["t3_b", "t3"]);
    let (all, ..) = differences(&classes("int8"), &classes("f32"));
    near(said[4], n_moved(&all) as f64 / all.len() as f64);

    // What no coefficient decides is what it is in f32, and such a run says nothing of integers.
    let fixed = |out| of_methods(&of(out, "predictions"), "pred_prob", &["wise_ft"]);
    assert_eq!(fixed("int8"), fixed("f32"));
    assert!(of("f32", "runs").names().iter().all(|name| !name.starts_with("int8")));
}

/// Coefficients stay those of merges in `f32`; rows of a batch's merge alone move, by little, and the run says how many became another class.
#[test]
fn a_merge_in_integers_moves_the_rows_that_are_made_of_it_alone() {
    let fixture = Fixture::new();
    let small = ("run.partition_size", "8");
    fixture.run("merged", &[METHODS, INT8, MERGES, WIDE, small]).unwrap();
    fixture.run("int8", &[METHODS, INT8, WIDE, small]).unwrap();
    fixture.run("f32", &[METHODS, small]).unwrap();
    let of = |out: &str, name: &str| table(&fixture.path(out), name);
    let rows = |out, column: &str, methods: &[&str]| of_methods(&of(out, "predictions"), column, methods);
    for (name, column) in [("signals", "js_nats"), ("coefficients", "lambda_mean")] {
        assert_eq!(of("merged", name).number(column), of("int8", name).number(column), "{name}");
    }
    let others = ["t3", "wise_ft"];
    assert_eq!(rows("merged", "pred_prob", &others), rows("int8", "pred_prob", &others));
    let (all, most, _) =
        differences(&rows("merged", "pred_prob", &["t3_b"]), &rows("f32", "pred_prob", &["t3_b"]));
    println!("probabilities at most {most} from those in f32");
    assert!(n_moved(&all) > all.len() / 2, "integers were used");
    assert!(most < 0.05, "{most}");
    // Every batch is measured, so what the run says is what two runs show.
    let classes = |out| rows(out, "pred_idx", &["t3_b", "t3"]);
    let (all, ..) = differences(&classes("merged"), &classes("f32"));
    let share = n_moved(&all) as f64 / all.len() as f64;
    near(of("merged", "runs").number("int8_changed_share")[0], share);
}

/// A partition's first batch in every cell is measured, whoever scores it: here one of two.
#[test]
fn rows_and_deviation_depend_on_neither_threads_nor_lanes_nor_instructions() {
    let fixture = Fixture::new();
    for merges in [("models.merged_dtype", "f32"), MERGES] {
        let set = [METHODS, INT8, WIDE, merges];
        let of = |name: &str| format!("{name}-{}", merges.1);
        let run = |name: &str, more: (&str, &str)| {
            fixture.run(&of(name), &[&set[..], &[more]].concat()).unwrap();
        };
        let row =
            |out: &str| COLUMNS.map(|column| table(&fixture.path(out), "runs").number(column)[0].to_bits());
        run("one", ("threads.score", "1"));
        let (reference, said) = (fixture.published(&of("one")), row(&of("one")));
        let same = |name: &str| {
            assert!(fixture.published(&of(name)) == reference, "{name} changed the tables, {merges:?}");
            assert_eq!(row(&of(name)), said, "{name}, {merges:?}");
        };
        run("three", ("threads.score", "3"));
        run("lanes", ("device.kind", r#"["cpu", "cpu", "cpu"]"#));
        same("three");
        same("lanes");
        for simd in ["scalar", "avx2", "avx512"] {
            let (sets, out) = (set.map(|(key, value)| format!("{key}={value}")), of(simd));
            let mut args = run_to(&out).to_vec();
            sets.iter().for_each(|set| args.extend(["--set", set]));
            let output: Output = fixture.command(&args).env("T3B_SIMD", simd).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.contains("C028") {
                println!("skipped: this machine has no {simd}");
                continue;
            }
            assert!(output.status.success(), "{simd}: {said}");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("int8    "), "{said}");
            same(simd);
        }
    }
}

#[test]
fn what_integers_do_not_give_is_refused() {
    let fixture = Fixture::new();
    let refusal = |set: &[(&str, &str)]| fixture.spec(set).unwrap_err().to_string();
    let parents = refusal(&[INT8]);
    assert!(parents.contains("C001") && parents.contains("pretrained, expert"), "{parents}");
    let ensemble = refusal(&[INT8, ("merge.methods", r#"["t3_b", "ensemble_logits"]"#)]);
    assert!(ensemble.contains("ensemble_logits"), "{ensemble}");
    for other in [("output.features", "true"), ("models.tower", "reference")] {
        let refused = refusal(&[INT8, METHODS, other]);
        assert!(refused.contains(other.0) && refused.contains("coefficient_dtype"), "{refused}");
    }
    let alone = refusal(&[MERGES, METHODS]);
    assert!(alone.contains("C001") && alone.contains("coefficient_dtype"), "{alone}");
    // A bound that nothing keeps: the run ends, and nothing of it can be seen.
    let error = fixture.run("out", &[METHODS, INT8, ("models.coefficient_bound", "0")]).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("N003") && said.contains("models.coefficient_bound"), "{said}");
    assert!(!fixture.path("out/tables/predictions").exists() && !fixture.path("out/tables/runs").exists());
}
