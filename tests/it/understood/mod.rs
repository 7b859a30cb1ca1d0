//! Settings, messages, commands and tables say what they mean.

/// What is said where a card is asked for.
mod cards;
/// The page of all nights and what stands beside it; the tables' Delta logs.
mod dashboard;
/// Completions, man pages, schemas and settings in force.
mod described;
/// README and docs, run and compared with the program.
mod docs;
/// `t3b evaluate` and `t3b drift` through the binary.
mod evaluate;
/// The faults of a new user's first walk, each by its letter.
mod first_day;
/// Tables larger than memory.
mod large;
/// Which of several settings is in force, and that nothing else gets in.
mod precedence;
/// Tables as other programs find them, of this format and the one before; ids led back to their owner.
mod reading;
/// Messages about what is refused: once, whole, with what to do.
mod refusals;
/// Pictures, times and costs in the report, the report in a browser, questions in other engines' SQL.
mod report;
/// The faults of a second new user, each by its number.
mod second_day;
/// Wrong settings are refused at once, all of them, with a hint and the documented exit code.
mod settings;
/// What a store's refusals are called, verb by verb.
mod store_causes;
/// Real servers, users with some rights each, and stores that refuse one verb.
mod store_rights;
/// What `t3b sweep` answers: one of the first walk's faults, by its letter.
mod sweeps;
/// The faults of a third new user that were words.
mod third_day;
/// Withdrawing a run beside whoever works on it.
mod withdrawing;
