//! The `t3b` binary: parse, run, print, exit code.

use std::process::ExitCode;
use std::thread;

use t3b::cli::{execute, finish, parse};
use t3b::error::Exit;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use t3b_decode::worker::heaps;

/// Of the thread that everything starts from: the first one's is the shell's to limit (`ulimit -s`).
const STACK_BYTES: usize = 8 << 20;
/// Sets the stack of every thread that names none; too small a one ends the process.
const STACK_VARIABLE: &str = "RUST_MIN_STACK";

/// Starts the process once more where its environment would harm it, which it listens to only when it starts.
///
/// glibc shall map large buffers on their own, so that a decoded image is returned when it is dropped: by default its
/// threshold follows the largest buffer freed, and every thread's arena then keeps images (378 MiB were measured where 107
/// were allowed). Its threads shall share as many heaps as there are cores, at least two: by default there are eight times as
/// many, and the threads that wait for files spread over them (81 MiB were measured behind 100,000 images where 60 are enough).
/// And a thread shall keep no small buffers for itself: a hundred threads do, ever more the longer they run (60 MiB behind
/// 100,000 images where 52 are enough, as behind 10,000). Where starting again fails, the only cost is memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn start_in_a_fit_environment() {
    use std::os::unix::process::CommandExt;
    let is_set = |name: &str| std::env::var_os(name).is_some();
    if [heaps::LARGEST, heaps::ONE, heaps::SHARED].iter().all(|(name, _)| is_set(name))
        && !is_set(STACK_VARIABLE)
    {
        return;
    }
    let n_heaps = thread::available_parallelism().map_or(2, |n| n.get().max(2)).to_string();
    let fit = [heaps::LARGEST, (heaps::ONE.0, &n_heaps), heaps::SHARED];
    let mut arguments = std::env::args_os();
    if let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) {
        let mut again = std::process::Command::new(program);
        again.arg0(name).args(arguments).env_remove(STACK_VARIABLE);
        again.envs(fit.into_iter().filter(|(name, _)| !is_set(name)));
        // Returns only when it fails.
        let _error = again.exec();
    }
}

fn main() -> ExitCode {
    let work = || {
        let cli = match parse() {
            Ok(cli) => cli,
            Err(exit) => return exit,
        };
        // Behind the help texts and the refusals, which no environment harms and which somebody waits for.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        start_in_a_fit_environment();
        finish(execute(&cli))
    };
    let thread = thread::Builder::new().name("t3b".to_owned()).stack_size(STACK_BYTES).spawn(work);
    // A panic itself was printed by the hook; only the documented exit code is missing.
    let exit = thread.map_or(Exit::Bug, |thread| thread.join().unwrap_or(Exit::Bug));
    ExitCode::from(exit.code())
}
