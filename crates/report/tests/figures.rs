//! What a report says is what its rows say, however many they are and in whatever order they come.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use t3b_report::{
    Attempt, Choices, Figures, Line, PageSet, Picture, Row, RowError, Rows, SetFacts, Settings, Stage,
    SummarySet, Tags, cross_fitted, metrics_json, page, signatures, summary_csv, tables_md,
};
use t3b_stats::Metric;

fn facts(n_samples: u64, methods: &[&str]) -> SetFacts {
    SetFacts {
        run_id: "r1".into(),
        run_date: "2026-01-02".into(),
        tags: Tags { dataset: Some("bccd".into()), ..Tags::default() },
        classes: vec!["a".into(), "b".into(), "c".into()],
        methods: methods.iter().map(|name| (*name).to_owned()).collect(),
        primary: (*methods.last().unwrap()).to_owned(),
        cells: vec![
            ("clean".into(), 0),
            ("blur".into(), 1),
            ("blur".into(), 2),
            ("noise".into(), 1),
            ("noise".into(), 2),
        ],
        n_samples,
        groups: Vec::new(),
        suite: None,
        batch_size: 8,
    }
}

fn noise(key: u64) -> f32 {
    let mixed = (key ^ (key >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed >> 40) & 0xff_ffff) as f32 / 16_777_216.0
}

/// Probabilities whose skill falls with the cell and differs by method.
fn probs(sample: u64, method: usize, cell: usize, skill: f32) -> [f32; 3] {
    let label = (sample % 3) as usize;
    let strength = skill * (1.0 + 0.2 * method as f32) / (1.0 + 0.5 * cell as f32);
    let key = sample * 1000 + (method * 10 + cell) as u64;
    let raw: [f32; 3] = std::array::from_fn(|class| {
        (1.5 * noise(key * 7 + class as u64) + if class == label { strength } else { 0.0 }).exp()
    });
    raw.map(|p| p / raw.iter().sum::<f32>())
}

fn fill(rows: &mut Rows, samples: impl Iterator<Item = u64>, skill: f32) -> Result<(), RowError> {
    let facts = rows.facts().clone();
    for sample in samples {
        for cell in 0..facts.cells.len() {
            for method in 0..facts.methods.len() {
                let probs = probs(sample, method, cell, skill);
                let pred = (0..3).fold(0, |best, k| if probs[k] > probs[best] { k } else { best });
                rows.add(&Row {
                    sample,
                    method,
                    cell,
                    label: Some((sample % 3) as u32),
                    pred: pred as u32,
                    confidence: probs[pred],
                    probs: Some(&probs),
                })?;
            }
        }
    }
    Ok(())
}

fn attempt() -> Attempt {
    let stage = Stage { name: "decode".into(), n_items: Some(90), unit: "images decoded", busy_s: 1.5 };
    let methods = vec![("both parents".to_owned(), 2.0), ("t3_b".to_owned(), 1.1)];
    Attempt { n_batches: 12, seconds: 3.0, rss_peak_mib: 100, stages: vec![stage], methods }
}

fn settings() -> Settings {
    Settings { n_draws: 60, ..Settings::default() }
}

fn figures(n: u64, methods: &[&str]) -> Figures {
    let mut rows = Rows::new(facts(n, methods), true, None);
    fill(&mut rows, 0..n, 0.8).unwrap();
    rows.check_coverage().unwrap();
    Figures::new(rows, settings()).unwrap()
}

fn value(
    figures: &Figures,
    method: &str,
    corruption: Option<&str>,
    severity: Option<u8>,
    metric: Metric,
) -> f64 {
    figures.line(method, corruption, severity, metric).unwrap().value
}

#[test]
fn means_are_means_of_the_cells_in_the_stated_order() {
    let found = figures(120, &["pretrained", "expert"]);
    let error =
        |corruption, severity| value(&found, "expert", Some(corruption), Some(severity), Metric::Error);
    let blur = (error("blur", 1) + error("blur", 2)) / 2.0;
    let noise = (error("noise", 1) + error("noise", 2)) / 2.0;
    assert!((value(&found, "expert", None, None, Metric::MeanErr) - (blur + noise) / 2.0).abs() < 1e-12);
    let base =
        |corruption, severity| value(&found, "pretrained", Some(corruption), Some(severity), Metric::Error);
    let part = |kind| (error(kind, 1) + error(kind, 2)) / (base(kind, 1) + base(kind, 2));
    assert!(
        (value(&found, "expert", None, None, Metric::Mce) - (part("blur") + part("noise")) / 2.0).abs()
            < 1e-12
    );
    assert!((value(&found, "pretrained", None, None, Metric::Mce) - 1.0).abs() < 1e-12);
    for line in &found.lines {
        if let Some(interval) = line.interval {
            assert!(interval.low <= interval.high, "{line:?}");
            // Calibration errors are corrected for their bias: the estimate may lie outside.
            let is_calibration = matches!(line.metric, Metric::Ece | Metric::EceAdaptive);
            assert!(is_calibration || interval.holds(line.value), "{line:?}");
        }
    }
}

