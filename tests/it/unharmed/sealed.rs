//! Everything that decides is sealed: a flipped bit, an exchanged, copied, lost or foreign object is named, or changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use t3b::error::Exit;
use t3b::ledger::{finalize, tidy, verify};

use crate::faults::{Dice, Faults};
use crate::process::{End, PATIENT, is_full, live, objects, probed_store, promised, root};
use crate::support::{Fixture, runtime};

type Objects = BTreeMap<String, Vec<u8>>;

fn put(store: &Arc<InMemory>, name: &str, bytes: &[u8]) {
    let payload = PutPayload::from(bytes.to_vec());
    futures::executor::block_on(store.put(&Path::parse(name).unwrap(), payload)).unwrap();
}

fn store_of(objects: &Objects) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    objects.iter().for_each(|(name, bytes)| put(&store, name, bytes));
    store
}

/// A whole run, and every object of it.
fn whole(fixture: &Fixture) -> (Arc<InMemory>, Objects) {
    let store = probed_store();
    let end = live(fixture, &store, &Faults::at(&[]), PATIENT);
    assert!(matches!(end, End::Done(_)), "{end:?}");
    let all = objects(&store, "");
    (store, all)
}

/// The same with some receipts and the row still missing.
fn half(all: &Objects) -> Objects {
    let mut half = all.clone();
    half.retain(|name, _| !name.starts_with("tables/") && !name.ends_with("completed.json"));
    half.retain(|name, _| !name.contains("/published/"));
    half.remove("_t3b/runs/r/receipts/00001.json");
    half
}

/// Everything that a reader or a later call relies on.
fn counts(name: &str) -> bool {
    name.starts_with("tables/") && !name.starts_with("tables/attempts/")
        || name.starts_with("_t3b/runs/r/") && !name.starts_with("_t3b/runs/r/stage/")
}

#[test]
fn every_flipped_bit_is_named() {
    let fixture = Fixture::new();
    let (store, all) = whole(&fixture);
    let names: Vec<&String> = all.keys().filter(|name| counts(name) && !all[*name].is_empty()).collect();
    let kinds =
        ["plan.json", "receipts/", "published/", "completed.json", "tables/runs/", "tables/predictions/"];
    for kind in kinds {
        assert!(names.iter().any(|name| name.contains(kind)), "{kind}");
    }
    let mut dice = Dice::new(16);
    let n_cases = if is_full() { 2000 } else { 240 };
    let (runtime, root, tables) = (runtime(), root(&store), promised(&store));
    let (mut n_named, mut n_harmless, mut by_kind) = (0, 0, BTreeMap::new());
    for case in 0..n_cases {
        // Each object in turn, so that small ones are hit as often as large ones.
        let name = names[case % names.len()];
        let mut bytes = all[name].clone();
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << dice.below(8);
        put(&store, name, &bytes);
        match runtime.block_on(verify(&root, "r")) {
            Err(error) => {
                let known = ["R005", "R007", "R020", "V002", "V001"];
                assert!(known.contains(&error.problems()[0].code), "{name} byte {at}: {error}");
                n_named += 1;
            }
            Ok(_) => {
                assert!(promised(&store) == tables, "{name} byte {at} changed a table unnoticed");
                n_harmless += 1;
            }
        }
        *by_kind
            .entry(kinds.iter().find(|kind| name.contains(*kind)).copied().unwrap_or("tables/others"))
            .or_insert(0) += 1;
        put(&store, name, &all[name]);
    }
    runtime.block_on(verify(&root, "r")).unwrap();
    eprintln!(
        "flips: {n_cases} over {} objects {by_kind:?}, {n_named} named, {n_harmless} harmless",
        names.len()
    );
    assert_eq!(n_harmless, 0, "every byte of these objects counts");
}

#[test]
fn a_flip_while_a_run_is_open_never_costs_a_row() {
    let fixture = Fixture::new();
    let (store, all) = whole(&fixture);
    let (tables, half) = (promised(&store), half(&all));
    let decides = |name: &&String| name.contains("/receipts/") || name.ends_with("plan.json");
    let names: Vec<&String> = half.keys().filter(decides).collect();
    let mut dice = Dice::new(17);
    let n_cases = if is_full() { 120 } else { 9 };
    let (mut n_named, mut n_equal) = (0, 0);
    for case in 0..n_cases {
        let name = names[case % names.len()];
        let mut damaged = half.clone();
        let bytes = damaged.get_mut(name).unwrap();
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << dice.below(8);
        let store = store_of(&damaged);
        match live(&fixture, &store, &Faults::at(&[]), PATIENT) {
            End::Failed(error) => {
                assert!([Exit::BadData, Exit::Config].contains(&error.exit()), "{name} byte {at}: {error}");
                assert!(objects(&store, "tables/runs").is_empty(), "{name} byte {at}: visible");
                n_named += 1;
            }
            _ => {
                assert!(promised(&store) == tables, "{name} byte {at}");
                n_equal += 1;
            }
        }
    }
    eprintln!("flips in an open run: {n_cases}, {n_named} named, {n_equal} with equal tables");
}

