//! Filters between text and structure: JSON, YAML, base64, digests.

use super::Filter;
use crate::template::{Fault, Interp};
use crate::value::{
    Call, Indent, Value, YamlStyle, canonical_yaml, python_json, python_json_with, to_yaml,
};
use crate::vault::Vault;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::Digest as _;
use std::borrow::Cow;
use std::sync::Arc;
use updraft_crypt as crypt;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "to_json" => |cx, value, call| {
            only_known(call, DUMPS, "JSONEncoder.__init__")?;
            let value = cx.leave(value)?;
            let indent = Indent {
                width: call
                    .named("indent")
                    .and_then(Value::as_int)
                    .and_then(|width| usize::try_from(width).ok()),
                sorted: call.named("sort_keys").is_some_and(Value::is_true),
                ascii: call.named("ensure_ascii").is_none_or(Value::is_true),
            };
            let json = value.to_json();
            Ok(Value::from(match call.named("separators").and_then(Value::as_list) {
                Some([item, key]) => {
                    python_json_with(&json, indent, (&item.to_text(), &key.to_text()))
                }
                _ => python_json(&json, indent),
            }))
        },
        // Jinja's own: sorted, and safe within HTML.
        "tojson" => |cx, value, call| {
            let value = cx.leave(value)?;
            let width = call.int(0, "indent").and_then(|width| usize::try_from(width).ok());
            let indent = Indent { width, sorted: true, ascii: true };
            let text = python_json(&value.to_json(), indent);
            let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
            Ok(Value::from(text.replace('&', "\\u0026").replace('\'', "\\u0027")))
        },
        "to_nice_json" => |cx, value, call| {
            only_known(call, DUMPS, "JSONEncoder.__init__")?;
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
        "from_json" => |cx, value, _| {
            if !matches!(value, Value::Str(_) | Value::Object(_)) {
                let kind = value.type_name();
                let what = format!("the JSON object must be str, bytes or bytearray, not {kind}");
                return Err(Fault::new(what));
            }
            let text = value.to_text();
            let text = without_surrogates(&text, *cx.context().world.config.strict_utf8)?;
            super::json::parse(&text)
        },
        "to_yaml" => |cx, value, call| yaml_text(cx, value, call, style(call, None, 2, None)),
        "to_nice_yaml" => |cx, value, call| {
            yaml_text(cx, value, call, style(call, call.args.first(), 4, Some(false)))
        },
        "from_yaml" => |_, value, _| match &value {
            Value::Str(text) => Ok(documents(text)?.into_iter().next().unwrap_or_default()),
            _ => Ok(value),
        },
        "from_yaml_all" => |_, value, _| match &value {
            Value::Str(text) => documents(text).map(Value::list),
            Value::None => Ok(Value::list(Vec::new())),
            _ => Ok(value),
        },
        "b64encode" => |_, value, call| {
            let encoding = call.text(0, "encoding").unwrap_or_else(|| "utf-8".to_owned());
            let bytes = encode(&value.to_text(), &encoding)?;
            let engine = if call.flag(1, "urlsafe").unwrap_or(false) { URL_SAFE } else { STANDARD };
            Ok(Value::from(engine.encode(bytes)))
        },
        "b64decode" => |_, value, call| {
            let engine = if call.flag(1, "urlsafe").unwrap_or(false) { URL_SAFE } else { STANDARD };
            let text: String = value.to_text().split_whitespace().collect();
            let bytes = engine
                .decode(text)
                .map_err(|error| Fault::new(format!("this is not base64: {error}")))?;
            let encoding = call.text(0, "encoding").unwrap_or_else(|| "utf-8".to_owned());
            decode(bytes, &encoding).map(Value::from)
        },
        "hash" => |_, value, call| {
            let kind = call.text(0, "hashtype").unwrap_or_else(|| "sha1".to_owned());
            digest(&kind, value.to_text().as_bytes())
                .map(Value::from)
                .ok_or_else(|| Fault::new(format!("unsupported hash type {kind}")))
        },
        "checksum" | "sha1" => |_, value, _| {
            Ok(digest("sha1", value.to_text().as_bytes()).map(Value::from).unwrap_or_default())
        },
        "md5" => |_, value, _| {
            Ok(digest("md5", value.to_text().as_bytes()).map(Value::from).unwrap_or_default())
        },
        "password_hash" => |cx, value, call| {
            let kind = call.text(0, "hashtype").unwrap_or_else(|| "sha512".to_owned());
            let salt = match call.text(1, "salt").filter(|salt| !salt.is_empty()) {
                Some(salt) => salt,
                None => {
                    let size = match call.get(2, "salt_size").filter(|size| !size.is_none()) {
                        Some(size) => size
                            .as_int()
                            .ok_or_else(|| Fault::new("salt_size must be an integer"))?,
                        None => 0,
                    };
                    let size = usize::try_from(size).ok().filter(|size| *size > 0);
                    let size = size.unwrap_or_else(|| crypt::salt_size(&kind)).min(1000);
                    crypt::salt(&mut *cx.cx.world.commands.chance(), size)
                }
            };
            let rounds = call.int(3, "rounds").map(|rounds| u32::try_from(rounds).unwrap_or(0));
            let ident = call.text(4, "ident");
            crypt::hash(&kind, &value.to_text(), &salt, rounds, ident.as_deref())
                .map(Value::from)
                .map_err(Fault::new)
        },
        "to_uuid" => |_, value, call| {
            let space = call
                .text(0, "namespace")
                .unwrap_or_else(|| "361E6D51-FAEC-444A-9079-341386DA8E2E".to_owned());
            uuid5(&space, &value.to_text()).map(Value::from).ok_or_else(|| {
                Fault::new(format!(
                    "Invalid value '{space}' for 'namespace': badly formed hexadecimal UUID string"
                ))
            })
        },
        _ => return None,
    })
}

