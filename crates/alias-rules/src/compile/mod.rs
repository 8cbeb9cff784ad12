//! Compiles statements to `ir`.
//!
//! | file | contents |
//! | --- | --- |
//! | `refusals` | errors in a single statement |
//! | `scope`, `deliver` | the domains of a statement, and the address after `DELIVER TO` |
//! | `interner` | the distinct names of all statements |
//! | `ambiguity` | errors in all statements together: expressions that do not identify one account |
//! | `trees` | the statements of loaded texts as trees, for the tools |

pub(crate) mod ambiguity;
mod deliver;
mod interner;
pub(crate) mod refusals;
pub(crate) mod scope;
pub(crate) mod trees;

use crate::ir::{
    CompiledCall, Entry, EvaluationOrder, Form, HASHER, Lengths, NONE, NeverMatches, Op, Piece, Record,
    Scope, Span, Store, Target, Template, Use, characters,
};
use crate::syntax::Fault;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;
use diagnostics::Text;
use foldhash::HashMap;
use hashbrown::HashTable;
use interner::Interner;
use refusals::Checked;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The distinguishing properties of a [`Form`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct FormKey {
    pieces: Box<[Piece]>,
    calls: Box<[CompiledCall]>,
    aliased: bool,
    /// See [`Scope::distinguishes_aliases`].
    distinguishes_aliases: bool,
    never: Option<NeverMatches>,
}

/// Compiles statements one by one.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    interner: Interner,
    store: Store,
    forms: HashMap<Arc<FormKey>, u32>,
    scopes: HashMap<Scope, u32>,
    /// Templates by form, scope and expression.
    templates: HashTable<u32>,
    /// The last statement of each template.
    last: Vec<u32>,
}

impl Compiler {
    pub fn new(fold: bool) -> Self {
        Compiler { interner: Interner::new(fold), ..Compiler::default() }
    }

    /// The names of all statements so far.
    pub fn interner(&self) -> &Interner {
        &self.interner
    }

