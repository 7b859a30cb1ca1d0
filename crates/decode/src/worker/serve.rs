//! The worker's own side: requests in, answers out, until the pipe is closed.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;

use super::super::decode_noted;
use super::limits;
use super::protocol::{GREETING, Head, write_answer};
use super::walls;

/// The stack that decoding gets, whatever the environment says about stacks.
const STACK_BYTES: usize = 8 << 20;

/// Decodes what arrives on standard input and answers on standard output; ends when the input does.
///
/// Order: limits, walls, greeting, then for each picture the limits again, its bytes, the pixels or a reason.
///
/// # Errors
/// When the limits cannot be set, a pipe breaks, or decoding panics outside its own guard.
pub fn serve() -> io::Result<()> {
    let work = std::thread::Builder::new().name("decode".to_owned()).stack_size(STACK_BYTES);
    limits::lower()?;
    walls::raise();
    let served = work.spawn(answer_all)?;
    served.join().unwrap_or_else(|_| Err(io::Error::other("the decoding thread panicked")))
}

fn answer_all() -> io::Result<()> {
    // Without the line buffer of the usual handle, which looks for line ends in pixels.
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut from = BufReader::new(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    to.write_all(&GREETING)?;
    #[cfg(debug_assertions)]
    let mut is_fresh = true;
    while let Some(head) = Head::read(&mut from)? {
        limits::arm(head.n_bytes, head.peak_bytes)?;
        let mut bytes = Vec::new();
        // Grows with what arrives, not with what was said.
        if from.by_ref().take(head.n_bytes).read_to_end(&mut bytes)? as u64 != head.n_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        #[cfg(debug_assertions)]
        super::crash::die_if_asked(&bytes, std::mem::take(&mut is_fresh));
        write_answer(&mut to, &decode_noted(&bytes, &head.limits, &head.rendering))?;
    }
    Ok(())
}
