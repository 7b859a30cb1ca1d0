use std::fs;
use std::process::Command;

use super::program;
use crate::support::repo;

fn text(name: &str) -> String {
    fs::read_to_string(repo(name)).unwrap()
}

#[test]
fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    let Some(promtool) = program("promtool") else { return };
    let folder = repo("deploy/prometheus");
    for args in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let said = Command::new(&promtool).args(args).current_dir(&folder).output().unwrap();
        assert!(
            said.status.success(),
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
    }
    // A rule over a name that nothing writes would never fire.
    let page = text("src/watch/page.rs") + &text("src/store/meter.rs") + &text("src/flow/found.rs");
    for word in text("deploy/prometheus/rules.yml").split(|c: char| !c.is_alphanumeric() && c != '_') {
        let is_metric = word.starts_with("t3b_");
        assert!(!is_metric || page.contains(&format!("\"{word}\"")), "{word}");
    }
}

#[test]
fn systemd_takes_the_unit_and_leaves_it_few_rights() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let scratch = tempfile::tempdir().unwrap();
    for name in ["t3b-nightly@.service", "t3b-nightly@.timer"] {
        // The program and its page are where the package puts them, which is not on every machine.
        let unit = text(&format!("deploy/systemd/{name}")).replace("/usr/bin/t3b", "/bin/true");
        let unit: String = unit
            .lines()
            .filter(|line| !line.starts_with("Documentation="))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(scratch.path().join(name), unit).unwrap();
    }
    let said = Command::new(&analyze)
        .args(["verify", "t3b-nightly@.service", "t3b-nightly@.timer"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && told.is_empty(), "{told}");
    let said = Command::new(&analyze)
        .args(["security", "--offline=true", "--threshold=20", "t3b-nightly@.service"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// Every scheduler is told the same of every exit code.
#[test]
fn schedulers_try_again_what_can_be_mended_by_it_and_nothing_else() {
    let documented = text("docs/errors.md");
    let rows = documented.split("## Codes").next().unwrap().lines();
    let codes: Vec<(&str, &str)> = rows
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(code, _)| code.chars().all(|c| c.is_ascii_digit()))
        .collect();
    assert!(codes.len() >= 11, "{codes:?}");
    let unit = text("deploy/systemd/t3b-nightly@.service");
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    let prevented: Vec<&str> = prevented.split(' ').collect();
    for (code, meaning) in codes {
        let resumes = meaning.contains("run the same command again");
        let is_success = ["0", "99"].contains(&code);
        assert_eq!(prevented.contains(&code), !resumes && !is_success, "{code}: systemd");
        assert_eq!(["74", "75"].contains(&code), resumes, "{code}");
    }
    let job = text("deploy/k8s/nightly.yaml");
    assert!(job.contains("values: [74, 75]") && job.contains("values: [0, 74, 75]"));
    assert!(text("deploy/airflow/t3b_nightly.py").contains("TRY_AGAIN = (74, 75)"));
}
