//! Converts the query of a table.

use super::client::Client;
use super::settings::Settings;
use super::sql::bind;
use crate::map::settings::{Attributes, Query, RECURSION_LIMIT, Scope};
use mail_address::BLANKS;

/// Returns the query, unless it has an error.
pub fn query(settings: &mut Settings) -> Option<Query> {
    if settings.client == Client::Ldap { ldap(settings) } else { sql(settings) }
}

/// The parameters of the form without a query.
const OLD_FORM: [&str; 4] = ["select_field", "table", "where_field", "additional_conditions"];

fn sql(settings: &mut Settings) -> Option<Query> {
    if settings.text("query").is_some() {
        let text = "is left out: Postfix ignores it, too, since query is set";
        settings.left_out(&[&["select_function"][..], &OLD_FORM].concat(), text);
    } else if settings.text("select_function").is_some() {
        settings.left_out(&OLD_FORM, "is left out: Postfix ignores it, too, since select_function is set");
    }
    let (name, text) = match (settings.text("query"), settings.text("select_function")) {
        (Some(query), _) => ("query", query),
        (None, Some(function)) if settings.client == Client::Pgsql => {
            ("select_function", format!("SELECT {function}('%s')"))
        }
        _ => {
            let old = ["select_field", "table", "where_field"].map(|name| settings.text(name));
            let [Some(field), Some(table), Some(key)] = old else {
                let help = "write query = SELECT …, or select_field, table and where_field";
                settings.fault("query", "is missing", help);
                return None;
            };
            let conditions = settings.text("additional_conditions").unwrap_or_default();
            settings.say("select_field", "table and the like become a query");
            (
                "table",
                format!("SELECT {field} FROM {table} WHERE {key} = '%s' {conditions}")
                    .trim_end_matches(BLANKS)
                    .into(),
            )
        }
    };
    let bound = match bind(settings.client.kind(), &text) {
        Ok(bound) => bound,
        Err((message, help)) => {
            settings.fault(name, &format!("cannot be converted: {message}"), &help);
            return None;
        }
    };
    if !bound.has_key {
        settings.fault(name, "has no place for the key", "write '%s' where it belongs");
    }
    if bound.is_bare {
        settings.say(name, "has a place for the key that is not in quotes: Postfix inserts the key into the text, so that a sender could inject SQL; rcptd passes the key separately, as a text");
    }
    if settings.client == Client::Mysql && !settings.yes("require_result_set", true) {
        settings.say(
            "require_result_set",
            "is left out: if the query has no result set, the lookup fails temporarily",
        );
    }
    Some(Query::Sql(bound.text))
}

fn ldap(settings: &mut Settings) -> Option<Query> {
    let base = settings.text("search_base");
    if base.is_none() {
        settings.fault("search_base", "is missing", "write search_base = dc=example,dc=com");
    }
    let base = template(settings, "search_base", &base?)?;
    let filter = settings.text("query_filter").unwrap_or_else(|| "(mailacceptinggeneralid=%s)".into());
    let filter = template(settings, "query_filter", &in_parentheses(&filter))?;
    let scope = match settings.text("scope").map(|scope| scope.to_ascii_lowercase()).as_deref() {
        None | Some("sub") => Scope::Sub,
        Some("one") => Scope::One,
        Some("base") => Scope::Base,
        Some(_) => {
            settings.fault("scope", "is none of base, one and sub", "write sub");
            Scope::Sub
        }
    };
    let attributes = attributes(settings)?;
    if settings.text("dereference").is_some_and(|value| value != "0") {
        settings.gap("dereference", "entries behind aliases of the directory would not be found");
    }
    if settings.text("chase_referrals").is_some_and(|value| value != "0") {
        settings.gap("chase_referrals", "entries in other directories would not be found");
    }
    if settings.number("size_limit").is_some_and(|limit| limit > 0) {
        settings.say("size_limit", "is left out: the limit is 1000 values");
    }
    Some(Query::Ldap { base, filter, attributes, scope })
}

/// The attributes; empty if the file sets all of them to an empty value.
fn attributes(settings: &mut Settings) -> Option<Attributes> {
    let mut plain = settings.list("result_attribute");
    if settings.raw("result_attribute").is_none() {
        plain.push("maildrop".into());
    }
    let attributes = Attributes {
        plain,
        special: settings.list("special_result_attribute"),
        leaf: settings.list("leaf_result_attribute"),
        terminal: settings.list("terminal_result_attribute"),
        recursion_limit: recursion_limit(settings),
    };
    if attributes.plain.is_empty() && attributes.leaf.is_empty() && attributes.terminal.is_empty() {
        settings.fault("result_attribute", "is empty", "write the attribute with the values");
        return None;
    }
    Some(attributes)
}

fn recursion_limit(settings: &mut Settings) -> usize {
    let Some(limit) = settings.number("recursion_limit") else { return RECURSION_LIMIT };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        settings.fault("recursion_limit", "is 0", "write a number from 1");
    } else if limit > RECURSION_LIMIT {
        settings.say("recursion_limit", format!("is {RECURSION_LIMIT}, the highest value here"));
    }
    limit.clamp(1, RECURSION_LIMIT)
}

/// Checks the placeholders of a template; capitals mean the same.
fn template(settings: &mut Settings, name: &str, text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(c);
        if c != '%' {
            continue;
        }
        let Some(place @ ('%' | 's' | 'u' | 'd' | 'S' | 'U' | 'D' | '1'..='9')) = rest.next() else {
            settings.fault(name, "has a percent sign without a placeholder", "write %% for a percent sign");
            return None;
        };
        out.push(place.to_ascii_lowercase());
    }
    Some(out)
}

/// Writes a filter as RFC 4515 wants it: in parentheses, and without blanks between its parts, both of which
/// OpenLDAP does not need.
fn in_parentheses(filter: &str) -> String {
    let filter = filter.trim_matches(BLANKS);
    if !filter.starts_with('(') {
        return format!("({filter})");
    }
    let mut out = String::new();
    let mut is_between = false;
    for c in filter.chars() {
        if is_between && BLANKS.contains(&c) {
            continue;
        }
        is_between = match c {
            '(' | ')' => true,
            '&' | '|' | '!' => is_between,
            _ => false,
        };
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_filters() {
        for (filter, want) in [
            ("mail=%s", "(mail=%s)"),
            ("(mail=%s)", "(mail=%s)"),
            ("( & (mail=%s) (| (a=b c) (!(d=e f)) ) )", "(&(mail=%s)(|(a=b c)(!(d=e f))))"),
            ("(cn=a & b)", "(cn=a & b)"),
        ] {
            assert_eq!(in_parentheses(filter), want, "{filter}");
        }
    }
}
