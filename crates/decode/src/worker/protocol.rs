//! What is said over a worker's pipes: a greeting, then one request and one answer a picture.
//!
//! Little endian, fixed heads, every length checked against a bound before it is allocated. Both ends are the same
//! program, so there is one version; the greeting tells it from any other program.

use std::io::{self, Read, Write};

use super::super::error::Fault;
use super::super::{BurnedIn, DecodeError, Facts, Limits, Reason, Rendering, Slice, Window};
use t3b_image::Rgb8;

/// A worker's first words.
pub(super) const GREETING: [u8; 8] = *b"t3b-dec2";
/// Longest object that is handed over; `input.max_object_bytes` is far below.
const MAX_OBJECT_BYTES: u64 = 1 << 40;

/// Stands for the axis where no slice is asked for.
const NO_SLICE: u32 = u32::MAX;

/// One picture to decode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) limits: Limits,
    pub(super) rendering: Rendering,
    /// What the header declares to be held at the peak, for the worker's limit.
    pub(super) peak_bytes: u64,
    pub(super) bytes: &'a [u8],
}

/// The fixed part of a request, as the worker reads it.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) limits: Limits,
    pub(super) rendering: Rendering,
    pub(super) peak_bytes: u64,
    pub(super) n_bytes: u64,
}

impl Request<'_> {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let Limits { max_side_px, min_side_px, max_pixels, max_aspect } = self.limits;
        let Rendering { frame, slice, window, burned_in } = self.rendering;
        let (kind, a, b) = match window {
            Window::File => (0_u32, 0.0, 0.0),
            Window::Fixed { center, width } => (1, center, width),
            Window::MinMax => (2, 0.0, 0.0),
            Window::Percentile => (3, 0.0, 0.0),
        };
        let small = [
            max_side_px,
            min_side_px,
            max_aspect,
            u32::from(frame.is_some()),
            frame.unwrap_or(0),
            slice.map_or(NO_SLICE, |slice| slice.axis.into()),
            slice.map_or(0, |slice| slice.index),
            kind,
            u32::from(burned_in == BurnedIn::Quarantine),
        ];
        let large = [max_pixels, self.peak_bytes, self.bytes.len() as u64, a.to_bits(), b.to_bits()];
        let mut head: Vec<u8> = small.iter().flat_map(|number| number.to_le_bytes()).collect();
        head.extend(large.iter().flat_map(|number| number.to_le_bytes()));
        to.write_all(&head)?;
        to.write_all(self.bytes)?;
        to.flush()
    }
}

impl Head {
    /// The next request's head; `None` where the other end has closed its pipe.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0; 1];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let mut rest = [0; 3];
        from.read_exact(&mut rest)?;
        let max_side_px = u32::from_le_bytes([first[0], rest[0], rest[1], rest[2]]);
        let [min_side_px, max_aspect, has_frame, frame, axis, index, kind, refuses_burned_in] = u32s(from)?;
        let [max_pixels, peak_bytes, n_bytes, a, b] = u64s(from)?;
        let window = match kind {
            0 => Window::File,
            1 => Window::Fixed { center: f64::from_bits(a), width: f64::from_bits(b) },
            2 => Window::MinMax,
            3 => Window::Percentile,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        if n_bytes > MAX_OBJECT_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let slice = match axis {
            NO_SLICE => None,
            _ => Some(Slice { axis: u8::try_from(axis).map_err(|_| io::ErrorKind::InvalidData)?, index }),
        };
        let burned_in = if refuses_burned_in == 0 { BurnedIn::Score } else { BurnedIn::Quarantine };
        Ok(Some(Self {
            limits: Limits { max_side_px, min_side_px, max_pixels, max_aspect },
            rendering: Rendering { frame: (has_frame != 0).then_some(frame), slice, window, burned_in },
            peak_bytes,
            n_bytes,
        }))
    }
}

/// What a worker says of a picture: what it found, and the pixels or why there are none.
pub(super) type Answer = (Facts, Result<Rgb8, Fault>);

/// Writes what was found, and a picture or why there is none.
pub(super) fn write_answer(
    to: &mut impl Write,
    (facts, image): &(Facts, Result<Rgb8, DecodeError>),
) -> io::Result<()> {
    let facts = facts.to_text();
    to.write_all(&(facts.len() as u32).to_le_bytes())?;
    to.write_all(facts.as_bytes())?;
    match image {
        Ok(image) => {
            let head = [0, image.width_px(), image.height_px()];
            to.write_all(&head.map(u32::to_le_bytes).concat())?;
            to.write_all(image.as_bytes())?;
        }
        Err(error) => {
            let reason = Reason::ALL.iter().position(|reason| *reason == error.reason).unwrap_or_default();
            let head = [1, reason as u32, error.detail.len() as u32];
            to.write_all(&head.map(u32::to_le_bytes).concat())?;
            to.write_all(error.detail.as_bytes())?;
        }
    }
    to.flush()
}

