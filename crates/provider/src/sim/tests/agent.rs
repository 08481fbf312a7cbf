//! The agent inside a simulated machine, through a channel and directly.

use super::*;
use std::sync::Arc;
use updraft_base::Blamed as _;
use updraft_remote::{AgentSession, Output, Stream};
use updraft_wire::{Exec, ModuleRequest, Probe, ProbeTarget, Probed, Put, Request, Response};

fn args(args: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    args.as_object().unwrap().clone()
}

fn module(name: &str, with: serde_json::Value) -> Request {
    Request::Module(ModuleRequest {
        name: name.to_owned(),
        args: args(with),
        ..ModuleRequest::default()
    })
}

async fn is_changed(session: &dyn Session, request: Request) -> bool {
    match session.call(request, SOON).await.unwrap() {
        Response::Module(result) => result.0["changed"].as_bool().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn is_healthy(session: &dyn Session, host: &str) -> bool {
    let target = ProbeTarget::Http {
        host: host.to_owned(),
        port: 8080,
        path: "/health".to_owned(),
        status: None,
        expect: None,
    };
    match session.call(Request::Probe(Probe { target, deadline_ms: 1000 }), SOON).await.unwrap() {
        Response::Probed(Probed { healthy, .. }) => healthy,
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Heard(String);

impl Output for Heard {
    fn chunk(&mut self, _: Stream, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

/// The same conversation, whatever carries it.
async fn check_conversation(session: &dyn Session) {
    assert_eq!(session.call(Request::Ping, SOON).await.unwrap(), Response::Done);
    let mut heard = Heard::default();
    let argv = ["echo", "hello", "world"].map(str::to_owned).to_vec();
    let exit = session.exec(Exec { argv, ..Exec::default() }, &mut heard).await.unwrap();
    assert_eq!((exit.code, heard.0.as_str()), (0, "hello world\n"));
    let content = "x".repeat(300_000);
    let put = |path: Option<&str>| Put {
        path: path.map(str::to_owned),
        size: content.len() as u64,
        digest: Digest::of(&content),
        mode: 0o600,
        keep: false,
    };
    let path = session.put(put(Some("/etc/big")), &mut content.as_bytes()).await.unwrap();
    assert_eq!(path, "/etc/big");
    let mut back = Vec::new();
    assert_eq!(session.get("/etc/big", &mut back).await.unwrap(), 0o600);
    assert_eq!(back, content.as_bytes());
    assert!(session.get("/etc/nothing", &mut back).await.is_err());
    assert!(session.put(put(Some("/etc/cut")), &mut &content.as_bytes()[1..]).await.is_err());
    let staged = session.put(put(None), &mut content.as_bytes()).await.unwrap();
    let copy =
        |path: &str| module("copy", serde_json::json!({"dest": path, "_updraft_staged": staged}));
    assert!(is_changed(session, copy("/etc/copied")).await);
    assert!(!is_changed(session, copy("/etc/copied")).await);
    back.clear();
    session.get("/etc/copied", &mut back).await.unwrap();
    assert_eq!(back, content.as_bytes());
    let Response::Facts { facts } =
        session.call(Request::Facts(Default::default()), SOON).await.unwrap()
    else {
        panic!("no facts");
    };
    assert_eq!(facts["distribution"], "Debian");
}

#[tokio::test]
async fn an_agent_is_talked_to_through_its_channel_as_through_a_session() {
    let (_world, provider) = world_with(2).await;
    check_conversation(&provider.session(order(Whose::Mine, 1).id).unwrap()).await;
    let channel = provider.channel(order(Whose::Mine, 2).id).await.unwrap();
    let session = AgentSession::start("mine-2", channel, SOON).await.unwrap();
    check_conversation(&session).await;
}

#[tokio::test]
async fn an_agent_whose_answers_come_twice_is_understood() {
    let (world, provider) = world_with(1).await;
    let channel = provider.channel(order(Whose::Mine, 1).id).await.unwrap();
    let session = AgentSession::start("mine-1", channel, SOON).await.unwrap();
    let faults = (1..=20).fold(Faults::none(), |f, n| f.and(Op::Ask, None, n, Fault::Twice));
    world.set_faults(faults);
    check_conversation(&session).await;
}

#[tokio::test]
async fn a_conversation_ends_with_the_machines_power() {
    let (world, provider) = world_with(1).await;
    let id = order(Whose::Mine, 1).id;
    let direct = provider.session(id).unwrap();
    let channel = provider.channel(id).await.unwrap();
    let session = AgentSession::start("mine-1", channel, SOON).await.unwrap();
    world.kill_machine(id).unwrap();
    assert!(provider.session(id).is_none());
    for session in [&direct as &dyn Session, &session] {
        let error = session.call(Request::Ping, SOON).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Passing, "{error}");
    }
    provider.start_machine(id).await.unwrap();
    assert!(direct.call(Request::Ping, SOON).await.is_err(), "it outlived a reboot");
    provider.session(id).unwrap().call(Request::Ping, SOON).await.unwrap();
}

#[tokio::test]
async fn an_agent_remembers_marks_and_identity_over_a_reboot() {
    let (_world, provider) = world_with(1).await;
    let id = order(Whose::Mine, 1).id;
    let session = provider.session(id).unwrap();
    let value = Some(serde_json::json!({"version": "v1"}));
    let mark = Request::Mark { key: "service.hello".to_owned(), value };
    session.call(mark, SOON).await.unwrap();
    let before = observe(&session).await;
    assert_eq!(before.marks["service.hello"]["version"], "v1");
    provider.stop_machine(id, Stop::Now).await.unwrap();
    provider.start_machine(id).await.unwrap();
    let session = provider.session(id).unwrap();
    let after = observe(&session).await;
    assert_eq!(after.marks, before.marks);
    assert_ne!(after.boot_id, before.boot_id);
    let forget = Request::Mark { key: "service.hello".to_owned(), value: None };
    session.call(forget, SOON).await.unwrap();
    assert!(observe(&session).await.marks.is_empty());
}

#[tokio::test]
async fn a_machine_that_is_told_who_it_is_makes_its_own_host_key_once() {
    let (_world, provider) = world_with(1).await;
    let session = provider.session(order(Whose::Mine, 1).id).unwrap();
    assert!(observe(&session).await.host_keys.is_empty());
    let identity = |digest: &str| {
        Request::Identify(Box::new(updraft_wire::Identity {
            digest: digest.to_owned(),
            machine: order(Whose::Mine, 1).id.to_string(),
            machine_id: order(Whose::Mine, 1).id.as_hex(),
            hostname: "mine-1".to_owned(),
            domain: "mine.test".to_owned(),
            interfaces: Vec::new(),
            resolvers: Vec::new(),
            hosts: Arc::default(),
            host_keys: Vec::new(),
            admins: Vec::new(),
            time: None,
            seed: None,
            quiet_ms: None,
        }))
    };
    session.call(identity("one"), SOON).await.unwrap();
    let first = observe(&session).await;
    session.call(identity("two"), SOON).await.unwrap();
    let second = observe(&session).await;
    assert_eq!((first.identity.as_str(), second.identity.as_str()), ("one", "two"));
    assert_eq!(first.host_keys, second.host_keys);
    // What each ed25519 key begins with, in base64.
    assert!(first.host_keys[0].starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"));
    assert!(first.host_keys[0].ends_with(" root@mine-1"));
    let mut heard = Heard::default();
    let argv = vec!["hostname".to_owned()];
    session.exec(Exec { argv, ..Exec::default() }, &mut heard).await.unwrap();
    assert_eq!(heard.0, "mine-1\n");
}

async fn observe(session: &dyn Session) -> updraft_wire::Observed {
    match session.call(Request::Observe, SOON).await.unwrap() {
        Response::Observed(observed) => *observed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_is_healthy_unless_what_was_deployed_last_is_bad() {
    let (world, provider) = world_with(1).await;
    let session = provider.session(order(Whose::Mine, 1).id).unwrap();
    assert!(!is_healthy(&session, "127.0.0.1").await, "nothing is deployed yet");
    let deploy = |version: &str| {
        let content = format!("VERSION={version}\n");
        module("copy", serde_json::json!({"dest": "/etc/hello.env", "content": content}))
    };
    assert!(is_changed(&session, deploy("v1")).await);
    assert!(is_healthy(&session, "127.0.0.1").await);
    assert!(is_changed(&session, deploy("v3-bad")).await);
    assert!(!is_healthy(&session, "127.0.0.1").await);
    assert!(is_changed(&session, deploy("v1")).await, "going back is a change");
    assert!(is_healthy(&session, "10.77.0.11").await);
    world.set_unhealthy(["v1".to_owned()]).unwrap();
    assert!(!is_healthy(&session, "127.0.0.1").await);
    world.set_unhealthy([]).unwrap();
    let unit =
        |state: &str| module("systemd", serde_json::json!({"name": "hello", "state": state}));
    assert!(is_changed(&session, unit("started")).await);
    assert!(!is_changed(&session, unit("started")).await);
    assert!(is_healthy(&session, "127.0.0.1").await);
    let never = module("systemd", serde_json::json!({"name": "haproxy", "state": "stopped"}));
    assert!(!is_changed(&session, never).await);
    assert!(is_healthy(&session, "127.0.0.1").await, "a unit that never ran is no service");
    let argv = ["systemctl", "stop", "hello.service"].map(str::to_owned).to_vec();
    session.exec(Exec { argv, ..Exec::default() }, &mut Heard::default()).await.unwrap();
    assert!(!is_healthy(&session, "127.0.0.1").await);
}

#[tokio::test]
async fn a_mark_of_a_bad_version_counts_until_something_else_is_deployed() {
    let (_world, provider) = world_with(1).await;
    let session = provider.session(order(Whose::Mine, 1).id).unwrap();
    let value = Some(serde_json::json!({"version": "v3-bad", "previous": "v2"}));
    let mark = Request::Mark { key: "service.hello".to_owned(), value };
    session.call(mark, SOON).await.unwrap();
    assert!(!is_healthy(&session, "127.0.0.1").await);
    let deploy = module("template", serde_json::json!({"dest": "/etc/hello", "content": "v2"}));
    assert!(is_changed(&session, deploy).await);
    assert!(is_healthy(&session, "127.0.0.1").await);
}

#[tokio::test]
async fn a_module_in_check_mode_changes_nothing() {
    let (_world, provider) = world_with(1).await;
    let session = provider.session(order(Whose::Mine, 1).id).unwrap();
    let request = |check| {
        Request::Module(ModuleRequest {
            name: "apt".to_owned(),
            args: args(serde_json::json!({"name": "nginx"})),
            check,
            ..ModuleRequest::default()
        })
    };
    assert!(is_changed(&session, request(true)).await);
    assert!(is_changed(&session, request(true)).await);
    assert!(is_changed(&session, request(false)).await);
    assert!(!is_changed(&session, request(false)).await);
}

#[tokio::test]
async fn a_balancer_shows_its_members_as_they_are() {
    let (_world, provider) = world_with(3).await;
    let balancer = provider.session(order(Whose::Mine, 1).id).unwrap();
    let worker = provider.session(order(Whose::Mine, 2).id).unwrap();
    let deploy = module("copy", serde_json::json!({"dest": "/etc/hello.env", "content": "v1"}));
    assert!(is_changed(&worker, deploy).await);
    let configuration = "frontend f\n    bind :80\nbackend updraft-hello\n    \
         server mine-2 10.77.0.12:8080\n    server mine-3 10.77.0.13:8080\n";
    let put = Put {
        path: Some("/etc/haproxy/updraft.d/hello.cfg".to_owned()),
        size: configuration.len() as u64,
        digest: Digest::of(configuration),
        mode: 0o644,
        keep: false,
    };
    balancer.put(put, &mut configuration.as_bytes()).await.unwrap();
    let say = async |text: &str| {
        let request =
            Request::Socket { path: "/run/haproxy/admin.sock".to_owned(), send: text.to_owned() };
        match balancer.call(request, SOON).await.unwrap() {
            Response::Text { text } => text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        say("show stat -1 4 -1\n").await,
        "# pxname,svname,qcur,scur,status,\nupdraft-hello,mine-2,0,0,UP,\n\
         updraft-hello,mine-3,0,0,DOWN,\n\n"
    );
    say("set server updraft-hello/mine-2 state drain\n").await;
    assert!(say("show stat\n").await.contains("mine-2,0,0,DRAIN"));
    say("set server updraft-hello/mine-2 state ready; show stat").await;
    assert!(say("show stat\n").await.contains("mine-2,0,0,UP"));
    assert!(say("set server updraft-hello/mine-9 state ready\n").await.contains("No such server"));
    assert!(say("shutdown\n").await.contains("Unknown command"));
}
