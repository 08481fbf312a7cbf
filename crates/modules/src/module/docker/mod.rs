//! What a Docker daemon has: containers, images and networks.
//!
//! The daemon is asked over its socket in the words of its own API, in the version that it speaks
//! best. Where TLS or SSH is between it and us, Ansible's module goes on. So it does with every
//! argument that is not compared here exactly as it does: what a container is compared with decides
//! whether it is thrown away. Never here: what starts or installs a daemon.

mod auth;
mod compare;
pub(crate) mod container;
pub(crate) mod image;
mod images;
pub(crate) mod network;
mod words;

use crate::args::{Args, boolean, text_of};
use crate::context::Context;
use crate::http::{self, Follow, Request, Response};
use crate::outcome::{Fault, fail};
use serde_json::{Map, Value};
use std::fmt;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where a daemon listens unless it is told otherwise.
const SOCKET: &str = "unix:///var/run/docker.sock";

/// What Docker's own library for Python waits for an answer.
const PATIENCE: i64 = 60;

/// Stands for no limit: nobody waits longer for a download that is silent.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What Ansible's modules ask of a daemon at least.
const OLDEST: Version = Version(1, 25);

fn beyond(what: impl fmt::Display) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// A version of Docker's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Why the daemon did not do what it was asked.
#[derive(Clone, Debug)]
struct Refusal {
    /// Status of the answer, if there was one.
    status: Option<u16>,
    /// The daemon's own words.
    explanation: String,
    /// Everything, as Docker's library for Python tells it.
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Refusal {
    fn is_missing(&self) -> bool {
        self.status == Some(404)
    }

    fn other(text: impl Into<String>) -> Self {
        Self { status: None, explanation: String::new(), text: text.into() }
    }
}

/// What nobody thought of going wrong.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            Some(_) => fail!("An unexpected Docker error occurred: {refusal}"),
            None => fail!(
                "An unexpected requests error occurred when trying to talk to the Docker daemon: {refusal}"
            ),
        }
    }
}

/// One question for the daemon.
struct Call<'a> {
    method: &'a str,
    /// Beginning with a slash, names in it [quoted].
    path: String,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// A file that is sent in place of `body`.
    upload: Option<PathBuf>,
    /// Longest silence that is borne.
    timeout: Duration,
}

/// A daemon, and how it is spoken to.
struct Docker<'a> {
    /// What addresses begin with when they are told.
    shown: String,
    /// What they begin with when they are asked.
    base: String,
    socket: Option<PathBuf>,
    version: Version,
    timeout: Duration,
    ctx: &'a Context,
}

impl<'a> Docker<'a> {
    /// Finds the daemon that is asked for, and the version of its API.
    fn connect(args: &Args, ctx: &'a Context) -> Result<Self, Fault> {
        let told = |name: &str, variable: &str| {
            args.raw(name).map(text_of).or_else(|| ctx.var(variable).map(str::to_owned))
        };
        for (name, variable) in [("tls", "DOCKER_TLS"), ("validate_certs", "DOCKER_TLS_VERIFY")] {
            let asked = told(name, variable).map(Value::from);
            if asked.is_some_and(|asked| boolean(&asked) != Ok(false)) {
                return Err(beyond("TLS between here and the daemon"));
            }
        }
        if args.flag("use_ssh_client") {
            return Err(beyond("SSH between here and the daemon"));
        }
        let timeout = match told("timeout", "DOCKER_TIMEOUT") {
            None => PATIENCE,
            Some(seconds) => seconds.parse().map_err(|_| beyond("such a timeout"))?,
        };
        let timeout = u64::try_from(timeout).ok().filter(|seconds| *seconds > 0);
        let timeout = Duration::from_secs(timeout.ok_or_else(|| beyond("such a timeout"))?);
        let host = told("docker_host", "DOCKER_HOST").unwrap_or_else(|| SOCKET.to_owned());
        let (shown, base, socket) = reached(host.trim())?;
        if let Some(socket) = &socket
            && let Err(error) = UnixStream::connect(socket)
        {
            let why = aborted(&error).ok_or_else(|| beyond(format!("{host}: {error}")))?;
            return Err(fail!("Error connecting: Error while fetching server API version: {why}"));
        }
        let mut docker = Self { shown, base, socket, version: OLDEST, timeout, ctx };
        let asked = told("api_version", "DOCKER_API_VERSION");
        let version = match asked.filter(|asked| !asked.eq_ignore_ascii_case("auto")) {
            Some(version) => version,
            None => docker.newest()?,
        };
        docker.version =
            Version::parse(&version).ok_or_else(|| beyond(format!("version {version}")))?;
        if docker.version < OLDEST {
            return Err(fail!(
                "Docker API version is {version}. Minimum version required is {OLDEST}."
            ));
        }
        Ok(docker)
    }