/// Reads an answer; nothing is allocated beyond `limits`, [`DecodeError::MAX_DETAIL_LEN`] and [`Facts::MAX_TEXT_LEN`].
pub(super) fn read_answer(from: &mut impl Read, limits: &Limits) -> io::Result<Answer> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let [n_facts] = u32s(from)?;
    if n_facts as usize > Facts::MAX_TEXT_LEN {
        return Err(bad());
    }
    let mut facts = vec![0; n_facts as usize];
    from.read_exact(&mut facts)?;
    let facts = String::from_utf8(facts).map_err(|_| bad())?;
    read_image(from, limits).map(|image| (Facts::from_text(&facts), image))
}

fn read_image(from: &mut impl Read, limits: &Limits) -> io::Result<Result<Rgb8, Fault>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let [kind, a, b] = u32s(from)?;
    if kind == 0 {
        if u64::from(a) * u64::from(b) > limits.max_pixels {
            return Err(bad());
        }
        let mut data = vec![0; a as usize * b as usize * Rgb8::CHANNELS];
        from.read_exact(&mut data)?;
        return Rgb8::new(a, b, data).map(Ok).ok_or_else(bad);
    }
    let reason =
        Reason::ALL.get(a as usize).filter(|_| kind == 1 && b as usize <= DecodeError::MAX_DETAIL_LEN);
    let reason = *reason.ok_or_else(bad)?;
    let mut detail = vec![0; b as usize];
    from.read_exact(&mut detail)?;
    let detail = String::from_utf8(detail).ok().filter(|text| text.is_ascii()).ok_or_else(bad)?;
    Ok(Err(Fault::new(reason, detail)))
}

fn u32s<const N: usize>(from: &mut impl Read) -> io::Result<[u32; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes)?;
        *number = u32::from_le_bytes(bytes);
    }
    Ok(numbers)
}

fn u64s<const N: usize>(from: &mut impl Read) -> io::Result<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        *number = u64::from_le_bytes(bytes);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let limits = Limits { max_side_px: 1, min_side_px: 2, max_pixels: 3 << 40, max_aspect: 4 };
        let windows = [
            Window::File,
            Window::Fixed { center: 0.1 + 0.2, width: f64::MIN_POSITIVE },
            Window::MinMax,
            Window::Percentile,
        ];
        for window in windows {
            for (frame, slice) in [
                (None, None),
                (Some(0), Some(Slice { axis: 0, index: 7 })),
                (Some(u32::MAX), Some(Slice { axis: 255, index: u32::MAX })),
            ] {
                for burned_in in [BurnedIn::Score, BurnedIn::Quarantine] {
                    let rendering = Rendering { frame, slice, window, burned_in };
                    let request = Request { limits, rendering, peak_bytes: 7 << 33, bytes: b"abc" };
                    let mut sent = Vec::new();
                    request.write(&mut sent).unwrap();
                    let mut from = sent.as_slice();
                    let head = Head::read(&mut from).unwrap().unwrap();
                    assert_eq!(head, Head { limits, rendering, peak_bytes: 7 << 33, n_bytes: 3 });
                    assert_eq!(from, b"abc");
                }
            }
        }
        assert!(Head::read(&mut [].as_slice()).unwrap().is_none());
    }

    #[test]
    fn every_reason_arrives_and_nonsense_is_refused_before_memory_is_taken() {
        let read = |sent: &[u8]| read_answer(&mut &sent[..], &Limits::default());
        for reason in Reason::ALL {
            let error = DecodeError {
                reason,
                detail: "found 3, allowed 4".into(),
                declared_px: None,
                format: super::super::Format::Dicom,
            };
            let mut sent = Vec::new();
            let mut facts = Facts::default();
            facts.note("format", "dicom");
            write_answer(&mut sent, &(facts.clone(), Err(error))).unwrap();
            let (found, image) = read(&sent).unwrap();
            assert_eq!((found, image.unwrap_err().reason), (facts, reason));
        }
        let words = |numbers: [u32; 3]| [vec![0; 4], numbers.map(u32::to_le_bytes).concat()].concat();
        assert_eq!(read(&[0xff; 64]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for nonsense in [[0, u32::MAX, u32::MAX], [0, 1 << 20, 1 << 20], [1, 99, 0], [1, 0, 201], [2, 0, 0]] {
            assert_eq!(
                read(&words(nonsense)).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{nonsense:?}"
            );
        }
    }
}
