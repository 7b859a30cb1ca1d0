use std::path::Path;
use std::process::Command;

use t3b::ledger::{Layout, read_plan, verify};
use t3b::report::accuracy;
use t3b::settings::{Settings, Sources};
use t3b::store::Root;

use crate::support::{Fixture, N_IMAGES, repo, runtime};
use crate::tables::table;

#[test]
fn four_readers_open_every_table_folder_as_it_lies() {
    let python = repo(".cache/py/bin/python");
    if !python.exists() {
        println!("skipped: tests/support/setup.sh has not been run");
        return;
    }
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let said = Command::new(python)
        .arg(repo("tests/support/read_folders.py"))
        .arg(fixture.path("out"))
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&said.stdout));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn a6_manifest_row_names_the_row_of_the_file_and_samples_leads_back_to_the_uri() {
    let fixture = Fixture::new();
    let manifest = std::fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let (header, rows) = manifest.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    // Every third row is of another split, so positions and rows differ.
    let is_kept = |n: usize| !n.is_multiple_of(3);
    let split = |n: usize| if is_kept(n) { "mine" } else { "other" };
    let with_split = rows.iter().enumerate().map(|(n, row)| format!("{row},{}\n", split(n)));
    let header = header.replace("split", "old_split");
    let text = format!("{header},split\n{}", with_split.collect::<String>());
    std::fs::write(fixture.path("archive/split.csv"), text).unwrap();
    let set = [("input.manifest", "split.csv"), ("input.split", "mine")];
    fixture.run("out", &set).unwrap();
    let signals = table(&fixture.path("out"), "signals");
    let (of_file, position, ids) =
        (signals.number("manifest_row"), signals.number("sample_row"), signals.text("sample_id"));
    let kept: Vec<f64> = (0..N_IMAGES).filter(|&n| is_kept(n)).map(|n| n as f64).collect();
    for n in 0..signals.n_rows {
        assert_eq!(of_file[n], kept[position[n] as usize]);
    }
    let some = (0..signals.n_rows).max_by(|&a, &b| of_file[a].total_cmp(&of_file[b])).unwrap();
    std::fs::write(fixture.path("ids.txt"), format!("{}\n", ids[some])).unwrap();
    let before = fixture.files("out");
    let said = fixture.t3b(&[
        "samples",
        "pipeline.toml",
        "--set",
        "input.manifest=split.csv",
        "--set",
        "input.split=mine",
        "--ids",
        "ids.txt",
    ]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let uri = rows[of_file[some] as usize].split(',').next().unwrap();
    assert!(said.lines().nth(1).unwrap().contains(&format!("{},{}", ids[some], of_file[some])), "{said}");
    assert!(said.contains(uri) && said.lines().count() == 2, "{said}");
    assert!(fixture.files("out") == before, "nothing of it is written");
}

#[test]
fn a_run_of_format_1_is_verified_and_read() {
    let settings = Settings::defaults(&Sources::default()).unwrap();
    let folder = repo("tests/golden/format_1").to_string_lossy().into_owned();
    let root = Root::open(&folder, false, &settings.store).unwrap();
    runtime().block_on(async {
        let plan = read_plan(&root, &Layout::new("old")).await.unwrap().unwrap();
        assert_eq!((plan.format_version, plan.facts.batch_size), (1, 4));
        let found = verify(&root, "old").await.unwrap();
        assert!(found.n_rows > 0);
        let table = accuracy(&root, &plan).await.unwrap();
        assert_eq!(table.cell("t3_b", "pixelate", 3), Some(1.0));
    });
    assert!(Path::new(&folder).join("tables/predictions").exists());
}
