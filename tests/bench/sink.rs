//! What the sink alone takes of a core: batches that are scored already become a committed partition in a folder.
//!
//! `cargo bench --bench sink`; the limit is a million rows of `predictions` and `signals` a second of CPU time. Beside it the
//! wall clock, which is the disk's too: every object is written through to it before its receipt is.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod cpu;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use cpu::cpu_seconds;
use object_store::path::Path;
use serde_json::json;
use t3b::flow::link::link;
use t3b::flow::meter::Meter;
use t3b::graph::sink::{SinkRule, sink};
use t3b::ledger::Plan;
use t3b::merge::method::Method;
use t3b::messages::{
    Coefficients, Flow, Location, Member, MethodScores, Mixing, Prediction, Sample, Scored, Seal, Signal,
    Slot,
};
use t3b::settings::{Settings, Sources};
use t3b::store::Root;
use t3b::tables::Names;
use t3b_corrupt::Cell;

const N_IMAGES: u64 = 9_600;
const BATCH: u64 = 32;
const ROUNDS: usize = 5;
const CLASSES: [&str; 4] = ["red blood cell", "white blood cell", "platelet", "plasma background"];
const METHODS: [Method; 11] = [
    Method::Pretrained,
    Method::Expert,
    Method::T3B,
    Method::Ensemble,
    Method::EnsembleLogits,
    Method::WiseFt,
    Method::TaskArithmetic,
    Method::M3,
    Method::Slerp,
    Method::Ties,
    Method::Dare,
];

