//! Which of a manifest's columns are read, whatever their capitals and the blanks around them.

use super::problems::bad;
use crate::error::Problem;

/// Columns a manifest may have; others are never read.
pub(super) const COLUMNS: [&str; N_COLUMNS] = [
    "uri",
    "sample_id",
    "label_idx",
    "label",
    "split",
    "sha256",
    "bytes",
    "entry",
    "offset",
    "row",
    "refused",
    "frame",
    "axis",
    "index",
    "corruption",
    "severity",
    "found",
    "group",
];
pub(super) const N_COLUMNS: usize = 18;
/// More columns than any table of features has.
const MAX_COLUMNS: usize = 16_384;
/// Words about columns that are not read.
const MAX_NOTES: usize = 20;

/// What other programs call a column, and ours.
const SYNONYMS: [(&str, &str); 18] = [
    ("path", "uri"),
    ("file", "uri"),
    ("filename", "uri"),
    ("file_name", "uri"),
    ("filepath", "uri"),
    ("image", "uri"),
    ("key", "uri"),
    ("url", "uri"),
    ("labels", "label"),
    ("class", "label"),
    ("target", "label"),
    ("category", "label"),
    ("class_idx", "label_idx"),
    ("label_id", "label_idx"),
    ("size", "bytes"),
    ("fold", "split"),
    ("patient", "group"),
    ("patient_id", "group"),
];

/// Where each of [`COLUMNS`] stands in a file.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) places: [Option<usize>; N_COLUMNS],
    /// Columns of the file, read or not.
    pub(super) n_columns: usize,
    /// What deserves a word: columns that are not read and may be meant.
    pub(super) notes: Vec<String>,
    /// A column that may be meant as `uri`, by a name of ours.
    uri_synonym: Option<&'static str>,
}

impl Header {
    /// Finds the columns: blanks and a byte order mark around a name, and capitals, do not matter.
    ///
    /// # Errors
    /// `M027` when two columns are the same then, `M018` for more columns than any table has.
    pub(super) fn of(names: &[String]) -> Result<Self, Problem> {
        Self::check_width(names.len())?;
        let mut places = [None; N_COLUMNS];
        let (mut notes, mut uri_synonym) = (Vec::new(), None);
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        for (at, name) in plain.iter().enumerate() {
            let Some(column) = COLUMNS.iter().position(|column| column == name) else { continue };
            if places[column].replace(at).is_some() {
                let what = format!("column '{}' stands twice", COLUMNS[column]);
                return Err(bad("M027", what).hint("remove or rename one of them"));
            }
        }
        for name in &plain {
            let Some((theirs, ours)) = synonym(name) else { continue };
            let place = COLUMNS.iter().position(|column| *column == ours);
            if place.is_some_and(|column| places[column].is_some()) || notes.len() == MAX_NOTES {
                continue;
            }
            match (ours, theirs) {
                ("uri", Some(theirs)) => uri_synonym = Some(theirs),
                (ours, Some(theirs)) => notes.push(format!(
                    "the manifest's column '{theirs}' is not read; rename it to '{ours}' if it is one"
                )),
                (ours, None) => notes.push(format!(
                    "a column of the manifest is not read and nearly called '{ours}'; rename it if it is one"
                )),
            }
        }
        Ok(Self { places, n_columns: names.len(), notes, uri_synonym })
    }

    /// # Errors
    /// `M018` for more columns than any table has.
    pub(super) fn check_width(n_columns: usize) -> Result<(), Problem> {
        if n_columns > MAX_COLUMNS {
            return Err(bad("M018", format!("found {n_columns} columns, allowed {MAX_COLUMNS}")));
        }
        Ok(())
    }

    /// Whether the file has a column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.places[column].is_some()
    }

    /// # Errors
    /// `M002` when the file has no such column. The file's own names are not repeated: without a header they are keys.
    pub(super) fn needs(&self, column: usize) -> Result<(), Problem> {
        if self.has(column) {
            return Ok(());
        }
        let known: Vec<&str> =
            (0..N_COLUMNS).filter(|&n| self.places[n].is_some()).map(|n| COLUMNS[n]).collect();
        let known = if known.is_empty() { "none that is read".to_owned() } else { known.join(", ") };
        let what =
            format!("column '{}' not found among {}, which are: {known}", COLUMNS[column], self.n_columns);
        let hint = match (COLUMNS[column], self.uri_synonym) {
            ("uri", Some(theirs)) => format!("rename the column '{theirs}' to 'uri'"),
            ("uri", None) if self.n_columns == 1 => {
                "the first line names the columns, one of them 'uri', with commas between; a file with semicolons or tabs is \
                 saved again as CSV with commas"
                    .to_owned()
            }
            ("uri", None) => {
                "the first line names the columns; one is 'uri', a key below input.root".to_owned()
            }
            ("split", _) => "leave input.split out, or add the column".to_owned(),
            _ => return Err(bad("M002", what)),
        };
        Err(bad("M002", what).hint(hint))
    }
}

/// Whether a name is one of [`COLUMNS`], as [`Header::of`] sees it.
pub(super) fn is_column(name: &str) -> bool {
    COLUMNS.contains(&plain(name).as_str())
}

fn plain(name: &str) -> String {
    name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_lowercase()
}

/// Which column an unknown name may mean, with the name where it is one of a list of ours.
fn synonym(name: &str) -> Option<(Option<&'static str>, &'static str)> {
    if COLUMNS.contains(&name) {
        return None;
    }
    if let Some((theirs, ours)) = SYNONYMS.into_iter().find(|(theirs, _)| *theirs == name) {
        return Some((Some(theirs), ours));
    }
    let is_near = |column: &&str| column.len() > 4 && strsim::damerau_levenshtein(name, column) <= 1;
    COLUMNS.into_iter().find(|column| is_near(column)).map(|ours| (None, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Result<Header, Problem> {
        Header::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn capitals_and_blanks_do_not_lose_a_column() {
        let found = header(&["\u{feff}URI", " Label", "Label_Idx ", "DOE^JOHN"]).unwrap();
        assert_eq!((found.places[0], found.places[3], found.places[2]), (Some(0), Some(1), Some(2)));
        assert!(found.notes.is_empty(), "{:?}", found.notes);
        assert_eq!(header(&["uri", "label", "Label"]).unwrap_err().code, "M027");
        assert_eq!(header(&["uri", "sha256 ", "uri"]).unwrap_err().code, "M027");
        assert_eq!(header(&["uri", "sha256 "]).unwrap().places[5], Some(1));
        assert_eq!(header(&vec!["x"; MAX_COLUMNS + 1]).unwrap_err().code, "M018");
    }

    #[test]
    fn a_column_that_may_be_meant_gets_a_word_and_no_key_is_repeated() {
        let found = header(&["uri", "Class", "lable", "DOE"]).unwrap();
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
        let problem = header(&["ward/DOE.png", "0"]).unwrap().needs(0).unwrap_err();
        assert!(problem.code == "M002" && !problem.to_string().contains("DOE"), "{problem}");
        let problem = header(&["path", "label"]).unwrap().needs(0).unwrap_err();
        assert!(problem.hint.as_deref().unwrap_or_default().contains("'path'"), "{problem}");
    }
}
