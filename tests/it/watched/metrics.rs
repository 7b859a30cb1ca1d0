use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{ask, fed, get, program};
use crate::support::{Fixture, N_CELLS, N_IMAGES, run_to};

/// Numbers of a page by name and labels.
fn numbers(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, n)| (name, n.parse().unwrap())).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_textfile_says_what_was_done_and_outlives_a_run_that_fails() {
    let fixture = Fixture::new();
    fs::write(fixture.path("archive/broken.png"), b"").unwrap();
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let columns = manifest.lines().next().unwrap().matches(',').count();
    let row = format!("broken.png{}\n", ",".repeat(columns));
    fs::write(fixture.path("archive/manifest.csv"), manifest + &row).unwrap();
    let path = fixture.path("night.prom");
    let run = |output: &str, more: &[(&str, &str)]| {
        let mut command = fixture.command(&run_to(output));
        command.env("T3B_METRICS_TEXTFILE", &path).envs(more.iter().copied()).output().unwrap()
    };
    assert!(run("out", &[]).status.success());
    let text = fs::read_to_string(&path).unwrap();
    let found = numbers(&text);
    let of = |name: &str| {
        let key = format!("{name}{{pipeline=\"fixture\"}}");
        *found.get(key.as_str()).unwrap_or_else(|| panic!("{key} is not in\n{text}"))
    };
    let n_pairs = (N_IMAGES * N_CELLS) as f64;
    assert_eq!(
        (of("t3b_pairs_total"), of("t3b_lambda_count"), of("t3b_js_nats_count")),
        (n_pairs, n_pairs, n_pairs)
    );
    assert_eq!(of("t3b_batches_total"), of("t3b_planned_batches"));
    assert_eq!(of("t3b_partitions_total"), of("t3b_planned_partitions"));
    assert_eq!((of("t3b_last_exit_code"), of("t3b_store_retries_total")), (0.0, 0.0));
    let row = "t3b_quarantine_rows_total{pipeline=\"fixture\",reason=\"empty_object\"}";
    assert_eq!(found[row], 1.0);
    let archive: usize = fixture.files("archive").values().map(Vec::len).sum();
    assert!(of("t3b_store_read_bytes_total") > archive as f64 * 0.5, "{}", of("t3b_store_read_bytes_total"));
    assert!(of("t3b_store_written_bytes_total") > 1000.0);
    for stage in ["source", "decode", "corrupt", "batch", "score"] {
        let busy =
            found[format!("t3b_stage_busy_seconds_total{{pipeline=\"fixture\",stage=\"{stage}\"}}").as_str()];
        assert!(busy > 0.0 && busy < 600.0, "{stage}: {busy}");
    }
    // Its reader is another user than the one whose tables nobody else reads.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let left: Vec<_> =
        fs::read_dir(fixture.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    if let Some(promtool) = program("promtool") {
        let (is_fine, said) = fed(Command::new(promtool).args(["check", "metrics"]), &text);
        assert!(is_fine && said.is_empty(), "{said}");
    }
    // What fails says so and still knows when the last one was published.
    let success = of("t3b_last_success_timestamp_seconds");
    fs::remove_file(fixture.path("archive/manifest.csv")).unwrap();
    let manifest = "uri\n".to_owned() + &(0..N_IMAGES).map(|n| format!("gone{n}.png\n")).collect::<String>();
    fs::write(fixture.path("archive/manifest.csv"), manifest).unwrap();
    assert_eq!(run("other", &[]).status.code(), Some(65));
    let text = fs::read_to_string(&path).unwrap();
    let found = numbers(&text);
    assert_eq!(found["t3b_last_exit_code{pipeline=\"fixture\"}"], 65.0, "{text}");
    assert_eq!(found["t3b_last_success_timestamp_seconds{pipeline=\"fixture\"}"], success);
}

#[test]
fn a_metrics_file_or_endpoint_that_cannot_be_had_costs_a_word_and_no_run() {
    let fixture = Fixture::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = fixture.command(&run_to("out"));
    command.env("T3B_METRICS_TEXTFILE", fixture.path("no/folder/x.prom"));
    command.env("T3B_LINEAGE_FILE", fixture.path("no/folder/x.jsonl"));
    command.env("T3B_LINEAGE_URL", format!("http://127.0.0.1:{}/lineage", free_port()));
    let said = command.env("T3B_METRICS_ADDRESS", port).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
    for word in ["metrics.textfile", "metrics.address", "lineage.file", "lineage.url"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert_eq!(text.matches("metrics.textfile").count(), 1, "{text}");
    for (key, value) in
        [("metrics.textfile", "x.txt"), ("metrics.address", "host"), ("lineage.url", "ftp://x")]
    {
        let said = fixture.t3b(&["config", "show", "--set", &format!("{key}={value}")]);
        assert_eq!(said.status.code(), Some(78), "{key}");
    }
}

/// Many rows of few images: a run that goes on while others look.
fn long(fixture: &Fixture, n_times: usize) {
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let uri = manifest.lines().next().unwrap().split(',').position(|name| name == "uri").unwrap();
    let uris: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').nth(uri).unwrap()).collect();
    let mut text = "uri,sample_id\n".to_owned();
    for n in 0..n_times * uris.len() {
        writeln!(text, "{},s{n}", uris[n % uris.len()]).unwrap();
    }
    fs::write(fixture.path("archive/manifest.csv"), text).unwrap();
}

/// A run with an endpoint on a port of its own choice, and that port.
fn observed(fixture: &Fixture) -> (Running, u16) {
    let mut command = fixture.command(&run_to("out"));
    command.env("T3B_METRICS_ADDRESS", "0").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("metrics endpoint")).expect("the endpoint is told");
    let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
    // What else is said must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), port)
}

#[test]
fn the_endpoint_answers_one_question_and_one_client_cannot_hold_it() {
    let fixture = Fixture::new();
    long(&fixture, 1500);
    let (_run, port) = observed(&fixture);
    // More silent clients than connections it keeps at once: each is sent away in its time, and the question is answered.
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let (status, text) = get(port, "/metrics").unwrap();
    assert!(status == 200 && text.contains("t3b_pairs_total"), "{status}: {text}");
    drop(silent);
    assert_eq!(get(port, "/").unwrap().0, 404);
    assert_eq!(get(port, "/metrics/../etc").unwrap().0, 404);
    assert_eq!(ask(port, "POST /metrics HTTP/1.0\r\ncontent-length: 0\r\n\r\n").unwrap().0, 405);
    let long_head = format!("GET /metrics HTTP/1.0\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_ne!(ask(port, &long_head).map(|(status, _)| status), Some(200));
    assert_eq!(get(port, "/metrics").unwrap().0, 200, "nonsense of one client is no other's");
}

#[test]
fn a_real_prometheus_scrapes_a_run_and_answers() {
    let (Some(prometheus), fixture) = (program("prometheus"), Fixture::new()) else { return };
    long(&fixture, 1500);
    let (mut run, port) = observed(&fixture);
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: t3b\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
    );
    fs::write(fixture.path("prometheus.yml"), config).unwrap();
    let web = free_port();
    let mut command = Command::new(prometheus);
    command.current_dir(fixture.path("")).arg("--config.file=prometheus.yml");
    command.arg("--storage.tsdb.path=tsdb").arg(format!("--web.listen-address=127.0.0.1:{web}"));
    let _server = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let questions = [
        "t3b_pairs_total>0",
        "rate(t3b_stage_busy_seconds_total{stage=%22score%22}[5s])>0",
        "histogram_quantile(0.9,sum(rate(t3b_store_operation_duration_seconds_bucket{operation=%22read%22}[5s]))by(le))>0",
        "histogram_quantile(0.5,sum(t3b_lambda_bucket)by(le))>0",
        "t3b_queue_capacity_messages{queue=%22batches%22}==2",
    ];
    let started = Instant::now();
    for question in questions {
        loop {
            let answer = get(web, &format!("/api/v1/query?query={question}"));
            let answer = answer.and_then(|(_, body)| serde_json::from_str::<serde_json::Value>(&body).ok());
            let is_answered = answer.as_ref().is_some_and(|answer| {
                answer["data"]["result"].as_array().is_some_and(|series| {
                    series
                        .iter()
                        .any(|one| one["metric"]["pipeline"] == "fixture" || one["metric"]["job"].is_null())
                })
            });
            if is_answered {
                break;
            }
            assert!(run.0.try_wait().unwrap().is_none(), "{question}: the run ended before: {answer:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    println!(
        "{} questions answered {:.1} s after the start",
        questions.len(),
        started.elapsed().as_secs_f64()
    );
}
