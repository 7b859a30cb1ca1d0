//! Example pictures, where the owner of the archive asked for them.

use super::svg::escape;

/// One picture of a page, small and without anything that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What it shows: a class, a corruption, what was predicted.
    pub caption: String,
    /// The image itself, as `data:image/...;base64,...`.
    pub data_uri: String,
    /// Side in pixels.
    pub side_px: u32,
}

/// The pictures of a set side by side; nothing where there are none.
pub(super) fn examples(all: &[Picture]) -> String {
    let one = |picture: &Picture| {
        let (caption, side) = (escape(&picture.caption), picture.side_px);
        format!(
            "<figure><img alt=\"{caption}\" width=\"{side}\" height=\"{side}\" src=\"{}\"><figcaption>{caption}</figcaption></figure>",
            escape(&picture.data_uri)
        )
    };
    if all.is_empty() {
        return String::new();
    }
    format!(
        "<h3>Examples</h3><div class=\"pictures\">{}</div><p class=\"small\">Images of the archive, made small: whoever has this file has them. Corruptions are drawn at 224 pixels as the run draws them.</p>",
        all.iter().map(one).collect::<String>()
    )
}
