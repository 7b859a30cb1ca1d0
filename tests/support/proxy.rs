//! A loopback HTTP proxy that spoils some exchanges: one thread and one upstream connection per request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::faults::Dice;

/// What is done to an exchange that is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    Latency,
    Rate,
    ResetBefore,
    ResetAfterApply,
    TruncateBody,
    BlackHole,
    SlowClose,
    Unavailable,
    TooMany,
    ErrorAfterApply,
    ConflictUnapplied,
    FlipByte,
}

impl Toxic {
    /// All twelve.
    pub const ALL: [Self; 12] = [
        Self::Latency,
        Self::Rate,
        Self::ResetBefore,
        Self::ResetAfterApply,
        Self::TruncateBody,
        Self::BlackHole,
        Self::SlowClose,
        Self::Unavailable,
        Self::TooMany,
        Self::ErrorAfterApply,
        Self::ConflictUnapplied,
        Self::FlipByte,
    ];
}

/// Which requests may be hit, and how many of a hundred.
#[derive(Debug, Clone, Copy)]
pub struct Dose {
    pub toxic: Toxic,
    pub writes: bool,
    pub percent: u64,
}

/// The proxy; its listener ends with it.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    n_hits: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // Wakes the listener, so that its thread sees the end.
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Proxy {
    /// Listens in front of `upstream`.
    pub fn start(upstream: u16, dose: Dose, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (n_hits, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let dice = Arc::new(Mutex::new(Dice::new(seed)));
        let (hits, over) = (Arc::clone(&n_hits), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let (dice, hits) = (Arc::clone(&dice), Arc::clone(&hits));
                // A connection that breaks is what the proxy is for.
                std::thread::spawn(move || drop(exchange(client, upstream, dose, &dice, &hits)));
            }
        });
        Self { port, n_hits, is_over }
    }

    /// Exchanges that were spoiled.
    pub fn n_hits(&self) -> u64 {
        self.n_hits.load(SeqCst)
    }
}

fn exchange(
    mut client: TcpStream,
    upstream: u16,
    dose: Dose,
    dice: &Mutex<Dice>,
    hits: &AtomicU64,
) -> std::io::Result<()> {
    let Some(request) = read_message(&mut client)? else { return Ok(()) };
    let is_write = request.starts_with(b"PUT");
    // Only images have a hash that somebody else vouches for; a manifest is taken at its word.
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let is_image = line.contains(".png") || line.contains(".jpg");
    let is_open = dose.toxic != Toxic::FlipByte || is_write || is_image;
    let is_hit = is_open && is_write == dose.writes && dice.lock().unwrap().below(100) < dose.percent;
    let forward = || -> std::io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
        server.write_all(&closing(&request))?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(closing(&answer))
    };
    if !is_hit {
        return client.write_all(&forward()?);
    }
    hits.fetch_add(1, SeqCst);
    let error = |status: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    match dose.toxic {
        Toxic::Latency => {
            // The one place where a test waits by the clock: waiting is the fault.
            std::thread::sleep(Duration::from_millis(dice.lock().unwrap().below(400)));
            client.write_all(&forward()?)
        }
        Toxic::Rate => {
            for piece in forward()?.chunks(1024) {
                client.write_all(piece)?;
                std::thread::sleep(Duration::from_millis(16));
            }
            Ok(())
        }
        Toxic::ResetBefore => client.shutdown(Shutdown::Both),
        Toxic::ResetAfterApply => {
            forward()?;
            client.shutdown(Shutdown::Both)
        }
        Toxic::TruncateBody => {
            let answer = forward()?;
            client.write_all(&answer[..answer.len() - answer.len() / 4])
        }
        // Held open until the client gives up.
        Toxic::BlackHole => client.read_to_end(&mut Vec::new()).map(drop),
        Toxic::SlowClose => {
            client.write_all(&forward()?)?;
            client.read_to_end(&mut Vec::new()).map(drop)
        }
        Toxic::Unavailable => client.write_all(&error("503 Slow Down")),
        Toxic::TooMany => client.write_all(&error("429 Too Many Requests")),
        Toxic::ErrorAfterApply => {
            forward()?;
            client.write_all(&error("500 Internal Server Error"))
        }
        Toxic::ConflictUnapplied => client.write_all(&error("409 Conflict")),
        Toxic::FlipByte if is_write => {
            let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
            server.write_all(&closing(&flipped(request, dice)))?;
            let mut answer = Vec::new();
            server.read_to_end(&mut answer)?;
            client.write_all(&closing(&answer))
        }
        Toxic::FlipByte => client.write_all(&flipped(forward()?, dice)),
    }
}

/// One message with the body its head announces; `None` when the peer has nothing more to say.
pub fn read_message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let (mut message, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(head) = head_len(&message) {
            let text = String::from_utf8_lossy(&message[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if message.len() >= head + length.unwrap_or(0_usize) {
                return Ok(Some(message));
            }
        }
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Ok(None);
        }
        message.extend_from_slice(&piece[..n]);
    }
}

/// The message with one bit of its body flipped.
fn flipped(mut message: Vec<u8>, dice: &Mutex<Dice>) -> Vec<u8> {
    let (body, len) = (head_len(&message).unwrap_or(0), message.len());
    if body < len {
        let place = dice.lock().unwrap().below((len - body) as u64);
        message[body + usize::try_from(place).unwrap()] ^= 1;
    }
    message
}

fn head_len(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|four| four == b"\r\n\r\n").map(|place| place + 4)
}

/// The message with `Connection: close`, so that every exchange has a connection of its own.
pub fn closing(message: &[u8]) -> Vec<u8> {
    let Some(head) = head_len(message) else { return message.to_vec() };
    let text = String::from_utf8_lossy(&message[..head - 2]);
    let lines = text.lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
    let head_text: String = lines.map(|line| format!("{line}\r\n")).collect();
    [head_text.as_bytes(), b"Connection: close\r\n\r\n", &message[head..]].concat()
}
