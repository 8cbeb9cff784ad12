//! Checks `[greylist]`.

use super::check::{Check, text};
use super::files::{self, has_folder};
use super::keys;
use super::section::DefaultValue;
use super::tables::Tables;
use super::value::{Field, List};
use crate::greylist::client::{By, Identification};
use crate::greylist::entry::Times;
use crate::greylist::service::{Scope, Settings};
use crate::greylist::text::{Name, Template};
use crate::greylist::whitelist::{Format, Whitelist};
use crate::server::milter::reply::SmtpReply;
use crate::server::policy::Replies;
use mail_address::{escape, parse_domain};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Default of `greylist.enabled`.
pub(super) const ENABLED: bool = false;
/// Default of `greylist.store`; the service of systemd creates its folder.
pub(super) const STORE: &str = "/var/lib/rcptd/greylist.redb";
/// Default of `greylist.delay`, as of postgrey and TPRT: most programs that send spam have given up.
pub(super) const DELAY: Duration = Duration::from_mins(5);
/// Default of `greylist.retry_window`, as of postgrey.
pub(super) const RETRY_WINDOW: Duration = Duration::from_hours(48);
/// Default of `greylist.max_age`, as of postgrey: longer than a month, since many messages come once a month.
pub(super) const MAX_AGE: Duration = Duration::from_hours(35 * 24);
/// Default of `greylist.ipv4_prefix`, as of postgrey and TPRT.
pub(super) const IPV4_PREFIX: u8 = 24;
/// Default of `greylist.ipv6_prefix`: the smallest network that a host gets. /48 of TPRT may have many customers.
pub(super) const IPV6_PREFIX: u8 = 64;
/// Default of `greylist.auto_whitelist`, as of postgrey.
pub(super) const AUTO_WHITELIST: u64 = 5;
/// Default of `greylist.correspondents`.
pub(super) const CORRESPONDENTS: bool = true;
/// Default of `greylist.allow_regex`: a mistake in a regular expression disables greylisting.
pub(super) const ALLOW_REGEX: bool = false;
/// Default of `greylist.dns_deadline`.
pub(super) const DNS_DEADLINE: Duration = Duration::from_secs(2);
/// Default of `greylist.hash`.
pub(super) const HASH: bool = true;
/// Default of `greylist.max_entries`: some 100 MB.
pub(super) const MAX_ENTRIES: u64 = 1_000_000;
/// Default of `greylist.max_new`: a server of mailing lists may have as many recipients here.
pub(super) const MAX_NEW: u32 = 1000;
/// Default of `greylist.action`, as of postgrey: a later restriction may still reject the mail.
pub(super) const ACTION: &str = "DEFER_IF_PERMIT";
/// Default of `greylist.text`.
pub(super) const TEXT: &str = "4.2.0 Greylisted, please retry in {wait} seconds";
/// Default of `greylist.header`, as of TPRT.
pub(super) const HEADER: &str = "X-Greylist: delayed {delay} seconds at {hostname}; {date}";

/// Bounds of `greylist.delay`: senders whose mail waits for a day warn their users.
pub(super) const DELAYS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Bounds of `greylist.retry_window`.
pub(super) const WINDOWS: RangeInclusive<Duration> = Duration::from_mins(10)..=Duration::from_hours(30 * 24);
/// Bounds of `greylist.max_age`.
pub(super) const AGES: RangeInclusive<Duration> =
    Duration::from_hours(1)..=Duration::from_hours(10 * 366 * 24);
/// Bounds of `greylist.ipv4_prefix`, as of `guessing.ipv4_prefix`.
pub(super) const IPV4_PREFIXES: RangeInclusive<u8> = 8..=32;
/// Bounds of `greylist.ipv6_prefix`.
pub(super) const IPV6_PREFIXES: RangeInclusive<u8> = 16..=128;
/// Bounds of `greylist.auto_whitelist`.
pub(super) const COUNTS: RangeInclusive<u64> = 0..=1000;
/// Bounds of `greylist.dns_deadline`: below the deadline of the listener.
pub(super) const DNS_DEADLINES: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(10);
/// Bounds of `greylist.max_entries`.
pub(super) const ENTRY_COUNTS: RangeInclusive<u64> = 1000..=1_000_000_000;
/// Bounds of `greylist.max_new`.
pub(super) const NEW_COUNTS: RangeInclusive<u32> = 0..=10_000_000;
/// Largest file of a whitelist: some hundred thousand entries.
const MAX_LIST: u64 = 64 << 20;
/// Most files and maps in one key.
const MAX_LISTS: usize = 100;
/// Longest action, and longest name of the host, in octets.
const MAX_WORD: usize = 255;

