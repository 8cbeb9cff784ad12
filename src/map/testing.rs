//! Results for tests, as short texts.

use super::Lookup;

/// `-` not found, `?` temporary failure, else a value.
pub(super) fn answer(text: &str) -> Lookup<String> {
    match text {
        "-" => Lookup::NotFound,
        "?" => Lookup::temp_fail(""),
        value => Lookup::Found(value.into()),
    }
}

/// The text of a result; for a temporary failure with its reason.
pub(super) fn shown(answer: &Lookup<String>) -> String {
    match answer {
        Lookup::NotFound => "-".into(),
        Lookup::TempFail(reason) => format!("? {reason}").trim_end().into(),
        Lookup::Found(value) => value.clone(),
    }
}
