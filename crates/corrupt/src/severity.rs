//! How strongly a corruption is applied.

/// A severity from 1 (weakest) to 5 (strongest), as published tables count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// Severities 1, 2, 3, 4, 5.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// Returns `None` outside 1 to 5.
    #[must_use]
    pub fn new(severity: u8) -> Option<Self> {
        (1..=5).contains(&severity).then_some(Self(severity))
    }

    /// The number, 1 to 5.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// The position in a list of five levels, 0 to 4.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }
}
