//! The names of all statements while rules are read: each text once, and by its number in every list.

use crate::ir::{HASHER, MAX_ENTRY, Span};
use crate::syntax::{Fault, Name, Statement};
use hashbrown::HashTable;
use mail_address::fold;
use std::borrow::Cow;
use std::hash::BuildHasher;

/// A name stands in the list more than once.
const REPEATED: u32 = 1 << 31;

/// The names of the lists of one statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lists<'s> {
    /// Where the lists stand among those of all statements.
    pub starts: [u32; 2],
    pub accounts: &'s [Listed],
    pub aliases: &'s [Listed],
}

/// A name in a list: its number, and whether it stands there more than once.
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
    /// All texts, one behind the other.
    pub texts: String,
    spans: Vec<Span>,
    table: HashTable<u32>,
    /// Where each text stands last in a list.
    last: Vec<u32>,
    lists: Vec<Listed>,
    /// Where the accounts and the aliases of each statement begin.
    starts: Vec<(u32, u32)>,
    /// How names are spelled, by their place in the lists, where that is not how they are compared.
    spellings: Vec<(u32, Span)>,
}

impl Interner {
    pub fn new(fold: bool) -> Self {
        Interner { fold, ..Interner::default() }
    }

    /// As texts are compared.
    pub fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    /// Adds the lists of a statement, which come to have the next number.
    pub fn add(&mut self, statement: &Statement<'_>, faults: &mut Vec<Fault>) {
        let begin = len(&self.lists);
        let twice = self.list(&statement.accounts);
        if let Some(twice) = twice {
            let message =
                format!("account \"{}\" stands in the list twice, every match is ambiguous", twice.value);
            faults.push(Fault::warning(twice.span(), message).help("leave it once"));
        }
        self.starts.push((begin, len(&self.lists)));
        // An alias that is there twice was never worth a word.
        self.list(statement.aliases.as_deref().unwrap_or_default());
    }

    /// Adds a list; the first name that is in it twice.
    fn list<'n>(&mut self, names: &'n [Name<'n>]) -> Option<&'n Name<'n>> {
        let begin = self.lists.len();
        let mut twice = None;
        for name in names.iter().filter(|name| name.value.len() <= MAX_ENTRY) {
            let number = self.number(name.value);
            let last = self.last[number] as usize;
            if last >= begin && self.lists.get(last).is_some_and(|listed| listed.number() == number) {
                self.lists[last].0 |= REPEATED;
                twice = twice.or(Some(name));
                continue;
            }
            self.last[number] = len(&self.lists);
            if self.text(number) != name.value {
                let span = self.push(name.value);
                self.spellings.push((len(&self.lists), span));
            }
            self.lists.push(Listed(u32::try_from(number).unwrap_or(0)));
        }
        twice
    }

    /// The number of a text.
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

    /// Adds a text to the texts.
    pub fn push(&mut self, text: &str) -> Span {
        let start = len(self.texts.as_bytes());
        self.texts.push_str(text);
        Span { start, len: len(text.as_bytes()) }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The text of this number.
    pub fn text(&self, number: usize) -> &str {
        self.slice(self.spans[number])
    }

    pub fn slice(&self, span: Span) -> &str {
        self.texts.get(span.start as usize..(span.start + span.len) as usize).unwrap_or_default()
    }

    pub fn span(&self, listed: Listed) -> Span {
        self.spans[listed.number()]
    }

    /// How the name at this place of the lists is spelled, if not as it is compared.
    pub fn spelling(&self, at: u32) -> Option<Span> {
        let found = self.spellings.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        Some(self.spellings[found].1)
    }

    /// The lists of the statement of this number.
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

/// How many there are; [`MAX_TEXT`](crate::MAX_TEXT) sees to it that they can be counted.
fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
