//! JSON manifests: one array of objects, or an object a line. Of an object no more is kept than a row needs.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{COLUMNS, Header, Problem, Row, Take, bad, field};
use crate::source::header::is_column;

/// Names that are not a column's and are looked at all the same, for one that may be meant.
const MAX_NAMES: usize = 1000;

pub(super) fn read(bytes: &[u8], take: Take<'_>) -> Result<(Header, usize), Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let row = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        bad("M009", format!("line {row}: not UTF-8 text"))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let objects: Vec<Object> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| bad("M018", "not a JSON array of objects"))?
    } else {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).enumerate();
        let parsed = lines.map(|(n, line)| {
            let wrong = || bad("M018", format!("row {n}: not a JSON object")).hint("one object a line");
            serde_json::from_str(line).map_err(|_| wrong())
        });
        parsed.collect::<Result<_, _>>()?
    };
    let mut names: Vec<String> = Vec::new();
    for (key, _) in objects.iter().flat_map(|object| &object.fields) {
        if (names.len() < MAX_NAMES || is_column(key)) && !names.contains(key) {
            names.push(key.clone());
        }
    }
    let header = Header::of(&names)?;
    for (n, object) in objects.iter().enumerate() {
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
        take(&header, n, &fields)?;
    }
    Ok((header, objects.len()))
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
