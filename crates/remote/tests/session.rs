//! Conversations with a made-up agent over a pipe in memory, on a clock that the test moves.

use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use updraft_base::{Blame, Blamed as _, Clock, Digest, Timestamp};
use updraft_remote::{AgentSession, Output, RemoteError, Session as _, Stream};
use updraft_wire::{
    Decoded, Decoder, Exec, Exit, Failure, FailureKind, Frame, Hello, Kind, OutputTag, PREAMBLE,
    Peer, Put, Request, Response, VERSION,
};

const SOON: Duration = Duration::from_secs(5);

/// The agent's end of a line.
struct Agent {
    stream: DuplexStream,
    decoder: Decoder,
}

impl Agent {
    async fn frame(&mut self) -> Option<Frame> {
        let mut chunk = [0; 4096];
        loop {
            match self.decoder.decode().expect("the controller speaks in frames") {
                Some(Decoded::Frame(frame)) => return Some(frame),
                Some(Decoded::Preamble) => {}
                None => match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return None,
                    Ok(length) => self.decoder.push(&chunk[..length]),
                },
            }
        }
    }

    async fn request(&mut self) -> (u32, Request) {
        let frame = self.frame().await.expect("a request");
        (frame.id, frame.message().expect("a request's body"))
    }

    async fn send(&mut self, frame: Frame) {
        self.stream.write_all(&frame.to_bytes()).await.expect("the controller reads");
    }

    async fn greet(&mut self, nonce: u64, version: u16) {
        let mut bytes = PREAMBLE.to_vec();
        let peer = Peer { hostname: "web-1".to_owned(), ..Peer::default() };
        Frame::hello(&Hello { version, nonce, peer: Some(peer) }).encode(&mut bytes);
        self.stream.write_all(&bytes).await.expect("the controller reads");
    }
}

fn line() -> (DuplexStream, Agent) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (ours, Agent { stream: theirs, decoder: Decoder::new() })
}

