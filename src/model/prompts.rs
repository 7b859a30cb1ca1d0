//! Class names and templates become one rectangle of token ids.

use candle_core::{Device, Tensor};

use super::{
    error::{CheckpointFault, ModelError},
    vocabulary::Vocabulary,
};

/// Where the class name goes in a template.
const SLOT: &str = "{}";

/// One text per class and template, in the order class 0 with every template, class 1, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    texts: Vec<String>,
    templates: usize,
}

/// A prompt that was longer than the text tower's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Class index.
    pub class: usize,
    /// Template index.
    pub template: usize,
    /// Tokens left out at the end of the text, at least 1.
    pub tokens: usize,
}

/// Token ids, `[classes * templates, width]`, row-major, the vocabulary's padding beside each text.
///
/// A CLIP tower pools at the largest id of a row, which is end-of-text and stands there once; its padding, zero, can never be
/// it. What stands behind it does not matter, for attention is causal: the result is that of `transformers.CLIPModel` with any
/// padding and its attention mask. So `width` is the longest row, not the context, since most of that would be padding; BERT
/// does not see its padding either. SigLIP's tower sees it, so there `width` is the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    width: usize,
    templates: usize,
    cut: Vec<Cut>,
}

impl Prompts {
    /// Puts every class name into every template. Class `c` is `class_names[c]`.
    ///
    /// # Errors
    /// `C001` when there is no template or class name, a template does not hold `{}` exactly once, or a class name is empty.
    pub fn new(templates: &[String], class_names: &[String]) -> Result<Self, ModelError> {
        let at_least_one = |field, count: usize| {
            if count > 0 { Ok(()) } else { Err(refused(field, "none", "at least one")) }
        };
        at_least_one("prompt templates", templates.len())?;
        at_least_one("class names", class_names.len())?;
        for (index, template) in templates.iter().enumerate() {
            let slots = template.matches(SLOT).count();
            if slots != 1 {
                return Err(refused(
                    &format!("prompt template {index}"),
                    &format!("{slots} '{{}}'"),
                    "one '{}'",
                ));
            }
        }
        if let Some(index) = class_names.iter().position(|name| name.trim().is_empty()) {
            return Err(refused(&format!("class name {index}"), "nothing", "a name"));
        }
        let texts =
            class_names.iter().flat_map(|name| templates.iter().map(move |t| t.replacen(SLOT, name, 1)));
        Ok(Self { texts: texts.collect(), templates: templates.len() })
    }

    /// The filled-in texts.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Token ids of every text, at most `context_tokens` each.
    ///
    /// # Errors
    /// `C001` for a text that [`Vocabulary::encode`] refuses.
    ///
    /// # Panics
    /// When `context_tokens` is below 2.
    pub fn tokenize(&self, vocabulary: &Vocabulary, context_tokens: usize) -> Result<Tokens, ModelError> {
        let rows = self.texts.iter().map(|text| vocabulary.encode(text, context_tokens));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let padding = vocabulary.padding();
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let width = if padding.to_context { context_tokens } else { longest };
        let mut ids = vec![padding.id; rows.len() * width];
        for (row, place) in rows.iter().zip(ids.chunks_exact_mut(width)) {
            let start = if padding.is_left { width - row.ids.len() } else { 0 };
            place[start..start + row.ids.len()].copy_from_slice(&row.ids);
        }
        let cut = rows.iter().enumerate().filter(|(_, row)| row.cut > 0).map(|(index, row)| Cut {
            class: index / self.templates,
            template: index % self.templates,
            tokens: row.cut,
        });
        Ok(Tokens { ids, width, templates: self.templates, cut: cut.collect() })
    }
}

impl Tokens {
    /// The ids, row-major.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Ids in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows: classes times templates.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ids.len() / self.width
    }

    /// Classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.rows() / self.templates
    }

    /// Templates of each class.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.templates
    }

    /// Prompts that did not fit, in row order.
    #[must_use]
    pub fn cut(&self) -> &[Cut] {
        &self.cut
    }

    /// The ids as u32 on `device`, `[rows, width]`.
    ///
    /// # Errors
    /// `N002` when the device refuses.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor, ModelError> {
        Ok(Tensor::from_slice(&self.ids, (self.rows(), self.width), device)?)
    }
}

fn refused(field: &str, found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Prompt { field: field.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }
        .into()
}
