//! What the fuzz targets of the daemon need too, which include this file.

use alias_rules::Secrets;
use diagnostics::{Problem, Severity};

/// Statements of every kind.
pub const RULES: &str = "\
ACCOUNT foo, Bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();
ACCOUNT a MATCHES twice+%alpha%+%code% WITH CHARS();
ACCOUNT b MATCHES twice+%ident%+%code% WITH CHARS();
ACCOUNT foo MATCHES %alpha%is%alpha%.%code% WITH CHARS(1), CHARS(2);
ACCOUNT baz MATCHES %alpha%xx%alpha%+%code% WITH VOWELS(1);
ACCOUNT dotty ALIASED sales, help MATCHES %alias%.%account%.%number%.%code% WITH DIGITS(), ANY(account);
ACCOUNT foo DOMAINS d.test MATCHES here+%ident%+%code% WITH CHARS() DELIVER TO %account%+x@e.test;
ACCOUNT bar DOMAINS e.test, f.test MATCHES here+%ident%+%code% WITH CHARS();
ACCOUNT dated MATCHES %alnum%_%date%_%alnum%+%code% WITH DIGITS(2);
ACCOUNT sealed MATCHES %account%+%date%+%code% WITH CHARS(account), HMAC(6);
";

/// The secrets of `HMAC`; they are fixed, so that a seed can hold a code.
pub fn secrets() -> Secrets {
    Secrets::new([b"0123456789abcdef".to_vec(), b"fedcba9876543210".to_vec()])
}

/// Checks that each problem has a place and can be printed.
pub fn check_problems(problems: &[Problem]) {
    for problem in problems {
        let (line, column) = problem.place();
        assert!(line >= 1 && column >= 1);
        assert!(problem.render(false).contains(problem.severity.name()));
        assert!(!problem.to_string().contains('\n'), "{problem}");
        assert!(problem.severity != Severity::Error || !problem.message.is_empty());
    }
}
