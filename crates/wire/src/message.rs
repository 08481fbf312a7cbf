//! Requests, answers and what they carry, as JSON in the bodies of frames.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use updraft_base::{Digest, Mac};

/// First message in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`] of the sender.
    pub version: u16,
    /// Drawn by the controller for each connection and echoed, so that bytes of an earlier
    /// connection on the same line are told apart and dropped. 0 in one that nobody asked for: an
    /// agent says it when it starts.
    pub nonce: u64,
    /// What the agent says of itself; absent from the controller's own hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

/// What an agent says of itself when a connection begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Version of the updraft the agent was built with.
    pub agent: String,
    /// Kernel's hostname.
    pub hostname: String,
    /// The kernel's `boot_id`: changes with every boot.
    pub boot_id: String,
    /// Effective user of the agent.
    pub user: String,
    /// Machine architecture as `uname -m` tells it.
    pub arch: String,
    /// Identity the machine was given by [`Request::Identify`], if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// What the controller asks of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Answered at once with [`Response::Done`].
    Ping,
    /// Ansible facts of the machine.
    Facts(FactsRequest),
    /// Runs one module.
    Module(ModuleRequest),
    /// Runs modules one after the other. Each that ends is told as a frame of kind `Step`; the
    /// answer that ends them is [`Response::Done`], also when one of them failed and the others
    /// were not run.
    Chain(Chain),
    /// Runs one command, streaming its output as frames of kind `Output`.
    Exec(Exec),
    /// Receives a file as frames of kind `Data`, ended by an empty one; written beside its final
    /// place and renamed into it when size and digest agree.
    Put(Put),
    /// Sends a file as frames of kind `Data`, ended by an empty one.
    Get {
        /// Absolute path on the target.
        path: String,
    },
    /// Tells a machine of ours who it is. Repeating it changes nothing.
    Identify(Box<Identity>),
    /// Steps the machine's clock and says what it shows then, at once, with [`Response::Clock`].
    Clock {
        /// Nanoseconds to add to it; 0 only reads it.
        step: i64,
    },
    /// Writes the filesystems out and holds them: whatever writes to them waits. They are let go by
    /// [`Request::Thaw`], and by the agent itself when the time is over, whoever is still there.
    Freeze {
        /// Milliseconds after which they are let go in any case.
        within_ms: u64,
    },
    /// Lets go what [`Request::Freeze`] holds; answered with [`Response::Thawed`].
    Thaw,
    /// Has everything but the machine's init and its agent stand still, for other machines to go on
    /// from: each of them lets it go once it was told who it is.
    Rest,
    /// Everything a plan needs to know about the machine, in one answer.
    Observe,
    /// Remembers something about the machine on the machine; see [`Observed::marks`].
    Mark {
        /// Lowercase words joined by dots, such as `play.worker` or `service.hello`.
        key: String,
        /// The new value; `None` forgets the key.
        value: Option<Value>,
    },
    /// Tries a service on the machine once.
    Probe(Probe),
    /// Sends text to a Unix stream socket and returns what comes back until it closes.
    Socket {
        /// Absolute path of the socket.
        path: String,
        /// Bytes to send.
        send: String,
    },
    /// Grows the root filesystem to its disk, once the disk shows its new size. Repeating it
    /// changes nothing.
    Expand {
        /// Bytes that the disk was given.
        disk: u64,
    },
    /// Syncs filesystems and powers the machine off or reboots it.
    Power {
        /// What to do.
        action: PowerAction,
    },
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// Done, nothing to say.
    Done,
    /// Facts, keyed without the `ansible_` prefix.
    Facts {
        /// The facts.
        facts: Map<String, Value>,
    },
    /// Result of a module.
    Module(ModuleResult),
    /// What a foreign module wrote, for the controller to make a result of.
    Foreign(ForeignOutput),
    /// Blobs that a foreign module needs and the agent does not have. Nothing was run.
    Missing {
        /// Their digests; [`Put::keep`] brings them.
        digests: Vec<Digest>,
    },
    /// A command ended.
    Exec(Exit),
    /// A file that was sent or received.
    File {
        /// Where it is.
        path: String,
        /// Bytes.
        size: u64,
        /// Permission bits.
        mode: u32,
        /// Content.
        digest: Digest,
    },
    /// Answer to [`Request::Observe`].
    Observed(Box<Observed>),
    /// Answer to [`Request::Clock`].
    Clock {
        /// What the machine's clock shows: nanoseconds since 1970, UTC.
        now: i64,
    },
    /// Answer to [`Request::Thaw`].
    Thawed {
        /// They were held until just now. False when the time was over before: what was taken of
        /// the disk may not be consistent.
        held: bool,
        /// How long they were held, in milliseconds.
        for_ms: u64,
    },
    /// Answer to [`Request::Probe`].
    Probed(Probed),
    /// Answer to [`Request::Socket`].
    Text {
        /// What the peer said.
        text: String,
    },
    /// The request could not be carried out.
    Failed(Failure),
}

/// Why an agent could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One sentence, lowercase, no full stop.
    pub message: String,
}

