//! Sources with a constant result: `none:`, for a site whose mail server verifies recipients itself after
//! rcptd, and `static:notfound` and `fail:`, for tests.

use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::observe::account as observe;
use mail_address::Address;
use std::sync::Arc;

/// `none:`
pub(super) const NONE: SourceType = SourceType {
    name: "none",
    usage: "none:",
    read: |arguments| match arguments {
        "" => Ok(Arc::new(Always { result: Lookup::Found(()), warns: true })),
        _ => Err("it takes no arguments".into()),
    },
};

/// `static:notfound`
pub(super) const STATIC: SourceType = SourceType {
    name: "static",
    usage: "static:notfound",
    read: |arguments| match arguments {
        "notfound" => Ok(Arc::new(Always { result: Lookup::NotFound, warns: false })),
        _ => Err(format!("\"{arguments}\" is not an answer")),
    },
};

/// `fail:`
pub(super) const FAIL: SourceType = SourceType {
    name: "fail",
    usage: "fail:",
    read: |arguments| match arguments {
        "" => {
            let result = Lookup::TempFail(Reason::new("fail: source"));
            Ok(Arc::new(Always { result, warns: false }))
        }
        _ => Err("it takes no arguments".into()),
    },
};

#[derive(Debug)]
struct Always {
    result: Lookup<()>,
    /// Whether the source verifies nothing, which is logged.
    warns: bool,
}

impl SourceConfig for Always {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        if self.warns {
            observe::source_verifies_nothing(context.name);
        }
        let source = Fixed { answer: Verification::new(self.result.clone(), context.name) };
        Box::pin(async { Ok(Arc::new(source) as Arc<AccountSource>) })
    }
}

#[derive(Debug)]
struct Fixed {
    answer: Verification,
}

impl Source<Address, Verification> for Fixed {
    fn look_up<'a>(&'a self, _: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(std::future::ready(self.answer.clone()))
    }
}
