//! Verifies the `HMAC` tokens of a code.

use super::{Binding, Matcher, StepResult};
use crate::ir::{CompiledCall, Op};
use crate::secrets::HmacInput;

impl Binding<'_> {
    /// The input of `HMAC` for a code from `start` to `end` of `name`.
    pub(crate) fn hmac_input<'b>(&'b self, name: &'b str, start: usize, end: usize) -> HmacInput<'b> {
        let part = |range| name.get(range).unwrap_or_default();
        HmacInput {
            account: self.account,
            alias: self.alias,
            before: part(0..start),
            after: part(end..name.len()),
        }
    }
}

/// Whether all `HMAC` tokens are correct for a code from `start` to `end`.
pub(super) fn is_signed(
    matcher: &mut Matcher<'_>,
    binding: Binding<'_>,
    start: usize,
    end: usize,
) -> StepResult<bool> {
    let secrets = binding.program.scope().secrets();
    if secrets.is_empty() {
        return Ok(true);
    }
    let name = matcher.name;
    let input = binding.hmac_input(name, start, end);
    for i in 0..matcher.tokens.len() {
        if !matches!(binding.program.calls.get(i), Some(CompiledCall { op: Op::Hmac(_), .. })) {
            continue;
        }
        matcher.spend(secrets.steps(name.len() + binding.account.len() + binding.alias.len()))?;
        let code = matcher.tokens.get(i).and_then(|token| name.as_bytes().get(token.start..token.end));
        if !code.is_some_and(|code| secrets.verify(code, &input)) {
            return Ok(false);
        }
    }
    Ok(true)
}
