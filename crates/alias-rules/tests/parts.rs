//! Checks the dependencies between the parts of the library: a file imports only from the parts listed for
//! its part.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // tests may panic

use std::fs;
use std::path::{Path, PathBuf};

/// Each part with the parts that it may import from. Files of one part may import each other. A part is
/// listed after its dependencies, so there are no cycles.
const PARTS: &[(&str, &[&str])] = &[
    ("vocabulary", &[]),
    ("date", &[]),
    ("secrets", &[]),
    ("syntax", &["vocabulary"]),
    ("ir", &["vocabulary", "secrets"]),
    ("compile", &["vocabulary", "secrets", "syntax", "ir"]),
    ("matcher", &["vocabulary", "date", "secrets", "ir"]),
    ("load", &["secrets", "syntax", "compile", "matcher"]),
    ("explain", &["vocabulary", "date", "ir", "matcher"]),
    ("analysis", &["vocabulary", "date", "secrets", "syntax", "ir", "compile", "matcher", "load"]),
    ("fmt", &["vocabulary", "syntax", "compile"]),
    ("generate", &["vocabulary", "date", "secrets", "syntax", "ir", "compile", "matcher", "load", "explain"]),
    ("import", &["vocabulary", "syntax", "ir", "compile", "matcher", "load", "explain", "fmt", "generate"]),
];

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            sources(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test {
            files.push(path);
        }
    }
}

/// The parts that a file imports by `crate::`, outside of its tests.
fn imported<'t>(text: &'t str) -> impl Iterator<Item = &'t str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    let names = paths.flat_map(|path| match path.strip_prefix('{') {
        Some(list) => list.split(',').collect(),
        None => vec![path],
    });
    let name = |text: &'t str| text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next();
    names.filter_map(name).filter(|name| !name.is_empty())
}

#[test]
fn files_import_allowed_parts_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut faults, mut seen) = (Vec::new(), 0);
    for file in files.iter().filter(|file| !file.ends_with("lib.rs")) {
        let name = file.strip_prefix(&root).expect("below src").to_str().expect("UTF-8");
        let part = name.split('/').next().expect("a part").trim_end_matches(".rs");
        let (_, allowed) = PARTS.iter().find(|(own, _)| *own == part).unwrap_or_else(|| panic!("{part}"));
        for other in imported(&fs::read_to_string(file).expect("source")) {
            seen += 1;
            if other != part && !allowed.contains(&other) {
                faults.push(format!("src/{name} imports crate::{other}"));
            }
        }
    }
    assert!(seen > 100, "the search for imports is broken: {seen} found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn dependencies_have_no_cycle() {
    for (at, (part, allowed)) in PARTS.iter().enumerate() {
        for other in *allowed {
            let before = PARTS[..at].iter().any(|(name, _)| name == other);
            assert!(before, "{part} is above {other}");
        }
    }
}
