//! SSH inside our own process: fast, and thousands of connections at once.
//!
//! It is used when [`super::settings`] found nothing that it cannot honour. A key that is not
//! known is refused here, before anything secret is sent.

use super::ending::{AgentStream, Ending};
use super::known_hosts::{self, Known, Verdict};
use super::settings::{HostKeys, Settings};
use crate::{Output, RemoteError, Stream};
use russh::client::{self, AuthResult, DisconnectReason, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
    PublicKeyBase64 as _, PublicKeyOrCertificate,
};
use russh::{ChannelMsg, Disconnect, MethodKind, Preferred, Sig};
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use updraft_wire::Exit;

/// How long a host may take for everything up to being let in, when the configuration is silent.
const CONNECT: Duration = Duration::from_secs(10);

/// Silence after which a host is asked whether it is still there, and how often it is asked.
const ALIVE: Duration = Duration::from_secs(15);
const ALIVE_MOST: usize = 3;

/// How long a host may take to open a channel or to say that a command has begun.
const CHANNEL: Duration = Duration::from_secs(20);

/// sshd lets one try six keys (sshd_config(5), MaxAuthTries); it counts each.
const MOST_KEYS: usize = 6;

/// A connection that has been let in.
pub(crate) struct Connection {
    name: String,
    handle: Handle<Watcher>,
    ending: Ending,
}

/// What reading the files told us about a host before connecting to it.
pub(crate) struct Trust {
    pub(crate) known: Known,
    pub(crate) host_keys: HostKeys,
    /// The name known_hosts files have for it.
    pub(crate) known_as: String,
    /// What makes a new key known.
    pub(crate) scan: String,
}

/// A key that was accepted although nothing was known, and is to be remembered.
pub(crate) struct Learned {
    pub(crate) algorithm: String,
    pub(crate) blob: String,
}

/// Looks at the key a host shows.
struct Watcher {
    name: String,
    trust: Arc<Trust>,
    seen: Arc<Mutex<Seen>>,
    /// Where it is noted why the connection ended.
    ending: Ending,
    /// After how much silence that is so.
    patience: Duration,
}

#[derive(Default)]
struct Seen {
    refusal: Option<RemoteError>,
    learned: Option<Learned>,
}

impl Watcher {
    fn judge(&self, key: &PublicKey) -> Result<Option<Learned>, RemoteError> {
        let blob = key.public_key_base64();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let host = self.name.clone();
        let forget = |file: &str| format!("ssh-keygen -R '{}' -f '{file}'", self.trust.known_as);
        match (self.trust.known.judge(&blob), self.trust.host_keys) {
            (Verdict::Revoked { file, line }, _) => Err(RemoteError::HostKeyChanged {
                host,
                fingerprint: format!("the revoked key {fingerprint}"),
                fix: forget(&file),
                file,
                line,
            }),
            (Verdict::Same, _) | (_, HostKeys::Off) => Ok(None),
            (Verdict::Changed { file, line }, _) => Err(RemoteError::HostKeyChanged {
                host,
                fingerprint,
                fix: forget(&file),
                file,
                line,
            }),
            (Verdict::Unknown, HostKeys::AcceptNew) => {
                Ok(Some(Learned { algorithm: key.algorithm().to_string(), blob }))
            }
            (Verdict::Unknown, HostKeys::Strict) => Err(RemoteError::HostKeyUnknown {
                host,
                fingerprint: format!("{} {fingerprint}", key.algorithm()),
                fix: self.trust.scan.clone(),
            }),
        }
    }
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        self.ending.note(&reason, self.patience);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(fault) => Err(fault),
        }
    }

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let verdict = self.judge(&shown.public_key());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Ok(learned) => {
                seen.learned = learned;
                Ok(true)
            }
            Err(refusal) => {
                seen.refusal = Some(refusal);
                Ok(false)
            }
        }
    }
}

