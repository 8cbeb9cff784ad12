//! From a name to what matches it.
//!
//! A name can be cut into the parts of an expression in exponentially many ways, so cuts are counted, not
//! listed. Every function looks at one text only. So: choose where the code begins; cut the code into one
//! token per function (a count has few digits, the others take a character or their default); every token
//! is then a condition on one identifier, and the cuts that meet them all are counted from left to right,
//! piece by piece, over the positions of the name. As a cut gives each function one value, no cut is
//! counted under two choices of tokens. Nobody asks for more than "none, one, several".

use super::check::{Formula, Probe, Target};
use super::compile::{MAX_DIGITS, Names, Piece, Program, Use};
use super::compute::{self, Character};
use super::spots::Spots;
use super::words::{Class, Function, is_digit};

/// The steps of one look-up, each a handful of instructions, have been used up.
#[derive(Debug)]
pub(super) struct OutOfSteps;

type Counted<T> = Result<T, OutOfSteps>;

/// What a statement says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The number of an account it matches for.
    pub account: u32,
    /// Whether it matches for others as well.
    pub several: bool,
    /// Whether it matches in more than one way.
    pub ambiguous: bool,
}

/// The part of the code that is the value of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Token {
    pub start: usize,
    pub end: usize,
    /// Its value as a count.
    count: usize,
}

/// One way to cut a name: where the code begins, and its tokens.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub start: usize,
    pub tokens: Vec<Token>,
}

/// A look-up under way: the name, the steps left, and room to work in.
#[derive(Debug)]
pub(super) struct Lookup<'n> {
    name: &'n str,
    steps: u64,
    tally: Vec<compute::Tally>,
    now: Vec<u8>,
    next: Vec<u8>,
    tokens: Vec<Token>,
}

/// A statement with one account and one alias of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'p> {
    pub program: &'p Program,
    pub account: &'p str,
    pub alias: &'p str,
}

impl<'p> Pair<'p> {
    /// The text of a piece that is the same for every cut.
    fn fixed(&self, piece: &'p Piece) -> Option<&'p str> {
        match piece {
            Piece::Literal(text) => Some(text),
            Piece::Account => Some(self.account),
            Piece::Alias => Some(self.alias),
            Piece::Identifier(..) | Piece::Shape | Piece::Code => None,
        }
    }

    /// The text a function looks at, where it is the same for every cut.
    fn text(&self, target: Target) -> Option<&'p str> {
        match target {
            Target::Account => Some(self.account),
            Target::Alias => Some(self.alias),
            Target::Identifier(_) => None,
        }
    }

    fn before(&self) -> &'p [Piece] {
        self.program.pieces.get(..self.program.code).unwrap_or_default()
    }

    fn after(&self) -> &'p [Piece] {
        self.program.pieces.get(self.program.code + 1..).unwrap_or_default()
    }
}

impl<'n> Lookup<'n> {
    pub fn new(name: &'n str, steps: u64) -> Self {
        let (tally, now, next, tokens) = Default::default();
        Lookup { name, steps, tally, now, next, tokens }
    }

