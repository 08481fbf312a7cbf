//! How the texts of a site file are written: names, sizes, durations, addresses, paths.
//!
//! Each format has one check, which the decoder uses, and one pattern, which the schema shows. The
//! check accepts nothing that the pattern refuses; a property test holds that.
//! Never here: places, faults, whether a name refers to something.

use crate::yaml::clip;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::time::Duration;
use updraft_base::{ByteSize, NameError, SiteName, span};

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A name: a lowercase DNS label.
    Name,
    /// A name of a group: also a group of Ansible, and the first part of hostnames.
    GroupName,
    /// A name of an account.
    AccountName,
    /// A name of a variable of a play.
    VariableName,
    /// A DNS domain.
    Domain,
    /// A network of IPv4.
    Cidr,
    /// An amount of memory or disk.
    Size,
    /// A span of time; zero too.
    Duration,
    /// A span of time that is not zero.
    Wait,
    /// A path of a file.
    Path,
    /// A path of a file with public keys, or a public key.
    Key,
    /// A suite of a distribution.
    Suite,
    /// A package.
    Package,
    /// Where packages come from.
    Mirror,
    /// Where a file is fetched from.
    Url,
    /// A path of a file, or where it is fetched from.
    Place,
    /// What a file must contain, by its SHA-256.
    Sha256,
    /// A version of a service.
    Version,
    /// A systemd unit.
    Unit,
    /// A command for a shell, or a text to look for: anything that is not empty.
    Words,
    /// A port and a path: `:8080/health`.
    HttpTarget,
}

/// Why a text is not of its format.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The fault's code.
    pub(crate) code: &'static str,
    /// The sentence.
    pub(crate) message: String,
    /// A way out.
    pub(crate) help: Option<String>,
}

