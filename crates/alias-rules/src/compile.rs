//! From tree to the form that is looked up: names folded, bounds and needed characters known.

use super::check::{Checked, Formula, Never, Probe, Target};
use super::expression::Item;
use super::hashes::HASHES;
use super::plan::Plan;
use super::store::{Entry, Form, Lengths, NONE, Piece, Record, Span, Store, Template, Use};
use super::symbols::Symbols;
use super::syntax::Fault;
use super::terms::Terms;
use super::words::Class;
use diagnostics::Text;
use foldhash::HashMap;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The ASCII characters of `text`, as a set.
pub(super) fn characters(text: &str) -> u128 {
    text.bytes().filter(u8::is_ascii).fold(0, |set, b| set | 1 << b)
}

/// Most digits of a count: names have less than 10,000 characters (see [`super::MAX_NAME`]).
pub(super) const MAX_DIGITS: usize = 4;

impl Probe {
    /// The least bytes of code its value can have.
    pub fn shortest(&self) -> usize {
        if let Formula::Hmac(len) = self.formula { len } else { 1 }
    }

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

/// What statements of one form have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FormKey {
    pieces: Box<[Piece]>,
    calls: Box<[Probe]>,
    aliased: bool,
    /// Whether another alias is another destination.
    tell_aliases: bool,
    never: Option<Never>,
}

/// Compiles statements one by one.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    symbols: Symbols,
    store: Store,
    forms: HashMap<Arc<FormKey>, u32>,
    terms: HashMap<Terms, u32>,
    /// Templates by form, terms and expression.
    templates: HashTable<u32>,
    /// The last statement of each template.
    last: Vec<u32>,
}

impl Compiler {
    pub fn new(fold: bool) -> Self {
        Compiler { symbols: Symbols::new(fold), ..Compiler::default() }
    }

    /// The names of all statements so far.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Adds the next statement.
    pub fn add(&mut self, text: &Text, checked: Checked<'_>, faults: &mut Vec<Fault>) {
        self.symbols.add(&checked.statement, faults);
        let Checked { statement, probes, never, terms } = checked;
        let number = len(&self.store.statements);
        let (pieces, literals) = self.pieces(&statement.expression.items, statement.aliases.is_some());
        let calls: Box<[Probe]> =
            probes.into_iter().map(|probe| Probe { formula: self.formula(probe.formula), ..probe }).collect();
        let tell_aliases = terms.tell_aliases();
        let own_aliases = statement.aliases.is_some();
        let form = self.form(FormKey { pieces, calls, aliased: own_aliases, tell_aliases, never });
        let terms = self.terms(terms);
        let template = self.template((form, terms), &statement.expression.text, &literals, number);
        let file = match self.store.files.last() {
            Some(last) if *last == text.file => self.store.files.len() - 1,
            _ => {
                self.store.files.push(text.file.clone());
                self.store.files.len() - 1
            }
        };
        let form = &self.store.forms[form as usize];
        // A name that does not fit the class can stand in no address.
        let fits = |key: &str, used| {
            !matches!(used, Use::Placed(_)) || statement.using.is_none_or(|class| class.spells(key))
        };
        let lists = self.symbols.lists(number as usize);
        let entries = &mut self.store.entries;
        let starts = [(lists.accounts, false, form.account_use), (lists.aliases, true, form.alias_use)];
        let mut begins = [0; 2];
        let template_lengths = &mut self.store.templates[template as usize];
        for (begin, (list, is_alias, usage)) in begins.iter_mut().zip(starts) {
            *begin = len(entries);
            let lengths =
                if is_alias { &mut template_lengths.aliases } else { &mut template_lengths.accounts };
            let places = lists.starts[usize::from(is_alias)]..;
            for (place, listed) in places.zip(list) {
                if !fits(self.symbols.text(listed.number()), usage) {
                    continue;
                }
                if let Some(spelling) = self.symbols.spelling(place) {
                    self.store.spellings.push((len(entries), spelling));
                }
                let span = self.symbols.span(*listed);
                let mut entry = Entry::new(span, is_alias, number);
                if listed.is_repeated() {
                    entry.repeat();
                }
                lengths.add(span.len);
                entries.push(entry);
            }
        }
        let [accounts, rest] = begins;
        let line = u32::try_from(text.line(statement.keyword.start)).unwrap_or(u32::MAX);
        let file = u32::try_from(file).unwrap_or(0);
        self.store.statements.push(Record { template, next: NONE, file, line, accounts, aliases: rest });
    }

