//! SPF with records of a test DNS.

use super::super::cached::AT_ONCE;
use super::super::testing::Zones;
use super::*;
use std::time::Duration;

const RECORDS: &str = "
    pass.example. TXT v=spf1 ip4:192.0.2.0/24 -all
    pass.example. TXT another text
    caf\u{e9}.example. TXT v=spf1 +all
    softfail.example. TXT v=spf1 ~all
    neutral.example. TXT v=spf1 ?all
    nomatch.example. TXT v=spf1 ip4:198.51.100.1
    text.example. TXT no record
    six.example. TXT v=spf1 ip6:2001:db8::/32 -all
    a.example. TXT v=spf1 a -all
    a.example. A 192.0.2.7
    a.example. AAAA 2001:db8::7
    prefix.example. TXT v=spf1 a:a.example/24//64 -all
    mx.example. TXT v=spf1 mx -all
    mx.example. MX 20 mx2.example.
    mx.example. MX 10 mx1.example.
    mx1.example. A 192.0.2.1
    mx2.example. A 192.0.2.7
    nomail.example. TXT v=spf1 mx -all
    nomail.example. MX 0 .
    ptr.example. TXT v=spf1 ptr -all
    192.0.2.7 PTR host.ptr.example.
    host.ptr.example. A 192.0.2.7
    192.0.2.8 PTR liar.ptr.example.
    liar.ptr.example. A 192.0.2.99
    exists.example. TXT v=spf1 exists:%{ir}.list.exists.example -all
    7.2.0.192.list.exists.example. A 127.0.0.2
    local.example. TXT v=spf1 exists:%{l}.%{h}.local.example -all
    bob.mail.host.example.local.example. A 127.0.0.2
    include.example. TXT v=spf1 include:pass.example -all
    includes-none.example. TXT v=spf1 include:text.example +all
    includes-failing.example. TXT v=spf1 include:failing.example +all
    redirect.example. TXT v=spf1 redirect=pass.example
    redirects-none.example. TXT v=spf1 redirect=nothing.example
    loop.example. TXT v=spf1 include:loop.example -all
    many.example. TXT v=spf1 a:a.example a:a.example a:a.example a:a.example a:a.example a:a.example a:a.example \
a:a.example a:a.example a:a.example a:a.example +all
    void.example. TXT v=spf1 a:n1.example a:n2.example a:n3.example +all
    two.example. TXT v=spf1 +all
    two.example. TXT v=spf1 -all
    syntax.example. TXT v=spf1 ip4:300.0.0.1 +all
    failing.example. TXT FAIL
    failing-a.example. TXT v=spf1 a -all
    failing-a.example. A FAIL
    hanging.example. TXT HANG
    hanging-a.example. TXT v=spf1 a:hanging-a.example +all
    hanging-a.example. A HANG
    mail.host.example. TXT v=spf1 ip4:192.0.2.7 -all
";

const DEADLINE: Duration = Duration::from_secs(2);

fn checker() -> (SpfChecker, Arc<Zones>) {
    let zones = Zones::new(RECORDS);
    (SpfChecker::new(zones.clone()), zones)
}

async fn check(checker: &SpfChecker, client: &str, helo: &str, sender: &str) -> SpfResult {
    let sender = (!sender.is_empty()).then(|| Address::from_server(sender.as_bytes()));
    checker.check(client.parse().unwrap(), helo, sender.as_ref(), Instant::now() + DEADLINE).await
}

