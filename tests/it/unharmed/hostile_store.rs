//! Stores that lie: the right bytes, a row of the quarantine or a store error, and never a wrong row.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::liar::{Liar, Lie};
use crate::peers::Peer;
use crate::s3_server::Front;
use crate::support::{Fixture, run_to};
use crate::tables::table;
use crate::web::{Answer, Asked, Web};

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

fn run(peer: &Peer, fixture: &Fixture, port: u16) -> Output {
    let mut command = peer.command(fixture, &run_to("s3://tables/night"));
    command.env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{port}")).env("T3B_STORE_MAX_RETRIES", "1");
    command.output().unwrap()
}

#[test]
fn an_s3_server_that_lies_makes_no_wrong_row() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let reference = fixture.published("out");
    let mut ends = BTreeMap::new();
    let all = Lie::OF_LISTINGS.into_iter().chain(Lie::OF_OBJECTS);
    let few = [Lie::ListEmpty, Lie::ListPage, Lie::PutFull, Lie::GetSwapped, Lie::GetPart];
    for lie in all.filter(|lie| crate::process::is_full() || few.contains(lie)) {
        let peer = Peer::s3(Front::Locked);
        peer.stock(&fixture);
        let liar = Liar::start(peer.port, lie);
        let first = run(&peer, &fixture, liar.port);
        let code = first.status.code().unwrap_or(-1);
        assert!([0, 3, 65, 69, 74, 77].contains(&code), "{lie:?}: {}", told(&first));
        let is_about_images = [Lie::GetPart, Lie::GetError].contains(&lie);
        if code == 0 {
            assert!(peer.published("night") == reference, "{lie:?}: other tables");
        } else if !is_about_images {
            assert!(told(&first).contains("error["), "{lie:?}: {}", told(&first));
        }
        eprintln!("hostile S3: {lie:?} ended with {code}");
        ends.insert(format!("{lie:?}"), code);
        if lie == Lie::GetError {
            // The bytes are what the store says they are: not a picture, so every row is in the quarantine.
            assert!(code == 0 || code == 3 || code == 74, "{}", told(&first));
            continue;
        }
        liar.be_honest();
        let again = run(&peer, &fixture, liar.port);
        assert_eq!(again.status.code(), Some(0), "{lie:?}, then honest: {}", told(&again));
        assert!(peer.published("night") == reference, "{lie:?}, then honest: other tables");
    }
    eprintln!("hostile S3: {} modes (13 in the full form): {ends:?}, 0 wrong rows", ends.len());
}

#[test]
fn a_listing_that_lies_is_never_a_short_manifest() {
    let fixture = Fixture::new();
    let peer = Peer::s3(Front::Locked);
    peer.stock(&fixture);
    for lie in Lie::OF_LISTINGS {
        let liar = Liar::start(peer.port, lie);
        let mut command = peer.command(&fixture, &["manifest", "build", "s3://archive/blood", "-o", "m.csv"]);
        command
            .env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{}", liar.port))
            .env("T3B_STORE_MAX_RETRIES", "1");
        let said = command.output().unwrap();
        let code = said.status.code().unwrap_or(-1);
        assert!([65, 74, 77].contains(&code), "{lie:?}: {code} {}", told(&said));
        assert!(!fixture.path("m.csv").exists(), "{lie:?}");
    }
}

/// Not a lie, but keys that a bucket can have and a folder cannot: `odd//x.png`.
#[test]
fn keys_with_empty_segments_cost_their_folder_and_not_the_listing() {
    let fixture = Fixture::new();
    let peer = Peer::s3(Front::Locked);
    peer.stock(&fixture);
    let image = fixture.files("archive").into_iter().find(|(name, _)| name.ends_with(".png")).unwrap().1;
    peer.put("archive/blood/odd/x.png", image);
    let liar = Liar::start(peer.port, Lie::ListNameless);
    let mut command = peer.command(&fixture, &["manifest", "build", "s3://archive/blood", "-o", "m.csv"]);
    command.env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{}", liar.port));
    let said = command.output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", told(&said));
    assert!(told(&said).contains("refused: object_refused 1"), "{}", told(&said));
    let manifest = fs::read_to_string(fixture.path("m.csv")).unwrap();
    let refused: Vec<&str> = manifest.lines().filter(|line| line.contains("object_refused")).collect();
    assert_eq!(refused.len(), 1, "{manifest}");
    assert!(refused[0].contains("a folder with a name that no key can be"), "{refused:?}");
    assert!(manifest.lines().count() > 30, "the others are listed: {manifest}");
}

/// The signals of a run's one sample in the clean cell, if it was scored.
fn signals(fixture: &Fixture, out: &str) -> Vec<String> {
    table(&fixture.path(out), "signals").text("js_nats")
}

/// How the web server answers reads of the picture whose two versions alternate.
#[derive(Debug, Clone, Copy)]
enum Web2 {
    NoTag,
    NoTagNoDate,
    OtherTags,
    UnaskedPart,
    WholeForRange,
    OtherRange,
    Empty,
    Page,
    Cut,
    Long,
}