/// Numbers of a sample under a method, as uneven as real ones.
fn prediction(n: u64) -> Prediction {
    let uneven =
        |k: u64| (((n * 4 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 2_f64.powi(24)).exp();
    let weights: Vec<f64> = (0..CLASSES.len() as u64).map(uneven).collect();
    let sum: f64 = weights.iter().sum();
    let probs: Vec<f64> = weights.into_iter().map(|weight| weight / sum).collect();
    let mut sorted = probs.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    Prediction {
        pred_idx: probs.iter().position(|p| *p == sorted[0]).unwrap() as u32,
        pred_prob: sorted[0],
        margin: sorted[0] - sorted[1],
        entropy_nats: -probs.iter().map(|p| p * p.ln()).sum::<f64>(),
        probs,
    }
}

fn sample(row: u64) -> Sample {
    Sample {
        row,
        manifest_row: row,
        id: format!("{:026}", row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        key: Path::from("k"),
        label_idx: Some((row % 4) as u32),
        sha256: None,
        size_bytes: None,
        location: Location::Whole,
        frame: None,
        slice: None,
        declared: None,
    }
}

fn scored(batch: u64) -> Scored {
    let rows = batch * BATCH..(batch + 1) * BATCH;
    let of = |method| {
        let merged_with = Coefficients {
            n_samples: BATCH as u32,
            lambda_mean: 0.5,
            lambda_std: 0.1,
            lambda_min: 0.3,
            lambda_max: 0.7,
            guard_plus: 0,
            guard_minus: 0,
            is_heterogeneous: false,
        };
        let predictions = rows.clone().map(|row| prediction(row * 11 + method as u64)).collect();
        MethodScores { method: METHODS[method], merged_with: Some(merged_with), predictions }
    };
    let signal = |row| {
        let Prediction { pred_prob, margin, entropy_nats, .. } = prediction(row);
        Signal {
            js_nats: margin / 2.0,
            lambda_sample: pred_prob,
            pt_entropy_nats: entropy_nats,
            ft_entropy_nats: entropy_nats / 2.0,
            agree: row % 3 > 0,
        }
    };
    Scored {
        slot: Slot { batch, cell: 0, first_row: batch * BATCH, n_planned: BATCH as u32 },
        members: rows.clone().map(|row| Member { sample: Arc::new(sample(row)), cell: 0 }).collect(),
        signals: rows.clone().map(signal).collect(),
        features: None,
        methods: (0..METHODS.len()).map(of).collect(),
        rejects: Vec::new(),
        deviation: None,
        scored: (UNIX_EPOCH, UNIX_EPOCH),
    }
}

/// A plan that is not frozen; of its words the sink reads the run's and the spec's.
fn plan() -> Plan {
    let hash = "0".repeat(64);
    serde_json::from_value(json!({
        "format_version": t3b::tables::FORMAT_VERSION, "run_id": "r", "run_date": "2026-01-02",
        "planned_at": "2026-01-02T00:00:00Z", "spec_sha256": hash, "spec": {}, "n_samples": N_IMAGES, "n_partitions": 1,
        "cells": [["clean", 0]], "code_version": "", "canary": "",
        "facts": {
            "name": "sink", "manifest_hmac_sha256": hash, "tags": {}, "pretrained_sha256": hash, "expert_sha256": hash,
            "batch_size": BATCH, "seed": 0, "max_quarantine": 0.05, "classes": CLASSES, "n_truncated_prompts": 0,
            "methods": METHODS.map(Method::name), "grid": [], "suite": null, "stand_ins": [], "primary_method": "t3_b",
            "gamma": 0.5, "lambda_min": 0.0, "lambda_max": 1.0, "guard_delta": 0.1, "guard_tau": 0.05,
            "log_base": "nats", "probs": false,
        },
    }))
    .unwrap()
}

fn rule() -> SinkRule {
    SinkRule {
        plan: plan(),
        names: Names {
            classes: CLASSES.map(str::to_owned).into(),
            cells: [Cell::clean()].into(),
            batch_size: BATCH as u32,
            mixing: Mixing::Pure,
        },
        primary: Method::T3B,
        probs: false,
        features: false,
        n_made: 1,
        n_pairs: N_IMAGES,
        device: "cpu-f32".to_owned(),
        canary: String::new(),
        worker: String::new(),
    }
}

/// Wall and CPU seconds of one partition.
async fn commit(settings: &Settings) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path().to_str().unwrap(), true, &settings.store).unwrap();
    let batches: Vec<Scored> = (0..N_IMAGES / BATCH).map(scored).collect();
    let meter = Meter::default();
    let (mut outlet, inlet) = link(NonZeroUsize::new(4).unwrap(), &meter.score, &meter.sink);
    let (began, cpu_began) = (Instant::now(), cpu_seconds());
    let sending = async {
        for batch in batches {
            outlet.send(Flow::Item(batch)).await.unwrap();
        }
        let seal = Seal { partition: 0, n_samples: N_IMAGES, n_by_cell: [N_IMAGES].into() };
        outlet.send(Flow::Seal(seal)).await.unwrap();
        drop(outlet);
    };
    let (done, ()) = futures::join!(sink(rule(), root, inlet, meter.clone()), sending);
    done.unwrap();
    (began.elapsed().as_secs_f64(), cpu_seconds() - cpu_began)
}

fn main() {
    let settings = Settings::defaults(&Sources::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let takes: Vec<(f64, f64)> = (0..ROUNDS).map(|_| runtime.block_on(commit(&settings))).collect();
    let n_rows = (N_IMAGES * (METHODS.len() as u64 + 1)) as f64;
    let rates = |of: fn(&(f64, f64)) -> f64| {
        let mut rates: Vec<f64> = takes.iter().map(|take| n_rows / of(take)).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        (rates[0], rates[rates.len() / 2])
    };
    let ((best, median), (wall_best, wall)) = (rates(|take| take.1), rates(|take| take.0));
    println!(
        "a partition of {n_rows} rows, {ROUNDS} rounds: rows/s of CPU time {best:.0} at best, {median:.0} median"
    );
    println!(
        "of the wall clock {wall_best:.0} at best, {wall:.0} median; over the limit of 1e6 (CPU): {:.2}",
        median / 1e6
    );
}
