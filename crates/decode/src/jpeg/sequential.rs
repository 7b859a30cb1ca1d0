//! Baseline and extended sequential scans, straight into sample planes.

use super::super::error::Fault;
use super::bits::{BadData, BitReader, Bits};
use super::blocks::{Block, Blocks};
use super::huffman::HuffmanTable;
use super::planes::Plane;
use super::scan::{Grid, Restart};
use super::structure::{Scan, Structure};

/// Largest magnitude category of a difference of DC coefficients: that of 8-bit images is 11, of 12-bit ones 15.
pub(super) const MAX_DC_BITS: u8 = 11;

struct Part {
    dc: Box<HuffmanTable>,
    ac: Box<HuffmanTable>,
    prediction: i32,
    /// Coefficients of one row of MCUs.
    blocks: Blocks,
}

struct Parts(Vec<Part>);

impl Restart for Parts {
    fn restart(&mut self) -> Result<(), Fault> {
        self.0.iter_mut().for_each(|part| part.prediction = 0);
        Ok(())
    }
}

/// Decodes every scan; each component must come in exactly one.
pub(super) fn decode(structure: &Structure<'_>, planes: &mut [Plane]) -> Result<(), Fault> {
    let frame = &structure.frame;
    let mut is_done = vec![false; planes.len()];
    for scan in &structure.scans {
        if scan.spectral != (0, 63) || scan.approximation != (0, 0) {
            return Err(Fault::corrupt("partial scan in a sequential image"));
        }
        let grid = Grid::new(frame, scan);
        let mut parts = Parts(Vec::with_capacity(scan.components.len()));
        for (i, part) in scan.components.iter().enumerate() {
            if std::mem::replace(&mut is_done[part.index], true) {
                return Err(Fault::corrupt("component sent twice"));
            }
            parts.0.push(Part {
                dc: HuffmanTable::new(part.dc_table)?,
                ac: HuffmanTable::new(part.ac_table)?,
                prediction: 0,
                blocks: Blocks::new((frame.components[part.index].blocks.0, grid.rows_in_mcu(i))),
            });
        }
        let mut reader = BitReader::new(scan.data);
        for mcu_y in 0..grid.n_mcus.1 {
            decode_row(scan, &grid, mcu_y, &mut reader, &mut parts, planes)?;
        }
        reader.finish()?;
    }
    if is_done.contains(&false) {
        return Err(Fault::truncated("a component has no scan"));
    }
    Ok(())
}

fn decode_row(
    scan: &Scan<'_>,
    grid: &Grid,
    mcu_y: usize,
    reader: &mut BitReader<'_>,
    parts: &mut Parts,
    planes: &mut [Plane],
) -> Result<(), Fault> {
    parts.0.iter_mut().for_each(|part| part.blocks.clear());
    grid.row(mcu_y, scan.restart_interval, reader, parts, |reader, parts, place| {
        let part = &mut parts.0[place.component];
        let mut block = part.blocks.block(place.column, place.row_in_mcu);
        reader.read(|bits| {
            decode_block::<MAX_DC_BITS>(bits, &part.dc, &part.ac, &mut part.prediction, &mut block)
        })
    })?;
    for (i, (part, place)) in parts.0.iter().zip(&scan.components).enumerate() {
        for (row, groups) in part.blocks.rows().enumerate() {
            planes[place.index].put_block_row(mcu_y * grid.rows_in_mcu(i) + row, groups);
        }
    }
    Ok(())
}

/// One block; `DC_BITS` is the largest category of a DC difference, one more than that of the other coefficients.
#[inline(always)]
pub(super) fn decode_block<const DC_BITS: u8>(
    bits: &mut Bits<'_>,
    dc: &HuffmanTable,
    ac: &HuffmanTable,
    prediction: &mut i32,
    block: &mut Block<'_>,
) -> Result<(), BadData> {
    let n_bits = dc.symbol(bits)?;
    if n_bits > DC_BITS {
        return Err(BadData);
    }
    *prediction = prediction.wrapping_add(bits.take_signed(n_bits.into()));
    *block.at(0)? = *prediction as i16;
    let mut k = 1;
    while k < 64 {
        bits.refill();
        let short = ac.short(bits);
        if short.n_bits != 0 {
            bits.skip(short.n_bits.into());
            k += usize::from(short.run);
            *block.at(k)? = short.value;
            k += 1;
            continue;
        }
        let symbol = ac.symbol(bits)?;
        k += usize::from(symbol >> 4);
        match symbol & 15 {
            0 if symbol == 0 => return Ok(()),
            0 if symbol == 0xf0 => {}
            n_bits if n_bits < DC_BITS => *block.at(k)? = bits.take_signed(n_bits.into()) as i16,
            _ => return Err(BadData),
        }
        k += 1;
    }
    if k == 64 { Ok(()) } else { Err(BadData) }
}