/// JSON without the halves of characters that Python takes and UTF-8 does not have: they are refused,
/// or become the `?` that Ansible shows in their place.
fn without_surrogates(text: &str, strict: bool) -> Result<Cow<'_, str>, Fault> {
    if !text.contains("\\u") {
        return Ok(Cow::Borrowed(text));
    }
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // Characters since the last quote, which is where the string began.
    let mut position = 0;
    while let Some(c) = text[at..].chars().next() {
        let (step, shown) = match (c, unit(at), unit(at + 6)) {
            ('\\', Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
            ('\\', Some(half @ 0xd800..=0xdfff), _) if strict => {
                return Err(Fault::new(format!(
                    "Refusing to deserialize an invalid UTF8 string value: 'utf-8' codec can't encode character '\\u{half:04x}' in position {position}: surrogates not allowed"
                ))
                .with_help("This check can be disabled with the `MODULE_STRICT_UTF8_RESPONSE` setting."));
            }
            ('\\', Some(0xd800..=0xdfff), _) => (6, Some("?")),
            ('\\', Some(_), _) => (6, None),
            // What an escape is for is no beginning of another one.
            ('\\', None, _) => (1 + text[at + 1..].chars().next().map_or(0, char::len_utf8), None),
            (c, ..) => (c.len_utf8(), None),
        };
        out.push_str(shown.unwrap_or(&text[at..at + step]));
        position = if c == '"' { 0 } else { position + 1 };
        at += step;
    }
    Ok(Cow::Owned(out))
}

/// Where Latin-9 differs from Latin-1.
const LATIN_9: [(u8, char); 8] = [
    (0xa4, '€'),
    (0xa6, 'Š'),
    (0xa8, 'š'),
    (0xb4, 'Ž'),
    (0xb8, 'ž'),
    (0xbc, 'Œ'),
    (0xbd, 'œ'),
    (0xbe, 'Ÿ'),
];

/// What Windows has where Latin-1 has control characters; five of those bytes mean nothing
/// (Python's `cp1252`).
const WINDOWS_1252: [(u8, char); 27] = [
    (0x80, '€'),
    (0x82, '‚'),
    (0x83, 'ƒ'),
    (0x84, '„'),
    (0x85, '…'),
    (0x86, '†'),
    (0x87, '‡'),
    (0x88, 'ˆ'),
    (0x89, '‰'),
    (0x8a, 'Š'),
    (0x8b, '‹'),
    (0x8c, 'Œ'),
    (0x8e, 'Ž'),
    (0x91, '‘'),
    (0x92, '’'),
    (0x93, '“'),
    (0x94, '”'),
    (0x95, '•'),
    (0x96, '–'),
    (0x97, '—'),
    (0x98, '˜'),
    (0x99, '™'),
    (0x9a, 'š'),
    (0x9b, '›'),
    (0x9c, 'œ'),
    (0x9e, 'ž'),
    (0x9f, 'Ÿ'),
];

