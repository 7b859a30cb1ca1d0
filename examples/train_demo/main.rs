//! x
mod augment;
mod clip;
mod data;
mod dice;
mod measure;
mod train;
fn main() {}
