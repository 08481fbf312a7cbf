//! Foreign modules, run by the real agent: what they are told, what comes back, and how they end.

use crate::Served;
use serde_json::{Map, Value, json};
use std::path::Path;
use updraft_base::Digest;
use updraft_remote::Session as _;
use updraft_wire::{
    ForeignModule, ForeignOutput, ForeignStyle, ModuleRequest, Put, Request, Response,
};

/// A module in Python without Ansible: it tells what it sees, and ends as it is told.
const PROBE: &str = r#"
import json, os, signal, sys, time
from ansible.module_utils import basic
args = json.loads(basic._ANSIBLE_ARGS)["ANSIBLE_MODULE_ARGS"]
if args.get("kill"):
    os.kill(os.getpid(), signal.SIGKILL)
if args.get("sleep"):
    time.sleep(args["sleep"])
while args.get("endless"):
    sys.stdout.write("x" * 65536)
print(json.dumps({"pid": os.getpid(), "parent": os.getppid(), "env": os.environ.get("PROBE"),
                  "name": __name__, "argv": len(sys.argv), "stdin": sys.stdin.read()}))
sys.stderr.write("aside")
sys.exit(args.get("code", 0))
"#;

impl Served {
    async fn keep(&self, content: &[u8]) {
        let digest = Digest::of(content);
        let size = content.len() as u64;
        let put = Put { path: None, size, digest, mode: 0, keep: true };
        let mut content = content;
        self.session.put(put, &mut content).await.expect("what the test needs");
    }

    async fn run_module(&self, request: &ModuleRequest) -> ForeignOutput {
        match self.ask(Request::Module(request.clone())).await {
            Response::Foreign(output) => output,
            other => panic!("{other:?}"),
        }
    }
}

fn request(module: ForeignModule, args: Value) -> ModuleRequest {
    let args: Map<String, Value> = args.as_object().expect("what the test needs").clone();
    ModuleRequest {
        name: "probe".to_owned(),
        args,
        env: [("PROBE".to_owned(), "seen".to_owned())].into(),
        foreign: Some(Box::new(module)),
        ..ModuleRequest::default()
    }
}

/// A zip of files, made by the Python that these tests need anyway.
#[expect(clippy::disallowed_methods, reason = "the test makes its own input")]
fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let place = tempfile::tempdir().expect("what the test needs");
    let target = place.path().join("zip");
    let text = "import json,sys,zipfile\nwith zipfile.ZipFile(sys.argv[1],'w') as z:\n  for n,t in json.loads(sys.argv[2]): z.writestr(n,t)";
    let files = json!(files).to_string();
    let made = std::process::Command::new("python3")
        .args(["-c", text, target.to_str().expect("what the test needs"), &files])
        .status()
        .expect("python3, which these tests need");
    assert!(made.success());
    std::fs::read(&target).expect("what the test needs")
}

fn python(payload: &[u8], library: &[u8]) -> ForeignModule {
    ForeignModule {
        style: ForeignStyle::Python,
        payload: Digest::of(payload).into(),
        library: Some(Digest::of(library).into()),
        name: "ansible.modules.probe".to_owned(),
        interpreters: vec!["no-such-python".to_owned(), "python3".to_owned()],
        interpreter_args: Vec::new(),
    }
}

fn program(text: &[u8]) -> ForeignModule {
    ForeignModule {
        style: ForeignStyle::JsonFile,
        payload: Digest::of(text).into(),
        library: None,
        name: "probe.sh".to_owned(),
        interpreters: vec!["/bin/sh".to_owned()],
        interpreter_args: Vec::new(),
    }
}

