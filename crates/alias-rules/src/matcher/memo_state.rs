//! The rows of the memo for the current tokens. (See `matcher` on indexing.)

use super::memo::RowId;
use super::{Binding, Matcher, StepResult, Token};
use crate::ir::{Op, Program, Side, Use};

/// The rows for the settled pieces before and after the code, see
/// [`evaluation_order`](crate::ir::EvaluationOrder).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoState {
    before: RowId,
    after: RowId,
}

/// The cost of keeping a row, in steps.
const KEEPING: usize = 8;

impl Matcher<'_> {
    /// Computes the rows of the pieces that do not depend on tokens. Returns `false` if the name cannot
    /// match.
    pub(crate) fn init_state(&mut self, binding: Binding<'_>) -> StepResult<bool> {
        let program = binding.program;
        let placed = |usage| matches!(usage, Use::Placed(_));
        let initial_state = match self.initial_state {
            // If the expression has neither account nor alias, all bindings of the statement have the same
            // rows.
            Some(initial_state) if !placed(program.account_use) && !placed(program.alias_use) => {
                initial_state
            }
            _ => {
                self.memo.clear();
                let stage = program.evaluation_order.stage(0);
                let before = self.row(binding, Side::Before, 0..stage.before, None)?;
                let after = self.row(binding, Side::After, stage.after..program.pieces.len(), None)?;
                MemoState { before, after }
            }
        };
        self.initial_state = Some(initial_state);
        self.memo_state = initial_state;
        Ok(!self.memo.get(initial_state.before).is_empty() && !self.memo.get(initial_state.after).is_empty())
    }

    /// Whether a code can begin at `start`, judging by the settled pieces.
    pub(crate) fn may_begin(&self, binding: Binding<'_>, start: usize) -> bool {
        let program = binding.program;
        if program.evaluation_order.stage(self.tokens.len()).before == program.code {
            self.memo.at(self.memo_state.before, start) > 0
        } else {
            // There are unsettled pieces in between.
            self.memo.get(self.memo_state.before).low < start
        }
    }

    /// Updates the rows after a token was added to a code that begins at `start`. Returns `false` if the name
    /// cannot match.
    pub(crate) fn update_state(&mut self, binding: Binding<'_>, start: usize) -> StepResult<bool> {
        let program = binding.program;
        let count = self.tokens.len();
        let (previous, stage) =
            (program.evaluation_order.stage(count - 1), program.evaluation_order.stage(count));
        let Some(side) = stage.side else { return Ok(true) };
        let last = self.tokens[count - 1];
        let value = self.value(program, count - 1);
        let before = match side {
            Side::Before => self.memo_state.before,
            Side::After => self.memo_state.after,
        };
        self.spend(2)?;
        let id = if let Some(id) = self.memo.find(before, value) {
            id
        } else {
            let id = if (previous.before, previous.after) == (stage.before, stage.after) {
                self.memo.copy(before)
            } else {
                let pieces = match side {
                    Side::Before => previous.before..stage.before,
                    Side::After => stage.after..previous.after,
                };
                self.row(binding, side, pieces, Some(before))?
            };
            if self.memo.keep(before, value, id) {
                self.spend(KEEPING)?;
            }
            id
        };
        Ok(match side {
            Side::Before => {
                self.memo_state.before = id;
                !self.memo.get(id).is_empty() && self.may_begin(binding, start)
            }
            Side::After => {
                self.memo_state.after = id;
                let row = self.memo.get(id);
                !row.is_empty() && last.end <= row.high
            }
        })
    }

    /// The number of splits, up to 4, of the name around a code from `start` to `end` with the current
    /// tokens.
    pub(crate) fn ways(&self, start: usize, end: usize) -> u8 {
        self.memo.at(self.memo_state.before, start) * self.memo.at(self.memo_state.after, end)
    }

    /// The value of token `i` as a number.
    fn value(&self, program: Program<'_>, i: usize) -> u32 {
        let Token { start, end, count } = self.tokens[i];
        if matches!(program.calls[i].op, Op::Count(_)) {
            return u32::try_from(count).unwrap_or(u32::MAX);
        }
        let mut text = self.name[start..end].chars();
        // Several characters are the default.
        text.next().filter(|_| text.next().is_none()).map_or(u32::MAX, u32::from)
    }
}
