//! The tensors among a pickle's values, by their paths.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::machine::{Id, Node, Values};

/// Bounds of the walk: a value may be referred to from many places.
const MAX_DEPTH: usize = 32;
const MAX_STEPS: usize = 1 << 20;
const MAX_RANK: usize = 8;

/// A tensor of a pickle with its values in the order of its shape.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::model) struct Loose {
    /// Type of each value.
    pub(in crate::model) dtype: Dtype,
    /// Sizes, slowest first.
    pub(in crate::model) shape: Vec<usize>,
    /// Little-endian, row-major.
    pub(in crate::model) bytes: Vec<u8>,
}

/// A tensor as the pickle describes it: a view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) storage: String,
    pub(super) dtype: Dtype,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Every tensor below the root. A path is keys of dictionaries and attributes of objects, dots between them; what modules keep
/// as `_parameters`, `_buffers` and `_modules` has the names that `state_dict()` gives it.
pub(super) fn views(values: &Values) -> BTreeMap<String, View> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(values.root, String::new(), 0)];
    let mut n_steps = 0;
    while let Some((id, path, depth)) = waiting.pop() {
        n_steps += 1;
        if n_steps > MAX_STEPS {
            break;
        }
        if let Some(view) = view(values, id) {
            found.insert(path, view);
        } else if depth < MAX_DEPTH {
            let children = children(values, id);
            waiting.extend(children.into_iter().map(|(key, child)| (child, joined(&path, &key), depth + 1)));
        }
    }
    found
}

fn joined(path: &str, key: &str) -> String {
    match key {
        "_parameters" | "_buffers" | "_modules" => path.to_owned(),
        key if path.is_empty() => key.to_owned(),
        key => format!("{path}.{key}"),
    }
}

fn children(values: &Values, id: Id) -> Vec<(String, Id)> {
    let named = |items: &[(Id, Id)]| {
        let name = |key: Id| match values.get(key) {
            Node::Text(text) => Some(text.clone()),
            Node::Int(number) => Some(number.to_string()),
            _ => None,
        };
        items.iter().filter_map(|(key, value)| Some((name(*key)?, *value))).collect::<Vec<_>>()
    };
    match values.get(id) {
        Node::Dict(items) => named(items),
        Node::List(items) | Node::Tuple(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), *item)).collect()
        }
        Node::Call { items, state, .. } => {
            let mut all = named(items);
            // The state of an object is a dictionary, or that and a dictionary of slots.
            for part in
                state.iter().flat_map(|state| values.tuple(*state).unwrap_or(std::slice::from_ref(state)))
            {
                if let Node::Dict(items) | Node::Call { items, .. } = values.get(*part) {
                    all.extend(named(items));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

/// The tensor that a call of torch's would rebuild.
fn view(values: &Values, id: Id) -> Option<View> {
    let Node::Call { callee, args, .. } = values.get(id) else { return None };
    let Node::Global(module, name) = values.get(*callee) else { return None };
    let args = values.tuple(*args)?;
    match (module.as_str(), name.as_str()) {
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            view(values, *args.first()?)
        }
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
            let [storage, offset, shape, strides] = args.first_chunk::<4>()?;
            let Node::Persistent(storage) = values.get(*storage) else { return None };
            let [kind, class, key, ..] = values.tuple(*storage)? else { return None };
            let sizes = |id: &Id| -> Option<Vec<usize>> {
                let sizes = values.tuple(*id).filter(|sizes| sizes.len() <= MAX_RANK)?;
                sizes.iter().map(|size| usize::try_from(values.int(*size)?).ok()).collect()
            };
            let is_storage = values.text(*kind) == Some("storage");
            let dtype = if name == "_rebuild_tensor_v3" { *args.get(6)? } else { *class };
            let view = View {
                storage: values.text(*key)?.to_owned(),
                dtype: dtype_named(values, dtype)?,
                offset: usize::try_from(values.int(*offset)?).ok()?,
                shape: sizes(shape)?,
                strides: sizes(strides)?,
            };
            (is_storage && view.shape.len() == view.strides.len()).then_some(view)
        }
        _ => None,
    }
}

fn dtype_named(values: &Values, id: Id) -> Option<Dtype> {
    let Node::Global(_, name) = values.get(id) else { return None };
    Some(match name.as_str() {
        "DoubleStorage" | "float64" => Dtype::F64,
        "FloatStorage" | "float32" => Dtype::F32,
        "HalfStorage" | "float16" => Dtype::F16,
        "BFloat16Storage" | "bfloat16" => Dtype::BF16,
        "LongStorage" | "int64" => Dtype::I64,
        "IntStorage" | "int32" => Dtype::I32,
        "ShortStorage" | "int16" => Dtype::I16,
        "CharStorage" | "int8" => Dtype::I8,
        "ByteStorage" | "uint8" => Dtype::U8,
        "BoolStorage" | "bool" => Dtype::BOOL,
        _ => return None,
    })
}

/// Bytes of a value.
fn width(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// Bytes of a value of every storage, by its key.
pub(super) fn storage_widths(values: &Values) -> BTreeMap<&str, usize> {
    let storage = |node: &Node| {
        let Node::Persistent(id) = node else { return None };
        let [_, class, key, ..] = values.tuple(*id)? else { return None };
        Some((values.text(*key)?, width(dtype_named(values, *class)?)))
    };
    values.nodes.iter().filter_map(storage).collect()
}

impl View {
    /// Values of the tensor; `None` when there are absurdly many.
    pub(super) fn elements(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |product, size| product.checked_mul(*size))
            .filter(|n| *n < 1 << 40)
    }

    /// The values out of their storage, in the order of the shape; `None` when the view leaves it.
    pub(super) fn of(&self, storage: &[u8]) -> Option<Loose> {
        let (n, width) = (self.elements()?, width(self.dtype));
        let value =
            |index: usize| storage.get(index.checked_mul(width)?..index.checked_add(1)?.checked_mul(width)?);
        let mut bytes = Vec::new();
        if self.is_contiguous() {
            let start = self.offset.checked_mul(width)?;
            bytes.extend_from_slice(storage.get(start..start.checked_add(n.checked_mul(width)?)?)?);
        } else {
            let mut place = vec![0; self.shape.len()];
            for _ in 0..n {
                let mut steps = place.iter().zip(&self.strides);
                let index = steps.try_fold(self.offset, |sum, (at, stride)| sum.checked_add(at * stride));
                bytes.extend_from_slice(value(index?)?);
                for (at, size) in place.iter_mut().zip(&self.shape).rev() {
                    *at += 1;
                    if *at < *size {
                        break;
                    }
                    *at = 0;
                }
            }
        }
        Some(Loose { dtype: self.dtype, shape: self.shape.clone(), bytes })
    }

    fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == wanted;
            wanted *= size;
            fits
        })
    }
}
