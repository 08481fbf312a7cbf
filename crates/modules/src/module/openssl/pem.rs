//! PEM, DER as text (RFC 7468). Never here: what is inside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How an object begins.
const BEGIN: &str = "-----BEGIN ";

/// DER as text.
pub(super) fn render(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = format!("{BEGIN}{label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.extend([line, "\n"]);
        rest = after;
    }
    lines.extend(["-----END ", label, "-----\n"]);
    lines
}

/// Whether an object begins anywhere in these bytes.
pub(super) fn is_in(content: &[u8]) -> bool {
    content.windows(BEGIN.len()).any(|bytes| bytes == BEGIN.as_bytes())
}

/// The label and the lines of the object, if the bytes are one object and nothing else.
pub(super) fn sole(content: &[u8]) -> Option<(&str, Vec<&str>)> {
    let text = std::str::from_utf8(content).ok()?;
    let plain = text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
    let mut lines = text.trim_end_matches('\n').split('\n');
    let label = lines.next()?.strip_prefix(BEGIN)?.strip_suffix("-----")?;
    let end = lines.next_back()?;
    let body: Vec<&str> = lines.collect();
    let nested = body.iter().any(|line| line.starts_with("-----"));
    (plain && !nested && end == format!("-----END {label}-----")).then_some((label, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_lines_of_64_letters() {
        let text = render("X", &[0; 50]);
        let lines = ["A".repeat(64), "AAA=".to_owned()];
        assert_eq!(text, format!("-----BEGIN X-----\n{}\n-----END X-----\n", lines.join("\n")));
        assert_eq!(sole(text.as_bytes()), Some(("X", lines.iter().map(String::as_str).collect())));
        assert_eq!(sole(text.repeat(2).as_bytes()), None);
        assert!(is_in(text.as_bytes()) && !is_in(b"-----END X-----"));
    }
}
