//! What archives hold, as rows: shards by their entries, npz by their arrays, tables by their column of images.

use std::collections::{HashMap, HashSet};

use super::CatalogRule;
use super::declared::{Cells, Declared, of_file};
use super::kinds::{ObjectKind, ending, kind};
use super::row::Row;
use super::tally::Tally;
use crate::messages::Reason;
use crate::source::archive::{
    ArchiveReader, Label, Labels, Look, RowContent, RowOf, array, array_names, described_arrays,
    expands_too_far, images_prefix, labels, look, max_expanded, settled,
};
use crate::source::ranged::Ranged;
use crate::source::shard::{self, ShardEntry, entries};
use crate::store::{Root, StoreError, listed_key};
use sha2::{Digest, Sha256};

/// Bytes of one ranged read while rows are read.
pub(super) const RANGE_BYTES: u64 = 1 << 20;
/// More rows than any archive has; a hostile one could claim them for ever.
const MAX_ROWS: u64 = 10_000_000;
/// More arrays of images than any data set has.
const MAX_ARRAYS: usize = 64;
/// Longest text of a `.cls` file that is taken for a name.
const MAX_NAME: usize = 100;

/// The rows of one archive, and what else it holds.
///
/// # Errors
/// Store failures.
pub(super) fn of_archive(
    root: &Root,
    uri: &str,
    size: u64,
    rule: &CatalogRule,
) -> Result<(Vec<Row>, Tally), StoreError> {
    let key = listed_key(uri);
    let file = |block| Ranged::new(root, &key, size, block);
    let (rows, mut tally) = match ending(uri).as_str() {
        "tar" => of_shard(uri, entries(|| file(shard::BLOCK_BYTES))?),
        "npz" => of_npz(uri, || file(RANGE_BYTES), rule)?,
        _ => of_table(uri, || file(RANGE_BYTES), rule)?,
    };
    // An object is counted once, by the best that was found in it.
    if rows.iter().any(|row| row.refused.is_none()) {
        tally.n_archives += 1;
    } else if !rows.is_empty() {
        tally.n_refused += 1;
    } else if tally.left_out.is_empty() {
        tally.leave_out("archives without images");
    }
    Ok((rows, tally))
}

/// A label as the columns `label_idx` and `label` have it; sets without labels say so by a negative number.
fn label_columns(label: Label) -> (Option<String>, Option<String>) {
    match label {
        Label::Index(index) => ((index >= 0).then(|| index.to_string()), None),
        Label::Name(name) => (None, Some(name)),
        Label::Unread => (None, None),
    }
}

/// Gives a row its label; one that names no class is noted.
fn with_label(row: &mut Row, label: Option<Label>, tally: &mut Tally) {
    let Some(label) = label else { return };
    if label == Label::Unread {
        tally.note("labels that are neither a whole number nor a name");
    }
    (row.label_idx, row.label) = label_columns(label);
}

/// The class that a `.cls` file says.
fn class_of(text: &str) -> Option<Label> {
    if text.is_empty() {
        return None;
    }
    if let Ok(index) = text.parse::<i64>() {
        return Some(Label::Index(index));
    }
    if let Ok(number) = text.parse::<f64>() {
        let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        return Some(if is_whole { Label::Index(number as i64) } else { Label::Unread });
    }
    let is_name = text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    Some(if is_name { Label::Name(text.to_owned()) } else { Label::Unread })
}

/// A name without its last ending.
fn stem(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |at| at + 1);
    name[base..].rfind('.').map_or(name, |dot| &name[..base + dot])
}

/// WebDataset's key: a name up to the first dot of its last part.
fn key(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |at| at + 1);
    name[base..].find('.').map_or(name, |dot| &name[..base + dot])
}

