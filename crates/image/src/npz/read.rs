//! An archive of arrays that is open for reading.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::CompressionMethod;
use zip::read::ZipArchive;
use zip::result::ZipError;

use super::NpzError;
use super::npy::NpyHeader;

/// Most members of an archive; the table of contents is held in memory.
const MAX_MEMBERS: u64 = 100_000;
/// Most bytes that one compressed byte may stand for: above, an array is a bomb.
const MAX_RATIO: u64 = 200;
/// End of the table of contents, with the longest comment it may have.
const MAX_END_BYTES: u64 = 22 + 65_535;

/// An archive that is open for reading. Clones share its table of contents.
#[derive(Debug, Clone)]
pub struct Npz<R> {
    archive: ZipArchive<R>,
}

impl Npz<BufReader<File>> {
    /// Opens an archive and reads its table of contents.
    ///
    /// # Errors
    /// When the file cannot be read or is not a zip archive.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        Self::over(BufReader::new(File::open(path).map_err(NpzError::Io)?))
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads the table of contents of an archive.
    ///
    /// # Errors
    /// When it cannot be read, is not a zip archive, has more than 100,000 members, or some that overlap.
    pub fn over(mut reader: R) -> Result<Self, NpzError> {
        let n_members = declared_members(&mut reader).map_err(NpzError::Io)?;
        if n_members > MAX_MEMBERS {
            return Err(NpzError::Limit { found: format!("{n_members} members"), allowed: "100000" });
        }
        let mut archive = ZipArchive::new(reader)?;
        if archive.has_overlapping_files()? {
            return Err(NpzError::Limit { found: "members that overlap".to_owned(), allowed: "none" });
        }
        Ok(Self { archive })
    }

    /// Names of the arrays, without `.npy`, in the archive's order.
    #[must_use]
    pub fn arrays(&self) -> Vec<String> {
        let names = self.archive.file_names().filter_map(Result::ok);
        names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned)).collect()
    }

    /// Element type and shape of the array `member`, whether or not its rows can be read.
    ///
    /// # Errors
    /// Those of [`Npz::into_rows`], but not that the element type or the size is not handled.
    pub fn into_header(self, member: &str) -> Result<NpyHeader, NpzError> {
        self.start(member).map(|started| started.header)
    }

    /// Starts to read the array `member`, named without `.npy`, at its first row.
    ///
    /// # Errors
    /// When the array is missing, encrypted, compressed more than 200 times or by another method than deflate, or its
    /// header is not understood; nothing is allocated for its rows.
    pub fn into_rows(self, member: &str) -> Result<Rows<R>, NpzError> {
        let Started { header, data, crc, checksum, size } = self.start(member)?;
        let owned = || member.to_owned();
        let bad = |problem| NpzError::BadHeader { member: owned(), problem };
        let row_bytes = header.row_bytes().map_err(bad)?;
        let declared = (row_bytes as u64 * header.n_rows()).checked_add(u64::from(crc.amount()));
        if declared != Some(size) {
            let found = if declared.is_some_and(|n| n < size) { "more" } else { "fewer" };
            return Err(NpzError::Size { member: owned(), found });
        }
        Ok(Rows {
            member: owned(),
            n_left: header.n_rows(),
            header,
            row_bytes,
            data,
            crc: Some(crc),
            checksum,
        })
    }

    fn start(mut self, member: &str) -> Result<Started<R>, NpzError> {
        let owned = || member.to_owned();
        let name = format!("{member}.npy");
        let index =
            self.archive.index_for_name(&name).ok_or_else(|| NpzError::Missing { member: owned() })?;
        let file = self.archive.by_index_raw(index)?;
        let place = file.entry();
        let (size, packed) = (place.size(), place.compressed_size());
        if place.encrypted() {
            return Err(NpzError::Encrypted { member: owned() });
        }
        if size > packed.saturating_mul(MAX_RATIO) {
            return Err(NpzError::Limit { found: format!("{size} bytes in {packed}"), allowed: "200 times" });
        }
        let (method, checksum) = (place.compression(), place.crc32());
        let start = file.data_start().ok_or(NpzError::Zip(ZipError::FileNotFound))?;
        drop(file);
        let mut reader = self.archive.into_inner();
        reader.seek(SeekFrom::Start(start)).map_err(NpzError::Io)?;
        let data = reader.take(packed);
        let mut data = match method {
            CompressionMethod::Stored => Data::Stored(data),
            CompressionMethod::Deflated => Data::Deflated(DeflateDecoder::new(BufReader::new(data))),
            _ => return Err(NpzError::Compression { member: owned() }),
        };
        let mut summed = Summed { data: &mut data, crc: Crc::new() };
        let header = NpyHeader::read(&mut summed, member)?;
        let crc = summed.crc;
        Ok(Started { header, data, crc, checksum, size })
    }
}

