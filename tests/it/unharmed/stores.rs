//! The same tables from every kind of store, archive and output both on it.
//!
//! An emulator proves the client's logic, not the guarantees of a cloud.

use std::process::Output;

use crate::peers::Peer;
use crate::s3_server::Front;
use crate::support::Fixture;

fn run(peer: &Peer, fixture: &Fixture) -> Output {
    run_into(peer, fixture, &format!("{}://tables/night", peer.scheme))
}

fn run_into(peer: &Peer, fixture: &Fixture, output: &str) -> Output {
    let args = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--output", output];
    peer.command(fixture, &args).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs from the store to a folder, and to the store, twice; lists and verifies it; the tables are those of the folder.
fn gives_the_tables_of_the_folder(peer: &Peer) {
    let fixture = Fixture::new();
    peer.stock(&fixture);
    fixture.run("out", &[]).unwrap();
    assert!(fixture.t3b(&["manifest", "build", "archive", "-o", "here.csv"]).status.success());
    // Whoever still reads the folder finds nothing.
    std::fs::remove_dir_all(fixture.path("archive")).unwrap();
    let here = run_into(peer, &fixture, "from-store");
    assert!(here.status.success(), "{}", told(&here));
    assert!(fixture.published("from-store") == fixture.published("out"), "read from the store");
    let first = run(peer, &fixture);
    assert!(first.status.success(), "{}", told(&first));
    assert!(told(&first).contains(&format!("{}://tables/night/tables/", peer.scheme)), "{}", told(&first));
    assert!(peer.published("night") == fixture.published("out"));

    let again = told(&run(peer, &fixture));
    assert!(again.contains("already complete: nothing to do, 0 objects written"), "{again}");
    let uri = format!("{}://tables/night/_t3b/runs/r", peer.scheme);
    let verified = peer.command(&fixture, &["verify", &uri]).output().unwrap();
    assert!(verified.status.success(), "{}", told(&verified));

    let archive = format!("{}://archive/blood", peer.scheme);
    let built = peer.command(&fixture, &["manifest", "build", &archive, "-o", "there.csv"]).output().unwrap();
    assert!(built.status.success(), "{}", told(&built));
    let read = |name| std::fs::read_to_string(fixture.path(name)).unwrap();
    assert_eq!(read("there.csv"), read("here.csv"));
}

#[test]
fn s3_that_checks_signatures_gives_the_tables_of_the_folder() {
    gives_the_tables_of_the_folder(&Peer::s3(Front::Locked));
}

#[test]
fn moto_gives_the_tables_of_the_folder() {
    let Some(moto) = Peer::moto() else { return };
    // Its creates look and write in two steps, which a loaded machine shows; the probe is for the others to pass.
    moto.put("tables/night/_t3b/probe/passed.json", b"{}".to_vec());
    gives_the_tables_of_the_folder(&moto);
}

#[test]
fn azurite_gives_the_tables_of_the_folder() {
    let Some(azure) = Peer::azure() else { return };
    gives_the_tables_of_the_folder(&azure);
}

/// A smoke test of paths and of the create-only header. The server behind it is no GCS: it has no generations, checks no
/// signature, and its conditions are those of S3.
#[test]
fn smoke_gcs_paths_and_creates_against_a_dialect_of_s3() {
    gives_the_tables_of_the_folder(&Peer::gcs_headers());
}

/// The control of the lock in the tests above: the same server without it is refused, and nothing but the probe was written.
#[test]
fn s3_whose_creates_race_is_refused_as_output() {
    let (peer, fixture) = (Peer::s3(Front::Bare), Fixture::new());
    peer.stock(&fixture);
    let refused = run(&peer, &fixture);
    assert_eq!(refused.status.code(), Some(69), "{}", told(&refused));
    assert!(told(&refused).contains("S001"), "{}", told(&refused));
    assert!(peer.published("night").is_empty());
}

#[test]
fn a_wrong_secret_is_77_and_not_shown() {
    let (mut peer, fixture) = (Peer::s3(Front::Locked), Fixture::new());
    peer.stock(&fixture);
    peer.env.push(("AWS_SECRET_ACCESS_KEY", "WRONG-SECRET".to_owned()));
    let refused = run(&peer, &fixture);
    assert_eq!(refused.status.code(), Some(77), "{}", told(&refused));
    assert!(!told(&refused).contains("SECRET"), "{}", told(&refused));
}

/// Whether creates are exclusive is not for the environment to decide: a run needs them, and asks for them itself.
#[test]
fn variables_that_would_turn_creates_into_plain_writes_change_nothing() {
    let fixture = Fixture::new();
    for (name, value) in [
        ("AWS_CONDITIONAL_PUT", "disabled"),
        ("AWS_CONDITIONAL_PUT", "etag"),
        ("AWS_CONDITIONAL_PUT", "no such way"),
        ("AWS_DISABLE_TAGGING", "true"),
        ("AWS_COPY_IF_NOT_EXISTS", "header: x: y"),
    ] {
        let mut peer = Peer::s3(Front::Locked);
        peer.env.push((name, value.to_owned()));
        peer.stock(&fixture);
        let said = run(&peer, &fixture);
        assert_eq!(said.status.code(), Some(0), "{name}={value}: {}", told(&said));
        assert!(!peer.published("night").is_empty(), "{name}={value}");
    }
}
