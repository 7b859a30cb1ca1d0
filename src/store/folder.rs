//! What stands in a local folder, one entry at a time: a name that no key can be, a link that leaves the root or a pipe costs itself
//! and nothing else.
//!
//! object_store's own listing ends at the first name that is not UTF-8, and leaves others out without a word.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Listed, NoKey, Node, Unnamed};

/// [`children`] off the I/O threads: a folder may have a hundred thousand.
pub(super) async fn listed(root: PathBuf, folder: String) -> io::Result<Vec<Node>> {
    tokio::task::spawn_blocking(move || children(&root, &folder)).await.map_err(io::Error::other)?
}

/// What stands directly in `folder`, a key below `root`; unsorted. `root` is canonical.
///
/// # Errors
/// When the folder cannot be read. Its entries' own faults are [`Node::Refused`].
fn children(root: &Path, folder: &str) -> io::Result<Vec<Node>> {
    let path = root.join(folder);
    fs::read_dir(&path)?.map(|entry| entry.map(|entry| node(root, &path, folder, &entry))).collect()
}

fn node(root: &Path, path: &Path, folder: &str, entry: &DirEntry) -> Node {
    let name = entry.file_name();
    let below = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let of = |why: NoKey, what: &'static str| {
        let name = below(&escaped(name.as_encoded_bytes()));
        Node::Refused(Unnamed { name, why, what })
    };
    let refused = |what| of(NoKey::Name, what);
    let Some(text) = name.to_str() else { return refused("a name that is not utf8") };
    if text.chars().any(char::is_control) {
        return refused("a name with a control character");
    }
    if is_partial(text) {
        return refused("a name that ends in # and a number, as files half written have");
    }
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    let target = entry.path();
    let metadata = match fs::metadata(&target) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound && is_link => {
            return refused("a link to nothing");
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return refused("not permitted to be read");
        }
        Err(_) => return refused("a link in a loop, or unreadable"),
    };
    if is_link {
        match fs::canonicalize(&target) {
            Ok(meant) if !meant.starts_with(root) => return of(NoKey::Outside, "a link out of the root"),
            Ok(meant) if metadata.is_dir() && path.starts_with(&meant) => return refused("a link in a loop"),
            Ok(_) => {}
            Err(_) => return refused("a link to nothing"),
        }
    }
    if metadata.is_dir() {
        return Node::Folder(below(text));
    }
    if !metadata.is_file() {
        return of(NoKey::Special, "neither a file nor a folder");
    }
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_ms = modified.and_then(|age| i64::try_from(age.as_millis()).ok()).unwrap_or_default();
    Node::Object(Listed { name: below(text), size: metadata.len(), modified_ms, e_tag: None })
}

/// The names that the client keeps for what it is writing, and hides.
fn is_partial(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name as text: what is not printable UTF-8, and the sign of escapes itself, as `%` and two digits; no two names become the same.
fn escaped(name: &[u8]) -> String {
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() || letter == '%' {
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| out += &format!("%{byte:02X}"));
            } else {
                out.push(letter);
            }
        }
        chunk.invalid().iter().for_each(|byte| out += &format!("%{byte:02X}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_printable_and_distinct() {
        assert_eq!(escaped(b"caf\xe9.png"), "caf%E9.png");
        assert_eq!(escaped(b"a\n\t%.png"), "a%0A%09%25.png");
        assert_eq!(escaped("\u{e9}\u{85}".as_bytes()), "\u{e9}%C2%85");
        assert_ne!(escaped(b"%E9"), escaped(b"\xe9"));
    }

    #[test]
    fn only_what_the_client_hides_is_partial() {
        assert!(is_partial("x.png#12"));
        assert!(!is_partial("x#1.png") && !is_partial("x#") && !is_partial("a #1 b"));
    }

    #[cfg(unix)]
    #[test]
    fn one_odd_entry_costs_itself() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside.png"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(&outside, b"x").unwrap();
        for name in
            [&b"a/good.png"[..], b"a/caf\xe9.png", b"a/new\nline.png", b"a/back\\slash.png", b"a/x.png#1"]
        {
            fs::write(root.join(OsStr::from_bytes(name)), b"x").unwrap();
        }
        symlink(&outside, root.join("a/out.png")).unwrap();
        symlink("nowhere", root.join("a/broken.png")).unwrap();
        symlink("self", root.join("a/self")).unwrap();
        symlink("..", root.join("a/b/up")).unwrap();
        symlink("good.png", root.join("a/inside.png")).unwrap();
        let root = fs::canonicalize(&root).unwrap();
        let (mut objects, mut refused) = (Vec::new(), Vec::new());
        for node in children(&root, "a").unwrap().into_iter().chain(children(&root, "a/b").unwrap()) {
            match node {
                Node::Object(object) => objects.push(object.name),
                Node::Refused(unnamed) => refused.push(unnamed.name),
                Node::Folder(folder) => assert_eq!(folder, "a/b"),
            }
        }
        objects.sort();
        refused.sort();
        assert_eq!(objects, ["a/back\\slash.png", "a/good.png", "a/inside.png"]);
        let wanted = [
            "a/b/up",
            "a/broken.png",
            "a/caf%E9.png",
            "a/new%0Aline.png",
            "a/out.png",
            "a/self",
            "a/x.png#1",
        ];
        assert_eq!(refused, wanted);
    }
}
