//! The 348 bytes before the data, 540 in NIfTI-2: sides, type, scale and window, each checked before anything is
//! allocated.
//!
//! Reference: nifti1.h and nifti2.h of the standards, by byte offset, and what nibabel reads although they are broken.

use std::io::Read;

use super::gzip::Members;

use super::super::error::{Fault, Reason};

const HEADER_LEN: usize = 348;
const HEADER_LEN_2: usize = 540;
/// Most bytes of data that are read for one slice: 1024 cubed of 16 bits. A gzip member makes them of two MiB.
const MAX_DATA_BYTES: u64 = 2 << 30;

/// Which number stands in the data, by the standard's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleType {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// Three bytes, red first; not scaled.
    Rgb,
    /// The same and a fourth, which is dropped.
    Rgba,
}

/// What of the header decides a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct NiftiHeader {
    is_big_endian: bool,
    kind: SampleType,
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
        return version(&first_of_gzip(bytes)).is_some_and(|(_, is_pair)| !is_pair);
    }
    version(bytes).is_some_and(|(_, is_pair)| !is_pair)
}

/// Whether they are the header of a pair, whose voxels lie in another file.
pub(in super::super) fn is_pair(bytes: &[u8]) -> bool {
    let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
    let head = if is_gzip { first_of_gzip(bytes) } else { Vec::new() };
    let head = if is_gzip { &head } else { bytes };
    // Analyze has no magic: the size of its header, the extent 16384 and the letter r stand in its place.
    let is_analyze = is_size(head, 348) && head.get(38) == Some(&b'r') && head.len() <= HEADER_LEN + 4;
    is_analyze || version(head).is_some_and(|(_, is_pair)| is_pair)
}

fn is_size(head: &[u8], size: u32) -> bool {
    let found = head.first_chunk::<4>();
    found.is_some_and(|&found| [u32::from_le_bytes(found), u32::from_be_bytes(found)].contains(&size))
}

/// 1 or 2, and whether the voxels lie in another file; `None` for bytes that are no header.
fn version(head: &[u8]) -> Option<(u8, bool)> {
    if is_size(head, 348) {
        return match head.get(344..348)? {
            b"n+1\0" => Some((1, false)),
            b"ni1\0" => Some((1, true)),
            _ => None,
        };
    }
    match head.get(4..12).filter(|_| is_size(head, 540))? {
        b"n+2\0\r\n\x1a\n" => Some((2, false)),
        b"ni2\0\r\n\x1a\n" => Some((2, true)),
        _ => None,
    }
}

/// The beginning of a gzipped object, up to the longer header and what follows it; shorter where it ends or is damaged.
fn first_of_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADER_LEN_2);
    // What was read before the damage is enough to say what it is.
    let _damaged = Members::new(bytes).take(HEADER_LEN_2 as u64).read_to_end(&mut head);
    head
}

/// Where the voxels stand.
#[derive(Debug)]
pub(super) enum Data<'a> {
    /// In the object, all of them and nothing else.
    Plain(&'a [u8]),
    /// In gzip members from their beginning, behind so many bytes of header.
    Gzip(Box<Members<'a>>, usize),
}

/// Reads the header; the data begin where the second value stands. Bytes behind the voxels are ignored, as in nibabel.
pub(super) fn open(bytes: &[u8]) -> Result<(NiftiHeader, Data<'_>), Fault> {
    let cut = || Fault::truncated("the header of the volume ends early");
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let header = NiftiHeader::read(&first_of_gzip(bytes))?;
        return Ok((header, Data::Gzip(Box::new(Members::new(bytes)), header.data_at)));
    }
    let header = NiftiHeader::read(bytes)?;
    let data = bytes.get(header.data_at..).ok_or_else(cut)?;
    match usize::try_from(header.data_bytes()).ok().and_then(|len| data.get(..len)) {
        Some(data) => Ok((header, Data::Plain(data))),
        None => {
            let (found, declared) = (data.len(), header.data_bytes());
            Err(Fault::truncated(format!("{found} bytes of voxels, the header declares {declared}")))
        }
    }
}

/// Reads numbers of a header by their byte offsets.
struct Fields<'a> {
    head: &'a [u8],
    is_big_endian: bool,
}

impl Fields<'_> {
    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes: [u8; N] = std::array::from_fn(|n| self.head[at + n]);
        if self.is_big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.number(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.number(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f32::from_le_bytes(self.number(at)).into()
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.number(at))
    }
}

