//! Decoding in a process of its own, for pictures that could end the one they are decoded in.
//!
//! A panic is caught where it happens; a stack that overflows, memory that runs out or a loop without end is not. Such
//! a picture must cost its row and not the run, so formats whose decoder is not ours run in `t3b __decode`: the same
//! program, without the job's environment, under [`limits`] and behind [`walls`], fed over pipes ([`protocol`]) with one
//! picture at a time.
//!
//! A worker that dies is replaced, and the same bytes are tried once more in a fresh process. A second death by a signal
//! that the bytes can cause is a fact about the bytes: [`Reason::PoisonConfirmed`]. Any other death is the machine's
//! matter and fails the attempt, because neither memory nor time may decide a row.

#[cfg(debug_assertions)]
mod crash;
mod limits;
mod process;
mod protocol;
mod serve;
mod walls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use t3b_image::Rgb8;
use t3b_image::pool::ScratchPool;

use super::error::Fault;
use super::{DecodeError, Facts, Format, Limits, Reason, Rendering, decode_noted, header_of, is_risky};
use process::{End, Process};
use protocol::{Answer, Request};

pub use serve::serve;

/// Why a picture could not be given to a worker: not a fact about its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// A worker was ended from outside, by this signal: the machine's matter.
    #[error("a decoding process was ended from outside by signal {signal}")]
    Ended {
        /// Number of the signal.
        signal: i32,
    },
    /// A worker cannot be started or does not answer as agreed; what is wrong with it.
    #[error("the decoding process {0}")]
    Unfit(&'static str),
}

/// The hidden command that makes a process a worker.
pub const COMMAND: &str = "__decode";
/// What glibc is told of its heaps when a process starts, by the environment; `src/main.rs` says why, and starts the process again
/// where one of them is missing.
pub mod heaps {
    /// Largest buffer in bytes that a heap holds.
    pub const LARGEST: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "4194304");
    /// Heaps that threads share: in a worker one, for it decodes one picture at a time.
    pub const ONE: (&str, &str) = ("MALLOC_ARENA_MAX", "1");
    /// Threads keep no buffers for themselves.
    pub const SHARED: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
}

/// Which pictures are decoded in a process of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those whose decoder could end the process; see [`is_risky`].
    Risky,
    /// Every picture.
    All,
    /// None: for archives that are trusted, where a hostile picture may end the run.
    None,
}

/// Decodes pictures, here or in workers that are reused.
///
/// Holds as many idle workers as pictures were decoded at once; they are killed and reaped when it is dropped.
#[derive(Debug)]
pub struct Decoder {
    isolation: Isolation,
    program: Arc<Path>,
    desks: ScratchPool<Desk>,
}

/// A worker's place; empty until its first picture and after a death.
#[derive(Debug, Default)]
struct Desk {
    worker: Option<Process>,
}

impl Decoder {
    /// Starts nothing yet. `program` is `t3b` itself.
    #[must_use]
    pub fn new(isolation: Isolation, program: Arc<Path>) -> Self {
        Self { isolation, program, desks: ScratchPool::default() }
    }

    /// The program that runs now, which is a worker's too when it is `t3b`.
    ///
    /// Empty where the system does not tell; starting a worker then fails by its own code.
    #[must_use]
    pub fn this_program() -> PathBuf {
        std::env::current_exe().unwrap_or_default()
    }

    /// [`decode_noted`], in a worker where the isolation asks for one.
    ///
    /// Order: a worker of the pool, or a new one; after a death once more in a new one.
    ///
    /// # Errors
    /// When a worker was ended from outside, cannot be started or does not answer as agreed.
    /// The inner error is the picture's own.
    pub fn decode(
        &self,
        bytes: &[u8],
        limits: &Limits,
        rendering: &Rendering,
    ) -> Result<(Facts, Result<Rgb8, DecodeError>), WorkerError> {
        let is_isolated = match self.isolation {
            Isolation::Risky => is_risky(bytes),
            Isolation::All => true,
            Isolation::None => false,
        };
        if !is_isolated {
            return Ok(decode_noted(bytes, limits, rendering));
        }
        let header = header_of(bytes, rendering).ok();
        let peak_bytes = header.map_or(0, |header| header.peak_bytes);
        let request = Request { limits: *limits, rendering: *rendering, peak_bytes, bytes };
        let (facts, image) = self.desks.with(|desk| desk.decode(&self.program, &request))?;
        let image = image.map_err(|fault| {
            let declared_px = header.map(|header| (header.width_px, header.height_px));
            DecodeError::new(fault, Format::sniff(bytes), declared_px)
        });
        Ok((facts, image))
    }
}

impl Desk {
    fn decode(&mut self, program: &Path, request: &Request<'_>) -> Result<Answer, WorkerError> {
        let mut signal = "";
        for _first_then_fresh in 0..2 {
            let worker = match &mut self.worker {
                Some(worker) => worker,
                None => self.worker.insert(Process::start(program)?),
            };
            match worker.decode(request) {
                Ok(answer) => return Ok(answer),
                Err(End::Killed(by)) => signal = by,
                Err(End::Error(error)) => {
                    self.worker = None;
                    return Err(error);
                }
            }
            self.worker = None;
        }
        let detail = format!("the process that decoded it was ended twice by {signal}");
        Ok((Facts::default(), Err(Fault::new(Reason::PoisonConfirmed, detail))))
    }
}
