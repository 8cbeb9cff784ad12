//! Rules as they should not be, with what `rcptd check` says of each: `data/rules-broken/NN-name.rules`, `.txt`
//! and `.json`. With `RCPTD_BLESS=1` in the environment the latter two are written anew; read the difference!

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

const FOLDER: &str = "tests/data/rules-broken";

/// What the program says of a file of the folder, in the form of this ending.
fn said(file: &str, ending: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
    command.current_dir(root(FOLDER)).args(["check", "--rules", file]);
    if ending == "json" {
        command.arg("--json");
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    match ending {
        "json" => out,
        _ => format!("{err}{out}exit {}\n", output.status.code().unwrap()),
    }
}

fn rules() -> Vec<String> {
    let entries = fs::read_dir(root(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    let mut files: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".rules").map(Into::into)).collect();
    files.sort();
    files
}

#[test]
fn broken_rules() {
    let bless = std::env::var_os("RCPTD_BLESS").is_some_and(|value| value == "1");
    let files = rules();
    assert!(files.len() >= 30, "only {} files", files.len());
    let mut wrong = String::new();
    for name in files {
        let file = format!("{name}.rules");
        for ending in ["txt", "json"] {
            let got = said(&file, ending);
            let expected = root(FOLDER).join(format!("{name}.{ending}"));
            if bless {
                fs::write(&expected, &got).unwrap();
            }
            match fs::read_to_string(&expected) {
                Ok(want) if want == got => {}
                Ok(want) => writeln!(wrong, "{name}.{ending}\n want:\n{want} got:\n{got}").unwrap(),
                Err(error) => writeln!(wrong, "{}: {error}", expected.display()).unwrap(),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Where messages come from.
const SOURCES: &[&str] = &[
    "check.rs",
    "deliver.rs",
    "expression.rs",
    "functions.rs",
    "legacy.rs",
    "symbols.rs",
    "syntax.rs",
    "terms.rs",
    "unique.rs",
    "prove/report.rs",
    "prove/shape.rs",
];

/// Texts that no file of the folder can bring about, and why.
const ELSEWHERE: &[&str] = &[
    // That takes thousands of kinds of rules.
    "{} rules were not searched for names that can be read in two ways",
    "such a name is delivered if it is of one account, and logged as ambiguous",
    // No message, but a word to the compiler.
    "what is kept is an optional setting",
    // A list goes on behind a comma, so it holds a name or the file ends.
    "the list holds no {}",
    "name one at least",
    // Refused by `--rules`; of a configuration, see `config.rs`.
    "set \"case_sensitive\" in rcptd.conf instead",
];

/// The texts of more than one word in a source, each as the pieces between what is filled in.
fn texts(source: &str) -> Vec<Vec<String>> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let mut joined = String::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        // A text goes on behind the blanks of the next line.
        if joined.ends_with('\\') {
            joined.pop();
            joined += line.trim_start();
        } else {
            joined += "\n";
            joined += line;
        }
    }
    let mut texts = Vec::new();
    let mut rest = joined.as_str();
    while let Some(at) = rest.find('"') {
        let quoted = rest[..at].ends_with('\'');
        rest = &rest[at + 1..];
        if quoted {
            continue;
        }
        let (mut text, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => text.extend(chars.next().map(|(_, c)| c)),
                Some((_, c)) => text.push(c),
                None => panic!("a text does not end"),
            }
        };
        rest = &rest[end..];
        if !text.trim().contains(' ') {
            continue;
        }
        let mut pieces = Vec::new();
        let mut open = text.as_str();
        while let Some((before, behind)) = open.split_once('{') {
            pieces.push(before.to_owned());
            open = behind.split_once('}').map_or("", |(_, rest)| rest);
        }
        pieces.push(open.to_owned());
        texts.push(pieces);
    }
    texts
}

#[test]
fn every_message_occurs() {
    let said: Vec<String> = rules()
        .iter()
        .flat_map(|name| ["txt", "json"].map(|ending| format!("{FOLDER}/{name}.{ending}")))
        .flat_map(|file| {
            let text = fs::read_to_string(root(&file)).unwrap();
            text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let occurs = |pieces: &[String]| {
        said.iter().any(|line| {
            let mut rest = line.as_str();
            pieces.iter().all(|piece| {
                rest.find(piece.as_str()).is_some_and(|at| {
                    rest = &rest[at + piece.len()..];
                    true
                })
            })
        })
    };
    let (mut seen, mut missing) = (0, String::new());
    for source in SOURCES {
        for pieces in texts(&fs::read_to_string(root("src/rules").join(source)).unwrap()) {
            seen += 1;
            if !occurs(&pieces) && !ELSEWHERE.contains(&&*pieces.join("{}")) {
                writeln!(missing, "{source}: {}", pieces.join("{}")).unwrap();
            }
        }
    }
    assert!(seen > 100, "the search for messages is broken: {seen} found");
    assert!(missing.is_empty(), "no file of {FOLDER} brings about\n{missing}");
}
