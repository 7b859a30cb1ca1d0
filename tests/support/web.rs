//! A loopback HTTP server over a folder, for reads: GET and HEAD, ranges, versions, and answers that a test makes up.
//!
//! `http://127.0.0.1:<port>/archive` serves the folder's `archive`; so does `s3://archive` with the server as endpoint.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sha2::{Digest, Sha256};

/// One request.
#[derive(Debug)]
pub struct Asked {
    /// `GET`, `HEAD` or what else came.
    pub method: String,
    /// Below the folder.
    pub path: String,
    /// First and last byte, where a range was asked for.
    pub range: Option<(usize, usize)>,
    /// The version asked for.
    pub if_match: Option<String>,
}

/// What a rule makes of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The file.
    Serve,
    /// The file under this `ETag`; `If-Match` is kept, or is not understood.
    Version { tag: String, is_conditional: bool },
    /// These bytes, head and body; with `true` the connection is closed after them.
    Raw(Vec<u8>, bool),
    /// A status line's end, further header lines, and a body.
    Status(&'static str, &'static str, &'static str),
}

/// The server; its listener ends with it.
pub struct Web {
    /// Where it listens.
    pub port: u16,
    is_over: Arc<AtomicBool>,
}

/// What a server had in its hands.
#[derive(Debug, Default)]
pub struct Traffic {
    in_hand: AtomicUsize,
    most_in_hand: AtomicUsize,
}

impl Traffic {
    /// Most requests at once that were read and had no answer yet.
    pub fn most_in_hand(&self) -> usize {
        self.most_in_hand.load(SeqCst)
    }

    fn around<T>(&self, work: impl FnOnce() -> T) -> T {
        let now = self.in_hand.fetch_add(1, SeqCst) + 1;
        self.most_in_hand.fetch_max(now, SeqCst);
        let made = work();
        self.in_hand.fetch_sub(1, SeqCst);
        made
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Web {
    /// Serves `folder`; `rule` is asked on a thread of its connection and may take its time.
    pub fn start(
        folder: &Path,
        rule: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> (Self, Arc<Traffic>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, folder, rule) = (Arc::clone(&is_over), folder.to_path_buf(), Arc::new(rule));
        let traffic = Arc::new(Traffic::default());
        let counted = Arc::clone(&traffic);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let (folder, rule, traffic) = (folder.clone(), Arc::clone(&rule), Arc::clone(&counted));
                std::thread::spawn(move || drop(talk(&client, &folder, &*rule, &traffic)));
            }
        });
        (Self { port, is_over }, traffic)
    }

    /// Serves `folder` as it is.
    pub fn plain(folder: &Path) -> Self {
        Self::start(folder, |_| Answer::Serve).0
    }

    /// URL of a folder below the one that is served.
    pub fn url(&self, folder: &str) -> String {
        format!("http://127.0.0.1:{}/{folder}", self.port)
    }
}

/// Answers the requests of one connection until the client closes it.
fn talk(
    client: &TcpStream,
    folder: &Path,
    rule: &dyn Fn(&Asked) -> Answer,
    traffic: &Traffic,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut lines = BufReader::new(client.try_clone()?).lines().map_while(Result::ok);
    while let Some(asked) = next_request(&mut lines) {
        let (answer, is_last) = traffic.around(|| match rule(&asked) {
            Answer::Raw(bytes, is_last) => (bytes, is_last),
            other => (respond(&asked, folder, other), false),
        });
        (&mut &*client).write_all(&answer)?;
        if is_last {
            return client.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn next_request(lines: &mut impl Iterator<Item = String>) -> Option<Asked> {
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let path = target.split('?').next()?.trim_start_matches('/').to_owned();
    let (mut range, mut if_match) = (None, None);
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
                range = Some((start.parse().ok()?, end.parse().ok()?));
            }
            "if-match" => if_match = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Asked { method, path, range, if_match })
}

fn respond(asked: &Asked, folder: &Path, answer: Answer) -> Vec<u8> {
    let (tag, is_conditional) = match answer {
        Answer::Status(status, headers, body) => return message(asked, status, headers, body.as_bytes()),
        Answer::Raw(bytes, _) => return bytes,
        Answer::Serve => (None, true),
        Answer::Version { tag, is_conditional } => (Some(tag), is_conditional),
    };
    if !["GET", "HEAD"].contains(&asked.method.as_str()) {
        return message(asked, "405 Method Not Allowed", "", b"");
    }
    let Some(bytes) = read(folder, &asked.path) else { return message(asked, "404 Not Found", "", b"") };
    let tag = tag.unwrap_or_else(|| format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..8])));
    if is_conditional && asked.if_match.as_ref().is_some_and(|wanted| *wanted != tag) {
        return message(asked, "412 Precondition Failed", "", b"");
    }
    let dated = format!("ETag: {tag}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
    match asked.range {
        None => message(asked, "200 OK", &dated, &bytes),
        Some((start, _)) if start >= bytes.len() => message(asked, "416 Range Not Satisfiable", "", b""),
        Some((start, end)) => {
            let end = end.min(bytes.len() - 1);
            let place = format!("{dated}Content-Range: bytes {start}-{end}/{}\r\n", bytes.len());
            message(asked, "206 Partial Content", &place, &bytes[start..=end])
        }
    }
}

fn read(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let inside: PathBuf = path.split('/').filter(|part| *part != "..").collect();
    fs::read(folder.join(inside)).ok()
}

fn message(asked: &Asked, status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    let body = if asked.method == "HEAD" { b"" } else { body };
    [head.as_bytes(), body].concat()
}
