//! Manifests as they are written, well and badly, and what freezing keeps of them.
#![cfg(test)]

use std::time::Duration;

use super::*;
use crate::store::{Root, listed_key};

fn parse(text: &str) -> Result<Manifest, Problem> {
    let labels = ["red".to_owned(), "white".to_owned()];
    parse_as("m.csv", text, rule(&labels, None, Some("k")))
}

fn parse_as(name: &str, text: &str, rule: ManifestRule<'_>) -> Result<Manifest, Problem> {
    Manifest::parse(&ManifestFile::of(name, text.as_bytes())?, rule)
}

fn samples(manifest: &Manifest) -> Vec<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(manifest.samples(0..u64::MAX)).unwrap()
}

fn rule<'a>(labels: &'a [String], split: Option<&'a str>, key: Option<&'a str>) -> ManifestRule<'a> {
    ManifestRule {
        labels,
        split,
        pseudonym_key: key,
        cells: &[],
        batch_size: 4,
        partition_size: 8,
        ignores_declared: false,
    }
}

#[test]
fn bad_rows_are_named_by_number_and_never_by_key() {
    let cases = [
        ("uri\n", "M001"),
        ("path\nx.png", "M002"),
        ("uri,sample_id\na,x\nb,x", "M003"),
        ("uri,sample_id\na,DOE^JOHN", "M004"),
        ("uri\n../../etc/DOE", "M005"),
        ("uri\na/%2e%2e/DOE", "M005"),
        ("uri\na\\..\\DOE", "M005"),
        ("uri\n./DOE", "M005"),
        ("uri\na//DOE", "M005"),
        ("uri\nDOE%252f..%252fx", "M005"),
        ("uri\n..%2fDOE", "M005"),
        ("uri,label,Label\nDOE,red,red", "M027"),
        ("uri,corruption,severity\nDOE,fog,6", "M028"),
        ("uri,corruption,severity\nDOE,,3", "M028"),
        ("uri,corruption,severity\nDOE,DOE^JOHN,3", "M028"),
        ("uri\n/abs/DOE", "M006"),
        ("uri\nfile:///DOE", "M006"),
        ("uri\ns3://other-bucket/DOE", "M007"),
        ("uri\n\"DOE\u{1b}[31m\"", "M008"),
        ("uri,label_idx\nDOE,9", "M010"),
        ("uri,label\nDOE,green", "M010"),
        ("uri,label_idx,label\nDOE,0,white", "M011"),
        ("uri,bytes\nDOE,-1", "M015"),
        ("uri,sha256\nDOE,abc", "M016"),
        ("uri,label\nDOE", "M018"),
        ("uri,entry\na,DOE", "M020"),
        ("uri,offset\na,512", "M020"),
        ("uri,row\na,5", "M020"),
        ("uri,row,offset,bytes\na,5,6,7", "M020"),
        ("uri,refused\na,DOE", "M024"),
        ("uri,frame\na,DOE", "M023"),
        ("uri,axis,index\na,3,0", "M023"),
        ("uri,axis,index\na,1,", "M023"),
    ];
    for (text, code) in cases {
        let problem = parse(text).unwrap_err();
        assert_eq!(problem.code, code, "{text:?}: {problem}");
        assert!(!problem.to_string().contains("DOE"), "{problem}");
    }
}

#[test]
fn rows_count_the_filtered_manifest_from_zero() {
    let labels = ["red".to_owned(), "white".to_owned()];
    let text = "uri,split,label\na,train,red\nb,test,white\nc,test,red";
    let rule = rule(&labels, Some("test"), None);
    let manifest = parse_as("m.csv", text, rule).unwrap();
    let samples = samples(&manifest);
    let rows: Vec<_> = samples.iter().map(|s| (s.row, s.manifest_row, s.key.as_ref(), s.label_idx)).collect();
    assert_eq!(rows, [(0, 1, "b", Some(1)), (1, 2, "c", Some(0))]);
}