/// Five copies of every sample say no more than one: resampled by group, the figures are those of the single copies, to the
/// draw. Resampled one by one they would seem more than twice as sure.
#[test]
fn copies_of_one_patient_are_one_patient() {
    let methods = ["pretrained", "expert"];
    let single = figures(60, &methods);
    let copied = |grouping: Option<Vec<u32>>| {
        let mut rows = Rows::new(facts(300, &methods), true, grouping);
        for sample in 0..300 {
            for cell in 0..5 {
                for method in 0..2 {
                    let probs = probs(sample / 5, method, cell, 0.8);
                    let pred = (0..3).fold(0, |best, k| if probs[k] > probs[best] { k } else { best });
                    let label = Some((sample / 5 % 3) as u32);
                    let (confidence, probs) = (probs[pred], Some(&probs[..]));
                    rows.add(&Row { sample, method, cell, label, pred: pred as u32, confidence, probs })
                        .unwrap();
                }
            }
        }
        Figures::new(rows, settings()).unwrap()
    };
    let grouped = copied(Some((0..60).flat_map(|patient| [patient; 5]).collect()));
    let naive = copied(None);
    let width = |figures: &Figures, corruption, severity, metric| {
        let interval = figures.line("expert", corruption, severity, metric).unwrap().interval.unwrap();
        interval.high - interval.low
    };
    for (corruption, severity, metric) in [
        (None, None, Metric::MeanErr),
        (None, None, Metric::Brier),
        (Some("clean"), Some(0), Metric::Nll),
        (Some("blur"), Some(2), Metric::KappaQuadratic),
    ] {
        let of = |figures| width(figures, corruption, severity, metric);
        assert!((of(&grouped) - of(&single)).abs() < 1e-9, "{metric:?}");
        assert!(of(&naive) < 0.7 * of(&grouped), "{metric:?}: {} {}", of(&naive), of(&grouped));
    }
    // Intervals that would count rows are resampled too.
    let top1 = |figures| width(figures, Some("clean"), Some(0), Metric::Top1);
    assert!(top1(&grouped) > 1.5 * top1(&naive) && top1(&naive) < 0.7 * top1(&single));
    let p = |figures: &Figures| figures.against("expert", "pretrained")[0].p_value;
    assert!(p(&naive) < p(&grouped), "an exact test over copies is too sure: {} {}", p(&naive), p(&grouped));
}

/// The order in which partitions and slots arrive is not data.
#[test]
fn the_order_of_rows_changes_no_byte() {
    let methods = ["pretrained", "expert", "t3_b"];
    let csv = |order: Vec<u64>| {
        let mut rows = Rows::new(facts(60, &methods), true, None);
        fill(&mut rows, order.into_iter(), 0.8).unwrap();
        rows.sort();
        rows.derive(Choices::default());
        let found = Figures::new(rows, settings()).unwrap();
        let set = SummarySet { figures: &found, estimates: &[], signals: &[] };
        (summary_csv(&[set]), metrics_json(&[&found]).to_string(), tables_md(&[&found]))
    };
    let (forth, back) = (csv((0..60).collect()), csv((0..60).rev().collect()));
    assert!(forth == back, "files differ");
}

#[test]
fn a_missing_row_a_second_row_and_an_unplanned_row_are_told_apart() {
    let mut rows = Rows::new(facts(6, &["t3_b"]), true, None);
    fill(&mut rows, 0..5, 0.8).unwrap();
    let missing = rows.check_coverage().unwrap_err();
    assert_eq!((missing.n_missing, missing.n_both), (1, 0), "{missing}");
    rows.quarantine(5, None).unwrap();
    rows.check_coverage().unwrap();
    assert!(matches!(fill(&mut rows, 0..1, 0.8), Err(RowError::Twice { .. })));
    fill(&mut rows, 5..6, 0.8).unwrap();
    assert_eq!(rows.check_coverage().unwrap_err().n_both, 1);
    assert!(matches!(fill(&mut rows, 6..7, 0.8), Err(RowError::Unplanned { sample: 6 })));
}

