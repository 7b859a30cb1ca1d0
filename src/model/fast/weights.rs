//! The source of a layer's weights: one packed model, or two merged while they are read.

use pulp::Simd;

use super::int8::Int8Layers;

/// The packed weights of a pass. Every slice is [`Packing::len`](super::Packing::len) long.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// The same model for every image.
    One(&'a [f32]),
    /// For image `i` the model `pt + lambda[i] * (ft - pt)`, merged a panel at a time and never as a whole. The same bits
    /// as [`One`](Self::One) on a buffer merged by [`lerp_into`](crate::merge::lerp::lerp_into).
    Lerp {
        /// The pretrained model.
        pt: &'a [f32],
        /// The fine-tuned model.
        ft: &'a [f32],
        /// One per image; 0 is `pt` and 1 is `ft` bit for bit, others extrapolate.
        lambda: &'a [f64],
    },
    /// The same model for every image, with the linear layers of its blocks in 8-bit integers.
    Int8 {
        /// The model.
        packed: &'a [f32],
        /// Made of it.
        layers: &'a Int8Layers,
    },
}

impl<'a> Weights<'a> {
    /// Panics unless the buffers have `len` values and there is a coefficient for each of `n_images`.
    pub(super) fn check(&self, len: usize, n_images: usize) {
        match self {
            Self::One(values) => assert_eq!(values.len(), len, "values of a packed tower"),
            Self::Lerp { pt, ft, lambda } => {
                assert_eq!((pt.len(), ft.len()), (len, len), "values of the packed towers");
                assert_eq!(lambda.len(), n_images, "a coefficient per image");
            }
            Self::Int8 { packed, layers } => {
                assert_eq!(packed.len(), len, "values of a packed tower");
                layers.check(len);
            }
        }
    }

    /// The blocks in integers, where there are some.
    pub(super) fn int8(&self) -> Option<&'a Int8Layers> {
        match *self {
            Self::Int8 { layers, .. } => Some(layers),
            Self::One(_) | Self::Lerp { .. } => None,
        }
    }

    /// Runs of neighbouring images with the same model, for `n_images` images from number `first` on.
    pub(super) fn runs(&self, first: usize, n_images: usize) -> Vec<Run<'a>> {
        match *self {
            Self::One(values) | Self::Int8 { packed: values, .. } => {
                vec![Run { n_images, model: Model::One(values) }]
            }
            Self::Lerp { pt, ft, lambda } => lambda[first..first + n_images]
                // Neighbours with one coefficient share a merge; with one for all this is a plain pass.
                .chunk_by(|a, b| (*a as f32).to_bits() == (*b as f32).to_bits())
                .map(|run| Run { n_images: run.len(), model: Model::at(pt, ft, run[0] as f32) })
                .collect(),
        }
    }
}

/// Neighbouring images with the same model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    /// How many.
    pub(super) n_images: usize,
    /// Their model.
    pub(super) model: Model<'a>,
}

/// A packed model, at hand or to be merged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Model<'a> {
    /// At hand.
    One(&'a [f32]),
    /// `pt + lambda * (ft - pt)`.
    Lerp { pt: &'a [f32], ft: &'a [f32], lambda: f32 },
}

impl<'a> Model<'a> {
    /// At the ends the parents themselves: `pt + (ft - pt)` need not round to `ft`.
    fn at(pt: &'a [f32], ft: &'a [f32], lambda: f32) -> Self {
        match lambda {
            0.0 => Self::One(pt),
            1.0 => Self::One(ft),
            lambda => Self::Lerp { pt, ft, lambda },
        }
    }

    /// Part `n` of `n_parts` of the `len` weights from `start` on, as far as there are any, of each buffer that is read.
    #[inline(always)]
    pub(super) fn ahead(&self, start: usize, len: usize, n: usize, n_parts: usize) -> [&'a [f32]; 2] {
        let part = |values: &'a [f32]| {
            let all = values.get(start..(start + len).min(values.len())).unwrap_or_default();
            &all[n * all.len() / n_parts..(n + 1) * all.len() / n_parts]
        };
        match *self {
            Self::One(values) => [part(values), &[]],
            Self::Lerp { pt, ft, .. } => [part(pt), part(ft)],
        }
    }

    /// `len` weights from `start` on: the model's own, or merged in `scratch`.
    #[inline(always)]
    pub(super) fn read<'s, S: Simd>(
        &self,
        simd: S,
        start: usize,
        len: usize,
        scratch: &'s mut [f32],
    ) -> &'s [f32]
    where
        'a: 's,
    {
        match *self {
            Self::One(values) => &values[start..start + len],
            Self::Lerp { pt, ft, lambda } => {
                let merged = &mut scratch[..len];
                lerp(simd, &pt[start..start + len], &ft[start..start + len], lambda, merged);
                merged
            }
        }
    }
}

/// `pt + lambda * (ft - pt)`, every operation rounded. All lengths are one multiple of the vector length.
#[inline(always)]
fn lerp<S: Simd>(simd: S, pt: &[f32], ft: &[f32], lambda: f32, out: &mut [f32]) {
    let lambda = simd.splat_f32s(lambda);
    let (pt, ft) = (S::as_simd_f32s(pt).0, S::as_simd_f32s(ft).0);
    for ((out, &pt), &ft) in S::as_mut_simd_f32s(out).0.iter_mut().zip(pt).zip(ft) {
        *out = simd.add_f32s(pt, simd.mul_f32s(lambda, simd.sub_f32s(ft, pt)));
    }
}
