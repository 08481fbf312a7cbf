//! Hosts in memory: a few files, commands with known answers, facts.

use super::{HostTarget, Operator, Reach, ReachError};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use updraft_base::{Blame, Digest};
use updraft_remote::{OneByOne, Output, RemoteError, Session, Steps};
use updraft_wire::{
    Chain, Exec, Exit, Job, MANAGER, ModuleRequest, ModuleResult, Peer, Put, Request, Response,
    SAME, SEND,
};

/// One host.
#[derive(Default)]
pub(super) struct FakeHost {
    pub(super) files: Mutex<BTreeMap<String, String>>,
    /// Every module that ran, as it was asked for.
    pub(super) log: Mutex<Vec<ModuleRequest>>,
    /// How many modules each message asked for.
    pub(super) trips: Mutex<Vec<usize>>,
    staged: Mutex<BTreeMap<String, Vec<u8>>>,
    peer: Peer,
    tries: Mutex<u64>,
    /// How often a job is still found running, and what it gave.
    jobs: Mutex<BTreeMap<String, (u32, Value)>>,
    boots: Mutex<u64>,
    /// How many modules for facts run now, and the most that did.
    open: Mutex<(usize, usize)>,
    /// How often it is not there before it is again.
    away: Mutex<u64>,
}

#[async_trait]
impl Session for FakeHost {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn call(&self, request: Request, _within: Duration) -> Result<Response, RemoteError> {
        let Request::Module(request) = request else { panic!("only modules are asked for") };
        self.trips.lock().unwrap().push(1);
        if !request.name.ends_with("_facts") {
            return Ok(self.module(request));
        }
        // These take a while.
        {
            let mut open = self.open.lock().unwrap();
            open.0 += 1;
            open.1 = open.1.max(open.0);
        }
        tokio::task::yield_now().await;
        self.open.lock().unwrap().0 -= 1;
        Ok(self.module(request))
    }

    async fn chain(&self, chain: Chain) -> Result<Box<dyn Steps>, RemoteError> {
        self.trips.lock().unwrap().push(chain.modules.len());
        let mut modules = OneByOne::of(chain);
        while let Some(module) = modules.next() {
            modules.answered(self.module(module));
        }
        Ok(Box::new(modules.answers))
    }

    async fn exec(&self, _exec: Exec, _output: &mut dyn Output) -> Result<Exit, RemoteError> {
        panic!("nothing is executed")
    }

    async fn put(
        &self,
        _put: Put,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<String, RemoteError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.unwrap();
        let path = format!("/staged/{}", self.staged.lock().unwrap().len());
        self.staged.lock().unwrap().insert(path.clone(), bytes);
        Ok(path)
    }

    async fn get(
        &self,
        path: &str,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u32, RemoteError> {
        let text = self.files.lock().unwrap()[path].clone();
        into.write_all(text.as_bytes()).await.unwrap();
        Ok(0o644)
    }
}

impl FakeHost {
    fn module(&self, request: ModuleRequest) -> Response {
        self.log.lock().unwrap().push(request.clone());
        let result = match (&request.job, request.name.as_str()) {
            (Some(job), _) => self.begin(job, &request),
            (None, "async_status") => self.status(&request),
            (None, _) => self.run(&request),
        };
        let Value::Object(result) = result else { panic!("a result is an object") };
        Response::Module(ModuleResult(result))
    }

    /// A job: it is done when somebody asks for the second time.
    fn begin(&self, job: &Job, request: &ModuleRequest) -> Value {
        let id = format!("{}.1", job.id);
        self.jobs.lock().unwrap().insert(id.clone(), (1, self.run(request)));
        json!({"started": true, "finished": false, "ansible_job_id": id, "changed": true})
    }

    fn status(&self, request: &ModuleRequest) -> Value {
        let id = request.args["jid"].as_str().unwrap();
        let mut jobs = self.jobs.lock().unwrap();
        match jobs.get_mut(id) {
            None => json!({"failed": true, "finished": true, "msg": "could not find job"}),
            Some(_) if request.args["mode"] == "cleanup" => {
                jobs.remove(id);
                json!({"erased": id})
            }
            Some((0, result)) => {
                result["finished"] = true.into();
                result.clone()
            }
            Some((left, _)) => {
                *left -= 1;
                json!({"started": true, "finished": false, "ansible_job_id": id})
            }
        }
    }

