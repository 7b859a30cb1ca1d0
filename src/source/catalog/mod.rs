//! A manifest made of what lies below a root: loose images and what archives hold, folder by folder, by name.
//!
//! Whatever is met is a row, a refused row, or counted by kind; nothing vanishes.
//!
//! Memory: the names in one folder and in those above it, and the rows of four chunks: a thousand loose images, or what one archive
//! holds; never all that is listed.

mod declared;
mod dicomdir;
mod kinds;
mod landed;
mod listing;
mod objects;
mod parts;
mod pick;
mod row;
mod tally;
mod walk;
mod wanted;

use std::ops::Range;
use std::path::Path;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use sha2::{Digest, Sha256};

use crate::error::{Exit, Problem};
use crate::flow::ordered::off_io;
use crate::messages::Reason;
use crate::store::{Object, Root, listed_key};
use kinds::{ARCHIVES, IMAGES, ObjectKind, kind};
pub use landed::{LandedRow, catalog_of_manifests};
use listing::{RANGE_BYTES, of_archive};
use parts::{Parts, Totals};
pub use pick::{Pick, Slices};
use row::Row;
use tally::Tally;
use walk::{Found, walk};
pub use wanted::{Choice, Seen, catalog_of};

/// Loose objects of one chunk.
const CHUNK: usize = 1000;
/// Chunks that are read at once.
const CHUNKS: usize = 4;
/// Objects of one chunk that are read at once.
const READS: usize = 8;
/// Most bytes of a DICOMDIR.
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;

/// What the manifest shall hold.
#[derive(Debug, Clone, Default)]
pub struct CatalogRule {
    /// Takes the name of the folder that an image lies in as its `label`.
    pub labels_from_folders: bool,
    /// Reads every image and adds its `sha256`.
    pub sha256: bool,
    /// Opens DICOM and TIFF objects and lists these of their pictures.
    pub frames: Option<Pick>,
    /// Opens NIfTI volumes and lists these of their slices; volumes are left out without it.
    pub slices: Option<Slices>,
    /// Column of labels in Parquet archives; by default `label`, `label_idx` or `labels`.
    pub label_column: Option<String>,
    /// A DICOMDIR below the root, whose image records are listed instead of the folder.
    pub directory: Option<String>,
}

/// What was listed. Objects listed are `n_images + n_archives + n_refused + left out`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Rows of the manifest.
    pub n_rows: u64,
    /// Rows with a label.
    pub n_labelled: u64,
    /// Rows that stand for what cannot be scored, by reason; they end in the quarantine table.
    pub refused: Vec<(String, u64)>,
    /// Objects that were met.
    pub n_objects: u64,
    /// Objects that are images by themselves.
    pub n_images: u64,
    /// Archives that hold at least one image.
    pub n_archives: u64,
    /// Objects that are one refused row, or archives of refused rows alone.
    pub n_refused: u64,
    /// Objects without a row, by kind.
    pub left_out: Vec<(String, u64)>,
    /// What archives hold beside images, by kind.
    pub inside: Vec<(String, u64)>,
    /// What deserves a word, and how often.
    pub notes: Vec<(String, u64)>,
    /// Chunks, and how many of them an earlier listing that was cut short had left.
    pub n_chunks: (usize, usize),
}

/// Lists everything below `root` that can be scored and writes the manifest to the local file `out`, as CSV or Parquet by
/// its ending.
///
/// Class indices of tar shards are read from `.cls` files beside the images, as WebDataset writes them; those of npz
/// archives from the array of labels beside the images'; those of Parquet archives from a column `label`.
///
/// A listing that was cut short leaves `<out>.parts` and is taken up again from there.
///
/// # Errors
/// `M022` when there is nothing to list, `M029` a directory that cannot be read, `C007` an `out` that cannot be written; store
/// failures.
pub async fn catalog(root: &Root, rule: CatalogRule, out: &Path) -> Result<Catalog, Problem> {
    let found = match &rule.directory {
        Some(directory) => referenced(root, directory).await?,
        None => walk(root.clone()),
    };
    of_found(root, found, &rule, out).await
}

