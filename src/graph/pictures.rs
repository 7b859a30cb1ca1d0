//! Images as the first stages of the flow make them, for whoever wants to look at them: no model, no table.

use std::sync::Arc;

use super::corrupt::{self, CorruptRule};
use super::decode::{self, DecodeRule};
use super::{Resources, link};
use crate::error::Problem;
use crate::flow::Stage;
use crate::flow::budget::ByteBudget;
use crate::flow::meter::Meter;
use crate::flow::stop::stop;
use crate::flow::verdict::{StageEnd, verdict};
use crate::messages::{Corrupted, Flow, Inlet};
use crate::source::{Manifest, Partition, SourceRule, Todo, source};
use crate::store::Root;

/// Reads, decodes and corrupts the samples of `todo`, in order; those that are refused on the way are left out. Everything is held at
/// once, so `todo` is a handful.
///
/// # Errors
/// The first fault of any stage.
pub async fn pictures(
    input: Root,
    manifest: Arc<Manifest>,
    todo: Vec<Partition>,
    (from_store, to_pixels, to_cells): (SourceRule, DecodeRule, CorruptRule),
    resources: Resources,
) -> Result<Vec<Corrupted>, Problem> {
    let (meter, queues) = (Meter::default(), resources.queues);
    let (compressed, decoded) = ByteBudget::split(resources.budget_bytes);
    let (to_decode, from_source) = link(queues.fetched, &meter.source, &meter.decode);
    let (to_corrupt, from_decode) = link(queues.decoded, &meter.decode, &meter.corrupt);
    let (to_look, from_corrupt) = link(queues.corrupted, &meter.corrupt, &meter.batch);
    let ((_nobody_asks, never), todo) = (stop(), Todo::listed(todo, meter.open.clone()));
    let mut found = Vec::new();
    let (read, pixels, cells, looked) = tokio::join!(
        source(from_store, input, manifest, todo, compressed, never, to_decode),
        decode::run(to_pixels, resources.n_cpu, decoded, from_source, to_corrupt),
        corrupt::run(to_cells, resources.n_cpu, from_decode, to_look),
        collect(from_corrupt, &mut found),
    );
    let ends =
        [(Stage::Source, read), (Stage::Decode, pixels), (Stage::Corrupt, cells), (Stage::Batch, looked)];
    verdict(&ends).map_or(Ok(found), Err)
}

async fn collect(mut inlet: Inlet<Corrupted>, found: &mut Vec<Corrupted>) -> Result<(), StageEnd> {
    while let Some(message) = inlet.next().await? {
        if let Flow::Item(picture) = message {
            found.push(picture);
        }
    }
    Ok(())
}
