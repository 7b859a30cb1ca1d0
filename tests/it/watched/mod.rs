//! Whoever is on call sees what a run does, in the forms of the field.

/// What is shipped to install and to schedule it, by the programs that will read it.
mod deployed;
/// OpenLineage and Dagster Pipes, by their own packages.
mod events;
/// The text that Prometheus reads: from a file, from the endpoint, by a real Prometheus.
mod metrics;
/// What each stage did with its time.
mod profile;
/// Spans, as a collector takes them.
mod traces;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A program of the system, or `None` with a line that says what is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// One request and its answer: status and body; `None` where nobody listens.
fn ask(port: u16, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// `GET` of a path.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    ask(port, &format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n"))
}

/// Runs a program over a text; whether it ends well, and what it says.
fn fed(command: &mut Command, text: &str) -> (bool, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    (said.status.success(), text)
}

/// Heads and bodies of what was posted.
type Posts = Arc<Mutex<Vec<(String, String)>>>;

/// A server that takes every post to the end of the test. What a process was answered for is there when it has ended.
pub(crate) fn collector() -> (u16, Posts) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, posts) = (listener.local_addr().unwrap().port(), Posts::default());
    let kept = Arc::clone(&posts);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            kept.lock().unwrap().push(posted(&mut stream));
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    });
    (port, posts)
}

/// Head and body of one request.
fn posted(stream: &mut TcpStream) -> (String, String) {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).unwrap();
        text.extend_from_slice(&piece[..n]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().split("content-length: ").nth(1).unwrap().to_owned();
        if body.len() >= length.lines().next().unwrap().trim().parse().unwrap() {
            return (head.to_owned(), body.to_owned());
        }
    }
}
