//! The seeds of the fuzz targets and the inputs that once failed (`fuzz/seeds`, `fuzz/regressions`), replayed by the
//! functions that the targets run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test panics when it fails

#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../fuzz/src/lib.rs"]
#[allow(clippy::doc_markdown, clippy::missing_panics_doc)] // a target panics when it finds a fault
mod targets;
