//! How a container comes to be, runs, ends and goes, each told as an action.

use super::super::{FOREVER, Refusal, Version, json, quoted, warnings};
use super::asked::{Asked, flag};
use super::{Container, Work, networks};
use crate::args::text_of;
use crate::outcome::{Fault, fail};
use serde_json::{Map, Value, json};
use std::fs;
use std::time::Duration;

/// How long a stopped container has, unless it is given more or less; the daemon's own default.
const GRACE: Duration = Duration::from_secs(10);

/// How often a paused container is woken before it counts as one that cannot be stopped.
const WAKE: usize = 3;

impl Work<'_> {
    pub(super) fn create(
        &mut self,
        image: &str,
        asked: &Asked,
    ) -> Result<Option<Container>, Fault> {
        let data = asked.create(image);
        let mut networks = Map::new();
        if let (true, Some(all)) = (self.args.flag("networks_cli_compatible"), &asked.networks) {
            // Older daemons make a container with one network at most.
            let several = self.docker.version >= Version(1, 44);
            for network in all.iter().take(if several { all.len() } else { 1 }) {
                let parameters = networks::parameters(network);
                networks.insert(text_of(&network["name"]), parameters.into());
            }
        }
        self.actions.push(json!({
            "created": "Created container", "create_parameters": data, "networks": networks,
        }));
        self.changed = true;
        if self.ctx.check {
            return Ok(None);
        }
        let mut data = data;
        let endpoints: Map<_, _> = networks
            .iter()
            .filter_map(|(name, of)| Some((name.clone(), networks::endpoint(of.as_object()?))))
            .collect();
        data.insert("NetworkingConfig".into(), json!({ "EndpointsConfig": endpoints }));
        let query = [("name", self.args.text("name"))];
        let answer = self
            .docker
            .post_json("/containers/create".to_owned(), &query, &data)
            .and_then(|answer| json(&answer))
            .map_err(|refusal| fail!("Error creating container: {refusal}"))?;
        self.warnings.extend(warnings(&answer, "Warnings"));
        self.look(&text_of(&answer["Id"])).map(Some)
    }

    pub(super) fn start(&mut self, id: &str) -> Result<Container, Fault> {
        self.actions.push(json!({ "started": id }));
        self.changed = true;
        if self.ctx.check {
            return self.look(id);
        }
        self.docker
            .told(format!("/containers/{}/start", quoted(id)), json!({}))
            .map_err(|refusal| fail!("Error starting container {id}: {refusal}"))?;
        if flag("detach", self.args) == Some(false) {
            return self.await_end(id);
        }
        self.look(id)
    }

    /// Waits until a container has ended, and tells what it said.
    fn await_end(&mut self, id: &str) -> Result<Container, Fault> {
        let mut call = self.docker.call("POST", format!("/containers/{}/wait", quoted(id)), &[]);
        call.timeout = FOREVER;
        call.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        call.body = b"{}".to_vec();
        let answer = self.docker.ask(&call).and_then(|answer| json(&answer))?;
        let status = answer["StatusCode"].as_i64().unwrap_or_default();
        let said = if flag("auto_remove", self.args) == Some(true) {
            "Cannot retrieve result as auto_remove is enabled".to_owned()
        } else {
            self.output(id)?
        };
        if self.args.flag("cleanup") {
            self.remove(id, true).map_err(|fault| fault.with("status", status))?;
        }
        let mut container = self.look(id)?;
        if !container.exists() {
            container.0 = json!({});
        }
        if let Some(raw) = container.0.as_object_mut() {
            raw.insert("Output".into(), said.as_str().into());
        }
        self.ended = Some((status, (status != 0).then_some(said)));
        Ok(container)
    }

    /// What a container said, if that was kept.
    fn output(&self, id: &str) -> Result<String, Fault> {
        let path = format!("/containers/{}", quoted(id));
        let config = self.docker.get(format!("{path}/json"), &[])?;
        let driver = text_of(&config["HostConfig"]["LogConfig"]["Type"]);
        if !matches!(driver.as_str(), "json-file" | "journald" | "local") {
            return Ok(format!("Result logged using `{driver}` driver"));
        }
        let query = [
            ("stderr", "1"),
            ("stdout", "1"),
            ("timestamps", "0"),
            ("follow", "0"),
            ("tail", "all"),
        ];
        let answer = self.docker.ask(&self.docker.call("GET", format!("{path}/logs"), &query))?;
        let bytes = fs::read(answer.body.path()).unwrap_or_default();
        let bytes = if config["Config"]["Tty"] == true { bytes } else { unframed(&bytes) };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn restart(&mut self, id: &str) -> Result<Container, Fault> {
        let timeout = self.args.int("stop_timeout");
        self.actions.push(json!({ "restarted": id, "timeout": timeout }));
        self.changed = true;
        if !self.ctx.check {
            let grace = timeout.filter(|seconds| *seconds != 0).unwrap_or(10).to_string();
            let query = [("t", grace.as_str())];
            let path = format!("/containers/{}/restart", quoted(id));
            let mut call = self.docker.call("POST", path, &query);
            call.timeout += self.grace();
            self.docker
                .ask(&call)
                .map_err(|refusal| fail!("Error restarting container {id}: {refusal}"))?;
        }
        self.look(id)
    }

    /// How long a container has to end when it is told to.
    fn grace(&self) -> Duration {
        let seconds = self.args.int("stop_timeout").and_then(|seconds| u64::try_from(seconds).ok());
        seconds.filter(|seconds| *seconds > 0).map_or(GRACE, Duration::from_secs)
    }

    pub(super) fn stop(&mut self, id: &str) -> Result<(), Fault> {
        self.changed = true;
        if self.args.flag("force_kill") {
            return self.kill(id);
        }
        let timeout = self.args.int("stop_timeout");
        self.actions.push(json!({ "stopped": id, "timeout": timeout }));
        if self.ctx.check {
            return Ok(());
        }
        let given = timeout.filter(|seconds| *seconds != 0).map(|seconds| seconds.to_string());
        let query: Vec<_> = given.iter().map(|seconds| ("t", seconds.as_str())).collect();
        let path = format!("/containers/{}/stop", quoted(id));
        self.awake(id, || {
            let mut call = self.docker.call("POST", path.clone(), &query);
            call.timeout += self.grace();
            self.docker.ask(&call).map(drop)
        })
        .map_err(|why| fail!("Error stopping container {id}: {why}"))
    }

    fn kill(&mut self, id: &str) -> Result<(), Fault> {
        let signal = self.args.str("kill_signal");
        self.actions.push(json!({ "killed": id, "signal": signal }));
        if self.ctx.check {
            return Ok(());
        }
        let query: Vec<_> = signal.iter().map(|signal| ("signal", *signal)).collect();
        self.docker
            .post(format!("/containers/{}/kill", quoted(id)), &query)
            .map_err(|refusal| fail!("Error killing container {id}: {refusal}"))
    }

    pub(super) fn remove(&mut self, id: &str, force: bool) -> Result<(), Fault> {
        let volumes = !self.args.flag("keep_volumes");
        self.actions
            .push(json!({ "removed": id, "volume_state": volumes, "link": false, "force": force }));
        self.changed = true;
        if self.ctx.check {
            return Ok(());
        }
        let word = |flag: bool| if flag { "True" } else { "False" };
        let query = [("v", word(volumes)), ("link", "False"), ("force", word(force))];
        let path = format!("/containers/{}", quoted(id));
        self.awake(id, || match self.docker.delete(path.clone(), &query) {
            Err(refusal) if refusal.is_missing() || is_going(&refusal) => Ok(()),
            done => done.map(drop),
        })
        .map_err(|why| fail!("Error removing container {id}: {why}"))
    }

    /// Does something to a container that cannot be done while it is paused.
    fn awake(&self, id: &str, work: impl Fn() -> Result<(), Refusal>) -> Result<(), String> {
        for tries in 0.. {
            let Err(refusal) = work() else { break };
            if !refusal.explanation.contains("Unpause the container before stopping or killing") {
                return Err(refusal.text);
            }
            if tries == WAKE {
                return Err(format!("{refusal} [tried to unpause three times]"));
            }
            self.docker
                .post(format!("/containers/{}/unpause", quoted(id)), &[])
                .map_err(|refusal| format!("{refusal} [while unpausing]"))?;
        }
        Ok(())
    }

    pub(super) fn wait_for_removal(&self, id: &str) -> Result<(), Fault> {
        if self.ctx.check {
            return Ok(());
        }
        let longest = self.args.raw("removal_wait_timeout").and_then(Value::as_f64);
        self.wait(id, &Wait { states: &["removing"], done: None, longest }).map(drop)
    }

    /// Waits until a container is well or gone. Returns it as it is then.
    pub(super) fn wait(&self, id: &str, wait: &Wait<'_>) -> Result<Option<Value>, Fault> {
        let (mut delay, mut total) = (1.0_f64, 0.0_f64);
        loop {
            let Some(found) = self.docker.container_by_id(id)? else {
                return match wait.done {
                    None => Ok(None),
                    Some(_) => Err(fail!(
                        "Encontered vanished container while waiting for container \"{id}\""
                    )),
                };
            };
            let state = match wait.done {
                Some(_) => &found["State"]["Health"]["Status"],
                None => &found["State"]["Status"],
            };
            // No health to be told of is as good as good health.
            if wait.done.is_some_and(|done| state.is_null() || *state == *done) {
                return Ok(Some(found));
            }
            if !wait.states.iter().any(|known| *state == **known) {
                let state = text_of(state);
                return Err(fail!(
                    "Encontered unexpected state \"{state}\" while waiting for container \"{id}\""
                )
                .with("container", found));
            }
            if let Some(longest) = wait.longest {
                if total > longest || delay < 1e-4 {
                    return Err(fail!(
                        "Timeout of {longest:?} seconds exceeded while waiting for container \"{id}\""
                    )
                    .with("container", found));
                }
                delay = delay.min(longest - total);
            }
            if self.ctx.stopped() {
                return Err(fail!("stopped while waiting for container \"{id}\""));
            }
            self.ctx.time.sleep(Duration::from_secs_f64(delay.max(0.0)));
            total += delay;
            // More and more seldom, but every ten seconds at least.
            delay = (delay * 1.1).min(10.0);
        }
    }
}

/// What a container is waited for.
pub(super) struct Wait<'a> {
    /// States in which waiting goes on.
    pub(super) states: &'a [&'a str],
    /// Health that ends it; without one it is the container's end that does.
    pub(super) done: Option<&'a str>,
    /// Seconds.
    pub(super) longest: Option<f64>,
}

fn is_going(refusal: &Refusal) -> bool {
    let said = &refusal.explanation;
    said.contains("removal of container ") && said.contains(" is already in progress")
}

/// What stands in the frames in which the daemon tells output and errors apart.
fn unframed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(tail.len());
        out.extend_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_taken_out_of_its_frames() {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 2, b'h', b'i', 2, 0, 0, 0, 0, 0, 0, 9, b'!'];
        assert_eq!(unframed(&bytes), b"hi!");
        bytes.truncate(14);
        assert_eq!(unframed(&bytes), b"hi");
    }
}
