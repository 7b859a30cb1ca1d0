use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{collector, fed};
use crate::support::{Fixture, N_CELLS, N_IMAGES, N_METHODS, python, repo, run_to};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lineage_tells_beginning_end_and_failure_to_a_file_and_a_server() {
    let fixture = Fixture::new();
    let file = fixture.path("lineage.jsonl");
    let (port, taken) = collector();
    let mut command = fixture.command(&run_to("out"));
    command.env("T3B_LINEAGE_FILE", &file).env("OPENLINEAGE_API_KEY", "k3y");
    command.env("T3B_LINEAGE_URL", format!("http://127.0.0.1:{port}/api/v1/lineage"));
    assert!(command.output().unwrap().status.success());
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|(head, _)| head.starts_with("POST /api/v1/lineage ")), "{taken:?}");
    assert!(taken.iter().all(|(head, _)| head.to_lowercase().contains("authorization: bearer k3y")));
    // A run that nothing can come of.
    let gone = "uri\n".to_owned() + &(0..N_IMAGES).map(|n| format!("gone{n}.png\n")).collect::<String>();
    fs::write(fixture.path("archive/manifest.csv"), gone).unwrap();
    let said = fixture.command(&run_to("other")).env("T3B_LINEAGE_FILE", &file).output().unwrap();
    assert_eq!(said.status.code(), Some(65));

    let events = lines(&file);
    let posted: Vec<Value> = taken.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(events[..2], posted[..]);
    let kinds: Vec<&str> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["START", "COMPLETE", "START", "FAIL"]);
    let id = |n: usize| events[n]["run"]["runId"].as_str().unwrap();
    assert!(id(0) == id(1) && id(2) == id(3) && id(0) != id(2));
    let n_rows =
        |n: usize| events[1]["outputs"][n]["outputFacets"]["outputStatistics"]["rowCount"].as_u64().unwrap();
    assert_eq!(n_rows(0) as usize, N_IMAGES * N_CELLS * N_METHODS);
    assert_eq!(n_rows(1) as usize, N_IMAGES * N_CELLS);
    let error = events[3]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(error.starts_with("error[M031]"), "{error}");
    let Some(python) = python() else { return };
    let script = repo("tests/support/lineage.py");
    let (is_fine, said) = fed(Command::new(python).arg(script), &fs::read_to_string(&file).unwrap());
    assert!(is_fine, "{said}");
    assert_eq!(said, "START fixture 0\nCOMPLETE fixture 2\nSTART fixture 0\nFAIL fixture 0\n");
}

/// The names of everything inside a message, so that two of a kind are compared by form.
fn form(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(inner) => {
            inner.iter().for_each(|(name, value)| form(value, &format!("{at}.{name}"), found))
        }
        _ => drop(found.insert(at.to_owned())),
    }
}

#[test]
fn dagster_is_told_what_its_own_package_would_tell() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    let script = repo("tests/support/pipes.py");
    let own = fixture.path("own.jsonl");
    let said =
        Command::new(&python).arg(&script).args(["variables".as_ref(), own.as_os_str()]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    let variables: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(variables.len(), 2);
    let run = fixture.command(&run_to("out")).envs(variables.clone()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let theirs = fixture.path("theirs.jsonl");
    let said =
        Command::new(&python).arg(&script).args(["messages".as_ref(), theirs.as_os_str()]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    let (ours, theirs) = (lines(&own), lines(&theirs));
    let methods = |messages: &[Value]| {
        messages.iter().map(|message| message["method"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(methods(&ours), methods(&theirs));
    for (our, their) in ours.iter().zip(&theirs) {
        let mut forms = [BTreeSet::new(), BTreeSet::new()];
        form(our, "", &mut forms[0]);
        form(their, "", &mut forms[1]);
        let missing: Vec<_> = forms[1].difference(&forms[0]).collect();
        assert!(missing.is_empty(), "{missing:?} are not in {our}");
        assert_eq!(our["__dagster_pipes_version"], their["__dagster_pipes_version"]);
    }
    let report = ours.iter().find(|message| message["method"] == "report_asset_materialization").unwrap();
    let metadata = &report["params"]["metadata"];
    assert_eq!(metadata["n_scored"]["raw_value"].as_u64().unwrap() as usize, N_IMAGES * N_CELLS);
    assert_eq!(report["params"]["asset_key"], "scores");
    // What ends badly closes with why.
    fs::remove_file(fixture.path("own.jsonl")).unwrap();
    let gone = "uri\n".to_owned() + &(0..N_IMAGES).map(|n| format!("gone{n}.png\n")).collect::<String>();
    fs::write(fixture.path("archive/manifest.csv"), gone).unwrap();
    assert_eq!(fixture.command(&run_to("other")).envs(variables).output().unwrap().status.code(), Some(65));
    let last = lines(&own).pop().unwrap();
    assert_eq!(
        (last["method"].as_str(), last["params"]["exception"]["name"].as_str()),
        (Some("closed"), Some("M031"))
    );
}
