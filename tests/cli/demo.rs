//! `rcptd demo`.

use super::{like, masked, run};

#[test]
fn demo_shows_the_outcomes() {
    let plain = run(&["demo"]);
    assert_eq!((plain.code, &*plain.err), (0, ""));
    assert!(!plain.out.contains('\x1b'));
    let text = masked(&masked(&plain.out, "127.0.0.1:", ","), "would, in ", " ms");
    like("demo.txt", &text);
    let colour = run(&["demo", "--color", "always"]);
    assert_eq!((colour.code, &*colour.err), (0, ""));
    assert!(colour.out.contains("\x1b[32m250 2.1.5 Ok\x1b[0m") && colour.out.contains("\x1b[31m550 "));
    let never = run(&["demo", "--color", "never"]);
    assert!(never.code == 0 && !never.out.contains('\x1b'));
}
