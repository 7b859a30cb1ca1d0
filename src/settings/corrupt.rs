//! `[corrupt]`: which cells are scored and how an image becomes them.

use std::path::Path;

use serde_json::json;
use toml::{Table, Value};

use super::layers::Reader;
use super::values::nearest_of;
use crate::error::{Exit, Problem, quoted, shown_place};
use crate::graph::corrupt::CorruptAt;
use t3b_corrupt::{Assets, Cell, Corruption, Grey, RngMode, Severity, Suite};

/// Cells, and how images become them.
#[derive(Debug, Clone)]
pub struct Corrupt {
    /// `corrupt.suite`: where most of the cells come from.
    pub suite: Option<String>,
    /// Every (corruption, severity) in scoring order, `clean/0` first when included.
    pub cells: Vec<Cell>,
    /// What is done for grey data sets.
    pub grey: Grey,
    /// Before or after the resize.
    pub at: CorruptAt,
    /// Which random streams the corruptions draw from.
    pub rng: RngMode,
    /// Corrupts images once more that the manifest says are corrupted already.
    pub ignores_declared: bool,
    /// Names of the corruptions whose pictures are our own and not the reference's.
    pub inexact: Vec<String>,
}

impl Corrupt {
    /// Reads and checks `[corrupt]`; problems stay in `reader`. Relative paths are taken from `dir`.
    pub(super) fn read(reader: &mut Reader, dir: &Path) -> Self {
        let assets = read_assets(reader, dir);
        let (suite_name, suite) = read_suite(reader, &assets).unzip();
        let of_grey_sets = reader.choice("corrupt.grey", ("luma", Grey::Luma), &[("native", Grey::Native)]);
        let is_grey = suite.as_ref().is_some_and(Suite::grey);
        let grey = if is_grey { of_grey_sets } else { Grey::No };
        let of_suite = suite.iter().flat_map(|suite| suite.entries());
        let mut ladders: Vec<Ladder> =
            of_suite.map(|entry| (entry.name.to_owned(), entry.levels.clone())).collect();
        ladders.extend(read_custom(reader));
        for (n, (name, _)) in ladders.iter().enumerate() {
            if ladders[..n].iter().any(|(earlier, _)| earlier == name) {
                let what = format!("corrupt.custom: found {} twice, or in the suite too", quoted(name));
                let problem =
                    Problem::new("C001", Exit::Config, what).hint("give each corruption a name of its own");
                reader.problem(&["corrupt.custom", "corrupt.suite"], problem);
            }
        }
        let cells = read_cells(reader, &ladders);
        let inexact = |cell: &&Cell| cell.kind().is_some_and(|(_, kind)| !kind.is_exact());
        let mut names: Vec<String> =
            cells.iter().filter(inexact).map(|cell| cell.corruption.to_string()).collect();
        names.dedup();
        Self {
            suite: suite_name,
            cells,
            grey,
            at: reader.choice("corrupt.at", ("model", CorruptAt::Model), &[("source", CorruptAt::Source)]),
            rng: reader.choice(
                "corrupt.rng",
                ("counter", RngMode::Counter),
                &[("numpy-compat", RngMode::NumpyCompat)],
            ),
            ignores_declared: reader.choice("corrupt.declared", ("keep", false), &[("corrupt", true)]),
            inexact: names,
        }
    }
}

fn read_assets(reader: &mut Reader, dir: &Path) -> Assets {
    let Some(folder) = reader.opt_place("corrupt.assets.dir", dir) else { return Assets::default() };
    Assets::from_dir(Path::new(&folder)).unwrap_or_else(|_| {
        let what = format!(
            "corrupt.assets.dir: found {}, where stain masks or glyphs cannot be read",
            shown_place(&folder)
        );
        let problem =
            Problem::new("C001", Exit::Config, what).hint("docs/corruptions.md says how to get both");
        reader.problem(&["corrupt.assets.dir"], problem);
        Assets::default()
    })
}

fn read_suite(reader: &mut Reader, assets: &Assets) -> Option<(String, Suite)> {
    let name = reader.opt_text("corrupt.suite");
    reader.narrow("corrupt.suite", json!({ "enum": Suite::names() }));
    let name = name?;
    let suite = Suite::with_assets(&name, assets);
    if suite.is_none() {
        let names = Suite::names();
        let what = format!("corrupt.suite: found {}, allowed {}", quoted(&name), names.join(", "));
        reader.problem(&["corrupt.suite"], meant(Problem::new("C001", Exit::Config, what), &name, names));
    }
    Some((name, suite?))
}

/// The problem with the name that was probably meant.
fn meant(problem: Problem, found: &str, names: &[&str]) -> Problem {
    match nearest_of(found, names.iter().copied()) {
        Some(nearest) => problem.hint(format!("did you mean {nearest}?")),
        None => problem,
    }
}

/// A corruption's name and its five severities.
type Ladder = (String, [Corruption; 5]);

