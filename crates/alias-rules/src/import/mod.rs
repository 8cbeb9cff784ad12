//! Imports rules of the predecessor: separates the settings and reports differences in behaviour.
//!
//! The behaviour of the predecessor is known from `tests/data`. The new result of every example is looked up
//! before it is shown. An example is left out if the result of the predecessor is not certain.

mod before;
mod difference;

pub use difference::{Difference, Example};

use crate::compile::refusals::Checked;
use crate::compile::trees;
use crate::explain::Finding;
use crate::fmt::{Entry, Kind};
use crate::generate::GenerateRequest;
use crate::ir::NeverMatches;
use crate::load::{Options, load};
use crate::matcher::rules::{Decision, Rules};
use crate::syntax::settings::{Dialect, Settings};
use crate::vocabulary::Class;
use crate::{fmt, generate};
use diagnostics::{Problem, Text};

/// Maximum number of examples for a text, since each is looked up in all rules.
pub const MAX_EXAMPLES: usize = 50;

/// Maximum number of accounts of a statement that are tried for an example.
const MAX_ACCOUNTS: usize = 3;

/// Texts for the identifiers of examples.
const WORDS: [&str; 3] = ["macys", "amazon", "x"];
const NUMBERS: [&str; 3] = ["42", "7", "123"];
const DOMAINS: [&str; 3] = ["macys.com", "shop.example.org", "a.b"];

/// The result of an import.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The alias statements and the comments, formatted.
    pub rules: String,
    /// The number of alias statements.
    pub statements: usize,
    /// The settings, which are not part of the rules.
    pub settings: Settings,
    /// All differences in behaviour.
    pub differences: Vec<Difference>,
}

/// Imports a text of the predecessor. The new rules must be loaded case-sensitively, as the predecessor did.
///
/// # Errors
/// All errors and warnings of the text, if it has an error.
pub fn import(text: &Text) -> Result<Imported, Vec<Problem>> {
    let options = Options { fold: false, dialect: Dialect::Any, ..Options::default() };
    let loaded = load(std::slice::from_ref(text), &options)?;
    let defect = || vec![Problem::error(text, 0..0, "this text cannot be imported")];
    let tree = trees::tree(text, &mut Vec::new());
    let entries = fmt::read(text, &tree).ok_or_else(defect)?;
    let rules = fmt::rules_alone(&entries);
    let new = [Text::new("aliases.rules", &rules)];
    let statements = trees::of(std::slice::from_ref(text), options.dialect, &options.secrets);
    let options = Options { dialect: Dialect::TcpTable, ..options };
    let debug = loaded.settings.debug_account.as_ref().map(|setting| setting.value.clone());
    let found = load(&new, &options).map_err(|_| defect())?.rules.with_debug_account(debug);
    let mut importer = Importer {
        text,
        new: &new,
        rules: &found,
        options: &options,
        statements: &statements,
        differences: Vec::new(),
    };
    // Called first, so that there is room for its example; moved to the end below.
    importer.case();
    let of_statements = entries.iter().filter(|entry| matches!(entry.kind, Kind::Statement { .. }));
    for (i, (checked, entry)) in statements.iter().zip(of_statements).enumerate() {
        importer.statement(i, checked, entry);
    }
    importer.differences.rotate_left(1);
    let differences = importer.differences;
    Ok(Imported { rules, statements: statements.len(), settings: loaded.settings, differences })
}

struct Importer<'i> {
    /// The old text.
    text: &'i Text,
    /// The new one.
    new: &'i [Text],
    rules: &'i Rules,
    options: &'i Options,
    statements: &'i [Checked<'i>],
    differences: Vec<Difference>,
}

