//! Combines tables.
//!
//! All combinators propagate temporary failures: if a table that failed might have changed the answer, the
//! answer is a temporary failure.

use super::{Answer, AnswerFuture, MAX_VALUE, Table};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Asks its members in order until one has the key. A temporary failure ends the search, since that member
/// might have had the key.
#[derive(Debug)]
pub struct FirstOf(Vec<Arc<dyn Table>>);

impl FirstOf {
    /// `members` in the order in which they are asked.
    pub fn new(members: Vec<Arc<dyn Table>>) -> Self {
        FirstOf(members)
    }
}

impl Table for FirstOf {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            for member in &self.0 {
                match member.get(key).await {
                    Answer::NotFound => (),
                    answer => return answer,
                }
            }
            Answer::NotFound
        })
    }
}

/// Has the values of all its members, in their order and with commas between, as `unionmap:` of Postfix.
#[derive(Debug)]
pub struct Union(Vec<Arc<dyn Table>>);

impl Union {
    /// `members` in the order of their values.
    pub fn new(members: Vec<Arc<dyn Table>>) -> Self {
        Union(members)
    }
}

impl Table for Union {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            let mut all = String::new();
            for member in &self.0 {
                match member.get(key).await {
                    Answer::NotFound => (),
                    Answer::Found(value) if value.is_empty() => return empty(),
                    Answer::Found(value) if all.is_empty() => all = value,
                    Answer::Found(value) => {
                        if all.len() + 1 + value.len() > MAX_VALUE {
                            return Answer::unknown(format!(
                                "the values have more than {MAX_VALUE} octets together"
                            ));
                        }
                        // Writing to a text does not fail.
                        let _ = write!(all, ",{value}");
                    }
                    doubt @ Answer::Unknown(_) => return doubt,
                }
            }
            if all.is_empty() { Answer::NotFound } else { Answer::Found(all) }
        })
    }
}

/// Looks the value of each member up in the next one, as `pipemap:` of Postfix.
#[derive(Debug)]
pub struct Pipe {
    members: Vec<Arc<dyn Table>>,
}

impl Pipe {
    /// `members` in the order in which they are asked. Each handles the case of its keys itself.
    pub fn new(members: Vec<Arc<dyn Table>>) -> Self {
        Pipe { members }
    }
}

impl Table for Pipe {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            let Some((first, rest)) = self.members.split_first() else { return Answer::NotFound };
            let mut answer = first.get(key).await;
            for member in rest {
                let Answer::Found(value) = &answer else { return answer };
                if value.is_empty() {
                    return empty();
                }
                let key = value.clone();
                answer = member.get(&key).await;
            }
            answer
        })
    }
}

/// An empty value is never intended, and as a key or in a list it would be an error elsewhere.
fn empty() -> Answer {
    Answer::unknown("a value is empty")
}

/// Limits the time of a table. After it, the query is dropped.
#[derive(Debug)]
pub struct Timed {
    inner: Arc<dyn Table>,
    limit: Duration,
}

impl Timed {
    /// `inner`, with `limit` for every answer.
    pub fn new(limit: Duration, inner: Arc<dyn Table>) -> Self {
        Timed { inner, limit }
    }
}

impl Table for Timed {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        Box::pin(async move {
            let late = |_| Answer::unknown(format!("no answer within {:?}", self.limit));
            tokio::time::timeout(self.limit, self.inner.get(key)).await.unwrap_or_else(late)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, answer, shown};
    use super::*;

    /// Answers of the members (`-` not found, `?` unknown, else a value), answer of the whole, number of
    /// members asked.
    type Row = (&'static [&'static str], &'static str, usize);

    fn members(says: &[&str]) -> (Vec<Arc<Double>>, Vec<Arc<dyn Table>>) {
        let doubles: Vec<_> = says.iter().map(|says| Arc::new(Double::says(answer(says)))).collect();
        let tables = doubles.iter().map(|double| double.clone() as Arc<dyn Table>).collect();
        (doubles, tables)
    }

    async fn check(rows: &[Row], make: impl Fn(Vec<Arc<dyn Table>>) -> Arc<dyn Table>) {
        for (says, want, asked) in rows {
            let (doubles, tables) = members(says);
            assert_eq!(shown(&make(tables).get("key").await), *want, "{says:?}");
            assert_eq!(doubles.iter().map(|double| double.asked().len()).sum::<usize>(), *asked, "{says:?}");
        }
    }

    #[tokio::test]
    async fn the_first_that_has_it() {
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
    async fn all_that_have_it() {
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
    async fn one_behind_the_other() {
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
        Pipe::new(tables).get("Key").await;
        assert_eq!(doubles.iter().flat_map(|double| double.asked()).collect::<Vec<_>>(), ["Key", "Value"]);
    }

    #[tokio::test]
    async fn a_value_has_its_bounds() {
        let half = "x".repeat(MAX_VALUE / 2);
        let one_less = &half[1..];
        let (_, tables) = members(&[&half, one_less]);
        assert_eq!(shown(&Union::new(tables).get("key").await).len(), MAX_VALUE);
        let (_, tables) = members(&[&half, &half]);
        let got = Union::new(tables).get("key").await;
        assert_eq!(shown(&got), "? the values have more than 100000 octets together");
    }

    #[tokio::test(start_paused = true)]
    async fn late_is_unknown() {
        for (takes, want) in [(0, "a"), (4_999, "a"), (5_001, "? no answer within 5s")] {
            let double = Double::says(answer("a")).after(Duration::from_millis(takes));
            let timed = Timed::new(Duration::from_secs(5), Arc::new(double));
            assert_eq!(shown(&timed.get("key").await), want, "{takes} ms");
        }
    }
}
