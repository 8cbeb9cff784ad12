//! Tables and queries of the kinds that mail systems have, in words of our own.

use rcptd::map::settings::Kind;

pub struct Schema {
    pub name: &'static str,
    pub tables: &'static [&'static str],
    pub queries: &'static [Text],
    /// Keys of its own, beside `KEYS`.
    pub keys: &'static [&'static str],
}

/// A query, in the words of each database where they differ.
pub enum Text {
    All(&'static str),
    /// MySQL's, and the others'.
    Each(&'static str, &'static str),
    Mysql(&'static str),
    NotSqlite(&'static str),
}

impl Text {
    pub fn of(&self, kind: Kind) -> Option<String> {
        match self {
            Text::All(text) => Some(*text),
            Text::Each(mysql, other) => Some(if kind == Kind::Mysql { *mysql } else { *other }),
            Text::Mysql(text) => Some(*text).filter(|_| kind == Kind::Mysql),
            Text::NotSqlite(text) => Some(*text).filter(|_| kind != Kind::Sqlite),
        }
        .map(str::to_owned)
    }
}

/// Keys of all of them: what profiles and Postfix ask beside addresses, and what is there in no table.
pub const KEYS: &[&str] = &[
    "ann@one.test",
    "ANN@One.Test",
    "bob@one.test",
    "gone@one.test",
    "nobody@one.test",
    "ann@two.test",
    "@one.test",
    "@two.test",
    "@three.test",
    "@",
    "ann@",
    "ann",
    "one.test",
    "two.test",
    "three.test",
    "ann@one.test@one.test",
    "o'neil@one.test",
    "back\\slash@one.test",
    "per%cent@one.test",
    "' OR '1'='1",
    "ann@one.test' --",
    "\"ann\"@one.test",
    " ann@one.test",
    "1",
    "0",
];

pub const ALL: &[Schema] = &[
    Schema {
        name: "postfixadmin",
        tables: &[
            "CREATE TABLE alias (address varchar(99), goto text, domain varchar(99), active boolean)",
            "CREATE TABLE alias_domain (alias_domain varchar(99), target_domain varchar(99), active boolean)",
            "CREATE TABLE mailbox (username varchar(99), maildir varchar(99), quota bigint, domain varchar(99),
                                   active boolean)",
            "CREATE TABLE domain (domain varchar(99), transport varchar(99), backupmx boolean, active boolean)",
            "INSERT INTO domain VALUES ('one.test', 'virtual', false, true), ('two.test', '', false, true),
                                       ('three.test', NULL, true, true), ('four.test', 'lmtp:x', false, false)",
            "INSERT INTO alias_domain VALUES ('two.test', 'one.test', true), ('four.test', 'one.test', false)",
            "INSERT INTO mailbox VALUES ('ann@one.test', 'one.test/ann/', 1024000, 'one.test', true),
                                        ('bob@one.test', '', 0, 'one.test', true),
                                        ('gone@one.test', 'one.test/gone/', NULL, 'one.test', false),
                                        ('o''neil@one.test', 'one.test/oneil/', 5, 'one.test', true)",
            "INSERT INTO alias VALUES ('ann@one.test', 'ann@one.test', 'one.test', true),
                                      ('info@one.test', 'ann@one.test,bob@one.test', 'one.test', true),
                                      ('empty@one.test', '', 'one.test', true),
                                      ('null@one.test', NULL, 'one.test', true),
                                      ('gone@one.test', 'ann@one.test', 'one.test', false),
                                      ('@one.test', 'all@one.test', 'one.test', true)",
        ],
        queries: &[
            Text::All("SELECT goto FROM alias WHERE address = %s AND active = '1'"),
            Text::Each(
                "SELECT goto FROM alias, alias_domain WHERE alias_domain.alias_domain = %d \
                 AND alias.address = CONCAT(%u, '@', alias_domain.target_domain) \
                 AND alias.active = 1 AND alias_domain.active = 1",
                "SELECT goto FROM alias, alias_domain WHERE alias_domain.alias_domain = %d \
                 AND alias.address = %u || '@' || alias_domain.target_domain \
                 AND alias.active AND alias_domain.active",
            ),
            Text::Each(
                "SELECT goto FROM alias, alias_domain WHERE alias_domain.alias_domain = %d \
                 AND alias.address = CONCAT('@', alias_domain.target_domain)",
                "SELECT goto FROM alias, alias_domain WHERE alias_domain.alias_domain = %d \
                 AND alias.address = '@' || alias_domain.target_domain",
            ),
            // A catch-all that spares accounts.
            Text::All(
                "SELECT goto FROM alias WHERE address = %s AND NOT EXISTS \
                 (SELECT username FROM mailbox WHERE username = %u AND domain = %d)",
            ),
            Text::All("SELECT maildir FROM mailbox WHERE username = %s AND active = '1'"),
            Text::All("SELECT quota FROM mailbox WHERE username = %s"),
            Text::All("SELECT active FROM mailbox WHERE username = %s"),
            Text::All("SELECT maildir, quota FROM mailbox WHERE username = %s"),
            Text::All("SELECT domain FROM domain WHERE domain = %s AND backupmx = '0' AND active = '1'"),
            Text::All("SELECT transport FROM domain WHERE domain = %s"),
            Text::All("SELECT transport FROM domain WHERE domain = %d"),
            Text::Mysql("SELECT domain FROM domain WHERE domain = %s AND (active = 1 || active = 2)"),
        ],
        keys: &["info@one.test", "info@two.test", "empty@one.test", "null@one.test", "info@four.test"],
    },
    Schema {
        name: "iRedMail",
        tables: &[
            "CREATE TABLE irm_domain (domain varchar(99), transport varchar(99), active smallint, expired timestamp)",
            "CREATE TABLE irm_mailbox (username varchar(99), storagebasedirectory varchar(99), maildir varchar(99),
                                       transport varchar(99), enablesmtp smallint, active smallint)",
            "CREATE TABLE forwardings (address varchar(99), forwarding varchar(99), domain varchar(99),
                                       is_list smallint, is_alias smallint, active smallint)",
            "CREATE TABLE irm_alias_domain (alias_domain varchar(99), target_domain varchar(99), active smallint)",
            "CREATE TABLE sender_relayhost (account varchar(99), relayhost varchar(99))",
            "INSERT INTO irm_domain VALUES ('one.test', 'dovecot', 1, '2037-12-31 00:00:00'),
                                           ('two.test', 'dovecot', 1, '2001-01-01 00:00:00')",
            "INSERT INTO irm_mailbox VALUES ('ann@one.test', '/var/vmail', 'one.test/a/ann', '', 1, 1),
                                            ('bob@one.test', '/var/vmail', 'one.test/b/bob', 'lmtp:unix:x', 0, 1)",
            "INSERT INTO forwardings VALUES ('ann@one.test', 'ann@one.test', 'one.test', 0, 0, 1),
                                            ('ann@one.test', 'away@else.test', 'one.test', 0, 0, 1),
                                            ('team@one.test', 'bob@one.test', 'one.test', 1, 0, 1),
                                            ('team@one.test', 'ann@one.test', 'one.test', 1, 0, 1)",
            "INSERT INTO irm_alias_domain VALUES ('two.test', 'one.test', 1)",
            "INSERT INTO sender_relayhost VALUES ('ann@one.test', '[relay.test]:587'), ('@one.test', '')",
        ],
        queries: &[
            Text::All(
                "SELECT forwardings.forwarding FROM forwardings, irm_domain WHERE forwardings.address = %s \
                 AND forwardings.domain = %d AND forwardings.domain = irm_domain.domain \
                 AND forwardings.active = 1 AND irm_domain.active = 1 ORDER BY forwarding",
            ),
            Text::Each(
                "SELECT forwardings.forwarding FROM forwardings, irm_alias_domain \
                 WHERE irm_alias_domain.alias_domain = %d AND forwardings.address = \
                 CONCAT(%u, '@', irm_alias_domain.target_domain) ORDER BY forwarding",
                "SELECT forwardings.forwarding FROM forwardings, irm_alias_domain \
                 WHERE irm_alias_domain.alias_domain = %d AND forwardings.address = \
                 %u || '@' || irm_alias_domain.target_domain ORDER BY forwarding",
            ),
            Text::Each(
                "SELECT CONCAT(storagebasedirectory, '/', maildir, '/') FROM irm_mailbox WHERE username = %s",
                "SELECT storagebasedirectory || '/' || maildir || '/' FROM irm_mailbox WHERE username = %s",
            ),
            Text::All("SELECT transport FROM irm_mailbox WHERE username = %s"),
            Text::All(
                "SELECT irm_mailbox.username FROM irm_mailbox WHERE username = %s AND active = 1 AND enablesmtp = 1 \
                 UNION SELECT forwarding FROM forwardings WHERE address = %s AND is_list = 1 ORDER BY 1",
            ),
            Text::NotSqlite("SELECT domain FROM irm_domain WHERE domain = %s AND expired > now()"),
            Text::NotSqlite("SELECT expired FROM irm_domain WHERE domain = %d AND %s <> ''"),
            Text::All("SELECT relayhost FROM sender_relayhost WHERE account = %s"),
            Text::NotSqlite("SELECT concat(%u, '+', %d) FROM irm_domain WHERE domain = %d"),
        ],
        keys: &["team@one.test", "team@two.test"],
    },
    Schema {
        name: "mailcow",
        tables: &[
            "CREATE TABLE mc_mailbox (username varchar(99), domain varchar(99), local_part varchar(99), kind varchar(9),
                                      active smallint)",
            "CREATE TABLE mc_alias (address varchar(99), goto text, domain varchar(99), sender_allowed smallint,
                                    active smallint)",
            "CREATE TABLE mc_alias_domain (alias_domain varchar(99), target_domain varchar(99), active smallint)",
            "CREATE TABLE mc_relay (id integer, hostname varchar(99), active smallint)",
            "CREATE TABLE mc_domain (domain varchar(99), relayhost integer, backupmx smallint, active smallint)",
            "INSERT INTO mc_domain VALUES ('one.test', 1, 0, 1), ('two.test', 0, 0, 1), ('three.test', 2, 1, 2)",
            "INSERT INTO mc_relay VALUES (1, '[smart.test]:587', 1), (2, '', 1)",
            "INSERT INTO mc_alias_domain VALUES ('two.test', 'one.test', 1)",
            "INSERT INTO mc_mailbox VALUES ('ann@one.test', 'one.test', 'ann', '', 1),
                                           ('room@one.test', 'one.test', 'room', 'location', 1),
                                           ('bob@one.test', 'one.test', 'bob', '', 2)",
            "INSERT INTO mc_alias VALUES ('ann@one.test', 'ann@one.test', 'one.test', 1, 1),
                                         ('shop@one.test', 'ann@one.test,bob@one.test', 'one.test', 1, 1),
                                         ('@one.test', 'ann@one.test', 'one.test', 0, 1),
                                         ('spam@one.test', 'spam@localhost', 'one.test', 1, 1)",
        ],
        queries: &[
            Text::All("SELECT goto FROM mc_alias WHERE address = %s AND (active = 1 OR active = 2)"),
            Text::Mysql("SELECT goto FROM mc_alias WHERE address = %s AND (active = 1 || active = 2)"),
            Text::Each(
                "SELECT username FROM mc_mailbox, mc_alias_domain WHERE mc_alias_domain.alias_domain = %d \
                 AND mc_mailbox.username = CONCAT(%u, '@', mc_alias_domain.target_domain) AND mc_mailbox.active = 1",
                "SELECT username FROM mc_mailbox, mc_alias_domain WHERE mc_alias_domain.alias_domain = %d \
                 AND mc_mailbox.username = %u || '@' || mc_alias_domain.target_domain AND mc_mailbox.active = 1",
            ),
            Text::Mysql(
                "SELECT GROUP_CONCAT(transport SEPARATOR '') FROM (SELECT IF(EXISTS(SELECT 1 FROM mc_domain \
                 WHERE domain = %d AND relayhost = 1), 'smtp_via:', 'smtp:') AS transport UNION ALL \
                 SELECT COALESCE((SELECT hostname FROM mc_relay WHERE id = (SELECT relayhost FROM mc_domain \
                 WHERE domain = %d)), '')) AS parts",
            ),
            Text::All(
                "SELECT hostname FROM mc_relay WHERE id IN (SELECT relayhost FROM mc_domain WHERE domain = %d) \
                 AND active = '1'",
            ),
            Text::All(
                "SELECT goto FROM mc_alias WHERE address = %s AND goto NOT LIKE '%%@localhost' \
                 UNION SELECT username FROM mc_mailbox WHERE username = %s AND kind NOT LIKE 'location%%' ORDER BY 1",
            ),
            Text::All("SELECT 'OK' FROM mc_domain WHERE domain = %d AND active IN (1, 2) AND backupmx = 0"),
            Text::All("SELECT COUNT(*) FROM mc_mailbox WHERE domain = %d AND local_part = %u"),
        ],
        keys: &["shop@one.test", "room@one.test", "spam@one.test", "x@three.test"],
    },
    Schema {
        name: "ISPmail",
        tables: &[
            "CREATE TABLE virtual_domains (id integer, name varchar(50))",
            "CREATE TABLE virtual_users (domain_id integer, email varchar(100), password varchar(150), quota bigint)",
            "CREATE TABLE virtual_aliases (domain_id integer, source varchar(100), destination varchar(100))",
            "INSERT INTO virtual_domains VALUES (1, 'one.test'), (2, 'two.test')",
            "INSERT INTO virtual_users VALUES (1, 'ann@one.test', 'x', 0), (1, 'bob@one.test', 'x', 0),
                                              (1, 'back\\slash@one.test', 'x', 0)",
            "INSERT INTO virtual_aliases VALUES (1, 'jack@one.test', 'ann@one.test'), (1, 'jack@one.test', 'bob@one.test'),
                                                (2, '@two.test', 'ann@one.test')",
        ],
        queries: &[
            Text::All("SELECT 1 FROM virtual_domains WHERE name = %s"),
            Text::All("SELECT 1 FROM virtual_users WHERE email = %s"),
            Text::All("SELECT destination FROM virtual_aliases WHERE source = %s ORDER BY destination"),
            Text::All("SELECT email FROM virtual_users WHERE email = %s"),
            // Strings are compared with numbers by some of them.
            Text::NotSqlite("SELECT name FROM virtual_domains WHERE id = %s"),
        ],
        keys: &["jack@one.test", "x@two.test", "2", "02", "2x", " 2"],
    },
    Schema {
        name: "modoboa",
        tables: &[
            "CREATE TABLE admin_domain (id integer, name varchar(100), kind varchar(20), enabled boolean)",
            "CREATE TABLE core_user (id integer, username varchar(254), is_active boolean)",
            "CREATE TABLE admin_mailbox (id integer, address varchar(252), domain_id integer, user_id integer)",
            "CREATE TABLE admin_alias (id integer, address varchar(254), domain_id integer, enabled boolean)",
            "CREATE TABLE admin_aliasrecipient (alias_id integer, address varchar(254))",
            "INSERT INTO admin_domain VALUES (1, 'one.test', 'domain', true), (2, 'two.test', 'relaydomain', true)",
            "INSERT INTO core_user VALUES (1, 'ann@one.test', true), (2, 'gone@one.test', false)",
            "INSERT INTO admin_mailbox VALUES (1, 'ann', 1, 1), (2, 'gone', 1, 2)",
            "INSERT INTO admin_alias VALUES (1, 'ann@one.test', 1, true), (2, 'all@one.test', 1, true),
                                            (3, 'off@one.test', 1, false)",
            "INSERT INTO admin_aliasrecipient VALUES (1, 'ann@one.test'), (2, 'ann@one.test'), (2, 'gone@one.test'),
                                                     (3, 'ann@one.test')",
        ],
        queries: &[
            Text::All("SELECT name FROM admin_domain WHERE name = %s AND kind = 'domain' AND enabled = '1'"),
            Text::All(
                "SELECT alr.address FROM admin_aliasrecipient AS alr INNER JOIN admin_alias AS al \
                 ON alr.alias_id = al.id WHERE al.enabled = '1' AND al.address = %s ORDER BY 1",
            ),
            Text::All(
                "SELECT 1 FROM core_user AS u INNER JOIN admin_mailbox AS mb ON mb.user_id = u.id \
                 INNER JOIN admin_domain AS dom ON mb.domain_id = dom.id \
                 WHERE dom.name = %d AND u.is_active = '1' AND mb.address = %u",
            ),
            Text::NotSqlite(
                "SELECT CONCAT_WS('/', dom.name, mb.address, '') FROM admin_mailbox AS mb \
                 INNER JOIN admin_domain AS dom ON mb.domain_id = dom.id WHERE dom.name = %d AND mb.address = %u",
            ),
            Text::All("SELECT 'lmtp:unix:private/dovecot-lmtp' FROM admin_domain WHERE name = %s AND kind = 'domain'"),
        ],
        keys: &["all@one.test", "off@one.test", "x@two.test"],
    },
];
