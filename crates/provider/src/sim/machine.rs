//! A simulated machine and the agent inside it.
//!
//! [`answer`] is the whole agent: a request and the machine in, an answer and a changed machine
//! out. It speaks of the same things as the real one, in less depth: files are text in a map, a
//! module remembers what it was last told about a thing and reports a change when that differs.

use super::{command, facts, haproxy};
use crate::{MachineOrder, Power, SnapshotOrder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use updraft_base::{Digest, MachineId, MachineName, SiteId};
use updraft_wire::{
    Exec, Exit, Failure, FailureKind, ModuleRequest, ModuleResult, Observed, Peer, PowerAction,
    Probe, ProbeTarget, Probed, Request, Response, SAME, SEND,
};

/// A machine of a simulated world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimMachine {
    /// The site whose mark it carries.
    pub site: SiteId,
    /// Identity.
    pub id: MachineId,
    /// Name.
    pub name: MachineName,
    /// What it was made from; `None` while it is half made.
    pub order: Option<MachineOrder>,
    /// Whether it is on.
    pub power: Power,
    /// What is wrong with it, if anything.
    pub fault: Option<String>,
    /// How often it was started.
    pub boots: u64,
    /// Signs of life it still has to give before its agent answers.
    pub boot_left: u32,
    /// Bytes its console has printed since it was made.
    pub console_bytes: u64,
    /// What is on its disk.
    pub disk: Disk,
    /// The template its disk rests on.
    #[serde(default)]
    pub template: Option<Digest>,
    /// Snapshots of it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SimSnapshot>,
    /// Its next start goes on from a snapshot with memory: nothing boots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// The machine that it was made from, when that was no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_of: Option<MachineId>,
    /// It is cut off from its networks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

/// A snapshot of a simulated machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimSnapshot {
    /// What it was made from.
    pub order: SnapshotOrder,
    /// What was on the disk.
    pub disk: Disk,
    /// How often the machine had been started.
    pub boots: u64,
}

/// What survives a reboot of a simulated machine, and goes with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Id it was told to be.
    #[serde(default)]
    pub identity: Option<String>,
    /// Digest of the identity; empty before the first.
    #[serde(default)]
    pub identity_digest: String,
    /// Hostname.
    #[serde(default)]
    pub hostname: String,
    /// What its clock shows: nanoseconds since 1970. It stands still.
    #[serde(default)]
    pub clock: i64,
    /// What marks remember.
    #[serde(default)]
    pub marks: BTreeMap<String, Value>,
    /// Text files by path.
    #[serde(default)]
    pub files: BTreeMap<String, File>,
    /// Units that were started at least once, by name: whether they run. One of them that does not
    /// run is what a test of a service fails for.
    #[serde(default)]
    pub units: BTreeMap<String, bool>,
    /// What each module was last told about each thing.
    #[serde(default)]
    pub told: BTreeMap<String, Digest>,
    /// Versions that something on the machine was last told of, by that thing.
    #[serde(default)]
    pub versions: BTreeMap<String, BTreeSet<String>>,
    /// Modules that have run, in check mode or not.
    #[serde(default)]
    pub modules_run: u64,
    /// State of the servers of a balancer that an operator has set, by `backend/server`.
    #[serde(default)]
    pub balanced: BTreeMap<String, String>,
    /// Its filesystems are held for a snapshot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// A file of a simulated machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Content; what is not UTF-8 is replaced.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
}

/// What a machine's agent can see of the world around it.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Versions whose tests fail.
    pub unhealthy: BTreeSet<String>,
    /// Whether what runs on the machine with this address passes its test.
    pub healthy: BTreeMap<Ipv4Addr, bool>,
}

impl SimMachine {
    /// A machine that is half made: it has its mark and nothing else.
    pub(super) fn half_made(site: SiteId, order: &MachineOrder) -> Self {
        Self {
            site,
            id: order.id,
            name: order.name.clone(),
            order: None,
            power: Power::Off,
            fault: None,
            boots: 0,
            boot_left: 0,
            console_bytes: 0,
            disk: Disk::default(),
            template: None,
            snapshots: Vec::new(),
            goes_on: false,
            clone_of: None,
            apart: false,
        }
    }

    /// It is to start live and never did.
    pub(super) fn is_unborn(&self) -> bool {
        self.template.is_some() && self.boots == 0
    }

    /// The agent inside answers.
    pub fn is_up(&self) -> bool {
        self.power == Power::On && self.boot_left == 0
    }

