//! Inputs that fuzzing has found, each by the name of what it did. They stay harmless.

use std::fs;

use crate::support::repo;
use crate::targets::TARGETS;

#[test]
fn every_input_that_was_found_is_harmless_now() {
    let mut n_found = 0;
    for (name, target) in TARGETS {
        for entry in fs::read_dir(repo("tests/fuzz/found").join(name)).into_iter().flatten().flatten() {
            target(&fs::read(entry.path()).unwrap());
            n_found += 1;
        }
    }
    assert!(n_found > 0, "the folder has moved");
}
