//! Builds a map from its sources.

use super::cache::Cache;
use super::combine::{FirstOf, Pipe, Timed, Union};
use super::database::Database;
use super::fixed::Always;
use super::folded::Folded;
use super::list::List;
use super::settings::Query;
use super::source::Source;
use super::watched::Watched;
use super::{Answer, Table, remote};
use diagnostics::nearest;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a database or another server. They and the caller have their own deadlines; but a query
/// that never ended would block all callers with the same key.
pub const LONGEST: Duration = Duration::from_mins(1);

/// The environment in which a map is built.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Whether local parts that differ by case only are the same.
    pub fold: bool,
    /// The texts of `texthash:`, read and folded as `fold` says.
    pub lists: &'a HashMap<PathBuf, Arc<List>>,
    /// The databases by their names.
    pub databases: &'a HashMap<String, Arc<dyn Database>>,
    /// The query for the database, if there is one.
    pub query: Option<&'a Query>,
    /// How long answers of databases and other servers are cached.
    pub remember: Duration,
    /// The tables of `resolver:` and `map:`, made elsewhere; `None` if it does not exist.
    pub made: &'a dyn Fn(&Source) -> Option<Arc<dyn Table>>,
}

impl fmt::Debug for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("fold", &self.fold)
            .field("remember", &self.remember)
            .finish_non_exhaustive()
    }
}

/// The table of these sources, which are asked in turn until one has the key. The errors are sentences with the
/// remedy, one for each source that cannot be used.
pub fn build(sources: &[Source], site: &Site<'_>) -> Result<Arc<dyn Table>, Vec<String>> {
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

/// All tables, or all errors.
fn all(sources: &[Source], site: &Site<'_>) -> Result<Vec<Arc<dyn Table>>, Vec<String>> {
    let (mut tables, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        match one(source, site) {
            Ok(table) => tables.push(table),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(tables) } else { Err(errors) }
}

fn one(source: &Source, site: &Site<'_>) -> Result<Arc<dyn Table>, Vec<String>> {
    let wrong = |error: String| vec![format!("{source}: {error}")];
    Ok(match source {
        Source::Inline(entries) => {
            let list = List::of(entries, site.fold).map_err(|errors| {
                errors.into_iter().map(|error| format!("inline: {error}")).collect::<Vec<_>>()
            })?;
            folded(Arc::new(list), site.fold)
        }
        Source::Static(value) => Arc::new(Always::new(Answer::Found(value.clone()))),
        Source::Fail(reason) => Arc::new(Always::new(Answer::unknown(format!("fail: {reason}")))),
        Source::Texthash(path) => match site.lists.get(path) {
            Some(list) => folded(list.clone(), site.fold),
            None => return Err(wrong("the file was not read: see what is said of it".into())),
        },
        // postmap(1) folds what it writes.
        Source::Lmdb(path) => folded(lmdb(path).map_err(wrong)?, true),
        Source::Resolver(_) | Source::Map(_) => (site.made)(source)
            .ok_or_else(|| wrong("there is no such thing: look for a misspelling".into()))?,
        Source::Database(name) => cached(source, database(name, site).map_err(wrong)?, site),
        Source::TcpTable(host) => cached(source, remote::tcp_table(host), site),
        Source::Socketmap(host, map) => cached(source, remote::socketmap(host, map), site),
        Source::Union(members) => Arc::new(Union::new(all(members, site)?)),
        Source::Pipe(members) => Arc::new(Pipe::new(all(members, site)?)),
    })
}

fn cached(source: &Source, table: Arc<dyn Table>, site: &Site<'_>) -> Arc<dyn Table> {
    let watched = Watched::new(&source.to_string(), Arc::new(Timed::new(LONGEST, table)));
    let cache = Cache::new(site.remember, Arc::new(watched));
    // Outside of the cache, so that the key of the cache is the text that is asked for.
    Arc::new(Folded::lowered(Arc::new(cache), site.fold))
}

fn folded(table: Arc<dyn Table>, local: bool) -> Arc<dyn Table> {
    Arc::new(Folded::new(table, local))
}

fn database(name: &str, site: &Site<'_>) -> Result<Arc<dyn Table>, String> {
    let Some(database) = site.databases.get(name) else {
        let meant = nearest(name, site.databases.keys().map(String::as_str))
            .map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
        return Err(format!("there is no [[database]] of this name{meant}"));
    };
    let query = site.query.ok_or("it is not said what to ask it: write table, query, filter or key")?;
    database.table(query)
}

#[cfg(feature = "lmdb")]
fn lmdb(path: &Path) -> Result<Arc<dyn Table>, String> {
    super::lmdb::open(path)
}

#[cfg(not(feature = "lmdb"))]
fn lmdb(_: &Path) -> Result<Arc<dyn Table>, String> {
    Err("this rcptd was built without LMDB: build it with --features lmdb, or take a package that has it"
        .into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, answer, shown};
    use super::*;
    use diagnostics::Text;

    #[derive(Debug)]
    struct Base(Arc<Double>);

    impl Database for Base {
        fn table(&self, query: &Query) -> Result<Arc<dyn Table>, String> {
            match query {
                Query::Sql(_) => Ok(self.0.clone()),
                _ => Err("it speaks SQL: write query".into()),
            }
        }
    }

    fn built(text: &str, query: &Query, double: &Arc<Double>) -> Result<Arc<dyn Table>, Vec<String>> {
        let sources: Vec<Source> = text.split(" | ").map(|source| source.parse().unwrap()).collect();
        let (list, _) = List::parse(&Text::new("list", "Foo bar\n"), true);
        let lists = HashMap::from([("/list".into(), Arc::new(list))]);
        let base: Arc<dyn Database> = Arc::new(Base(double.clone()));
        let databases = HashMap::from([("users".to_owned(), base)]);
        let made = |source: &Source| match source {
            Source::Map(name) if name == "other" => {
                Some(Arc::new(Always::new(answer("other"))) as Arc<dyn Table>)
            }
            _ => None,
        };
        build(
            &sources,
            &Site {
                fold: true,
                lists: &lists,
                databases: &databases,
                query: Some(query),
                remember: Duration::from_mins(1),
                made: &made,
            },
        )
    }

    #[tokio::test]
    async fn what_is_built() {
        let double = Arc::new(Double::says(answer("Foo")));
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
                assert_eq!(shown(&table.get(key).await), want, "{text}");
            }
        }
        // Once for each map, then it is cached.
        assert_eq!(double.asked(), ["x", "x"]);
    }

    #[test]
    fn errors_name_the_remedy() {
        let double = Arc::new(Double::says(answer("-")));
        for (text, want) in [
            ("inline:{x=a,X=b}", "inline: \"X\" has two values: remove one of them"),
            ("texthash:/other", "texthash:/other: the file was not read"),
            ("map:othr", "map:othr: there is no such thing"),
            (
                "database:user",
                "database:user: there is no [[database]] of this name, did you mean \"users\"?",
            ),
            ("database:users", "database:users: it speaks SQL: write query"),
            ("unionmap:{static:a,map:b}", "map:b: there is no such thing"),
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
