//! Whether one night looks unlike others, by the size of the effect and not by the number of rows.

mod histogram;
mod mmd;
mod null;

pub use histogram::{Grid, Histogram};
pub use mmd::{Mmd, linear_mmd, mmd_null};
pub use null::{Compared, Effect, compare};
