//! The tables of mail systems that the recipes need, with their accounts.

/// A mail system.
pub struct Schema {
    /// Its heading in the document.
    pub name: &'static str,
    /// The character set of its databases in MariaDB.
    pub charset: &'static str,
    pub has_postgresql: bool,
    pub tables: &'static [&'static str],
    pub cases: &'static [(&'static str, Exists)],
}

impl Schema {
    /// The name of its database.
    pub fn database(&self) -> String {
        self.name.to_lowercase()
    }
}

/// Whether an address exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    Yes,
    /// By a rule of aliases, whose account exists.
    ByRule,
    /// Only by a catch-all entry.
    ByCatchAll,
    No,
}

use Exists::{ByCatchAll, ByRule, No, Yes};

/// Cases of all mail systems.
pub const CASES: &[(&str, Exists)] = &[
    ("ann@example.com", Yes),
    ("Ann@Example.COM", Yes),
    ("postmaster@example.com", Yes),
    ("info@example.com", Yes),
    ("o'neil@example.com", Yes),
    ("ann-macys-m5@example.com", ByRule),
    ("ann-macys-m6@example.com", ByCatchAll),
    ("off-macys-m5@example.com", ByCatchAll),
    ("off@example.com", ByCatchAll),
    ("nobody@example.com", ByCatchAll),
    ("_@example.com", ByCatchAll),
    ("'or'1'='1@example.com", ByCatchAll),
];