/// Connects and is let in, or says why not.
pub(crate) async fn connect(
    name: &str,
    settings: &Settings,
    trust: Trust,
) -> Result<(Connection, Option<Learned>), RemoteError> {
    let within = settings.connect_timeout.unwrap_or(CONNECT);
    let until = Instant::now() + within;
    let reached = Mutex::new("a TCP connection");
    let attempt = attempt(name, settings, trust, &reached);
    timeout_at(until, attempt).await.unwrap_or_else(|_| {
        let what = *reached.lock().unwrap_or_else(PoisonError::into_inner);
        let within = updraft_base::span::render(within);
        let reason = format!("no answer within {within} while waiting for {what}");
        Err(RemoteError::Unreachable { host: name.to_owned(), reason })
    })
}

async fn attempt(
    name: &str,
    settings: &Settings,
    trust: Trust,
    reached: &Mutex<&'static str>,
) -> Result<(Connection, Option<Learned>), RemoteError> {
    let reach = |what| *reached.lock().unwrap_or_else(PoisonError::into_inner) = what;
    let unreachable = |reason: String| RemoteError::Unreachable { host: name.to_owned(), reason };
    let socket = TcpStream::connect((settings.host.as_str(), settings.port))
        .await
        .map_err(|fault| unreachable(plain(&fault)))?;
    socket.set_nodelay(true).map_err(|fault| unreachable(fault.to_string()))?;
    reach("the SSH handshake");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let config = Arc::new(config(settings, &trust.known));
    let ending = Ending::default();
    let watcher = Watcher {
        name: name.to_owned(),
        trust: Arc::new(trust),
        seen: Arc::clone(&seen),
        ending: ending.clone(),
        patience: patience(settings),
    };
    let connected = client::connect_stream(config, socket, watcher).await;
    let taken = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    let mut handle = match (connected, taken.refusal) {
        (_, Some(refusal)) => return Err(refusal),
        (Ok(handle), None) => handle,
        (Err(fault), None) => return Err(unreachable(handshake(&fault))),
    };
    reach("the login");
    log_in(name, settings, &mut handle).await?;
    Ok((Connection { name: name.to_owned(), handle, ending }, taken.learned))
}

fn plain(fault: &std::io::Error) -> String {
    match fault.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => {
            // The standard library's words for a name that does not resolve carry its own prefix.
            let text = fault.to_string();
            text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
        }
    }
}

fn handshake(fault: &russh::Error) -> String {
    match fault {
        russh::Error::Disconnect | russh::Error::HUP => {
            "it closed the connection during the SSH handshake".to_owned()
        }
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            format!("it knows no {kind:?} algorithm of ours, only {}", theirs.join(" "))
        }
        other => format!("the SSH handshake failed: {other}"),
    }
}

/// How long nothing may come from a host: it is asked after each silence, and given up when as many
/// questions as it may leave unanswered have been, and one silence more.
fn patience(settings: &Settings) -> Duration {
    settings.alive_interval.unwrap_or(ALIVE) * (ALIVE_MOST as u32 + 1)
}

fn config(settings: &Settings, known: &Known) -> client::Config {
    let alive = settings.alive_interval.unwrap_or(ALIVE);
    client::Config {
        preferred: preferred(known),
        keepalive_interval: Some(alive),
        keepalive_max: ALIVE_MOST,
        nodelay: true,
        ..client::Config::default()
    }
}

/// Our order of algorithms: the fastest sound ones first, and those keys first that are known of
/// the host, so that it shows one we can compare.
fn preferred(known: &Known) -> Preferred {
    let mut kex = Preferred::DEFAULT.kex.to_vec();
    kex.sort_by_key(|name| *name != russh::kex::CURVE25519);
    let all = [
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let is_known = |algorithm: &Algorithm| {
        known.algorithms().any(|known| match algorithm {
            Algorithm::Rsa { .. } => known == "ssh-rsa",
            other => known == other.as_str(),
        })
    };
    let mut key = all.to_vec();
    key.sort_by_key(|algorithm| !is_known(algorithm));
    let mut cipher = Preferred::DEFAULT.cipher.to_vec();
    cipher.sort_by_key(|name| *name != russh::cipher::AES_256_GCM);
    Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        cipher: Cow::Owned(cipher),
        ..Preferred::DEFAULT
    }
}

