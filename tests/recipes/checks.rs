//! The recipe of header and body checks, asked by cleanup(8).

use super::common::{Daemon, Site};
use super::postfix_server::{Postfix, Smtp};
use super::programs::{free_port, program};
use super::servers::{ADMIN, Make, PASSWORD};
use super::{section, site, texts};
use std::process::Command;

const TABLES: &str = "
    CREATE TABLE header_checks (id integer PRIMARY KEY, pattern varchar(255), action varchar(255));
    CREATE TABLE body_checks (id integer PRIMARY KEY, pattern varchar(255), action varchar(255));
    INSERT INTO header_checks VALUES
        (1, 'subject:%lottery%', 'REJECT 5.7.1 no lottery'), (2, 'subject:%', 'PREPEND X-Checked: yes'),
        (3, 'x-ignored:%', 'IGNORE'), (4, 'x-old:%', 'replace X-New: 2'), (5, 'x-typo:%', 'REJCT no'),
        (6, 'x-text:%', 'PREPEND no header'), (7, 'x-long:%the end', 'IGNORE'), (8, 'x-code:%', '550 5.7.1 no');
    INSERT INTO body_checks VALUES (1, '%buy pills%', 'REJECT'), (2, 'remove%', 'REPLACE (removed)'),
                                   (3, 'typo%', 'REMOVE')";

const ACCEPTED: &str = "250 2.0.0 Ok: queued as ";

/// A message, the first characters of the reply, and a line that the message in the queue has or, after a !, lacks.
fn cases() -> Vec<(String, &'static str, &'static str)> {
    // Headers of about this many octets, in lines of 900.
    let long = |octets: usize| {
        format!("x{}\r\n\t the end", format!("\r\n\t{}", "x".repeat(897)).repeat(octets / 900))
    };
    let case = |text: &str, reply, line| (text.to_owned(), reply, line);
    vec![
        case("Subject: hello\r\n\r\nhello", ACCEPTED, "X-Checked: yes"),
        case("From: a@b.test\r\n\r\nhello", ACCEPTED, "!X-Checked: yes"),
        case("Subject: Win in the LOTTERY\r\n\r\nhello", "550 5.7.1 no lottery", ""),
        case("Subject: Win\r\n in the lottery\r\n\r\nhello", "550 5.7.1 no lottery", ""),
        case("X-Ignored: x\r\n\r\nhello", ACCEPTED, "!X-Ignored: x"),
        case("X-Old: 1\r\n\r\nhello", ACCEPTED, "X-New: 2"),
        case("X-Typo: 1\r\n\r\nhello", "451 4.3.0", ""),
        case("X-Text: 1\r\n\r\nhello", "451 4.3.0", ""),
        case("X-Code: 1\r\n\r\nhello", "451 4.3.0", ""),
        case("X-A: 1\r\n\r\nPlease buy pills.", "550 5.7.1", ""),
        case("X-A: 1\r\n\r\nRemove this line\r\nhello", ACCEPTED, "(removed)"),
        case("X-A: 1\r\n\r\ntypo", "451 4.3.0", ""),
        (format!("X-Long: {}\r\n\r\nhello", long(9_000)), ACCEPTED, "!\t the end"),
        (format!("X-Long: {}\r\n\r\nhello", long(100_000)), ACCEPTED, "!\t the end"),
        // Postfix discards the end.
        (format!("X-Long: {}\r\n\r\nhello", long(150_000)), ACCEPTED, "!\t the end"),
    ]
}

fn send(port: u16, message: &str) -> String {
    let mut smtp = Smtp::connect(port);
    for (command, want) in
        [("MAIL FROM:<a@b.test>", "250 "), ("RCPT TO:<ann@example.com>", "250 "), ("DATA", "354 ")]
    {
        let reply = smtp.ask(command);
        assert!(reply.starts_with(want), "{reply}");
    }
    smtp.ask(&format!("{message}\r\n."))
}

/// The message in the queue that a reply names.
fn queued(postfix: &Postfix, reply: &str) -> String {
    let id = reply.strip_prefix(ACCEPTED).unwrap();
    let mut postcat = Command::new(program("postcat", "postfix"));
    let output = postcat.arg("-c").arg(postfix.path("")).args(["-q", id]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn start(site: &site::Site, port: u16) -> Daemon {
    let folder = Site::new("", "");
    let recipe = texts(&section("Checks of headers and bodies"), "toml").concat();
    let settings = site.settings();
    folder.write("password", PASSWORD);
    super::private(&folder.path("password"));
    let config = format!(
        "domains = [\"example.com\"]\n[account]\nsource = \"none:\"\n\
         [[socketmap]]\nlisten = \"inet:127.0.0.1:{port}\"\n\
         [[database]]\nname = \"mail\"\nkind = \"{}\"\nhosts = [\"127.0.0.1:{}\"]\nuser = \"{ADMIN}\"\n\
         password_file = \"{}\"\ndatabase = \"{}\"\n{recipe}",
        site.kind().name(),
        site.port(),
        folder.path("password").display(),
        settings.database
    );
    folder.write("rcptd.conf", &config);
    Daemon::start(folder)
}

async fn checks(mut site: site::Site) {
    let mut admin = site.admin().await;
    for statement in TABLES.split_inclusive(';') {
        admin.run(statement).await;
    }
    drop(admin);
    let (port, smtpd) = (free_port(), free_port());
    let daemon = start(&site, port);
    let mut main = texts(&section("Checks of headers and bodies"), "text").concat();
    super::replace(&mut main, "127.0.0.1:2224", &format!("127.0.0.1:{port}"));
    main.push_str("virtual_mailbox_domains = example.com\nvirtual_mailbox_maps = static:all\n");
    // No service removes messages from the queue.
    let postfix = Postfix::start(&main, &format!("127.0.0.1:{smtpd} inet n - n - - smtpd"), &[], smtpd);
    let logs = || format!("{}\n{}", daemon.log.text(), postfix.log());
    for (message, want, line) in cases() {
        let reply = send(smtpd, &message);
        let case = format!("{message:.60}");
        assert!(reply.starts_with(want), "{case:?}: {reply}\n{}", logs());
        if !line.is_empty() {
            let text = queued(&postfix, &reply);
            let is_there = |line| text.lines().any(|one| one == line);
            let fits = line.strip_prefix('!').map_or_else(|| is_there(line), |line| !is_there(line));
            assert!(fits, "{case:?}: {line}: {text:.2000}");
        }
    }
    daemon.log.wait_for(0, "not an action of header_checks(5), perhaps REJECT");
    site.process().stop();
    let reply = send(smtpd, "Subject: hello\r\n\r\nhello");
    assert!(reply.starts_with("451 4.3.0"), "{reply}\n{}", logs());
}

#[tokio::test]
async fn checks_in_mariadb() {
    checks(site::Site::server(Make::Mariadb)).await;
}

#[tokio::test]
async fn checks_in_postgresql() {
    checks(site::Site::server(Make::Postgresql)).await;
}
