//! `t3b decode`: what the decoder makes of one image, to look at and to compare with.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use object_store::path::Path as Key;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::opening::{on_runtime, start_logging};
use crate::error::{Exit, Problem, RunError};
use crate::job::models;
use crate::settings::{Settings, Sources, Spec};
use crate::store::{Object, Root};
use t3b_corrupt::export::write_png;
use t3b_decode::worker::Decoder;
use t3b_decode::{DecodeError, Facts, Limits, Rendering, Slice, Window};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

/// Most bytes of an image: eight times what a run takes by default.
const MAX_BYTES: u64 = 2 << 30;

/// `t3b decode`.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// The image: a file, or an object by its URI.
    #[arg(value_name = "IMAGE", env = "T3B_DECODE_IMAGE")]
    pub image: String,
    /// The PNG to write.
    #[arg(short, long, value_name = "OUT.png", env = "T3B_DECODE_OUT")]
    pub out: Option<PathBuf>,
    /// Frame of a DICOM object, page of a TIFF, volume of a series, from 0.
    #[arg(long, value_name = "N", env = "T3B_DECODE_FRAME")]
    pub frame: Option<u32>,
    /// Axis of a volume that is cut across: 0, 1 or 2.
    #[arg(long, value_name = "A", requires = "index", value_parser = clap::value_parser!(u8).range(0..3),
        env = "T3B_DECODE_AXIS")]
    pub axis: Option<u8>,
    /// Slice along the axis, from 0.
    #[arg(long, value_name = "I", requires = "axis", env = "T3B_DECODE_INDEX")]
    pub index: Option<u32>,
    /// file, minmax, percentile, or CENTER,WIDTH; by default that of the pipeline, else file.
    #[arg(long, value_name = "W", value_parser = window, allow_hyphen_values = true, env = "T3B_DECODE_WINDOW")]
    pub window: Option<Window>,
    /// Takes limits, window and isolation of this pipeline, and shows what its model sees: resized and cropped.
    #[arg(long, value_name = "PIPELINE.toml", env = "T3B_DECODE_MODEL")]
    pub model: Option<PathBuf>,
    /// How the store is spoken to.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG")]
    pub config: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

fn window(text: &str) -> Result<Window, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match (text, text.split_once(',')) {
        ("file", _) => Ok(Window::File),
        ("minmax", _) => Ok(Window::MinMax),
        ("percentile", _) => Ok(Window::Percentile),
        (_, Some((center, width))) => match (number(center), number(width)) {
            (Some(center), Some(width)) if width >= 1.0 => Ok(Window::Fixed { center, width }),
            _ => Err("expected two numbers, the second at least 1, for example 40,400".to_owned()),
        },
        _ => Err("expected file, minmax, percentile or CENTER,WIDTH".to_owned()),
    }
}

