//! The engine that runs scripts: only the parts of the language that work on text, with limits.

use alias_rules::Rules;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, Module, Scope};
use std::sync::Arc;

/// Most operations of a call. A loop over each of the 255 characters of a name takes a few thousand; this
/// many take a few milliseconds, in which the thread serves no other request.
pub const MAX_OPERATIONS: u64 = 20_000;
/// Deepest nesting of function calls. Each call takes some of the stack.
pub const MAX_CALLS: usize = 16;
/// Deepest nesting of expressions, for the same reason.
pub const MAX_DEPTH: usize = 32;
/// Longest text, in bytes: several names joined together.
pub const MAX_TEXT: usize = 2048;
/// Longest list, and most entries of a map: the characters of a name, and the tables that a site may have.
pub const MAX_LIST: usize = 1024;
/// Most variables at once.
pub const MAX_VARIABLES: usize = 64;
/// Most functions of a script.
pub const MAX_FUNCTIONS: usize = 64;

/// Symbols that the parser rejects: other ways to run code, and functions that write to the terminal.
const DISABLED: [&str; 3] = ["eval", "print", "debug"];

/// Names from the rules, as a script sees them.
#[derive(Clone)]
struct Names {
    rules: Arc<Rules>,
    contains: fn(&Rules, &str) -> bool,
    len: usize,
}

/// Creates an engine for scripts that may look up the names in `rules`.
pub(super) fn new(rules: &Arc<Rules>) -> Engine {
    let mut engine = Engine::new_raw();
    // Leaves out the core package, which can sleep and end the script, and the packages for bits and blobs.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    for symbol in DISABLED {
        engine.disable_symbol(symbol);
    }
    engine
        .set_max_operations(MAX_OPERATIONS)
        .set_max_call_levels(MAX_CALLS)
        .set_max_expr_depths(MAX_DEPTH, MAX_DEPTH)
        .set_max_string_size(MAX_TEXT)
        .set_max_array_size(MAX_LIST)
        .set_max_map_size(MAX_LIST)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS);
    engine
        .register_type_with_name::<Names>("names")
        // The `in` operator calls `contains`.
        .register_fn("contains", |names: &mut Names, name: &str| (names.contains)(&names.rules, name))
        .register_fn("len", |names: &mut Names| i64::try_from(names.len).unwrap_or(i64::MAX));
    let mut module = Module::new();
    module.set_var(
        "ACCOUNTS",
        Names { rules: rules.clone(), contains: Rules::is_account, len: rules.accounts() },
    );
    module
        .set_var("ALIASES", Names { rules: rules.clone(), contains: Rules::is_alias, len: rules.aliases() });
    engine.register_global_module(module.into());
    engine
}

/// Lets functions read the variables that are defined outside of them; functions cannot change them.
pub(super) fn publish(engine: &mut Engine, scope: &Scope<'_>) {
    let mut module = Module::new();
    for (name, _, value) in scope.iter() {
        module.set_var(name, value);
    }
    engine.register_global_module(module.into());
}
