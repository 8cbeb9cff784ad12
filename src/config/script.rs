//! Checks `script`: the operator's script.

use super::check::{Check, text};
use super::files;
use super::value::Field;
use crate::script::{MAX_SCRIPT, Script};
use alias_rules::Rules;
use diagnostics::{Problem, Text};
use mail_address::escape;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Check<'_> {
    /// Reads the file that `script` names, relative to `folder`. The file is added to `watched` even if it
    /// cannot be read.
    pub fn script(
        &mut self,
        field: &Field<String>,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Option<Text> {
        let given = text(field)?;
        let path = folder.join(&given.value);
        let read = files::read(&path, MAX_SCRIPT).map_err(|(why, help)| {
            let shown = path.display().to_string();
            self.error(given, format!("{}: {} cannot be read: {why}", given.key, escape(&shown)), help);
        });
        let script = read.ok().map(|bytes| files::text(&path, &bytes, &mut self.problems));
        watched.push(path);
        script
    }
}

/// Loads the script with the rules whose names it may look up. Its trial call uses the first of `domains`;
/// without any, the script is not loaded, since that is an error already.
pub(super) fn load(
    script: Option<&Text>,
    rules: &Arc<Rules>,
    domains: &[String],
    problems: &mut Vec<Problem>,
) -> Option<Arc<Script>> {
    match Script::load(script?, rules, domains.first()?) {
        Ok(script) => Some(Arc::new(script)),
        Err(wrong) => {
            for problem in wrong {
                // With the other form of the rules the problems are the same.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            None
        }
    }
}
