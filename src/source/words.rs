//! What a listing says of a refused row in its own words, and how the reader of a manifest knows that they are.
//!
//! The words go into the quarantine table. A manifest is a file that anybody can write, and names must not reach a table; so
//! nothing but numbers, signs and the words below is taken from the column `found`.

/// Longest text, in bytes.
const MAX_BYTES: usize = 200;

/// Every word that the listing's texts are made of; single letters stand in numpy's names of types.
const WORDS: &str = "able absolute allowed among an and annotation another any appleDouble archive archived are array arrays as at away \
    axes axis bad be before beginning begins behind below between big bits block bool boolean brotli bucket by byte bytes \
    bzip2 can cannot changed character class classes codec column columns complex complex128 complex64 compressed \
    compression content contents contradicts control corrupt cut damaged data date deep deeper deflated device dicom \
    dictionary directory does each early eight element empty encrypted end endian ending ends entries entry error escaped \
    every fewer file files first fit fixed float float16 float32 float64 folder folders footer for Fortran fortran found \
    frame frames from gif group groups gunzip gzip gzipped half has have header high hold holds huge image images in index \
    inflates input inside int int16 int32 int64 int8 into is it its itself jpeg key keys KiB kind kinds known label labels \
    large larger leave leaves left length letter letters level levels link links list listed lists little locked longer \
    loop lost lz4 lzo many map member members memory MiB missing more name named names negative neither nested nifti no \
    non none nor not nothing npy npz null number numbers numpy object objects of old on one ones only or order other \
    others out over overflows overlap overlaps own padding page pages panicked Parquet parquet part path paths permitted \
    physical pickled picture pictures pipe plain png px python ratio raw read reader reading record records referenced \
    refused relative repack root roots row rows run same says schema scheme second segment sequence series set several \
    shape shard shards short should signature signed size sizes slash slice slices snappy sniffed socket sound spans \
    sparse special split stands start storage store stored strings structs structure structures such sum symbolic table \
    tables taken tar test text than that the their there they this tiff time times to too train truncated twice two type \
    types uint uint16 uint32 uint64 uint8 uncompressed unicode unknown unpack unpacked unreadable unsigned up utf utf8 val \
    together unpacks declares valid value values version void volume volumes was webp went were what where which while whole whose with within \
    without word would writes written xz zero zip zstd may seem by damage regular";

/// Whether a text is made of the listing's words alone.
pub(super) fn are_ours(text: &str) -> bool {
    if text.len() > MAX_BYTES || !text.is_ascii() || text.chars().any(|c| c.is_ascii_control()) {
        return false;
    }
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.into_iter().all(|word| {
        let is_number = word.len() <= 20 && word.chars().all(|c| c.is_ascii_digit());
        is_number
            || word.len() == 1
            || is_dimension(word)
            || WORDS.split_ascii_whitespace().any(|known| known == word)
    })
}

/// `u1`, `f8`, `224x224`.
fn is_dimension(word: &str) -> bool {
    let n_letters = word.chars().filter(char::is_ascii_alphabetic).count();
    n_letters == 1 && word.len() <= 12
}

/// The text where it is ours, and a stand-in that says nothing where it is not.
pub(super) fn only_ours(text: &str) -> &str {
    if are_ours(text) { text } else { "found when the archive was listed" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of the listing, from its source: a word that is missing above would make all of a text a stand-in.
    #[test]
    fn every_text_of_the_listing_is_made_of_these_words() {
        let sources = [
            include_str!("../store/folder.rs"),
            include_str!("shard.rs"),
            include_str!("ranged.rs"),
            include_str!("archive/mod.rs"),
            include_str!("archive/class.rs"),
            include_str!("archive/footer.rs"),
            include_str!("archive/table.rs"),
            include_str!("../../crates/image/src/npz/npy.rs"),
        ];
        let mut n_texts = 0;
        for source in sources {
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines.filter(|line| !line.contains("{{") && !line.contains("write!")) {
                for text in line.split('"').skip(1).step_by(2).filter(|text| text.contains(' ')) {
                    // Numbers and texts of other places stand in braces.
                    let mut plain = String::new();
                    let mut depth = 0;
                    for letter in text.chars() {
                        depth += i32::from(letter == '{');
                        plain.extend((depth == 0).then_some(letter));
                        depth -= i32::from(letter == '}');
                    }
                    n_texts += 1;
                    assert!(are_ours(&plain), "{text}");
                }
            }
        }
        assert!(n_texts > 40, "{n_texts} texts");
    }

    #[test]
    fn numbers_and_words_of_ours_pass_and_names_do_not() {
        for text in [
            "images: found float32 of shape (6, 28, 28), read are uint8 of shape (n, h, w) or (n, h, w, 1, 3 or 4)",
            "an entry with two sizes",
            "found <f4",
        ] {
            assert!(are_ours(text), "{text}");
        }
        for text in ["DOE^JOHN", "found doe", "19700101123456789012345678", "\u{1b}[31m", "na\u{ef}ve"] {
            assert!(!are_ours(text), "{text}");
            assert_ne!(only_ours(text), text);
        }
    }
}
