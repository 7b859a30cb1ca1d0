//! Which devices the lanes own.

use candle_core::Device;

use crate::error::{Exit, Problem};

/// Most lanes of a process.
const MOST_LANES: usize = 64;

/// The devices of a run's lanes, one lane each: never none, and all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Auto,
    /// So many lanes that share the threads.
    Cpu(usize),
    /// Numbers of cards, each once.
    Cuda(Vec<usize>),
}

impl Devices {
    /// What [`parse`](Self::parse) takes, in words.
    pub const ALLOWED: &str = "auto | cpu | cuda | cuda:N, or a list of several of one kind";

    /// The first CUDA device where it was compiled in and one answers, else the CPU.
    pub const AUTO: Self = Self(Kind::Auto);

    /// Reads names of devices. `cuda` is `cuda:0`; a card is named once, the CPU as often as it has lanes.
    #[must_use]
    pub fn parse(names: &[&str]) -> Option<Self> {
        let cards = || names.iter().map(|name| card(name)).collect::<Option<Vec<usize>>>();
        let kind = match names {
            [] => None,
            ["auto"] => Some(Kind::Auto),
            _ if names.len() > MOST_LANES => None,
            _ if names.iter().all(|name| *name == "cpu") => Some(Kind::Cpu(names.len())),
            _ => cards().filter(|cards| is_distinct(cards)).map(Kind::Cuda),
        };
        kind.map(Self)
    }

    /// Opens the devices, in the order of their names.
    ///
    /// # Errors
    /// `D001` when a card was asked for and is not there.
    pub fn pick(&self) -> Result<Vec<Device>, Problem> {
        match &self.0 {
            Kind::Auto => Ok(vec![Device::new_cuda(0).unwrap_or(Device::Cpu)]),
            Kind::Cpu(n_lanes) => Ok(vec![Device::Cpu; *n_lanes]),
            Kind::Cuda(cards) => cards.iter().map(|card| open(*card)).collect(),
        }
    }
}

fn card(name: &str) -> Option<usize> {
    match name.strip_prefix("cuda")? {
        "" => Some(0),
        number => number.strip_prefix(':')?.parse().ok().filter(|card| *card < MOST_LANES),
    }
}

fn is_distinct(cards: &[usize]) -> bool {
    cards.iter().enumerate().all(|(n, card)| !cards[..n].contains(card))
}

fn open(card: usize) -> Result<Device, Problem> {
    Device::new_cuda(card).map_err(|_| {
        let hint = "build with --features cuda on a machine with a GPU, or set device.kind = \"auto\"";
        Problem::new("D001", Exit::Config, format!("device.kind: cuda:{card} is not available")).hint(hint)
    })
}

/// Numerics class written to receipts: rows are promised equal within one class.
#[must_use]
pub fn numerics_class(device: &Device) -> &'static str {
    if device.is_cpu() { "cpu-f32" } else { "cuda-f32" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_one_kind_and_a_card_is_named_once() {
        let parsed = |names: &[&str]| Devices::parse(names).map(|devices| devices.0);
        assert_eq!(parsed(&["auto"]), Some(Kind::Auto));
        assert_eq!(parsed(&["cpu", "cpu"]), Some(Kind::Cpu(2)));
        assert_eq!(parsed(&["cuda"]), Some(Kind::Cuda(vec![0])));
        assert_eq!(parsed(&["cuda:1", "cuda:0"]), Some(Kind::Cuda(vec![1, 0])));
        let refused: [&[&str]; 9] = [
            &[],
            &["auto", "cpu"],
            &["auto", "auto"],
            &["cpu", "cuda"],
            &["cuda", "cuda:0"],
            &["cuda:"],
            &["cuda:-1"],
            &["cuda:64"],
            &["CPU"],
        ];
        assert!(refused.iter().all(|names| parsed(names).is_none()));
        assert_eq!(parsed(&["cpu"; MOST_LANES + 1]), None);
    }
}