    /// One sign of life: a machine that boots comes one step nearer.
    pub(super) fn tick(&mut self) {
        if self.power == Power::On && self.boot_left > 0 {
            self.boot_left -= 1;
            self.console_bytes += 512;
        }
    }

    /// What the agent says of itself.
    pub(super) fn peer(&self) -> Peer {
        Peer {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.hostname().to_owned(),
            boot_id: self.boot_id(),
            user: "root".to_owned(),
            arch: "x86_64".to_owned(),
            machine: self.disk.identity.clone(),
        }
    }

    pub(super) fn hostname(&self) -> &str {
        if self.disk.hostname.is_empty() { "localhost" } else { &self.disk.hostname }
    }

    fn boot_id(&self) -> String {
        let text = Digest::of(format!("{} {}", self.id, self.boots)).to_string();
        format!(
            "{}-{}-{}-{}-{}",
            &text[..8],
            &text[8..12],
            &text[12..16],
            &text[16..20],
            &text[20..32]
        )
    }

    /// Whether what was deployed on the machine passes a test.
    pub fn is_healthy(&self, around: &Around) -> bool {
        self.trial(around).is_ok()
    }

    fn trial(&self, around: &Around) -> Result<(), String> {
        if !self.is_up() {
            return Err("no route to host".to_owned());
        }
        let deployed = self.disk.modules_run > 0
            || self.disk.marks.keys().any(|key| key.starts_with("service."));
        if !deployed {
            return Err("connection refused".to_owned());
        }
        if let Some((unit, _)) = self.disk.units.iter().find(|(_, runs)| !**runs) {
            return Err(format!("connection refused: {unit} is stopped"));
        }
        match self.disk.versions.values().flatten().find(|version| is_bad(version, around)) {
            Some(version) => Err(format!("500 Internal Server Error from {version}")),
            None => Ok(()),
        }
    }

    /// Starts or stops a unit. One that never ran has nothing to stop.
    pub(super) fn set_unit(&mut self, name: &str, runs: bool) {
        if runs || self.disk.units.contains_key(name) {
            self.disk.units.insert(name.to_owned(), runs);
        }
    }

    /// Takes the words that look like versions out of a text, as what `thing` was last told.
    fn learn(&mut self, thing: String, text: &str) {
        let versions: BTreeSet<String> = words(text).map(str::to_owned).collect();
        if versions.is_empty() {
            self.disk.versions.remove(&thing);
        } else {
            self.disk.versions.insert(thing, versions);
        }
    }
}

/// A version is unhealthy when it is on the list, or says so itself.
fn is_bad(version: &str, around: &Around) -> bool {
    version.contains("bad") || around.unhealthy.contains(version)
}

/// Words that look like versions: `v3`, `v3-bad`, `1.2.3`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+')))
        .filter(|word| word.len() <= 64)
        .filter(|word| {
            let number = word.strip_prefix('v').unwrap_or(word);
            number.starts_with(|c: char| c.is_ascii_digit())
                && (number.len() < word.len() || number.contains('.') || number.contains("bad"))
        })
}

