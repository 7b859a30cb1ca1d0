//! The kernels by name, and those that are not the tower's.

use std::hint::black_box;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use t3b_corrupt::{Scratch, Severity, Streams, Suite};
use t3b_decode::Limits;
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

use crate::merge::divergence::{Signals, log_softmax};
use crate::merge::lerp::lerp_into;
use crate::model::fast::tower;

/// Runs a kernel a number of times.
type Kernel = fn(usize);

pub(crate) const KERNELS: [(&str, Kernel); 12] = [
    ("product", tower::product),
    ("merged_product", tower::merged_product),
    ("int8_product", tower::int8_product),
    ("attention", tower::attention),
    ("norm", tower::norm),
    ("activations", tower::activations),
    ("merge", merge),
    ("divergence", divergence),
    ("resize", resize),
    ("defocus_blur", defocus_blur),
    ("jpeg_compression", jpeg_compression),
    ("jpeg_decode", jpeg_decode),
];

/// Side of a picture before it is resized.
const PICTURE_PX: u32 = 360;
/// Side of the image that the model sees.
const MODEL_PX: u32 = 224;
const SEVERITY: Severity = Severity::ALL[2];

/// Numbers between -1 and 1 that follow no line.
pub(crate) fn wave(i: usize, salt: f32) -> f32 {
    (i as f32 * salt).sin()
}

/// Two tensors, one that is streamed and one that stays in the cache.
fn merge(n: usize) {
    let parent = |salt| (0..1 << 20).map(|i| wave(i, salt)).collect::<Vec<_>>();
    let (pt, ft, mut out) = (parent(0.37), parent(0.91), vec![0.0; 1 << 20]);
    for _ in 0..n {
        for len in [1 << 20, 1 << 17] {
            lerp_into(&black_box(&pt)[..len], &ft[..len], 0.37, black_box(&mut out[..len]));
        }
    }
}

/// Signals of 256 images over 8 classes and of 4 over 1000, from the logits of both parents.
fn divergence(n: usize) {
    let logits: Vec<f32> = (0..8000).map(|i| 20.0 * wave(i, 0.171)).collect();
    for _ in 0..n {
        for (n_rows, n_classes) in [(256, 8), (4, 1000)] {
            for row in 0..n_rows {
                let pt = &black_box(&logits)[row * n_classes..][..n_classes];
                let ft = &black_box(&logits)[8000 - (row + 1) * n_classes..][..n_classes];
                black_box(Signals::of(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0)));
            }
        }
    }
}

/// Ramps with noise on them, so that neither a blur nor an encoder has it easy.
fn picture(side_px: u32) -> Rgb8 {
    let (mut state, mut values) = (12_345_u32, Vec::new());
    for (y, x) in (0..side_px).flat_map(|y| (0..side_px).map(move |x| (y, x))) {
        for ramp in [x * 255 / side_px, y * 255 / side_px, (x + y) * 255 / (2 * side_px)] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(((7 * ramp + (state >> 24)) / 8) as u8);
        }
    }
    Rgb8::new(side_px, side_px, values).expect("the buffer has the size of the image")
}

fn resize(n: usize) {
    let (picture, mut resizer) = (picture(PICTURE_PX), Resizer::default());
    for _ in 0..n {
        black_box(resizer.short_side_then_center_crop(black_box(&picture), MODEL_PX));
    }
}

fn defocus_blur(n: usize) {
    corruption(n, "defocus_blur");
}

fn jpeg_compression(n: usize) {
    corruption(n, "jpeg_compression");
}

fn corruption(n: usize, name: &str) {
    let suite = Suite::named("bloodmnist").expect("a suite of MedMNIST-C");
    let entry = suite.entries().iter().find(|entry| entry.name == name).expect("one of its corruptions");
    let (image, mut scratch) = (picture(MODEL_PX), Scratch::default());
    let mut out = image.clone();
    for _ in 0..n {
        let mut streams = Streams::counter(0, "sample", name, SEVERITY);
        let kind = entry.at(SEVERITY);
        t3b_corrupt::apply(kind, false, black_box(&image), &mut streams, &mut scratch, &mut out);
        black_box(&mut out);
    }
}

fn jpeg_decode(n: usize) {
    let (picture, mut file) = (picture(PICTURE_PX), Vec::new());
    JpegEncoder::new_with_quality(&mut file, 90)
        .write_image(picture.as_bytes(), PICTURE_PX, PICTURE_PX, ExtendedColorType::Rgb8)
        .expect("memory");
    for _ in 0..n {
        black_box(t3b_decode::decode(black_box(&file), &Limits::default()).expect("a good file"));
    }
}
