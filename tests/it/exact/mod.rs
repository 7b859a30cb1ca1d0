//! What is computed is what the references compute, to the bit where they allow it.

/// The shipped pair on real cells, read back by another engine.
mod bccd;
/// Logits and features against PyTorch.
pub(crate) mod clip;
/// All of MedMNIST-C against the reference's hashes, and the statistics of the counter mode.
mod corruptions;
/// Decoded and resized pixels against Pillow, damage, hostile files, laws.
mod decode;
/// Runs on a card that the host emulates.
mod emulated_card;
/// Every method, the sweeps, and the laws between methods.
mod experiments;
/// One forward for all samples against one merged model per sample.
mod factored;
/// Coefficients from parents in 8-bit integers against those in f32.
mod int8;
/// Coefficients and merges against an independent script.
mod merge_rules;
/// The method's numbers end to end: batch of one, constant coefficient, order of operations.
mod method;
/// Pixels against the CLIP processor.
mod normalise;
/// Token ids against the CLIP tokenizer.
mod prompts;
/// Corrupted data sets as files, against the reference's; the contact sheet.
mod regenerate;
/// Suites in a pipeline: user-defined ones, where corruption happens, grey rules.
mod suites;
