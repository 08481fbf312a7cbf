//! `wait_for`: a port opens or closes, a file appears or goes, connections end.

use crate::args::Args;
use crate::context::Context;
use crate::http;
use crate::outcome::{Done, Fault, Outcome, fail, plain};
use crate::pattern::{Flags, Match, Pattern};
use serde_json::{Map, Value};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// linux/include/net/tcp_states.h.
const STATES: &[(&str, u8)] = &[
    ("ESTABLISHED", 1),
    ("SYN_SENT", 2),
    ("SYN_RECV", 3),
    ("FIN_WAIT1", 4),
    ("FIN_WAIT2", 5),
    ("TIME_WAIT", 6),
];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    Wait::new(args, ctx)?.run()
}

struct Wait<'a> {
    args: &'a Args,
    ctx: &'a Context,
    host: &'a str,
    port: Option<u16>,
    path: Option<&'a str>,
    search: Option<Pattern>,
    states: Vec<u8>,
    start: Duration,
    end: Duration,
}

/// What a search found: all groups, and the named ones.
type Found = (Vec<Value>, Map<String, Value>);

impl<'a> Wait<'a> {
    fn new(args: &'a Args, ctx: &'a Context) -> Result<Self, Fault> {
        let refuse = |message: String| Err(Fault::new(message).with("elapsed", 0));
        let (port, path, state) = (args.int("port"), args.str("path"), args.text("state"));
        if port.is_some() && path.is_some() {
            return refuse("port and path parameter can not both be passed to wait_for".into());
        }
        if path.is_some() && matches!(state, "stopped" | "drained") {
            return refuse(format!(
                "state={state} should only be used for checking a port in the wait_for module"
            ));
        }
        if args.raw("exclude_hosts").is_some() && state != "drained" {
            return refuse("exclude_hosts should only be with state=drained".into());
        }
        let mut states = Vec::new();
        for name in args.list("active_connection_states") {
            match STATES.iter().find(|(known, _)| *known == name) {
                Some((_, number)) => states.push(*number),
                None => return refuse(format!("unknown active_connection_state ({name}) defined")),
            }
        }
        let port = match port.filter(|port| *port != 0) {
            None => None,
            Some(port) => match u16::try_from(port) {
                Ok(port) => Some(port),
                Err(_) => return refuse(format!("{port} is not a port")),
            },
        };
        if state == "drained" && port.is_none() {
            return refuse("state=drained needs a port".into());
        }
        let search = args.str("search_regex").map(|text| Pattern::new(text, Flags::MultiLine));
        let start = ctx.time.steady();
        let end = start + args.seconds("timeout");
        Ok(Self {
            args,
            ctx,
            host: args.text("host"),
            port,
            path,
            search: search.transpose()?,
            states,
            start,
            end,
        })
    }

    fn run(self) -> Done {
        self.pause(self.args.seconds("delay"))?;
        let state = self.args.text("state");
        let mut found: Option<Found> = None;
        if self.port.is_none() && self.path.is_none() {
            self.pause(self.args.seconds("timeout"))?;
        } else {
            loop {
                if self.ctx.time.steady() >= self.end {
                    return Err(self.timed_out());
                }
                let done = match state {
                    "absent" | "stopped" => !self.is_there()?,
                    "drained" => self.connections() == 0,
                    _ => {
                        found = self.look()?;
                        found.is_some()
                    }
                };
                if done {
                    break;
                }
                self.pause(self.args.seconds("sleep").max(Duration::from_millis(20)))?;
            }
        }
        let (groups, named) = found.unwrap_or_default();
        Ok(Outcome::changed(false)
            .with("state", state)
            .with("port", self.args.int("port"))
            .with("search_regex", self.args.str("search_regex"))
            .with("match_groups", groups)
            .with("match_groupdict", named)
            .with("path", self.path)
            .with("elapsed", self.elapsed()))
    }