    fn run(&self, request: &ModuleRequest) -> Value {
        let text = |name: &str| {
            request.args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        match request.name.as_str() {
            "ping" => json!({"changed": false, "ping": "pong"}),
            "setup" => json!({"changed": false, "ansible_facts": {
                "ansible_distribution": "Debian", "ansible_os_family": "Debian",
                "ansible_hostname": "fake", "ansible_evil": "{{ secret }}",
            }}),
            "package_facts" | "service_facts" => {
                json!({"changed": false, "ansible_facts": {
                    "last": request.name, &request.name: true,
                }})
            }
            "command" | "shell" => self.command(request, &text("_raw_params")),
            "copy" => self.copy(request),
            "stat" => match self.files.lock().unwrap().get(&text("path")) {
                Some(_) => {
                    json!({"changed": false, "stat": {"exists": true, "isdir": false, "readable": true}})
                }
                None => json!({"changed": false, "stat": {"exists": false}}),
            },
            "file" | "service" | "apt" | "pip" | "systemd" | "uri" => json!({"changed": true}),
            "package" if text("name") == "alien" => {
                json!({"failed": true, "msg": "there is none", MANAGER: "zypper"})
            }
            "package" => json!({"changed": true}),
            other => json!({"failed": true, "msg": format!("no module {other}")}),
        }
    }

    fn command(&self, request: &ModuleRequest, line: &str) -> Value {
        let answer = |rc: i64, stdout: &str| {
            json!({"changed": true, "cmd": line, "rc": rc, "stdout": stdout, "stdout_lines": stdout.lines().collect::<Vec<_>>(),
                   "stderr": "", "stderr_lines": [], "failed": rc != 0,
                   "msg": if rc == 0 { "" } else { "non-zero return code" }})
        };
        if request.check {
            return json!({"changed": false, "skipped": true, "msg": "Command would have run if not in check mode"});
        }
        match line.split_once(' ').unwrap_or((line, "")) {
            ("echo", rest) => answer(0, rest),
            ("exit", code) => answer(code.parse().unwrap(), ""),
            ("flaky", count) => {
                let mut tries = self.tries.lock().unwrap();
                *tries += 1;
                answer(i64::from(*tries < count.parse().unwrap()), "")
            }
            ("shutdown", _) => {
                *self.boots.lock().unwrap() += 1;
                *self.away.lock().unwrap() = 3;
                answer(0, "")
            }
            ("cat", "/proc/sys/kernel/random/boot_id") => {
                answer(0, &format!("boot-{}", self.boots.lock().unwrap()))
            }
            ("evil", _) => answer(0, "{{ secret }}"),
            ("env", _) => answer(0, &serde_json::to_string(&request.env).unwrap()),
            _ => answer(127, ""),
        }
    }

    fn copy(&self, request: &ModuleRequest) -> Value {
        if let Some(same) = request.args.get(SAME).and_then(Value::as_str) {
            let files = self.files.lock().unwrap();
            let held = files.get(request.args["dest"].as_str().unwrap());
            return match held.is_some_and(|text| Digest::of(text).to_string() == same) {
                true => json!({"changed": false}),
                false => json!({"changed": false, SEND: true}),
            };
        }
        let staged = request.args.get("_updraft_staged").and_then(Value::as_str);
        let content = match staged {
            Some(path) => String::from_utf8(self.staged.lock().unwrap()[path].clone()).unwrap(),
            None => request.args["content"].as_str().unwrap().to_owned(),
        };
        let dest = request.args["dest"].as_str().unwrap().to_owned();
        let mut files = self.files.lock().unwrap();
        let old = files.get(&dest).cloned();
        let changed = old.as_ref() != Some(&content);
        if changed && !request.check {
            files.insert(dest.clone(), content.clone());
        }
        let mut result = json!({"changed": changed, "dest": dest});
        if request.diff {
            result["diff"] =
                json!({"before": old.unwrap_or_default(), "after": content, "after_header": dest});
        }
        result
    }
}

/// Hosts by name. Those whose address is `dead` cannot be reached.
#[derive(Default)]
pub(super) struct FakeNet {
    pub(super) hosts: Mutex<BTreeMap<String, Arc<FakeHost>>>,
    pub(super) targets: Mutex<Vec<HostTarget>>,
    /// Those that have to be logged in to anew.
    pub(super) logins: Mutex<Vec<HostTarget>>,
}

#[async_trait]
impl Reach for FakeNet {
    async fn session(&self, host: &HostTarget) -> Result<Arc<dyn Session>, ReachError> {
        self.targets.lock().unwrap().push(host.clone());
        if host.address() == "dead" {
            return Err(ReachError {
                message: "Connection refused".to_owned(),
                blame: Blame::Passing,
            });
        }
        let mut hosts = self.hosts.lock().unwrap();
        let host: Arc<FakeHost> = Arc::clone(hosts.entry(host.name.clone()).or_default());
        let mut away = host.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err(ReachError {
                message: "No route to host".to_owned(),
                blame: Blame::Passing,
            });
        }
        drop(away);
        Ok(host)
    }

    async fn forget(&self, _host: &HostTarget) {}

    async fn log_in_anew(&self, host: &HostTarget) {
        self.logins.lock().unwrap().push(host.clone());
    }
}

impl FakeNet {
    pub(super) fn file(&self, host: &str, path: &str) -> Option<String> {
        self.hosts.lock().unwrap().get(host)?.files.lock().unwrap().get(path).cloned()
    }

    pub(super) fn log(&self, host: &str) -> Vec<(String, Map<String, Value>)> {
        let hosts = self.hosts.lock().unwrap();
        let Some(host) = hosts.get(host) else { return Vec::new() };
        host.log
            .lock()
            .unwrap()
            .iter()
            .map(|request| (request.name.clone(), request.args.clone()))
            .collect()
    }

    pub(super) fn trips(&self, host: &str) -> Vec<usize> {
        self.hosts
            .lock()
            .unwrap()
            .get(host)
            .map_or_else(Vec::new, |it| it.trips.lock().unwrap().clone())
    }

    /// The most modules for facts that ran at the same time.
    pub(super) fn most(&self, host: &str) -> usize {
        self.hosts.lock().unwrap().get(host).map_or(0, |it| it.open.lock().unwrap().1)
    }

    pub(super) fn requests(&self, host: &str) -> Vec<ModuleRequest> {
        self.hosts
            .lock()
            .unwrap()
            .get(host)
            .map(|host| host.log.lock().unwrap().clone())
            .unwrap_or_default()
    }
}

/// Nobody waits, and answers come from a list.
#[derive(Default)]
pub(super) struct FakeOperator {
    pub(super) slept: Mutex<Vec<Duration>>,
    pub(super) answers: Mutex<Vec<String>>,
}

#[async_trait]
impl Operator for FakeOperator {
    async fn sleep(&self, span: Duration) {
        self.slept.lock().unwrap().push(span);
    }

    async fn ask(&self, _question: &str, _hidden: bool) -> Option<String> {
        self.answers.lock().unwrap().pop()
    }
}
