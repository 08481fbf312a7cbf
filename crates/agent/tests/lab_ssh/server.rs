//! An sshd of a test's own, with a home, keys and a known_hosts file of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use updraft_host::LocalHost;
use updraft_remote::{
    AgentBinary, Output, RemoteError, Ssh, SshConnection, SshTarget, SshUser, Stream,
};
use updraft_wire::Exit;

/// A running sshd.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: tempfile::TempDir,
    _process: Child,
}

/// A running ssh-agent that holds the server's key.
pub(crate) struct KeyAgent {
    pub(crate) socket: PathBuf,
    _process: Child,
}

async fn run(program: &str, args: &[&str]) -> String {
    let said = Command::new(program).args(args).stdin(Stdio::null()).output().await;
    let said = said.unwrap_or_else(|fault| panic!("the lab needs {program}: {fault}"));
    assert!(said.status.success(), "{program}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("text")
}

/// A port that nobody uses. Whoever takes it in the meantime makes sshd, and so the test, fail.
fn free_port() -> u16 {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    taken.local_addr().expect("an address").port()
}

async fn greets(port: u16) -> std::io::Result<bool> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let mut banner = [0; 4];
    stream.read_exact(&mut banner).await?;
    Ok(&banner == b"SSH-")
}

/// Waits until something is ready.
async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if ready().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("after 10 s still not ready: {what}");
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.at("log")).unwrap_or_default();
            // The panic is told anyway; this is what explains it.
            writeln!(std::io::stderr(), "sshd on port {} said:\n{log}", self.port).ok();
        }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        assert!(run("id", &["-u"]).await.trim() == "0", "the lab needs root");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
        for name in ["home", "home/.ssh"] {
            std::fs::create_dir(at(name)).expect("a directory");
        }
        for key in ["host_key", "key", "other_key"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).await;
        }
        std::fs::copy(at("key.pub"), at("authorized_keys")).expect("a copy");
        std::fs::create_dir_all("/run/sshd").expect("sshd's directory for privilege separation");
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPidFile none\nMaxStartups 100\nUseDNS no\n\
             SetEnv HOME={}\n",
            at("host_key"),
            at("authorized_keys"),
            at("home")
        );
        std::fs::write(at("sshd_config"), config).expect("a file");
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(at("log")).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("the lab needs openssh-server");
        let server = Self { port, directory, _process: process };
        until("sshd", async || greets(port).await.unwrap_or(false)).await;
        server.know_host_key("host_key.pub");
        server
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.at("home")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.at("key")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.at("home/.ssh/known_hosts")
    }

    fn know_host_key(&self, public: &str) {
        let key = std::fs::read_to_string(self.at(public)).expect("a key");
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        let line = format!("[127.0.0.1]:{} {}\n", self.port, words.join(" "));
        std::fs::write(self.known_hosts(), line).expect("a file");
    }

    pub(crate) async fn know_another_host_key(&self) {
        self.know_host_key("other_key.pub");
    }

    pub(crate) fn forget_host_key(&self) {
        std::fs::remove_file(self.known_hosts()).expect("a file to remove");
    }

    /// From now on no key opens the door.
    pub(crate) fn lock_out(&self) {
        std::fs::write(self.at("authorized_keys"), "").expect("a file");
    }

    pub(crate) async fn fingerprint(&self) -> String {
        let key = self.at("host_key.pub");
        let said = run("ssh-keygen", &["-l", "-f", key.to_str().expect("text")]).await;
        said.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    pub(crate) async fn key_agent(&self) -> KeyAgent {
        let socket = self.at("agent");
        let text = socket.to_str().expect("text");
        let process = Command::new("ssh-agent")
            .args(["-D", "-a", text])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the lab needs openssh-client");
        until("ssh-agent", async || tokio::net::UnixStream::connect(&socket).await.is_ok()).await;
        let added = Command::new("ssh-add")
            .args(["-q", self.key().to_str().expect("text")])
            .env("SSH_AUTH_SOCK", text)
            .status()
            .await
            .expect("ssh-add");
        assert!(added.success());
        KeyAgent { socket, _process: process }
    }

    pub(crate) fn ssh(&self) -> Arc<Ssh> {
        Ssh::new(Arc::new(LocalHost), user(self.home()))
    }

    pub(crate) fn target(&self) -> SshTarget {
        SshTarget {
            address: "127.0.0.1".to_owned(),
            user: Some("root".to_owned()),
            port: Some(self.port),
            key: Some(self.key()),
            ..SshTarget::named("web-1")
        }
    }
}

pub(crate) fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn user(home: PathBuf) -> SshUser {
    SshUser { home, name: "root".to_owned(), agent: None, environment: Vec::new() }
}

/// The agent that this test run has built.
pub(crate) fn agents() -> Vec<AgentBinary> {
    let bytes = std::fs::read(Path::new(env!("CARGO_BIN_EXE_updraft-agent"))).expect("an agent");
    vec![AgentBinary::new(std::env::consts::ARCH, bytes)]
}

/// Collects what a command says.
#[derive(Default)]
pub(crate) struct Heard(Vec<u8>, Vec<u8>);

impl Heard {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.1).into_owned()
    }
}

impl Output for Heard {
    fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => self.0.extend_from_slice(bytes),
            Stream::Err => self.1.extend_from_slice(bytes),
        }
    }
}

/// Runs shell text and collects its output.
pub(crate) async fn exec(
    connection: &SshConnection,
    shell: &str,
    within: Option<Duration>,
) -> Result<(Exit, String, String), RemoteError> {
    let mut heard = Heard::default();
    let exit = connection.exec(shell, &mut heard, within).await?;
    Ok((exit, heard.out(), heard.err()))
}