/// Tries keys until the host lets us in.
async fn log_in(
    name: &str,
    settings: &Settings,
    handle: &mut Handle<Watcher>,
) -> Result<(), RemoteError> {
    let mut tries = Tries::default();
    let files = load_keys(settings, &mut tries).await;
    if let Some(socket) = &settings.agent
        && try_agent(settings, socket, &files, handle, &mut tries).await?.is_some()
    {
        return Ok(());
    }
    for key in files {
        let FileKey::Private(key) = key else {
            continue;
        };
        // A password is a try as well.
        let left = MOST_KEYS.saturating_sub(tries.refused.len());
        if tries.are_over() || (settings.password.is_some() && left <= 2) {
            break;
        }
        let hash = rsa_hash(handle, key.algorithm()).await;
        let told = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let offered = PrivateKeyWithHashAlg::new(key, hash);
        let result = handle.authenticate_publickey(&settings.user, offered).await;
        match tries.note(told, result) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => break,
        }
    }
    if let Some(password) = &settings.password
        && !tries.broken
        && by_password(&settings.user, password.0.expose(), handle, &mut tries).await
    {
        return Ok(());
    }
    Err(tries.failure(name, &settings.user))
}

/// Gives the password, as such or as the answer to what the host asks.
async fn by_password(
    user: &str,
    password: &str,
    handle: &mut Handle<Watcher>,
    tries: &mut Tries,
) -> bool {
    match handle.authenticate_password(user, password).await {
        Ok(AuthResult::Success) => return true,
        Ok(AuthResult::Failure { remaining_methods, .. })
            if remaining_methods.contains(&MethodKind::KeyboardInteractive) => {}
        Ok(AuthResult::Failure { .. }) => {
            tries.passed_over.push("the password is not taken".to_owned());
            return false;
        }
        Err(fault) => {
            tries.end = Some(format!("the connection broke: {fault}"));
            return false;
        }
    }
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None::<String>).await;
    // One question for the password, and perhaps one that only tells something.
    for _ in 0..3 {
        answer = match answer {
            Ok(KeyboardInteractiveAuthResponse::Success) => return true,
            Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                handle.authenticate_keyboard_interactive_respond(answers).await
            }
            Ok(KeyboardInteractiveAuthResponse::Failure { .. }) | Err(_) => break,
        };
    }
    tries.passed_over.push("the password is not taken".to_owned());
    false
}

/// What was tried to be let in.
#[derive(Default)]
struct Tries {
    refused: Vec<String>,
    passed_over: Vec<String>,
    end: Option<String>,
    /// There is nobody to try anything with.
    broken: bool,
}

impl Tries {
    fn are_over(&self) -> bool {
        self.end.is_some() || self.refused.len() >= MOST_KEYS
    }

    /// `Some(true)`: in. `Some(false)`: try the next. `None`: no use in going on.
    fn note(&mut self, key: String, result: Result<AuthResult, russh::Error>) -> Option<bool> {
        match result {
            Ok(AuthResult::Success) => Some(true),
            Ok(AuthResult::Failure { partial_success: true, .. }) => {
                self.end = Some("it asks for a second proof besides the key".to_owned());
                None
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) => {
                self.refused.push(key);
                if remaining_methods.contains(&MethodKind::PublicKey) {
                    return Some(false);
                }
                let left: Vec<&str> = remaining_methods.iter().map(<&str>::from).collect();
                self.end = Some(match left.is_empty() {
                    true => "it closed the connection".to_owned(),
                    false => format!("it takes no keys, only {}", left.join(", ")),
                });
                None
            }
            Err(fault) => {
                self.end = Some(format!("the connection broke: {fault}"));
                self.broken = true;
                None
            }
        }
    }

    fn failure(self, host: &str, user: &str) -> RemoteError {
        let mut reasons = Vec::new();
        match self.refused.len() {
            0 => reasons.push("there is no usable key".to_owned()),
            _ => reasons.push(format!("refused were {}", self.refused.join(", "))),
        }
        reasons.extend(self.end);
        reasons.extend(self.passed_over);
        let reason = reasons.join("; ");
        RemoteError::AuthFailed { host: host.to_owned(), user: user.to_owned(), reason }
    }
}

enum FileKey {
    Private(Arc<PrivateKey>),
    /// Only the public half could be read; an agent may hold the other.
    Public(Box<PublicKey>),
}

impl FileKey {
    fn public(&self) -> &PublicKey {
        match self {
            Self::Private(key) => key.public_key(),
            Self::Public(key) => key,
        }
    }
}

