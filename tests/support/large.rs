//! A published run of any size without models: tables as `t3b run` lays them out, filled with numbers from a formula.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use t3b::ledger::{Diagnostics, Facts, FileEntry, Layout, Plan, Receipt, SpecMap, finalize, fingerprint};
use t3b::settings::{Settings, Sources};
use t3b::store::Root;
use t3b::tables::{FORMAT_VERSION, Table};

use crate::support::runtime;

/// Samples of a batch.
const BATCH: u64 = 32;
/// Different rows of probabilities; rows of tables take them by a hash.
const N_DISTINCT: usize = 1 << 16;

/// How large, in every direction that costs memory.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Methods of the run; the first two are the parents.
    pub n_methods: usize,
    /// Corruptions, each at five severities, beside the clean cell.
    pub n_corruptions: usize,
    /// Classes.
    pub n_classes: usize,
    /// Batches of a partition.
    pub n_batches: u64,
    /// Partitions.
    pub n_partitions: u32,
}

impl Shape {
    /// Samples of the run.
    pub fn n_samples(&self) -> u64 {
        BATCH * self.n_batches * u64::from(self.n_partitions)
    }

    /// Rows of its predictions.
    pub fn n_rows(&self) -> u64 {
        self.n_samples() * (self.cells().len() * self.n_methods) as u64
    }

    fn cells(&self) -> Vec<(String, u8)> {
        let corrupted =
            (0..self.n_corruptions).flat_map(|kind| (1..=5).map(move |s| (format!("kind_{kind}"), s)));
        std::iter::once(("clean".to_owned(), 0)).chain(corrupted).collect()
    }

    fn methods(&self) -> Vec<String> {
        let named = ["pretrained", "expert", "t3_b"].map(str::to_owned);
        let more = (named.len()..self.n_methods).map(|n| format!("method_{n}"));
        named.into_iter().chain(more).take(self.n_methods).collect()
    }

    fn plan(&self) -> Plan {
        let text = |text: &str| text.to_owned();
        let facts = Facts {
            name: text("large"),
            manifest_hmac_sha256: String::new(),
            tags: [(text("dataset"), text("large"))].into(),
            pretrained_sha256: String::new(),
            expert_sha256: String::new(),
            batch_size: 32,
            seed: 0,
            max_quarantine: 0.0,
            classes: (0..self.n_classes).map(|class| format!("class {class}")).collect(),
            n_truncated_prompts: 0,
            methods: self.methods(),
            grid: vec![],
            suite: None,
            stand_ins: vec![],
            primary_method: self.methods().pop().expect("a method"),
            gamma: 0.5,
            lambda_min: 0.0,
            lambda_max: 1.0,
            guard_delta: 0.1,
            guard_tau: 0.05,
            log_base: text("nats"),
            probs: true,
            features: false,
            delta: false,
            compact: false,
            span: 256,
        };
        let spec = SpecMap::from([(text("run.partition_size"), (BATCH * self.n_batches).into())]);
        Plan {
            format_version: FORMAT_VERSION,
            plan_sha256: String::new(),
            run_id: text("large"),
            run_date: text("2026-01-02"),
            planned_at: text("2026-01-02T00:00:00Z"),
            spec_sha256: fingerprint(&spec),
            spec,
            facts,
            n_samples: self.n_samples(),
            n_partitions: self.n_partitions,
            cells: self.cells(),
            groups: vec![],
            code_version: String::new(),
            canary: String::new(),
        }
    }
}

/// Writes the run `large` below `root` and publishes it.
pub fn publish(root: &Path, shape: Shape) {
    let (plan, text) = shape.plan().sealed();
    let layout = Layout::new(&plan.run_id);
    store(root, &layout.plan(), text.as_bytes());
    let settings = Settings::defaults(&Sources::default()).expect("embedded");
    let output = Root::open(&root.to_string_lossy(), true, &settings.store).expect("a folder");
    let pool = pool(shape.n_classes);
    for partition in 0..plan.n_partitions {
        let receipt = stage(root, &layout, &plan, shape, partition, &pool);
        runtime().block_on(receipt.commit(&output, &layout)).expect("a receipt");
    }
    runtime().block_on(finalize(&output, &plan.run_id)).expect("published");
    fs::remove_dir_all(root.join(layout.stage())).expect("what was staged");
}

