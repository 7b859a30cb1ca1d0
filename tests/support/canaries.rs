//! An archive full of strings that must never be seen again.

use std::collections::BTreeMap;

use crate::hostile::{RGB, chunk, png, segment, zlib_run};
use crate::support::dicom::{self, Syntax, Value, grey_16, text};

/// What an archive with identifying strings holds.
#[derive(Default)]
pub struct Archive {
    /// Objects by key.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// The manifest over them.
    pub manifest: String,
    /// Every string that must not leave.
    pub canaries: Vec<String>,
}

impl Archive {
    /// A string that stands nowhere else, remembered.
    fn canary(&mut self, what: &str) -> String {
        let canary = format!("ZQX{what}{:02}", self.canaries.len());
        self.canaries.push(canary.clone());
        canary
    }

    /// One that may stand in a UID.
    fn number(&mut self) -> String {
        let canary = format!("1.2.840.9977{:02}.5550199", self.canaries.len());
        self.canaries.push(canary.clone());
        canary
    }

    /// Puts an object under a name of its own and lists it with an identifying column.
    fn put(&mut self, ending: &str, bytes: Vec<u8>) {
        let name = format!("{}.{ending}", self.objects.len());
        self.put_at(&name, bytes);
    }

    fn put_at(&mut self, key: &str, bytes: Vec<u8>) {
        self.manifest += &format!("{key},{key}^patient\n");
        self.objects.insert(key.to_owned(), bytes);
    }

    /// Pictures of every format with text wherever a format has room for it, whole, cut and unreadable.
    pub fn new(jpeg: &[u8]) -> Self {
        let mut archive = Self { manifest: "uri,mrn\n".to_owned(), ..Self::default() };
        archive.put_named(jpeg);
        archive.put_pngs();
        archive.put_jpegs(jpeg);
        let tiff = archive.tiff();
        archive.put("tif", tiff.clone());
        archive.put("tif", tiff[..tiff.len() - 40].to_vec());
        archive.put_dicom();
        archive.put_volume();
        let page = format!("<html>{}</html>", archive.canary("PAGE"));
        archive.put("png", page.into_bytes());
        let column = archive.canary("COLUMN");
        archive.manifest = archive.manifest.replacen("uri,mrn", &format!("uri,{column}"), 1);
        archive
    }

    /// Names of folders, of whole, empty, cut and missing files.
    fn put_named(&mut self, jpeg: &[u8]) {
        let (folder, inner) = (self.canary("FOLDER"), self.canary("INNER"));
        for (what, bytes) in [("WHOLE", jpeg), ("EMPTY", b""), ("CUT", &jpeg[..jpeg.len() / 2])] {
            let name = self.canary(what);
            self.put_at(&format!("{folder}/{inner}/{name}.jpg"), bytes.to_vec());
        }
        let missing = self.canary("MISSING");
        self.manifest += &format!("{folder}/{missing}.png,x\n");
    }

    fn put_pngs(&mut self) {
        let latin = |keyword: &str, middle: &[u8], value: String| {
            [keyword.as_bytes(), b"\0", middle, value.as_bytes()].concat()
        };
        let (keyword, profile) = (self.canary("KEYWORD"), self.canary("PROFILE"));
        let chunks = [
            chunk(b"tEXt", &latin(&keyword, b"", self.canary("TEXT"))),
            chunk(b"zTXt", &latin("Comment", b"\0", self.canary("PACKED"))),
            chunk(b"iTXt", &latin("Title", b"\0\0en\0\0", self.canary("UNICODE"))),
            chunk(b"iCCP", &latin(&profile, b"\0", self.canary("COLOR"))),
            chunk(b"eXIf", self.canary("EXIFCHUNK").as_bytes()),
        ];
        let image = |extra: &[Vec<u8>]| png(16, 16, 8, RGB, extra, &zlib_run(0, 16 * 49));
        self.put("png", image(&chunks));
        let mut damaged = image(&chunks);
        let n = damaged.len();
        damaged[n - 20] ^= 1;
        self.put("png", damaged);
        let odd = self.canary("CHUNK");
        self.put("png", image(&[chunk(b"qQqq", odd.as_bytes())]));
    }

    fn put_jpegs(&mut self, jpeg: &[u8]) {
        let exif = format!("Exif\0\0II*\0{}\0{}", self.canary("ARTIST"), self.canary("USERCOMMENT"));
        let xmp = format!("http://ns.adobe.com/xap/1.0/\0{}", self.canary("XMP"));
        let iptc = format!("Photoshop 3.0\0{}", self.canary("IPTC"));
        let extra = [
            segment(0xe1, exif.as_bytes()),
            segment(0xe1, xmp.as_bytes()),
            segment(0xed, iptc.as_bytes()),
            segment(0xfe, self.canary("COMMENT").as_bytes()),
        ];
        let whole = [&jpeg[..2], &extra.concat(), &jpeg[2..]].concat();
        self.put("jpg", whole[..whole.len() - 30].to_vec());
        self.put("jpg", whole);
    }

