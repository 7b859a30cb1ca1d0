//! The two parents' tensors on one device, and buffers that hold a merge of them.
//!
//! A merge touches only the tensors that differ: where the parents are equal bit for bit, every linear merge
//! is the parent, so those are shared handles. A model built on a buffer's tensors sees each new merge.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Tensor, bail};

use super::lerp::lerp_into;
use crate::model::layout::{self, Part};
use crate::model::{Checkpoint, ModelError};

/// Tensors of one model, by Hugging Face name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Both parents on one device and the names in which they differ.
#[derive(Debug, Clone)]
pub struct Parents {
    /// Tensors of the generalist.
    pub pretrained: Tensors,
    /// Tensors of the expert; those equal to the generalist's are the same handles.
    pub expert: Tensors,
    differing: Vec<String>,
    device: Device,
}

impl Parents {
    /// Moves both checkpoints to `device`; `parts` says which parts of the model are merged.
    ///
    /// # Errors
    /// When the device refuses the memory.
    pub fn new(
        pretrained: &Checkpoint,
        expert: &Checkpoint,
        differing: &[String],
        parts: &[Part],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let in_parts = layout::tensors(pretrained.config()).into_iter().filter(|spec| parts.contains(&spec.part));
        let merged: Vec<String> = in_parts.map(|spec| spec.name).filter(|name| differing.contains(name)).collect();
        let (mut pt, mut ft) = (Tensors::new(), Tensors::new());
        for (name, tensor) in pretrained.tensors() {
            let ours = tensor.to_device(device)?;
            let theirs = if differing.contains(name) {
                expert.tensors()[name].to_device(device)?
            } else {
                ours.clone()
            };
            pt.insert(name.clone(), ours);
            ft.insert(name.clone(), theirs);
        }
        Ok(Self { pretrained: pt, expert: ft, differing: merged, device: device.clone() })
    }

    /// Names a merge changes.
    #[must_use]
    pub fn differing(&self) -> &[String] {
        &self.differing
    }

    /// A full set of tensors whose differing ones have storage of their own, holding the generalist.
    ///
    /// # Errors
    /// When the device refuses the memory.
    pub fn buffer(&self) -> Result<Tensors, ModelError> {
        let mut tensors = self.pretrained.clone();
        for name in &self.differing {
            tensors.insert(name.clone(), self.pretrained[name].copy()?);
        }
        Ok(tensors)
    }

    /// Overwrites `buffer` by `theta_pt + lambda (theta_ft - theta_pt)`, reading each parent once.
    ///
    /// 0 gives the generalist and 1 the expert, bit for bit.
    ///
    /// # Errors
    /// When the device fails.
    pub fn lerp(&self, lambda: f64, buffer: &Tensors) -> Result<(), ModelError> {
        if self.device.is_cpu() {
            return self.merge(buffer, &|_, pt, ft, out| lerp_into(pt, ft, lambda, out));
        }
        for name in &self.differing {
            let (pt, ft) = (&self.pretrained[name], &self.expert[name]);
            let merged = (pt + ((ft - pt)? * lambda)?)?;
            buffer[name].slice_set(&merged, 0, 0)?;
        }
        Ok(())
    }

    /// Overwrites `buffer` tensor by tensor with `rule(name, generalist, expert, out)`, on the CPU.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub fn merge(&self, buffer: &Tensors, rule: &MergeRule<'_>) -> Result<(), ModelError> {
        for name in &self.differing {
            let op = Merge { name, rule };
            buffer[name].inplace_op3(&self.pretrained[name], &self.expert[name], &op)?;
        }
        Ok(())
    }
}

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
