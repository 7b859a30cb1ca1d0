//! Huffman tables with a lookup for short codes and for whole short coefficients.

use super::super::error::Fault;
use super::bits::{BadData, Bits};

/// Bits of the lookup; nearly every code of a photograph is shorter.
const LOOKUP_BITS: u32 = 9;
const MAX_CODE_LEN: u32 = 16;

/// A decoding table.
#[derive(Debug)]
pub(super) struct HuffmanTable {
    /// `length << 8 | symbol` by the next bits; 0 where the code is longer.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// A whole coefficient by the next bits; see [`ShortCoefficient`].
    short: [ShortCoefficient; 1 << LOOKUP_BITS],
    /// By code length: one past the largest code, aligned to 16 bits.
    ends: [u32; MAX_CODE_LEN as usize + 1],
    /// By code length: what to add to a code to find its symbol.
    offsets: [i32; MAX_CODE_LEN as usize + 1],
    symbols: [u8; 256],
}

/// A run of zeros and the coefficient after it, where code and magnitude fit the lookup; `n_bits` 0 where not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ShortCoefficient {
    pub(super) value: i16,
    pub(super) run: u8,
    pub(super) n_bits: u8,
}

impl HuffmanTable {
    /// Builds the table from sixteen counts and the symbols; `None` (no table sent) and overfull tables are faults.
    pub(super) fn new(table: Option<&[u8]>) -> Result<Box<Self>, Fault> {
        let (counts, symbols) = table.ok_or_else(|| Fault::corrupt("huffman table missing"))?.split_at(16);
        let mut built = Box::new(Self {
            lookup: [0; 1 << LOOKUP_BITS],
            short: [ShortCoefficient::default(); 1 << LOOKUP_BITS],
            ends: [0; MAX_CODE_LEN as usize + 1],
            offsets: [0; MAX_CODE_LEN as usize + 1],
            symbols: [0; 256],
        });
        let (mut code, mut n) = (0_u32, 0_usize);
        for (len, &count) in (1..=MAX_CODE_LEN).zip(counts) {
            built.offsets[len as usize] = n as i32 - code as i32;
            for _ in 0..count {
                let symbol = *symbols.get(n).filter(|_| n < 256).ok_or_else(overfull)?;
                built.symbols[n] = symbol;
                built.fill(code, len, symbol);
                code += 1;
                n += 1;
            }
            // No code may be all ones: it is kept as a prefix of longer codes.
            if code >= 1 << len {
                return Err(overfull());
            }
            built.ends[len as usize] = code << (MAX_CODE_LEN - len);
            code <<= 1;
        }
        Ok(built)
    }

    fn fill(&mut self, code: u32, len: u32, symbol: u8) {
        if len > LOOKUP_BITS {
            return;
        }
        let n_free = LOOKUP_BITS - len;
        let magnitude_bits = u32::from(symbol & 15);
        let range = (code << n_free) as usize..((code + 1) << n_free) as usize;
        for at in range {
            let Some(entry) = self.lookup.get_mut(at) else { return };
            *entry = (len << 8) as u16 | u16::from(symbol);
            if (1..=n_free).contains(&magnitude_bits) {
                let bits = (at >> (n_free - magnitude_bits)) as i32 & ((1 << magnitude_bits) - 1);
                let is_positive = bits >> (magnitude_bits - 1) != 0;
                let value = if is_positive { bits } else { bits - (1 << magnitude_bits) + 1 };
                let n_bits = (len + magnitude_bits) as u8;
                self.short[at] = ShortCoefficient { value: value as i16, run: symbol >> 4, n_bits };
            }
        }
    }

    /// The coefficient that the next bits hold as a whole, if they do; the caller has refilled.
    #[inline(always)]
    pub(super) fn short(&self, bits: &Bits<'_>) -> ShortCoefficient {
        self.short[bits.peek(LOOKUP_BITS)]
    }

    /// Takes one symbol.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, BadData> {
        bits.refill();
        let entry = self.lookup[bits.peek(LOOKUP_BITS)];
        if entry == 0 {
            return self.long_symbol(bits);
        }
        bits.skip(u32::from(entry >> 8));
        Ok(entry as u8)
    }

    #[cold]
    fn long_symbol(&self, bits: &mut Bits<'_>) -> Result<u8, BadData> {
        let code = bits.peek(MAX_CODE_LEN) as u32;
        let len =
            (LOOKUP_BITS + 1..=MAX_CODE_LEN).find(|&len| code < self.ends[len as usize]).ok_or(BadData)?;
        bits.skip(len);
        let at = (code >> (MAX_CODE_LEN - len)) as i32 + self.offsets[len as usize];
        usize::try_from(at).ok().and_then(|at| self.symbols.get(at)).copied().ok_or(BadData)
    }
}

fn overfull() -> Fault {
    Fault::corrupt("huffman table has more codes than bits allow")
}
