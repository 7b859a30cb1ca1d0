//! What a worker may no longer ask of the kernel: two walls behind the limits, each where the kernel has it.
//!
//! Landlock (5.13 and later) takes away every path, and TCP. Seccomp refuses system calls by their number, whatever they are
//! about. Its list says what is refused and not what is allowed: what a libc asks for changes with its version, and a list
//! of what is allowed would end a good picture's process after an update. So a new system call is not refused until it is
//! listed; the limits, and the second death of [`super::Desk`], hold without either wall.

/// Puts up both walls for this thread and all that it will start; the second for those that run already, too.
///
/// Where the kernel, or a container, has no such wall the process goes on without it: the promise of one row rests on the
/// limits.
#[cfg(target_os = "linux")]
pub(super) fn raise() {
    let _unless_the_kernel_cannot = no_paths();
    let _unless_the_kernel_cannot = no_calls();
}

#[cfg(not(target_os = "linux"))]
pub(super) fn raise() {}

/// No file and no TCP connection can be opened from here on; the pipes are open already.
#[cfg(target_os = "linux")]
fn no_paths() -> Option<()> {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr};
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V5)).ok()?;
    let ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V5)).ok()?;
    ruleset.create().ok()?.restrict_self().ok().map(|_| ())
}

/// No socket, no other program, no other process, nothing opened, made, renamed or deleted, and nothing that goes around this.
#[cfg(target_os = "linux")]
fn no_calls() -> Option<()> {
    use calls::{MISSING, REFUSED};
    // A libc that is told of a missing call uses the older one, whose flags can be looked at.
    install(MISSING.iter().map(|&call| (call, Vec::new())), libc::ENOSYS)?;
    let refused = REFUSED.iter().map(|&call| (call, Vec::new()));
    install(refused.chain(calls::of_others()?), libc::EPERM)
}

/// Answers these calls with an error where one of their rules fits, or always where there is none.
#[cfg(target_os = "linux")]
fn install(calls: impl Iterator<Item = (i64, Vec<seccompiler::SeccompRule>)>, errno: i32) -> Option<()> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
    let mut rules: std::collections::BTreeMap<_, _> = calls.collect();
    if cfg!(target_arch = "x86_64") {
        // The same calls, and those of its own, by the numbers of the 32-bit-pointer interface.
        const X32: i64 = 0x4000_0000;
        let again: Vec<_> = rules.iter().map(|(call, rule)| (call | X32, rule.clone())).collect();
        rules.extend(again);
        rules.extend((512..548).map(|call| (call | X32, Vec::new())));
    }
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    // An architecture that the crate does not know is left without this wall.
    let architecture = std::env::consts::ARCH.try_into().ok()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture).ok()?;
    let program: BpfProgram = filter.try_into().ok()?;
    apply_filter_all_threads(&program).ok()
}

#[cfg(target_os = "linux")]
mod calls {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

    /// Answered as by a kernel that does not have them.
    pub(super) const MISSING: &[i64] = &[libc::SYS_clone3, libc::SYS_openat2];

    /// Refused whatever they are asked.
    pub(super) const REFUSED: &[i64] = &[
        // The network, and every other socket.
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        // Another program.
        libc::SYS_execve,
        libc::SYS_execveat,
        // Files, to read or to write: the pipes are open already.
        libc::SYS_openat,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_memfd_create,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_truncate,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_chdir,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        // Other processes, and what they hold.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_shmget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        // Ways around this list, and parts of the kernel that no decoder needs.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_setup,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_personality,
        // What only older architectures have a number for.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rmdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename,
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        libc::SYS_renameat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mknod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_symlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown,
    ];

    /// Calls that are refused where they are about another process: signals, limits, and a start that is no thread.
    ///
    /// A signal to the process itself is how an abort ends it. `tkill` names a thread and no process, so it stays: some libcs
    /// abort by it.
    pub(super) fn of_others() -> Option<Vec<(i64, Vec<SeccompRule>)>> {
        let own = u64::from(std::process::id());
        let rule = |argument, operator, value| {
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()?;
            SeccompRule::new(vec![condition]).ok()
        };
        let thread = u64::try_from(libc::CLONE_THREAD).ok()?;
        Some(vec![
            (libc::SYS_kill, vec![rule(0, SeccompCmpOp::Ne, own)?]),
            (libc::SYS_tgkill, vec![rule(0, SeccompCmpOp::Ne, own)?]),
            (libc::SYS_prlimit64, vec![rule(0, SeccompCmpOp::Ne, 0)?]),
            (libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), 0)?]),
        ])
    }
}
