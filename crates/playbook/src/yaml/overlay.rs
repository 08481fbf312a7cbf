//! Files that are JSON: the values are those that JSON means, the places those that YAML found.
//!
//! Ansible takes a file for JSON before it takes it for YAML, and its own marks for what is data
//! alone and what is encrypted mean something in JSON only.

use super::{Kind, Node, Origin, Parsed};
use crate::fault::LoadFault;
use crate::value::{Marked, Value};
use serde_json::Value as Json;
use std::sync::Arc;

/// The value of a text that is a list or an object of JSON.
pub(super) fn json(text: &str) -> Option<Json> {
    let looks = text.trim_start().starts_with(['{', '[']);
    looks.then(|| serde_json::from_str(text).ok()).flatten()
}

/// What JSON means, where YAML found it.
pub(super) fn overlaid(
    file: &str,
    parsed: Option<Parsed>,
    json: &Json,
) -> Result<Parsed, LoadFault> {
    let start = Origin { file: Arc::from(file), line: 1, column: 1 };
    let document = parsed.and_then(|parsed| parsed.documents.into_iter().next());
    let document = node(document.as_ref(), &start, json)?;
    Ok(Parsed { documents: vec![document], warnings: Vec::new() })
}

fn node(found: Option<&Node>, around: &Origin, json: &Json) -> Result<Node, LoadFault> {
    let at = found.map_or(around, |node| &node.at).clone();
    let kind = match json {
        Json::Array(items) => {
            let found = found.and_then(Node::as_seq).unwrap_or_default();
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| node(found.get(index), &at, item));
            Kind::Seq(items.collect::<Result<_, _>>()?)
        }
        Json::Object(entries) => match Value::marked(entries, Some(&at)) {
            Marked::As(value) => Kind::Scalar(value),
            Marked::Wrongly(what) => return Err(LoadFault::at(at, what)),
            Marked::Not => {
                let found = found.and_then(Node::as_map).unwrap_or_default();
                let mut all = Vec::with_capacity(entries.len());
                for (key, item) in entries {
                    let entry = found.iter().find(|(name, _)| name.as_str() == Some(key));
                    let place = entry.map_or(&at, |(name, _)| &name.at).clone();
                    let name = Node { at: place, kind: Kind::Scalar(Value::str(key)) };
                    all.push((name, node(entry.map(|(_, value)| value), &at, item)?));
                }
                Kind::Map(all)
            }
        },
        Json::String(text) => Kind::Scalar(Value::trusted(text, Some(at.clone()))),
        other => Kind::Scalar(Value::from(other.clone())),
    };
    Ok(Node { at, kind })
}

#[cfg(test)]
mod tests {
    use crate::yaml::parse;

    #[test]
    fn json_means_what_json_means() {
        // What ansible-core 2.19.14 makes of `-e` and of files.
        let text =
            "{\"a\": 1e3, \"b\": \"\\ud83d\\ude00\", \"c\": [\"yes\", null],\n \"<<\": {\"d\": 1}}";
        let parsed = parse("t.json", text).unwrap();
        let value = parsed.documents[0].to_value();
        assert_eq!(
            value.repr(),
            "{'a': 1000.0, 'b': '\u{1f600}', 'c': ['yes', None], '<<': {'d': 1}}"
        );
        // A file of YAML says something else by the same words.
        let value = parse("t.yml", "a: 1e3\nc: yes").unwrap().documents[0].to_value();
        assert_eq!(value.repr(), "{'a': '1e3', 'c': True}");
    }

    #[test]
    fn places_are_those_of_the_text() {
        let parsed = parse("t.json", "[1,\n {\"a\": \"{{ b }}\"}]").unwrap();
        let entry = &parsed.documents[0].as_seq().unwrap()[1].as_map().unwrap()[0];
        assert_eq!(
            (entry.0.at.to_string(), entry.1.at.to_string()),
            ("t.json:2:3".to_owned(), "t.json:2:8".to_owned())
        );
        assert!(entry.1.to_value().is_lazy());
    }

    #[test]
    fn marks_of_json_say_what_is_data_and_what_is_encrypted() {
        let text =
            "{\"a\": {\"__ansible_unsafe\": \"{{ b }}\"}, \"c\": {\"__ansible_vault\": \"$V\"}}";
        let value = parse("t.json", text).unwrap().documents[0].to_value();
        assert!(!value.get("a").unwrap().is_lazy());
        assert_eq!(value.get("a").unwrap().as_str(), Some("{{ b }}"));
        assert_eq!(value.get("c").unwrap().to_json(), serde_json::json!({"__ansible_vault": "$V"}));
        let fault = parse("t.json", "{\"a\": {\"__ansible_unsafe\": 1}}").unwrap_err();
        assert!(fault.what.contains("__ansible_unsafe"), "{fault}");
        // In YAML they are keys as others.
        let value = parse("t.yml", "a: {__ansible_unsafe: x}").unwrap().documents[0].to_value();
        assert_eq!(value.repr(), "{'a': {'__ansible_unsafe': 'x'}}");
    }
}
