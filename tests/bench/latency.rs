//! What a far store costs: run times with 50 ms added to every request over run times without, where the lane has most to do.
//!
//! `cargo bench --bench latency`; the limit for a far archive is 1.05. Archive and tables lie on an S3 server in this process.
//! The busy share is a lower bound: the time in which a batch waited for the lane, less what the lane waited for the sink.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(dead_code, unreachable_pub, reason = "support modules are shared with tests")]

#[path = "../support/s3_server.rs"]
mod s3_server;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::ready;
use futures::{StreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use s3_server::{Front, KEY, S3Server, SECRET};
use support::{Fixture, repo, runtime};
use t3b::demo::write_archive;

const N_IMAGES: usize = 1920;
const ROUNDS: usize = 3;
const FAR: Duration = Duration::from_millis(50);

/// Light corruptions and heavy methods, so that the lane has most to do.
const PIPELINE: &str = r#"
[run]
name = "latency"
batch_size = 32
partition_size = 480
[input]
root = "s3://archive"
[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]
[merge]
methods = ["pretrained", "expert", "t3_b", "t3", "t3_guard", "entropy_ratio", "dawin"]
[corrupt]
suite = "dermamnist"
corruptions = ["pixelate", "brightness_up"]
severities = [1, 2, 3, 4]
[output]
root = "s3://tables"
"#;

/// A server that far away, with the archive in it.
struct Far {
    _server: S3Server,
    endpoint: String,
    n_runs: usize,
}

/// One run: its seconds, and the share of them in which the lane had work for sure.
struct Took {
    seconds: f64,
    busy: f64,
}

impl Far {
    fn start(archive: &Fixture, latency: fn(&str) -> Duration) -> Self {
        let server = S3Server::start_far(Front::Locked, &["archive", "tables"], latency);
        let endpoint = format!("http://127.0.0.1:{}", server.port);
        let store = |bucket| s3_server::client(server.port, bucket);
        runtime().block_on(async {
            let bucket = store("archive");
            let put = |(name, bytes): (String, Vec<u8>)| {
                let (bucket, key) = (&bucket, Path::from(name));
                async move { bucket.put(&key, bytes.into()).await.unwrap() }
            };
            let puts = stream::iter(archive.files("far").into_iter().map(put));
            puts.buffered(64).for_each(|_| ready(())).await;
            // Without the probe's 360 requests, which a root sees once in its life.
            store("tables").put(&Path::from("_t3b/probe/passed.json"), "{}".into()).await.unwrap();
        });
        Self { _server: server, endpoint, n_runs: 0 }
    }

    fn run(&mut self, fixture: &Fixture) -> Took {
        self.n_runs += 1;
        let run_id = format!("r{}", self.n_runs);
        let tiny = |name: &str| repo("models/tiny").join(name);
        let started = Instant::now();
        let said = Command::new(env!("CARGO_BIN_EXE_t3b"))
            .args(["run", "far.toml", "--run-id", &run_id])
            .current_dir(fixture.path(""))
            .env("T3B_MODELS_PRETRAINED", tiny("generalist"))
            .env("T3B_MODELS_EXPERT", tiny("expert"))
            .env("T3B_STORE_ENDPOINT", &self.endpoint)
            .env("T3B_STORE_ALLOW_HTTP", "true")
            .env("T3B_LOG_FORMAT", "json")
            .env("RUST_LOG", "info,t3b=debug")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        let log = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{log}");
        Took { seconds, busy: (blocked_s(&log, "batch") - blocked_s(&log, "score")) / seconds }
    }
}

/// Seconds that a stage waited for the next one, from the log.
fn blocked_s(log: &str, stage: &str) -> f64 {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_stage = lines.map(|line| line["fields"].clone()).find(|fields| fields["stage"] == stage);
    of_stage.and_then(|fields| fields["blocked_ms"].as_str()?.parse::<f64>().ok()).unwrap() / 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let fixture = Fixture::new();
    write_archive(&fixture.path("far"), 7, N_IMAGES).unwrap();
    std::fs::write(fixture.path("far.toml"), PIPELINE).unwrap();
    let archive = |path: &str| if path.starts_with("/archive") { FAR } else { Duration::ZERO };
    let mut near = Far::start(&fixture, |_| Duration::ZERO);
    let mut others =
        [("archive", Far::start(&fixture, archive)), ("archive and tables", Far::start(&fixture, |_| FAR))];
    println!("{:<20} {:>8} {:>8} {:>8} {:>12}", "50 ms away", "s", "near s", "ratio", "lane busy >=");
    for (name, far) in &mut others {
        let rounds: Vec<(Took, Took)> =
            (0..ROUNDS).map(|_| (far.run(&fixture), near.run(&fixture))).collect();
        let of = |pick: fn(&(Took, Took)) -> f64| median(rounds.iter().map(pick).collect());
        println!(
            "{name:<20} {:>8.2} {:>8.2} {:>8.3} {:>11.0}%",
            of(|(far, _)| far.seconds),
            of(|(_, near)| near.seconds),
            of(|(far, near)| far.seconds / near.seconds),
            of(|(far, _)| far.busy * 100.0),
        );
    }
}
