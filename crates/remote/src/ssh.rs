//! Reaching hosts over SSH, in one of two ways behind one face.

mod ending;
mod inprocess;
mod known_hosts;
#[cfg(test)]
mod passwords;
mod push;
mod settings;
mod system;

use crate::agent::STARTS_WITHIN;
use crate::target::{AgentBinary, SshTarget, SshUser};
use crate::{AgentSession, Output, RemoteError};
pub(crate) use ending::AgentStream;
pub(crate) use inprocess::Running;
use known_hosts::Known;
use settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use updraft_host::{Cmd, Host};
use updraft_wire::Exit;

/// Shell text that takes the agent away from a host, with all that it keeps there, and prints how
/// many there were: one for each version that was brought in the last week.
pub fn agent_removal() -> String {
    push::removal()
}

/// Connects to hosts as one user of this computer.
pub struct Ssh {
    host: Arc<dyn Host>,
    user: SshUser,
    /// Whether the configuration files say nothing that matters.
    plain: OnceCell<bool>,
    /// What `ssh -G` says without any configuration.
    usual: OnceCell<String>,
    /// Held while a known_hosts file is added to.
    learning: Mutex<()>,
}

/// A host that can be asked to run something.
pub struct SshConnection {
    ssh: Arc<Ssh>,
    target: SshTarget,
    way: Way,
}

enum Way {
    InProcess(Box<inprocess::Connection>),
    /// Each request is an `ssh` of its own; the user's configuration may share connections.
    System,
}

impl Ssh {
    /// Hosts are reached from `host`, with the keys and the configuration of `user`.
    pub fn new(host: Arc<dyn Host>, user: SshUser) -> Arc<Self> {
        Arc::new(Self {
            host,
            user,
            plain: OnceCell::new(),
            usual: OnceCell::new(),
            learning: Mutex::default(),
        })
    }

    /// Connects to a host, if that is to be done in this process; `ssh` connects when it is used.
    ///
    /// # Errors
    /// When the host cannot be reached, shows a key that is not known, or does not let us in.
    pub async fn connect(
        self: &Arc<Self>,
        target: &SshTarget,
    ) -> Result<SshConnection, RemoteError> {
        target.check()?;
        let mut target = target.clone();
        target.key = target.key.map(|key| settings::expand(&key, &self.user));
        let settings = self.settings(&target).await?;
        let way = match self.trust_for(&target, &settings).await? {
            Some(trust) => {
                let known_as = trust.known_as.clone();
                let (connection, learned) =
                    inprocess::connect(&target.name, &settings, trust).await?;
                if let Some(learned) = learned {
                    self.learn(&target, &settings, &known_as, &learned).await?;
                }
                Way::InProcess(Box::new(connection))
            }
            None => Way::System,
        };
        Ok(SshConnection { ssh: Arc::clone(self), target, way })
    }

    /// What the configuration says about a host.
    async fn settings(&self, target: &SshTarget) -> Result<Settings, RemoteError> {
        if *self.plain.get_or_try_init(|| self.look_for_configuration(target)).await?
            && let Some(settings) = settings::without_asking(target, &self.user)
        {
            return Ok(settings);
        }
        let usual = self.usual.get_or_try_init(|| async {
            let cmd = Cmd::new("ssh").args(["-F", "none", "-G", "--", "host"]);
            self.ask(target, cmd).await
        });
        let usual = usual.await?;
        let cmd = Cmd::new("ssh").args(settings::ssh_args(target)).args(["-G", "--"]);
        let told = self.ask(target, cmd.arg(&target.address)).await?;
        let mut settings = settings::parse(&told, usual, target, &self.user);
        let shared = settings::control_path(&told);
        if let Some(socket) = shared
            && settings.needs_ssh.is_none()
            && tokio::fs::try_exists(&socket).await.unwrap_or(false)
        {
            settings.needs_ssh = Some("controlpath".to_owned());
        }
        Ok(settings)
    }

    async fn ask(&self, target: &SshTarget, cmd: Cmd) -> Result<String, RemoteError> {
        let cmd = system::with_environment(cmd, &self.user);
        let helper = |source| RemoteError::Helper { host: target.name.clone(), source };
        let said = self.host.run(cmd.accept_all()).await.map_err(helper)?;
        if said.status != 0 {
            let reason = said.stderr_tail();
            return Err(RemoteError::Settings { host: target.name.clone(), reason });
        }
        Ok(said.text())
    }

