//! What the operating system allows this process, looked at before it is needed.

use rustix::process::{Resource, getrlimit};

use crate::error::{Exit, Problem};

/// Program, stacks of threads and what libraries reserve, beside the budget.
const BESIDE_BUDGET_BYTES: u64 = 512 << 20;

/// Refuses a limit on the address space (`ulimit -v`) that the memory budget does not fit into: an allocation that
/// fails later ends the process at once.
///
/// # Errors
/// `C020` with both numbers.
pub(super) fn check_address_space(budget_bytes: u64) -> Result<(), Problem> {
    let needed = budget_bytes + BESIDE_BUDGET_BYTES;
    match getrlimit(Resource::As).current.filter(|&limit| limit < needed) {
        None => Ok(()),
        Some(limit) => {
            let what = format!(
                "memory.budget_mib: {} and 512 beside it do not fit into the {} MiB of address space that this process may have",
                budget_bytes >> 20,
                limit >> 20
            );
            let hint = "lower memory.budget_mib, or raise the limit (ulimit -v)";
            Err(Problem::new("C020", Exit::Config, what).hint(hint))
        }
    }
}

/// Takes rights away from what this process makes, beside those that its user's `umask` takes.
pub(super) fn restrict_files(mask: u32) {
    use rustix::fs::Mode;
    use rustix::process::umask;
    // The only way to ask for the mask is to set one.
    let theirs = umask(Mode::from_raw_mode(0o77));
    umask(theirs | Mode::from_raw_mode(mask));
}

/// Has a write over the limit on file sizes (`ulimit -f`) fail instead of ending the process.
///
/// A signal that is followed no longer kills; the write then says that the file is too large.
pub(super) fn outlive_file_limits(runtime: &tokio::runtime::Runtime) {
    use tokio::signal::unix::{SignalKind, signal};
    #[cfg(target_os = "linux")]
    const SIGXFSZ: i32 = 25;
    #[cfg(target_os = "linux")]
    {
        let _inside = runtime.enter();
        // The handler outlives what it returns; without one the process ends as it would have before.
        let _handler = signal(SignalKind::from_raw(SIGXFSZ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_budget_is_larger_than_a_small_address_space() {
        if let Some(limit) = getrlimit(Resource::As).current {
            assert!(check_address_space(limit).is_err());
        }
        assert_eq!(check_address_space(16 << 20), Ok(()));
    }
}
