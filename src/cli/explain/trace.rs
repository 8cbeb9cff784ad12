//! An explanation as JSON.

use alias_rules::{Cut, Explanation, Finding, Trace};
use serde_json::{Value, json};

/// The statements that are shown, in the order in which they are.
pub fn statements(explanation: &Explanation) -> Vec<Value> {
    explanation.shown().into_iter().map(statement).collect()
}

fn statement(trace: &Trace) -> Value {
    let mut object = json!({ "place": trace.place, "expression": trace.expression });
    let (finding, more) = match &trace.finding {
        Finding::Matched { account, several, ambiguous, cut } => {
            let more = json!({
                "account": account, "several": several, "ambiguous": ambiguous, "cut": cut.as_ref().map(self::cut),
            });
            ("matched", more)
        }
        Finding::Expired { account, last, cut } => {
            let cut = cut.as_ref().map(self::cut);
            ("expired", json!({ "account": account, "last": last.to_string(), "cut": cut }))
        }
        Finding::OtherDomain => ("other_domain", json!({})),
        Finding::WrongCode(cut) => ("wrong_code", json!({ "account": cut.account, "cut": self::cut(cut) })),
        Finding::Unlisted { what, text } => ("unlisted", json!({ "what": what, "text": text })),
        Finding::Unfit { fits, part, rest } => ("unfit", json!({ "fits": fits, "part": part, "rest": rest })),
        Finding::Never(never) => ("never", json!({ "text": never.to_string() })),
        Finding::CannotSay => ("cannot_say", json!({})),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.insert("finding".into(), finding.into());
        object.extend(more);
    }
    object
}

fn cut(cut: &Cut) -> Value {
    let parts = cut.parts.iter().map(|(name, text)| json!({ "name": name, "text": text }));
    let functions = cut.values.iter().map(|value| {
        json!({
            "call": value.call, "text": value.text, "value": value.value, "given": value.given,
            "right": value.right,
        })
    });
    let mut object = json!({
        "code": cut.code,
        "computed": cut.computed,
        "parts": parts.collect::<Vec<_>>(),
        "functions": functions.collect::<Vec<_>>(),
    });
    if let Some(last) = cut.last {
        object["last"] = last.to_string().into();
    }
    object
}