    fn elapsed(&self) -> u64 {
        self.ctx.time.steady().saturating_sub(self.start).as_secs()
    }

    /// Lets time pass in small pieces, so that we notice when we are to stop.
    fn pause(&self, duration: Duration) -> Result<(), Fault> {
        let until = self.ctx.time.steady() + duration;
        loop {
            if self.ctx.stopped() {
                return Err(fail!("stopped while waiting").with("elapsed", self.elapsed()));
            }
            let left = until.saturating_sub(self.ctx.time.steady());
            if left.is_zero() {
                return Ok(());
            }
            self.ctx.time.sleep(left.min(Duration::from_millis(200)));
        }
    }

    fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let left = self.end.saturating_sub(self.ctx.time.steady());
        let patience = self.args.seconds("connect_timeout").min(left).max(Duration::from_millis(1));
        let mut last = String::new();
        for address in http::resolve(self.host, port, self.ctx)? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = plain(&error),
            }
        }
        Err(last)
    }

    fn is_there(&self) -> Result<bool, Fault> {
        match (self.path, self.port) {
            (Some(path), _) => Ok(Path::new(path).exists()),
            (None, Some(port)) => Ok(self.connect(port).is_ok()),
            (None, None) => Ok(false),
        }
    }

    /// Whether it has started, and what the search found.
    fn look(&self) -> Result<Option<Found>, Fault> {
        if let Some(path) = self.path {
            match std::fs::metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    let message = self.said(format!("Failed to stat {path}, {}", plain(&error)));
                    return Err(Fault::new(message).with("elapsed", self.elapsed()));
                }
                Ok(_) => {}
            }
            let Some(search) = &self.search else { return Ok(Some(Found::default())) };
            let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
            return Ok(search.find(&bytes)?.map(|found| groups(&found, &bytes)));
        }
        let Some(port) = self.port else { return Ok(None) };
        let Ok(mut stream) = self.connect(port) else { return Ok(None) };
        let Some(search) = &self.search else {
            // The port is open; if the other side is gone already, that changes nothing.
            drop(stream.shutdown(Shutdown::Both));
            return Ok(Some(Found::default()));
        };
        if stream.set_read_timeout(Some(Duration::from_millis(200))).is_err() {
            return Ok(None);
        }
        let mut said = Vec::new();
        while self.ctx.time.steady() < self.end && !self.ctx.stopped() {
            let mut chunk = [0; 1024];
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    said.extend_from_slice(&chunk[..read]);
                    if let Some(found) = search.find(&said)? {
                        return Ok(Some(groups(&found, &said)));
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => break,
            }
        }
        Ok(None)
    }

    /// Connections to our port in one of the active states, without those of excluded hosts.
    fn connections(&self) -> usize {
        let excluded: Vec<IpAddr> = self
            .args
            .list("exclude_hosts")
            .iter()
            .filter_map(|host| http::resolve(host, 0, self.ctx).ok())
            .flatten()
            .map(|address| address.ip())
            .collect();
        let ours: Vec<IpAddr> = http::resolve(self.host, 0, self.ctx)
            .unwrap_or_default()
            .iter()
            .map(SocketAddr::ip)
            .collect();
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap_or_default())
            .flat_map(|table| {
                table.lines().skip(1).filter_map(parse_connection).collect::<Vec<_>>()
            })
            .filter(|(local, remote, state)| {
                Some(local.port()) == self.port
                    && self.states.contains(state)
                    && !excluded.contains(&remote.ip())
                    && (ours.iter().any(IpAddr::is_unspecified) || ours.contains(&local.ip()))
            })
            .count()
    }

    fn said(&self, message: String) -> String {
        self.args.str("msg").map_or(message, str::to_owned)
    }

    fn timed_out(&self) -> Fault {
        let (host, state) = (self.host, self.args.text("state"));
        let search = self.args.str("search_regex");
        let message = match (self.path, self.port, state) {
            (_, Some(port), "stopped" | "absent") => {
                format!("Timeout when waiting for {host}:{port} to stop.")
            }
            (Some(path), _, "absent") => format!("Timeout when waiting for {path} to be absent."),
            (_, Some(port), "drained") => {
                format!("Timeout when waiting for {host}:{port} to drain")
            }
            (Some(path), _, _) => match search {
                Some(search) => {
                    format!("Timeout when waiting for search string {search} in {path}")
                }
                None => format!("Timeout when waiting for file {path}"),
            },
            (_, port, _) => {
                let port = port.unwrap_or_default();
                match search {
                    Some(search) => {
                        format!("Timeout when waiting for search string {search} in {host}:{port}")
                    }
                    None => format!("Timeout when waiting for {host}:{port}"),
                }
            }
        };
        Fault::new(self.said(message)).with("elapsed", self.elapsed())
    }
}

