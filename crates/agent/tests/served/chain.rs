//! Modules that are asked for together.

use crate::{SOON, Served, begin, eventually};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use updraft_remote::{Session as _, Steps};
use updraft_wire::{
    Chain, FailureKind, Frame, Hello, Job, ModuleRequest, PREAMBLE, Request, Response, VERSION,
};

fn module(name: &str, args: Value) -> ModuleRequest {
    let args = args.as_object().cloned().unwrap_or_default();
    ModuleRequest { name: name.to_owned(), args, ..ModuleRequest::default() }
}

fn shell(text: &str) -> ModuleRequest {
    module("shell", json!({ "_raw_params": text }))
}

impl Served {
    async fn chain(&self, modules: Vec<ModuleRequest>) -> Box<dyn Steps> {
        self.session.chain(Chain { modules, become_user: None }).await.expect("a chain")
    }
}

async fn next(steps: &mut Box<dyn Steps>) -> Option<Response> {
    steps.next(SOON).await.expect("an answer")
}

async fn said(steps: &mut Box<dyn Steps>) -> Option<String> {
    match next(steps).await? {
        Response::Module(result) => {
            Some(result.0["stdout"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chain_runs_in_order_and_tells_of_each_as_it_ends() {
    let served = Served::start().await;
    let gate = served.root.path().join("gate");
    let wait = format!("until test -e {}; do sleep 0.02; done; echo two", gate.display());
    let mut steps = served.chain(vec![shell("echo one"), shell(&wait), shell("echo three")]).await;
    assert_eq!(said(&mut steps).await.as_deref(), Some("one"));
    // It has told of the first while the second waits for us.
    std::fs::write(&gate, "").expect("a file");
    assert_eq!(said(&mut steps).await.as_deref(), Some("two"));
    assert_eq!(said(&mut steps).await.as_deref(), Some("three"));
    assert_eq!(next(&mut steps).await, None);
    assert_eq!(next(&mut steps).await, None);
}

#[tokio::test]
async fn nothing_after_a_failure_is_run() {
    let served = Served::start().await;
    let file = served.root.path().join("never");
    let touch = format!("touch {}", file.display());
    // A source that only the module of Ansible's own understands is a failure of ours, too.
    for stops in
        [shell("exit 3"), module("get_url", json!({"url": "x", "dest": "/x", "ciphers": "y"}))]
    {
        let mut steps = served.chain(vec![shell("echo one"), stops, shell(&touch)]).await;
        assert_eq!(said(&mut steps).await.as_deref(), Some("one"));
        assert!(matches!(next(&mut steps).await, Some(Response::Module(it)) if !it.goes_on()));
        assert_eq!(next(&mut steps).await, None);
        assert!(!file.exists());
    }
}

#[tokio::test]
async fn what_has_no_place_in_a_chain_is_refused() {
    let served = Served::start().await;
    let job = ModuleRequest { job: Some(Job::default()), ..shell("echo never") };
    let mut steps = served.chain(vec![job]).await;
    let Some(Response::Failed(failure)) = next(&mut steps).await else { panic!("it was taken") };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(next(&mut steps).await, None);
}

#[tokio::test]
async fn a_chain_that_nobody_wants_any_more_is_not_gone_on_with() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| root.path().join(name);
    let (begun, gate, done, never) = (path("begun"), path("gate"), path("done"), path("never"));
    let slow = format!(
        "touch {}; until test -e {}; do sleep 0.02; done; touch {}",
        begun.display(),
        gate.display(),
        done.display()
    );
    let modules = vec![shell(&slow), shell(&format!("touch {}", never.display()))];
    // As when whoever runs the playbook is killed: the line ends without a word.
    let mut child = begin(root.path());
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let hello = Hello { version: VERSION, nonce: 7, peer: None };
    let mut bytes = PREAMBLE.to_vec();
    Frame::hello(&hello).encode(&mut bytes);
    Frame::request(1, &Request::Chain(Chain { modules, become_user: None })).encode(&mut bytes);
    stdin.write_all(&bytes).await.expect("a request");
    stdin.flush().await.expect("a request");
    eventually("the first has begun", || begun.exists()).await;
    drop(stdin);
    std::fs::write(&gate, "").expect("a file");
    child.wait().await.expect("the agent ends");
    assert!(done.exists(), "what had begun was cut off");
    assert!(!never.exists(), "what had not begun was run");
}
