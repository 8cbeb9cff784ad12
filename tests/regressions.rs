//! The seeds of the fuzz targets and the inputs that once failed (`fuzz/seeds`, `fuzz/regressions`), replayed by the
//! functions that the targets run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test panics when it fails

#[path = "../fuzz/replay.rs"]
mod replay;
#[path = "../fuzz/src/lib.rs"]
#[allow(clippy::doc_markdown, clippy::missing_panics_doc)] // a target panics when it finds a fault
mod targets;

use std::fs;

/// Each seed leads to the verdict that it was written for: a fuzzer that begins on the wrong side of a check may never
/// pass it.
#[test]
fn the_replies_are_what_their_names_say() {
    let asked = "temporary failure: VRFY <alice@d.test>: ";
    for (name, want) in [
        ("exists", "exists".to_string()),
        ("missing", "not found".into()),
        ("perhaps", format!("{asked}252 2.0.0 alice")),
        ("ehlo_of_blanks", "exists".into()),
        // No word tells what it is about, and nothing is there to compare it with.
        ("codes_alone", format!("{asked}550")),
        ("eight_bits", "exists".into()),
        ("helo", "not found".into()),
        ("two_codes", "temporary failure: the lines of the reply have different codes".into()),
        ("mailing_list", format!("{asked}550 That is a mailing list, not a user")),
        ("ambiguous", format!("{asked}553 Ambiguous <alice@d.test>")),
        ("words", "not found".into()),
        ("blank_lines", format!("{asked}252")),
    ] {
        let path = replay::root().join("seeds/smtp_reply").join(name);
        assert_eq!(targets::verdict("vrfy", &fs::read(path).expect("a seed")).to_string(), want);
    }
    for (name, smtp, lmtp) in [
        ("rcpt_exists", "exists", "exists"),
        ("rcpt_missing", "not found", "not found"),
        (
            "rcpt_sender_refused",
            "temporary failure: MAIL FROM:<>: 550 5.7.1 no",
            "temporary failure: MAIL FROM:<>: 550",
        ),
        ("rcpt_no_reset", "exists", "temporary failure: the server replied 502 what"),
        ("perhaps", "temporary failure: MAIL FROM:<>: 252", "temporary failure: MAIL FROM:<>: 252"),
    ] {
        let seed = fs::read(replay::root().join("seeds/smtp_reply").join(name)).expect("a seed");
        for (kind, want) in [("rcpt", smtp), ("lmtp", lmtp)] {
            let got = targets::verdict(kind, &seed).to_string();
            assert!(got.starts_with(want), "{name} {kind}: {got}");
        }
    }
}
