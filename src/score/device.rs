//! Which devices the lanes own.

use std::fmt;

use t3b_gpu::Compute;
#[cfg(feature = "cuda")]
use t3b_gpu::card::{self, Stream};

use super::TowerKind;
use crate::error::{Exit, Problem};
use crate::model::ClipConfig;

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
        let cards = || names.iter().map(|name| number_of(name)).collect::<Option<Vec<usize>>>();
        let kind = match names {
            [] => None,
            ["auto"] => Some(Kind::Auto),
            _ if names.len() > MOST_LANES => None,
            _ if names.iter().all(|name| *name == "cpu") => Some(Kind::Cpu(names.len())),
            _ => cards().filter(|cards| is_distinct(cards)).map(Kind::Cuda),
        };
        kind.map(Self)
    }

    /// Opens the devices for models of this kind, in the order of their names.
    ///
    /// # Errors
    /// `D001` when a card was asked for and is not there; `D003` when it does not compute these models, or the CPU not in these
    /// numbers.
    pub fn pick(&self, wanted: &Wanted<'_>) -> Result<Vec<Device>, Problem> {
        let devices = match &self.0 {
            Kind::Auto => vec![if wanted.is_for_cards() { first_card() } else { Device::Cpu }],
            Kind::Cpu(n_lanes) => vec![Device::Cpu; *n_lanes],
            Kind::Cuda(_) if !wanted.is_for_cards() => {
                let what = "device.kind: a card computes neither towers that pool by attention (SigLIP) nor \
                            models.tower = \"reference\" nor models.coefficient_dtype = \"int8\"";
                return Err(Problem::new("D003", Exit::Config, what).hint("set device.kind = \"cpu\""));
            }
            Kind::Cuda(cards) => cards.iter().map(|n| open(*n)).collect::<Result<_, _>>()?,
        };
        let is_on_host = devices.iter().any(|device| matches!(device, Device::Cpu));
        if is_on_host && wanted.compute != Compute::F32 {
            let what = format!(
                "models.compute: {} is computed on NVIDIA cards alone, and this run is on the CPU",
                wanted.compute.name()
            );
            return Err(Problem::new("D003", Exit::Config, what)
                .hint("set models.compute = \"f32\", or device.kind = \"cuda\" where a card is"));
        }
        Ok(devices)
    }
}

/// What a device has to compute.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Both models' architecture.
    pub config: &'a ClipConfig,
    /// Whose image tower.
    pub tower: TowerKind,
    /// In which numbers.
    pub compute: Compute,
    /// Whether coefficients come from parents in 8-bit integers.
    pub int8: bool,
}

impl Wanted<'_> {
    fn is_for_cards(&self) -> bool {
        self.tower == TowerKind::Fast && !self.int8 && !self.config.vision_kind.pools_by_attention()
    }
}

/// The device of a lane.
#[derive(Clone)]
pub enum Device {
    /// The lane's threads.
    Cpu,
    /// An NVIDIA card.
    #[cfg(feature = "cuda")]
    Card(Stream),
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "Cpu",
            #[cfg(feature = "cuda")]
            Self::Card(_) => "Card",
        })
    }
}

fn number_of(name: &str) -> Option<usize> {
    match name.strip_prefix("cuda")? {
        "" => Some(0),
        number => number.strip_prefix(':')?.parse().ok().filter(|card| *card < MOST_LANES),
    }
}

fn is_distinct(cards: &[usize]) -> bool {
    cards.iter().enumerate().all(|(n, card)| !cards[..n].contains(card))
}

/// A driver without a card that answers is said; no driver is how most machines are.
#[cfg(feature = "cuda")]
fn first_card() -> Device {
    if !card::has_driver() {
        return Device::Cpu;
    }
    card::open(0).map_or_else(
        |error| {
            tracing::warn!(%error, "device.kind = \"auto\": the driver of a card is here, and the card cannot be used; scoring on the CPU");
            Device::Cpu
        },
        Device::Card,
    )
}

#[cfg(not(feature = "cuda"))]
fn first_card() -> Device {
    Device::Cpu
}

#[cfg(feature = "cuda")]
fn open(number: usize) -> Result<Device, Problem> {
    card::open(number).map(Device::Card).map_err(|error| missing(number, &error))
}

#[cfg(not(feature = "cuda"))]
fn open(number: usize) -> Result<Device, Problem> {
    Err(missing(number, &"this program was built without the feature cuda"))
}

fn missing(number: usize, why: &dyn fmt::Display) -> Problem {
    Problem::new("D001", Exit::Config, format!("device.kind: cuda:{number} is not available: {why}")).hint(
        "set device.kind = \"cpu\"; a card needs its driver, and NVRTC and cuBLAS 13, which t3b-cuda brings",
    )
}

/// Numerics class written to receipts: rows are promised equal within one class.
#[must_use]
pub fn numerics_class(device: &Device, compute: Compute) -> &'static str {
    match (device, compute) {
        (Device::Cpu, _) => "cpu-f32",
        #[cfg(feature = "cuda")]
        (Device::Card(_), Compute::F32) => "cuda-f32",
        #[cfg(feature = "cuda")]
        (Device::Card(_), Compute::Tf32) => "cuda-tf32",
        #[cfg(feature = "cuda")]
        (Device::Card(_), Compute::F16) => "cuda-f16",
        #[cfg(feature = "cuda")]
        (Device::Card(_), Compute::Bf16) => "cuda-bf16",
    }
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
