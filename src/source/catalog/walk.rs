//! The objects below some folders, in the order of their names; one folder's names are in memory, and those above it.

use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::error::Problem;
use crate::flow::ordered::driven;
use crate::store::{Cause, Listed, NoKey, Node, Root, Unnamed};

/// Folders that are listed at once, at each depth.
const LISTINGS: usize = 8;
/// Folders inside folders.
const MAX_DEPTH: usize = 64;

/// What a listing meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An object, which is what its name says.
    Object(Listed),
    /// An object that a directory names as a picture, whatever its name.
    Picture(Listed),
    /// A name in a directory, without an object.
    Missing(String),
    /// Something that cannot be read by a key.
    Refused(Unnamed),
}

impl Found {
    /// What is hashed for the name of a part.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Object(object) | Self::Picture(object) => {
                format!("{}\0{}\0{}", object.name, object.size, object.modified_ms)
            }
            Self::Missing(name) => format!("{name}\0missing"),
            Self::Refused(unnamed) => format!("{}\0{}", unnamed.name, unnamed.what),
        }
    }
}

/// The objects below a root.
pub(super) fn walk(root: Root) -> BoxStream<'static, Result<Found, Problem>> {
    walk_folders(root, vec![String::new()])
}

/// The objects below some folders of a root, one folder after the other; one that is not there holds nothing.
pub(super) fn walk_folders(root: Root, folders: Vec<String>) -> BoxStream<'static, Result<Found, Problem>> {
    below(root, folders.into_iter().map(Node::Folder).collect(), 0)
}

/// The objects below some folders and objects, in their order; the next folders are listed ahead.
fn below(root: Root, nodes: Vec<Node>, depth: usize) -> BoxStream<'static, Result<Found, Problem>> {
    let asked = root.clone();
    let listed = stream::iter(nodes).map(move |node| {
        let root = asked.clone();
        async move {
            match node {
                Node::Object(object) => Ok((Some(Found::Object(object)), Vec::new())),
                Node::Refused(unnamed) => Ok((Some(Found::Refused(unnamed)), Vec::new())),
                Node::Folder(name) if depth > MAX_DEPTH => {
                    let what = "a folder nested deeper than 64 folders";
                    Ok((Some(Found::Refused(Unnamed { name, why: NoKey::Name, what })), Vec::new()))
                }
                Node::Folder(folder) => {
                    let name = folder.clone();
                    // In a bucket a refusal is of whoever asks, not of one folder.
                    let may_refuse = depth > 0 && root.is_folder();
                    let children = driven(async move { root.children(&folder, "archive").await });
                    match children.await {
                        Ok(nodes) => Ok((None, nodes)),
                        Err(error) if error.cause == Cause::Denied && may_refuse => {
                            let what = "a folder that is not permitted to be read";
                            Ok((Some(Found::Refused(Unnamed { name, why: NoKey::Name, what })), Vec::new()))
                        }
                        // The client gives up a whole folder for one such name.
                        Err(error) if error.cause == Cause::Unnameable => {
                            let what = "a folder with a name that no key can be";
                            Ok((Some(Found::Refused(Unnamed { name, why: NoKey::Name, what })), Vec::new()))
                        }
                        Err(error) => Err(error),
                    }
                }
            }
        }
    });
    let found = listed.buffered(LISTINGS).map_err(Problem::from).flat_map(move |listed| match listed {
        Ok((Some(found), _)) => stream::once(ready(Ok(found))).boxed(),
        Ok((None, nodes)) => below(root.clone(), nodes, depth + 1),
        Err(error) => stream::once(ready(Err(error))).boxed(),
    });
    found.boxed()
}