/// Answers one request. Output of a command is appended to `output`; files that travel in frames
/// are in `incoming` and `outgoing`.
pub(super) fn answer(
    machine: &mut SimMachine,
    request: Request,
    around: &Around,
    wires: &mut Wires,
) -> Response {
    match request {
        Request::Ping => Response::Done,
        Request::Facts(_) => Response::Facts { facts: facts::facts(machine) },
        Request::Module(request) => match module(machine, &request, wires) {
            Ok(result) => Response::Module(ModuleResult(result)),
            Err(failure) => Response::Failed(failure),
        },
        // Its line takes it apart.
        Request::Chain(_) => failed(FailureKind::Refused, "modules are asked for one by one"),
        Request::Exec(exec) => exec_command(machine, &exec, wires),
        Request::Put(put) => {
            let bytes = std::mem::take(&mut wires.incoming);
            if bytes.len() as u64 != put.size || Digest::of(&bytes) != put.digest {
                return failed(FailureKind::Refused, "the file is not what was announced");
            }
            let path = put
                .path
                .unwrap_or_else(|| format!("/tmp/.updraft-staged-{}", Digest::of(&bytes).short()));
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if wires.staged_here(&path) {
                wires.staged.insert(path.clone(), text);
            } else {
                machine.learn(path.clone(), &text);
                machine.disk.files.insert(path.clone(), File { text, mode: put.mode });
            }
            Response::File { path, size: put.size, mode: put.mode, digest: put.digest }
        }
        Request::Get { path } => match machine.disk.files.get(&path) {
            None => failed(FailureKind::System, format!("cannot open `{path}`: no such file")),
            Some(file) => {
                wires.outgoing = file.text.clone().into_bytes();
                Response::File {
                    path,
                    size: wires.outgoing.len() as u64,
                    mode: file.mode,
                    digest: Digest::of(&wires.outgoing),
                }
            }
        },
        Request::Identify(identity) => {
            let was = machine.disk.identity.replace(identity.machine.clone());
            if was.is_some_and(|was| was != identity.machine) {
                machine.disk.files.remove(HOST_KEY);
            }
            machine.disk.identity_digest = identity.digest.clone();
            machine.disk.hostname = identity.hostname.clone();
            if !machine.disk.files.contains_key(HOST_KEY) {
                let text = format!("{}\n", host_key(machine));
                machine.disk.files.insert(HOST_KEY.to_owned(), File { text, mode: 0o644 });
            }
            Response::Done
        }
        Request::Clock { step } => {
            machine.disk.clock = machine.disk.clock.saturating_add(step);
            Response::Clock { now: machine.disk.clock }
        }
        Request::Observe => Response::Observed(Box::new(Observed {
            boot_id: machine.boot_id(),
            uptime: 60,
            identity: machine.disk.identity_digest.clone(),
            agent: None,
            host_keys: machine
                .disk
                .files
                .get(HOST_KEY)
                .map(|file| file.text.trim_end().to_owned())
                .into_iter()
                .collect(),
            marks: machine.disk.marks.clone(),
            load: 0.0,
            memory_free: 128 << 20,
            disk_free: 1 << 30,
        })),
        Request::Mark { key, value: None } => {
            machine.disk.marks.remove(&key);
            machine.disk.versions.remove(&mark_thing(&key));
            Response::Done
        }
        Request::Mark { key, value: Some(value) } => {
            if key.starts_with("service.") {
                let version = value.get("version").and_then(Value::as_str);
                match version {
                    Some(version) => {
                        let versions = BTreeSet::from([version.to_owned()]);
                        machine.disk.versions.insert(mark_thing(&key), versions);
                    }
                    None => machine.learn(mark_thing(&key), &value.to_string()),
                }
            }
            machine.disk.marks.insert(key, value);
            Response::Done
        }
        Request::Probe(probe) => Response::Probed(try_service(machine, &probe, around)),
        Request::Socket { path, send } => {
            if path.ends_with("/admin.sock") {
                Response::Text { text: haproxy::answer(machine, &send, around) }
            } else {
                failed(FailureKind::System, format!("cannot connect to `{path}`: no such file"))
            }
        }
        Request::Expand { .. } | Request::Rest => Response::Done,
        Request::Freeze { .. } => {
            machine.disk.held = true;
            Response::Done
        }
        Request::Thaw => {
            let held = std::mem::take(&mut machine.disk.held);
            Response::Thawed { held, for_ms: 0 }
        }
        Request::Power { action } => {
            match action {
                PowerAction::Off => machine.power = Power::Off,
                PowerAction::Reboot => machine.boots += 1,
            }
            Response::Done
        }
    }
}

/// Where a machine keeps the public half of the host key it makes itself.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// A public key in OpenSSH's form (RFC 4253 section 6.6, RFC 8709), of which nobody has the
/// private half.
fn host_key(machine: &SimMachine) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&machine.id.as_hex().as_bytes()[..32]);
    // 51 bytes: whole groups of three, so without padding.
    let text: String = blob
        .chunks(3)
        .flat_map(|three| {
            let bits = three.iter().fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
        })
        .collect();
    format!("ssh-ed25519 {text} root@{}", machine.hostname())
}

fn mark_thing(key: &str) -> String {
    format!("mark {key}")
}

/// What travels beside requests and answers, and lives as long as a connection.
#[derive(Debug, Default)]
pub(super) struct Wires {
    /// Bytes received for a put.
    pub(super) incoming: Vec<u8>,
    /// Bytes to send for a get.
    pub(super) outgoing: Vec<u8>,
    /// A command's standard output.
    pub(super) stdout: Vec<u8>,
    /// A command's standard error.
    pub(super) stderr: Vec<u8>,
    /// Staging files by path.
    pub(super) staged: BTreeMap<String, String>,
}

