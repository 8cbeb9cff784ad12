//! The whitelists of TPRT: a JSON object of lists of entries, each an object with its type.

use super::condition::{Condition, MailboxPattern, Term};
use super::{Entry, Reader};
use crate::net::network::Network;
use mail_address::escape;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::ops::Range;

type Fault = (String, String);

/// The types of entries.
const TYPES: [&str; 5] = ["ipv4_net", "ipv6_net", "recipient_literal", "remote_regex", "recipient_regex"];

/// Reads all entries. TPRT names the type by the key of a list, or by `type` in the entry.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<(Entry, Range<usize>)> {
    let content = reader.text.content.clone();
    let mut found = Vec::new();
    let sections: Map<String, Value> = match serde_json::from_str(&content) {
        Ok(sections) => sections,
        Err(error) => {
            let start: usize =
                content.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = (start + error.column().saturating_sub(1)).min(content.len());
            reader.error(
                at..at,
                format!("this is not the JSON of a whitelist: {error}"),
                "check it with a JSON tool",
            );
            return found;
        }
    };
    for (name, value) in &sections {
        let Value::Array(entries) = value else {
            // `name` and the like describe the file.
            if matches!(value, Value::Object(_)) {
                let what = format!("section \"{}\" is not a list", escape(name));
                reader.error(place(&content, name), what, "write [{...}, {...}]");
            }
            continue;
        };
        for (at, entry) in entries.iter().enumerate() {
            let span = place(&content, name);
            match condition(reader, name, entry) {
                Ok(condition) => {
                    let term = Term { negated: false, condition };
                    found.push((reader.entry(vec![term], &span), span));
                }
                Err((what, remedy)) => {
                    let what = format!("section \"{}\", entry {}: {what}", escape(name), at + 1);
                    reader.error(span, what, remedy);
                }
            }
        }
    }
    found
}

/// Where a section begins.
fn place(content: &str, section: &str) -> Range<usize> {
    let at = content.find(&format!("\"{section}\"")).unwrap_or_default();
    at..(at + section.len() + 2).min(content.len())
}

fn condition(reader: &Reader<'_>, section: &str, entry: &Value) -> Result<Condition, Fault> {
    let fault = |what: &str, remedy: &str| (what.to_owned(), remedy.to_owned());
    let Value::Object(fields) = entry else {
        return Err(fault("it is not an object", "write {\"type\": \"...\", ...}"));
    };
    let text = |field: &str| {
        let value = fields.get(field).and_then(Value::as_str);
        value.ok_or_else(|| fault(&format!("it has no \"{field}\""), "write it as a string"))
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or(section);
    match kind {
        "ipv4_net" | "ipv6_net" => {
            let address: IpAddr = text("net")?
                .parse()
                .map_err(|_| fault("\"net\" is not an address", "write an IP address"))?;
            if address.is_ipv4() != (kind == "ipv4_net") {
                return Err(fault("\"net\" is of the other family", "change the type"));
            }
            let most = if address.is_ipv4() { 32 } else { 128 };
            let mask = match fields.get("mask") {
                None => Some(most),
                Some(Value::String(text)) => text.parse().ok(),
                Some(value) => value.as_u64().and_then(|mask| u8::try_from(mask).ok()),
            };
            let mask = mask.filter(|mask| *mask <= most);
            let mask = mask.ok_or_else(|| {
                fault("\"mask\" is not the length of a prefix", &format!("write a number from 0 to {most}"))
            })?;
            Ok(Condition::Client(Network::around(address, mask, mask)))
        }
        "recipient_literal" => {
            let literal = text("recipient")?;
            // A name alone is a local part to TPRT.
            let literal = if literal.contains('@') { literal.to_owned() } else { format!("{literal}@") };
            let mailbox = MailboxPattern::parse(&literal);
            mailbox
                .map(Condition::Recipient)
                .map_err(|remedy| fault("\"recipient\" is not an address", &remedy))
        }
        "remote_regex" => Ok(Condition::NameMatches(reader.regex(text("regex")?)?)),
        "recipient_regex" => Ok(Condition::RecipientMatches(reader.regex(text("regex")?)?)),
        _ => Err(fault(
            &format!("there is no type \"{}\"", escape(kind)),
            &format!("known are {}", TYPES.join(", ")),
        )),
    }
}