/// Values of `greylist.client_key`.
const CLIENT_KEY: [(&str, By); 2] = [("name", By::Name), ("spf", By::Spf)];
/// Values of `greylist.null_sender`: whether it passes.
const NULL_SENDER: [(&str, bool); 2] = [("greylist", false), ("pass", true)];
/// Values of `greylist.on_store_failure`: whether mail passes.
const ON_STORE_FAILURE: [(&str, bool); 2] = [("pass", true), ("defer", false)];

pub(super) fn client_key() -> DefaultValue {
    DefaultValue::Value("[\"name\", \"spf\"]".to_owned())
}

pub(super) fn null_sender() -> DefaultValue {
    super::section::word(&NULL_SENDER, &false)
}

pub(super) fn on_store_failure() -> DefaultValue {
    super::section::word(&ON_STORE_FAILURE, &true)
}

/// Where the state of greylisting is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// A file.
    File(PathBuf),
    /// The database of this name.
    Database(String),
}

/// Settings of greylisting.
#[derive(Clone, Debug)]
pub struct GreylistSettings {
    /// The store.
    pub store: StoreSettings,
    /// Most entries in a file.
    pub max_entries: u64,
    /// The decision.
    pub settings: Settings,
    /// Maps that are whitelists.
    pub maps: Vec<Arc<str>>,
    /// Whether SPF is looked up.
    pub spf: bool,
    /// The zone of a public list of mail servers.
    pub dnswl: Option<String>,
    /// Longest wait for DNS.
    pub dns_deadline: Duration,
    /// Most new entries of a network in one hour.
    pub max_new: u32,
}

impl GreylistSettings {
    /// A copy without the entries of whitelists.
    #[must_use]
    pub fn without_content(&self) -> Self {
        let (opt_out, opt_in, whitelist) = Default::default();
        let scope = Scope { opt_out, opt_in, ..self.settings.scope.clone() };
        GreylistSettings { settings: Settings { scope, whitelist, ..self.settings.clone() }, ..self.clone() }
    }
}

/// What a check of `[greylist]` needs of the rest of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a> {
    pub folder: &'a Path,
    pub domains: &'a [String],
    pub tables: &'a Tables,
    /// Whether a policy listener is configured.
    pub is_served: bool,
    /// Whether all maps and databases could be read.
    pub complete: bool,
}

