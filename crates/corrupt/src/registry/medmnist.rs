//! MedMNIST-C: twelve data sets.
//!
//! Reference: `medmnistc.corruptions.registry.CORRUPTIONS_DS` and `DATASET_RGB`.

use super::Entry;
use super::entries::{
    ZOOM, black_corner, brightness, bubble, characters, contrast, defocus, gamma, gaussian_blur,
    gaussian_noise, impulse_noise, jpeg, motion, pixelate, saturate, shot_noise, speckle_noise, stain, zoom,
};
use crate::assets::Assets;

/// Whether a data set is grey, and its corruptions in registry order; `None` for other names.
pub(super) fn data_set(name: &str, assets: &Assets) -> Option<(bool, Vec<Entry>)> {
    Some(match name {
        "pathmnist" => (false, path(assets)),
        "bloodmnist" => (false, blood(assets)),
        "dermamnist" => (false, derma(assets)),
        "retinamnist" => (false, retina()),
        "tissuemnist" => (true, tissue()),
        "octmnist" => (true, oct()),
        "breastmnist" => (true, breast()),
        "chestmnist" => (true, chest()),
        "pneumoniamnist" => (true, pneumonia()),
        "organamnist" | "organcmnist" | "organsmnist" => (true, organ()),
        _ => return None,
    })
}

// Levels that several data sets share.
const BRIGHTNESS_UP: [f64; 5] = [1.1, 1.2, 1.3, 1.4, 1.5];
const BRIGHTNESS_DOWN: [f64; 5] = [0.9, 0.8, 0.7, 0.6, 0.5];
const CONTRAST_UP: [f64; 5] = [1.1, 1.2, 1.3, 1.4, 1.6];
const CONTRAST_DOWN: [f64; 5] = [0.9, 0.8, 0.7, 0.6, 0.4];
const GAMMA_UP: [f64; 5] = [1.1, 1.2, 1.3, 1.4, 1.6];
const GAMMA_DOWN: [f64; 5] = [0.9, 0.8, 0.7, 0.6, 0.4];
const JPEG: [u8; 5] = [50, 30, 15, 10, 7];

fn path(assets: &Assets) -> Vec<Entry> {
    vec![
        pixelate([0.8, 0.6, 0.4, 0.3, 0.25]),
        jpeg(JPEG),
        defocus([(3.0, 0.1), (4.0, 0.1), (5.0, 0.2), (6.0, 0.2), (7.0, 0.3)]),
        motion([(5.0, 5.0), (10.0, 5.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0)]),
        brightness("brightness_up", [1.1, 1.15, 1.2, 1.22, 1.25]),
        brightness("brightness_down", [0.85, 0.8, 0.75, 0.72, 0.7]),
        contrast("contrast_up", CONTRAST_UP),
        contrast("contrast_down", [0.8, 0.7, 0.6, 0.55, 0.5]),
        saturate([0.05, 0.10, 0.15, 0.20, 0.25].map(|shift| (1.0, shift))),
        stain([1, 2, 3, 4, 5], assets),
        bubble([(7, 15), (10, 15), (12, 15), (15, 20), (17, 25)]),
    ]
}

fn blood(assets: &Assets) -> Vec<Entry> {
    vec![
        pixelate([0.6, 0.5, 0.4, 0.3, 0.25]),
        jpeg(JPEG),
        defocus([(2.0, 0.01), (3.0, 0.1), (4.0, 0.1), (5.0, 0.1), (6.0, 0.1)]),
        motion([(3.0, 3.0), (5.0, 5.0), (10.0, 5.0), (10.0, 7.0), (10.0, 9.0)]),
        brightness("brightness_up", [1.1, 1.2, 1.3, 1.35, 1.4]),
        brightness("brightness_down", BRIGHTNESS_DOWN),
        contrast("contrast_up", [1.1, 1.15, 1.2, 1.25, 1.3]),
        contrast("contrast_down", [0.9, 0.8, 0.7, 0.6, 0.5]),
        saturate([0.05, 0.10, 0.15, 0.17, 0.20].map(|shift| (1.0, shift))),
        stain([1, 2, 3, 3, 3], assets),
        bubble([(5, 10), (7, 10), (10, 10), (12, 12), (15, 12)]),
    ]
}

fn derma(assets: &Assets) -> Vec<Entry> {
    vec![
        pixelate([0.7, 0.5, 0.4, 0.3, 0.25]),
        jpeg([30, 20, 15, 10, 7]),
        gaussian_noise([0.04, 0.08, 0.12, 0.18, 0.26]),
        speckle_noise([0.05, 0.15, 0.2, 0.35, 0.45]),
        impulse_noise([0.01, 0.03, 0.06, 0.09, 0.17]),
        shot_noise([60.0, 25.0, 18.0, 10.0, 5.0]),
        defocus([(4.0, 0.1), (5.0, 0.2), (6.0, 0.3), (7.0, 0.4), (8.0, 0.5)]),
        motion([(10.0, 5.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0)]),
        zoom(ZOOM),
        brightness("brightness_up", BRIGHTNESS_UP),
        brightness("brightness_down", BRIGHTNESS_DOWN),
        contrast("contrast_up", CONTRAST_UP),
        contrast("contrast_down", [0.8, 0.7, 0.6, 0.5, 0.4]),
        // Severity 4 blackens more than severity 5; so does the reference.
        black_corner([1.10, 1.05, 1.00, 0.90, 0.95]),
        characters([(1, 6, 14), (2, 7, 15), (3, 8, 16), (4, 9, 17), (6, 10, 18)], assets),
    ]
}

