//! The stack machine of Python's pickles, without Python.
//!
//! Reference: CPython, `Lib/pickletools.py`. A value is a node in one list, and refers to others by number, so a nest of any
//! depth is dropped without recursion and shared values stay shared.

use std::collections::HashMap;

/// A node's number.
pub(super) type Id = u32;

/// Most nodes: four times those of a ViT-L/14 with its optimizer's state.
const MAX_NODES: usize = 1 << 22;

/// What an instruction made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// A number, or bytes: nothing that names or shapes a tensor.
    Other,
    Text(String),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Something by the name of its module and its own.
    Global(String, String),
    /// A call that nobody makes, with what was put into its result.
    Call {
        callee: Id,
        args: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
    /// A value outside the pickle.
    Persistent(Id),
}

/// All values of a program, and which one it is.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
    /// Bytes of the program.
    pub(super) len: usize,
}

impl Values {
    pub(super) fn get(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }
}

/// Runs the first program in `bytes`; `None` for one that is cut, too long, or has an instruction of no pickle.
pub(super) fn run(bytes: &[u8]) -> Option<Values> {
    let mut machine = Machine {
        input: bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while machine.nodes.len() < MAX_NODES {
        if let Some(root) = machine.step()? {
            return Some(Values { nodes: machine.nodes, root, len: machine.at });
        }
    }
    None
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack where marks stand.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    /// One instruction; the root at the end of the program.
    fn step(&mut self) -> Option<Option<Id>> {
        match self.byte()? {
            b'.' => return Some(Some(self.pop()?)),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
            b'2' => {
                let top = *self.stack.last()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            code @ (b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b) => self.number(code)?,
            b'G' => {
                self.take(8)?;
                self.push(Node::Other);
            }
            b'F' => {
                self.line()?;
                self.push(Node::Other);
            }
            code @ (b'X' | 0x8c | 0x8d | b'T' | b'U' | b'S' | b'V') => self.string(code)?,
            code @ (b'B' | b'C' | 0x8e | 0x96) => {
                self.counted(code)?;
                self.push(Node::Other);
            }
            code => return self.structure(code).map(|()| None),
        }
        Some(None)
    }

    fn structure(&mut self, code: u8) -> Option<()> {
        match code {
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' => {
                let items = self.above_mark()?;
                self.push(Node::Tuple(items));
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code) - 0x84)?;
                let items = self.stack.split_off(from);
                self.push(Node::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.above_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = pairs(self.above_mark()?);
                self.push(Node::Dict(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(self.above_mark()?);
                self.set(items)?;
            }
            _ => return self.reference(code),
        }
        Some(())
    }

    /// Names, the memo, calls and what is outside.
    fn reference(&mut self, code: u8) -> Option<()> {
        match code {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match &self.nodes[id as usize] {
                    Node::Text(text) => Some(text.clone()),
                    _ => None,
                };
                let global = Node::Global(text(module)?, text(name)?);
                self.push(global);
            }
            b'q' | b'r' | b'p' | 0x94 => {
                let key = match code {
                    b'q' => self.byte()?.into(),
                    b'r' => self.le(4)?,
                    b'p' => self.line()?.parse().ok()?,
                    _ => self.memo.len() as u64,
                };
                self.memo.insert(key, *self.stack.last()?);
            }
            b'h' | b'j' | b'g' => {
                let key = match code {
                    b'h' => self.byte()?.into(),
                    b'j' => self.le(4)?,
                    _ => self.line()?.parse().ok()?,
                };
                let id = *self.memo.get(&key)?;
                self.stack.push(id);
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.push(Node::Call { callee, args, items: Vec::new(), state: None });
            }
            0x92 => {
                let (_, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.push(Node::Call { callee, args, items: Vec::new(), state: None });
            }
            b'i' | b'o' => {
                if code == b'i' {
                    let (module, name) = (self.line()?, self.line()?);
                    let height = *self.marks.last()?;
                    let callee = self.node(Node::Global(module, name));
                    self.stack.insert(height, callee);
                }
                let mut items = self.above_mark()?;
                let callee = (!items.is_empty()).then(|| items.remove(0))?;
                let args = self.node(Node::Tuple(items));
                self.push(Node::Call { callee, args, items: Vec::new(), state: None });
            }
            b'b' => {
                let found = self.pop()?;
                let target = *self.stack.last()? as usize;
                if let Node::Call { state, .. } = &mut self.nodes[target] {
                    *state = Some(found);
                }
            }
            b'P' => {
                let text = self.line()?;
                let id = self.node(Node::Text(text));
                self.push(Node::Persistent(id));
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
            }
            _ => return None,
        }
        Some(())
    }

    fn append(&mut self, new: Vec<Id>) -> Option<()> {
        let target = *self.stack.last()? as usize;
        if let Node::List(items) = &mut self.nodes[target] {
            items.extend(new);
        }
        Some(())
    }

    fn set(&mut self, new: Vec<(Id, Id)>) -> Option<()> {
        let target = *self.stack.last()? as usize;
        if let Node::Dict(items) | Node::Call { items, .. } = &mut self.nodes[target] {
            items.extend(new);
        }
        Some(())
    }

    fn number(&mut self, code: u8) -> Option<()> {
        let value = match code {
            b'J' => i64::from(i32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            b'K' => self.byte()?.into(),
            b'M' => i64::try_from(self.le(2)?).ok()?,
            b'I' => match self.line()?.as_str() {
                flag @ ("00" | "01") => {
                    self.push(Node::Bool(flag == "01"));
                    return Some(());
                }
                digits => digits.parse().ok()?,
            },
            b'L' => self.line()?.trim_end_matches('L').parse().ok()?,
            _ => {
                let len = if code == 0x8a { u64::from(self.byte()?) } else { self.le(4)? };
                let bytes = self.take(usize::try_from(len).ok()?)?;
                // A long one shapes no tensor.
                let Some(mut wide) = (bytes.len() <= 8).then_some([0; 8]) else {
                    self.push(Node::Other);
                    return Some(());
                };
                let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                wide.fill(sign);
                wide[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        self.push(Node::Int(value));
        Some(())
    }

    fn string(&mut self, code: u8) -> Option<()> {
        let text = match code {
            b'S' => {
                let line = self.line()?;
                line.get(1..line.len().checked_sub(1)?)?.to_owned()
            }
            b'V' => self.line()?,
            _ => String::from_utf8_lossy(self.counted(code)?).into_owned(),
        };
        self.push(Node::Text(text));
        Some(())
    }

    /// Bytes behind their number.
    fn counted(&mut self, code: u8) -> Option<&[u8]> {
        let len = match code {
            0x8c | b'U' | b'C' => self.byte()?.into(),
            b'X' | b'T' | b'B' => self.le(4)?,
            _ => self.le(8)?,
        };
        self.take(usize::try_from(len).ok()?)
    }

    fn push(&mut self, node: Node) {
        let id = self.node(node);
        self.stack.push(id);
    }

    fn node(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    /// The top of the stack; what is below a mark stays.
    fn pop(&mut self) -> Option<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        (self.stack.len() > floor).then(|| self.stack.pop()).flatten()
    }

    fn above_mark(&mut self) -> Option<Vec<Id>> {
        let height = self.marks.pop()?;
        Some(self.stack.split_off(height.min(self.stack.len())))
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let bytes = self.input.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(bytes)
    }

    /// A number of up to 8 bytes, lowest first.
    fn le(&mut self, len: usize) -> Option<u64> {
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(self.take(len)?);
        Some(u64::from_le_bytes(wide))
    }

    /// A line without its end.
    fn line(&mut self) -> Option<String> {
        let rest = self.input.get(self.at..)?;
        let len = rest.iter().position(|byte| *byte == b'\n')?;
        let text = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len + 1;
        Some(text)
    }
}

fn pairs(items: Vec<Id>) -> Vec<(Id, Id)> {
    items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_made_and_calls_are_not() {
        let values = run(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x07X\x01\x00\x00\x00bcos\nsystem\n(S'x'\ntRu.")
            .expect("a program");
        let Node::Dict(items) = values.get(values.root) else { panic!("a dictionary") };
        assert_eq!(values.text(items[0].0), Some("a"));
        assert_eq!(values.int(items[0].1), Some(7));
        let Node::Call { callee, .. } = values.get(items[1].1) else { panic!("a call") };
        assert_eq!(*values.get(*callee), Node::Global("os".to_owned(), "system".to_owned()));
    }

    #[test]
    fn cut_and_foreign_programs_are_none() {
        for program in
            [&b""[..], b"\x80\x02", b"K", b"R.", b"h\x05.", b"\xff.", b"(", b"X\xff\xff\xff\xff.", b"a."]
        {
            assert!(run(program).is_none(), "{program:?}");
        }
    }
}
