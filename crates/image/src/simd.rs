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
    pick(std::env::var_os(SIMD).map(|asked| asked.to_string_lossy().into_owned()), &paths())
}

/// The path of this name, or the first without one, of those that a machine has. The paths are of any type, so that every machine can be
/// thought of on every other.
fn pick<P: Copy>(asked: Option<String>, paths: &[(&'static str, P)]) -> Result<P, NoSuchPath> {
    let found = paths.iter().find(|(name, _)| asked.as_ref().is_none_or(|asked| asked == name));
    found.map(|(_, path)| *path).ok_or_else(|| NoSuchPath {
        asked: asked.unwrap_or_default(),
        known: paths.iter().map(|(name, _)| *name).collect(),
    })
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
    fn this_machine_takes_its_widest_path_and_each_that_it_has() {
        let name = |arch: Arch| format!("{arch:?}");
        let paths = paths();
        assert_eq!(pick(None, &paths).map(name), Ok(name(Arch::new())), "the widest that there is");
        assert_eq!(paths.last().map(|(name, _)| *name), Some("scalar"));
        for (path, arch) in &paths {
            assert_eq!(pick(Some((*path).to_owned()), &paths).map(name), Ok(name(*arch)));
        }
    }

    #[test]
    fn a_path_that_a_machine_lacks_is_refused_on_every_kind_of_machine() {
        let machines: [&[&str]; 4] =
            [&["avx512", "avx2", "scalar"], &["avx2", "scalar"], &["neon", "scalar"], &["scalar"]];
        for machine in machines {
            let paths: Vec<(&'static str, &str)> = machine.iter().map(|name| (*name, *name)).collect();
            assert_eq!(pick(None, &paths), Ok(machine[0]));
            for asked in ["avx512", "avx2", "neon", "scalar", "", "AVX2", "sse2", "avx", "avx2 "] {
                let answer = pick(Some(asked.to_owned()), &paths);
                if machine.contains(&asked) {
                    assert_eq!(answer, Ok(asked), "{machine:?}");
                } else {
                    let refused = answer.expect_err("no path of this machine").to_string();
                    let wanted =
                        format!("$T3B_SIMD is {asked:?}, on this machine one of: {}", machine.join(", "));
                    assert_eq!(refused, wanted);
                }
            }
        }
    }
}
