//! Manifests of a few bytes that would cost gigabytes: refused within 64 MiB beyond what a good one takes.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use crate::support::Fixture;

/// Data segment of the process: 64 MiB, and what `t3b plan` takes for a manifest of one row.
const DATA_MIB: u64 = 64 + 24;

/// Ends `t3b plan` by an allocation that fails, where it takes more; returns the code, and all that was said.
fn plan(fixture: &Fixture, manifest: &Path) -> (Option<i32>, String) {
    let set = format!("input.manifest={}", manifest.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -d {} && exec \"$0\" \"$@\"", DATA_MIB << 10)]);
    shell.args([env!("CARGO_BIN_EXE_t3b"), "plan", "pipeline.toml", "--set", &set]);
    let started = Instant::now();
    let said = shell.current_dir(fixture.path("")).output().unwrap();
    let name = manifest.file_name().unwrap().to_string_lossy().into_owned();
    let size = fs::metadata(manifest).unwrap().len();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    eprintln!("{name}, {size} bytes: {:?} in {:?}", said.status.code(), started.elapsed());
    (said.status.code(), text)
}

fn properties() -> WriterPropertiesBuilder {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).unwrap());
    WriterProperties::builder().set_compression(zstd).set_dictionary_page_size_limit(64 << 20)
}

fn write(path: &Path, columns: &[(&str, ArrayRef)], properties: WriterPropertiesBuilder) {
    let batch = RecordBatch::try_from_iter(columns.to_vec()).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// One text in many rows.
fn same(text: &str, n: usize) -> ArrayRef {
    let values: ArrayRef = Arc::new(StringArray::from(vec![text]));
    Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0; n]), values).unwrap())
}

fn numbers(n: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..n))
}

#[test]
fn a_small_parquet_manifest_that_unpacks_to_gigabytes_is_refused_within_64_mib() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.path(&format!("{name}.parquet"));
    let plain = || properties().set_dictionary_enabled(false);
    let counted = || {
        let column = "sample_id".into();
        properties()
            .set_column_dictionary_enabled("sample_id".into(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    };
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png"]));
    write(&at("good"), &[("uri", names)], properties());
    write(&at("equal-rows"), &[("uri", same("a.png", 20_000_000))], properties());
    write(&at("fewer-equal-rows"), &[("uri", same("a.png", 100_000))], properties());
    let large = "a".repeat(1 << 20);
    write(&at("one-large-value"), &[("uri", same(&large, 8192))], properties());
    write(
        &at("one-long-name"),
        &[("uri", same(&large[..60_000], 8192)), ("sample_id", numbers(8192))],
        counted(),
    );
    write(&at("counted"), &[("uri", same("a.png", 5_000_000)), ("sample_id", numbers(5_000_000))], counted());
    let front_coded = plain().set_encoding(Encoding::DELTA_BYTE_ARRAY).set_data_page_size_limit(1 << 30);
    write(&at("front-coded"), &[("uri", same(&large.repeat(8), 4096))], front_coded);
    let one_page = || plain().set_data_page_size_limit(1 << 30);
    write(&at("one-page"), &[("uri", same(&large, 128))], one_page());
    let columns = ["uri", "sample_id", "label", "split", "sha256", "entry", "refused", "found"];
    let wide = columns.map(|name| (name, same(&large, 8)));
    write(&at("many-columns"), &wide, one_page());
    // Version 1, then five thousand groups inside each other.
    let footer = [&[0x15, 2, 0x19, 0xfc, 0x89, 0x27][..], &[0x55, 2, 0].repeat(5000), &[0, 0]].concat();
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    fs::write(at("deep"), [&b"PAR1"[..], &footer, &length, b"PAR1"].concat()).unwrap();

    let (code, said) = plan(&fixture, &at("good"));
    assert_eq!(code, Some(0), "{said}");
    for (name, error) in [
        ("equal-rows", "M012"),
        ("fewer-equal-rows", "M003"),
        ("one-large-value", "M018"),
        ("one-long-name", "M012"),
        ("counted", "M012"),
        ("front-coded", "M018"),
        ("one-page", "M012"),
        ("many-columns", "M012"),
        ("deep", "M012"),
    ] {
        let (code, said) = plan(&fixture, &at(name));
        assert!(code == Some(65) && said.contains(error), "{name}: {code:?} {said}");
        assert!(said.len() < 2000, "{name}: {} bytes of message", said.len());
    }
}

#[test]
fn a_text_manifest_costs_what_its_size_does_and_not_what_it_nests() {
    let fixture = Fixture::new();
    let keys: String = (0..500_000).map(|n| format!("\"k{n}\":1,")).collect();
    for (name, text, error) in [
        ("nested.jsonl", format!("{{\"uri\":{}", "[".repeat(2_000_000)), "M018"),
        ("list.jsonl", format!("{{\"uri\":[{}0]}}", "0,".repeat(4_000_000)), "M018"),
        ("keys.jsonl", format!("{{{keys}\"label\":1}}"), "M002"),
        ("objects.json", format!("[{}{{}}]", "{},".repeat(300_000)), "M002"),
        ("wide.csv", format!("uri{}\na\n", ",lable".repeat(1_000_000)), "M018"),
        ("long.csv", format!("uri\n{}\n", "a".repeat(8 << 20)), "M018"),
        ("short.csv", format!("uri\n{}", "a\n".repeat(4_000_000)), "M003"),
    ] {
        let path = fixture.path(name);
        fs::write(&path, text).unwrap();
        let (code, said) = plan(&fixture, &path);
        assert!(code == Some(65) && said.contains(error), "{name}: {code:?} {said}");
        assert!(said.len() < 2000, "{name}: {} bytes of message", said.len());
    }
}
