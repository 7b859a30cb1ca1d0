//! The `t3b` binary: parse, run, print, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use t3b::cli::{Cli, execute};
use t3b::error::Exit;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use t3b_decode::worker::MMAP_THRESHOLD;

/// Has glibc map large buffers on their own, so that a decoded image is returned when it is dropped.
///
/// By default its threshold follows the largest buffer freed, and every thread's arena then keeps images: 378 MiB
/// were measured where 107 were allowed. It listens only to the environment a process starts with, so the process
/// starts once more; where that fails, the only cost is memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn map_large_buffers() {
    use std::os::unix::process::CommandExt;
    let (variable, threshold_bytes) = MMAP_THRESHOLD;
    if std::env::var_os(variable).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    if let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) {
        let mut again = std::process::Command::new(program);
        // Returns only when it fails.
        let _error = again.arg0(name).args(arguments).env(variable, threshold_bytes).exec();
    }
}

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    map_large_buffers();
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
