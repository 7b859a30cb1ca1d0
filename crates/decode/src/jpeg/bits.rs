//! Bits of entropy-coded data, one restart interval at a time.

use super::super::error::Fault;

/// Zero bytes after the data, so that a full word can be read at the end of it.
const PADDING: usize = 8;

/// A symbol, magnitude or run that the tables or the block do not allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct BadData;

/// Unread bits and where the next ones come from; small enough to live in registers while a block is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'b> {
    /// Unstuffed bytes with their padding.
    bytes: &'b [u8],
    position: Position,
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    at: usize,
    /// Unread bits, from the top; bits below the first `n_bits` may be set and then repeat what a refill brings.
    word: u64,
    n_bits: u32,
}

/// Reads bits, most significant first, out of unstuffed bytes.
///
/// Reading past the end gives zeros and is noticed by [`BitReader::is_overread`]; callers ask once a block, which is
/// cheaper than asking at every bit.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    bytes: Vec<u8>,
    position: Position,
    next_restart: u8,
}

impl<'a> BitReader<'a> {
    /// Starts at the first restart interval of a scan's data.
    pub(super) fn new(data: &'a [u8]) -> Self {
        let bytes = Vec::with_capacity(data.len() + PADDING);
        let mut reader = Self { rest: data, bytes, position: Position::default(), next_restart: 0 };
        reader.load();
        reader
    }

    /// Unstuffs up to the next restart marker, which stays at the front of `rest`.
    fn load(&mut self) {
        self.bytes.clear();
        loop {
            let stop = self.rest.iter().position(|&byte| byte == 0xff).unwrap_or(self.rest.len());
            let is_stuffed = self.rest.get(stop + 1) == Some(&0);
            self.bytes.extend_from_slice(&self.rest[..stop + usize::from(is_stuffed)]);
            self.rest = &self.rest[stop + 2 * usize::from(is_stuffed)..];
            if !is_stuffed {
                break;
            }
        }
        self.bytes.extend_from_slice(&[0; PADDING]);
        self.position = Position::default();
    }

    /// Ends an interval and steps over the restart marker to the next one.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        self.finish_interval()?;
        match *self.rest {
            [0xff, code, ref rest @ ..] if code == 0xd0 + self.next_restart => self.rest = rest,
            [] => return Err(Fault::truncated("the scan ends at a restart interval before its last block")),
            _ => return Err(Fault::corrupt("restart marker out of order")),
        }
        self.next_restart = (self.next_restart + 1) % 8;
        self.load();
        Ok(())
    }

    /// Ends the scan: nothing may be left but the padding of the last byte, and zeros that fill the stream up.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        let n_bytes = self.n_consumed().div_ceil(8);
        let is_filled = self.bytes.get(n_bytes..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0));
        if !is_filled {
            self.finish_interval()?;
        }
        if self.rest.is_empty() { Ok(()) } else { Err(Fault::corrupt("restart marker after the last block")) }
    }

    fn finish_interval(&self) -> Result<(), Fault> {
        let n_left = (8 * (self.bytes.len() - PADDING)).checked_sub(self.n_consumed());
        match n_left {
            None => Err(overread()),
            Some(0..8) => Ok(()),
            Some(n) => Err(Fault::corrupt(format!("{n} bits left after the last block of an interval"))),
        }
    }

    fn n_consumed(&self) -> usize {
        8 * self.position.at - self.position.n_bits as usize
    }

    /// Whether more bits were taken than there are.
    #[inline(always)]
    pub(super) fn is_overread(&self) -> bool {
        self.n_consumed() > 8 * (self.bytes.len() - PADDING)
    }

    /// Why a block could not be read: too few bits, else wrong ones.
    pub(super) fn fault(&self) -> Fault {
        if self.is_overread() { overread() } else { Fault::corrupt("the scan data hold an impossible code") }
    }

    /// Lends the bits to `read` and goes on where it stopped.
    #[inline(always)]
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&mut Bits<'_>) -> T) -> T {
        let mut bits = Bits { bytes: &self.bytes, position: self.position };
        let result = read(&mut bits);
        self.position = bits.position;
        result
    }
}

fn overread() -> Fault {
    Fault::truncated("the scan data end before the last block")
}

impl Bits<'_> {
    /// Makes at least 32 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let Position { at, word, n_bits } = &mut self.position;
        if *n_bits < 32 {
            let next = self
                .bytes
                .get(*at..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |&next| u64::from_be_bytes(next));
            *word |= next >> *n_bits;
            let n_bytes = (63 - *n_bits) / 8;
            *at += n_bytes as usize;
            *n_bits += 8 * n_bytes;
        }
    }

    /// The next `n` bits, 1 to 32, left in place; the caller has refilled.
    #[inline(always)]
    pub(super) fn peek(&self, n: u32) -> usize {
        (self.position.word >> (64 - n)) as usize
    }

    /// Drops `n` bits that the caller knows to be there.
    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        self.position.word <<= n;
        self.position.n_bits -= n;
    }

    /// Takes `n` bits, 0 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, n: u32) -> i32 {
        if n == 0 {
            return 0;
        }
        self.refill();
        let bits = self.peek(n) as i32;
        self.skip(n);
        bits
    }

    /// Takes a magnitude of `n` bits, 0 to 16, whose top bit tells the sign.
    #[inline(always)]
    pub(super) fn take_signed(&mut self, n: u32) -> i32 {
        let bits = self.take(n);
        if n == 0 || bits >> (n - 1) != 0 { bits } else { bits - (1 << n) + 1 }
    }
}
