//! The memo of the dynamic programming.
//!
//! A row has the number of splits of the name up to each position, or from each position on, for one choice
//! of tokens. A row is computed from the row with one token less, so the rows form a tree, and the common
//! part of two choices is computed once. (See `matcher` on indexing.)

use foldhash::HashMap;

/// Maximum number of cells in rows that are kept, of one byte each: a thousand full rows of a name of
/// ordinary length. Further rows are dropped when the search backtracks.
const MAX_KEPT_CELLS: usize = 1 << 18;

/// Maximum number of rows that are kept, so that they fit into the cache of a processor.
const MAX_KEPT_ROWS: usize = 1 << 12;

/// Number of rows that a lookup computes before it keeps any, since most lookups do not reuse rows.
pub(super) const KEPT_FROM: usize = 24;

/// The index of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RowId(u32);

/// A row without its leading and trailing zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The first and the last position that is not 0; `low > high` if all are 0.
    pub low: usize,
    pub high: usize,
    /// The number at the position, if there is only one.
    only: u8,
    /// The start of the cells, if there are several.
    cells: usize,
}

impl Row {
    pub fn is_empty(&self) -> bool {
        self.low > self.high
    }
}

/// All rows of a lookup.
#[derive(Debug)]
pub(crate) struct Memo {
    kept_from: usize,
    list: Vec<Row>,
    cells: Vec<u8>,
    /// Kept rows by the previous row and the value of the added token.
    index: Option<Box<HashMap<(RowId, u32), RowId>>>,
    /// The numbers of rows and cells that are kept.
    kept: (usize, usize),
    created: usize,
}

/// The numbers of rows and cells at some time, see [`Memo::release`].
pub(crate) type Mark = (usize, usize);

impl Memo {
    /// A memo without rows. It keeps rows after `kept_from` rows, see [`KEPT_FROM`].
    pub fn new(kept_from: usize) -> Self {
        let (list, cells, index, kept, created) = Default::default();
        Memo { kept_from, list, cells, index, kept, created }
    }

    /// Drops all rows.
    pub fn clear(&mut self) {
        self.list.clear();
        self.cells.clear();
        self.index = None;
        (self.kept, self.created) = ((0, 0), 0);
    }

    pub fn get(&self, id: RowId) -> Row {
        self.list[id.0 as usize]
    }

    /// The cells of a row, from its first position to its last.
    pub fn cells(&self, id: RowId) -> &[u8] {
        let row = &self.list[id.0 as usize];
        if row.low == row.high {
            std::slice::from_ref(&row.only)
        } else if row.is_empty() {
            &[]
        } else {
            &self.cells[row.cells..=row.cells + row.high - row.low]
        }
    }

    /// The number of splits at this position.
    pub fn at(&self, id: RowId, position: usize) -> u8 {
        let cell = position.checked_sub(self.get(id).low).and_then(|at| self.cells(id).get(at));
        cell.copied().unwrap_or(0)
    }

    /// The kept row for `token` after the row `before`.
    pub fn find(&self, before: RowId, token: u32) -> Option<RowId> {
        self.index.as_ref()?.get(&(before, token)).copied()
    }

    /// Adds a row with these cells.
    pub fn add(&mut self, low: usize, cells: &[u8]) -> RowId {
        let at = self.cells.len();
        let row = match cells {
            [] => Row { low: 1, high: 0, only: 0, cells: at },
            [only] => Row { low, high: low, only: *only, cells: at },
            _ => {
                self.cells.extend_from_slice(cells);
                Row { low, high: low + cells.len() - 1, only: 0, cells: at }
            }
        };
        self.push(row)
    }

    /// Adds a copy of a row.
    pub fn copy(&mut self, id: RowId) -> RowId {
        self.push(self.get(id))
    }

    fn push(&mut self, row: Row) -> RowId {
        // Each row takes a step, and there are fewer than 2^32 steps.
        let id = RowId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(row);
        self.created += 1;
        id
    }

    /// Keeps the row that was just added, if there is room, and returns whether it is kept.
    pub fn keep(&mut self, before: RowId, token: u32, id: RowId) -> bool {
        let keep = self.created > self.kept_from
            && self.list.len() <= MAX_KEPT_ROWS
            && self.cells.len() <= MAX_KEPT_CELLS;
        if keep {
            self.index.get_or_insert_default().insert((before, token), id);
            self.kept = (self.list.len(), self.cells.len());
        }
        keep
    }

    pub fn mark(&self) -> Mark {
        (self.list.len(), self.cells.len())
    }

    /// Drops the rows added after `mark`, except those that are kept.
    pub fn release(&mut self, mark: Mark) {
        self.list.truncate(mark.0.max(self.kept.0));
        self.cells.truncate(mark.1.max(self.kept.1));
    }
}
