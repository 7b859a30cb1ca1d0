//! The accuracy table as a terminal shows it: methods as rows, within 80 columns unless asked for all.

use std::fmt::{self, Write};

use crate::report::AccuracyTable;

/// Columns of a terminal that nobody widened.
const WIDTH: usize = 80;
/// Columns of a method's name and of a number with its gap.
const NAME: usize = 18;

/// A table to print: every corruption a column when all of them fit or `wide` is asked for, otherwise folded to the mean over
/// corruptions and the worst of them. `stand_ins` are marked with `*`.
pub(super) fn folded<'a>(
    table: &'a AccuracyTable,
    wide: bool,
    stand_ins: &'a [String],
) -> impl fmt::Display + 'a {
    Folded { table, wide, stand_ins }
}

struct Folded<'a> {
    table: &'a AccuracyTable,
    wide: bool,
    stand_ins: &'a [String],
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1}", share * 100.0))
}

impl Folded<'_> {
    fn head(&self, corruption: &str) -> String {
        let mark = if self.stand_ins.iter().any(|name| name == corruption) { "*" } else { "" };
        format!("{corruption}{mark}")
    }

    fn columns(&self, f: &mut fmt::Formatter<'_>, heads: &[String]) -> fmt::Result {
        write!(f, "{:<NAME$}{:>8}", "accuracy %", "clean")?;
        for head in heads {
            write!(f, "  {head:>6}")?;
        }
        writeln!(f, "{:>8}", "mean")?;
        for method in &self.table.methods {
            write!(f, "{method:<NAME$}{:>8}", percent(self.table.cell(method, "clean", 0)))?;
            for (head, name) in heads.iter().zip(self.table.corruptions()) {
                let share = percent(self.table.mean_over_severities(method, name));
                write!(f, "  {share:>width$}", width = head.len().max(6))?;
            }
            writeln!(f, "{:>8}", percent(self.table.mean_over_corruptions(method)))?;
        }
        Ok(())
    }

    fn fold(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<NAME$}{:>8}{:>8}{:>8}  of", "accuracy %", "clean", "mean", "worst")?;
        for method in &self.table.methods {
            let of = |name: &&str| {
                self.table.mean_over_severities(method, name).map(|share| (share, (*name).to_owned()))
            };
            let shares = self.table.corruptions().iter().filter_map(of).collect::<Vec<_>>();
            let worst = shares.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
            let clean = percent(self.table.cell(method, "clean", 0));
            let mean = percent(self.table.mean_over_corruptions(method));
            let (share, name) =
                worst.map_or((None, String::new()), |(share, name)| (Some(share), self.head(&name)));
            writeln!(f, "{method:<NAME$}{clean:>8}{mean:>8}{:>8}  {name}", percent(share))?;
        }
        Ok(())
    }
}

impl fmt::Display for Folded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corruptions = self.table.corruptions();
        let heads: Vec<String> = corruptions.iter().map(|name| self.head(name)).collect();
        let width = NAME + 8 + 8 + heads.iter().map(|head| head.len().max(6) + 2).sum::<usize>();
        let is_folded = width > WIDTH && !self.wide;
        if is_folded {
            self.fold(f)?
        } else {
            self.columns(f, &heads)?
        }
        let mut note = String::new();
        if !heads.is_empty() {
            let n = heads.len();
            write!(note, "mean: over {n} corruptions, each over its severities; clean is not in it")?;
        }
        if is_folded {
            note.push_str("\nworst: lowest of the corruptions; --wide prints each of them");
        }
        if heads.iter().any(|head| head.ends_with('*')) {
            note.push_str("\n*: pictures made here stand in for the reference's");
        }
        f.write_str(&note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Accuracy;

    fn table(n_corruptions: usize) -> AccuracyTable {
        let names: Vec<String> = (0..n_corruptions).map(|n| format!("a_long_corruption_{n}")).collect();
        let mut cells = vec![("clean".to_owned(), 0)];
        cells.extend(names.iter().map(|name| (name.clone(), 1)));
        let counts = cells.iter().map(|(name, severity)| {
            let n_correct = if name.ends_with("_1") { 10 } else { 50 };
            (("entropy_ratio_b".to_owned(), name.clone(), *severity), Accuracy { n_correct, n_labelled: 100 })
        });
        AccuracyTable { methods: vec!["entropy_ratio_b".into()], counts: counts.collect(), cells }
    }

    #[test]
    fn thirteen_corruptions_fit_a_terminal_and_the_worst_is_named() {
        let table = table(13);
        let text = folded(&table, false, &["a_long_corruption_1".to_owned()]).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("50.0    46.9    10.0  a_long_corruption_1*"), "{text}");
        let wide = folded(&table, true, &[]).to_string();
        assert!(
            wide.contains("a_long_corruption_12") && wide.lines().next().unwrap().len() > WIDTH,
            "{wide}"
        );
    }

    #[test]
    fn what_the_mean_is_over_is_said() {
        let text = folded(&table(2), false, &[]).to_string();
        assert!(text.contains("mean: over 2 corruptions") && text.contains("clean is not in it"), "{text}");
        assert!(!text.contains("worst:"), "{text}");
    }
}
