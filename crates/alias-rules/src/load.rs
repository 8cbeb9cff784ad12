//! Reads texts to rules.

use crate::compile::ambiguity::Brief;
use crate::compile::{Compiler, ambiguity, refusals};
use crate::matcher::rules::Rules;
use crate::secrets::Secrets;
use crate::syntax;
use crate::syntax::settings::{Dialect, Settings};
use diagnostics::{Problem, Text, any_error};
use std::fmt;

/// Most bytes of rules read at once: positions are counted by 32 bits, and folding may make a text longer.
pub const MAX_TEXT: usize = 1 << 30;

/// Options for reading texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Compare without regard to case. Codes are then computed from the folded text, so for a name with
    /// capitals, a code that counts lower case letters only is different.
    pub fold: bool,
    /// Which configuration statements are known.
    pub dialect: Dialect,
    /// What `HMAC` computes with.
    pub secrets: Secrets,
}

/// The result of loading texts.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: Rules,
    /// The settings in the same texts.
    pub settings: Settings,
    /// Warnings and notes.
    pub problems: Vec<Problem>,
}

/// Reads `texts` as one: their statements are joined, and the last of repeated settings counts.
///
/// The error has all errors and warnings of all texts, in order.
pub fn load(texts: &[Text], options: &Options) -> Result<Loaded, Vec<Problem>> {
    if let Some(fault) = too_long(texts, MAX_TEXT) {
        return Err(vec![fault]);
    }
    let mut settings = Settings::default();
    let mut faults = vec![Vec::new(); texts.len()];
    let mut compiler = Compiler::new(options.fold);
    let mut briefs = Vec::new();
    let mut complete = true;
    for ((i, text), faults) in texts.iter().enumerate().zip(&mut faults) {
        complete &= syntax::read(text, options.dialect, &mut settings, faults, &mut |statement, faults| {
            let checked = refusals::statement(statement, &options.secrets, faults);
            briefs.push(Brief::of(i, text, &checked.statement));
            compiler.add(text, checked, faults);
        });
    }
    // If a statement is missing, others may look ambiguous without being so.
    if complete {
        for (text, fault) in ambiguity::check(&briefs, compiler.interner()) {
            faults[text].push(fault);
        }
    }
    drop(briefs);
    let mut problems = Vec::new();
    for (text, mut faults) in texts.iter().zip(faults) {
        faults.sort_by_key(|fault| fault.span.start);
        problems.extend(faults.into_iter().map(|fault| fault.of(text)));
    }
    if any_error(&problems) {
        return Err(problems);
    }
    let store = compiler.finish();
    let debug_account = settings.debug_account.as_ref().map(|setting| setting.value.clone());
    let rules = Rules::new(store, options.fold).with_debug_account(debug_account);
    Ok(Loaded { rules, settings, problems })
}

/// An error if the texts are longer than `limit`, all of them together.
pub(crate) fn too_long(texts: &[Text], limit: usize) -> Option<Problem> {
    let mut sum = 0_usize;
    let text = texts.iter().find(|text| {
        sum = sum.saturating_add(text.content.len());
        sum > limit
    })?;
    let message = format!("there are more than {limit} bytes of rules");
    Some(Problem::error(text, 0..0, message).help("so many names are better kept in a database"))
}

/// All problems of texts that cannot be loaded.
#[derive(Clone, Debug)]
pub struct LoadError(pub Vec<Problem>);

impl From<Vec<Problem>> for LoadError {
    fn from(problems: Vec<Problem>) -> Self {
        LoadError(problems)
    }
}

/// A line for each.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}
