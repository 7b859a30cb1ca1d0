//! From the tensors of a file to those of the architecture, each checked.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::{
    checkpoint::{Checkpoint, MAX_LOGIT_SCALE, Role, brackets},
    config::ClipConfig,
    error::{Disagreement, Fault, ModelError},
    layout::{self, LOGIT_SCALE, Part, TensorSpec},
    naming::{Naming, Origin, Take},
    shards::Entry,
    widen,
};

const VISUAL_PROJECTION: &str = "visual_projection.weight";

/// Every tensor of the architecture and what it was.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) naming: Naming,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) dtypes: BTreeMap<String, Dtype>,
    pub(super) logit_scale: f64,
    /// Whether the text half was taken from the base.
    pub(super) vision_only: bool,
}

/// A wanted tensor, where it stands and what stands there.
struct Match<'a> {
    spec: TensorSpec,
    origin: Origin,
    entry: &'a Entry<'a>,
}

/// Checks names, shapes and dtypes; no value is looked at.
pub(super) struct Matches<'a> {
    role: Role,
    naming: Naming,
    found: Vec<Match<'a>>,
    inherited: Vec<TensorSpec>,
}

impl<'a> Matches<'a> {
    /// Finds every tensor of `config` in `entries`. With `may_inherit`, a file of the vision half alone is complete.
    ///
    /// # Errors
    /// `W011` without a `logit_scale` alone; `W005` for other missing and unknown tensors; `W006` for shapes and dtypes.
    pub(super) fn find(
        role: Role,
        config: &ClipConfig,
        entries: &'a [Entry<'a>],
        may_inherit: bool,
    ) -> Result<Self, Fault> {
        let naming = Naming::of(entries.iter().map(|entry| entry.name.as_str()));
        let mut unused: BTreeMap<&str, &Entry<'_>> =
            entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        unused.retain(|name, _| !naming.is_buffer(name));
        let there = unused.clone();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for spec in layout::tensors(config) {
            let origin = naming.origin(&spec, config);
            unused.remove(origin.name.as_str());
            match there.get(origin.name.as_str()) {
                Some(entry) => found.push(Match { spec, origin, entry }),
                None => missing.push((spec, origin.name)),
            }
        }
        let inherits = may_inherit && is_vision_only(&found, &missing);
        if !unused.is_empty() || !(missing.is_empty() || inherits) {
            let unknown = unused.into_keys().map(str::to_owned).collect();
            return Err(names_fault(role, missing, unknown));
        }
        let wrong: Vec<Disagreement> = found.iter().filter_map(|m| m.disagreement(role)).collect();
        if !wrong.is_empty() {
            return Err(Fault::Disagree(wrong));
        }
        Ok(Self { role, naming, found, inherited: missing.into_iter().map(|(spec, _)| spec).collect() })
    }

    /// Widens every value to f32 on the CPU; what the file leaves out is `base`'s.
    ///
    /// # Errors
    /// `W007` for values that are not finite; `W011` for a temperature above [`MAX_LOGIT_SCALE`].
    pub(super) fn gather(self, base: Option<&Checkpoint>) -> Result<Gathered, ModelError> {
        let (role, naming, vision_only) = (self.role, self.naming, !self.inherited.is_empty());
        let (mut tensors, mut dtypes) = (BTreeMap::new(), BTreeMap::new());
        let mut bad = Vec::new();
        for Match { spec, origin, entry } in self.found {
            let values = origin.take.values(entry);
            bad.extend(widen::non_finite(&values).map(|(count, first)| (spec.name.clone(), count, first)));
            tensors.insert(spec.name.clone(), Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?);
            dtypes.insert(spec.name, entry.dtype);
        }
        let other_tensors = bad.len().saturating_sub(1);
        if let Some((name, count, first)) = bad.into_iter().next() {
            return Err(ModelError::of(role, Fault::NonFinite { name, count, first, other_tensors }));
        }
        for (spec, base) in self.inherited.into_iter().zip(base.into_iter().cycle()) {
            dtypes.extend(base.file_dtype(&spec.name).map(|dtype| (spec.name.clone(), dtype)));
            tensors.insert(spec.name.clone(), base.tensors()[&spec.name].clone());
        }
        let logit_scale = f64::from(tensors[LOGIT_SCALE].to_scalar::<f32>()?);
        if logit_scale > MAX_LOGIT_SCALE {
            return Err(ModelError::of(role, Fault::LogitScale(Some(logit_scale))));
        }
        Ok(Gathered { naming, tensors, dtypes, logit_scale, vision_only })
    }
}

/// Whether exactly the text half is missing; the temperature and the image projection may be, too.
fn is_vision_only(found: &[Match<'_>], missing: &[(TensorSpec, String)]) -> bool {
    let may_miss = |spec: &TensorSpec| spec.part != Part::Vision || spec.name == VISUAL_PROJECTION;
    found.iter().all(|m| m.spec.part != Part::Text) && missing.iter().all(|(spec, _)| may_miss(spec))
}

fn names_fault(role: Role, missing: Vec<(TensorSpec, String)>, unknown: Vec<String>) -> Fault {
    // Query, key and value may stand in one tensor of the file, which is then missing once.
    let missing: BTreeSet<String> = missing.into_iter().map(|(_, name)| name).collect();
    if missing.len() == 1 && missing.contains(LOGIT_SCALE) && unknown.is_empty() {
        return Fault::LogitScale(None);
    }
    Fault::Names { owner: role.name(), missing: missing.into_iter().collect(), unknown }
}

impl Match<'_> {
    fn disagreement(&self, role: Role) -> Option<Disagreement> {
        let (entry, wanted) = (self.entry, &self.origin.shape);
        if entry.shape == *wanted && widen::is_accepted(entry.dtype) {
            return None;
        }
        let left = format!("{role} {} {:?}", brackets(&entry.shape), entry.dtype);
        let right = format!("architecture {} F32, F16 or BF16", brackets(wanted));
        Some(Disagreement { name: entry.name.clone(), left, right })
    }
}

impl Take {
    /// The meant values of an entry as f32, row-major in the wanted shape.
    fn values(self, entry: &Entry<'_>) -> Vec<f32> {
        match self {
            Self::Whole => widen::to_f32(entry.dtype, entry.bytes),
            Self::Third(third) => {
                let part = entry.bytes.len() / 3;
                widen::to_f32(entry.dtype, &entry.bytes[third * part..(third + 1) * part])
            }
            Self::Transposed => {
                let (values, columns) = (widen::to_f32(entry.dtype, entry.bytes), entry.shape[1]);
                (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
            }
        }
    }
}
