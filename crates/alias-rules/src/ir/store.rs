//! The rules as they are looked up: flat, immutable, a few allocations however many names there are.
//!
//! Statements that differ in their names only share a *template*: the expression and the functions. All
//! names stand one behind the other in one text. A name in a list is an *entry* of sixteen bytes, and a table
//! leads from a template and a text to the entries: a look-up asks the table for the texts that stand in the
//! place of the account, instead of the lists for what they hold.
//!
//! Numbers of statements, templates, forms and entries come from the lists they lead into.

use super::{CompiledCall, EvaluationOrder, HASHER, Never, Scope};
use crate::vocabulary::Class;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of the expression as it is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    /// These very characters; literals are numbered from 0.
    Literal(usize),
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

/// Where a list of names matters to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nowhere: all names are alike.
    Nowhere,
    /// Only in functions.
    Computed,
    /// In the expression, first as the piece of this number.
    Placed(usize),
}

/// An expression and its functions but for the text of the literals.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub pieces: Box<[Piece]>,
    pub calls: Box<[CompiledCall]>,
    /// The number of the piece that is the code.
    pub code: usize,
    /// From call i on, the most bytes of code the calls can take.
    pub longest: Box<[usize]>,
    pub account_use: Use,
    pub alias_use: Use,
    /// Whether the statements have aliases of their own.
    pub aliased: bool,
    /// What can be swept with how many tokens.
    pub plan: EvaluationOrder,
    pub never: Option<Never>,
}

/// A text within the text of all names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub len: u32,
}

/// The shortest and the longest of some texts, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub shortest: u32,
    pub longest: u32,
}

impl Lengths {
    pub const NONE: Self = Lengths { shortest: u32::MAX, longest: 0 };

    pub fn add(&mut self, len: u32) {
        *self = Lengths { shortest: self.shortest.min(len), longest: self.longest.max(len) };
    }
}

/// What statements share that differ in their names only.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub form: u32,
    /// The expression as written.
    pub expression: Span,
    pub scope: u32,
    /// Its first literal in the list of all.
    pub literals: u32,
    /// The first statement.
    pub first: u32,
    /// The ASCII characters a name must hold, as a set.
    pub needs: u128,
    /// The shortest name that can match.
    pub min_len: u32,
    pub accounts: Lengths,
    pub aliases: Lengths,
}

/// A statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub template: u32,
    /// The next statement of the template; none has the number [`NONE`].
    pub next: u32,
    pub file: u32,
    pub line: u32,
    /// Its first account; the accounts go on up to the first alias.
    pub accounts: u32,
    /// Its first alias; the aliases go on up to the first account of the next statement.
    pub aliases: u32,
}

/// No number of anything.
pub(crate) const NONE: u32 = u32::MAX;

/// A name in a list, each once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    start: u32,
    /// The length, and [`ALIAS`] and [`REPEATED`].
    len: u32,
    pub statement: u32,
    /// The next entry with this text in a statement of the template.
    next: u32,
}

/// An entry is an alias, not an account.
const ALIAS: u32 = 1 << 31;
/// It stands in its list more than once.
const REPEATED: u32 = 1 << 30;
/// The longest text of an entry, far longer than a name that is looked up.
pub(crate) const MAX_ENTRY: usize = (REPEATED - 1) as usize;

impl Entry {
    pub fn new(text: Span, is_alias: bool, statement: u32) -> Self {
        let len = text.len | if is_alias { ALIAS } else { 0 };
        Entry { start: text.start, len, statement, next: NONE }
    }

    pub fn repeat(&mut self) {
        self.len |= REPEATED;
    }

    pub fn is_repeated(&self) -> bool {
        self.len & REPEATED != 0
    }

    pub fn is_alias(&self) -> bool {
        self.len & ALIAS != 0
    }

    pub fn span(&self) -> Span {
        Span { start: self.start, len: self.len & !(ALIAS | REPEATED) }
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    /// All names, literals and expressions.
    pub texts: Box<str>,
    pub forms: Vec<Form>,
    pub scope: Vec<Scope>,
    pub templates: Vec<Template>,
    pub literals: Vec<Span>,
    pub statements: Vec<Record>,
    pub entries: Vec<Entry>,
    pub files: Vec<Arc<str>>,
    /// How names are spelled, by entry, where that is not how they are compared.
    pub spellings: Vec<(u32, Span)>,
    table: HashTable<u32>,
}

impl Store {
    pub fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.texts.get(start..start + span.len as usize).unwrap_or_default()
    }

    /// The text of the entry of this number.
    pub fn name(&self, entry: u32) -> &str {
        self.text(self.entries[entry as usize].span())
    }

    /// The name of the entry of this number as the operator spelled it there.
    pub fn spelling(&self, entry: u32) -> &str {
        let at = self.spellings.binary_search_by_key(&entry, |(entry, _)| *entry);
        at.map_or_else(|_| self.name(entry), |at| self.text(self.spellings[at].1))
    }

