//! Good and hostile files that the mutations begin with, none over 64 KiB.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use t3b::model::ClipConfig;
use t3b::model::random::{Seeds, safetensors};
use t3b_image::npz::{NpyHeader, NpzWriter};

use crate::dicom::{Syntax, Value, compressed_file, data_set, file, grey_16, jpeg_2000_file, text, us, with};
use crate::support::repo;
use crate::{hostile, targets};

/// Small files of every format and codec.
const FIELD: &str = "crates/decode/tests/golden/field/files";
const MAX_BYTES: usize = 64 << 10;

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "decode_any" => pictures(),
        "decode_foreign" => folder(FIELD).into_iter().filter(|bytes| t3b_decode::is_risky(bytes)).collect(),
        "dicom_prescan" => data_sets(),
        "manifest" => manifests(),
        "npz" => archives(),
        "tar_index" => shards(),
        "parquet_rows" => image_tables(),
        "safetensors_check" => checkpoints(),
        "path_parse" => keys(),
        "plan" | "receipts" => ledger_objects(),
        "pickles" => pickles(),
        "settings" => settings_files(),
        _ => Vec::new(),
    };
    seeds.retain(|seed| (1..=MAX_BYTES).contains(&seed.len()));
    assert!(!seeds.is_empty(), "{target}");
    seeds
}