    /// Adds the next statement.
    pub fn add(&mut self, text: &Text, checked: Checked<'_>, faults: &mut Vec<Fault>) {
        self.interner.add(&checked.statement, faults);
        let Checked { statement, calls, never, scope } = checked;
        let number = len(&self.store.statements);
        let (pieces, literals) = self.pieces(&statement.expression.items, statement.aliases.is_some());
        let calls: Box<[CompiledCall]> =
            calls.into_iter().map(|call| CompiledCall { op: self.op(call.op), ..call }).collect();
        let distinguishes_aliases = scope.distinguishes_aliases();
        let own_aliases = statement.aliases.is_some();
        let form = self.form(FormKey { pieces, calls, aliased: own_aliases, distinguishes_aliases, never });
        let scope = self.scope(scope);
        let template = self.template(form, scope, &statement.expression.text, &literals, number);
        let file = match self.store.files.last() {
            Some(last) if *last == text.file => self.store.files.len() - 1,
            _ => {
                self.store.files.push(text.file.clone());
                self.store.files.len() - 1
            }
        };
        let form = &self.store.forms[form as usize];
        // A name that is not of the class cannot be in an address.
        let fits = |key: &str, used| {
            !matches!(used, Use::Placed(_)) || statement.using.is_none_or(|class| class.spells(key))
        };
        let lists = self.interner.lists(number as usize);
        let entries = &mut self.store.entries;
        let uses = [(lists.accounts, false, form.account_use), (lists.aliases, true, form.alias_use)];
        let mut begins = [0; 2];
        let template_lengths = &mut self.store.templates[template as usize];
        for (begin, (list, is_alias, usage)) in begins.iter_mut().zip(uses) {
            *begin = len(entries);
            let lengths =
                if is_alias { &mut template_lengths.aliases } else { &mut template_lengths.accounts };
            let places = lists.starts[usize::from(is_alias)]..;
            for (place, listed) in places.zip(list) {
                if !fits(self.interner.text(listed.number()), usage) {
                    continue;
                }
                if let Some(spelling) = self.interner.spelling(place) {
                    self.store.spellings.push((len(entries), spelling));
                }
                let span = self.interner.span(*listed);
                let mut entry = Entry::new(span, is_alias, number);
                if listed.is_repeated() {
                    entry.repeat();
                }
                lengths.add(span.len);
                entries.push(entry);
            }
        }
        let [accounts, aliases] = begins;
        let line = u32::try_from(text.line(statement.keyword.start)).unwrap_or(u32::MAX);
        let file = u32::try_from(file).unwrap_or(0);
        self.store.statements.push(Record { template, next: NONE, file, line, accounts, aliases });
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
            None if target == Target::Alias && key.distinguishes_aliases => Use::Computed,
            None => Use::Nowhere,
        };
        let mut longest: Vec<usize> = calls.iter().map(CompiledCall::longest).collect();
        longest.push(0);
        for i in (0..calls.len()).rev() {
            longest[i] += longest[i + 1];
        }
        let code = pieces.iter().position(|piece| *piece == Piece::Code).unwrap_or(0);
        self.store.forms.push(Form {
            evaluation_order: EvaluationOrder::of(&pieces, &calls, code),
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

    fn scope(&mut self, scope: Scope) -> u32 {
        let next = len(&self.store.scopes);
        *self.scopes.entry(scope).or_insert_with_key(|scope| {
            self.store.scopes.push(scope.clone());
            next
        })
    }

    /// Finds or creates a template and adds statement `number` to it.
    fn template(&mut self, form: u32, scope: u32, expression: &str, literals: &[String], number: u32) -> u32 {
        let Compiler { templates, store, interner, .. } = self;
        let hash = HASHER.hash_one((form, scope, expression));
        let key_of = |template: u32| {
            let Template { form, scope, expression, .. } = store.templates[template as usize];
            (form, scope, interner.slice(expression))
        };
        if let Some(template) = templates.find(hash, |other| key_of(*other) == (form, scope, expression)) {
            let last = std::mem::replace(&mut self.last[*template as usize], number);
            store.statements[last as usize].next = number;
            return *template;
        }
        let template = len(&self.store.templates);
        let text = self.interner.push(expression);
        let first = len(&self.store.literals);
        for literal in literals {
            // Usually the expression contains the literal unchanged.
            let span = match expression.find(&**literal).and_then(|at| u32::try_from(at).ok()) {
                Some(at) => Span { start: text.start + at, len: len(literal.as_bytes()) },
                None => self.interner.push(literal),
            };
            self.store.literals.push(span);
        }
        self.store.templates.push(Template {
            form,
            expression: text,
            scope,
            literals: first,
            first: number,
            needs: literals.iter().fold(0, |set, literal| set | characters(literal)),
            min_len: 0,
            accounts: Lengths::NONE,
            aliases: Lengths::NONE,
        });
        let Compiler { templates, store, interner, .. } = self;
        templates.insert_unique(hash, template, |other| {
            let Template { form, scope, expression, .. } = store.templates[*other as usize];
            HASHER.hash_one((form, scope, interner.slice(expression)))
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
                literals.push(self.interner.key(text).into_owned());
                Piece::Literal(literals.len() - 1)
            }
            // Without `ALIASED` the account is the alias.
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

    fn op(&self, op: Op) -> Op {
        match op {
            Op::Char { at, default } => Op::Char { at, default: self.interner.key(&default).into() },
            Op::LabelChar { label, at, default } => {
                Op::LabelChar { label, at, default: self.interner.key(&default).into() }
            }
            other => other,
        }
    }

    /// Returns the compiled rules.
    pub fn finish(self) -> Store {
        let Compiler { interner, mut store, .. } = self;
        let Interner { texts, .. } = interner;
        store.texts = texts.into();
        for template in &mut store.templates {
            let pieces = store.forms[template.form as usize].pieces.iter();
            let calls = &store.forms[template.form as usize].calls;
            let code =
                u32::try_from(calls.iter().map(CompiledCall::shortest).sum::<usize>()).unwrap_or(u32::MAX);
            let lens = pieces.map(|piece| match piece {
                Piece::Literal(number) => {
                    store.literals.get(template.literals as usize + number).map_or(0, |span| span.len)
                }
                // Without names this is `u32::MAX`, so no name matches.
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

/// The length of a list. [`MAX_TEXT`](crate::MAX_TEXT) ensures that it fits into 32 bits.
fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
