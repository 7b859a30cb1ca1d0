use proptest::prelude::*;
use t3b_decode::decode;
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

use super::{LOOSE, code, golden, golden_file};

fn any_image(max_side: u32) -> impl Strategy<Value = Rgb8> {
    (1..=max_side, 1..=max_side).prop_flat_map(|(width, height)| {
        let len = (width * height * 3) as usize;
        proptest::collection::vec(any::<u8>(), len)
            .prop_map(move |data| Rgb8::new(width, height, data).unwrap())
    })
}

/// Lowest and highest value of each channel.
fn channel_ranges(image: &Rgb8) -> [(u8, u8); 3] {
    std::array::from_fn(|channel| {
        let values = image.as_bytes().iter().skip(channel).step_by(3);
        (*values.clone().min().unwrap(), *values.max().unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resizing_to_the_same_size_is_the_identity(image in any_image(40)) {
        let same = Resizer::default().bicubic(&image, image.width_px(), image.height_px());
        prop_assert!(same == image);
    }

    #[test]
    fn a_constant_image_stays_constant(rgb in any::<[u8; 3]>(), from in (1_u32..300, 1_u32..300), to in (1_u32..300, 1_u32..300)) {
        let resized = Resizer::default().bicubic(&Rgb8::filled(from.0, from.1, rgb), to.0, to.1);
        prop_assert!(resized == Rgb8::filled(to.0, to.1, rgb));
    }

    #[test]
    fn overshoot_stays_inside_the_kernels_bound(image in any_image(24), to in (1_u32..50, 1_u32..50)) {
        let resized = Resizer::default().bicubic(&image, to.0, to.1);
        // One pass overshoots by at most 1/8 of the range at either end, two by a bit over 1/4.
        for ((low, high), (lowest, highest)) in channel_ranges(&image).into_iter().zip(channel_ranges(&resized)) {
            let slack = (f64::from(high - low) * 0.3125).ceil() as u8 + 1;
            prop_assert!(lowest >= low.saturating_sub(slack) && highest <= high.saturating_add(slack));
        }
    }

    #[test]
    fn a_crop_is_the_middle_of_the_whole(image in any_image(40), size in 1_u32..40) {
        let mut resizer = Resizer::default();
        let crop = resizer.short_side_then_center_crop(&image, size);
        let (short, long) = (image.width_px().min(image.height_px()), image.width_px().max(image.height_px()));
        let scaled = size * long / short;
        let (width, height) = if image.width_px() <= image.height_px() { (size, scaled) } else { (scaled, size) };
        let whole = resizer.bicubic(&image, width, height);
        // Python's round(leftover / 2).
        let offset = |total: u32| (f64::from(total - size) / 2.0).round_ties_even() as usize;
        let (left, top) = (offset(width), offset(height));
        for y in 0..size as usize {
            let start = ((top + y) * width as usize + left) * 3;
            let row = &whole.as_bytes()[start..start + 3 * size as usize];
            prop_assert_eq!(row, &crop.as_bytes()[y * 3 * size as usize..][..3 * size as usize]);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &LOOSE);
        for magic in [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"] {
            prop_assert_ne!(code(&decode(&[magic, &bytes].concat(), &LOOSE)), "decoder_panic");
        }
    }

    #[test]
    fn mutated_files_are_decoded_or_refused(
        pick in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let entries = golden("decode");
        let mut bytes = golden_file(pick.get(&entries));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            let (from, len) = (cut.index(bytes.len()), bytes.len());
            bytes.drain(from..(from + 9).min(len));
        }
        prop_assert_ne!(code(&decode(&bytes, &LOOSE)), "decoder_panic");
    }
}
