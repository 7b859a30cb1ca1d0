//! Where `torch.save` and `torch.jit.save` put the pickle and the values.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek},
    path::Path,
};

use zip::ZipArchive;

use super::{
    machine::{self, Node, Values},
    tensors::{Loose, View, storage_widths, views},
};

/// Longest pickle program read, in bytes; that of ViT-L/14 with its optimizer has 0.3 MB.
const MAX_PROGRAM_BYTES: u64 = 4 << 20;
/// Longest file without an archive: it is read as a whole.
const MAX_LEGACY_BYTES: u64 = 16 << 30;
/// First values of a file of torch before 1.6.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Every tensor of the file by its path; empty for a file without any, or that is not torch's.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::model) fn read(path: &Path) -> std::io::Result<BTreeMap<String, Loose>> {
    let mut file = File::open(path)?;
    let mut start = [0; 4];
    let n = file.read(&mut start)?;
    file.rewind()?;
    if start[..n] == *b"PK\x03\x04" {
        return Ok(ZipArchive::new(file).ok().and_then(zipped).unwrap_or_default());
    }
    let mut bytes = Vec::new();
    file.take(MAX_LEGACY_BYTES).read_to_end(&mut bytes)?;
    Ok(legacy(&bytes).unwrap_or_default())
}

/// A zip archive with `data.pkl` and a file for each storage. That of a `TorchScript` program holds code, too, which is not
/// looked at.
fn zipped(mut archive: ZipArchive<File>) -> Option<BTreeMap<String, Loose>> {
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let program = names.iter().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl")?;
    let folder = program.strip_suffix("data.pkl")?.to_owned();
    let bytes = entry(&mut archive, program, MAX_PROGRAM_BYTES)?;
    if let Some(order) = entry(&mut archive, &format!("{folder}byteorder"), 16)
        && order != b"little"
    {
        return None;
    }
    let values = machine::run(&bytes)?;
    let mut storages = BTreeMap::<String, Vec<(String, View)>>::new();
    for (path, view) in views(&values) {
        storages.entry(view.storage.clone()).or_default().push((path, view));
    }
    let mut tensors = BTreeMap::new();
    for (key, views) in storages {
        // A key may come with its folder, as programs of TorchScript have it.
        let name =
            [format!("{folder}data/{key}"), format!("{folder}{key}")].into_iter().find(|n| names.contains(n));
        let storage = entry(&mut archive, &name?, MAX_LEGACY_BYTES)?;
        for (path, view) in views {
            tensors.insert(path, view.of(&storage)?);
        }
    }
    Some(tensors)
}

fn entry(archive: &mut ZipArchive<File>, name: &str, most: u64) -> Option<Vec<u8>> {
    let entry = archive.by_name(name).ok()?;
    // torch stores and does not compress, so a size cannot be a lie about a bomb.
    if entry.size() > most || entry.compressed_size() != entry.size() {
        return None;
    }
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A file of torch before 1.6: five pickles, then each storage behind its length.
fn legacy(bytes: &[u8]) -> Option<BTreeMap<String, Loose>> {
    let mut at = 0;
    let mut next = || {
        let values = machine::run(bytes.get(at..)?)?;
        at += values.len;
        Some(values)
    };
    // The magic number is an integer of ten bytes, which is known by its own bytes.
    next()?;
    if !bytes.get(..32)?.windows(LEGACY_MAGIC.len()).any(|window| window == LEGACY_MAGIC) {
        return None;
    }
    let (_protocol, system, values, keys) = (next()?, next()?, next()?, next()?);
    if !is_little_endian(&system) {
        return None;
    }
    let (views, widths) = (views(&values), storage_widths(&values));
    let mut storages = BTreeMap::<String, &[u8]>::new();
    let Node::List(keys_in_order) = keys.get(keys.root) else { return None };
    for key in keys_in_order {
        let key = keys.text(*key)?;
        let n = u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?);
        at += 8;
        let len = usize::try_from(n).ok()?.checked_mul(*widths.get(key)?)?;
        storages.insert(key.to_owned(), bytes.get(at..at.checked_add(len)?)?);
        at += len;
    }
    let tensors =
        views.iter().map(|(path, view)| Some((path.clone(), view.of(storages.get(&view.storage)?)?)));
    tensors.collect()
}

fn is_little_endian(system: &Values) -> bool {
    let Node::Dict(items) = system.get(system.root) else { return false };
    let order = items.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
    order.is_some_and(|(_, value)| *system.get(*value) == Node::Bool(true))
}