impl Importer<'_> {
    fn statement(&mut self, i: usize, checked: &Checked<'_>, entry: &Entry<'_>) {
        let line = self.text.place(checked.statement.keyword.start).0;
        let about = checked.statement.expression.text.clone();
        for (text, examples) in difference::of(self, i, checked, entry) {
            let about = about.clone();
            self.differences.push(Difference { line: Some(line), about, text, examples });
        }
    }

    /// Reports that case matters, which is not the default of rcptd.
    fn case(&mut self) {
        let folding = Options { fold: true, ..self.options.clone() };
        let example = load(self.new, &folding).ok().and_then(|folding| {
            self.statements.iter().enumerate().find_map(|(i, checked)| {
                let name = self.generate(i, checked, None)?;
                let other = name.to_ascii_uppercase();
                let is = |rules: &Rules, name: &str| match rules.find(name) {
                    Decision::Account { name, ambiguous: false, .. } => Some(name.to_owned()),
                    _ => None,
                };
                let exact = matches!(self.rules.find(&*other), Decision::NoMatch);
                is(&folding.rules, &other).filter(|_| exact).map(|account| {
                    let now = format!("not found; {account} with case_sensitive = false");
                    Example { name: other, before: "not found".into(), now }
                })
            })
        });
        self.differences.push(Difference {
            line: None,
            about: "case_sensitive".into(),
            text: "trualias distinguished upper and lower case, also in codes; rcptd does so only with \
                   case_sensitive = true, which is set"
                .into(),
            examples: example.into_iter().collect(),
        });
    }

    /// Generates an address with statement `i` for one of its accounts. `words` replaces the sample words.
    fn generate(&self, i: usize, checked: &Checked<'_>, words: Option<&[String]>) -> Option<String> {
        let accounts = checked.statement.accounts.iter().take(MAX_ACCOUNTS);
        accounts
            .into_iter()
            .find_map(|account| self.generate_for(i, checked, account.value, words).into_iter().next())
    }

    /// Generates addresses with statement `i` for this account.
    fn generate_for(
        &self,
        i: usize,
        checked: &Checked<'_>,
        account: &str,
        words: Option<&[String]>,
    ) -> Vec<String> {
        let alias = checked.statement.aliases.as_ref().and_then(|names| names.first()).map(|name| name.value);
        let sets = words.map_or_else(|| samples(checked), |words| vec![words.to_vec()]);
        let one = |words: &Vec<String>| {
            let request = GenerateRequest { account, alias, words, ..GenerateRequest::default() };
            let name = generate::with_statement(self.rules, self.options, &request, i, checked).ok()?.name;
            // If another statement matches, too, the example shows no difference.
            let statements = self.rules.explain(&name).statements;
            let matched = statements.iter().filter(|trace| matches!(trace.finding, Finding::Matched { .. }));
            (matched.count() == 1 && !self.crashes(i, &name)).then_some(name)
        };
        let spare = MAX_EXAMPLES.saturating_sub(self.examples());
        sets.iter().filter_map(one).take(spare).collect()
    }

    /// Whether the predecessor crashed at the name because of another statement than `i`.
    fn crashes(&self, i: usize, name: &str) -> bool {
        let faulty = |checked: &Checked<'_>| matches!(checked.never, Some(NeverMatches::NoIdentifier(_)));
        let mut others = self.statements.iter().enumerate().filter(|(at, _)| *at != i);
        others.any(|(_, checked)| faulty(checked) && before::has_shape(checked, name))
    }

    /// The number of examples so far.
    fn examples(&self) -> usize {
        self.differences.iter().map(|difference| difference.examples.len()).sum()
    }

    /// The result of the new rules for a name.
    fn now(&self, name: &str) -> String {
        match self.rules.find(name) {
            Decision::NoMatch => "not found".into(),
            Decision::Account { name, ambiguous: false, .. } => name.into(),
            Decision::Account { name, by_debug: true, .. } => format!("{name}, the debug account"),
            Decision::Account { name, .. } => format!("{name}, ambiguous"),
            Decision::Expired { last, .. } => format!("expired on {last}"),
            Decision::Ambiguous { .. } => "ambiguous".into(),
            Decision::TempFail { .. } => "deferred".into(),
        }
    }
}

/// Sets of words for the identifiers of a statement.
fn samples(checked: &Checked<'_>) -> Vec<Vec<String>> {
    let classes: Vec<Class> = checked.statement.expression.identifiers().collect();
    let set = |from: usize| {
        let word = |(i, class): (usize, &Class)| {
            let words = match class {
                Class::Alnum | Class::Alpha | Class::Ident => WORDS,
                Class::Number => NUMBERS,
                Class::Fqdn => DOMAINS,
            };
            words[(from + i) % words.len()].to_owned()
        };
        classes.iter().enumerate().map(word).collect()
    };
    (0..WORDS.len()).map(set).collect()
}
