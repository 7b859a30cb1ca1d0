//! Corrupted images as files: whole benchmark data sets, and one picture that shows a suite.
//!
//! The job corrupts on the way and stores no image. This module is for those who want the images themselves, to
//! look at them or to hand them to another tool.

mod font;
mod npz;
mod sheet;

pub use npz::{ExportError, data_set_name, export_medmnist_c};
pub use sheet::{contact_sheet, write_png};
