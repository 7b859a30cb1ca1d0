//! The blocks of a scan in order, whatever its coding.

use super::super::error::Fault;
use super::bits::{BadData, BitReader};
use super::frame::Frame;
use super::structure::Scan;

/// The MCU grid of one scan.
#[derive(Debug)]
pub(super) struct Grid {
    /// MCUs across and down.
    pub(super) n_mcus: (usize, usize),
    /// Per component of the scan: blocks across and down in one MCU.
    blocks: Vec<(usize, usize)>,
}

/// One block's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockPlace {
    /// Index into the scan's components.
    pub(super) component: usize,
    /// Column of the block in its component.
    pub(super) column: usize,
    /// Row of the block inside the row of MCUs.
    pub(super) row_in_mcu: usize,
}

impl Grid {
    /// A scan of one component covers the component's own blocks; of several, whole MCUs of the frame.
    pub(super) fn new(frame: &Frame, scan: &Scan<'_>) -> Self {
        match scan.components.as_slice() {
            [only] => Self { n_mcus: frame.components[only.index].own_blocks, blocks: vec![(1, 1)] },
            several => Self {
                n_mcus: frame.n_mcus(),
                blocks: several.iter().map(|part| frame.components[part.index].sampling).collect(),
            },
        }
    }

    /// Block rows of a component in one row of MCUs.
    pub(super) fn rows_in_mcu(&self, component: usize) -> usize {
        self.blocks[component].1
    }

    /// Calls `block` for every block of MCU row `mcu_y` in coding order, and `restart` where an interval ends.
    ///
    /// `state` is what both change.
    pub(super) fn row<S: Restart>(
        &self,
        mcu_y: usize,
        restart_interval: usize,
        reader: &mut BitReader<'_>,
        state: &mut S,
        mut block: impl FnMut(&mut BitReader<'_>, &mut S, BlockPlace) -> Result<(), BadData>,
    ) -> Result<(), Fault> {
        for mcu_x in 0..self.n_mcus.0 {
            let n_done = mcu_y * self.n_mcus.0 + mcu_x;
            if restart_interval > 0 && n_done > 0 && n_done.is_multiple_of(restart_interval) {
                state.restart()?;
                reader.restart()?;
            }
            for (component, &(across, down)) in self.blocks.iter().enumerate() {
                for row_in_mcu in 0..down {
                    for x in 0..across {
                        let place = BlockPlace { component, column: mcu_x * across + x, row_in_mcu };
                        block(reader, state, place).map_err(|BadData| reader.fault())?;
                    }
                }
            }
            if reader.is_overread() {
                return Err(reader.fault());
            }
        }
        Ok(())
    }
}

/// Decoder state that a restart marker resets.
pub(super) trait Restart {
    /// Resets, or tells that the interval ended in the middle of a run.
    fn restart(&mut self) -> Result<(), Fault>;
}