fn folder(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(repo(name)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn pictures() -> Vec<Vec<u8>> {
    let window = with(grey_16(8, 8, 12, false), text((0x28, 0x1050), b"DS", "1000"));
    let window = with(window, text((0x28, 0x1051), b"DS", "2000"));
    let group = vec![(0x28, 0x9132, b"SQ", Value::Items(vec![vec![text((0x28, 0x1050), b"DS", "9")]]))];
    let nested = with(window.clone(), (0x5200, 0x9229, b"SQ", Value::Items(vec![group])));
    let pixels: Vec<u16> = (0..64).map(|value| value * 50).collect();
    let syntaxes = [Syntax::Explicit, Syntax::Implicit, Syntax::BigEndian];
    let mut all: Vec<Vec<u8>> = syntaxes.map(|syntax| file(syntax, &nested, &pixels)).to_vec();
    all.push(jpeg_2000_file(None));
    for (name, uid) in [("ls8.jls", "4.80"), ("ll8.jpg", "4.70"), ("grey.jpg", "4.50")] {
        let frame = fs::read(repo("tests/golden/dicom/frames").join(name)).unwrap();
        let elements = with(grey_16(24, 20, 8, false), us((0x28, 0x100), &[8]));
        all.push(compressed_file(uid, &elements, &[frame]));
    }
    for name in ["tests/golden/decode/files", "tests/golden/tiff/files", "tests/golden/nifti/files", FIELD] {
        all.extend(folder(name));
    }
    all.extend([
        hostile::animated_png(3),
        hostile::black_png(64, 64, 1, hostile::GREY),
        hostile::tiny_jpeg(64, 64, 0xc2, 3),
        hostile::many_scans_jpeg(50),
        hostile::gif(3),
    ]);
    // The last byte is the rendering.
    all.into_iter().enumerate().map(|(n, bytes)| [bytes, vec![n as u8]].concat()).collect()
}

fn data_sets() -> Vec<Vec<u8>> {
    let lut = vec![us((0x28, 0x3002), &[4, 0, 16]), us((0x28, 0x3006), &[0, 9, 99, 999])];
    let elements = with(grey_16(2, 2, 12, false), (0x28, 0x3010, b"SQ", Value::Items(vec![lut])));
    let elements = with(elements, (0x7fe0, 0x10, b"OW", Value::Words(vec![0, 1000, 2000, 4000])));
    let syntaxes = [(0, Syntax::Implicit), (1, Syntax::Explicit), (2, Syntax::BigEndian)];
    let mut all: Vec<Vec<u8>> =
        syntaxes.map(|(n, syntax)| [vec![n], data_set(syntax, &elements)].concat()).to_vec();
    // Compressed ones behind their meta group, which ends with the transfer syntax.
    for (n, bytes) in (4..=8).zip([jpeg_2000_file(None), jpeg_2000_file(Some("comment"))].iter().cycle()) {
        let first = bytes.windows(4).position(|window| window == b"\x28\0\x02\0").unwrap();
        all.push([&[n], &bytes[first..]].concat());
    }
    all.push(
        [&[1][..], &b"\x40\0\x00\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(12)]
            .concat(),
    );
    all
}

fn manifests() -> Vec<Vec<u8>> {
    let csv = "uri,sample_id,label_idx,label,split,sha256,bytes,entry,offset,row,refused,frame,axis,index\n\
               a/b.png,s1,0,red,test,,12,,,,,,,\nc.tar,s2,1,white,test,,7,x/y.png,512,,,3,,\n\
               d.npz,,,,,,99,images,,5,,,,\ne.nii,,,,,,,,,,,,2,77\nf.tar,,,,,,,,,,archive_truncated,,,\n";
    let json = "{\"uri\":\"a.png\",\"label_idx\":1}\n\n{\"uri\":\"b.png\",\"bytes\":7,\"frame\":2}\n";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("uri", Arc::new(StringArray::from(vec!["a.png", "b.png", "c.png"]))),
        ("label_idx", Arc::new(UInt32Array::from(vec![0, 1, 0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    vec![
        [csv.as_bytes(), &[0]].concat(),
        [json.as_bytes(), &[1]].concat(),
        [parquet.as_slice(), &[2]].concat(),
        b"uri\n\"a\xff.png\"\n\0".to_vec(),
    ]
}

fn archives() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    let shapes: [(&str, &[u64]); 3] = [("|u1", &[3, 4, 4, 3]), ("<i8", &[2, 1]), ("<f4", &[0, 5])];
    let archive = |(descr, shape): (&str, &[u64])| {
        let mut writer = NpzWriter::create(&path).unwrap();
        let header = NpyHeader { descr: descr.to_owned(), shape: shape.to_vec() };
        writer.start("images", &header).unwrap();
        let item: u64 = descr[2..].parse().unwrap();
        let n_bytes = shape.iter().product::<u64>() * item;
        writer.write_rows(&(0..n_bytes).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
        writer.start("labels", &NpyHeader { descr: "|u1".to_owned(), shape: vec![3, 1] }).unwrap();
        writer.write_rows(&[2, 0, 1]).unwrap();
        writer.finish().unwrap();
        fs::read(&path).unwrap()
    };
    shapes.map(archive).to_vec()
}

/// Columns of images: bare, in a struct, with a null, in two row groups.
fn image_tables() -> Vec<Vec<u8>> {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"one"), None, Some(b"two")]));
    let path: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png", "c.png"]));
    let label: ArrayRef = Arc::new(UInt32Array::from(vec![0, 1, 0]));
    let field = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
    let parts = vec![
        (field("bytes", DataType::Binary), Arc::clone(&bytes)),
        (field("path", DataType::Utf8), Arc::clone(&path)),
    ];
    let in_struct: ArrayRef = Arc::new(StructArray::from(parts));
    let table = |image: ArrayRef, compression: Compression| {
        let columns = [("image", image), ("label", Arc::clone(&label))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(2))
            .set_compression(compression)
            .build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file
    };
    vec![
        table(bytes, Compression::SNAPPY),
        table(in_struct, Compression::UNCOMPRESSED),
        table(path, Compression::SNAPPY),
    ]
}

fn shards() -> Vec<Vec<u8>> {
    let shard = |names: &[String]| {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(10);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b"1234567890"[..]).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let long = format!("{}/a.png", "long".repeat(40));
    vec![
        shard(&["a.png".to_owned(), "a.cls".to_owned(), "b.jpg".to_owned()]),
        shard(&[long, "c.dcm".to_owned()]),
        shard(&[]),
    ]
}

fn checkpoints() -> Vec<Vec<u8>> {
    let config = ClipConfig::from_hf_json(targets::CONFIG).unwrap();
    let whole = safetensors(&config, Seeds { vision: 1, text: 2 }).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    vec![whole[..header].to_vec(), whole, b"\x80\x02csystem\n".to_vec(), vec![0xff; 64]]
}

/// A plan and a receipt of format 1 and shapes of format 2, whose own hash mutations seldom keep.
fn ledger_objects() -> Vec<Vec<u8>> {
    let plan = r#"{"format_version": 2, "plan_sha256": "", "run_id": "r", "run_date": "2026-01-02", "planned_at": "",
        "spec_sha256": "x", "spec": {"run.partition_size": 16, "merge.gamma": 0.5}, "n_samples": 40, "n_partitions": 3,
        "cells": [["clean", 0]], "code_version": "0", "canary": ""}"#;
    let receipt = r#"{"format_version": 1, "partition": 0, "nonce": "ab", "spec_sha256": "x", "n_samples": 16,
        "n_scored": 16, "n_quarantined": 0, "n_coefficients": 2, "lambda_sum": 0.5, "device": "cpu", "canary": "",
        "n_nonfinite": 0, "files": [{"table": "signals", "path": "p", "bytes": 7, "sha256": "", "rows": 1}]}"#;
    let sealed =
        format!("{{\n  \"plan_sha256\": \"{}\",\n  \"spec\": {{\n    \"a\": 1\n  }}\n}}", "0".repeat(64));
    [plan, &plan.replace("_version\": 2", "_version\": 1"), receipt, &sealed, "{}", "[[[["]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

fn pickles() -> Vec<Vec<u8>> {
    let tensor = b"\x80\x02}q\0(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x005X\x03\0\0\0cpuK\x08tQK\0K\x08\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRu.";
    let laughs = b"\x80\x02K\x01q\0(h\0h\0h\0tq\x01(h\x01h\x01tq\x02]q\x03(h\x02h\x02e}q\x04h\x02h\x03s0.";
    vec![
        tensor.to_vec(),
        laughs.to_vec(),
        b"cos\nsystem\n(X\x02\0\0\0idtR.".to_vec(),
        b"X\xff\xff\xff\x7f".to_vec(),
    ]
}

fn settings_files() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = ["pipelines", "config"].iter().flat_map(|name| folder(name)).collect();
    all.extend([
        b"merge.gamma=1.5\n[run]\nseed = 7".to_vec(),
        b"a.b.c.d.e=1".to_vec(),
        b"labels.names=[\"a\",\"a\"]".to_vec(),
    ]);
    all
}

fn keys() -> Vec<Vec<u8>> {
    let keys = [
        "a/b.png",
        "../../etc/passwd",
        "a/%2e%2e/b",
        "a/%252e%252e/b",
        "/abs/b",
        "file:///b",
        "s3://bucket/b",
        "a\\..\\b",
        "a/./b",
        "a//b",
        "a/b. ",
        "~/b",
        "http://169.254.169.254/latest",
        "a\u{1b}[31m",
        "a/\u{2024}\u{2024}/b",
    ];
    keys.map(|key| key.as_bytes().to_vec()).to_vec()
}
