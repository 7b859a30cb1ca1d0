//! A loopback proxy in front of an honest S3 server that answers some requests with something else, until it is told to stop.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::proxy::{closing, read_message};

/// What is answered to which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A listing has no bytes.
    ListEmpty,
    /// It is a web page.
    ListPage,
    /// It is an error, with status 200.
    ListError,
    /// It ends in the middle.
    ListCut,
    /// It is well-formed and has nothing in it.
    ListNothing,
    /// It says that there is more and not where.
    ListUnending,
    /// It has 17 MiB.
    ListBomb,
    /// It is forbidden.
    ListForbidden,
    /// The folder `odd` has a folder without a name, as a key with two slashes makes it. Folders of a disk cannot hold one.
    ListNameless,
    /// A write is forbidden.
    PutForbidden,
    /// A write finds no space.
    PutFull,
    /// A read of one part of a table gives another part.
    GetSwapped,
    /// A read gives a part where the whole was asked for.
    GetPart,
    /// A read gives an error, with status 200.
    GetError,
}

impl Lie {
    /// Those about listings.
    pub const OF_LISTINGS: [Self; 8] = [
        Self::ListEmpty,
        Self::ListPage,
        Self::ListError,
        Self::ListCut,
        Self::ListNothing,
        Self::ListUnending,
        Self::ListBomb,
        Self::ListForbidden,
    ];
    /// Those about objects.
    pub const OF_OBJECTS: [Self; 5] =
        [Self::PutForbidden, Self::PutFull, Self::GetSwapped, Self::GetPart, Self::GetError];
}

/// The proxy; its listener ends with it.
pub struct Liar {
    /// Where it listens.
    pub port: u16,
    is_lying: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Liar {
    /// Listens in front of `upstream`.
    pub fn start(upstream: u16, lie: Lie) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_lying, is_over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (lying, over) = (Arc::clone(&is_lying), Arc::clone(&is_over));
        let first_part = Arc::new(Mutex::new(None));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let (lying, first_part) = (Arc::clone(&lying), Arc::clone(&first_part));
                std::thread::spawn(move || {
                    let lie = lying.load(SeqCst).then_some(lie);
                    drop(exchange(client, upstream, lie, &first_part));
                });
            }
        });
        Self { port, is_lying, is_over }
    }

    /// From now on every answer is the server's.
    pub fn be_honest(&self) {
        self.is_lying.store(false, SeqCst);
    }
}

fn exchange(
    mut client: TcpStream,
    upstream: u16,
    lie: Option<Lie>,
    first_part: &Mutex<Option<Vec<u8>>>,
) -> std::io::Result<()> {
    let Some(request) = read_message(&mut client)? else { return Ok(()) };
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    if let Some(answer) = lie.and_then(|lie| made_up(lie, &line)) {
        return client.write_all(&answer);
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    server.write_all(&closing(&request))?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let answer = closing(&answer);
    let is_part = line.starts_with("GET ") && line.contains("tables/predictions/") && line.contains("part-");
    if lie == Some(Lie::GetSwapped) && is_part && answer.starts_with(b"HTTP/1.1 200") {
        let mut kept = first_part.lock().unwrap();
        return client.write_all(kept.get_or_insert(answer));
    }
    client.write_all(&answer)
}

/// The answer to a request that the lie is about.
fn made_up(lie: Lie, line: &str) -> Option<Vec<u8>> {
    let is_list = line.starts_with("GET ") && line.contains("list-type=2");
    // The probe and the plan are asked for first; a lie about images is enough.
    let is_image = line.starts_with("GET ") && line.contains("/images/");
    let xml = |status: &str, body: &str| Some(answer(status, "application/xml", body));
    let begin =
        r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount>"#;
    match lie {
        Lie::ListEmpty if is_list => xml("200 OK", ""),
        Lie::ListPage if is_list => {
            Some(answer("200 OK", "text/html", "<html><body>Please log in</body></html>"))
        }
        Lie::ListError if is_list => {
            xml("200 OK", "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>")
        }
        Lie::ListCut if is_list => xml("200 OK", &begin[..begin.len() - 9]),
        Lie::ListNothing if is_list => {
            xml("200 OK", &format!("{begin}<IsTruncated>false</IsTruncated></ListBucketResult>"))
        }
        Lie::ListUnending if is_list => {
            xml("200 OK", &format!("{begin}<IsTruncated>true</IsTruncated></ListBucketResult>"))
        }
        Lie::ListBomb if is_list => {
            xml("200 OK", &format!("{begin}{}</ListBucketResult>", " ".repeat(17 << 20)))
        }
        Lie::ListNameless if is_list && line.contains("odd") => {
            let nameless = "<CommonPrefixes><Prefix>blood/odd//</Prefix></CommonPrefixes>";
            xml("200 OK", &format!("{begin}<IsTruncated>false</IsTruncated>{nameless}</ListBucketResult>"))
        }
        Lie::ListForbidden if is_list => xml("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"),
        Lie::PutForbidden if line.starts_with("PUT ") => {
            xml("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>")
        }
        Lie::PutFull if line.starts_with("PUT ") => {
            Some(answer("507 Insufficient Storage", "text/plain", ""))
        }
        Lie::GetPart if is_image => Some(answer("206 Partial Content", "image/png", "half a picture")),
        Lie::GetError if is_image => xml("200 OK", "<Error><Code>InternalError</Code></Error>"),
        _ => None,
    }
}

fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let dated = "ETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{dated}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
