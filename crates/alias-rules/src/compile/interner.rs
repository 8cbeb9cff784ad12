//! Interns the names of all statements: each distinct text is stored once, and lists refer to its number.

use crate::ir::{HASHER, MAX_ENTRY, Span};
use crate::syntax::{Fault, Name, Statement};
use hashbrown::HashTable;
use mail_address::fold;
use std::borrow::Cow;
use std::hash::BuildHasher;

/// Marks a name that is in its list more than once.
const REPEATED: u32 = 1 << 31;

/// The names of the lists of one statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists<'s> {
    /// The positions of both lists in [`Interner::lists`].
    pub starts: [u32; 2],
    pub accounts: &'s [Listed],
    pub aliases: &'s [Listed],
}

/// A name in a list: the number of its text, combined with [`REPEATED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed(u32);

impl Listed {
    pub fn number(self) -> usize {
        (self.0 & !REPEATED) as usize
    }

    pub fn is_repeated(self) -> bool {
        self.0 & REPEATED != 0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Interner {
    fold: bool,
    /// All texts, concatenated.
    pub texts: String,
    spans: Vec<Span>,
    table: HashTable<u32>,
    /// The last position of each text in `lists`.
    last: Vec<u32>,
    lists: Vec<Listed>,
    /// The positions of the first account and the first alias of each statement in `lists`.
    starts: Vec<(u32, u32)>,
    /// The original spelling of names that were case-folded, by position in `lists`.
    spellings: Vec<(u32, Span)>,
}

impl Interner {
    pub fn new(fold: bool) -> Self {
        Interner { fold, ..Interner::default() }
    }

    /// Folds the case of `text`, if names are compared ignoring case.
    pub fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    /// Adds the lists of the next statement.
    pub fn add(&mut self, statement: &Statement<'_>, faults: &mut Vec<Fault>) {
        let begin = len(&self.lists);
        let repeated = self.list(&statement.accounts);
        if let Some(name) = repeated {
            let message =
                format!("account \"{}\" is in the list twice, so every match is ambiguous", name.value);
            faults.push(Fault::warning(name.span(), message).help("remove one of them"));
        }
        self.starts.push((begin, len(&self.lists)));
        // The predecessor did not warn about repeated aliases.
        self.list(statement.aliases.as_deref().unwrap_or_default());
    }

    /// Adds a list and returns the first repeated name.
    fn list<'n>(&mut self, names: &'n [Name<'n>]) -> Option<&'n Name<'n>> {
        let begin = self.lists.len();
        let mut repeated = None;
        for name in names.iter().filter(|name| name.value.len() <= MAX_ENTRY) {
            let number = self.number(name.value);
            let last = self.last[number] as usize;
            if last >= begin && self.lists.get(last).is_some_and(|listed| listed.number() == number) {
                self.lists[last].0 |= REPEATED;
                repeated = repeated.or(Some(name));
                continue;
            }
            self.last[number] = len(&self.lists);
            if self.text(number) != name.value {
                let span = self.push(name.value);
                self.spellings.push((len(&self.lists), span));
            }
            self.lists.push(Listed(u32::try_from(number).unwrap_or(0)));
        }
        repeated
    }

    /// Finds or adds a text and returns its number.
    fn number(&mut self, text: &str) -> usize {
        let key = if self.fold { fold(text) } else { Cow::Borrowed(text) };
        let hash = HASHER.hash_one(&*key);
        let (texts, spans) = (&self.texts, &self.spans);
        let text_of = |number: &u32| {
            let span = spans[*number as usize];
            &texts[span.start as usize..(span.start + span.len) as usize]
        };
        if let Some(number) = self.table.find(hash, |other| text_of(other) == key) {
            return *number as usize;
        }
        let number = len(&self.spans);
        self.table.insert_unique(hash, number, |other| HASHER.hash_one(text_of(other)));
        let span = self.push(&key);
        self.spans.push(span);
        self.last.push(u32::MAX);
        number as usize
    }

    /// Appends a text to [`Interner::texts`].
    pub fn push(&mut self, text: &str) -> Span {
        let start = len(self.texts.as_bytes());
        self.texts.push_str(text);
        Span { start, len: len(text.as_bytes()) }
    }

    /// The number of distinct texts.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn text(&self, number: usize) -> &str {
        self.slice(self.spans[number])
    }

    pub fn slice(&self, span: Span) -> &str {
        self.texts.get(span.start as usize..(span.start + span.len) as usize).unwrap_or_default()
    }

    pub fn span(&self, listed: Listed) -> Span {
        self.spans[listed.number()]
    }

    /// The original spelling of the name at this position of the lists, if it was case-folded.
    pub fn spelling(&self, at: u32) -> Option<Span> {
        let found = self.spellings.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        Some(self.spellings[found].1)
    }

    /// The lists of a statement.
    pub fn lists(&self, statement: usize) -> Lists<'_> {
        let (accounts, aliases) = self.starts[statement];
        let end = self.starts.get(statement + 1).map_or(self.lists.len(), |(next, _)| *next as usize);
        Lists {
            starts: [accounts, aliases],
            accounts: &self.lists[accounts as usize..aliases as usize],
            aliases: &self.lists[aliases as usize..end],
        }
    }
}

/// The length of a list. [`MAX_TEXT`](crate::MAX_TEXT) ensures that it fits into 32 bits.
fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
