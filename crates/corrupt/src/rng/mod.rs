//! Random generators: the three of the Python reference, bit for bit, and a counter-based one.

pub(super) mod alias;
pub mod counter;
pub mod legacy;
pub mod mt19937;
pub mod pcg64;
pub mod poisson;
pub mod python;
pub mod ziggurat;
