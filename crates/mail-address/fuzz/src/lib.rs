//! The fuzz target of addresses. `tests/regressions.rs` calls it with the seeds and with the inputs that once failed.
//!
//! ```sh
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/mail-address/fuzz address
//! fuzz/long 30 address
//! ```
//!
//! The second command is that of all fuzz packages; see `fuzz/src/lib.rs`.

use mail_address::{Address, is_domain};

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of their folders.
pub const TARGETS: [(&str, Target); 1] = [("address", address)];

/// Any argument of RCPT: parsing it keeps its bytes, and if it can name a mailbox, it can be printed and parsed
/// again, with the same keys.
pub fn address(data: &[u8]) {
    let address = Address::from_rcpt(data);
    assert_eq!(address.raw(), data);
    assert!(address.same_mailbox(&address, true) && address.same_mailbox(&address, false));
    if address.malformed().is_some() {
        return;
    }
    assert!(!address.local().chars().any(char::is_control));
    let Ok(made) = Address::new(address.local(), address.domain().unwrap_or_default()) else { return };
    assert_eq!((made.local(), made.domain()), (address.local(), address.domain()));
    assert_eq!(made.key(true), address.key(true));
    // The printed form is parsed the same only if the domain is valid; no other has mailboxes.
    if made.domain().is_some_and(|domain| !is_domain(domain)) {
        return;
    }
    let again = Address::from_rcpt(made.path().as_bytes());
    assert!(again.is_certain(), "{}", made.path());
    assert_eq!(again.local(), made.local(), "{}", made.path());
    assert_eq!(again.domain(), made.domain(), "{}", made.path());
    assert_eq!(again.malformed(), None, "{}", made.path());
    assert_eq!(again.key(false), made.key(false));
}
