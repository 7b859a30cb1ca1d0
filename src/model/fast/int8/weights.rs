//! The weights of blocks as 8-bit integers, symmetric per output.

use super::super::aligned::Aligned;
use super::super::packing::{LANES, Layer, Linear, PANEL, Packing};
use super::{INT8_BLOCK, MOST_W, QUAD, ROUNDING};

/// The int8 form of the blocks of a packed tower, from one of them on. What is not in it is read from the tower.
#[derive(Debug)]
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
        assert_eq!(packed.len(), packing.len(), "values of a packed tower");
        let layers = packing.layers.iter().skip(first).map(|layer| Int8Layer::of(layer, packed)).collect();
        Self { first, layers, tower_len: packed.len() }
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
#[derive(Debug)]
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
}

/// A matrix in 8-bit integers, in blocks of [`INT8_BLOCK`] inputs, panels and strips as the `f32` one; [`QUAD`] neighbouring inputs of an
/// output lie side by side. A weight is its integer times its output's scale.
#[derive(Debug)]
pub(in super::super) struct Int8Linear {
    values: Aligned<i8>,
    scales: Vec<f32>,
    /// For every block and output, the sum of the integers.
    sums: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Int8Linear {
    /// Quantises a layer of a packed tower: an output's largest magnitude becomes [`MOST_W`], others are rounded to nearest.
    pub(super) fn of(linear: &Linear, packed: &[f32]) -> Self {
        let (inputs, outputs) = (linear.inputs, linear.outputs);
        let (values, scales) = (Aligned::zeros(linear.len()), vec![0.0; outputs]);
        let sums = vec![0.0; inputs.div_ceil(INT8_BLOCK) * outputs];
        let mut int8 = Self { values, scales, sums, inputs, outputs };
        for strip in 0..outputs / LANES {
            int8.put_strip(linear, packed, strip);
        }
        int8
    }

    fn put_strip(&mut self, linear: &Linear, packed: &[f32], strip: usize) {
        let mut largest = [0_u32; LANES];
        for input in 0..self.inputs {
            // As bits, so that what is not finite is the largest and breaks its output.
            for (largest, w) in largest.iter_mut().zip(linear.weights(packed, input, strip)) {
                *largest = w.abs().to_bits().max(*largest);
            }
        }
        let factors = largest.map(|bits| MOST_W / f32::from_bits(bits));
        let scales = self.scales[strip * LANES..][..LANES].iter_mut();
        for ((scale, factor), bits) in scales.zip(factors).zip(largest) {
            let largest = f32::from_bits(bits);
            // An output of zeros, or as good as zeros, has a factor without end.
            *scale = match (largest.is_finite(), factor.is_finite()) {
                (true, true) => largest / MOST_W,
                (true, false) => 0.0,
                (false, _) => f32::NAN,
            };
        }
        let factors = factors.map(|factor| if factor.is_finite() { factor } else { 0.0 });
        for input in 0..self.inputs {
            let (at, block) = (self.at(input, strip), input / INT8_BLOCK);
            let slots = self.values[at..].chunks_mut(QUAD);
            let sums = &mut self.sums[block * self.outputs + strip * LANES..][..LANES];
            let weights = linear.weights(packed, input, strip);
            for (((slot, sum), w), factor) in slots.zip(sums).zip(weights).zip(factors) {
                slot[0] = i8::from_le_bytes([(w * factor + ROUNDING).to_bits().to_le_bytes()[0]]);
                *sum += f32::from(slot[0]);
            }
        }
    }

    /// Where the weight of an input and a strip's first output lies; the next output's is [`QUAD`] values on.
    fn at(&self, input: usize, strip: usize) -> usize {
        let start = input / INT8_BLOCK * INT8_BLOCK;
        let row = input - start;
        self.strip(start, strip) + row / QUAD * QUAD * LANES + row % QUAD
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