fn retina() -> Vec<Entry> {
    vec![
        pixelate([0.8, 0.6, 0.5, 0.4, 0.35]),
        jpeg([30, 25, 20, 10, 5]),
        gaussian_noise([0.04, 0.08, 0.12, 0.16, 0.20]),
        speckle_noise([0.10, 0.15, 0.20, 0.25, 0.30]),
        // The reference lists a sixth, (9, 0.6), which no severity reaches.
        defocus([(4.0, 0.1), (5.0, 0.2), (6.0, 0.3), (7.0, 0.4), (8.0, 0.5)]),
        motion([(8.0, 5.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0)]),
        brightness("brightness_down", BRIGHTNESS_DOWN),
        contrast("contrast_down", CONTRAST_DOWN),
    ]
}

fn tissue() -> Vec<Entry> {
    vec![
        pixelate([0.4, 0.3, 0.2, 0.15, 0.1]),
        jpeg([25, 20, 15, 10, 7]),
        impulse_noise([0.01, 0.015, 0.02, 0.025, 0.03]),
        gaussian_blur([13, 15, 17, 21, 25]),
        brightness("brightness_up", [1.3, 1.4, 1.5, 1.6, 1.7]),
        brightness("brightness_down", [0.8, 0.7, 0.6, 0.5, 0.4]),
        contrast("contrast_up", CONTRAST_UP),
        contrast("contrast_down", CONTRAST_DOWN),
    ]
}

fn oct() -> Vec<Entry> {
    vec![
        pixelate([0.3, 0.25, 0.2, 0.15, 0.1]),
        jpeg([30, 15, 10, 7, 5]),
        speckle_noise([0.15, 0.30, 0.40, 0.50, 0.60]),
        defocus([(0.5, 0.6), (1.0, 0.5), (1.5, 0.1), (2.0, 0.5), (2.5, 0.1)]),
        motion([(10.0, 3.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0)]),
        contrast("contrast_down", [0.6, 0.4, 0.3, 0.2, 0.15]),
    ]
}

fn breast() -> Vec<Entry> {
    vec![
        pixelate([0.3, 0.25, 0.2, 0.15, 0.1]),
        jpeg(JPEG),
        speckle_noise([0.10, 0.15, 0.20, 0.25, 0.30]),
        motion([(5.0, 5.0), (9.0, 7.0), (9.0, 10.0), (13.0, 10.0), (17.0, 12.0)]),
        brightness("brightness_up", [1.4, 1.5, 1.6, 1.8, 2.0]),
        brightness("brightness_down", [0.55, 0.5, 0.45, 0.4, 0.3]),
        contrast("contrast_down", CONTRAST_DOWN),
    ]
}

fn chest() -> Vec<Entry> {
    vec![
        pixelate([0.3, 0.25, 0.2, 0.15, 0.1]),
        jpeg(JPEG),
        gaussian_noise([0.04, 0.08, 0.12, 0.18, 0.26]),
        speckle_noise([0.05, 0.15, 0.2, 0.35, 0.45]),
        impulse_noise([0.01, 0.03, 0.06, 0.09, 0.17]),
        shot_noise([60.0, 25.0, 18.0, 10.0, 5.0]),
        // The reference lists a sixth, 13, which no severity reaches; likewise for pneumonia.
        gaussian_blur([3, 5, 7, 9, 11]),
        brightness("brightness_up", BRIGHTNESS_UP),
        brightness("brightness_down", BRIGHTNESS_DOWN),
        contrast("contrast_up", CONTRAST_UP),
        contrast("contrast_down", CONTRAST_DOWN),
        gamma("gamma_corr_up", GAMMA_UP),
        gamma("gamma_corr_down", GAMMA_DOWN),
    ]
}

fn pneumonia() -> Vec<Entry> {
    vec![
        pixelate([0.8, 0.7, 0.6, 0.5, 0.4]),
        jpeg(JPEG),
        gaussian_noise([0.04, 0.05, 0.06, 0.07, 0.08]),
        speckle_noise([0.05, 0.07, 0.10, 0.15, 0.20]),
        impulse_noise([0.005, 0.01, 0.013, 0.017, 0.02]),
        shot_noise([300.0, 200.0, 150.0, 100.0, 80.0]),
        gaussian_blur([3, 5, 7, 9, 11]),
        brightness("brightness_up", BRIGHTNESS_UP),
        brightness("brightness_down", BRIGHTNESS_DOWN),
        contrast("contrast_up", CONTRAST_UP),
        contrast("contrast_down", CONTRAST_DOWN),
        gamma("gamma_corr_up", GAMMA_UP),
        gamma("gamma_corr_down", GAMMA_DOWN),
    ]
}

/// The axial, coronal and sagittal organ sets share one table.
fn organ() -> Vec<Entry> {
    vec![
        pixelate([0.7, 0.6, 0.5, 0.4, 0.35]),
        jpeg(JPEG),
        gaussian_noise([0.04, 0.08, 0.12, 0.16, 0.20]),
        speckle_noise([0.05, 0.10, 0.20, 0.30, 0.40]),
        impulse_noise([0.01, 0.02, 0.03, 0.05, 0.08]),
        shot_noise([200.0, 100.0, 50.0, 25.0, 15.0]),
        gaussian_blur([11, 13, 15, 17, 21]),
        brightness("brightness_up", [1.2, 1.3, 1.4, 1.5, 1.6]),
        brightness("brightness_down", [0.8, 0.75, 0.7, 0.65, 0.6]),
        contrast("contrast_up", [1.3, 1.4, 1.6, 1.7, 1.8]),
        contrast("contrast_down", [0.8, 0.7, 0.6, 0.55, 0.5]),
        gamma("gamma_corr_up", [1.3, 1.4, 1.6, 1.8, 2.0]),
        gamma("gamma_corr_down", GAMMA_DOWN),
    ]
}
