//! Checks `script`: the operator's script, or the plug-in in its place.

use super::check::{Check, text};
use super::files;
use super::value::Field;
use crate::plugin::Target;
use crate::script::{MAX_SCRIPT, Script};
use alias_rules::Rules;
use diagnostics::{Problem, Text};
use mail_address::escape;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the key names.
pub(super) enum Named {
    /// A script.
    Script(Text),
    /// A plug-in, by its text.
    Plugin(Arc<str>, Target),
}

impl Check<'_> {
    /// Checks the plug-in that `script` names, or reads the file, relative to `folder`. The file is added to
    /// `watched` even if it cannot be read.
    pub fn script(
        &mut self,
        field: &Field<String>,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
    ) -> Option<Named> {
        let given = text(field)?;
        if let Some(target) = Target::named(&given.value) {
            let (wrong, help) = match target {
                Ok(target) => match target.check() {
                    Ok(()) => return Some(Named::Plugin(given.value.as_str().into(), target)),
                    Err((wrong, help)) => (wrong, help.to_owned()),
                },
                Err((wrong, usage)) => (wrong, format!("write {usage}")),
            };
            self.error(given, format!("{}: {}", given.key, escape(&wrong)), help);
            return None;
        }
        let path = folder.join(&given.value);
        let read = files::read(&path, MAX_SCRIPT).map_err(|(why, help)| {
            let shown = path.display().to_string();
            self.error(given, format!("{}: {} cannot be read: {why}", given.key, escape(&shown)), help);
        });
        let script = read.ok().map(|bytes| files::text(&path, &bytes, &mut self.problems));
        watched.push(path);
        script.map(Named::Script)
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
