//! Signals to processes that a test started, and the states they bring about.

use std::fs;
use std::process::{Child, Command};

/// Sends `TERM`, `STOP`, `CONT` or `KILL` to a child of this test.
pub fn send(child: &Child, signal: &str) {
    let args = [format!("-{signal}"), child.id().to_string()];
    assert!(Command::new("kill").args(args).status().unwrap().success());
}

/// Waits until the child is stopped, or has ended; `true` when it is stopped.
pub fn is_stopped(child: &mut Child) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
        if state == Some("T") {
            return true;
        }
        std::thread::yield_now();
    }
}
