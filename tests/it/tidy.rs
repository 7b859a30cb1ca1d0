use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repo;

/// Rust files below a folder, with their paths relative to the repository.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&repo(folder), &mut found);
    let root = repo("");
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let mut files: Vec<_> =
        found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The part of a file before its unit tests, without comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = before_tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Only files below one of `homes` may hold `word` in `src/`.
fn only(word: &str, homes: &[&str]) {
    for (name, text) in sources("src") {
        let at_home = homes.iter().any(|home| name.starts_with(home));
        assert!(at_home || !code(&text).contains(word), "{name} holds `{word}`; only {homes:?} may");
    }
}

#[test]
fn each_library_is_known_by_few_modules() {
    only("clap::", &["src/cli", "src/main.rs"]);
    only("toml::", &["src/spec"]);
    only(
        "arrow::",
        &[
            "src/sink",
            "src/evaluate",
            "src/source/rows.rs",
            "src/source/archive/table.rs",
            "src/source/catalog",
        ],
    );
    only(
        "parquet::",
        &[
            "src/sink",
            "src/evaluate",
            "src/source/rows.rs",
            "src/source/archive/table.rs",
            "src/source/catalog",
        ],
    );
    only("tar::", &["src/source/shard.rs"]);
    only("candle", &["src/model", "src/merge", "src/score"]);
    only("image::", &["src/decode", "src/demo", "src/regenerate"]);
    only("zip::", &["src/npz", "src/model/convert.rs"]);
    only("png::", &["src/decode", "src/demo", "src/regenerate"]);
    only("reqwest::", &["src/store/direct.rs"]);
    // A path type is all that others may have of the store's client.
    for (name, text) in sources("src") {
        let other = code(&text).replace("object_store::path::Path", "");
        let at_home = name.starts_with("src/store");
        let filter = name == "src/cli/commands.rs" && other.matches("object_store").count() == 1;
        assert!(at_home || filter || !other.contains("object_store"), "{name} speaks to object_store");
    }
}

#[test]
fn nothing_is_unbounded_or_unordered() {
    for word in ["unbounded(", "force_send", "buffer_unordered", "FuturesUnordered"] {
        only(word, &[]);
    }
    only("tokio::spawn(", &["src/run", "src/cli"]);
    only("spawn_blocking", &["src/run"]);
    only("thread::spawn", &[]);
    only(
        "thread::Builder",
        &["src/main.rs", "src/run", "src/model/convert.rs", "src/decode/worker/serve.rs"],
    );
}

#[test]
fn unsafe_code_has_one_home() {
    only("unsafe ", &["src/merge/stream.rs"]);
    only("unsafe_code", &["src/merge/stream.rs"]);
}

#[test]
fn evaluation_never_loads_a_model_and_dependencies_point_one_way() {
    only_not("src/evaluate", &["crate::model", "crate::merge", "crate::score"]);
    only_not("src/model", &["crate::merge", "crate::score", "crate::ledger", "crate::run", "crate::source"]);
    only_not("src/merge", &["crate::score", "crate::ledger", "crate::run", "crate::source"]);
    only_not("src/source", &["crate::decode", "crate::score", "crate::ledger"]);
    only_not("src/decode", &["crate::source", "crate::corrupt", "crate::score", "crate::ledger"]);
    only_not("src/corrupt", &["crate::source", "crate::score", "crate::ledger"]);
}

fn only_not(home: &str, words: &[&str]) {
    for (name, text) in sources(home) {
        for word in words {
            assert!(!code(&text).contains(word), "{name} reaches back to {word}");
        }
    }
}

#[test]
fn files_are_one_idea_each() {
    for (name, text) in sources("src").into_iter().chain(sources("tests")) {
        let n_lines = text.lines().count();
        assert!(n_lines <= 500, "{name} has {n_lines} lines");
    }
}

#[test]
fn errors_are_not_unwrapped_outside_tests() {
    for (name, text) in sources("src") {
        assert!(!code(&text).contains(".unwrap()"), "{name}");
    }
}

#[test]
fn every_dependency_says_why() {
    let text = fs::read_to_string(repo("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut commented = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if line.starts_with('#') {
            commented = true;
            continue;
        } else if in_dependencies && line.contains(" = ") && !line.starts_with("candle-") {
            assert!(commented, "{line} has no comment");
        }
        commented = false;
    }
}

#[test]
fn every_error_code_is_documented() {
    let documented = fs::read_to_string(repo("docs/errors.md")).unwrap();
    for (name, text) in sources("src") {
        for part in code(&text).split("Problem::new(\"").skip(1) {
            let found = part.split('"').next().unwrap();
            assert!(documented.contains(&format!("| {found} |")), "{name}: {found} is not in docs/errors.md");
        }
    }
}
