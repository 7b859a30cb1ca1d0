use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use super::ward::{SECRET, Ward, day};
use crate::support::Fixture;

const DATED: &str = "folders = \"%Y/%m/%d\"\nlookback_days = 2";

/// How often each pseudonym has been scored or quarantined.
fn counts(ward: &Ward) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    ward.scored().into_values().flatten().for_each(|id| *counts.entry(id).or_default() += 1);
    counts
}

#[test]
fn without_a_key_or_with_another_one_nothing_is_done() {
    let mut ward = Ward::new(DATED);
    ward.put_day(0, 3, "");
    let before = ward.everything();
    let said = ward.call(ward.command(&[]).env_remove("T3B_PSEUDONYM_KEY"));
    assert_eq!(said.code, Some(78));
    assert!(said.errors.contains("C022") && said.errors.contains("t3b key new"), "{}", said.errors);
    assert!(ward.everything() == before);
    assert_eq!(ward.night(0, &[]).code, Some(0));
    let before = ward.everything();
    let date = day(1).to_string();
    let other = "another-kqzvWpLxTnRbYcDfGhJm3X";
    let said = ward.call(ward.command(&["--date", &date]).env("T3B_PSEUDONYM_KEY", other));
    assert!(said.code == Some(78) && said.errors.contains("C023"), "{}", said.errors);
    let said = ward.night(1, &["--set", "nightly.folders=%Y/%j"]);
    assert!(said.code == Some(78) && said.errors.contains("C023"), "{}", said.errors);
    assert!(ward.everything() == before);
    // Days that cannot be meant, and manifests where readers of tables are.
    let inside = format!("nightly.manifests=s3://results-{}/out/names", ward.number);
    for (args, code) in [
        (vec!["--date", "2199-01-01"], 78),
        (vec!["--from", "2025-06-02", "--to", "2025-06-01"], 78),
        (vec!["--from", "2025-06-02"], 2),
        (vec!["--date", "2025-06-02", "--to", "2025-06-02"], 2),
        (vec!["--date", "2025-06-01", "--set", &inside], 78),
        (vec!["--date", "2025-06-01", "--set", "nightly.folders=%H"], 78),
    ] {
        let said = ward.call(&mut ward.command(&args));
        assert_eq!(said.code, Some(code), "{args:?}: {}", said.errors);
    }
    assert!(ward.everything() == before);
}

