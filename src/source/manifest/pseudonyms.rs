//! Ids for samples that the manifest gives none.

use std::io::{self, Read};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::source::spool::Spool;

/// Keyed pseudonyms: HMAC-SHA256 of the uri, cut to 128 bits.
pub(super) struct Pseudonyms {
    mac: Hmac<Sha256>,
}

impl Pseudonyms {
    /// Without a secret the key is derived from the manifest's content, which the tables do not reveal.
    pub(super) fn new(secret: Option<&str>, manifest: &Spool) -> io::Result<Self> {
        let mut key = Sha256::new_with_prefix(b"t3b pseudonym key\0");
        match secret {
            Some(secret) => key.update(secret),
            None => hash_into(&mut key, manifest)?,
        }
        let mac = Hmac::new_from_slice(&key.finalize()).expect("HMAC takes a key of any length");
        Ok(Self { mac })
    }

    /// The keyed hash by which a plan names its manifest file. No uri holds the separator, so no id of a sample is a part of this.
    pub(super) fn manifest_hash(&self, sha256: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(b"manifest\0sha256\0");
        mac.update(sha256.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The id of what lies at a place of the archive.
    pub(super) fn pseudonym(&self, place: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(place.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }
}

/// Content hash of a file, lower-case hex.
pub(super) fn sha256(file: &Spool) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash_into(&mut hash, file)?;
    Ok(hex::encode(hash.finalize()))
}

fn hash_into(hash: &mut Sha256, file: &Spool) -> io::Result<()> {
    let (mut reader, mut block) = (file.reader(0), vec![0; 64 << 10]);
    loop {
        let n = reader.read(&mut block)?;
        if n == 0 {
            return Ok(());
        }
        hash.update(&block[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_depend_on_the_key() {
        let mut manifest = Spool::new();
        manifest.append(b"manifest").unwrap();
        let ids = |secret| Pseudonyms::new(secret, &manifest).unwrap().pseudonym("a.png");
        assert_ne!(ids(Some("one")), ids(Some("two")));
        assert_ne!(ids(Some("one")), ids(None));
        assert_eq!(ids(None).len(), 32);
        assert_eq!(sha256(&manifest).unwrap(), hex::encode(Sha256::digest(b"manifest")));
    }
}
