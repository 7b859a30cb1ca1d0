//! The affine operations on the CPU: weights merged a few rows at a time, each block used while it is in the cache.

use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::cpu::erf::{erf_f32, erf_f64};
use candle_core::{CpuStorage, Device, InplaceOp3, Layout, Result, Storage, Tensor, WithDType, bail};
use rayon::prelude::*;

use super::ops::{Affine, Blend, Norm, QUICK_GELU_SLOPE, Samples};
use crate::model::config::{Activation, LAYER_NORM_EPS};

/// Most values of a block of merged weights, one megabyte in `f32`; from 2^16 to 2^20 it matters little (measured).
const BLOCK_VALUES: usize = 1 << 18;
/// Blocks come in such numbers, so that a few threads get equal shares. Not in numbers of threads: the shape of a block
/// may decide the last bits of a product, and the number of threads must not.
const BLOCKS_STEP: usize = 4;
/// Rows of a block are a multiple of this, so that matrix kernels have no remainder.
const ROWS_STEP: usize = 16;

/// `[in, B, tokens]` to `[out, B, tokens]`, block by block of outputs.
pub(super) fn affine<T: Real>(layer: &Affine, x: &Tensor, samples: &Samples) -> Result<Tensor> {
    let (inputs, _, tokens) = x.dims3()?;
    let (outputs, n_columns) = (layer.weight.pt.dim(0)?, samples.len() * tokens);
    let columns = x.reshape((inputs, n_columns))?;
    let bias = layer.bias.as_ref().map(|bias| merged::<T>(bias, samples)).transpose()?;
    let n_blocks = (outputs * inputs).div_ceil(BLOCK_VALUES).next_multiple_of(BLOCKS_STEP);
    let n_rows = outputs.div_ceil(n_blocks).next_multiple_of(ROWS_STEP);
    let mut y = vec![T::zero(); outputs * n_columns];
    y.par_chunks_mut(n_rows * n_columns).enumerate().try_for_each(|(block, y)| {
        let rows = block * n_rows..block * n_rows + y.len() / n_columns;
        let weight = layer.weight.map(|weight| weight.narrow(0, rows.start, rows.len()))?;
        products(&weight, &columns, samples, y)?;
        for (cell, y) in y.chunks_exact_mut(tokens).enumerate() {
            let bias = bias.as_ref().map_or(T::zero(), |bias| bias[rows.start * samples.len() + cell]);
            match layer.activation {
                Some(activation) => y.iter_mut().for_each(|y| *y = (*y + bias).activated(activation)),
                None => y.iter_mut().for_each(|y| *y += bias),
            }
        }
        Ok::<_, candle_core::Error>(())
    })?;
    Tensor::from_vec(y, (outputs, samples.len(), tokens), x.device())
}

/// A block of rows times every sample's columns, each at its own merge, into `y`.
fn products<T: Real>(weight: &Blend, columns: &Tensor, samples: &Samples, y: &mut [T]) -> Result<()> {
    let n_columns = columns.dim(1)?;
    let tokens = n_columns / samples.len();
    let Some(ft) = &weight.ft else {
        y.copy_from_slice(&weight.pt.matmul(columns)?.flatten_all()?.to_vec1()?);
        return Ok(());
    };
    let merged = weight.pt.zeros_like()?;
    let mut start = 0;
    // Neighbours with one coefficient share a merge; with one for all this is a plain pass.
    for run in samples.lambda.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
        merged.inplace_op3(&weight.pt, ft, &Lerp(run[0]))?;
        let width = run.len() * tokens;
        let product = merged.matmul(&columns.narrow(1, start, width)?)?.flatten_all()?.to_vec1::<T>()?;
        for (row, product) in y.chunks_exact_mut(n_columns).zip(product.chunks_exact(width)) {
            row[start..start + width].copy_from_slice(product);
        }
        start += width;
    }
    Ok(())
}

/// The merges of a vector, sample fastest.
fn merged<T: Real>(vector: &Blend, samples: &Samples) -> Result<Vec<T>> {
    vector.vector(samples)?.flatten_all()?.to_vec1()
}

