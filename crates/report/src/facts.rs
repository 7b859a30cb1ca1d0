//! What is known of one set before its rows: one run, its classes, methods and cells.

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
    /// Name of the corruption suite, such as `bloodmnist`; chooses the AlexNet figures.
    pub suite: Option<String>,
    /// Samples that share a coefficient.
    pub batch_size: u32,
}

impl SetFacts {
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
