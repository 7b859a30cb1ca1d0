//! What wrappers put before the names of a model, taken off again; what a half leaves out, put on.
//!
//! `torch.compile` writes `_orig_mod.`, `DataParallel` `module.`, Lightning `model.` or whatever the attribute was called;
//! transformers 5 saves the image half without `vision_model.`, and `model.visual.state_dict()` has no `visual.`.

use std::fmt;

use super::{checkpoint_fault::shown, error::CheckpointFault, shards::Entry};

/// A name by which a family is known, and what is missing before it and its like.
const ANCHORS: [(&str, &str); 7] = [
    ("vision_model.embeddings.patch_embedding.weight", ""),
    ("visual.conv1.weight", ""),
    ("visual.trunk.patch_embed.proj.weight", ""),
    ("trunk.patch_embed.proj.weight", "visual."),
    ("embeddings.patch_embedding.weight", "vision_model."),
    ("conv1.weight", "visual."),
    ("patch_embed.proj.weight", "visual.trunk."),
];

/// Names that keep their place beside an image half that lacks its prefix.
const BESIDE: [&str; 4] = ["logit_scale", "logit_bias", "visual_projection.", "head.proj."];

/// What was done to the names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renaming {
    /// Taken off every name.
    pub stripped: String,
    /// Put on the image half's names.
    pub added: &'static str,
}

impl Renaming {
    /// The renaming that makes these the names of a model; nothing where they are already, or where no renaming would.
    ///
    /// # Errors
    /// [`CheckpointFault::Several`] for models under different prefixes.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<Self, CheckpointFault> {
        for (anchor, added) in ANCHORS {
            let mut found: Vec<&str> = names.clone().filter_map(|name| prefix_of(name, anchor)).collect();
            if found.contains(&"") {
                return Ok(Self { stripped: String::new(), added });
            }
            match (found.pop(), found.is_empty()) {
                (None, _) => {}
                (Some(prefix), true) => return Ok(Self { stripped: prefix.to_owned(), added }),
                (Some(prefix), false) => {
                    found.push(prefix);
                    found.sort_unstable();
                    return Err(CheckpointFault::Several(found.into_iter().map(str::to_owned).collect()));
                }
            }
        }
        Ok(Self::default())
    }

    /// Renames the entries. Those that do not have the prefix keep their names.
    pub(super) fn apply(&self, entries: &mut [Entry]) {
        for entry in entries {
            entry.name = self.renamed(&entry.name);
        }
    }

    /// The new name.
    #[must_use]
    pub fn renamed(&self, name: &str) -> String {
        let bare = name.strip_prefix(&self.stripped).unwrap_or(name);
        let stays = self.added.is_empty() || BESIDE.iter().any(|beside| bare.starts_with(beside));
        match (stays, bare.starts_with("head.proj.")) {
            (true, true) if !self.added.is_empty() => format!("visual.{bare}"),
            (true, _) => bare.to_owned(),
            (false, _) => format!("{}{bare}", self.added),
        }
    }

    /// Whether names change.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for Renaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stripped = (!self.stripped.is_empty()).then(|| format!("'{}' taken off", shown(&self.stripped)));
        let added = (!self.added.is_empty()).then(|| format!("'{}' put before the image half's", self.added));
        f.write_str(&stripped.into_iter().chain(added).collect::<Vec<_>>().join(", "))
    }
}

fn prefix_of<'a>(name: &'a str, anchor: &str) -> Option<&'a str> {
    name.strip_suffix(anchor).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_off_and_halves_completed() {
        let of = |names: &[&str]| Renaming::of(names.iter().copied());
        let renamed = |names: &[&str]| {
            let renaming = of(names).expect("one model");
            names.iter().map(|name| renaming.renamed(name)).collect::<Vec<_>>()
        };
        assert_eq!(renamed(&["visual.conv1.weight", "logit_scale"]), ["visual.conv1.weight", "logit_scale"]);
        assert_eq!(
            renamed(&["module._orig_mod.visual.conv1.weight", "module._orig_mod.logit_scale", "epoch"]),
            ["visual.conv1.weight", "logit_scale", "epoch"]
        );
        assert_eq!(
            renamed(&["embeddings.patch_embedding.weight", "visual_projection.weight"]),
            ["vision_model.embeddings.patch_embedding.weight", "visual_projection.weight"]
        );
        assert_eq!(renamed(&["net.conv1.weight", "net.proj"]), ["visual.conv1.weight", "visual.proj"]);
        assert_eq!(
            renamed(&["trunk.patch_embed.proj.weight", "head.proj.weight"]),
            ["visual.trunk.patch_embed.proj.weight", "visual.head.proj.weight"]
        );
        assert!(of(&["a.visual.conv1.weight", "b.visual.conv1.weight"]).is_err());
    }
}
