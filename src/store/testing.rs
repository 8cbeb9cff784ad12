//! A store in memory for tests.

use super::{Page, Store};
use crate::lookup::{Lookup, LookupFuture};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A store that works, fails or hangs, and has a clock of its own.
#[derive(Debug, Default)]
pub struct Memory {
    /// The texts with the times when they expire.
    pub texts: Mutex<BTreeMap<String, (String, u64)>>,
    /// `-`: it fails; `.`: it hangs; `r`: it can only be read.
    pub state: Mutex<char>,
    /// The time in seconds.
    pub now: AtomicU64,
    asked: AtomicUsize,
}

impl Memory {
    async fn ask(&self) -> Result<(), String> {
        self.asked.fetch_add(1, Relaxed);
        let state = *self.state.lock().unwrap();
        // Others may come in between, as with a server.
        tokio::task::yield_now().await;
        match state {
            '-' => Err("down".into()),
            '.' => std::future::pending().await,
            _ => Ok(()),
        }
    }

    async fn ask_to_write(&self) -> Result<(), String> {
        self.ask().await?;
        if *self.state.lock().unwrap() == 'r' { Err("read-only".into()) } else { Ok(()) }
    }

    /// Number of requests since the last call.
    pub fn asked(&self) -> usize {
        self.asked.swap(0, Relaxed)
    }

    fn text(&self, key: &str) -> Option<String> {
        let texts = self.texts.lock().unwrap();
        texts.get(key).filter(|(_, expires)| self.now.load(Relaxed) < *expires).map(|(text, _)| text.clone())
    }

    fn put(&self, key: &str, text: &str, ttl: Duration) {
        let expires = self.now.load(Relaxed).saturating_add(ttl.as_secs());
        self.texts.lock().unwrap().insert(key.into(), (text.into(), expires));
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            match self.ask().await {
                Ok(()) => self.text(key).map_or(Lookup::NotFound, Lookup::Found),
                Err(why) => Lookup::temp_fail(why),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a str, text: &'a str, ttl: Duration) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.ask_to_write().await?;
            self.put(key, text, ttl);
            Ok(())
        })
    }

    fn add<'a>(
        &'a self,
        key: &'a str,
        text: &'a str,
        ttl: Duration,
    ) -> LookupFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            self.ask_to_write().await?;
            let is_new = self.text(key).is_none();
            if is_new {
                self.put(key, text, ttl);
            }
            Ok(is_new)
        })
    }

    fn get_all<'a>(&'a self, keys: &'a [&'a str]) -> LookupFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(async move {
            self.ask().await?;
            Ok(keys.iter().map(|key| self.text(key)).collect())
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.ask_to_write().await?;
            self.texts.lock().unwrap().remove(key);
            Ok(())
        })
    }

    fn page<'a>(&'a self, prefix: &'a str, _: &'a str) -> LookupFuture<'a, Result<Page, String>> {
        Box::pin(async move {
            self.ask().await?;
            let texts = self.texts.lock().unwrap();
            Ok(Page {
                keys: texts.keys().filter(|key| key.starts_with(prefix)).cloned().collect(),
                next: None,
            })
        })
    }
}
