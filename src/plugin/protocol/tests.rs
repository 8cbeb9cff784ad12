//! Tests of the line protocol.

use super::*;
use crate::net::line::MAX_QUOTED;
use mail_address::{MAX_DOMAIN, MAX_LOCAL_PART};
use proptest::prelude::*;

const HELLO: &str = "rcptd-plugin 1 test\n";

/// A conversation after the hello in which the questions 1 to 3 are in flight, all with the word "exists".
fn with_three() -> Conversation<char> {
    three_of(Word::Exists)
}

/// The same with another word.
fn three_of(word: Word) -> Conversation<char> {
    let mut conversation = Conversation::new(MAX_QUESTIONS);
    conversation.receive(HELLO.as_bytes()).unwrap();
    for (number, caller) in [(1, 'a'), (2, 'b'), (3, 'c')] {
        let want = format!("{number} {} x\n", word.name());
        assert_eq!(conversation.ask(word, "x", caller).unwrap(), want);
    }
    conversation
}

/// The words of several questions, in turn.
fn word_of(number: u64) -> Word {
    Word::ALL[usize::try_from(number % 3).unwrap()]
}

/// The result as a line for each answer, or the error.
fn shown(result: Result<Vec<(char, Answer)>, ProtocolError>) -> String {
    match result {
        Ok(answers) => {
            answers.iter().map(|(c, answer)| format!("{c} {answer}")).collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn checks_the_hello() {
    let no_hello = "the first line is not";
    for (text, want) in [
        (HELLO, ""),
        ("rcptd-plugin 1 two words\n", ""),
        ("rcptd-plugin 2 test\n", "it uses version 2 of the protocol"),
        ("rcptd-plugin 2\n", "it uses version 2 of the protocol"),
        ("rcptd-plugin 1\n", no_hello),
        ("rcptd-plugin 1 \n", no_hello),
        ("rcptd-plugin  1 test\n", no_hello),
        ("rcptd-plugin 1 te\rst\n", no_hello),
        ("rcptd-plugin one test\n", no_hello),
        ("RCPTD-PLUGIN 1 test\n", no_hello),
        ("\n", no_hello),
        ("1 found\n", no_hello),
        ("rcptd-plugin 1 test\n1 found\n", "the question 1 was not asked"),
    ] {
        let got = shown(Conversation::new(1).receive(text.as_bytes()));
        assert!(if want.is_empty() { got.is_empty() } else { got.contains(want) }, "{text:?}: {got}");
    }
    let mut conversation = Conversation::<()>::new(1);
    assert_eq!(conversation.name(), None);
    conversation.receive(b"rcptd-plugin 1 na").unwrap();
    assert_eq!(conversation.name(), None, "the line has not ended");
    conversation.receive(b"me\n").unwrap();
    assert_eq!(conversation.name(), Some("name"));
}

#[test]
fn reads_answers() {
    let (malformed, unknown) = ("not an answer", "was not asked or has its answer");
    for (text, want, in_flight) in [
        ("1 found\n", "a found", 2),
        ("3 notfound\n1 found\n", "a found, c notfound", 1),
        ("2 tempfail it is down\n", "b tempfail it is down", 2),
        ("2 tempfail\n", "b tempfail the plug-in gives no reason", 2),
        ("2 tempfail \u{e9}\t=\u{2028}\n", "b tempfail \u{e9}\t=\u{2028}", 2),
        ("2 fo", "", 3),
        ("", "", 3),
        ("4 found\n", unknown, 3),
        ("0 found\n", unknown, 3),
        // No answer of these octets counts.
        ("1 found\n1 found\n", unknown, 3),
        ("1 found\n2 found\n1 notfound\n", unknown, 3),
        ("1 found\nnonsense\n", malformed, 3),
        (HELLO, malformed, 3),
        ("\n", malformed, 3),
        ("found\n", malformed, 3),
        ("1\n", malformed, 3),
        ("1 \n", malformed, 3),
        ("1  found\n", malformed, 3),
        (" 1 found\n", malformed, 3),
        ("1\tfound\n", malformed, 3),
        ("1 found \n", malformed, 3),
        ("1 found\r\n", malformed, 3),
        ("1 FOUND\n", malformed, 3),
        ("1 found yes\n", malformed, 3),
        ("1 not found\n", malformed, 3),
        ("1 notfound\0\n", malformed, 3),
        ("+1 found\n", malformed, 3),
        ("01 found\n", malformed, 3),
        ("-1 found\n", malformed, 3),
        ("1.0 found\n", malformed, 3),
        ("99999999999999999999 found\n", malformed, 3),
        ("\u{661} found\n", malformed, 3),
    ] {
        let mut conversation = with_three();
        let got = shown(conversation.receive(text.as_bytes()));
        let failed = [malformed, unknown].contains(&want);
        assert!(if failed { got.contains(want) } else { got == want }, "{text:?}: {got}");
        assert_eq!(conversation.count(), in_flight, "{text:?}");
    }
    for octets in [&b"1 found\xff\n"[..], b"1 tempfail \xff\n", b"\xff\n"] {
        assert!(shown(with_three().receive(octets)).contains(malformed));
    }
}

/// Each word has its own answers; any other is an error, and no answer of its octets counts.
#[test]
fn answers_suit_the_question() {
    let unfit =
        |word: Word, line: &str| format!("protocol error: not an answer to \"{}\": {line}", word.name());
    for (answer, of_exists, of_others) in [
        ("found", true, false),
        ("notfound", true, false),
        ("tempfail it is down", true, true),
        ("same", false, true),
        ("noalias", false, true),
        ("use foo@example.com", false, true),
        ("use \"a b\"@example.com", false, true),
        // Whether it is an address is for others to decide.
        ("use use", false, true),
        ("use  ", false, true),
    ] {
        for word in Word::ALL {
            let mut conversation = three_of(word);
            let line = format!("2 {answer}");
            let got = shown(conversation.receive(format!("{line}\n").as_bytes()));
            let takes = if word == Word::Exists { of_exists } else { of_others };
            let want = if takes { format!("b {answer}") } else { unfit(word, &line) };
            assert_eq!((got, conversation.count()), (want, 3 - usize::from(takes)), "{word:?}");
        }
    }
    let mut conversation = three_of(Word::Preprocess);
    assert_eq!(shown(conversation.receive(b"1 same\n2 found\n")), unfit(Word::Preprocess, "2 found"));
    assert_eq!(conversation.count(), 3);
    for text in [
        "1 use\n",
        "1 use \n",
        "1 used x\n",
        "1 same x\n",
        "1 Same\n",
        "1 noalias \n",
        "1 no alias\n",
        "1 USE x\n",
    ] {
        let got = shown(three_of(Word::Postprocess).receive(text.as_bytes()));
        assert!(got.contains("not an answer: "), "{text:?}: {got}");
    }
}

#[test]
fn a_question_has_one_answer() {
    let mut conversation = with_three();
    assert_eq!(conversation.oldest(), Some(&'a'));
    assert_eq!(shown(conversation.receive(b"1 found\n")), "a found");
    assert_eq!(conversation.oldest(), Some(&'b'));
    assert_eq!(conversation.receive(b"1 notfound\n"), Err(ProtocolError::Unknown(1)));
    assert_eq!(conversation.into_callers().collect::<String>(), "bc");
}

#[test]
fn limits_the_questions_in_flight() {
    let mut conversation = Conversation::new(2);
    conversation.receive(HELLO.as_bytes()).unwrap();
    let ask = |conversation: &mut Conversation<char>, caller| conversation.ask(Word::Exists, "x", caller);
    ask(&mut conversation, 'a').unwrap();
    ask(&mut conversation, 'b').unwrap();
    assert_eq!(ask(&mut conversation, 'c'), Err('c'));
    conversation.receive(b"1 found\n").unwrap();
    assert_eq!(ask(&mut conversation, 'd').unwrap(), "3 exists x\n", "a number is used once");
}

#[test]
fn limits_the_length_of_a_line() {
    let reason = "x".repeat(MAX_LINE - "1 tempfail ".len());
    let longest = format!("1 tempfail {reason}");
    for (line, good) in [(format!("{longest}\n"), true), (format!("{longest}x\n"), false)] {
        for size in [1, 100, line.len()] {
            let mut conversation = with_three();
            let mut results = line.as_bytes().chunks(size).map(|piece| conversation.receive(piece));
            let failed = results.find_map(Result::err);
            assert_eq!(failed, (!good).then_some(ProtocolError::TooLong), "{size}");
        }
    }
    // Without an end.
    let mut conversation = with_three();
    assert_eq!(conversation.receive(&[b'1'; MAX_LINE]), Ok(Vec::new()));
    assert_eq!(conversation.receive(b"1"), Err(ProtocolError::TooLong));
    let error = with_three().receive(format!("{}\n", "é".repeat(MAX_LINE / 2)).as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 2 * MAX_QUOTED, "{error}");
}

#[test]
fn an_address_is_one_field_of_one_line() {
    for (text, sensitive, want) in [
        ("foo@example.com", false, Ok("foo@example.com")),
        ("Foo@Example.COM", false, Ok("foo@example.com")),
        ("Foo@Example.COM", true, Ok("Foo@example.com")),
        ("\"a b\"@example.com", false, Ok("\"a b\"@example.com")),
        ("\"a\\\"b\\\\\"@example.com", false, Ok("\"a\\\"b\\\\\"@example.com")),
        ("GRÜẞE@example.com", false, Ok("grüße@example.com")),
        ("foo@bücher.example", false, Ok("foo@xn--bcher-kva.example")),
        ("foo", false, Err("the address has no domain")),
        ("@example.com", false, Err("the address has no local part")),
        ("\"a\nb\"@example.com", false, Err("control character in the address")),
        ("\"a\u{85}b\"@example.com", false, Err("control character in the address")),
        ("\"a\u{2028}b\"@example.com", false, Err("control character in the address")),
        ("\"a\u{2029}b\"@example.com", false, Err("control character in the address")),
    ] {
        let got = address_field(&Address::from_rcpt(text.as_bytes()), sensitive);
        assert_eq!(got.as_deref().map_err(String::as_str), want, "{text:?}");
    }
    assert!(address_field(&Address::from_rcpt(b"\xff@example.com"), false).is_err());
}

#[test]
fn the_longest_question_fits() {
    let domain = format!("{}.test", ["a"; 125].join("."));
    assert_eq!(domain.len(), MAX_DOMAIN - 1);
    let longest = Address::new(&"\"".repeat(MAX_LOCAL_PART), &domain).unwrap();
    let field = address_field(&longest, false).unwrap();
    let number = u64::MAX.to_string().len();
    assert!(number + " postprocess ".len() + field.len() + 1 < MAX_LINE / 2);
}

proptest! {
    /// Whatever the address is, its question is one line with three fields, and its last field is the address.
    #[test]
    fn questions_cannot_be_forged(
        local in any::<String>(),
        domain in "[a-z]{1,9}",
        sensitive: bool,
        word in prop::sample::select(Word::ALL.to_vec()),
    ) {
        let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
        let Ok(field) = address_field(&address, sensitive) else { return Ok(()) };
        let line = Conversation::new(1).ask(word, &field, ()).unwrap();
        prop_assert_eq!(line.lines().collect::<Vec<_>>(), [format!("1 {} {field}", word.name())]);
        let read = Address::from_rcpt(field.as_bytes());
        prop_assert!(read.same_mailbox(&address, sensitive), "{}", field);
    }

    /// Octets give the same result in any pieces, except that an error spoils the answers of its piece. No
    /// answer is made up: each belongs to a question, and to a line with its number and word.
    #[test]
    fn pieces_do_not_matter(
        lines in prop::collection::vec(
            prop_oneof![
                "[0-9]{1,2} (found|notfound|same|noalias|use [a-z@]{1,9}|tempfail|tempfail [a-z ]{0,9})",
                "[0-9a-z +.]{0,12}",
                Just("x".repeat(MAX_LINE)),
            ],
            0..12,
        ),
        size in 1_usize..5000,
    ) {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let start = || {
            let mut conversation = Conversation::new(MAX_QUESTIONS);
            conversation.receive(HELLO.as_bytes()).unwrap();
            for id in 1..=20_u64 {
                conversation.ask(word_of(id), "x", id).map_err(|_| ()).unwrap();
            }
            conversation
        };
        let whole = start().receive(text.as_bytes());
        let mut conversation = start();
        let mut answers = Vec::new();
        let mut failed = None;
        for piece in text.as_bytes().chunks(size) {
            match conversation.receive(piece) {
                Ok(more) => answers.extend(more),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        for (id, answer) in &answers {
            let line = format!("{id} {answer}");
            let bare = format!("{id} tempfail");
            prop_assert!(lines.contains(&line) || lines.contains(&bare), "{}", line);
            prop_assert!(word_of(*id).takes(answer), "{}", line);
        }
        prop_assert_eq!(conversation.count(), 20 - answers.len());
        match whole {
            Ok(mut want) => {
                want.sort_by_key(|(id, _)| *id);
                answers.sort_by_key(|(id, _)| *id);
                prop_assert_eq!((failed, answers), (None, want));
            }
            Err(error) => prop_assert_eq!(failed, Some(error)),
        }
    }

    #[test]
    fn reads_any_octets(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let mut conversation = with_three();
        for piece in pieces {
            if conversation.receive(&piece).is_err() {
                break;
            }
        }
    }
}
