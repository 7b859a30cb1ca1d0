//! Linear layers of a block in 8-bit integers, for passes of which a coefficient is wanted and, where that is set, for merges.
//!
//! Read in this order: [`weights`] the weights, symmetric per output, and merges of them; [`rows`] the activations, on a scale of their own per row and
//! call; [`quads`] what the instruction sets differ in, `vnni` one of them; [`tile`] the register kernel; [`product`] layers made of it.
//!
//! Everything else of a pass stays `f32`: the patches, norms, attention, residual and projection, and the biases. Sums of products
//! are integers and exact, each over [`INT8_BLOCK`] inputs; what is rounded is rounded in one order. So a row of features has the same
//! bits in every batch, on any number of threads and with any instruction set, as in the `f32` pass.
//!
//! Activations are of 8 bits without sign and weights of 7 bits with one, because `vpmaddubsw` adds two products in 16 bits and
//! saturates: `2 * 255 * 64` fits, so that it is exact. `vpmaddwd` on 16-bit integers would take whole bytes on both sides, at twice
//! the multiplications and additions a value: on a shared core of Zen 3, 1.0 to 1.5 x the `f32` kernel's products a second, where this is
//! 1.5 to 2.1 x. `vnni` does all of it in one instruction; it would not saturate, but the bits shall be those of every machine.

#[cfg(test)]
mod merge_tests;
mod product;
mod quads;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod weights;

pub(super) use product::Int8Product;
pub use weights::Int8Layers;
pub(super) use weights::{Int8Layer, Int8Linear};

use super::packing::K_BLOCK;

/// Inputs that share a lane of 32 bits.
const QUAD: usize = 4;

/// Inputs over which a sum runs in integers before it joins the output: as many as fill the tiles of the `f32` product. Such a sum is at
/// most `1024 * 255 * 64`, less than `2^24`, so it is a float without rounding.
const INT8_BLOCK: usize = QUAD * K_BLOCK;

/// Added to a number of less than `2^22`, it leaves the number rounded to nearest in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;

/// Largest quantised activation; the smallest is zero.
const MOST_X: f32 = 255.0;

/// Largest quantised weight; the smallest is its negative.
const MOST_W: f32 = 64.0;
