//! Which picture of an object is meant, and how its values become 8 bits.

/// What a manifest row and a pipeline say about decoding an object.
///
/// The default asks for the only picture, windows it as its file says and scores burned-in annotation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rendering {
    /// The picture of a multi-frame DICOM or multi-page TIFF, counted from 0. `None` accepts one picture only.
    pub frame: Option<u32>,
    /// The slice of a NIfTI volume; other formats have none. `None` accepts a volume of one slice only.
    pub slice: Option<Slice>,
    /// How DICOM and NIfTI grey values become levels. Other formats have one rule and ignore it.
    pub window: Window,
    /// Whether a DICOM object that declares burned-in annotation is decoded.
    pub burned_in: BurnedIn,
}

/// One plane of a volume: `np.rot90(np.take(volume, index, axis))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// 0, 1 or 2; in a volume of RAS order sagittal, coronal, axial.
    pub axis: u8,
    /// From 0.
    pub index: u32,
}

/// Which grey values of a DICOM picture become black and white.
///
/// Applies to MONOCHROME pictures, after the modality transformation; colour is never windowed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Window {
    /// The file's first VOI LUT, else its first window, else the stored range for up to 8 bits, else [`Window::MinMax`].
    #[default]
    File,
    /// A linear window (PS3.3 C.11.2.1.2.1), in the units after rescale.
    Fixed {
        /// Value in the middle; finite.
        center: f64,
        /// Values from black to white; finite and at least 1.
        width: f64,
    },
    /// From the smallest to the largest value of the picture, padding left out.
    MinMax,
    /// From the 1st to the 99th percentile of the picture (nearest rank), padding left out.
    Percentile,
}

/// The quantiles of [`Window::Percentile`].
pub(super) const PERCENTILES: (f64, f64) = (0.01, 0.99);

/// 0..=1 to 0..=255, rounded to the nearest; what is beyond is cut, and not a number becomes 0.
pub(super) fn to_level(unit: f64) -> u8 {
    (unit.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

/// What happens to a DICOM object whose Burned In Annotation (0028,0301) is YES.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BurnedIn {
    /// It is scored like any other.
    #[default]
    Score,
    /// It is refused as `burned_in_annotation`.
    Quarantine,
}
