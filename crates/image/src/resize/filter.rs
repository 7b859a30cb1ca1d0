//! Pillow's resampling filters.

use std::f64::consts::PI;

/// A filter by Pillow's name. Shrinking widens all of them but the nearest pixel: what others call antialiasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// The input pixel under the centre of the output pixel.
    Nearest,
    /// The mean of the pixels under the output pixel.
    Box,
    /// A triangle.
    Bilinear,
    /// A Hamming window of the width of the triangle.
    Hamming,
    /// The cubic convolution with a = -0.5.
    #[default]
    Bicubic,
    /// A truncated sinc of three lobes.
    Lanczos,
}

impl Filter {
    /// Every filter and its name, as in `PIL.Image.Resampling`, in lower case.
    pub const NAMES: [(Self, &str); 6] = [
        (Self::Nearest, "nearest"),
        (Self::Box, "box"),
        (Self::Bilinear, "bilinear"),
        (Self::Hamming, "hamming"),
        (Self::Bicubic, "bicubic"),
        (Self::Lanczos, "lanczos"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(filter, _)| *filter == self).map_or("", |(_, name)| name)
    }

    /// The filter of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(filter, _)| *filter)
    }

    /// The filter of a number in `PIL.Image.Resampling`, which is what configuration files hold.
    #[must_use]
    pub fn numbered(number: u64) -> Option<Self> {
        let by_number =
            [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];
        by_number.get(usize::try_from(number).ok()?).copied()
    }

    /// Half the width of the kernel in input pixels, when nothing is shrunk.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The kernel. Reference: Pillow `Resample.c`, whose order of operations decides the last bits.
    pub(super) fn weight(self, x: f64) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => {
                let x = x.abs();
                if x < 1.0 { 1.0 - x } else { 0.0 }
            }
            Self::Hamming => hamming(x.abs()),
            Self::Bicubic => cubic(x),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

fn hamming(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let x = x * PI;
    x.sin() / x * (f64::from(0.54_f32) + f64::from(0.46_f32) * x.cos())
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// The cubic convolution with a = -0.5.
#[inline]
pub(super) fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