impl Misfit {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Names that mean something else to Ansible, which groups must not take.
const RESERVED_GROUPS: [&str; 3] = ["all", "ungrouped", "localhost"];
/// The longest group name that leaves room in a DNS label for `-` and five digits.
const LONGEST_GROUP: usize = 57;
/// useradd(8) of shadow 4.13 refuses longer names of accounts.
const LONGEST_ACCOUNT: usize = 32;

impl Format {
    /// What it is, for a sentence: `expected a size`.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Name | Self::GroupName | Self::AccountName | Self::VariableName => "a name",
            Self::Domain => "a domain",
            Self::Cidr => "a network",
            Self::Size => "a size",
            Self::Duration | Self::Wait => "a duration",
            Self::Path => "a path",
            Self::Key => "a public key or a path of one",
            Self::Suite => "the name of a suite",
            Self::Package => "the name of a package",
            Self::Mirror | Self::Url => "a URL",
            Self::Place => "a path or a URL",
            Self::Sha256 => "a SHA-256 digest",
            Self::Version => "a version",
            Self::Unit => "the name of a unit",
            Self::Words => "text",
            Self::HttpTarget => "a port and a path",
        }
    }

    /// What it is, for the reference.
    pub(crate) const fn manual(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::GroupName => "group name",
            Self::AccountName => "account name",
            Self::VariableName => "variable name",
            Self::Domain => "domain",
            Self::Cidr => "network",
            Self::Size => "size",
            Self::Duration | Self::Wait => "duration",
            Self::Path => "path",
            Self::Key => "public key or path",
            Self::Suite => "suite",
            Self::Package => "package",
            Self::Mirror | Self::Url => "URL",
            Self::Place => "path or URL",
            Self::Sha256 => "SHA-256",
            Self::Version => "version",
            Self::Unit => "unit",
            Self::Words => "text",
            Self::HttpTarget => "port and path",
        }
    }

    /// A regular expression (ECMA-262) that every text of this format matches.
    pub(crate) const fn pattern(self) -> &'static str {
        match self {
            Self::Name => "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            Self::GroupName => "^(?!(all|ungrouped|localhost)$)[a-z0-9]([a-z0-9-]{0,55}[a-z0-9])?$",
            Self::AccountName => "^(?!root$)[a-z]([a-z0-9-]{0,30}[a-z0-9])?$",
            Self::VariableName => "^[A-Za-z_][A-Za-z0-9_]*$",
            Self::Domain => {
                "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$"
            }
            Self::Cidr => {
                "^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])/(1[6-9]|2[0-9])$"
            }
            Self::Size => {
                "^[0-9]+(\\.[0-9]{1,9})? *([kK]([iI]?[bB])?|[mM]([iI]?[bB])?|[gG]([iI]?[bB])?|[tT]([iI]?[bB])?|[bB])$"
            }
            Self::Duration => "^[0-9]+(ms|s|m|min|h|d)( *[0-9]+(ms|s|m|min|h|d))*$",
            Self::Wait => "^(?![0a-z ]*$)[0-9]+(ms|s|m|min|h|d)( *[0-9]+(ms|s|m|min|h|d))*$",
            Self::Url => {
                "^https?://[^\\s/@\\u0000-\\u001f\\u007f]+(/[^\\s\\u0000-\\u001f\\u007f]*)?$"
            }
            Self::Sha256 => "^(sha256:)?[0-9a-f]{64}$",
            Self::Path | Self::Place => {
                "^[^\\u0000-\\u001f\\u007f]{0,4095}[^/\\u0000-\\u001f\\u007f]$"
            }
            Self::Key => {
                "^(?!.*PRIVATE KEY-----)(?!.*PuTTY-User-Key-File)[^\\u0000-\\u001f\\u007f]+$"
            }
            Self::Suite => "^[a-z0-9][a-z0-9.+/-]*$",
            Self::Package => {
                "^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+|/[a-z0-9.-]+)?$"
            }
            Self::Mirror => "^(https?://|file:/|copy:/)[^\\s]+$",
            Self::Version => "^[A-Za-z0-9][A-Za-z0-9._+~:/-]{0,127}$",
            Self::Unit => "^[A-Za-z0-9:_.\\\\@][A-Za-z0-9:_.\\\\@-]{0,254}$",
            Self::Words => "\\S",
            Self::HttpTarget => "^:?[0-9]{1,5}(/[^\\s]*)?$",
        }
    }

    /// Whether a text is of this format.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        match self {
            Self::Name => name(text, 63),
            Self::GroupName => group_name(text),
            Self::AccountName => account_name(text),
            Self::VariableName => variable_name(text),
            Self::Domain => domain(text),
            Self::Cidr => cidr(text).map(drop),
            Self::Size => size(text).map(drop),
            Self::Duration => duration(text).map(drop),
            Self::Wait => wait(text),
            Self::Path => path(text),
            Self::Key => key(text),
            Self::Suite => suite(text),
            Self::Package => package(text),
            Self::Mirror => mirror(text),
            Self::Url => url(text),
            Self::Place => place(text),
            Self::Sha256 => sha256(text).map(drop),
            Self::Version => version(text),
            Self::Unit => unit(text),
            Self::Words => words(text),
            Self::HttpTarget => http_target(text).map(drop),
        }
    }

    /// What to write instead of a scalar that YAML does not read as text.
    pub(crate) fn instead_of(self, scalar: &str) -> String {
        let whole = !scalar.is_empty() && scalar.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Size if whole => format!("write {scalar}MiB or {scalar}GiB"),
            Self::Duration | Self::Wait if whole => format!("write {scalar}s or {scalar}m"),
            Self::HttpTarget if whole => format!("write \":{scalar}/\""),
            _ => format!("put it in quotes: \"{}\"", clip(scalar)),
        }
    }
}

fn name(text: &str, longest: usize) -> Result<(), Misfit> {
    let misfit = |message: String| Misfit::new("bad-name", message);
    let lowered = text.to_lowercase().replace(['_', ' ', '.'], "-");
    let lowered = lowered.trim_matches('-');
    let better = || match lowered.parse::<SiteName>() {
        Ok(name) if name.as_str() != text => Some(format!("write `{name}`")),
        _ => None,
    };
    match text.parse::<SiteName>() {
        Ok(_) if text.len() > longest => {
            Err(misfit(format!("`{}` is longer than {longest} characters", clip(text))))
        }
        Ok(_) => Ok(()),
        Err(NameError::Empty) => Err(misfit("a name must not be empty".to_owned())),
        Err(NameError::TooLong { length, .. }) => Err(misfit(format!(
            "`{}` is {length} characters long, a name has at most {longest}",
            clip(text)
        ))),
        Err(NameError::Character { found, .. }) => {
            let message = format!(
                "`{}` contains `{}`: a name is lowercase letters, digits and hyphens",
                clip(text),
                found.escape_debug()
            );
            Err(Misfit { help: better(), ..misfit(message) })
        }
        Err(NameError::Edge { .. }) => {
            let message = format!("`{}` must start and end with a letter or digit", clip(text));
            Err(Misfit { help: better(), ..misfit(message) })
        }
    }
}

