//! The frame header: sizes, components, sampling.

use super::super::error::{Fault, Reason};

/// How components become RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorModel {
    Grey,
    YCbCr,
    Rgb,
}

/// A frame of one or three components.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) is_progressive: bool,
    /// 8, or 12 inside a container.
    pub(super) precision: u8,
    pub(super) components: Vec<Component>,
    /// `None` where neither markers nor components tell it.
    pub(super) color_model: Option<ColorModel>,
    /// Largest horizontal and vertical sampling factors.
    pub(super) max_sampling: (usize, usize),
}

/// One component of a frame.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factors, 1 to 4.
    pub(super) sampling: (usize, usize),
    pub(super) quant_idx: usize,
    /// The table in force at the component's first scan, in natural order.
    pub(super) quant: Option<[u16; 64]>,
    /// Samples that carry the image: its size scaled by the sampling, rounded up.
    pub(super) size: (usize, usize),
    /// Blocks that cover `size`, the extent of a scan of this component alone.
    pub(super) own_blocks: (usize, usize),
    /// Blocks of whole MCUs, the extent of buffers.
    pub(super) blocks: (usize, usize),
}

impl Component {
    /// Blocks in one interleaved MCU.
    pub(super) fn n_blocks(&self) -> usize {
        self.sampling.0 * self.sampling.1
    }
}

impl Frame {
    /// Reads an SOF0, SOF1 or SOF2 segment.
    pub(super) fn read(segment: &[u8], is_progressive: bool, is_contained: bool) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("frame header");
        let [precision, h0, h1, w0, w1, n_components, ref triples @ ..] = *segment else { return Err(bad()) };
        let unsupported = |detail| Err(Fault::new(Reason::UnsupportedColorType, detail));
        let is_extended = is_contained && precision == 12 && n_components == 1 && !is_progressive;
        if precision != 8 && !is_extended {
            let allowed = "allowed 8, or 12 in a grey sequential frame inside DICOM";
            return unsupported(format!("found {precision} bits a sample of {n_components}, {allowed}"));
        }
        if !matches!(n_components, 1 | 3) {
            return unsupported(format!("found {n_components} components, allowed 1 (grey) or 3"));
        }
        let (triples, []) = triples.as_chunks::<3>() else { return Err(bad()) };
        if triples.len() != usize::from(n_components) {
            return Err(bad());
        }
        let (width_px, height_px) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        if width_px == 0 || height_px == 0 {
            return Err(Fault::corrupt(format!("zero dimension: {width_px}x{height_px} px")));
        }
        let sampling = |byte: u8| (usize::from(byte >> 4), usize::from(byte & 15));
        let max = triples.iter().fold((1, 1), |max: (usize, usize), triple| {
            let (h, v) = sampling(triple[1]);
            (max.0.max(h), max.1.max(v))
        });
        let size = (usize::from(width_px), usize::from(height_px));
        let mut components: Vec<Component> = Vec::with_capacity(triples.len());
        for &[id, factors, quant_idx] in triples {
            let (h, v) = sampling(factors);
            if !(1..=4).contains(&h)
                || !(1..=4).contains(&v)
                || quant_idx > 3
                || components.iter().any(|c| c.id == id)
            {
                return Err(bad());
            }
            if max.0 % h != 0 || max.1 % v != 0 {
                let detail = format!("sampling {h}x{v} does not divide {}x{}", max.0, max.1);
                return Err(Fault::new(Reason::UnsupportedFormat, detail));
            }
            components.push(Component::new(id, (h, v), usize::from(quant_idx), size, max));
        }
        Ok(Self {
            width_px: width_px.into(),
            height_px: height_px.into(),
            is_progressive,
            precision,
            components,
            color_model: None,
            max_sampling: max,
        })
    }

    /// MCUs across and down in an interleaved scan.
    pub(super) fn n_mcus(&self) -> (usize, usize) {
        let (h, v) = self.max_sampling;
        ((self.width_px as usize).div_ceil(8 * h), (self.height_px as usize).div_ceil(8 * v))
    }
}

impl Component {
    fn new(
        id: u8,
        (h, v): (usize, usize),
        quant_idx: usize,
        image: (usize, usize),
        max: (usize, usize),
    ) -> Self {
        let size = ((image.0 * h).div_ceil(max.0), (image.1 * v).div_ceil(max.1));
        Self {
            id,
            sampling: (h, v),
            quant_idx,
            quant: None,
            size,
            own_blocks: (size.0.div_ceil(8), size.1.div_ceil(8)),
            blocks: (image.0.div_ceil(8 * max.0) * h, image.1.div_ceil(8 * max.1) * v),
        }
    }
}