/// Writes the run `large` below `root` with every partition committed and nothing published. What the partitions staged has the same
/// bytes, so that many are quickly made; they are not read as a run's rows.
pub fn commit_alike(root: &Path, shape: Shape, change: impl FnOnce(&mut Facts)) {
    let mut plan = shape.plan();
    change(&mut plan.facts);
    let (plan, text) = plan.sealed();
    let layout = Layout::new(&plan.run_id);
    store(root, &layout.plan(), text.as_bytes());
    let settings = Settings::defaults(&Sources::default()).expect("embedded");
    let output = Root::open(&root.to_string_lossy(), true, &settings.store).expect("a folder");
    let first = stage(root, &layout, &plan, shape, 0, &pool(shape.n_classes));
    let bytes = first.files.iter().map(|file| fs::read(root.join(&file.path)).expect("staged"));
    let bytes: Vec<Vec<u8>> = bytes.collect();
    runtime().block_on(async {
        for partition in 0..plan.n_partitions {
            let mut receipt = Receipt { partition, nonce: format!("{partition:032x}"), ..first.clone() };
            for ((file, table), bytes) in receipt.files.iter_mut().zip(Table::ALL).zip(&bytes) {
                file.path = layout.staged(partition, &receipt.nonce, table);
                fs::write(root.join(&file.path), bytes).expect("room");
            }
            receipt.commit(&output, &layout).await.expect("a receipt");
        }
    });
}

fn store(root: &Path, key: &str, bytes: &[u8]) {
    let path = root.join(key);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("room");
}

fn mixed(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// Rows of probabilities whose first class is the label's, more or less.
fn pool(n_classes: usize) -> Vec<Vec<f32>> {
    let row = |n: usize| {
        let uniform = |k: usize| (mixed((n * n_classes + k) as u64) >> 40) as f32 / 16_777_216.0;
        let raw: Vec<f32> =
            (0..n_classes).map(|k| (3.0 * uniform(k) + if k == 0 { 1.5 } else { 0.0 }).exp()).collect();
        let sum: f32 = raw.iter().sum();
        raw.iter().map(|p| p / sum).collect()
    };
    (0..N_DISTINCT).map(row).collect()
}

/// Writes the staged objects of one partition and says what they are.
fn stage(
    root: &Path,
    layout: &Layout,
    plan: &Plan,
    shape: Shape,
    partition: u32,
    pool: &[Vec<f32>],
) -> Receipt {
    let nonce = format!("{partition:032x}");
    let rows = plan.rows_of(partition);
    let n_pairs = (rows.end - rows.start) * plan.cells.len() as u64;
    let mut files = Vec::new();
    for table in Table::ALL {
        let batches = match table {
            Table::Predictions => predictions(plan, rows.clone(), pool),
            Table::Signals => signals(plan, rows.clone()),
            Table::Quarantine => vec![quarantine()],
            Table::Batches | Table::Coefficients => vec![columns(vec![("batch", int64(&[]))])],
        };
        let bytes = encoded(&batches);
        let path = layout.staged(partition, &nonce, table);
        store(root, &path, &bytes);
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let (sha256, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
        files.push(FileEntry { table: table.name().to_owned(), path, bytes: size, sha256, rows: n_rows });
    }
    Receipt {
        format_version: FORMAT_VERSION,
        receipt_sha256: String::new(),
        plan_sha256: plan.plan_sha256.clone(),
        partition,
        nonce,
        worker: String::new(),
        spec_sha256: plan.spec_sha256.clone(),
        n_samples: BATCH * shape.n_batches,
        n_scored: n_pairs,
        n_quarantined: 0,
        diagnostics: Diagnostics::default(),
        device: "cpu".to_owned(),
        canary: String::new(),
        n_nonfinite: 0,
        files,
    }
}

fn encoded(batches: &[RecordBatch]) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("a level")))
        .set_max_row_group_row_count(Some(131_072))
        .build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).expect("a schema");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.into_inner().expect("a table")
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn word(words: &[String], place: usize, n: usize) -> ArrayRef {
    let keys = Int32Array::from(vec![i32::try_from(place).expect("few words"); n]);
    let words = StringArray::from_iter_values(words);
    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(words)).expect("a known word"))
}

