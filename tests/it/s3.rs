use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::support::{Fixture, python};

/// A moto server on a free loopback port, ended with the test.
struct Moto {
    child: Child,
    port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Moto {
    fn start() -> Option<Self> {
        let python = python()?;
        let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"];
        let child =
            Command::new(python).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut moto = Self { child, port: 0 };
        let mut lines = BufReader::new(moto.child.stderr.take()?).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("Running on http://127.0.0.1:"))?;
        moto.port = line.rsplit(':').next()?.trim().parse().ok()?;
        std::thread::spawn(move || lines.for_each(drop));
        Some(moto)
    }

    /// Puts an object, or makes a bucket when `body` is empty; the server checks no signature.
    fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "PUT /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn an_s3_archive_gives_the_same_tables_as_the_folder() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.put("archive", b"");
    moto.put("tables", b"");
    let manifest = std::fs::read(fixture.path("archive/manifest.csv")).unwrap();
    for line in String::from_utf8_lossy(&manifest).lines().skip(1) {
        let uri = line.split(',').next().unwrap();
        moto.put(&format!("archive/blood/{uri}"), &std::fs::read(fixture.path("archive").join(uri)).unwrap());
    }
    moto.put("archive/blood/manifest.csv", &manifest);

    let endpoint = format!("store.endpoint=http://127.0.0.1:{}", moto.port);
    let t3b = |args: &[&str]| {
        let said = fixture
            .command(args)
            .env("AWS_ACCESS_KEY_ID", "k")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let common = [
        "run",
        "pipeline.toml",
        "--run-id",
        "r",
        "--run-date",
        "2026-01-02",
        "--set",
        &endpoint,
        "--set",
        "store.allow_http=true",
        "--set",
        "input.root=s3://archive/blood",
    ];
    t3b(&[&common[..], &["--output", "from-s3"]].concat());
    fixture.run("out", &[]).unwrap();
    assert!(fixture.published("from-s3") == fixture.published("out"), "read from S3");

    let to_s3 = [&common[..], &["--output", "s3://tables/night"]].concat();
    let first = t3b(&to_s3);
    assert!(first.contains("s3://tables/night/tables/"), "{first}");
    assert!(t3b(&to_s3).contains("already complete: nothing to do, 0 objects written"));
}
