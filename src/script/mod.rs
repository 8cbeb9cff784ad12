//! A script of the operator's that stands round the rules.
//!
//! It is written in Rhai (<https://rhai.rs/book>) and may define two functions:
//!
//! * `preprocess(alias, domain)` is called with a recipient before the rules are asked; they are asked for what
//!   it returns.
//! * `postprocess(account, domain)` is called with the account that the rules have found; the mail goes to what
//!   it returns.
//!
//! Each returns a text, which is another name at the same domain; a list of two texts, a name and a domain; or
//! `()` or an empty text for "not an alias". `ACCOUNTS` and `ALIASES` are the names in the rules: `name in
//! ACCOUNTS`, `ACCOUNTS.len()`. What stands outside of the functions is done once, when the script is loaded; the
//! functions see the variables it defines.
//!
//! A script reads nothing and writes nothing, and it comes to an end: each call has a budget, and what goes beyond
//! it is a [`Fault`] like any other error. A fault says nothing about the recipient, so nobody is refused for it.

mod engine;

use alias_rules::Rules;
use diagnostics::{Problem, Text};
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Position, Scope};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use engine::{MAX_CALLS, MAX_DEPTH, MAX_FUNCTIONS, MAX_LIST, MAX_OPERATIONS, MAX_TEXT, MAX_VARIABLES};

/// Largest script, in bytes: a thousand lines and more.
pub const MAX_SCRIPT: u64 = 64 << 10;

/// The functions a script may define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before the rules.
    Preprocess,
    /// Behind them.
    Postprocess,
}

impl Hook {
    const ALL: [Hook; 2] = [Hook::Preprocess, Hook::Postprocess];

    /// As the function is called.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Preprocess => "preprocess",
            Hook::Postprocess => "postprocess",
        }
    }

    /// Its parameters, for messages.
    fn signature(self) -> &'static str {
        match self {
            Hook::Preprocess => "preprocess(alias, domain)",
            Hook::Postprocess => "postprocess(account, domain)",
        }
    }
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This is not an alias.
    NoAlias,
    /// It is this name.
    Name {
        /// The local part.
        local: String,
        /// Its domain, if not the same.
        domain: Option<String>,
    },
}

/// Why a hook says nothing: text for the log, to be escaped, since it may hold what the recipient holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(Box<str>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A script that can be called.
pub struct Hooks {
    file: Arc<str>,
    engine: Engine,
    ast: AST,
    defined: Vec<Hook>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("file", &self.file)
            .field("defined", &self.defined)
            .finish_non_exhaustive()
    }
}

impl Hooks {
    /// Compiles a script that may ask for the names in `rules`, does what stands outside of its functions, and
    /// calls them once, with postmaster at `domain`: whoever mistypes a name is told now rather than by the log.
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
            one(problem(text, position, message).help("what stands there is done when it is loaded"))
        })?;
        engine::publish(&mut engine, &scope);
        let hooks = Hooks { file: text.file.clone(), engine, ast, defined };
        for hook in &hooks.defined {
            if let Err((position, message)) = hooks.run(*hook, TRIAL, domain) {
                let message = format!("{}(\"{TRIAL}\", \"{domain}\") fails: {message}", hook.name());
                let help = "return a text, [text, domain], or () for what is not an alias";
                return Err(one(problem(text, position, message).help(help)));
            }
        }
        Ok(hooks)
    }

    /// Calls a hook, if it is defined.
    pub fn call(&self, hook: Hook, local: &str, domain: &str) -> Option<Result<Said, Fault>> {
        if !self.defined.contains(&hook) {
            return None;
        }
        Some(self.run(hook, local, domain).map_err(|(position, message)| {
            let mut place = self.file.to_string();
            for part in [position.line(), position.position()].into_iter().flatten() {
                place = format!("{place}:{part}");
            }
            Fault(format!("{place}: {}: {message}", hook.name()).into())
        }))
    }

    fn run(&self, hook: Hook, local: &str, domain: &str) -> Result<Said, (Position, String)> {
        let options = CallFnOptions::new().eval_ast(false);
        let arguments = (local.to_owned(), domain.to_owned());
        let result = self.engine.call_fn_with_options::<Dynamic>(
            options,
            &mut Scope::new(),
            &self.ast,
            hook.name(),
            arguments,
        );
        said(&result.map_err(|error| innermost(*error))?).map_err(|why| (Position::NONE, why))
    }
}

/// With whom a script is tried out: every domain has one (RFC 5321, section 4.5.1).
const TRIAL: &str = "postmaster";

/// What a result means.
fn said(result: &Dynamic) -> Result<Said, String> {
    let text = |value: &Dynamic| value.read_lock::<rhai::ImmutableString>().map(|text| text.to_string());
    let wrong = |what: &str| format!("it returned {what} instead of a text, [text, domain] or ()");
    if result.is_unit() {
        return Ok(Said::NoAlias);
    }
    let (local, domain) = if let Some(local) = text(result) {
        (local, None)
    } else if let Some(pair) = result.read_lock::<rhai::Array>() {
        let [local, domain] = &pair[..] else { return Err(wrong(&format!("a list of {}", pair.len()))) };
        if local.is_unit() {
            return Ok(Said::NoAlias);
        }
        match (text(local), text(domain)) {
            (Some(local), Some(domain)) => (local, Some(domain)),
            (Some(local), None) if domain.is_unit() => (local, None),
            _ => return Err(wrong("a list of other things")),
        }
    } else {
        return Err(wrong(result.type_name()));
    };
    Ok(if local.is_empty() { Said::NoAlias } else { Said::Name { local, domain } })
}

/// The hooks a script defines, each with two parameters.
fn defined(text: &Text, ast: &AST) -> Result<Vec<Hook>, Vec<Problem>> {
    let mut defined = Vec::new();
    let mut problems = Vec::new();
    for hook in Hook::ALL {
        let mut arities = ast.iter_functions().filter(|f| f.name == hook.name()).map(|f| f.params.len());
        match arities.next() {
            Some(2) => defined.push(hook),
            None => (),
            Some(n) => {
                let at = text.content.find(hook.name()).unwrap_or_default();
                let message = format!("{} has {n} parameters instead of 2", hook.name());
                let problem = Problem::error(text, at..at + hook.name().len(), message);
                problems.push(problem.help(format!("write fn {}", hook.signature())));
            }
        }
    }
    if defined.is_empty() && problems.is_empty() {
        let help = format!("write fn {} or fn {}", Hook::ALL[0].signature(), Hook::ALL[1].signature());
        problems.push(Problem::error(text, 0..0, "the script defines no hook").help(help));
    }
    if problems.is_empty() { Ok(defined) } else { Err(problems) }
}

/// Where an error is, and what: of the function in which it happened, not of those that called it.
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

/// The character at a position.
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
