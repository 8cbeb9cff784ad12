//! The known accounts at a reload.
//!
//! The sources before and after it share them. They stay as they are until nothing can fail any more, since after
//! a failed reload the old sources go on. Then the old sources record no more accounts: mail sessions that began
//! before may ask them for a while, and they may be sources that are gone.

use super::known::KnownAccount;
use super::{Address, Key, Sources};
use crate::observe::outage::BreakerState;
use std::sync::Arc;

impl Sources {
    /// Takes over the known accounts of `before`, right before these sources replace them: without those of sources
    /// that are gone or are not asked for their domain any more, and of maps that have changed. A source with other
    /// settings, such as a longer deadline, has the same accounts. From then on `rcptd status` shows the new breakers,
    /// which are closed.
    pub async fn take_over(&self, before: &Sources) {
        for outage in &self.outages {
            outage.breaker(BreakerState::Closed);
        }
        if self.made_of == before.made_of {
            return;
        }
        before.recorded.retire();
        let has_same_store = Arc::ptr_eq(&self.known, &before.known);
        for (key, known) in before.known.list() {
            let is_of_map = known.source.as_ref().is_some_and(|source| source.starts_with("map:"));
            let is_gone = is_of_map && self.maps() != before.maps();
            match self.key_of(&key, &known).filter(|_| !is_gone) {
                None => self.known.forget(&key).await,
                Some(same) if same == key && has_same_store => (),
                Some(new) => {
                    if new != key {
                        self.known.unpin(&key).await;
                    }
                    // The number of pins does not grow.
                    let _ = self.known.insert(new, known).await;
                }
            }
        }
    }