/// Images by their names; the class from the `.cls` of the same stem, or else of the same key, as `x.input.png` has `x.cls`.
fn of_shard(uri: &str, entries: Vec<ShardEntry>) -> (Vec<Row>, Tally) {
    let (mut tally, mut rows) = (Tally::default(), Vec::new());
    let class = |entry: &ShardEntry| Some((stem(entry.name.as_ref()?).to_owned(), entry.class.clone()?));
    let classes: HashMap<String, String> = entries.iter().filter_map(class).collect();
    let mut used = HashSet::new();
    for entry in entries {
        let kind = entry.name.as_deref().map(kind);
        let is_row = match &kind {
            None | Some(ObjectKind::Image) => true,
            // What is refused is no file of its name: a link, a device.
            Some(ObjectKind::Other(_)) => false,
            Some(_) => entry.refused.is_some(),
        };
        if !is_row {
            match kind {
                _ if entry.class.is_some() => {}
                Some(ObjectKind::Other(kind)) => tally.leave_inside(&kind),
                Some(ObjectKind::Volume) => tally.leave_inside("volumes"),
                Some(ObjectKind::Archive | ObjectKind::Packed) => tally.leave_inside("archives"),
                _ => tally.leave_inside("without a known ending"),
            }
            continue;
        }
        let mut row = match &entry.refused {
            Some((reason, found)) => Row::refused(uri, *reason, found),
            None => Row { uri: uri.to_owned(), ..Row::default() },
        };
        (row.offset, row.bytes) = (Some(entry.offset), Some(entry.bytes));
        if let Some(name) = entry.name.as_deref().filter(|_| row.refused.is_none()) {
            let found = [stem(name), key(name)].into_iter().find_map(|key| classes.get_key_value(key));
            if let Some((of, text)) = found {
                used.insert(of.as_str());
                with_label(&mut row, class_of(text), &mut tally);
            }
        }
        row.entry = entry.name;
        rows.push(row);
    }
    for _ in used.len()..classes.len() {
        tally.leave_inside(".cls without an image");
    }
    (rows, tally)
}

/// A file that cannot be read counts in the cell that its name declares.
fn refused_npz(uri: &str, reason: Reason, found: &str) -> Row {
    let (corruption, severity) = match of_file(uri, "", 0).cells {
        Cells::One(corruption, severity) => (Some(corruption), Some(severity)),
        Cells::Made | Cells::Ladder { .. } => (None, None),
    };
    Row { corruption, severity, ..Row::refused(uri, reason, found) }
}

fn of_npz(uri: &str, file: impl Fn() -> Ranged, rule: &CatalogRule) -> Result<(Vec<Row>, Tally), StoreError> {
    let (mut tally, mut rows) = (Tally::default(), Vec::new());
    let names = match settled(|| array_names(&file()))? {
        Ok(names) => names,
        Err((reason, found)) => return Ok((vec![refused_npz(uri, reason, &found)], tally)),
    };
    let images: Vec<&String> = names.iter().filter(|name| images_prefix(name).is_some()).collect();
    if images.is_empty() {
        let found = settled(|| described_arrays(&file(), &names))?.unwrap_or_default();
        return Ok((vec![refused_npz(uri, Reason::ArchiveUnsupported, &found)], tally));
    }
    if images.len() > MAX_ARRAYS {
        let found = format!("{} arrays of images, allowed {MAX_ARRAYS}", images.len());
        return Ok((vec![refused_npz(uri, Reason::ArchiveExceedsLimit, &found)], tally));
    }
    let mut n_labels = 0;
    for name in images.iter().copied() {
        match of_array(uri, &file, name, &names, rule, &mut tally)? {
            Ok((of_array, has_labels)) => {
                n_labels += usize::from(has_labels);
                rows.extend(of_array);
            }
            // One bad array costs that array.
            Err((reason, found)) => {
                let entry = Some(name.clone()).filter(|name| !name.is_empty());
                rows.push(Row { entry, ..refused_npz(uri, reason, &found) });
            }
        }
    }
    for _ in images.len() + n_labels..names.len() {
        tally.leave_inside("arrays");
    }
    Ok((rows, tally))
}

