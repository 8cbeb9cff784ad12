//! What a recipient and a message cost without the wire: the resolver with a remembered verdict, and the
//! session.

#![allow(clippy::expect_used, missing_docs)] // a bench that cannot begin has nothing to measure

use alias_rules::{Dialect, Options};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use diagnostics::Text;
use mail_address::Address;
use rcptd::account::settings::{CacheSettings, Combine, SourceSettings};
use rcptd::account::{AccountSource, Chain, Source, account_cache};
use rcptd::resolve::{Outcome, Question, Resolver, Settings};
use rcptd::server::milter::session::{Action, Policy, Rcpt, Session};
use std::hint::black_box;
use std::sync::Arc;

const RULES: &str = "\
ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();
ACCOUNT baz MATCHES %alpha%is%alpha%.%code% WITH CHARS(1), CHARS(2);
ACCOUNT foo MATCHES %account%-%fqdn%-%code% WITH CHAR(1,1,-), CHAR(2,1,-), CHARS(1);
";

fn resolver(runtime: &tokio::runtime::Runtime) -> Resolver {
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let rules = alias_rules::load(&[Text::new("bench.rules", RULES)], &options).expect("rules").rules;
    let sources = vec![SourceSettings::new("none:".parse().expect("source"))];
    let settings = rcptd::account::settings::Settings::new(sources, CacheSettings::default());
    let accounts = runtime.block_on(rcptd::account::build(&settings, false)).expect("accounts");
    let ours =
        Settings { domains: vec!["example.com".into()], origin: "example.com".into(), ..Settings::default() };
    Resolver::new(ours, Arc::new(rules), accounts)
}

fn resolve(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let resolver = resolver(&runtime);
    let mut group = c.benchmark_group("resolve");
    for (name, recipient) in [
        ("alias", "<foo-macys-m5@example.com>"),
        ("wrong-code", "<foo-macys-m6@example.com>"),
        ("plain", "<alice@example.com>"),
        ("foreign", "<alice@example.org>"),
    ] {
        let question = Question { recipient: Address::from_rcpt(recipient.as_bytes()), mta_route: None };
        runtime.block_on(resolver.resolve(&question));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(resolver.resolve(black_box(&question)))));
    }
    group.finish();

    let mut group = c.benchmark_group("cache");
    let down: Arc<AccountSource> = Arc::new(Chain::new(Vec::new(), Combine::Fallback));
    let cache = account_cache(&CacheSettings::default(), down);
    let account = Address::new("alice", "example.com").expect("address");
    group.bench_function("unknown", |b| b.iter(|| runtime.block_on(cache.look_up(black_box(&account)))));
    group.finish();
}

fn session(c: &mut Criterion) {
    let policy = Arc::new(Policy {
        reject_reply: "550 5.1.1 User unknown".parse().expect("reply"),
        defer_reply: "451 4.3.0 Try later".parse().expect("reply"),
        max_recipients: 10_000,
        header: None,
        case_sensitive: false.into(),
        dry_run: false,
        origin: "example.com".into(),
    });
    let mut group = c.benchmark_group("session");
    for recipients in [1usize, 10, 1000] {
        let addresses: Vec<String> =
            (0..recipients).map(|i| format!("<foo-shop{i}-s{i}@example.com>")).collect();
        let targets: Vec<Outcome> = (0..recipients)
            .map(|i| {
                Outcome::Rewrite(Address::new(&format!("foo{}", i % 50), "example.com").expect("address"))
            })
            .collect();
        group.throughput(Throughput::Elements(recipients as u64));
        group.bench_function(format!("{recipients}-recipients"), |b| {
            b.iter_batched(
                || Session::new(policy.clone()),
                |mut session| {
                    session.mail();
                    for (address, outcome) in addresses.iter().zip(&targets) {
                        let rcpt = Rcpt { argument: address.as_bytes(), ..Rcpt::default() };
                        if let Action::Resolve(question) = session.recipient(rcpt, &["NOTIFY=NEVER"]) {
                            let _ = black_box(session.resolved(outcome, Some(question.recipient)));
                        }
                    }
                    session.end_of_message().edits
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, resolve, session);
criterion_main!(benches);
