//! Header fields of our own name that a sender wrote: none of them reaches anybody.

use crate::Outcome;
use crate::stage::{SENDER, Stage};

/// What a sender writes; more than one field, in any case, folded, and without a value.
const FORGED: [&str; 4] = ["X-Alias: bob@example.test", "x-alias:\r\n folded", "X-ALIAS:", "X-Alias : apart"];

pub fn run(stage: &mut Stage<'_>) -> Outcome<String> {
    let aliases = ["foo-macys-m5@example.test", "bob-macys-m5@example.test"];
    // The recipients, and the field that each copy has.
    let messages: [(&str, &[&str], Option<&str>); 4] = [
        ("alias", &aliases[..1], Some(aliases[0])),
        ("aliases", &aliases, None),
        ("account", &["foo@example.test"], None),
        ("foreign", &["foo@remote.test"], None),
    ];
    for forged in 0..=FORGED.len() {
        let fields = FORGED[..forged].iter().map(|field| format!("{field}\r\n")).collect::<Vec<_>>().concat();
        for (kind, recipients, value) in messages {
            let name = format!("{kind}-{forged}");
            let mut smtp = stage.post.connect()?;
            smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
            for recipient in recipients {
                smtp.ask(&format!("RCPT TO:<{recipient}>"), "250")?;
            }
            let text = stage.post.text(&name).replacen("Subject:", &format!("{fields}Subject:"), 1);
            let reply = smtp.message(&text)?;
            stage.note(&reply);
            if !reply.matches("250") {
                return Err(format!("{name}: got {:?}, want 250", reply.0));
            }
            stage.settle()?;
            let subject = stage.post.subject(&name);
            let mut copies = 0;
            for mail in stage.books.all()?.filter(|mail| mail.is_about(&subject)) {
                copies += 1;
                let is_ours = |line: &&str| line.to_ascii_lowercase().starts_with("x-alias");
                let got: Vec<&str> = mail.head().filter(is_ours).collect();
                let want: Vec<String> = value.map(|value| format!("X-Alias: {value}")).into_iter().collect();
                if got != want {
                    return Err(format!(
                        "{name} in {}: got {got:?}, want {want:?}\n{}",
                        mail.mailbox, mail.text
                    ));
                }
            }
            if copies != recipients.len() {
                return Err(format!("{name}: {copies} copies"));
            }
        }
    }
    Ok(format!("{} messages", messages.len() * (FORGED.len() + 1)))
}
