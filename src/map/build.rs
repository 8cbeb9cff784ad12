//! Builds a map from its sources.

use super::case_folded::CaseFolded;
use super::combine::{FirstOf, Pipe, Union};
use super::database::Database;
use super::fixed::Always;
use super::list::List;
use super::results::ResultSettings;
use super::settings::Query;
use super::source::SourceSpec;
use super::{Lookup, Table, remote};
use crate::lookup::cache::{MAX_QUESTIONS, REFRESH_PERCENT};
use crate::lookup::{Cache, CacheLimits, OutageLog, Timeout};
use crate::observe::Metrics;
use diagnostics::nearest;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Maximum duration of a lookup in a database or another server. They and the caller have shorter timeouts;
/// but a query that never ended would block all callers with the same key.
pub const LONGEST: Duration = Duration::from_mins(1);

/// Capacity of the cache of one table, in octets of keys and values plus [`OVERHEAD`] for each entry: room
/// for some hundred thousand addresses.
const MAX_CACHED: u64 = 64 << 20;

/// Weight of a cache entry in addition to its key and value, in octets.
const OVERHEAD: usize = 128;

/// The context in which a map is built.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    /// Whether local parts that differ only by case are the same.
    pub fold: bool,
    /// The lists of `texthash:`, with keys folded according to `fold`.
    pub lists: &'a HashMap<PathBuf, Arc<List>>,
    /// The databases by name.
    pub databases: &'a HashMap<String, Arc<dyn Database>>,
    /// The query for the database, if the map has one.
    pub query: Option<&'a Query>,
    /// The conversion of the values of the query.
    pub results: &'a Arc<ResultSettings>,
    /// How long results of databases and other servers are cached.
    pub cache_ttl: Duration,
    /// The counters of the daemon.
    pub metrics: &'a Metrics,
    /// The tables of `resolver:` and `map:`, which the caller builds; `None` if the table does not exist.
    pub made: &'a dyn Fn(&SourceSpec) -> Option<Arc<Table>>,
}

impl fmt::Debug for BuildContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext")
            .field("fold", &self.fold)
            .field("cache_ttl", &self.cache_ttl)
            .finish_non_exhaustive()
    }
}

/// Builds the table of `sources`, which are asked in order until one has the key. The errors are sentences
/// with the remedy, one for each source that cannot be used.
pub fn build(sources: &[SourceSpec], site: &BuildContext<'_>) -> Result<Arc<Table>, Vec<String>> {
    if sources.is_empty() {
        return Err(vec!["there is no source: name one".into()]);
    }
    let mut tables = all(sources, site)?;
    match tables.pop() {
        Some(only) if tables.is_empty() => Ok(only),
        last => {
            tables.extend(last);
            Ok(Arc::new(FirstOf::new(tables)))
        }
    }
}