    /// The version of the API that the daemon speaks best.
    fn newest(&self) -> Result<String, Fault> {
        let told = |why: &dyn fmt::Display| {
            fail!("Error connecting: Error while fetching server API version: {why}")
        };
        let call = self.call("GET", "/version".to_owned(), &[]);
        let answer = self.exchange(&call, "").map_err(|refusal| told(&refusal))?;
        let answer = json(&answer).map_err(|refusal| told(&refusal))?;
        answer["ApiVersion"].as_str().map(str::to_owned).ok_or_else(|| {
            fail!(
                "Error connecting: Invalid response from docker daemon: key \"ApiVersion\" is missing."
            )
        })
    }

    fn call<'c>(&self, method: &'c str, path: String, query: &'c [(&'c str, &'c str)]) -> Call<'c> {
        let (headers, body) = (Vec::new(), Vec::new());
        Call { method, path, query, headers, body, upload: None, timeout: self.timeout }
    }

    /// Asks, in the version that was agreed on. What is no success is a refusal.
    fn ask(&self, call: &Call<'_>) -> Result<Response, Refusal> {
        self.exchange(call, &format!("/v{}", self.version))
    }

    fn exchange(&self, call: &Call<'_>, version: &str) -> Result<Response, Refusal> {
        let mut path = format!("{version}{}", call.path);
        for (index, (name, value)) in call.query.iter().enumerate() {
            let (name, value) = (encoded(name), encoded(value));
            path.push_str(&format!("{}{name}={value}", if index == 0 { '?' } else { '&' }));
        }
        let request = Request {
            method: call.method.to_owned(),
            url: format!("{}{path}", self.base),
            headers: call.headers.clone(),
            unredirected: Vec::new(),
            body: call.body.clone(),
            upload: call.upload.clone(),
            timeout: call.timeout,
            follow: Follow::Safe,
            user: None,
            force_basic: false,
            validate_certs: true,
            use_proxy: true,
            unix_socket: self.socket.clone(),
            ca_path: None,
            client_cert: None,
            client_key: None,
            into: self.ctx.staging.to_path_buf(),
        };
        let response = http::send(&request, self.ctx).map_err(Refusal::other)?;
        if response.status < 400 {
            return Ok(response);
        }
        let said = fs::read(response.body.path()).unwrap_or_default();
        let explanation = match serde_json::from_slice::<Value>(&said) {
            Ok(said) => text_of(&said["message"]),
            Err(_) => String::from_utf8_lossy(&said).trim().to_owned(),
        };
        let side = if response.status < 500 { "Client" } else { "Server" };
        let (status, reason) = (response.status, &response.reason);
        let mut text = format!("{status} {side} Error for {}{path}: {reason}", self.shown);
        if !explanation.is_empty() {
            text.push_str(&format!(" (\"{explanation}\")"));
        }
        Err(Refusal { status: Some(status), explanation, text })
    }

    /// What the daemon says of something.
    fn get(&self, path: String, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        json(&self.ask(&self.call("GET", path, query))?)
    }

    /// Has something done that needs no description.
    fn post(&self, path: String, query: &[(&str, &str)]) -> Result<(), Refusal> {
        self.ask(&self.call("POST", path, query)).map(drop)
    }

