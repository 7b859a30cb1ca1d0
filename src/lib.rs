//! t3b scores archives of medical images with two CLIP models merged at test time (T3_B, arXiv 2510.27265).
#![doc = include_str!("../ARCHITECTURE.md")]

// In the order in which a sample meets them.
pub mod source;

pub mod decode;

pub mod corrupt;

pub mod batch;

pub mod model;

pub mod merge;

pub mod score;

pub mod sink;

pub mod evaluate;

pub mod demo;

pub mod regenerate;

pub mod cli;

// What they share.
pub mod error;
pub mod flow;
pub mod job;
pub mod npz;
pub mod pixels;
pub mod run;
mod simd;
pub mod spec;
pub mod store;
