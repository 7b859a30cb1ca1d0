//! A server of somebody else in a process of its own, on the free loopback port that it names, ended with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The process.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Server {
    /// Starts it and waits for the line that holds `says` and ends in its port, on either of its outputs.
    pub fn start(command: &mut Command, says: &str) -> Option<Self> {
        let (lines, theirs) = std::io::pipe().ok()?;
        let child =
            command.stdout(theirs.try_clone().ok()?).stderr(theirs).stdin(Stdio::null()).spawn().ok()?;
        let mut server = Self { child, port: 0 };
        // Ours would keep the pipe open when the server has ended.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut lines = BufReader::new(lines).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains(says))?;
        server.port = line.rsplit(':').next()?.trim().parse().ok()?;
        std::thread::spawn(move || lines.for_each(drop));
        Some(server)
    }
}
