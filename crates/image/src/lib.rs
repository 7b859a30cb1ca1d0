#![doc = include_str!("../README.md")]

pub mod npz;
mod pixels;
pub mod pool;
pub mod resize;
pub mod simd;

pub use pixels::Rgb8;