fn read_cells(reader: &mut Reader, ladders: &[Ladder]) -> Vec<Cell> {
    let wanted = reader.opt_texts("corrupt.corruptions");
    let severities = reader.wholes("corrupt.severities", 1..=5);
    let mut cells = Vec::new();
    if reader.switch("corrupt.include_clean") {
        cells.push(Cell::clean());
    }
    let known: Vec<&str> = ladders.iter().map(|(name, _)| name.as_str()).collect();
    for name in wanted.iter().flatten().filter(|name| !known.contains(&name.as_str())) {
        let allowed = if known.is_empty() { "none without corrupt.suite".into() } else { known.join(", ") };
        let what = format!("corrupt.corruptions: found {}, allowed {allowed}", quoted(name));
        let problem = meant(Problem::new("C001", Exit::Config, what), name, &known);
        reader.problem(&["corrupt.corruptions", "corrupt.suite", "corrupt.custom"], problem);
    }
    let chosen = |ladder: &&Ladder| wanted.as_ref().is_none_or(|wanted| wanted.contains(&ladder.0));
    for (name, levels) in ladders.iter().filter(chosen) {
        let severities = severities.iter().filter_map(|&s| Severity::new(u8::try_from(s).ok()?));
        cells.extend(
            severities.map(|severity| Cell::corrupted(name, severity, levels[severity.index()].clone())),
        );
    }
    if cells.is_empty() {
        let problem = Problem::new("C001", Exit::Config, "corrupt: no cell is left to score")
            .hint("set corrupt.include_clean = true or name a suite and severities");
        let keys =
            ["corrupt", "corrupt.suite", "corrupt.corruptions", "corrupt.severities", "corrupt.custom"];
        reader.problem(&[&keys[..], &["corrupt.include_clean"]].concat(), problem);
    }
    cells
}

/// `[[corrupt.custom]]`: a name, a kind, and one list of parameters per severity.
fn read_custom(reader: &mut Reader) -> Vec<Ladder> {
    let tables = reader.opt_tables("corrupt.custom");
    reader.narrow("corrupt.custom", json!({ "items": custom_shape() }));
    let Some(tables) = tables else { return Vec::new() };
    let mut ladders = Vec::new();
    for (n, table) in tables.iter().enumerate() {
        match custom(table) {
            Some(ladder) => ladders.push(ladder),
            None => {
                let found = quoted(table.get("name").and_then(Value::as_str).unwrap_or("no name"));
                let what = format!(
                    "corrupt.custom[{n}]: found {found}, allowed name = \"...\", kind = one of {}, parameters = five numbers or five lists",
                    KINDS.join(", ")
                );
                let hint = "a name is small letters, digits and _; parameters are positive and in the range of their kind";
                reader.problem(&["corrupt.custom"], Problem::new("C001", Exit::Config, what).hint(hint));
            }
        }
    }
    ladders
}

/// One table of `corrupt.custom`, as a schema says it.
fn custom_shape() -> serde_json::Value {
    let level =
        json!({ "anyOf": [{ "type": "number" }, { "type": "array", "items": { "type": "number" } }] });
    json!({
        "type": "object", "required": ["name", "kind", "parameters"], "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "pattern": "^[a-z0-9_]{1,40}$" },
            "kind": { "enum": KINDS },
            "parameters": { "type": "array", "items": level, "minItems": 5, "maxItems": 5 },
        },
    })
}

fn custom(table: &Table) -> Option<Ladder> {
    let name = table.get("name")?.as_str()?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 40 || name == "clean" || !name.chars().all(plain) || table.len() != 3 {
        return None;
    }
    let kind = table.get("kind")?.as_str()?;
    let levels = table.get("parameters")?.as_array()?.iter().map(|level| corruption(kind, &numbers(level)?));
    let levels: Vec<Corruption> = levels.collect::<Option<_>>()?;
    Some((name.to_owned(), levels.try_into().ok()?))
}

fn numbers(level: &Value) -> Option<Vec<f64>> {
    #[expect(clippy::cast_precision_loss, reason = "a parameter written as an integer is small")]
    let number =
        |v: &Value| v.as_float().or_else(|| v.as_integer().map(|n| n as f64)).filter(|n| n.is_finite());
    match level.as_array() {
        Some(list) => list.iter().map(number).collect(),
        None => Some(vec![number(level)?]),
    }
}

/// Kinds a user can give parameters for.
const KINDS: [&str; 13] = [
    "pixelate",
    "jpeg_compression",
    "gaussian_noise",
    "speckle_noise",
    "impulse_noise",
    "shot_noise",
    "gaussian_blur",
    "defocus_blur",
    "motion_blur",
    "brightness",
    "contrast",
    "gamma_correction",
    "black_corner",
];

fn corruption(kind: &str, parameters: &[f64]) -> Option<Corruption> {
    let positive = parameters.iter().all(|&p| p > 0.0 && p <= 1e4);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    let whole = |p: f64, max: f64| (p.fract() == 0.0 && (1.0..=max).contains(&p)).then_some(p as u8);
    Some(match (kind, parameters) {
        _ if !positive => return None,
        ("pixelate", &[factor]) if factor <= 1.0 => Corruption::Pixelate { factor },
        ("jpeg_compression", &[quality]) => Corruption::JpegCompression { quality: whole(quality, 100.0)? },
        ("gaussian_noise", &[std]) => Corruption::GaussianNoise { std },
        ("speckle_noise", &[std]) => Corruption::SpeckleNoise { std },
        ("impulse_noise", &[amount]) if amount <= 1.0 => Corruption::ImpulseNoise { amount },
        ("shot_noise", &[photons]) => Corruption::ShotNoise { photons },
        ("gaussian_blur", &[size]) => {
            let kernel_size_px = whole(size, 99.0).filter(|size| size % 2 == 1)?;
            Corruption::GaussianBlur { kernel_size_px }
        }
        ("defocus_blur", &[radius_px, alias_sigma_px]) if radius_px <= 10.0 => {
            Corruption::DefocusBlur { radius_px, alias_sigma_px }
        }
        ("motion_blur", &[radius_px, sigma_px]) if radius_px <= 100.0 => {
            Corruption::MotionBlur { radius_px, sigma_px }
        }
        ("brightness", &[factor]) => Corruption::Brightness { factor },
        ("contrast", &[factor]) => Corruption::Contrast { factor },
        ("gamma_correction", &[gamma]) => Corruption::GammaCorrection { gamma },
        ("black_corner", &[radius_factor]) => Corruption::BlackCorner { radius_factor },
        _ => return None,
    })
}
