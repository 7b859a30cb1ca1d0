//! Text to token ids: CLIP's byte-pair encoding from its merges, and whatever a `tokenizer.json` describes.
//!
//! All of them run on Hugging Face's `tokenizers`, which the references run on too; what is written here is which one a
//! checkpoint means, and how its texts are cut and padded.

use std::fmt;

use serde_json::{Value, json};
use tokenizers::{Tokenizer, TruncationParams};

use super::{
    checkpoint::Checkpoint,
    config::TextKind,
    error::{CheckpointFault, ModelError},
    vocabulary_files::{Cleaning, refused},
};

pub use super::vocabulary_files::VocabularyFiles;

/// Ids of OpenAI's vocabulary, the one that is bundled.
pub const OPENAI_VOCABULARY: usize = 49_408;

/// The merges of OpenAI's vocabulary (MIT, from the repository `openai/CLIP`), those that the models use.
const OPENAI_MERGES: &[u8] = include_bytes!("openai_merges.txt");

/// 256 bytes, the same at the end of a word, start-of-text and end-of-text.
const IDS_WITHOUT_MERGES: usize = 514;
/// No vocabulary of merges is near it.
const MAX_IDS: usize = 1 << 18;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Markers that one or the other tokenizer turns into control tokens; in a prompt they would move the pooled token.
const MARKERS: [&str; 4] = [START, END, "<start_of_text>", "<end_of_text>"];

/// How CLIP's tokenizer cuts a text before it merges (`CLIPTokenizer` of `transformers`).
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A vocabulary of a known size, and how its texts are made ready.
pub struct Vocabulary {
    tokenizer: Tokenizer,
    size: usize,
    kind: TokenEnds,
    cleaning: Cleaning,
    padding: Padding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenEnds {
    /// Start and end are put around the text here; the end is the last id.
    Clip,
    /// The tokenizer puts its own special tokens around it.
    Whole,
}

/// What stands beside texts that are shorter than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Its id.
    pub id: u32,
    /// Whether texts are padded to the whole context, for a tower that sees the padding, or to the longest of them.
    pub to_context: bool,
    /// Whether it stands before the text.
    pub is_left: bool,
}

/// The ids of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The text with its special tokens; at most the asked length.
    pub ids: Vec<u32>,
    /// Tokens of the text that did not fit.
    pub cut: usize,
}

impl Vocabulary {
    /// OpenAI's vocabulary of [`OPENAI_VOCABULARY`] ids.
    ///
    /// # Panics
    /// Never: the bundled merges are a vocabulary.
    #[must_use]
    pub fn openai() -> Self {
        Self::from_merges(OPENAI_MERGES, OPENAI_VOCABULARY).expect("the bundled merges are a vocabulary")
    }