/// An array whose header was read.
struct Started<R> {
    header: NpyHeader,
    data: Data<R>,
    /// Of the header.
    crc: Crc,
    checksum: u32,
    /// Bytes that the archive says the array has, header included.
    size: u64,
}

/// How many members the end of a zip file speaks of; 0 where there is no such end.
fn declared_members(reader: &mut (impl Read + Seek)) -> io::Result<u64> {
    let size = reader.seek(SeekFrom::End(0))?;
    let n_end = size.min(MAX_END_BYTES);
    reader.seek(SeekFrom::Start(size - n_end))?;
    let mut end = Vec::new();
    reader.by_ref().take(n_end).read_to_end(&mut end)?;
    let Some(at) = end.windows(4).rposition(|four| four == b"PK\x05\x06") else { return Ok(0) };
    let short = end.get(at + 10..at + 12).map_or(0, |n| u64::from(u16::from_le_bytes([n[0], n[1]])));
    if short < u64::from(u16::MAX) || at < 20 {
        return Ok(short);
    }
    // The 64-bit form: a locator before the end says where its own record is.
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
    let locator = &end[at - 20..at];
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(short);
    }
    reader.seek(SeekFrom::Start(number(&locator[8..16]).saturating_add(32)))?;
    let mut count = [0; 8];
    reader.read_exact(&mut count)?;
    Ok(u64::from_le_bytes(count))
}

enum Data<R> {
    Stored(Take<R>),
    Deflated(DeflateDecoder<BufReader<Take<R>>>),
}

impl<R: Read> Read for Data<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(data) => data.read(out),
            Self::Deflated(data) => data.read(out),
        }
    }
}

/// Adds what is read to a checksum.
struct Summed<'a, R> {
    data: &'a mut Data<R>,
    crc: Crc,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.data.read(out)?;
        self.crc.update(&out[..n]);
        Ok(n)
    }
}

/// The rows of one array, in order.
pub struct Rows<R> {
    member: String,
    header: NpyHeader,
    row_bytes: usize,
    n_left: u64,
    data: Data<R>,
    /// Of everything so far; `None` once rows were jumped over.
    crc: Option<Crc>,
    checksum: u32,
}

impl<R: Read + Seek> Rows<R> {
    /// Element type and shape.
    #[must_use]
    pub fn header(&self) -> &NpyHeader {
        &self.header
    }

    /// Replaces `row` by the next row's bytes; `false` after the last one, when the checksum was found right.
    ///
    /// # Errors
    /// When the data is damaged, or there are fewer or more rows than the header declares.
    pub fn next_into(&mut self, row: &mut Vec<u8>) -> Result<bool, NpzError> {
        row.clear();
        let wanted = if self.n_left > 0 { self.row_bytes } else { 1 };
        // Grows with what is there, not with what is declared.
        let n = self.data.by_ref().take(wanted as u64).read_to_end(row).map_err(NpzError::Io)?;
        if let Some(crc) = &mut self.crc {
            crc.update(row);
        }
        let size = |found| NpzError::Size { member: self.member.clone(), found };
        match (self.n_left, n) {
            (0, 0) if self.crc.as_ref().is_some_and(|crc| crc.sum() != self.checksum) => {
                Err(NpzError::Io(io::ErrorKind::InvalidData.into()))
            }
            (0, 0) => Ok(false),
            (0, _) => Err(size("more")),
            (_, n) if n < wanted => Err(size("fewer")),
            _ => {
                self.n_left -= 1;
                Ok(true)
            }
        }
    }

    /// Leaves out the next `n_rows`: a jump where they are stored, else they are inflated and dropped.
    ///
    /// # Errors
    /// When there are fewer, or the compressed data is damaged.
    pub fn skip(&mut self, n_rows: u64) -> Result<(), NpzError> {
        if n_rows == 0 {
            return Ok(());
        }
        let size = || NpzError::Size { member: self.member.clone(), found: "fewer" };
        self.n_left = self.n_left.checked_sub(n_rows).ok_or_else(size)?;
        let n_bytes = n_rows * self.row_bytes as u64;
        self.crc = None;
        let skipped = match &mut self.data {
            Data::Stored(data) => {
                let left = data.limit().checked_sub(n_bytes).ok_or_else(size)?;
                let forward = i64::try_from(n_bytes).map_err(|_| size())?;
                data.get_mut().seek_relative(forward).map_err(NpzError::Io)?;
                data.set_limit(left);
                n_bytes
            }
            Data::Deflated(data) => {
                io::copy(&mut data.take(n_bytes), &mut io::sink()).map_err(NpzError::Io)?
            }
        };
        if skipped == n_bytes { Ok(()) } else { Err(size()) }
    }
}

impl<R> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} {:?}, {} left)", self.member, self.header, self.n_left)
    }
}