/// [`catalog`] of what a walk finds.
async fn of_found(
    root: &Root,
    found: BoxStream<'static, Result<Found, Problem>>,
    rule: &CatalogRule,
    out: &Path,
) -> Result<Catalog, Problem> {
    let parts = Parts::beside(out)?;
    let chunks = stream::try_unfold(Chunks { walk: found.peekable() }, |mut chunks| async move {
        let chunk = chunks.next().await?;
        Ok::<_, Problem>(chunk.map(|chunk| (chunk, chunks)))
    });
    let kept = parts.clone();
    let written = chunks.map_ok(move |chunk| {
        let parts = kept.clone();
        async move { part(root, chunk, rule, &parts).await }
    });
    let mut written = std::pin::pin!(written.try_buffered(CHUNKS));
    let (mut names, mut n_chunks) = (Vec::new(), (0, 0));
    while let Some((name, was_there)) = written.try_next().await? {
        n_chunks.0 += 1;
        n_chunks.1 += usize::from(was_there);
        names.push(name);
    }
    Ok(Catalog { n_chunks, ..listed(root, parts.join(&names, out)?)? })
}

/// What was listed, where there is anything to score.
fn listed(root: &Root, totals: Totals) -> Result<Catalog, Problem> {
    let tally = totals.tally;
    if totals.n_rows == 0 {
        return Err(nothing(root, &tally));
    }
    Ok(Catalog {
        n_rows: totals.n_rows,
        n_labelled: totals.n_labelled,
        refused: totals.refused,
        n_objects: tally.n_objects(),
        n_images: tally.n_images,
        n_archives: tally.n_archives,
        n_refused: tally.n_refused,
        left_out: tally.left_out.into_iter().collect(),
        inside: tally.inside.into_iter().collect(),
        notes: tally.notes.into_iter().collect(),
        n_chunks: (0, 0),
    })
}

fn nothing(root: &Root, tally: &Tally) -> Problem {
    let found: Vec<String> = tally.left_out.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    let what = format!("nothing to score below {}: found {found}", root.place());
    let mut hint = format!(
        "check the root; listed are {} and archives: {}; names without an ending are looked into",
        IMAGES.join(", "),
        ARCHIVES.join(", ")
    );
    if tally.left_out.contains_key("volumes without --slices") {
        hint = "volumes are listed slice by slice, for example with --slices 2:every:10".to_owned();
    }
    Problem::new("M022", Exit::BadData, what).hint(hint)
}

/// What a DICOMDIR names, each with its size; names are looked for as they are and in small letters, as disks have them.
async fn referenced(
    root: &Root,
    directory: &str,
) -> Result<BoxStream<'static, Result<Found, Problem>>, Problem> {
    let unread = |why: &str| {
        let what = format!("the directory cannot be read: {why}");
        Problem::new("M029", Exit::BadData, what).hint("give its folder instead: files are found by content")
    };
    let bytes = root.read(directory, "DICOMDIR", MAX_DIRECTORY_BYTES).await?;
    let bytes = bytes.ok_or_else(|| unread("no such object"))?;
    let found = dicomdir::read(&bytes).ok_or_else(|| unread("no DICOMDIR, or cut"))?;
    if found.n_others > 0 {
        tracing::info!(n = found.n_others, "records of the directory that are no images");
    }
    let (root, folder) = (root.clone(), directory.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
    let found = stream::iter(found.images).map(move |name| {
        let (root, folder) = (root.clone(), folder.clone());
        async move {
            let below =
                |name: &str| folder.as_ref().map_or(name.to_owned(), |folder| format!("{folder}/{name}"));
            for name in [below(&name), below(&name.to_lowercase())] {
                let Ok(key) = crate::source::fields::key(&name) else { continue };
                if let Some(size) = root.size(&key, "image of the directory").await? {
                    return Ok(Found::Picture(crate::store::Listed {
                        name,
                        size,
                        modified_ms: 0,
                        e_tag: None,
                    }));
                }
            }
            Ok(Found::Missing(below(&name)))
        }
    });
    Ok(found.buffered(READS).boxed())
}

