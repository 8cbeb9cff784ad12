//! `texthash:` beside that of Postfix, with characters that are blanks in one standard and not in another.

use super::Postfix;
use crate::postfix_server::PostmapResult;
use diagnostics::{Text, any_error};
use mail_address::fold;
use rcptd::map::list::List;

/// The characters. A file that is not UTF-8 is an error as a whole.
const ODD: [char; 13] = [
    ' ', '\t', '\r', '\u{b}', '\u{c}', '\u{1c}', '\0', '\u{85}', '\u{a0}', '\u{200b}', '\u{2028}',
    '\u{3000}', '\u{feff}',
];

/// Places of such a character, `~`, in a part of a file, and whether a space, or a character that is no control
/// character, is read there without an error.
const PLACES: [(&str, bool, bool); 11] = [
    ("foo x\n# ~\nbaz y\n", true, true),
    ("foo x\n  #~\nbaz y\n", true, true),
    ("foo x~y\nbaz y\n", true, true),
    ("foo x~\nbaz y\n", true, true),
    ("foo x,\n  ~y~\nbaz y\n", true, true),
    ("foo ~x\nbaz y\n", true, true),
    ("foo~ x\nbaz y\n", true, true),
    ("foo~x\nbaz y\n", true, false),
    ("foo x\n~\nbaz y\n", true, false),
    ("foo x\n~# c\nbaz y\n", true, true),
    ("foo x\n~baz y\nqux z\n", true, true),
];

/// rcptd returns the same values as Postfix, or reports an error.
#[test]
fn texthash() {
    let (mut file, mut parts) = (String::new(), Vec::new());
    for (place, space, visible) in PLACES {
        for odd in ODD {
            let tag = parts.len();
            let tagged = |name: &str| format!("-{tag}-{name}");
            let part = ["foo", "baz", "qux"]
                .iter()
                .fold(place.to_owned(), |part, name| part.replace(name, &tagged(name)));
            let part = part.replace('~', &odd.to_string());
            file.push_str(&part);
            let mut keys = vec![tagged("foo"), tagged("baz"), tagged("qux")];
            // postmap(1) reads keys from lines, without the blanks at their ends.
            if !odd.is_control() && odd != ' ' {
                keys.extend([format!("{}{odd}", tagged("foo")), format!("{odd}{}", tagged("baz"))]);
            }
            // Control characters are errors in some places.
            let is_read = if odd == ' ' { Some(space) } else { (!odd.is_control()).then_some(visible) };
            // A mark at the beginning of a key is an error, too.
            let is_read = is_read.filter(|_| odd != '\u{feff}' || !part.contains("\n\u{feff}"));
            parts.push((part, keys, is_read));
        }
    }
    let keys: Vec<&str> = parts.iter().flat_map(|(_, keys, _)| keys).map(String::as_str).collect();
    let postfix = Postfix::begin();
    let mut theirs = postfix.results("texthash", &file, &keys).into_iter();
    let mut compared = 0;
    for (part, keys, is_read) in &parts {
        let (list, problems) = List::parse(&Text::new("list", part), true);
        let is_fine = !any_error(&problems);
        for (key, theirs) in keys.iter().zip(theirs.by_ref()) {
            let value = list.get(&fold(key)).map(str::to_owned);
            let ours = value.map_or(PostmapResult::NotFound, PostmapResult::Value);
            assert!(
                !is_fine || ours == theirs,
                "{part:?} {key:?}: Postfix returns {theirs:?}, rcptd {ours:?}"
            );
            compared += usize::from(is_fine && ours != PostmapResult::NotFound);
        }
        assert!(is_read.is_none_or(|is_read| is_fine == is_read), "{part:?}: {problems:?}");
    }
    assert!(compared > 100, "{compared}");
}
