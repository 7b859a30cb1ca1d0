use std::collections::{BTreeMap, BTreeSet};
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
    let before_tests = text.split("[cfg(test)]").next().unwrap_or_default();
    let lines = before_tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Only files below one of `homes` may hold `word` in `src/`.
fn only(word: &str, homes: &[&str]) {
    for (name, text) in sources("src") {
        let at_home = homes.iter().any(|home| name.starts_with(home));
        // A crate of ours whose name ends like a library's.
        let held = code(&text).replace("t3b_image::", "").contains(word);
        assert!(at_home || !held, "{name} holds `{word}`; only {homes:?} may");
    }
}

#[test]
fn each_library_is_known_by_few_modules() {
    let parquet = [
        "src/tables",
        "src/ledger",
        "src/report",
        "src/source/rows",
        "src/source/archive",
        "src/source/catalog",
        "src/source/manifest",
        "src/source/spool.rs",
    ];
    only("clap::", &["src/cli", "src/main.rs"]);
    only("toml::", &["src/settings"]);
    only("arrow::", &parquet);
    only("parquet::", &parquet);
    only("tar::", &["src/source/shard.rs"]);
    only("candle", &["src/model", "src/merge", "src/score"]);
    only("image::", &["src/demo", "src/job/pictures.rs"]);
    only("zip::", &["src/model/pickle"]);
    only("png::", &["src/demo"]);
    only("reqwest::", &["src/store/direct.rs", "src/watch/post.rs"]);
    only("hyper::", &["src/watch/endpoint.rs"]);
    only("prometheus::", &["src/flow/found.rs", "src/store/meter.rs", "src/watch/page.rs"]);
    // A path type is all that others may have of the store's client.
    for (name, text) in sources("src") {
        let other = code(&text).replace("object_store::path::Path", "");
        let at_home = name.starts_with("src/store");
        let filter = name == "src/cli/opening.rs" && other.matches("object_store").count() == 1;
        assert!(at_home || filter || !other.contains("object_store"), "{name} speaks to object_store");
    }
}

/// Rooms of `src` that each room's code names, tests left out.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources("src");
    let room = |name: &str| name.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
    let known: BTreeSet<String> = sources.iter().map(|(name, _)| room(name)).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in &sources {
        let (from, code) = (room(name), code(text));
        let named = code.split("crate::").skip(1).flat_map(|rest| {
            // Both `crate::room::thing` and `crate::{room::thing, other}` name rooms.
            let group = rest.strip_prefix('{').and_then(|list| list.split('}').next());
            let list = group.unwrap_or(rest).split(',').take(if group.is_some() { usize::MAX } else { 1 });
            list.map(|item| {
                item.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
            })
        });
        let named = named.filter(|to| known.contains(to) && *to != from);
        graph.entry(from.clone()).or_default().extend(named);
    }
    graph.remove("lib");
    graph
}

/// A walk that comes back to where it began, if there is one.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        graph: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        let here = path.last().unwrap().clone();
        for next in graph.get(&here).into_iter().flatten() {
            if let Some(start) = path.iter().position(|room| room == next) {
                path.drain(..start);
                path.push(next.clone());
                return true;
            }
            if !done.contains(next) {
                path.push(next.clone());
                if walk(graph, path, done) {
                    return true;
                }
                path.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut path = vec![start.clone()];
        (!done.contains(start) && walk(graph, &mut path, &mut done)).then_some(path)
    })
}

