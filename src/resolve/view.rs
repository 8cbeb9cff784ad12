//! The resolver as a map: the outcome for a recipient as the value of a key.

use crate::map::{Lookup, LookupFuture, Reason, Source};
use crate::resolve::{Outcome, Question, Resolution, Resolver};
use mail_address::{Address, canonical_domain, escape};
use std::sync::Arc;

/// Purpose of a map of the resolver; decides which value a key has.
///
/// | outcome | [`VirtualAlias`](ResolverView::VirtualAlias) | [`Recipients`](ResolverView::Recipients) | [`Account`](ResolverView::Account) | [`SenderLogin`](ResolverView::SenderLogin) | [`Access`](ResolverView::Access) | [`Transport`](ResolverView::Transport) |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | not ours | – | – | – | – | – | – |
/// | keep | – | the account | – | the account | `DUNNO` | `:` |
/// | rewrite | the account | the account | its local part, at [`origin`](Resolver::origin) | the account, if it is ours | `DUNNO` | `:` |
/// | reject | – | – | – | – | the reject reply | – |
/// | defer | temporary failure | temporary failure | temporary failure | temporary failure | temporary failure | temporary failure |
///
/// "–" is "not found".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolverView {
    /// virtual_alias_maps of Postfix, virtusertable of Sendmail: alias to account.
    VirtualAlias,
    /// local_recipient_maps, relay_recipient_maps and virtual_mailbox_maps: all valid recipients.
    Recipients,
    /// trualias' table of local parts: maps an alias without its domain to the account without its domain.
    Account,
    /// smtpd_sender_login_maps: the account that may send as this address, by its address.
    SenderLogin,
    /// smtpd_sender_login_maps by the local part of the account, for sites whose users log in with that.
    SenderLoginName,
    /// check_recipient_access: an action of access(5).
    Access,
    /// transport_maps: the default transport, for all valid recipients.
    Transport,
    /// virtual_alias_domains, virtual_mailbox_domains, relay_domains: our domains.
    Domains,
}

impl ResolverView {
    /// All views, by their names in the configuration.
    pub const ALL: [(&'static str, ResolverView); 8] = [
        ("virtual_alias", ResolverView::VirtualAlias),
        ("recipients", ResolverView::Recipients),
        ("account", ResolverView::Account),
        ("sender_login", ResolverView::SenderLogin),
        ("sender_login_name", ResolverView::SenderLoginName),
        ("access", ResolverView::Access),
        ("transport", ResolverView::Transport),
        ("domains", ResolverView::Domains),
    ];

    /// The view of this name.
    pub fn named(name: &str) -> Option<ResolverView> {
        ResolverView::ALL.iter().find(|(word, _)| *word == name).map(|(_, view)| *view)
    }
}

/// Table of one view of the resolver.
#[derive(Debug)]
pub struct Resolved {
    resolver: Arc<Resolver>,
    view: ResolverView,
    /// The access(5) action for a recipient that does not exist.
    reject_reply: Box<str>,
}

impl Resolved {
    /// Creates the table of `resolver` for this view; `reject_reply` is the milter's reply to a recipient
    /// that does not exist.
    pub fn new(resolver: Arc<Resolver>, view: ResolverView, reject_reply: &str) -> Self {
        Resolved { resolver, view, reject_reply: reject_reply.into() }
    }

    async fn resolve(&self, recipient: Address) -> Lookup<String> {
        use ResolverView as P;
        // `@example.com` is the lookup of a catch-all: the resolver has none.
        if recipient.local().is_empty() {
            return Lookup::NotFound;
        }
        let mut resolution = self.resolver.resolve(&Question { recipient, mta_route: None }).await;
        if let (Outcome::Keep | Outcome::Rewrite(_), P::SenderLogin | P::SenderLoginName, Some(account)) =
            (&resolution.outcome, self.view, &resolution.account)
        {
            match self.resolver.owner(account).await {
                Ok(owner) => resolution.account = Some(owner),
                Err(why) => return Lookup::TempFail(Reason::new(why.as_str())),
            }
        }
        self.answer(&resolution)
    }

