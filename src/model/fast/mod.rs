//! A fast `f32` image tower for CPUs: CLIP's vision transformer on packed weights, one set of images per core.
//!
//! Read in this order: [`packing`] where every weight lies in one flat buffer, [`pack`] how it gets there, [`weights`] one
//! model or a merge of two as the source of a layer, [`tile`] the register kernel, [`product`] linear layers made of it,
//! [`lanes`], [`exp`], [`activation`] and [`norm`] the elementwise and row-wise parts, [`attention`], [`one_query`] attention of one row alone, [`workspace`] the
//! memory of a pass, [`int8`] linear layers in integers, [`together`] and [`dense`] a layer on one thread or several, [`block`] a set of images through a block,
//! [`forward`] through all layers, [`tower`] batches over cores.
//!
//! Determinism: a row of features has the same bits whatever else is in the batch, on any number of threads and with any
//! instruction set. Every output of a linear layer is a sum of chains of fused multiply-adds, each over
//! [`K_BLOCK`](packing::K_BLOCK) inputs in ascending order; every sum over a row has [`LANES`](packing::LANES) partial sums,
//! combined in one order; functions are polynomials of our own, not the platform's.

mod activation;
mod aligned;
mod attention;
mod block;
mod dense;
mod exp;
mod forward;
mod int8;
mod lanes;
mod norm;
mod one_query;
mod pack;
pub mod packing;
mod prefetch;
mod product;
#[cfg(test)]
mod tests;
mod tile;
mod together;
mod tower;
mod weights;
mod workspace;

pub use aligned::Aligned;
pub use int8::Int8Layers;
pub use packing::Packing;
pub use tower::{Activations, FastVision};
pub use weights::Weights;