    /// Has something done that is described by `data`; what is null in it is left out.
    fn post_json(
        &self,
        path: String,
        query: &[(&str, &str)],
        data: &Map<String, Value>,
    ) -> Result<Response, Refusal> {
        let mut call = self.call("POST", path, query);
        call.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        let data: Map<_, _> =
            data.clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        call.body = Value::Object(data).to_string().into_bytes();
        self.ask(&call)
    }

    /// Has something done that is described, and whose answer nobody needs.
    fn told(&self, path: String, data: Value) -> Result<(), Refusal> {
        let data = data.as_object().cloned().unwrap_or_default();
        self.post_json(path, &[], &data).map(drop)
    }

    fn delete(&self, path: String, query: &[(&str, &str)]) -> Result<Response, Refusal> {
        self.ask(&self.call("DELETE", path, query))
    }

    /// The container of this name or id, or one whose id begins with it.
    fn container(&self, name: &str) -> Result<Option<Value>, Fault> {
        let query = [("limit", "-1"), ("all", "1"), ("size", "0"), ("trunc_cmd", "0")];
        let all = self
            .get("/containers/json".to_owned(), &query)
            .map_err(|refusal| fail!("Error retrieving container list: {refusal}"))?;
        let listed = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let found = all.as_array().into_iter().flatten().find(|one| {
            let mut names = one["Names"].as_array().into_iter().flatten();
            names.any(|known| *known == *listed)
                || one["Id"].as_str().is_some_and(|id| id.starts_with(name))
        });
        match found.and_then(|one| one["Id"].as_str()) {
            Some(id) => self.container_by_id(id),
            None => Ok(None),
        }
    }

    fn container_by_id(&self, id: &str) -> Result<Option<Value>, Fault> {
        match self.get(format!("/containers/{}/json", quoted(id)), &[]) {
            Ok(container) => Ok(Some(container)),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(fail!("Error inspecting container: {refusal}")),
        }
    }

    /// The network of this name, or one whose id begins with it.
    fn network(&self, name: &str) -> Result<Option<Value>, Fault> {
        let all = self
            .get("/networks".to_owned(), &[])
            .map_err(|refusal| fail!("Error retrieving network list: {refusal}"))?;
        let found = all.as_array().into_iter().flatten().find(|one| {
            one["Name"] == *name || one["Id"].as_str().is_some_and(|id| id.starts_with(name))
        });
        match found.and_then(|one| one["Id"].as_str()) {
            Some(id) => self.network_by_id(id),
            None => Ok(None),
        }
    }

    fn network_by_id(&self, id: &str) -> Result<Option<Value>, Fault> {
        match self.get(format!("/networks/{}", quoted(id)), &[]) {
            Ok(network) => Ok(Some(network)),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(fail!("Error inspecting network: {refusal}")),
        }
    }

    /// Refuses what the daemon is too old for: each `(option, version, whether it is used)`.
    fn require(&self, uses: &[(&str, Version, bool)]) -> Result<(), Fault> {
        match uses.iter().find(|(_, needed, used)| *used && self.version < *needed) {
            None => Ok(()),
            Some((option, needed, _)) => Err(fail!(
                "Docker API version is {}. Minimum version required is {needed} to set {option} option.",
                self.version
            )),
        }
    }
}

/// What addresses of this daemon begin with when they are told and when they are asked, and its
/// socket.
fn reached(host: &str) -> Result<(String, String, Option<PathBuf>), Fault> {
    if let Some(path) = host.strip_prefix("unix://") {
        let path = if path.is_empty() { "/var/run/docker.sock" } else { path };
        if !path.starts_with('/') {
            return Err(beyond(format!("the address {host}")));
        }
        let shown = "http+docker://localhost".to_owned();
        return Ok((shown, "http://localhost".to_owned(), Some(PathBuf::from(path))));
    }
    let rest = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://"));
    let address = rest.and_then(|rest| {
        let rest = rest.trim_end_matches('/');
        let (name, port) = rest.rsplit_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (!name.is_empty() && name.chars().all(plain) && port.parse::<u16>().is_ok())
            .then(|| format!("http://{rest}"))
    });
    match address {
        Some(address) => Ok((address.clone(), address, None)),
        None => Err(beyond(format!("the address {host}"))),
    }
}