    /// 16 x 16 grey, one strip, with the texts that scanners write.
    fn tiff(&mut self) -> Vec<u8> {
        let texts = [(270, "DESCRIPTION"), (305, "SOFTWARE"), (315, "TIFFARTIST")];
        let texts = texts.map(|(tag, what)| (tag, self.canary(what) + "\0"));
        let short = |tag: u16, value: u32| (tag, 3_u16, 1_u32, value);
        let (n_entries, mut behind) = (12_u32, Vec::<u8>::new());
        let start = 8 + 2 + n_entries * 12 + 4;
        let mut entries = vec![
            short(256, 16),
            short(257, 16),
            short(258, 8),
            short(259, 1),
            short(262, 1),
            short(277, 1),
            short(278, 16),
        ];
        for (tag, text) in &texts {
            entries.push((*tag, 2, text.len() as u32, start + behind.len() as u32));
            behind.extend(text.as_bytes());
        }
        entries.push((273, 4, 1, start + behind.len() as u32));
        entries.push((279, 4, 1, 256));
        entries.sort_unstable();
        let mut file = [&b"II*\0"[..], &8_u32.to_le_bytes(), &(entries.len() as u16).to_le_bytes()].concat();
        for (tag, kind, n, value) in entries {
            file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            file.extend([n.to_le_bytes(), value.to_le_bytes()].concat());
        }
        file.extend([0; 4]);
        file.extend(behind);
        file.extend((0..=255).collect::<Vec<u8>>());
        file
    }

    /// 16 x 16 x 1, with the texts of its header.
    fn put_volume(&mut self) {
        let mut header = vec![0; 352];
        let mut set = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, &348_i32.to_le_bytes());
        set(40, &[3_i16, 16, 16, 1, 1, 1, 1, 1].map(i16::to_le_bytes).concat());
        set(70, &[2_i16, 8].map(i16::to_le_bytes).concat());
        set(108, &352_f32.to_le_bytes());
        set(344, b"n+1\0");
        for (at, what) in [(14, "DBNAME"), (148, "DESCRIP"), (228, "AUXFILE"), (328, "INTENT")] {
            set(at, self.canary(what).as_bytes());
        }
        self.put("nii", [header.clone(), (0..=255).collect()].concat());
        self.put("nii", header[..348].to_vec());
    }

    fn put_dicom(&mut self) {
        let nested = vec![text((8, 0x1155), b"UI", &self.number())];
        let mut elements = vec![
            text((8, 0x18), b"UI", &self.number()),
            text((8, 0x50), b"SH", &self.canary("ACC")),
            text((8, 0x80), b"LO", &self.canary("HOSPITAL")),
            text((8, 0x90), b"PN", &self.canary("REFERRER")),
            text((8, 0x1030), b"LO", &self.canary("STUDY")),
            (8, 0x1140, b"SQ", Value::Items(vec![nested])),
            text((9, 0x10), b"LO", &self.canary("OWNER")),
            text((9, 0x1001), b"LT", &self.canary("PRIVATE")),
            text((0x10, 0x10), b"PN", &self.canary("PATIENT^NAME")),
            text((0x10, 0x20), b"LO", &self.canary("PATIENTID")),
            text((0x10, 0x30), b"DA", "19630229"),
            text((0x10, 0x1000), b"LO", &self.canary("OTHERID")),
            text((0x10, 0x4000), b"LT", &self.canary("REMARK")),
            text((0x18, 0x1000), b"LO", &self.canary("SERIAL")),
            text((0x20, 0xd), b"UI", &self.number()),
            text((0x20, 0xe), b"UI", &self.number()),
        ];
        self.canaries.push("19630229".to_owned());
        elements.extend(grey_16(16, 16, 12, false));
        let pixels: Vec<u16> = (0..256).collect();
        self.put("dcm", dicom::file(Syntax::Explicit, &elements, &pixels));
        self.put("dcm", dicom::file(Syntax::Implicit, &elements, &pixels));
        let whole = dicom::file(Syntax::Explicit, &elements, &pixels);
        self.put("dcm", whole[..whole.len() - 100].to_vec());
        // Cut inside the name; a window that is a word; a compression nobody has.
        let name = whole.windows(4).position(|four| four == b"^NAM").unwrap();
        self.put("dcm", whole[..name + 2].to_vec());
        let window = text((0x28, 0x1050), b"DS", &self.canary("WINDOW"));
        self.put("dcm", dicom::file(Syntax::Explicit, &dicom::with(elements.clone(), window), &pixels));
        let model = text((0x28, 4), b"CS", &self.canary("MODEL"));
        self.put("dcm", dicom::file(Syntax::Explicit, &dicom::with(elements.clone(), model), &pixels));
        self.put("dcm", dicom::compressed_file("4.999", &elements, &[b"frame".to_vec()]));
    }
}