fn group_name(text: &str) -> Result<(), Misfit> {
    name(text, LONGEST_GROUP)?;
    if RESERVED_GROUPS.contains(&text) {
        let message =
            format!("no group can be called `{text}`: it means something else to playbooks");
        return Err(Misfit::new("reserved-name", message));
    }
    Ok(())
}

fn account_name(text: &str) -> Result<(), Misfit> {
    name(text, LONGEST_ACCOUNT)?;
    if text == "root" {
        let message = "an admin cannot be called `root`: that account is the machine's own";
        return Err(Misfit::new("reserved-name", message)
            .help("name the person or the team; admins become root with sudo"));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!("the account `{text}` must start with a letter");
        return Err(Misfit::new("bad-name", message));
    }
    Ok(())
}

fn variable_name(text: &str) -> Result<(), Misfit> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let message = format!(
        "`{}` cannot be the name of a variable: letters, digits and underscores, no digit first",
        clip(text)
    );
    let misfit = Misfit::new("bad-name", message);
    let better = text.replace('-', "_");
    Err(match better != text && variable_name(&better).is_ok() {
        true => misfit.help(format!("write `{better}`")),
        false => misfit,
    })
}

fn domain(text: &str) -> Result<(), Misfit> {
    if text.is_empty() {
        return Err(Misfit::new("bad-name", "a domain must not be empty"));
    }
    // RFC 1035 section 2.3.4 less what a hostname in front of it may take.
    if text.len() > 253 - 64 {
        let message =
            format!("the domain `{}` is too long for names of machines in it", clip(text));
        return Err(Misfit::new("bad-name", message));
    }
    for label in text.split('.') {
        if name(label, 63).is_err() {
            let message = format!(
                "`{}` is not a domain: lowercase letters, digits and hyphens between dots",
                clip(text)
            );
            let better = text.trim_matches('.').to_lowercase();
            let misfit = Misfit::new("bad-name", message);
            return Err(match better != text && domain(&better).is_ok() {
                true => misfit.help(format!("write `{better}`")),
                false => misfit,
            });
        }
    }
    Ok(())
}

/// Reads a network: IPv4, /16 to /29, no bits outside the prefix, addresses that machines may have.
pub(crate) fn cidr(text: &str) -> Result<Ipv4Net, Misfit> {
    let misfit = |message: String| Misfit::new("bad-cidr", message);
    let Some((address, prefix)) = text.split_once('/') else {
        let message = format!("`{}` is not a network such as 10.77.0.0/24", clip(text));
        return Err(match text.parse::<Ipv4Addr>() {
            Ok(_) => misfit(message).help(format!("say how large it is: {text}/24")),
            Err(_) => misfit(message),
        });
    };
    if address.contains(':') {
        return Err(misfit(format!("`{}` is IPv6; networks of a site are IPv4", clip(text))));
    }
    let plain = !prefix.starts_with('0') && prefix.bytes().all(|b| b.is_ascii_digit());
    let parsed = (address.parse::<Ipv4Addr>(), prefix.parse::<u8>());
    let (Ok(address), Ok(prefix), true) = (parsed.0, parsed.1, plain) else {
        return Err(misfit(format!("`{}` is not a network such as 10.77.0.0/24", clip(text))));
    };
    if !(16..=29).contains(&prefix) {
        let message = format!("/{prefix} is not between /16 and /29");
        return Err(misfit(message).help("a /24 has room for 253 machines"));
    }
    let net = Ipv4Net::new(address, prefix)
        .map_err(|_| misfit(format!("`{}` is not a network such as 10.77.0.0/24", clip(text))))?;
    if net.trunc() != net {
        let message = format!("`{text}` is an address in a network, not the network");
        return Err(misfit(message).help(format!("write {}", net.trunc())));
    }
    let first = address.octets()[0];
    if first == 0 || first == 127 || first >= 224 || address.is_link_local() {
        let message = format!("machines cannot have addresses of {text}");
        return Err(misfit(message).help("use a private range, such as 10.77.0.0/24"));
    }
    Ok(net)
}

