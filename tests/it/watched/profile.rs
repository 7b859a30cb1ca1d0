use serde_json::Value;

use crate::support::{Fixture, N_CELLS, N_IMAGES, run_to};

#[test]
fn the_profile_accounts_for_the_whole_time_of_every_stage() {
    let fixture = Fixture::new();
    let said = fixture.t3b(&[&run_to("out")[..], &["--profile", "--json"]].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let answer: Value = serde_json::from_slice(&said.stdout).unwrap();
    let profile = &answer["process"]["profile"];
    let stages = profile["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["source", "decode", "corrupt", "batch", "score", "sink"]);
    let flowed_s = profile["flowed_s"].as_f64().unwrap();
    assert!(flowed_s > 0.0 && flowed_s <= answer["process"]["wall_s"].as_f64().unwrap());
    for stage in stages {
        let of = |key: &str| stage[key].as_f64().unwrap();
        let sum = of("busy_s") + of("starved_s") + of("blocked_s");
        assert!((sum - flowed_s).abs() < 1e-6, "{stage}");
        if stage["stage"] != "source" {
            assert!(of("queue_mean") >= 0.0 && of("queue_mean") <= of("queue_capacity"), "{stage}");
        }
    }
    let n_items: Vec<u64> = stages.iter().map(|stage| stage["n_items"].as_u64().unwrap()).collect();
    let (n_images, n_pairs) = (N_IMAGES as u64, (N_IMAGES * N_CELLS) as u64);
    assert_eq!(n_items[..3], [n_images, n_images, n_pairs]);
    assert_eq!(n_items[3..], [n_items[3]; 3], "every batch is scored and written");
    assert!(stages[1]["jobs_s"].as_f64().unwrap() > 0.0 && profile["read_bytes"].as_u64().unwrap() > 0);
    assert!(names.contains(&profile["bottleneck"].as_str().unwrap()));
}

#[test]
fn the_profile_fits_a_terminal_and_a_run_that_does_nothing_has_none() {
    let fixture = Fixture::new();
    let run = || fixture.t3b(&[&run_to("out")[..], &["--profile"]].concat());
    let text = String::from_utf8(run().stdout).unwrap();
    let (_, table) =
        text.split_once("pairs in this call").filter(|_| text.contains("queue before it")).expect(&text);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains(" holds up the others, busy "), "{text}");
    let again = String::from_utf8(run().stdout).unwrap();
    assert!(again.contains("already complete") && !again.contains("holds up"), "{again}");
}