/// The rows of one array and whether it has labels, or why it cannot be read.
#[expect(clippy::type_complexity, reason = "the reason and the words of what settled found")]
fn of_array(
    uri: &str,
    file: &impl Fn() -> Ranged,
    name: &str,
    names: &[String],
    rule: &CatalogRule,
    tally: &mut Tally,
) -> Result<Result<(Vec<Row>, bool), (Reason, String)>, StoreError> {
    let found = match settled(|| array(&file(), name))? {
        Ok(found) => found,
        Err(fault) => return Ok(Err(fault)),
    };
    if found.n_rows > MAX_ROWS {
        return Ok(Err((Reason::ArchiveExceedsLimit, format!("{} rows, allowed {MAX_ROWS}", found.n_rows))));
    }
    let prefix = images_prefix(name).unwrap_or_default();
    let is_label = |other: &&String| {
        other
            .strip_prefix(prefix)
            .is_some_and(|rest| ["labels", "label"].iter().any(|l| rest.eq_ignore_ascii_case(l)))
    };
    let beside = names.iter().find(is_label);
    let mut classes = Vec::new();
    if let Some(beside) = beside {
        match settled(|| labels(&file(), beside, found.n_rows))? {
            Ok(Labels::Rows(labels)) => classes = labels,
            Ok(Labels::Other(what)) => tally.note(what),
            Ok(Labels::None) => {}
            // Images without their labels would be scored and never judged.
            Err(fault) => return Ok(Err(fault)),
        }
    }
    let Declared { cells, split: of_folder } = of_file(uri, prefix, found.n_rows);
    let split = prefix.trim_end_matches('_');
    let split = if split.is_empty() { of_folder } else { Some(split.to_owned()) };
    let mut classes = classes.into_iter();
    let mut row = |n: u64| {
        let mut row = Row {
            uri: uri.to_owned(),
            entry: Some(name.to_owned()),
            row: Some(n),
            bytes: Some(found.row_bytes),
            split: split.clone(),
            ..Row::default()
        };
        if let Some((corruption, severity)) = cells.at(n) {
            (row.corruption, row.severity) = (Some(corruption.to_owned()), Some(severity));
        }
        with_label(&mut row, classes.next().flatten(), tally);
        row
    };
    let mut rows: Vec<Row> = (0..found.n_rows).map(&mut row).collect();
    if rule.sha256 {
        let mut reader = ArchiveReader::default();
        for row in &mut rows {
            row.sha256 = read_row(&mut reader, row, file, None)?.map(|content| hash(&content));
        }
    }
    Ok(Ok((rows, beside.is_some())))
}

/// Every image is read, for its size stands nowhere else.
fn of_table(
    uri: &str,
    file: impl Fn() -> Ranged,
    rule: &CatalogRule,
) -> Result<(Vec<Row>, Tally), StoreError> {
    let mut tally = Tally::default();
    let wanted = rule.label_column.as_deref();
    let refused = |reason, found: &str| vec![Row::refused(uri, reason, found)];
    let (n_rows, entry) = match settled(|| look(&file(), wanted))? {
        Ok(Look::Images { n_rows, entry, unread_labels }) => {
            unread_labels.into_iter().for_each(|what| tally.note(what));
            (n_rows, entry)
        }
        Ok(Look::Unread(found)) => return Ok((refused(Reason::ArchiveUnsupported, &found), tally)),
        Ok(Look::Manifest) => {
            tally.leave_out("manifests");
            return Ok((Vec::new(), tally));
        }
        Ok(Look::Other) => {
            tally.leave_out("tables without images");
            return Ok((Vec::new(), tally));
        }
        Err((reason, found)) => return Ok((refused(reason, &found), tally)),
    };
    if n_rows > MAX_ROWS {
        let found = format!("{n_rows} rows, allowed {MAX_ROWS}");
        return Ok((refused(Reason::ArchiveExceedsLimit, &found), tally));
    }
    let place =
        |row: u64| Row { uri: uri.to_owned(), entry: entry.clone(), row: Some(row), ..Row::default() };
    let (mut rows, mut reader, mut n_bytes) = (Vec::new(), ArchiveReader::default(), 0_u64);
    let size = file().size();
    let too_far = expands_too_far(size);
    for mut row in (0..n_rows).map(place) {
        if let Some(content) = read_row(&mut reader, &mut row, &file, wanted)? {
            row.bytes = Some(content.bytes.len() as u64);
            row.sha256 = rule.sha256.then(|| hash(&content));
            if content.bytes.is_empty() {
                row.refused = Some(Reason::EMPTY_OBJECT);
                row.found = Some("null, or no bytes, in this row".to_owned());
            }
            n_bytes = n_bytes.saturating_add(content.bytes.len() as u64);
            with_label(&mut row, content.label, &mut tally);
        }
        // A few bytes that stand for any number of images are one row, and not as many.
        if n_bytes > max_expanded(size) || row.found.as_ref() == Some(&too_far.1) {
            return Ok((refused(too_far.0, &too_far.1), Tally::default()));
        }
        rows.push(row);
    }
    Ok((rows, tally))
}

