//! The weights of blocks as 8-bit integers, symmetric per output.

use std::convert::Infallible;
use std::ops::Deref;

use super::super::aligned::Aligned;
use super::super::packing::{LANES, Layer, Linear, PANEL, Packing};
use super::{INT8_BLOCK, MOST_W, QUAD, ROUNDING};

/// Values of a [`Chunk`].
const CHUNK: usize = QUAD * LANES;

/// The weights of a strip's outputs for [`QUAD`] neighbouring inputs, in the order in which they lie in memory: output by output.
type Chunk<T> = [T; CHUNK];

/// The int8 form of the blocks of a packed tower, from one of them on. What is not in it is read from the tower.
#[derive(Debug, Clone)]
pub struct Int8Layers {
    /// Blocks before the first.
    first: usize,
    layers: Vec<Int8Layer>,
    /// Values of the tower it was made of.
    tower_len: usize,
}

impl Int8Layers {
    /// Quantises the blocks from number `first` on of a packed tower: a quarter of their bytes.
    ///
    /// # Panics
    /// When the tower is another architecture's.
    #[must_use]
    pub fn of(packing: &Packing, packed: &[f32], first: usize) -> Self {
        let Ok(layers) = Self::by_block(packing, first, |_| Ok::<_, Infallible>(packed));
        layers
    }

    /// The same of a tower that is given for each block anew, with the matrices of that one.
    ///
    /// # Errors
    /// When a block cannot be had.
    ///
    /// # Panics
    /// When a tower is another architecture's.
    pub fn by_block<T: Deref<Target = [f32]>, E>(
        packing: &Packing,
        first: usize,
        mut tower: impl FnMut(usize) -> Result<T, E>,
    ) -> Result<Self, E> {
        let mut layers = Vec::new();
        for (index, layer) in packing.layers.iter().enumerate().skip(first) {
            let packed = tower(index)?;
            assert_eq!(packed.len(), packing.len(), "values of a packed tower");
            layers.push(Int8Layer::of(layer, &packed));
        }
        Ok(Self { first, layers, tower_len: packing.len() })
    }

    /// Every block with those of two others, to be [merged](Int8Layer::merge) from them.
    ///
    /// # Panics
    /// When one of them is another architecture's or begins at another block.
    pub(in super::super) fn beside<'a>(
        &'a mut self,
        pretrained: &'a Self,
        expert: &'a Self,
    ) -> Vec<(&'a mut Int8Layer, [&'a Int8Layer; 2])> {
        for parent in [pretrained, expert] {
            assert_eq!((self.first, self.tower_len), (parent.first, parent.tower_len), "towers of one kind");
        }
        let parents = pretrained.layers.iter().zip(&expert.layers);
        self.layers.iter_mut().zip(parents.map(|(pt, ft)| [pt, ft])).collect()
    }

    /// A block by its number in the tower, where it was quantised.
    pub(in super::super) fn layer(&self, index: usize) -> Option<&Int8Layer> {
        self.layers.get(index.checked_sub(self.first)?)
    }

    /// Panics unless the tower it was made of had `len` values.
    pub(in super::super) fn check(&self, len: usize) {
        assert_eq!(self.tower_len, len, "values of the quantised tower");
    }
}

/// The linear layers of a block.
#[derive(Debug, Clone)]
pub(in super::super) struct Int8Layer {
    pub(in super::super) qkv: Int8Linear,
    pub(in super::super) out: Int8Linear,
    pub(in super::super) rise: Int8Linear,
    pub(in super::super) fall: Int8Linear,
}

impl Int8Layer {
    fn of(layer: &Layer, packed: &[f32]) -> Self {
        let of = |linear| Int8Linear::of(linear, packed);
        Self { qkv: of(&layer.qkv), out: of(&layer.out), rise: of(&layer.rise), fall: of(&layer.fall) }
    }

    /// Becomes `pt + lambda * (ft - pt)` of what the integers of two blocks stand for, quantised again.
    #[inline(always)]
    pub(in super::super) fn merge(&mut self, pretrained: &Self, expert: &Self, lambda: f32) {
        self.qkv.merge(&pretrained.qkv, &expert.qkv, lambda);
        self.out.merge(&pretrained.out, &expert.out, lambda);
        self.rise.merge(&pretrained.rise, &expert.rise, lambda);
        self.fall.merge(&pretrained.fall, &expert.fall, lambda);
    }
}

