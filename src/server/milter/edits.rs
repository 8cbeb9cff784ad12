//! Edits at the end of a message: recipients, and the header that records an alias.

use super::dsn::Parameters;
use super::session::{Policy, SubmissionPath};
use mail_address::{Address, escape, fold};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// One change of the message. Changes must be applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Delete a recipient, named by exactly these bytes.
    Delete(Arc<[u8]>),
    /// Add a recipient with its ESMTP parameters.
    Add {
        /// The path, in angle brackets.
        path: String,
        /// `NOTIFY=… ORCPT=…`, for servers that accept them.
        parameters: String,
    },
    /// Remove the n-th header field of this name.
    RemoveHeader {
        /// Name of the header field.
        name: String,
        /// Number of the field among those of its name, from 1.
        index: usize,
    },
    /// Set the first header field of this name.
    Header {
        /// Name of the header field.
        name: String,
        /// Value of the header field.
        value: String,
    },
}

/// As `explain` shows it: `delete <alias>`, `add <account> NOTIFY=…`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Delete(raw) => write!(f, "delete {}", escape(raw)),
            Edit::Add { path, parameters } => write!(f, "add {} {parameters}", escape(path)),
            Edit::RemoveHeader { name, index } => write!(f, "remove header {name} {index}"),
            Edit::Header { name, value } => write!(f, "header {name}: {}", escape(value)),
        }
    }
}

/// An accepted recipient.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The mailbox of the recipient.
    pub recipient: Address,
    /// The recipient as typed.
    pub typed: Address,
    /// The mailbox that replaces it, if any.
    pub target: Option<Address>,
    /// DSN parameters from the sender.
    pub parameters: Parameters,
    /// How it was submitted.
    pub origin: SubmissionPath,
}

/// Returns the edits of a message with these recipients and `headers` incoming fields with our header's
/// name. Deletions come first: in Postfix a later deletion of the same address undoes an addition, and an
/// address that is added while it is present gets two copies.
pub(super) fn plan(policy: &Policy, accepted: &[Accepted], headers: usize) -> Vec<Edit> {
    let mut edits = recipients(policy, accepted);
    edits.extend(header(policy, accepted, headers));
    edits
}

fn recipients(policy: &Policy, accepted: &[Accepted]) -> Vec<Edit> {
    if accepted.iter().all(|a| a.target.is_none()) {
        return Vec::new();
    }
    let key = |address: &Address| address.key(policy.case_sensitive.of(address));
    let mut edits = Vec::with_capacity(2 * accepted.len() + 1);
    let mut deleted: HashSet<Arc<[u8]>> = HashSet::new();
    // Recipients that remain, then those that were added: neither is added again.
    let mut present: HashMap<String, Option<usize>> = HashMap::new();
    let mut staying: HashSet<Cow<'_, str>> = HashSet::new();
    for one in accepted.iter().filter(|one| one.target.is_none()) {
        present.insert(key(&one.recipient), None);
        if one.origin == SubmissionPath::Local {
            staying.insert(fold(one.recipient.local()));
        }
    }
    for one in accepted.iter().filter(|one| one.target.is_some()) {
        let mut delete = |name: Arc<[u8]>| {
            if deleted.insert(name.clone()) {
                edits.push(Edit::Delete(name));
            }
        };
        // First the exact octets as typed.
        delete(one.typed.shared_raw());
        for name in one.typed.other_names() {
            delete(name);
        }
        // Another recipient may have the same name and must remain.
        if one.origin == SubmissionPath::Local && !staying.contains(&fold(one.recipient.local())) {
            for name in submitted_names(&one.recipient, &policy.origin) {
                delete(name);
            }
        }
    }
    let mut additions: Vec<(&Address, &Address, Parameters)> = Vec::new();
    for one in accepted {
        let Some(target) = &one.target else { continue };
        match present.get(&key(target)) {
            Some(None) => (),
            Some(Some(i)) => {
                if let Some((_, _, parameters)) = additions.get_mut(*i) {
                    parameters.merge(&one.parameters);
                }
            }
            None => {
                present.insert(key(target), Some(additions.len()));
                additions.push((target, &one.recipient, one.parameters.clone()));
            }
        }
    }
    edits.extend(additions.into_iter().map(|(target, alias, parameters)| Edit::Add {
        path: target.path(),
        parameters: parameters.for_alias(alias),
    }));
    edits
}

/// Possible original forms of a recipient of sendmail(1). Postfix shows a milter the rewritten form, such
/// as `user@origin` for `user`, but deletes only by the original form (trivial-rewrite(8): a missing
/// domain, a domain without dots, a dot at its end, `user%domain`, `domain!user`). Deleting a missing
/// recipient has no effect.
fn submitted_names(recipient: &Address, origin: &str) -> Vec<Arc<[u8]>> {
    let (local, domain) = (recipient.local(), recipient.domain().unwrap_or_default());
    let bare = |local: &str| Address::new(local, "").map(|name| name.to_string());
    let mut names = vec![bare(&format!("{local}%{domain}")), bare(&format!("{domain}!{local}"))];
    names.push(Ok(format!("{recipient}.")));
    if let Some((host, _)) = domain.split_once('.') {
        names.push(Address::new(local, host).map(|name| name.to_string()));
    }
    if domain == origin {
        names.push(bare(local));
    }
    // A form that is too long for an address cannot be the original one.
    names.into_iter().flatten().map(|name| name.into_bytes().into()).collect()
}

/// Returns the edits of the header. Incoming fields of this name are untrusted and always removed. Our
/// field names the alias for the recipient's filters, since the replacement loses the server's
/// X-Original-To. It is set only in a message to one recipient, so that recipients do not see each other.
fn header(policy: &Policy, accepted: &[Accepted], headers: usize) -> Vec<Edit> {
    let Some(name) = &policy.header else { return Vec::new() };
    let value = match accepted {
        [only] if only.target.is_some() => Some(only.recipient.to_string()),
        _ => None,
    };
    // A header may have UTF-8 only in SMTPUTF8 messages, and a control character would end it.
    let value = value.filter(|value| value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
    // From the last to the first, since each removal may renumber later ones. The first one is set instead.
    let kept = usize::from(value.is_some());
    let remove = (kept + 1..=headers).rev().map(|index| Edit::RemoveHeader { name: name.clone(), index });
    remove.chain(value.map(|value| Edit::Header { name: name.clone(), value })).collect()
}
