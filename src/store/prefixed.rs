//! A part of a store: all of its keys begin with a prefix that its user does not see.

use super::{Page, Store};
use crate::lookup::{Lookup, LookupFuture};
use std::sync::Arc;
use std::time::Duration;

/// The part of a store with this prefix.
#[derive(Clone, Debug)]
pub struct Prefixed {
    prefix: &'static str,
    store: Arc<dyn Store>,
}

impl Prefixed {
    /// The part of `store` whose keys begin with `prefix`, which has no special characters.
    pub fn new(prefix: &'static str, store: Arc<dyn Store>) -> Self {
        Prefixed { prefix, store }
    }

    fn key(&self, key: &str) -> String {
        [self.prefix, key].concat()
    }
}

impl Store for Prefixed {
    fn get<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move { self.store.get(&self.key(key)).await })
    }

    fn set<'a>(&'a self, key: &'a str, text: &'a str, ttl: Duration) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(async move { self.store.set(&self.key(key), text, ttl).await })
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        ttl: Duration,
    ) -> LookupFuture<'a, Result<bool, String>> {
        Box::pin(async move { self.store.add(&self.key(key), text, ttl).await })
    }

    fn get_all<'a>(&'a self, keys: &'a [&'a str]) -> LookupFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(async move {
            let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            self.store.get_all(&keys).await
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(async move { self.store.remove(&self.key(key)).await })
    }

    fn page<'a>(&'a self, prefix: &'a str, cursor: &'a str) -> LookupFuture<'a, Result<Page, String>> {
        Box::pin(async move {
            let mut page = self.store.page(&self.key(prefix), cursor).await?;
            page.keys =
                page.keys.iter().filter_map(|key| key.strip_prefix(self.prefix)).map(str::to_owned).collect();
            Ok(page)
        })
    }

    fn flush(&self) -> LookupFuture<'_, Result<(), String>> {
        self.store.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Memory;
    use super::*;

    #[tokio::test]
    async fn parts_do_not_mix() {
        let store = Arc::new(Memory::default());
        let long = Duration::from_secs(1000);
        let (one, two) = (Prefixed::new("rcptd:a:", store.clone()), Prefixed::new("rcptd:b:", store.clone()));
        assert_eq!(one.add("k", "1", long).await, Ok(true));
        assert_eq!(two.get("k").await, Lookup::NotFound);
        two.set("k", "2", long).await.unwrap();
        assert_eq!(one.get_all(&["k", "other"]).await, Ok(vec![Some("1".into()), None]));
        assert_eq!(two.page("", "").await.unwrap().keys, ["k"]);
        one.remove("k").await.unwrap();
        one.flush().await.unwrap();
        assert_eq!((one.get("k").await, two.get("k").await), (Lookup::NotFound, Lookup::Found("2".into())));
        assert!(store.texts.lock().unwrap().contains_key("rcptd:b:k"));
    }
}
