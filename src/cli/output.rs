//! What commands print. A reader that has gone away or a full disk never ends the work, and is told by the exit code.
//!
//! `println!` panics where a write fails; `say!` and `tell!` count instead.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::error::{Exit, Problem};

/// Whoever read the standard output has closed it: nothing more is written, which is no failure.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
/// Lines that the standard output did not take, for any other reason.
static N_LOST: AtomicU64 = AtomicU64::new(0);
/// Lines that the standard error did not take.
static N_LOST_LOG: AtomicU64 = AtomicU64::new(0);

/// Prints a line to the standard output.
macro_rules! say {
    () => { $crate::cli::output::out(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::output::out(format_args!($($text)*)) };
}

/// Prints a line to the standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::output::err(format_args!($($text)*)) };
}

pub(in crate::cli) fn out(text: fmt::Arguments<'_>) {
    if IS_CLOSED.load(Relaxed) {
        return;
    }
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => IS_CLOSED.store(true, Relaxed),
        Err(_) => {
            N_LOST.fetch_add(1, Relaxed);
        }
    }
}

pub(in crate::cli) fn err(text: fmt::Arguments<'_>) {
    let _counted = writeln!(Log, "{text}");
}

/// Where log lines go: the standard error, which may be full or closed.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().lock().write_all(line).is_err() {
            N_LOST_LOG.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints how a command ended and gives the code for the operating system. Output that could not be written turns
/// success into code 74, unless its reader had closed it.
#[must_use]
pub fn finish(ended: Result<Exit, crate::error::RunError>) -> Exit {
    let exit = match ended {
        Ok(exit) => exit,
        Err(error) => {
            err(format_args!("{error}"));
            error.exit()
        }
    };
    let n_lost_log = N_LOST_LOG.load(Relaxed);
    if n_lost_log > 0 {
        out(format_args!("log     {n_lost_log} lines could not be written"));
    }
    let n_lost = N_LOST.load(Relaxed);
    if n_lost == 0 {
        return exit;
    }
    let what = format!("{n_lost} lines of output could not be written");
    let hint = "what was committed is kept; give the output more space and run the same command again";
    err(format_args!("{}", Problem::new("O001", Exit::StoreIo, what).hint(hint)));
    if exit == Exit::Done { Exit::StoreIo } else { exit }
}
