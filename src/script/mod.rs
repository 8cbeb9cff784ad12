//! What the operator runs before and after the rules: a script, or a plug-in ([`Hook`]).
//!
//! A script is written in Rhai (<https://rhai.rs/book>) and may define two functions:
//!
//! * `preprocess(alias, domain)` is called with a recipient before the rules are searched; the rules are
//!   searched for its result.
//! * `postprocess(account, domain)` is called with the account that the rules found; the mail is redirected to
//!   its result.
//!
//! Each returns a text, which is another name at the same domain; a list of two texts, a name and a domain;
//! or `()` or an empty text for "not an alias". `ACCOUNTS` and `ALIASES` are the names in the rules: `name
//! in ACCOUNTS`, `ACCOUNTS.len()`. Statements outside of the functions run once, when the script is loaded;
//! the functions see the variables they define.
//!
//! A script cannot read or write files, and it always ends: each call has a budget. Exceeding the budget is
//! a [`ScriptError`] like any other error. An error does not show that a recipient is unknown, so no
//! recipient is rejected because of it.
//!
//! A [`Plugin`] has the same two functions, as questions of a line protocol. Its failures are errors of the same
//! kind.

mod engine;
mod plugin;

use alias_rules::Rules;
use diagnostics::{Problem, Text};
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Position, Scope};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use engine::{MAX_CALLS, MAX_DEPTH, MAX_FUNCTIONS, MAX_LIST, MAX_OPERATIONS, MAX_TEXT, MAX_VARIABLES};
pub use plugin::{DEADLINE, Plugin};

/// Largest script, in bytes: more than a thousand lines.
pub const MAX_SCRIPT: u64 = 64 << 10;

/// Functions that a script may define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptFunction {
    /// Called before the rules.
    Preprocess,
    /// Called after the rules.
    Postprocess,
}

impl ScriptFunction {
    const ALL: [ScriptFunction; 2] = [ScriptFunction::Preprocess, ScriptFunction::Postprocess];

    /// The name of the function in the script.
    pub fn name(self) -> &'static str {
        match self {
            ScriptFunction::Preprocess => "preprocess",
            ScriptFunction::Postprocess => "postprocess",
        }
    }

    /// The parameters, for messages.
    fn signature(self) -> &'static str {
        match self {
            ScriptFunction::Preprocess => "preprocess(alias, domain)",
            ScriptFunction::Postprocess => "postprocess(account, domain)",
        }
    }
}

/// The result of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The address is not an alias.
    NoAlias,
    /// The address stays as it is. A script returns its name instead.
    Same,
    /// The address is replaced by this name.
    Name {
        /// The local part.
        local: String,
        /// The domain, if it differs from the argument's.
        domain: Option<String>,
    },
}

/// Why a function failed: text for the log, not escaped. It may contain parts of the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(Box<str>);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A script or a plug-in.
#[derive(Clone, Debug)]
pub enum Hook {
    /// A script.
    Script(Arc<Script>),
    /// A plug-in, which is shared by all rules.
    Plugin(Arc<Plugin>),
}

impl Hook {
    /// Calls a function, if it is defined.
    pub async fn call(
        &self,
        function: ScriptFunction,
        local: &str,
        domain: &str,
    ) -> Option<Result<Returned, ScriptError>> {
        match self {
            Hook::Script(script) => script.call(function, local, domain),
            // In a box, so that the resolver's future is not larger where there is only a script, or none.
            Hook::Plugin(plugin) => Some(Box::pin(plugin.call(function, local, domain)).await),
        }
    }
}

/// A script that can be called.
pub struct Script {
    file: Arc<str>,
    engine: Engine,
    ast: AST,
    defined: Vec<ScriptFunction>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("file", &self.file)
            .field("defined", &self.defined)
            .finish_non_exhaustive()
    }
}

