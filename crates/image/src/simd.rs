//! Which vector instructions our loops and kernels run on. The bits they make are the same on every path.

use std::sync::OnceLock;

use pulp::Arch;

/// Environment variable that forces a path by its name, so that any machine measures and tests what it can.
pub const SIMD: &str = "T3B_SIMD";

/// The paths that this machine has, by name, the widest first; the last is `scalar`, which every machine has.
#[must_use]
pub fn paths() -> Vec<(&'static str, Arch)> {
    let mut paths = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        paths.extend(pulp::x86::V4::try_new().map(|simd| ("avx512", Arch::V4(simd))));
        paths.extend(pulp::x86::V3::try_new().map(|simd| ("avx2", Arch::V3(simd))));
    }
    #[cfg(target_arch = "aarch64")]
    paths.push(("neon", Arch::new()));
    paths.push(("scalar", Arch::Scalar));
    paths
}

/// A path was forced that this machine or this program does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("${SIMD} is {asked:?}, on this machine one of: {}", known.join(", "))]
pub struct NoSuchPath {
    asked: String,
    known: Vec<&'static str>,
}

/// The path that [`SIMD`] forces, or the widest without it.
///
/// # Errors
/// When the variable names none of [`paths`].
pub fn chosen() -> Result<Arch, NoSuchPath> {
    pick(std::env::var_os(SIMD).map(|asked| asked.to_string_lossy().into_owned()))
}

fn pick(asked: Option<String>) -> Result<Arch, NoSuchPath> {
    let Some(asked) = asked else { return Ok(Arch::new()) };
    let paths = paths();
    match paths.iter().find(|(name, _)| *name == asked) {
        Some((_, arch)) => Ok(*arch),
        None => Err(NoSuchPath { asked, known: paths.into_iter().map(|(name, _)| name).collect() }),
    }
}

/// The path of this process, [`chosen`] at the first call.
///
/// # Panics
/// When [`SIMD`] names none of [`paths`]: to run on another would be to measure something else. The command line refuses
/// such a name before it does anything.
#[must_use]
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| chosen().unwrap_or_else(|refused| panic!("{refused}")))
}

/// Calls `f` compiled for the path of this process.
///
/// `f` and what it calls must be marked for inlining to profit. Products and sums are never fused behind the
/// source's back, so floating-point loops give the same bits on every machine too.
#[inline(always)]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    arch().dispatch(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_this_machine_can_be_forced_and_no_other() {
        let name = |arch: Arch| format!("{arch:?}");
        for (path, arch) in paths() {
            assert_eq!(pick(Some(path.to_owned())).map(name), Ok(name(arch)));
        }
        assert_eq!(pick(None).map(name), Ok(name(paths()[0].1)));
        for asked in ["", "AVX2", "sse2", "neon512"] {
            let refused = pick(Some(asked.to_owned())).expect_err("no path").to_string();
            assert!(refused.contains(asked) && refused.ends_with("scalar"), "{refused}");
        }
    }
}
