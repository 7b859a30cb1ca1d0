//! How a manifest is refused.

use crate::error::{Exit, Problem};

/// A problem of a manifest, with what is done about its kind; whoever knows more says another hint.
pub(super) fn bad(code: &'static str, what: impl Into<String>) -> Problem {
    let problem = Problem::new(code, Exit::BadData, what);
    match remedy(code) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// What to do about each kind of fault of a manifest. Values of rows are never repeated, for they may name somebody; rows count
/// from 0, behind the header.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "M001" => "t3b manifest build ROOT -o manifest.parquet writes one with a row for each image",
        "M002" => "every row needs a uri, a key below input.root; docs/manifest.md lists the columns",
        "M004" => "ids stand in tables: name images otherwise, or leave the column out to have pseudonyms",
        "M005" | "M006" | "M007" | "M008" => "write uris relative to input.root, such as ward/0001.png",
        "M009" => "save the manifest as UTF-8",
        "M012" => "write the manifest anew, with fewer and shorter values, or as CSV",
        "M015" => {
            "bytes is the size of the image as t3b manifest build writes it; leave it empty where it is not known"
        }
        "M016" => "write what sha256sum prints, or leave the field empty",
        "M018" => "docs/manifest.md has an example of each format",
        "M020" => "t3b manifest build writes them",
        "M023" => {
            "frame, axis and index are whole numbers from 0, and an axis is 0, 1 or 2; see docs/manifest.md"
        }
        "M024" => "t3b manifest build writes this column; a manifest of your own leaves it out",
        "M033" => "restore the file and those beside it, or freeze the manifest again: t3b manifest freeze",
        "M027" => "remove or rename one of them",
        _ => return None,
    })
}
