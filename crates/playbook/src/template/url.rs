//! Addresses of the web, taken apart as Python's urllib takes them apart.

use crate::value::Value;

/// The parts of an address.
#[derive(Debug, Default)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    pub(crate) netloc: String,
    path: String,
    query: String,
    fragment: String,
}

/// `urllib.parse.urlsplit`.
pub(crate) fn split(url: &str) -> Url {
    let url = url.trim_start_matches(|c: char| (c as u32) <= 0x20);
    let url: String = url.chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
    let mut rest = url.as_str();
    let mut out = Url::default();
    if let Some((scheme, tail)) = rest.split_once(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        out.scheme = scheme.to_ascii_lowercase();
        rest = tail;
    }
    if let Some(tail) = rest.strip_prefix("//") {
        let (netloc, tail) = tail.split_at(tail.find(['/', '?', '#']).unwrap_or(tail.len()));
        out.netloc = netloc.to_owned();
        rest = tail;
    }
    if let Some((before, fragment)) = rest.split_once('#') {
        out.fragment = fragment.to_owned();
        rest = before;
    }
    if let Some((before, query)) = rest.split_once('?') {
        out.query = query.to_owned();
        rest = before;
    }
    out.path = rest.to_owned();
    out
}

impl Url {
    /// The dict that the `urlsplit` filter gives.
    pub(crate) fn into_value(self) -> Value {
        let (user, address) = self.netloc.rsplit_once('@').unwrap_or(("", &self.netloc));
        let (username, password) = match user.split_once(':') {
            Some((name, password)) => (Value::str(name), Value::str(password)),
            None if user.is_empty() => (Value::None, Value::None),
            None => (Value::str(user), Value::None),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_or(Value::None, Value::Int))
            }
            _ => (address, Value::None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Value::dict_of([
            ("fragment", Value::from(self.fragment)),
            ("hostname", if host.is_empty() { Value::None } else { Value::from(host) }),
            ("netloc", Value::str(&self.netloc)),
            ("password", password),
            ("path", Value::from(self.path)),
            ("port", port),
            ("query", Value::from(self.query)),
            ("scheme", Value::from(self.scheme)),
            ("username", username),
        ])
    }
}

/// Percent-encoding of everything but letters, digits, `_.-~` and `safe`.
pub(crate) fn encode(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        let plain = byte.is_ascii_alphanumeric() || "_.-~".contains(c);
        if plain || (byte.is_ascii() && safe.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The opposite; with `plus`, a plus sign is a space.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["a b/c?d=e&f", "grüße", "100%", "+", "%zz"] {
            assert_eq!(decode(&encode(text, "/"), false), text);
        }
        assert_eq!(decode("a+b%20c", true), "a b c");
        assert_eq!(encode("a b/ü", "/"), "a%20b/%C3%BC");
    }

    #[test]
    fn addresses_are_taken_apart() {
        let url = split("HTTP://u:p@[::1]:80?x=1#f");
        assert_eq!((url.scheme.as_str(), url.netloc.as_str()), ("http", "u:p@[::1]:80"));
        let value = url.into_value();
        assert_eq!(value.get("hostname"), Some(&Value::str("::1")));
        assert_eq!(value.get("port"), Some(&Value::Int(80)));
        assert_eq!(split("C:no//scheme").scheme, "c");
        assert_eq!(split("1:x").scheme, "");
    }
}
