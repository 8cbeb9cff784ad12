//! Rules for computed mail aliases.
//!
//! A computed alias names an account, a word that its owner chose, and a check code that the owner computes in the
//! head. A statement describes such aliases: the accounts, an expression that a name has to match, and functions
//! that compute the code from the parts of the name. This one makes `foo-macys-m5` an alias of `foo`, for the
//! first character of `macys` and the number of its characters:
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
//! A look-up is pure and bounded: no files, no clock, and at most [`MAX_LOOKUP_STEPS`] steps; beyond these the
//! answer is [`Decision::TempFail`], never "no". [`load`] reads several texts, with [`Options`], and returns
//! warnings as well. [`analyse`] proves that no name belongs to two accounts, or finds one; [`generate`] makes
//! addresses; [`format`](format()) lays a text out; [`import`](import()) converts a text of the predecessor,
//! trualias.
//!
//! Third parties keep such aliases permanently, so the language is that of the predecessor, except where that
//! crashed, deceived its own checks, or depended on chance. `tests/data` has its recorded behaviour.
//!
//! | part | owns |
//! | --- | --- |
//! | `vocabulary`, `date`, `secrets` | the words of the language; days; secrets, and what `HMAC` computes with them |
//! | `syntax` | text to tree, with a place for everything |
//! | `ir` | the compiled form, types only |
//! | `compile` | tree to `ir`; errors in statements |
//! | `matcher` | `ir` and a name to a [`Decision`] |
//! | `load` | texts to [`Rules`] |
//! | `explain` | why a name matches, or how nearly |
//! | `analysis` | clashes with examples, rules that never match, how easily a code is guessed |
//! | `generate`, `fmt`, `import` | the tools |
//!
//! A part imports only from those that `tests/parts.rs` names for it.

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
pub use analysis::{Analysis, Clash, GUESSABLE, GuessRate, Limits, Reads, analyse, guess_rates, rings};
pub use compile::scope::MAX_DOMAINS;
pub use date::Day;
pub use explain::render::MAX_NEAR;
pub use explain::{Explanation, Finding, Outcome, Split, Trace, Value};
pub use fmt::{WIDTH, format};
pub use generate::{Good, MAX_NAMED, MAX_TRIES, Made, Order, Reason, USUAL_LOCAL_PART, Unknown, generate};
pub use import::{Difference, Example, Imported, MAX_EXAMPLES, import};
pub use ir::{MAX_HOPS, Never};
pub use load::{LoadError, Loaded, MAX_TEXT, Options, load};
pub use matcher::budget::{Cost, MAX_LOOKUP_STEPS, MAX_STATEMENT_STEPS, ORDINARY_NAME};
pub use matcher::rules::{Decision, MAX_NAME, Query, Rules, Statement};
pub use secrets::{BadSecret, Bound, HMAC_ALPHABET, HMAC_LENGTHS, MAX_SECRETS, MIN_SECRET, Secrets};
pub use syntax::settings::{Dialect, Logging, Setting, Settings};
pub use vocabulary::{Class, Function};

impl Rules {
    /// Reads a text with the default [`Options`].
    ///
    /// The error has all errors and warnings of the text.
    pub fn load(text: &str) -> Result<Self, LoadError> {
        let text = diagnostics::Text::new("rules", text);
        Ok(load(&[text], &Options::default())?.rules)
    }

    /// Why [`find`](Rules::find) decides as it does.
    pub fn explain<'q>(&self, query: impl Into<Query<'q>>) -> Explanation {
        explain::explain(self, query.into())
    }
}
