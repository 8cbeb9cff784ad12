//! LDAP URLs (RFC 4516), as the values of special attributes: `ldap:///BASE?ATTRIBUTES?SCOPE?FILTER?EXTENSIONS`.

use super::super::settings::Scope;
use super::walk::ANYTHING;
use crate::net::host::percent_decoded;

/// The searches that a URL may describe. Its host does not count: as in Postfix, the directory that returned it is
/// searched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LdapUrl {
    pub base: String,
    /// Empty: all attributes.
    pub attributes: Vec<String>,
    pub scope: Scope,
    pub filter: String,
}

/// Whether OpenLDAP takes a text for an LDAP URL.
pub(super) fn is_url(text: &str) -> bool {
    after_scheme(text).is_some()
}

/// What follows `ldap://` or another scheme of LDAP, which may be in `<>` and after `URL:`.
fn after_scheme(text: &str) -> Option<&str> {
    let text = text.strip_prefix('<').map_or(text, |text| text.strip_suffix('>').unwrap_or(text));
    let text = strip(text, "URL:").unwrap_or(text);
    ["ldap://", "ldaps://", "ldapi://", "cldap://"].into_iter().find_map(|scheme| strip(text, scheme))
}

/// Removes a prefix, whose case does not matter.
fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Parses a URL; `None` if it is malformed, or needs an extension.
pub(super) fn parse(text: &str) -> Option<LdapUrl> {
    let rest = after_scheme(text)?;
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let mut parts = path.split('?');
    let base = percent_decoded(parts.next()?)?;
    let mut part = || parts.next().unwrap_or_default();
    let attributes: Option<Vec<String>> =
        part().split(',').filter(|name| !name.is_empty()).map(percent_decoded).collect();
    let scope = match part().to_ascii_lowercase().as_str() {
        // RFC 4516, section 2; not the default of a map.
        "" | "base" => Scope::Base,
        "one" | "onelevel" => Scope::One,
        "sub" | "subtree" => Scope::Sub,
        _ => return None,
    };
    let filter = match part() {
        "" => ANYTHING.into(),
        filter => percent_decoded(filter)?,
    };
    // A client that does not know a critical extension must not use the URL.
    let is_critical = part().split(',').any(|extension| extension.starts_with('!'));
    if is_critical || parts.next().is_some() {
        return None;
    }
    Some(LdapUrl { base, attributes: attributes?, scope, filter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_urls() {
        for (text, want) in [
            ("ldap:///dc=test", Some(("dc=test", "", Scope::Base, ANYTHING))),
            (
                "ldap://h:1389/ou=a%20b,dc=test??sub?(mail=*)",
                Some(("ou=a b,dc=test", "", Scope::Sub, "(mail=*)")),
            ),
            ("LDAPS:///dc=test?mail,uid?ONE", Some(("dc=test", "mail uid", Scope::One, ANYTHING))),
            ("ldapi://%2Frun/dc=test?mail", Some(("dc=test", "mail", Scope::Base, ANYTHING))),
            ("<URL:ldap:///dc=test?mail??(a=%3f)>", Some(("dc=test", "mail", Scope::Base, "(a=?)"))),
            ("ldap:///cn=%c3%bc?mail??(a=b)?x-ext=1", Some(("cn=ü", "mail", Scope::Base, "(a=b)"))),
            ("ldap://h", Some(("", "", Scope::Base, ANYTHING))),
            ("ldap:///", Some(("", "", Scope::Base, ANYTHING))),
            ("ldap:///dc=test????!x-ext", None),
            ("ldap:///dc=test?????", None),
            ("ldap:///dc=test??subordinate", None),
            ("ldap:///dc=%zz", None),
            ("ldap:///dc=%f", None),
            ("ldap:///dc=%ff", None),
        ] {
            assert!(is_url(text), "{text}");
            let got = parse(text).map(|url| (url.base, url.attributes.join(" "), url.scope, url.filter));
            let want = want.map(|(base, attributes, scope, filter): (&str, &str, _, &str)| {
                (base.to_owned(), attributes.to_owned(), scope, filter.to_owned())
            });
            assert_eq!(got, want, "{text}");
        }
        for text in ["uid=foo,dc=test", "http://h/", "ldap:dc=test", "", "ü", "uid=ldap://"] {
            assert!(!is_url(text), "{text}");
        }
    }
}
