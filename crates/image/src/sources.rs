//! Where this computer's own apt gets packages from, cut down to what one release needs.

/// Parts of a release that belong to it: security fixes and updates.
const PARTS: &[&str] = &["", "-updates", "-security", "/updates"];

/// Reads apt's source lists, in both formats, and returns the lines that serve `suite` from the
/// distribution itself, in the one-line format. Third parties' archives are left out: a guest gets
/// those by its play.
pub(crate) fn serving(lists: &[String], suite: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for list in lists {
        let found = if is_deb822(list) { deb822(list) } else { one_line(list) };
        for source in found.iter().filter(|source| source.serves(suite)) {
            let line = source.render();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

impl Source {
    fn serves(&self, suite: &str) -> bool {
        let part = self.suite.strip_prefix(suite);
        let official = match self.signed_by.as_deref() {
            None => true,
            Some(key) => key.contains("debian-archive-keyring"),
        };
        part.is_some_and(|part| PARTS.contains(&part))
            && self.components.iter().any(|component| component == "main")
            && official
    }

    fn render(&self) -> String {
        let options =
            self.signed_by.as_ref().map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        format!("deb {options}{} {} {}", self.uri, self.suite, self.components.join(" "))
    }
}

fn is_deb822(list: &str) -> bool {
    list.lines().any(|line| line.to_ascii_lowercase().starts_with("types:"))
}

/// sources.list(5), "DEB822-STYLE FORMAT".
fn deb822(list: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let text: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in text.split(|line| line.trim().is_empty()) {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |wanted: &str| {
            fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let words = |wanted: &str| -> Vec<String> {
            field(wanted).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let off = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        if off || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                sources.push(Source {
                    uri: uri.clone(),
                    suite,
                    components: words("components"),
                    signed_by: field("signed-by").map(str::to_owned),
                });
            }
        }
    }
    sources
}

/// sources.list(5), "ONE-LINE-STYLE FORMAT".
fn one_line(list: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in list.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))
        else {
            continue;
        };
        let rest = rest.trim();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        sources.push(Source { uri, suite, components: words.collect(), signed_by });
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# main archive
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
  trixie
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.test/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://third.test/apt
Suites: bookworm
Components: main
Signed-By: /etc/apt/keyrings/third.asc
";

    #[test]
    fn the_lists_are_cut_down_to_one_release_of_the_distribution() {
        let key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        assert_eq!(
            serving(&[DEB822.to_owned()], "bookworm"),
            [
                format!("deb {key} http://mirror.test/debian bookworm main contrib"),
                format!("deb {key} http://mirror.test/debian bookworm-updates main contrib"),
                format!("deb {key} http://security.test/debian-security bookworm-security main"),
            ]
        );
        assert_eq!(serving(&[DEB822.to_owned()], "sid"), Vec::<String>::new());
    }

    #[test]
    fn the_one_line_format_is_read_too() {
        let list = "\
deb http://mirror.test/debian bookworm main # the archive
deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://mirror.test/debian bookworm-backports main
deb [signed-by=/k/debian-archive-keyring.gpg] http://mirror.test/debian bookworm-security main
deb-src http://mirror.test/debian bookworm main
deb http://mirror.test/debian bookworm main
";
        assert_eq!(
            serving(&[list.to_owned()], "bookworm"),
            [
                "deb http://mirror.test/debian bookworm main",
                "deb [signed-by=/k/debian-archive-keyring.gpg] http://mirror.test/debian bookworm-security main",
            ]
        );
    }
}
