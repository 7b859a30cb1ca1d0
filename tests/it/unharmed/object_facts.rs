//! Facts about objects that only a store knows: archived, or another version at every read.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::{Fixture, N_IMAGES};
use crate::tables::table;
use crate::web::{Answer, Web};

/// A place of the image that is read in several ranges.
const BIG: &str = "images/big.png";

/// The fixture's archive with a manifest of names alone and one more image of more than one range.
fn with_a_big_image() -> Fixture {
    let fixture = Fixture::new();
    let mut state = 12_345_u32;
    let noise = image::RgbImage::from_fn(640, 640, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, a, b, c] = state.to_le_bytes();
        image::Rgb([a, b, c])
    });
    noise.save(fixture.path("archive").join(BIG)).unwrap();
    assert!(fs::metadata(fixture.path("archive").join(BIG)).unwrap().len() > 1 << 20);
    let path = fixture.path("archive/manifest.csv");
    let manifest = fs::read_to_string(&path).unwrap();
    let uris = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap());
    let bare: String = ["uri"].into_iter().chain(uris).chain([BIG]).map(|uri| format!("{uri}\n")).collect();
    fs::write(&path, bare).unwrap();
    fixture
}

/// Runs over the web server whose `big.png` has the version that `version` gives for each GET.
fn run(fixture: &Fixture, out: &str, is_conditional: bool, version: fn(usize) -> usize) -> usize {
    let n_gets = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&n_gets);
    let (web, _) = Web::start(&fixture.path(""), move |asked| {
        if asked.method != "GET" || !asked.path.ends_with(BIG) {
            return Answer::Serve;
        }
        let tag = format!("\"v{}\"", version(counted.fetch_add(1, SeqCst)));
        Answer::Version { tag, is_conditional }
    });
    let http = [("input.root", &*web.url("archive")), ("store.allow_http", "true"), ("fetch.range_mib", "1")];
    fixture.run(out, &http).unwrap();
    n_gets.load(SeqCst)
}

#[test]
fn an_object_that_changes_while_it_is_read_is_read_again() {
    let fixture = with_a_big_image();
    fixture.run("out", &[]).unwrap();
    for (out, is_conditional) in [("kept", true), ("ignored", false)] {
        // The first range is already of the second version.
        let n_gets = run(&fixture, out, is_conditional, |n| n.min(1));
        assert!(fixture.published(out) == fixture.published("out"), "conditions {out}");
        assert!(n_gets > 3, "{n_gets} requests");
    }
}

#[test]
fn an_object_that_changes_at_every_read_is_quarantined_and_never_mixed() {
    let fixture = with_a_big_image();
    for (out, is_conditional) in [("kept", true), ("ignored", false)] {
        run(&fixture, out, is_conditional, |n| n);
        let quarantine = table(&fixture.path(out), "quarantine");
        assert_eq!(quarantine.text("reason_code"), ["source_changed"], "conditions {out}");
        assert_eq!(quarantine.text("manifest_row"), [N_IMAGES.to_string()]);
    }
}

#[test]
fn a_weak_tag_is_not_taken_for_a_change() {
    let fixture = with_a_big_image();
    fixture.run("out", &[]).unwrap();
    let (web, _) = Web::start(&fixture.path(""), |asked| {
        let is_conditional = asked.if_match.is_some();
        assert!(!is_conditional || !asked.path.ends_with(BIG), "a weak tag never matches");
        Answer::Version { tag: "W/\"1\"".to_owned(), is_conditional }
    });
    let http = [("input.root", &*web.url("archive")), ("store.allow_http", "true"), ("fetch.range_mib", "1")];
    fixture.run("weak", &http).unwrap();
    assert!(fixture.published("weak") == fixture.published("out"));
}

#[test]
fn an_archived_object_is_quarantined_and_others_without_a_right_are_not() {
    let fixture = Fixture::new();
    let refused =
        "<?xml version=\"1.0\"?><Error><Code>InvalidObjectState</Code><Message>SECRET</Message></Error>";
    let denied = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>InvalidObjectState</Message></Error>";
    for (body, code) in [(refused, 0), (denied, 77)] {
        let (web, _) = Web::start(&fixture.path(""), move |asked| {
            let is_cold = asked.path.contains("images/00003");
            if is_cold { Answer::Status("403 Forbidden", "", body) } else { Answer::Serve }
        });
        let endpoint = format!("store.endpoint=http://127.0.0.1:{}", web.port);
        let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--output", "cold"];
        let set = ["--set", &endpoint, "--set", "store.allow_http=true", "--set", "input.root=s3://archive"];
        let said = fixture
            .command(&[&run[..], &set[..]].concat())
            .env("AWS_ACCESS_KEY_ID", "k")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap();
        let told =
            [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert_eq!(said.status.code(), Some(code), "{told}");
        assert!(!told.contains("SECRET") && !told.contains("images/00003"), "{told}");
        if code == 0 {
            let quarantine = table(&fixture.path("cold"), "quarantine");
            assert_eq!(quarantine.text("reason_code"), ["archived_object"]);
            std::fs::remove_dir_all(fixture.path("cold")).unwrap();
        }
    }
}
