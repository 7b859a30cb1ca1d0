//! Which pictures of an object with several are listed.

/// Most pictures of one object.
const MAX_PICTURES: u32 = 1 << 20;

/// Which of several pictures are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// All of them.
    All,
    /// The first.
    First,
    /// The one in the middle, the later one of two.
    Middle,
    /// The first and every so many behind it.
    Every(u32),
}

impl Pick {
    /// The numbers of the pictures that are meant, of `n`.
    pub(super) fn of(self, n: u32) -> Vec<u32> {
        match self {
            Self::All => (0..n).collect(),
            Self::First => (0..n.min(1)).collect(),
            Self::Middle => (0..n).skip((n / 2) as usize).take(1).collect(),
            Self::Every(step) => (0..n).step_by(step.max(1) as usize).collect(),
        }
    }
}

impl std::str::FromStr for Pick {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "first" => Ok(Self::First),
            "middle" => Ok(Self::Middle),
            _ => {
                let step = text.strip_prefix("every:").and_then(|n| n.parse().ok());
                step.filter(|&n| n > 0).map(Self::Every).ok_or("allowed all, first, middle or every:N")
            }
        }
    }
}

/// Which slices of a volume are meant: of which axis, 0, 1 or 2, and which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    /// 0, 1 or 2; in a volume of RAS order sagittal, coronal, axial.
    pub axis: u8,
    /// Which along it.
    pub pick: Pick,
}

impl std::str::FromStr for Slices {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str =
            "allowed AXIS:all, AXIS:first, AXIS:middle or AXIS:every:N, where AXIS is 0, 1 or 2";
        let (axis, pick) = text.split_once(':').ok_or(ALLOWED)?;
        let axis = axis.parse().ok().filter(|axis| *axis <= 2).ok_or(ALLOWED)?;
        Ok(Self { axis, pick: pick.parse().map_err(|_| ALLOWED)? })
    }
}

/// How many pictures there are, where `is_there` tells of each number whether there is such a one: those there are come first.
///
/// `None` where there seem to be more than a million.
pub(super) fn count(is_there: impl Fn(u32) -> bool) -> Option<u32> {
    let mut above = 1;
    while is_there(above - 1) {
        if above >= MAX_PICTURES {
            return None;
        }
        above *= 2;
    }
    // Those below `above / 2` are there, the one before `above` is not.
    let (mut low, mut high) = (above / 2, above - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_there(middle) { low = middle + 1 } else { high = middle }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_picked() {
        assert_eq!("every:3".parse::<Pick>().unwrap().of(8), [0, 3, 6]);
        assert_eq!("middle".parse::<Pick>().unwrap().of(4), [2]);
        assert_eq!("middle".parse::<Pick>().unwrap().of(1), [0]);
        assert_eq!("all".parse::<Pick>().unwrap().of(2), [0, 1]);
        assert!("every:0".parse::<Pick>().is_err() && "3".parse::<Pick>().is_err());
        let slices: Slices = "2:every:10".parse().unwrap();
        assert_eq!((slices.axis, slices.pick), (2, Pick::Every(10)));
        assert!("3:all".parse::<Slices>().is_err());
    }

    #[test]
    fn pictures_are_counted_by_asking_for_few() {
        for n in [0, 1, 2, 3, 7, 8, 9, 1000] {
            let asked = std::cell::Cell::new(0);
            let found = count(|frame| {
                asked.set(asked.get() + 1);
                frame < n
            });
            assert_eq!(found, Some(n));
            assert!(asked.get() < 24);
        }
        assert_eq!(count(|_| true), None);
    }
}