fn raw(asked: &Asked, mode: Web2, versions: &[Vec<u8>; 2], n: usize) -> Answer {
    let bytes = &versions[n % 2];
    let dated = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let tag = format!("ETag: \"v{}\"\r\n", n % 2);
    let head = |status: &str, more: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n")
    };
    let ranged = |more: &str, shift: usize| {
        let (status, body, place) = match asked.range {
            Some((start, end)) if start < bytes.len() => {
                let end = end.min(bytes.len() - 1);
                let place =
                    format!("Content-Range: bytes {}-{}/{}\r\n", start + shift, end + shift, bytes.len());
                ("206 Partial Content", &bytes[start..=end], place)
            }
            _ => ("200 OK", &bytes[..], String::new()),
        };
        (head(status, &format!("{more}{place}"), body.len()), body.to_vec())
    };
    let (head, body) = match mode {
        Web2::NoTag => ranged(dated, 0),
        Web2::NoTagNoDate => ranged("", 0),
        Web2::OtherTags => ranged(&format!("{dated}{tag}"), 0),
        Web2::UnaskedPart if asked.range.is_none() => {
            let place = format!("{dated}ETag: \"x\"\r\nContent-Range: bytes 0-99/{}\r\n", bytes.len());
            (head("206 Partial Content", &place, 100), bytes[..100].to_vec())
        }
        Web2::UnaskedPart => ranged(&format!("{dated}ETag: \"x\"\r\n"), 0),
        Web2::WholeForRange => {
            (head("200 OK", &format!("{dated}ETag: \"x\"\r\n"), bytes.len()), bytes.clone())
        }
        Web2::OtherRange => ranged(&format!("{dated}ETag: \"x\"\r\n"), 7),
        Web2::Empty => (head("200 OK", dated, 0), Vec::new()),
        Web2::Page => (head("200 OK", dated, 26), b"<html>Please log in</html>".to_vec()),
        Web2::Cut => (
            head("200 OK", &format!("{dated}Connection: close\r\n"), bytes.len()),
            bytes[..bytes.len() / 2].to_vec(),
        ),
        Web2::Long => (head("200 OK", dated, bytes.len() - 9), bytes.clone()),
    };
    let body = if asked.method == "HEAD" { Vec::new() } else { body };
    Answer::Raw([head.into_bytes(), body].concat(), matches!(mode, Web2::Cut | Web2::Long))
}

#[test]
fn a_web_server_that_lies_gives_one_version_or_none() {
    let fixture = Fixture::new();
    let versions = [tiff(10), tiff(240)];
    fs::write(fixture.path("archive/manifest.csv"), "uri\nbig.tif\n").unwrap();
    let mut known = Vec::new();
    for (n, version) in versions.iter().enumerate() {
        fs::write(fixture.path("archive/big.tif"), version).unwrap();
        let out = format!("version{n}");
        fixture.run(&out, &[("fetch.range_mib", "1")]).unwrap();
        known.push(signals(&fixture, &out));
    }
    assert_ne!(known[0], known[1], "the versions differ");
    assert!(!known[0].is_empty());
    let modes = [
        Web2::NoTag,
        Web2::NoTagNoDate,
        Web2::OtherTags,
        Web2::UnaskedPart,
        Web2::WholeForRange,
        Web2::OtherRange,
        Web2::Empty,
        Web2::Page,
        Web2::Cut,
        Web2::Long,
    ];
    let mut ends = BTreeMap::new();
    for mode in modes {
        let (n, both) = (Arc::new(AtomicUsize::new(0)), versions.clone());
        let (web, _) = Web::start(&fixture.path(""), move |asked| {
            if asked.path.ends_with("big.tif") {
                raw(asked, mode, &both, n.fetch_add(1, SeqCst))
            } else {
                Answer::Serve
            }
        });
        let out = format!("{mode:?}");
        let root = web.url("archive");
        let set = [
            ("input.root", &*root),
            ("store.allow_http", "true"),
            ("fetch.range_mib", "1"),
            ("store.max_retries", "1"),
            ("store.operation_deadline_s", "10"),
        ];
        let end = match fixture.run(&out, &set) {
            Err(error) => {
                assert_eq!(error.exit(), t3b::error::Exit::StoreIo, "{mode:?}: {error}");
                "store error".to_owned()
            }
            Ok(_) => match signals(&fixture, &out) {
                rows if rows.is_empty() => {
                    table(&fixture.path(&out), "quarantine").text("reason_code")[0].clone()
                }
                rows => {
                    assert!(known.contains(&rows), "{mode:?}: a mix of two versions was scored");
                    "one version".to_owned()
                }
            },
        };
        ends.insert(out, end);
    }
    eprintln!("hostile HTTP: {ends:?}, 0 wrong rows");
}

/// An uncompressed TIFF of over a megabyte, the same size whatever its grey level.
fn tiff(level: u8) -> Vec<u8> {
    let (width, height) = (700_u32, 700_u32);
    let pixels = vec![level; 3 * 700 * 700];
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    let n_bytes = u32::try_from(pixels.len()).unwrap();
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + 2 + 9 * 12 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4 + 6),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, n_bytes),
    ];
    tiff.extend(9_u16.to_le_bytes());
    for (tag, kind, count, value) in entries {
        tiff.extend(tag.to_le_bytes());
        tiff.extend(kind.to_le_bytes());
        tiff.extend(count.to_le_bytes());
        tiff.extend(value.to_le_bytes());
    }
    tiff.extend(0_u32.to_le_bytes());
    [8_u16; 3].iter().for_each(|bits| tiff.extend(bits.to_le_bytes()));
    tiff.extend(pixels);
    tiff
}
