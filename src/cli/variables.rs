//! Environment variables that nothing reads: a mistyped one is an error, as a mistyped key is.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::Cli;
use crate::error::{Exit, Problem, RunError};
use crate::job::PSEUDONYM_KEY;
use crate::settings::{Spec, env_name};

/// Read by the decoding process, by debug builds and by the test suite.
const OTHERS: [&str; 4] = [PSEUDONYM_KEY, "T3B_CRASH_AT", "T3B_FULL", "T3B_DEV"];

/// Refuses every `T3B_` variable that is neither a key's nor a flag's.
///
/// # Errors
/// `C006` for each, with the nearest name.
pub(super) fn check(spec: &Spec) -> Result<(), RunError> {
    let keys = spec.pipeline_keys.iter().chain(&spec.config_keys).map(|key| env_name(&key.key));
    let mut known: BTreeSet<String> = keys.collect();
    known.extend(OTHERS.map(str::to_owned));
    known.extend(of_flags());
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = set.filter(|name| name.starts_with("T3B_") && !known.contains(name));
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
