//! Combines tables.
//!
//! All combinators propagate temporary failures: if a table that failed might have changed the result, the
//! result is a temporary failure.

use super::{Lookup, LookupFuture, MAX_VALUE, Source, Table};
use std::fmt::Write;
use std::sync::Arc;

/// Asks its members in order until one has the key. A temporary failure ends the search, since that member
/// might have had the key.
#[derive(Debug)]
pub struct FirstOf(Vec<Arc<Table>>);

impl FirstOf {
    /// Creates a table of `members`, in the order in which they are asked.
    pub fn new(members: Vec<Arc<Table>>) -> Self {
        FirstOf(members)
    }
}

impl Source<str, Lookup<String>> for FirstOf {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            for member in &self.0 {
                match member.look_up(key).await {
                    Lookup::NotFound => (),
                    answer => return answer,
                }
            }
            Lookup::NotFound
        })
    }
}

/// Joins the values of all members that have the key, in order and with commas, like `unionmap:` of Postfix.
#[derive(Debug)]
pub struct Union(Vec<Arc<Table>>);

impl Union {
    /// Creates a table of `members`, in the order of their values.
    pub fn new(members: Vec<Arc<Table>>) -> Self {
        Union(members)
    }
}

impl Source<str, Lookup<String>> for Union {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let mut all = String::new();
            for member in &self.0 {
                match member.look_up(key).await {
                    Lookup::NotFound => (),
                    Lookup::Found(value) if value.is_empty() => return empty(),
                    Lookup::Found(value) if all.is_empty() => all = value,
                    Lookup::Found(value) => {
                        if all.len() + 1 + value.len() > MAX_VALUE {
                            return Lookup::temp_fail(format!(
                                "the values have more than {MAX_VALUE} octets together"
                            ));
                        }
                        // Writing to a `String` does not fail.
                        let _ = write!(all, ",{value}");
                    }
                    doubt @ Lookup::TempFail(_) => return doubt,
                }
            }
            if all.is_empty() { Lookup::NotFound } else { Lookup::Found(all) }
        })
    }
}

/// Looks up the value of each member in the next one, like `pipemap:` of Postfix.
#[derive(Debug)]
pub struct Pipe {
    members: Vec<Arc<Table>>,
}

impl Pipe {
    /// Creates a table of `members`, in the order in which they are asked. Each member normalises the case of
    /// its own keys.
    pub fn new(members: Vec<Arc<Table>>) -> Self {
        Pipe { members }
    }
}

impl Source<str, Lookup<String>> for Pipe {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            let Some((first, rest)) = self.members.split_first() else { return Lookup::NotFound };
            let mut answer = first.look_up(key).await;
            for member in rest {
                let Lookup::Found(value) = &answer else { return answer };
                if value.is_empty() {
                    return empty();
                }
                let key = value.clone();
                answer = member.look_up(&key).await;
            }
            answer
        })
    }
}

/// The result for an empty value. It is never intended, and as a key or in a list it would cause an error
/// elsewhere.
fn empty() -> Lookup<String> {
    Lookup::temp_fail("a value is empty")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, shown};
    use super::*;
    use crate::lookup::testing::Double;

    /// Results of the members (`-` not found, `?` temporary failure, otherwise a value), combined result,
    /// number of members asked.
    type Row = (&'static [&'static str], &'static str, usize);
    type Doubles = Vec<Arc<Double<Lookup<String>>>>;

    fn members(says: &[&str]) -> (Doubles, Vec<Arc<Table>>) {
        let doubles: Doubles = says.iter().map(|says| Arc::new(Double::new(answer(says)))).collect();
        let tables = doubles.iter().map(|double| double.clone() as Arc<Table>).collect();
        (doubles, tables)
    }

    async fn check(rows: &[Row], make: impl Fn(Vec<Arc<Table>>) -> Arc<Table>) {
        for (says, want, asked) in rows {
            let (doubles, tables) = members(says);
            assert_eq!(shown(&make(tables).look_up("key").await), *want, "{says:?}");
            assert_eq!(doubles.iter().map(|double| double.count()).sum::<usize>(), *asked, "{says:?}");
        }
    }

    #[tokio::test]
    async fn first_of_returns_the_first_value() {
        let rows: &[Row] = &[
            (&[], "-", 0),
            (&["a"], "a", 1),
            (&["-"], "-", 1),
            (&["?"], "?", 1),
            (&["a", "b"], "a", 1),
            (&["-", "b"], "b", 2),
            (&["-", "-"], "-", 2),
            (&["?", "b"], "?", 1),
            (&["-", "?", "c"], "?", 2),
            (&["-", "-", "c"], "c", 3),
        ];
        check(rows, |members| Arc::new(FirstOf::new(members))).await;
    }

    #[tokio::test]
    async fn union_joins_all_values() {
        let rows: &[Row] = &[
            (&[], "-", 0),
            (&["a"], "a", 1),
            (&["-"], "-", 1),
            (&["a", "-", "b c"], "a,b c", 3),
            (&["-", "b"], "b", 2),
            (&["-", "-"], "-", 2),
            (&["a", "?", "c"], "?", 2),
            (&["?"], "?", 1),
            (&["a", ""], "? a value is empty", 2),
            (&["", "a"], "? a value is empty", 1),
        ];
        check(rows, |members| Arc::new(Union::new(members))).await;
    }

    #[tokio::test]
    async fn pipe_looks_up_each_value_in_the_next_member() {
        let rows: &[Row] = &[
            (&[], "-", 0),
            (&["a"], "a", 1),
            (&["a", "b", "c"], "c", 3),
            (&["a", "-", "c"], "-", 2),
            (&["-", "b"], "-", 1),
            (&["?", "b"], "?", 1),
            (&["a", "?"], "?", 2),
            (&["", "b"], "? a value is empty", 1),
        ];
        check(rows, |members| Arc::new(Pipe::new(members))).await;
        let (doubles, tables) = members(&["Value", "b"]);
        Pipe::new(tables).look_up("Key").await;
        assert_eq!(
            doubles.iter().flat_map(|double| double.asked().clone()).collect::<Vec<_>>(),
            ["Key", "Value"]
        );
    }

    #[tokio::test]
    async fn limits_the_length_of_a_value() {
        let half = "x".repeat(MAX_VALUE / 2);
        let one_less = &half[1..];
        let (_, tables) = members(&[&half, one_less]);
        assert_eq!(shown(&Union::new(tables).look_up("key").await).len(), MAX_VALUE);
        let (_, tables) = members(&[&half, &half]);
        let got = Union::new(tables).look_up("key").await;
        assert_eq!(shown(&got), "? the values have more than 100000 octets together");
    }
}
