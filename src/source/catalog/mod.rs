//! A manifest made of what lies below a root: loose images and what archives hold, folder by folder, by name.
//!
//! Memory: the names in one folder and in those above it, and the rows of four chunks: a thousand loose images, or what one archive
//! holds; never all that is listed.

mod listing;
mod parts;
mod row;

use std::path::Path;

use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::error::{Exit, Problem};
use crate::flow::ordered::driven;
use crate::store::{Listed, Node, Root};
use listing::{ARCHIVES, IMAGES, ending, rows_of};
use parts::Parts;

/// Loose images of one chunk.
const CHUNK: usize = 1000;
/// Chunks that are read at once.
const CHUNKS: usize = 4;
/// Folders that are listed at once, at each depth.
const LISTINGS: usize = 8;
/// Folders inside folders.
const MAX_DEPTH: usize = 64;

/// What the manifest shall hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatalogRule {
    /// Takes the name of the folder that an image lies in as its `label`.
    pub labels_from_folders: bool,
    /// Reads every image and adds its `sha256`.
    pub sha256: bool,
}

/// What was listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Rows of the manifest.
    pub n_rows: u64,
    /// Rows that stand for what cannot be scored, by reason; they end in the quarantine table.
    pub refused: Vec<(String, u64)>,
    /// Objects that are neither images nor archives by their names.
    pub n_others: u64,
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
/// `M022` when there is nothing to list, `M025` folders nested too deep, `C007` an `out` that cannot be written; store failures.
pub async fn catalog(root: &Root, rule: CatalogRule, out: &Path) -> Result<Catalog, Problem> {
    let parts = Parts::beside(out)?;
    let mut done = Catalog::default();
    let chunks =
        Chunks { walk: walk(root.clone(), vec![Node::Folder(String::new())], 0).peekable(), n_others: 0 };
    let chunks = stream::try_unfold(chunks, |mut chunks| async move {
        let chunk = chunks.next().await?;
        let n_others = std::mem::take(&mut chunks.n_others);
        Ok::<_, Problem>(chunk.map(|chunk| ((chunk, n_others), chunks)))
    });
    let kept = parts.clone();
    let written = chunks.map_ok(move |(chunk, n_others)| {
        let parts = kept.clone();
        async move { Ok((part(root, chunk, rule, &parts).await?, n_others)) }
    });
    let mut written = std::pin::pin!(written.try_buffered(CHUNKS));
    let mut names = Vec::new();
    while let Some(((name, was_there), n_others)) = written.try_next().await? {
        done.n_others += n_others;
        done.n_chunks.0 += usize::from(name.is_some());
        done.n_chunks.1 += usize::from(was_there);
        names.extend(name);
    }
    let totals = parts.join(&names, out)?;
    if totals.n_rows == 0 {
        let what = format!("no {} or {} below the root", IMAGES.join(", "), ARCHIVES.join(", "));
        return Err(Problem::new("M022", Exit::BadData, what).hint("check the root"));
    }
    Ok(Catalog { n_rows: totals.n_rows, refused: totals.refused, ..done })
}

/// Name of the part that holds a chunk, and whether it was there already.
async fn part(
    root: &Root,
    chunk: Vec<Listed>,
    rule: CatalogRule,
    parts: &Parts,
) -> Result<(Option<String>, bool), Problem> {
    if chunk.is_empty() {
        return Ok((None, false));
    }
    let name = Parts::name(&chunk, rule);
    if parts.has(&name) {
        return Ok((Some(name), true));
    }
    parts.write(&name, &rows_of(root, chunk, rule).await?)?;
    Ok((Some(name), false))
}

/// Cuts a walk into chunks: some loose images, or one archive.
struct Chunks {
    walk: stream::Peekable<BoxStream<'static, Result<Listed, Problem>>>,
    n_others: u64,
}

impl Chunks {
    /// The next chunk; an empty one only where the walk ends in objects of other kinds.
    async fn next(&mut self) -> Result<Option<Vec<Listed>>, Problem> {
        let (mut chunk, mut walk, mut has_ended) = (Vec::new(), std::pin::Pin::new(&mut self.walk), true);
        while let Some(peeked) = walk.as_mut().peek().await {
            let kind = peeked.as_ref().map_or_else(|_| String::new(), |object| ending(&object.name));
            let is_archive = ARCHIVES.contains(&kind.as_str());
            if chunk.len() == CHUNK || is_archive && !chunk.is_empty() {
                has_ended = false;
                break;
            }
            let Some(object) = walk.try_next().await? else { break };
            if is_archive {
                return Ok(Some(vec![object]));
            }
            if IMAGES.contains(&kind.as_str()) { chunk.push(object) } else { self.n_others += 1 }
        }
        let nothing = has_ended && chunk.is_empty() && self.n_others == 0;
        Ok((!nothing).then_some(chunk))
    }
}

/// The objects below some folders and objects, in their order; the next folders are listed ahead.
fn walk(root: Root, nodes: Vec<Node>, depth: usize) -> BoxStream<'static, Result<Listed, Problem>> {
    if depth > MAX_DEPTH {
        let what = format!("folders nested deeper than {MAX_DEPTH}");
        return stream::once(ready(Err(Problem::new("M025", Exit::BadData, what)))).boxed();
    }
    let asked = root.clone();
    let listed = stream::iter(nodes).map(move |node| {
        let root = asked.clone();
        async move {
            match node {
                Node::Object(object) => Ok((Some(object), Vec::new())),
                Node::Folder(folder) => {
                    let children = driven(async move { root.children(&folder, "archive").await });
                    Ok((None, children.await?))
                }
            }
        }
    });
    let below = listed.buffered(LISTINGS).flat_map(move |listed| match listed {
        Ok((Some(object), _)) => stream::once(ready(Ok(object))).boxed(),
        Ok((None, nodes)) => walk(root.clone(), nodes, depth + 1),
        Err(error) => stream::once(ready(Err(error))).boxed(),
    });
    below.boxed()
}