impl Wires {
    fn staged_here(&self, path: &str) -> bool {
        path.starts_with("/tmp/.updraft-staged-")
    }
}

fn failed(kind: FailureKind, message: impl Into<String>) -> Response {
    Response::Failed(Failure { kind, message: message.into() })
}

fn exec_command(machine: &mut SimMachine, exec: &Exec, wires: &mut Wires) -> Response {
    if exec.argv.is_empty() {
        return failed(FailureKind::Refused, "a command needs a program");
    }
    let ran = command::run(machine, &exec.argv);
    wires.stdout = ran.stdout.into_bytes();
    wires.stderr = ran.stderr.into_bytes();
    Response::Exec(Exit { code: ran.code, timed_out: false })
}

/// Runs a module: it changes what it is told about for the first time, or otherwise than the last
/// time.
fn module(
    machine: &mut SimMachine,
    request: &ModuleRequest,
    wires: &Wires,
) -> Result<Map<String, Value>, Failure> {
    let text = |key: &str| request.args.get(key).and_then(Value::as_str);
    let mut args = request.args.clone();
    let staged = match text("_updraft_staged") {
        None => None,
        Some(path) => Some(wires.staged.get(path).cloned().ok_or_else(|| Failure {
            kind: FailureKind::Refused,
            message: format!("there is no staging file `{path}`"),
        })?),
    };
    if let Some(content) = &staged {
        args.shift_remove("_updraft_staged");
        args.insert("content".to_owned(), Value::String(content.clone()));
    }
    if let (Some(same), Some(dest)) = (text(SAME), text("dest")) {
        let file = machine.disk.files.get(dest);
        let held = file.is_some_and(|file| Digest::of(&file.text).to_string() == same);
        return Ok(if held {
            result(false, [("dest", dest.into())])
        } else {
            result(false, [(SEND, true.into())])
        });
    }
    match request.name.as_str() {
        "ping" => return Ok(result(false, [("ping", text("data").unwrap_or("pong").into())])),
        "stat" => {
            let path = text("path").or_else(|| text("name")).unwrap_or_default();
            let stat = match machine.disk.files.get(path) {
                None => json!({ "exists": false }),
                Some(file) => json!({
                    "exists": true, "path": path, "isreg": true, "isdir": false,
                    "size": file.text.len(), "mode": format!("{:04o}", file.mode),
                }),
            };
            return Ok(result(false, [("stat", stat)]));
        }
        "slurp" => {
            let path = text("src").or_else(|| text("path")).unwrap_or_default();
            if !machine.disk.files.contains_key(path) {
                return Ok(refusal(format!("file not found: {path}")));
            }
        }
        "command" | "shell" | "raw" | "script" => {
            return Ok(command_module(machine, request));
        }
        "wait_for" | "wait_for_connection" | "gather_facts" | "setup" => {
            return Ok(result(false, []));
        }
        "uri" => return Ok(result(false, [("status", 200.into()), ("content", "ok".into())])),
        "fail" => return Ok(refusal(text("msg").unwrap_or("failed as requested").to_owned())),
        "service" | "systemd" | "systemd_service" => {
            return Ok(unit_module(machine, request));
        }
        _ => {}
    }
    let thing = ["dest", "path", "name", "pkg", "src", "user", "key", "line"]
        .iter()
        .find_map(|key| args.get(*key))
        .map(Value::to_string)
        .unwrap_or_default();
    let thing = format!("{} {thing}", request.name);
    let told = Digest::of(Value::Object(args.clone()).to_string());
    let changed = machine.disk.told.get(&thing) != Some(&told);
    if !request.check {
        machine.disk.modules_run += 1;
        if changed {
            machine.learn(thing.clone(), &Value::Object(args.clone()).to_string());
            // What is deployed now counts, not what a mark said before.
            machine.disk.versions.retain(|key, _| !key.starts_with("mark "));
        }
        machine.disk.told.insert(thing, told);
        write_file(machine, &request.name, &args);
    }
    Ok(result(changed, []))
}

