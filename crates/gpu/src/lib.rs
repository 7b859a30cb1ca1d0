//! CLIP's image tower on an NVIDIA card.
//!
//! Read in this order: [`sizes`] what a tower is, [`layout`] where its weights lie in one flat buffer, [`schedule`] the
//! kernels and matrix products of a pass in their order, as data, [`kernels`] the text of the kernels. With the feature `cuda`:
//! `card` a card and its run-time compiled kernels, `tower` what carries a schedule out on it.
//!
//! A schedule is data so that the same one runs in two places: on a card, and in `host/main.cpp`, where each kernel's own
//! text is compiled for the host with blocks and threads as loops. The tests compare that run with a reference; what they
//! cannot see is what only a card has: its instructions' rounding, its memory model, its speed.

#[cfg(feature = "cuda")]
pub mod card;
pub mod kernels;
pub mod layout;
pub mod schedule;
pub mod sizes;
#[cfg(feature = "cuda")]
pub mod tower;

pub use layout::Layout;
pub use schedule::Schedule;
pub use sizes::{Activation, Compute, Sizes};
