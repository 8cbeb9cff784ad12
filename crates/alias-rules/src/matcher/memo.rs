//! In how many ways the name can be cut up to each position, or from it on: one row for each choice of tokens
//! of the functions that matter to it. Memo grow out of each other like the branches of a tree, so what two
//! choices have in common is swept once. (Of indexing see `eval`.)

use foldhash::HashMap;

/// Most cells of rows that are kept to be found again, of which each takes a byte: a thousand full rows of a
/// name of ordinary length. Memo beyond are given up as soon as the choice is.
const MAX_KEPT_CELLS: usize = 1 << 18;

/// Most rows that are kept, of however few cells: as many as stay in the cache of a processor.
const MAX_KEPT_ROWS: usize = 1 << 12;

/// So many rows are made before any is kept: most look-ups do not need one twice. The unit tests, whose names
/// are short, keep all of them.
const KEPT_FROM: usize = if cfg!(test) { 0 } else { 24 };

/// The number of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

/// What of a row is not 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The first and the last position; the first one is the higher if all is 0.
    pub low: usize,
    pub high: usize,
    /// The ways at the only position.
    only: u8,
    /// Where the cells of several begin.
    cells: usize,
}

impl Row {
    pub fn is_empty(&self) -> bool {
        self.low > self.high
    }
}

/// All rows of a look-up.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    list: Vec<Row>,
    cells: Vec<u8>,
    /// By the row before and the token that led to it.
    index: Option<Box<HashMap<(Id, u32), Id>>>,
    /// So many rows and cells are kept.
    kept: (usize, usize),
    made: usize,
}

/// Where rows that are not kept begin.
pub(crate) type Mark = (usize, usize);

impl Memo {
    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.list.clear();
        self.cells.clear();
        self.index = None;
        (self.kept, self.made) = ((0, 0), 0);
    }

    pub fn get(&self, id: Id) -> Row {
        self.list[id.0 as usize]
    }

    /// The cells of a row, from its first position to its last.
    pub fn cells(&self, id: Id) -> &[u8] {
        let row = &self.list[id.0 as usize];
        if row.low == row.high {
            std::slice::from_ref(&row.only)
        } else if row.is_empty() {
            &[]
        } else {
            &self.cells[row.cells..=row.cells + row.high - row.low]
        }
    }

    /// In how many ways it is at this position.
    pub fn at(&self, id: Id, position: usize) -> u8 {
        let cell = position.checked_sub(self.get(id).low).and_then(|at| self.cells(id).get(at));
        cell.copied().unwrap_or(0)
    }

    /// The row that `token` made out of this one, if it was kept.
    pub fn find(&self, before: Id, token: u32) -> Option<Id> {
        self.index.as_ref()?.get(&(before, token)).copied()
    }

    /// Adds a row with these cells.
    pub fn add(&mut self, low: usize, cells: &[u8]) -> Id {
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

    /// Adds a row that is the same as this one.
    pub fn again(&mut self, id: Id) -> Id {
        self.push(self.get(id))
    }

    fn push(&mut self, row: Row) -> Id {
        // There are no more than steps, and these are fewer than u32 counts.
        let id = Id(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(row);
        self.made += 1;
        id
    }

    /// Keeps the row just made to be found by what led to it, if there is room; whether it did.
    pub fn keep(&mut self, before: Id, token: u32, id: Id) -> bool {
        let keep =
            self.made > KEPT_FROM && self.list.len() <= MAX_KEPT_ROWS && self.cells.len() <= MAX_KEPT_CELLS;
        if keep {
            self.index.get_or_insert_default().insert((before, token), id);
            self.kept = (self.list.len(), self.cells.len());
        }
        keep
    }

    pub fn mark(&self) -> Mark {
        (self.list.len(), self.cells.len())
    }

    /// Gives up the rows made since then that are not kept.
    pub fn release(&mut self, mark: Mark) {
        self.list.truncate(mark.0.max(self.kept.0));
        self.cells.truncate(mark.1.max(self.kept.1));
    }
}
