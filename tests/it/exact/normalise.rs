//! Bytes become the numbers that transformers' image processor makes of them, bit for bit.

use candle_core::Device;
use serde::Deserialize;
use t3b::model::normalize::Normalizer;

#[test]
fn bytes_are_normalised_as_the_processor_does_it() {
    #[derive(Deserialize)]
    struct Channels {
        channels: Vec<Vec<f32>>,
    }
    let golden: Channels = serde_json::from_str(include_str!("../../golden/clip/normalise.json")).unwrap();
    let normalizer = Normalizer::new();
    for (channel, values) in golden.channels.iter().enumerate() {
        for (byte, value) in values.iter().enumerate() {
            assert_eq!(normalizer.value(channel, byte as u8), *value, "channel {channel}, byte {byte}");
        }
    }
}

#[test]
fn a_batch_is_laid_out_in_planes() {
    let pixels: Vec<u8> = (0..2 * 2 * 2 * 3).collect();
    let normalizer = Normalizer::new();
    let batch = normalizer.batch(&pixels, 2, &Device::Cpu).unwrap();
    assert_eq!(batch.dims(), [2, 3, 2, 2]);
    let values = batch.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (place, value) in values.iter().enumerate() {
        let (image, channel, pixel) = (place / 12, place / 4 % 3, place % 4);
        assert_eq!(*value, normalizer.value(channel, pixels[image * 12 + pixel * 3 + channel]));
    }
}
