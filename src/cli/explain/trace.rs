//! Formats an explanation as JSON.

use alias_rules::{Explanation, Finding, Split, Trace};
use serde_json::{Value, json};

/// Returns the statements of an explanation, in order.
pub fn statements(explanation: &Explanation) -> Vec<Value> {
    explanation.shown().into_iter().map(statement).collect()
}

fn statement(trace: &Trace) -> Value {
    let mut object = json!({ "place": trace.place, "expression": trace.expression });
    let (finding, more) = match &trace.finding {
        Finding::Matched { account, several, ambiguous, split } => {
            let more = json!({
                "account": account, "several": several, "ambiguous": ambiguous, "split": split.as_ref().map(self::split),
            });
            ("matched", more)
        }
        Finding::Expired { account, last, split } => {
            let split = split.as_ref().map(self::split);
            ("expired", json!({ "account": account, "last": last.to_string(), "split": split }))
        }
        Finding::OtherDomain => ("other_domain", json!({})),
        Finding::WrongCode(split) => {
            ("wrong_code", json!({ "account": split.account, "split": self::split(split) }))
        }
        Finding::Unlisted { what, text } => ("unlisted", json!({ "what": what, "text": text })),
        Finding::Unfit { fits, part, rest } => ("unfit", json!({ "fits": fits, "part": part, "rest": rest })),
        Finding::Never(never) => ("never", json!({ "text": never.to_string() })),
        Finding::TempFail => ("tempfail", json!({})),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.insert("finding".into(), finding.into());
        object.extend(more);
    }
    object
}

fn split(split: &Split) -> Value {
    let parts = split.parts.iter().map(|(name, text)| json!({ "name": name, "text": text }));
    let functions = split.values.iter().map(|value| {
        json!({
            "call": value.call, "text": value.text, "value": value.value, "given": value.given,
            "right": value.right,
        })
    });
    let mut object = json!({
        "code": split.code,
        "computed": split.computed,
        "parts": parts.collect::<Vec<_>>(),
        "functions": functions.collect::<Vec<_>>(),
    });
    if let Some(last) = split.last {
        object["last"] = last.to_string().into();
    }
    object
}
