//! One worker as its owner sees it: started, asked, reaped.

use std::io::{BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use super::protocol::{Answer, GREETING, Request, read_answer};
use super::{COMMAND, WorkerError, heaps};

/// Signals that bytes can cause: a wild decoder, or one of the worker's own limits.
const OF_THE_BYTES: [(Signal, &str); 5] = [
    (Signal::ILL, "SIGILL"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::XCPU, "SIGXCPU"),
];

/// Why a worker gave no answer.
#[derive(Debug)]
pub(super) enum End {
    /// Killed by a signal that the bytes can cause.
    Killed(&'static str),
    /// Not a matter of the bytes: the attempt fails.
    Error(WorkerError),
}

/// A running worker; killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a worker and waits for its greeting.
    ///
    /// In a process group of its own, or a Ctrl-C for the job would end it in the middle of the drain. Its standard
    /// error goes nowhere: a decoder's panic message may hold what the bytes hold.
    pub(super) fn start(program: &Path) -> Result<Self, WorkerError> {
        let mut command = Command::new(program);
        command.arg(COMMAND).env_clear().envs([heaps::LARGEST, heaps::ONE, heaps::SHARED]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|_| WorkerError::Unfit("cannot be started"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(WorkerError::Unfit("has no pipes"));
        };
        let mut process = Self { child, to, from: BufReader::new(from) };
        let mut greeting = [0; GREETING.len()];
        match process.from.read_exact(&mut greeting) {
            Ok(()) if greeting == GREETING => Ok(process),
            _ => Err(WorkerError::Unfit("does not greet as t3b does")),
        }
    }

    /// One picture. After any [`End`] the worker is of no more use.
    pub(super) fn decode(&mut self, request: &Request<'_>) -> Result<Answer, End> {
        let answer = request.write(&mut self.to).and_then(|()| read_answer(&mut self.from, &request.limits));
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(End::Error(WorkerError::Unfit("does not answer as agreed")))
            }
            Err(_) => Err(self.end()),
        }
    }

    /// How a worker whose pipes are closed has ended.
    fn end(&mut self) -> End {
        let Ok(status) = self.child.wait() else {
            return End::Error(WorkerError::Unfit("cannot be waited for"));
        };
        let Some(number) = status.signal() else {
            return End::Error(WorkerError::Unfit("went away without an answer"));
        };
        match OF_THE_BYTES.iter().find(|(known, _)| known.as_raw() == number) {
            Some((_, name)) => End::Killed(name),
            None => End::Error(WorkerError::Ended { signal: number }),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