/// Layer norm of `[channels, B, tokens]` over the channels.
pub(super) fn norm<T: Real>(norm: &Norm, x: &Tensor, samples: &Samples) -> Result<Tensor> {
    let (channels, n_samples, tokens) = x.dims3()?;
    let (gain, bias) = (merged::<T>(&norm.gain, samples)?, merged::<T>(&norm.bias, samples)?);
    let (storage, layout) = x.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        bail!("a layer norm in blocks reads contiguous values on the CPU")
    };
    let x = &T::cpu_storage_as_slice(storage)?[start..end];
    let n_columns = n_samples * tokens;
    let starts = (0..n_columns).into_par_iter().step_by(tokens);
    let moments: Vec<Vec<(T, T)>> = starts.map(|start| moments(x, n_columns, start, tokens)).collect();
    let mut y = vec![T::zero(); x.len()];
    let rows = y.par_chunks_exact_mut(n_columns).zip(x.par_chunks_exact(n_columns));
    let affine = gain.par_chunks_exact(n_samples).zip(bias.par_chunks_exact(n_samples));
    rows.zip(affine).for_each(|((y, x), (gain, bias))| {
        for (sample, (y, x)) in y.chunks_exact_mut(tokens).zip(x.chunks_exact(tokens)).enumerate() {
            for ((y, &x), &(mean, scale)) in y.iter_mut().zip(x).zip(&moments[sample]) {
                *y = (x - mean) * scale * gain[sample] + bias[sample];
            }
        }
    });
    Tensor::from_vec(y, (channels, n_samples, tokens), &Device::Cpu)
}

/// Mean and inverse deviation of each column of a sample.
fn moments<T: Real>(x: &[T], n_columns: usize, start: usize, tokens: usize) -> Vec<(T, T)> {
    let rows = || x.chunks_exact(n_columns).map(|row| &row[start..start + tokens]);
    let channels = T::from_f64((x.len() / n_columns) as f64);
    let mut mean = vec![T::zero(); tokens];
    rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x));
    mean.iter_mut().for_each(|sum| *sum /= channels);
    let mut square = vec![T::zero(); tokens];
    for row in rows() {
        square.iter_mut().zip(row).zip(&mean).for_each(|((sum, &x), &mean)| *sum += (x - mean) * (x - mean));
    }
    let scale = |square: T| T::one() / (square / channels + T::from_f64(LAYER_NORM_EPS)).root();
    mean.into_iter().zip(square).map(|(mean, square)| (mean, scale(square))).collect()
}

/// The data types that blocks serve.
pub(super) trait Real: WithDType {
    /// Square root.
    fn root(self) -> Self;
    /// The nonlinearity of a block.
    fn activated(self, activation: Activation) -> Self;
}

impl Real for f32 {
    fn root(self) -> Self {
        self.sqrt()
    }

    fn activated(self, activation: Activation) -> Self {
        match activation {
            Activation::QuickGelu => self / (1.0 + (-QUICK_GELU_SLOPE as f32 * self).exp()),
            Activation::Gelu => 0.5 * self * (1.0 + erf_f32(self * FRAC_1_SQRT_2 as f32)),
        }
    }
}

impl Real for f64 {
    fn root(self) -> Self {
        self.sqrt()
    }

    fn activated(self, activation: Activation) -> Self {
        match activation {
            Activation::QuickGelu => self / (1.0 + (-QUICK_GELU_SLOPE * self).exp()),
            Activation::Gelu => 0.5 * self * (1.0 + erf_f64(self * FRAC_1_SQRT_2)),
        }
    }
}

/// Overwrites by `pt + lambda (ft - pt)`, the same bits as [`lerp_into`](crate::merge::lerp::lerp_into).
struct Lerp(f64);

impl Lerp {
    fn run<T: Real>(&self, out: &mut [T], pt: &[T], ft: &[T]) {
        let lambda = T::from_f64(self.0);
        if lambda == T::one() {
            out.copy_from_slice(ft);
            return;
        }
        // Wider vectors, same bits: every value is rounded on its own.
        pulp::Arch::new().dispatch(|| {
            for ((out, &pt), &ft) in out.iter_mut().zip(pt).zip(ft) {
                *out = pt + lambda * (ft - pt);
            }
        });
    }
}

impl InplaceOp3 for Lerp {
    fn name(&self) -> &'static str {
        "merge of a block"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        out_layout: &Layout,
        pt: &CpuStorage,
        pt_layout: &Layout,
        ft: &CpuStorage,
        ft_layout: &Layout,
    ) -> Result<()> {
        let ranges = [out_layout, pt_layout, ft_layout].map(Layout::contiguous_offsets);
        let [Some((o, o_end)), Some((p, p_end)), Some((f, f_end))] = ranges else {
            bail!("blocks of weights are contiguous")
        };
        match (out, pt, ft) {
            (CpuStorage::F32(out), CpuStorage::F32(pt), CpuStorage::F32(ft)) => {
                self.run(&mut out[o..o_end], &pt[p..p_end], &ft[f..f_end]);
            }
            (CpuStorage::F64(out), CpuStorage::F64(pt), CpuStorage::F64(ft)) => {
                self.run(&mut out[o..o_end], &pt[p..p_end], &ft[f..f_end]);
            }
            _ => bail!("the parents have one data type, f32 or f64"),
        }
        Ok(())
    }
}
