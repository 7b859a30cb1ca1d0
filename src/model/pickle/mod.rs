//! Pickles read for their tensors: the values a program describes, and never what it would run.
//!
//! [`machine`] interprets the instructions that make values and keeps calls as descriptions, [`tensors`] finds the tensors
//! among them by their paths, [`archive`] knows where `torch.save` puts the bytes: in a zip archive since torch 1.6, `TorchScript`
//! programs included, and behind the pickle before.

mod archive;
mod machine;
mod tensors;

pub(super) use archive::read;
pub(super) use tensors::Loose;

/// Tensors that a pickle's program describes: what is looked at of it before any value is read. Memory and time are bounded by
/// the length of the program.
#[must_use]
pub fn n_described(program: &[u8]) -> usize {
    machine::run(program).map_or(0, |values| tensors::views(&values).len())
}
