//! From the tensors of a file to those of the architecture, each checked.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::{
    checkpoint::{Checkpoint, MAX_LOGIT_SCALE, brackets, pinned},
    config::ClipConfig,
    error::{CheckpointFault, Disagreement, ModelError},
    layout::{self, IMAGE_POSITIONS, LOGIT_BIAS, LOGIT_SCALE, Part, TensorSpec, VISUAL_PROJECTION},
    naming::{Naming, Origin, Take},
    packed::with_values,
    positions::{self, Cubic},
    role::Role,
    shards::{Entry, Shards},
    spill::{SpilledBlocks, Spilling},
    spilled_tower::spill_fault,
    widen,
};

/// Every tensor of the architecture and what it was.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Of the files.
    pub(super) sha256: String,
    pub(super) naming: Naming,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) spilled: Option<SpilledBlocks>,
    pub(super) dtypes: BTreeMap<String, Dtype>,
    pub(super) logit_scale: f64,
    pub(super) logit_bias: f64,
    /// Whether the text half was taken from the base.
    pub(super) vision_only: bool,
}

/// What a file may lack or hold differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Leniency {
    /// A file of the vision half alone is complete: the rest is the base's.
    pub(super) may_inherit: bool,
    /// Position embeddings of the image tower may be of another square grid; they are resized.
    pub(super) may_resize: bool,
}

/// A wanted tensor, where it stands and what stands there.
struct Match<'a> {
    spec: TensorSpec,
    origin: Origin,
    entry: &'a Entry,
    /// Its place in the files.
    place: usize,
    /// Sides of the grids of position embeddings that are resized, from and to.
    resized: Option<(usize, usize)>,
}

/// Checks names, shapes and dtypes; no value is looked at.
pub(super) struct Matches<'a> {
    role: Role,
    naming: Naming,
    /// Rows before the grid of the image tower's positions.
    extra_positions: usize,
    found: Vec<Match<'a>>,
    inherited: Vec<TensorSpec>,
}

impl<'a> Matches<'a> {
    /// Finds every tensor of `config` in `entries`.
    ///
    /// # Errors
    /// `W011` without a `logit_scale` alone; `W005` for other missing and unknown tensors; `W006` for shapes and dtypes.
    pub(super) fn find(
        role: Role,
        config: &ClipConfig,
        entries: &'a [Entry],
        leniency: Leniency,
    ) -> Result<Self, CheckpointFault> {
        let naming = Naming::of(entries.iter().map(|entry| entry.name.as_str()));
        let mut unused: BTreeMap<&str, (usize, &Entry)> =
            entries.iter().enumerate().map(|(place, entry)| (entry.name.as_str(), (place, entry))).collect();
        unused.retain(|name, _| !naming.is_buffer(name));
        let there = unused.clone();
        let extra_positions = usize::from(config.vision_kind.has_class_token());
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for spec in layout::tensors(config) {
            let origin = naming.origin(&spec, config);
            unused.remove(origin.name.as_str());
            match there.get(origin.name.as_str()) {
                Some(&(place, entry)) => {
                    let resized = leniency.may_resize.then(|| grids(&spec, &origin, entry, extra_positions));
                    found.push(Match { spec, origin, entry, place, resized: resized.flatten() });
                }
                None => missing.push((spec, origin.name)),
            }
        }
        let inherits = leniency.may_inherit && may_inherit(&found, &missing);
        if !unused.is_empty() || !(missing.is_empty() || inherits) {
            let unknown = unused.into_keys().map(str::to_owned).collect();
            return Err(names_fault(role, missing, unknown));
        }
        let wrong: Vec<Disagreement> = found.iter().filter_map(|m| m.disagreement(role)).collect();
        if !wrong.is_empty() {
            return Err(CheckpointFault::Disagree(wrong));
        }
        let inherited = missing.into_iter().map(|(spec, _)| spec).collect();
        Ok(Self { role, naming, extra_positions, found, inherited })
    }

