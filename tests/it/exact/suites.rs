use crate::support::Fixture;
use crate::tables::table;

/// Predictions of one corruption: sample, severity, method, probability; sorted.
fn rows(fixture: &Fixture, out: &str, corruption: &str) -> Vec<[String; 4]> {
    let predictions = table(&fixture.path(out), "predictions");
    let names = predictions.text("corruption");
    let columns = ["sample_id", "severity", "method", "pred_prob"].map(|name| predictions.text(name));
    let chosen = (0..predictions.n_rows).filter(|&n| names[n] == corruption);
    let mut rows: Vec<[String; 4]> =
        chosen.map(|n| columns.each_ref().map(|column| column[n].clone())).collect();
    rows.sort();
    assert!(!rows.is_empty(), "{corruption} was scored");
    rows
}

#[test]
fn a_user_defined_corruption_equals_the_built_in_one_with_the_same_parameters() {
    let fixture = Fixture::new();
    let own = r#"[{ name = "blocks", kind = "pixelate", parameters = [0.7, 0.5, 0.4, 0.3, 0.25] }]"#;
    fixture
        .run("out", &[("corrupt.custom", own), ("corrupt.corruptions", r#"["pixelate", "blocks"]"#)])
        .unwrap();
    assert_eq!(rows(&fixture, "out", "blocks"), rows(&fixture, "out", "pixelate"));
    assert_ne!(rows(&fixture, "out", "blocks")[..8], rows(&fixture, "out", "clean")[..8]);
}

#[test]
fn parameters_that_make_no_sense_are_refused_by_position() {
    let fixture = Fixture::new();
    for own in [
        r#"[{ name = "x", kind = "pixelate", parameters = [0.7] }]"#,
        r#"[{ name = "x", kind = "pixelate", parameters = [0.7, 0.5, 0.4, 0.3, 2.0] }]"#,
        r#"[{ name = "X y", kind = "pixelate", parameters = [0.7, 0.5, 0.4, 0.3, 0.2] }]"#,
        r#"[{ name = "x", kind = "fog_of_war", parameters = [1, 2, 3, 4, 5] }]"#,
        r#"[{ name = "x", kind = "gaussian_blur", parameters = [2, 3, 5, 7, 9] }]"#,
    ] {
        let error = fixture.spec(&[("corrupt.custom", own)]).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("corrupt.custom[0]: found") && said.contains("allowed name"), "{own}: {said}");
    }
}

#[test]
fn corrupting_before_the_resize_changes_corrupted_rows_and_no_clean_one() {
    let fixture = Fixture::new();
    fixture.run("model", &[]).unwrap();
    fixture.run("source", &[("corrupt.at", "source")]).unwrap();
    assert_eq!(rows(&fixture, "model", "clean"), rows(&fixture, "source", "clean"));
    assert_ne!(rows(&fixture, "model", "gaussian_noise"), rows(&fixture, "source", "gaussian_noise"));
}

#[test]
fn a_grey_suite_can_keep_the_noise_at_its_nominal_strength() {
    let fixture = Fixture::new();
    let grey =
        [("corrupt.suite", "organamnist"), ("corrupt.corruptions", r#"["gaussian_noise", "pixelate"]"#)];
    fixture.run("luma", &grey).unwrap();
    fixture.run("native", &[grey[0], grey[1], ("corrupt.grey", "native")]).unwrap();
    assert_ne!(rows(&fixture, "luma", "gaussian_noise"), rows(&fixture, "native", "gaussian_noise"));
    assert_eq!(rows(&fixture, "luma", "pixelate"), rows(&fixture, "native", "pixelate"));
}

#[test]
fn every_suite_scores() {
    let fixture = Fixture::new();
    for suite in t3b_corrupt::Suite::names() {
        let all = t3b_corrupt::Suite::named(suite).unwrap();
        let names: Vec<&str> = all.entries().iter().map(|entry| entry.name).collect();
        let names = format!("{names:?}");
        let out = suite.replace('-', "_");
        fixture
            .run(
                &out,
                &[
                    ("corrupt.suite", *suite),
                    ("corrupt.corruptions", &names),
                    ("corrupt.severities", "[1]"),
                    ("merge.methods", r#"["t3_b"]"#),
                ],
            )
            .unwrap();
        assert_eq!(
            table(&fixture.path(&out), "predictions").n_rows,
            40 * (all.entries().len() + 1),
            "{suite}"
        );
    }
}
