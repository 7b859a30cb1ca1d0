use std::fs;

use crate::support::{Fixture, repo};
use crate::tables::table;

/// A volume of 9 x 10 x 11: rows of one file are samples of their own, and those it does not have are told.
#[test]
fn slices_of_one_volume_are_samples_of_their_own() {
    let fixture = Fixture::new();
    for name in ["u1_le.nii", "i2_be.nii.gz"] {
        fs::copy(repo("tests/golden/nifti/files").join(name), fixture.path("archive").join(name)).unwrap();
    }
    let rows = [
        ("u1_le.nii", "0", "0", ""),
        ("u1_le.nii", "0", "8", ""),
        ("u1_le.nii", "2", "8", ""),
        ("i2_be.nii.gz", "1", "3", ""),
        ("u1_le.nii", "0", "9", "frame_out_of_range"),
        ("u1_le.nii", "", "", "multi_frame"),
    ];
    let lines = rows.map(|(uri, axis, index, _)| format!("{uri},{axis},{index}\n"));
    fs::write(fixture.path("archive/manifest.csv"), format!("uri,axis,index\n{}", lines.concat())).unwrap();
    fixture.run("out", &[("corrupt.corruptions", r#"["pixelate"]"#)]).unwrap();
    let quarantine = table(&fixture.path("out"), "quarantine");
    let told: Vec<_> =
        quarantine.text("manifest_row").into_iter().zip(quarantine.text("reason_code")).collect();
    let wanted = rows.iter().enumerate().filter(|(_, row)| !row.3.is_empty());
    assert_eq!(told, wanted.map(|(n, row)| (n.to_string(), row.3.to_owned())).collect::<Vec<_>>());
    let signals = table(&fixture.path("out"), "signals");
    let clean = signals.text("corruption").iter().map(|name| name == "clean").collect::<Vec<_>>();
    let divergence = signals.text("js_nats");
    let mut seen: Vec<_> =
        divergence.iter().zip(&clean).filter(|(_, clean)| **clean).map(|(js, _)| js).collect();
    assert_eq!(seen.len(), 4);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "four different pictures");
}
