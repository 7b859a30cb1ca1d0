//! What the program says of itself, compared with what it does: by an independent validator, by bash, by its own reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fixture, python, repo};

fn printed(fixture: &Fixture, args: &[&str]) -> String {
    let said = fixture.t3b(args);
    assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// What Python's `jsonschema` says of each file: `ok`, or the first error.
fn validated(fixture: &Fixture, kind: &str, files: &[PathBuf]) -> Option<Vec<String>> {
    let python = python()?;
    fs::write(fixture.path("schema.json"), printed(fixture, &["schema", kind])).unwrap();
    let script = repo("tests/support/validate_settings.py");
    let said =
        Command::new(python).arg(script).arg(fixture.path("schema.json")).args(files).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let lines: Vec<String> = String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), files.len());
    Some(lines)
}

/// Every TOML file below a folder but the lists of labels, which are neither kind.
fn shipped(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("labels") {
            found.extend(shipped(&path));
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_shipped_file_is_valid_by_its_schema_and_only_by_its_own() {
    let fixture = Fixture::new();
    for (kind, folder, other, at_least) in
        [("pipeline", "pipelines", "config", 20), ("config", "config", "pipelines", 4)]
    {
        let files = shipped(&repo(folder));
        assert!(files.len() >= at_least, "{files:?}");
        let Some(lines) = validated(&fixture, kind, &files) else { return };
        for (file, line) in files.iter().zip(lines) {
            assert_eq!(line, "ok", "{}", file.display());
        }
        let others = shipped(&repo(other));
        let lines = validated(&fixture, kind, &others).unwrap();
        assert!(lines.iter().all(|line| line != "ok"), "{lines:?}");
    }
}

/// One key at a time: what the reader refuses the schema refuses too, and what it takes passes.
#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let fixture = Fixture::new();
    let own = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let own: toml::Table = own.parse().unwrap();
    let cases: [(&str, &str, bool); 26] = [
        ("run.batch_size", "4", true),
        ("run.batch_size", "0", false),
        ("run.batch_size", "\"8\"", false),
        ("run.batch_sise", "8", false),
        ("run.partition_size", "\"auto\"", true),
        ("run.partition_size", "\"all\"", false),
        ("run.name", "\"Night\"", false),
        ("run.max_quarantine", "1.5", false),
        ("run.max_quarantine", "1", true),
        ("decode.window", "[40, 400]", true),
        ("decode.window", "[40]", false),
        ("decode.window", "\"lung\"", false),
        ("labels.names", "[\"a\"]", false),
        ("labels.templates", "[\"cells\"]", false),
        ("models.expert_sha256", "\"00\"", false),
        ("models.preprocess.std", "[0.2, 0.2, 0.0]", false),
        ("models.preprocess.fill_color", "[0, 0, 256]", false),
        ("models.preprocess.crop", "\"center\"", false),
        ("corrupt.suite", "\"teamnist\"", false),
        ("corrupt.severities", "[1, 1]", false),
        ("corrupt.rng", "\"dice\"", false),
        ("merge.methods", "[\"t3_b\", \"t3_c\"]", false),
        ("merge.grid", "11", true),
        ("merge.grid", "12", false),
        ("merge.gamma", "nan", false),
        ("output.probs", "1", false),
    ];
    let mut files = Vec::new();
    for (n, (key, value, is_fine)) in cases.iter().enumerate() {
        let mut table = own.clone();
        let (section, name) = key.rsplit_once('.').unwrap();
        let mut at = &mut table;
        for part in section.split('.') {
            at = at.entry(part).or_insert(toml::Table::new().into()).as_table_mut().unwrap();
        }
        at.insert(name.to_owned(), value.parse().unwrap());
        let path = fixture.path(&format!("case{n}.toml"));
        fs::write(&path, table.to_string()).unwrap();
        let said = fixture.t3b(&["config", "show", path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.success(), *is_fine, "{key} = {value}: {text}");
        files.push(path);
    }
    let Some(lines) = validated(&fixture, "pipeline", &files) else { return };
    for ((key, value, is_fine), line) in cases.iter().zip(lines) {
        // JSON has no number that is none, so a validator lets one pass.
        assert!((line == "ok") == *is_fine || *value == "nan", "{key} = {value}: {line}");
    }
}

#[test]
fn settings_in_force_are_shown_with_where_they_come_from() {
    let fixture = Fixture::new();
    let said = fixture
        .command(&["config", "show", "pipeline.toml", "--set", "merge.gamma=0.7"])
        .env("T3B_LOG_EVERY_S", "7")
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("merge.gamma").contains("= 0.7 ") && line("merge.gamma").ends_with("# flag"), "{text}");
    assert!(line("log.every_s").contains("= 7 ") && line("log.every_s").ends_with("# $T3B_LOG_EVERY_S"));
    assert!(line("run.batch_size").ends_with("# pipeline.toml"));
    assert!(line("run.seed").ends_with("# default"));
    // Without a pipeline the config keys alone, each as one object.
    let text = printed(&fixture, &["config", "show", "--set", "threads.io=3", "--json"]);
    let keys: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let io = keys.iter().find(|key| key["key"] == "threads.io").unwrap();
    assert_eq!((io["value"].as_i64(), io["origin"].as_str()), (Some(3), Some("flag")));
    assert!(keys.iter().all(|key| !key["key"].as_str().unwrap().starts_with("run.")));
    for (kind, file) in [("config", "config/default.toml"), ("pipeline", "pipelines/default.toml")] {
        let text = printed(&fixture, &["config", "show", &format!("--default={kind}")]);
        let shipped = fs::read_to_string(repo(file)).unwrap();
        assert_eq!(text, format!("# {file}\n{shipped}"));
        assert!(printed(&fixture, &["config", "show", "--default"]).contains(&text));
    }
}

#[test]
fn shells_complete_and_every_command_has_a_page() {
    let fixture = Fixture::new();
    let script = printed(&fixture, &["completions", "bash"]);
    fs::write(fixture.path("t3b.bash"), script).unwrap();
    let ask = "source ./t3b.bash; COMP_WORDS=(t3b fin); COMP_CWORD=1; _t3b t3b fin t3b; echo ${COMPREPLY[@]}";
    let said = Command::new("bash").args(["-c", ask]).current_dir(fixture.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "finalize");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&fixture, &["completions", shell]).contains("finalize"), "{shell}");
    }
    printed(&fixture, &["man", "pages"]);
    let help = printed(&fixture, &["--help"]);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<&str> = commands.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let page = fs::read_to_string(fixture.path(&format!("pages/t3b-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("Example: "), "{command}");
    }
    let page = printed(&fixture, &["man"]);
    assert!(page.contains("Exit codes") && fs::read_to_string(fixture.path("pages/t3b.1")).unwrap() == page);
    assert!(!fixture.path("pages/t3b-__decode.1").exists());
}
