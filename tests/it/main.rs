//! One binary, one module per fear.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "support modules are shared with benches")]

#[path = "../support/azurite.rs"]
mod azurite;
#[path = "../support/bad_checkpoints.rs"]
mod bad_checkpoints;
#[path = "../support/bad_inputs.rs"]
mod bad_inputs;
#[path = "../support/canaries.rs"]
mod canaries;
#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/liar.rs"]
mod liar;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/s3_server.rs"]
mod s3_server;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/signals.rs"]
mod signal;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tables.rs"]
mod tables;
#[path = "../fuzz/targets.rs"]
mod targets;
#[path = "../support/web.rs"]
mod web;

/// Images in npz and Parquet archives.
mod archives;
/// Archives that lie about what they hold.
mod archives_hostile;
/// The shipped pair on real cells, read back by another engine.
mod bccd;
/// Manifests of a few bytes that would cost gigabytes.
mod bounds;
/// What a run says of itself and what keeps it honest: status, tidy, reproduce, numerics, stalls, verify.
mod care;
/// A listing that was cut short, and a large one.
mod catalog;
/// Every sample is in exactly one of predictions and quarantine, once per cell and method.
mod conservation;
/// Several workers, racing creates, and the controls that must be noticed.
mod contest;
/// Death and lies at every store operation, once and twice: resumed to the same bytes.
mod crash;
/// Images that are corrupted already go into the cells they declare.
mod declared_cells;
/// Real DICOM archives end to end.
mod dicom_run;
/// Every method, the sweeps, and the laws between methods.
mod evaluate;
mod experiments;
/// One forward for all samples against one merged model per sample.
mod factored;
/// Archives as public bug reports have them.
mod field_archives;
/// Inputs that fuzzing has found.
mod found;
#[path = "../support/hostile.rs"]
mod hostile;
/// Every bad input of the list in one run: its own code, and no other row moves.
mod hostile_inputs;
/// HTTP and S3 servers that lie: right bytes, quarantine or a store error, and no wrong row.
mod hostile_store;
/// An archive behind a web server: read, never written or listed.
mod http_root;
/// No `config/` key changes a row.
mod invariance;
/// The method's numbers end to end: batch of one, constant coefficient, order of operations.
mod method;
/// One odd name costs itself; whatever is listed adds up; a wrong root ends early.
mod names;
/// A network that delays, cuts, resets and lies, and a server the process is killed against.
mod network;
/// Objects that are archived, or change while they are read.
mod object_facts;
/// A closed or full output, and small limits of the system: the work is done and the code says the rest.
mod output;
/// A damaged image costs one row and moves no other sample.
mod poison;
/// Which of several settings is in force, and that nothing else gets in.
mod precedence;
/// Names, texts and secrets of the archive are seen nowhere.
mod private;
/// What a pseudonym is worth, as an attack; rights of what is written.
mod pseudonyms;
/// Tables as other programs find them, of this format and the one before; ids led back to their owner.
mod reading;
/// A store or a folder that points elsewhere.
mod redirects;
/// A full disk; memory over a long run.
mod resources;
/// A run that died anywhere is resumed to the same bytes; a finished one is left alone.
mod resume;
/// Everything that decides is sealed: flips, swaps, copies, losses and foreign objects are named or change nothing.
mod sealed;
/// Wrong settings are refused at once, all of them, with a hint and the documented exit code.
mod settings;
/// The binary under SIGKILL, SIGTERM and SIGSTOP at chosen store operations.
mod signals;
/// A store that asks for fewer requests gets fewer.
mod slow_down;
/// The same tables from every kind of store.
mod stores;
/// Slices of volumes by the columns of a manifest.
mod volumes;
/// Pictures that end the process they are decoded in.
mod worker;

/// All of MedMNIST-C against the reference's hashes, and the statistics of the counter mode.
mod corruptions;
/// Decoded and resized pixels against Pillow, damage, hostile files, laws.
mod decode;
/// `t3b decode`.
mod decode_command;
/// Corrupted data sets as files, against the reference's; the contact sheet.
mod regenerate;
/// Tar shards: indexed once, read by range, the same predictions.
mod shards;
/// Suites in a pipeline: user-defined ones, where corruption happens, grey rules.
mod suites;
/// Where crates come from and under which licences.
mod supply;
/// Rules about the source text itself.
mod tidy;

/// Architectures: named, from Hugging Face files, and refused.
mod architectures;
/// Checkpoints that must be refused, each with its message.
mod checkpoints;
/// Logits and features against PyTorch.
mod clip;
/// Families, layouts and preprocessing against transformers and open_clip.
mod families;
/// Files as the field has them: each of a list of faults, right or refused by its key.
mod field;
/// Other programs' files: open_clip's names, shards, adapters, the image half alone.
mod layouts;
/// Coefficients and merges against an independent script.
mod merge_rules;
/// Models from stores, class vectors from files, label files, `t3b models`.
mod models;
/// Pixels against the CLIP processor.
mod normalise;
/// Token ids against the CLIP tokenizer.
mod prompts;
