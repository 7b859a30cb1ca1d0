//! Corrupts one grey picture with every kind of a suite and prints how far each moves it.

use t3b_corrupt::{Scratch, Severity, Streams, Suite, apply};
use t3b_image::Rgb8;

fn main() {
    let suite = Suite::named("bloodmnist").expect("a known data set");
    let severity = Severity::new(3).expect("1 to 5");
    let image = Rgb8::filled(224, 224, [180, 120, 140]);
    let (mut out, mut scratch) = (image.clone(), Scratch::default());
    for entry in suite.entries() {
        let mut streams = Streams::counter(0, "sample-1", entry.name, severity);
        apply(entry.at(severity), suite.grey(), &image, &mut streams, &mut scratch, &mut out);
        let moved: u64 = image
            .as_bytes()
            .iter()
            .zip(out.as_bytes())
            .map(|(before, after)| u64::from(before.abs_diff(*after)))
            .sum();
        println!("{:<24} {:.2} levels a value", entry.name, moved as f64 / out.as_bytes().len() as f64);
    }
}
