//! What `cargo deny` would refuse and needs no advisory database for: sources and licences of everything in the lock file.

use std::process::Command;

use serde_json::Value;
use toml::Table;

use crate::support::repo;

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