#[test]
fn odd_names_that_a_store_can_address_are_keys() {
    for name in ["~a.png", "Dr. X./a.png", "a..png", "a%2fb.png", "back\\slash.png", ".../x.png", "a #1.png"]
    {
        let manifest = parse(&format!("uri\n\"{name}\"")).unwrap();
        assert_eq!(samples(&manifest)[0].key.as_ref(), name);
    }
}

#[test]
fn labels_are_read_however_a_table_writes_them() {
    let text = "uri, Label_IDX\na,1.0\nb,\nc,-1\nd,0\ne,NaN\nf,true\n";
    let labels: Vec<_> = samples(&parse(text).unwrap()).iter().map(|sample| sample.label_idx).collect();
    assert_eq!(labels, [Some(1), None, None, Some(0), None, Some(1)]);
    let labels: Vec<_> =
        samples(&parse("uri, label\na, white\nb, red\n").unwrap()).iter().map(|s| s.label_idx).collect();
    assert_eq!(labels, [Some(1), Some(0)]);
}

#[test]
fn all_bad_labels_are_told_at_once_by_rows_from_zero() {
    let problem = parse("uri,label\na,red\nb,DOE\nc,white\nd,DOE\n").unwrap_err();
    assert_eq!(problem.code, "M010");
    assert!(problem.what.contains("rows 1, 3"), "{problem}");
    let problem = parse("uri,label_idx\na,7\nb,1\nc,19700101123\n").unwrap_err();
    assert!(problem.what.contains("0 (7), 2") && !problem.what.contains("1970"), "{problem}");
}

#[test]
fn a_declared_cell_begins_a_batch_and_ids_may_return_in_another_cell() {
    let labels = ["red".to_owned(), "white".to_owned()];
    let made = [Cell::clean(), Cell::declared("fog", 1)];
    let rule = ManifestRule { cells: &made, ..rule(&labels, None, None) };
    let text =
        "uri,sample_id,corruption,severity\na,x,fog,1\nb,x,,\nc,x,snow,5\nd,y,fog,1\ne,y,,\nf,z,clean,0";
    let manifest = parse_as("m.csv", text, rule).unwrap();
    let samples = samples(&manifest);
    let placed: Vec<_> =
        samples.iter().map(|s| (s.key.as_ref(), s.row, s.manifest_row, s.declared)).collect();
    let wanted = [
        ("b", 0, 1, None),
        ("e", 1, 4, None),
        ("a", 4, 0, Some(1)),
        ("d", 5, 3, Some(1)),
        ("c", 8, 2, Some(2)),
        ("f", 12, 5, Some(0)),
    ];
    assert_eq!(placed, wanted);
    assert_eq!((manifest.cells.len(), manifest.n_made, manifest.n_pairs()), (3, 2, 2 * 2 + 4));
    assert_eq!(manifest.n_batches(&(0..u64::MAX), 4), 2 + 3);
    let twice = "uri,sample_id,corruption,severity\na,x,fog,1\nb,x,fog,1";
    assert_eq!(parse_as("m.csv", twice, rule).unwrap_err().code, "M003");
    // Where every row declares its cell the pipeline makes none.
    let only = "uri,corruption,severity\na,fog,1\nb,fog,2";
    let manifest = parse_as("m.csv", only, rule).unwrap();
    assert_eq!((manifest.cells.len(), manifest.n_made), (2, 0));
}

