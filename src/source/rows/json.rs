//! JSON manifests: one array of objects, or an object a line. Of an object no more is kept than a row needs.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    ByRow, COLUMNS, Header, MAX_ROW_BYTES, Problem, Row, Spool, Take, bad, field, too_long, unspooled,
};
use crate::source::header::is_column;

/// Bytes that are looked at at once.
const BLOCK_BYTES: usize = 64 << 10;

/// Names that are not a column's and are looked at all the same, for one that may be meant.
const MAX_NAMES: usize = 1000;

/// Reads twice: first for the names of all columns, then row by row.
pub(super) fn read(file: &Spool, take: Take<'_>) -> Result<(Header, usize), Problem> {
    check_text(file)?;
    let mut names: Vec<String> = Vec::new();
    each(file, &mut |_, object| {
        for (key, _) in object.fields {
            if (names.len() < MAX_NAMES || is_column(&key)) && !names.contains(&key) {
                names.push(key);
            }
        }
        Ok(())
    })?;
    let header = Header::of(&names)?;
    let n_rows = each(file, &mut |n, object| take(&header, n, &row_of(&header, &names, n, &object)?))?;
    Ok((header, n_rows))
}

fn row_of(header: &Header, names: &[String], n: usize, object: &Object) -> Result<Row, Problem> {
    let mut fields = Row::default();
    for (column, place) in fields.iter_mut().enumerate() {
        let Some(name) = header.places[column].map(|at| &names[at]) else { continue };
        let mut values = object.fields.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value);
        if values.next().is_some() {
            let what = format!("row {n}: '{}' stands twice", COLUMNS[column]);
            return Err(bad("M027", what).hint("remove or rename one of them"));
        }
        match value {
            None | Some(Value::Missing) => {}
            Some(Value::Text(text)) => *place = field(n, column, text)?,
            Some(Value::Nested) => {
                let name = COLUMNS[column];
                let what = format!("row {n}: {name} holds a list or an object, allowed text or a number");
                return Err(bad("M018", what));
            }
        }
    }
    Ok(fields)
}

/// Whether the whole file is UTF-8.
fn check_text(file: &Spool) -> Result<(), Problem> {
    let (mut at, mut n_lines) = (0, 0);
    while at < file.n_bytes() {
        let block = file.read_at(at, BLOCK_BYTES).map_err(|error| unspooled(&error))?;
        let n_valid = match std::str::from_utf8(&block) {
            Ok(_) => block.len(),
            // A letter may go on in the next block.
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            Err(error) => {
                let before = &block[..error.valid_up_to()];
                let line = n_lines + before.iter().filter(|&&b| b == b'\n').count();
                return Err(bad("M009", format!("line {line}: not UTF-8 text")));
            }
        };
        n_lines += block[..n_valid].iter().filter(|&&b| b == b'\n').count();
        at += n_valid as u64;
    }
    Ok(())
}

/// What takes an object with the number of its row.
type Each<'a> = &'a mut dyn FnMut(usize, Object) -> Result<(), Problem>;

/// Gives every object away; how many there were.
fn each(file: &Spool, take: Each<'_>) -> Result<usize, Problem> {
    let unread = |error| unspooled(&error);
    let start: u64 =
        if file.read_at(0, 3).map_err(unread)?.as_ref() == "\u{feff}".as_bytes() { 3 } else { 0 };
    let mut first = file.reader(start).bytes().find(|byte| !matches!(byte, Ok(b) if b.is_ascii_whitespace()));
    match first.take().transpose().map_err(unread)? {
        Some(b'[') => each_of_array(file, start, take),
        _ => each_line(file, start, take),
    }
}

fn each_line(file: &Spool, start: u64, take: Each<'_>) -> Result<usize, Problem> {
    let (mut reader, mut line, mut n) = (file.reader(start), String::new(), 0);
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_ROW_BYTES).read_line(&mut line);
        if read.map_err(|error| unspooled(&error))? == 0 {
            return Ok(n);
        }
        if line.len() as u64 == MAX_ROW_BYTES {
            return Err(too_long(n));
        }
        if !line.trim().is_empty() {
            let wrong = || bad("M018", format!("row {n}: not a JSON object")).hint("one object a line");
            take(n, serde_json::from_str(line.trim_end_matches(['\n', '\r'])).map_err(|_| wrong())?)?;
            n += 1;
        }
    }
}

fn each_of_array(file: &Spool, start: u64, take: Each<'_>) -> Result<usize, Problem> {
    let (text, left) = ByRow::new(file.reader(start));
    let mut objects = Objects { take, left, n: 0, stopped: None };
    let mut parser = serde_json::Deserializer::from_reader(BufReader::new(text));
    let read = parser.deserialize_seq(&mut objects).and_then(|()| parser.end());
    match (objects.stopped, read) {
        (Some(problem), _) => Err(problem),
        (None, Ok(())) => Ok(objects.n),
        (None, Err(error)) if error.is_io() => Err(too_long(objects.n)),
        (None, Err(_)) => Err(bad("M018", "not a JSON array of objects")),
    }
}

/// The objects of an array, each given away when it has been read.
struct Objects<'a> {
    take: Each<'a>,
    left: Rc<Cell<u64>>,
    n: usize,
    /// What ended the reading, which the parser would forget.
    stopped: Option<Problem>,
}

impl<'de> Visitor<'de> for &mut Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.left.set(MAX_ROW_BYTES);
        while let Some(object) = list.next_element::<Object>()? {
            if let Err(problem) = (self.take)(self.n, object) {
                self.stopped = Some(problem);
                return Err(A::Error::custom("stopped"));
            }
            self.n += 1;
            self.left.set(MAX_ROW_BYTES);
        }
        Ok(())
    }
}

/// The keys of an object in their order, with the values of those that are columns.
struct Object {
    fields: Vec<(String, Value)>,
}

/// What a key has.
enum Value {
    Missing,
    /// A text, a number or a switch, as text.
    Text(String),
    /// A list or an object, whose parts are not kept.
    Nested,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if is_column(&key) {
                        fields.push((key, map.next_value()?));
                        continue;
                    }
                    map.next_value::<IgnoredAny>()?;
                    if fields.len() < MAX_NAMES {
                        fields.push((key, Value::Missing));
                    }
                }
                Ok(Object { fields })
            }
        }
        from.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Missing)
            }

            fn visit_bool<E>(self, switch: bool) -> Result<Value, E> {
                Ok(Value::Text(switch.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Text(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Text(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Text(serde_json::Value::from(number).to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Nested)
            }
        }
        from.deserialize_any(Any)
    }
}
