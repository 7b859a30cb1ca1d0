//! Time a row and peak memory of a set larger than is held whole: `cargo run --release -p t3b-report --example scale [ROWS]`.
//!
//! Feeds synthetic predictions (4 classes, 4 methods, 11 cells, with probabilities) through the same accumulators as
//! `t3b evaluate`; reading Parquet adds one part at a time.

use std::time::Instant;

use t3b_report::{Figures, Row, Rows, SetFacts, Settings, Tags};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n_rows: u64 = std::env::args().nth(1).map_or(Ok(50_000_000), |text| text.parse())?;
    let cells: Vec<(String, u8)> = (0..=10)
        .map(
            |k| if k == 0 { ("clean".into(), 0) } else { (format!("kind_{}", (k - 1) / 5), (k - 1) % 5 + 1) },
        )
        .collect();
    let n_samples = n_rows / (4 * cells.len() as u64);
    let facts = SetFacts {
        run_id: "scale".into(),
        run_date: "2026-01-01".into(),
        tags: Tags::default(),
        classes: (0..4).map(|k| format!("class {k}")).collect(),
        methods: ["pretrained", "expert", "wise_ft", "t3_b"].map(str::to_owned).to_vec(),
        primary: "t3_b".into(),
        n_samples,
        groups: Vec::new(),
        suite: None,
        batch_size: 32,
        cells,
    };
    let (n_methods, n_cells) = (facts.methods.len(), facts.cells.len());
    let mut rows = Rows::new(facts, true, None);
    let started = Instant::now();
    let mut state = 1_u64;
    for sample in 0..n_samples {
        let label = (sample % 4) as u32;
        for cell in 0..n_cells {
            for method in 0..n_methods {
                let probs: [f32; 4] = std::array::from_fn(|class| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 40) as f32 / 16_777_216.0 + if class as u32 == label { 0.4 } else { 0.0 }
                });
                let sum: f32 = probs.iter().sum();
                let probs = probs.map(|p| p / sum);
                let pred =
                    (0..4).fold(0, |best, class| if probs[class] > probs[best] { class } else { best });
                let row = Row {
                    sample,
                    method,
                    cell,
                    label: Some(label),
                    pred: pred as u32,
                    confidence: probs[pred],
                    probs: Some(&probs),
                };
                rows.add(&row)?;
            }
        }
    }
    rows.check_coverage()?;
    let n = rows.n_rows();
    println!("{n} rows added in {:.1} s", started.elapsed().as_secs_f64());
    rows.derive(t3b_report::Choices::default());
    let figures = Figures::new(rows, Settings { n_draws: 200, ..Settings::default() })?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} figures; {seconds:.1} s in all, {:.2} us a row",
        figures.lines.len(),
        1e6 * seconds / n as f64
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown"));
    Ok(())
}
