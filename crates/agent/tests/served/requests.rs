//! The real agent on its standard streams, spoken to by the real controller side.

use crate::{SOON, Served, begin, eventually};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;
use updraft_base::Digest;
use updraft_remote::{Output, RemoteError, Session as _, Stream};
use updraft_wire::{
    Exec, Exit, FailureKind, Frame, Hello, ModuleRequest, Observed, PREAMBLE, Probe, ProbeTarget,
    Put, Request, Response, VERSION,
};

impl Served {
    async fn run(&self, argv: &[&str]) -> (Exit, String, String) {
        let exec = Exec { argv: words(argv), deadline_ms: 20_000, ..Exec::default() };
        self.exec(exec).await.expect("a command that runs")
    }

    async fn exec(&self, exec: Exec) -> Result<(Exit, String, String), RemoteError> {
        let mut heard = Heard::default();
        let exit = self.session.exec(exec, &mut heard).await?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ok((exit, text(heard.0), text(heard.1)))
    }

    async fn put(&self, path: Option<PathBuf>, content: &[u8]) -> Result<String, RemoteError> {
        let put = Put {
            path: path.map(|path| path.to_str().expect("text").to_owned()),
            size: content.len() as u64,
            digest: Digest::of(content),
            mode: 0o640,
            keep: false,
        };
        self.session.put(put, &mut &content[..]).await
    }
}

#[derive(Default)]
struct Heard(Vec<u8>, Vec<u8>);

impl Output for Heard {
    fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => self.0.extend_from_slice(bytes),
            Stream::Err => self.1.extend_from_slice(bytes),
        }
    }
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn the_agent_says_who_it_is_and_answers_a_ping() {
    let served = Served::start().await;
    let peer = served.session.peer();
    assert_eq!(peer.arch, std::env::consts::ARCH);
    assert!(!peer.boot_id.is_empty() && !peer.user.is_empty() && !peer.hostname.is_empty());
    assert_eq!(peer.machine, None);
    assert_eq!(served.ask(Request::Ping).await, Response::Done);
}

