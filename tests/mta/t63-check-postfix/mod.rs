//! What `rcptd check --postfix` finds, by what the postconf(1) of this Postfix prints: nothing with a recipe of
//! install/postfix, and each fault of a configuration that has many.

use crate::Outcome;
use crate::stage::Stage;
use rcptd::config;
use rcptd::wiring::{Facts, Ours, Output, Postfix, check};
use std::collections::BTreeSet;
use std::path::Path;

/// The wirings that recipes are for.
pub const ON: &str = "postfix,milter,tables,both";

/// Where the container has the configuration with faults.
const SEEDED: &str = "/tests/t63-check-postfix/seeded";
/// What has to be found there.
const WANT: [&str; 14] = [
    "default-action 127.0.0.1:25 inet",
    "delimiter-extra",
    "domain-cannot-tell",
    "map-type-refused",
    "milter-timeout 127.0.0.1:25 inet",
    "opens-others 127.0.0.1:25 inet",
    "proxy-not-allowed submission inet",
    "service-not-wired smtp inet",
    "service-not-wired submission inet",
    "vrfy-for-all smtp inet",
    "vrfy-for-all submission inet",
    "vrfy-off 127.0.0.1:5025 inet",
    "vrfy-open 127.0.0.1:5025 inet",
    "vrfy-soft 127.0.0.1:5025 inet",
];

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let found = findings(stage, &stage.folder.join("rcptd.conf"), None)?;
    if !found.is_empty() {
        return Err(format!("the recipe has findings: {found:?}"));
    }
    // As it is, since its ports are those of the faulty configuration.
    let config = stage.mta.root.join("tests/mta/t63-check-postfix/seeded.conf");
    let found: BTreeSet<String> = findings(stage, &config, Some(SEEDED))?.into_iter().collect();
    let want: BTreeSet<String> = WANT.into_iter().map(str::to_owned).collect();
    let (more, missing): (Vec<_>, Vec<_>) =
        (found.difference(&want).collect(), want.difference(&found).collect());
    if !more.is_empty() || !missing.is_empty() {
        return Err(format!("with many faults there are too many {more:?}, missing {missing:?}"));
    }
    Ok(format!("{} faults found, none with the recipe", found.len()))
}

/// What is found of the configuration in `folder` of the container, or of the running one.
fn findings(stage: &Stage<'_>, config: &Path, folder: Option<&str>) -> Outcome<Vec<String>> {
    let postconf = |option: Option<&str>| {
        let mut words = vec!["postconf"];
        words.extend(folder.iter().flat_map(|folder| ["-c", folder]));
        words.extend(option);
        match stage.mta.ask(&words)? {
            (0, printed) => Ok(printed),
            (code, printed) => Err(format!("{words:?} ended with exit code {code}: {printed}")),
        }
    };
    let (all, set) = (postconf(None)?, postconf(Some("-n"))?);
    let (services, overrides) = (postconf(Some("-M"))?, postconf(Some("-P"))?);
    let output = Output { all: &all, set: &set, services: &services, overrides: &overrides };
    let config = config::load(config).map_err(|problems| format!("{problems:?}"))?;
    let mut ours = Ours::new(&config);
    // The tests ask by way of a port of their own; it stands for the server for VRFY.
    if let (Some(vrfy), None) = (stage.mta.vrfy(), folder) {
        for asked in &mut ours.asked {
            asked.place = Some((vrfy.ip().to_string(), vrfy.port()));
        }
    }
    // A server that accepts everything, which the tests have beside the recipe.
    let open = format!(" {} inet", stage.mta.open);
    let found = check(&Postfix::read(output), &ours, &Facts::default()).into_iter().map(|finding| {
        finding.service.map_or(finding.id.to_owned(), |service| format!("{} {service}", finding.id))
    });
    Ok(found.filter(|found| stage.mta.open == stage.mta.smtp || !found.ends_with(&open)).collect())
}
