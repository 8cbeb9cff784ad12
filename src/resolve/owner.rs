//! Finds the account that owns an existing address, and so may send as it.
//!
//! If a list of accounts has `mary-ann`, that is an account. If a mail server accepts `foo+x`, it may
//! accept any text after `foo+`, and then the address belongs to `foo`. To distinguish the two, the
//! resolver looks up the name with an extension that real mail does not use: a source that accepts it
//! splits names itself.

use super::Resolver;
use crate::account::{Lookup, Reason};
use mail_address::{Address, Malformed};

/// An extension that real mail does not use.
const NO_EXTENSION: &str = "rcptdprobe7q";

impl Resolver {
    /// Returns the account that owns `account`, which exists: itself, or the name before its extension. The
    /// error is the reason of a temporary failure.
    pub async fn owner(&self, account: &Address) -> Result<Address, Reason> {
        let domain = account.domain().unwrap_or_default();
        let forms = self.normal(domain).written(account.local());
        let (Some(bare), Some(extension)) = (forms.bare(), forms.extension()) else {
            return Ok(account.clone());
        };
        let delimiter: String = extension.chars().take(1).collect();
        let wrong = |why: Malformed| Reason::new(why.to_string());
        let probe = Address::new(&[bare, &*delimiter, NO_EXTENSION].concat(), domain).map_err(wrong)?;
        let bare = Address::new(bare, domain).map_err(wrong)?;
        for name in [&probe, &bare] {
            match self.accounts.look_up(name).await.result {
                Lookup::NotFound => return Ok(account.clone()),
                Lookup::TempFail(reason) if !reason.is_accepting() => return Err(reason),
                Lookup::Found(()) | Lookup::TempFail(_) => (),
            }
        }
        Ok(bare)
    }
}