/// Sums over blocks give the same figures as rows held whole; only the resamples differ.
#[test]
fn a_set_too_large_to_hold_has_the_same_figures() {
    let n = 60_000;
    let one = |is_large: bool| {
        let mut facts = facts(n, &["pretrained", "t3_b"]);
        if !is_large {
            facts.cells.truncate(1);
            facts.n_samples = 20_000;
        }
        let n = facts.n_samples;
        let mut rows = Rows::new(facts, true, None);
        fill(&mut rows, 0..n, 0.8).unwrap();
        Figures::new(rows, Settings { n_draws: 40, ..Settings::default() }).unwrap()
    };
    let (large, small) = (one(true), one(false));
    for metric in [Metric::Top1, Metric::MacroF1, Metric::Auc, Metric::Ece, Metric::EceAdaptive, Metric::Nll]
    {
        let of =
            |found: &Figures| -> Line { found.line("t3_b", Some("clean"), Some(0), metric).unwrap().clone() };
        let (a, b) = (of(&large), of(&small));
        assert!((a.value - b.value).abs() < 0.012, "{metric:?}: {} and {}", a.value, b.value);
        if metric != Metric::EceAdaptive {
            let (a, b) = (a.interval.unwrap(), b.interval.unwrap());
            // 60 000 against 20 000 samples: intervals about 1.7 times as narrow, the mean area's stated bound aside.
            assert!((a.high - a.low) < 1.1 * (b.high - b.low), "{metric:?}: {a:?} {b:?}");
        }
    }
}

#[test]
fn oracles_bound_every_constant_and_best_static_is_judged_by_the_other_half() {
    let methods = ["pretrained", "expert", "line_000", "line_050", "line_100", "t3_b"];
    let mut rows = Rows::new(facts(120, &methods), true, None);
    fill(&mut rows, 0..120, 0.6).unwrap();
    rows.derive(Choices::default());
    let found = Figures::new(rows, settings()).unwrap();
    let top1 = |method: &str| value(&found, method, None, None, Metric::Top1);
    for line in ["line_000", "line_050", "line_100", "best_static", "oracle_dawin"] {
        assert!(top1("oracle_line") >= top1(line), "{line}");
    }
    let constants = ["line_000", "line_050", "line_100"].map(top1);
    assert!(top1("best_static") <= constants.into_iter().fold(0.0, f64::max) + 1e-12);
    assert!(found.line("oracle_line", None, None, Metric::Brier).is_none(), "a bound has no probabilities");
}

#[test]
fn estimates_without_labels_are_near_the_truth_on_a_labelled_set() {
    let mut rows = Rows::new(facts(3000, &["t3_b"]), true, None);
    fill(&mut rows, 0..3000, 0.8).unwrap();
    for one in cross_fitted(&rows, "t3_b").unwrap() {
        let truth = one.truth.unwrap();
        assert!((one.estimate - truth).abs() < 0.02, "{one:?}");
    }
}

#[test]
fn reversed_names_are_noticed_and_the_page_needs_nothing_else() {
    let mut rows = Rows::new(facts(90, &["pretrained", "expert", "t3_b"]), true, None);
    for sample in 0..90 {
        for cell in 0..5 {
            for method in 0..3 {
                let (label, pred) = ((sample % 3) as u32, ((sample + 1) % 3) as u32);
                let mut probs = [0.02; 3];
                probs[pred as usize] = 0.96;
                let row = Row {
                    sample,
                    method,
                    cell,
                    label: Some(label),
                    pred,
                    confidence: 0.96,
                    probs: Some(&probs),
                };
                rows.add(&row).unwrap();
            }
        }
    }
    let figures = Figures::new(rows, settings()).unwrap();
    let picture =
        Picture { caption: "a <cell>".into(), data_uri: "data:image/jpeg;base64,AA==".into(), side_px: 80 };
    let set = PageSet {
        figures: &figures,
        signals: &[],
        quarantine: &[("decode_corrupt".to_owned(), 2)],
        estimates: &[],
        sure_disagreements: (0, 90),
        attempts: &[attempt()],
        pictures: &[picture],
    };
    let found = signatures(&set);
    assert!(found.iter().any(|one| one.words.contains("label 0 (a) is mostly called b")), "{found:?}");
    let html = page(&[set], "a <report>");
    assert!(html.contains("a &lt;report&gt;") && html.len() < 100_000);
    for outside in ["http://", "https://", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    // Whatever the page shows it holds.
    assert_eq!(html.matches("src=").count(), html.matches("src=\"data:image/jpeg;base64,AA==\"").count());
    for words in
        ["a &lt;cell&gt;", "Throughput by stage", "images decoded", "Cost per method", "both parents"]
    {
        assert!(html.contains(words), "{words}");
    }
}