    /// Reads the files of the entries and brings every value to f32 on the CPU; what they leave out is `base`'s, and so is the memory of
    /// tensors that are equal. What goes to the file of `spilling` is not in memory then.
    ///
    /// # Errors
    /// `W012` for files that cannot be read; `W008` when `pin` is given and not their sha256; `W007` for values that are not finite, as f32; `W011` for a temperature above [`MAX_LOGIT_SCALE`].
    pub(super) fn gather(
        self,
        shards: Shards,
        pin: Option<&str>,
        base: Option<&Checkpoint>,
        mut spilling: Option<Spilling>,
    ) -> Result<Gathered, ModelError> {
        let (role, naming) = (self.role, self.naming);
        let vision_only = self.inherited.iter().any(|spec| spec.part == Part::Text);
        let (mut tensors, mut dtypes) = (BTreeMap::new(), BTreeMap::new());
        let mut bad = Vec::new();
        let mut by_place = BTreeMap::<usize, Vec<(usize, &Match<'_>)>>::new();
        for (order, found) in self.found.iter().enumerate() {
            by_place.entry(found.place).or_default().push((order, found));
        }
        let sha256 = shards.read(|place, bytes| {
            for &(order, Match { spec, origin, entry, resized, .. }) in
                by_place.get(&place).into_iter().flatten()
            {
                let mut values = origin.take.values(entry, bytes);
                bad.extend(
                    widen::non_finite(&values).map(|(count, first)| (order, &spec.name, count, first)),
                );
                if let Some(sides) = *resized {
                    let width = spec.shape[1];
                    values = positions::resize(&values, width, self.extra_positions, sides, naming.cubic());
                }
                dtypes.insert(spec.name.clone(), entry.dtype);
                if let Some(spilling) = &mut spilling {
                    match spilling.take(spec, values).map_err(spill_fault)? {
                        Some(others) => values = others,
                        None => continue,
                    }
                }
                tensors.insert(spec.name.clone(), tensor_of(spec, values, base)?);
            }
            Ok(())
        })?;
        let sha256 = pinned(sha256, pin).map_err(|fault| ModelError::of(role, fault))?;
        let other_tensors = bad.len().saturating_sub(1);
        if let Some((_, name, count, first)) = bad.into_iter().min() {
            let name = name.clone();
            return Err(ModelError::of(
                role,
                CheckpointFault::NonFinite { name, count, first, other_tensors },
            ));
        }
        for (spec, base) in self.inherited.into_iter().zip(base.into_iter().cycle()) {
            dtypes.extend(base.file_dtype(&spec.name).map(|dtype| (spec.name.clone(), dtype)));
            match (base.tensors().get(&spec.name), base.spilled(), &mut spilling) {
                (None, Some(blocks), Some(spilling)) => spilling.inherit(&spec.name, blocks),
                (tensor, ..) => drop(tensors.insert(spec.name, tensor.expect("a base has it").clone())),
            }
        }
        let logit_scale = f64::from(tensors[LOGIT_SCALE].to_scalar::<f32>()?);
        if logit_scale > MAX_LOGIT_SCALE {
            return Err(ModelError::of(role, CheckpointFault::LogitScale(Some(logit_scale))));
        }
        let logit_bias = tensors.get(LOGIT_BIAS).map(Tensor::to_scalar::<f32>).transpose()?;
        let logit_bias = logit_bias.map_or(0.0, f64::from);
        let spilled = spilling.map(Spilling::done);
        Ok(Gathered { sha256, naming, tensors, spilled, dtypes, logit_scale, logit_bias, vision_only })
    }
}

impl Naming {
    /// How position embeddings are resized where this naming comes from.
    fn cubic(self) -> Cubic {
        match self {
            Self::HuggingFace => Cubic::Plain,
            Self::OpenAi | Self::OpenClip => Cubic::Antialiased,
        }
    }
}

/// The values as a tensor: the base's own where that has the same bits, so that these are in memory once.
fn tensor_of(spec: &TensorSpec, values: Vec<f32>, base: Option<&Checkpoint>) -> Result<Tensor, ModelError> {
    let same_bits = |held: &[f32]| held.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits());
    let of_base = base.and_then(|base| base.tensors().get(&spec.name));
    match of_base.filter(|tensor| tensor.dims() == spec.shape) {
        Some(tensor) if with_values(tensor, same_bits)? => Ok(tensor.clone()),
        _ => Ok(Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?),
    }
}

