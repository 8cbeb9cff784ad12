//! Rules as they should not be, with what `rcptd check` says of each: `data/rules-broken/NN-name.rules`, `.txt`
//! and `.json`. With `RCPTD_BLESS=1` in the environment the latter two are written anew; read the difference!

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

use std::collections::BTreeSet;
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

/// Files of the rules that hold texts but no messages of `check`, and what these are.
const OTHER: &[(&str, &str)] = &[
    ("fmt/mod.rs", "what `rules fmt` says, see `tools.rs`"),
    ("import/mod.rs", "the report of `import trualias`, see `tools.rs`"),
    ("import/difference.rs", "the same"),
    ("generate/mod.rs", "what `make` says, see `tools.rs`"),
    ("generate/reason.rs", "the same"),
    ("generate/steps.rs", "the same"),
    ("secrets.rs", "of the file of secrets, see `config/main.rs`"),
    ("explain/render.rs", "what `explain` shows, see `tests/cli/explain.rs`"),
    ("compile/trees.rs", "a secret to check without one"),
    ("explain/mod.rs", "what `explain` shows, too"),
    ("ir/call.rs", "why a statement never matches, which others quote"),
    ("vocabulary.rs", "the classes in words, for `make`"),
];

/// Where messages come from: all files of the rules but those and the tests.
fn sources() -> Vec<String> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("tests") => {}
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let folder = root("crates/alias-rules/src");
    let mut files = Vec::new();
    walk(&folder, &mut files);
    let mut names: Vec<String> =
        files.iter().map(|path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    for (name, _) in OTHER {
        assert!(names.iter().any(|file| file == name), "there is no {name}");
    }
    names.retain(|name| !OTHER.iter().any(|(other, _)| name == other));
    names
}

/// Texts that no file of the folder can bring about, and why.
const ELSEWHERE: &[&str] = &[
    // That takes thousands of kinds of rules.
    "not searched for names that can be split in two ways: {}",
    "such a name is delivered if it belongs to one account, and logged as ambiguous",
    // No message, but a word to the compiler.
    "all settings are optional",
    // A list goes on behind a comma, so it holds a name or the file ends.
    "the list contains no {}",
    "write at least one",
    // That takes a hundred thousand names; see the tests of loops.
    "only the first {} addresses of DELIVER TO were followed",
    "mail that the rules redirect in a loop is deferred and logged",
    // Texts of a gigabyte; see the tests of the rules.
    "there are more than {} bytes of rules",
    "keep that many names in a database",
];

/// The texts of more than one word in a source, each as the pieces between what is filled in.
fn texts(source: &str) -> Vec<Vec<String>> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
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
    let mut elsewhere = BTreeSet::new();
    for source in sources() {
        for pieces in texts(&fs::read_to_string(root("crates/alias-rules/src").join(&source)).unwrap()) {
            seen += 1;
            let text = pieces.join("{}");
            if occurs(&pieces) {
                continue;
            }
            match ELSEWHERE.iter().find(|other| **other == text) {
                Some(other) => drop(elsewhere.insert(*other)),
                None => writeln!(missing, "{source}: {text}").unwrap(),
            }
        }
    }
    assert!(seen > 100, "the search for messages is broken: {seen} found");
    let unused: Vec<_> = ELSEWHERE.iter().filter(|text| !elsewhere.contains(**text)).collect();
    assert!(unused.is_empty(), "no source holds, or a file brings about all the same: {unused:#?}");
    assert!(missing.is_empty(), "no file of {FOLDER} brings about\n{missing}");
}