fn groups(found: &Match, text: &[u8]) -> Found {
    let value = |range: Option<std::ops::Range<usize>>| {
        range.map_or(Value::Null, |range| String::from_utf8_lossy(&text[range]).into_owned().into())
    };
    let all = found.groups().iter().skip(1).map(|range| value(range.clone())).collect();
    let named =
        found.names().iter().map(|(name, _)| (name.clone(), value(found.named(name)))).collect();
    (all, named)
}

/// Local and remote end and state of a line of `/proc/net/tcp` (proc_net_tcp in the kernel docs).
fn parse_connection(line: &str) -> Option<(SocketAddr, SocketAddr, u8)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let state = u8::from_str_radix(words.get(3)?, 16).ok()?;
    Some((parse_end(words.get(1)?)?, parse_end(words.get(2)?)?, state))
}

fn parse_end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Addresses are printed as words of 32 bits in the machine's own byte order.
    let words: Option<Vec<[u8; 4]>> = (0..address.len())
        .step_by(8)
        .map(|at| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run as run_module;
    use serde_json::json;
    use std::io::Write;
    use std::net::TcpListener;

    fn wait(args: Value) -> Map<String, Value> {
        let Value::Object(args) = args else { panic!("arguments are an object") };
        run_module("wait_for", &args, &Context::system()).0
    }

    #[test]
    fn an_open_port_is_found_and_what_it_says_is_searched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let result = wait(json!({ "port": port, "timeout": 5 }));
        assert_eq!(result["state"], "started", "{result:?}");
        drop(listener.accept().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-x\r\n").unwrap();
        });
        let result = wait(json!({
            "port": port, "timeout": 5, "search_regex": "^(?P<kind>SSH)-(\\d)"
        }));
        assert_eq!(result["match_groups"], json!(["SSH", "2"]), "{result:?}");
        assert_eq!(result["match_groupdict"], json!({ "kind": "SSH" }));
        thread.join().unwrap();
        let result = wait(json!({ "port": port, "state": "stopped", "timeout": 5 }));
        assert_eq!(result.get("failed"), None, "{result:?}");
    }

    #[test]
    fn waiting_ends_and_says_for_what_it_waited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let result = wait(json!({ "path": path, "timeout": 0 }));
        assert_eq!(result["msg"], format!("Timeout when waiting for file {}", path.display()));
        let result = wait(json!({ "path": path, "timeout": 0, "msg": "no luck" }));
        assert_eq!(result["msg"], "no luck");
        std::fs::write(&path, "a\nready 7\n").unwrap();
        let result = wait(json!({ "path": path, "timeout": 5, "search_regex": "^ready (\\d)$" }));
        assert_eq!(result["match_groups"], json!(["7"]));
    }

    #[test]
    fn connections_are_read_from_the_kernels_table() {
        let local = u32::from_ne_bytes([127, 0, 0, 1]);
        let line = format!("   0: {local:08X}:1F90 {local:08X}:C001 01 00000000:00000000");
        let (near, far, state) = parse_connection(&line).unwrap();
        assert_eq!(near, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((far.port(), state), (0xc001, 1));
    }
}
