//! The real sshd on loopback ports: keys, host keys, the agent's way to a host, jump hosts, and
//! hosts that hang or vanish. Needs root, openssh-server and openssh-client.

#![expect(clippy::disallowed_methods, reason = "the lab starts the programs it is about")]

mod kept;
mod server;

use server::{Server, agents, exec, user, words};
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use updraft_base::Blamed as _;
use updraft_remote::{RemoteError, Session as _, Ssh, SshTarget, fan_out};
use updraft_wire::{Become, Exec, Request, Response};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_streams_and_tells_its_status() {
    let server = Server::start().await;
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    assert!(!connection.is_by_system());
    let (exit, out, err) = exec(&connection, "echo out; echo err >&2; exit 7", None).await.unwrap();
    assert_eq!((exit.code, &*out, &*err), (7, "out\n", "err\n"));
    let (exit, ..) = exec(&connection, "kill -9 $$", None).await.unwrap();
    assert_eq!(exit.code, 137);
    let (_, out, _) = exec(&connection, "seq 1 100000", None).await.unwrap();
    assert_eq!(out.lines().count(), 100_000);
    let short = Some(Duration::from_millis(300));
    let (exit, ..) = exec(&connection, "sleep 100", short).await.unwrap();
    assert!(exit.timed_out);
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_key_is_refused_until_the_given_fix_was_run() {
    let server = Server::start().await;
    server.forget_host_key();
    let ssh = server.ssh();
    let error = ssh.connect(&server.target()).await.err().expect("refused");
    let RemoteError::HostKeyUnknown { fingerprint, fix, .. } = &error else { panic!("{error}") };
    assert!(fingerprint.contains(&server.fingerprint().await), "{fingerprint}");
    assert!(error.hint().unwrap().contains(fix.as_str()));
    let fixed = tokio::process::Command::new("sh").args(["-c", fix]).output().await.unwrap();
    assert!(fixed.status.success());
    ssh.connect(&server.target()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_even_when_new_ones_are_accepted() {
    let server = Server::start().await;
    server.know_another_host_key().await;
    let mut target = server.target();
    for args in [&[][..], &["-o", "StrictHostKeyChecking=accept-new"]] {
        target.args = words(args);
        let error = server.ssh().connect(&target).await.err().expect("refused");
        let RemoteError::HostKeyChanged { line, file, fix, .. } = &error else { panic!("{error}") };
        assert_eq!((*line, Path::new(file)), (1, &*server.known_hosts()));
        assert!(fix.starts_with("ssh-keygen -R"), "{fix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_new_remembers_and_no_checking_takes_any_key() {
    let server = Server::start().await;
    server.forget_host_key();
    let mut target = server.target();
    target.args = words(&["-o", "StrictHostKeyChecking=accept-new"]);
    server.ssh().connect(&target).await.unwrap();
    target.args.clear();
    server.ssh().connect(&target).await.unwrap();
    server.know_another_host_key().await;
    target.check_host_key = Some(false);
    server.ssh().connect(&target).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_host_does_not_know_is_an_error_that_says_what_was_tried() {
    let server = Server::start().await;
    server.lock_out();
    let error = server.ssh().connect(&server.target()).await.err().expect("refused");
    let RemoteError::AuthFailed { user, reason, .. } = &error else { panic!("{error}") };
    assert_eq!(user, "root");
    assert!(reason.contains("ssh-ed25519 SHA256:"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_users_lets_us_in_without_a_key_file() {
    let server = Server::start().await;
    let agent = server.key_agent().await;
    let mut me = user(server.home());
    me.agent = Some(agent.socket.clone());
    let mut target = server.target();
    target.key = None;
    let ssh = Ssh::new(std::sync::Arc::new(updraft_host::LocalHost), me);
    let connection = ssh.connect(&target).await.unwrap();
    let (exit, ..) = exec(&connection, "true", None).await.unwrap();
    assert_eq!(exit.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_brought_once_and_again_when_its_copy_is_damaged() {
    let server = Server::start().await;
    let cache = server.home().join(".cache/updraft");
    let (agents, connect) =
        (agents(), async || server.ssh().connect(&server.target()).await.unwrap());
    let first = connect().await.agent(&agents).await.unwrap();
    assert_eq!(first.peer().user, "root");
    assert_eq!(first.call(Request::Ping, SOON).await.unwrap(), Response::Done);
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        entries.collect()
    };
    let [copy] = &files()[..] else { panic!("{:?}", files()) };
    let name = format!("agent-{}", agents[0].digest);
    assert_eq!(copy.file_name().unwrap().to_str(), Some(&*name));
    let made = std::fs::metadata(copy).unwrap().modified().unwrap();
    connect().await.agent(&agents).await.unwrap();
    assert_eq!(std::fs::metadata(copy).unwrap().modified().unwrap(), made, "it was sent again");

    // What a full disk or somebody else's hand leaves behind.
    std::fs::remove_file(copy).unwrap();
    std::fs::write(copy, "#!/bin/sh\necho gotcha >&2\n").unwrap();
    std::process::Command::new("chmod").arg("700").arg(copy).status().unwrap();
    let healed = connect().await.agent(&agents).await.unwrap();
    assert_eq!(healed.call(Request::Ping, SOON).await.unwrap(), Response::Done);
    assert_eq!(std::fs::read(copy).unwrap().len(), agents[0].bytes.len());
    assert_eq!(files().len(), 1, "{:?}", files());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_wanted_any_more_leaves_nothing_but_what_is_not_ours() {
    let server = Server::start().await;
    let cache = server.home().join(".cache/updraft");
    let connect = async || server.ssh().connect(&server.target()).await.unwrap();
    drop(connect().await.agent(&agents()).await.unwrap());
    let connection = connect().await;
    let remove = async || exec(&connection, &updraft_remote::agent_removal(), None).await.unwrap();
    let (exit, out, err) = remove().await;
    assert_eq!((exit.code, &*out, &*err), (0, "1\n", ""));
    assert!(!cache.exists());
    assert_eq!(remove().await.1, "0\n");
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join("of somebody else"), "").unwrap();
    assert_eq!(remove().await.1, "0\n");
    assert!(cache.join("of somebody else").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_takes_no_programs_is_gone_around() {
    let server = Server::start().await;
    // Nobody can make a directory below a file, not even root.
    std::fs::write(server.home().join(".cache"), "").unwrap();
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let session = connection.agent(&agents()).await.unwrap();
    assert_eq!(session.call(Request::Ping, SOON).await.unwrap(), Response::Done);
    std::fs::remove_dir_all("/var/tmp/.updraft-agent-0").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_of_a_login_does_not_disturb_the_agent() {
    let server = Server::start().await;
    std::fs::write(server.home().join(".bashrc"), "echo Welcome to the machine\n").unwrap();
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let session = connection.agent(&agents()).await.unwrap();
    assert_eq!(session.call(Request::Ping, SOON).await.unwrap(), Response::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_without_an_agent_is_said_clearly() {
    let server = Server::start().await;
    let mut agents = agents();
    agents[0].arch = "sparc64".to_owned();
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let error = connection.agent(&agents).await.err().expect("no agent");
    assert!(matches!(error, RemoteError::NoAgent { .. }), "{error}");
    assert!(error.to_string().contains("x86_64"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_carried_out_as_another_user() {
    let server = Server::start().await;
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let session = connection.agent(&agents()).await.unwrap();
    // The agent lies in a directory that only root can enter, and `nobody` runs it all the same.
    let command = |user: &str| Exec {
        argv: words(&["/usr/bin/id", "-un"]),
        become_user: Some(Become {
            method: "su".to_owned(),
            user: user.to_owned(),
            exe: Vec::new(),
            flags: words(&["-s", "/bin/sh"]),
            password: None,
        }),
        ..Exec::default()
    };
    let mut heard = server::Heard::default();
    let exit = session.exec(command("nobody"), &mut heard).await.unwrap();
    assert_eq!((exit.code, &*heard.out()), (0, "nobody\n"));
    let mut heard = server::Heard::default();
    let error = session.exec(command("no-such-user"), &mut heard).await.unwrap_err();
    assert!(error.to_string().contains("cannot become `no-such-user` by su"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_is_left_to_the_users_own_ssh() {
    let (bastion, server) = (Server::start().await, Server::start().await);
    let config = server.home().join("config");
    let text = format!(
        "Host bastion\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias b\n  UserKnownHostsFile {}\n  \
         IdentityFile {}\nHost inner\n  HostName 127.0.0.1\n  Port {}\n  User root\n  \
         UserKnownHostsFile {}\n  IdentityFile {}\n  ProxyJump root@bastion\n",
        bastion.port,
        bastion.known_hosts().display(),
        bastion.key().display(),
        server.port,
        server.known_hosts().display(),
        server.key().display(),
    );
    let alias = std::fs::read_to_string(bastion.known_hosts()).unwrap();
    let alias = alias.replacen(&format!("[127.0.0.1]:{}", bastion.port), "b", 1);
    std::fs::write(bastion.known_hosts(), alias).unwrap();
    std::fs::write(&config, text).unwrap();
    let target = SshTarget {
        args: vec!["-F".to_owned(), config.to_str().unwrap().to_owned()],
        ..SshTarget::named("inner")
    };
    let connection = server.ssh().connect(&target).await.unwrap();
    assert!(connection.is_by_system());
    let shell = "echo out; echo err >&2; exit 7";
    let (exit, out, err) = exec(&connection, shell, None).await.unwrap();
    assert_eq!((exit.code, &*out), (7, "out\n"));
    assert!(err.contains("err\n"), "{err}");
    let short = Some(Duration::from_secs(2));
    let (exit, ..) = exec(&connection, "sleep 100", short).await.unwrap();
    assert!(exit.timed_out);
    let session = connection.agent(&agents()).await.unwrap();
    assert_eq!(session.call(Request::Ping, SOON).await.unwrap(), Response::Done);

    bastion.lock_out();
    let connection = server.ssh().connect(&target).await.unwrap();
    let error = exec(&connection, "true", None).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_accepts_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start().await;
    let target = SshTarget {
        port: Some(silent.local_addr().unwrap().port()),
        args: words(&["-o", "ConnectTimeout=1"]),
        ..server.target()
    };
    let error = server.ssh().connect(&target).await.err().expect("no answer");
    let RemoteError::Unreachable { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(reason, "no answer within 1s while waiting for the SSH handshake");
    // A port that is taken and not listened at: no other test's server can come to be there.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = SshTarget { port: Some(deaf.local_addr().unwrap().port()), ..target };
    let error = server.ssh().connect(&target).await.err().expect("nobody there");
    assert!(error.to_string().ends_with("connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_in_the_middle_is_lost_and_not_waited_for() {
    let server = Server::start().await;
    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let run = exec(&connection, "echo begun; kill -9 $PPID; sleep 100", None);
    let error = tokio::time::timeout(SOON, run).await.expect("an end").unwrap_err();
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");

    let connection = server.ssh().connect(&server.target()).await.unwrap();
    let session = connection.agent(&agents()).await.unwrap();
    let shell = "kill -9 $(ps -o ppid= -p $PPID); sleep 100";
    let exec = Exec { argv: words(&["/bin/sh", "-c", shell]), ..Exec::default() };
    let mut heard = server::Heard::default();
    let run = session.exec(exec, &mut heard);
    let error = tokio::time::timeout(SOON, run).await.expect("an end").unwrap_err();
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_are_worked_on_at_once_and_bad_ones_cost_only_themselves() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start().await;
    let ssh = server.ssh();
    let mut hosts: Vec<(String, SshTarget)> = (0..20)
        .map(|number| {
            let target = SshTarget { name: format!("h{number}"), ..server.target() };
            (target.name.clone(), target)
        })
        .collect();
    hosts[3].1.port = Some(silent.local_addr().unwrap().port());
    hosts[3].1.args = words(&["-o", "ConnectTimeout=1"]);
    hosts[7].1.port = Some(1);
    let mut outcomes = fan_out(hosts, 20, SOON, move |target| {
        let ssh = ssh.clone();
        async move {
            let connection = ssh.connect(&target).await?;
            let (exit, out, _) = exec(&connection, "uptime", None).await?;
            connection.close().await;
            Ok((exit.code, out))
        }
    });
    let (mut good, mut bad) = (0, Vec::new());
    while let Some(outcome) = outcomes.next().await {
        match outcome.result {
            Ok((0, out)) if out.contains("load average") => good += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => bad.push(error.host().to_owned()),
        }
    }
    bad.sort();
    assert_eq!((good, bad), (18, vec!["h3".to_owned(), "h7".to_owned()]));
}