pub const ALL: &[Schema] = &[
    Schema {
        name: "postfixadmin",
        charset: "latin1",
        has_postgresql: true,
        tables: &[
            "CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, maildir varchar(255), domain varchar(255),
                                   active boolean)",
            "CREATE TABLE alias (address varchar(255) PRIMARY KEY, goto text, domain varchar(255), active boolean)",
            "CREATE TABLE alias_domain (alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255),
                                        active boolean)",
            "INSERT INTO mailbox VALUES ('ann@example.com', 'example.com/ann/', 'example.com', true),
                                        ('o''neil@example.com', 'example.com/oneil/', 'example.com', true),
                                        ('off@example.com', 'example.com/off/', 'example.com', false),
                                        ('away@example.com', 'example.com/away/', 'example.com', false)",
            "INSERT INTO alias VALUES ('ann@example.com', 'ann@example.com', 'example.com', true),
                                      ('off@example.com', 'off@example.com', 'example.com', true),
                                      ('away@example.com', 'away@example.com,ann@example.com', 'example.com', true),
                                      ('info@example.com', 'ann@example.com,x@else.test', 'example.com', true),
                                      ('old@example.com', 'ann@example.com', 'example.com', false),
                                      ('empty@example.com', '', 'example.com', true),
                                      ('postmaster@example.com', 'ann@example.com', 'example.com', true),
                                      ('@example.com', 'ann@example.com', 'example.com', true)",
            "INSERT INTO alias_domain VALUES ('example.org', 'example.com', true),
                                             ('example.net', 'example.com', false)",
        ],
        cases: &[
            ("away@example.com", Yes),
            ("old@example.com", ByCatchAll),
            ("empty@example.com", ByCatchAll),
            ("ann@example.org", Yes),
            ("info@example.org", Yes),
            ("off@example.org", ByCatchAll),
            ("nobody@example.org", ByCatchAll),
            ("ann@example.net", No),
        ],
    },
    Schema {
        name: "iRedMail",
        charset: "utf8mb4",
        has_postgresql: true,
        tables: &[
            "CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, domain varchar(255), maildir varchar(255),
                                   enabledeliver smallint, active smallint)",
            "CREATE TABLE forwardings (address varchar(255), forwarding varchar(255), domain varchar(255),
                                       is_list smallint, is_forwarding smallint, is_alias smallint, active smallint)",
            "CREATE TABLE maillists (address varchar(255), domain varchar(255), transport varchar(255), active smallint)",
            "CREATE TABLE alias_domain (alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255),
                                        active smallint)",
            "INSERT INTO mailbox VALUES ('ann@example.com', 'example.com', 'example.com/a/ann', 1, 1),
                                        ('o''neil@example.com', 'example.com', 'example.com/o/oneil', 1, 1),
                                        ('off@example.com', 'example.com', 'example.com/o/off', 1, 0),
                                        ('sends@example.com', 'example.com', 'example.com/s/sends', 0, 1)",
            "INSERT INTO forwardings VALUES
                 ('ann@example.com', 'ann@example.com', 'example.com', 0, 1, 0, 1),
                 ('off@example.com', 'off@example.com', 'example.com', 0, 1, 0, 1),
                 ('sends@example.com', 'sends@example.com', 'example.com', 0, 1, 0, 1),
                 ('info@example.com', 'ann@example.com', 'example.com', 0, 0, 1, 1),
                 ('team@example.com', 'ann@example.com', 'example.com', 1, 0, 0, 1),
                 ('team@example.com', 'o''neil@example.com', 'example.com', 1, 0, 0, 1),
                 ('old@example.com', 'ann@example.com', 'example.com', 1, 0, 0, 0),
                 ('postmaster@example.com', 'ann@example.com', 'example.com', 0, 0, 1, 1),
                 ('example.com', 'ann@example.com', 'example.com', 0, 0, 0, 1)",
            "INSERT INTO maillists VALUES ('talk@example.com', 'example.com', 'mlmmj:example.com/talk', 1),
                                          ('quiet@example.com', 'example.com', 'mlmmj:example.com/quiet', 0)",
            "INSERT INTO alias_domain VALUES ('example.org', 'example.com', 1), ('example.net', 'example.com', 0)",
        ],
        cases: &[
            ("sends@example.com", ByCatchAll),
            ("team@example.com", Yes),
            ("old@example.com", ByCatchAll),
            ("talk@example.com", Yes),
            ("quiet@example.com", ByCatchAll),
            ("ann@example.org", Yes),
            ("info@example.org", Yes),
            ("talk@example.org", Yes),
            ("nobody@example.org", ByCatchAll),
            ("ann@example.net", No),
        ],
    },
    Schema {
        name: "mailcow",
        charset: "utf8mb4",
        has_postgresql: false,
        tables: &[
            "CREATE TABLE mailbox (username varchar(255) PRIMARY KEY, domain varchar(255), local_part varchar(255),
                                   kind varchar(100), active tinyint)",
            "CREATE TABLE alias (id integer PRIMARY KEY AUTO_INCREMENT, address varchar(255), goto text,
                                 domain varchar(255), active tinyint)",
            "CREATE TABLE alias_domain (alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255),
                                        active tinyint)",
            "CREATE TABLE spamalias (address varchar(255) PRIMARY KEY, goto text, validity integer)",
            "INSERT INTO mailbox VALUES ('ann@example.com', 'example.com', 'ann', '', 1),
                                        ('o''neil@example.com', 'example.com', 'o''neil', '', 1),
                                        ('room@example.com', 'example.com', 'room', 'location', 1),
                                        ('nologin@example.com', 'example.com', 'nologin', '', 2),
                                        ('off@example.com', 'example.com', 'off', '', 0)",
            "INSERT INTO alias (address, goto, domain, active) VALUES
                 ('ann@example.com', 'ann@example.com', 'example.com', 1),
                 ('off@example.com', 'off@example.com', 'example.com', 1),
                 ('info@example.com', 'ann@example.com,nologin@example.com', 'example.com', 1),
                 ('old@example.com', 'ann@example.com', 'example.com', 0),
                 ('drop@example.com', 'null@localhost', 'example.com', 1),
                 ('postmaster@example.com', 'ann@example.com', 'example.com', 1),
                 ('@example.com', 'ann@example.com', 'example.com', 1)",
            "INSERT INTO alias_domain VALUES ('example.org', 'example.com', 1), ('example.net', 'example.com', 0)",
            "INSERT INTO spamalias VALUES ('once@example.com', 'ann@example.com', UNIX_TIMESTAMP() + 10000),
                                          ('gone@example.com', 'ann@example.com', UNIX_TIMESTAMP() - 10000)",
        ],
        cases: &[
            ("room@example.com", Yes),
            ("nologin@example.com", Yes),
            ("old@example.com", ByCatchAll),
            ("drop@example.com", Yes),
            ("once@example.com", Yes),
            ("gone@example.com", ByCatchAll),
            ("ann@example.org", Yes),
            ("info@example.org", Yes),
            ("nobody@example.org", ByCatchAll),
            ("ann@example.net", No),
        ],
    },
    Schema {
        name: "ISPmail",
        charset: "utf8mb4",
        has_postgresql: true,
        tables: &[
            "CREATE TABLE virtual_domains (id integer PRIMARY KEY, name varchar(50))",
            "CREATE TABLE virtual_users (id integer PRIMARY KEY, domain_id integer, email varchar(100),
                                         password varchar(150))",
            "CREATE TABLE virtual_aliases (id integer PRIMARY KEY, domain_id integer, source varchar(100),
                                           destination varchar(100))",
            "INSERT INTO virtual_domains VALUES (1, 'example.com'), (2, 'example.org')",
            "INSERT INTO virtual_users VALUES (1, 1, 'ann@example.com', 'x'), (2, 1, 'o''neil@example.com', 'x'),
                                              (3, 2, 'bob@example.org', 'x')",
            "INSERT INTO virtual_aliases VALUES (1, 1, 'info@example.com', 'ann@example.com'),
                                                (2, 1, 'info@example.com', 'bob@example.org'),
                                                (3, 1, 'postmaster@example.com', 'ann@example.com'),
                                                (4, 1, '@example.com', 'ann@example.com')",
        ],
        cases: &[("bob@example.org", Yes), ("ann@example.org", No), ("info@example.org", No)],
    },
    Schema {
        name: "DBMail",
        charset: "utf8",
        has_postgresql: true,
        tables: &[
            "CREATE TABLE dbmail_users (user_idnr bigint PRIMARY KEY, userid varchar(100), passwd varchar(130),
                                        client_idnr bigint)",
            "CREATE TABLE dbmail_aliases (alias_idnr bigint PRIMARY KEY, alias varchar(100), deliver_to varchar(250),
                                          client_idnr bigint)",
            "INSERT INTO dbmail_users VALUES (1, 'ann@example.com', 'x', 0), (2, 'oneil', 'x', 0),
                                             (3, '__@!internal_delivery_user!@__', 'x', 0)",
            "INSERT INTO dbmail_aliases VALUES (1, 'o''neil@example.com', '2', 0), (2, 'info@example.com', '1', 0),
                                               (3, 'info@example.com', 'x@else.test', 0), (4, 'hostmaster@', '1', 0),
                                               (5, 'postmaster@example.com', '1', 0), (6, '@example.com', '1', 0)",
        ],
        cases: &[
            ("oneil@example.com", ByCatchAll),
            ("hostmaster@example.com", Yes),
            ("hostmaster@example.org", Yes),
            ("ann@example.org", No),
        ],
    },
];