    /// Returns the value of an outcome, by the table at [`ResolverView`].
    fn answer(&self, resolution: &Resolution) -> Lookup<String> {
        use ResolverView as P;
        let found = |value: String| Lookup::Found(value);
        match (&resolution.outcome, self.view) {
            (Outcome::TempFail(why), _) => Lookup::TempFail(Reason::new(why.to_string())),
            (Outcome::NoSuchUser(_), P::Access) => found(self.reject_reply.to_string()),
            (Outcome::Keep | Outcome::Rewrite(_), P::Access) => found("DUNNO".into()),
            // An empty transport and next hop mean those of the address class of the domain (transport(5)).
            (Outcome::Keep | Outcome::Rewrite(_), P::Transport) => found(":".into()),
            // The view of domains does not resolve recipients.
            (_, P::Domains)
            | (Outcome::NotOurs | Outcome::NoSuchUser(_), _)
            | (Outcome::Keep, P::VirtualAlias | P::Account) => Lookup::NotFound,
            // Return the account rather than the key: it is the same for each spelling of the key.
            (Outcome::Keep, P::Recipients) => {
                resolution.account.as_ref().map_or(Lookup::NotFound, |account| found(account.to_string()))
            }
            // The account that was verified: mail may go to it with an extension, but its users log in
            // without one. An account elsewhere has no login here.
            (Outcome::Keep | Outcome::Rewrite(_), P::SenderLogin | P::SenderLoginName) => {
                let ours = resolution.account.as_ref().filter(|account| self.resolver.is_ours(account));
                ours.map_or(Lookup::NotFound, |account| match self.view {
                    P::SenderLoginName => found(account.local().to_owned()),
                    _ => found(account.to_string()),
                })
            }
            // The same name in another domain is a different account.
            (Outcome::Rewrite(to), P::Account) if to.domain() == Some(self.resolver.origin()) => {
                found(to.local().to_owned())
            }
            (Outcome::Rewrite(to), P::Account | P::VirtualAlias | P::Recipients) => found(to.to_string()),
        }
    }

    /// The mailbox in our domains for which Postfix takes an address of ours whose local part is a route:
    /// `user%host@ours`, `host!user@ours`, `"user@host"@ours` (trivial-rewrite(8), with the defaults of
    /// `allow_percent_hack`, `swap_bangpath` and `resolve_dequoted_address`).
    fn route(&self, address: &Address) -> Option<Address> {
        let mut mailbox = address.clone();
        // Each iteration shortens the local part.
        loop {
            if !self.resolver.is_ours(&mailbox) {
                return None;
            }
            let Some(hop) = mailbox.next_hop() else { break };
            mailbox = hop;
        }
        (!mailbox.same_mailbox(address, true)).then_some(mailbox)
    }
}

impl Source<str, Lookup<String>> for Resolved {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            match self.view {
                ResolverView::Domains => {
                    let domain = canonical_domain(key);
                    if self.resolver.has_domain(&domain) {
                        Lookup::Found(domain.into())
                    } else {
                        Lookup::NotFound
                    }
                }
                // The key is a local part without domain, at the origin.
                ResolverView::Account => match Address::new(key, self.resolver.origin()) {
                    Ok(address) => self.resolve(address).await,
                    // An account cannot have such a name.
                    Err(_) => Lookup::NotFound,
                },
                _ => {
                    // The key is the server's reading of an argument. smtpd removes quotes before the
                    // lookup, so text that looks like a bracket, a route or a comment is part of the name.
                    let address = Address::from_server(key.as_bytes());
                    // Postfix also looks up domains, host names and addresses of clients, and keys with
                    // text after the @ that is not a domain.
                    let is_ours = self.resolver.is_ours(&address);
                    if address.domain().is_none() || (!address.is_certain() && !is_ours) {
                        return Lookup::NotFound;
                    }
                    let route = self.route(&address);
                    match (self.resolve(address).await, route) {
                        // smtpd looks up the end of the route, cleanup the address as typed: if that were
                        // not found, mail would be accepted and bounce.
                        (Lookup::NotFound, Some(mailbox)) if self.view == ResolverView::VirtualAlias => {
                            self.resolve(mailbox).await
                        }
                        (answer, _) => answer,
                    }
                }
            }
        })
    }
}

impl std::fmt::Display for ResolverView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = ResolverView::ALL.iter().find(|(_, view)| view == self).map_or("", |(name, _)| name);
        write!(f, "{}", escape(name))
    }
}