impl NiftiHeader {
    fn read(head: &[u8]) -> Result<Self, Fault> {
        let cut = || Fault::truncated("the header of the volume ends early");
        let (version, _) = version(head).ok_or_else(cut)?;
        let len = if version == 2 { HEADER_LEN_2 } else { HEADER_LEN };
        let head = head.get(..len).ok_or_else(cut)?;
        let fields = Fields { head, is_big_endian: head[0] == 0 };
        let (dim, kind, (slope, inter), (low, high), data_at): ([i64; 8], _, _, _, _) = if version == 2 {
            let dim = std::array::from_fn(|n| fields.i64(16 + 8 * n));
            let data_at = fields.i64(168) as f64;
            let scale = (fields.f64(176), fields.f64(184));
            (dim, SampleType::read(fields.i16(12))?, scale, (fields.f64(200), fields.f64(192)), data_at)
        } else {
            let dim = std::array::from_fn(|n| fields.i16(40 + 2 * n).into());
            let scale = (fields.f32(112), fields.f32(116));
            (
                dim,
                SampleType::read(fields.i16(70))?,
                scale,
                (fields.f32(128), fields.f32(124)),
                fields.f32(108),
            )
        };
        let (sides, n_volumes) = sides(dim)?;
        let (slope, inter) = match (slope, inter) {
            (slope, _) if slope == 0.0 || !slope.is_finite() => (1.0, 0.0),
            (_, inter) if !inter.is_finite() => return Err(Fault::corrupt("scl_inter is not finite")),
            scale => scale,
        };
        let window = (low.is_finite() && high.is_finite() && low < high).then_some((low, high));
        // Writers leave 0 for "right behind the header and its four bytes".
        let data_at = if data_at == 0.0 { (len + 4) as f64 } else { data_at };
        if !(len as f64..=16_777_216.0).contains(&data_at) || data_at.fract() != 0.0 {
            let detail = format!("vox_offset, allowed 0 and whole numbers from {len} to 16777216");
            return Err(Fault::corrupt(detail));
        }
        let data_at = data_at as usize;
        let is_big_endian = fields.is_big_endian;
        let header = Self { is_big_endian, kind, sides, n_volumes, data_at, slope, inter, window };
        if header.data_bytes() > MAX_DATA_BYTES {
            let detail = format!("{} bytes of voxels, allowed {MAX_DATA_BYTES}", header.data_bytes());
            return Err(Fault::new(Reason::DimensionsExceedLimit, detail));
        }
        Ok(header)
    }

    /// Bytes of all volumes, or the largest number where they are more.
    fn data_bytes(&self) -> u64 {
        let sides = [self.sides[0], self.sides[1], self.sides[2], self.n_volumes].map(u64::from);
        sides.into_iter().fold(self.kind.len() as u64, u64::saturating_mul)
    }

    /// Bytes of one row along x.
    pub(super) fn row_bytes(&self) -> usize {
        self.sides[0] as usize * self.kind.len()
    }

    /// The bytes of one voxel of a row.
    pub(super) fn voxel<'b>(&self, row: &'b [u8], x: usize) -> &'b [u8] {
        let len = self.kind.len();
        &row[x * len..(x + 1) * len]
    }

    /// Scaled values of voxels.
    pub(super) fn values(&self, voxels: &[u8]) -> Vec<f64> {
        voxels.chunks_exact(self.kind.len()).map(|bytes| self.scaled(bytes)).collect()
    }

    /// The colours of voxels, which are not scaled; `None` where they are numbers.
    pub(super) fn colors(&self, voxels: &[u8]) -> Option<Vec<[u8; 3]>> {
        let is_color = matches!(self.kind, SampleType::Rgb | SampleType::Rgba);
        let pixels = voxels.chunks_exact(self.kind.len()).map(|bytes| [bytes[0], bytes[1], bytes[2]]);
        is_color.then(|| pixels.collect())
    }

    /// Bytes of a voxel.
    pub(super) fn voxel_bytes(&self) -> usize {
        self.kind.len()
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
            SampleType::U8 | SampleType::Rgb | SampleType::Rgba => f64::from(a),
            SampleType::I8 => f64::from(a as i8),
            SampleType::I16 => f64::from(i16::from_le_bytes([a, b])),
            SampleType::U16 => f64::from(u16::from_le_bytes([a, b])),
            SampleType::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            SampleType::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            SampleType::I64 => i64::from_le_bytes(ordered) as f64,
            SampleType::U64 => u64::from_le_bytes(ordered) as f64,
            SampleType::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            SampleType::F64 => f64::from_le_bytes(ordered),
        };
        stored * self.slope + self.inter
    }
}

impl SampleType {
    /// By the type's code alone: bitpix repeats it, and is wrong where they differ.
    fn read(code: i16) -> Result<Self, Fault> {
        match code {
            2 => Ok(Self::U8),
            4 => Ok(Self::I16),
            8 => Ok(Self::I32),
            16 => Ok(Self::F32),
            64 => Ok(Self::F64),
            128 => Ok(Self::Rgb),
            256 => Ok(Self::I8),
            512 => Ok(Self::U16),
            768 => Ok(Self::U32),
            1024 => Ok(Self::I64),
            1280 => Ok(Self::U64),
            2304 => Ok(Self::Rgba),
            _ => {
                let name = match code {
                    1 => " (bits)",
                    32 | 1792 | 2048 => " (complex)",
                    1536 => " (128-bit floats)",
                    _ => "",
                };
                let allowed = "allowed integers of 8 to 64 bits, f32, f64, RGB, RGBA";
                let detail = format!("voxels of type {code}{name}, {allowed}");
                Err(Fault::new(Reason::UnsupportedColorType, detail))
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::Rgb => 3,
            Self::I32 | Self::U32 | Self::F32 | Self::Rgba => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// The three axes of space and the number of volumes, from the number of axes and the sides.
fn sides(dim: [i64; 8]) -> Result<([u32; 3], u32), Fault> {
    let n_axes = usize::try_from(dim[0]).ok().filter(|n| (1..=7).contains(n));
    let n_axes = n_axes.ok_or_else(|| Fault::corrupt(format!("{} axes, allowed 1 to 7", dim[0])))?;
    let mut all = [1; 7];
    for (side, &declared) in all.iter_mut().zip(&dim[1..=n_axes]) {
        *side = u32::try_from(declared)
            .ok()
            .filter(|side| (1..=32_767).contains(side))
            .ok_or_else(|| Fault::corrupt(format!("a side of {declared} voxels, allowed 1 to 32767")))?;
    }
    let [nx, ny, nz, n_volumes, more @ ..] = all;
    if more != [1; 3] {
        let detail = "a volume of more than four axes";
        return Err(Fault::new(Reason::UnsupportedFormat, detail));
    }
    Ok(([nx, ny, nz], n_volumes))
}
