//! What the tokens taken so far leave of the name around the code. (Of indexing see `eval`.)

use super::memo::Id;
use super::{Binding, Matcher, StepResult, Token};
use crate::ir::{Op, Program, Side, Use};

/// The rows of the pieces that are settled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoState {
    before: Id,
    behind: Id,
}

/// What it costs, in steps, to keep a row.
const KEEPING: usize = 8;

impl Matcher<'_> {
    /// Sweeps what no token matters to; `false` if nothing can come of it.
    pub(crate) fn begin(&mut self, binding: Binding<'_>) -> StepResult<bool> {
        let program = binding.program;
        let placed = |usage| matches!(usage, Use::Placed(_));
        let roots = match self.roots {
            // Where neither account nor alias stands in the name, all rows are right for the next ones, too.
            Some(roots) if !placed(program.account_use) && !placed(program.alias_use) => roots,
            _ => {
                self.rows.clear();
                let stage = program.plan.stage(0);
                let before = self.row(binding, Side::Before, 0..stage.before, None)?;
                let behind = self.row(binding, Side::Behind, stage.behind..program.pieces.len(), None)?;
                MemoState { before, behind }
            }
        };
        self.roots = Some(roots);
        self.known = roots;
        Ok(!self.rows.get(roots.before).is_empty() && !self.rows.get(roots.behind).is_empty())
    }

    /// Whether a code can begin here, as far as is known.
    pub(crate) fn may_begin(&self, binding: Binding<'_>, start: usize) -> bool {
        let program = binding.program;
        if program.plan.stage(self.tokens.len()).before == program.code {
            self.rows.at(self.known.before, start) > 0
        } else {
            // There is more between.
            self.rows.get(self.known.before).low < start
        }
    }

    /// Takes note of the last token of a code that begins at `start`; `false` if nothing can come of it.
    pub(crate) fn learn(&mut self, binding: Binding<'_>, start: usize) -> StepResult<bool> {
        let program = binding.program;
        let taken = self.tokens.len();
        let (was, is) = (program.plan.stage(taken - 1), program.plan.stage(taken));
        let Some(side) = is.side else { return Ok(true) };
        let last = self.tokens[taken - 1];
        let value = self.value(program, taken - 1);
        let before = match side {
            Side::Before => self.known.before,
            Side::Behind => self.known.behind,
        };
        self.spend(2)?;
        let id = if let Some(id) = self.rows.find(before, value) {
            id
        } else {
            let id = if (was.before, was.behind) == (is.before, is.behind) {
                self.rows.again(before)
            } else {
                let pieces = match side {
                    Side::Before => was.before..is.before,
                    Side::Behind => is.behind..was.behind,
                };
                self.row(binding, side, pieces, Some(before))?
            };
            if self.rows.keep(before, value, id) {
                self.spend(KEEPING)?;
            }
            id
        };
        Ok(match side {
            Side::Before => {
                self.known.before = id;
                !self.rows.get(id).is_empty() && self.may_begin(binding, start)
            }
            Side::Behind => {
                self.known.behind = id;
                let row = self.rows.get(id);
                !row.is_empty() && last.end <= row.high
            }
        })
    }

    /// In how many ways, up to 4, the name can be cut around a code from `start` to `end` whose tokens are taken.
    pub(crate) fn ways(&self, start: usize, end: usize) -> u8 {
        self.rows.at(self.known.before, start) * self.rows.at(self.known.behind, end)
    }

    /// What the token numbered `i` says to its function, as a number.
    fn value(&self, program: Program<'_>, i: usize) -> u32 {
        let Token { start, end, count } = self.tokens[i];
        if matches!(program.calls[i].op, Op::Count(_)) {
            return u32::try_from(count).unwrap_or(u32::MAX);
        }
        let mut text = self.name[start..end].chars();
        // Of several characters it is the default.
        text.next().filter(|_| text.next().is_none()).map_or(u32::MAX, u32::from)
    }
}