    /// The key of a known account with these sources; `None` if it is not one of them. A pin gets the spelling in which
    /// an operator can remove it. What a source has found keeps its spelling: the source may not have another one.
    pub(super) fn key_of(&self, key: &str, known: &KnownAccount) -> Option<String> {
        let account = Address::from_key(key)?;
        let Some(source) = &known.source else {
            return Some(self.spelling(&account)?.cache_key().into_owned());
        };
        let mut members = self.made_of.0.sources.iter().zip(&self.members);
        let is_ours =
            members.any(|(settings, member)| settings.spec.name() == source && member.is_for(&account));
        is_ours.then(|| key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{CacheSettings, Settings, SourceSettings};
    use super::super::testing::account;
    use super::super::{Lookup, Source};
    use super::*;
    use crate::map::fixed::Always;
    use crate::map::search::SearchStrategy;
    use crate::map::served::{Map, Maps};
    use crate::observe::Metrics;
    use std::time::{Duration, SystemTime};

    fn settings(specs: &[&str]) -> Settings {
        let sources = specs.iter().map(|spec| SourceSettings::new(spec.parse().unwrap())).collect();
        Settings::new(sources, CacheSettings::default())
    }

    async fn rebuilt(settings: &Settings, before: Option<&Sources>) -> Sources {
        let table = Arc::new(Always::new(Lookup::temp_fail("down")));
        let map = Map::new("users".into(), table, SearchStrategy::Plain, Arc::default());
        let maps = Maps::from([("users".into(), Arc::new(map))]);
        Sources::rebuild(settings, false, &maps, None, &Arc::default(), before).await.unwrap()
    }

    async fn know(sources: &Sources, address: &str, source: &str) {
        let known = KnownAccount::new(Some(source.into()), SystemTime::now());
        sources.known.insert(account(address).cache_key().into_owned(), known).await.unwrap();
    }

    fn names(sources: &Sources) -> Vec<String> {
        let all = sources.known.list().into_iter();
        all.map(|(key, _)| Address::from_key(&key).unwrap().to_string()).collect()
    }

    /// A source that is not asked for a domain any more does not vouch for its accounts.
    #[tokio::test]
    async fn known_accounts_of_another_scope_are_forgotten() {
        let scoped = |one: &str, other: &str| {
            let mut settings = settings(&["fail:", "static:notfound"]);
            for (source, domain) in settings.sources.iter_mut().zip([one, other]) {
                source.domains = Some([domain.to_owned()].into());
            }
            settings
        };
        let before = rebuilt(&scoped("a.test", "b.test"), None).await;
        for address in ["foo@a.test", "foo@b.test"] {
            know(&before, address, "fail:").await;
        }
        let after = rebuilt(&scoped("b.test", "a.test"), Some(&before)).await;
        assert_eq!(names(&before), ["foo@a.test", "foo@b.test"], "the reload may still fail");
        after.take_over(&before).await;
        assert_eq!(names(&after), ["foo@b.test"]);
    }

    #[tokio::test]
    async fn known_accounts_of_other_maps_are_forgotten() {
        for (maps, want) in [(1, &["bar@a.test", "foo@a.test"][..]), (2, &["foo@a.test"])] {
            let mut first = settings(&["fail:", "map:users"]);
            first.identify_maps(&1);
            let before = rebuilt(&first, None).await;
            know(&before, "foo@a.test", "fail:").await;
            know(&before, "bar@a.test", "map:users").await;
            let mut second = first.clone();
            second.identify_maps(&maps);
            second.total_deadline *= 2;
            let after = rebuilt(&second, Some(&before)).await;
            after.take_over(&before).await;
            assert_eq!(names(&after), want, "{maps}");
        }
    }

    /// With another `stale_ttl`, what is pinned and found during the reload is known after it.
    #[tokio::test]
    async fn other_stale_ttl_loses_nothing() {
        let first = settings(&["fail:"]);
        let mut second = first.clone();
        second.cache.stale_ttl = Duration::from_hours(1);
        let before = rebuilt(&first, None).await;
        know(&before, "foo@a.test", "fail:").await;
        let changes = before.known.changes();
        let after = rebuilt(&second, Some(&before)).await;
        know(&before, "bar@a.test", "fail:").await;
        before.known.pin(&account("pin@a.test")).await.unwrap();
        after.take_over(&before).await;
        assert_eq!(names(&after), ["bar@a.test", "foo@a.test", "pin@a.test"]);
        assert!(after.known.changes() > changes, "so that they are saved");
        assert_eq!(after.known.stale_ttl(), Duration::from_hours(1));
    }

    /// A session that began before the reload still asks the old sources.
    #[tokio::test]
    async fn old_sources_record_nothing_after_the_reload() {
        let before = rebuilt(&settings(&["none:"]), None).await;
        assert_eq!(before.look_up(&account("foo@a.test")).await.result, Lookup::Found(()));
        let after = rebuilt(&settings(&["fail:"]), Some(&before)).await;
        assert_eq!(before.look_up(&account("bar@a.test")).await.result, Lookup::Found(()));
        assert_eq!(names(&before), ["bar@a.test", "foo@a.test"]);
        after.take_over(&before).await;
        assert_eq!(before.look_up(&account("baz@a.test")).await.result, Lookup::Found(()));
        assert_eq!(names(&after), Vec::<String>::new());
    }

    /// After a change of `case_sensitive`, a pin is looked up and can be removed.
    #[tokio::test]
    async fn pins_are_respelled() {
        let settings = settings(&["fail:"]);
        let build = async |cases: bool, before: Option<&Sources>| {
            Sources::rebuild(&settings, cases, &Maps::new(), None, &Arc::default(), before).await.unwrap()
        };
        for (before, after, want) in [
            (true, false, &["Foo@a.test", "foo@a.test", "pin@a.test"][..]),
            (false, true, &["Foo@a.test", "PIN@a.test", "Pin@a.test", "foo@a.test"]),
            (true, true, &["Foo@a.test", "PIN@a.test", "Pin@a.test", "foo@a.test"]),
        ] {
            let (before, case) = (build(before, None).await, format!("{before} {after}"));
            for address in ["PIN@a.test", "Pin@a.test"] {
                before.known.pin(&account(address)).await.unwrap();
            }
            for address in ["Foo@a.test", "foo@a.test"] {
                know(&before, address, "fail:").await;
            }
            let after = build(after, Some(&before)).await;
            after.take_over(&before).await;
            assert_eq!(names(&after), want, "{case}");
            let pin = after.spelling(&account("Pin@a.test")).unwrap();
            assert_eq!(after.look_up(&pin).await.result, Lookup::Found(()), "{case}");
            assert!(after.unpin(&pin).await, "{case}");
        }
    }

    /// `rcptd status` shows the breaker that is in service.
    #[tokio::test]
    async fn breaker_of_a_reload_counts_when_it_takes_over() {
        let (settings, metrics) = (settings(&["fail:"]), Arc::new(Metrics::default()));
        let build = async |before: Option<&Sources>| {
            Sources::rebuild(&settings, false, &Maps::new(), None, &metrics, before).await.unwrap()
        };
        let state = || metrics.source_states().remove(0).breaker.name();
        let before = build(None).await;
        metrics.outage("fail:", None).breaker(BreakerState::Open(Duration::from_secs(1)));
        let after = build(Some(&before)).await;
        assert_eq!(state(), "open", "the reload may still fail");
        after.take_over(&before).await;
        assert_eq!(state(), "closed");
    }
}
