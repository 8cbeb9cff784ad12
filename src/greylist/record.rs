//! Entries with their names.

/// The text of an entry in the store: its state, a blank, and its names as a JSON array.
pub fn with_names(state: &str, names: &[&str]) -> String {
    format!("{state} {}", serde_json::json!(names))
}
