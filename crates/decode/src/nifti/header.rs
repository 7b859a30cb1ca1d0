//! The 348 bytes before the data: sides, type, scale and window, each checked before anything is allocated.
//!
//! Reference: nifti1.h of the NIfTI-1.1 standard, by byte offset.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use super::super::error::{Fault, Reason};
use super::rows::Data;

const HEADER_LEN: usize = 348;
const MAGIC: std::ops::Range<usize> = 344..348;
/// Most bytes of data that are read for one slice: 1024 cubed of 16 bits. A gzip member makes them of two MiB.
const MAX_DATA_BYTES: u64 = 2 << 30;

/// Which number stands in the data, by the standard's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I16,
    I32,
    F32,
    F64,
    U16,
}

/// What of the header decides a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct NiftiHeader {
    is_big_endian: bool,
    kind: Kind,
    /// Voxels along x, y, z; at least 1 each.
    pub(super) sides: [u32; 3],
    /// Along the fourth axis.
    pub(super) n_volumes: u32,
    /// Bytes of header and extensions.
    data_at: usize,
    slope: f64,
    inter: f64,
    /// `cal_min` and `cal_max`, where they are a window.
    pub(super) window: Option<(f64, f64)>,
}

/// Whether the bytes begin as a volume does, plain or inside gzip.
pub(in super::super) fn is_nifti(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return first_of_gzip(bytes).is_ok_and(|head| is_single_file(&head));
    }
    bytes.first_chunk::<HEADER_LEN>().is_some_and(is_single_file)
}

fn is_single_file(head: &[u8; HEADER_LEN]) -> bool {
    let size = [head[0], head[1], head[2], head[3]];
    head[MAGIC] == *b"n+1\0" && [u32::from_le_bytes(size), u32::from_be_bytes(size)].contains(&348)
}

fn first_of_gzip(bytes: &[u8]) -> std::io::Result<[u8; HEADER_LEN]> {
    let mut head = [0; HEADER_LEN];
    MultiGzDecoder::new(bytes).read_exact(&mut head).map(|()| head)
}

/// Reads the header; the data begin where the second value stands.
pub(super) fn open(bytes: &[u8]) -> Result<(NiftiHeader, Data<'_>), Fault> {
    let cut = || Fault::truncated("the header of the volume ends early");
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let head = first_of_gzip(bytes).map_err(|_| cut())?;
        let header = NiftiHeader::read(&head)?;
        return Ok((header, Data::Gzip(Box::new(MultiGzDecoder::new(bytes)), header.data_at)));
    }
    let header = NiftiHeader::read(bytes.first_chunk().ok_or_else(cut)?)?;
    let data = bytes.get(header.data_at..).ok_or_else(cut)?;
    if data.len() as u64 != header.data_bytes() {
        let detail = format!("{} bytes of voxels, the header declares {}", data.len(), header.data_bytes());
        let is_cut = (data.len() as u64) < header.data_bytes();
        return Err(if is_cut { Fault::truncated(detail) } else { Fault::corrupt(detail) });
    }
    Ok((header, Data::Plain(data)))
}