/// Reads the identity files that are there.
async fn load_keys(settings: &Settings, tries: &mut Tries) -> Vec<FileKey> {
    let mut keys = Vec::new();
    for path in &settings.keys {
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(fault) => {
                // Of the usual keys most are not there, which nobody needs to hear.
                if settings.keys_chosen || fault.kind() != std::io::ErrorKind::NotFound {
                    tries.passed_over.push(format!("cannot read `{}`: {fault}", path.display()));
                }
                continue;
            }
        };
        match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => keys.push(FileKey::Private(Arc::new(key))),
            Err(fault) => match russh::keys::load_public_key(public_file(path)) {
                Ok(key) => {
                    let told = format!("`{}` is locked, only an agent can use it", path.display());
                    tries.passed_over.push(told);
                    keys.push(FileKey::Public(Box::new(key)));
                }
                Err(_) => {
                    tries.passed_over.push(format!("cannot use `{}`: {fault}", path.display()))
                }
            },
        }
    }
    keys
}

pub(crate) fn public_file(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Tries the keys an agent holds: those that were asked for first, then the others unless the
/// configuration forbids it. `Some` when the host lets us in.
async fn try_agent(
    settings: &Settings,
    socket: &Path,
    files: &[FileKey],
    handle: &mut Handle<Watcher>,
    tries: &mut Tries,
) -> Result<Option<()>, RemoteError> {
    let held = async {
        let mut agent = AgentClient::connect_uds(socket).await?;
        let held = agent.request_identities().await?;
        Ok::<_, russh::keys::Error>((agent, held))
    };
    let (mut agent, held) = match held.await {
        Ok(found) => found,
        Err(fault) => {
            tries.passed_over.push(format!("the agent at `{}`: {fault}", socket.display()));
            return Ok(None);
        }
    };
    let asked_for =
        |key: &PublicKey| files.iter().any(|file| file.public().key_data() == key.key_data());
    let mut keys: Vec<PublicKey> = held
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            AgentIdentity::Certificate { .. } => None,
        })
        .filter(|key| !settings.only_these_keys || asked_for(key))
        .collect();
    keys.sort_by_key(|key| !asked_for(key));
    for key in keys {
        if tries.are_over() {
            break;
        }
        let hash = rsa_hash(handle, key.algorithm()).await;
        let told = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let result =
            handle.authenticate_publickey_with(&settings.user, key, hash, &mut agent).await;
        match result {
            Ok(result) => match tries.note(told, Ok(result)) {
                Some(true) => return Ok(Some(())),
                Some(false) => {}
                None => break,
            },
            Err(fault) => tries.passed_over.push(format!("the agent's {told}: {fault}")),
        }
    }
    Ok(None)
}

/// The hash an RSA key signs with; other keys need none.
async fn rsa_hash(handle: &Handle<Watcher>, algorithm: Algorithm) -> Option<HashAlg> {
    if !algorithm.is_rsa() {
        return None;
    }
    // A host that does not say takes the newer ones; SHA-1 is out of use since OpenSSH 8.8.
    handle.best_supported_rsa_hash().await.ok().flatten().flatten().or(Some(HashAlg::Sha512))
}

impl Connection {
    fn lost(&self, fault: &russh::Error) -> RemoteError {
        let reason = match fault {
            russh::Error::SendError | russh::Error::Disconnect | russh::Error::HUP => {
                self.ending.reason().unwrap_or("it closed the connection").to_owned()
            }
            russh::Error::ChannelOpenFailure(_) => "it refuses another channel".to_owned(),
            other => other.to_string(),
        };
        RemoteError::Lost { host: self.name.clone(), reason }
    }

    async fn channel(&self, command: &str) -> Result<russh::Channel<client::Msg>, RemoteError> {
        let open = async {
            let channel = self.handle.channel_open_session().await?;
            channel.exec(true, command).await?;
            Ok::<_, russh::Error>(channel)
        };
        match timeout(CHANNEL, open).await {
            Ok(opened) => opened.map_err(|fault| self.lost(&fault)),
            Err(_) => Err(RemoteError::Deadline {
                host: self.name.clone(),
                what: "a channel",
                within: CHANNEL,
            }),
        }
    }

