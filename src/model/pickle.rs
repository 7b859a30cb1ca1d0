//! What a pickle program would cost, before anything executes it.
//!
//! candle copies a value whenever the memo is written or read, so ten lines that each hold the line before ten times are
//! gigabytes; and it allocates what a text says of its length before it reads it. This walks the instructions that candle
//! knows with sizes in place of values.

use std::collections::HashMap;

/// Most bytes that all values and their copies may take; a checkpoint's program takes a few MB.
const MAX_BYTES: u64 = 32 << 20;
/// Deepest nest of values; a state dictionary has five.
const MAX_DEPTH: u32 = 200;
/// What a value takes beside its text.
const VALUE_BYTES: u64 = 64;

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    bytes: u64,
    depth: u32,
    is_mark: bool,
}

impl Cost {
    fn of(text_bytes: u64) -> Self {
        Self { bytes: VALUE_BYTES + text_bytes, depth: 1, is_mark: false }
    }

    /// A value that holds others.
    fn around(parts: &[Self]) -> Self {
        let bytes = parts.iter().fold(VALUE_BYTES, |sum, part| sum.saturating_add(part.bytes));
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or_default() + 1;
        Self { bytes, depth, is_mark: false }
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    stack: Vec<Cost>,
    memo: HashMap<u32, Cost>,
    /// Of every value and copy that was made.
    spent: u64,
}

/// Whether `program` ends, knows only instructions that candle does, and stays within what a checkpoint needs.
#[must_use]
pub fn is_affordable(program: &[u8]) -> bool {
    let mut walk = Walk { rest: program, stack: Vec::new(), memo: HashMap::new(), spent: 0 };
    loop {
        match walk.step() {
            Some(true) => return true,
            Some(false) if walk.spent <= MAX_BYTES => {}
            _ => return false,
        }
    }
}

impl<'a> Walk<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// A whole number of `n` bytes, at most four, the lowest first.
    fn number(&mut self, n: usize) -> Option<u32> {
        Some(self.take(n)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn line(&mut self) -> Option<u64> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        Some(self.take(end + 1)?.len() as u64)
    }

    fn push(&mut self, cost: Cost) -> Option<()> {
        self.spent = self.spent.saturating_add(cost.bytes);
        self.stack.push(cost);
        (cost.depth <= MAX_DEPTH).then_some(())
    }

    /// Puts what the last `n` values become in their place.
    fn join(&mut self, n: usize) -> Option<()> {
        let parts = self.stack.split_off(self.stack.len().checked_sub(n)?);
        self.push(Cost::around(&parts))
    }

    /// The values behind the last mark, which goes with them.
    fn marked(&mut self) -> Option<Vec<Cost>> {
        let mark = self.stack.iter().rposition(|cost| cost.is_mark)?;
        let parts = self.stack.split_off(mark + 1);
        self.stack.pop();
        Some(parts)
    }

    /// Adds values to the one before them.
    fn extend(&mut self, parts: &[Cost]) -> Option<()> {
        let added = Cost::around(parts);
        let whole = self.stack.last_mut()?;
        whole.bytes = whole.bytes.saturating_add(added.bytes);
        whole.depth = whole.depth.max(added.depth);
        (whole.depth <= MAX_DEPTH).then_some(())
    }

    fn put(&mut self, id: u32) -> Option<()> {
        let cost = *self.stack.last()?;
        self.spent = self.spent.saturating_add(cost.bytes);
        self.memo.insert(id, cost);
        Some(())
    }

    /// One instruction; `Some(true)` behind the last, `None` where candle would fail or the bounds are passed.
    fn step(&mut self) -> Option<bool> {
        match self.number(1)? as u8 {
            b'.' => return Some(true),
            0x80 => drop(self.number(1)?),
            b'c' => {
                let name = self.line()? + self.line()?;
                self.push(Cost::of(name))?;
            }
            b'K' => self.literal(1)?,
            b'M' => self.literal(2)?,
            b'J' => self.literal(4)?,
            b'G' => self.literal(8)?,
            0x8a => {
                let n = self.number(1)? as usize;
                // The ninth byte does not fit the number that candle makes of them.
                if n > 8 {
                    return None;
                }
                self.literal(n)?;
            }
            b'X' => {
                let n = self.number(4)? as usize;
                self.literal(n)?;
            }
            b'N' | 0x88 | 0x89 | b')' | b']' | b'}' => self.push(Cost::of(0))?,
            b'(' => self.push(Cost { is_mark: true, ..Cost::of(0) })?,
            b'Q' | 0x85 => self.join(1)?,
            0x86 | b'R' | 0x81 | b'b' => self.join(2)?,
            0x87 => self.join(3)?,
            b't' => {
                let parts = self.marked()?;
                self.push(Cost::around(&parts))?;
            }
            b'd' => self.push(Cost::of(0))?,
            b'a' => {
                let part = self.stack.pop()?;
                self.extend(&[part])?;
            }
            b's' => {
                let parts = self.stack.split_off(self.stack.len().checked_sub(2)?);
                self.extend(&parts)?;
            }
            b'e' | b'u' => {
                let parts = self.marked()?;
                self.extend(&parts)?;
            }
            b'q' => {
                let id = self.number(1)?;
                self.put(id)?;
            }
            b'r' => {
                let id = self.number(4)?;
                self.put(id)?;
            }
            b'h' => {
                let id = self.number(1)?;
                self.push(*self.memo.get(&id)?)?;
            }
            b'j' => {
                let id = self.number(4)?;
                self.push(*self.memo.get(&id)?)?;
            }
            _ => return None,
        }
        Some(false)
    }

    fn literal(&mut self, n: usize) -> Option<()> {
        let n_bytes = self.take(n)?.len() as u64;
        self.push(Cost::of(n_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line holds the one before it ten times.
    fn laughs(lines: u8) -> Vec<u8> {
        let mut program = b"\x80\x02K\x01q\0".to_vec();
        for line in 0..lines {
            program.push(b'(');
            program.extend([b'h', line].repeat(10));
            program.extend([b't', b'q', line + 1]);
        }
        program.push(b'.');
        program
    }

    #[test]
    fn a_small_program_cannot_cost_gigabytes() {
        assert!(is_affordable(&laughs(2)));
        let nest = [&b"\x80\x02N"[..], &[0x85; 100_000], b"."].concat();
        for program in [
            laughs(9),
            laughs(200),
            b"\x80\x02X\xff\xff\xff\x7fabc.".to_vec(),
            b"\x80\x02X\xff\xff\xff\xffabc.".to_vec(),
            b"\x80\x02\x8a\xff.".to_vec(),
            nest,
            b"cos\nsystem\n(X\x02\0\0\0idtR".to_vec(),
            b"".to_vec(),
            b"\x80\x02h\x07.".to_vec(),
            b"\x80\x02t.".to_vec(),
            b"\x80\x04\x95\0\0\0\0\0\0\0\0.".to_vec(),
        ] {
            assert!(!is_affordable(&program), "{:?}", &program[..program.len().min(40)]);
        }
    }

    #[test]
    fn a_state_dictionary_is_affordable() {
        let mut program = b"\x80\x02}q\0(".to_vec();
        for n in 0..2000_u32 {
            program.extend(b"X\x10\0\0\0visual.weight.00r");
            program.extend((2 * n + 1).to_le_bytes());
            program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x005X\x03\0\0\0cpuK\x08tQK\0K\x08\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRr");
            program.extend((2 * n + 2).to_le_bytes());
        }
        program.extend(b"u.");
        assert!(program.len() > 300_000);
        assert!(is_affordable(&program));
    }
}
