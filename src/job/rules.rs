//! What the stages before the model do, from the settings: the same for a run and for whoever only looks at images.

use std::path::Path;
use std::sync::Arc;

use t3b_corrupt::Cell;
use t3b_image::resize::Framing;

use crate::graph::corrupt::CorruptRule;
use crate::graph::decode::DecodeRule;
use crate::settings::Spec;
use crate::source::SourceRule;

/// `n_cells`: those that the pipeline makes, and all.
pub(super) fn source_rule(spec: &Spec, n_cells: (usize, usize)) -> SourceRule {
    SourceRule {
        concurrency: spec.settings.fetch_concurrency,
        range_bytes: spec.settings.fetch_range_bytes,
        max_object_bytes: spec.pipeline.input.max_object_bytes,
        n_cells,
    }
}

/// `program` decodes risky pictures in a process of its own; without `framing` pictures keep their size.
pub(super) fn decode_rule(spec: &Spec, program: &Path, framing: Option<Framing>) -> DecodeRule {
    DecodeRule {
        limits: spec.pipeline.limits,
        rendering: spec.pipeline.rendering,
        isolation: spec.settings.isolation,
        program: program.into(),
        framing,
    }
}

/// Of `cells` the first `n_made` are made here; `framing` follows the corruption.
pub(super) fn corrupt_rule(
    spec: &Spec,
    cells: Arc<[Cell]>,
    n_made: usize,
    framing: Option<Framing>,
) -> CorruptRule {
    let pipeline = &spec.pipeline;
    CorruptRule {
        cells,
        n_made,
        grey: pipeline.corrupt.grey,
        rng: pipeline.corrupt.rng,
        seed: pipeline.seed,
        framing,
    }
}