#[tokio::test]
async fn a_command_streams_both_outputs_and_tells_its_status() {
    let served = Served::start().await;
    let (exit, out, err) = served.run(&["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!((exit.code, exit.timed_out), (7, false));
    assert_eq!((&*out, &*err), ("out\n", "err\n"));
    let (exit, ..) = served.run(&["/bin/sh", "-c", "kill -9 $$"]).await;
    assert_eq!(exit.code, 137);
}

#[tokio::test]
async fn much_output_arrives_whole() {
    let served = Served::start().await;
    let (exit, out, _) = served.run(&["/bin/sh", "-c", "seq 1 200000"]).await;
    assert_eq!(exit.code, 0);
    assert_eq!(out.lines().count(), 200_000);
    assert!(out.ends_with("199999\n200000\n"));
}

#[tokio::test]
async fn a_command_gets_its_directory_and_environment_and_no_input() {
    let served = Served::start().await;
    let exec = Exec {
        argv: words(&["/bin/sh", "-c", "pwd; echo $GREETING; wc -c"]),
        chdir: Some("/usr".to_owned()),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        ..Exec::default()
    };
    let (_, out, _) = served.exec(exec).await.unwrap();
    assert_eq!(out, "/usr\nhello\n0\n");
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why() {
    let served = Served::start().await;
    let error = served.exec(Exec { argv: words(&["/no/such"]), ..Exec::default() }).await;
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "on `here`: cannot run `/no/such`: No such file or directory (os error 2)");
    let nowhere = Exec { argv: words(&["true"]), chdir: Some("/no".to_owned()), ..Exec::default() };
    let error = served.exec(nowhere).await.unwrap_err().to_string();
    assert_eq!(error, "on `here`: cannot run in `/no`: no such directory");
    assert!(served.exec(Exec::default()).await.is_err());
}

#[tokio::test]
async fn a_deadline_kills_the_command_and_its_children() {
    let served = Served::start().await;
    let exec = Exec {
        argv: words(&["/bin/sh", "-c", "sleep 100 & echo $!; wait"]),
        deadline_ms: 300,
        ..Exec::default()
    };
    let (exit, out, _) = served.exec(exec).await.unwrap();
    assert!(exit.timed_out);
    eventually("the child is gone", || !is_running(&out)).await;
}

#[tokio::test]
async fn a_command_that_leaves_a_daemon_behind_is_over_when_it_ends() {
    let served = Served::start().await;
    let (exit, out, _) = served.run(&["/bin/sh", "-c", "sleep 100 & echo $!"]).await;
    assert_eq!(exit.code, 0);
    assert!(is_running(&out), "what it started goes on");
    served.run(&["kill", out.trim()]).await;
}

#[tokio::test]
async fn a_command_nobody_waits_for_any_more_is_ended() {
    let served = Served::start().await;
    let file = served.root.path().join("pid");
    let shell = format!("echo $$ > {}; trap '' TERM; while :; do sleep 1; done", file.display());
    let exec = Exec { argv: words(&["/bin/sh", "-c", &shell]), ..Exec::default() };
    let mut heard = Heard::default();
    let run = served.session.exec(exec, &mut heard);
    let pid = || std::fs::read_to_string(&file).unwrap_or_default();
    tokio::select! {
        _ = run => panic!("it does not end by itself"),
        () = eventually("the command has started", || pid().ends_with('\n')) => {}
    }
    let pid = pid();
    eventually("the command was ended", || !is_running(&pid)).await;
}

#[tokio::test]
async fn commands_end_with_the_connection_and_the_agent_too() {
    let Served { session, mut child, root } = Served::start().await;
    let file = root.path().join("pid");
    let shell = format!("echo $$ > {}; sleep 100", file.display());
    let exec = Exec { argv: words(&["/bin/sh", "-c", &shell]), ..Exec::default() };
    let running = tokio::spawn(async move { session.exec(exec, &mut Heard::default()).await.ok() });
    let pid = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("the command has started", || pid().ends_with('\n')).await;
    running.abort();
    drop(running.await);
    let ended = tokio::time::timeout(SOON, child.wait()).await.expect("the agent ends").unwrap();
    assert!(ended.success());
    assert!(!is_running(&pid()));
}

#[tokio::test]
async fn requests_run_at_the_same_time() {
    let served = Served::start().await;
    let fifo = served.root.path().join("fifo");
    let fifo = fifo.to_str().unwrap();
    served.run(&["mkfifo", fifo]).await;
    // Each of the two ends only when the other runs.
    let write = format!("echo met > {fifo}");
    let read = format!("cat {fifo}");
    let shell = async |text: &str| served.run(&["/bin/sh", "-c", text]).await;
    let (writer, reader) = tokio::join!(shell(&write), shell(&read));
    assert_eq!((writer.0.code, &*reader.1), (0, "met\n"));
}

#[tokio::test]
async fn a_file_is_put_in_its_place_whole_and_fetched_again() {
    let served = Served::start().await;
    let target = served.root.path().join("file");
    std::fs::write(&target, "old").unwrap();
    let content: Vec<u8> = updraft_wire::PREAMBLE.iter().copied().cycle().take(3_000_001).collect();
    let path = served.put(Some(target.clone()), &content).await.unwrap();
    assert_eq!(Path::new(&path), target);
    assert!(std::fs::read(&target).unwrap() == content, "other content arrived");
    let mut got = Vec::new();
    assert_eq!(served.session.get(&path, &mut got).await.unwrap(), 0o640);
    assert!(got == content, "other content came back");
    assert_eq!(std::fs::read_dir(served.root.path()).unwrap().count(), 1, "a leftover");
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_leaves_the_old_file_alone() {
    let served = Served::start().await;
    let target = served.root.path().join("file");
    std::fs::write(&target, "old").unwrap();
    let path = Some(target.to_str().unwrap().to_owned());
    for (size, digest) in [(3, Digest::of("other")), (2, Digest::of("new")), (4, Digest::of("new"))]
    {
        let put = Put { path: path.clone(), size, digest, mode: 0o644, keep: false };
        let error = served.session.put(put, &mut &b"new"[..]).await.unwrap_err();
        let RemoteError::Failed { failure, .. } = &error else { panic!("{error}") };
        assert_eq!(failure.kind, FailureKind::Refused);
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
    assert_eq!(std::fs::read_dir(served.root.path()).unwrap().count(), 1, "a leftover");
}

#[tokio::test]
async fn staged_files_vanish_with_the_connection() {
    let served = Served::start().await;
    let path = PathBuf::from(served.put(None, b"secret").await.unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
    let directory = path.parent().unwrap().to_owned();
    let Served { session, mut child, root: _root } = served;
    drop(session);
    child.wait().await.unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_module_runs_and_its_result_comes_back() {
    let served = Served::start().await;
    let request = ModuleRequest { name: "ping".to_owned(), ..ModuleRequest::default() };
    let answer = served.ask(Request::Module(request)).await;
    let Response::Module(result) = answer else { panic!("{answer:?}") };
    assert_eq!(result.0["ping"], "pong");
}

#[tokio::test]
async fn marks_are_kept_and_forgotten() {
    let served = Served::start().await;
    let observed = async |served: &Served| -> Observed {
        match served.ask(Request::Observe).await {
            Response::Observed(observed) => *observed,
            other => panic!("{other:?}"),
        }
    };
    let mark = |key: &str, value: Option<&str>| Request::Mark {
        key: key.to_owned(),
        value: value.map(|value| serde_json::json!({ "digest": value })),
    };
    assert!(observed(&served).await.marks.is_empty());
    let (one, two) = tokio::join!(
        served.ask(mark("play.worker", Some("a"))),
        served.ask(mark("service.hello", Some("b")))
    );
    assert_eq!((one, two), (Response::Done, Response::Done));
    let seen = observed(&served).await;
    assert_eq!(seen.marks.len(), 2);
    assert_eq!(seen.marks["play.worker"]["digest"], "a");
    assert!(seen.memory_free > 0 && seen.disk_free > 0 && seen.uptime > 0);
    served.ask(mark("play.worker", None)).await;
    assert_eq!(observed(&served).await.marks.len(), 1);
    let answer = served.ask(mark("Not a key", Some("c"))).await;
    assert!(matches!(answer, Response::Failed(_)), "{answer:?}");
}

#[tokio::test]
async fn a_probe_sees_whether_a_service_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Served::start().await;
    let probe = |target| Request::Probe(Probe { target, deadline_ms: 5_000 });
    let host = "127.0.0.1".to_owned();
    let tcp = served.ask(probe(ProbeTarget::Tcp { host: host.clone(), port })).await;
    assert!(matches!(tcp, Response::Probed(probed) if probed.healthy));
    drop(listener);
    let tcp = served.ask(probe(ProbeTarget::Tcp { host, port })).await;
    let Response::Probed(probed) = tcp else { panic!("{tcp:?}") };
    assert!(!probed.healthy && probed.saw.contains("connection refused"), "{probed:?}");
}

#[tokio::test]
async fn a_socket_is_spoken_to_until_it_closes() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let served = Served::start().await;
    let path = served.root.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut asked = [0; 9];
        peer.read_exact(&mut asked).await.unwrap();
        peer.write_all(&asked).await.unwrap();
        peer.write_all(b"and more").await.unwrap();
    });
    let path = path.to_str().unwrap().to_owned();
    let answer = served.ask(Request::Socket { path, send: "show info".to_owned() }).await;
    server.await.unwrap();
    assert_eq!(answer, Response::Text { text: "show infoand more".to_owned() });
}

#[tokio::test]
async fn work_of_an_earlier_conversation_goes_on_to_its_end_though_the_line_ends() {
    let root = tempfile::tempdir().unwrap();
    let mut child = begin(root.path());
    let mut to_agent = child.stdin.take().unwrap();
    let (begun, done) = (root.path().join("begun"), root.path().join("done"));
    let shell = format!("touch {}; sleep 1; touch {}", begun.display(), done.display());
    let request = ModuleRequest {
        name: "shell".to_owned(),
        args: serde_json::json!({ "_raw_params": shell }).as_object().unwrap().clone(),
        ..ModuleRequest::default()
    };
    let hello = |nonce| {
        let mut bytes = PREAMBLE.to_vec();
        Frame::hello(&Hello { version: VERSION, nonce, peer: None }).encode(&mut bytes);
        bytes
    };
    to_agent.write_all(&hello(1)).await.unwrap();
    let request = Frame::request(1, &Request::Module(request)).to_bytes();
    to_agent.write_all(&request).await.unwrap();
    to_agent.flush().await.unwrap();
    eventually("the module runs", || begun.exists()).await;
    // Whoever asked has left, another has come and gone, and nobody keeps the agent.
    to_agent.write_all(&hello(2)).await.unwrap();
    to_agent.flush().await.unwrap();
    drop(to_agent);
    tokio::time::timeout(SOON, child.wait()).await.expect("its end").unwrap();
    assert!(done.exists());
}