/// Reads an amount of memory or disk.
pub(crate) fn size(text: &str) -> Result<ByteSize, Misfit> {
    let misfit = |message: String| Misfit::new("bad-size", message);
    if text.len() > 32 || !text.is_ascii() || text.trim() != text || text.contains(['\t', '\n']) {
        return Err(misfit(format!("`{}` is not a size such as 512MiB or 10GiB", clip(text))));
    }
    text.parse::<ByteSize>().map_err(|error| misfit(error.to_string()))
}

/// Reads a span of time.
pub(crate) fn duration(text: &str) -> Result<Duration, Misfit> {
    let misfit = |message: String| Misfit::new("bad-duration", message);
    if text.len() > 64 || !text.is_ascii() || text.trim() != text || text.contains(['\t', '\n']) {
        let message = format!("`{}` is not a duration such as 30s, 10m or 1h30m", clip(text));
        return Err(misfit(message));
    }
    let span = span::parse(text).map_err(|error| misfit(error.to_string()))?;
    // A year: whoever waits longer made a mistake of units.
    if span > Duration::from_secs(366 * 86_400) {
        return Err(misfit(format!("`{text}` is more than a year")));
    }
    Ok(span)
}

fn wait(text: &str) -> Result<(), Misfit> {
    match duration(text)?.is_zero() {
        true => Err(Misfit::new("bad-duration", "this duration must be more than zero")),
        false => Ok(()),
    }
}

fn path(text: &str) -> Result<(), Misfit> {
    let misfit = |message: &str| Misfit::new("bad-path", message);
    match text {
        "" => Err(misfit("a path must not be empty")),
        _ if text.contains(|c: char| c.is_ascii_control()) => {
            Err(misfit("a path cannot contain control characters"))
        }
        _ if text.len() > 4096 => Err(misfit("this path is longer than 4096 bytes")),
        _ if text.ends_with('/') => {
            let message = format!("`{}` is a directory, not a file", clip(text));
            Err(Misfit::new("bad-path", message))
        }
        _ => Ok(()),
    }
}

fn key(text: &str) -> Result<(), Misfit> {
    if crate::text::is_private_key(text) {
        let message = "this is a private key; only its public half belongs here";
        return Err(Misfit::new("private-key", message).help(
            "name the file that ends in `.pub`, and make a new key: this one was written down",
        ));
    }
    if text.trim().is_empty() {
        return Err(Misfit::new("bad-public-key", "a key must not be empty"));
    }
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(Misfit::new("bad-public-key", "a key is one line without control characters")
            .help("write each key as an item of its own"));
    }
    Ok(())
}

fn suite(text: &str) -> Result<(), Misfit> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".+/-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts && text.chars().all(fits) {
        return Ok(());
    }
    let message = format!("`{}` is not the name of a suite such as bookworm", clip(text));
    Err(Misfit::new("bad-name", message))
}