#[tokio::test(start_paused = true)]
async fn results_are_those_of_the_rfc() {
    use SpfResult::{Fail, Neutral, None, Pass, SoftFail, Unknown};
    let (checker, _) = checker();
    for (client, domain, want) in [
        ("192.0.2.7", "pass.example", Pass),
        ("192.0.2.7", "PASS.Example", Pass),
        ("::ffff:192.0.2.7", "pass.example", Pass),
        ("198.51.100.7", "pass.example", Fail),
        ("2001:db8::7", "pass.example", Fail),
        ("192.0.2.7", "softfail.example", SoftFail),
        ("192.0.2.7", "neutral.example", Neutral),
        ("192.0.2.7", "nomatch.example", Neutral),
        ("192.0.2.7", "text.example", None),
        ("192.0.2.7", "nothing.example", None),
        ("192.0.2.7", "localhost", None),
        ("192.0.2.7", "[192.0.2.7]", None),
        ("2001:db8:1::1", "six.example", Pass),
        ("2001:db9::1", "six.example", Fail),
        ("192.0.2.7", "six.example", Fail),
        ("192.0.2.7", "a.example", Pass),
        ("2001:db8::7", "a.example", Pass),
        ("192.0.2.8", "a.example", Fail),
        ("192.0.2.8", "prefix.example", Pass),
        ("2001:db8::8", "prefix.example", Pass),
        ("198.51.100.7", "prefix.example", Fail),
        ("192.0.2.1", "mx.example", Pass),
        ("192.0.2.7", "mx.example", Pass),
        ("192.0.2.8", "mx.example", Fail),
        ("192.0.2.7", "nomail.example", Fail),
        ("192.0.2.7", "ptr.example", Pass),
        ("192.0.2.8", "ptr.example", Fail),
        ("192.0.2.9", "ptr.example", Fail),
        ("192.0.2.7", "exists.example", Pass),
        ("192.0.2.8", "exists.example", Fail),
        ("192.0.2.7", "local.example", Pass),
        ("192.0.2.7", "include.example", Pass),
        ("198.51.100.7", "include.example", Fail),
        ("192.0.2.7", "redirect.example", Pass),
        ("198.51.100.7", "redirect.example", Fail),
        // Errors in records.
        ("192.0.2.7", "includes-none.example", Unknown),
        ("192.0.2.7", "redirects-none.example", Unknown),
        ("192.0.2.7", "loop.example", Unknown),
        ("192.0.2.99", "many.example", Unknown),
        ("192.0.2.7", "void.example", Unknown),
        ("192.0.2.7", "two.example", Unknown),
        ("192.0.2.7", "syntax.example", Unknown),
        // Failures of DNS.
        ("192.0.2.7", "failing.example", Unknown),
        ("192.0.2.7", "failing-a.example", Unknown),
        ("192.0.2.7", "includes-failing.example", Unknown),
        ("192.0.2.7", "hanging.example", Unknown),
        ("192.0.2.7", "hanging-a.example", Unknown),
    ] {
        let got = check(&checker, client, "mail.host.example", &format!("bob@{domain}")).await;
        assert_eq!(got, want, "{client} {domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn senders_and_helo() {
    let (checker, _) = checker();
    for (client, helo, sender, want) in [
        ("192.0.2.7", "mail.host.example", "", SpfResult::Pass),
        ("192.0.2.7", "Mail.Host.Example.", "", SpfResult::Pass),
        ("192.0.2.8", "mail.host.example", "", SpfResult::Fail),
        ("192.0.2.7", "nothing.example", "", SpfResult::None),
        ("192.0.2.7", "[192.0.2.7]", "", SpfResult::None),
        ("192.0.2.7", "localhost", "", SpfResult::None),
        ("192.0.2.7", "", "", SpfResult::None),
        // Without a domain in HELO, a record that does not name it has its result.
        ("192.0.2.7", "[192.0.2.7]", "bob@pass.example", SpfResult::Pass),
        ("192.0.2.7", "mail.host.example", "\"bob smith\"@pass.example", SpfResult::Pass),
        ("192.0.2.7", "mail.host.example", "eve@local.example", SpfResult::Fail),
        ("192.0.2.7", "other.host.example", "bob@local.example", SpfResult::Fail),
        ("192.0.2.7", "mail.host.example", "bob", SpfResult::None),
    ] {
        assert_eq!(check(&checker, client, helo, sender).await, want, "{client} {helo} {sender}");
    }
}

#[tokio::test(start_paused = true)]
async fn results_are_cached_and_failures_are_not() {
    // domain, number of lookups of three checks
    for (domain, want) in
        [("pass.example", 1), ("nothing.example", 1), ("syntax.example", 1), ("failing.example", 3)]
    {
        let (checker, zones) = checker();
        for _ in 0..3 {
            check(&checker, "192.0.2.7", "mail.host.example", &format!("bob@{domain}")).await;
        }
        assert_eq!(zones.count(), want, "{domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_at_the_same_time_share_a_lookup() {
    let (checker, zones) = checker();
    let checker = Arc::new(checker);
    let checks: Vec<_> = (0..50)
        .map(|_| {
            let checker = checker.clone();
            tokio::spawn(async move {
                check(&checker, "192.0.2.7", "mail.host.example", "bob@hanging.example").await
            })
        })
        .collect();
    for check in checks {
        assert_eq!(check.await.unwrap(), SpfResult::Unknown);
    }
    assert_eq!(zones.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dns_that_hangs_never_exceeds_the_deadline() {
    let (checker, zones) = checker();
    let checker = Arc::new(checker);
    let began = Instant::now();
    // More than ask at once, and more than may wait.
    let checks: Vec<_> = (0..3000)
        .map(|i| {
            let checker = checker.clone();
            let sender = format!("bob{i}@hanging.example");
            tokio::spawn(async move { check(&checker, "192.0.2.7", "mail.host.example", &sender).await })
        })
        .collect();
    for check in checks {
        assert_eq!(check.await.unwrap(), SpfResult::Unknown);
    }
    assert!(began.elapsed() <= DEADLINE + Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(zones.count(), AT_ONCE);
}
