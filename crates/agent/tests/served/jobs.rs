//! Modules in the background: they outlive the connection that began them, and a later one finds
//! what became of them.

use crate::{SOON, Served};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use updraft_wire::{Job, ModuleRequest, Request, Response};

impl Served {
    async fn module(&self, request: ModuleRequest) -> Map<String, Value> {
        match self.ask(Request::Module(request)).await {
            Response::Module(result) => result.0,
            other => panic!("a result, not {other:?}"),
        }
    }

    async fn begin(&self, directory: &Path, limit: u64, command: &str) -> Map<String, Value> {
        let job = Job {
            id: "j1".to_owned(),
            limit,
            directory: directory.to_str().expect("text").to_owned(),
        };
        let args = Map::from_iter([("_raw_params".to_owned(), Value::from(command))]);
        let name = "shell".to_owned();
        self.module(ModuleRequest { name, args, job: Some(job), ..ModuleRequest::default() }).await
    }

    async fn look(&self, directory: &Path, id: &str, mode: &str) -> Map<String, Value> {
        let args = json!({ "jid": id, "mode": mode, "_async_dir": directory });
        let args = args.as_object().cloned().expect("an object");
        let name = "async_status".to_owned();
        self.module(ModuleRequest { name, args, ..ModuleRequest::default() }).await
    }

    /// Asks until a job is done; says what it last heard when it never is.
    async fn end_of(&self, directory: &Path, id: &str) -> Map<String, Value> {
        let began = Instant::now();
        loop {
            let status = self.look(directory, id, "status").await;
            if status["finished"] == true {
                return status;
            }
            assert!(began.elapsed() < SOON, "the job does not end: {status:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

#[tokio::test]
async fn a_job_outlives_its_connection_and_a_later_one_finds_it() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let directory = place.path().join("jobs");
    let gate = place.path().join("gate");
    let first = Served::start().await;
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done; echo done", gate.display());
    let begun = first.begin(&directory, 100, &wait).await;
    assert_eq!((&begun["started"], &begun["finished"]), (&json!(true), &json!(false)));
    let id = begun["ansible_job_id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("j1."), "{id}");
    let Served { session, mut child, .. } = first;
    drop(session);
    child.wait().await.expect("the agent ends with its connection");

    let later = Served::start().await;
    let status = later.look(&directory, &id, "status").await;
    assert_eq!(status["finished"], false, "{status:?}");
    std::fs::write(&gate, "").expect("a file");
    let end = later.end_of(&directory, &id).await;
    assert_eq!((&end["stdout"], &end["rc"]), (&json!("done"), &json!(0)), "{end:?}");
    let erased = later.look(&directory, &id, "cleanup").await;
    assert_eq!(erased["erased"], json!(directory.join(&id)));
    let gone = later.look(&directory, &id, "status").await;
    assert_eq!((&gone["failed"], &gone["msg"]), (&json!(true), &json!("could not find job")));
}

#[tokio::test]
async fn a_job_ends_when_its_time_is_over() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let agent = Served::start().await;
    let begun = agent.begin(place.path(), 1, "sleep 1000").await;
    let id = begun["ansible_job_id"].as_str().expect("an id").to_owned();
    let end = agent.end_of(place.path(), &id).await;
    assert_eq!(end["failed"], true, "{end:?}");
}

#[tokio::test]
async fn no_file_elsewhere_is_taken_for_a_job() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let agent = Served::start().await;
    for id in ["../secret", "", ".hidden"] {
        let args = json!({ "jid": id, "_async_dir": place.path() });
        let args = args.as_object().cloned().expect("an object");
        let name = "async_status".to_owned();
        let request = ModuleRequest { name, args, ..ModuleRequest::default() };
        let answer = agent.ask(Request::Module(request)).await;
        assert!(matches!(answer, Response::Failed(_)), "{answer:?}");
    }
}
