//! Guess rates: exact rates against rates computed by hand, and against estimates.

use super::*;
use crate::analysis::guess_rate::{both, guess_rates};

fn rate(config: &str) -> GuessRate {
    let texts = [Text::new("t", config)];
    guess_rates(&texts, &Options::default()).remove(0)
}

#[test]
fn exact_rates_equal_those_computed_by_hand() {
    let rule = |class: &str, functions: &str| {
        format!("ACCOUNT foo MATCHES %account%-%{class}%-%code% WITH {functions};")
    };
    // Of twelve lengths three have two digits.
    let chars = (9.0 * 0.1 + 3.0 * 0.01) / 12.0;
    let cases = [
        (rule("ident", "CHARS()"), chars),
        (rule("ident", "CHAR(1,-)"), 1.0 / 36.0),
        (rule("ident", "CHAR(1,-), CHARS()"), chars / 36.0),
        (rule("number", "DIGITS()"), chars),
        (rule("number", "VOWELS()"), 0.1),
        (rule("alpha", "DIGITS(), CHAR(1,-)"), 0.1 / 36.0),
        // One length of twelve has no second character.
        (rule("alnum", "CHAR(2,xy)"), (11.0 / 36.0 + 1.0 / 1296.0) / 12.0),
        (rule("alnum", "CHAR(2,)"), 11.0 / 36.0 / 12.0),
        (rule("ident", "CHAR(account,1,-), CHARS(account)"), 0.1 / 36.0),
        (rule("ident", "ANY(account)"), 2.0 / 36.0),
        (rule("ident", "NONE(account)"), 34.0 / 36.0),
        (rule("ident", "LABELS()"), 0.0),
        ("ACCOUNT a, abcdefghij MATCHES %account%-%code% WITH CHARS(account);".into(), 0.055),
        ("ACCOUNT a MATCHES %account%-%alpha%.%ident%-%code% WITH CHARS(1), CHARS(2);".into(), chars * chars),
    ];
    for (config, want) in cases {
        let rate = rate(&config);
        assert!((rate.share - want).abs() < 1e-9, "{config} {rate:?} {want}");
        assert!(rate.exact, "{config}");
    }
}

#[test]
fn estimates_are_close_to_exact_rates() {
    for class in ["alnum", "alpha", "number", "ident", "fqdn"] {
        for functions in [
            "CHARS",
            "DIGITS",
            "ALPHAS",
            "VOWELS",
            "LABELS",
            "ANY",
            "NONE",
            "ALPHAS(), VOWELS",
            "CHARS(), ANY",
        ] {
            for fold in [false, true] {
                let config = format!("ACCOUNT foo MATCHES %account%-%{class}%-%code% WITH {functions}();");
                let texts = [Text::new("t", &config)];
                let (exact, estimated) = both(&texts, &Options { fold, ..Options::default() });
                let Some(exact) = exact else { continue };
                let off = (exact - estimated).abs() / exact;
                assert!(off < 0.05, "{config} {fold}: {exact} or {estimated}");
            }
        }
    }
}

#[test]
fn rates_are_formatted_with_their_precision() {
    let show = |share, exact| GuessRate { statement: 0, share, exact }.to_string();
    assert_eq!(show(1.0 / 360.0, true), "1 in 360 (exact)");
    assert_eq!(show(1.0 / 290.0, false), "about 1 in 290 (estimated from 4096 samples)");
    assert_eq!(show(0.8, true), "1 in 1.2 (exact)");
    assert_eq!(show(0.0, true), "never");
    let config = "ACCOUNT foo MATCHES %account%-%fqdn%-%code% WITH CHAR(-2,1,-), ANY();";
    assert_eq!((rate(config).exact, rate(config)), (false, rate(config)));
}

#[test]
fn warns_above_the_limit() {
    let config = "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHARS();";
    for (guessable, want) in [(None, 0), (Some(0.05), 1), (Some(0.0775), 0), (Some(0.0774), 1)] {
        let analysis = analysis(config, &Limits { guessable, ..Limits::default() });
        assert_eq!(analysis.problems.len(), want, "{guessable:?}: {:?}", analysis.problems);
    }
}