#[test]
fn json_lines_and_csv_agree() {
    let labels = ["red".to_owned(), "white".to_owned()];
    let rule = rule(&labels, None, Some("k"));
    let json = "{\"uri\":\"a\",\"label_idx\":1}\n\n{\"uri\":\"b\",\"label_idx\":0,\"bytes\":7}\n";
    let json = parse_as("m.jsonl", json, rule).unwrap();
    let csv = parse("uri,label_idx,bytes\na,1,\nb,0,7\n").unwrap();
    assert_eq!(samples(&json), samples(&csv));
    let array = "\u{feff} [{\"uri\":\"a\",\"label_idx\":1.0}, {\"URI\":\"b\",\"label_idx\":0}]";
    assert_eq!(parse_as("m.json", array, rule).unwrap_err().code, "M027");
    let array = array.replace("URI", "uri");
    let array = parse_as("m.json", &array, rule).unwrap();
    assert_eq!(array.n_samples, 2);
    let nested = parse_as("m.jsonl", "{\"uri\":\"a\",\"label\":[1]}", rule);
    assert_eq!(nested.unwrap_err().code, "M018");
    for (odd, code) in [
        ("{\"uri\":\"a\",\"sha256\":[1]}", "M018"),
        ("{\"uri\":\"a\",\"bytes\":{\"n\":1}}", "M018"),
        ("{\"uri\":\"a\",\"uri\":\"b\"}", "M027"),
        ("{\"uri\":\"a\",\"label_idx\":0,\"label_idx\":1}", "M027"),
    ] {
        assert_eq!(parse_as("m.jsonl", odd, rule).unwrap_err().code, code, "{odd}");
    }
    // A switch is a class, as in every format; see docs/manifest.md.
    let switch = parse_as("m.jsonl", "{\"uri\":\"a\",\"label_idx\":true}", rule);
    assert_eq!(samples(&switch.unwrap())[0].label_idx, Some(1));
}

/// Rows of every kind: more than a part holds, with declared cells, refused ones and rows of another split.
fn many() -> String {
    let mut text = "uri,split,label_idx,bytes,corruption,severity,refused\n".to_owned();
    for n in 0..3_000_u32 {
        let split = if n % 10 == 3 { "train" } else { "test" };
        let cell = [",", "fog,1", "snow,5", ","][n as usize % 4];
        let refused = if n % 100 == 7 { "empty_object" } else { "" };
        text.push_str(&format!("ward/{n}.png,{split},{},{n},{cell},{refused}\n", n % 2));
    }
    text
}

fn store() -> Root {
    let store = std::sync::Arc::new(object_store::memory::InMemory::new());
    Root::over(store, object_store::path::Path::default(), Duration::from_secs(60))
}

async fn all(manifest: &Manifest) -> Vec<Sample> {
    let mut found = Vec::new();
    manifest.for_each(|sample| found.push(sample)).await.unwrap();
    found
}

#[tokio::test]
async fn a_frozen_manifest_is_the_one_it_was_made_of_and_is_frozen_again_to_the_same_bytes() {
    let (labels, made) = (["a".to_owned(), "b".to_owned()], [Cell::clean(), Cell::declared("fog", 1)]);
    let rule = ManifestRule { cells: &made, ..rule(&labels, Some("test"), Some("k")) };
    let manifest = parse_as("m.csv", &many(), rule).unwrap();
    let root = store();
    let frozen = manifest.freeze(&root, "lists/m.frozen", &rule).await.unwrap();
    assert!(frozen.n_parts >= 2, "{frozen:?}");
    assert_eq!(manifest.freeze(&root, "lists/m.frozen", &rule).await.unwrap(), frozen);
    let head = root.read("lists/m.frozen", "head", u64::MAX).await.unwrap().unwrap();
    let opened = Manifest::open(&root, "lists/m.frozen", &head, &rule).unwrap();
    assert_eq!(all(&opened).await, all(&manifest).await);
    assert_eq!(all(&opened).await.len() as u64, opened.n_samples);
    assert_eq!(opened.samples(801..809).await.unwrap().first().map(|s| s.row), Some(801));
    let facts = |m: &Manifest| {
        let hashes = (m.sha256.clone(), m.hmac_sha256.clone(), m.ids_sha256.clone());
        let counts = (m.n_samples, m.n_pseudonyms, m.n_bytes, m.n_made, m.n_pairs(), m.end());
        (hashes, counts, m.cells.clone(), m.stretches.clone(), m.refused.clone(), m.is_keyed)
    };
    assert_eq!(facts(&opened), facts(&manifest));
    assert!(opened.refused["empty_object"] > 10 && opened.n_made == 2 && opened.stretches.len() == 3);
    let other = parse_as("m.csv", "uri,split\na,test\n", rule).unwrap();
    assert_eq!(other.freeze(&root, "lists/m.frozen", &rule).await.unwrap_err().code, "C007");
}

