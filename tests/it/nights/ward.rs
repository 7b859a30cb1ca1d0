use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use chrono::{Days, NaiveDate};
use futures::TryStreamExt;
use hmac::{Hmac, KeyInit, Mac};
use image::ImageFormat;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use t3b::demo::{CellClass, draw_crop};

use crate::s3_server::{self, Front, S3Server};
use crate::support::{Fixture, repo, runtime};

/// A secret that is worth enough.
pub const SECRET: &str = "kqzvWpLxTnRbYcDfGhJm3X-nights";

/// Numbers of wards: each has buckets of its own name, by which its requests are told.
static N_WARDS: AtomicU64 = AtomicU64::new(0);
/// Requests that each ward's buckets have answered.
static REQUESTS: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

fn counted(path: &str) -> Duration {
    let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let ward = bucket.rsplit('-').next().and_then(|number| number.parse().ok());
    *REQUESTS.lock().unwrap().entry(ward.unwrap_or_default()).or_default() += 1;
    Duration::ZERO
}

/// The day `n` days after the first.
pub fn day(n: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2020, 6, 1).unwrap().checked_add_days(Days::new(n)).unwrap()
}

/// A ward with a bucket for its images, one for tables and one for manifests.
pub struct Ward {
    pub fixture: Fixture,
    server: S3Server,
    /// Part of the names of its buckets.
    pub number: u64,
    archive: Arc<dyn ObjectStore>,
    results: Arc<dyn ObjectStore>,
    private: Arc<dyn ObjectStore>,
    n_drawn: u64,
    /// Contents that each key has had.
    pub put: BTreeMap<String, BTreeSet<[u8; 32]>>,
}

/// How one call ended.
pub struct Said {
    /// `None` when it was killed.
    pub code: Option<i32>,
    pub line: String,
    pub errors: String,
    pub n_requests: u64,
    pub seconds: f64,
}

impl Ward {
    /// Empty buckets and a pipeline with these lines in its `[nightly]`.
    pub fn new(nightly: &str) -> Self {
        let number = N_WARDS.fetch_add(1, SeqCst) + 1;
        let buckets = ["archive", "results", "private"].map(|name| format!("{name}-{number}"));
        let server = S3Server::start_far(Front::Locked, &buckets.each_ref().map(String::as_str), counted);
        let (fixture, port) = (Fixture::new(), server.port);
        let open = |bucket: &String| -> Arc<dyn ObjectStore> { Arc::new(s3_server::client(port, bucket)) };
        let models = repo("models/tiny");
        let pipeline = format!(
            r#"
[run]
name = "ward"
batch_size = 8
partition_size = 16

[input]
root = "s3://archive-{number}/ward"

[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]

[models]
pretrained = "{0}/generalist"
expert = "{0}/expert"

[nightly]
manifests = "s3://private-{number}/nights"
{nightly}

[output]
root = "s3://results-{number}/out"
probs = true
"#,
            models.display()
        );
        std::fs::write(fixture.path("ward.toml"), pipeline).unwrap();
        let [archive, results, private] = buckets.each_ref().map(open);
        let put = BTreeMap::new();
        let ward = Self { fixture, server, number, archive, results, private, n_drawn: 0, put };
        // The probe's 360 requests are of the first run on a root, not of a night.
        let passed = Path::from("out/_t3b/probe/passed.json");
        runtime().block_on(ward.results.put(&passed, Bytes::from_static(b"{}").into())).unwrap();
        ward
    }

    /// A crop that was never drawn before.
    pub fn picture(&mut self) -> Vec<u8> {
        let class = CellClass::ALL[usize::try_from(self.n_drawn).unwrap() % CellClass::ALL.len()];
        self.picture_of(class, false)
    }