/// The sides of the grid in the file and of the wanted one, where they are two and nothing else differs.
fn grids(spec: &TensorSpec, origin: &Origin, entry: &Entry, extra: usize) -> Option<(usize, usize)> {
    if spec.name != IMAGE_POSITIONS || entry.shape == origin.shape {
        return None;
    }
    let (rows, width) = (entry.shape.iter().rev().nth(1)?, entry.shape.last()?);
    let side =
        |rows: usize| rows.checked_sub(extra).map(usize::isqrt).filter(|side| side.pow(2) + extra == rows);
    let batch_is_one =
        entry.shape.len() == origin.shape.len() && entry.shape.iter().rev().skip(2).all(|n| *n == 1);
    let sides = (side(*rows)?, side(spec.shape[0])?);
    (batch_is_one && *width == spec.shape[1] && sides.0 > 0).then_some(sides)
}

/// Whether exactly the text half is missing, the temperature and the image projection perhaps, too; or the temperature alone.
fn may_inherit(found: &[Match<'_>], missing: &[(TensorSpec, String)]) -> bool {
    let is_scale = |spec: &TensorSpec| spec.part == Part::Scale;
    if missing.iter().all(|(spec, _)| is_scale(spec)) {
        return true;
    }
    let may_miss = |spec: &TensorSpec| spec.part != Part::Vision || spec.name == VISUAL_PROJECTION;
    found.iter().all(|m| m.spec.part != Part::Text) && missing.iter().all(|(spec, _)| may_miss(spec))
}

fn names_fault(role: Role, missing: Vec<(TensorSpec, String)>, unknown: Vec<String>) -> CheckpointFault {
    // Query, key and value may stand in one tensor of the file, which is then missing once.
    let missing: BTreeSet<String> = missing.into_iter().map(|(_, name)| name).collect();
    if missing.len() == 1 && missing.contains(LOGIT_SCALE) && unknown.is_empty() {
        return CheckpointFault::LogitScale(None);
    }
    CheckpointFault::Names { owner: role.name(), missing: missing.into_iter().collect(), unknown }
}

impl Match<'_> {
    fn disagreement(&self, role: Role) -> Option<Disagreement> {
        let (entry, wanted) = (self.entry, &self.origin.shape);
        // A scalar is also saved as a list of one.
        let is_shape = entry.shape == *wanted || (wanted.is_empty() && entry.shape == [1]);
        if (is_shape || self.resized.is_some()) && widen::is_accepted(entry.dtype) {
            return None;
        }
        let left = format!("{role} {} {:?}", brackets(&entry.shape), entry.dtype);
        let right = format!("architecture {} F64, F32, F16 or BF16", brackets(wanted));
        Some(Disagreement { name: entry.name.clone(), left, right })
    }
}

impl Take {
    /// The meant values of an entry's bytes as f32, row-major in the wanted shape.
    fn values(self, entry: &Entry, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Whole => widen::to_f32(entry.dtype, bytes),
            Self::Rows { index, parts } => {
                let part = bytes.len() / parts;
                widen::to_f32(entry.dtype, &bytes[index * part..(index + 1) * part])
            }
            Self::Transposed => {
                let (values, columns) = (widen::to_f32(entry.dtype, bytes), entry.shape[1]);
                (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
            }
        }
    }
}
