//! JSON as programs in Go read it: the case of keys does not matter, `null` is as good as nothing, and what
//! nobody asks for is passed over. Unlike them it collects all that is wrong, each with its place.

use mail_address::escape;
use serde_json::{Map, Value};

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line and a column of the text, from 1.
    Text(usize, usize),
    /// Such as `postmaps[2].table`; empty for the whole.
    Key(String),
}

/// What is wrong, where, and what to do. Never a value: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl Fault {
    /// As it is shown of a file.
    pub fn of(&self, file: &str) -> String {
        let Fault { place, message, help } = self;
        let place = match place {
            Place::Text(line, column) => format!(":{line}:{column}"),
            Place::Key(key) if key.is_empty() => String::new(),
            Place::Key(key) => format!(": {key}"),
        };
        format!("{file}{place}: error: {message} ({help})")
    }
}

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| {
        // The place stands at its end, once more; of the text there is nothing in it.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Fault {
            place: Place::Text(error.line(), error.column()),
            message: format!("this is not JSON: {message}"),
            help: "mend it there or a little before".into(),
        }
    })
}

/// An object and its place.
#[derive(Clone, Debug)]
pub struct Object<'j> {
    place: String,
    map: &'j Map<String, Value>,
}

/// What has been found wrong so far, and what nobody asked for.
#[derive(Debug, Default)]
pub struct Reader {
    pub faults: Vec<Fault>,
    /// The places of keys that mean nothing, as they are written: to be escaped.
    pub unknown: Vec<String>,
}

/// The place of a key.
fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Object<'_> {
    /// The place of a key of it.
    pub fn place(&self, key: &str) -> String {
        below(&self.place, key)
    }
}

impl Reader {
    pub fn fault(&mut self, place: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = Place::Key(place.into());
        self.faults.push(Fault { place, message: message.into(), help: help.into() });
    }

    /// The object at `place`, in which these keys mean something.
    pub fn object<'j>(
        &mut self,
        place: &str,
        value: &'j Value,
        keys: &[&str],
        help: &str,
    ) -> Option<Object<'j>> {
        let Value::Object(map) = value else {
            self.fault(place, format!("is {} and has to be an object", kind(value)), help);
            return None;
        };
        for key in keys {
            let spellings: Vec<&String> =
                map.keys().filter(|found| found.eq_ignore_ascii_case(key)).collect();
            if let [first, second, ..] = spellings[..] {
                let message = format!("is there twice, as {} and {}", escape(first), escape(second));
                self.fault(&below(place, key), message, "remove one of them");
            }
        }
        let means_nothing = |found: &&String| !keys.iter().any(|key| found.eq_ignore_ascii_case(key));
        self.unknown.extend(map.keys().filter(means_nothing).map(|key| below(place, key)));
        Some(Object { place: place.into(), map })
    }

    /// What is at `key`, if there is anything.
    pub fn value<'j>(object: &Object<'j>, key: &str) -> Option<&'j Value> {
        // Of several spellings, which is a fault already, the usual one is hardly the one too many.
        let any =
            || object.map.iter().find(|(found, _)| found.eq_ignore_ascii_case(key)).map(|(_, value)| value);
        object.map.get(key).or_else(any).filter(|value| !value.is_null())
    }

    /// The text at `key`. An empty one is as good as none.
    pub fn text<'j>(&mut self, object: &Object<'j>, key: &str) -> Option<&'j str> {
        match Self::value(object, key)? {
            Value::String(text) => Some(&**text).filter(|text| !text.is_empty()),
            value => {
                let message = format!("is {} and has to be a text", kind(value));
                self.fault(&object.place(key), message, "write it between double quotes");
                None
            }
        }
    }

    /// The same of one that has to be there.
    pub fn needed<'j>(&mut self, object: &Object<'j>, key: &str, help: &str) -> Option<&'j str> {
        let before = self.faults.len();
        let text = self.text(object, key);
        if text.is_none() && self.faults.len() == before {
            self.fault(&object.place(key), "is missing or empty", help);
        }
        text
    }

    /// The list at `key`, which has to be there and to hold something.
    pub fn list<'j>(&mut self, object: &Object<'j>, key: &str, help: &str) -> &'j [Value] {
        match Self::value(object, key) {
            Some(Value::Array(list)) if !list.is_empty() => return list,
            Some(Value::Array(_)) => self.fault(&object.place(key), "is empty", help),
            Some(value) => {
                self.fault(&object.place(key), format!("is {} and has to be a list", kind(value)), help);
            }
            None => self.fault(&object.place(key), "is missing", help),
        }
        &[]
    }

    /// The port at `key`, a number in a text or without quotes.
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
    fn faults_name_their_place_and_no_value() {
        for (text, want) in [
            ("", "x:1:0: error: this is not JSON: EOF while parsing a value (mend it"),
            ("{\n \"a\" \"secret\"}", "x:2:6: error: this is not JSON: expected `:` (mend it"),
            ("{\"a\": secret}", "x:1:7: error: this is not JSON: expected value (mend it"),
            ("{} secret", "x:1:4: error: this is not JSON: trailing characters (mend it"),
            (&"[".repeat(100_000), "this is not JSON: recursion limit exceeded (mend it"),
        ] {
            let got = parse(text).unwrap_err().of("x");
            assert!(got.contains(want) && !got.contains("secret"), "{got}");
        }
    }

    #[test]
    fn ports() {
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
