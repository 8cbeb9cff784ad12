//! Compares the analysis with lookups of all short names.

use super::*;
use crate::matcher::rules::Decision;
use crate::tests::naive::{NaiveStatement, Part};
use crate::tests::random::statement;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The characters and the maximum length of names, limited by the time of the test.
const CHARACTERS: [char; 5] = ['a', 'b', '1', '-', '.'];
const LONGEST: u32 = 5;

/// The shortest ambiguous name, and the shortest that is ambiguous within one account.
fn shortest(rules: &Rules) -> [Option<String>; 2] {
    let mut found = [None, None];
    for length in 1..=LONGEST {
        for number in 0..CHARACTERS.len().pow(length) {
            let each = (0..length).map(|i| CHARACTERS[number / CHARACTERS.len().pow(i) % CHARACTERS.len()]);
            let name: String = each.collect();
            let which = match rules.find(&name) {
                Decision::Ambiguous { .. } => 0,
                Decision::Account { ambiguous: true, .. } => 1,
                _ => continue,
            };
            found[which].get_or_insert(name);
            if found.iter().all(Option::is_some) {
                return found;
            }
        }
    }
    found
}

/// Compares the analysis with all short names; `None` if the rules cannot be loaded. With `within_account`,
/// names that are ambiguous within one account must be reported, too.
fn compare(text: &str, listed: usize, within_account: bool) -> Option<Result<(), TestCaseError>> {
    let texts = [Text::new("t", text)];
    let options = Options::default();
    let rules = load(&texts, &options).ok()?.rules;
    let analysis =
        analyse(&rules, &texts, &options, &Limits { guessable: None, listed, ..Limits::default() });
    for clash in &analysis.clashes {
        let found = rules.find(&clash.witness);
        if !matches!(found, Decision::Ambiguous { .. }) {
            return Some(Err(TestCaseError::fail(format!("{text}\n{clash:?} {found:?}"))));
        }
    }
    let length = |name: &String| name.chars().count();
    let [clash, way] = shortest(&rules);
    let found = analysis.clashes.iter().map(|clash| length(&clash.witness)).min();
    let missed = clash.filter(|name| found.is_none_or(|found| found > length(name)));
    let reported = analysis.problems.iter().any(|problem| problem.message.contains("logged as ambiguous"));
    // A short name is found even if the analysis is incomplete.
    let missed = missed.or(way.filter(|_| within_account && !reported && analysis.complete));
    Some(missed.map_or(Ok(()), |name| Err(TestCaseError::fail(format!("{text}\n{name} {analysis:#?}")))))
}

/// The text after `MATCHES` in a short statement, with at most this many functions.
fn short(most: usize) -> impl Strategy<Value = String> {
    let class = prop::sample::select(vec!["alnum", "alpha", "number", "ident", "fqdn"]);
    let separator = prop::sample::select(vec!["-", ".", "a", "1"]);
    let call = prop::sample::select(vec![
        "CHARS(1)",
        "DIGITS(1)",
        "ALPHAS(1)",
        "VOWELS(1)",
        "ANY(1)",
        "NONE(1)",
        "CHAR(1,1,-)",
        "CHAR(1,-1,-)",
        "CHAR(1,2,a)",
        "CHAR(1,2,)",
        "CHAR(1,-2,a1)",
        "CHAR(account,1,-)",
    ]);
    let calls = prop::collection::vec(call, 1..=most);
    let literal = prop::sample::select(vec!["", "", "a", "1-"]);
    (literal, class, separator, any::<bool>(), calls).prop_map(|(literal, class, separator, first, calls)| {
        let calls = calls.join(", ");
        let calls = if class == "fqdn" { "LABELS(1)".into() } else { calls };
        let (one, two) = if first { ("code", class) } else { (class, "code") };
        format!("{literal}%{one}%{separator}%{two}% WITH {calls};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(25) })]

    #[test]
    fn no_clash_is_missed(
        mut statements in prop::collection::vec(statement(), 1..3),
        twins in any::<bool>(),
        listed in prop::sample::select(vec![0, 16]),
    ) {
        // Names are looked up without a domain and a day.
        prop_assume!(!statements.iter().flat_map(|statement| &statement.parts).any(|part| matches!(part, Part::Date)));
        for statement in &mut statements {
            statement.domains.clear();
        }
        // Two statements of one form, which are compared one by one or as a whole.
        if let ([one, two], true) = (&mut statements[..], twins) {
            two.accounts = std::mem::replace(two, one.clone()).accounts;
        }
        let once = |list: &[String]| list.iter().collect::<BTreeSet<_>>().len() == list.len();
        let once = statements.iter().all(|statement| once(&statement.accounts) && once(&statement.aliases));
        let text = statements.iter().map(NaiveStatement::text).collect::<Vec<_>>().join("\n");
        compare(&text, listed, once && listed > 0).unwrap_or_else(|| Err(TestCaseError::reject("refused")))?;
    }

    /// These rules nearly always clash.
    #[test]
    fn no_clash_of_short_rules_is_missed(one in short(2), two in short(2)) {
        let text = format!("ACCOUNT a MATCHES {one}\nACCOUNT b MATCHES {two}");
        compare(&text, 16, true).unwrap_or_else(|| Err(TestCaseError::reject("refused")))?;
    }

    /// These rules have so many functions that a search by states reaches its limit before long names.
    #[test]
    fn no_clash_of_many_functions_is_missed(all in prop::collection::vec(short(5), 2..4)) {
        let statement = |(i, one): (usize, &String)| format!("ACCOUNT n{i} MATCHES {one}\n");
        let text: String = all.iter().enumerate().map(statement).collect();
        compare(&text, 16, false).unwrap_or_else(|| Err(TestCaseError::reject("refused")))?;
    }
}