fn package(text: &str) -> Result<(), Misfit> {
    let (rest, wanted) = match text.find(['=', '/']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let (name, arch) = match rest.split_once(':') {
        Some((name, arch)) => (name, Some(arch)),
        None => (rest, None),
    };
    let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // Debian Policy 5.6.1: at least two characters, a letter or digit first.
    let name_fits = name.len() >= 2
        && name.starts_with(low)
        && name.chars().all(|c| low(c) || "+.-".contains(c));
    let arch_fits = arch.is_none_or(|a| !a.is_empty() && a.chars().all(|c| low(c) || c == '-'));
    let wanted_fits = wanted.is_none_or(|w| match w.strip_prefix('=') {
        Some(v) => {
            !v.is_empty() && v.chars().all(|c| c.is_ascii_alphanumeric() || ".+:~-".contains(c))
        }
        None => w.len() > 1 && w[1..].chars().all(|c| low(c) || ".-".contains(c)),
    });
    if name_fits && arch_fits && wanted_fits {
        return Ok(());
    }
    let message = format!("`{}` is not the name of a package", clip(text));
    let misfit = Misfit::new("bad-name", message);
    Err(match text.split_whitespace().count() > 1 {
        true => misfit.help("write each package as an item of its own"),
        false => misfit,
    })
}

fn mirror(text: &str) -> Result<(), Misfit> {
    let known = ["http://", "https://", "file:/", "copy:/"];
    let rest = known.iter().find_map(|scheme| text.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty() && !text.contains(char::is_whitespace)) {
        return Ok(());
    }
    let message = format!("`{}` is not a URL with http, https, file or copy", clip(text));
    Err(Misfit::new("bad-url", message))
}

fn url(text: &str) -> Result<(), Misfit> {
    let misfit = |message: String| Misfit::new("bad-url", message);
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err(misfit(format!("`{}` is not a URL with http or https", clip(text))));
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        // Its code keeps it from being shown: there may be a password in it.
        let message = "a URL here cannot hold a user or a password";
        return Err(Misfit::new("password-in-url", message)
            .help("fetch the file by other means and name it with `file:`"));
    }
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_ascii_control()) {
        return Err(misfit(format!("`{}` is not a URL with http or https", clip(text))));
    }
    Ok(())
}

/// Whether a text is a URL rather than a path.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn place(text: &str) -> Result<(), Misfit> {
    path(text)?;
    if is_url(text) { url(text) } else { Ok(()) }
}

/// Reads the digest of a file.
pub(crate) fn sha256(text: &str) -> Result<updraft_base::Digest, Misfit> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let low = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match digits.parse() {
        Ok(digest) if digits.bytes().all(low) => Ok(digest),
        _ => {
            let message =
                format!("`{}` is not a SHA-256 digest: 64 digits from 0 to f", clip(text));
            let misfit = Misfit::new("bad-digest", message);
            let better = text.to_lowercase();
            Err(match better != text && sha256(&better).is_ok() {
                true => misfit.help("write it in lower case"),
                false => misfit.help("`sha256sum FILE` prints it"),
            })
        }
    }
}

fn version(text: &str) -> Result<(), Misfit> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+~:/-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 128 && text.chars().all(fits) {
        return Ok(());
    }
    let message = format!(
        "`{}` is not a version: up to 128 letters, digits and any of `. _ + ~ : / -`, a letter or digit first",
        clip(text)
    );
    Err(Misfit::new("bad-version", message))
}

fn unit(text: &str) -> Result<(), Misfit> {
    // systemd.unit(5), "Description": the characters of a unit's name, and its length.
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.len() <= 255 && text.chars().all(fits) {
        return Ok(());
    }
    let message = format!("`{}` is not the name of a systemd unit", clip(text));
    Err(Misfit::new("bad-name", message))
}

fn words(text: &str) -> Result<(), Misfit> {
    match text.trim().is_empty() {
        true => Err(Misfit::new("empty", "there is nothing in this text")),
        false => Ok(()),
    }
}

/// Reads a port and a path: `:8080/health`, `8080/health`, `:8080`.
pub(crate) fn http_target(text: &str) -> Result<(u16, String), Misfit> {
    let rest = text.strip_prefix(':').unwrap_or(text);
    let (port, path) = match rest.find('/') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, "/"),
    };
    let misfit = || {
        let message = format!("`{}` is not a port and a path such as :8080/health", clip(text));
        let misfit = Misfit::new("bad-http", message);
        match text.starts_with("http://") || text.starts_with("https://") {
            true => misfit.help("each machine is asked in turn, so write no scheme and no host"),
            false => misfit,
        }
    };
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || path.contains(char::is_whitespace) {
        return Err(misfit());
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((port, path.to_owned())),
        _ => {
            let message = format!("{port} is not a port: ports go from 1 to 65535");
            Err(Misfit::new("bad-port", message))
        }
    }
}

#[cfg(test)]
mod tests;
