//! Web requests for `get_url` and `uri`, redirects and basic authentication included.
//!
//! Plain HTTP and Unix sockets are spoken here. HTTPS is left to the target's own curl or wget:
//! a TLS stack would double the agent, and the machine's own program knows the machine's own
//! certificates. Never here: files in their final place.

mod plain;
mod tool;

use crate::context::Context;
use crate::outcome::{Fault, fail};
use crate::place::Scratch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name servers that do not answer are waited for as long as the C library waits for three.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    All,
    /// Only of requests that change nothing.
    Safe,
    /// As Python's urllib does: like all, except that only safe requests are repeated as they are.
    Urllib,
    None,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Names of headers that are not sent again after a redirect.
    pub(crate) unredirected: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// A file that is sent in place of `body`.
    pub(crate) upload: Option<PathBuf>,
    /// Longest silence that is borne.
    pub(crate) timeout: Duration,
    pub(crate) follow: Follow,
    pub(crate) user: Option<(String, String)>,
    pub(crate) force_basic: bool,
    pub(crate) validate_certs: bool,
    pub(crate) use_proxy: bool,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) ca_path: Option<String>,
    pub(crate) client_cert: Option<String>,
    pub(crate) client_key: Option<String>,
    /// Where the body of the answer is put.
    pub(crate) into: PathBuf,
}

/// Lowercase names and their values.
type Headers = Vec<(String, String)>;

