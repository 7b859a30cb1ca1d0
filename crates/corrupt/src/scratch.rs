//! Buffers reused between images.

use super::{blur, bubble, elastic, fog, jpeg, pixelate, shot, snow};

/// Working memory of [`apply`](super::apply), grown on first use and kept.
///
/// Holds nothing that changes a result: a fresh `Scratch` and a used one give the same bytes. One per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) pixelate: pixelate::Buffers,
    pub(super) jpeg: jpeg::Buffers,
    pub(super) shot: shot::Tables,
    pub(super) gaussian: blur::gaussian::Buffers,
    pub(super) smooth: blur::smooth::Buffers,
    pub(super) fog: fog::Buffers,
    pub(super) snow: snow::Buffers,
    pub(super) elastic: elastic::Buffers,
    pub(super) defocus: blur::defocus::Buffers,
    pub(super) motion: blur::motion::Buffers,
    pub(super) zoom: blur::zoom::Buffers,
    pub(super) bubble: bubble::Buffers,
    pub(super) plane: Vec<u8>,
    pub(super) noisy_plane: Vec<u8>,
}
