//! Finds the line of main.cf or master.cf for a finding.

use super::Finding;
use diagnostics::{Problem, Text};
use mail_address::BLANKS;
use std::ops::Range;

/// The two configuration files of Postfix.
#[derive(Clone, Debug)]
pub struct Files {
    /// main.cf
    pub main: Text,
    /// master.cf
    pub master: Text,
}

impl Files {
    /// Adds the place to a finding: the setting of the service, that of main.cf, or otherwise the service.
    pub fn problem(&self, finding: &Finding) -> Problem {
        let entry = finding.service.as_ref().and_then(|service| entry(&self.master.content, service));
        let own = entry.as_ref().and_then(|entry| setting_in(&self.master.content, entry, finding.parameter));
        let (text, span) = match (own, parameter(&self.main.content, finding.parameter), entry) {
            (Some(span), _, _) => (&self.master, span),
            (None, Some(span), _) => (&self.main, span),
            (None, None, Some(entry)) => (&self.master, first_line(&self.master.content, &entry)),
            (None, None, None) => (&self.main, 0..0),
        };
        let problem = Problem::error(text, span, finding.message.clone()).help(finding.help.clone());
        Problem { severity: finding.severity, ..problem }
    }
}

/// The lines of a text with their ranges.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let begin = at;
        at += line.len();
        let line = line.trim_end_matches(['\r', '\n']);
        (begin..begin + line.len(), line)
    })
}

/// Whether a line continues the one before it. A comment does not end an entry either.
fn goes_on(line: &str) -> bool {
    line.trim_matches(BLANKS).is_empty() || line.starts_with(BLANKS) || line.starts_with('#')
}

/// The entry of a service, from its name to its last line with a setting.
fn entry(master: &str, title: &str) -> Option<Range<usize>> {
    let is_it = |line: &str| {
        let mut words = line.split(BLANKS).filter(|word| !word.is_empty());
        let (name, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        !goes_on(line) && format!("{name} {kind}") == title
    };
    let mut lines = lines(master).skip_while(|(_, line)| !is_it(line));
    let (first, _) = lines.next()?;
    let rest =
        lines.take_while(|(_, line)| goes_on(line)).filter(|(_, line)| !line.trim_matches(BLANKS).is_empty());
    let end = rest.filter(|(_, line)| !line.trim_start_matches(BLANKS).starts_with('#')).last();
    Some(first.start..end.map_or(first.end, |(span, _)| span.end))
}

fn first_line(text: &str, entry: &Range<usize>) -> Range<usize> {
    let length = text[entry.clone()].find('\n').unwrap_or(entry.len());
    entry.start..entry.start + length
}

/// The range of the setting of a parameter in an entry: `-o name=value`, `-o { name = value }`. The last one
/// counts.
fn setting_in(master: &str, entry: &Range<usize>, parameter: &str) -> Option<Range<usize>> {
    let sets = |line: &str| {
        let mut rest = line;
        let mut found = None;
        while let Some(at) = rest.find(parameter) {
            let before = line.len() - rest.len() + at;
            let alone = line[..before].ends_with([' ', '\t', '{']);
            let after = line[before + parameter.len()..].trim_start_matches(BLANKS);
            if alone && after.starts_with('=') {
                found = Some(before);
            }
            rest = &rest[at + parameter.len()..];
        }
        found
    };
    let inside = &master[entry.clone()];
    let found = lines(inside).filter(|(_, line)| !line.trim_start_matches(BLANKS).starts_with('#'));
    let (span, at) = found.filter_map(|(span, line)| sets(line).map(|at| (span, at))).last()?;
    Some(entry.start + span.start + at..entry.start + span.end)
}

/// The last line of main.cf that sets a parameter.
fn parameter(main: &str, parameter: &str) -> Option<Range<usize>> {
    let sets = |line: &str| {
        line.strip_prefix(parameter).is_some_and(|rest| rest.trim_start_matches(BLANKS).starts_with('='))
    };
    lines(main).filter(|(_, line)| sets(line)).last().map(|(span, _)| span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnostics::Severity;

    const MAIN: &str = "# local_recipient_maps = x\nlocal_recipient_maps = a\nsmtpd_milters=inet:h:1\nlocal_recipient_maps =\n  b\n";
    const MASTER: &str = "# smtp inet\nsmtp   inet n - y - - smtpd\n  -o smtpd_milters=inet:h:2\n# -o x=y\n  -o { x = z }\n\n\
                          pickup unix n - y 60 1 pickup\n";

    #[test]
    fn finds_the_line_of_a_finding() {
        let files = Files { main: Text::new("main.cf", MAIN), master: Text::new("master.cf", MASTER) };
        let finding = |service: Option<&str>, parameter| Finding {
            id: "x",
            severity: Severity::Warning,
            service: service.map(str::to_owned),
            parameter,
            message: "m".into(),
            help: "h".into(),
        };
        for (service, parameter, want) in [
            (None, "local_recipient_maps", "main.cf:4:1"),
            (None, "smtpd_milters", "main.cf:3:1"),
            (None, "mydestination", "main.cf:1:1"),
            (Some("smtp inet"), "smtpd_milters", "master.cf:3:6"),
            (Some("smtp inet"), "x", "master.cf:5:8"),
            (Some("smtp inet"), "local_recipient_maps", "main.cf:4:1"),
            (Some("smtp inet"), "mydestination", "master.cf:2:1"),
            (Some("none inet"), "mydestination", "main.cf:1:1"),
        ] {
            let problem = files.problem(&finding(service, parameter));
            let (line, column) = problem.place();
            assert_eq!(format!("{}:{line}:{column}", problem.text.file), want, "{service:?} {parameter}");
        }
    }
}
