//! `t3b dashboard`: the nights below a root as one page with its data beside it.
//!
//! What is read is small: the `runs` row of each night, its attempts, the reasons of its quarantine, and the `summary` and
//! `drift` that were written for it. What is written depends on nothing else, so the same nights give the same bytes.

mod encode;
mod gather;
mod latest;
mod page;
mod rows;
mod settled;

pub use gather::{Nights, nights};
pub use latest::{NightLine, latest_files};
pub use page::{Bundle, page_files};