    /// A vocabulary from a `merges.txt`: a line with `#version`, then one merge a line, in order of priority.
    ///
    /// `size` is the number of ids the model has; merges beyond `size - 514` are not used, as in the reference.
    ///
    /// # Errors
    /// `W014` when `size` is impossible, the first line is no version line (it would be a merge, and lost), there are fewer
    /// merges than ids, or a line is not two known pieces.
    pub fn from_merges(merges: &[u8], size: usize) -> Result<Self, ModelError> {
        if !(IDS_WITHOUT_MERGES..=MAX_IDS).contains(&size) {
            return Err(refused(&format!("{size} ids"), &format!("514 to {MAX_IDS}")));
        }
        let text = String::from_utf8_lossy(merges);
        let mut lines = text.lines();
        if !lines.next().unwrap_or_default().contains("#version") {
            return Err(refused("merges.txt without a version line", "'#version: 0.2' in line 1"));
        }
        let mut ids = letters();
        let mut pairs = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()).take(size - IDS_WITHOUT_MERGES) {
            let known = line.split_once(' ').filter(|(a, b)| ids.contains_key(*a) && ids.contains_key(*b));
            let Some((a, b)) = known else {
                return Err(refused(
                    "a line in merges.txt that joins no two known pieces",
                    "one merge a line",
                ));
            };
            pairs.push(json!([a, b]));
            let next = ids.len();
            ids.entry(format!("{a}{b}")).or_insert_with(|| next.into());
        }
        if ids.len() + 2 != size {
            let wanted = format!("{} for {size} ids", size - IDS_WITHOUT_MERGES);
            return Err(refused(&format!("{} merges", pairs.len()), &wanted));
        }
        ids.insert(START.to_owned(), (size - 2).into());
        ids.insert(END.to_owned(), (size - 1).into());
        let tokenizer = parsed(&clip_json(ids, pairs))?;
        let padding = Padding { id: 0, to_context: false, is_left: false };
        Ok(Self { tokenizer, size, kind: TokenEnds::Clip, cleaning: Cleaning::None, padding })
    }

    /// The vocabulary of a checkpoint. CLIP's: its `merges.txt`, its `tokenizer.json` for another number of ids or where
    /// open_clip names a tokenizer, or OpenAI's. SigLIP's and BERT's: their `tokenizer.json`, BERT's also a `vocab.txt`.
    ///
    /// # Errors
    /// `W014` as [`from_merges`](Self::from_merges), when there is no file that is wanted, or one is no tokenizer of at most
    /// the model's ids.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let (config, files) = (checkpoint.config(), checkpoint.vocabulary());
        let size = config.vocab_size;
        let found = match &config.text_kind {
            TextKind::Clip => match files.merges() {
                Some(merges) => Self::from_merges(merges, size),
                None if size == OPENAI_VOCABULARY && !files.names_a_tokenizer() => Ok(Self::openai()),
                None => Self::whole(files, size, Padding { id: 0, to_context: false, is_left: false }),
            },
            TextKind::Siglip => files.padding().and_then(|(token, is_left)| {
                let mut vocabulary = Self::whole(files, size, Padding { id: 0, to_context: true, is_left })?;
                let id = vocabulary.tokenizer.token_to_id(&token);
                vocabulary.padding.id =
                    id.ok_or_else(|| refused(&format!("pad_token {token}"), "a token of tokenizer.json"))?;
                Ok(vocabulary)
            }),
            TextKind::Bert(shape) => {
                Self::whole(files, size, Padding { id: shape.pad_id, to_context: false, is_left: false })
            }
        };
        found.map_err(|error| error.at(checkpoint.role()))
    }

    fn whole(files: &VocabularyFiles, size: usize, padding: Padding) -> Result<Self, ModelError> {
        let mut tokenizer = match (files.tokenizer_json(), files.vocab_txt()) {
            (Some(json), _) => Tokenizer::from_bytes(json)
                .map_err(|_| refused("a tokenizer.json that is none", "one of tokenizers"))?,
            (None, Some(vocab)) => parsed(&word_piece_json(vocab, files.lowers_case())?)?,
            (None, None) => {
                let allowed =
                    "merges.txt, tokenizer.json or vocab.txt beside the weights, or OpenAI's 49408 ids";
                return Err(refused(&format!("{size} ids and no tokenizer"), allowed));
            }
        };
        let ids = tokenizer.get_vocab_size(true);
        if ids > size {
            return Err(refused(
                &format!("{ids} ids in the tokenizer"),
                &format!("at most the model's {size}"),
            ));
        }
        // Both are done here, where what was cut is counted.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|_| refused("a truncation", "none"))?;
        Ok(Self { tokenizer, size, kind: TokenEnds::Whole, cleaning: files.cleaning()?, padding })
    }

    /// The same with texts cleaned first as OpenAI's own tokenizer does it: HTML entities twice, curled quotes, spaces.
    #[must_use]
    pub fn cleaned_as_openai(mut self, is_wanted: bool) -> Self {
        if is_wanted {
            self.cleaning = match self.cleaning {
                Cleaning::None | Cleaning::OpenAi => Cleaning::OpenAi,
                other => other,
            };
        }
        self
    }

    /// Number of ids.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What stands beside shorter texts.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Ids of `text`, cut so that it fits `max_tokens` with its special tokens.
    ///
    /// Equal to `CLIPTokenizer(text, truncation=True, max_length=max_tokens)` of `transformers`, or to the tokenizer that
    /// `tokenizer.json` describes.
    ///
    /// # Errors
    /// `C001` for a text that holds a control marker such as `<|endoftext|>`, or that the tokenizer has no ids for.
    ///
    /// # Panics
    /// When `max_tokens` is below 2.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Encoded, ModelError> {
        assert!(max_tokens >= 2, "start and end of text need two tokens");
        let lower = text.to_lowercase();
        let special = self.tokenizer.get_added_tokens_decoder();
        let mut markers = MARKERS.into_iter().chain(special.values().map(|token| token.content.trim()));
        if markers.any(|marker| !marker.is_empty() && lower.contains(&marker.to_lowercase())) {
            return Err(unusable("a control marker", "plain words"));
        }
        let text = self.cleaning.of(text);
        let ids = |tokenizer: &Tokenizer, special| {
            let encoding = tokenizer.encode_fast(text.as_ref(), special);
            encoding.map(|e| e.get_ids().to_vec()).map_err(|_| unusable("a text without ids", "plain words"))
        };
        match self.kind {
            TokenEnds::Clip => {
                let inner = ids(&self.tokenizer, false)?;
                let kept = inner.len().min(max_tokens - 2);
                let (start, end) = ((self.size - 2) as u32, (self.size - 1) as u32);
                let ids = std::iter::once(start).chain(inner[..kept].iter().copied()).chain([end]);
                Ok(Encoded { ids: ids.collect(), cut: inner.len() - kept })
            }
            TokenEnds::Whole => {
                let all = ids(&self.tokenizer, true)?;
                if all.len() <= max_tokens {
                    return Ok(Encoded { ids: all, cut: 0 });
                }
                let mut cutting = self.tokenizer.clone();
                let params = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
                cutting
                    .with_truncation(Some(params))
                    .map_err(|_| unusable("a text that cannot be cut", "less text"))?;
                let kept = ids(&cutting, true)?;
                let cut = all.len() - kept.len();
                Ok(Encoded { ids: kept, cut })
            }
        }
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocabulary")
            .field("size", &self.size)
            .field("padding", &self.padding)
            .finish_non_exhaustive()
    }
}

