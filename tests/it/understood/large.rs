use std::process::Command;

use crate::large::{Shape, publish};

/// Seconds, and MiB at the peak, as `t3b evaluate` says them of a run of this shape.
fn evaluated(shape: Shape, n_draws: &str) -> (f64, u64) {
    let dir = tempfile::tempdir().unwrap();
    publish(&dir.path().join("out"), shape);
    let mut command = Command::new(env!("CARGO_BIN_EXE_t3b"));
    command.args(["evaluate", "out/_t3b/runs/large", "--out", "report", "--draws", n_draws]);
    // Sorted scores lie there, and go with the folder.
    let done = command.current_dir(dir.path()).env("TMPDIR", dir.path()).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let last = said.lines().last().unwrap();
    println!(
        "{} samples, {} methods, {} classes: {last}",
        shape.n_samples(),
        shape.n_methods,
        shape.n_classes
    );
    assert!(last.starts_with(&format!("{} rows in ", shape.n_rows())), "{last}");
    let number = |before: &str, after: &str| {
        let rest = &last[last.find(before).unwrap() + before.len()..];
        rest.split(after).next().unwrap().trim().to_owned()
    };
    (number(" rows in ", " s,").parse().unwrap(), number("a row, ", " MiB").parse().unwrap())
}

/// Memory follows from methods, cells and classes, and not from rows; docs/results.md has the figures of the full form.
#[test]
fn a_table_larger_than_memory_is_evaluated_in_little_of_it() {
    let small = Shape { n_methods: 4, n_corruptions: 2, n_classes: 4, n_batches: 100, n_partitions: 8 };
    let (_, few) = evaluated(small, "100");
    let (_, more) = evaluated(Shape { n_partitions: 24, ..small }, "100");
    assert!(more < few + 24, "{few} MiB of 1.1 million rows, {more} of 3.4 million");
    if std::env::var_os("T3B_FULL").is_none() {
        println!("reduced: 3.4 million rows; T3B_FULL=1 evaluates 50 million");
        return;
    }
    for shape in [
        // The protocol: 28 methods in 36 cells.
        Shape { n_methods: 28, n_corruptions: 7, n_classes: 4, n_batches: 7, n_partitions: 222 },
        // A night of millions of images in one cell.
        Shape { n_methods: 4, n_corruptions: 0, n_classes: 4, n_batches: 256, n_partitions: 1526 },
        // Many classes; fewer rows, for each has 41 scores to sort on disk.
        Shape { n_methods: 4, n_corruptions: 2, n_classes: 40, n_batches: 160, n_partitions: 46 },
    ] {
        let (_, peak) = evaluated(shape, "1000");
        assert!(peak < 1024, "{peak} MiB");
    }
}
