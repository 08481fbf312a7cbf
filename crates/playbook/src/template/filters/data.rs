//! Filters between text and structure: JSON, YAML, base64, digests.

use super::Filter;
use crate::template::Fault;
use crate::value::{Call, Indent, Value, YamlStyle, python_json, to_yaml};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::Digest as _;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "to_json" | "tojson" => |cx, value, call| {
            let value = cx.leave(value)?;
            let indent = Indent {
                width: call.int(1, "indent").and_then(|width| usize::try_from(width).ok()),
                sorted: call.named("sort_keys").is_some_and(Value::is_true),
                ascii: call.named("ensure_ascii").is_none_or(Value::is_true),
            };
            Ok(Value::from(python_json(&value.to_json(), indent)))
        },
        "to_nice_json" => |cx, value, call| {
            let value = cx.leave(value)?;
            let indent = Indent {
                width: Some(
                    call.int(0, "indent")
                        .and_then(|width| usize::try_from(width).ok())
                        .unwrap_or(4),
                ),
                sorted: call.named("sort_keys").is_none_or(Value::is_true),
                ascii: call.named("ensure_ascii").is_none_or(Value::is_true),
            };
            Ok(Value::from(python_json(&value.to_json(), indent)))
        },
        "from_json" => |_, value, _| {
            let text = value.to_text();
            serde_json::from_str::<serde_json::Value>(&text)
                .map(Value::from)
                .map_err(|error| Fault::new(format!("this is not JSON: {error}")))
        },
        "to_yaml" => |cx, value, call| {
            let value = cx.leave(value)?;
            Ok(Value::from(to_yaml(&value, style(call, 2, None))))
        },
        "to_nice_yaml" => |cx, value, call| {
            let value = cx.leave(value)?;
            Ok(Value::from(to_yaml(&value, style(call, 4, Some(false)))))
        },
        "from_yaml" => |_, value, _| match &value {
            Value::Str(text) => Ok(documents(text)?.into_iter().next().unwrap_or_default()),
            _ => Ok(value),
        },
        "from_yaml_all" => |_, value, _| match &value {
            Value::Str(text) => documents(text).map(Value::list),
            _ => Ok(value),
        },
        "b64encode" => |_, value, call| {
            let text = value.to_text();
            let engine = if call.flag(1, "urlsafe").unwrap_or(false) { URL_SAFE } else { STANDARD };
            Ok(Value::from(engine.encode(text)))
        },
        "b64decode" => |_, value, call| {
            let engine = if call.flag(1, "urlsafe").unwrap_or(false) { URL_SAFE } else { STANDARD };
            let text: String = value.to_text().split_whitespace().collect();
            let bytes = engine
                .decode(text)
                .map_err(|error| Fault::new(format!("this is not base64: {error}")))?;
            String::from_utf8(bytes)
                .map(Value::from)
                .map_err(|_| Fault::new("the decoded bytes are not text"))
        },
        "hash" => |_, value, call| {
            let kind = call.text(0, "hashtype").unwrap_or_else(|| "sha1".to_owned());
            digest(&kind, value.to_text().as_bytes())
                .map(Value::from)
                .ok_or_else(|| Fault::new(format!("no hash named `{kind}`")))
        },
        "checksum" | "sha1" => |_, value, _| {
            Ok(digest("sha1", value.to_text().as_bytes()).map(Value::from).unwrap_or_default())
        },
        "md5" => |_, value, _| {
            Ok(digest("md5", value.to_text().as_bytes()).map(Value::from).unwrap_or_default())
        },
        "to_uuid" => |_, value, call| {
            let space = call
                .text(0, "namespace")
                .unwrap_or_else(|| "361E6D51-FAEC-444A-9079-341386DA8E2E".to_owned());
            uuid5(&space, &value.to_text())
                .map(Value::from)
                .ok_or_else(|| Fault::new(format!("`{space}` is not a UUID")))
        },
        _ => return None,
    })
}

fn style(call: &Call, indent: usize, flow: Option<bool>) -> YamlStyle {
    YamlStyle {
        indent: call
            .named("indent")
            .or(call.args.first())
            .and_then(Value::as_int)
            .map_or(indent, |width| usize::try_from(width).unwrap_or(indent).clamp(2, 9)),
        flow: match call.named("default_flow_style") {
            Some(Value::Bool(truth)) => Some(*truth),
            Some(_) => None,
            None => flow,
        },
        sorted: call.named("sort_keys").is_none_or(Value::is_true),
        width: call
            .named("width")
            .and_then(Value::as_int)
            .and_then(|width| usize::try_from(width).ok()),
    }
}

fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let parsed =
        crate::yaml::parse("<text>", text).map_err(|fault| Fault::new(fault.to_string()))?;
    // What comes from a string is data: braces in it stay braces.
    Ok(parsed.documents.iter().map(|node| plain(&node.to_value())).collect())
}

/// The value with every template turned into plain text.
pub(crate) fn plain(value: &Value) -> Value {
    if !value.is_lazy() {
        return value.clone();
    }
    match (value.as_list(), value.as_dict(), value.as_str()) {
        (Some(items), ..) => Value::list(items.iter().map(plain).collect()),
        (_, Some(entries), _) => {
            Value::dict(entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        (.., Some(text)) => Value::str(text),
        _ => value.clone(),
    }
}

/// Lowercase hexadecimal digest.
pub(crate) fn digest(kind: &str, bytes: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(match kind {
        "md5" => hex(&md5::Md5::digest(bytes)),
        "sha1" => hex(&sha1::Sha1::digest(bytes)),
        "sha224" => hex(&sha2::Sha224::digest(bytes)),
        "sha256" => hex(&sha2::Sha256::digest(bytes)),
        "sha384" => hex(&sha2::Sha384::digest(bytes)),
        "sha512" => hex(&sha2::Sha512::digest(bytes)),
        _ => return None,
    })
}

/// SHA-1 as Ansible gives it for files.
pub(crate) fn sha1_hex(bytes: &[u8]) -> String {
    digest("sha1", bytes).unwrap_or_default()
}

/// A UUID of version 5 (RFC 9562 section 5.5).
fn uuid5(space: &str, name: &str) -> Option<String> {
    let digits: String = space.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = Vec::new();
    for at in (0..32).step_by(2) {
        bytes.push(u8::from_str_radix(&digits[at..at + 2], 16).ok()?);
    }
    bytes.extend_from_slice(name.as_bytes());
    let mut hash: [u8; 20] = sha1::Sha1::digest(&bytes).into();
    hash[6] = (hash[6] & 0x0f) | 0x50;
    hash[8] = (hash[8] & 0x3f) | 0x80;
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