fn hash(content: &RowContent) -> String {
    hex::encode(Sha256::digest(&content.bytes))
}

/// What a row holds; one that cannot be read is refused, and there is nothing then.
fn read_row(
    reader: &mut ArchiveReader,
    row: &mut Row,
    file: &impl Fn() -> Ranged,
    label_column: Option<&str>,
) -> Result<Option<RowContent>, StoreError> {
    let of = RowOf {
        key: listed_key(&row.uri),
        entry: row.entry.as_deref().map(Into::into),
        row: row.row.unwrap_or_default(),
        label_column: label_column.map(Into::into),
    };
    match reader.read(|| Ok(file()), &of)? {
        Ok(content) => Ok(Some(content)),
        Err((reason, found)) => {
            let before = std::mem::take(row);
            let refused = Row::refused(&before.uri, reason, &found);
            *row = Row { sha256: None, refused: refused.refused, found: refused.found, ..before };
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webdataset_keys_end_at_the_first_dot_of_the_last_part() {
        assert_eq!((stem("a.b/000.input.png"), key("a.b/000.input.png")), ("a.b/000.input", "a.b/000"));
        assert_eq!((stem("x"), key("a.b/x")), ("x", "a.b/x"));
        assert_eq!(stem("a.b/x"), "a.b/x");
    }

    #[test]
    fn classes_are_numbers_or_names_and_below_zero_there_is_none() {
        assert_eq!(class_of("7"), Some(Label::Index(7)));
        assert_eq!(class_of("2.0"), Some(Label::Index(2)));
        assert_eq!(class_of("platelet"), Some(Label::Name("platelet".to_owned())));
        assert_eq!(class_of("1\n2"), Some(Label::Unread));
        assert_eq!(class_of("0.5"), Some(Label::Unread));
        assert_eq!(class_of(""), None);
        assert_eq!(label_columns(Label::Index(-1)), (None, None));
    }

    fn entry(name: &str, class: Option<&str>) -> ShardEntry {
        let class = class.map(str::to_owned);
        ShardEntry { name: Some(name.to_owned()), offset: 512, bytes: 1, class, refused: None }
    }

    #[test]
    fn the_class_of_the_stem_comes_before_that_of_the_key() {
        let (rows, tally) = of_shard(
            "s.tar",
            vec![
                entry("000.input.png", None),
                entry("000.CLS", Some("1")),
                entry("1.2.3.png", None),
                entry("1.2.3.cls", Some("2")),
                entry("1.cls", Some("0")),
                entry("._x.png", None),
                entry("x.json", None),
                entry("v.nii", None),
            ],
        );
        let labels: Vec<_> = rows.iter().map(|row| row.label_idx.as_deref()).collect();
        assert_eq!(labels, [Some("1"), Some("2")]);
        let inside: Vec<_> = tally.inside.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
        assert_eq!(
            inside,
            [(".cls without an image", 1), (".json", 1), ("macOS ._ files", 1), ("volumes", 1)]
        );
    }
}
