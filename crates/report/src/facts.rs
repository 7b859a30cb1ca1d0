//! What is known of one set before its rows: one run, its classes, methods and cells.

use std::ops::Range;

/// Where a set stands in a table of several: strings of `[run.tags]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Such as `cell microscopy`.
    pub modality: Option<String>,
    /// Such as `bccd`.
    pub dataset: Option<String>,
    /// Such as `in-domain`.
    pub setting: Option<String>,
    /// Such as a hospital.
    pub site: Option<String>,
}

/// One published run.
#[derive(Debug, Clone, PartialEq)]
pub struct SetFacts {
    /// Names the run.
    pub run_id: String,
    /// Its day.
    pub run_date: String,
    /// Where it stands.
    pub tags: Tags,
    /// Class names in index order.
    pub classes: Vec<String>,
    /// Methods in pipeline order.
    pub methods: Vec<String>,
    /// The method that the run is for.
    pub primary: String,
    /// Corruption and severity of every cell, in scoring order; `clean` has severity 0.
    pub cells: Vec<(String, u8)>,
    /// Samples of the frozen manifest.
    pub n_samples: u64,
    /// Where samples declare their cells: positions in the frozen list, rising, and the places of the cells that the samples there
    /// are in. Empty where all samples are in all cells.
    pub groups: Vec<(Range<u64>, Range<usize>)>,
    /// Name of the corruption suite, such as `bloodmnist`; chooses the AlexNet figures.
    pub suite: Option<String>,
    /// Samples that share a coefficient.
    pub batch_size: u32,
}

impl SetFacts {
    /// The set's name among MedMNIST's, if it has one.
    pub(crate) fn medmnist_flag(&self) -> Option<&str> {
        self.tags.dataset.as_deref().filter(|name| name.ends_with("mnist"))
    }

    /// Places of all (method, cell) pairs: `method * cells + cell`.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.methods.len() * self.cells.len()
    }

    /// The place of a pair.
    #[must_use]
    pub fn group(&self, method: usize, cell: usize) -> usize {
        method * self.cells.len() + cell
    }

    /// One past the last position of the frozen list.
    #[must_use]
    pub fn n_positions(&self) -> u64 {
        self.groups.last().map_or(self.n_samples, |(rows, _)| rows.end)
    }

    /// The cells that the sample at a position is in; none where no sample stands.
    #[must_use]
    pub fn cells_of(&self, sample: u64) -> Range<usize> {
        if self.groups.is_empty() {
            return if sample < self.n_samples { 0..self.cells.len() } else { 0..0 };
        }
        let behind = self.groups.partition_point(|(rows, _)| rows.start <= sample);
        let group = behind.checked_sub(1).and_then(|n| self.groups.get(n));
        group.filter(|(rows, _)| rows.contains(&sample)).map_or(0..0, |(_, cells)| cells.clone())
    }

    /// Samples that are in a cell.
    #[must_use]
    pub fn n_in(&self, cell: usize) -> u64 {
        if self.groups.is_empty() {
            return self.n_samples;
        }
        let of_cell = self.groups.iter().filter(|(_, cells)| cells.contains(&cell));
        of_cell.map(|(rows, _)| rows.end - rows.start).sum()
    }

    /// (sample, cell) pairs.
    #[must_use]
    pub fn n_pairs(&self) -> u64 {
        if self.groups.is_empty() {
            return self.n_samples * self.cells.len() as u64;
        }
        self.groups.iter().map(|(rows, cells)| (rows.end - rows.start) * cells.len() as u64).sum()
    }

    /// What is resampled together, by position: the samples at one place of their groups. In the published files that is one image in
    /// all its cells. `None` where every sample is a unit of its own.
    #[must_use]
    pub fn units(&self) -> Option<Vec<u32>> {
        if self.groups.is_empty() {
            return None;
        }
        let mut units = vec![0; usize::try_from(self.n_positions()).ok()?];
        for (rows, _) in &self.groups {
            let (start, end) = (usize::try_from(rows.start).ok()?, usize::try_from(rows.end).ok()?);
            (0..).zip(units.get_mut(start..end)?).for_each(|(n, unit)| *unit = n);
        }
        Some(units)
    }

    /// The place of a method.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<usize> {
        self.methods.iter().position(|method| method == name)
    }

    /// The place of the uncorrupted cell.
    #[must_use]
    pub fn clean(&self) -> Option<usize> {
        self.cells.iter().position(|(corruption, _)| corruption == "clean")
    }

    /// Corruptions in scoring order, `clean` left out, each with the places of its cells.
    #[must_use]
    pub fn corruptions(&self) -> Vec<(&str, Vec<usize>)> {
        let mut found: Vec<(&str, Vec<usize>)> = Vec::new();
        for (cell, (corruption, _)) in self.cells.iter().enumerate() {
            if corruption == "clean" {
                continue;
            }
            match found.iter_mut().find(|(name, _)| name == corruption) {
                Some((_, cells)) => cells.push(cell),
                None => found.push((corruption, vec![cell])),
            }
        }
        found
    }

    /// How the set is called in headings: its tags, or the run.
    #[must_use]
    pub fn title(&self) -> String {
        let Tags { modality, dataset, setting, site } = &self.tags;
        let parts: Vec<&str> =
            [modality, dataset, setting, site].into_iter().flatten().map(String::as_str).collect();
        if parts.is_empty() { self.run_id.clone() } else { parts.join(", ") }
    }
}
