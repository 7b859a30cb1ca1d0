//! Files that are not, or not quite, the safetensors file they were made from.
//!
//! Every function takes the content of a good file, f32 throughout, and returns that of a bad one.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde_json::{Value, json};

type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

/// 1: no byte at all.
pub(crate) fn empty(_: &[u8]) -> Vec<u8> {
    Vec::new()
}

/// 2: ends inside the eight bytes of the header's length.
pub(crate) fn length_field_cut(good: &[u8]) -> Vec<u8> {
    good[..5].to_vec()
}

/// 3: ends 7 bytes before the header does.
pub(crate) fn header_cut(good: &[u8]) -> Vec<u8> {
    good[..8 + header_bytes(good) - 7].to_vec()
}

/// 4: ends 12 bytes before the data does.
pub(crate) fn data_cut(good: &[u8]) -> Vec<u8> {
    good[..good.len() - 12].to_vec()
}

/// 5: 4 bytes behind the last tensor.
pub(crate) fn trailing(good: &[u8]) -> Vec<u8> {
    [good, &[0; 4]].concat()
}

/// 6: a header of 2^60 bytes.
pub(crate) fn absurd_header(good: &[u8]) -> Vec<u8> {
    [&(1_u64 << 60).to_le_bytes(), &good[8..]].concat()
}

/// 7: a header that begins well and is no JSON.
pub(crate) fn not_json(good: &[u8]) -> Vec<u8> {
    let mut bad = good.to_vec();
    bad[9] = b'}';
    bad
}

/// 8: what `pickle.dumps` writes.
pub(crate) fn pickle(_: &[u8]) -> Vec<u8> {
    b"\x80\x02csystem\nU\x05touch.".to_vec()
}

/// 9: what `torch.save` writes begins like this.
pub(crate) fn zip(good: &[u8]) -> Vec<u8> {
    [b"PK\x03\x04\x00\x00\x08\x08", &good[8..]].concat()
}

/// 10: a shape whose product does not fit 64 bits.
pub(crate) fn overflowing_shape(good: &[u8]) -> Vec<u8> {
    with_header(good, |header| {
        header["logit_scale"]["shape"] = json!([4_194_305, 4_194_305, 211_106_198_978_564_u64]);
    })
}

/// 11: a tensor that claims the bytes of its neighbour.
pub(crate) fn overlap(good: &[u8]) -> Vec<u8> {
    with_header(good, |header| {
        let place = header["vision_model.post_layernorm.bias"]["data_offsets"].clone();
        header["vision_model.post_layernorm.weight"]["data_offsets"] = place;
    })
}

/// 12: two entries with one name, both good.
pub(crate) fn duplicate(good: &[u8]) -> Vec<u8> {
    let header = header_text(good);
    let again = serde_json::from_str::<Value>(&header).unwrap()["text_projection.weight"].to_string();
    join(&format!("{{\"text_projection.weight\":{again},{}", &header[1..]), &good[8 + header_bytes(good)..])
}

/// 13: without the tensors named.
pub(crate) fn without(good: &[u8], names: &[&str]) -> Vec<u8> {
    let mut entries = entries(good);
    entries.retain(|(name, ..)| !names.contains(&name.as_str()));
    written(&entries)
}

/// 14: with another tensor of that name.
pub(crate) fn with_extra(good: &[u8], name: &str) -> Vec<u8> {
    let mut entries = entries(good);
    entries.push((name.to_owned(), Dtype::F32, vec![2], vec![0; 8]));
    written(&entries)
}

/// 15: a matrix with its two sizes exchanged.
pub(crate) fn transposed(good: &[u8], name: &str) -> Vec<u8> {
    changed(good, name, |(_, _, shape, _)| shape.reverse())
}

/// 16: a tensor in another type, of the same values as far as it can hold them.
pub(crate) fn retyped(good: &[u8], name: &str, dtype: Dtype) -> Vec<u8> {
    changed(good, name, |(_, old, _, bytes)| {
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        *bytes = match dtype {
            Dtype::F64 => values.flat_map(|value| f64::from(value).to_le_bytes()).collect(),
            Dtype::F16 => values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect(),
            Dtype::BF16 => values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect(),
            Dtype::I32 => values.flat_map(f32::to_le_bytes).collect(),
            other => panic!("no rule for {other:?}"),
        };
        *old = dtype;
    })
}

/// 17: NaN and infinity as values 3 and 5.
pub(crate) fn non_finite(good: &[u8], name: &str) -> Vec<u8> {
    changed(good, name, |(.., bytes)| {
        bytes[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes[20..24].copy_from_slice(&f32::INFINITY.to_le_bytes());
    })
}

/// 18: one bit of one weight, the rest untouched.
pub(crate) fn flipped_bit(good: &[u8]) -> Vec<u8> {
    let mut bad = good.to_vec();
    let last = bad.len() - 4;
    bad[last] ^= 1;
    bad
}

/// 19: another temperature.
pub(crate) fn scaled(good: &[u8], logit_scale: f32) -> Vec<u8> {
    changed(good, "logit_scale", |(.., bytes)| *bytes = logit_scale.to_le_bytes().to_vec())
}

fn header_bytes(good: &[u8]) -> usize {
    u64::from_le_bytes(good[..8].try_into().unwrap()) as usize
}

fn header_text(good: &[u8]) -> String {
    String::from_utf8(good[8..8 + header_bytes(good)].to_vec()).unwrap()
}

fn join(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn with_header(good: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut header = serde_json::from_str(&header_text(good)).unwrap();
    change(&mut header);
    join(&header.to_string(), &good[8 + header_bytes(good)..])
}

fn entries(good: &[u8]) -> Vec<Entry> {
    let file = SafeTensors::deserialize(good).unwrap();
    let entry = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())
    };
    file.iter().map(entry).collect()
}

fn changed(good: &[u8], name: &str, change: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut entries = entries(good);
    change(entries.iter_mut().find(|entry| entry.0 == name).unwrap());
    written(&entries)
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}
