//! Interprets the replies of Redis.

use crate::map::Lookup;
use crate::map::value::{found, quoted};
use crate::net::host::Host;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// Interprets the reply to a query.
pub(super) fn read(value: Value) -> Lookup<String> {
    match value {
        Value::Nil => Lookup::NotFound,
        Value::BulkString(value) => found(value),
        Value::SimpleString(value) => found(value.into_bytes()),
        _ => Lookup::temp_fail("the reply is not a string"),
    }
}

/// Interprets the reply to a command of the store: a text, or an acknowledgement.
pub(super) fn stored(value: Value) -> Lookup<String> {
    match value {
        Value::Okay | Value::Int(_) => Lookup::Found(String::new()),
        value => read(value),
    }
}

/// Whether the connection can no longer be used.
pub(super) fn is_broken(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}

/// Whether the node cannot serve the slot, although another node may: it does not see most of its cluster, or
/// no node that it sees has the slot.
pub(super) fn is_down(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ClusterDown)
}

/// The reason why the server returned no result, with its own text if there is one.
pub(super) fn refused(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("WRONGTYPE"), _) => {
            "the key does not hold a string: set field for a hash; rcptd does not read lists and sets".into()
        }
        (Some(code), Some(text)) => quoted(format!("it replied {code} {text}").as_bytes()),
        _ => quoted(error.to_string().as_bytes()),
    }
}

/// The line in the reply to `INFO replication` of a replica that is not connected to its master.
pub(super) const CUT_OFF: &str = "master_link_status:down";

/// Whether a server is a replica that is not connected to its master ("INFO"). If it never was, it is empty;
/// if it lost the connection, it lacks new data.
pub(super) fn is_cut_off(replication: &[u8]) -> bool {
    replication.split(|octet| *octet == b'\n').any(|line| line.trim_ascii() == CUT_OFF.as_bytes())
}

/// Checks the reply to `ROLE`. The error is the reason why the server is not used as a master.
pub(super) fn master_role(reply: &Value) -> Result<(), String> {
    let role = match reply {
        Value::Array(parts) => parts.first().and_then(text).unwrap_or_default(),
        _ => "",
    };
    match role {
        "master" => Ok(()),
        // The protocol still has the old word.
        "slave" => Err("it is a replica, not the master".into()),
        role => Err(format!("its role is not master: \"{}\"", quoted(role.as_bytes()))),
    }
}

/// Reads the reply to `SENTINEL GET-MASTER-ADDR-BY-NAME`; `None` if the Sentinel does not know the master.
pub(super) fn master_address(reply: &Value) -> Option<Host> {
    let Value::Array(parts) = reply else { return None };
    let [host, port] = parts.as_slice() else { return None };
    endpoint(text(host)?, text(port)?, "")
}

/// The text of a reply.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(octets) => str::from_utf8(octets).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A server that another one names. An empty host is that of the one that was `asked`; `?` is a host that the
/// node does not know.
pub(super) fn endpoint(host: &str, port: &str, asked: &str) -> Option<Host> {
    let host = if host.is_empty() { asked } else { host };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let known =
        !host.is_empty() && host != "?" && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    known.then(|| Host::Inet(host.to_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn reads_roles() {
        for (reply, want) in [
            (Value::Array(vec![bulk("master"), Value::Int(3), Value::Array(Vec::new())]), Ok(())),
            (Value::Array(vec![bulk("slave")]), Err("it is a replica, not the master")),
            (Value::Array(vec![bulk("sentinel")]), Err("its role is not master: \"sentinel\"")),
            (Value::Array(Vec::new()), Err("its role is not master: \"\"")),
            (Value::Nil, Err("its role is not master: \"\"")),
        ] {
            assert_eq!(master_role(&reply), want.map_err(str::to_owned), "{reply:?}");
        }
    }

    #[test]
    fn reads_addresses_of_masters() {
        let pair = |host, port| Value::Array(vec![bulk(host), bulk(port)]);
        for (reply, want) in [
            (pair("192.0.2.1", "6379"), Some("192.0.2.1:6379")),
            (pair("2001:db8::1", "6379"), Some("[2001:db8::1]:6379")),
            (pair("DB.example", "1"), Some("db.example:1")),
            (pair("", "6379"), None),
            (pair("192.0.2.1", "0"), None),
            (pair("192.0.2.1", "x"), None),
            (Value::Nil, None),
            (Value::Array(vec![bulk("192.0.2.1")]), None),
        ] {
            let got = master_address(&reply).map(|host| host.to_string());
            assert_eq!(got.as_deref(), want, "{reply:?}");
        }
    }

    #[test]
    fn replicas_without_their_master_are_cut_off() {
        for (info, want) in [
            ("role:slave\r\nmaster_link_status:down\r\n", true),
            ("role:slave\r\nmaster_link_status:up\r\n", false),
            ("role:master\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_cut_off(info.as_bytes()), want, "{info}");
        }
    }
}