#[test]
fn two_nights_at_once_share_no_object() {
    let mut ward = Ward::new(DATED);
    ward.put_day(0, 6, "");
    ward.put_day(1, 6, "");
    let dates = [0, 1, 0, 1].map(|n| day(n).to_string());
    let children = dates.map(|date| {
        let mut command = ward.command(&["--date", &date]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for child in children {
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    let counts = counts(&ward);
    assert_eq!(counts.len(), 12);
    assert!(counts.values().all(|n| *n == 1), "{counts:?}");
}

#[test]
fn a_withdrawn_night_is_scored_anew_and_an_old_archive_is_filled_up() {
    let mut ward = Ward::new(DATED);
    for n in [0, 1, 10] {
        ward.put_day(n, 4, "");
    }
    assert_eq!(ward.night(10, &[]).code, Some(0));
    let first = ward.scored();
    let gone = format!("s3://results-{}/out/_t3b/runs/ward-{}", ward.number, day(10));
    assert_eq!(ward.call(&mut ward.t3b(&["discard", &gone, "--delete"])).code, Some(0));
    assert!(ward.scored().is_empty());
    // An object that came meanwhile is another night's.
    ward.put_day(10, 1, "later");
    let said = ward.night(10, &["--set", "merge.gamma=1.5"]);
    assert!(said.code == Some(0) && !said.line.contains("already"), "{} {}", said.line, said.errors);
    assert_eq!(ward.scored(), first);
    // Days before the first night, oldest first; then a day that others have taken all of.
    let (from, to) = (day(0).to_string(), day(2).to_string());
    let said = ward.call(&mut ward.command(&["--from", &from, "--to", &to]));
    assert_eq!(said.code, Some(0), "{} {}", said.line, said.errors);
    assert_eq!(said.line.lines().filter(|line| line.contains("4 objects")).count(), 2, "{}", said.line);
    assert!(said.line.lines().last().unwrap().contains("empty"), "{}", said.line);
    assert!(ward.night(11, &[]).line.contains("1 objects (1 late"));
    assert!(counts(&ward).values().all(|n| *n == 1));
    assert_eq!(ward.night(3, &["--set", "nightly.keep=5"]).code, Some(99));
    ward.put_day(3, 1, "");
    let said = ward.night(3, &["--set", "nightly.keep=5"]);
    assert!(said.code == Some(78) && said.errors.contains("nightly.keep"), "{}", said.errors);
}

/// Who calls for the next date only would never hear of it.
#[test]
fn a_night_that_another_call_takes_up_keeps_its_line_and_its_alarm() {
    let mut ward = Ward::new(DATED);
    ward.put_day(0, 4, "");
    ward.put(&format!("{}/broken.png", day(0).format("%Y/%m/%d")), b"no image".to_vec());
    let strict = ["--set", "run.max_quarantine=0"];
    let date = day(0).to_string();
    // Dead somewhere behind its record and before its end.
    for at in 20.. {
        let mut command = ward.command(&[&["--date", &date], &strict[..]].concat());
        command.env("T3B_CRASH_AT", format!("after:{at}")).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(command.status().unwrap().code(), None);
        if ward.everything().keys().any(|key| key.ends_with("log/000001.json")) {
            break;
        }
    }
    assert!(ward.state(0).is_none());
    let said = ward.night(1, &strict);
    assert_eq!(said.code, Some(3), "{} {}", said.line, said.errors);
    let lines: Vec<&str> = said.line.lines().collect();
    assert!(lines[0].contains(&date) && lines[0].contains("ALARM over run.max_quarantine"), "{}", said.line);
    assert!(lines[1].contains(&day(1).to_string()) && lines[1].contains("empty"), "{}", said.line);
}

#[test]
fn drift_that_cannot_be_looked_for_because_the_classes_changed_is_said() {
    let mut ward = Ward::new(DATED);
    ward.put_day(0, 8, "");
    assert!(ward.night(0, &[]).line.contains("no night to compare with"));
    ward.put_day(1, 8, "");
    let names = r#"labels.names=["red blood cell", "white blood cell", "thrombocyte", "plasma background"]"#;
    let said = ward.night(1, &["--set", names]);
    assert!(
        said.code == Some(0) && said.line.contains("none of the 1 nights before has these classes"),
        "{}",
        said.line
    );
}

#[test]
fn a_night_that_cannot_be_finished_is_given_up_and_the_next_takes_its_objects() {
    let mut ward = Ward::new(DATED);
    ward.put_day(0, 5, "");
    assert_eq!(ward.night(0, &[]).code, Some(0));
    ward.put_day(1, 5, "");
    let date = day(1).to_string();
    let frozen = |ward: &Ward| ward.everything().keys().any(|key| key.ends_with("log/000002.json"));
    // Dead right behind its record.
    for at in 20.. {
        let mut command = ward.command(&["--date", &date]);
        command.env("T3B_CRASH_AT", format!("after:{at}")).stdout(Stdio::null()).stderr(Stdio::null());
        assert_eq!(command.status().unwrap().code(), None);
        if frozen(&ward) {
            break;
        }
    }
    assert!(ward.state(1).is_none());
    ward.lose_manifests(&date);
    let said = ward.night(2, &[]);
    assert!(
        said.code == Some(65) && said.errors.contains("M032") && said.errors.contains("--give-up"),
        "{}",
        said.errors
    );
    let said = ward.night(1, &["--give-up"]);
    assert!(said.code == Some(0) && said.line.contains("5 objects"), "{} {}", said.line, said.errors);
    assert_eq!(ward.night(1, &["--give-up"]).code, Some(2));
    // Beyond the lookback of two days.
    let said = ward.night(6, &[]);
    assert!(said.line.contains("ok; 5 objects"), "{} {}", said.line, said.errors);
    let counts = counts(&ward);
    assert!(counts.len() == 10 && counts.values().all(|n| *n == 1), "{counts:?}");
}

/// A pipeline over a local folder, listed whole.
fn local(nightly: &str) -> Fixture {
    let fixture = Fixture::new();
    let pipeline = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let (head, tail) = pipeline.split_once("[corrupt]").unwrap();
    let output = tail.split_once("[output]").unwrap().1;
    let pipeline = format!("{head}[nightly]\n{nightly}\n\n[output]{output}");
    fs::write(fixture.path("pipeline.toml"), pipeline).unwrap();
    fixture
}

fn call(fixture: &Fixture, date: &str) -> (Option<i32>, String) {
    let args = ["nightly", "pipeline.toml", "--date", date, "--json", "--exit-when-empty", "99"];
    let said = fixture.command(&args).env("T3B_PSEUDONYM_KEY", SECRET).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    (said.status.code(), text)
}

#[test]
fn a_touched_file_is_not_another_one_where_bytes_are_compared() {
    let fixture = local("identity = \"sha256\"");
    let (code, text) = call(&fixture, "2025-06-01");
    // Forty images and the archive's own manifest, which is left out.
    assert!(
        code == Some(0) && text.contains("\"n_new\":41,") && text.contains("\"n_samples\":40,"),
        "{text}"
    );
    assert!(fixture.path("nights/fixture").read_dir().unwrap().count() == 1);
    let mut images: Vec<_> =
        fixture.path("archive/images").read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    images.sort();
    let rewrite = |place: usize, bytes: &[u8]| {
        fs::remove_file(&images[place]).unwrap();
        fs::write(&images[place], bytes).unwrap();
        let file = fs::File::options().write(true).open(&images[place]).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        file.set_modified(later).unwrap();
    };
    rewrite(0, &fs::read(&images[0]).unwrap());
    let (code, text) = call(&fixture, "2025-06-02");
    assert_eq!(code, Some(99), "{text}");
    rewrite(1, &fs::read(&images[2]).unwrap());
    let (code, text) = call(&fixture, "2025-06-03");
    assert!(code == Some(0) && text.contains("\"n_changed\":1,") && text.contains("\"n_new\":0,"), "{text}");
    let (code, text) = call(&fixture, "2025-06-03");
    assert!(code == Some(0) && text.contains("already_done"), "{text}");
}

#[test]
fn manifests_that_land_are_taken_row_by_row() {
    let fixture = local("from = \"manifests\"\nincoming = \"landed\"");
    let whole = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    fs::create_dir(fixture.path("landed")).unwrap();
    let land = |name: &str, lines: &[&str]| {
        fs::write(fixture.path("landed").join(name), lines.join("\n") + "\n").unwrap();
    };
    assert_eq!(call(&fixture, "2025-06-01").0, Some(99));
    land("a.csv", &lines[..21]);
    let (code, text) = call(&fixture, "2025-06-02");
    assert!(code == Some(0) && text.contains("\"n_new\":20,"), "{text}");
    assert_eq!(call(&fixture, "2025-06-03").0, Some(99));
    // Ten rows again, and twenty new ones, of which five are named twice.
    land("b.csv", &[&lines[..1], &lines[11..36]].concat());
    land("c.csv", &[&lines[..1], &lines[31..]].concat());
    let (code, text) = call(&fixture, "2025-06-04");
    assert!(
        code == Some(0) && text.contains("\"n_new\":20,") && text.contains("\"n_samples\":20,"),
        "{text}"
    );
    // Ids are the manifest's own, and a bad manifest stops nothing before it.
    land("d.csv", &["path", "x.png"]);
    let (code, text) = call(&fixture, "2025-06-05");
    assert!(code == Some(65) && text.contains("M002"), "{text}");
    fs::remove_file(fixture.path("landed/d.csv")).unwrap();
    assert_eq!(call(&fixture, "2025-06-05").0, Some(99));
}

#[test]
fn no_name_of_the_archive_is_in_what_a_night_leaves_or_says() {
    let mut ward = Ward::new(&format!("{DATED}\nlabels_from_folders = false"));
    let folder = day(0).format("%Y/%m/%d").to_string();
    for (name, k) in
        [("ZQXDOE^JOHN/ZQXSCAN.png", 0), ("ZQXWARD/ZQXCUT.png", 1), ("ZQXWARD/note.zqxending", 2)]
    {
        let mut picture = ward.picture();
        picture.truncate(if k == 1 { 60 } else { picture.len() });
        ward.put(&format!("{folder}/{name}"), picture);
    }
    let date = day(0).to_string();
    let said = ward.call(ward.command(&["--date", &date]).env("RUST_LOG", "trace"));
    assert_eq!(said.code, Some(3), "{}", said.errors);
    let picture = ward.picture();
    ward.put(&format!("{folder}/ZQXDOE^JOHN/ZQXSCAN.png"), picture);
    let date = day(1).to_string();
    let second = ward.call(ward.command(&["--date", &date]).env("RUST_LOG", "trace"));
    assert!(second.line.contains("1 changed"), "{} {}", second.line, second.errors);
    let mut heard: Vec<(String, Vec<u8>)> = ward
        .everything()
        .into_iter()
        .filter(|(key, _)| key.starts_with("results/"))
        .flat_map(|(key, bytes)| {
            [(key.clone(), key.clone().into_bytes()), (key, crate::private_data::unpacked(bytes))]
        })
        .collect();
    for said in [&said, &second] {
        heard.push(("said".to_owned(), (said.line.clone() + &said.errors).into_bytes()));
    }
    for (place, bytes) in &heard {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        assert!(!text.contains("zqx"), "{place}");
        assert!(!text.contains(&SECRET.to_lowercase()), "{place}");
    }
    let manifests = ward.everything().into_iter().filter(|(key, _)| key.starts_with("private/"));
    let planted = manifests.filter(|(_, bytes)| {
        String::from_utf8_lossy(&crate::private_data::unpacked(bytes.clone())).contains("ZQX")
    });
    assert_eq!(planted.count(), 2, "the frozen manifests have the names");
}