    /// A crop of one class, as another scanner would show it where `is_inverted`.
    pub fn picture_of(&mut self, class: CellClass, is_inverted: bool) -> Vec<u8> {
        self.n_drawn += 1;
        let crop = draw_crop(class, 77, self.n_drawn);
        let mut pixels = crop.as_bytes().to_vec();
        if is_inverted {
            pixels.iter_mut().for_each(|value| *value = 255 - *value);
        }
        let picture = image::RgbImage::from_raw(crop.width_px(), crop.height_px(), pixels).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Puts an object below the ward's root.
    pub fn put(&mut self, key: &str, bytes: Vec<u8>) {
        self.put.entry(key.to_owned()).or_default().insert(Sha256::digest(&bytes).into());
        let path = Path::from(format!("ward/{key}"));
        runtime().block_on(self.archive.put(&path, bytes.into())).unwrap();
    }

    /// Puts `n` fresh pictures into the folder of a day.
    pub fn put_day(&mut self, n_day: u64, n: u64, what: &str) {
        for k in 0..n {
            let picture = self.picture();
            self.put(&format!("{}/{what}{k:03}.png", day(n_day).format("%Y/%m/%d")), picture);
        }
    }

    /// `t3b nightly ward.toml` with more arguments, not started yet.
    pub fn command(&self, more: &[&str]) -> Command {
        self.t3b(&[&["nightly", "ward.toml"], more].concat())
    }

    /// The binary with the ward's environment, not started yet.
    pub fn t3b(&self, args: &[&str]) -> Command {
        let mut command = self.fixture.command(args);
        command
            .env("T3B_PSEUDONYM_KEY", SECRET)
            .env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{}", self.server.port))
            .env("T3B_STORE_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", s3_server::KEY)
            .env("AWS_SECRET_ACCESS_KEY", s3_server::SECRET)
            .env("AWS_REGION", "us-east-1");
        command
    }

    /// Runs a call to its end.
    pub fn call(&self, command: &mut Command) -> Said {
        let (n_before, started) = (self.n_requests(), std::time::Instant::now());
        let Output { status, stdout, stderr } = command.output().unwrap();
        Said {
            code: status.code(),
            line: String::from_utf8_lossy(&stdout).trim().to_owned(),
            errors: String::from_utf8_lossy(&stderr).into_owned(),
            n_requests: self.n_requests() - n_before,
            seconds: started.elapsed().as_secs_f64(),
        }
    }

    fn n_requests(&self) -> u64 {
        REQUESTS.lock().unwrap().get(&self.number).copied().unwrap_or_default()
    }

    /// The night of a day; an empty one ends with 99.
    pub fn night(&self, n_day: u64, more: &[&str]) -> Said {
        let date = day(n_day).to_string();
        let args = [&["--date", &date, "--exit-when-empty", "99"], more].concat();
        self.call(&mut self.command(&args))
    }

    /// Every object of the results and of the manifests, by bucket and key.
    pub fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = objects(&self.results, "results");
        all.extend(objects(&self.private, "private"));
        all
    }

    /// How often each pseudonym stands in the clean rows of published runs, by run id.
    pub fn scored(&self) -> BTreeMap<String, Vec<String>> {
        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, bytes) in objects(&self.results, "results") {
            let table = ["tables/signals/", "tables/quarantine/"].iter().any(|table| key.contains(table));
            let run_id = key.split("run_id=").nth(1).and_then(|rest| rest.split('/').next());
            let (true, Some(run_id), true) = (table, run_id, key.ends_with(".parquet")) else { continue };
            runs.entry(run_id.to_owned()).or_default().extend(texts(bytes, "sample_id"));
        }
        runs
    }

    /// What is said of the night of a day.
    pub fn state(&self, n_day: u64) -> Option<serde_json::Value> {
        let key = Path::from(format!("out/reports/ward/{}/night.json", day(n_day)));
        let bytes = runtime().block_on(async { self.results.get(&key).await.ok()?.bytes().await.ok() })?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Deletes the frozen manifests of a night.
    pub fn lose_manifests(&self, date: &str) {
        for key in objects(&self.private, "").into_keys().filter(|key| key.contains(date)) {
            runtime().block_on(self.private.delete(&Path::from(key.trim_start_matches('/')))).unwrap();
        }
    }

    /// The store of the results, for what a test changes by hand.
    pub fn results(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.results)
    }
}

fn objects(store: &Arc<dyn ObjectStore>, bucket: &str) -> BTreeMap<String, Vec<u8>> {
    runtime().block_on(async {
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut found = BTreeMap::new();
        for meta in listed {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            found.insert(format!("{bucket}/{}", meta.location), bytes.to_vec());
        }
        found
    })
}

/// One column of a table as texts.
fn texts(bytes: Vec<u8>, column: &str) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
    let mut all = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
        all.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
        assert_eq!(column.null_count(), 0);
    }
    all
}

/// What docs/privacy.md says a pseudonym is, computed here anew.
pub fn pseudonym(key: &str) -> String {
    let secret = Sha256::new_with_prefix(b"t3b pseudonym key\0").chain_update(SECRET).finalize();
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(&secret).unwrap();
    mac.update(key.as_bytes());
    hex::encode(&mac.finalize().into_bytes()[..16])
}
