//! The milter inside the test, with an account source of the test's own.

use super::RULES;
use alias_rules::{Dialect, Options};
use diagnostics::Text;
use rcptd::account::AccountSource;
use rcptd::resolve::{Resolver, Settings};
use rcptd::server::endpoint::Endpoint;
use rcptd::server::listen::{Inherited, SocketFile, bind};
use rcptd::server::milter::adapter::{Limits, Milter, Service};
use rcptd::server::milter::guessing;
use rcptd::server::milter::session::Policy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A milter that serves as long as the value lives.
pub struct Inside {
    pub address: SocketAddr,
    pub milter: Arc<Milter>,
    _runtime: Runtime,
}

impl Inside {
    pub fn start(accounts: Arc<AccountSource>, deadline: Duration) -> Self {
        let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
        let loaded = alias_rules::load(&[Text::new("aliases.rules", RULES)], &options).expect("rules");
        let domain = "example.test".to_string();
        let settings = Settings { domains: vec![domain.clone()], origin: domain, ..Settings::default() };
        let policy = Policy {
            reject_reply: "550 5.1.1 User unknown".parse().expect("a reply"),
            defer_reply: "451 4.3.0 Try later".parse().expect("a reply"),
            max_recipients: 1000,
            header: None,
            case_sensitive: false.into(),
            dry_run: false,
            origin: "example.test".into(),
        };
        let resolver = Arc::new(Resolver::new(settings, Arc::new(loaded.rules), accounts));
        let milter = Milter::new(
            Service { resolver, policy: Arc::new(policy), deadline, guessing: guessing::Settings::default() },
            Arc::default(),
            Arc::default(),
        );
        let runtime = Runtime::new().expect("a runtime");
        let endpoint = Endpoint::Inet { host: "127.0.0.1".into(), port: 0 };
        let file = SocketFile { mode: 0o600, group: None };
        let listener = runtime.block_on(bind(&endpoint, &file, &mut Inherited::from_env()));
        let listener = listener.expect("a socket").pop().expect("a socket");
        let address = listener.name().trim_start_matches("inet:").parse().expect("an address");
        let limits = Limits { connections: 100, idle: super::WAIT };
        let serve =
            milter.clone().serve(listener, limits, std::future::pending(), std::future::pending::<()>());
        runtime.spawn(serve);
        Inside { address, milter, _runtime: runtime }
    }
}
