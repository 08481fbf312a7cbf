//! `urlize`: addresses in text as links of HTML, by the rules of Jinja 3.1.

use super::text::escape;
use crate::template::{Fault, Interp, ops};
use crate::value::{Call, Value};
use fancy_regex::Regex;
use std::sync::LazyLock;

/// `jinja2.utils._http_re`.
static HTTP: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"(?i)^((https?://|www\.)(([\w%-]+\.)+)?([a-z]{2,63}|xn--[\w%]{2,59})|([\w%-]{2,63}\.)+(com|net|int|edu|gov|org|info|mil)|(https?://)((([\d]{1,3})(\.[\d]{1,3}){3})|(\[([\da-f]{0,4}:){2}([\da-f]{0,4}:?){1,6}\])))(?::[\d]{1,5})?(?:[/?#]\S*)?$",
    )
});

/// `jinja2.utils._email_re`.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\S+@\w[\w.-]*\.\w+$"));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

fn fits(regex: &Regex, text: &str) -> bool {
    regex.is_match(text).unwrap_or(false)
}

/// Marks that belong to the sentence and not to the address.
const AFTER: &[&str] = &["&gt;", ")", ">", ".", ",", "\n"];
const BEFORE: &[&str] = &["&lt;", "(", "<"];
const PAIRS: &[(&str, &str)] = &[("(", ")"), ("<", ">"), ("&lt;", "&gt;")];

struct Links {
    limit: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

pub(super) fn filter(_: &mut Interp<'_>, value: Value, call: &Call) -> Result<Value, Fault> {
    let mut rel: Vec<String> = call
        .text(3, "rel")
        .map(|rel| rel.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    rel.push("noopener".to_owned());
    if call.flag(1, "nofollow").unwrap_or(false) {
        rel.push("nofollow".to_owned());
    }
    rel.sort();
    rel.dedup();
    let mut attributes = format!(" rel=\"{}\"", escape(&rel.join(" ")));
    if let Some(target) = call.text(2, "target") {
        attributes.push_str(&format!(" target=\"{}\"", escape(&target)));
    }
    let schemes = match call.get(4, "extra_schemes").filter(|schemes| !schemes.is_none()) {
        Some(schemes) => ops::iterate(schemes)?.iter().map(Value::to_text).collect(),
        None => Vec::new(),
    };
    let limit = call.int(0, "trim_url_limit").and_then(|limit| usize::try_from(limit).ok());
    let links = Links { limit, attributes, schemes };
    let text = escape(&value.to_text());
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let space = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        out.push_str(&rest[..space]);
        rest = &rest[space..];
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        out.push_str(&links.word(&rest[..word]));
        rest = &rest[word..];
    }
    Ok(Value::from(out))
}

impl Links {
    fn word(&self, word: &str) -> String {
        let mut middle = word;
        while let Some(mark) = BEFORE.iter().find(|mark| middle.starts_with(**mark)) {
            middle = &middle[mark.len()..];
        }
        let head = &word[..word.len() - middle.len()];
        let mut end = middle.len();
        while let Some(mark) = AFTER.iter().find(|mark| middle[..end].ends_with(**mark)) {
            end -= mark.len();
        }
        // Brackets that the address opened, it closes as well.
        for (open, close) in PAIRS {
            let count = |text: &str, mark: &str| text.matches(mark).count();
            let opened = count(&middle[..end], open);
            if opened <= count(&middle[..end], close) {
                continue;
            }
            for _ in 0..opened.min(count(&middle[end..], close)) {
                end += middle[end..].find(close).map_or(0, |at| at + close.len());
            }
        }
        let (middle, tail) = middle.split_at(end);
        format!("{head}{}{tail}", self.link(middle).unwrap_or_else(|| middle.to_owned()))
    }

    fn link(&self, text: &str) -> Option<String> {
        let attributes = &self.attributes;
        if fits(&HTTP, text) {
            let full = text.starts_with("https://") || text.starts_with("http://");
            let scheme = if full { "" } else { "https://" };
            let shown = match self.limit {
                Some(limit) if text.chars().count() > limit => {
                    text.chars().take(limit).collect::<String>() + "..."
                }
                _ => text.to_owned(),
            };
            return Some(format!("<a href=\"{scheme}{text}\"{attributes}>{shown}</a>"));
        }
        if let Some(address) = text.strip_prefix("mailto:").filter(|rest| fits(&EMAIL, rest)) {
            return Some(format!("<a href=\"{text}\">{address}</a>"));
        }
        if text.contains('@')
            && !text.starts_with("www.")
            && !text.starts_with('@')
            && !text.contains(':')
            && fits(&EMAIL, text)
        {
            return Some(format!("<a href=\"mailto:{text}\">{text}</a>"));
        }
        let known = |scheme: &&String| text != **scheme && text.starts_with(scheme.as_str());
        let known = self.schemes.iter().any(|scheme| known(&scheme));
        known.then(|| format!("<a href=\"{text}\"{attributes}>{text}</a>"))
    }
}
