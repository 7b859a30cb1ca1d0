//! What is said where a card is asked for: by the program, and by the wrapper that brings its libraries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::first_day::say;
use crate::support::{Fixture, repo};

#[test]
fn a_card_that_is_not_there_is_named_with_what_is_missing_and_the_way_without() {
    if t3b_gpu::card::has_driver() {
        println!("skipped: this machine has the driver of a card");
        return;
    }
    let fixture = Fixture::new();
    let ask = |settings: &[&str]| {
        let set = settings.iter().flat_map(|set| ["--set", set]);
        say(&fixture, &["run", "pipeline.toml"].into_iter().chain(set).collect::<Vec<_>>())
    };
    for kind in [r#"device.kind="cuda""#, r#"device.kind=["cuda:1", "cuda:0"]"#] {
        let (code, text) = ask(&[kind]);
        assert!(code == 78 && text.contains("error[D001]"), "{code}: {text}");
        assert!(text.contains("libcuda.so.1") && text.contains(r#"device.kind = "cpu""#), "{text}");
    }
    // What no card computes is said first, and numbers that no CPU computes.
    let (code, text) = ask(&[r#"device.kind="cuda""#, r#"models.tower="reference""#]);
    assert!(code == 78 && text.contains("error[D003]") && text.contains("reference"), "{code}: {text}");
    for kind in ["auto", "cpu"] {
        let (code, text) = ask(&[r#"models.compute="bf16""#, &format!("device.kind=\"{kind}\"")]);
        assert!(code == 78 && text.contains("error[D003]") && text.contains("bf16"), "{code}: {text}");
    }
    assert!(!fixture.path("out/tables").exists(), "nothing was published");
}

/// The wrapper with `beside` before everything else that the loader knows.
fn wrapper(beside: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command
        .args(["-m", "t3b_cuda"])
        .args(args)
        .env("PYTHONPATH", format!("{}:{}", repo("deploy/cuda/src").display(), beside.display()));
    command.env("LD_LIBRARY_PATH", beside).env("PATH", format!("{}:/usr/bin:/bin", beside.display()));
    command.output().unwrap()
}

#[test]
fn the_wrapper_names_a_missing_driver_and_otherwise_becomes_the_program() {
    let fixture = Fixture::new();
    let beside = fixture.path("beside");
    fs::create_dir_all(beside.join("nvidia/cu13/lib")).unwrap();
    if !t3b_gpu::card::has_driver() {
        let said = wrapper(&beside, &["--version"]);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.code() == Some(78) && text.contains("libcuda.so.1"), "{text}");
        assert!(text.contains(r#"device.kind = "cpu""#), "{text}");
    }
    // A library by the driver's name, and a program that says what it was given.
    let built = Command::new("cc")
        .args(["-shared", "-x", "c", "/dev/null", "-o"])
        .arg(beside.join("libcuda.so.1"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!("reduced: no C compiler here");
        return;
    }
    let program = beside.join("t3b");
    fs::write(&program, "#!/bin/sh\necho \"$LD_LIBRARY_PATH $*\"\nexit 3\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let said = wrapper(&beside, &["run", "my.toml"]);
    let expected = format!("{0}/nvidia/cu13/lib:{0} run my.toml\n", beside.display());
    assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(3));
}

#[test]
fn the_wheel_wants_the_program_of_its_own_version() {
    let wheel = fs::read_to_string(repo("deploy/cuda/pyproject.toml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        wheel.contains(&format!("version = \"{version}\"")) && wheel.contains(&format!("\"t3b=={version}\""))
    );
}
