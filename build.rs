//! Puts the dashboard's page into the program, where `npm run build` has written it before.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

/// What the bundle is made of; `src/report/dashboard/page.rs` knows the same names.
const NAMES: [&str; 4] = ["index.html", "app.js", "app.css", "LICENSES.txt"];

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("dashboard/dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dashboard/dist");
    let mut text = String::from(
        "/// Files of the page, by name; none where it was not built.\npub(super) const EMBEDDED: &[(&str, &[u8])] = &[",
    );
    if NAMES.iter().all(|name| folder.join(name).is_file()) {
        for name in NAMES {
            let _ = write!(text, "(\"{name}\", include_bytes!({:?})), ", folder.join(name));
        }
    }
    text += "];\n";
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("dashboard.rs"), text)
}
