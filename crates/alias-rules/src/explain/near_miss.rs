//! Finds the near miss of a name that does not match: the split that is closest to a match.
//!
//! Unlike a match this is heuristic. Splits are tried one after the other, up to a limit, with any text in
//! the position of an account or alias, and the best one is returned. (See `matcher` on indexing.)

use super::{Finding, Split, format_piece, split};
use crate::date;
use crate::ir::{Piece, Program, Use};
use crate::matcher::{Binding, code_shape};
use crate::vocabulary::Class;

/// Maximum number of steps for one statement: enough for all splits of a name of ordinary length.
const MAX_STATEMENT_STEPS: u64 = 20_000;

/// Finds the near miss of `name`, which `program` does not match. Uses steps of `spare`.
pub(crate) fn find(program: Program<'_>, name: &str, spare: &mut u64) -> Finding {
    let mut search = |listed| {
        let steps = MAX_STATEMENT_STEPS.min(*spare);
        let ends = Vec::with_capacity(program.pieces.len());
        let mut search = Search { program, name, listed, steps, ends, far: (0, 0), best: None };
        search.go(0);
        *spare -= steps - search.steps;
        (search.far, search.best)
    };
    // First with the accounts and aliases of the lists, then with any text.
    let (mut far, mut best) = search(true);
    if best.is_none() {
        let (any_far, any_best) = search(false);
        best = any_best;
        let names = [program.account_use, program.alias_use];
        if names.iter().any(|usage| matches!(usage, Use::Placed(at) if *at >= far.0)) {
            far = any_far;
        }
    }
    if let Some((_, finding)) = best {
        return finding;
    }
    let (piece, at) = far;
    Finding::Unfit {
        fits: name.get(..at).unwrap_or_default().into(),
        part: program.pieces.get(piece).map(|piece| format_piece(program, piece)),
        rest: name.get(at..).unwrap_or_default().into(),
    }
}

struct Search<'s> {
    program: Program<'s>,
    name: &'s str,
    /// Whether accounts and aliases must be in the lists.
    listed: bool,
    steps: u64,
    /// The ends of the pieces that have been split off.
    ends: Vec<usize>,
    /// The last piece that did not match, and its position.
    far: (usize, usize),
    /// The best split, rated by the number of listed names and the number of correct functions.
    best: Option<((usize, usize), Finding)>,
}

impl<'s> Search<'s> {
    /// Splits the rest of the name after `at`. The depth of the recursion is limited by the length of the
    /// name, since no piece is empty.
    fn go(&mut self, at: usize) {
        let number = self.ends.len();
        let Some(piece) = self.program.form().pieces.get(number) else {
            if at == self.name.len() {
                self.rate();
            } else {
                self.far = self.far.max((number, at));
            }
            return;
        };
        self.far = self.far.max((number, at));
        let rest = &self.name[at..];
        if let Some(text) = self.fixed(piece) {
            if rest.starts_with(text) {
                self.step(at + text.len());
            }
            return;
        }
        let class = if let Piece::Identifier(class, _) = piece { Some(*class) } else { None };
        let next = self.program.literal_of(self.program.pieces.get(number + 1));
        let last = number + 1 == self.program.pieces.len();
        for (i, c) in rest.char_indices() {
            if class.is_some_and(|class| !may_contain(class, c, i == 0)) {
                break;
            }
            let end = i + c.len_utf8();
            if *piece == Piece::Date && date::last_day(&rest.as_bytes()[..end]).is_none() {
                continue;
            }
            let tail = &rest[end..];
            if class.is_some_and(|class| !fits(class, &rest[..end])) {
                continue;
            }
            if last && !tail.is_empty() && class.is_none() {
                continue;
            }
            if *piece == Piece::Shape && !code_shape::fits(&self.program.calls, &rest[..end]) {
                continue;
            }
            if self.listed && !self.is_listed(piece, &rest[..end]) {
                continue;
            }
            if next.is_some_and(|text| !tail.starts_with(text)) {
                self.far = self.far.max((number + 1, at + end));
                continue;
            }
            self.step(at + end);
            if self.steps == 0 {
                break;
            }
        }
    }

    /// The text of a literal, or of an account or alias that also occurs further to the left.
    fn fixed(&self, piece: &Piece) -> Option<&'s str> {
        match piece {
            Piece::Literal(number) => Some(self.program.literal(*number)),
            Piece::Account | Piece::Alias => {
                let split = &self.program.pieces[..self.ends.len()];
                split.iter().position(|before| before == piece).map(|before| self.text(before))
            }
            Piece::Identifier(..) | Piece::Date | Piece::Shape | Piece::Code => None,
        }
    }

    /// The text of a piece that has been split off.
    fn text(&self, number: usize) -> &'s str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.name[start..self.ends[number]]
    }

    fn step(&mut self, end: usize) {
        if let Some(steps) = self.steps.checked_sub(1) {
            self.steps = steps;
            self.ends.push(end);
            self.go(end);
            self.ends.pop();
        }
    }

    /// Rates a complete split.
    fn rate(&mut self) {
        // Each function takes a step.
        let program = self.program;
        let steps = program.calls.len() + program.scope().secrets().steps(self.name.len());
        self.steps = self.steps.saturating_sub(steps as u64);
        let account = self.listed(false, self.program.account_use);
        let alias = self.program.aliased.then(|| self.listed(true, self.program.alias_use));
        let (score, finding) = match (account, alias) {
            (Err(text), Some(Ok(_))) => ((1, 0), Finding::Unlisted { what: "account", text }),
            (Err(text), _) => ((0, 0), Finding::Unlisted { what: "account", text }),
            (Ok(_), Some(Err(text))) => ((1, 0), Finding::Unlisted { what: "alias", text }),
            (Ok(entry), alias) => {
                let binding = Binding::of(self.program, Some(entry), alias.and_then(Result::ok));
                let split: Split = split(binding, self.name, &self.ends);
                let right = split.values.iter().take_while(|value| value.right).count();
                ((2, right), Finding::WrongCode(split))
            }
        };
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, finding));
        }
    }

    fn is_listed(&self, piece: &Piece, text: &str) -> bool {
        match piece {
            Piece::Account => self.program.entry(false, text).is_some(),
            Piece::Alias => self.program.entry(true, text).is_some(),
            Piece::Literal(_) | Piece::Identifier(..) | Piece::Date | Piece::Shape | Piece::Code => true,
        }
    }

    /// The entry in the split, or the first entry of a list that does not occur in the expression. The error
    /// is the text that is not in the list.
    fn listed(&self, is_alias: bool, usage: Use) -> Result<u32, String> {
        let all = if is_alias { self.program.aliases() } else { self.program.accounts() };
        let Use::Placed(at) = usage else { return Ok(all.start) };
        let text = self.text(at);
        self.program.entry(is_alias, text).ok_or_else(|| text.into())
    }
}

/// Whether a text of the class may contain `c`, at its beginning or later.
fn may_contain(class: Class, c: char, first: bool) -> bool {
    u8::try_from(c).is_ok_and(|b| if first { class.edge(b) } else { class.inner(b) })
}

/// Whether `text`, whose characters are allowed, is of the class.
fn fits(class: Class, text: &str) -> bool {
    text.bytes().next_back().is_some_and(|b| class.edge(b)) && (class != Class::Fqdn || text.contains('.'))
}
