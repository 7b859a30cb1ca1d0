//! Ends a worker where a picture asks for it, so that tests can die in every way a decoder could.
//!
//! Debug builds only: a release binary does not hold this code. The bytes hold `T3B-TEST-DIE:` and a word.

use std::hint::black_box;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, kill_process, test_kill_process};

use super::limits;

const MARKER: &[u8] = b"T3B-TEST-DIE:";

/// Returns where nothing is asked for. `is_fresh`: this is the process's first picture.
pub(super) fn die_if_asked(bytes: &[u8], is_fresh: bool) {
    let Some(at) = bytes.windows(MARKER.len()).position(|window| window == MARKER) else { return };
    let word = &bytes[at + MARKER.len()..];
    let asks = |name: &[u8]| word.starts_with(name);
    if asks(b"abort") || (asks(b"tired") && !is_fresh) {
        std::process::abort();
    } else if asks(b"overflow") {
        black_box(descend(0));
    } else if asks(b"allocate") {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            held.push(Vec::with_capacity(64 << 20));
            black_box(&held);
        }
    } else if asks(b"spin") {
        // The shortest that the clock of this limit knows.
        let _armed = limits::arm_cpu(0);
        loop {
            black_box(());
        }
    } else if asks(b"kill") {
        let _sent = kill_process(getpid(), Signal::KILL);
    } else if asks(b"open") {
        // Dies where it can still open what lies around, its own program for one.
        if std::env::current_exe().is_ok_and(|program| std::fs::File::open(program).is_ok()) {
            std::process::abort();
        }
    } else if asks(b"reach") {
        // Dies where it can still open a socket, of a kind that Landlock knows nothing of, start a program or end another.
        let has_socket = UdpSocket::bind("127.0.0.1:0").is_ok() || UnixDatagram::unbound().is_ok();
        let has_program = Command::new("/bin/true").spawn().is_ok();
        let has_other = getppid().is_some_and(|owner| test_kill_process(owner).is_ok());
        if has_socket || has_program || has_other {
            std::process::abort();
        }
    } else if asks(b"leave") {
        std::process::exit(0);
    }
}

fn descend(depth: u64) -> u64 {
    let held = black_box([depth; 64]);
    if black_box(depth) == u64::MAX { 0 } else { descend(depth + 1) + held[0] }
}