    /// Whether the host answers a question that means nothing. It may wait for as long as the
    /// network does.
    pub(crate) async fn is_alive(&self) -> bool {
        !self.handle.is_closed() && self.handle.send_ping().await.is_ok()
    }

    /// Has shell text begin to run; nothing comes on its standard input.
    pub(crate) async fn begin(&self, shell: &str) -> Result<Running, RemoteError> {
        let channel = self.channel(shell).await?;
        channel.eof().await.map_err(|fault| self.lost(&fault))?;
        Ok(Running { name: self.name.clone(), channel, ending: self.ending.clone() })
    }

    /// Runs shell text whose streams become ours; its standard error is dropped.
    pub(crate) async fn stream(&self, shell: &str) -> Result<AgentStream, RemoteError> {
        Ok(AgentStream::new(self.channel(shell).await?.into_stream(), self.ending.clone()))
    }

    /// Says goodbye, so that the host notes no broken connection.
    pub(crate) async fn close(self) {
        // It may be gone already.
        self.handle.disconnect(Disconnect::ByApplication, "", "").await.ok();
    }
}

/// Shell text that runs on a host.
pub(crate) struct Running {
    name: String,
    channel: russh::Channel<client::Msg>,
    ending: Ending,
}

impl Running {
    /// Streams its output until it ends.
    pub(crate) async fn finish(
        &mut self,
        output: &mut dyn Output,
        within: Option<Duration>,
    ) -> Result<Exit, RemoteError> {
        let channel = &mut self.channel;
        let mut code = None;
        let until = within.map(|within| Instant::now() + within);
        loop {
            let message = match until {
                None => channel.wait().await,
                Some(until) => match timeout_at(until, channel.wait()).await {
                    Ok(message) => message,
                    Err(_) => {
                        // As far as the host understands; closing the channel does the rest.
                        channel.signal(Sig::KILL).await.ok();
                        channel.close().await.ok();
                        return Ok(Exit { code: 137, timed_out: true });
                    }
                },
            };
            match message {
                Some(ChannelMsg::Data { data }) => output.chunk(Stream::Out, &data),
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => output.chunk(Stream::Err, &data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    code = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    code = Some(128 + number_of(&signal_name));
                }
                Some(ChannelMsg::Failure) => {
                    return Err(RemoteError::Lost {
                        host: self.name.clone(),
                        reason: "it refuses to run commands".to_owned(),
                    });
                }
                Some(ChannelMsg::Close) | None => break,
                Some(_) => {}
            }
        }
        code.map(|code| Exit { code, timed_out: false }).ok_or_else(|| RemoteError::Lost {
            host: self.name.clone(),
            reason: self
                .ending
                .reason()
                .unwrap_or("the connection ended before the command did")
                .to_owned(),
        })
    }

    /// Wants to hear no more of it. The host ends it as it does when a connection breaks.
    pub(crate) async fn leave(self) {
        // It may be gone already.
        self.channel.close().await.ok();
    }
}

/// The number of a signal on Linux (signal(7)); those that OpenSSH cannot name count as 0.
fn number_of(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}

/// A line for a known_hosts file.
pub(crate) fn known_line(trust_name: &str, learned: &Learned, salt: Option<[u8; 20]>) -> String {
    known_hosts::line(trust_name, &learned.algorithm, &learned.blob, salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_known_of_a_host_are_asked_for_first() {
        let mut known = Known::default();
        known.add("f", "web-1 ssh-rsa B\n", &["web-1".to_owned()]);
        let preferred = preferred(&known);
        assert!(preferred.key[0].clone().is_rsa());
        assert!(preferred.key.contains(&Algorithm::Ed25519));
        assert_eq!(super::preferred(&Known::default()).key[0], Algorithm::Ed25519);
        assert_eq!(preferred.kex[0], russh::kex::CURVE25519);
    }

    #[test]
    fn a_refused_login_says_what_was_tried() {
        let mut tries = Tries::default();
        tries.passed_over.push("`/k` is locked, only an agent can use it".to_owned());
        let failure = tries.failure("web-1", "root");
        assert_eq!(
            failure.to_string(),
            "`web-1` does not let `root` in: there is no usable key; `/k` is locked, only an agent \
             can use it"
        );
    }
}