#[test]
fn exchanged_copied_deleted_and_foreign_objects_are_named_or_change_nothing() {
    let fixture = Fixture::new();
    let (store, all) = whole(&fixture);
    let tables = promised(&store);
    // Of another run over the same archive, whose objects could be slipped in.
    let other = probed_store();
    let set = [("run.seed", "9")];
    let end = crate::process::live_with(&fixture, &other, &Faults::at(&[]), PATIENT, &set);
    assert!(matches!(end, End::Done(_)), "{end:?}");
    let other = objects(&other, "_t3b/runs/r");
    let own: Vec<String> = all.keys().filter(|name| name.starts_with("_t3b/runs/r/")).cloned().collect();
    let mut dice = Dice::new(18);
    let n_cases = if is_full() { 200 } else { 40 };
    let runtime = runtime();
    let (mut n_named, mut n_harmless) = (0, 0);
    for case in 0..n_cases {
        let mut pick = || own[usize::try_from(dice.below(own.len() as u64)).unwrap()].clone();
        let (a, b) = (pick(), pick());
        let mut changed = all.clone();
        match case % 6 {
            0 => {
                changed.insert(a.clone(), all[&b].clone());
                changed.insert(b.clone(), all[&a].clone());
            }
            1 => drop(changed.insert(a.clone(), all[&b].clone())),
            2 => drop(changed.remove(&a)),
            3 => drop(changed.insert(format!("{a}.{case}"), all[&a].clone())),
            4 => drop(changed.insert(
                format!("_t3b/runs/r/receipts/held/{}", a.rsplit('/').next().unwrap()),
                all[&a].clone(),
            )),
            _ => {
                drop(changed.insert(a.clone(), other.get(&a).cloned().unwrap_or_else(|| b"foreign".to_vec())))
            }
        }
        let case = format!("case {case} of {a} and {b}");
        let store = store_of(&changed);
        let root = root(&store);
        match runtime.block_on(verify(&root, "r")) {
            Err(_) => n_named += 1,
            Ok(_) => n_harmless += 1,
        }
        assert!(promised(&store) == tables, "{case}: looking changes nothing");
        // Nothing that a sound receipt names is ever deleted, and what is published stays.
        let staged = |store: &Arc<InMemory>| objects(store, "_t3b/runs/r/stage");
        let before = staged(&store);
        let tidied = runtime.block_on(tidy(&root, "r", true, Duration::ZERO));
        let after = staged(&store);
        let lost: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
        assert!(lost.iter().all(|name| !all.contains_key(*name)), "{case}: tidy {tidied:?} deleted {lost:?}");
        let ended = runtime.block_on(finalize(&root, "r"));
        assert!(promised(&store) == tables, "{case}: {ended:?}");
    }
    eprintln!("swaps, copies, deletions, foreign objects: {n_cases}, {n_named} named, {n_harmless} harmless");
}

#[test]
fn the_closing_hash_tells_a_run_that_was_rewritten_in_agreement() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let verify = |more: &[&str]| {
        let said = fixture.t3b(&[&["verify", "out/_t3b/runs/r"], more].concat());
        (
            said.status.code(),
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr),
        )
    };
    let (code, text) = verify(&[]);
    assert_eq!(code, Some(0), "{text}");
    let hash = text.lines().find_map(|line| line.strip_prefix("hash")).unwrap().trim().to_owned();
    assert_eq!(hash.len(), 64);
    assert_eq!(verify(&["--expect", &hash]).0, Some(0));
    assert_eq!(verify(&["--expect", &hash.to_uppercase()]).0, Some(0));
    // Another run under the same name, whole and in agreement with itself.
    fs::remove_dir_all(fixture.path("out")).unwrap();
    fixture.run("out", &[("run.seed", "9")]).unwrap();
    assert_eq!(verify(&[]).0, Some(0));
    let (code, text) = verify(&["--expect", &hash]);
    assert!(code == Some(65) && text.contains("V005"), "{text}");
}

#[test]
fn a_lost_completion_record_is_restored_and_named_before() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let record = fixture.path("out/_t3b/runs/r/completed.json");
    let before = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    let said = fixture.t3b(&["verify", "out/_t3b/runs/r"]);
    assert_eq!(said.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&said.stderr).contains("completed.json is missing"));
    assert_eq!(fixture.t3b(&["finalize", "out/_t3b/runs/r"]).status.code(), Some(0));
    assert_eq!(fs::read(&record).unwrap(), before);
    assert_eq!(fixture.t3b(&["verify", "out/_t3b/runs/r"]).status.code(), Some(0));
}

/// A sealed object that was changed by hand and given the hash of its new text, by the rule that the documentation states.
pub(crate) fn resealed(text: &str, field: &str, change: impl Fn(&str) -> String) -> String {
    let field = format!("\"{field}\": \"");
    let at = text.find(&field).unwrap() + field.len();
    let zeros = format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]);
    let changed = change(&zeros);
    let hash = hex::encode(Sha256::digest(&changed));
    format!("{}{hash}{}", &changed[..at], &changed[at + 64..])
}

