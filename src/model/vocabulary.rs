//! Text to token ids: CLIP's byte-pair encoding.

use std::fmt;

use instant_clip_tokenizer::{Token, Tokenizer};

use super::{
    checkpoint::Checkpoint,
    error::{Fault, ModelError},
};

/// Ids of OpenAI's vocabulary, the one that is bundled.
pub const OPENAI_VOCABULARY: usize = 49_408;

/// 256 bytes, the same at the end of a word, start-of-text and end-of-text.
const IDS_WITHOUT_MERGES: usize = 514;

/// Markers that one or the other tokenizer turns into control tokens; in a prompt they would move the pooled token.
const MARKERS: [&str; 4] = ["<|startoftext|>", "<|endoftext|>", "<start_of_text>", "<end_of_text>"];

/// Accents that stand behind their letter. The reference composes them first (NFC), so its ids would be others.
const COMBINING: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';

/// A byte-pair vocabulary of a known size, whose last id is end-of-text.
pub struct Vocabulary {
    tokenizer: Tokenizer,
    size: usize,
}

/// The ids of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Start-of-text, the text, end-of-text; at most the asked length.
    pub ids: Vec<u32>,
    /// Tokens of the text that did not fit.
    pub cut: usize,
}

impl Vocabulary {
    /// OpenAI's vocabulary of [`OPENAI_VOCABULARY`] ids.
    #[must_use]
    pub fn openai() -> Self {
        Self { tokenizer: Tokenizer::new(), size: OPENAI_VOCABULARY }
    }

    /// A vocabulary from a `merges.txt`: a line with `#version`, then one merge a line, in order of priority.
    ///
    /// `size` is the number of ids the model has; merges beyond `size - 514` are not used, as in the reference.
    ///
    /// # Errors
    /// `W014` when `size` is impossible, the first line is no version line (it would be a merge, and lost), there are fewer
    /// merges than ids, or a line is not two known pieces.
    pub fn from_merges(merges: &[u8], size: usize) -> Result<Self, ModelError> {
        let bytes_of_ids = u16::try_from(size).ok().filter(|_| size >= IDS_WITHOUT_MERGES);
        let size_u16 = bytes_of_ids.ok_or_else(|| refused(&format!("{size} ids"), "514 to 65535"))?;
        let first = merges.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if !first.windows(8).any(|window| window == b"#version") {
            return Err(refused("merges.txt without a version line", "'#version: 0.2' in line 1"));
        }
        let tokenizer = Tokenizer::with_vocabulary(merges, size_u16).map_err(|_| {
            refused("a line in merges.txt that joins no two known pieces", "one merge a line")
        })?;
        let ids = usize::from(tokenizer.end_of_text().to_u16()) + 1;
        if ids != size {
            let merges = ids - IDS_WITHOUT_MERGES;
            return Err(refused(
                &format!("{merges} merges"),
                &format!("{} for {size} ids", size - IDS_WITHOUT_MERGES),
            ));
        }
        Ok(Self { tokenizer, size })
    }

    /// The vocabulary of a checkpoint: its `merges.txt`, or OpenAI's when there is none and the sizes agree.
    ///
    /// # Errors
    /// `W014` as [`from_merges`](Self::from_merges), and when there is no `merges.txt` for another size.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let size = checkpoint.config().vocab_size;
        let found = match checkpoint.merges() {
            Some(merges) => Self::from_merges(merges, size),
            None if size == OPENAI_VOCABULARY => Ok(Self::openai()),
            None => {
                Err(refused(&format!("{size} ids and no merges.txt"), "merges.txt, or OpenAI's 49408 ids"))
            }
        };
        found.map_err(|error| error.at(checkpoint.role()))
    }

    /// Number of ids.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The id that ends a text and at which the text tower pools: the largest.
    #[must_use]
    pub fn end_of_text(&self) -> u32 {
        u32::from(self.tokenizer.end_of_text().to_u16())
    }

    /// Ids of `text`, lower-cased, cut so that start, text and end fit `max_tokens`.
    ///
    /// Equal to `transformers.CLIPTokenizer(text, truncation=True, max_length=max_tokens)` for text in Unicode's composed
    /// form (NFC).
    ///
    /// # Errors
    /// `C001` for a text that holds a control marker such as `<|endoftext|>` or a combining accent.
    ///
    /// # Panics
    /// When `max_tokens` is below 2.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Encoded, ModelError> {
        assert!(max_tokens >= 2, "start and end of text need two tokens");
        // Letter by letter, as the reference does it: `str::to_lowercase` treats a final sigma as a different letter.
        let lower: String = text.chars().flat_map(char::to_lowercase).collect();
        if MARKERS.iter().any(|marker| lower.contains(marker)) {
            return Err(unusable("a control marker", "plain words"));
        }
        if text.chars().any(|letter| COMBINING.contains(&letter)) {
            return Err(unusable("a combining accent", "composed letters (Unicode NFC)"));
        }
        let mut tokens = vec![self.tokenizer.start_of_text()];
        self.tokenizer.encode(&lower, &mut tokens);
        let cut = (tokens.len() + 1).saturating_sub(max_tokens);
        tokens.truncate(max_tokens - 1);
        tokens.push(self.tokenizer.end_of_text());
        Ok(Encoded { ids: tokens.into_iter().map(|token: Token| token.to_u16().into()).collect(), cut })
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary").field("size", &self.size).finish_non_exhaustive()
    }
}

fn unusable(found: &str, allowed: &str) -> ModelError {
    Fault::Prompt { field: "prompt".to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }.into()
}

fn refused(found: &str, allowed: &str) -> ModelError {
    Fault::Vocabulary { found: found.to_owned(), allowed: allowed.to_owned() }.into()
}
