//! One run and many workers: the same bytes whoever joins, leaves, is slow or dies.

/// Claims spread the work, and decide nothing.
mod claims;
/// What engines are told of exit codes comes from one list, and their files are of the forms that they take.
mod engines;
/// Publishing is shared span by span, resumed where it ended, and holds one span in memory.
mod publishing;
/// The binary as workers: numbers on standard input, kills, drains, and what status says of them.
mod workers;