/// The samples of one batch, as every table has them.
fn who(first: u64, cell: &(String, u8)) -> Vec<(&'static str, ArrayRef)> {
    let n = usize::try_from(BATCH).expect("small");
    let samples: Vec<i64> = (first..first + BATCH).map(|sample| sample as i64).collect();
    let ids = samples.iter().map(|sample| format!("{:032x}", mixed(*sample as u64)));
    let places: Vec<i16> = (0..BATCH as i16).collect();
    vec![
        ("sample_id", Arc::new(StringArray::from_iter_values(ids))),
        ("manifest_row", int64(&samples)),
        ("sample_row", int64(&samples)),
        ("corruption", word(std::slice::from_ref(&cell.0), 0, n)),
        ("severity", Arc::new(Int32Array::from(vec![i32::from(cell.1); n]))),
        ("batch", int64(&vec![(first / BATCH) as i64; n])),
        ("pos_in_batch", Arc::new(Int16Array::from(places))),
    ]
}

/// Cell by cell, batch by batch, method by method, as a run writes them.
fn predictions(plan: &Plan, rows: std::ops::Range<u64>, pool: &[Vec<f32>]) -> Vec<RecordBatch> {
    let (classes, methods, n_classes) = (&plan.facts.classes, &plan.facts.methods, plan.facts.classes.len());
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let mut batches = Vec::new();
    for (c, cell) in plan.cells.iter().enumerate() {
        for first in rows.clone().step_by(BATCH as usize) {
            for method in 0..methods.len() {
                let mut probs = Vec::with_capacity(BATCH as usize * n_classes);
                let (mut labels, mut preds, mut tops) = (Vec::new(), Vec::new(), Vec::new());
                for sample in first..first + BATCH {
                    let label = (mixed(sample) % n_classes as u64) as usize;
                    let key = mixed(sample * 8191 + (c * 127 + method) as u64) as usize % N_DISTINCT;
                    let row = (0..n_classes).map(|class| pool[key][(class + n_classes - label) % n_classes]);
                    let start = probs.len();
                    probs.extend(row);
                    let row = &probs[start..];
                    let pred = (0..n_classes).fold(0, |best, k| if row[k] > row[best] { k } else { best });
                    labels.push(label as i32);
                    preds.push(pred as i32);
                    tops.push(row[pred]);
                }
                let correct: Vec<bool> = labels.iter().zip(&preds).map(|(a, b)| a == b).collect();
                let offsets = OffsetBuffer::from_lengths([n_classes; BATCH as usize]);
                let lists = ListArray::new(item.clone(), offsets, Arc::new(Float32Array::from(probs)), None);
                let label = |of: &[i32]| -> ArrayRef {
                    let words = StringArray::from_iter_values(classes);
                    Arc::new(
                        DictionaryArray::<Int32Type>::try_new(of.to_vec().into(), Arc::new(words))
                            .expect("a class"),
                    )
                };
                let tops: ArrayRef = Arc::new(Float32Array::from(tops));
                let mut all = who(first, cell);
                all.extend([
                    ("method", word(methods, method, BATCH as usize)),
                    ("label", label(&labels)),
                    ("pred", label(&preds)),
                    ("label_idx", Arc::new(Int32Array::from(labels)) as ArrayRef),
                    ("pred_idx", Arc::new(Int32Array::from(preds))),
                    ("pred_prob", Arc::clone(&tops)),
                    ("margin", Arc::clone(&tops)),
                    ("entropy_nats", tops),
                    ("correct", Arc::new(BooleanArray::from(correct))),
                    ("probs", Arc::new(lists)),
                ]);
                batches.push(columns(all));
            }
        }
    }
    batches
}

fn signals(plan: &Plan, rows: std::ops::Range<u64>) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for cell in &plan.cells {
        for first in rows.clone().step_by(BATCH as usize) {
            let number = |scale: f64| -> ArrayRef {
                let of = |sample: u64| (mixed(sample) >> 11) as f64 / (1_u64 << 53) as f64 * scale;
                Arc::new((first..first + BATCH).map(of).collect::<Float64Array>())
            };
            let mut all = who(first, cell);
            all.extend([
                ("js_nats", number(0.6)),
                ("lambda_sample", number(1.0)),
                ("pt_entropy_nats", number(1.0)),
                ("ft_entropy_nats", number(0.5)),
                ("agree", Arc::new(BooleanArray::from(vec![true; BATCH as usize]))),
            ]);
            batches.push(columns(all));
        }
    }
    batches
}

fn quarantine() -> RecordBatch {
    let none: [String; 0] = [];
    let words = || word(&none, 0, 0);
    columns(vec![
        ("sample_row", int64(&[])),
        ("manifest_row", int64(&[])),
        ("corruption", words()),
        ("severity", Arc::new(Int32Array::from(Vec::<i32>::new()))),
        ("reason_code", words()),
    ])
}
