//! A moto server (S3 in memory) on a free loopback port, ended with the test.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::s3_server;
use crate::server::Server;
use crate::support::{Fixture, python};

/// The server.
pub struct Moto {
    _server: Server,
    /// Where it listens.
    pub port: u16,
}

impl Moto {
    /// Starts it, or `None` where the Python peers are not set up.
    pub fn start() -> Option<Self> {
        let mut command = Command::new(python()?);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        let server = Server::start(&mut command, "Running on http://127.0.0.1:")?;
        Some(Self { port: server.port, _server: server })
    }

    /// Puts an object, or makes a bucket when `body` is empty; the server checks no signature.
    pub fn put(&self, path: &str, body: &[u8]) {
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

    /// Buckets `archive` with the fixture's archive below `blood/`, and `tables`.
    pub fn stock(&self, fixture: &Fixture) {
        self.put("archive", b"");
        self.put("tables", b"");
        let manifest = std::fs::read(fixture.path("archive/manifest.csv")).unwrap();
        for line in String::from_utf8_lossy(&manifest).lines().skip(1) {
            let uri = line.split(',').next().unwrap();
            let image = std::fs::read(fixture.path("archive").join(uri)).unwrap();
            self.put(&format!("archive/blood/{uri}"), &image);
        }
        self.put("archive/blood/manifest.csv", &manifest);
    }

    /// The binary reading `archive` and writing `s3://tables/<prefix>`, through the server at `port`.
    pub fn command(fixture: &Fixture, port: u16, prefix: &str, more: &[&str]) -> Command {
        let (endpoint, output) =
            (format!("store.endpoint=http://127.0.0.1:{port}"), format!("s3://tables/{prefix}"));
        let args = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--set", &endpoint];
        let places = ["--set", "store.allow_http=true", "--set", "input.root=s3://archive/blood", "--output"];
        let mut command = fixture.command(&[&args[..], &places[..], &[&output], more].concat());
        command
            .env("AWS_ACCESS_KEY_ID", "k")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1");
        command
    }

    /// Marks a prefix of `tables` as probed, so that the probe's 360 requests are not part of every case.
    pub fn mark_probed(&self, prefix: &str) {
        self.put(&format!("tables/{prefix}/_t3b/probe/passed.json"), b"{}");
    }

    /// Bytes of every promised object below `s3://tables/<prefix>`, by path below `tables/`.
    pub fn published(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        crate::peers::published(&s3_server::client(self.port, "tables"), prefix)
    }
}
