//! Checks for users of this host and names in aliases(5) that are not in a list of recipients.

use super::classes::{Class, others};
use super::maps::{Map, words};
use super::{Findings, Parameter};

/// Checks users of this host and aliases(5) in the other local domains.
pub(super) fn local_users(
    findings: &mut Findings<'_>,
    at: Parameter<'_>,
    list: &str,
    maps: &[Map<'_>],
    replaced: bool,
) {
    let postfix = findings.postfix;
    if list.is_empty() || !replaced {
        return;
    }
    let alias_maps = postfix.value(at.service, "alias_maps");
    let aliases = words(&alias_maps);
    let is_ours = |map: &Map<'_>| findings.ours.asked(map, at.service, postfix).is_some();
    // Another table may contain the users of this host, such as a directory or a list of mailboxes.
    let other = maps
        .iter()
        .any(|map| !map.is_passwd() && map.kind != "inline" && !aliases.contains(&map.text) && !is_ours(map));
    if other {
        return;
    }
    let (mut names, _) = others(findings, Class::Local);
    names.push("the addresses of this host, as in root@[127.0.0.1]".to_owned());
    let names = names.join(", ");
    passwd(findings, at, list, maps, &names);
    if !aliases.is_empty() && !aliases.iter().all(|alias| maps.iter().any(|map| map.text == *alias)) {
        findings.error(
            "aliases-missing",
            at,
            format!(
                "local_recipient_maps does not have {alias_maps}: names in aliases(5), such as postmaster, \
                 are rejected with 550 at {names}"
            ),
            "add $alias_maps to local_recipient_maps".to_owned(),
        );
    }
}

/// Whether the table of the users of this host is asked, and can be read.
fn passwd(findings: &mut Findings<'_>, at: Parameter<'_>, list: &str, maps: &[Map<'_>], names: &str) {
    let chroot = at.service.is_some_and(|service| service.chroot);
    match maps.iter().find(|map| map.is_passwd()) {
        None => {
            let users = if at.service.is_some_and(|s| s.sets("local_recipient_maps")) && !chroot {
                "unix:passwd.byname"
            } else {
                "proxy:unix:passwd.byname"
            };
            findings.error(
                "passwd-missing",
                at,
                format!(
                    "local_recipient_maps does not have the users of this host: those at {names} are \
                     rejected with 550"
                ),
                format!("local_recipient_maps = {users} {list}"),
            );
        }
        Some(map) if chroot && !map.proxied && !findings.facts.chroot_has_passwd => {
            findings.error(
                "passwd-outside-chroot",
                at,
                format!(
                    "{} is looked up inside the chroot, which has no /etc/passwd: users of this host at \
                     {names} are rejected with 550",
                    map.text
                ),
                "main.cf: write proxy:unix:passwd.byname, or master.cf: n in the fifth column".to_owned(),
            );
        }
        Some(_) => (),
    }
}
