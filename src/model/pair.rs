//! Two checkpoints checked against each other.

use candle_core::{CpuStorage, Storage, Tensor};

use super::{
    checkpoint::{Checkpoint, brackets},
    config::ClipConfig,
    error::{CheckpointFault, Disagreement, ModelError},
    layout::{self, LOGIT_SCALE, Part},
    role::Role,
    warning::ModelWarning,
};

/// How two checkpoints of one architecture relate; what does not differ need not be merged or encoded twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairReport {
    identical: Vec<String>,
    differing: Vec<String>,
    text_towers_equal: bool,
    same_file: bool,
}

impl PairReport {
    /// Compares `pretrained` with `expert`, in this order.
    ///
    /// # Errors
    /// `W005` for tensors that only one of them has; `W006` with every tensor whose shape differs, or else every configuration
    /// key that differs. Data types of the files may differ: all values are f32 by now.
    pub fn compare(pretrained: &Checkpoint, expert: &Checkpoint) -> Result<Self, ModelError> {
        let left = pretrained.tensors();
        let missing: Vec<String> =
            left.keys().filter(|name| !expert.tensors().contains_key(*name)).cloned().collect();
        let unknown: Vec<String> =
            expert.tensors().keys().filter(|name| !left.contains_key(*name)).cloned().collect();
        if !missing.is_empty() || !unknown.is_empty() {
            return Err(ModelError::of(
                Role::Expert,
                CheckpointFault::Names { owner: "expert", missing, unknown },
            ));
        }
        let disagreements = disagreements(pretrained, expert);
        if !disagreements.is_empty() {
            return Err(CheckpointFault::Disagree(disagreements).into());
        }
        Self::of_equal_shapes(pretrained, expert)
    }

    fn of_equal_shapes(pretrained: &Checkpoint, expert: &Checkpoint) -> Result<Self, ModelError> {
        let (mut identical, mut differing, mut text_towers_equal) = (Vec::new(), Vec::new(), true);
        for spec in layout::tensors(pretrained.config()) {
            let digest = |of: &Checkpoint| of.spilled().and_then(|blocks| blocks.digest(&spec.name).copied());
            let is_same = match (digest(pretrained), digest(expert)) {
                (Some(pretrained), Some(expert)) => pretrained == expert,
                _ => same_bits(&pretrained.tensors()[&spec.name], &expert.tensors()[&spec.name])?,
            };
            if is_same {
                identical.push(spec.name);
            } else {
                text_towers_equal &= spec.part != Part::Text;
                differing.push(spec.name);
            }
        }
        let same_file = pretrained.sha256() == expert.sha256();
        Ok(Self { identical, differing, text_towers_equal, same_file })
    }

    /// Tensors equal bit for bit, sorted.
    #[must_use]
    pub fn identical(&self) -> &[String] {
        &self.identical
    }

    /// Tensors that differ in at least one bit, sorted.
    #[must_use]
    pub fn differing(&self) -> &[String] {
        &self.differing
    }

    /// Whether one class bank serves both models: every tensor of the text tower, its projection included, is identical.
    #[must_use]
    pub fn text_towers_equal(&self) -> bool {
        self.text_towers_equal
    }

    /// Whether the temperatures differ, so that the merged model needs one of its own.
    #[must_use]
    pub fn logit_scales_differ(&self) -> bool {
        self.differing.iter().any(|name| name == LOGIT_SCALE)
    }

    /// Image blocks at the front that are identical, with everything before them: they need be computed once for both.
    ///
    /// 0 when an embedding or the first norm differs. Never all blocks: the last is left to each model.
    #[must_use]
    pub fn shared_vision_blocks(&self, config: &ClipConfig) -> usize {
        let differs = |prefix: &str| self.differing.iter().any(|name| name.starts_with(prefix));
        if differs("vision_model.embeddings.") || differs("vision_model.pre_layrnorm.") {
            return 0;
        }
        let block = |index: usize| format!("vision_model.encoder.layers.{index}.");
        (0..config.vision.layers - 1).take_while(|&index| !differs(&block(index))).count()
    }

    /// What the operator should know before the run.
    #[must_use]
    pub fn warnings(&self) -> Vec<ModelWarning> {
        if self.same_file { vec![ModelWarning::SameFile] } else { Vec::new() }
    }
}

fn disagreements(pretrained: &Checkpoint, expert: &Checkpoint) -> Vec<Disagreement> {
    let describe =
        |of: &Checkpoint, name: &str| format!("{} {}", of.role(), brackets(of.tensors()[name].dims()));
    let names = pretrained.tensors().keys();
    let differing = names.filter(|name| pretrained.tensors()[*name].dims() != expert.tensors()[*name].dims());
    let by_tensor: Vec<Disagreement> = differing
        .map(|name| Disagreement {
            name: name.clone(),
            left: describe(pretrained, name),
            right: describe(expert, name),
        })
        .collect();
    if by_tensor.is_empty() { by_key(pretrained, expert) } else { by_tensor }
}

/// Keys of the configuration that no shape shows.
fn by_key(pretrained: &Checkpoint, expert: &Checkpoint) -> Vec<Disagreement> {
    let both = pretrained.config().told().into_iter().zip(expert.config().told());
    both.filter(|(left, right)| left != right)
        .map(|((key, left), (_, right))| Disagreement {
            name: key.to_owned(),
            left: format!("{} {left}", pretrained.role()),
            right: format!("{} {right}", expert.role()),
        })
        .collect()
}

fn same_bits(left: &Tensor, right: &Tensor) -> Result<bool, ModelError> {
    let ((left, _), (right, _)) = (left.storage_and_layout(), right.storage_and_layout());
    let (Storage::Cpu(CpuStorage::F32(left)), Storage::Cpu(CpuStorage::F32(right))) = (&*left, &*right)
    else {
        unreachable!("a checkpoint holds f32 tensors on the CPU");
    };
    // An expert shares the memory of what it has in common with its base.
    let is_one = left.as_ptr() == right.as_ptr();
    Ok(left.len() == right.len()
        && (is_one || left.iter().zip(right).all(|(a, b)| a.to_bits() == b.to_bits())))
}
