//! What is cached and known of accounts: the replies to `rcptd cache`.

use crate::account::known::file::KnownFile;
use crate::account::{Lookup, Sources};
use crate::lookup::Key;
use mail_address::{Address, Malformed, canonical_domain};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most accounts in a reply. A larger one is of no use to a reader.
const MAX_LISTED: usize = 1000;

/// The accounts that a command is about.
#[derive(Debug)]
enum Selection {
    All,
    Account(String),
    Domain(String),
    Source(String),
}

impl Selection {
    /// A source if there is one of this name, an address if the text has an `@`, or else a domain.
    fn of(text: &str, sources: &Sources) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Selection::All);
        }
        if sources.has_source(text) {
            return Ok(Selection::Source(text.to_owned()));
        }
        match text.rsplit_once('@') {
            Some(("", domain)) => Ok(Selection::Domain(canonical_domain(domain).into_owned())),
            Some(_) => Ok(Selection::Account(address(text, sources)?.cache_key().into_owned())),
            None if text.contains(':') => Err(format!("no account source is called {text}")),
            None => Ok(Selection::Domain(canonical_domain(text).into_owned())),
        }
    }

    fn takes(&self, key: &str, source: &str) -> bool {
        match self {
            Selection::All => true,
            Selection::Account(account) => account == key,
            Selection::Domain(domain) => key.rsplit_once('\0').is_some_and(|(_, of)| of == domain),
            Selection::Source(name) => name == source,
        }
    }
}

/// Returns an address in the spelling in which it is looked up.
fn address(text: &str, sources: &Sources) -> Result<Address, String> {
    let inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    let (local, domain) = match inside.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => (local, domain),
        _ => return Err("write the whole address, with its domain".into()),
    };
    let wrong = |why: Malformed| format!("{text} is not an address: {why}");
    let given = Address::from_rcpt(format!("<{local}@{domain}>").as_bytes());
    let given = Address::new(given.local(), domain).map_err(wrong)?;
    sources.spelling(&given).ok_or_else(|| format!("{text} is not an address"))
}

/// Returns the reply to a request such as `{"action": "flush", "what": "foo@example.com"}`. `is_ours`: whether rcptd
/// resolves an address. What the operator changes is saved at once, in `file` if there is one.
pub(super) async fn answer(
    sources: &Sources,
    is_ours: impl Fn(&Address) -> bool,
    file: Option<&KnownFile>,
    request: &Value,
) -> String {
    let mut reply = changed(sources, is_ours, request)
        .await
        .unwrap_or_else(|why| json!({ "error": why, "kind": "input" }));
    let changes = ["pinned", "unpinned", "flushed"].iter().any(|word| reply.get(*word).is_some());
    if changes {
        if let Some(file) = file {
            file.save(sources).await;
        }
        reply["saved"] = file.is_some_and(|file| file.is_saved(sources)).into();
    }
    reply.to_string()
}

async fn changed(
    sources: &Sources,
    is_ours: impl Fn(&Address) -> bool,
    request: &Value,
) -> Result<Value, String> {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("action") {
        "list" => Selection::of(text("what"), sources).map(|selection| list(sources, &selection)),
        "flush" => match Selection::of(text("what"), sources) {
            Ok(selection) => {
                let (flushed, failure) = sources.flush(|key, source| selection.takes(key, source)).await;
                let mut reply = json!({ "flushed": flushed });
                if let Some(why) = failure {
                    reply["shared_error"] = why.into();
                }
                Ok(reply)
            }
            Err(why) => Err(why),
        },
        "pin" => match address(text("what"), sources) {
            Ok(account) if !is_ours(&account) => {
                Err(format!("{account} is not in one of the domains of rcptd, so a pin has no effect"))
            }
            Ok(account) => match sources.known.pin(&account).await {
                Ok(()) => Ok(json!({ "pinned": account.to_string() })),
                Err(why) => Err(why.to_string()),
            },
            Err(why) => Err(why),
        },
        "unpin" => match address(text("what"), sources) {
            Ok(account) if sources.unpin(&account).await => Ok(json!({ "unpinned": account.to_string() })),
            Ok(account) => Ok(json!({ "error": format!("{account} is not pinned"), "kind": "not_found" })),
            Err(why) => Err(why),
        },
        _ => Err("the actions are list, flush, pin and unpin".into()),
    }
}

/// The accounts in order, each once, with what is cached and what is known of it.
fn list(sources: &Sources, selection: &Selection) -> Value {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (key, known) in sources.known.list() {
        let source = known.source.as_deref();
        if selection.takes(&key, source.unwrap_or_default()) {
            let age = known.since.elapsed().unwrap_or_default().as_secs();
            all.insert(
                key,
                json!({ "known": true, "pinned": source.is_none(), "source": source, "age_seconds": age }),
            );
        }
    }
    for (key, answer) in sources.cached() {
        if selection.takes(&key, &answer.source) {
            let entry = all.entry(key).or_insert_with(|| json!({ "known": false, "pinned": false }));
            entry["source"] = (*answer.source).into();
            entry["cached"] = if answer.result == Lookup::NotFound { "not_found" } else { "exists" }.into();
        }
    }
    let total = all.len();
    let accounts: Vec<Value> = all
        .into_iter()
        .take(MAX_LISTED)
        .filter_map(|(key, mut entry)| {
            entry["account"] = Address::from_key(&key)?.to_string().into();
            Some(entry)
        })
        .collect();
    json!({ "accounts": accounts, "total": total })
}
