//! Example pictures of a report, on the owner's side: the one thing of a report that is not made of published tables.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use t3b_corrupt::Cell;
use t3b_decode::worker::Decoder;
use t3b_image::Rgb8;
use t3b_image::resize::{Framing, Resizer};
use t3b_report::Picture;

use super::rules::{corrupt_rule, decode_rule, source_rule};
use super::{open_archive, read_manifest};
use crate::error::RunError;
use crate::graph::corrupt::CorruptRule;
use crate::graph::decode::DecodeRule;
use crate::graph::pictures;
use crate::ledger::Plan;
use crate::report::{Example, Examples};
use crate::settings::Spec;
use crate::source::{Manifest, Partition, SourceRule};
use crate::store::Root;

/// Side at which pictures are corrupted: the one that the suites are made for.
const MADE_PX: u32 = 224;
/// Side of a picture in the report: what is in it can be seen, and small text that is burnt into it cannot be read.
const SHOWN_PX: u32 = 80;
/// JPEG quality.
const QUALITY: u8 = 75;
/// Which severity of a corruption is shown, or the one next to it.
const SEVERITY: u8 = 3;

/// An archive with its manifest, opened to look at images.
#[derive(Debug)]
pub struct Album {
    spec: Spec,
    input: Root,
    manifest: Arc<Manifest>,
}

impl Album {
    /// Opens the archive of a pipeline and reads its manifest; no model.
    ///
    /// # Errors
    /// `M...` the manifest, store failures.
    pub async fn open(spec: Spec) -> Result<Self, RunError> {
        let input = open_archive(&spec)?;
        let manifest = Arc::new(read_manifest(&spec, &input).await?);
        Ok(Self { spec, input, manifest })
    }

    /// Whether the samples of a run are those of this manifest, one by one.
    #[must_use]
    pub fn is_of(&self, plan: &Plan) -> bool {
        let ids = plan.spec.get("content.sample_ids_sha256").and_then(serde_json::Value::as_str);
        ids == Some(&self.manifest.ids_sha256)
    }

    /// Pictures of `examples` of a run, small: the surest right one in every corruption, then the wrong ones. As many as fit in
    /// `max_bytes` of text.
    ///
    /// # Errors
    /// Store failures, and what the decoder's process can fail with. Images that are refused are left out.
    pub async fn pictures(
        &self,
        plan: &Plan,
        examples: &Examples,
        max_bytes: usize,
    ) -> Result<Vec<Picture>, RunError> {
        let mut found = Vec::new();
        if let Some(right) = &examples.right {
            for (cell, picture) in self.made(&[*right], &self.shown_cells()).await? {
                let class = class(plan, right.label.unwrap_or(right.pred));
                found.push(shown(format!("{}, {class}", described(&cell)), &picture));
            }
        }
        let clean: Vec<Cell> =
            self.manifest.cells.iter().filter(|cell| cell.severity == 0).cloned().collect();
        for wrong in &examples.wrong {
            for (_, picture) in self.made(std::slice::from_ref(wrong), &clean).await? {
                let (label, pred) = (wrong.label.unwrap_or(wrong.pred), wrong.pred);
                let sure = 100.0 * wrong.confidence;
                let words = format!("{}, called {} ({sure:.0} %)", class(plan, label), class(plan, pred));
                found.push(shown(words, &picture));
            }
        }
        let mut left = max_bytes;
        let fits = |picture: &Picture| {
            left = left.checked_sub(picture.data_uri.len() + 2 * picture.caption.len())?;
            Some(())
        };
        let n = found.iter().map_while(fits).count();
        found.truncate(n);
        Ok(found)
    }

    /// The clean cell, and of every corruption that the pipeline makes the severity next to [`SEVERITY`].
    fn shown_cells(&self) -> Vec<Cell> {
        let mut shown: Vec<Cell> = Vec::new();
        for cell in &self.manifest.cells[..self.manifest.n_made] {
            let apart = |cell: &Cell| cell.severity.abs_diff(SEVERITY);
            match shown.iter_mut().find(|known| known.corruption == cell.corruption) {
                Some(known) if apart(cell) < apart(known) => *known = cell.clone(),
                Some(_) => {}
                None => shown.push(cell.clone()),
            }
        }
        shown
    }

    /// Samples in cells. One that declares its cell is shown as it is, in that cell.
    async fn made(&self, wanted: &[Example], cells: &[Cell]) -> Result<Vec<(Cell, Rgb8)>, RunError> {
        let rows: Vec<u64> = wanted.iter().map(|one| one.sample_row).collect();
        let mut declares = false;
        for row in &rows {
            let samples = self.manifest.samples(*row..*row + 1).await?;
            declares |= samples.iter().any(|sample| sample.declared.is_some());
        }
        // Declared cells are places in the whole list.
        let cells: Arc<[Cell]> =
            if declares { Arc::clone(&self.manifest.cells) } else { cells.to_vec().into() };
        let n_made = if declares { self.manifest.n_made } else { cells.len() };
        let todo = (0..).zip(rows).map(|(index, row)| Partition { index, rows: row..row + 1 });
        let rules = self.rules(Arc::clone(&cells), n_made);
        let resources = self.spec.settings.resources();
        let found =
            pictures(self.input.clone(), Arc::clone(&self.manifest), todo.collect(), rules, resources)
                .await?;
        Ok(found.into_iter().map(|made| (cells[made.cell].clone(), made.pixels)).collect())
    }

    fn rules(&self, cells: Arc<[Cell]>, n_made: usize) -> (SourceRule, DecodeRule, CorruptRule) {
        let source = source_rule(&self.spec, (n_made, cells.len()));
        let decode = decode_rule(&self.spec, &Decoder::this_program(), Some(Framing::clip(MADE_PX)));
        (source, decode, corrupt_rule(&self.spec, cells, n_made, None))
    }
}

fn described(cell: &Cell) -> String {
    match cell.severity {
        0 => cell.corruption.to_string(),
        severity => format!("{} {severity}", cell.corruption),
    }
}

fn class(plan: &Plan, class: u32) -> &str {
    plan.facts.classes.get(class as usize).map_or("?", String::as_str)
}

/// The picture as a page holds it: pixels alone, without anything that the file it came from said.
fn shown(caption: String, picture: &Rgb8) -> Picture {
    let small = Resizer::default().frame(picture, &Framing::clip(SHOWN_PX));
    let mut jpeg = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
        small.as_bytes(),
        small.width_px(),
        small.height_px(),
        ExtendedColorType::Rgb8,
    );
    encoded.expect("memory takes every byte");
    let data_uri = format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg));
    Picture { caption, data_uri, side_px: SHOWN_PX }
}
