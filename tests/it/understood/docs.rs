//! The documentation is run: every `sh` block of README and docs, in order, from an empty folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use object_store::ObjectStoreExt;

use crate::s3_server::{self, Front, S3Server};
use crate::support::{python, repo, runtime};

/// A fenced block: its language, its text, and where it begins.
struct Block {
    language: String,
    text: String,
    place: String,
}

fn blocks(file: &str) -> Vec<Block> {
    let text = fs::read_to_string(repo(file)).unwrap();
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (n, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => {
                let place = format!("{file}:{}", n + 1);
                open = Some(Block { language: language.to_owned(), text: String::new(), place });
            }
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    found
}

/// README first, for later files use what its blocks leave.
fn documents() -> Vec<String> {
    let entries = fs::read_dir(repo("docs")).unwrap().flatten();
    let mut docs: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    docs.retain(|name| name.ends_with(".md"));
    docs.sort();
    ["README.md", "models/tiny/README.md"]
        .map(str::to_owned)
        .into_iter()
        .chain(docs.iter().map(|name| format!("docs/{name}")))
        .collect()
}

/// `t3b` is the binary under test; `cargo run` is it too, and `cargo test` and `bench` are not run again from here; `duckdb` is
/// Python's, where the peers are set up.
fn shims(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    symlink(env!("CARGO_BIN_EXE_t3b"), folder.join("t3b")).unwrap();
    let cargo = "#!/bin/sh\nif [ \"$1\" = run ]; then while [ \"$1\" != -- ]; do shift; done; shift; exec t3b \"$@\"; fi\necho skipped: cargo \"$@\"\n";
    let duckdb = python().map_or("#!/bin/sh\necho skipped: duckdb\n".to_owned(), |python| {
        format!("#!{}\nimport sys, duckdb\nprint(duckdb.sql(sys.argv[2]))\n", python.display())
    });
    let elsewhere = "#!/bin/sh\necho skipped: promtool\n";
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let has_promtool = std::env::split_paths(&folders).any(|folder| folder.join("promtool").is_file());
    let promtool = (!has_promtool).then_some(("promtool", elsewhere));
    for (name, text) in [("cargo", cargo), ("duckdb", duckdb.as_str())].into_iter().chain(promtool) {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn every_command_block_of_the_documentation_runs() {
    let all = tempfile::tempdir().unwrap();
    let here = all.path().join("here");
    fs::create_dir(&here).unwrap();
    for folder in ["pipelines", "config", "models", "tests", "deploy"] {
        symlink(repo(folder), here.join(folder)).unwrap();
    }
    if repo("../shared").exists() {
        symlink(repo("../shared"), all.path().join("shared")).unwrap();
    }
    shims(&all.path().join("bin"));
    let server = S3Server::start(Front::Locked, &["archive", "results"]);
    let path = format!("{}:{}", all.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let is_full = std::env::var_os("T3B_FULL").is_some();
    if !is_full {
        println!("reduced: severity 3 alone; T3B_FULL=1 for all five");
    }
    let mut n_run = 0;
    for file in documents() {
        for block in blocks(&file) {
            if block.language == "toml" {
                let name =
                    block.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
                assert!(name.ends_with(".toml"), "{}: a file without its name", block.place);
                fs::write(here.join(name), &block.text).unwrap();
            }
            if block.language != "sh" {
                let is_command = block.language != "text" && block.text.contains("t3b ");
                assert!(
                    !is_command || block.language == "toml",
                    "{} holds commands that nothing runs",
                    block.place
                );
                continue;
            }
            if block.text.contains("bccd.toml") && !repo("../shared/data/bccd").exists() {
                println!("skipped: {} needs ../shared", block.place);
                continue;
            }
            if block.text.contains("s3://archive/2026") && n_run > 0 {
                stock(&server, &here);
            }
            let severities = if is_full { "[1, 2, 3, 4, 5]" } else { "[3]" };
            let said = Command::new("bash")
                .args(["-euo", "pipefail", "-c", &block.text])
                .current_dir(&here)
                .env("PATH", &path)
                .env("AWS_ACCESS_KEY_ID", s3_server::KEY)
                .env("AWS_SECRET_ACCESS_KEY", s3_server::SECRET)
                .env("AWS_REGION", "us-east-1")
                .env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{}", server.port))
                .env("T3B_STORE_ALLOW_HTTP", "true")
                .env("T3B_CORRUPT_SEVERITIES", severities)
                .env_remove("T3B_FULL")
                .output()
                .unwrap();
            let told =
                format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            assert!(said.status.success(), "{}:\n{}\n{told}", block.place, block.text);
            n_run += 1;
        }
    }
    println!("{n_run} blocks");
    assert!(n_run >= 8);
}

/// The demo's archive as the bucket of the documentation.
fn stock(server: &S3Server, here: &Path) {
    let client = s3_server::client(server.port, "archive");
    let root = here.join("demo/archive");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let key = format!("2026/{}", entry.path().strip_prefix(&root).unwrap().display());
            let bytes = fs::read(entry.path()).unwrap();
            runtime().block_on(client.put(&key.into(), bytes.into())).unwrap();
        }
    }
}

#[test]
fn b_every_key_has_its_default_or_stands_among_those_without_one() {
    let mut defaults = BTreeSet::new();
    for file in ["pipelines/default.toml", "config/default.toml"] {
        let mut section = String::new();
        for line in fs::read_to_string(repo(file)).unwrap().lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                name.clone_into(&mut section);
            } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) {
                defaults.insert(format!("{section}.{}", key.trim()));
            }
        }
    }
    let documented = fs::read_to_string(repo("docs/settings.md")).unwrap();
    let documented: Vec<&str> = documented.lines().filter(|line| line.starts_with("| `")).collect();
    let keys = t3b::settings::known_keys();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let is_listed = documented.iter().any(|line| line.contains(&format!("`{key}`")));
        assert!(
            defaults.contains(&key) != is_listed,
            "{key} has a default: {}, is listed as without: {is_listed}",
            defaults.contains(&key)
        );
    }
}

/// Every Rust file below a folder but those of one name.
fn texts_below(folder: &Path, but: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            text += &texts_below(&entry.path(), but);
        } else if entry.path().extension().is_some_and(|ending| ending == "rs") && entry.file_name() != but {
            text += &fs::read_to_string(entry.path()).unwrap();
        }
    }
    text
}

/// A code that no test reaches is a promise that nobody keeps.
#[test]
fn every_exit_code_is_reached_by_a_test() {
    let tests = texts_below(&repo("tests/it"), "docs.rs");
    let documented = fs::read_to_string(repo("docs/errors.md")).unwrap();
    let names = [
        (0, "success()"),
        (2, "Some(2)"),
        (3, "code, 3"),
        (65, "code, 65"),
        (69, "Some(69)"),
        (70, "Exit::Bug"),
        (74, "Some(74)"),
        (75, "Some(75)"),
        (76, "Some(76)"),
        (77, "Some(77)"),
        (78, "Some(78)"),
    ];
    for (code, text) in names {
        assert!(documented.contains(&format!("| {code} |")), "{code} is not documented");
        assert!(tests.contains(text), "no test ends with {code}");
    }
    assert_eq!(
        documented
            .split("## Codes")
            .next()
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
            .count(),
        names.len()
    );
}
