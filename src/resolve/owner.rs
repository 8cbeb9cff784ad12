//! Which account an address belongs to that was found to exist: who may send as it.
//!
//! A list of accounts that has `mary-ann` means an account of that name. A mail server that takes `foo+x` may only
//! mean that it takes anything after `foo+`, and then the address is `foo`'s. Existence alone does not tell one from
//! the other, so an extension is asked for that no mail has: a source that takes it splits names by itself.

use super::Resolver;
use crate::account::{Reason, Verdict};
use crate::addr::{Address, Malformed};

/// The extension that no mail has.
const NO_EXTENSION: &str = "rcptdprobe7q";

impl Resolver {
    /// The account that owns `account`, which was found to exist: it, or the name before its extension. The error is
    /// why nobody can say.
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
            match self.accounts.verify(name).await.verdict {
                Verdict::Missing => return Ok(account.clone()),
                Verdict::Unknown(reason) if !reason.is_accepting() => return Err(reason),
                Verdict::Exists | Verdict::Unknown(_) => (),
            }
        }
        Ok(bare)
    }
}
