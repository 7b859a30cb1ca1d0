use std::fs;

use crate::support::{Fixture, N_CELLS, N_METHODS};
use crate::tables::table;

/// Cuts the first JPEG of the manifest short and drops the columns that would notice by other means.
fn cut_one_jpeg(fixture: &Fixture) -> usize {
    let path = fixture.path("archive/manifest.csv");
    let manifest = fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<&str>> = manifest.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let row = rows.iter().position(|fields| fields[0].ends_with(".jpg")).unwrap();
    let image = fixture.path("archive").join(rows[row][0]);
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    let header: Vec<&str> = manifest.lines().next().unwrap().split(',').collect();
    let keep: Vec<usize> = (0..header.len()).filter(|&n| !["sha256", "bytes"].contains(&header[n])).collect();
    let line = |fields: &[&str]| keep.iter().map(|&n| fields[n]).collect::<Vec<_>>().join(",");
    let mut text = line(&header) + "\n";
    for fields in &rows {
        text += &(line(fields) + "\n");
    }
    fs::write(&path, text).unwrap();
    row
}

#[test]
fn a_truncated_jpeg_costs_one_quarantine_row_and_its_batch_averages_the_rest() {
    let fixture = Fixture::new();
    let row = cut_one_jpeg(&fixture);
    fixture.run("out", &[]).unwrap();
    let root = fixture.path("out");
    let quarantine = table(&root, "quarantine");
    assert_eq!(quarantine.n_rows, 1);
    assert_eq!(quarantine.text("manifest_row"), [row.to_string()]);
    assert_eq!(quarantine.text("reason_code"), ["decode_truncated"]);
    assert_eq!(quarantine.text("stage"), ["decode"]);
    assert_eq!(quarantine.text("corruption"), [""], "it fails before any cell");

    let (signals, table_of_batches) = (table(&root, "signals"), table(&root, "batches"));
    assert!(!signals.number("manifest_row").contains(&(row as f64)));
    assert_eq!(table(&root, "predictions").n_rows, 39 * N_CELLS * N_METHODS);
    let batch = (row / 8) as f64;
    let (batches, n_scored, n_planned) = (
        table_of_batches.number("batch"),
        table_of_batches.number("n_scored"),
        table_of_batches.number("n_planned"),
    );
    for n in 0..table_of_batches.n_rows {
        let hole = f64::from(u8::from(batches[n] == batch));
        assert_eq!((n_planned[n], n_scored[n]), (8.0, 8.0 - hole));
    }
    let (of, lambda) = (signals.number("batch"), signals.number("lambda_sample"));
    let clean = |t: &crate::tables::Columns, n: usize| t.text("corruption")[n] == "clean";
    let members: Vec<f64> =
        (0..signals.n_rows).filter(|&n| of[n] == batch && clean(&signals, n)).map(|n| lambda[n]).collect();
    let coefficients = table(&root, "coefficients");
    let (of_row, method) = (coefficients.number("batch"), coefficients.text("method"));
    let is_it = |n: &usize| of_row[*n] == batch && method[*n] == "t3_b" && clean(&coefficients, *n);
    let place = (0..coefficients.n_rows).find(is_it).unwrap();
    assert_eq!(members.len(), 7);
    let mean = members.iter().sum::<f64>() / 7.0;
    assert!((mean - coefficients.number("lambda_mean")[place]).abs() < 1e-15);
}

#[test]
fn other_batches_keep_their_rows() {
    let fixture = Fixture::new();
    fixture.run("good", &[]).unwrap();
    let row = cut_one_jpeg(&fixture);
    fixture.run("poisoned", &[]).unwrap();
    let rows = |out: &str| {
        let t = table(&fixture.path(out), "predictions");
        let columns = ["sample_id", "corruption", "severity", "method", "batch", "pred_idx", "pred_prob"]
            .map(|c| t.text(c));
        let all = (0..t.n_rows).map(|n| columns.each_ref().map(|column| column[n].clone()));
        all.filter(|fields| fields[4] != (row / 8).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(rows("good"), rows("poisoned"));
}

#[test]
fn each_fact_about_the_bytes_has_its_own_reason() {
    let fixture = Fixture::new();
    let path = fixture.path("archive/manifest.csv");
    let manifest = fs::read_to_string(&path).unwrap();
    let uris: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let write = |n: usize, bytes: &[u8]| fs::write(fixture.path("archive").join(uris[n]), bytes).unwrap();
    let png =
        fs::read(fixture.path("archive").join(uris.iter().find(|u| u.ends_with(".png")).unwrap())).unwrap();
    write(0, b"");
    fs::remove_file(fixture.path("archive").join(uris[1])).unwrap();
    write(2, b"<html>not found</html>");
    write(3, &png[..png.len() - 20]);
    let bare: String =
        std::iter::once("uri").chain(uris.iter().copied()).map(|uri| format!("{uri}\n")).collect();
    fs::write(&path, bare).unwrap();
    fixture.run("out", &[]).unwrap();
    let reasons = table(&fixture.path("out"), "quarantine").text("reason_code");
    assert_eq!(reasons, ["empty_object", "missing_object", "unsupported_format", "decode_truncated"]);
}

#[test]
fn bytes_that_differ_from_the_manifest_are_never_scored() {
    let fixture = Fixture::new();
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let uri = manifest.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let image = fixture.path("archive").join(&uri);
    let mut bytes = fs::read(&image).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&image, &bytes).unwrap();
    fixture.run("flipped", &[]).unwrap();
    assert_eq!(table(&fixture.path("flipped"), "quarantine").text("reason_code"), ["checksum_mismatch"]);
    bytes.push(0);
    fs::write(&image, &bytes).unwrap();
    fixture.run("longer", &[]).unwrap();
    assert_eq!(table(&fixture.path("longer"), "quarantine").text("reason_code"), ["size_mismatch"]);
    fixture.run("small", &[("input.max_object_bytes", "100")]).unwrap();
    let reasons = table(&fixture.path("small"), "quarantine").text("reason_code");
    assert_eq!((reasons.len(), reasons[0].as_str()), (40, "object_too_large"));
}