type Ids = serde_json::Map<String, Value>;

/// The ids of single bytes, then of those that end a word; each byte as the letter that stands for it.
fn letters() -> Ids {
    let is_shown = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let shown = (0..=u8::MAX).filter(is_shown).map(char::from);
    // The others, spaces and controls, are letters behind the bytes, in order.
    let hidden = (0..=u8::MAX).filter(|byte| !is_shown(byte)).count() as u32;
    let others = (0..hidden).filter_map(|n| char::from_u32(256 + n));
    let letters: Vec<char> = shown.chain(others).collect();
    let words =
        letters.iter().map(char::to_string).chain(letters.iter().map(|letter| format!("{letter}</w>")));
    words.enumerate().map(|(id, word)| (word, id.into())).collect()
}

/// CLIP's tokenizer without special tokens around the text. Reference: `tokenization_clip.py` of `transformers` 5.
fn clip_json(ids: Ids, merges: Vec<Value>) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "decoder": null,
        "post_processor": null,
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ] },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": ids, "merges": merges,
        },
    })
}

/// BERT's tokenizer of a `vocab.txt`, one token a line. Reference: `BertTokenizer` of `transformers`.
fn word_piece_json(vocab: &[u8], lowercase: bool) -> Result<Value, ModelError> {
    let text = String::from_utf8_lossy(vocab);
    let ids: Ids = text.lines().enumerate().map(|(id, token)| (token.to_owned(), id.into())).collect();
    let special = |token: &str| match ids.get(token) {
        Some(id) => Ok((token.to_owned(), id.clone())),
        None => Err(refused(&format!("vocab.txt without {token}"), "a vocabulary of BERT's")),
    };
    let [(_, pad), (_, unk), (_, cls), (_, sep)] =
        [special("[PAD]")?, special("[UNK]")?, special("[CLS]")?, special("[SEP]")?];
    let added = [("[PAD]", &pad), ("[UNK]", &unk), ("[CLS]", &cls), ("[SEP]", &sep)].map(|(content, id)| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    });
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "decoder": null, "added_tokens": added,
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                        "strip_accents": null, "lowercase": lowercase },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls],
        },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 100, "vocab": ids },
    }))
}

fn parsed(json: &Value) -> Result<Tokenizer, ModelError> {
    Tokenizer::from_bytes(json.to_string())
        .map_err(|_| refused("a vocabulary that is none", "one token or merge a line"))
}

fn unusable(found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Prompt {
        field: "prompt".to_owned(),
        found: found.to_owned(),
        allowed: allowed.to_owned(),
    }
    .into()
}
