//! Sources that always say the same: `static:`, for a site that accepts or refuses everything behind its
//! rules, and `fail:`, for trying out what happens when nobody can say.

use super::spec::{Kind, OpenFuture, Plan, Site};
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use mail_address::Address;
use std::sync::Arc;

/// `static:exists|missing|unknown`
pub(super) const STATIC: Kind = Kind {
    name: "static",
    usage: "static:exists, static:missing or static:unknown",
    read: |arguments| {
        let verdict = match arguments {
            "exists" => Verdict::Exists,
            "missing" => Verdict::Missing,
            "unknown" => Verdict::Unknown(Reason::new("static: source")),
            _ => return Err(format!("\"{arguments}\" is not a verdict")),
        };
        Ok(Arc::new(Always(verdict)))
    },
};

/// `fail:`
pub(super) const FAIL: Kind = Kind {
    name: "fail",
    usage: "fail:",
    read: |arguments| match arguments {
        "" => Ok(Arc::new(Always(Verdict::Unknown(Reason::new("fail: source"))))),
        _ => Err("it takes no arguments".into()),
    },
};

#[derive(Debug)]
struct Always(Verdict);

impl Plan for Always {
    fn open<'a>(&'a self, site: Site<'a>) -> OpenFuture<'a> {
        let source = Fixed { answer: Answer::new(self.0.clone(), site.name) };
        Box::pin(async { Ok(Arc::new(source) as Arc<dyn AccountSource>) })
    }
}

#[derive(Debug)]
struct Fixed {
    answer: Answer,
}

impl AccountSource for Fixed {
    fn verify<'a>(&'a self, _: &'a Address) -> AnswerFuture<'a> {
        Box::pin(std::future::ready(self.answer.clone()))
    }
}
