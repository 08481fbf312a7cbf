//! Connections that are kept for later commands.

use crate::server::{Heard, Server, agents, words};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use updraft_base::{Blamed as _, Digest};
use updraft_host::{Cmd, LocalHost};
use updraft_remote::{Keeper, RemoteError, Session as _, SshTarget, keep};
use updraft_wire::{Exec, Put};

/// Long beside what a command takes, short enough to wait for.
const IDLE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);

fn kept(server: &Server, socket: &Path, idle: Duration) -> JoinHandle<std::io::Result<()>> {
    let (ssh, socket) = (server.ssh(), socket.to_owned());
    tokio::spawn(async move { keep(ssh, agents(), &socket, idle).await })
}

/// One who asks a keeper that runs already.
fn keeper(socket: &Path) -> Keeper {
    Keeper::new(Arc::new(LocalHost), socket, || Cmd::new("false"))
}

async fn listening(socket: &Path) {
    let up = async {
        while tokio::net::UnixStream::connect(socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("somebody listens");
}

/// What shell text says on a kept connection.
async fn say(keeper: &Keeper, target: &SshTarget, shell: &str) -> Result<String, RemoteError> {
    let mut heard = Heard::default();
    keeper.exec(target, shell, &mut heard, None).await.expect("somebody who keeps")?;
    Ok(heard.out())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_conversations_of_one_host_share_a_connection() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let target = server.target();
    let mine = "echo $SSH_CONNECTION";

    let first = say(&keeper(&socket), &target, mine).await.unwrap();
    assert_eq!(say(&keeper(&socket), &target, mine).await.unwrap(), first);
    let session = keeper(&socket).agent(&target).await.expect("somebody who keeps").unwrap();
    let exec = Exec { argv: words(&["/bin/sh", "-c", mine]), ..Exec::default() };
    let mut heard = Heard::default();
    session.exec(exec, &mut heard).await.unwrap();
    assert_eq!(heard.out(), first);

    let mut heard = Heard::default();
    let odd = "printf 'a\\0b'; echo c >&2; exit 3";
    let exit = keeper(&socket).exec(&target, odd, &mut heard, None).await.unwrap().unwrap();
    assert_eq!((exit.code, heard.out(), heard.err()), (3, "a\0b".to_owned(), "c\n".to_owned()));
    let long = "head -c 3000000 /dev/zero | tr '\\0' x";
    assert_eq!(say(&keeper(&socket), &target, long).await.unwrap().len(), 3_000_000);
    let soon = Some(Duration::from_millis(200));
    let exit = keeper(&socket).exec(&target, "sleep 100", &mut heard, soon).await.unwrap().unwrap();
    assert!(exit.timed_out);
}

/// The agent that serves a conversation.
async fn agent_of(session: &updraft_remote::AgentSession) -> String {
    let exec = Exec { argv: words(&["/bin/sh", "-c", "echo $PPID"]), ..Exec::default() };
    let mut heard = Heard::default();
    session.exec(exec, &mut heard).await.expect("a command that runs");
    heard.out().trim().to_owned()
}

async fn conversation(asking: &Keeper, target: &SshTarget) -> updraft_remote::AgentSession {
    asking.agent(target).await.expect("somebody who keeps").expect("an agent")
}

/// Waits until a process has ended.
async fn gone(pid: &str) {
    vanished(&Path::new("/proc").join(pid)).await;
}

async fn vanished(path: &Path) {
    let gone = async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_serves_one_command_after_the_other_and_nothing_of_the_first_is_left() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let (asking, target) = (keeper(&socket), server.target());

    let first = conversation(&asking, &target).await;
    let agent = agent_of(&first).await;
    let content = b"of the first command";
    let (size, digest) = (content.len() as u64, Digest::of(content));
    let put = Put { path: None, size, digest, mode: 0o600, keep: false };
    let staged = first.put(put, &mut &content[..]).await.unwrap();
    assert!(Path::new(&staged).exists());
    // A command of its that is cut off, whose output has filled the line.
    let exec = Exec { argv: words(&["/bin/sh", "-c", "echo $$; exec yes"]), ..Exec::default() };
    let mut heard = Heard::default();
    let cut = tokio::time::timeout(Duration::from_millis(300), first.exec(exec, &mut heard)).await;
    assert!(cut.is_err());
    let yes = heard.out().lines().next().unwrap().to_owned();
    drop(first);

    gone(&yes).await;
    // The agent removes it when it is told that nobody needs it: it waits for the next by then.
    vanished(Path::new(&staged)).await;
    let second = conversation(&asking, &target).await;
    assert_eq!(agent_of(&second).await, agent);

    // Meanwhile another needs one of its own, and one is kept of the two.
    let third = conversation(&asking, &target).await;
    let other = agent_of(&third).await;
    assert_ne!(other, agent);
    drop(second);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(third);
    gone(&agent).await;
    assert_eq!(agent_of(&conversation(&asking, &target).await).await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_ended_meanwhile_is_replaced() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let (asking, target) = (keeper(&socket), server.target());
    let first = conversation(&asking, &target).await;
    let agent = agent_of(&first).await;
    drop(first);
    say(&asking, &target, &format!("kill -9 {agent}")).await.unwrap();
    gone(&agent).await;
    let second = conversation(&asking, &target).await;
    assert_ne!(agent_of(&second).await, agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_logs_in_anew() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let (asking, target) = (keeper(&socket), server.target());
    let first = conversation(&asking, &target).await;
    let (agent, mine) = (agent_of(&first).await, "echo $SSH_CONNECTION");
    let connection = say(&asking, &target, mine).await.unwrap();
    drop(first);
    asking.forget(&target).await;
    let second = conversation(&asking, &target).await;
    assert_ne!(agent_of(&second).await, agent);
    gone(&agent).await;
    assert_ne!(say(&asking, &target, mine).await.unwrap(), connection);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_has_gone_is_made_anew() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let (asking, target) = (keeper(&socket), server.target());
    let first = say(&asking, &target, "echo $SSH_CONNECTION").await.unwrap();
    let cut = say(&asking, &target, "kill -9 $PPID; sleep 100").await;
    assert!(matches!(cut, Err(RemoteError::Lost { .. })), "{cut:?}");
    let second = say(&asking, &target, "echo $SSH_CONNECTION").await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_leave_early_do_not_use_a_connection_up() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let target = server.target();
    // sshd takes ten sessions on one connection (sshd_config(5), MaxSessions), and the commands of
    // those who left go on.
    for _ in 0..12 {
        let asking = keeper(&socket);
        let left = say(&asking, &target, "exec sleep 20");
        assert!(tokio::time::timeout(Duration::from_millis(100), left).await.is_err());
    }
    assert_eq!(say(&keeper(&socket), &target, "echo still there").await.unwrap(), "still there\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_as_if_one_had_connected_oneself() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let _keeping = kept(&server, &socket, LONG);
    listening(&socket).await;
    let nobody = SshTarget { port: Some(1), ..server.target() };
    let stranger = SshTarget { user: Some("no-such-user".to_owned()), ..server.target() };
    for target in [nobody, stranger] {
        let direct = server.ssh().connect(&target).await.err().expect("refused");
        let told = say(&keeper(&socket), &target, "true").await.unwrap_err();
        assert_eq!(told.to_string(), updraft_base::chain(&direct));
        assert_eq!((told.blame(), told.hint()), (direct.blame(), direct.hint()));
        assert!(told.is_unreachable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_asked_any_more_ends_and_leaves_nothing() {
    let server = Server::start().await;
    let socket = server.home().join("kept");
    let keeping = kept(&server, &socket, IDLE);
    listening(&socket).await;
    let target = server.target();
    // In use for longer than that.
    let said = say(&keeper(&socket), &target, "sleep 4; echo done").await.unwrap();
    assert_eq!(said, "done\n");
    let ended = tokio::time::timeout(Duration::from_secs(30), keeping).await;
    ended.expect("an end").unwrap().unwrap();
    assert!(!socket.exists());
    let alone = keeper(&socket).exec(&target, "true", &mut Heard::default(), None).await;
    assert!(alone.is_none(), "nobody listens, and `false` does not either");
}
