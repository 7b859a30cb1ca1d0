//! What makes a run's tables count: the plan, receipts, publishing, checking, and what is said about it.
//!
//! A partition's staged objects carry the attempt's nonce in their names, so no two attempts share a key. The
//! receipt is created after them and names exactly the objects that count. Publishing copies them under
//! `tables/`, create-only; the `runs` row comes last and makes the run visible.

mod attempts;
mod claims;
mod compacting;
mod content;
mod copying;
mod coverage;
mod delta;
mod diagnostics;
mod discard;
mod facts;
mod finalize;
mod known;
mod layout;
mod list;
mod nights;
mod parts;
mod plan;
mod published;
mod receipt;
mod runs;
mod seal;
mod span;
mod status;
mod tidy;
mod verify;
mod withdrawn;
mod workers;

pub use attempts::{Attempt, record};
pub use claims::{Board, Claim, ClaimRule, LastClaim, claim, is_worker_name, release};
pub(crate) use claims::{claim_on, release_on};
pub use coverage::{Coverage, Group};
pub use diagnostics::{Diagnostics, Joint};
pub use discard::{Discarded, discard};
pub use facts::{Facts, SpecMap};
pub use finalize::{Finalized, finalize};
pub(crate) use finalize::{check_nonfinite, close, finalize_plan, publish_span};
pub use known::planned;
pub(crate) use layout::is_name;
pub use layout::{Claimed, Layout, is_run_id, run_of, split_run_uri};
pub use list::{ListedRun, plans, runs};
pub use nights::{
    DriftState, Entry, FrozenManifest, Mark, Measured, NightKey, NightLayout, NightRecord, NightState,
    PastNight, Taken, TakenOf, fold, last_record, read_new, read_record, read_state, read_taken, settle,
    stage_new,
};
pub(crate) use parts::{Parts, has_lists};
pub use plan::{Plan, fingerprint, parse as parse_plan, read_plan};
pub use published::is_published;
pub(crate) use published::read_entry;
pub(crate) use receipt::entry;
pub use receipt::{FileEntry, Listed, Receipt, committed, is_committed, nonce};
pub use status::{Status, status};
pub use tidy::{Tidied, tidy};
pub use verify::{Verified, verify};
pub use withdrawn::{AtWork, at_work};
pub(crate) use withdrawn::{check_committed, check_stands, withdrawn};
pub use workers::{Straggler, WorkerStatus};
