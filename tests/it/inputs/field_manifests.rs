//! Manifests as public bug reports have them: each is read as its author meant it, or refused by a message that names the column.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use t3b::source::{Manifest, ManifestFile, ManifestRule};

use crate::support::{Fixture, shared};
use crate::tables::table;

/// Keys and classes of a manifest, or the message.
fn read(name: &str, bytes: impl Into<Bytes>) -> Result<Vec<(String, Option<u32>)>, String> {
    let labels = ["cat".to_owned(), "dog".to_owned()];
    let rule = ManifestRule {
        labels: &labels,
        split: None,
        pseudonym_key: Some("k"),
        cells: &[],
        batch_size: 4,
        partition_size: 4,
        ignores_declared: false,
    };
    let manifest = ManifestFile::of(name, &bytes.into()).and_then(|file| Manifest::parse(&file, rule));
    let manifest = manifest.map_err(|problem| problem.to_string())?;
    let mut pairs = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(manifest.for_each(|sample| pairs.push((sample.key.to_string(), sample.label_idx))))
        .unwrap();
    Ok(pairs)
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn labels(found: Result<Vec<(String, Option<u32>)>, String>) -> Vec<Option<u32>> {
    found.unwrap().into_iter().map(|(_, label)| label).collect()
}

#[test]
fn c04_a_blank_in_front_of_a_column_s_name_does_not_lose_the_labels() {
    assert_eq!(labels(read("m.csv", "uri, label\na.png, cat\nb.png, dog\n")), [Some(0), Some(1)]);
}

#[test]
fn c07_a_column_that_stands_twice_is_refused() {
    assert!(read("m.csv", "uri,label,label\na.png,cat,dog\n").unwrap_err().contains("M027"));
}

#[test]
fn c09b_c10_c10c_c14c_c30_numbers_as_pandas_writes_them_are_read() {
    assert_eq!(labels(read("m.csv", "uri,label_idx\na.png,-1\n")), [None]);
    assert_eq!(labels(read("m.csv", "uri,label_idx\na.png,1.0\nb.png,\n")), [Some(1), None]);
    assert_eq!(labels(read("m.csv", "uri,frame\na.png,0.0\n")), [None]);
    assert_eq!(labels(read("m.jsonl", "{\"uri\":\"a.png\",\"label_idx\":1.0}\n")), [Some(1)]);
    let uri: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png", "c.png"]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.0), Some(1.0), None]));
    let table = parquet(vec![("uri", uri), ("label_idx", floats)]);
    assert_eq!(labels(read("m.parquet", table)), [Some(0), Some(1), None]);
}

#[test]
fn c14_c14b_json_arrays_and_byte_order_marks_are_read() {
    assert_eq!(labels(read("m.json", "[{\"uri\":\"a.png\",\"label\":\"cat\"}]")), [Some(0)]);
    assert_eq!(labels(read("m.jsonl", "\u{feff}{\"uri\":\"a.png\",\"label\":\"cat\"}\n")), [Some(0)]);
}

#[test]
fn c15b_c15d_c18_c19_names_are_keys_or_refused_by_what_is_in_them() {
    assert!(read("m.csv", "uri\n./a.png\n").unwrap_err().contains("M005"));
    let keys = read("m.csv", "uri\nsub\\a.png\n~a.png\nDr. X./a.png\na..png\n").unwrap();
    assert_eq!(keys.len(), 4);
    let error = read("m.csv", "uri,sample_id\na.png,1.2.840.113619.2.1\n").unwrap_err();
    assert!(error.contains("M004") && error.contains("sample_id"), "{error}");
}

#[test]
fn c38_a_label_of_several_values_is_refused_by_its_column() {
    let uri: ArrayRef = Arc::new(StringArray::from(vec!["a.png"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let field = Arc::new(Field::new("class", DataType::Int64, true));
    let label: ArrayRef = Arc::new(StructArray::from(vec![(field, number)]));
    let error = read("m.parquet", parquet(vec![("uri", uri), ("label", label)])).unwrap_err();
    assert!(error.contains("M012") && error.contains("'label'"), "{error}");
}

#[test]
fn c15d_c17_a_name_that_only_looks_like_the_object_s_says_so() {
    let fixture = Fixture::new();
    fs::write(fixture.path("archive/m.csv"), "uri\nGro\u{308}\u{df}e.png\nsub\\a.png\n").unwrap();
    fixture.run("out", &[("input.manifest", "m.csv"), ("run.max_missing_first", "1")]).unwrap();
    let detail = table(&fixture.path("out"), "quarantine").text("detail");
    assert!(detail[0].contains("NFC, NFD") && detail[1].contains("backslash"), "{detail:?}");
}

/// The files of the reports themselves: which are read.
#[test]
fn manifests_of_the_reports_are_read_or_refused() {
    let Some(folder) = shared("field/inputs") else { return };
    for (name, code) in [
        ("C04_manifest.csv", ""),
        ("C07_manifest.csv", "M027"),
        ("C09b_manifest.csv", ""),
        ("C10_manifest.csv", ""),
        ("C10c_manifest.csv", ""),
        ("C14_manifest.json", ""),
        ("C14b_manifest.jsonl", ""),
        ("C14c_manifest.jsonl", ""),
        ("C15b_manifest.csv", "M005"),
        ("C15d_manifest.csv", ""),
        ("C17_manifest.csv", ""),
        ("C18_manifest.csv", ""),
        ("C19_manifest.csv", "M004"),
    ] {
        let found = read(name, fs::read(folder.join(name)).unwrap());
        assert_eq!(found.is_ok(), code.is_empty(), "{name}: {found:?}");
        assert!(found.err().unwrap_or_default().contains(code), "{name}");
    }
}
