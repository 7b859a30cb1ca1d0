//! A catalog of some of what lies below a root: whoever asks says of each object whether it is wanted.

use std::path::Path;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use super::walk::{Found, walk_folders};
use super::{Catalog, CatalogRule, of_found, sha256};
use crate::error::Problem;
use crate::store::{Root, listed_key};

/// What a listing says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name below the root.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Changes with its bytes, as far as the store says: see [`Listed::tag`](crate::store::Listed::tag).
    pub tag: String,
}

impl Seen {
    pub(super) fn of(found: &Found) -> Self {
        match found {
            Found::Object(object) | Found::Picture(object) => {
                Self { name: object.name.clone(), size: object.size, tag: object.tag() }
            }
            Found::Missing(name) => Self { name: name.clone(), size: 0, tag: "missing".to_owned() },
            Found::Refused(unnamed) => {
                Self { name: unnamed.name.clone(), size: 0, tag: unnamed.what.to_owned() }
            }
        }
    }

    /// Reads the object; its hash, or `None` where it cannot be read as a whole.
    ///
    /// # Errors
    /// Store failures; `S015` when it went away meanwhile.
    pub async fn sha256(&self, root: &Root) -> Result<Option<String>, Problem> {
        Ok(sha256(root, &listed_key(&self.name), 0..self.size).await?.ok())
    }
}

/// Whether an object is wanted, which may have to be read to be known.
pub type Choice = BoxFuture<'static, Result<bool, Problem>>;

/// [`catalog`](super::catalog) of the objects below `folders` of `root` that `choose` wants; it is asked in the order of the
/// listing. `rule.directory` is not looked at.
///
/// # Errors
/// See [`catalog`](super::catalog), and what `choose` says.
pub async fn catalog_of(
    root: &Root,
    folders: Vec<String>,
    rule: &CatalogRule,
    out: &Path,
    choose: impl FnMut(Seen) -> Choice + Send + 'static,
) -> Result<Catalog, Problem> {
    let walk = walk_folders(root.clone(), folders);
    let wanted = stream::try_unfold((walk, choose), |(mut walk, mut choose)| async move {
        while let Some(found) = walk.try_next().await? {
            if choose(Seen::of(&found)).await? {
                return Ok(Some((found, (walk, choose))));
            }
        }
        Ok(None)
    });
    of_found(root, wanted.boxed(), rule, out).await
}
