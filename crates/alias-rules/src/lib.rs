//! Rules for computed mail aliases.
//!
//! A computed alias consists of an account, a word that the owner of the account chose, and a check code that
//! is easy to compute without a computer. A statement describes such aliases: the accounts, an expression
//! that a name must match, and functions that compute the code from the parts of the name. In this example
//! the code of `foo-macys-m5` is the first character of `macys` and the number of its characters:
//!
//! ```
//! use alias_rules::{Decision, Rules};
//!
//! let rules = Rules::load("ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();")?;
//! assert!(matches!(rules.find("foo-macys-m5"), Decision::Account { name: "foo", .. }));
//! assert_eq!(rules.find("foo-macys-m6"), Decision::NoMatch);
//! println!("{}", rules.explain("foo-macys-m6"));
//! # Ok::<(), alias_rules::LoadError>(())
//! ```
//!
//! A lookup reads no files and no clock and takes at most [`MAX_LOOKUP_STEPS`] steps. If it needs more, the
//! result is [`Decision::TempFail`], never "not found". [`load`](load()) parses several texts, with
//! [`Options`], and also returns warnings. [`analyse`] proves that no name belongs to two accounts, or finds
//! one that does; [`generate`](generate()) generates addresses; [`format`](format()) formats a text;
//! [`import`](import()) converts a text of the predecessor, trualias.
//!
//! Third parties keep such aliases permanently, so the language is that of the predecessor, except where the
//! predecessor crashed, circumvented its own checks, or was nondeterministic. `tests/data` has its recorded
//! behaviour.
//!
//! | part | contents |
//! | --- | --- |
//! | `vocabulary`, `date`, `secrets` | the words of the language; dates; secrets and the characters of `HMAC` |
//! | `syntax` | parses text to a tree with source positions |
//! | `ir` | the compiled form, types only |
//! | `compile` | compiles the tree to `ir`; checks statements |
//! | `matcher` | matches a name against the `ir` and returns a [`Decision`] |
//! | `load` | loads texts to [`Rules`] |
//! | `explain` | explains why a name matches, or what is closest to a match |
//! | `analysis` | finds clashes, rules that never match, and codes that are easy to guess |
//! | `generate`, `fmt`, `import` | the tools |
//!
//! `tests/parts.rs` checks the dependencies between the parts.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod analysis;
mod compile;
mod date;
mod explain;
mod fmt;
mod generate;
mod import;
mod ir;
mod load;
mod matcher;
mod secrets;
mod syntax;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use analysis::unprotected::{Unprotected, unprotected};
pub use analysis::{
    Analysis, Clash, GUESSABLE, GuessRate, Limits, PolicyOf, analyse, delivery_loops, guess_rates,
};
pub use compile::scope::MAX_DOMAINS;
pub use date::Day;
pub use explain::render::MAX_NEAR;
pub use explain::{Explanation, Finding, Outcome, Split, Trace, Value};
pub use fmt::{WIDTH, format};
pub use generate::{
    GenerateRequest, Generated, GeneratedAddress, MAX_NAMED, MAX_TRIES, NoStatement, Reason,
    USUAL_LOCAL_PART, generate,
};
pub use import::{Difference, Example, Imported, MAX_EXAMPLES, import};
pub use ir::{MAX_HOPS, NeverMatches};
pub use load::{LoadError, Loaded, MAX_TEXT, Options, load};
pub use matcher::budget::{Cost, MAX_LOOKUP_STEPS, MAX_STATEMENT_STEPS, ORDINARY_NAME};
pub use matcher::rules::{Decision, MAX_NAME, Query, Rules, Statement};
pub use secrets::{BadSecret, HMAC_ALPHABET, HMAC_LENGTHS, HmacInput, MAX_SECRETS, MIN_SECRET, Secrets};
pub use syntax::settings::{Dialect, Logging, Setting, Settings};
pub use vocabulary::{Class, Function};

impl Rules {
    /// Loads a text with the default [`Options`].
    ///
    /// # Errors
    /// All errors and warnings of the text.
    pub fn load(text: &str) -> Result<Self, LoadError> {
        let text = diagnostics::Text::new("rules", text);
        Ok(load(&[text], &Options::default())?.rules)
    }

    /// Explains the decision of [`find`](Rules::find).
    pub fn explain<'q>(&self, query: impl Into<Query<'q>>) -> Explanation {
        explain::explain(self, query.into())
    }
}