/// A letter of an encoding that is Latin-1 but for what stands in a table.
fn tabled(c: char, table: &[(u8, char)], bare: bool) -> Option<u8> {
    match table.iter().find(|(_, letter)| *letter == c) {
        Some((byte, _)) => Some(*byte),
        None => u8::try_from(c).ok().filter(|byte| {
            let taken = table.iter().any(|(b, _)| b == byte);
            !taken && (!bare || !(0x80..=0x9f).contains(byte))
        }),
    }
}

/// The name of an encoding without case and marks, which nobody writes alike.
fn plain_name(encoding: &str) -> String {
    encoding.to_ascii_lowercase().replace(['-', '_', ' '], "")
}

/// Text as bytes of the encodings that need no table.
///
/// # Errors
/// When the encoding is another one, or has no byte for a letter.
pub(crate) fn encode(text: &str, encoding: &str) -> Result<Vec<u8>, Fault> {
    let single = |last: u32| -> Result<Vec<u8>, Fault> {
        text.chars()
            .map(|c| u8::try_from(c as u32).ok().filter(|_| c as u32 <= last))
            .collect::<Option<_>>()
            .ok_or_else(|| Fault::new(format!("'{encoding}' codec can't encode the text")))
    };
    let from_table = |table: &[(u8, char)], bare| -> Result<Vec<u8>, Fault> {
        text.chars()
            .map(|c| tabled(c, table, bare))
            .collect::<Option<_>>()
            .ok_or_else(|| Fault::new(format!("'{encoding}' codec can't encode the text")))
    };
    match plain_name(encoding).as_str() {
        "utf8" => Ok(text.as_bytes().to_vec()),
        "utf8sig" => Ok(["\u{feff}", text].concat().into_bytes()),
        "utf16le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf16be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        // Python marks the order of bytes, which is the machine's: little on all that we run on.
        "utf16" => Ok(encode(&["\u{feff}", text].concat(), "utf-16-le")?),
        "latin1" | "iso88591" => single(0xff),
        "latin9" | "iso885915" => from_table(&LATIN_9, false),
        "cp1252" | "windows1252" | "1252" => from_table(&WINDOWS_1252, true),
        "ascii" | "usascii" => single(0x7f),
        _ => Err(Fault::new(format!("unknown encoding: {encoding}"))),
    }
}

/// The opposite of [`encode`].
///
/// # Errors
/// When the encoding is another one, or the bytes are not text in it.
pub(crate) fn decode(bytes: Vec<u8>, encoding: &str) -> Result<String, Fault> {
    let fault = || Fault::new(format!("'{encoding}' codec can't decode the bytes"));
    let wide = |make: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks(2)
            .map(|pair| make([pair[0], pair.get(1).copied().unwrap_or(0)]))
            .collect();
        String::from_utf16(&units).map_err(|_| fault())
    };
    match plain_name(encoding).as_str() {
        "utf8" => String::from_utf8(bytes).map_err(|_| fault()),
        "utf16le" | "utf16" => {
            wide(u16::from_le_bytes).map(|text| text.trim_start_matches('\u{feff}').to_owned())
        }
        "utf16be" => wide(u16::from_be_bytes),
        "latin9" | "iso885915" => Ok(bytes
            .into_iter()
            .map(|byte| {
                LATIN_9.iter().find(|(b, _)| *b == byte).map_or(char::from(byte), |(_, c)| *c)
            })
            .collect()),
        "cp1252" | "windows1252" | "1252" => bytes
            .into_iter()
            .map(|byte| match WINDOWS_1252.iter().find(|(b, _)| *b == byte) {
                Some((_, c)) => Ok(*c),
                None if (0x80..=0x9f).contains(&byte) => Err(fault()),
                None => Ok(char::from(byte)),
            })
            .collect(),
        "latin1" | "iso88591" => Ok(bytes.into_iter().map(char::from).collect()),
        "ascii" | "usascii" if bytes.is_ascii() => String::from_utf8(bytes).map_err(|_| fault()),
        "ascii" | "usascii" => Err(fault()),
        _ => Err(Fault::new(format!("unknown encoding: {encoding}"))),
    }
}