    fn form(&mut self, key: FormKey) -> u32 {
        if let Some(number) = self.forms.get(&key) {
            return *number;
        }
        let number = len(&self.store.forms);
        let (pieces, calls) = (key.pieces.clone(), key.calls.clone());
        let used = |piece: Piece, target| match pieces.iter().position(|p| *p == piece) {
            Some(at) => Use::Placed(at),
            None if calls.iter().any(|call| [target, Target::Name].contains(&call.target)) => Use::Computed,
            None if target == Target::Alias && key.tell_aliases => Use::Computed,
            None => Use::Nowhere,
        };
        let mut longest: Vec<usize> = calls.iter().map(Probe::longest).collect();
        longest.push(0);
        for i in (0..calls.len()).rev() {
            longest[i] += longest[i + 1];
        }
        let code = pieces.iter().position(|piece| *piece == Piece::Code).unwrap_or(0);
        self.store.forms.push(Form {
            plan: Plan::of(&pieces, &calls, code),
            code,
            account_use: used(Piece::Account, Target::Account),
            alias_use: used(Piece::Alias, Target::Alias),
            aliased: key.aliased,
            pieces,
            calls,
            longest: longest.into(),
            never: key.never,
        });
        self.forms.insert(Arc::new(key), number);
        number
    }

    fn terms(&mut self, terms: Terms) -> u32 {
        let next = len(&self.store.terms);
        *self.terms.entry(terms).or_insert_with_key(|terms| {
            self.store.terms.push(terms.clone());
            next
        })
    }

    /// The template of these, to which statement `number` is added.
    fn template(
        &mut self,
        (form, terms): (u32, u32),
        expression: &str,
        literals: &[String],
        number: u32,
    ) -> u32 {
        let Compiler { templates, store, symbols, .. } = self;
        let hash = HASHES.hash_one((form, terms, expression));
        let of = |template: u32| {
            let Template { form, terms, expression, .. } = store.templates[template as usize];
            (form, terms, symbols.slice(expression))
        };
        if let Some(template) = templates.find(hash, |other| of(*other) == (form, terms, expression)) {
            let last = std::mem::replace(&mut self.last[*template as usize], number);
            store.statements[last as usize].next = number;
            return *template;
        }
        let template = len(&self.store.templates);
        let text = self.symbols.push(expression);
        let first = len(&self.store.literals);
        for literal in literals {
            // Mostly it stands in the expression as it is.
            let span = match expression.find(&**literal).and_then(|at| u32::try_from(at).ok()) {
                Some(at) => Span { start: text.start + at, len: len(literal.as_bytes()) },
                None => self.symbols.push(literal),
            };
            self.store.literals.push(span);
        }
        self.store.templates.push(Template {
            form,
            expression: text,
            terms,
            literals: first,
            first: number,
            needs: literals.iter().fold(0, |set, literal| set | characters(literal)),
            min_len: 0,
            accounts: Lengths::NONE,
            aliases: Lengths::NONE,
        });
        let Compiler { templates, store, symbols, .. } = self;
        templates.insert_unique(hash, template, |other| {
            let Template { form, terms, expression, .. } = store.templates[*other as usize];
            HASHES.hash_one((form, terms, symbols.slice(expression)))
        });
        self.last.push(number);
        template
    }

    fn pieces(&self, items: &[Item], aliased: bool) -> (Box<[Piece]>, Vec<String>) {
        let last_code = items.iter().rposition(|item| *item == Item::Code);
        let mut identifiers = 0;
        let mut literals = Vec::new();
        let piece = |(i, item): (usize, &Item)| match item {
            Item::Literal(text) => {
                literals.push(self.symbols.key(text).into_owned());
                Piece::Literal(literals.len() - 1)
            }
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
        };
        (items.iter().enumerate().map(piece).collect(), literals)
    }

    fn formula(&self, formula: Formula) -> Formula {
        match formula {
            Formula::Char { at, default } => Formula::Char { at, default: self.symbols.key(&default).into() },
            Formula::LabelChar { label, at, default } => {
                Formula::LabelChar { label, at, default: self.symbols.key(&default).into() }
            }
            other => other,
        }
    }

    /// All of it, ready for look-ups.
    pub fn finish(self) -> Store {
        let Compiler { symbols, mut store, .. } = self;
        let Symbols { texts, .. } = symbols;
        store.texts = texts.into();
        for template in &mut store.templates {
            let pieces = store.forms[template.form as usize].pieces.iter();
            let calls = &store.forms[template.form as usize].calls;
            let code = u32::try_from(calls.iter().map(Probe::shortest).sum::<usize>()).unwrap_or(u32::MAX);
            let lens = pieces.map(|piece| match piece {
                Piece::Literal(number) => {
                    store.literals.get(template.literals as usize + number).map_or(0, |span| span.len)
                }
                // Where there are no names nothing matches.
                Piece::Account => template.accounts.shortest,
                Piece::Alias => template.aliases.shortest,
                Piece::Identifier(class, _) => u32::try_from(Class::min_len(*class)).unwrap_or(1),
                Piece::Date => 4,
                Piece::Shape | Piece::Code => code,
            });
            template.min_len = lens.fold(0, u32::saturating_add);
        }
        store.literals.shrink_to_fit();
        store.templates.shrink_to_fit();
        store.statements.shrink_to_fit();
        store.entries.shrink_to_fit();
        store.index();
        store
    }
}

/// How many there are; [`MAX_TEXT`](super::MAX_TEXT) sees to it that they can be counted.
fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