/// Kinds of failure a controller treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request makes no sense to this agent.
    Refused,
    /// The operating system said no.
    System,
    /// Becoming another user failed.
    Become,
    /// It took longer than it was allowed to.
    Deadline,
}

/// Which facts to gather.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRequest {
    /// As Ansible's `gather_subset`; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subset: Vec<String>,
    /// Become this user first.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_user: Option<Become>,
}

/// How to become another user on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Become {
    /// `sudo` or `su`.
    pub method: String,
    /// Whom to become.
    pub user: String,
    /// The program to run instead of the one of that name, with the words that go before all flags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exe: Vec<String>,
    /// Flags for the method instead of its usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Password for the method. It travels inside the connection only and is never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// One module invocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleRequest {
    /// Short name: `copy`, `apt`, …
    pub name: String,
    /// Arguments, already templated. Keys that begin with `_updraft_` are ours: `_updraft_staged`
    /// is the path of a file received by [`Request::Put`] that holds the content.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// Say what would change, change nothing.
    #[serde(default)]
    pub check: bool,
    /// Include a `diff` in the result.
    #[serde(default)]
    pub diff: bool,
    /// Nobody will look at more of the result than whether it changed something or failed: what is
    /// told beyond that may be left out where it costs time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
    /// Extra environment for what the module runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Become this user first.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_user: Option<Become>,
    /// Seconds after which the module is given up; 0 means no limit.
    #[serde(default)]
    pub timeout: u64,
    /// A module that is not built in: a program of somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Box<ForeignModule>>,
    /// It runs in the background; the answer comes when it has begun. The module `async_status`
    /// tells what became of it, in this connection or in any later one of the same user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// Modules that run one after the other, up to the first that fails or is not ours to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The modules. They run in the foreground, and none of them is foreign.
    pub modules: Vec<ModuleRequest>,
    /// Become this user first, for all of them; then none of them becomes another one. One agent
    /// less stands between than when each becomes the user for itself.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_user: Option<Become>,
}

/// A module in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Drawn by the controller; the agent adds a dot and the number of the process.
    pub id: String,
    /// Seconds after which it is ended.
    pub limit: u64,
    /// Where the file about it lies; `~` is the home of the user that it runs as.
    pub directory: String,
}

/// A module as a program: what Ansible's own modules are, and those of roles and collections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignModule {
    /// How it takes its arguments.
    pub style: ForeignStyle,
    /// A zip with the module and what it imports beside `library`; or the program itself.
    pub payload: Blob,
    /// A zip with the modules' common ground, `ansible.module_utils`. Python modules need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Blob>,
    /// Dotted name of a Python module within the zip; name of the file otherwise.
    pub name: String,
    /// Interpreters to try, the first that is there runs it; empty for a binary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interpreters: Vec<String>,
    /// Arguments for the interpreter, from the program's first line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interpreter_args: Vec<String>,
}

/// How a foreign module takes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignStyle {
    /// Written in Python for `AnsibleModule`; run by a resident interpreter.
    Python,
    /// The name of a file with JSON is its argument.
    JsonFile,
    /// The name of a file with `key=value` words is its argument.
    WordsFile,
    /// Its text holds a place where the arguments are put as JSON.
    Inlined,
    /// A binary: as [`ForeignStyle::JsonFile`], and no interpreter.
    Binary,
}

/// Content that an agent keeps under its digest, so that it travels once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Where it lies. An agent tells this to the agent of another user on the same machine;
    /// controllers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl From<Digest> for Blob {
    fn from(digest: Digest) -> Self {
        Self { digest, path: None }
    }
}

/// Field of the result of a module that refuses what it knows and does not do itself, before it
/// changes anything: Ansible's own module of that name may do it.
pub const BEYOND: &str = "_updraft_beyond";

/// How the message of a failure to become somebody ends when the program to do it by is not there:
/// as a shell ends it.
pub const NOT_FOUND: &str = ": not found";

/// Field of the result of `package` on a host whose package manager is not apt: its name. Nothing
/// was done then.
pub const MANAGER: &str = "_updraft_manager";

/// Argument of `copy`: the SHA-256 of content that is too long for a request. Where the file holds
/// just that, the task goes on; otherwise nothing is done, and the answer has the field [`SEND`].
pub const SAME: &str = "_updraft_same";

/// Argument of modules that work with Python: the interpreters that Ansible's own modules would be
/// run by, the first that is there, as [`ForeignModule::interpreters`] has them.
pub const PYTHONS: &str = "_updraft_pythons";

/// Field of the result of `copy` that asks for the content.
pub const SEND: &str = "_updraft_send";

/// What a module says, in Ansible's terms: `changed`, `failed`, `msg`, `diff`, … .
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModuleResult(pub Map<String, Value>);

impl ModuleResult {
    /// Whether what comes after it in a [`Chain`] is run.
    pub fn goes_on(&self) -> bool {
        let asks = [BEYOND, SEND].iter().any(|field| self.0.contains_key(*field));
        !asks && self.0.get("failed").is_none_or(|failed| failed == false)
    }
}