/// How Python tells that a socket could not be reached.
fn aborted(error: &std::io::Error) -> Option<String> {
    let number = error.raw_os_error()?;
    let class = match error.kind() {
        std::io::ErrorKind::NotFound => "FileNotFoundError",
        std::io::ErrorKind::ConnectionRefused => "ConnectionRefusedError",
        std::io::ErrorKind::PermissionDenied => "PermissionError",
        _ => return None,
    };
    let why = crate::outcome::plain(error);
    Some(format!("('Connection aborted.', {class}({number}, '{why}'))"))
}

fn json(response: &Response) -> Result<Value, Refusal> {
    let bytes = fs::read(response.body.path())
        .map_err(|error| Refusal::other(crate::outcome::plain(&error)))?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::other(error.to_string()))
}

/// What is streamed as one JSON document after the other.
fn documents(response: &Response) -> Result<Vec<Value>, Refusal> {
    let bytes = fs::read(response.body.path())
        .map_err(|error| Refusal::other(crate::outcome::plain(&error)))?;
    serde_json::Deserializer::from_slice(&bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| Refusal::other(error.to_string()))
}

/// A name as it stands in a path.
fn quoted(name: &str) -> String {
    percent(name, "_.-~/:", "%20")
}

/// A name or a value as it stands in a query.
fn encoded(value: &str) -> String {
    percent(value, "_.-~", "+")
}

fn percent(text: &str, plain: &str, space: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || plain.contains(c) => out.push(c),
            ' ' => out.push_str(space),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Warnings that an answer brings with it under `key`.
fn warnings(answer: &Value, key: &str) -> Vec<Value> {
    let told = |warning: &Value| Value::from(format!("Docker warning: {}", text_of(warning)));
    match &answer[key] {
        Value::Array(items) => items.iter().map(told).collect(),
        Value::String(text) if !text.is_empty() => vec![told(&answer[key])],
        _ => Vec::new(),
    }
}

/// What differs from what is asked for: names, what is wanted and what is there.
#[derive(Clone, Debug, Default)]
struct Differences(Vec<(String, Value, Value)>);

impl Differences {
    fn add(&mut self, name: impl Into<String>, wanted: impl Into<Value>, found: impl Into<Value>) {
        self.0.push((name.into(), wanted.into(), found.into()));
    }

    fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// As `diff` shows them.
    fn before_and_after(&self, diff: &mut Map<String, Value>) {
        let mut before = Map::new();
        let mut after = Map::new();
        for (name, wanted, found) in &self.0 {
            before.insert(name.clone(), found.clone());
            after.insert(name.clone(), wanted.clone());
        }
        diff.insert("before".into(), before.into());
        diff.insert("after".into(), after.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_are_found_by_what_can_be_understood() {
        let (shown, base, socket) = reached("unix:///run/x.sock").unwrap();
        assert_eq!(
            (shown.as_str(), base.as_str()),
            ("http+docker://localhost", "http://localhost")
        );
        assert_eq!(socket.unwrap(), PathBuf::from("/run/x.sock"));
        assert_eq!(reached("tcp://h:2375").unwrap().0, "http://h:2375");
        assert_eq!(reached("http://h:1/").unwrap().1, "http://h:1");
        for host in
            ["ssh://h", "tcp://h", "https://h:1", "unix://x", "npipe://x", "h:1", "tcp://a@b:1"]
        {
            assert!(reached(host).is_err(), "{host}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(Version::parse("1.9").unwrap() < Version::parse("1.41").unwrap());
        assert_eq!(Version::parse("1.x"), None);
        assert_eq!(Version(1, 41).to_string(), "1.41");
    }

    #[test]
    fn names_are_quoted_as_python_quotes_them() {
        assert_eq!(quoted("a/b:c d@ü"), "a/b:c%20d%40%C3%BC");
        assert_eq!(encoded("a/b:c d"), "a%2Fb%3Ac+d");
    }
}