#[test]
fn fewer_partitions_than_the_manifest_has_are_refused_however_they_are_written() {
    let fixture = Fixture::new();
    let shard = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--shard", "0/3"];
    assert_eq!(fixture.t3b(&shard).status.code(), Some(0));
    let plan = fixture.path("out/_t3b/runs/r/plan.json");
    let text = fs::read_to_string(&plan).unwrap();
    assert!(text.contains("\"n_partitions\": 3"));
    let edits: [fn(&str) -> String; 3] = [
        |text| text.replace("\"n_partitions\": 3", "\"n_partitions\": 1"),
        |text| {
            text.replace("\"n_partitions\": 3", "\"n_partitions\": 2")
                .replace("\"n_samples\": 40", "\"n_samples\": 32")
        },
        |text| text.replace("\"clean\",\n      0", "\"clean\",\n      1"),
    ];
    for edit in edits {
        for written in [edit(&text), resealed(&text, "plan_sha256", edit)] {
            assert_ne!(written, text);
            fs::write(&plan, written).unwrap();
            let said = fixture.t3b(&shard[..6]);
            let told = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.code() == Some(65) && told.contains("R020"), "{told}");
            assert!(!fixture.path("out/tables/predictions").exists());
        }
    }
    fs::write(&plan, text).unwrap();
    assert_eq!(fixture.t3b(&shard[..6]).status.code(), Some(0));
}

#[test]
fn receipts_elsewhere_are_foreign_and_count_for_nothing() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    assert_eq!(fixture.t3b(&[&run[..], &["--shard", "0/2"]].concat()).status.code(), Some(0));
    let receipts = fixture.path("out/_t3b/runs/r/receipts");
    fs::create_dir(receipts.join("old")).unwrap();
    for name in ["00000.json", "00002.json"] {
        fs::copy(receipts.join(name), receipts.join("old").join(name)).unwrap();
    }
    fs::copy(receipts.join("00000.json"), receipts.join("1.json")).unwrap();
    let said = fixture.t3b(&["status", "out/_t3b/runs/r"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("committed    2 of 3") && text.contains("foreign      3 objects"), "{text}");
    assert_eq!(fixture.t3b(&run).status.code(), Some(0), "the other partition is scored");
    fixture.run("clean", &[]).unwrap();
    assert!(fixture.published("out") == fixture.published("clean"));
    let said = fixture.t3b(&["verify", "out/_t3b/runs/r"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(65) && text.matches("V003").count() == 3, "{text}");
}

#[test]
fn a_receipt_in_anothers_place_is_refused() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    assert_eq!(fixture.t3b(&[&run[..], &["--shard", "0/2"]].concat()).status.code(), Some(0));
    let receipts = fixture.path("out/_t3b/runs/r/receipts");
    fs::copy(receipts.join("00002.json"), receipts.join("00001.json")).unwrap();
    let said = fixture.t3b(&run);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.status.code() == Some(65) && text.contains("R020") && text.contains("partition 1"),
        "{text}"
    );
    assert!(!fixture.path("out/tables/predictions").exists());
    fs::remove_file(receipts.join("00001.json")).unwrap();
    assert_eq!(fixture.t3b(&run).status.code(), Some(0), "as the hint says");
}

#[test]
fn tidy_deletes_nothing_of_a_partition_whose_receipt_is_held_elsewhere() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    assert_eq!(fixture.t3b(&[&run[..], &["--shard", "0/2"]].concat()).status.code(), Some(0));
    let receipts = fixture.path("out/_t3b/runs/r/receipts");
    fs::create_dir(receipts.join("held")).unwrap();
    fs::rename(receipts.join("00002.json"), receipts.join("held/00002.json")).unwrap();
    let foreign = [
        "out/tables/photo#12",
        "out/_t3b/other#1",
        "out/_t3b/runs/r/a#3",
        "out/_t3b/runs/r/stage/x.png#1",
        "out/_t3b/runs/r/stage/00000.x.parquet",
    ];
    foreign.iter().for_each(|name| fs::write(fixture.path(name), b"not ours").unwrap());
    let half = "out/_t3b/runs/r/receipts/00001.json#1";
    fs::write(fixture.path(half), b"half").unwrap();
    let before = fixture.files("out/_t3b/runs/r/stage");
    let said = fixture.t3b(&["tidy", "out/_t3b/runs/r", "--delete", "--older-than", "0s"]);
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(fixture.files("out/_t3b/runs/r/stage") == before, "{}", String::from_utf8_lossy(&said.stdout));
    assert!(foreign.iter().all(|name| fixture.path(name).exists()));
    assert!(!fixture.path(half).exists(), "what a kill left is ours");
    fs::rename(receipts.join("held/00002.json"), receipts.join("00002.json")).unwrap();
    fs::remove_dir(receipts.join("held")).unwrap();
    assert_eq!(fixture.t3b(&run).status.code(), Some(0));
}
