//! Which device the lane owns.

use candle_core::Device;

use crate::error::{Exit, Problem};

/// Which device the lane owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// CUDA where it was compiled in and a device answers, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

/// The device of that kind; `Auto` falls back to the CPU.
///
/// # Errors
/// `D001` when CUDA was asked for and there is none.
pub fn pick(kind: DeviceKind) -> Result<Device, Problem> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
        DeviceKind::Cuda => Device::new_cuda(0).map_err(|_| {
            let hint = "build with --features cuda on a machine with a GPU, or set device.kind = \"auto\"";
            Problem::new("D001", Exit::Config, "device.kind: cuda is not available").hint(hint)
        }),
    }
}

/// Numerics class written to receipts: rows are promised equal within one class.
#[must_use]
pub fn numerics_class(device: &Device) -> &'static str {
    if device.is_cpu() { "cpu-f32" } else { "cuda-f32" }
}
