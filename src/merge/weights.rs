//! The two parents' tensors on the host, and buffers that hold a merge of them.
//!
//! A merge touches only the tensors that differ: where the parents are equal bit for bit, every linear merge
//! is the parent, so those are shared handles. A model built on a buffer's tensors sees each new merge.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Tensor, bail};

use super::lerp::lerp_into;
use crate::model::fast::Packing;
use crate::model::layout::{self, Part, is_vision};
use crate::model::packed::{PACKED, of_aligned, on_a_line, pack, pack_outside, values, with_values};
use crate::model::spill::SpilledBlocks;
use crate::model::{Checkpoint, ModelError};

/// Tensors of one model, by Hugging Face name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Both parents and the names in which they differ.
#[derive(Debug, Clone)]
pub struct Parents {
    /// Tensors of the pretrained model.
    pub pretrained: Tensors,
    /// Tensors of the expert; those equal to the pretrained model's are the same handles.
    pub expert: Tensors,
    differing: Vec<String>,
    text_differs: bool,
    /// The matrices of the image towers' blocks, where they are in files and not among the tensors.
    spilled: Option<[Arc<SpilledBlocks>; 2]>,
}

impl Parents {
    /// Handles of both checkpoints' tensors; `parts` says which parts of the model are merged.
    #[must_use]
    pub fn new(pretrained: &Checkpoint, expert: &Checkpoint, differing: &[String], parts: &[Part]) -> Self {
        let in_parts =
            layout::tensors(pretrained.config()).into_iter().filter(|spec| parts.contains(&spec.part));
        let merged: Vec<String> =
            in_parts.map(|spec| spec.name).filter(|name| differing.contains(name)).collect();
        let text_differs = parts.contains(&Part::Text);
        let (mut pt, mut ft) = (Tensors::new(), Tensors::new());
        for (name, tensor) in pretrained.tensors() {
            let theirs = if differing.contains(name) { &expert.tensors()[name] } else { tensor };
            pt.insert(name.clone(), tensor.clone());
            ft.insert(name.clone(), theirs.clone());
        }
        let spilled = pretrained.spilled().zip(expert.spilled()).map(|(pt, ft)| [pt, ft].map(Arc::clone));
        Self { pretrained: pt, expert: ft, differing: merged, text_differs, spilled }
    }

