//! What can be wrong with weights, a vocabulary or prompts: one variant per fault, one line per variant.

use std::fmt;

/// Largest temperature accepted, as a logarithm: logits 22,026 times the cosine. What is stored as it is and not as a
/// logarithm, 14 or 100, lies above.
pub const MAX_LOGIT_SCALE: f64 = 10.0;

/// Names or disagreements printed before "and N more".
const LISTED: usize = 8;
/// Characters of a foreign name that are printed.
const NAME_CHARS: usize = 96;

/// Every fault; the variants are in the order of their codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// `W001`: the file's name says that loading it would mean reading a pickle.
    #[error("pickle-based checkpoints are refused; convert to safetensors on a trusted machine")]
    Pickle,
    /// `W002`: the file ends inside a section; `missing` bytes more were promised.
    #[error("{section} is {missing} bytes short")]
    Truncated {
        /// `length field`, `header` or `data section`.
        section: &'static str,
        /// Bytes that are not there, at least 1.
        missing: u64,
    },
    /// `W002`: bytes behind the last tensor.
    #[error("data section has {extra} trailing bytes")]
    Trailing {
        /// Bytes that no tensor covers, at least 1.
        extra: u64,
    },
    /// `W002`: more bytes than this architecture can need; the file was not opened.
    #[error("'{}' has {bytes} bytes, allowed at most {allowed}", shown(.file))]
    TooLarge {
        /// Last segment of the path.
        file: String,
        /// Length of the file.
        bytes: u64,
        /// Length of the largest file that could be right.
        allowed: u64,
    },
    /// `W003`: the header breaks the format.
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    /// `W003`: the index of a sharded checkpoint does not describe its files.
    #[error("index of the weights files: {0}")]
    Index(String),
    /// `W004`: the header names a tensor twice, and readers disagree on which one counts.
    #[error("tensor '{}' appears twice", shown(.0))]
    Duplicate(String),
    /// `W005`: the set of names is not the wanted one.
    #[error("{}", names_line(.owner, .missing, .unknown))]
    Names {
        /// Who lacks or has them: `pretrained`, `expert` or `model`.
        owner: &'static str,
        /// Wanted names that are not there, sorted.
        missing: Vec<String>,
        /// Names that nothing wants, sorted.
        unknown: Vec<String>,
    },
    /// `W005`: complete models under several prefixes, of which one is meant.
    #[error("the file holds several models, below {}", listed(.0.iter().map(|name| format!("'{}'", shown(name))), ", "))]
    Several(Vec<String>),
    /// `W006`: tensors (or configuration keys) that differ, all of them.
    #[error("{}", listed(.0.iter().map(ToString::to_string), "; "))]
    Disagree(Vec<Disagreement>),
    /// `W007`: values that are NaN or infinite.
    #[error(
        "'{}' has {count} non-finite value{}, first at {first}{}", shown(.name), if *.count == 1 { "" } else { "s" },
        if *.other_tensors > 0 { format!(" (and {other_tensors} more tensors)") } else { String::new() }
    )]
    NonFinite {
        /// First such tensor in name order.
        name: String,
        /// Non-finite values in it.
        count: usize,
        /// Flat row-major index of the first.
        first: usize,
        /// Further tensors with non-finite values.
        other_tensors: usize,
    },
    /// `W008`: the bytes are not the pinned ones.
    #[error("sha256 is {found}, pinned {pinned}")]
    Sha256 {
        /// Of the bytes read, 64 hex digits.
        found: String,
        /// Wanted, 64 hex digits.
        pinned: String,
    },
    /// `W010`: text features that cannot be a class bank.
    #[error("text features: {0}")]
    Bank(String),
    /// `W011`: no temperature, or one no CLIP was trained with.
    #[error("{}", scale_line(.0))]
    LogitScale(Option<f64>),
    /// `W012`: a file of the checkpoint cannot be read. Only its name is kept, never its folder.
    #[error("cannot read '{}': {}", shown(.file), .source.kind())]
    Unreadable {
        /// Last segment of the path.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// `W013`: an architecture this program does not run.
    #[error("model configuration: {key}, found {}, allowed {allowed}", shown(.found))]
    Config {
        /// Dotted key, as in `vision_config.hidden_act`.
        key: String,
        /// The value, shortened.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// `W013`: two files beside the weights that say different things.
    #[error("{key}: {}, {}", shown(.left), shown(.right))]
    Conflict {
        /// What they disagree about.
        key: String,
        /// One file's name and value.
        left: String,
        /// The other's.
        right: String,
    },
    /// `W013`: low-rank updates that cannot be folded into the base.
    #[error("adapter: {key}, found {}, allowed {allowed}", shown(.found))]
    Adapter {
        /// Key of `adapter_config.json`, or name of a tensor.
        key: String,
        /// The value, shortened.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// `W014`: a vocabulary that is not the model's.
    #[error("vocabulary: found {found}, allowed {allowed}")]
    Vocabulary {
        /// What is there.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// `W015`: pictures would have to be prepared in a way that is not carried.
    #[error("preprocessing: {key}, found {}, allowed {allowed}", shown(.found))]
    Preprocess {
        /// Key of the checkpoint's file.
        key: String,
        /// The value, shortened.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// `W016`: the parents want different pixels.
    #[error("preprocessing: {key}, pretrained {left}, expert {right}")]
    PreprocessPair {
        /// The first key that differs.
        key: &'static str,
        /// The generalist's value.
        left: String,
        /// The expert's value.
        right: String,
    },
    /// `C001`: a prompt template or class name that cannot be used.
    #[error("{field}: found {found}, allowed {allowed}")]
    Prompt {
        /// `prompt template 0`, `class name 3`, ...
        field: String,
        /// What is there.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// `N002`: candle refused an operation; shapes are checked before, so the device or its memory is the usual cause.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// `N002`: a card, its driver or one of its libraries refused.
    #[error("the card: {what}")]
    Card {
        /// What it says.
        what: String,
        /// Whether it had no memory.
        no_memory: bool,
    },
}

/// One entry of `W006`: what two sides say of the same tensor or key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// Tensor name or configuration key.
    pub name: String,
    /// One side, as in `pretrained [768,512] F32`.
    pub left: String,
    /// The other, as in `expert [768,640] F32` or `architecture [768,640]`.
    pub right: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}, {}", shown(&self.name), self.left, self.right)
    }
}

/// A name out of a foreign file made safe to print: control characters escaped, cut at a length.
pub(crate) fn shown(name: &str) -> String {
    let cut: String = name.chars().take(NAME_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().nth(NAME_CHARS).is_some() { cut + "…" } else { cut }
}

fn listed(mut items: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let rest = items.len().saturating_sub(LISTED);
    let mut line = items.by_ref().take(LISTED).collect::<Vec<_>>().join(separator);
    if rest > 0 {
        line += &format!("{separator}… and {rest} more");
    }
    line
}

fn names_line(owner: &str, missing: &[String], unknown: &[String]) -> String {
    let part = |names: &[String], verb: &str, kind: &str| {
        let tensors = if names.len() == 1 { "tensor" } else { "tensors" };
        let list = listed(names.iter().map(|name| shown(name)), ", ");
        format!("{verb} {} {kind}{tensors}: {list}", names.len())
    };
    let lacks = (!missing.is_empty()).then(|| part(missing, "lacks", ""));
    let has = (!unknown.is_empty()).then(|| part(unknown, "has", "unknown "));
    format!("{owner} {}", lacks.into_iter().chain(has).collect::<Vec<_>>().join("; "))
}

fn scale_line(value: &Option<f64>) -> String {
    match value {
        None => "logit_scale is missing".to_owned(),
        Some(value) => {
            format!("logit_scale: found {value:.4}, allowed at most {:.4}", MAX_LOGIT_SCALE)
        }
    }
}
