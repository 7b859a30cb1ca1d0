//! The two parents' tensors on one device, and buffers that hold a merge of them.
//!
//! A merge touches only the tensors that differ: where the parents are equal bit for bit, every linear merge
//! is the parent, so those are shared handles. A model built on a buffer's tensors sees each new merge.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Tensor, bail};

use super::lerp::lerp_into;
use crate::model::fast::Packing;
use crate::model::layout::{self, Part, is_vision};
use crate::model::packed::{PACKED, on_a_line, pack, values, with_values};
use crate::model::{Checkpoint, ModelError};

/// Tensors of one model, by Hugging Face name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Both parents on one device and the names in which they differ.
#[derive(Debug, Clone)]
pub struct Parents {
    /// Tensors of the pretrained model.
    pub pretrained: Tensors,
    /// Tensors of the expert; those equal to the pretrained model's are the same handles.
    pub expert: Tensors,
    differing: Vec<String>,
    text_differs: bool,
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
        let in_parts =
            layout::tensors(pretrained.config()).into_iter().filter(|spec| parts.contains(&spec.part));
        let merged: Vec<String> =
            in_parts.map(|spec| spec.name).filter(|name| differing.contains(name)).collect();
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
        let text_differs = parts.contains(&Part::Text);
        Ok(Self { pretrained: pt, expert: ft, differing: merged, text_differs, device: device.clone() })
    }

    /// The same parents with their image towers packed, each one tensor by the name [`PACKED`]; a merge of two packed towers
    /// is the packed tower of the merge.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub fn packed(&self, packing: &Packing) -> Result<Self, ModelError> {
        let of = |tensors: &Tensors| {
            let mut rest = tensors.clone();
            rest.retain(|name, _| !is_vision(name));
            rest.insert(PACKED.to_owned(), pack(packing, tensors)?);
            Ok::<_, ModelError>(rest)
        };
        let mut differing: Vec<String> =
            self.differing.iter().filter(|name| !is_vision(name)).cloned().collect();
        let pretrained = of(&self.pretrained)?;
        let mut expert = self.expert.clone();
        if differing.len() == self.differing.len() {
            expert.retain(|name, _| !is_vision(name));
            expert.insert(PACKED.to_owned(), pretrained[PACKED].clone());
        } else {
            expert = of(&self.expert)?;
            differing.push(PACKED.to_owned());
        }
        Ok(Self {
            pretrained,
            expert,
            differing,
            text_differs: self.text_differs,
            device: self.device.clone(),
        })
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
    /// When the device refuses the memory.
    pub fn buffer(&self) -> Result<Tensors, ModelError> {
        let mut tensors = self.pretrained.clone();
        for name in &self.differing {
            let tensor = &self.pretrained[name];
            let own = match self.device {
                Device::Cpu => with_values(tensor, on_a_line)??.reshape(tensor.shape())?,
                _ => tensor.copy()?,
            };
            tensors.insert(name.clone(), own);
        }
        Ok(tensors)
    }

    /// Overwrites `buffer` by `theta_pt + lambda (theta_ft - theta_pt)`, reading each parent once.
    ///
    /// 0 gives the pretrained model and 1 the expert, bit for bit.
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

    /// Overwrites `buffer` tensor by tensor with `rule(name, pretrained, expert, out)`.
    ///
    /// On another device than the CPU the values make a round trip, which is meant for merges built once.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32`, or the device fails.
    pub fn merge(&self, buffer: &Tensors, rule: &MergeRule<'_>) -> Result<(), ModelError> {
        for name in &self.differing {
            let op = Merge { name, rule };
            if self.device.is_cpu() {
                buffer[name].inplace_op3(&self.pretrained[name], &self.expert[name], &op)?;
                continue;
            }
            let on_host = |tensors: &Tensors| tensors[name].to_device(&Device::Cpu);
            let merged = on_host(buffer)?;
            merged.inplace_op3(&on_host(&self.pretrained)?, &on_host(&self.expert)?, &op)?;
            buffer[name].slice_set(&merged.to_device(&self.device)?, 0, 0)?;
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