/// A matrix in 8-bit integers, in blocks of [`INT8_BLOCK`] inputs, panels and strips as the `f32` one; [`QUAD`] neighbouring inputs of an
/// output lie side by side. A weight is its integer times its output's scale.
#[derive(Debug, Clone)]
pub(in super::super) struct Int8Linear {
    values: Aligned<i8>,
    scales: Vec<f32>,
    /// For every block and output, the sum of the integers.
    sums: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Int8Linear {
    /// Quantises a layer of a packed tower.
    pub(in super::super) fn of(linear: &Linear, packed: &[f32]) -> Self {
        let (inputs, outputs) = (linear.inputs, linear.outputs);
        let (values, scales) = (Aligned::zeros(linear.len()), vec![0.0; outputs]);
        let sums = vec![0.0; inputs.div_ceil(INT8_BLOCK) * outputs];
        let mut int8 = Self { values, scales, sums, inputs, outputs };
        let mut chunks = int8.chunks();
        for strip in 0..outputs / LANES {
            for input in 0..inputs {
                let slots = chunks[input / QUAD].iter_mut().skip(input % QUAD).step_by(QUAD);
                slots.zip(linear.weights(packed, input, strip)).for_each(|(slot, w)| *slot = *w);
            }
            int8.put_strip(strip, &chunks);
        }
        int8
    }

    /// Becomes `pt + lambda * (ft - pt)` of what two matrices of its shape stand for, quantised again. Every operation is rounded to
    /// `f32`, so that all instruction sets give the same integers.
    #[inline(always)]
    pub(super) fn merge(&mut self, pretrained: &Self, expert: &Self, lambda: f32) {
        let mut chunks = self.chunks();
        for strip in 0..self.outputs / LANES {
            let [pt_scales, ft_scales] = [pretrained, expert].map(|of| each(&of.scales[strip * LANES..]));
            for (quad, chunk) in chunks.iter_mut().enumerate() {
                let at = self.at(quad * QUAD, strip);
                let (pt, ft) = (&pretrained.values[at..][..CHUNK], &expert.values[at..][..CHUNK]);
                let values = pt.iter().zip(ft).zip(pt_scales.iter().zip(&ft_scales));
                for (slot, ((&pt, &ft), (pt_scale, ft_scale))) in chunk.iter_mut().zip(values) {
                    let (pt, ft) = (f32::from(pt) * pt_scale, f32::from(ft) * ft_scale);
                    *slot = pt + lambda * (ft - pt);
                }
            }
            self.put_strip(strip, &chunks);
        }
    }

    /// Room for a strip's weights.
    fn chunks(&self) -> Vec<Chunk<f32>> {
        vec![[0.0; CHUNK]; self.inputs / QUAD]
    }

    /// Quantises the weights of a strip: an output's largest magnitude becomes [`MOST_W`], others are rounded to nearest.
    #[inline(always)]
    fn put_strip(&mut self, strip: usize, chunks: &[Chunk<f32>]) {
        let mut magnitudes = [0_u32; CHUNK];
        for chunk in chunks {
            // As bits, so that what is not finite is the largest and breaks its output.
            for (largest, w) in magnitudes.iter_mut().zip(chunk) {
                *largest = w.abs().to_bits().max(*largest);
            }
        }
        let mut factors = [0.0; LANES];
        let scales = self.scales[strip * LANES..][..LANES].iter_mut();
        let magnitudes = magnitudes.as_chunks::<QUAD>().0;
        for ((scale, slot), magnitudes) in scales.zip(&mut factors).zip(magnitudes) {
            let largest = f32::from_bits(magnitudes.iter().fold(0, |most, bits| *bits.max(&most)));
            let factor = MOST_W / largest;
            // An output of zeros, or as good as zeros, has a factor without end.
            (*scale, *slot) = match (largest.is_finite(), factor.is_finite()) {
                (true, true) => (largest / MOST_W, factor),
                (true, false) => (0.0, 0.0),
                (false, _) => (f32::NAN, 0.0),
            };
        }
        let factors = each(&factors);
        for (block, chunks) in chunks.chunks(INT8_BLOCK / QUAD).enumerate() {
            let at = self.at(block * INT8_BLOCK, strip);
            let mut sums = [0_i32; CHUNK];
            for (slots, chunk) in self.values[at..].as_chunks_mut::<CHUNK>().0.iter_mut().zip(chunks) {
                let weights = chunk.iter().zip(&factors);
                for ((slot, sum), (w, factor)) in slots.iter_mut().zip(&mut sums).zip(weights) {
                    *slot = i8::from_le_bytes([(w * factor + ROUNDING).to_bits().to_le_bytes()[0]]);
                    *sum += i32::from(*slot);
                }
            }
            let slots = &mut self.sums[block * self.outputs + strip * LANES..][..LANES];
            for (slot, sums) in slots.iter_mut().zip(sums.as_chunks::<QUAD>().0) {
                *slot = sums.iter().sum::<i32>() as f32;
            }
        }
    }

    /// Where a strip's chunk of the inputs from `input` on lies.
    fn at(&self, input: usize, strip: usize) -> usize {
        let start = input / INT8_BLOCK * INT8_BLOCK;
        self.strip(start, strip) + (input - start) * LANES
    }

    /// Start of a strip within the block that starts at input `start`.
    fn strip(&self, start: usize, strip: usize) -> usize {
        start * self.outputs + strip * LANES * self.depth(start)
    }

    /// Padded, as the layer's.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Inputs of the block that starts at input `start`.
    pub(super) fn depth(&self, start: usize) -> usize {
        INT8_BLOCK.min(self.inputs - start)
    }

    /// A panel of the block that starts at input `start`.
    pub(super) fn panel(&self, start: usize, panel: usize) -> &[i8] {
        &self.values[self.strip(start, panel * PANEL / LANES)..][..PANEL * self.depth(start)]
    }

    /// The scales of a panel's outputs.
    pub(super) fn scales(&self, panel: usize) -> &[f32] {
        &self.scales[panel * PANEL..][..PANEL]
    }

    /// The sums of a panel's weights, output by output, over the block that starts at input `start`.
    pub(super) fn sums(&self, start: usize, panel: usize) -> &[f32] {
        &self.sums[start / INT8_BLOCK * self.outputs + panel * PANEL..][..PANEL]
    }
}

/// A value for each output of a strip, as often as there are inputs of it in a chunk.
#[inline(always)]
fn each(of_outputs: &[f32]) -> Chunk<f32> {
    std::array::from_fn(|place| of_outputs[place / QUAD])
}
