//! Replays the inputs of the fuzz targets: `tests/regressions.rs` of each package that has a fuzz package includes this
//! file, and the targets as `targets`.

use super::targets::TARGETS;
use std::fs;
use std::path::{Path, PathBuf};

/// The fuzz package of the package under test.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn seeds_and_findings_hold() {
    for (name, target) in TARGETS {
        let seeds = entries(&root().join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for path in seeds.into_iter().chain(entries(&root().join("regressions").join(name))) {
            // Shown when it fails.
            println!("{}", path.display());
            target(&fs::read(path).expect("input"));
        }
    }
}

/// Inputs in a folder that belongs to no target would never be replayed.
#[test]
fn every_folder_has_its_target() {
    for kind in ["seeds", "regressions", "corpora", "fuzz_targets"] {
        for path in entries(&root().join(kind)) {
            let name = path.file_name().expect("a name").to_str().expect("UTF-8");
            let name = name.split('.').next().unwrap_or_default();
            assert!(TARGETS.iter().any(|(target, _)| *target == name), "{}", path.display());
        }
    }
}

/// `cargo fuzz` builds what the manifest lists, and `tests/run` begins with the corpus.
#[test]
fn every_target_is_built_and_has_a_corpus() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    for (name, _) in TARGETS {
        let entry = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&entry), "{name} is not in fuzz/Cargo.toml");
        for file in [format!("fuzz_targets/{name}.rs"), format!("corpora/{name}.tar.gz")] {
            assert!(root().join(&file).is_file(), "no fuzz/{file}");
        }
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len(), "fuzz/Cargo.toml has another target");
}
