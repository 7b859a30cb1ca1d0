//! What a worker may take from the machine, set by the worker itself before it reads a byte.
//!
//! Soft limits only, under whatever the system's hard limits are: they are raised again between pictures.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Address space for any picture that needs no more by its header.
///
/// Six times what a large radiograph takes (20 Mpx of JPEG 2000, at 17 bytes a pixel as measured), and little enough that
/// two workers gone wild do not end a machine of 8 GiB.
const ROOM_BYTES: u64 = 2 << 30;
/// The program itself, its stacks and its allocator's arenas; 185 MiB were measured.
const PROGRAM_BYTES: u64 = 512 << 20;
/// Processor time for one picture, and as much again for every GiB that its header declares.
///
/// Four times what the slowest takes: 3.6 Mpx of JPEG 2000, 60 MB at their peak, were measured at 0.8 s.
/// Two deaths of a picture below 1 GiB stay under the default of `stop.stall_deadline_s`; a larger one without end may
/// meet that first, which fails the attempt and decides nothing.
pub(super) const CPU_S: u64 = 60;

/// Limits that hold for the worker's life: no file of any size, no core dump with a picture in it.
pub(super) fn lower() -> io::Result<()> {
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    arm(0, 0)
}

/// Limits for the next picture, from now: [`CPU_S`] and [`ROOM_BYTES`], or more where its header declares more.
///
/// A good picture inside the run's limits meets neither: it gets twice its declared peak.
pub(super) fn arm(n_bytes: u64, peak_bytes: u64) -> io::Result<()> {
    let declared = peak_bytes.saturating_mul(2).saturating_add(n_bytes).saturating_add(PROGRAM_BYTES);
    limit(Resource::As, declared.max(ROOM_BYTES))?;
    arm_cpu(CPU_S.saturating_mul(1 + (peak_bytes >> 30)))
}

/// Ends the process by SIGXCPU after `seconds` more of processor time, at least.
pub(super) fn arm_cpu(seconds: u64) -> io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    // The part of a second that is used already is not taken off.
    limit(Resource::Cpu, seconds.saturating_add(used + 1))
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(value, |maximum| value.min(maximum)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}
