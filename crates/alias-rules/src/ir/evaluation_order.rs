//! How much of an expression is settled before its code has been read to the end: the part in front of the
//! code up to the first identifier that a function still without a token looks at, and the part behind it
//! from the last such one on. What is settled can be swept, and if it does not fit, the functions left need
//! no tokens.

use super::{CompiledCall, Piece, Target};

/// On which side of the code something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    Behind,
}

/// What is known with so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Where the function that took the last token looks; `None` for an account, an alias or nothing.
    pub side: Option<Side>,
    /// The pieces in front of the one of this number are settled.
    pub before: usize,
    /// So are those from this number on.
    pub behind: usize,
}

/// A stage for each number of tokens, 0 too.
#[derive(Clone, Debug, Default)]
pub(crate) struct EvaluationOrder(Box<[Stage]>);

impl EvaluationOrder {
    /// Of an expression whose code is the piece numbered `code`.
    pub fn of(pieces: &[Piece], calls: &[CompiledCall], code: usize) -> Self {
        let number = |piece: &Piece| if let Piece::Identifier(_, n) = piece { Some(*n) } else { None };
        // How many tokens settle each piece.
        let wanted: Vec<usize> = pieces
            .iter()
            .map(|piece| {
                let looks = |call: &CompiledCall| match call.target {
                    Target::Identifier(n) => number(piece) == Some(n),
                    Target::Account | Target::Alias | Target::Name => false,
                };
                calls.iter().rposition(looks).map_or(0, |last| last + 1)
            })
            .collect();
        let side = |call: &CompiledCall| match call.target {
            Target::Identifier(n) => {
                let at = pieces.iter().position(|piece| number(piece) == Some(n))?;
                Some(if at < code { Side::Before } else { Side::Behind })
            }
            Target::Account | Target::Alias | Target::Name => None,
        };
        let stage = |taken: usize| Stage {
            side: taken.checked_sub(1).and_then(|last| side(calls.get(last)?)),
            before: wanted.iter().take(code).position(|n| *n > taken).unwrap_or(code.min(pieces.len())),
            behind: wanted.iter().skip(code).rposition(|n| *n > taken).map_or(code, |at| code + at) + 1,
        };
        EvaluationOrder((0..=calls.len()).map(stage).collect())
    }

    /// What is known with `taken` tokens.
    pub fn stage(&self, taken: usize) -> Stage {
        self.0.get(taken).copied().unwrap_or(Stage { side: None, before: 0, behind: usize::MAX })
    }
}