impl NiftiHeader {
    fn read(head: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let is_big_endian = head[..4] == [0, 0, 1, 0x5c];
        let half = |at: usize| {
            let bytes = [head[at], head[at + 1]];
            if is_big_endian { i16::from_be_bytes(bytes) } else { i16::from_le_bytes(bytes) }
        };
        let float = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            f64::from(if is_big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) })
        };
        let (sides, n_volumes) = sides(std::array::from_fn(|n| half(40 + 2 * n)))?;
        let kind = Kind::read(half(70), half(72))?;
        let (slope, inter) = match (float(112), float(116)) {
            (slope, _) if slope == 0.0 || !slope.is_finite() => (1.0, 0.0),
            (_, inter) if !inter.is_finite() => return Err(Fault::corrupt("scl_inter is not finite")),
            scale => scale,
        };
        let (low, high) = (float(128), float(124));
        let window = (low.is_finite() && high.is_finite() && low < high).then_some((low, high));
        let data_at = float(108);
        if !(348.0..=16_777_216.0).contains(&data_at) || data_at.fract() != 0.0 {
            return Err(Fault::corrupt("vox_offset, allowed a whole number from 348 to 16777216"));
        }
        let data_at = data_at as usize;
        let header = Self { is_big_endian, kind, sides, n_volumes, data_at, slope, inter, window };
        if header.data_bytes() > MAX_DATA_BYTES {
            let detail = format!("{} bytes of voxels, allowed {MAX_DATA_BYTES}", header.data_bytes());
            return Err(Fault::new(Reason::DimensionsExceedLimit, detail));
        }
        Ok(header)
    }

    /// Bytes of all volumes; at most 2^15 to the fourth times 8, so they fit.
    fn data_bytes(&self) -> u64 {
        self.n_rows() * self.row_bytes() as u64
    }

    /// Rows along x in all volumes.
    fn n_rows(&self) -> u64 {
        [self.sides[1], self.sides[2], self.n_volumes].into_iter().map(u64::from).product()
    }

    /// Bytes of one row along x.
    pub(super) fn row_bytes(&self) -> usize {
        self.sides[0] as usize * self.kind.len()
    }

    /// One voxel of a row.
    pub(super) fn value(&self, row: &[u8], x: usize) -> f64 {
        let len = self.kind.len();
        self.scaled(&row[x * len..(x + 1) * len])
    }

    /// All voxels of a row.
    pub(super) fn values(&self, row: &[u8]) -> impl Iterator<Item = f64> {
        row.chunks_exact(self.kind.len()).map(|bytes| self.scaled(bytes))
    }

    fn scaled(&self, bytes: &[u8]) -> f64 {
        let mut ordered = [0; 8];
        let len = bytes.len();
        ordered[..len].copy_from_slice(bytes);
        if self.is_big_endian {
            ordered[..len].reverse();
        }
        let [a, b, c, d, ..] = ordered;
        let stored = match self.kind {
            Kind::U8 => f64::from(a),
            Kind::I16 => f64::from(i16::from_le_bytes([a, b])),
            Kind::U16 => f64::from(u16::from_le_bytes([a, b])),
            Kind::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Kind::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Kind::F64 => f64::from_le_bytes(ordered),
        };
        stored * self.slope + self.inter
    }
}

impl Kind {
    fn read(code: i16, bits: i16) -> Result<Self, Fault> {
        let kind = match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            512 => Self::U16,
            _ => {
                let detail = format!("voxels of type {code}, allowed u8, i16, u16, i32, f32, f64");
                return Err(Fault::new(Reason::UnsupportedColorType, detail));
            }
        };
        if usize::try_from(bits) != Ok(8 * kind.len()) {
            return Err(Fault::corrupt(format!("type {code} of {bits} bits, want {}", 8 * kind.len())));
        }
        Ok(kind)
    }

    fn len(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// The three axes of space and the number of volumes, from the number of axes and the sides.
fn sides(dim: [i16; 8]) -> Result<([u32; 3], u32), Fault> {
    let n_axes = usize::try_from(dim[0]).ok().filter(|n| (1..=7).contains(n));
    let n_axes = n_axes.ok_or_else(|| Fault::corrupt(format!("{} axes, allowed 1 to 7", dim[0])))?;
    let mut all = [1; 7];
    for (side, &declared) in all.iter_mut().zip(&dim[1..=n_axes]) {
        *side = u32::try_from(declared).ok().filter(|&side| side > 0).ok_or_else(|| {
            Fault::corrupt(format!("a side of {declared} voxels, allowed 1 to {}", i16::MAX))
        })?;
    }
    let [nx, ny, nz, n_volumes, more @ ..] = all;
    if more != [1; 3] {
        let detail = "a volume of more than four axes";
        return Err(Fault::new(Reason::UnsupportedFormat, detail));
    }
    Ok(([nx, ny, nz], n_volumes))
}
