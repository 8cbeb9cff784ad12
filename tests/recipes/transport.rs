//! The recipe of transports, as transport_maps of a Postfix, with lists of recipients that depend on them.

use super::common::{Daemon, Site};
use super::postfix_server::{Postfix, PostmapResult, rcpt};
use super::programs::free_port;
use super::{LATER, NOT_FOUND, RULES, codes, replace, section, texts};
use rcptd::map::settings::{DatabaseSettings, Kind};
use std::fmt::Write as _;

/// Exceptions; the entry of a domain is also found for names that do not exist.
const EXCEPTIONS: &str = "relayed@example.com relay:[mx2.example.com]\nclosed@example.com error:5.7.1 closed\n\
                          .example.net error:5.7.1 closed\n";

const TABLES: &str = "CREATE TABLE alias (address text, goto text);
    CREATE TABLE transport (address text, transport text);
    INSERT INTO alias VALUES ('a@example.com', 'ann@example.com'), ('b@example.com', 'ann@example.com'),
                             ('c@example.com', 'ann@example.com');
    INSERT INTO transport VALUES ('a@example.com', ':'), ('b@example.com', 'relay:[mx2.example.com]')";

const ERROR: &str = "550 5.7.1";
/// The transport `error:` decides before the list of recipients; this is that of the table after rcptd's.
const NO_TRANSPORT: &str = "550 5.1.2";
const FOUND: &str = super::FOUND;

/// An address and its transport; the first characters of the replies to RCPT from an smtpd that accepts every name, only
/// those in `elsewhere`, and only those in `here`.
const CASES: &[(&str, &str, [&str; 3])] = &[
    ("ann@example.com", ":", [FOUND, NOT_FOUND, FOUND]),
    ("Ann@Example.COM", ":", [FOUND, NOT_FOUND, FOUND]),
    ("ann-macys-m5@example.com", ":", [FOUND, NOT_FOUND, FOUND]),
    ("ann-macys-m6@example.com", "-", [NO_TRANSPORT; 3]),
    ("nobody@example.com", "-", [NO_TRANSPORT; 3]),
    ("relayed@example.com", "relay:[mx2.example.com]", [FOUND, FOUND, NOT_FOUND]),
    ("closed@example.com", "error:5.7.1 closed", [ERROR; 3]),
    ("ann@sub.example.net", "error:5.7.1 closed", [ERROR; 3]),
    ("ann@example.net", "-", [NO_TRANSPORT; 3]),
    // Lookups of accounts in this domain fail temporarily.
    ("ann@example.org", "?", [LATER; 3]),
];

fn configuration(folder: &Site, port: u16) -> String {
    let database = folder.path("mail.db").display().to_string();
    let recipe = texts(&section("Transports of recipients"), "toml").join("\n");
    let mut config = format!(
        "domains = [\"example.com\", \"example.org\"]\nrules = [\"aliases.rules\"]\n\
         [[socketmap]]\nlisten = \"inet:127.0.0.1:{port}\"\n\
         [account]\nsource = [{{ source = \"file:{}\", domains = [\"example.com\"] }}, {{ source = \"fail:\" }}]\n\
         [[database]]\nname = \"mail\"\nkind = \"sqlite\"\nfile = \"{database}\"\n{recipe}\n",
        folder.path("accounts").display()
    );
    replace(&mut config, "/etc/rcptd/transport", &folder.path("transport").display().to_string());
    config
}

/// Adds the recipe with the opposite condition.
fn with_opposite(config: &mut String) {
    let (_, query) = config.split_once("name = \"aliases_here\"").unwrap();
    let opposite = query.replace("NOT EXISTS", "EXISTS");
    write!(config, "\n[[map]]\nname = \"aliases_elsewhere\"{opposite}").unwrap();
}

#[tokio::test]
async fn transports_of_recipients() {
    let folder = Site::new("", "");
    let database = DatabaseSettings {
        file: Some(folder.path("mail.db")),
        ..DatabaseSettings::new("mail", Kind::Sqlite)
    };
    super::Admin::open(&database).await.run(TABLES).await;
    let (port, smtpd) = (free_port(), [0; 3].map(|_| free_port()));
    let mut config = configuration(&folder, port);
    with_opposite(&mut config);
    for (name, content) in
        [("rcptd.conf", &*config), ("aliases.rules", RULES), ("transport", EXCEPTIONS), ("accounts", "ann\n")]
    {
        folder.write(name, content);
    }
    let daemon = Daemon::start(folder);
    let place = format!("socketmap:inet:127.0.0.1:{port}");
    let main = format!(
        "virtual_mailbox_domains = example.com, example.org, example.net, sub.example.net\n\
         transport_maps = {place}:transport, static:{{error:5.1.2 no transport}}\n"
    );
    let recipients = ["static:all".to_owned(), format!("{place}:elsewhere"), format!("{place}:here")];
    let services = smtpd.iter().zip(recipients).fold(String::new(), |mut all, (port, recipients)| {
        writeln!(all, "127.0.0.1:{port} inet n - n - - smtpd\n  -o virtual_mailbox_maps={recipients}")
            .unwrap();
        all
    });
    let postfix = Postfix::start(&main, &services, &[], smtpd[2]);

    let addresses: Vec<&str> = CASES.iter().map(|(address, ..)| *address).collect();
    let values = postfix.postmap(&format!("{place}:transport"), &addresses);
    let replies = smtpd.map(|port| rcpt(port, &addresses));
    for (number, (address, value, want)) in CASES.iter().enumerate() {
        let value = match *value {
            "-" => PostmapResult::NotFound,
            "?" => PostmapResult::Failure,
            value => PostmapResult::Value(value.into()),
        };
        assert_eq!(values[number], value, "{address}");
        let got = replies.each_ref().map(|replies| codes(&replies[number]));
        assert_eq!(got, want.map(str::to_owned), "{address}\n{}\n{}", daemon.log.text(), postfix.log());
    }
    let keys = ["a@example.com", "b@example.com", "c@example.com", "d@example.com", "*"];
    let to = || PostmapResult::Value("ann@example.com".into());
    let (no, maps) = (|| PostmapResult::NotFound, ["aliases_here", "aliases_elsewhere", "transport"]);
    for (map, want) in maps.iter().zip([
        [to(), no(), to(), no(), no()],
        [no(), to(), no(), no(), no()],
        // trivial-rewrite(8) asks for the last one.
        [no(), no(), no(), no(), no()],
    ]) {
        assert_eq!(postfix.postmap(&format!("{place}:{map}"), &keys), want, "{map}");
    }
}
