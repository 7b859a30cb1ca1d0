//! Progressive scans: coefficients of the whole image, refined scan by scan, then turned into samples.

use super::super::error::Fault;
use super::bits::{BadData, BitReader, Bits};
use super::blocks::{Block, Blocks};
use super::frame::Frame;
use super::huffman::HuffmanTable;
use super::planes::Plane;
use super::scan::{Grid, Restart};
use super::structure::{Scan, Structure};

const MAX_DC_BITS: u8 = 11;
/// Bit position of a coefficient of which nothing has been sent.
const UNSENT: u8 = u8::MAX;
const MAX_BIT: u8 = 13;

/// What one component has received so far.
struct Progress {
    blocks: Blocks,
    /// By zigzag index: the lowest bit sent.
    low_bits: [u8; 64],
}

/// State inside a scan.
struct State {
    predictions: Vec<i32>,
    /// Blocks still covered by an end-of-band run.
    end_of_band: u32,
}

impl Restart for State {
    fn restart(&mut self) -> Result<(), Fault> {
        self.predictions.fill(0);
        self.finish()
    }
}

impl State {
    fn finish(&self) -> Result<(), Fault> {
        if self.end_of_band == 0 { Ok(()) } else { Err(Fault::corrupt("end-of-band run past its interval")) }
    }
}

/// Decodes every scan; together they must send every coefficient down to its last bit.
pub(super) fn decode(structure: &Structure<'_>, planes: &mut [Plane]) -> Result<(), Fault> {
    let frame = &structure.frame;
    let mut progress: Vec<Progress> = (frame.components.iter())
        .map(|c| Progress { blocks: Blocks::new(c.blocks), low_bits: [UNSENT; 64] })
        .collect();
    for scan in &structure.scans {
        for part in &scan.components {
            advance(&mut progress[part.index].low_bits, scan)?;
        }
        decode_scan(frame, scan, &mut progress)?;
    }
    if progress.iter().any(|component| component.low_bits != [0; 64]) {
        return Err(Fault::truncated("the scans leave coefficients unsent or unrefined"));
    }
    for (plane, progress) in planes.iter_mut().zip(progress) {
        for (row, groups) in progress.blocks.rows().enumerate() {
            plane.put_block_row(row, groups);
        }
    }
    Ok(())
}

/// Checks that a scan continues where the earlier ones left off, and notes how far it goes.
fn advance(low_bits: &mut [u8; 64], scan: &Scan<'_>) -> Result<(), Fault> {
    let ((start, end), (high, low)) = (scan.spectral, scan.approximation);
    let is_dc = start == 0;
    let band_ok = if is_dc { end == 0 } else { start <= end && end < 64 && scan.components.len() == 1 };
    let step_ok = low <= MAX_BIT && (high == 0 || high == low + 1);
    if !band_ok || !step_ok || (!is_dc && low_bits[0] == UNSENT) {
        return Err(Fault::corrupt("scan parameters"));
    }
    for low_bit in &mut low_bits[usize::from(start)..=usize::from(end)] {
        if *low_bit != if high == 0 { UNSENT } else { high } {
            return Err(Fault::corrupt("scan out of order"));
        }
        *low_bit = low;
    }
    Ok(())
}

fn decode_scan(frame: &Frame, scan: &Scan<'_>, progress: &mut [Progress]) -> Result<(), Fault> {
    let (is_dc, is_first) = (scan.spectral.0 == 0, scan.approximation.0 == 0);
    let mut tables = Vec::new();
    for part in &scan.components {
        match (is_dc, is_first) {
            (true, true) => tables.push(HuffmanTable::new(part.dc_table)?),
            (true, false) => {}
            (false, _) => tables.push(HuffmanTable::new(part.ac_table)?),
        }
    }
    let band = Band { start: scan.spectral.0.into(), end: scan.spectral.1.into(), low: scan.approximation.1 };
    let grid = Grid::new(frame, scan);
    let mut reader = BitReader::new(scan.data);
    let mut state = State { predictions: vec![0; scan.components.len()], end_of_band: 0 };
    for mcu_y in 0..grid.n_mcus.1 {
        grid.row(mcu_y, scan.restart_interval, &mut reader, &mut state, |reader, state, place| {
            let index = scan.components[place.component].index;
            let row = mcu_y * grid.rows_in_mcu(place.component) + place.row_in_mcu;
            let block = &mut progress[index].blocks.block(place.column, row);
            reader.read(|bits| match (is_dc, is_first) {
                (true, true) => {
                    let prediction = &mut state.predictions[place.component];
                    band.dc_first(bits, &tables[place.component], prediction, block)
                }
                (true, false) => {
                    *block.at(0)? |= (bits.take(1) << band.low) as i16;
                    Ok(())
                }
                (false, true) => band.ac_first(bits, &tables[0], &mut state.end_of_band, block),
                (false, false) => band.ac_refine(bits, &tables[0], &mut state.end_of_band, block),
            })
        })?;
    }
    state.finish()?;
    reader.finish()
}

