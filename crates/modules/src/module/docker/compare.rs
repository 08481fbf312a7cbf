//! Whether what is there is what is asked for, by the rules that a task may set.

use crate::args::text_of;
use serde_json::{Map, Value};

/// How strictly one option is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Ignore,
    Strict,
    /// There may be more than is asked for.
    AllowMore,
}

/// What kind of thing is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Value,
    List,
    /// A list, or the keys of a mapping, in any order.
    Set,
    /// A list of mappings in any order, each of which may have more than is asked for.
    Dicts,
    Dict,
}

/// Whether `found` is what is `wanted`.
pub(super) fn fits(wanted: &Value, found: &Value, rule: Rule, shape: Shape) -> bool {
    if rule == Rule::Ignore {
        return true;
    }
    if wanted.is_null() || found.is_null() {
        let other = if wanted.is_null() { found } else { wanted };
        return match (wanted.is_null() && found.is_null(), shape) {
            (true, _) => true,
            (false, Shape::Value) => false,
            _ if rule == Rule::AllowMore && wanted.is_null() => true,
            _ => is_empty(other),
        };
    }
    let strict = rule == Rule::Strict;
    match shape {
        Shape::Value => same(wanted, found),
        Shape::List | Shape::Dict if strict => same(wanted, found),
        Shape::List => {
            let mut found = items(found).into_iter();
            items(wanted).iter().all(|item| found.any(|other| same(item, &other)))
        }
        Shape::Dict => more_than(found, wanted),
        Shape::Set => {
            let (wanted, found) = (items(wanted), items(found));
            let among = |one: &Value, all: &[Value]| all.iter().any(|other| same(one, other));
            wanted.iter().all(|one| among(one, &found))
                && (!strict || found.iter().all(|one| among(one, &wanted)))
        }
        Shape::Dicts => {
            let (wanted, found) = (items(wanted), items(found));
            wanted.iter().all(|one| found.iter().any(|other| more_than(other, one)))
                && (!strict
                    || found.iter().all(|one| wanted.iter().any(|other| more_than(one, other))))
        }
    }
}

/// Whether all of `less` is in `more`.
fn more_than(more: &Value, less: &Value) -> bool {
    match (more, less) {
        (Value::Object(more), Value::Object(less)) => {
            less.iter().all(|(key, value)| more.get(key).is_some_and(|other| same(other, value)))
        }
        _ => false,
    }
}

/// The items of a list, or the keys of a mapping.
pub(super) fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(map) => map.keys().map(|key| key.as_str().into()).collect(),
        _ => Vec::new(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Equality as Python has it: `1`, `1.0` and `True` are the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Bool(_) | Value::Number(_), Value::Bool(_) | Value::Number(_)) => {
            match (whole(a), whole(b)) {
                (Some(a), Some(b)) => a == b,
                _ => real(a) == real(b),
            }
        }
        _ => a == b,
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_bool().map(i64::from))
}

fn real(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|flag| if flag { 1.0 } else { 0.0 }))
}

/// What has no order of its own, in one that can be read.
pub(super) fn in_order(value: &Value, shape: Shape) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    let mut all = items(value);
    match shape {
        Shape::Set => all.sort_by_key(text_of),
        Shape::Dicts => all.sort_by_key(|one| one.as_object().map(sorted)),
        _ => return value.clone(),
    }
    all.into()
}

fn sorted(map: &Map<String, Value>) -> Vec<(String, String)> {
    let mut all: Vec<_> = map.iter().map(|(key, value)| (key.clone(), text_of(value))).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_there_is_compared_by_rule_and_shape() {
        use Rule::{AllowMore, Ignore, Strict};
        use Shape::{Dict, Dicts, List, Set, Value as One};
        let null = json!(null);
        for (wanted, found, rule, shape, expected) in [
            (json!(1), json!(2), Ignore, One, true),
            (json!(1), json!(1.0), Strict, One, true),
            (json!("1"), json!(1), Strict, One, false),
            (json!(false), null.clone(), Strict, One, false),
            (null.clone(), null.clone(), Strict, One, true),
            (json!([]), null.clone(), Strict, List, true),
            (json!(["a"]), null.clone(), AllowMore, Set, false),
            (null.clone(), json!(["a"]), AllowMore, Set, true),
            (null.clone(), json!(["a"]), Strict, Set, false),
            (json!(["a", "b"]), json!(["b", "a"]), Strict, List, false),
            (json!(["a", "b"]), json!(["a", "x", "b"]), AllowMore, List, true),
            (json!(["a", "b"]), json!(["b", "x", "a"]), AllowMore, List, false),
            (json!(["a", "a"]), json!(["a", "b"]), AllowMore, List, false),
            (json!(["a", "b"]), json!(["b", "a"]), Strict, Set, true),
            (json!(["a"]), json!(["b", "a"]), AllowMore, Set, true),
            (json!(["a"]), json!(["b", "a"]), Strict, Set, false),
            (json!(["a"]), json!({ "a": {}, "b": {} }), AllowMore, Set, true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), AllowMore, Dict, true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), Strict, Dict, false),
            (json!({ "a": null }), json!({}), AllowMore, Dict, false),
            (json!([{ "a": 1 }]), json!([{ "a": 1, "b": 2 }]), Strict, Dicts, true),
            (json!([{ "a": 1 }]), json!([{ "a": 1 }, { "a": 2 }]), Strict, Dicts, false),
            (json!([{ "a": 1 }]), json!([{ "a": 1 }, { "a": 2 }]), AllowMore, Dicts, true),
            (json!([{ "a": 1, "b": 2 }]), json!([{ "a": 1 }]), AllowMore, Dicts, false),
        ] {
            assert_eq!(
                fits(&wanted, &found, rule, shape),
                expected,
                "{wanted} {found} {rule:?} {shape:?}"
            );
        }
    }

    #[test]
    fn what_has_no_order_is_put_into_one() {
        assert_eq!(in_order(&json!(["b", "a"]), Shape::Set), json!(["a", "b"]));
        assert_eq!(in_order(&json!({ "b": {}, "a": {} }), Shape::Set), json!(["a", "b"]));
        assert_eq!(
            in_order(&json!([{ "k": 2 }, { "k": 1 }]), Shape::Dicts),
            json!([{ "k": 1 }, { "k": 2 }])
        );
        assert_eq!(in_order(&json!(["b", "a"]), Shape::List), json!(["b", "a"]));
    }
}