    /// The steps not yet used.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn spend(&mut self, steps: usize) -> Counted<()> {
        self.steps = self.steps.checked_sub(steps as u64).ok_or(OutOfSteps)?;
        Ok(())
    }

    /// What `program` says of the name.
    pub fn statement(&mut self, program: &Program) -> Counted<Option<Hit>> {
        let accounts = self.choices(program, &program.accounts, program.account_use)?;
        let aliases = match &program.aliases {
            Some(names) => self.choices(program, names, program.alias_use)?,
            None => Choices::Alike { ways: 1 },
        };
        let mut hit: Option<Hit> = None;
        for a in accounts.each(program.accounts.entries.len()) {
            let account = &program.accounts.entries[a];
            let mut ways = 0;
            for x in aliases.each(program.aliases.as_ref().map_or(1, |names| names.entries.len())) {
                let alias = program.aliases.as_ref().map(|names| &names.entries[x]);
                let pair = Pair {
                    program,
                    account: &account.key,
                    alias: alias.map_or(&account.key, |alias| &alias.key),
                };
                let twice = account.repeated || alias.is_some_and(|alias| alias.repeated);
                ways += self.count(pair)? * if twice { 2 } else { 1 };
                if ways > 1 {
                    break;
                }
            }
            if ways == 0 {
                continue;
            }
            let ambiguous = ways > 1 || aliases.ways() > 1;
            hit = Some(match hit {
                None => Hit {
                    account: account.account,
                    // Where all accounts are alike, what holds for one holds for all.
                    several: accounts.ways() > 1,
                    ambiguous: ambiguous || accounts.ways() > 1,
                },
                Some(hit) => Hit { several: true, ambiguous: true, ..hit },
            });
            if hit.is_some_and(|hit| hit.several) {
                break;
            }
        }
        Ok(hit)
    }

    /// Which names of a list have to be tried.
    fn choices(&mut self, program: &Program, names: &Names, usage: Use) -> Counted<Choices> {
        Ok(match usage {
            Use::Nowhere => Choices::Alike { ways: names.entries.len() },
            Use::Computed => Choices::All,
            Use::Placed(at) => self.placed(program, names, at)?,
        })
    }

    /// The names of a list that stand in the name where the piece numbered `at` can stand.
    fn placed(&mut self, program: &Program, names: &Names, at: usize) -> Counted<Choices> {
        let name = self.name;
        let (shortest, longest) = names.len;
        let (before, after) = (at.checked_sub(1).map(|i| &program.pieces[i]), program.pieces.get(at + 1));
        let mut found = Found::default();
        let starts = match before {
            None => Spots::one(0),
            Some(Piece::Literal(text)) if at == 1 => Spots::prefix(name, text),
            Some(Piece::Literal(text)) => Spots::behind(name, text),
            Some(_) => Spots::behind(name, ""),
        };
        for start in starts {
            self.spend(1)?;
            let rest = &name[start..];
            let last = at + 2 == program.pieces.len();
            let ends = match after {
                None => Spots::one(rest.len()),
                Some(Piece::Literal(text)) if last => Spots::suffix(rest, text),
                Some(Piece::Literal(text)) => Spots::before(rest, text),
                Some(_) => Spots::behind(rest, ""),
            };
            for len in ends {
                if len > longest {
                    break;
                }
                self.spend(1)?;
                if len >= shortest
                    && let Some(entry) = names.find(&rest[..len])
                {
                    found.add(entry);
                }
            }
        }
        Ok(Choices::Found(found))
    }

    /// In how many ways the name can be cut so that its code is right: 0, 1, or 2 for several.
    pub fn count(&mut self, pair: Pair<'_>) -> Counted<u8> {
        let mut ways = 0;
        self.each_code(pair, &mut |lookup, start, end| {
            let before = lookup.ways(pair, pair.before(), 0, start)?;
            if before > 0 {
                ways += before * lookup.ways(pair, pair.after(), end, lookup.name.len())?;
            }
            Ok(ways < 2)
        })?;
        Ok(ways.min(2))
    }

    /// One way to cut the name so that its code is right.
    pub fn witness(&mut self, pair: Pair<'_>) -> Counted<Option<Witness>> {
        let mut witness = None;
        self.each_code(pair, &mut |lookup, start, end| {
            if lookup.ways(pair, pair.before(), 0, start)? > 0
                && lookup.ways(pair, pair.after(), end, lookup.name.len())? > 0
            {
                witness = Some(Witness { start, tokens: lookup.tokens.clone() });
            }
            Ok(witness.is_none())
        })?;
        Ok(witness)
    }

    /// Calls `each` with every place where the code can stand, cut into tokens, until it says `false`.
    fn each_code(
        &mut self,
        pair: Pair<'_>,
        each: &mut dyn FnMut(&mut Self, usize, usize) -> Counted<bool>,
    ) -> Counted<()> {
        let name = self.name;
        let starts = match pair.before() {
            [] => Spots::one(0),
            [only] => pair.fixed(only).map_or(Spots::behind(name, ""), |text| Spots::prefix(name, text)),
            [.., last] => Spots::behind(name, pair.fixed(last).unwrap_or_default()),
        };
        // A code at the end of the name does not begin long before it.
        let longest = if pair.after().is_empty() { pair.program.longest[0] } else { usize::MAX };
        for start in starts {
            self.spend(1)?;
            if name.len() - start <= longest {
                self.tokens.clear();
                if !self.tokenize(pair, start, start, each)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes the token of the next function at `pos`, in all ways there are.
    fn tokenize(
        &mut self,
        pair: Pair<'_>,
        start: usize,
        pos: usize,
        each: &mut dyn FnMut(&mut Self, usize, usize) -> Counted<bool>,
    ) -> Counted<bool> {
        self.spend(1)?;
        let i = self.tokens.len();
        let calls = &pair.program.calls;
        let rest = &self.name[pos..];
        let Some(probe) = calls.get(i) else {
            return if rest.is_empty() || !pair.after().is_empty() {
                each(self, start, pos)
            } else {
                Ok(true)
            };
        };
        // Each function left takes a character at least; at the end of the name, no more than it can.
        if rest.len() < calls.len() - i || pair.after().is_empty() && rest.len() > pair.program.longest[i] {
            return Ok(true);
        }
        let mut take = |lookup: &mut Self, len: usize, count: usize| {
            lookup.tokens.push(Token { start: pos, end: pos + len, count });
            let more = lookup.tokenize(pair, start, pos + len, each)?;
            lookup.tokens.pop();
            Ok(more)
        };
        if let Some(text) = pair.text(probe.target) {
            return match compute::value(&probe.formula, text, rest) {
                Some(value) if rest.starts_with(&*value) => take(self, value.len(), 0),
                _ => Ok(true),
            };
        }
        match &probe.formula {
            Formula::Count(_) => {
                let mut count = 0;
                for (len, b) in (1..=MAX_DIGITS).zip(rest.bytes()) {
                    // Numbers have no leading zeros.
                    if !is_digit(b) || (len > 1 && count == 0) {
                        break;
                    }
                    count = count * 10 + usize::from(b - b'0');
                    // Nothing is counted that often in this name.
                    if count > self.name.len() {
                        break;
                    }
                    if !take(self, len, count)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Formula::Any | Formula::None => match rest.chars().next() {
                Some(c) => take(self, c.len_utf8(), 0),
                None => Ok(true),
            },
            Formula::Char { default, .. } | Formula::LabelChar { default, .. } => {
                let Some(c) = rest.chars().next() else { return Ok(true) };
                if !take(self, c.len_utf8(), 0)? {
                    return Ok(false);
                }
                if default.len() > c.len_utf8() && rest.starts_with(&**default) {
                    return take(self, default.len(), 0);
                }
                Ok(true)
            }
        }
    }

    /// In how many ways `pieces` can be cut out of the name from `from` to `to`, each identifier meeting the
    /// tokens: 0, 1, or 2 for several.
    fn ways(&mut self, pair: Pair<'_>, pieces: &[Piece], from: usize, to: usize) -> Counted<u8> {
        let mut now = std::mem::take(&mut self.now);
        let mut next = std::mem::take(&mut self.next);
        let ways = self.sweep(pair, pieces, from, to, &mut now, &mut next);
        (self.now, self.next) = (now, next);
        ways
    }

    /// `now[p]` says in how many ways the pieces so far can end at `p`; it is moved on piece by piece.
    fn sweep(
        &mut self,
        pair: Pair<'_>,
        pieces: &[Piece],
        from: usize,
        to: usize,
        now: &mut Vec<u8>,
        next: &mut Vec<u8>,
    ) -> Counted<u8> {
        let size = self.name.len() + 1;
        for ways in [&mut *now, &mut *next] {
            ways.clear();
            ways.resize(size, 0);
        }
        now[from] = 1;
        // All that is not 0 lies in here.
        let (mut low, mut high) = (from, from);
        for (i, piece) in pieces.iter().enumerate() {
            let (mut new_low, mut new_high) = (size, 0);
            let last = i + 1 == pieces.len();
            for p in low..=high {
                let ways = std::mem::take(&mut now[p]);
                if ways == 0 {
                    continue;
                }
                let mut arrive = |end: usize| {
                    next[end] = (next[end] + ways).min(2);
                    new_low = new_low.min(end);
                    new_high = new_high.max(end);
                };
                match pair.fixed(piece) {
                    Some(text) => {
                        self.spend(1)?;
                        if p + text.len() <= to && self.name.as_bytes()[p..].starts_with(text.as_bytes()) {
                            arrive(p + text.len());
                        }
                    }
                    None => {
                        // The last piece has to reach the end.
                        let least = if last { to } else { p + 1 };
                        self.ends(pair, piece, p, least, to, &mut arrive)?;
                    }
                }
            }
            if new_low > new_high {
                return Ok(0);
            }
            (low, high) = (new_low, new_high);
            std::mem::swap(now, next);
        }
        Ok(now[to])
    }

    /// Calls `arrive` with every place from `least` to `most` at which a piece that begins at `p` can end.
    fn ends(
        &mut self,
        pair: Pair<'_>,
        piece: &Piece,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> Counted<()> {
        let (class, number) = match piece {
            Piece::Identifier(class, number) => (*class, *number),
            _ => return self.shape_ends(pair, p, least, most, arrive),
        };
        let bytes = self.name.as_bytes();
        if p >= most || !class.edge(bytes[p]) {
            return Ok(());
        }
        let (mut low, mut high) = (least.max(p + 1), most);
        let mut checked = false;
        for (probe, token) in conditions(pair.program, &self.tokens, number) {
            let c = Character::of(bytes, token.start, token.end);
            match probe.formula {
                Formula::Count(Function::Chars) => {
                    (low, high) = (low.max(p + token.count), high.min(p + token.count))
                }
                Formula::Any => match c.find(&bytes[p..most]) {
                    Some(at) => low = low.max(p + at + 1),
                    None => return Ok(()),
                },
                Formula::None => {
                    if let Some(at) = c.find(&bytes[p..most]) {
                        high = high.min(p + at);
                    }
                }
                _ => checked = true,
            }
        }
        if low > high {
            return Ok(());
        }
        if checked && pair.program.tallies {
            self.tally();
        }
        let mut dot = class != Class::Fqdn;
        let mut end = p + 1;
        while end <= high {
            let b = bytes[end - 1];
            if !class.inner(b) {
                break;
            }
            dot |= b == b'.';
            if end >= low && dot && class.edge(b) {
                let fits = if checked { self.fits(pair.program, number, p, end)? } else { Fits::Yes };
                match fits {
                    Fits::Yes => arrive(end),
                    Fits::No => {}
                    Fits::Never => break,
                }
            }
            end += 1;
        }
        self.spend(end - p)
    }

    /// Whether the identifier `number` from `start` to `end` meets the tokens not seen to yet.
    fn fits(&mut self, program: &Program, number: usize, start: usize, end: usize) -> Counted<Fits> {
        let bytes = self.name.as_bytes();
        let mut spent = 0;
        let mut fits = Fits::Yes;
        for (probe, token) in conditions(program, &self.tokens, number) {
            spent += 1;
            let right = match &probe.formula {
                Formula::Count(Function::Chars) | Formula::Any | Formula::None => true,
                Formula::Count(function) => {
                    let count = compute::tallied(*function, &self.tally, start, end);
                    if count > token.count {
                        fits = Fits::Never;
                        break;
                    }
                    count == token.count
                }
                formula => {
                    let text = &bytes[start..end];
                    spent += if matches!(formula, Formula::LabelChar { .. }) { text.len() } else { 0 };
                    compute::is_character(formula, text, &bytes[token.start..token.end])
                }
            };
            if !right {
                fits = Fits::No;
                break;
            }
        }
        self.spend(spent)?;
        Ok(fits)
    }

    /// Counts, once for a look-up, what functions count.
    fn tally(&mut self) {
        if self.tally.is_empty() {
            self.tally = compute::tally(self.name);
        }
    }

    /// The ends of a `%code%` that only has to look like one: each function finds its character, a digit for
    /// one that counts, and as many digits end it as functions that count do.
    fn shape_ends(
        &mut self,
        pair: Pair<'_>,
        p: usize,
        least: usize,
        most: usize,
        arrive: &mut impl FnMut(usize),
    ) -> Counted<()> {
        let bytes = self.name.as_bytes();
        let calls = &pair.program.calls;
        let counts = |probe: &Probe| probe.function.counts();
        if calls.first().is_some_and(counts) && !bytes.get(p).is_some_and(|b| is_digit(*b)) {
            return Ok(());
        }
        let mut end = p;
        for probe in calls {
            if counts(probe) {
                end += bytes[end..most].iter().take_while(|b| !is_digit(**b)).count();
            }
            let Some(c) = self.name[end..most].chars().next() else { return Ok(()) };
            end += c.len_utf8();
        }
        let trailing = calls.iter().rev().take_while(|probe| counts(probe)).count();
        self.spend(most - p + calls.len())?;
        if end >= least {
            arrive(end);
        }
        let mut digits = bytes[..end].iter().rev().take_while(|b| is_digit(**b)).count();
        for at in end + 1..=most {
            digits = if is_digit(bytes[at - 1]) { digits + 1 } else { 0 };
            if at >= least && digits >= trailing && self.name.is_char_boundary(at) {
                arrive(at);
            }
        }
        Ok(())
    }
}

enum Fits {
    Yes,
    No,
    /// Nor will any longer text.
    Never,
}

/// The functions that look at the identifier `number`, with what they are to give.
fn conditions<'a>(
    program: &'a Program,
    tokens: &'a [Token],
    number: usize,
) -> impl Iterator<Item = (&'a Probe, &'a Token)> {
    program.calls.iter().zip(tokens).filter(move |(probe, _)| probe.target == Target::Identifier(number))
}

/// Which names of a list have to be tried.
enum Choices {
    /// Any one of them stands for all.
    Alike { ways: usize },
    /// Each.
    All,
    /// These.
    Found(Found),
}

impl Choices {
    /// The numbers of the entries to be tried, of `len`.
    fn each(&self, len: usize) -> impl Iterator<Item = usize> {
        let (range, found) = match self {
            Choices::Alike { .. } => (0..len.min(1), &[][..]),
            Choices::All => (0..len, &[][..]),
            Choices::Found(found) => (0..0, found.entries()),
        };
        range.chain(found.iter().copied())
    }

    /// How many names one entry stands for.
    fn ways(&self) -> usize {
        if let Choices::Alike { ways } = self { *ways } else { 1 }
    }
}

/// Entries found, each once. Nearly always there is one at most.
#[derive(Default)]
struct Found {
    first: Option<usize>,
    all: Vec<usize>,
}

impl Found {
    fn add(&mut self, entry: usize) {
        match self.first {
            None => self.first = Some(entry),
            Some(first) if first == entry => {}
            Some(first) => {
                if self.all.is_empty() {
                    self.all.push(first);
                }
                if !self.all.contains(&entry) {
                    self.all.push(entry);
                }
            }
        }
    }

    fn entries(&self) -> &[usize] {
        if self.all.is_empty() { self.first.as_slice() } else { &self.all }
    }
}
