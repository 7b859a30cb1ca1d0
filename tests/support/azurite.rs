//! Azurite, Microsoft's emulator of Azure's blob store, in memory on a free loopback port, ended with the test.
//!
//! `tests/support/setup.sh` installs it; it is started as
//! `azurite-blob --inMemoryPersistence --blobHost 127.0.0.1 --blobPort 0 --skipApiVersionCheck`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::server::Server;
use crate::support::repo;

/// The account it knows.
pub const ACCOUNT: &str = "t3b";
/// The account's key: 32 zeros, in base64.
pub const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The server.
pub struct Azurite {
    _server: Server,
    /// Where it listens.
    pub port: u16,
}

impl Azurite {
    /// Starts it with empty containers of these names, or `None` where it is not set up.
    pub fn start(containers: &[&str]) -> Option<Self> {
        let program = repo(".cache/azurite/node_modules/.bin/azurite-blob");
        if !program.exists() {
            eprintln!("skipped: run tests/support/setup.sh for Azurite");
            return None;
        }
        let place = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0"];
        let mut command = Command::new(program);
        command.args(place).args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
        let server = Server::start(&mut command, "successfully listens on")?;
        let azurite = Self { port: server.port, _server: server };
        containers.iter().for_each(|name| azurite.make(name));
        Some(azurite)
    }

    /// Makes a container, signed with the account's key: the client makes none.
    fn make(&self, container: &str) {
        let (date, version) =
            (chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string(), "2021-08-06");
        let place = format!("/{ACCOUNT}/{container}");
        // Eleven headers that a signature covers and this request lacks.
        let empty = "\n".repeat(12);
        let signed = format!(
            "PUT{empty}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}{place}\nrestype:container"
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&[0; 32]).unwrap();
        mac.update(signed.as_bytes());
        let signature = base64(&mac.finalize().into_bytes());
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "PUT {place}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-date: {date}\r\nx-ms-version: {version}\r\nAuthorization: SharedKey {ACCOUNT}:{signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            three.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digit = |n: usize| char::from(DIGITS[(number >> (18 - 6 * n)) as usize & 63]);
        text.extend((0..4).map(|n| if n <= three.len() { digit(n) } else { '=' }));
    }
    text
}
