//! The `t3b` binary: parse, run, print, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use t3b::cli::{Cli, execute};
use t3b::error::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The panic itself was printed by the hook; only the documented exit code is missing.
    let exit = match catch_unwind(|| execute(&cli)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            eprintln!("{error}");
            error.exit()
        }
        Err(_) => Exit::Bug,
    };
    ExitCode::from(exit.code())
}