    async fn look_for_configuration(&self, target: &SshTarget) -> Result<bool, RemoteError> {
        let own = self.read(target, &self.user.home.join(".ssh/config")).await?;
        if own.is_some_and(|text| !settings::is_plain(&text)) {
            return Ok(false);
        }
        let system = self.read(target, Path::new("/etc/ssh/ssh_config")).await?;
        if system.is_some_and(|text| !settings::is_plain(&text)) {
            return Ok(false);
        }
        let Ok(mut more) = tokio::fs::read_dir("/etc/ssh/ssh_config.d").await else {
            return Ok(true);
        };
        while let Ok(Some(entry)) = more.next_entry().await {
            if entry.file_name().to_string_lossy().ends_with(".conf") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read(&self, target: &SshTarget, path: &Path) -> Result<Option<String>, RemoteError> {
        let helper = |source| RemoteError::Helper { host: target.name.clone(), source };
        let bytes = self.host.read(path).await.map_err(helper)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// What is known of a host, or `None` when only `ssh` itself can tell whether to trust it or
    /// how to be let in.
    async fn trust_for(
        &self,
        target: &SshTarget,
        settings: &Settings,
    ) -> Result<Option<inprocess::Trust>, RemoteError> {
        if let Some(option) = &settings.needs_ssh {
            // `ssh` would ask a terminal for it, where nobody is.
            if settings.password.is_some() {
                return Err(RemoteError::Settings {
                    host: target.name.clone(),
                    reason: format!(
                        "a password is given, and the ssh option `{option}` needs a key; give one with ansible_ssh_private_key_file"
                    ),
                });
            }
            return Ok(None);
        }
        for key in &settings.keys {
            // A certificate is used when it lies beside its key (ssh_config(5), CertificateFile),
            // and a key on a security token is a file that only OpenSSH reads.
            let mut certificate = key.as_os_str().to_owned();
            certificate.push("-cert.pub");
            let public = self.read(target, &inprocess::public_file(key)).await?;
            let on_token = public.is_some_and(|text| text.starts_with("sk-"));
            if on_token || self.read(target, &PathBuf::from(certificate)).await?.is_some() {
                return Ok(None);
            }
        }
        let known_as = match &settings.alias {
            Some(alias) => alias.clone(),
            None => known_hosts::name_of(&settings.host, settings.port),
        };
        let mut known = Known::default();
        let files = settings.user_known_hosts.iter().chain(&settings.global_known_hosts);
        for file in files {
            if let Some(text) = self.read(target, file).await? {
                known.add(&file.display().to_string(), &text, std::slice::from_ref(&known_as));
            }
        }
        if known.by_authority {
            return Ok(None);
        }
        let file = settings.user_known_hosts.first();
        let file =
            file.map_or_else(|| "~/.ssh/known_hosts".to_owned(), |file| file.display().to_string());
        let port =
            if settings.port == 22 { String::new() } else { format!("-p {} ", settings.port) };
        let scan = format!("ssh-keyscan {port}'{}' >> '{file}'", settings.host);
        let host_keys = settings.host_keys;
        Ok(Some(inprocess::Trust { known, host_keys, known_as, scan }))
    }

    /// Remembers the key of a host that was met for the first time.
    async fn learn(
        &self,
        target: &SshTarget,
        settings: &Settings,
        known_as: &str,
        learned: &inprocess::Learned,
    ) -> Result<(), RemoteError> {
        let Some(file) = settings.user_known_hosts.first() else {
            return Ok(());
        };
        if file == Path::new("/dev/null") {
            return Ok(());
        }
        let helper = |source| RemoteError::Helper { host: target.name.clone(), source };
        let _learning = self.learning.lock().await;
        let mut text = self.read(target, file).await?.unwrap_or_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let salt = settings.hash_known_hosts.then(salt);
        text.push_str(&inprocess::known_line(known_as, learned, salt));
        if let Some(directory) = file.parent() {
            self.host.make_dir(directory, 0o700).await.map_err(helper)?;
        }
        self.host.write_atomic(file, text.as_bytes(), 0o600).await.map_err(helper)
    }
}

/// Twenty bytes that differ from line to line, which is all a salt here is for.
fn salt() -> [u8; 20] {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut salt = [0; 20];
    for part in salt.chunks_mut(8) {
        let drawn = std::hash::RandomState::new().build_hasher().finish().to_le_bytes();
        part.copy_from_slice(&drawn[..part.len()]);
    }
    salt
}

impl SshConnection {
    /// The host as the inventory names it.
    pub fn host(&self) -> &str {
        &self.target.name
    }

    /// Whether the user's own `ssh` does the work, because the configuration asks for something
    /// that we cannot honour.
    pub fn is_by_system(&self) -> bool {
        matches!(self.way, Way::System)
    }

    /// Runs shell text as the login shell there runs it, without an agent, and streams its output.
    ///
    /// # Errors
    /// When the host cannot be reached or the connection is lost. A command that fails, or is
    /// still running after `within`, is not an error.
    pub async fn exec(
        &self,
        shell: &str,
        output: &mut dyn Output,
        within: Option<Duration>,
    ) -> Result<Exit, RemoteError> {
        match &self.way {
            Way::InProcess(connection) => {
                connection.begin(shell).await?.finish(output, within).await
            }
            Way::System => {
                let Ssh { host, user, .. } = &*self.ssh;
                system::exec(&**host, &self.target, user, shell, output, within).await
            }
        }
    }

    /// Starts the agent there, after bringing it there if need be, and begins a conversation.
    ///
    /// The connection serves the conversation from then on.
    ///
    /// # Errors
    /// When there is no agent for such a host, it cannot be run there, or the connection is lost.
    pub async fn agent(self, agents: &[AgentBinary]) -> Result<AgentSession, RemoteError> {
        let Self { ssh, target, way } = self;
        let script = push::script(agents);
        match way {
            Way::InProcess(connection) => {
                let mut stream = connection.stream(&script).await?;
                push::ensure_agent(&target.name, agents, &mut stream).await?;
                let kept = Kept { stream, _connection: connection };
                AgentSession::start(&target.name, kept, STARTS_WITHIN).await
            }
            Way::System => {
                let started = system::stream(&*ssh.host, &target, &ssh.user, &script).await?;
                let (mut stream, complaint) = started;
                let running = async {
                    push::ensure_agent(&target.name, agents, &mut stream).await?;
                    AgentSession::start(&target.name, stream, STARTS_WITHIN).await
                };
                running.await.map_err(|fault| match fault {
                    RemoteError::Lost { .. } => complaint.explain(&target).unwrap_or(fault),
                    other => other,
                })
            }
        }
    }

    /// The connection as something that many can use at once, if it is one of this process's own.
    pub(crate) fn shared(self) -> Option<SharedConnection> {
        match self.way {
            Way::InProcess(connection) => {
                Some(SharedConnection { name: self.target.name, connection })
            }
            Way::System => None,
        }
    }

    /// Ends the connection in order. Dropping it ends it too.
    pub async fn close(self) {
        match self.way {
            Way::InProcess(connection) => connection.close().await,
            Way::System => {}
        }
    }
}

/// A connection of this process that many use at once.
pub(crate) struct SharedConnection {
    name: String,
    connection: Box<inprocess::Connection>,
}

impl SharedConnection {
    /// Whether the host answers. It may wait for as long as the network does.
    pub(crate) async fn is_alive(&self) -> bool {
        self.connection.is_alive().await
    }

    /// Has shell text begin to run.
    pub(crate) async fn begin(&self, shell: &str) -> Result<Running, RemoteError> {
        self.connection.begin(shell).await
    }

    /// A stream to an agent that waits for a hello, brought there if need be.
    pub(crate) async fn agent_stream(
        &self,
        agents: &[AgentBinary],
    ) -> Result<AgentStream, RemoteError> {
        let mut stream = self.connection.stream(&push::script(agents)).await?;
        push::ensure_agent(&self.name, agents, &mut stream).await?;
        Ok(stream)
    }

    /// Ends the connection in order.
    pub(crate) async fn close(self) {
        self.connection.close().await;
    }
}

/// A stream and the connection it runs over, which ends with it.
struct Kept<S> {
    stream: S,
    _connection: Box<inprocess::Connection>,
}

impl<S: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Kept<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Kept<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
