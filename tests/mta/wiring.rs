//! Which mail servers there are, how they are wired with rcptd, and how a scenario names them.

use crate::Outcome;

/// A mail server rcptd is tested with.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub name: &'static str,
    pub family: &'static str,
    pub image: &'static str,
    /// What its log says at the start, so that a test of 3.7 is one of 3.7.
    pub version: &'static str,
}

/// All of them: those of Debian 12 and 13.
const SERVERS: [Server; 4] = [
    Server { name: "postfix-3.7", family: "postfix", image: "postfix:bookworm", version: "-- version 3.7." },
    Server { name: "postfix-3.10", family: "postfix", image: "postfix:trixie", version: "-- version 3.10." },
    Server {
        name: "sendmail-8.17",
        family: "sendmail",
        image: "sendmail:bookworm",
        version: "daemon (8.17.",
    },
    Server { name: "sendmail-8.18", family: "sendmail", image: "sendmail:trixie", version: "daemon (8.18." },
];

/// How a mail server and rcptd are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// By the milter, with a server for VRFY.
    Milter,
    /// Aliases and recipients by socketmap_table(5), no milter.
    Socketmap,
    /// The same by tcp_table(5).
    Tcp,
    /// Recipients by socketmap_table(5), aliases by the milter.
    Both,
    /// Maps of all kinds that Postfix has.
    Maps,
    /// Sendmail's virtusertable as a socket map.
    Virtuser,
}

/// A wiring: the family it is for, its word in selections, the shared configuration of rcptd, below the root of
/// the repository, and the ports that are written there and in the mail server's configuration.
const WIRINGS: [(Wiring, &str, &str, &str, &[u16]); 6] = [
    (Wiring::Milter, "", "milter", "tests/mta/rcptd.conf", &[3047, 5025]),
    (Wiring::Socketmap, "postfix", "socketmap", "install/postfix/tables.rcptd.conf", TABLES),
    (Wiring::Tcp, "postfix", "tcp", "install/postfix/tables.rcptd.conf", TABLES),
    (Wiring::Both, "postfix", "both", "install/postfix/both.rcptd.conf", TABLES),
    (Wiring::Maps, "postfix", "maps", "tests/mta/maps.conf", MAPS),
    (Wiring::Virtuser, "sendmail", "virtuser", "install/sendmail/virtuser.rcptd.conf", &[2224]),
];
const TABLES: &[u16] = &[2224, 3047, 3048, 3049, 5025];
const MAPS: &[u16] =
    &[2224, 3050, 3051, 3052, 3053, 3054, 3055, 3056, 3057, 3058, 3059, 3060, 3061, 3062, 3063, 3064];

impl Wiring {
    /// Its word, its configuration and its ports.
    pub fn row(self) -> (&'static str, &'static str, &'static [u16]) {
        let row = WIRINGS.iter().find(|row| row.0 == self);
        row.map_or(("", "", &[]), |(_, _, word, config, ports)| (*word, *config, *ports))
    }

    /// The configuration that its scenarios share.
    pub fn config(self) -> &'static str {
        self.row().1
    }
}

/// A mail server and how it is wired: one container.
#[derive(Clone, Debug)]
pub struct Kind {
    pub name: String,
    pub wiring: Wiring,
    pub server: Server,
}

impl Kind {
    /// All there are; those whose scenarios take longest first.
    pub fn all() -> Vec<Kind> {
        let wired = |(wiring, family, word, ..): &(Wiring, &str, &str, &str, &[u16])| {
            let fits = |server: &&Server| family.is_empty() || server.family == *family;
            let kind = |server: &Server| {
                let name = match wiring {
                    Wiring::Milter => server.name.to_owned(),
                    _ => format!("{}-{word}", server.name),
                };
                Kind { name, wiring: *wiring, server: *server }
            };
            SERVERS.iter().filter(fits).map(kind).collect::<Vec<_>>()
        };
        WIRINGS.iter().flat_map(wired).collect()
    }
}

/// Servers and wirings by their words, such as `postfix`, `sendmail-8.18,tables` or `tcp`.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    servers: Vec<String>,
    wirings: Vec<Wiring>,
}

impl Selection {
    /// Reads the words; the error is the one that is none.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut selection = Selection::default();
        for word in text.split(',').map(str::trim) {
            let wirings: &[Wiring] = match WIRINGS.iter().find(|row| row.2 == word) {
                Some(row) => &[row.0],
                None if word == "tables" => &[Wiring::Socketmap, Wiring::Tcp],
                None => &[],
            };
            selection.wirings.extend(wirings);
            if wirings.is_empty() {
                if !SERVERS.iter().any(|server| server.name == word || server.family == word) {
                    return Err(format!("{word:?} is no server and no wiring"));
                }
                selection.servers.push(word.to_owned());
            }
        }
        Ok(selection)
    }

    /// Whether `kind` is one of these. Where no wiring is named it is one of any, and so with servers.
    pub fn has(&self, kind: &Kind) -> bool {
        let named = |name: &String| *name == kind.server.name || *name == kind.server.family;
        (self.servers.is_empty() || self.servers.iter().any(named))
            && (self.wirings.is_empty() || self.wirings.contains(&kind.wiring))
    }

    /// Whether a scenario of this selection is for `kind`: where no wiring is named, it is for the milter.
    pub fn is_for(&self, kind: &Kind) -> bool {
        self.has(kind) && (!self.wirings.is_empty() || kind.wiring == Wiring::Milter)
    }
}
