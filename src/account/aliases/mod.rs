//! `aliases:PATH`, the names in the aliases(5) file of Postfix or Sendmail.
//!
//! A name on the left exists, whatever its value: values are not followed. The file is watched like that of
//! `file:` (see [`super::file`]), which also says when a name is "not found".

pub mod syntax;

use super::file::{Format, List, ListFile, Problems, check_size};
use super::spec::SourceType;
use mail_address::{Address, CaseSensitivity};
use syntax::Entry;

/// `aliases:PATH`
pub(super) const TYPE: SourceType = SourceType {
    name: "aliases",
    usage: "aliases:/PATH",
    read: |arguments| ListFile::at(arguments, &FORMAT),
};

/// Postfix and Sendmail compare the names in lower case, whatever rcptd does elsewhere.
const FORMAT: Format = Format { name: "aliases", folds: true, parse };

/// The remedy of all problems of the syntax.
const HELP: &str = "write name: value, ...; a name with special characters in double quotes; comments begin \
                    with #, and lines that begin with white space continue the entry";

/// Parses the file. The error has a line for each problem.
fn parse(file: &str, bytes: Vec<u8>, cases: &CaseSensitivity) -> Result<List, Vec<String>> {
    check_size(file, &bytes)?;
    // Comments may have another encoding. The parser rejects entries with the replacement character.
    let content = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let (mut list, mut problems) = (List::default(), Problems::default());
    syntax::entries(&content, &mut |span, entry| {
        match entry {
            Ok(Entry { name, is_followed }) => add(&mut list, &name, is_followed, cases),
            Err(why) => problems.add(span, why),
        }
        !problems.are_many()
    });
    problems.or(list, file, &content, HELP)
}

/// Whether a file with this content has the account; `None` if the file has errors. For the fuzz target.
pub fn has(content: &[u8], account: &Address) -> Option<bool> {
    let cases = false.into();
    parse("fuzz", content.to_vec(), &cases).ok().map(|list| list.has(account, &cases))
}

fn add(list: &mut List, name: &Address, is_followed: bool, cases: &CaseSensitivity) {
    list.add(name, cases);
    if name.domain().is_some() {
        // Sendmail looks up the local part alone, so it has this name in each local domain. Postfix ignores
        // such a name.
        list.add_elsewhere(name);
    }
    list.not_followed += usize::from(!is_followed);
}

#[cfg(test)]
mod tests;