#[tokio::test]
async fn a_frozen_manifest_under_other_settings_or_another_secret_is_refused_and_says_which() {
    let labels = ["red".to_owned(), "white".to_owned()];
    let made = rule(&labels, Some("test"), Some("k"));
    let root = store();
    parse_as("m.csv", &many(), made).unwrap().freeze(&root, "m.frozen", &made).await.unwrap();
    let head = root.read("m.frozen", "head", u64::MAX).await.unwrap().unwrap();
    let swapped = ["white".to_owned(), "red".to_owned()];
    let cells = [Cell::clean()];
    let others = [
        (ManifestRule { split: None, ..made }, "input.split test, now none"),
        (ManifestRule { batch_size: 2, ..made }, "run.batch_size 4, now 2"),
        (ManifestRule { partition_size: 16, ..made }, "run.partition_size 8, now 16"),
        (ManifestRule { labels: &swapped, ..made }, "labels.names"),
        (ManifestRule { cells: &cells, ..made }, "[corrupt]"),
        (ManifestRule { ignores_declared: true, ..made }, "corrupt.declared"),
        (ManifestRule { pseudonym_key: Some("l"), ..made }, "T3B_PSEUDONYM_KEY"),
    ];
    for (other, what) in others {
        let problem = Manifest::open(&root, "m.frozen", &head, &other).unwrap_err();
        assert!(problem.code == "M034" && problem.what.contains(what), "{problem}");
    }
    // Who scores needs no secret: the ids stand in the list.
    assert!(Manifest::open(&root, "m.frozen", &head, &ManifestRule { pseudonym_key: None, ..made }).is_ok());
}

#[tokio::test]
async fn no_changed_byte_of_a_frozen_manifest_goes_unnoticed() {
    let labels = ["red".to_owned(), "white".to_owned()];
    let rule = rule(&labels, None, None);
    let root = store();
    let text = "uri,label_idx\na,0\nb,1\nc,0\nd,1\ne,0\nf,1\ng,0\nh,1\ni,1\n";
    parse_as("m.csv", text, rule).unwrap().freeze(&root, "m.frozen", &rule).await.unwrap();
    let head = root.read("m.frozen", "head", u64::MAX).await.unwrap().unwrap();
    for at in 0..head.len() - 1 {
        let mut changed = head.to_vec();
        changed[at] ^= 1;
        assert_eq!(Manifest::open(&root, "m.frozen", &changed, &rule).unwrap_err().code, "M033", "byte {at}");
    }
    let key = "m.frozen.parts/part-000000.parquet";
    let part = root.read(key, "part", u64::MAX).await.unwrap().unwrap();
    for at in 0..part.len() {
        let mut changed = part.to_vec();
        changed[at] ^= 1;
        root.replace(key, "part", changed.into()).await.unwrap();
        let opened = Manifest::open(&root, "m.frozen", &head, &rule).unwrap();
        assert_eq!(opened.samples(0..9).await.unwrap_err().code, "M033", "byte {at}");
    }
    root.replace(key, "part", part.slice(..part.len() - 1)).await.unwrap();
    let opened = Manifest::open(&root, "m.frozen", &head, &rule).unwrap();
    assert_eq!(opened.samples(0..1).await.unwrap_err().code, "M033");
    root.delete(key, "part").await.unwrap();
    assert_eq!(opened.samples(0..1).await.unwrap_err().code, "M033");
    assert_eq!(root.size(&listed_key(key), "part").await.unwrap(), None);
}

#[test]
fn a_row_without_end_is_refused_in_every_format_of_text() {
    let long = "x".repeat(17 << 20);
    let labels = ["red".to_owned(), "white".to_owned()];
    let rule = rule(&labels, None, None);
    for (name, text) in [
        ("m.csv", format!("uri,label\na,red\nb,\"{long}\n")),
        ("m.csv", format!("uri,{long}")),
        ("m.jsonl", format!("{{\"uri\":\"a\"}}\n{{\"uri\":\"{long}\"}}\n")),
        ("m.json", format!("[{{\"uri\":\"a\"}},{{\"note\":\"{long}\"}}]")),
    ] {
        let problem = parse_as(name, &text, rule).unwrap_err();
        assert!(problem.code == "M018" && problem.what.contains("16777216 bytes"), "{name}: {problem}");
    }
}
