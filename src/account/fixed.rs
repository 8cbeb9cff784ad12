//! Sources with a constant result: `static:`, for a site that accepts or rejects every address that its rules
//! do not match, and `fail:`, for testing temporary failures.

use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use mail_address::Address;
use std::sync::Arc;

/// `static:exists|notfound`
pub(super) const STATIC: SourceType = SourceType {
    name: "static",
    usage: "static:exists or static:notfound",
    read: |arguments| {
        let verdict = match arguments {
            "exists" => Lookup::Found(()),
            "notfound" => Lookup::NotFound,
            _ => return Err(format!("\"{arguments}\" is not an answer")),
        };
        Ok(Arc::new(Always(verdict)))
    },
};

/// `fail:`
pub(super) const FAIL: SourceType = SourceType {
    name: "fail",
    usage: "fail:",
    read: |arguments| match arguments {
        "" => Ok(Arc::new(Always(Lookup::TempFail(Reason::new("fail: source"))))),
        _ => Err("it takes no arguments".into()),
    },
};

#[derive(Debug)]
struct Always(Lookup<()>);

impl SourceConfig for Always {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let source = Fixed { answer: Verification::new(self.0.clone(), context.name) };
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
