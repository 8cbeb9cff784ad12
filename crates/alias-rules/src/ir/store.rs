//! The rules as data for lookups: flat, immutable, and with few allocations regardless of the number of
//! names.
//!
//! Statements that differ in their names only share a *template*: the expression and the functions. All names
//! are concatenated in one text. A name in a list is an *entry* of sixteen bytes. A hash table maps a
//! template and a text to entries: a lookup searches the table for the parts of the name that may be an
//! account, and never scans the lists.
//!
//! Statements, templates, forms and entries are referred to by their index in their list.

use super::{CompiledCall, EvaluationOrder, HASHER, NeverMatches, Scope};
use crate::vocabulary::Class;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of a compiled expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    /// The literal of this number, from 0.
    Literal(usize),
    Account,
    Alias,
    /// The last day of the alias, see `date`.
    Date,
    /// A text of the class; with the number of the identifier, from 0.
    Identifier(Class, usize),
    /// A `%code%` before another one. It is not verified but must look like a code, see `code_shape`.
    Shape,
    /// The last `%code%`, which is verified.
    Code,
}

/// How a statement uses a list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Not at all: all names are equivalent.
    Nowhere,
    /// In functions only.
    Computed,
    /// In the expression, first at this piece.
    Placed(usize),
}

/// An expression and its functions, without the text of the literals.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub pieces: Box<[Piece]>,
    pub calls: Box<[CompiledCall]>,
    /// The index of the piece [`Piece::Code`].
    pub code: usize,
    /// At index i, the maximum length of the code from call i on, in bytes.
    pub longest: Box<[usize]>,
    pub account_use: Use,
    pub alias_use: Use,
    /// Whether the statements have `ALIASED`.
    pub aliased: bool,
    pub evaluation_order: EvaluationOrder,
    pub never: Option<NeverMatches>,
}

/// A range of [`Store::texts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub len: u32,
}

/// The lengths of the shortest and the longest text of a list, in bytes.
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

/// The common part of statements that differ in their names only.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub form: u32,
    /// The expression as written.
    pub expression: Span,
    pub scope: u32,
    /// The index of its first literal in [`Store::literals`].
    pub literals: u32,
    /// The first statement.
    pub first: u32,
    /// The ASCII characters that a name must contain, as a set of bits.
    pub needs: u128,
    /// The minimum length of a name that can match.
    pub min_len: u32,
    pub accounts: Lengths,
    pub aliases: Lengths,
}

/// A statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub template: u32,
    /// The next statement of the template, or [`NONE`].
    pub next: u32,
    pub file: u32,
    pub line: u32,
    /// Its first account; the first alias follows the last account.
    pub accounts: u32,
    /// Its first alias; the first account of the next statement follows the last alias.
    pub aliases: u32,
}

/// A number that is not an index of any list.
pub(crate) const NONE: u32 = u32::MAX;

/// A name in a list. A repeated name has one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    start: u32,
    /// The length, combined with [`ALIAS`] and [`REPEATED`].
    len: u32,
    pub statement: u32,
    /// The next entry with the same text and template.
    next: u32,
}

/// Marks an alias; other entries are accounts.
const ALIAS: u32 = 1 << 31;
/// Marks a name that is in its list more than once.
const REPEATED: u32 = 1 << 30;
/// Maximum length of an entry's text, much longer than a name that is looked up.
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

/// All compiled rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    /// All names, literals and expressions, concatenated.
    pub texts: Box<str>,
    pub forms: Vec<Form>,
    pub scopes: Vec<Scope>,
    pub templates: Vec<Template>,
    pub literals: Vec<Span>,
    pub statements: Vec<Record>,
    pub entries: Vec<Entry>,
    pub files: Vec<Arc<str>>,
    /// The original spelling of entries whose text was case-folded, sorted by entry.
    pub spellings: Vec<(u32, Span)>,
    table: HashTable<u32>,
}

impl Store {
    pub fn text(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.texts.get(start..start + span.len as usize).unwrap_or_default()
    }

    /// The text of an entry, as compared.
    pub fn name(&self, entry: u32) -> &str {
        self.text(self.entries[entry as usize].span())
    }

    /// The text of an entry, as the operator spelled it.
    pub fn spelling(&self, entry: u32) -> &str {
        let at = self.spellings.binary_search_by_key(&entry, |(entry, _)| *entry);
        at.map_or_else(|_| self.name(entry), |at| self.text(self.spellings[at].1))
    }

    /// A statement with its template.
    pub fn program(&self, statement: u32) -> Program<'_> {
        let template = &self.templates[self.statements[statement as usize].template as usize];
        Program { store: self, form: &self.forms[template.form as usize], template, statement }
    }

    /// The first statement of a template, for the properties that all its statements share.
    pub fn template(&self, number: u32) -> Program<'_> {
        self.program(self.templates[number as usize].first)
    }

    /// Adds the entries that are in expressions to the hash table.
    pub fn index(&mut self) {
        let many = self.entries.iter().filter(|entry| self.is_placed(entry)).count();
        let mut table = HashTable::with_capacity(many);
        // In reverse, so that entries of the same text are linked in order.
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

    /// Whether the expression contains the entry's account or alias.
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

/// A statement with its template and form.
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

    /// The text of a literal.
    pub fn literal(&self, number: usize) -> &'s str {
        self.store.text(self.literal_span(number))
    }

    pub fn literal_span(&self, number: usize) -> Span {
        let at = self.template.literals as usize + number;
        self.store.literals.get(at).copied().unwrap_or_default()
    }

    /// The text of a piece, if it is a literal.
    pub fn literal_of(&self, piece: Option<&Piece>) -> Option<&'s str> {
        if let Some(Piece::Literal(number)) = piece { Some(self.literal(*number)) } else { None }
    }

    pub fn scope(&self) -> &'s Scope {
        &self.store.scopes[self.template.scope as usize]
    }

    /// Whether a name may match, judging by its length, its characters, and both ends.
    pub fn may_match(&self, name: &str, characters: u128) -> bool {
        self.template.needs & !characters == 0
            && name.len() >= self.template.min_len as usize
            && self.literal_of(self.pieces.first()).is_none_or(|text| name.starts_with(text))
            && self.literal_of(self.pieces.last()).is_none_or(|text| name.ends_with(text))
    }

    /// Another statement of the same template.
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

    /// The entries that are its aliases; empty without `ALIASED`.
    pub fn aliases(&self) -> Range<u32> {
        let next = self.store.statements.get(self.statement as usize + 1);
        let end = next.map_or(self.store.entries.len(), |next| next.accounts as usize);
        self.record().aliases..u32::try_from(end).unwrap_or(NONE)
    }

    /// The lengths of accounts or aliases in all statements of the template.
    pub fn lengths(&self, is_alias: bool) -> Lengths {
        if is_alias { self.template.aliases } else { self.template.accounts }
    }

    /// The entries with this text in all statements of the template, in order.
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

    /// The entry with this text in this statement.
    pub fn entry(&self, is_alias: bool, text: &str) -> Option<u32> {
        let own = self.statement;
        self.entries(is_alias, text).find(|entry| self.store.entries[*entry as usize].statement == own)
    }

    /// All statements of the template.
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
