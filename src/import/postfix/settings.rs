//! Reads parameters, and collects errors and differences with their lines.

use super::cf::{Parameter, parse};
use super::client::{Client, Named, guess};
use crate::import::{Fault, Place, difference};
use alias_rules::Difference;
use diagnostics::{Text, nearest};
use std::collections::HashMap;

/// The parameters of a file.
pub struct Settings {
    /// The client that reads the file.
    pub client: Client,
    /// The name of the file, without its folder.
    pub file: String,
    given: HashMap<String, Parameter>,
    /// Errors.
    pub faults: Vec<Fault>,
    /// Differences.
    pub differences: Vec<Difference>,
    /// What rcptd lacks to give the right answers.
    pub gaps: Vec<&'static str>,
}

impl Settings {
    /// Reads a file.
    pub fn read(named: &Named, text: &Text) -> Result<Self, Vec<Fault>> {
        let parsed = parse(&text.content);
        let given: Vec<&str> = parsed.parameters.iter().map(|parameter| &*parameter.name).collect();
        let (client, is_guessed) =
            match named.client.map_or_else(|| guess(&named.path, &given), |c| Ok((c, false))) {
                Ok(found) => found,
                Err(help) => {
                    let fault = Fault {
                        place: Place::Key(String::new()),
                        message: "the type of this table is unknown".into(),
                        help,
                    };
                    return Err(parsed.faults.into_iter().chain([fault]).collect());
                }
            };
        let file = named.path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut settings = Settings {
            client,
            file,
            given: HashMap::new(),
            faults: parsed.faults,
            differences: Vec::new(),
            gaps: Vec::new(),
        };
        if is_guessed {
            let text = format!("is assumed to be {}, from the name of the file", client.name());
            settings.say("the type", text);
        }
        for line in parsed.ignored {
            settings.say_at(
                line,
                "a line that begins with a blank",
                "is ignored by Postfix, and is left out".into(),
            );
        }
        for parameter in parsed.parameters {
            settings.add(parameter);
        }
        Ok(settings)
    }

    fn add(&mut self, parameter: Parameter) {
        let known = self.client.parameters().find(|(name, _)| *name == parameter.name);
        match known {
            Some((name, Some(text))) if !parameter.value.is_empty() => {
                self.say_at(parameter.line, name, (*text).into());
            }
            Some(_) => (),
            None => {
                let names = self.client.parameters().map(|(name, _)| *name);
                let meant = nearest(&parameter.name, names)
                    .map_or_else(String::new, |near| format!("; perhaps {near} is meant"));
                let text = format!(
                    "is no parameter of {}_table(5): Postfix ignores it, and it is left out{meant}",
                    self.client.name()
                );
                self.say_at(parameter.line, &parameter.name.clone(), text);
            }
        }
        let (line, name) = (parameter.line, parameter.name.clone());
        if let Some(before) = self.given.insert(name.clone(), parameter) {
            let text = format!("replaces the value of line {}, as in Postfix", before.line);
            self.say_at(line, &name, text);
        }
    }

    /// A value that is not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// A value, which may be empty.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.given.get(name).map(|parameter| parameter.value.clone())
    }

    /// A value of `yes` or `no`.
    pub fn yes(&mut self, name: &str, default: bool) -> bool {
        match self.text(name) {
            None => default,
            Some(text) if text.eq_ignore_ascii_case("yes") => true,
            Some(text) if text.eq_ignore_ascii_case("no") => false,
            Some(_) => {
                self.fault(name, "is neither yes nor no", "write yes or no");
                default
            }
        }
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Option<u32> {
        let text = self.text(name)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.fault(name, "is not a number", "write a number, such as 10");
        }
        number
    }

    /// A list, separated by white space or commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.raw(name).unwrap_or_default();
        text.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Reports an error in the value of a parameter. It must not quote the value, which may be a password.
    pub fn fault(&mut self, name: &str, message: &str, help: &str) {
        let place = match self.given.get(name) {
            Some(parameter) => Place::Text(parameter.line, 1),
            None => Place::Key(String::new()),
        };
        self.faults.push(Fault { place, message: format!("{name} {message}"), help: help.into() });
    }

    /// Reports a difference.
    pub fn say(&mut self, name: &str, text: impl Into<String>) {
        match self.given.get(name).map(|parameter| parameter.line) {
            Some(line) => self.say_at(line, name, text.into()),
            None => self.differences.push(difference(&format!("{}: {name}", self.file), text.into())),
        }
    }

    /// Reports those of these parameters that are set, since they are left out.
    pub fn left_out(&mut self, names: &[&str], text: &str) {
        for name in names {
            if self.text(name).is_some() {
                self.say(name, text);
            }
        }
    }

    fn say_at(&mut self, line: usize, name: &str, text: String) {
        self.differences.push(difference(&format!("{}:{line}: {name}", self.file), text));
    }

    /// Reports a difference because of which answers would be wrong. Until the operator has decided, each lookup
    /// fails temporarily.
    pub fn gap(&mut self, name: &'static str, text: &str) {
        self.say(
            name,
            format!(
                "is not supported: {text}. So each lookup in the map fails temporarily, until you remove \"fail:…\" \
                 from its source"
            ),
        );
        self.gaps.push(name);
    }
}