async fn with_probe(served: &Served) -> ForeignModule {
    let library = zip(&[
        ("ansible/__init__.py", ""),
        ("ansible/modules/__init__.py", ""),
        ("ansible/module_utils/__init__.py", ""),
        ("ansible/module_utils/basic.py", "_ANSIBLE_ARGS = None\n"),
    ]);
    let payload = zip(&[
        ("ansible/__init__.py", ""),
        ("ansible/modules/__init__.py", ""),
        ("ansible/modules/probe.py", PROBE),
    ]);
    let module = python(&payload, &library);
    let missing = served.ask(Request::Module(request(module.clone(), json!({})))).await;
    let digests = vec![Digest::of(&payload), Digest::of(&library)];
    assert_eq!(missing, Response::Missing { digests });
    served.keep(&payload).await;
    served.keep(&library).await;
    module
}

#[tokio::test]
async fn python_modules_run_in_forks_of_one_interpreter() {
    let served = Served::start().await;
    let module = with_probe(&served).await;
    let first = served.run_module(&request(module.clone(), json!({ "code": 3 }))).await;
    assert_eq!((first.code, first.stderr.as_str()), (3, "aside"), "{first:?}");
    let second = served.run_module(&request(module, json!({}))).await;
    let told = |output: &ForeignOutput| -> Value { serde_json::from_str(&output.stdout).unwrap() };
    let (first, second) = (told(&first), told(&second));
    assert_eq!(first["parent"], second["parent"]);
    assert_ne!(first["pid"], second["pid"]);
    assert_eq!(
        (&first["env"], &first["name"], &first["stdin"]),
        (&json!("seen"), &json!("__main__"), &json!(""))
    );
}

#[tokio::test]
async fn a_module_that_dies_or_takes_too_long_ends_alone() {
    let served = Served::start().await;
    let module = with_probe(&served).await;
    let mut slow = request(module.clone(), json!({ "sleep": 3600 }));
    slow.timeout = 1;
    let killed = request(module.clone(), json!({ "kill": true }));
    let (slow, killed) = tokio::join!(served.run_module(&slow), served.run_module(&killed));
    assert!(slow.timed_out && slow.stdout.is_empty(), "{slow:?}");
    assert_eq!((killed.code, killed.timed_out), (137, false), "{killed:?}");
    let after = served.run_module(&request(module, json!({}))).await;
    assert_eq!(after.code, 0, "{after:?}");
}

#[tokio::test]
async fn what_writes_without_end_is_ended_and_told() {
    let served = Served::start().await;
    let python = request(with_probe(&served).await, json!({ "endless": true }));
    let text = b"#!/bin/sh\nyes\n";
    let program = request(program(text), json!({}));
    served.keep(text).await;
    for request in [python, program] {
        let Response::Failed(failure) = served.ask(Request::Module(request)).await else {
            panic!("it ended")
        };
        assert_eq!(failure.message, "cannot keep what it writes: more than 16 MiB");
    }
}

#[tokio::test]
async fn a_library_that_cannot_be_imported_is_told_as_python_tells_it() {
    let served = Served::start().await;
    let library = zip(&[("ansible/__init__.py", "raise ImportError('not this one')\n")]);
    let payload = zip(&[("ansible/modules/probe.py", PROBE)]);
    served.keep(&library).await;
    served.keep(&payload).await;
    let output = served.run_module(&request(python(&payload, &library), json!({}))).await;
    assert!(output.code != 0 && output.stderr.contains("not this one"), "{output:?}");
}

#[tokio::test]
async fn a_program_gets_its_arguments_in_a_file_and_leaves_none() {
    let served = Served::start().await;
    let text = b"#!/bin/sh\n# WANT_JSON\necho \"$0 $1 $PROBE\"; cat \"$1\"; exit 4\n";
    served.keep(text).await;
    let output = served.run_module(&request(program(text), json!({ "a": "it's" }))).await;
    assert_eq!(output.code, 4, "{output:?}");
    let (line, json) = output.stdout.split_once('\n').unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert!(words[0].ends_with("/probe.sh") && words[2] == "seen", "{line}");
    assert_eq!(serde_json::from_str::<Value>(json).unwrap()["a"], "it's");
    assert!(!Path::new(words[0]).exists() && !Path::new(words[1]).exists(), "{line}");
}
