use std::fs;
use std::process::Command;

use crate::support::{Fixture, in_chromium, python, repo};
use crate::tables::table;

fn evaluated(fixture: &Fixture, args: &[&str], images: &str) -> (Option<i32>, String) {
    let mut command = fixture.command(&[&["evaluate", "out/_t3b/runs/r", "--draws", "50"], args].concat());
    let done = command.env("T3B_REPORT_IMAGES", images).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.code(), said.into_owned())
}

/// Pictures of patients are in a report only where they were asked for twice, and then without a word of where they are from.
#[test]
fn pictures_are_in_a_report_that_asked_for_them_and_in_no_other() {
    let fixture = Fixture::new();
    fixture.run("out", &[("output.probs", "true"), ("merge.grid", "11")]).unwrap();
    let html = |out: &str| fs::read_to_string(fixture.path(out).join("report.html")).unwrap();

    assert_eq!(evaluated(&fixture, &["--out", "plain"], "false").0, Some(0));
    assert!(!html("plain").contains("<img"));
    let (code, said) = evaluated(&fixture, &["--out", "a", "--images", "pipeline.toml"], "false");
    assert!(code == Some(78) && said.contains("C001") && said.contains("report.images"), "{said}");
    let (code, said) = evaluated(&fixture, &["--out", "b"], "true");
    assert!(code == Some(0) && said.contains("no --images"), "{said}");
    assert_eq!(html("b"), html("plain"));

    for out in ["one", "two"] {
        let (code, said) = evaluated(&fixture, &["--out", out, "--images", "pipeline.toml"], "true");
        assert_eq!(code, Some(0), "{said}");
    }
    let page = html("one");
    assert_eq!(page, html("two"), "the same run and archive give the same bytes");
    // Clean and both corruptions of one image at least, and words for each.
    assert!(page.matches("src=\"data:image/jpeg;base64,").count() >= 3 && page.len() < 400_000);
    assert!(page.contains("pixelate 4, ") || page.contains("pixelate 1, "), "a corruption is named");
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    for uri in manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()) {
        assert!(!page.contains(uri), "{uri}");
    }
    for id in table(&fixture.path("out"), "signals").text("sample_id") {
        assert!(!page.contains(&id), "{id}");
    }

    // An archive with one image less is another.
    let fewer: Vec<&str> = manifest.lines().take(30).collect();
    fs::write(fixture.path("archive/manifest.csv"), fewer.join("\n") + "\n").unwrap();
    let (code, said) = evaluated(&fixture, &["--out", "c", "--images", "pipeline.toml"], "true");
    assert!(code == Some(78) && said.contains("E009"), "{said}");
    assert!(!fixture.path("c").exists());
    in_chromium("report.mjs", &fixture.path("one/report.html"));
}

#[test]
fn a_report_says_what_each_stage_and_each_method_took() {
    let fixture = Fixture::new();
    fixture.run("out", &[("merge.methods", r#"["pretrained","expert","wise_ft","t3","t3_b"]"#)]).unwrap();
    let attempts = table(&fixture.path("out"), "attempts");
    let number = |name: &str| attempts.number(name)[0];
    assert_eq!(["n_fetched", "n_decoded", "n_corrupted"].map(number), [40.0, 40.0, 200.0]);
    let stages =
        ["source", "decode", "corrupt", "batch", "score", "sink"].map(|stage| format!("{stage}_busy_s"));
    for stage in &stages {
        assert!(number(stage) > 0.0, "{stage}");
    }
    // What scoring consists of does not take longer than scoring.
    assert!(number("parents_busy_s") > 0.0 && number("parents_busy_s") < number("score_busy_s"));
    assert_eq!(evaluated(&fixture, &["--out", "report"], "false").0, Some(0));
    let page = fs::read_to_string(fixture.path("report/report.html")).unwrap();
    for words in [
        "Throughput by stage",
        "images decoded",
        "Cost per method",
        "both parents",
        "Spread of lambda inside batches",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let costs = page.split("Cost per method").nth(1).unwrap();
    let seconds = |method: &str| -> f64 {
        let row = costs.split(&format!("<th scope=\"row\">{method}</th><td>")).nth(1).unwrap();
        // Passes of one parent, the last cell.
        row.split("</tr>")
            .next()
            .unwrap()
            .trim_end_matches("</td>")
            .rsplit("<td>")
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    // A parent's answer is there already, and a merge is a pass of its own.
    assert!(seconds("pretrained") < 0.5 && seconds("t3_b") > seconds("pretrained"), "{costs}");
}

/// What no engine here runs is read by a parser that knows its dialect.
#[test]
fn the_questions_of_every_engine_are_of_its_dialect_and_ask_for_columns_that_are_there() {
    let Some(python) = python() else { return };
    let mut command = Command::new(python);
    let done = command.arg(repo("tests/support/sql_dialects.py")).arg(repo("deploy/sql")).output().unwrap();
    let words = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    if words.contains("No module named 'sqlglot'") {
        println!("skipped: run tests/support/setup.sh again, it brings sqlglot");
        return;
    }
    println!("{words}");
    assert!(done.status.success() && words.lines().count() == 4, "{words}");
}
