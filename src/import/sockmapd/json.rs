//! Reads JSON as programs in Go do: the case of keys does not matter, `null` counts as absent, and unknown
//! keys are ignored. Unlike them it collects all errors, each with its position.

use crate::import::{Fault, Place};
use mail_address::escape;
use serde_json::{Map, Value};

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| {
        // The message of the parser ends with the position, and does not quote the text.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Fault {
            place: Place::Text(error.line(), error.column()),
            message: format!("this is not JSON: {message}"),
            help: "fix it there or just before".into(),
        }
    })
}

/// An object and its place.
#[derive(Clone, Debug)]
pub struct Object<'j> {
    place: String,
    map: &'j Map<String, Value>,
}

/// Collects errors and unknown keys.
#[derive(Debug, Default)]
pub struct Reader {
    pub faults: Vec<Fault>,
    /// Unknown keys with their position as written, not escaped.
    pub unknown: Vec<String>,
}

/// The position of a key.
fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Object<'_> {
    /// The position of a key of this object.
    pub fn place(&self, key: &str) -> String {
        below(&self.place, key)
    }
}

impl Reader {
    pub fn fault(&mut self, place: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = Place::Key(place.into());
        self.faults.push(Fault { place, message: message.into(), help: help.into() });
    }

    /// Returns the object at `place`. Keys other than these are recorded as unknown.
    pub fn object<'j>(
        &mut self,
        place: &str,
        value: &'j Value,
        keys: &[&str],
        help: &str,
    ) -> Option<Object<'j>> {
        let Value::Object(map) = value else {
            self.fault(place, format!("is {} but must be an object", kind(value)), help);
            return None;
        };
        for key in keys {
            let spellings: Vec<&String> =
                map.keys().filter(|found| found.eq_ignore_ascii_case(key)).collect();
            if let [first, second, ..] = spellings[..] {
                let message = format!("is set twice, as {} and {}", escape(first), escape(second));
                self.fault(&below(place, key), message, "remove one of them");
            }
        }
        let means_nothing = |found: &&String| !keys.iter().any(|key| found.eq_ignore_ascii_case(key));
        self.unknown.extend(map.keys().filter(means_nothing).map(|key| below(place, key)));
        Some(Object { place: place.into(), map })
    }

    /// Returns the value at `key`, if present.
    pub fn value<'j>(object: &Object<'j>, key: &str) -> Option<&'j Value> {
        // If there are several spellings, which is reported as an error, the usual one is probably
        // intended.
        let any =
            || object.map.iter().find(|(found, _)| found.eq_ignore_ascii_case(key)).map(|(_, value)| value);
        object.map.get(key).or_else(any).filter(|value| !value.is_null())
    }

    /// Returns the text at `key`. An empty text counts as absent.
    pub fn text<'j>(&mut self, object: &Object<'j>, key: &str) -> Option<&'j str> {
        match Self::value(object, key)? {
            Value::String(text) => Some(&**text).filter(|text| !text.is_empty()),
            value => {
                let message = format!("is {} but must be a string", kind(value));
                self.fault(&object.place(key), message, "write it between double quotes");
                None
            }
        }
    }

    /// Returns the text at `key`, which is required.
    pub fn needed<'j>(&mut self, object: &Object<'j>, key: &str, help: &str) -> Option<&'j str> {
        let before = self.faults.len();
        let text = self.text(object, key);
        if text.is_none() && self.faults.len() == before {
            self.fault(&object.place(key), "is missing or empty", help);
        }
        text
    }

    /// Returns the list at `key`, which is required and must not be empty.
    pub fn list<'j>(&mut self, object: &Object<'j>, key: &str, help: &str) -> &'j [Value] {
        match Self::value(object, key) {
            Some(Value::Array(list)) if !list.is_empty() => return list,
            Some(Value::Array(_)) => self.fault(&object.place(key), "is empty", help),
            Some(value) => {
                self.fault(&object.place(key), format!("is {} but must be a list", kind(value)), help);
            }
            None => self.fault(&object.place(key), "is missing", help),
        }
        &[]
    }

    /// Returns the port at `key`: a number, or a text with a number.
    pub fn port(&mut self, object: &Object<'_>, key: &str) -> Option<u16> {
        let port = match Self::value(object, key)? {
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
            _ => None,
        };
        let port = port.filter(|port| *port != 0);
        if port.is_none() {
            self.fault(&object.place(key), "is not a port", "write a number from 1 to 65535");
        }
        port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_have_a_position_and_no_value() {
        for (text, want) in [
            ("", "x:1:0: error: this is not JSON: EOF while parsing a value (fix it"),
            ("{\n \"a\" \"secret\"}", "x:2:6: error: this is not JSON: expected `:` (fix it"),
            ("{\"a\": secret}", "x:1:7: error: this is not JSON: expected value (fix it"),
            ("{} secret", "x:1:4: error: this is not JSON: trailing characters (fix it"),
            (&"[".repeat(100_000), "this is not JSON: recursion limit exceeded (fix it"),
        ] {
            let got = parse(text).unwrap_err().of("x");
            assert!(got.contains(want) && !got.contains("secret"), "{got}");
        }
    }

    #[test]
    fn parses_ports() {
        for (value, want, faults) in [
            (json!("3306"), Some(3306), 0),
            (json!(3306), Some(3306), 0),
            (json!(null), None, 0),
            (json!(""), None, 0),
            (json!("0"), None, 1),
            (json!(65_536), None, 1),
            (json!(-1), None, 1),
            (json!(33.5), None, 1),
            (json!("mysql"), None, 1),
            (json!([3306]), None, 1),
        ] {
            let mut reader = Reader::default();
            let value = json!({ "Port": value });
            let object = reader.object("", &value, &["port"], "").unwrap();
            assert_eq!((reader.port(&object, "port"), reader.faults.len()), (want, faults), "{value}");
            assert!(reader.unknown.is_empty());
        }
    }
}
