//! Parses the name services for users in nsswitch.conf(5). Pure.

/// Path of the configuration.
pub(super) const NSSWITCH: &str = "/etc/nsswitch.conf";

/// The user database in it, and its default services (glibc 2.34 and later).
const DATABASE: &str = "passwd";
const DEFAULT: &str = "files";

/// A name service that does not exist. glibc looks for its library only when the search reaches it.
pub(super) const END: &str = "rcptdend";

/// The name service that reads /etc/passwd.
const FILES: &str = "files";

/// The name services for users, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Services(Vec<String>);

impl Services {
    /// Parses nsswitch.conf(5). The error describes the invalid line.
    pub fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let mut of_users = lines.filter_map(|line| {
            let (database, services) = line.split_once(':')?;
            (database.trim() == DATABASE).then_some(services)
        });
        let line = of_users.next().unwrap_or(DEFAULT);
        if of_users.next().is_some() {
            return Err(format!("{NSSWITCH} has more than one line {DATABASE}: leave one"));
        }
        let mut services = Vec::new();
        let mut rest = line.trim();
        while !rest.is_empty() {
            if let Some(bracket) = rest.strip_prefix('[') {
                let (actions, after) = bracket
                    .split_once(']')
                    .ok_or_else(|| format!("{NSSWITCH}: the line {DATABASE} has a [ without ]"))?;
                if services.is_empty() {
                    return Err(format!(
                        "{NSSWITCH}: the line {DATABASE} begins with [{actions}] without a service before it"
                    ));
                }
                if let Some(unknown) = actions.split_whitespace().find(|action| !is_action(action)) {
                    return Err(format!("{NSSWITCH}: the line {DATABASE} has an unknown action: {unknown}"));
                }
                if ends_here(actions) {
                    break;
                }
                rest = after.trim_start();
            } else {
                let end = rest.find(|c: char| c.is_whitespace() || c == '[').unwrap_or(rest.len());
                services.push(rest[..end].to_owned());
                rest = rest[end..].trim_start();
            }
        }
        if services.is_empty() {
            return Err(format!("{NSSWITCH}: the line {DATABASE} names no service"));
        }
        Ok(Services(services))
    }

    /// Whether /etc/passwd is one of the services.
    pub fn has_files(&self) -> bool {
        self.0.iter().any(|service| service == FILES || service == "compat")
    }

    /// Whether /etc/passwd is the only service.
    pub fn is_files(&self) -> bool {
        self.0.iter().all(|service| service == FILES)
    }

    /// The line for getent(1): the same services, each with actions that end the search unless it replies
    /// "not found", and finally [`END`], which glibc reaches only if all of them replied "not found".
    pub fn to_the_end(&self) -> String {
        let mut line = format!("{DATABASE}:");
        for service in &self.0 {
            line.push_str(service);
            line.push_str(" [NOTFOUND=continue UNAVAIL=return TRYAGAIN=return] ");
        }
        line + END
    }
}

/// Formats the services as in nsswitch.conf(5), without their actions.
impl std::fmt::Display for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Whether a word is a status with an action (nsswitch.conf(5)).
fn is_action(word: &str) -> bool {
    let Some((status, action)) = word.split_once('=') else { return false };
    let is_one_of = |word: &str, all: &[&str]| all.iter().any(|one| one.eq_ignore_ascii_case(word));
    is_one_of(status.trim_start_matches('!'), &["success", "notfound", "unavail", "tryagain"])
        && is_one_of(action, &["return", "continue", "merge"])
}

/// Whether the actions of a service end the search when it replies "not found".
fn ends_here(actions: &str) -> bool {
    actions.split_whitespace().fold(false, |ends, action| {
        let action = action.to_ascii_lowercase();
        let Some((status, action)) = action.split_once('=') else { return ends };
        let meant = match status.strip_prefix('!') {
            Some(other) => other != "notfound",
            None => status == "notfound",
        };
        if meant { action == "return" } else { ends }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_lines() {
        for (text, want) in [
            ("passwd: files systemd\ngroup: files\n", Ok("files systemd")),
            ("# passwd: nis\n\tpasswd:\tfiles\tsss # sssd\n", Ok("files sss")),
            ("passwd:files", Ok("files")),
            ("", Ok("files")),
            ("group: files\nshadow: sss\n", Ok("files")),
            ("passwd: files [NOTFOUND=return] sss", Ok("files")),
            ("passwd: files [!SUCCESS=return] sss", Ok("files")),
            ("passwd: files [!UNAVAIL=return] sss", Ok("files")),
            ("passwd: files [!notfound=return] sss", Ok("files sss")),
            (
                "passwd: files [UNAVAIL=return TRYAGAIN=return] sss [SUCCESS=return]systemd",
                Ok("files sss systemd"),
            ),
            ("passwd: files [success=merge notfound=return NOTFOUND=continue] sss", Ok("files sss")),
            ("passwd: files[NOTFOUND=return]sss", Ok("files")),
            ("passwd:", Err("names no service")),
            ("passwd: [NOTFOUND=return]", Err("begins with [NOTFOUND=return]")),
            ("passwd: [!UNAVAIL=return] files", Err("begins with [!UNAVAIL=return]")),
            ("passwd: files [NOTFOUND] sss", Err("unknown action: NOTFOUND")),
            ("passwd: files [GONE=return] sss", Err("unknown action: GONE=return")),
            ("passwd: files [UNAVAIL=wait] sss", Err("unknown action: UNAVAIL=wait")),
            ("passwd: files [NOTFOUND=return", Err("a [ without ]")),
            ("passwd: files\npasswd: sss\n", Err("more than one line")),
        ] {
            let got = Services::read(text).map(|services| services.to_string());
            match want {
                Ok(want) => assert_eq!(got.as_deref(), Ok(want), "{text}"),
                Err(want) => assert!(got.as_ref().is_err_and(|why| why.contains(want)), "{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn failed_service_ends_the_search() {
        let services = Services::read("passwd: files [UNAVAIL=continue] sss").unwrap();
        let each = "[NOTFOUND=continue UNAVAIL=return TRYAGAIN=return]";
        assert_eq!(services.to_the_end(), format!("passwd:files {each} sss {each} rcptdend"));
        for (text, files, only) in [
            ("files", true, true),
            ("files sss", true, false),
            ("compat", true, false),
            ("sss", false, false),
        ] {
            let services = Services::read(&format!("passwd: {text}")).unwrap();
            assert_eq!((services.has_files(), services.is_files()), (files, only), "{text}");
        }
    }
}
