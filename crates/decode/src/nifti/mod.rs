//! NIfTI-1 and NIfTI-2 volumes, plain or gzipped: one slice of one volume, rendered to 8 bits.
//!
//! A reader of our own. The `nifti` crate (0.18) reserves what seven 16-bit sides declare before it has seen a byte of
//! them, holds the whole volume, and streams slices of the last axis only. Here the declared sizes are bounded first,
//! a gzip member is inflated row by row to its checksum, and only the slice that is wanted is kept.
//!
//! Orientation: exactly `np.rot90(np.take(volume, index, axis))`, whatever the affine says, so that a manifest's axis
//! and index mean the same here and in nibabel. For a volume in RAS order, axis 2 shows the nose up and the right side
//! of the head on the right. The picture is as wide as the first of the two axes that are left and as high as the second.
//!
//! Values: `stored * scl_slope + scl_inter` in f64, unscaled where the slope is 0 or not finite, as nibabel does. The
//! window of [`Window::File`](super::Window::File) is `cal_min..cal_max` where the first is below the second, else the range of the slice;
//! the levels are rounded to the nearest. Voxels that are not a number are black and count for no range. RGB and RGBA
//! voxels are shown as they are.
//!
//! A fourth axis holds volumes, which `frame` names; more axes are refused.

mod gzip;
mod header;
mod rows;

use super::error::{Fault, Reason};
use super::facts::Facts;
use super::rendering::{Rendering, Slice};
use super::{Header, frames, levels};
use header::NiftiHeader;
use rows::Rows;
use t3b_image::Rgb8;

pub(super) use header::{is_nifti, is_pair};

/// The slice that is asked for, checked against the volume.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    slice: Slice,
    volume: u32,
    /// The two axes that are left, in order.
    width_px: u32,
    height_px: u32,
}

pub(super) fn read_header(bytes: &[u8], rendering: &Rendering, facts: &mut Facts) -> Result<Header, Fault> {
    let (header, _) = header::open(bytes)?;
    let [nx, ny, nz] = header.sides;
    facts.note("volume", format!("{nx} {ny} {nz} {}", header.n_volumes));
    let Wanted { width_px, height_px, .. } = Wanted::of(&header, rendering)?;
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    // Voxels, values in f64, twice where percentiles sort them, and the picture; one row of the volume.
    let peak_bytes = n_pixels.saturating_mul(8 + 8 + 8 + 3 + 3).saturating_add(header.row_bytes() as u64);
    Ok(Header { width_px, height_px, peak_bytes })
}

/// Decodes one slice of a volume whose header passed the limits.
pub(super) fn decode(bytes: &[u8], rendering: &Rendering, facts: &mut Facts) -> Result<Rgb8, Fault> {
    let (header, data) = header::open(bytes)?;
    let wanted = Wanted::of(&header, rendering)?;
    let voxels = wanted.read(&header, data)?;
    let pixels = header.colors(&voxels).unwrap_or_else(|| {
        let levels = levels::render(&header.values(&voxels), header.window, rendering.window, facts);
        levels.into_iter().map(|level| [level; 3]).collect()
    });
    let mut rgb = Vec::with_capacity(pixels.len() * Rgb8::CHANNELS);
    // The quarter turn: columns stay, rows are read from the end.
    for row in pixels.chunks_exact(wanted.width_px as usize).rev() {
        rgb.extend(row.as_flattened());
    }
    Rgb8::new(wanted.width_px, wanted.height_px, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

impl Wanted {
    fn of(header: &NiftiHeader, rendering: &Rendering) -> Result<Self, Fault> {
        let [nx, ny, nz] = header.sides;
        let slice = match rendering.slice {
            Some(slice) => slice,
            None if nz == 1 => Slice { axis: 2, index: 0 },
            None => {
                let detail = format!("a volume of {nx}x{ny}x{nz}, want a slice of it");
                return Err(Fault::new(Reason::MultiFrame, detail));
            }
        };
        let (n_slices, width_px, height_px) = match slice.axis {
            0 => (nx, ny, nz),
            1 => (ny, nx, nz),
            2 => (nz, nx, ny),
            axis => {
                let detail = format!("axis {axis}, allowed 0..=2");
                return Err(Fault::new(Reason::FrameOutOfRange, detail));
            }
        };
        if slice.index >= n_slices {
            let detail =
                format!("slice {} of axis {}, allowed 0..={}", slice.index, slice.axis, n_slices - 1);
            return Err(Fault::new(Reason::FrameOutOfRange, detail));
        }
        let volume = frames::choose(header.n_volumes, rendering.frame)?;
        Ok(Self { slice, volume, width_px, height_px })
    }

    /// The slice's voxels as stored, the first of the axes that are left fastest. Reads the data to their end, so that a cut
    /// behind the slice and a wrong checksum are noticed too.
    fn read(&self, header: &NiftiHeader, data: header::Data<'_>) -> Result<Vec<u8>, Fault> {
        let [_, ny, nz] = header.sides;
        let n_voxels = self.width_px as usize * self.height_px as usize;
        let mut voxels = Vec::with_capacity(n_voxels * header.voxel_bytes());
        let mut rows = Rows::new(header, data)?;
        for volume in 0..header.n_volumes {
            for z in 0..nz {
                for y in 0..ny {
                    let row = rows.next()?;
                    let index = self.slice.index;
                    match self.slice.axis {
                        _ if volume != self.volume => {}
                        0 => voxels.extend_from_slice(header.voxel(row, index as usize)),
                        1 if y == index => voxels.extend_from_slice(row),
                        2 if z == index => voxels.extend_from_slice(row),
                        _ => {}
                    }
                }
            }
        }
        rows.finish()?;
        Ok(voxels)
    }
}
