//! Decodes the files named on the command line and prints what each is, or why it is refused.

use t3b_decode::{Format, Limits, decode};

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        println!("usage: cargo run -p t3b-decode --example what_is_it -- FILE...");
    }
    for name in names {
        match std::fs::read(&name) {
            Err(error) => println!("{name}: {error}"),
            Ok(bytes) => match decode(&bytes, &Limits::default()) {
                Ok(image) => println!("{name}: {} {image:?}", Format::sniff(&bytes).name()),
                Err(error) => println!("{name}: refused, {error}"),
            },
        }
    }
}
