//! The order in which the pieces of an expression can be evaluated while the code is split into tokens.
//!
//! The matcher takes a token for one function after the other. A piece is settled once the tokens of all
//! functions that look at it are known. Before the code, the settled pieces are those up to the first
//! unsettled identifier; after the code, those after the last one. Settled pieces can be matched at once; if
//! they do not match, no further tokens are needed.

use super::{CompiledCall, Piece, Target};

/// The side of the code on which a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// The settled pieces after a number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// The side of the identifier that the function of the last token looks at; `None` if it does not look at
    /// an identifier.
    pub side: Option<Side>,
    /// The pieces before this index are settled.
    pub before: usize,
    /// The pieces from this index on are settled.
    pub after: usize,
}

/// The stage for each number of tokens, from 0 on.
#[derive(Clone, Debug, Default)]
pub(crate) struct EvaluationOrder(Box<[Stage]>);

impl EvaluationOrder {
    /// For an expression whose code is piece `code`.
    pub fn of(pieces: &[Piece], calls: &[CompiledCall], code: usize) -> Self {
        let number = |piece: &Piece| if let Piece::Identifier(_, n) = piece { Some(*n) } else { None };
        // The number of tokens that settles each piece.
        let needed: Vec<usize> = pieces
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
                Some(if at < code { Side::Before } else { Side::After })
            }
            Target::Account | Target::Alias | Target::Name => None,
        };
        let stage = |tokens: usize| Stage {
            side: tokens.checked_sub(1).and_then(|last| side(calls.get(last)?)),
            before: needed.iter().take(code).position(|n| *n > tokens).unwrap_or(code.min(pieces.len())),
            after: needed.iter().skip(code).rposition(|n| *n > tokens).map_or(code, |at| code + at) + 1,
        };
        EvaluationOrder((0..=calls.len()).map(stage).collect())
    }

    /// The stage after this number of tokens.
    pub fn stage(&self, tokens: usize) -> Stage {
        self.0.get(tokens).copied().unwrap_or(Stage { side: None, before: 0, after: usize::MAX })
    }
}
