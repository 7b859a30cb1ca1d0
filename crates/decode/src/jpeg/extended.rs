//! Sequential frames of 12 bits and one component, as CT and MR archives compress them (process 4, Huffman).
//!
//! Reference: libjpeg built for 12 bits; pydicom with pylibjpeg gives the same values within one.

use super::super::error::Fault;
use super::bits::BitReader;
use super::blocks::Blocks;
use super::huffman::HuffmanTable;
use super::idct::{self, GROUP_WIDTH};
use super::scan::{Grid, Restart};
use super::sequential::decode_block;
use super::structure::Structure;

const MAX_DC_BITS: u8 = 15;

struct Prediction(i32);

impl Restart for Prediction {
    fn restart(&mut self) -> Result<(), Fault> {
        self.0 = 0;
        Ok(())
    }
}

/// Decodes a frame of one component. Shape: `[height, width]`, values 0 to 4095.
pub(super) fn decode(structure: &Structure<'_>) -> Result<Vec<u16>, Fault> {
    let frame = &structure.frame;
    let (component, [scan]) = (&frame.components[0], structure.scans.as_slice()) else {
        return Err(Fault::corrupt("several scans of one component"));
    };
    // Some encoders leave the end of the band at 0; libjpeg warns and reads the whole block, for there is no other.
    if !matches!(scan.spectral, (0, 0 | 63)) || scan.approximation != (0, 0) {
        return Err(Fault::corrupt("partial scan in a sequential image"));
    }
    let quant = component.quant.ok_or_else(|| Fault::corrupt("quantization table missing"))?;
    let (dc, ac) =
        (HuffmanTable::new(scan.components[0].dc_table)?, HuffmanTable::new(scan.components[0].ac_table)?);
    let grid = Grid::new(frame, scan);
    let (width, height) = (frame.width_px as usize, frame.height_px as usize);
    let stride = (8 * component.blocks.0).next_multiple_of(GROUP_WIDTH);
    let (mut rows, mut blocks) = (vec![0; 8 * stride], Blocks::new((component.blocks.0, 1)));
    let mut values = Vec::with_capacity(width * height);
    let (mut reader, mut prediction) = (BitReader::new(scan.data), Prediction(0));
    for mcu_y in 0..grid.n_mcus.1 {
        blocks.clear();
        grid.row(mcu_y, scan.restart_interval, &mut reader, &mut prediction, |reader, prediction, place| {
            let mut block = blocks.block(place.column, place.row_in_mcu);
            reader.read(|bits| decode_block::<MAX_DC_BITS>(bits, &dc, &ac, &mut prediction.0, &mut block))
        })?;
        for groups in blocks.rows() {
            idct::block_row_12(groups, &quant, &mut rows, stride);
        }
        let n_rows = (height - 8 * mcu_y).min(8);
        values.extend(rows.chunks_exact(stride).take(n_rows).flat_map(|row| &row[..width]));
    }
    reader.finish()?;
    Ok(values)
}
