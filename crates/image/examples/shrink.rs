//! Shrinks a picture as Pillow does and prints the mean of its channels.

use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

fn main() {
    let stripes: Vec<u8> = (0..640 * 480 * 3).map(|n| if (n / 30) % 2 == 0 { 230 } else { 40 }).collect();
    let image = Rgb8::new(640, 480, stripes).expect("as long as its shape says");
    let small = Resizer::default().short_side_then_center_crop(&image, 224);
    let sum: u64 = small.as_bytes().iter().map(|&value| u64::from(value)).sum();
    println!("{small:?}, mean level {}", sum / small.as_bytes().len() as u64);
}