/// Returns all tables, or all errors.
fn all(sources: &[SourceSpec], site: &BuildContext<'_>) -> Result<Vec<Arc<Table>>, Vec<String>> {
    let (mut tables, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        match one(source, site) {
            Ok(table) => tables.push(table),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(tables) } else { Err(errors) }
}

fn one(source: &SourceSpec, site: &BuildContext<'_>) -> Result<Arc<Table>, Vec<String>> {
    let wrong = |error: String| vec![format!("{source}: {error}")];
    Ok(match source {
        SourceSpec::Inline(entries) => {
            let list = List::of(entries, site.fold).map_err(|errors| {
                errors.into_iter().map(|error| format!("inline: {error}")).collect::<Vec<_>>()
            })?;
            folded(Arc::new(list), site.fold)
        }
        SourceSpec::Static(value) => Arc::new(Always::new(Lookup::Found(value.clone()))),
        SourceSpec::Fail(reason) => Arc::new(Always::new(Lookup::temp_fail(format!("fail: {reason}")))),
        SourceSpec::Texthash(path) => match site.lists.get(path) {
            Some(list) => folded(list.clone(), site.fold),
            None => return Err(wrong("the file was not read: see its own error".into())),
        },
        // postmap(1) folds the keys that it writes.
        SourceSpec::Lmdb(path) => folded(lmdb(path).map_err(wrong)?, true),
        SourceSpec::Resolver(_) | SourceSpec::Map(_) => {
            (site.made)(source).ok_or_else(|| wrong("not found: check the spelling".into()))?
        }
        SourceSpec::Database(name) => cached(source, database(name, site).map_err(wrong)?, site),
        SourceSpec::TcpTable(host) => cached(source, remote::tcp_table(host), site),
        SourceSpec::Socketmap(host, map) => cached(source, remote::socketmap(host, map), site),
        SourceSpec::Union(members) => Arc::new(Union::new(all(members, site)?)),
        SourceSpec::Pipe(members) => Arc::new(Pipe::new(all(members, site)?)),
    })
}

/// Caches values and "not found" for `ttl`. Concurrent lookups of the same key are merged, even if `ttl` is
/// zero.
fn cache(name: &str, ttl: Duration, inner: Arc<Table>) -> Cache<str, Lookup<String>> {
    let limits = CacheLimits {
        capacity: MAX_CACHED,
        weight,
        questions: MAX_QUESTIONS,
        refresh_percent: REFRESH_PERCENT,
    };
    Cache::new(name, &limits, Arc::new(move |_| ttl), inner)
}

fn weight(key: &str, answer: &Lookup<String>) -> u32 {
    let value = if let Lookup::Found(value) = answer { value.len() } else { 0 };
    u32::try_from(OVERHEAD + key.len() + value).unwrap_or(u32::MAX)
}

fn cached(source: &SourceSpec, table: Arc<Table>, site: &BuildContext<'_>) -> Arc<Table> {
    let name = source.to_string();
    let timed = Arc::new(Timeout::new(name.as_str(), LONGEST, table));
    let cache = cache(&name, site.cache_ttl, Arc::new(OutageLog::new(&name, site.metrics, timed)));
    // Outside of the cache, so that the cache key is the text that the source gets.
    Arc::new(CaseFolded::lowered(Arc::new(cache), site.fold))
}

fn folded(table: Arc<Table>, local: bool) -> Arc<Table> {
    Arc::new(CaseFolded::new(table, local))
}

fn database(name: &str, site: &BuildContext<'_>) -> Result<Arc<Table>, String> {
    let Some(database) = site.databases.get(name) else {
        let meant = nearest(name, site.databases.keys().map(String::as_str))
            .map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
        return Err(format!("there is no [[database]] of this name{meant}"));
    };
    let query = site.query.ok_or("it has no query: write table, query, filter or key")?;
    database.table_with(query, site.results)
}

#[cfg(feature = "lmdb")]
fn lmdb(path: &Path) -> Result<Arc<Table>, String> {
    super::lmdb::open(path)
}

#[cfg(not(feature = "lmdb"))]
fn lmdb(_: &Path) -> Result<Arc<Table>, String> {
    Err("this rcptd was built without LMDB: build it with --features lmdb, or take a package that has it"
        .into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, shown};
    use super::*;
    use crate::lookup::testing::Double;
    use diagnostics::Text;

    #[derive(Debug)]
    struct Base(Arc<Double<Lookup<String>>>);

    impl Database for Base {
        fn table_with(&self, query: &Query, _: &Arc<ResultSettings>) -> Result<Arc<Table>, String> {
            match query {
                Query::Sql(_) => Ok(self.0.clone()),
                _ => Err("it speaks SQL: write query".into()),
            }
        }
    }

    fn built(
        text: &str,
        query: &Query,
        double: &Arc<Double<Lookup<String>>>,
    ) -> Result<Arc<Table>, Vec<String>> {
        let sources: Vec<SourceSpec> = text.split(" | ").map(|source| source.parse().unwrap()).collect();
        let (list, _) = List::parse(&Text::new("list", "Foo bar\n"), true);
        let lists = HashMap::from([("/list".into(), Arc::new(list))]);
        let base: Arc<dyn Database> = Arc::new(Base(double.clone()));
        let databases = HashMap::from([("users".to_owned(), base)]);
        let made = |source: &SourceSpec| match source {
            SourceSpec::Map(name) if name == "other" => {
                Some(Arc::new(Always::new(answer("other"))) as Arc<Table>)
            }
            _ => None,
        };
        build(
            &sources,
            &BuildContext {
                fold: true,
                lists: &lists,
                databases: &databases,
                query: Some(query),
                results: &Arc::default(),
                cache_ttl: Duration::from_mins(1),
                metrics: &Metrics::default(),
                made: &made,
            },
        )
    }

    #[tokio::test]
    async fn builds_each_type_of_source() {
        let double = Arc::new(Double::new(answer("Foo")));
        let query = Query::Sql(String::new());
        for (text, key, want) in [
            ("static:a", "x", "a"),
            ("fail:a", "x", "? fail: a"),
            ("inline:{X=a}", "x", "a"),
            ("inline:{X=a}", "y", "-"),
            ("inline:{x=a} | static:b", "x", "a"),
            ("inline:{x=a} | static:b", "y", "b"),
            ("inline:{x=a} | fail:b | static:c", "y", "? fail: b"),
            ("texthash:/list", "foo", "bar"),
            ("map:other", "x", "other"),
            ("database:users", "x", "Foo"),
            ("unionmap:{static:a,static:b}", "x", "a,b"),
            ("pipemap:{database:users,texthash:/list}", "x", "bar"),
        ] {
            let table = built(text, &query, &double).unwrap();
            for _ in 0..2 {
                assert_eq!(shown(&table.look_up(key).await), want, "{text}");
            }
        }
        // Once for each map, then it is cached.
        assert_eq!(*double.asked(), ["x", "x"]);
    }

    #[test]
    fn errors_name_the_remedy() {
        let double = Arc::new(Double::new(answer("-")));
        for (text, want) in [
            ("inline:{x=a,X=b}", "inline: \"X\" has two values: remove one of them"),
            ("texthash:/other", "texthash:/other: the file was not read"),
            ("map:othr", "map:othr: not found"),
            (
                "database:user",
                "database:user: there is no [[database]] of this name, did you mean \"users\"?",
            ),
            ("database:users", "database:users: it speaks SQL: write query"),
            ("unionmap:{static:a,map:b}", "map:b: not found"),
            #[cfg(not(feature = "lmdb"))]
            ("lmdb:/x", "lmdb:/x: this rcptd was built without LMDB: build it with --features lmdb"),
        ] {
            let query = Query::Redis { key: "%s".into(), field: None };
            let got = built(text, &query, &double).unwrap_err();
            assert!(got.len() == 1 && got[0].starts_with(want), "{text}: {got:?}");
        }
        let got = built("map:a | pipemap:{map:b,map:c}", &Query::Sql(String::new()), &double).unwrap_err();
        assert_eq!(got.len(), 3, "{got:?}");
    }
}
