//! What a pseudonym is worth: the attack of whoever has the published tables and a listing of the folder, and file rights.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::support::{Fixture, run_to};
use crate::tables::{Columns, table};

const N_NAMES: usize = 64;

/// Ids of these names under a guessed key.
fn ids(names: &[String], secret: &[u8]) -> BTreeSet<String> {
    let mut key = Sha256::new_with_prefix(b"t3b pseudonym key\0");
    key.update(secret);
    let mac = Hmac::<Sha256>::new_from_slice(&key.finalize()).unwrap();
    let id = |name: &String| {
        let mut mac = mac.clone();
        mac.update(name.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    };
    names.iter().map(id).collect()
}

/// How many of the published ids an attacker turns back into names: every way to write the folder's listing as a manifest is
/// tried as the key, and the keys that a forgotten secret would leave.
fn n_reversed(published: &BTreeSet<String>, names: &[String], sizes: &[u64]) -> usize {
    let bare: String = names.iter().map(|name| format!("{name}\n")).collect();
    let sized: String = names.iter().zip(sizes).map(|(name, size)| format!("{name},{size}\n")).collect();
    let guesses = [
        format!("uri\n{bare}"),
        format!("uri\n{bare}").trim_end().to_owned(),
        format!("uri,bytes\n{sized}"),
        bare.clone(),
        String::new(),
        "T3B_PSEUDONYM_KEY".to_owned(),
        hex::encode(Sha256::digest(format!("uri\n{bare}"))),
    ];
    let found = guesses.iter().map(|guess| ids(names, guess.as_bytes()).intersection(published).count());
    found.max().unwrap_or_default()
}

fn texts(row: &Columns) -> String {
    ["spec_json", "spec_sha256", "manifest_hmac_sha256", "name"]
        .map(|column| row.text(column).concat())
        .concat()
}

#[test]
fn tables_and_a_listing_turn_no_id_back_where_the_key_or_the_hashes_are_not_public() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.path("archive")).unwrap();
    t3b::demo::write_archive(&fixture.path("archive"), 7, N_NAMES).unwrap();
    let images = fixture.files("archive");
    let images = images.iter().filter(|(name, _)| name.starts_with("images/"));
    let (names, sizes): (Vec<String>, Vec<u64>) =
        images.map(|(name, bytes)| (name.clone(), bytes.len() as u64)).unzip();
    assert_eq!(names.len(), N_NAMES);
    let bare: String = ["uri".to_owned()].iter().chain(&names).map(|line| format!("{line}\n")).collect();
    fs::write(fixture.path("bare.csv"), &bare).unwrap();
    let built = fixture.t3b(&["manifest", "build", "archive", "--sha256", "-o", "hashed.csv"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let secret = fixture.t3b(&["key", "new"]);
    let secret = String::from_utf8(secret.stdout).unwrap().trim().to_owned();
    for (out, manifest, key, expected) in [
        ("keyed", "bare.csv", Some(&secret), 0),
        ("keyed-hashed", "hashed.csv", Some(&secret), 0),
        ("hashed", "hashed.csv", None, 0),
        // What docs/privacy.md says: a manifest that a listing can rebuild is no secret.
        ("bare", "bare.csv", None, N_NAMES),
    ] {
        let manifest = fixture.path(manifest);
        let set = format!("input.manifest={}", manifest.display());
        let mut command = fixture.command(&run_to(out));
        command.args(["--set", &set]);
        key.map(|key| command.env("T3B_PSEUDONYM_KEY", key));
        let said = command.output().unwrap();
        let warned = String::from_utf8_lossy(&said.stderr).contains("T3B_PSEUDONYM_KEY is not set");
        assert!(said.status.success(), "{out}: {}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(warned, key.is_none(), "a run without a secret says so");
        let published: BTreeSet<String> =
            table(&fixture.path(out), "predictions").text("sample_id").into_iter().collect();
        assert_eq!(published.len(), N_NAMES);
        assert_eq!(n_reversed(&published, &names, &sizes), expected, "{out}");
        // No plain hash of the manifest confirms a guess.
        let plain = hex::encode(Sha256::digest(fs::read(&manifest).unwrap()));
        assert!(!texts(&table(&fixture.path(out), "runs")).contains(&plain), "{out}");
        eprintln!("ids: {out}: {expected} of {N_NAMES} turned back");
    }
}

/// What docs/privacy.md says of small manifests: without a secret a guess at the name is a guess at the key.
#[test]
fn the_id_of_a_manifest_of_one_name_is_worth_its_name_unless_there_is_a_secret() {
    let fixture = Fixture::new();
    let images = fixture.files("archive");
    let guesses: Vec<String> = images.keys().filter(|name| name.starts_with("images/")).cloned().collect();
    fs::write(fixture.path("one.csv"), format!("uri\n{}\n", guesses[7])).unwrap();
    let secret = fixture.t3b(&["key", "new"]);
    let secret = String::from_utf8(secret.stdout).unwrap().trim().to_owned();
    for (out, key, expected) in [("keyed", Some(&secret), 0), ("bare", None, 1)] {
        let set = format!("input.manifest={}", fixture.path("one.csv").display());
        let mut command = fixture.command(&["run", "pipeline.toml", "--run-id", "r", "--output", out]);
        command.args(["--run-date", "2026-01-02", "--set", &set]);
        key.map(|key| command.env("T3B_PSEUDONYM_KEY", key));
        let said = command.output().unwrap();
        assert!(said.status.success(), "{out}: {}", String::from_utf8_lossy(&said.stderr));
        let published: BTreeSet<String> =
            table(&fixture.path(out), "predictions").text("sample_id").into_iter().collect();
        let is_found = |name: &&String| {
            let name = std::slice::from_ref(*name);
            !ids(name, format!("uri\n{}\n", name[0]).as_bytes()).is_disjoint(&published)
        };
        assert_eq!(guesses.iter().filter(is_found).count(), expected, "{out}");
    }
}

#[test]
fn an_empty_or_weak_secret_is_refused_and_not_repeated() {
    let fixture = Fixture::new();
    for secret in ["", " ", "zqxshort", "hex:00", "base64:zqx"] {
        for args in [&["check", "pipeline.toml"][..], &["run", "pipeline.toml"], &["plan", "pipeline.toml"]] {
            let said = fixture.command(args).env("T3B_PSEUDONYM_KEY", secret).output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.code() == Some(78) && text.contains("C021"), "{secret:?} {args:?}: {text}");
            assert!(!text.contains("zqx"), "{text}");
        }
    }
    assert!(!fixture.path("out/tables").exists());
}

#[test]
fn others_may_not_read_what_is_written() {
    let fixture = Fixture::new();
    let mode = |name: &str| fs::metadata(fixture.path(name)).unwrap().permissions().mode() & 0o777;
    assert!(fixture.t3b(&["manifest", "build", "archive", "-o", "m.csv"]).status.success());
    assert_eq!(mode("m.csv") & 0o137, 0, "{:o}", mode("m.csv"));
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    assert!(fixture.t3b(&run).status.success());
    for name in
        ["out", "out/_t3b/runs/r/plan.json", "out/tables/runs/run_date=2026-01-02/run_id=r/run.parquet"]
    {
        assert_eq!(mode(name) & 0o27, 0, "{name} {:o}", mode(name));
    }
    let said = fixture.t3b(&[&run[..], &["--output", "open", "--set", "store.umask=\"0077\""]].concat());
    assert!(said.status.success());
    assert_eq!(mode("open/_t3b/runs/r/plan.json") & 0o77, 0);
}
