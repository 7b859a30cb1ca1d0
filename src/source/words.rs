//! What a listing says of a refused row in its own words, and how the reader of a manifest knows that they are.
//!
//! The words go into the quarantine table. A manifest is a file that anybody can write, and names must not reach a table; so
//! nothing but numbers, signs and the words below is taken from the column `found`.

/// Longest text, in bytes.
const MAX_BYTES: usize = 200;

/// Every word that the listing's texts are made of; single letters stand in numpy's names of types.
const WORDS: &str = "a able absolute allowed among an and annotation appleDouble are array arrays as at axes axis be bad before \
    begins beginning behind below between big bits block bool boolean brotli by byte bytes bzip2 cannot changed class \
    classes codec column columns complex complex64 complex128 compressed compression contents control contradicts corrupt cut damaged data date deep deeper \
    deflated device dicom dictionary directory does each early eight element encrypted end endian ending ends entries \
    entry error every fewer file files first fixed float float16 float32 float64 folder folders footer for Fortran \
    fortran found from gif group groups gunzip gzip gzipped half has have header high holds huge image images in \
    index inflates inside int int8 int16 int32 int64 is it its jpeg key label labels large larger leave leaves length \
    letter letters level levels link links list lists little listed locked loop lz4 lzo many map member members \
    memory more name named names neither negative nested nifti no none nor not npy npz null number numbers numpy \
    object objects of on one ones only or order other out over overlap overlaps overflows padding page pages panicked \
    parquet part path permitted physical pickled pipe png px python ratio raw read reader refused repack row rows \
    same schema second sequence series set several shape shard shards short signed size sizes slash slice slices \
    snappy socket sound sparse special split stands store stored strings structure structures \
    structs sum symbolic table tar test text than that the their there they this tiff times to too train truncated \
    two type types u uint uint8 uint16 uint32 uint64 unicode unpacked unsigned up utf utf8 val valid value values \
    version void volume volumes was webp were what where which whole whose with without within word xz zero zip zstd storage \
    archived class version each reading ends early damaged missing went away lost frame frames picture pictures sniffed content \
    any has neither unknown kind kinds letter directory record records referenced non signature spans would";

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