impl Check<'_> {
    /// Checks the section. `None`: greylisting is off. The files of whitelists are added to `watched`.
    pub fn greylist(
        &mut self,
        raw: &keys::Greylist,
        rest: Rest<'_>,
        watched: &mut Vec<PathBuf>,
    ) -> Option<GreylistSettings> {
        let enabled = raw.enabled.given().map_or(ENABLED, |given| given.value);
        // All keys are checked, so that turning it on has no surprises.
        let times = self.times(raw);
        let identification = Identification {
            by: self.client_key_of(&raw.client_key),
            ipv4_prefix: self.number(&raw.ipv4_prefix, IPV4_PREFIX, &IPV4_PREFIXES),
            ipv6_prefix: self.number(&raw.ipv6_prefix, IPV6_PREFIX, &IPV6_PREFIXES),
        };
        let regex = raw.allow_regex.given().map_or(ALLOW_REGEX, |given| given.value);
        let (whitelist, maps) = self.whitelists(raw, regex, rest, watched);
        let (mut opt_out, mut opt_in) = (Whitelist::default(), Whitelist::default());
        self.add_lists(&raw.opt_out, Format::Recipients, regex, rest.folder, watched, &mut opt_out);
        self.add_lists(&raw.opt_in, Format::Recipients, regex, rest.folder, watched, &mut opt_in);
        let scope = Scope {
            opt_out,
            opt_in,
            domains: self.scope_domains(&raw.domains, rest.domains),
            dry_run: self.domain_set(&raw.dry_run),
        };
        let flag = |field: &Field<bool>, default| field.given().map_or(default, |given| given.value);
        let settings = Settings {
            times,
            identification,
            enough: self.number(&raw.auto_whitelist, AUTO_WHITELIST, &COUNTS),
            hash: flag(&raw.hash, HASH),
            null_sender_passes: self.choice(&raw.null_sender, false, &NULL_SENDER),
            passes_without_store: self.choice(&raw.on_store_failure, true, &ON_STORE_FAILURE),
            correspondents: flag(&raw.correspondents, CORRESPONDENTS),
            scope,
            whitelist,
        };
        let checked = GreylistSettings {
            store: self.greylist_store(raw, rest, enabled),
            max_entries: self.number(&raw.max_entries, MAX_ENTRIES, &ENTRY_COUNTS),
            spf: settings.whitelist.needs_spf() || settings.identification.by.contains(&By::Spf),
            settings,
            maps,
            dnswl: text(&raw.dnswl).and_then(|given| self.domain(given, given.span.clone(), &given.value)),
            dns_deadline: self.time(&raw.dns_deadline, DNS_DEADLINE, &DNS_DEADLINES),
            max_new: self.number(&raw.max_new, MAX_NEW, &NEW_COUNTS),
        };
        if let Some(given) = raw.enabled.given().filter(|given| given.value && !rest.is_served) {
            let help = "add a section [[policy]] with listen = \"inet:127.0.0.1:10023\"";
            self.warning(given, "greylisting has no effect without a listener", help);
        }
        enabled.then_some(checked)
    }

    fn times(&mut self, raw: &keys::Greylist) -> Times {
        let delay = self.time(&raw.delay, DELAY, &DELAYS);
        let window = self.time(&raw.retry_window, RETRY_WINDOW, &WINDOWS);
        let max_age = self.time(&raw.max_age, MAX_AGE, &AGES);
        if window <= delay
            && let Some(place) = raw.retry_window.place().or_else(|| raw.delay.place())
        {
            let help = "make retry_window longer than delay";
            self.error(&place, format!("{}: no second attempt could pass", place.key), help);
        }
        Times { delay: delay.as_secs().max(1), window: window.as_secs(), max_age: max_age.as_secs() }
    }

    fn client_key_of(&mut self, field: &Field<List<String>>) -> Box<[By]> {
        let Some(given) = field.given() else { return CLIENT_KEY.map(|(_, by)| by).into() };
        let mut all: Vec<By> = Vec::new();
        for item in &given.value.items {
            let by = self.word(given, item.span(), item.get_ref(), &CLIENT_KEY);
            all.extend(by.filter(|by| !all.contains(by)));
        }
        all.into()
    }

    fn greylist_store(&mut self, raw: &keys::Greylist, rest: Rest<'_>, enabled: bool) -> StoreSettings {
        let value = text(&raw.store);
        let written = value.map_or(STORE, |given| given.value.as_str());
        let Some(name) = written.strip_prefix("database:") else {
            let path = rest.folder.join(written);
            if enabled && !has_folder(&path) {
                let message = format!(
                    "greylist.store: the folder of {} does not exist",
                    escape(&path.display().to_string())
                );
                let help = "create it; the user of rcptd must be able to write in it";
                if let Some(place) = raw.store.place().or_else(|| raw.enabled.place()) {
                    self.error(&place, message, help);
                }
            }
            return StoreSettings::File(path);
        };
        if let Some(given) = value {
            self.redis_database(
                given,
                name,
                &rest.tables.databases,
                rest.complete,
                "the state of greylisting",
            );
        }
        StoreSettings::Database(name.to_owned())
    }

    fn whitelists(
        &mut self,
        raw: &keys::Greylist,
        regex: bool,
        rest: Rest<'_>,
        watched: &mut Vec<PathBuf>,
    ) -> (Whitelist, Vec<Arc<str>>) {
        let (mut whitelist, mut maps) = (Whitelist::default(), Vec::new());
        if let Some(given) = raw.whitelist.given() {
            for item in given.value.items.iter().take(MAX_LISTS) {
                let Some(name) = item.get_ref().strip_prefix("map:") else { continue };
                if rest.tables.maps.iter().any(|map| *map.name == *name) {
                    maps.push(name.into());
                } else if rest.complete {
                    let message = format!("{}: there is no map {}", given.key, escape(name));
                    let help = format!("add a section [[map]] with name = \"{}\"", escape(name));
                    self.error_in(given, item.span(), message, help);
                }
            }
        }
        for (field, format) in [
            (&raw.whitelist, Format::Entries),
            (&raw.whitelist_clients, Format::Clients),
            (&raw.whitelist_recipients, Format::Recipients),
        ] {
            self.add_lists(field, format, regex, rest.folder, watched, &mut whitelist);
        }
        (whitelist, maps)
    }

    /// Adds the files of a key to `list`.
    fn add_lists(
        &mut self,
        field: &Field<List<String>>,
        format: Format,
        regex: bool,
        folder: &Path,
        watched: &mut Vec<PathBuf>,
        list: &mut Whitelist,
    ) {
        let Some(given) = field.given() else { return };
        if given.value.items.len() > MAX_LISTS {
            self.error(
                given,
                format!("{} has too many entries", given.key),
                format!("at most {MAX_LISTS} are allowed"),
            );
        }
        for item in given.value.items.iter().take(MAX_LISTS) {
            if item.get_ref().starts_with("map:") && format == Format::Entries {
                continue;
            }
            let path = folder.join(item.get_ref());
            match files::read(&path, MAX_LIST) {
                Ok(bytes) => {
                    let text = files::text(&path, &bytes, &mut self.problems);
                    self.problems.extend(list.add(&text, format, regex));
                }
                Err((why, help)) => {
                    let shown = path.display().to_string();
                    let message = format!("{}: {} cannot be read: {why}", given.key, escape(&shown));
                    self.error_in(given, item.span(), message, help);
                }
            }
            if !watched.contains(&path) {
                watched.push(path);
            }
        }
    }

    fn scope_domains(&mut self, field: &Field<List<String>>, ours: &[String]) -> Option<HashSet<Box<str>>> {
        let named = self.domain_set(field);
        if !named.is_empty() {
            return Some(named);
        }
        let ours: HashSet<Box<str>> = ours.iter().map(|domain| domain.as_str().into()).collect();
        (!ours.is_empty()).then_some(ours)
    }

    fn domain_set(&mut self, field: &Field<List<String>>) -> HashSet<Box<str>> {
        let Some(given) = field.given() else { return HashSet::new() };
        let items = &given.value.items;
        items
            .iter()
            .filter_map(|item| self.domain(given, item.span(), item.get_ref()).map(Box::from))
            .collect()
    }

    /// Checks the texts of replies. `reject` is the reject reply of the milter.
    pub fn policy_replies(&mut self, raw: &keys::Greylist, reject: &SmtpReply, delay: u64) -> Replies {
        let common = [Name::Delay, Name::Hostname, Name::Recipient];
        let text_names = [&common[..], &[Name::Wait]].concat();
        let header_names = [&common[..], &[Name::Date]].concat();
        let header = self.reply_text(&raw.header, HEADER, &header_names);
        if let Some(given) = text(&raw.header).filter(|given| !is_header(&given.value)) {
            let help = "write a name, a colon and a value, such as \"X-Greylist: delayed {delay} seconds\"";
            self.error(given, format!("{} is not a header", given.key), help);
        }
        Replies {
            reject: Replies::reject(reject),
            action: self.action(&raw.action),
            text: self.reply_text(&raw.text, TEXT, &text_names),
            header: (!header.is_empty()).then_some(header),
            hostname: self.hostname(&raw.hostname),
            delay,
        }
    }

    fn reply_text(&mut self, field: &Field<String>, default: &str, names: &[Name]) -> Template {
        if let Some(given) = field.given() {
            match Template::parse(&given.value, names) {
                Ok(template) => return template,
                Err((what, remedy)) => self.error(given, format!("{} {what}", given.key), remedy),
            }
        }
        #[expect(clippy::expect_used, reason = "the defaults are constants, and a test reads them")]
        Template::parse(default, names).expect("a default text") // proof: see the reason above
    }

    fn action(&mut self, field: &Field<String>) -> Box<str> {
        const HELP: &str = "write DEFER_IF_PERMIT, DEFER, or a code from 400 to 499, such as 450";
        let Some(given) = text(field) else { return ACTION.into() };
        let word = given.value.trim();
        let is_code = word.len() == 3
            && word.starts_with('4')
            && word.bytes().all(|b| b.is_ascii_digit())
            && word != "421";
        if is_code || ["DEFER_IF_PERMIT", "DEFER"].iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return word.to_ascii_uppercase().into();
        }
        self.error(given, format!("{} = \"{}\" does not defer", given.key, escape(&given.value)), HELP);
        ACTION.into()
    }

    fn hostname(&mut self, field: &Field<String>) -> Box<str> {
        if let Some(given) = text(field) {
            match parse_domain(&given.value) {
                Ok(name) if name.len() <= MAX_WORD => return name.into(),
                Ok(_) => {
                    self.error(given, format!("{} is too long", given.key), "write the name of this host");
                }
                Err(help) => self.error(given, format!("{} cannot be used", given.key), help),
            }
        }
        Box::default()
    }
}

/// Whether a text is a header field (RFC 5322, section 2.2).
fn is_header(text: &str) -> bool {
    text.split_once(": ").is_some_and(|(name, value)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
            && !value.trim().is_empty()
    })
}
