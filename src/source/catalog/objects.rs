//! Loose objects: one row each, or one for each of their pictures, or a kind that is counted.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use t3b_decode::{Format, Rendering, Slice, decoded_bytes_with};

use super::CatalogRule;
use super::kinds::{ObjectKind, kind};
use super::pick::count;
use super::row::Row;
use super::tally::Tally;
use super::walk::Found;
use crate::error::{Exit, Problem};
use crate::flow::ordered::off_io;
use crate::messages::Reason;
use crate::source::fields;
use crate::store::{Listed, NoKey, Object, Root, listed_key};

/// First bytes that tell a format; a volume's header is the longest.
const SNIFF_BYTES: u64 = 352;
/// Largest object whose pictures are counted; larger ones are one row, and refused when they are scored.
const MAX_COUNTED_BYTES: u64 = 256 << 20;
/// Bytes of one ranged read.
const RANGE_BYTES: u64 = 8 << 20;

/// The rows of one object that is no archive, and what it turned out to be.
///
/// # Errors
/// Store failures; `S015` when an object went away meanwhile.
pub(super) async fn rows_of(
    root: &Root,
    found: Found,
    rule: &CatalogRule,
) -> Result<(Vec<Row>, Tally), Problem> {
    let mut tally = Tally::default();
    let object = match found {
        Found::Refused(unnamed) => {
            tally.n_refused += 1;
            let reason = match unnamed.why {
                NoKey::Name => Reason::ObjectRefused,
                NoKey::Outside => Reason::OutsideRoot,
                NoKey::Special => Reason::NotAFile,
            };
            return Ok((vec![Row::refused(&unnamed.name, reason, unnamed.what)], tally));
        }
        Found::Missing(name) => {
            tally.n_refused += 1;
            let what = "named by the directory, and no such file";
            return Ok((vec![Row::refused(&name, Reason::MissingObject, what)], tally));
        }
        Found::Picture(object) | Found::Object(object) => object,
    };
    let kind = kind(&object.name);
    match &kind {
        ObjectKind::Other(kind) => {
            tally.leave_out(kind);
            return Ok((Vec::new(), tally));
        }
        ObjectKind::Packed => {
            tally.n_refused += 1;
            let what = "a compressed tar; unpack it to a plain tar first";
            return Ok((vec![Row::refused(&object.name, Reason::ArchiveUnsupported, what)], tally));
        }
        ObjectKind::Volume if rule.slices.is_none() => {
            tally.leave_out("volumes without --slices");
            return Ok((Vec::new(), tally));
        }
        _ => {}
    }
    if let Err((_, what)) = fields::key(&object.name) {
        tally.n_refused += 1;
        return Ok((vec![Row::refused(&object.name, Reason::ObjectRefused, what)], tally));
    }
    if kind == ObjectKind::Nameless {
        let start = read(root, &object, SNIFF_BYTES.min(object.size)).await?;
        if matches!(Format::sniff(&start), Format::Unknown | Format::Html | Format::Gzip) || start.len() < 8 {
            tally.leave_out("without a known ending");
            return Ok((Vec::new(), tally));
        }
    }
    let plain = Row { uri: object.name.clone(), bytes: Some(object.size), ..Row::default() };
    let is_counted = kind == ObjectKind::Volume || rule.frames.is_some();
    let rows = if is_counted && (1..=MAX_COUNTED_BYTES).contains(&object.size) {
        let bytes = read(root, &object, object.size).await?;
        let rule = rule.clone();
        off_io(move || pictures(plain, &bytes, &rule)).await
    } else {
        vec![plain]
    };
    tally.n_images += 1;
    if rows.is_empty() {
        tally.n_images -= 1;
        tally.leave_out("without pictures");
    }
    Ok((rows, tally))
}

/// One row for each picture that the rule picks; the row as it is where the object has one, or none that can be counted.
fn pictures(plain: Row, bytes: &Bytes, rule: &CatalogRule) -> Vec<Row> {
    let sha256 = rule.sha256.then(|| hex::encode(Sha256::digest(bytes)));
    let plain = Row { sha256, ..plain };
    let is_there = |rendering: Rendering| decoded_bytes_with(bytes, &rendering).is_some();
    match (Format::sniff(bytes), rule.slices, rule.frames) {
        (Format::Nifti, Some(slices), _) => {
            let slice = |index| Some(Slice { axis: slices.axis, index });
            // Of a series the first volume, unless frames are picked too.
            let frame = |frame| Rendering { frame: Some(frame), slice: slice(0), ..Rendering::default() };
            let n_volumes = count(|n| is_there(frame(n))).unwrap_or(0);
            let volumes = match rule.frames {
                Some(pick) => pick.of(n_volumes),
                None => (0..n_volumes.min(1)).collect(),
            };
            let Some(n_slices) = count(|n| is_there(Rendering { slice: slice(n), ..frame(0) })) else {
                return vec![plain];
            };
            if volumes.is_empty() || n_slices == 0 {
                return vec![plain];
            }
            let indices = slices.pick.of(n_slices);
            let row = |frame: u32, index: u32| Row {
                frame: (n_volumes > 1).then_some(frame),
                axis: Some(slices.axis),
                index: Some(index),
                ..plain.clone()
            };
            volumes
                .iter()
                .flat_map(|&volume| indices.iter().map(move |&index| (volume, index)))
                .map(|(v, i)| row(v, i))
                .collect()
        }
        (Format::Dicom | Format::Tiff, _, Some(pick)) => {
            match count(|frame| is_there(Rendering { frame: Some(frame), ..Rendering::default() })) {
                None | Some(0 | 1) => vec![plain],
                Some(n) => pick.of(n).into_iter().map(|n| Row { frame: Some(n), ..plain.clone() }).collect(),
            }
        }
        _ => vec![plain],
    }
}

async fn read(root: &Root, object: &Listed, n_bytes: u64) -> Result<Bytes, Problem> {
    if n_bytes == 0 {
        return Ok(Bytes::new());
    }
    match root.read_part(&listed_key(&object.name), "image", 0..n_bytes, RANGE_BYTES).await? {
        Object::Bytes(bytes) => Ok(bytes),
        // What these are is told when the row is read.
        Object::Archived | Object::Changed => Ok(Bytes::new()),
        _ => Err(went_away()),
    }
}

pub(super) fn went_away() -> Problem {
    let what = "an object went away while it was listed";
    Problem::new("S015", Exit::StoreIo, what).hint("run the same command again")
}