/// The coefficients and the bit that a scan sends.
struct Band {
    start: usize,
    end: usize,
    low: u8,
}

impl Band {
    fn dc_first(
        &self,
        bits: &mut Bits<'_>,
        table: &HuffmanTable,
        prediction: &mut i32,
        block: &mut Block<'_>,
    ) -> Result<(), BadData> {
        let n_bits = table.symbol(bits)?;
        if n_bits > MAX_DC_BITS {
            return Err(BadData);
        }
        *prediction = prediction.wrapping_add(bits.take_signed(n_bits.into()));
        *block.at(0)? = (*prediction << self.low) as i16;
        Ok(())
    }

    fn ac_first(
        &self,
        bits: &mut Bits<'_>,
        table: &HuffmanTable,
        end_of_band: &mut u32,
        block: &mut Block<'_>,
    ) -> Result<(), BadData> {
        if *end_of_band > 0 {
            *end_of_band -= 1;
            return Ok(());
        }
        let mut k = self.start;
        while k <= self.end {
            let symbol = table.symbol(bits)?;
            let (run, n_bits) = (symbol >> 4, symbol & 15);
            if n_bits == 0 && run < 15 {
                *end_of_band = (1 << run) - 1 + bits.take(run.into()) as u32;
                return Ok(());
            }
            k += usize::from(run);
            if n_bits > 0 {
                if k > self.end {
                    return Err(BadData);
                }
                *block.at(k)? = (bits.take_signed(n_bits.into()) << self.low) as i16;
            }
            k += 1;
        }
        if k == self.end + 1 { Ok(()) } else { Err(BadData) }
    }

    fn ac_refine(
        &self,
        bits: &mut Bits<'_>,
        table: &HuffmanTable,
        end_of_band: &mut u32,
        block: &mut Block<'_>,
    ) -> Result<(), BadData> {
        let mut k = self.start;
        while *end_of_band == 0 && k <= self.end {
            let symbol = table.symbol(bits)?;
            let (run, n_bits) = (symbol >> 4, symbol & 15);
            if n_bits == 0 && run < 15 {
                *end_of_band = (1 << run) + bits.take(run.into()) as u32;
                break;
            }
            let value = match n_bits {
                0 => 0,
                1 => (if bits.take(1) == 1 { 1 } else { -1 }) << self.low,
                _ => return Err(BadData),
            };
            k = self.refine(bits, k, run.into(), block)?;
            if k > self.end {
                return Err(BadData);
            }
            if value != 0 {
                *block.at(k)? = value;
            }
            k += 1;
        }
        if *end_of_band > 0 {
            self.refine(bits, k, usize::MAX, block)?;
            *end_of_band -= 1;
        }
        Ok(())
    }

    /// Sends one more bit of every coefficient that is not zero, until `n_zeros` zeros were passed; returns the place
    /// of the zero after those, or one past the band.
    fn refine(
        &self,
        bits: &mut Bits<'_>,
        start: usize,
        mut n_zeros: usize,
        block: &mut Block<'_>,
    ) -> Result<usize, BadData> {
        let bit = 1 << self.low;
        for k in start..=self.end {
            let coefficient = block.at(k)?;
            if *coefficient == 0 {
                if n_zeros == 0 {
                    return Ok(k);
                }
                n_zeros -= 1;
            } else if bits.take(1) == 1 && *coefficient & bit == 0 {
                *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
            }
        }
        Ok(self.end + 1)
    }
}
