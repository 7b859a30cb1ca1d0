//! Members of gzip, one after the other, and the zeros that some writers pad the last one with.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

/// Inflates member after member; the checksum of each is compared at its end.
///
/// Zeros behind a member are padding, as for gunzip and Python; `MultiGzDecoder` takes them for a broken member.
#[derive(Debug)]
pub(super) struct Members<'a> {
    member: Option<GzDecoder<&'a [u8]>>,
}

impl<'a> Members<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { member: Some(GzDecoder::new(bytes)) }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n_read = member.read(to)?;
            if n_read > 0 || to.is_empty() {
                return Ok(n_read);
            }
            let rest = *member.get_ref();
            let is_over = rest.iter().all(|&byte| byte == 0);
            self.member = if is_over { None } else { Some(GzDecoder::new(rest)) };
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn member(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn all(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Members::new(bytes).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn n07b_zeros_behind_members_are_padding_and_nothing_else_is() {
        let two = [member(b"abc"), member(b"def")].concat();
        assert_eq!(all(&two).unwrap(), b"abcdef");
        assert_eq!(all(&[&two[..], &[0; 512]].concat()).unwrap(), b"abcdef");
        assert!(all(&[&two[..], &[0, 0, 7]].concat()).is_err());
        assert!(all(&two[..two.len() - 1]).is_err());
        let mut flipped = two.clone();
        let at = flipped.len() - 8;
        flipped[at] ^= 1;
        assert!(all(&flipped).is_err(), "the checksum");
    }
}