/// Decodes one image and prints what was found; 65 where it is refused.
pub(super) fn decode(args: &DecodeArgs) -> Result<Exit, RunError> {
    let sources = Sources { config: args.config.iter().cloned().collect(), ..Sources::default() };
    let spec = match &args.model {
        Some(pipeline) => Some(Spec::load(&Sources { pipeline: pipeline.clone(), ..sources.clone() })?),
        None => None,
    };
    let settings = match &spec {
        Some(spec) => spec.settings.clone(),
        None => Settings::defaults(&sources)?,
    };
    start_logging(&settings);
    let (bytes, side_px) = on_runtime(&settings, async {
        let bytes = read(&args.image, &settings).await?;
        let side_px = match &spec {
            Some(spec) => Some(models::image_px(spec).await?),
            None => None,
        };
        Ok((bytes, side_px))
    })?;
    let limits = spec.as_ref().map_or_else(Limits::default, |spec| spec.pipeline.limits);
    let own = spec.as_ref().map_or_else(Rendering::default, |spec| spec.pipeline.rendering);
    let slice = args.axis.zip(args.index).map(|(axis, index)| Slice { axis, index });
    let rendering = Rendering { frame: args.frame, slice, window: args.window.unwrap_or(own.window), ..own };
    let decoder = Decoder::new(settings.isolation, Decoder::this_program().into());
    let (facts, image) = decoder.decode(&bytes, &limits, &rendering).map_err(Problem::from)?;
    let image = image.map(|image| match side_px {
        Some(side_px) => Resizer::default().short_side_then_center_crop(&image, side_px),
        None => image,
    });
    if let (Some(out), Ok(image)) = (&args.out, &image) {
        write(out, image)?;
    }
    let said = describe(bytes.len(), &facts, &image);
    if args.json {
        say!("{}", Value::Object(said));
    } else {
        for (name, value) in &said {
            say!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    Ok(if image.is_ok() { Exit::Done } else { Exit::BadData })
}

/// The facts, numbers as such, and the picture's size and hash or the reason.
fn describe(size_bytes: usize, facts: &Facts, image: &Result<Rgb8, DecodeError>) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("size_bytes".to_owned(), size_bytes.into());
    for (name, value) in facts.iter() {
        let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        said.insert(name.to_owned(), value);
    }
    match image {
        Ok(image) => {
            said.insert("width_px".to_owned(), image.width_px().into());
            said.insert("height_px".to_owned(), image.height_px().into());
            said.insert("rgb_sha256".to_owned(), hex::encode(Sha256::digest(image.as_bytes())).into());
        }
        Err(error) => {
            said.insert("format".to_owned(), error.format.name().into());
            said.insert("reason".to_owned(), error.reason.code().into());
            said.insert("detail".to_owned(), error.detail.clone().into());
        }
    }
    said
}

async fn read(image: &str, settings: &Settings) -> Result<Bytes, RunError> {
    let local = image.strip_prefix("file://").unwrap_or(image);
    if !local.contains("://") {
        return read_local(Path::new(local)).map_err(RunError::from);
    }
    let (folder, name) = image.rsplit_once('/').unwrap_or((image, ""));
    let root = Root::open(folder, false, &settings.store)?;
    let key = Key::parse(name).map_err(|_| unreadable("the last part of the URI is no name"))?;
    match root
        .read_object(&key, "image", MAX_BYTES, settings.fetch_range_bytes)
        .await
        .map_err(Problem::from)?
    {
        Object::Bytes(bytes) => Ok(bytes),
        Object::Empty => Ok(Bytes::new()),
        Object::Missing => Err(unreadable("no object of that name").into()),
        Object::TooLarge(found) => Err(unreadable(&format!("{found} bytes, allowed {MAX_BYTES}")).into()),
        Object::Outside | Object::Special => Err(unreadable("no regular file below its folder").into()),
        Object::Short(_) | Object::Archived | Object::Changed => {
            Err(unreadable("archived, or changed while it was read").into())
        }
    }
}

fn read_local(path: &Path) -> Result<Bytes, Problem> {
    let found = fs::metadata(path).map_err(|error| unreadable(&error.kind().to_string()))?;
    if !found.is_file() || found.len() > MAX_BYTES {
        return Err(unreadable(&format!("not a file of at most {MAX_BYTES} bytes")));
    }
    fs::read(path).map(Bytes::from).map_err(|error| unreadable(&error.kind().to_string()))
}

fn write(path: &Path, image: &Rgb8) -> Result<(), Problem> {
    write_png(path, image).map_err(|error| {
        let what = format!("the PNG cannot be written ({})", error.kind());
        Problem::new("C007", Exit::Permission, what).hint("choose another --out")
    })
}

fn unreadable(why: &str) -> Problem {
    Problem::new("C007", Exit::Config, format!("IMAGE: cannot be read: {why}"))
        .hint("name one image, a file or a URI: docs/inputs.md lists the formats")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_they_are_written_in_a_pipeline() {
        assert_eq!(window("minmax"), Ok(Window::MinMax));
        assert_eq!(window("-600,1500"), Ok(Window::Fixed { center: -600.0, width: 1500.0 }));
        for wrong in ["", "40", "40,0", "40,nan", "a,b"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }
}
