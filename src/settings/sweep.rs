//! `[sweep]`: one pipeline file as many runs, one per combination of the axes' values.

use std::path::Path;

use toml::{Table, Value};

use super::read_table;
use crate::error::{Exit, Problem, RunError};

/// Most runs of one sweep.
const MAX_RUNS: usize = 1000;

/// The axes of a sweep file.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The pipeline's `run.name`.
    pub name: String,
    /// Every combination, the last axis fastest.
    pub variations: Vec<Variation>,
}

/// One combination: what it is called and what it sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variation {
    /// Readable part of the run id, such as `batch_size-16`.
    pub label: String,
    /// Key and value, as `--set` takes them.
    pub set: Vec<(String, String)>,
}

impl Sweep {
    /// Reads `[sweep.axes]` of a pipeline file: `"run.batch_size" = [1, 16]`, in the order of the keys. A file
    /// without axes is a sweep of one run.
    ///
    /// # Errors
    /// `C010` when an axis is not a list of values or there are too many combinations.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let file = read_table(path)?;
        let axes = file.get("sweep").and_then(|sweep| sweep.get("axes")).and_then(Value::as_table);
        let name = file.get("run").and_then(|run| run.get("name")).and_then(Value::as_str).unwrap_or("sweep");
        Ok(Self { name: name.to_owned(), variations: combinations(axes.unwrap_or(&Table::new()))? })
    }
}

fn bad(what: &str) -> Problem {
    Problem::new("C010", Exit::Config, format!("sweep: {what}"))
        .hint("write [sweep.axes] with lines like \"run.batch_size\" = [1, 16, 32]")
}

fn combinations(axes: &Table) -> Result<Vec<Variation>, Problem> {
    let mut all = vec![Variation { label: String::new(), set: Vec::new() }];
    for (key, values) in axes {
        let values = values.as_array().filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| bad(&format!("{key}: found no list of values")))?;
        let repeated =
            (1..values.len()).any(|n| values[..n].iter().any(|earlier| is_same(earlier, &values[n])));
        if repeated {
            return Err(bad(&format!("{key}: found a value twice")));
        }
        if all.len() * values.len() > MAX_RUNS {
            return Err(bad(&format!("found more than {MAX_RUNS} combinations")));
        }
        let extended = all.iter().flat_map(|base| values.iter().map(|value| extend(base, key, value)));
        all = extended.collect();
    }
    Ok(all)
}

/// Whether two values set the same: `1` and `1.0` do.
fn is_same(a: &Value, b: &Value) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a setting written as an integer is small")]
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
    a == b || matches!((number(a), number(b)), (Some(a), Some(b)) if a == b)
}

fn extend(base: &Variation, key: &str, value: &Value) -> Variation {
    let name = key.rsplit('.').next().unwrap_or(key);
    let word = format!("{name}-{}", readable(value));
    let label = if base.label.is_empty() { word } else { format!("{}-{word}", base.label) };
    let mut set = base.set.clone();
    set.push((key.to_owned(), value.to_string()));
    Variation { label, set }
}

/// A value in the characters of a run id: `0.5` is `0p5`, everything else foreign is `_`.
fn readable(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned).to_lowercase();
    let plain = |c: char| match c {
        '.' => 'p',
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '_',
    };
    text.chars().map(plain).collect::<String>().trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_a_set() {
        for axes in [
            "\"merge.gamma\" = [1, 1]",
            "\"merge.gamma\" = [1, 2, 1.0]",
            "\"run.batches\" = [\"pure\", \"pure\"]",
        ] {
            assert!(combinations(&axes.parse().unwrap()).unwrap_err().what.contains("twice"), "{axes}");
        }
    }

    #[test]
    fn axes_combine_and_are_named() {
        let axes: Table = "\"merge.gamma\" = [0.5, 8.0]\n\"run.batch_size\" = [1, 16]".parse().unwrap();
        let all = combinations(&axes).unwrap();
        let labels: Vec<_> = all.iter().map(|v| v.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "gamma-0p5-batch_size-1",
                "gamma-0p5-batch_size-16",
                "gamma-8p0-batch_size-1",
                "gamma-8p0-batch_size-16"
            ]
        );
        assert_eq!(all[3].set[1], ("run.batch_size".to_owned(), "16".to_owned()));
    }
}
