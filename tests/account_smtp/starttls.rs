//! STARTTLS, with certificates made by `tests/data/account/make.sh`.

use super::fake::{Act, Fake, acceptor, data};
use super::{patient, source, verdict};
use rcptd::account::settings::{Settings, StartTls};

/// A server that offers STARTTLS or not, answers it so, and knows nobody.
async fn server(offers: bool, answer: &'static str, vrfy: &'static str) -> Fake {
    Fake::start_with(Some(acceptor()), move |line, _, _| match line {
        _ if line.starts_with("EHLO") && offers => Act::say("250-fake\r\n250 STARTTLS"),
        _ if line.starts_with("VRFY") => Act::raw(vrfy),
        "STARTTLS" => Act::StartTls(answer.into()),
        _ => Act::Usual,
    })
    .await
}

fn settings(fake: &Fake, starttls: StartTls, name: Option<&str>, ca: Option<&str>) -> Settings {
    let mut settings = patient(&fake.spec());
    settings.sources[0].smtp.starttls = starttls;
    settings.sources[0].smtp.tls_name = name.map(Into::into);
    settings.sources[0].smtp.tls_ca = ca.map(data);
    settings
}

const GO: &str = "220 go ahead\r\n";
const MISSING: &str = "550 5.1.1 no\r\n";

#[tokio::test]
async fn when_it_is_used() {
    const PLAIN: &[&str] = &["EHLO", "VRFY"];
    const TLS: &[&str] = &["EHLO", "STARTTLS", "EHLO", "VRFY"];
    for (starttls, offers, want, lines) in [
        (StartTls::Never, true, "not found", PLAIN),
        (StartTls::Never, false, "not found", PLAIN),
        (StartTls::Offered, true, "not found", TLS),
        (StartTls::Offered, false, "not found", PLAIN),
        (StartTls::Required, true, "not found", TLS),
        (StartTls::Required, false, "the server does not offer STARTTLS, which is required", &["EHLO"]),
    ] {
        let fake = server(offers, GO, MISSING).await;
        let source = source(&settings(&fake, starttls, None, Some("ca.pem"))).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.ends_with(want), "{starttls:?} {offers}: {got}");
        let got = fake.lines();
        let got: Vec<_> = got.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(got, lines, "{starttls:?} {offers}");
        if want == "not found" {
            // The session goes on.
            assert_eq!(verdict(&source, "bar@example.test").await, "not found");
            assert_eq!(fake.connections(), 1);
        }
    }
}

#[tokio::test]
async fn certificates_are_checked() {
    for (name, ca, want) in [
        (None, Some("ca.pem"), "not found"),
        (Some("mail.example.test"), Some("ca.pem"), "not found"),
        (Some("127.0.0.1"), Some("ca.pem"), "not found"),
        (
            Some("mail.other.test"),
            Some("ca.pem"),
            "TLS: invalid peer certificate: certificate not valid for name",
        ),
        // The server's own certificate is no authority, and the system knows none of ours.
        (None, None, "TLS: invalid peer certificate"),
    ] {
        for starttls in [StartTls::Offered, StartTls::Required] {
            let fake = server(true, GO, MISSING).await;
            let got = verdict(&source(&settings(&fake, starttls, name, ca)).await, "foo@example.test").await;
            assert!(got.contains(want), "{name:?} {ca:?} {starttls:?}: {got}");
            assert_eq!(got.starts_with("temporary failure: "), want != "not found", "{got}");
            // No silent way back to plaintext.
            assert_eq!(fake.vrfys().is_empty(), want != "not found");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_no_reason_for_plaintext() {
    for answer in ["454 4.7.0 TLS not available\r\n", "220 go ahead\r\nnot a handshake", "501 what\r\n"] {
        let fake = Fake::start(move |line, _, _| match line {
            _ if line.starts_with("EHLO") => Act::say("250-fake\r\n250 STARTTLS"),
            _ if line.starts_with("VRFY") => Act::say("250 ok"),
            "STARTTLS" => Act::RawThenClose(answer.into()),
            _ => Act::Usual,
        })
        .await;
        for starttls in [StartTls::Offered, StartTls::Required] {
            let source = source(&settings(&fake, starttls, None, Some("ca.pem"))).await;
            let got = verdict(&source, "foo@example.test").await;
            assert!(got.starts_with("temporary failure: 127.0.0.1:"), "{answer}: {got}");
        }
        assert!(fake.vrfys().is_empty());
    }
}

#[tokio::test]
async fn plaintext_behind_the_reply_is_not_read_as_encrypted() {
    // Read as encrypted, it would answer EHLO, and every later reply would be that to the command before.
    let injected = "220 go ahead\r\n250-fake\r\n250 INJECTED\r\n";
    for starttls in [StartTls::Offered, StartTls::Required] {
        let fake = server(true, injected, MISSING).await;
        let source = source(&settings(&fake, starttls, None, Some("ca.pem"))).await;
        let got = verdict(&source, "foo@example.test").await;
        assert!(got.ends_with("unexpected data from the server"), "{got}");
        assert!(fake.vrfys().is_empty());
    }
}

#[tokio::test]
async fn turns_are_kept_inside_too() {
    let fake = server(true, GO, "252 2.0.0 ok\r\n550 5.1.1 no\r\n").await;
    let source = source(&settings(&fake, StartTls::Required, None, Some("ca.pem"))).await;
    for _ in 0..2 {
        assert_eq!(
            verdict(&source, "foo@example.test").await,
            "temporary failure: unexpected data from the server"
        );
    }
    assert_eq!(fake.connections(), 2);
}
