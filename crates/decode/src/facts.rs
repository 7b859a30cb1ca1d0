//! What was found and decided on the way to a picture, for `t3b decode` and for a run's warnings.

use std::borrow::Cow;

/// Named facts about one decoding, in the order in which they were found.
///
/// Values are this crate's own words, numbers and transfer syntaxes; no attribute that could identify anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    entries: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

/// The fact that most values of a 16-bit picture lie in the lowest part of the range, so that it is shown nearly black.
pub(super) const MOSTLY_DARK: &str = "warning";

impl Facts {
    /// Most facts of one picture.
    const MAX_ENTRIES: usize = 32;
    /// Longest text of [`Facts::to_text`].
    pub(super) const MAX_TEXT_LEN: usize = 8192;

    pub(super) fn note(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        if self.entries.len() < Self::MAX_ENTRIES {
            self.entries.push((name.into(), value.into()));
        }
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A warning about the picture, which was decoded all the same.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.get(MOSTLY_DARK)
    }

    /// One line a fact, for the pipe between two processes.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.iter() {
            if text.len() + name.len() + value.len() + 2 > Self::MAX_TEXT_LEN {
                break;
            }
            text.extend([name, "\t", value, "\n"]);
        }
        text
    }

    /// Reads [`Facts::to_text`]; lines that are none are left out.
    pub(super) fn from_text(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        let owned = pairs.map(|(name, value)| (name.to_owned().into(), value.to_owned().into()));
        Self { entries: owned.take(Self::MAX_ENTRIES).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn facts_travel_as_text() {
        let mut facts = Facts::default();
        facts.note("format", "png");
        facts.note("bits", "16".to_owned());
        assert_eq!(Facts::from_text(&facts.to_text()), facts);
        assert_eq!(facts.get("bits"), Some("16"));
        assert_eq!(Facts::from_text("no tab\n").iter().count(), 0);
    }
}
