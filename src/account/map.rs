//! `map:NAME`: the accounts are the keys of a map.
//!
//! An account exists if the map has a value for its address, whatever the value is. The map searches as it is
//! configured to (`search`), so one with `search = "virtual_alias"` finds an address by its local part or its
//! domain as well. Whether a "not found" of a database counts is up to its own witness.

use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Source, Verification};
use crate::map::served::Map;
use mail_address::Address;
use std::sync::Arc;

/// `map:NAME`
pub(super) const TYPE: SourceType = SourceType {
    name: "map",
    usage: "map:NAME, the name of a [[map]]",
    read: |arguments| match arguments {
        "" => Err("it names no map".into()),
        name => Ok(Arc::new(Named(name.into()))),
    },
};

#[derive(Debug)]
struct Named(Box<str>);

impl SourceConfig for Named {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let found = context.maps.get(&*self.0).cloned();
        let source = found.map(|map| MapSource { name: context.name.clone(), map }).ok_or_else(|| {
            vec![format!("there is no map {} with values of its own: add a section [[map]]", self.0)]
        });
        Box::pin(async { source.map(|source| Arc::new(source) as Arc<AccountSource>) })
    }
}

#[derive(Debug)]
struct MapSource {
    name: Arc<str>,
    map: Arc<Map>,
}

impl Source<Address, Verification> for MapSource {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let key = account.to_string();
            let answer = self.map.find(key.as_bytes()).await;
            let detail = match &answer {
                Lookup::Found(value) => format!("{key}: {value}"),
                Lookup::NotFound => format!("{key}: no value"),
                Lookup::TempFail(_) => String::new(),
            };
            let verification = Verification::new(answer.existence(), &self.name);
            if detail.is_empty() { verification } else { verification.with_detail(&detail) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::account;
    use super::*;
    use crate::map::Table;
    use crate::map::fixed::Always;
    use crate::map::list::List;
    use crate::map::search::SearchStrategy;
    use crate::map::served::Reading;
    use std::collections::HashSet;

    fn source(table: Arc<Table>, search: SearchStrategy) -> MapSource {
        let local = HashSet::from(["example.test".to_owned()]);
        let reading = Arc::new(Reading { local, ..Reading::default() });
        let map = Arc::new(Map::new("users".into(), table, search, reading));
        MapSource { name: "map:users".into(), map }
    }

    #[tokio::test]
    async fn an_account_exists_if_its_address_has_a_value() {
        let entries = [("foo@example.test", "foo"), ("bar", "bar"), ("@all.test", "x")];
        let entries: Vec<_> = entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let list: Arc<Table> = Arc::new(List::of(&entries, true).unwrap());
        let (plain, alias) = (SearchStrategy::Plain, SearchStrategy::VirtualAlias);
        for (address, search, want) in [
            ("foo@example.test", plain, "exists"),
            ("foo@other.test", plain, "not found"),
            ("bar@example.test", plain, "not found"),
            ("bar@example.test", alias, "exists"),
            ("bar@other.test", alias, "not found"),
            ("any@all.test", plain, "not found"),
            ("any@all.test", alias, "exists"),
        ] {
            let answer = source(list.clone(), search).look_up(&account(address)).await;
            assert_eq!(answer.result.to_string(), want, "{address} {search:?}");
            assert_eq!(&*answer.source, "map:users");
        }
    }

    #[tokio::test]
    async fn a_failure_of_the_map_is_a_temporary_failure() {
        for (value, want) in [
            (Lookup::temp_fail("down"), "temporary failure: down"),
            (Lookup::Found(String::new()), "temporary failure: the value is empty"),
        ] {
            let table: Arc<Table> = Arc::new(Always::new(value));
            let answer = source(table, SearchStrategy::Plain).look_up(&account("foo@example.test")).await;
            assert_eq!(answer.result.to_string(), want);
        }
    }
}