    /// The same parents, of whose image towers a merge here changes nothing: whoever computes those merges them.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub fn with_fixed_images(&self) -> Self {
        let mut parents = self.clone();
        parents.differing.retain(|name| !is_vision(name));
        parents
    }

    /// Whether a merge changes the image tower.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub fn image_differs(&self) -> bool {
        self.differing.iter().any(|name| is_vision(name))
    }

    /// The same parents with their image towers packed, each one tensor by the name [`PACKED`]; a merge of two packed towers
    /// is the packed tower of the merge. Text towers stay where they are merged too. Tensors by name that nobody else has a handle of are
    /// freed on the way, a parent's before the other's are packed.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub fn packed(self, packing: &Packing) -> Result<Self, ModelError> {
        let Self { mut pretrained, mut expert, differing: named, text_differs, spilled } = self;
        for tensors in [&mut pretrained, &mut expert] {
            tensors.retain(|name, _| text_differs || is_vision(name));
        }
        let is_spilled = spilled.is_some();
        let of = |mut tensors: Tensors| {
            let packed = if is_spilled { pack_outside(packing, &tensors)? } else { pack(packing, &tensors)? };
            tensors.retain(|name, _| !is_vision(name));
            tensors.insert(PACKED.to_owned(), packed);
            Ok::<_, ModelError>(tensors)
        };
        let mut differing: Vec<String> = named.iter().filter(|name| !is_vision(name)).cloned().collect();
        let pretrained = of(pretrained)?;
        if differing.len() == named.len() {
            expert.retain(|name, _| !is_vision(name));
            expert.insert(PACKED.to_owned(), pretrained[PACKED].clone());
        } else {
            expert = of(expert)?;
            differing.push(PACKED.to_owned());
        }
        Ok(Self { pretrained, expert, differing, text_differs, spilled })
    }

    /// The blocks that are in files, the pretrained model's first.
    #[must_use]
    pub fn spilled(&self) -> Option<&[Arc<SpilledBlocks>; 2]> {
        self.spilled.as_ref()
    }

    /// Names a merge changes.
    #[must_use]
    pub fn differing(&self) -> &[String] {
        &self.differing
    }

    /// Whether a merge has a text tower of its own.
    #[must_use]
    pub fn text_differs(&self) -> bool {
        self.text_differs
    }

    /// Lends `look` both parents' values of every tensor, of those that are equal too, without a copy.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub fn with_values<R>(&self, look: impl FnOnce(Pairs<'_>) -> R) -> Result<R, ModelError> {
        let held: Vec<_> = self.pretrained.values().map(Tensor::storage_and_layout).collect();
        let held_ft: Vec<_> = self.expert.values().map(Tensor::storage_and_layout).collect();
        let mut pairs = Vec::with_capacity(held.len());
        for ((pt, pt_layout), (ft, ft_layout)) in held.iter().zip(&held_ft) {
            pairs.push((values(pt, pt_layout)?, values(ft, ft_layout)?));
        }
        Ok(look(pairs.iter().copied()))
    }

    /// A full set of tensors whose differing ones have storage of their own, holding the pretrained model.
    ///
    /// # Errors
    /// When a tensor is not contiguous `f32` on the host.
    pub fn buffer(&self) -> Result<Tensors, ModelError> {
        let mut tensors = self.pretrained.clone();
        for name in &self.differing {
            let tensor = &self.pretrained[name];
            let copy = match &self.spilled {
                Some([blocks, _]) if name == PACKED => {
                    with_values(tensor, |packed| of_aligned(blocks.outside(packed)))?
                }
                _ => with_values(tensor, on_a_line)?,
            };
            tensors.insert(name.clone(), copy?.reshape(tensor.shape())?);
        }
        Ok(tensors)
    }

    /// Overwrites `buffer` by `theta_pt + lambda (theta_ft - theta_pt)`, reading each parent once.
    ///
    /// 0 gives the pretrained model and 1 the expert, bit for bit.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn lerp(&self, lambda: f64, buffer: &Tensors) -> Result<(), ModelError> {
        self.merge(buffer, &|_, pt, ft, out| lerp_into(pt, ft, lambda, out))
    }

    /// Overwrites `buffer` tensor by tensor with `rule(name, pretrained, expert, out)`.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the host.
    pub fn merge(&self, buffer: &Tensors, rule: &MergeRule<'_>) -> Result<(), ModelError> {
        for name in &self.differing {
            buffer[name].inplace_op3(&self.pretrained[name], &self.expert[name], &Merge { name, rule })?;
        }
        Ok(())
    }
}

/// Both parents' values, tensor by tensor; can be walked again.
pub type Pairs<'a> = std::iter::Copied<std::slice::Iter<'a, (&'a [f32], &'a [f32])>>;

/// From a tensor's name and both parents' values to the merged values.
pub type MergeRule<'a> = dyn Fn(&str, &[f32], &[f32], &mut [f32]) + 'a;

struct Merge<'a> {
    name: &'a str,
    rule: &'a MergeRule<'a>,
}

impl InplaceOp3 for Merge<'_> {
    fn name(&self) -> &'static str {
        "merge"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        out_layout: &Layout,
        pt: &CpuStorage,
        pt_layout: &Layout,
        ft: &CpuStorage,
        ft_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(out), CpuStorage::F32(pt), CpuStorage::F32(ft)) = (out, pt, ft) else {
            bail!("merge: tensors must be {:?}", DType::F32)
        };
        let ranges = [out_layout, pt_layout, ft_layout].map(Layout::contiguous_offsets);
        let [Some((o, o_end)), Some((p, p_end)), Some((f, f_end))] = ranges else {
            bail!("merge: tensors must be contiguous")
        };
        (self.rule)(self.name, &pt[p..p_end], &ft[f..f_end], &mut out[o..o_end]);
        Ok(())
    }
}
