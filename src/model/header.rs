//! The header of a safetensors file, read more strictly than the format's own reader does.
//!
//! `safetensors` 0.8 keeps the last of two entries with one name and says nothing; two readers may then run two different
//! models from one file. The entries are therefore collected here with duplicates kept, and its checks of offsets and
//! sizes are run on the result.

use std::fmt;
use std::io::{self, Read};

use safetensors::{
    SafeTensorError,
    tensor::{Metadata, TensorInfo},
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::checkpoint_fault::{CheckpointFault, shown};

/// Longest header the format allows, in bytes.
pub(super) const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: usize = 8;

/// The length field and the header of a file, as far as they are there; none where the length is not a header's.
///
/// # Errors
/// When reading fails.
pub(super) fn head(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(LENGTH_BYTES as u64).read_to_end(&mut head)?;
    let length = head.first_chunk().map(|length| u64::from_le_bytes(*length));
    if let Some(length) = length.filter(|length| *length <= MAX_HEADER_BYTES) {
        file.take(length).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// The names and places of the header of a file of `len` bytes, of which `file` holds at least the [head]; in the order in which they lie
/// one behind the other in the data section, which follows the header and ends with the file.
///
/// # Errors
/// In this order: `W002` when the length or header is cut, `W003` when it breaks the format, `W004` for a name that appears
/// twice, `W003` for tensors that overlap, leave a gap or do not have the bytes their shape needs, `W002` when the data
/// section is too short or too long.
pub(super) fn read(file: &[u8], len: u64) -> Result<Vec<(String, TensorInfo)>, CheckpointFault> {
    let json = header_bytes(file)?;
    let Entries(mut entries) =
        serde_json::from_slice(json).map_err(|_| not_safetensors("header is not the JSON of tensors"))?;
    if let Some(name) = first_duplicate(&entries) {
        return Err(CheckpointFault::Duplicate(name));
    }
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let metadata = Metadata::new(None, entries.clone()).map_err(|error| bad_layout(&error))?;

    let data_start = LENGTH_BYTES + json.len();
    let (found, wanted) = (len.saturating_sub(data_start as u64), metadata.data_len() as u64);
    if found < wanted {
        return Err(CheckpointFault::Truncated { section: "data section", missing: wanted - found });
    }
    if found > wanted {
        return Err(CheckpointFault::Trailing { extra: found - wanted });
    }
    Ok(entries)
}

fn header_bytes(file: &[u8]) -> Result<&[u8], CheckpointFault> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(CheckpointFault::Truncated {
            section: "length field",
            missing: (LENGTH_BYTES - file.len()) as u64,
        });
    };
    let length = u64::from_le_bytes(*length);
    let possible = (2..=MAX_HEADER_BYTES).contains(&length);
    if !possible || rest.first().is_some_and(|first| *first != b'{') {
        return Err(not_safetensors(&foreign_format(file, length, possible)));
    }
    rest.get(..length as usize)
        .ok_or_else(|| CheckpointFault::Truncated { section: "header", missing: length - rest.len() as u64 })
}

/// Asked only of files that are certainly not safetensors: a good file can begin with a pickle's two bytes.
fn foreign_format(file: &[u8], length: u64, possible: bool) -> String {
    if file.starts_with(b"PK\x03\x04") {
        "the bytes are a zip archive, as torch.save writes it".to_owned()
    } else if file[0] == 0x80 && (2..=5).contains(&file[1]) {
        "the bytes are a pickle".to_owned()
    } else if possible {
        "header does not begin with '{'".to_owned()
    } else {
        format!("header length {length}, allowed 2 to {MAX_HEADER_BYTES}")
    }
}

fn first_duplicate(entries: &[(String, TensorInfo)]) -> Option<String> {
    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
}

fn bad_layout(error: &SafeTensorError) -> CheckpointFault {
    match error {
        SafeTensorError::InvalidOffset(name) => {
            not_safetensors(&format!("tensor '{}' overlaps another or leaves a gap", shown(name)))
        }
        SafeTensorError::ValidationOverflow => not_safetensors("the size of a tensor overflows"),
        _ => not_safetensors("a tensor's shape and dtype do not give the bytes its offsets span"),
    }
}

fn not_safetensors(why: &str) -> CheckpointFault {
    CheckpointFault::NotSafetensors(why.to_owned())
}

/// The entries of the header object in the order they stand there, duplicates kept.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Entries(entries))
    }
}