/// What may be said to PyYAML's `dump`.
const DUMP: &[&str] = &[
    "default_style",
    "default_flow_style",
    "canonical",
    "indent",
    "width",
    "allow_unicode",
    "line_break",
    "encoding",
    "explicit_start",
    "explicit_end",
    "version",
    "tags",
    "sort_keys",
];

/// What may be said to Python's `json.dumps`, and to the filter before it.
const DUMPS: &[&str] = &[
    "profile",
    "vault_to_text",
    "preprocess_unsafe",
    "skipkeys",
    "ensure_ascii",
    "check_circular",
    "allow_nan",
    "indent",
    "separators",
    "default",
    "sort_keys",
];

/// A filter that passes its named arguments on refuses those that nobody there knows.
fn only_known(call: &Call, known: &[&str], function: &str) -> Result<(), Fault> {
    match call.named.iter().find(|(name, _)| !known.contains(&&**name)) {
        Some((name, _)) => {
            Err(Fault::new(format!("{function}() got an unexpected keyword argument '{name}'")))
        }
        None => Ok(()),
    }
}

fn yaml_text(
    cx: &mut Interp<'_>,
    value: Value,
    call: &Call,
    style: YamlStyle,
) -> Result<Value, Fault> {
    only_known(call, DUMP, "dump_all")?;
    let value = cx.leave(value)?;
    let value = sealed_again(&cx.context().world.vault, &value);
    Ok(Value::from(match call.named("canonical").is_some_and(Value::is_true) {
        true => canonical_yaml(&value, style),
        false => to_yaml(&value, style),
    }))
}

/// The value with what came out of a vault as it was in there: YAML has a tag for it.
fn sealed_again(vault: &Vault, value: &Value) -> Value {
    match value {
        Value::Str(text) => match vault.sealed(&text.shared()) {
            Some(sealed) => Value::vaulted(&sealed, None),
            None => value.clone(),
        },
        Value::List(items) | Value::Tuple(items) => {
            Value::List(Arc::new(items.iter().map(|item| sealed_again(vault, item)).collect()))
        }
        Value::Dict(entries) => Value::Dict(Arc::new(
            entries.iter().map(|(key, item)| (key.clone(), sealed_again(vault, item))).collect(),
        )),
        other => other.clone(),
    }
}

fn style(call: &Call, indent: Option<&Value>, usual: usize, flow: Option<bool>) -> YamlStyle {
    YamlStyle {
        indent: call
            .named("indent")
            .or(indent)
            .and_then(Value::as_int)
            .map_or(usual, |width| usize::try_from(width).unwrap_or(usual).clamp(2, 9)),
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
        begin: call.named("explicit_start").is_some_and(Value::is_true),
        end: call.named("explicit_end").is_some_and(Value::is_true),
        quote: call.named("default_style").and_then(|style| style.to_text().chars().next()),
    }
}

fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let parsed = crate::yaml::parse_yaml(crate::yaml::TEXT, text)
        .map_err(|fault| Fault::new(fault.to_string()))?;
    // What comes from a string is data: braces in it stay braces.
    Ok(parsed.documents.iter().map(|node| plain(&node.to_value())).collect())
}

/// The value with every template turned into plain text.
pub(crate) fn plain(value: &Value) -> Value {
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

/// What Ansible tells of the content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    pub(crate) sha1: String,
    pub(crate) md5: String,
}

/// Reads to the end and keeps nothing.
pub(crate) fn in_pieces(
    mut from: impl std::io::Read,
    mut each: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut piece = vec![0; 128 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The checksums of what can be read, piece by piece.
pub(crate) fn checksums(from: impl std::io::Read) -> std::io::Result<Checksums> {
    let (mut sha1, mut md5) = (sha1::Sha1::new(), md5::Md5::new());
    in_pieces(from, |piece| {
        sha1.update(piece);
        md5.update(piece);
    })?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Checksums { sha1: hex(&sha1.finalize()), md5: hex(&md5.finalize()) })
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