/// Name of the part that holds a chunk, and whether it was there already.
async fn part(
    root: &Root,
    chunk: Vec<Found>,
    rule: &CatalogRule,
    parts: &Parts,
) -> Result<(String, bool), Problem> {
    let name = Parts::name(&chunk, rule);
    if parts.has(&name) {
        return Ok((name, true));
    }
    let (rows, tally) = rows_of(root, chunk, rule).await?;
    parts.write(&name, &rows, &tally)?;
    Ok((name, false))
}

/// The rows of some loose objects, or of one archive.
///
/// # Errors
/// Store failures; `S015` when an object went away meanwhile.
async fn rows_of(root: &Root, chunk: Vec<Found>, rule: &CatalogRule) -> Result<(Vec<Row>, Tally), Problem> {
    let (mut rows, mut tally) = (Vec::new(), Tally::default());
    match chunk.as_slice() {
        [Found::Object(archive)]
            if is_archive(&chunk[0]) && crate::source::fields::key(&archive.name).is_ok() =>
        {
            let (root, archive, rule) = (root.clone(), archive.clone(), rule.clone());
            let of_archive = move || of_archive(&root, &archive.name, archive.size, &rule);
            (rows, tally) = off_io(of_archive).await?;
        }
        _ => {
            let each = stream::iter(chunk).map(|found| objects::rows_of(root, found, rule));
            let mut each = std::pin::pin!(each.buffered(READS));
            while let Some((of_object, counted)) = each.try_next().await? {
                rows.extend(of_object);
                tally.add(&counted);
            }
        }
    }
    let finished = stream::iter(rows).map(|row| finish(root, row, rule));
    Ok((finished.buffered(READS).try_collect().await?, tally))
}

/// Adds what does not need the archive to be open.
async fn finish(root: &Root, mut row: Row, rule: &CatalogRule) -> Result<Row, Problem> {
    let is_image = row.refused.is_none() && row.row.is_none();
    if rule.labels_from_folders && is_image && row.label_idx.is_none() && row.label.is_none() {
        let path = row.entry.as_ref().unwrap_or(&row.uri);
        row.label = path.rsplit('/').nth(1).map(str::to_owned);
    }
    if rule.sha256 && row.sha256.is_none() && row.refused.is_none() {
        let start = row.offset.unwrap_or(0);
        let range = start..start + row.bytes.unwrap_or(0);
        match sha256(root, &listed_key(&row.uri), range).await? {
            Ok(hash) => row.sha256 = Some(hash),
            Err((reason, found)) => (row.refused, row.found) = (Some(reason), Some(found.to_owned())),
        }
    }
    Ok(row)
}

/// The hash, or the reason why there is none and what was found.
async fn sha256(
    root: &Root,
    key: &Key,
    range: Range<u64>,
) -> Result<Result<String, (Reason, &'static str)>, Problem> {
    let mut hash = Sha256::new();
    // Piece by piece: an entry may claim to be as large as its shard.
    for at in range.clone().step_by(RANGE_BYTES as usize) {
        let piece = at..range.end.min(at + RANGE_BYTES);
        match root.read_part(key, "image", piece, RANGE_BYTES).await? {
            Object::Bytes(piece) => hash.update(&piece),
            Object::Archived => return Ok(Err((Reason::ArchivedObject, "in an archived storage class"))),
            Object::Changed => return Ok(Err((Reason::SourceChanged, "another version at each reading"))),
            _ => return Err(objects::went_away()),
        }
    }
    Ok(Ok(hex::encode(hash.finalize())))
}

fn is_archive(found: &Found) -> bool {
    matches!(found, Found::Object(object) if kind(&object.name) == ObjectKind::Archive)
}

/// Cuts a walk into chunks: some loose objects, or one archive.
struct Chunks {
    walk: stream::Peekable<BoxStream<'static, Result<Found, Problem>>>,
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<Vec<Found>>, Problem> {
        let (mut chunk, mut walk) = (Vec::new(), std::pin::Pin::new(&mut self.walk));
        while let Some(peeked) = walk.as_mut().peek().await {
            let is_archive = peeked.as_ref().is_ok_and(is_archive);
            if chunk.len() == CHUNK || is_archive && !chunk.is_empty() {
                break;
            }
            let Some(found) = walk.try_next().await? else { break };
            chunk.push(found);
            if is_archive {
                break;
            }
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}
