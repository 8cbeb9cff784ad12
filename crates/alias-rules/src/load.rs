//! Loads rules.

use crate::compile::ambiguity::Brief;
use crate::compile::{Compiler, ambiguity, refusals};
use crate::matcher::rules::Rules;
use crate::secrets::Secrets;
use crate::syntax;
use crate::syntax::settings::{Dialect, Settings};
use diagnostics::{Problem, Text, any_error};
use std::fmt;

/// Maximum size of all rules, in bytes: positions have 32 bits, and case folding may make a text longer.
pub const MAX_TEXT: usize = 1 << 30;

/// Options of [`load`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether names are compared ignoring case. Codes are then computed from the folded text, so the code of
    /// a name with capitals changes if it counts lower case letters only.
    pub fold: bool,
    /// The configuration statements that are known.
    pub dialect: Dialect,
    /// The secrets of `HMAC`.
    pub secrets: Secrets,
}

/// The result of loading texts.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules.
    pub rules: Rules,
    /// The settings of the texts.
    pub settings: Settings,
    /// Warnings and notes.
    pub problems: Vec<Problem>,
}

/// Loads `texts` as one set of rules. The last of repeated settings counts.
///
/// # Errors
/// All errors and warnings of all texts, in order.
///
/// ```
/// use alias_rules::{Options, load};
/// use diagnostics::Text;
///
/// let text = Text::new("example.rules", "ACCOUNT foo MATCHES %account%-%word%-%code% WITH CHARS();");
/// let problems = load(&[text], &Options::default()).unwrap_err();
/// assert!(problems[0].to_string().starts_with("example.rules:1:32: error: unknown name \"word\""));
/// ```
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
    // Without a statement that has errors, others may seem ambiguous although they are not.
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

/// An error if the total size of the texts exceeds `limit`.
pub(crate) fn too_long(texts: &[Text], limit: usize) -> Option<Problem> {
    let mut sum = 0_usize;
    let text = texts.iter().find(|text| {
        sum = sum.saturating_add(text.content.len());
        sum > limit
    })?;
    let message = format!("there are more than {limit} bytes of rules");
    Some(Problem::error(text, 0..0, message).help("keep that many names in a database"))
}

/// All problems of rules that cannot be loaded.
#[derive(Clone, Debug)]
pub struct LoadError(pub Vec<Problem>);

impl From<Vec<Problem>> for LoadError {
    fn from(problems: Vec<Problem>) -> Self {
        LoadError(problems)
    }
}

/// Formats each problem in one line.
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
