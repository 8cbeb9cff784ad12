//! From tree to the form that is looked up: names folded and hashed, bounds and needed bytes known.

use super::check::{Checked, Formula, Never, Probe, Target};
use super::expression::Item;
use super::words::{Class, Function};
use crate::addr::fold;
use crate::diag::Text;
use foldhash::{HashMap, HashMapExt};
use std::borrow::Cow;
use std::sync::Arc;

/// A part of the expression as it is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<str>),
    Account,
    Alias,
    /// The last day of the alias, see `date`.
    Date,
    /// A text of the class; identifiers are numbered from 0.
    Identifier(Class, usize),
    /// A `%code%` that another one follows: it only has to look like a code.
    Shape,
    /// The code.
    Code,
}

/// A name of a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As it is compared.
    pub key: Arc<str>,
    /// The number of the account in [`Rules::accounts`](super::Rules); 0 for an alias.
    pub account: u32,
    /// Whether it stands in the list more than once.
    pub repeated: bool,
}

/// A list of names, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub entries: Vec<Entry>,
    index: HashMap<Arc<str>, u32>,
    /// The shortest and the longest, in bytes.
    pub len: (usize, usize),
}

/// Up to this length a list is searched faster by going through it than by hashing.
const SHORT_LIST: usize = 4;

impl Names {
    fn add(&mut self, key: &str, account: u32) {
        if let Some(at) = self.index.get(key) {
            self.entries[*at as usize].repeated = true;
            return;
        }
        let key: Arc<str> = key.into();
        let (min, max) = self.len;
        self.len = if self.entries.is_empty() {
            (key.len(), key.len())
        } else {
            (min.min(key.len()), max.max(key.len()))
        };
        // More names than u32 counts do not fit into the memory of a machine that reads them as text.
        self.index.insert(key.clone(), u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.entries.push(Entry { key, account, repeated: false });
    }

    /// The entry called `key`.
    pub fn find(&self, key: &str) -> Option<usize> {
        if self.entries.len() <= SHORT_LIST {
            return self.entries.iter().position(|entry| *entry.key == *key);
        }
        self.index.get(key).map(|at| *at as usize)
    }
}

/// Where a list of names matters to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nowhere: all names are alike.
    Nowhere,
    /// Only in functions.
    Computed,
    /// In the expression, first as the piece of this number.
    Placed(usize),
}

/// A statement as it is matched.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub file: Arc<str>,
    pub line: usize,
    pub expression: Box<str>,
    pub pieces: Box<[Piece]>,
    pub calls: Box<[Probe]>,
    /// The number of the piece that is the code.
    pub code: usize,
    /// From call i on, the most bytes of code the calls can take.
    pub longest: Box<[usize]>,
    pub accounts: Names,
    pub account_use: Use,
    pub aliases: Option<Names>,
    pub alias_use: Use,
    /// Whether some call needs characters of an identifier counted.
    pub tallies: bool,
    pub never: Option<Never>,
    /// The ASCII characters a name must hold, as a set.
    pub needs: u128,
    /// The shortest name that can match.
    pub min_len: usize,
}

impl Program {
    /// Whether the alias at this place of the list stands in it more than once.
    pub fn repeats_alias(&self, alias: Option<usize>) -> bool {
        let entry = self.aliases.as_ref().zip(alias).and_then(|(names, at)| names.entries.get(at));
        entry.is_some_and(|entry| entry.repeated)
    }
}

/// The ASCII characters of `text`, as a set.
pub(super) fn characters(text: &str) -> u128 {
    text.bytes().filter(u8::is_ascii).fold(0, |set, b| set | 1 << b)
}

/// Most digits of a count: names have less than 10,000 characters (see [`super::MAX_NAME`]).
pub(super) const MAX_DIGITS: usize = 4;

impl Probe {
    /// The most bytes of code its value can have.
    fn longest(&self) -> usize {
        match &self.formula {
            Formula::Count(_) => MAX_DIGITS,
            Formula::Any | Formula::None => char::MAX.len_utf8(),
            Formula::Char { default, .. } | Formula::LabelChar { default, .. } => {
                default.len().max(char::MAX.len_utf8())
            }
            Formula::Hmac(len) => *len,
        }
    }
}

/// Compiles statements one by one; the accounts of all of them are numbered together.
pub(super) struct Compiler {
    fold: bool,
    pub accounts: Vec<Box<str>>,
    numbers: HashMap<String, u32>,
    /// Where the last statement began: its text, its place in it, its line.
    last: Option<(Text, usize, usize)>,
}

impl Compiler {
    pub fn new(fold: bool) -> Self {
        Compiler { fold, accounts: Vec::new(), numbers: HashMap::new(), last: None }
    }

    fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.fold { fold(text) } else { Cow::Borrowed(text) }
    }

    /// The line of a statement, counted on from the one before, so that many statements do not take long.
    fn line(&mut self, text: &Text, start: usize) -> usize {
        let last =
            self.last.take().filter(|(of, at, _)| Arc::ptr_eq(&of.content, &text.content) && *at <= start);
        let (from, line) = last.map_or((0, 1), |(_, at, line)| (at, line));
        let line = line + text.content.get(from..start).map_or(0, |between| between.matches('\n').count());
        self.last = Some((text.clone(), start, line));
        line
    }

    /// The number of the account, which keeps its first spelling.
    fn number(&mut self, spelling: &str) -> u32 {
        let key = self.key(spelling);
        if let Some(number) = self.numbers.get(&*key) {
            return *number;
        }
        let number = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(key.into_owned(), number);
        self.accounts.push(spelling.into());
        number
    }

    pub fn program(&mut self, text: &Text, checked: Checked<'_>) -> Program {
        let Checked { statement, probes, never } = checked;
        let pieces = self.pieces(&statement.expression.items, statement.aliases.is_some());
        let calls: Box<[Probe]> =
            probes.into_iter().map(|probe| Probe { formula: self.formula(probe.formula), ..probe }).collect();
        let used = |piece: &Piece, target| match pieces.iter().position(|p| p == piece) {
            Some(at) => Use::Placed(at),
            None if calls.iter().any(|call| call.target == target) => Use::Computed,
            None => Use::Nowhere,
        };
        let (account_use, alias_use) =
            (used(&Piece::Account, Target::Account), used(&Piece::Alias, Target::Alias));
        // A name that does not fit the class can stand in no address.
        let fits = |key: &str, used| {
            !matches!(used, Use::Placed(_)) || statement.using.is_none_or(|class| class.spells(key))
        };
        let mut accounts = Names::default();
        for name in &statement.accounts {
            let number = self.number(name.value);
            let key = self.key(name.value);
            if fits(&key, account_use) {
                accounts.add(&key, number);
            }
        }
        let aliases = statement.aliases.as_ref().map(|list| {
            let mut names = Names::default();
            for key in list.iter().map(|name| self.key(name.value)) {
                if fits(&key, alias_use) {
                    names.add(&key, 0);
                }
            }
            names
        });
        let mut longest: Vec<usize> = calls.iter().map(Probe::longest).collect();
        longest.push(0);
        for i in (0..calls.len()).rev() {
            longest[i] += longest[i + 1];
        }
        let (needs, min_len) = needs(&pieces, calls.len(), &accounts, aliases.as_ref());
        Program {
            file: text.file.clone(),
            line: self.line(text, statement.keyword.start),
            expression: statement.expression.text.into(),
            code: pieces.iter().position(|piece| *piece == Piece::Code).unwrap_or(0),
            tallies: calls.iter().any(|call| {
                matches!(call.target, Target::Identifier(_))
                    && matches!(call.formula, Formula::Count(_) | Formula::LabelChar { .. })
                    && call.function != Function::Chars
            }),
            pieces,
            calls,
            longest: longest.into(),
            accounts,
            account_use,
            aliases,
            alias_use,
            never,
            needs,
            min_len,
        }
    }

    fn pieces(&self, items: &[Item], aliased: bool) -> Box<[Piece]> {
        let last_code = items.iter().rposition(|item| *item == Item::Code);
        let mut identifiers = 0;
        items
            .iter()
            .enumerate()
            .map(|(i, item)| match item {
                Item::Literal(text) => Piece::Literal(self.key(text).into()),
                // Without aliases of its own an account is its own alias.
                Item::Account => Piece::Account,
                Item::Alias if !aliased => Piece::Account,
                Item::Alias => Piece::Alias,
                Item::Code if Some(i) == last_code => Piece::Code,
                Item::Code => Piece::Shape,
                Item::Date => Piece::Date,
                Item::Identifier(class) => {
                    identifiers += 1;
                    Piece::Identifier(*class, identifiers - 1)
                }
            })
            .collect()
    }

    fn formula(&self, formula: Formula) -> Formula {
        match formula {
            Formula::Char { at, default } => Formula::Char { at, default: self.key(&default).into() },
            Formula::LabelChar { label, at, default } => {
                Formula::LabelChar { label, at, default: self.key(&default).into() }
            }
            other => other,
        }
    }
}

/// The ASCII characters every matching name holds, and its least length.
fn needs(pieces: &[Piece], calls: usize, accounts: &Names, aliases: Option<&Names>) -> (u128, usize) {
    let mut needs = 0;
    let min_len = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => {
            needs |= characters(text);
            text.len()
        }
        Piece::Account => accounts.len.0,
        Piece::Alias => aliases.map_or(0, |names| names.len.0),
        Piece::Identifier(class, _) => class.min_len(),
        Piece::Date => 4,
        // Each function takes a character at least.
        Piece::Shape | Piece::Code => calls,
    });
    let min_len = min_len.sum();
    (needs, min_len)
}