/// What a foreign module wrote and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignOutput {
    /// Exit status; 128 plus the signal's number when a signal ended it, 127 when there was no
    /// interpreter to run it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The interpreter that ran it; empty for a binary.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interpreter: String,
    /// Killed because its time was over.
    #[serde(default)]
    pub timed_out: bool,
}

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments. For shell text: `["/bin/sh", "-c", text]`.
    pub argv: Vec<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chdir: Option<String>,
    /// Extra environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Become this user first.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub become_user: Option<Become>,
    /// Milliseconds after which the command and its children are killed; 0 means no limit.
    #[serde(default)]
    pub deadline_ms: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status; 128 plus the signal's number when a signal ended it.
    pub code: i32,
    /// Killed because its deadline passed.
    #[serde(default)]
    pub timed_out: bool,
}

/// A file to receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Absolute path, or `None` for a staging file of the agent's choice whose path the answer
    /// tells; staging files vanish with the connection.
    pub path: Option<String>,
    /// Bytes that follow.
    pub size: u64,
    /// Their digest.
    pub digest: Digest,
    /// Permission bits.
    pub mode: u32,
    /// Keep the content under its digest, as a [`Blob`], beyond the connection; then `path` is
    /// `None` and `mode` does not matter.
    #[serde(default)]
    pub keep: bool,
}

/// A line of `/etc/hosts`: an address and the names of the machine that has it.
pub type HostsLine = (String, Vec<String>);

/// What makes a machine itself rather than a copy of its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Digest of everything else that matters here, computed by the controller. The agent keeps it
    /// and returns it as [`Observed::identity`]; it never computes one of its own.
    pub digest: String,
    /// The machine's id.
    pub machine: String,
    /// `/etc/machine-id`: 32 hexadecimal digits.
    pub machine_id: String,
    /// Short hostname.
    pub hostname: String,
    /// Domain of the site.
    pub domain: String,
    /// Network interfaces to configure.
    pub interfaces: Vec<Interface>,
    /// Name servers for names outside the site.
    pub resolvers: Vec<String>,
    /// Lines for `/etc/hosts`: every machine of the site. Shared, because each machine is told all.
    pub hosts: Arc<Vec<HostsLine>>,
    /// SSH host keys: private key in OpenSSH form, and the public line. Empty means: keep the keys
    /// there, and make an ed25519 one on the machine itself if there is none, so that the private
    /// key never leaves it.
    pub host_keys: Vec<HostKey>,
    /// Accounts with the right to become root.
    pub admins: Vec<AdminAccount>,
    /// Nanoseconds since 1970, to set the clock by; `None` leaves it alone. It is late by however
    /// long the message takes: [`Request::Clock`] sets it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// Chance of this machine alone, for its kernel's random numbers: a machine that goes on from
    /// a template would otherwise draw what its siblings draw. Never kept anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Milliseconds for which a machine that goes on as another one leaves the processor to whoever
    /// wants it, before it begins with what nobody waits for; `None` leaves that to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_ms: Option<u64>,
}

/// Random bytes for a kernel's random pool, as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub String);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// One network interface of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Which interface.
    pub mac: Mac,
    /// Address with prefix length, such as `10.77.0.11/24`.
    pub address: String,
    /// Default gateway, if this interface leads out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// An SSH host key pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// `ed25519`, …: part of the file name.
    pub algorithm: String,
    /// OpenSSH private key file.
    pub private: String,
    /// OpenSSH public key line.
    pub public: String,
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// An account for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminAccount {
    /// Login name.
    pub name: String,
    /// Public keys, one line each.
    pub keys: Vec<String>,
}

/// What a plan needs to know about a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The kernel's `boot_id`.
    pub boot_id: String,
    /// Seconds since boot.
    pub uptime: u64,
    /// [`Identity::digest`] of the last identity applied; empty before the first.
    pub identity: String,
    /// Digest of the program that answers: the agent itself. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Digest>,
    /// Public SSH host keys, one line each, as `/etc/ssh/ssh_host_*_key.pub` have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// What [`Request::Mark`] remembered.
    pub marks: BTreeMap<String, Value>,
    /// One-minute load average.
    pub load: f64,
    /// Memory not in use, in bytes.
    pub memory_free: u64,
    /// Bytes free on the root filesystem.
    pub disk_free: u64,
}

/// A trial of a service, from the machine itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What to try.
    pub target: ProbeTarget,
    /// Milliseconds after which the trial counts as failed.
    pub deadline_ms: u64,
}

/// What a probe tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeTarget {
    /// A GET over plain HTTP.
    Http {
        /// Address to connect to.
        host: String,
        /// Port.
        port: u16,
        /// Path with query.
        path: String,
        /// Accepted status; `None` means any from 200 to 399.
        status: Option<u16>,
        /// Text the body must contain.
        expect: Option<String>,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// Address to connect to.
        host: String,
        /// Port.
        port: u16,
    },
    /// A shell command that exits with 0.
    Command {
        /// Shell text.
        shell: String,
    },
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// It answered as expected.
    pub healthy: bool,
    /// What was seen, in a few words.
    pub saw: String,
}

/// What to do with the machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Shut down in order.
    Off,
    /// Reboot in order.
    Reboot,
}
