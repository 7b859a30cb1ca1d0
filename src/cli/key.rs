//! `t3b key`: the secret that keys pseudonyms.

use clap::Subcommand;

use crate::error::{Exit, RunError};
use crate::job::new_secret;

/// `t3b key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Prints a fresh secret of 256 bits for `T3B_PSEUDONYM_KEY`; keep it where no reader of the tables can look.
    New,
}

pub(super) fn key(command: &KeyCommand) -> Result<Exit, RunError> {
    let KeyCommand::New = command;
    say!("{}", new_secret()?);
    Ok(Exit::Done)
}
