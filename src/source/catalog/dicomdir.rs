//! The index of a DICOM medium: which files its image records name, in their order.
//!
//! A DICOMDIR is explicit VR little endian (PS3.10 8.6), so one flat walk that steps into every sequence sees each record's type before
//! its file. Names and identifiers are stepped over by their length.

/// Most files; a medium of a whole department has some hundred thousand.
const MAX_FILES: usize = 1 << 20;
/// Bytes of preamble and magic before the file meta group.
const PREAMBLE: usize = 132;
/// VRs with two reserved bytes and a length of 32 bits.
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
const UNDEFINED: u32 = u32::MAX;

/// What a directory names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// Names of files below the directory's folder, of image records.
    pub(super) images: Vec<String>,
    /// Records that name a file and are no image's: reports, presentation states.
    pub(super) n_others: u64,
}

/// Reads the records; `None` for what is no DICOMDIR, is cut, or names more than a million files.
pub(super) fn read(bytes: &[u8]) -> Option<Directory> {
    if bytes.get(128..PREAMBLE)? != b"DICM" {
        return None;
    }
    let (mut at, mut found, mut is_image, mut has_records) = (PREAMBLE, Directory::default(), false, false);
    while at < bytes.len() {
        let head = bytes.get(at..at + 8)?;
        let tag = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let long = || {
            bytes.get(at + 8..at + 12).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        };
        let (value_at, n_bytes) = match tag {
            (0xfffe, _) => (at + 8, u32::from_le_bytes([head[4], head[5], head[6], head[7]])),
            _ if LONG.contains(&&[head[4], head[5]]) => (at + 12, long()?),
            _ => (at + 8, u32::from(u16::from_le_bytes([head[6], head[7]]))),
        };
        let is_sequence = &head[4..6] == b"SQ" || tag.0 == 0xfffe || n_bytes == UNDEFINED;
        if is_sequence {
            has_records |= tag == (0x0004, 0x1220);
            at = value_at;
            continue;
        }
        let end = value_at.checked_add(n_bytes as usize)?;
        let value = bytes.get(value_at..end)?;
        match tag {
            (0x0004, 0x1430) => is_image = text(value) == "IMAGE",
            (0x0004, 0x1500) if is_image => {
                let name: Vec<&str> = text(value).split('\\').map(str::trim).collect();
                if found.images.len() == MAX_FILES {
                    return None;
                }
                found.images.push(name.join("/"));
            }
            (0x0004, 0x1500) => found.n_others += 1,
            _ => {}
        }
        at = end;
    }
    has_records.then_some(found)
}

fn text(value: &[u8]) -> &str {
    str::from_utf8(value).unwrap_or_default().trim_matches([' ', '\0'])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn element(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let n = value.len();
        let mut out = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
        out.extend(vr);
        if LONG.contains(&vr) {
            out.extend([0, 0]);
            out.extend((n as u32).to_le_bytes());
        } else {
            out.extend((n as u16).to_le_bytes());
        }
        out.extend(value);
        out
    }

    fn directory(records: &[(&str, &str)]) -> Vec<u8> {
        let item = |(kind, file): &(&str, &str)| {
            let fields = [
                element((4, 0x1430), b"CS", kind.as_bytes()),
                element((4, 0x1500), b"CS", file.as_bytes()),
                element((0x0010, 0x0010), b"PN", b"DOE^JOHN"),
            ]
            .concat();
            [&[0xfe, 0xff, 0, 0xe0][..], &(fields.len() as u32).to_le_bytes(), &fields].concat()
        };
        let items: Vec<u8> = records.iter().flat_map(item).collect();
        [vec![0; 128], b"DICM".to_vec(), element((4, 0x1220), b"SQ", &items)].concat()
    }

    #[test]
    fn image_records_name_their_files() {
        let bytes =
            directory(&[("IMAGE ", "DISK1\\IM 00001 "), ("SR DOCUMENT ", "DISK1\\SR1 "), ("IMAGE ", "IM2 ")]);
        let found = read(&bytes).unwrap();
        assert_eq!(found.images, ["DISK1/IM 00001", "IM2"]);
        assert_eq!(found.n_others, 1);
        for n in 0..bytes.len() {
            // Cut anywhere it ends, with a part or with nothing.
            let _any = read(&bytes[..n]);
        }
        assert_eq!(read(b"not a directory"), None);
        assert_eq!(read(&[vec![0; 128], b"DICM".to_vec()].concat()), None);
    }
}
