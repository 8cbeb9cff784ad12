//! `rcptd demo`: the milter at work, without a mail server.
//!
//! The output shows real results: those of the daemon's own milter with built-in rules and accounts, driven
//! over a TCP connection by the mail server's side of the protocol.

mod mta;

use super::args::{self, Colour};
use super::{exit, terminal};
use crate::account::{Lookup, LookupFuture, Source, Verification};
use crate::resolve::{Resolver, Settings};
use crate::server::endpoint::Endpoint;
use crate::server::listen::{Inherited, SocketFile, bind};
use crate::server::milter::adapter::{Limits, Milter, Service};
use crate::server::milter::guessing;
use crate::server::milter::session::Policy;
use crate::server::trace::TraceBus;
use alias_rules::{Dialect, Options};
use diagnostics::Text;
use mail_address::{Address, escape};
use mta::{Edit, Mta, Reply};
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DOMAIN: &str = "example.com";
const RULES: &str = "\
# The account, a dash, who received the address, a dash, and a code that anyone can compute:
# the first character of the name and the number of its characters.
ACCOUNT foo, bar
MATCHES %account%-%alnum%-%code%
WITH CHAR(1,-), CHARS();
";
const ACCOUNTS: [&str; 3] = ["alice", "bar", "foo"];

/// Messages: title, and recipients with an explanation for each.
const MESSAGES: [(&str, &[(&str, &str)]); 2] = [
    (
        "One message, five recipients",
        &[
            ("foo-macys-m5@example.com", "alias: \"macys\" begins with m and has 5 characters"),
            ("foo-macys-m6@example.com", "wrong code"),
            ("nobody@example.com", "account not found"),
            ("alice@example.com", "the name of an account"),
            ("friend@elsewhere.example", "not one of our domains"),
        ],
    ),
    (
        "One message to two aliases of one account",
        &[("foo-macys-m5@example.com", "alias of foo"), ("foo-google-g6@example.com", "alias of foo, too")],
    ),
];

pub fn run(args: &args::Demo) -> u8 {
    let colour = match args.color {
        Colour::Auto => std::io::stdout().is_terminal(),
        Colour::Always => true,
        Colour::Never => false,
    };
    let runtime = match terminal::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    match runtime.block_on(show(&Paint { colour })) {
        Ok(text) => terminal::print(&text).err().unwrap_or(exit::OK),
        Err(e) => {
            terminal::say(format_args!("rcptd: the demonstration failed: {e}"));
            exit::SOFTWARE
        }
    }
}

/// The accounts of the demonstration: a minimal `AccountSource`.
#[derive(Debug)]
struct Accounts(Arc<str>);

impl Source<Address, Verification> for Accounts {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        let exists = ACCOUNTS.contains(&account.local());
        let verdict = if exists { Lookup::Found(()) } else { Lookup::NotFound };
        Box::pin(async move { Verification::new(verdict, &self.0) })
    }
}

fn service() -> Result<Service, String> {
    let text = Text::new("demo.rules", RULES);
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let loaded = alias_rules::load(&[text], &options).map_err(|problems| format!("{problems:?}"))?;
    let settings = Settings { domains: vec![DOMAIN.into()], origin: DOMAIN.into(), ..Settings::default() };
    let accounts = Arc::new(Accounts("demo".into()));
    let policy = Policy {
        reject_reply: "550 5.1.1 Recipient address rejected: User unknown".parse()?,
        defer_reply: "451 4.3.0 Recipient address lookup failed, please try again later".parse()?,
        max_recipients: 1000,
        header: None,
        case_sensitive: false.into(),
        dry_run: false,
        origin: DOMAIN.into(),
    };
    Ok(Service {
        resolver: Arc::new(Resolver::new(settings, Arc::new(loaded.rules), accounts)),
        policy: Arc::new(policy),
        deadline: Duration::from_secs(8),
        guessing: guessing::Settings::default(),
    })
}

async fn show(paint: &Paint) -> Result<String, String> {
    let began = Instant::now();
    let endpoint = Endpoint::Inet { host: "127.0.0.1".into(), port: 0 };
    let file = SocketFile { mode: 0o600, group: None };
    let listener = bind(&endpoint, &file, &mut Inherited::from_env()).await?.pop().ok_or("no socket")?;
    let name = listener.name().clone();
    let limits = Limits { connections: 2, idle: Duration::from_secs(10) };
    let milter = Milter::new(service()?, Arc::default(), Arc::new(TraceBus::default()));
    tokio::spawn(milter.serve(listener, limits, std::future::pending(), std::future::pending::<()>()));

    let port = name.rsplit(':').next().unwrap_or_default();
    let mut mta = Mta::connect(&format!("127.0.0.1:{port}")).await.map_err(|e| e.to_string())?;
    let mut out = String::new();
    heading(&mut out, paint);
    let mut say = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    for (title, recipients) in MESSAGES {
        say(&paint.bold(title));
        say(&paint.client("MAIL FROM:<orders@shop.example>"));
        mta.mail("orders@shop.example").await.map_err(|e| e.to_string())?;
        for (recipient, remark) in recipients {
            say(&format!(
                "{}  {}",
                paint.client(&format!("{:42}", format!("RCPT TO:<{recipient}>"))),
                paint.faint(remark)
            ));
            let reply = mta.rcpt(recipient).await.map_err(|e| e.to_string())?;
            say(&paint.reply(&reply));
        }
        let edits = mta.end_of_message().await.map_err(|e| e.to_string())?;
        say(&paint.client("DATA"));
        say(&paint.faint("    at the end of the message the milter tells the mail server:"));
        for edit in &edits {
            say(&paint.edit(edit));
        }
        say("");
    }
    mta.quit().await;
    let _ = write!(
        out,
        "That was real: rcptd's milter on {name}, driven as Postfix would, in {} ms.\n\n{NEXT}",
        began.elapsed().as_millis()
    );
    Ok(out)
}

fn heading(out: &mut String, paint: &Paint) {
    let accounts = ACCOUNTS.join(", ");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}\n",
        paint.bold(&format!("rcptd for the domain {DOMAIN}; accounts: {accounts}; rules:"))
    );
    for line in RULES.lines() {
        let _ = writeln!(out, "    {}", if line.starts_with('#') { paint.faint(line) } else { line.into() });
    }
    out.push('\n');
}

const NEXT: &str = "\
Next steps:
  1. write your rules and rcptd.conf: README.md has the smallest, milter.conf.sample all keys
  2. rcptd check -c rcptd.conf
  3. rcptd explain -c rcptd.conf foo-macys-m5@YOUR.DOMAIN
  4. connect it to Postfix or Sendmail: see MILTER_README.md; `dry_run = true` decides and logs,
     but does not change the mail
";

struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn client(&self, text: &str) -> String {
        format!("C:  {}", self.with("36", text))
    }

    fn reply(&self, reply: &Reply) -> String {
        match reply {
            Reply::Continue => format!("S:  {}", self.with("32", "250 2.1.5 Ok")),
            Reply::Error(text) => format!("S:  {}", self.with("31", &escape(text).to_string())),
        }
    }

    fn edit(&self, edit: &Edit) -> String {
        match edit {
            Edit::Delete(raw) => format!("    {}", self.with("31", &format!("- recipient {}", escape(raw)))),
            Edit::Add(path, parameters) => {
                let line = format!("+ recipient {} ({})", escape(path), escape(parameters));
                format!("    {}", self.with("32", &line))
            }
        }
    }
}
