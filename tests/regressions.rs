//! What the fuzz targets are given to begin with and what they have found (`fuzz/seeds`, `fuzz/regressions`),
//! replayed by the very functions they run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

#[path = "../fuzz/src/lib.rs"]
#[allow(clippy::doc_markdown, clippy::missing_panics_doc)] // it does nothing but panic
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn seeds_and_findings_hold() {
    for (name, target) in targets::TARGETS {
        let seeds = inputs("seeds", name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for path in seeds.into_iter().chain(inputs("regressions", name)) {
            // Shown when it fails.
            println!("{}", path.display());
            target(&fs::read(path).expect("input"));
        }
    }
}

/// A folder that belongs to no target would be replayed by nobody.
#[test]
fn every_folder_has_its_target() {
    for kind in ["seeds", "regressions"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind);
        for entry in fs::read_dir(root).into_iter().flatten() {
            let name = entry.expect("entry").file_name().into_string().expect("a name");
            assert!(targets::TARGETS.iter().any(|(target, _)| *target == name), "{kind}/{name}");
        }
    }
}

/// The seeds lead where they are to lead: a fuzzer that begins on the wrong side of a check may never pass it.
#[test]
fn the_replies_are_what_their_names_say() {
    let asked = "temporary failure: VRFY <alice@d.test>: ";
    for (name, want) in [
        ("exists", "exists".to_string()),
        ("not found", "not found".into()),
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
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/smtp_reply").join(name);
        assert_eq!(targets::verdict(&fs::read(path).expect("a seed")).to_string(), want);
    }
}