async fn connected() -> (AgentSession, Agent) {
    let (ours, mut agent) = line();
    let session = tokio::spawn(AgentSession::start("web-1", ours, SOON));
    let hello: Hello = agent.frame().await.expect("a hello").message().expect("a hello's body");
    agent.greet(hello.nonce, VERSION).await;
    (session.await.expect("no panic").expect("a session"), agent)
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

#[tokio::test(start_paused = true)]
async fn what_an_earlier_connection_left_on_the_line_is_skipped() {
    let (ours, mut agent) = line();
    let session = tokio::spawn(AgentSession::start("web-1", ours, SOON));
    let hello: Hello = agent.frame().await.unwrap().message().unwrap();
    let stale = Frame::response(1, &Response::Text { text: "old".to_owned() }).to_bytes();
    agent.stream.write_all(&stale[5..]).await.unwrap();
    agent.greet(hello.nonce.wrapping_add(1), VERSION).await;
    agent.send(Frame::response(1, &Response::Text { text: "older".to_owned() })).await;
    agent.greet(hello.nonce, VERSION).await;
    let session = session.await.unwrap().unwrap();
    assert_eq!(session.peer().hostname, "web-1");
    let answer = tokio::spawn(async move { session.call(Request::Ping, SOON).await });
    let (id, request) = agent.request().await;
    assert_eq!(request, Request::Ping);
    agent.send(Frame::response(id, &Response::Done)).await;
    assert_eq!(answer.await.unwrap().unwrap(), Response::Done);
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_nobody_heard_is_said_again() {
    let (ours, mut agent) = line();
    let session = tokio::spawn(AgentSession::start("web-1", ours, Duration::from_secs(60)));
    let first: Hello = agent.frame().await.unwrap().message().unwrap();
    let second: Hello = agent.frame().await.unwrap().message().unwrap();
    assert_eq!(first, second);
    agent.greet(second.nonce, VERSION).await;
    // And an answer to the first, late, disturbs nothing.
    agent.greet(second.nonce, VERSION).await;
    let session = session.await.unwrap().unwrap();
    let ping = tokio::spawn(async move { session.ping(SOON).await });
    let (id, _) = agent.request().await;
    agent.send(Frame::response(id, &Response::Done)).await;
    ping.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_is_a_deadline_that_names_the_host() {
    let (ours, _agent) = line();
    let error = AgentSession::start("web-1", ours, SOON).await.err().expect("no session");
    assert!(matches!(error, RemoteError::Deadline { .. }), "{error}");
    assert_eq!(error.to_string(), "`web-1` did not answer within 5s: the agent's hello");
    assert_eq!(error.blame(), Blame::Passing);
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_version_is_refused() {
    let (ours, mut agent) = line();
    let session = tokio::spawn(AgentSession::start("web-1", ours, SOON));
    let hello: Hello = agent.frame().await.unwrap().message().unwrap();
    agent.greet(hello.nonce, VERSION + 1).await;
    let error = session.await.unwrap().err().expect("no session");
    assert!(matches!(error, RemoteError::Version { theirs, .. } if theirs == VERSION + 1));
}

#[tokio::test(start_paused = true)]
async fn requests_overlap_and_each_gets_its_own_answer() {
    let (session, mut agent) = connected().await;
    let session = std::sync::Arc::new(session);
    let ask = |path: &str| {
        let (session, path) = (session.clone(), path.to_owned());
        tokio::spawn(async move {
            let request = Request::Socket { path, send: String::new() };
            session.call(request, SOON).await.unwrap()
        })
    };
    let (one, two) = (ask("/one"), ask("/two"));
    let mut asked = Vec::new();
    for _ in 0..2 {
        let (id, request) = agent.request().await;
        let Request::Socket { path, .. } = request else { panic!("{request:?}") };
        asked.push((id, path));
    }
    for (id, path) in asked.into_iter().rev() {
        agent.send(Frame::response(id, &Response::Text { text: path })).await;
    }
    assert_eq!(one.await.unwrap(), Response::Text { text: "/one".to_owned() });
    assert_eq!(two.await.unwrap(), Response::Text { text: "/two".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn a_request_too_long_for_the_line_is_refused_here_and_the_line_goes_on() {
    let (session, mut agent) = connected().await;
    let send = "x".repeat(updraft_wire::MAX_MESSAGE);
    let long = Request::Socket { path: "/s".to_owned(), send };
    let error = session.call(long, SOON).await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    let ping = tokio::spawn(async move { session.ping(SOON).await });
    let (id, request) = agent.request().await;
    assert_eq!(request, Request::Ping);
    agent.send(Frame::response(id, &Response::Done)).await;
    ping.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_tells_the_agent() {
    let (session, mut agent) = connected().await;
    let error = session.call(Request::Ping, SOON).await.unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { .. }), "{error}");
    let (id, _) = agent.request().await;
    let cancel = agent.frame().await.unwrap();
    assert_eq!((cancel.kind, cancel.id), (Kind::Cancel, id));
}

#[tokio::test(start_paused = true)]
async fn output_arrives_in_order_and_apart_and_dropping_the_wait_cancels() {
    let (session, mut agent) = connected().await;
    let running = tokio::spawn(async move {
        let mut heard = Heard::default();
        let exit = session.exec(Exec::default(), &mut heard).await.unwrap();
        (session, heard, exit)
    });
    let (id, _) = agent.request().await;
    agent.send(Frame::output(id, OutputTag::Out, b"one ")).await;
    agent.send(Frame::output(id, OutputTag::Err, b"bad")).await;
    agent.send(Frame::output(id, OutputTag::Out, b"two")).await;
    let exit = Exit { code: 3, timed_out: false };
    agent.send(Frame::response(id, &Response::Exec(exit))).await;
    let (session, heard, got) = running.await.unwrap();
    assert_eq!((&*heard.0, &*heard.1, got), (&b"one two"[..], &b"bad"[..], exit));

    let dropped = tokio::spawn(async move {
        let mut heard = Heard::default();
        let run = session.exec(Exec::default(), &mut heard);
        drop(tokio::time::timeout(Duration::from_millis(10), run).await);
        session
    });
    let (id, _) = agent.request().await;
    let cancel = agent.frame().await.unwrap();
    assert_eq!((cancel.kind, cancel.id), (Kind::Cancel, id));
    drop(dropped.await.unwrap());
    assert!(agent.frame().await.is_none(), "dropping a session closes the line");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_run_is_an_error_that_names_the_host() {
    let (session, mut agent) = connected().await;
    let running = tokio::spawn(async move {
        session.exec(Exec::default(), &mut Heard::default()).await.unwrap_err()
    });
    let (id, _) = agent.request().await;
    let failure = Failure { kind: FailureKind::System, message: "cannot run `x`: no".to_owned() };
    agent.send(Frame::response(id, &Response::Failed(failure))).await;
    let error = running.await.unwrap();
    assert_eq!(error.to_string(), "on `web-1`: cannot run `x`: no");
    assert_eq!(error.blame(), Blame::World);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_ends_wakes_everybody_who_waits() {
    let (session, mut agent) = connected().await;
    let session = std::sync::Arc::new(session);
    let waiting = session.clone();
    let call = tokio::spawn(async move { waiting.call(Request::Ping, SOON).await });
    agent.request().await;
    drop(agent);
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
    let later = session.call(Request::Ping, SOON).await.unwrap_err();
    assert!(matches!(later, RemoteError::Lost { .. }), "{later}");
    assert!(session.is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_ends_with_a_reason_tells_it_to_everybody_who_waits() {
    let (session, mut agent) = connected().await;
    let call = tokio::spawn(async move { session.call(Request::Ping, SOON).await });
    let (id, _) = agent.request().await;
    // An answer is cut off, and whoever passed it on says why nothing follows.
    let answer = Frame::response(id, &Response::Done).to_bytes();
    let mut bytes = answer[..answer.len() - 1].to_vec();
    bytes.extend(PREAMBLE);
    let message = "no answer came for 1m".to_owned();
    let why = Response::Failed(Failure { kind: FailureKind::System, message });
    Frame::response(0, &why).encode(&mut bytes);
    agent.stream.write_all(&bytes).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "lost the connection to `web-1`: no answer came for 1m");
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_asked_whether_it_lives_and_counts_as_lost_if_not() {
    let (session, mut agent) = connected().await;
    let running = tokio::spawn(async move {
        session.exec(Exec::default(), &mut Heard::default()).await.unwrap_err()
    });
    let (id, _) = agent.request().await;
    let (alive, question) = agent.request().await;
    assert_eq!(question, Request::Ping);
    assert_ne!(alive, id);
    // It lives, so the wait goes on; from then on it is silent.
    agent.send(Frame::response(alive, &Response::Done)).await;
    let error = running.await.unwrap();
    assert!(error.to_string().contains("silent for 1m40s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_anew_ends_what_the_one_before_it_was_asked() {
    let (session, mut agent) = connected().await;
    let asked = tokio::time::Instant::now();
    let running = tokio::spawn(async move {
        session.exec(Exec::default(), &mut Heard::default()).await.unwrap_err()
    });
    agent.request().await;
    agent.greet(0, VERSION).await;
    let error = running.await.unwrap();
    assert!(error.to_string().contains("has started anew"), "{error}");
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_file_arrives_as_it_was_sent() {
    let (session, mut agent) = connected().await;
    let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let sent = content.clone();
    let put = tokio::spawn(async move {
        let put = Put {
            path: None,
            size: sent.len() as u64,
            digest: Digest::of(&sent),
            mode: 0o644,
            keep: false,
        };
        session.put(put, &mut &sent[..]).await
    });
    let (id, request) = agent.request().await;
    let Request::Put(announced) = request else { panic!("{request:?}") };
    let mut got = Vec::new();
    loop {
        let frame = agent.frame().await.unwrap();
        assert_eq!((frame.kind, frame.id), (Kind::Data, id));
        if frame.body.is_empty() {
            break;
        }
        got.extend_from_slice(&frame.body);
    }
    assert_eq!(got, content);
    let answer = Response::File {
        path: "/var/tmp/x".to_owned(),
        size: announced.size,
        mode: 0o644,
        digest: announced.digest,
    };
    agent.send(Frame::response(id, &answer)).await;
    assert_eq!(put.await.unwrap().unwrap(), "/var/tmp/x");
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_full_of_a_file_is_not_taken_for_a_dead_one() {
    let (session, mut agent) = connected().await;
    let size = 8 << 20;
    let content = vec![7; size];
    let digest = Digest::of(&content);
    let put = tokio::spawn(async move {
        let put = Put { path: None, size: size as u64, digest, mode: 0o644, keep: false };
        session.put(put, &mut &content[..]).await
    });
    let (id, _) = agent.request().await;
    let start = tokio::time::Instant::now();
    let mut got = 0;
    while got < size {
        // An agent that writes to a slow disk, and answers nothing meanwhile.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let frame = agent.frame().await.expect("the line stays");
        got += if frame.kind == Kind::Data { frame.body.len() } else { 0 };
    }
    assert!(start.elapsed() > Duration::from_secs(300));
    let answer = Response::File { path: "/x".to_owned(), size: size as u64, mode: 0o644, digest };
    agent.send(Frame::response(id, &answer)).await;
    assert_eq!(put.await.unwrap().unwrap(), "/x");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_stops_when_the_agent_says_that_it_failed() {
    let (session, mut agent) = connected().await;
    let put = tokio::spawn(async move {
        let put = Put {
            path: Some("/full/x".to_owned()),
            size: u64::MAX,
            digest: Digest::of(""),
            mode: 0o644,
            keep: false,
        };
        session.put(put, &mut tokio::io::repeat(0)).await.unwrap_err()
    });
    let (id, _) = agent.request().await;
    let failure = Failure { kind: FailureKind::System, message: "disk full".to_owned() };
    agent.send(Frame::response(id, &Response::Failed(failure))).await;
    let reading = tokio::spawn(async move { while agent.frame().await.is_some() {} });
    assert_eq!(put.await.unwrap().to_string(), "on `web-1`: disk full");
    reading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fetched_file_that_was_changed_on_the_way_is_refused() {
    let (session, mut agent) = connected().await;
    let get = tokio::spawn(async move {
        let mut got = Vec::new();
        session.get("/etc/motd", &mut got).await.map(|mode| (mode, got))
    });
    let (id, _) = agent.request().await;
    agent.send(Frame::data(id, b"hello".to_vec())).await;
    agent.send(Frame::data(id, Vec::new())).await;
    let answer = Response::File {
        path: "/etc/motd".to_owned(),
        size: 5,
        mode: 0o644,
        digest: Digest::of("jello"),
    };
    agent.send(Frame::response(id, &answer)).await;
    let error = get.await.unwrap().unwrap_err();
    assert!(matches!(error, RemoteError::Nonsense { .. }), "{error}");
}

/// A clock that shows what passes on the test's own, so many nanoseconds ahead.
struct Shown {
    began: tokio::time::Instant,
    ahead: i64,
}

impl Shown {
    fn nanos(&self) -> i64 {
        1_700_000_000_000_000_000 + self.began.elapsed().as_nanos() as i64 + self.ahead
    }
}

impl Clock for Shown {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(self.nanos().into()).expect("it is near now")
    }
}

/// Sets the clock of a machine over a line that takes so many milliseconds there and back, and
/// returns by how many it is off in the end, with the number of questions it was asked.
async fn off_after_setting(ahead: i64, line: &'static [(u64, u64)]) -> (i64, usize) {
    let (session, mut agent) = connected().await;
    let began = tokio::time::Instant::now();
    let machine = tokio::spawn(async move {
        let mut shown = Shown { began, ahead: ahead * 1_000_000 };
        let mut questions = 0;
        while let Some(frame) = agent.frame().await {
            let Ok(Request::Clock { step }) = frame.message() else { panic!("{frame:?}") };
            let (there, back) = line[questions.min(line.len() - 1)];
            tokio::time::sleep(Duration::from_millis(there)).await;
            shown.ahead += step;
            let answer = Response::Clock { now: shown.nanos() };
            tokio::time::sleep(Duration::from_millis(back)).await;
            agent.send(Frame::response(frame.id, &answer)).await;
            questions += usize::from(step == 0);
        }
        (shown.ahead / 1_000_000, questions)
    });
    let ours = Shown { began, ahead: 0 };
    updraft_remote::set_clock(&session, &ours, Duration::from_secs(60)).await.expect("it is told");
    drop(session);
    machine.await.expect("the machine's end runs")
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_set_right_however_uneven_the_line_is() {
    // A quick answer is enough, and what is nearly right stays.
    assert_eq!(off_after_setting(5_000_000, &[(1, 1)]).await, (0, 1));
    assert_eq!(off_after_setting(-15, &[(0, 0)]).await, (-15, 1));
    // A line that stalls one way would deceive by half of that: the quickest answer counts.
    assert_eq!(off_after_setting(-3_000, &[(400, 0), (0, 300), (4, 0)]).await, (-2, 3));
    // Even where it always stalls the error is at most half of what the quickest answer took.
    let (off, questions) = off_after_setting(60_000, &[(300, 0), (80, 0)]).await;
    assert_eq!((off, questions), (-40, 8));
}
