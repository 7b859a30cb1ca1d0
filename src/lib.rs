//! t3b scores archives of medical images with two CLIP models merged at test time (T3_B, arXiv 2510.27265).
#![doc = include_str!("../ARCHITECTURE.md")]

// From the top of the house to its ground: each room knows only rooms below it.
pub mod cli;
pub mod demo;
pub mod job;
pub mod settings;

pub mod graph;

pub mod watch;

pub mod ledger;
pub mod report;
pub mod score;
pub mod source;
pub mod tables;

pub mod merge;
pub mod model;

pub mod messages;

pub mod error;
pub mod flow;
pub mod store;