impl Script {
    /// Compiles a script that may look up the names in `rules`, runs the statements outside of its
    /// functions, and calls each function once, with postmaster at `domain`. So a mistyped name is reported
    /// when the script is loaded rather than at the first mail.
    pub fn load(text: &Text, rules: &Arc<Rules>, domain: &str) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let mut engine = engine::new(rules);
        let ast = engine.compile(&*text.content).map_err(|error| {
            let message = format!("the script cannot be read: {}", error.err_type());
            one(problem(text, error.position(), message).help("see https://rhai.rs/book for the language"))
        })?;
        let defined = defined(text, &ast)?;
        let mut scope = Scope::new();
        engine.run_ast_with_scope(&mut scope, &ast).map_err(|error| {
            let (position, message) = innermost(*error);
            let message = format!("the script fails outside of its functions: {message}");
            one(problem(text, position, message).help("code there runs when the script is loaded"))
        })?;
        engine::publish(&mut engine, &scope);
        let script = Script { file: text.file.clone(), engine, ast, defined };
        for function in &script.defined {
            if let Err((position, message)) = script.run(*function, TRIAL, domain) {
                let message = format!("{}(\"{TRIAL}\", \"{domain}\") fails: {message}", function.name());
                let help = "return a text, [text, domain], or () for what is not an alias";
                return Err(one(problem(text, position, message).help(help)));
            }
        }
        Ok(script)
    }

    /// Calls a function, if it is defined.
    pub fn call(
        &self,
        function: ScriptFunction,
        local: &str,
        domain: &str,
    ) -> Option<Result<Returned, ScriptError>> {
        if !self.defined.contains(&function) {
            return None;
        }
        Some(self.run(function, local, domain).map_err(|(position, message)| {
            let mut place = self.file.to_string();
            for part in [position.line(), position.position()].into_iter().flatten() {
                place = format!("{place}:{part}");
            }
            ScriptError(format!("{place}: {}: {message}", function.name()).into())
        }))
    }

    fn run(
        &self,
        function: ScriptFunction,
        local: &str,
        domain: &str,
    ) -> Result<Returned, (Position, String)> {
        let options = CallFnOptions::new().eval_ast(false);
        let arguments = (local.to_owned(), domain.to_owned());
        let result = self.engine.call_fn_with_options::<Dynamic>(
            options,
            &mut Scope::new(),
            &self.ast,
            function.name(),
            arguments,
        );
        said(&result.map_err(|error| innermost(*error))?).map_err(|why| (Position::NONE, why))
    }
}

/// The name with which a script is tried: every domain has it (RFC 5321, section 4.5.1).
const TRIAL: &str = "postmaster";

/// Converts the result of a function.
fn said(result: &Dynamic) -> Result<Returned, String> {
    let text = |value: &Dynamic| value.read_lock::<rhai::ImmutableString>().map(|text| text.to_string());
    let wrong = |what: &str| format!("it returned {what} instead of a text, [text, domain] or ()");
    if result.is_unit() {
        return Ok(Returned::NoAlias);
    }
    let (local, domain) = if let Some(local) = text(result) {
        (local, None)
    } else if let Some(pair) = result.read_lock::<rhai::Array>() {
        let [local, domain] = &pair[..] else { return Err(wrong(&format!("a list of {}", pair.len()))) };
        if local.is_unit() {
            return Ok(Returned::NoAlias);
        }
        match (text(local), text(domain)) {
            (Some(local), Some(domain)) => (local, Some(domain)),
            (Some(local), None) if domain.is_unit() => (local, None),
            _ => return Err(wrong("a list of other things")),
        }
    } else {
        return Err(wrong(result.type_name()));
    };
    Ok(if local.is_empty() { Returned::NoAlias } else { Returned::Name { local, domain } })
}

/// Returns the functions that a script defines; each must have two parameters.
fn defined(text: &Text, ast: &AST) -> Result<Vec<ScriptFunction>, Vec<Problem>> {
    let mut defined = Vec::new();
    let mut problems = Vec::new();
    for function in ScriptFunction::ALL {
        let mut arities = ast.iter_functions().filter(|f| f.name == function.name()).map(|f| f.params.len());
        match arities.next() {
            Some(2) => defined.push(function),
            None => (),
            Some(n) => {
                let at = text.content.find(function.name()).unwrap_or_default();
                let message = format!("{} has {n} parameters instead of 2", function.name());
                let problem = Problem::error(text, at..at + function.name().len(), message);
                problems.push(problem.help(format!("write fn {}", function.signature())));
            }
        }
    }
    if defined.is_empty() && problems.is_empty() {
        let help = format!(
            "write fn {} or fn {}",
            ScriptFunction::ALL[0].signature(),
            ScriptFunction::ALL[1].signature()
        );
        problems.push(Problem::error(text, 0..0, "the script defines no function").help(help));
    }
    if problems.is_empty() { Ok(defined) } else { Err(problems) }
}

/// Position and text of an error, in the function in which it happened rather than in its callers.
fn innermost(error: EvalAltResult) -> (Position, String) {
    let mut error = error;
    let mut around = Position::NONE;
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, position) = error {
        around = if position.is_none() { around } else { position };
        error = *inner;
    }
    let position = error.take_position();
    (if position.is_none() { around } else { position }, error.to_string())
}

fn problem(text: &Text, position: Position, message: String) -> Problem {
    Problem::error(text, span(text, position), message)
}

/// The span of the character at a position.
fn span(text: &Text, position: Position) -> Range<usize> {
    let Some(line) = position.line() else { return 0..0 };
    let start: usize = text.content.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &text.content[start..];
    let column = position.position().unwrap_or(1) - 1;
    rest.char_indices()
        .nth(column)
        .map_or(text.content.len()..text.content.len(), |(at, c)| start + at..start + at + c.len_utf8())
}

#[cfg(test)]
mod tests;
