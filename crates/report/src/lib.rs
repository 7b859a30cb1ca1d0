#![doc = include_str!("../README.md")]

mod bits;
mod compare;
mod draws;
mod facts;
mod figures;
mod ranks;
mod rows;

pub use compare::{Best, Comparison};
pub use facts::{SetFacts, Tags};
pub use figures::{Figures, LEVEL, Line, Settings};
pub use rows::{Row, RowError, Rows};
