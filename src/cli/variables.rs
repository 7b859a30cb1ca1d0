//! Environment variables that nothing reads: a mistyped one is an error, as a mistyped key is.

use std::collections::BTreeSet;

use clap::CommandFactory;
use t3b_image::simd::{self, SIMD};

use super::Cli;
use crate::error::{Exit, Problem, RunError};
use crate::job::PSEUDONYM_KEY;
use crate::settings::{env_name, known_keys};

/// Read by the decoding process and by debug builds.
const OTHERS: [&str; 3] = [PSEUDONYM_KEY, SIMD, "T3B_CRASH_AT"];
/// Starts of those that the test suite, the benches and the build read, which start this program too.
const DEVELOPERS: [&str; 6] = ["T3B_FULL", "T3B_DEV", "T3B_FUZZ_", "T3B_PEERS_", "T3B_GOLDEN_", "T3B_TEST_"];

/// Refuses every `T3B_` variable that is neither a key's nor a flag's, and vector instructions that this machine lacks.
///
/// # Errors
/// `C006` for each variable, with the nearest name; `C028` for the instructions.
pub(super) fn check() -> Result<(), RunError> {
    if let Err(refused) = simd::chosen() {
        let problem = Problem::new("C028", Exit::Config, refused.to_string());
        return Err(problem.hint("unset it to have the widest vectors of the machine").into());
    }
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_ours =
        |name: &String| name.starts_with("T3B_") && !DEVELOPERS.iter().any(|start| name.starts_with(start));
    let set: Vec<String> = set.filter(is_ours).collect();
    if set.is_empty() {
        return Ok(());
    }
    let mut known: BTreeSet<String> = known_keys().iter().map(|key| env_name(key)).collect();
    known.extend(OTHERS.map(str::to_owned));
    known.extend(of_flags());
    let unknown = set.into_iter().filter(|name| !known.contains(name));
    let problems: Vec<Problem> = unknown.take(20).map(|name| problem(&name, &known)).collect();
    if problems.is_empty() { Ok(()) } else { Err(RunError::all(problems)) }
}

fn problem(name: &str, known: &BTreeSet<String>) -> Problem {
    let found =
        Problem::new("C006", Exit::Config, format!("${name}: no setting has this environment variable"));
    match known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name)) {
        Some(nearest) => found.hint(format!("did you mean {nearest}?")),
        None => found,
    }
}

/// Variables of every flag of every command.
fn of_flags() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        let variables = command.get_arguments().filter_map(|flag| flag.get_env());
        names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_commands_below_commands_are_known() {
        let names = of_flags();
        assert!(names.contains("T3B_RUN_ID") && names.contains("T3B_MANIFEST_ROOT"), "{names:?}");
    }
}