#[test]
fn no_room_knows_a_room_that_knows_it() {
    let graph = rooms();
    for (room, knows) in &graph {
        println!("{room:<10} -> {}", knows.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    assert_eq!(circle(&graph), None, "rooms in a circle");
    let knotted = BTreeMap::from([("a", ["b"]), ("b", ["c"]), ("c", ["a"])]);
    let knotted =
        knotted.into_iter().map(|(from, to)| (from.to_owned(), to.map(str::to_owned).into())).collect();
    assert_eq!(circle(&knotted).map(|path| path.len()), Some(4), "the search sees a circle");
}

#[test]
fn the_flow_knows_nothing_of_what_flows_and_reports_never_load_a_model() {
    let graph = rooms();
    let knows = |room: &str| graph[room].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(knows("flow"), ["error"]);
    assert_eq!(knows("store"), ["error"]);
    for room in ["model", "score", "graph", "job"] {
        assert!(!graph["report"].contains(room), "report knows {room}");
    }
    for krate in ["image", "decode", "corrupt", "stats"] {
        let manifest = fs::read_to_string(repo(&format!("crates/{krate}/Cargo.toml"))).unwrap();
        for library in ["tokio", "object_store", "candle", "t3b ="] {
            assert!(!manifest.contains(library), "crates/{krate} needs {library}");
        }
    }
}

#[test]
fn nothing_is_unbounded_or_unordered() {
    for word in ["unbounded(", "force_send", "buffer_unordered", "FuturesUnordered"] {
        only(word, &[]);
    }
    only("tokio::spawn(", &["src/flow", "src/cli"]);
    only(
        "spawn_blocking",
        &["src/flow", "src/store/confined.rs", "src/store/folder.rs", "src/watch/textfile.rs"],
    );
    only("thread::spawn", &[]);
    only("thread::Builder", &["src/main.rs", "src/graph/lane.rs", "src/model/convert.rs"]);
}

#[test]
fn unsafe_code_has_three_homes() {
    let homes = ["src/merge/stream.rs", "src/model/fast/prefetch.rs", "src/model/fast/int8/vnni.rs"];
    only("unsafe ", &homes);
    only("unsafe_code", &homes);
    for (name, text) in sources("crates") {
        let is_of_the_card =
            ["crates/gpu/src/card.rs", "crates/gpu/examples/card/ceilings.rs"].contains(&&*name);
        assert!(is_of_the_card || !code(&text).contains("unsafe_code"), "{name}");
    }
}

#[test]
fn files_are_one_idea_each() {
    for (name, text) in sources("src").into_iter().chain(sources("crates")).chain(sources("tests")) {
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
    let crates = ["image", "decode", "corrupt", "stats", "report", "gpu"]
        .map(|name| format!("crates/{name}/Cargo.toml"));
    for manifest in
        ["Cargo.toml", "tests/bench/counts/Cargo.toml"].map(str::to_owned).into_iter().chain(crates)
    {
        dependencies_say_why(&fs::read_to_string(repo(&manifest)).unwrap());
    }
}

fn dependencies_say_why(text: &str) {
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

/// Settings get their hints where they are read (`settings::refused`), rows of manifests by their code (`source::problems`).
#[test]
fn every_refusal_of_a_command_or_a_manifest_says_what_to_do() {
    let is_refusal = |code: &str| code.starts_with(['C', 'M']) && code[1..].parse::<u16>().is_ok();
    let mut n_refusals = 0;
    for (name, text) in sources("src") {
        let code = code(&text);
        for part in code.split("Problem::new(").skip(1) {
            let Some(found) = part.trim_start().strip_prefix('"').and_then(|rest| rest.get(..4)) else {
                continue;
            };
            if is_refusal(found) && !name.starts_with("src/settings") {
                assert!(part.contains("hint(") || part.contains("hint:"), "{name}: {found} has no hint");
                n_refusals += 1;
            }
        }
        for part in code.split("bad(\"").skip(1).filter(|part| is_refusal(part.get(..4).unwrap_or("C"))) {
            let remedies = fs::read_to_string(repo("src/source/problems.rs")).unwrap();
            let has_remedy = remedies.contains(&format!("\"{}\" =>", &part[..4]))
                || remedies.contains(&format!("\"{}\" |", &part[..4]));
            assert!(has_remedy || part.contains("hint("), "{name}: {} has no hint", &part[..4]);
            n_refusals += 1;
        }
    }
    assert!(n_refusals > 50, "{n_refusals}");
}

#[test]
fn the_documented_reasons_are_the_ones_there_are() {
    let text = fs::read_to_string(repo("docs/errors.md")).unwrap();
    let list = text.split("## Quarantine reasons").nth(1).unwrap();
    let first_cells = list.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let codes = |cell: &str| {
        cell.split([',', ' ', '`']).filter(|word| word.contains('_')).map(str::to_owned).collect::<Vec<_>>()
    };
    let documented: BTreeSet<String> =
        first_cells.filter(|cell| !cell.contains("reason_code")).flat_map(codes).collect();
    let known: BTreeSet<String> = t3b::messages::Reason::all().map(|(_, code)| code.to_owned()).collect();
    assert_eq!(documented, known);
}

#[test]
fn docs_tables_md_has_every_column_of_every_table() {
    let text = fs::read_to_string(repo("docs/tables.md")).unwrap();
    for (table, columns) in t3b::tables::described() {
        let section =
            text.split(&format!("## {table}\n")).nth(1).unwrap_or_else(|| panic!("no section {table}"));
        let section = section.split("\n## ").next().unwrap();
        let documented: Vec<(String, String, bool)> = section
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
                Some((cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned(), cells[3] != "never"))
            })
            .collect();
        assert_eq!(documented, columns, "{table}");
    }
}

#[test]
fn what_got_through_once_is_guarded_by_tests_that_exist() {
    let text = fs::read_to_string(repo("docs/adversary.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let guards: Vec<(&str, &str)> = rows
        .filter_map(|row| Some((row, row.rsplit(" | ").next()?.strip_prefix('`')?.strip_suffix('`')?)))
        .collect();
    let code: String = sources("tests/it").into_iter().chain(sources("src")).map(|(_, text)| text).collect();
    for (row, test) in &guards {
        let at = code.find(&format!("fn {test}()")).unwrap_or_else(|| panic!("no test of {row}"));
        let before = &code[at.saturating_sub(200)..at];
        assert!(before.contains("#[test]") && !before.contains("#[ignore"), "{test} is run");
    }
    assert!(guards.len() > 35, "{} rows", guards.len());
}