/// An answer. Its body lies in a temporary file.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Values of repeated headers are joined.
    pub(crate) headers: Headers,
    /// Where redirects led.
    pub(crate) url: String,
    pub(crate) body: Scratch,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The parts of an `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    pub(crate) user: Option<(String, String)>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query, beginning with a slash.
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let bad = || fail!("cannot read the url {}", masked(text));
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| fail!("unknown url type: '{text}'").with("status", -1))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                let message = format!("{other} urls are not supported, only http and https");
                return Err(Fault::beyond(message));
            }
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let user = userinfo.map(|info| {
            let (user, password) = info.split_once(':').unwrap_or((info, ""));
            (percent_decode(user), percent_decode(password))
        });
        let standard = if tls { 443 } else { 80 };
        let (host, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => port.parse().map_err(|_| bad())?,
                    None => standard,
                };
                (host, port)
            }
            None => match host.split_once(':') {
                Some((host, "")) => (host, standard),
                Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
                None => (host, standard),
            },
        };
        if host.is_empty() || text.contains(['\r', '\n', ' ']) {
            return Err(bad());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { tls, user, host: host.to_owned(), port, path: format!("{slash}{path}") })
    }

    /// Host and port as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let standard = if self.tls { 443 } else { 80 };
        if self.port == standard { host } else { format!("{host}:{}", self.port) }
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// Where a `Location` leads from here (RFC 3986 section 5.2, for the forms servers send).
    pub(crate) fn join(&self, location: &str) -> String {
        if location.contains("://") {
            return location.to_owned();
        }
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", if self.tls { "https" } else { "http" });
        }
        if location.starts_with('/') {
            return format!("{}{location}", self.origin());
        }
        let path = self.path.split('?').next().unwrap_or("/");
        if location.starts_with('?') {
            return format!("{}{path}{location}", self.origin());
        }
        let dir = &path[..=path.rfind('/').unwrap_or(0)];
        format!("{}{dir}{location}", self.origin())
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A url without the password that may be in it.
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((info, host)) => {
            let user = info.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:********@{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

/// Sends a request and follows where it leads.
///
/// The error says in Ansible's way what kept an answer from coming; a status that is not a
/// success is an answer.
pub(crate) fn send(request: &Request, ctx: &Context) -> Result<Response, String> {
    let mut request = request.clone();
    let mut basic = request.force_basic;
    // Python's urllib gives up after ten redirects.
    for _ in 0..=10 {
        let url = Url::parse(&request.url).map_err(|fault| fault.message)?;
        let user = request.user.clone().or_else(|| url.user.clone());
        let mut headers = request.headers.clone();
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if let (true, Some((user, password)), false) = (basic, &user, has("authorization")) {
            let pair = format!("{user}:{password}");
            let encoded = STANDARD.encode(pair);
            headers.push(("Authorization".to_owned(), format!("Basic {encoded}")));
        }
        let response = if url.tls {
            tool::exchange(&request, &headers, ctx)?
        } else {
            plain::exchange(&request, &url, &headers, ctx)?
        };
        if response.status == 401 && !basic && user.is_some() {
            let challenge = response.header("www-authenticate").unwrap_or_default();
            if challenge.to_ascii_lowercase().contains("basic") {
                basic = true;
                continue;
            }
        }
        let location = response.header("location").map(str::to_owned);
        let Some(location) = location.filter(|_| redirects(&request, response.status)) else {
            return Ok(response);
        };
        let next = url.join(&location);
        let target = Url::parse(&next).map_err(|fault| fault.message)?;
        if target.host != url.host || target.port != url.port {
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            request.user = None;
            basic = false;
        }
        let safe = matches!(request.method.as_str(), "GET" | "HEAD");
        if response.status == 303 || (matches!(response.status, 301 | 302) && !safe) {
            if request.method != "HEAD" {
                "GET".clone_into(&mut request.method);
            }
            request.body.clear();
            request.upload = None;
            request.headers.retain(|(name, _)| {
                !name.eq_ignore_ascii_case("content-type")
                    && !name.eq_ignore_ascii_case("content-length")
            });
        }
        let once = std::mem::take(&mut request.unredirected);
        request.headers.retain(|(name, _)| !once.iter().any(|o| o.eq_ignore_ascii_case(name)));
        request.url = next;
    }
    Err("The HTTP server returned a redirect error that would lead to an infinite loop.".to_owned())
}

/// Whether a status is a redirect that this request follows.
fn redirects(request: &Request, status: u16) -> bool {
    let safe = matches!(request.method.as_str(), "GET" | "HEAD");
    matches!(status, 301 | 302 | 303 | 307 | 308)
        && match request.follow {
            Follow::All => true,
            Follow::Safe => safe,
            Follow::Urllib => safe || matches!(status, 301..=303),
            Follow::None => false,
        }
}

/// The addresses of a host: literal, from `/etc/hosts`, or from the system's own resolver.
///
/// The C library's resolver is asked through `getent`, since a static binary cannot load it.
pub(crate) fn resolve(host: &str, port: u16, ctx: &Context) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() {
        let cmd = crate::process::Cmd::new("getent").args(["ahosts", host]).within(PATIENCE);
        if let Ok(ran) = cmd.run(ctx) {
            for line in ran.out().lines() {
                let address = line.split_whitespace().next().and_then(|word| word.parse().ok());
                if let Some(address) = address.filter(|address| !found.contains(address)) {
                    found.push(address);
                }
            }
        }
    }
    if found.is_empty() {
        return Err(format!("cannot find an address for {host}"));
    }
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    hosts
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

/// Status line and headers of an answer; names in lowercase, repeated ones joined.
fn parse_head(text: &str) -> Option<(u16, String, Headers)> {
    let mut lines = text.lines();
    let mut status = lines.next()?.splitn(3, ' ');
    status.next().filter(|version| version.starts_with("HTTP/"))?;
    let code = status.next()?.parse().ok()?;
    let reason = status.next().unwrap_or_default().trim().to_owned();
    let mut headers = Headers::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim().to_lowercase(), value.trim());
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => {
                old.push_str(", ");
                old.push_str(value);
            }
            None => headers.push((name, value.to_owned())),
        }
    }
    Some((code, reason, headers))
}

/// The name a url gives a file.
pub(crate) fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name.to_owned(),
        _ => "index.html".to_owned(),
    }
}

/// The name a server gives a file, without any directories in it.
pub(crate) fn disposition(header: &str) -> Option<String> {
    let (_, rest) = header.split_once("filename=")?;
    let name = match rest.trim_start().strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    let name = Path::new(name).file_name()?.to_str()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_into_parts() {
        let parse = |text| Url::parse(text).unwrap();
        let url = parse("http://u%40x:p@host:8080/a/b?c#d");
        assert_eq!(url.user, Some(("u@x".to_owned(), "p".to_owned())));
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("host", 8080, "/a/b?c"));
        assert_eq!(parse("https://[::1]/").authority(), "[::1]");
        assert_eq!(parse("http://host?x=1").path, "/?x=1");
        for text in ["ftp://x/", "http://", "nonsense", "http://h:port/", "http://a b/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn redirects_lead_to_absolute_urls() {
        let url = Url::parse("http://h:81/a/b?c").unwrap();
        for (location, expected) in [
            ("https://x/y", "https://x/y"),
            ("//x/y", "http://x/y"),
            ("/y", "http://h:81/y"),
            ("y", "http://h:81/a/y"),
            ("?z", "http://h:81/a/b?z"),
        ] {
            assert_eq!(url.join(location), expected, "{location}");
        }
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        assert_eq!(masked("https://me:secret@h/x"), "https://me:********@h/x");
        assert_eq!(masked("https://h/x@y"), "https://h/x@y");
    }

    #[test]
    fn files_are_named_by_server_or_url() {
        assert_eq!(file_name("http://h/a/b.tgz?x=/y"), "b.tgz");
        assert_eq!(file_name("http://h/"), "index.html");
        assert_eq!(disposition("attachment; filename=\"../a b.txt\"; x=1").unwrap(), "a b.txt");
        assert_eq!(disposition("attachment; filename=x.bin").unwrap(), "x.bin");
        assert_eq!(disposition("inline"), None);
    }

    #[test]
    fn the_hosts_file_is_asked_first() {
        let hosts = "127.0.0.1 localhost\n10.0.0.1 web1.test web1 # x\n::1 localhost\n";
        assert_eq!(in_hosts(hosts, "WEB1"), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(in_hosts(hosts, "localhost").len(), 2);
        assert!(in_hosts(hosts, "x").is_empty());
    }
}