    /// The statement of this number as it is matched.
    pub fn program(&self, statement: u32) -> Program<'_> {
        let template = &self.templates[self.statements[statement as usize].template as usize];
        Program { store: self, form: &self.forms[template.form as usize], template, statement }
    }

    /// The first statement of a template; what it shares with the others holds for them.
    pub fn template(&self, number: u32) -> Program<'_> {
        self.program(self.templates[number as usize].first)
    }

    /// Puts the entries that stand in expressions into the table.
    pub fn index(&mut self) {
        let many = self.entries.iter().filter(|entry| self.is_placed(entry)).count();
        let mut table = HashTable::with_capacity(many);
        // From the last to the first, so that those with the same text follow each other in order.
        for i in (0..self.entries.len()).rev() {
            let entry = self.entries[i];
            if !self.is_placed(&entry) {
                continue;
            }
            let number = u32::try_from(i).unwrap_or(NONE);
            let template = self.statements[entry.statement as usize].template;
            let hash = hash(template, entry.is_alias(), self.text(entry.span()));
            let same = |other: &u32| self.is(*other, template, entry.is_alias(), self.text(entry.span()));
            if let Some(head) = table.find_mut(hash, same) {
                self.entries[i].next = std::mem::replace(head, number);
            } else {
                table.insert_unique(hash, number, |other| self.hash_of(*other));
            }
        }
        self.table = table;
    }

    /// Whether an entry stands in an expression.
    pub fn is_placed(&self, entry: &Entry) -> bool {
        let program = self.program(entry.statement);
        let usage = if entry.is_alias() { program.alias_use } else { program.account_use };
        program.never.is_none() && matches!(usage, Use::Placed(_))
    }

    fn hash_of(&self, number: u32) -> u64 {
        let entry = &self.entries[number as usize];
        let template = self.statements[entry.statement as usize].template;
        hash(template, entry.is_alias(), self.text(entry.span()))
    }

    fn is(&self, number: u32, template: u32, is_alias: bool, text: &str) -> bool {
        let entry = &self.entries[number as usize];
        entry.is_alias() == is_alias
            && self.text(entry.span()) == text
            && self.statements[entry.statement as usize].template == template
    }
}

fn hash(template: u32, is_alias: bool, text: &str) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write_u32(template << 1 | u32::from(is_alias));
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// A statement as it is matched: what it shares with the others of its template, and its own lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'s> {
    store: &'s Store,
    form: &'s Form,
    template: &'s Template,
    pub statement: u32,
}

impl Deref for Program<'_> {
    type Target = Form;

    fn deref(&self) -> &Form {
        self.form
    }
}

impl<'s> Program<'s> {
    pub fn store(&self) -> &'s Store {
        self.store
    }

    pub fn form(&self) -> &'s Form {
        self.form
    }

    /// The expression as written.
    pub fn expression(&self) -> &'s str {
        self.store.text(self.template.expression)
    }

    /// The text of the literal of this number.
    pub fn literal(&self, number: usize) -> &'s str {
        self.store.text(self.literal_span(number))
    }

    pub fn literal_span(&self, number: usize) -> Span {
        let at = self.template.literals as usize + number;
        self.store.literals.get(at).copied().unwrap_or_default()
    }

    /// The text of a piece that is a literal.
    pub fn literal_of(&self, piece: Option<&Piece>) -> Option<&'s str> {
        if let Some(Piece::Literal(number)) = piece { Some(self.literal(*number)) } else { None }
    }

    /// On what scope it counts.
    pub fn scope(&self) -> &'s Scope {
        &self.store.scope[self.template.scope as usize]
    }

    /// Whether a name may match by its length, the characters it holds, and its ends.
    pub fn may_match(&self, name: &str, characters: u128) -> bool {
        self.template.needs & !characters == 0
            && name.len() >= self.template.min_len as usize
            && self.literal_of(self.pieces.first()).is_none_or(|text| name.starts_with(text))
            && self.literal_of(self.pieces.last()).is_none_or(|text| name.ends_with(text))
    }

    /// The same for another statement of the template.
    pub fn of(self, statement: u32) -> Self {
        Program { statement, ..self }
    }

    fn record(&self) -> &'s Record {
        &self.store.statements[self.statement as usize]
    }

    pub fn file(&self) -> &'s Arc<str> {
        &self.store.files[self.record().file as usize]
    }

    pub fn line(&self) -> usize {
        self.record().line as usize
    }

    /// The entries that are its accounts.
    pub fn accounts(&self) -> Range<u32> {
        let record = self.record();
        record.accounts..record.aliases
    }

    /// The entries that are its aliases; none if the accounts are their own aliases.
    pub fn aliases(&self) -> Range<u32> {
        let next = self.store.statements.get(self.statement as usize + 1);
        let end = next.map_or(self.store.entries.len(), |next| next.accounts as usize);
        self.record().aliases..u32::try_from(end).unwrap_or(NONE)
    }

    /// How long the names of the lists are, in all statements of the template.
    pub fn lengths(&self, is_alias: bool) -> Lengths {
        if is_alias { self.template.aliases } else { self.template.accounts }
    }

    /// The entries called `text`, in order, of all statements of the template.
    pub fn entries(&self, is_alias: bool, text: &str) -> impl Iterator<Item = u32> + use<'s> {
        let store = self.store;
        let template = self.record().template;
        let hash = hash(template, is_alias, text);
        let head = store.table.find(hash, |other| store.is(*other, template, is_alias, text));
        let mut at = head.copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let number = at;
            at = store.entries.get(number as usize)?.next;
            Some(number)
        })
    }

    /// The entry of this statement called `text`.
    pub fn entry(&self, is_alias: bool, text: &str) -> Option<u32> {
        let own = self.statement;
        self.entries(is_alias, text).find(|entry| self.store.entries[*entry as usize].statement == own)
    }

    /// The statements of the template.
    pub fn siblings(&self) -> impl Iterator<Item = u32> + use<'s> {
        let store = self.store;
        let mut at = self.template.first;
        std::iter::from_fn(move || {
            let number = at;
            at = store.statements.get(number as usize)?.next;
            Some(number)
        })
    }
}
