//! What `cargo deny` would refuse: sources, licences and advisories of everything in the lock file.

use std::process::Command;

use semver::{Version, VersionReq};
use serde_json::Value;
use toml::Table;

use crate::support::{repo, shared};

fn deny() -> Table {
    std::fs::read_to_string(repo(".deny.toml")).unwrap().parse().unwrap()
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    let lock: Table = std::fs::read_to_string(repo("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        match package.get("source").and_then(toml::Value::as_str) {
            None => assert!(name == "t3b" || name.starts_with("t3b-"), "{name}: a crate of a local path"),
            Some(source) => {
                assert!(
                    source.starts_with("registry+https://github.com/rust-lang/crates.io-index"),
                    "{name}: {source}"
                );
                assert!(package.get("checksum").is_some(), "{name} has no checksum");
            }
        }
    }
}

/// An expression is fine when one of its alternatives has allowed licences only.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" OR ").any(|side| side.split(" AND ").all(|licence| allowed.contains(&licence.trim())))
}

#[test]
fn every_licence_is_known() {
    let config = deny();
    let allowed: Vec<&str> =
        config["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(repo(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let refused: Vec<String> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none")))
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
        .map(|(name, licence)| format!("{name}: {licence}"))
        .collect();
    assert_eq!(refused, [] as [&str; 0]);
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed) && is_allowed("GPL-3.0 OR MIT", &allowed));
}

/// Whether one of `ranges`, `; ` between them, holds `version`.
fn is_in(ranges: &str, version: &Version) -> bool {
    let ranges = ranges.split(';').map(str::trim).filter(|range| !range.is_empty());
    ranges.map(|range| VersionReq::parse(range).unwrap()).any(|range| range.matches(version))
}

/// Ids of the advisories in `table` (columns of advisories.tsv) that say something of this version of a crate.
fn advisories<'t>(table: &'t str, name: &str, version: &Version) -> Vec<&'t str> {
    let rows = table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let of_crate = rows.filter(|row| row[0] == name);
    of_crate
        .filter(|row| {
            let [patched, unaffected, withdrawn] =
                [4, 5, 6].map(|column| row.get(column).copied().unwrap_or(""));
            withdrawn.is_empty() && !is_in(patched, version) && !is_in(unaffected, version)
        })
        .map(|row| row[1])
        .collect()
}

#[test]
fn no_crate_has_an_advisory_that_is_not_ignored_with_its_reason() {
    let Some(path) = shared("advisory-db/advisories.tsv") else { return };
    let table = std::fs::read_to_string(path).unwrap();
    let config = deny();
    let ignored: Vec<&str> =
        config["advisories"]["ignore"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let lock: Table = std::fs::read_to_string(repo("Cargo.lock")).unwrap().parse().unwrap();
    let (mut found, mut used) = (Vec::new(), Vec::new());
    for package in lock["package"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        for id in advisories(&table, name, &Version::parse(version).unwrap()) {
            if ignored.contains(&id) { used.push(id) } else { found.push(format!("{name} {version}: {id}")) }
        }
    }
    assert_eq!(found, [] as [&str; 0]);
    used.dedup();
    assert_eq!(used, ignored, "an advisory is ignored that says nothing of the lock file any more");
    // The table is read as its own columns say: a version before the mended one is found, the mended one is not.
    let is_found = |version| !advisories(&table, "jxl-grid", &Version::parse(version).unwrap()).is_empty();
    assert!(is_found("0.6.1") && !is_found("0.6.2"));
}