/// Keeps the content of modules that write a whole file.
fn write_file(machine: &mut SimMachine, name: &str, args: &Map<String, Value>) {
    let text = |key: &str| args.get(key).and_then(Value::as_str);
    let Some(path) = text("dest").or_else(|| text("path")) else { return };
    match (name, text("content"), text("state")) {
        ("file", _, Some("absent")) => {
            machine.disk.files.remove(path);
        }
        ("copy" | "template", Some(content), _) => {
            let mode = text("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            let file = File { text: content.to_owned(), mode: mode.unwrap_or(0o644) };
            machine.disk.files.insert(path.to_owned(), file);
        }
        ("lineinfile", _, _) => {
            let line = text("line").unwrap_or_default();
            let file = machine
                .disk
                .files
                .entry(path.to_owned())
                .or_insert_with(|| File { text: String::new(), mode: 0o644 });
            if !file.text.lines().any(|known| known == line) {
                file.text.push_str(line);
                file.text.push('\n');
            }
        }
        _ => {}
    }
}

fn command_module(machine: &mut SimMachine, request: &ModuleRequest) -> Map<String, Value> {
    let text = |key: &str| request.args.get(key).and_then(Value::as_str);
    let argv: Vec<String> = match request.args.get("argv").and_then(Value::as_array) {
        Some(argv) => argv.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => {
            let words = text("_raw_params").or_else(|| text("cmd")).unwrap_or_default();
            vec!["/bin/sh".to_owned(), "-c".to_owned(), words.to_owned()]
        }
    };
    if let Some(path) = text("creates").filter(|path| machine.disk.files.contains_key(*path)) {
        return result(false, [("rc", 0.into()), ("msg", format!("{path} exists").into())]);
    }
    if request.check {
        return result(true, [("skipped", true.into())]);
    }
    machine.disk.modules_run += 1;
    let ran = command::run(machine, &argv);
    let mut result = result(
        true,
        [
            ("rc", ran.code.into()),
            ("stdout", ran.stdout.trim_end().into()),
            ("stdout_lines", ran.stdout.lines().collect()),
            ("stderr", ran.stderr.trim_end().into()),
            ("stderr_lines", ran.stderr.lines().collect()),
        ],
    );
    if ran.code != 0 {
        result.insert("failed".to_owned(), true.into());
        result.insert("msg".to_owned(), "non-zero return code".into());
    }
    result
}

fn unit_module(machine: &mut SimMachine, request: &ModuleRequest) -> Map<String, Value> {
    let text = |key: &str| request.args.get(key).and_then(Value::as_str);
    let name = text("name").unwrap_or_default().trim_end_matches(".service").to_owned();
    let state = text("state");
    let wanted = match state {
        Some("stopped") => Some(false),
        Some(_) => Some(true),
        None => None,
    };
    let changed = match (state, wanted) {
        (Some("restarted" | "reloaded"), _) => true,
        (_, Some(wanted)) => machine.disk.units.get(&name).copied().unwrap_or(false) != wanted,
        _ => false,
    };
    if !request.check {
        machine.disk.modules_run += 1;
        // A unit that never ran serves nobody, so stopping it takes nothing away.
        if let Some(wanted) = wanted {
            machine.set_unit(&name, wanted);
        }
    }
    result(changed, [("name", name.into()), ("state", state.unwrap_or_default().into())])
}

fn result<const N: usize>(changed: bool, more: [(&str, Value); N]) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("changed".to_owned(), changed.into());
    result.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    result
}

fn refusal(message: String) -> Map<String, Value> {
    let mut refusal = result(false, [("msg", message.into())]);
    refusal.insert("failed".to_owned(), true.into());
    refusal
}

fn try_service(machine: &SimMachine, probe: &Probe, around: &Around) -> Probed {
    let own = |host: &str| {
        host.parse::<Ipv4Addr>().map_or(host == "localhost", |address| {
            address.is_loopback()
                || machine.order.iter().flat_map(|o| &o.nics).any(|nic| nic.address == address)
        })
    };
    let trial = match &probe.target {
        ProbeTarget::Http { host, .. } | ProbeTarget::Tcp { host, .. } if !own(host) => {
            match host.parse().ok().and_then(|address: Ipv4Addr| around.healthy.get(&address)) {
                Some(true) => Ok(()),
                Some(false) => Err("connection refused".to_owned()),
                None => Err(format!("no route to host {host}")),
            }
        }
        ProbeTarget::Command { shell } if shell.trim() == "false" => Err("exit 1".to_owned()),
        ProbeTarget::Http { .. } | ProbeTarget::Tcp { .. } | ProbeTarget::Command { .. } => {
            machine.trial(around)
        }
    };
    match trial {
        Ok(()) => Probed { healthy: true, saw: "200 ok".to_owned() },
        Err(saw) => Probed { healthy: false, saw },
    }
}
