//! The voxels, one row along x at a time.

use std::io::{self, Read};

use super::super::error::Fault;
use super::header::{Data, NiftiHeader};

/// Most bytes behind the voxels of a gzipped volume.
const MAX_TRAILING_BYTES: u64 = 1 << 20;

/// Reads rows in order; one is in memory.
pub(super) struct Rows<'a> {
    data: Data<'a>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// Steps over the header of gzipped data.
    pub(super) fn new(header: &NiftiHeader, mut data: Data<'a>) -> Result<Self, Fault> {
        if let Data::Gzip(stream, data_at) = &mut data {
            let skipped = io::copy(&mut stream.take(*data_at as u64), &mut io::sink()).map_err(damaged)?;
            if skipped != *data_at as u64 {
                return Err(Fault::truncated("the header of the volume ends early"));
            }
        }
        Ok(Self { data, row: vec![0; header.row_bytes()] })
    }

    /// The next row's bytes.
    pub(super) fn next(&mut self) -> Result<&[u8], Fault> {
        match &mut self.data {
            Data::Plain(rest) => {
                let cut = || Fault::truncated("the voxels end early");
                let (row, after) = rest.split_at_checked(self.row.len()).ok_or_else(cut)?;
                *rest = after;
                Ok(row)
            }
            Data::Gzip(stream, _) => {
                stream.read_exact(&mut self.row).map_err(damaged)?;
                Ok(&self.row)
            }
        }
    }

    /// Reads what follows the voxels, up to [`MAX_TRAILING_BYTES`] and without keeping it: in gzip the checksum of the
    /// last member is compared here.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let Data::Gzip(stream, _) = self.data else { return Ok(()) };
        match io::copy(&mut stream.take(MAX_TRAILING_BYTES + 1), &mut io::sink()).map_err(damaged)? {
            0..=MAX_TRAILING_BYTES => Ok(()),
            _ => Err(Fault::corrupt("the volume inflates far beyond what its header declares")),
        }
    }
}

fn damaged(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::truncated("the gzipped volume ends early"),
        _ => Fault::corrupt("the gzipped volume is invalid"),
    }
}
