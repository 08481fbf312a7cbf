//! Commands that reach machines: one by `ssh`, many at a time by ourselves.

use super::{Context, Ended, FAILED, Result};
use crate::args::{AgentRm, Cp, Exec, Hosts, Ping, Ssh};
use crate::ui;
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use updraft_base::Digest;
use updraft_control::{ControlError, Dict, Output, ReachError, Reacher, Stream, Way};

/// Machines that were named, and what reaches them.
struct Chosen {
    ways: Vec<(String, Way)>,
    reacher: Arc<Reacher>,
}

/// Which machines a pattern names: the site's, or those of inventories.
fn choose(context: &Context, hosts: &Hosts, pattern: &str) -> Result<Chosen> {
    let fail = |error: ControlError| context.fail_control(&error);
    if hosts.inventory.is_empty() {
        let control = context.site()?;
        let ways = control.ways(pattern).map_err(fail)?;
        let sessions = Arc::new(control.sessions().map_err(fail)?);
        let reacher = Arc::new(Reacher::new(&context.settings, Some(sessions)));
        return Ok(Chosen { ways, reacher });
    }
    let inventory =
        updraft_control::load_inventory(&hosts.inventory, &context.settings, &Dict::new())
            .map_err(fail)?;
    inventory.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let ways = updraft_control::ways_of(&inventory, pattern, &context.settings).map_err(fail)?;
    Ok(Chosen { ways, reacher: Arc::new(Reacher::new(&context.settings, None)) })
}

/// How one machine answered.
#[derive(Default, Serialize)]
struct Answer {
    host: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether something was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
    millis: u64,
}

impl Answer {
    /// Well, or an error; nothing was run.
    fn plain(host: String, began: Instant, error: Option<ReachError>) -> Self {
        Self {
            host,
            ok: error.is_none(),
            error: error.map(|error| updraft_base::chain(&error)),
            millis: millis(began),
            ..Self::default()
        }
    }
}

/// `updraft ssh`
pub(crate) async fn ssh(context: &Context, args: &Ssh) -> Result {
    let control = context.site()?;
    let (user, machine) = match args.machine.split_once('@') {
        Some((user, machine)) => (Some(user), machine),
        None => (None, args.machine.as_str()),
    };
    control.party(machine).map_err(|error| context.fail_control(&error))?;
    if control.site().admins.is_empty() && user.is_none() {
        return Err(context.asked(
            "nobody may log in: the site has no admins",
            Some("add `admins: { you: { keys: [~/.ssh/id_ed25519.pub] } }` to the site file; `updraft exec` needs no login"),
        ));
    }
    let config = control.place().ssh_config();
    let target = user.map_or_else(|| machine.to_owned(), |user| format!("{user}@{machine}"));
    let mut argv = vec!["-F".to_owned(), config.display().to_string(), target];
    argv.extend(args.command.iter().cloned());
    let error = updraft_host::replace_process("ssh", &argv);
    let message = format!("cannot run ssh: {error}");
    context.terminal.complain_text(&message, Some("apt-get install openssh-client"));
    Err(Ended(FAILED))
}

/// What a machine said on both of its outputs, kept for JSON.
type Kept = Arc<Mutex<(Vec<u8>, Vec<u8>)>>;

/// Prints what a machine says, line by line, with its name in front.
struct Lines {
    name: Option<String>,
    pending: HashMap<bool, Vec<u8>>,
    kept: Option<Kept>,
}

impl Lines {
    fn print(name: Option<&str>, out: bool, line: &[u8]) {
        let mut text = Vec::with_capacity(line.len() + 24);
        if let Some(name) = name {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b" | ");
        }
        text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            text.push(b'\n');
        }
        // Whoever reads may have gone, as `head` does.
        drop(match out {
            true => std::io::stdout().lock().write_all(&text),
            false => std::io::stderr().lock().write_all(&text),
        });
    }
}

impl Output for Lines {
    fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let out = stream == Stream::Out;
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let side = if out { &mut kept.0 } else { &mut kept.1 };
            side.extend_from_slice(bytes);
            return;
        }
        let pending = self.pending.entry(out).or_default();
        pending.extend_from_slice(bytes);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            Self::print(self.name.as_deref(), out, &line);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for (out, rest) in self.pending.drain().filter(|(_, rest)| !rest.is_empty()) {
            Self::print(self.name.as_deref(), out, &rest);
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "how long an answer took is for people")]
fn now() -> Instant {
    Instant::now()
}

/// `updraft exec`
pub(crate) async fn exec(context: &Context, args: &Exec) -> Result {
    let Chosen { ways, reacher } = choose(context, &args.hosts, &args.pattern)?;
    let argv: Arc<Vec<String>> = Arc::new(match &args.shell {
        Some(text) => ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        None => args.command.clone(),
    });
    let (several, json, within) = (ways.len() > 1, args.json, args.timeout);
    let work = move |(name, way): (String, Way)| {
        let (reacher, argv) = (Arc::clone(&reacher), Arc::clone(&argv));
        async move {
            let began = now();
            let kept = json.then(|| Arc::new(Mutex::new((Vec::new(), Vec::new()))));
            let shown = several.then(|| name.clone());
            let mut lines = Lines { name: shown, pending: HashMap::new(), kept: kept.clone() };
            let ran = reacher.exec(&way, &argv, &mut lines, within).await;
            drop(lines);
            let mut answer = Answer { host: name, millis: millis(began), ..Answer::default() };
            match ran {
                Ok(exit) if exit.timed_out => {
                    answer.error =
                        Some(format!("still running after {}", updraft_base::span::render(within)));
                }
                Ok(exit) => {
                    answer.ok = exit.code == 0;
                    answer.code = Some(exit.code);
                }
                Err(error) => answer.error = Some(updraft_base::chain(&error)),
            }
            if let Some(kept) = kept {
                let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                answer.stdout = Some(String::from_utf8_lossy(&kept.0).into_owned());
                answer.stderr = Some(String::from_utf8_lossy(&kept.1).into_owned());
            }
            Ok(answer)
        }
    };
    let answers = gather(ways, args.hosts.forks, within + GRACE, work).await;
    finish(context, &answers, args.json)
}

/// How much longer than the command itself a host may take: connecting, and telling how it ended.
const GRACE: Duration = Duration::from_secs(30);

async fn gather<F, W>(
    ways: Vec<(String, Way)>,
    forks: u16,
    within: Duration,
    work: F,
) -> Vec<Answer>
where
    F: Fn((String, Way)) -> W + Send + Sync + 'static,
    W: Future<Output = std::result::Result<Answer, updraft_control::RemoteError>> + Send + 'static,
{
    let names: Vec<String> = ways.iter().map(|(name, _)| name.clone()).collect();
    let hosts = ways.into_iter().map(|(name, way)| (name.clone(), (name, way))).collect();
    let mut outcomes = updraft_control::fan_out(hosts, usize::from(forks), within, work);
    let mut answers: Vec<Option<Answer>> = names.iter().map(|_| None).collect();
    while let Some(outcome) = outcomes.next().await {
        answers[outcome.index] = Some(outcome.result.unwrap_or_else(|error| Answer {
            host: names[outcome.index].clone(),
            error: Some(updraft_base::chain(&error)),
            millis: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            ..Answer::default()
        }));
    }
    answers.into_iter().flatten().collect()
}

fn finish(context: &Context, answers: &[Answer], json: bool) -> Result {
    if json {
        ui::json(&answers);
    }
    let failed: Vec<&Answer> = answers.iter().filter(|answer| !answer.ok).collect();
    for answer in &failed {
        let why = match (&answer.error, answer.code) {
            (Some(error), _) => error.clone(),
            (None, Some(code)) => format!("ended with status {code}"),
            (None, None) => "no answer".to_owned(),
        };
        ui::say(&format!("{}: {}: {why}", context.terminal.paint("1;31", "failed"), answer.host));
    }
    let word = if answers.len() == 1 { "host" } else { "hosts" };
    let failures = match failed.len() {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    ui::say(&format!("{} {word}: {} ok{failures}.", answers.len(), answers.len() - failed.len()));
    if failed.is_empty() { Ok(0) } else { Err(Ended(FAILED)) }
}

/// `updraft ping`
pub(crate) async fn ping(context: &Context, args: &Ping) -> Result {
    let Chosen { ways, reacher } = choose(context, &args.hosts, &args.pattern)?;
    let (within, json) = (args.timeout, args.json);
    let work = move |(name, way): (String, Way)| {
        let reacher = Arc::clone(&reacher);
        async move {
            let began = now();
            let pinged = reacher.ping(&way, within).await;
            if pinged.is_ok() && !json {
                ui::out(&format!("{name} answers ({} ms)\n", millis(began)));
            }
            Ok(Answer::plain(name, began, pinged.err()))
        }
    };
    let answers = gather(ways, args.hosts.forks, within, work).await;
    finish(context, &answers, args.json)
}

/// `updraft agent rm`
pub(crate) async fn remove_agents(context: &Context, args: &AgentRm) -> Result {
    let Chosen { ways, reacher } = choose(context, &args.hosts, &args.pattern)?;
    let (within, json) = (args.timeout, args.json);
    let work = move |(name, way): (String, Way)| {
        let reacher = Arc::clone(&reacher);
        async move {
            let began = now();
            let removed = reacher.remove_agent(&way, within).await;
            let was_there = removed.as_ref().ok().map(|count| *count > 0);
            if let (Some(was_there), false) = (was_there, json) {
                let what = if was_there { "the agent is gone" } else { "there was no agent" };
                ui::out(&format!("{name}: {what}\n"));
            }
            Ok(Answer { removed: was_there, ..Answer::plain(name, began, removed.err()) })
        }
    };
    let answers = gather(ways, args.hosts.forks, within, work).await;
    finish(context, &answers, args.json)
}

/// `PATTERN:PATH`, or a path here.
fn split(text: &str) -> Option<(&str, &str)> {
    let (pattern, path) = text.rsplit_once(':')?;
    let here = pattern.is_empty() || pattern.contains('/') || text.starts_with('.');
    (!here && path.starts_with('/')).then_some((pattern, path))
}

/// `updraft cp`
pub(crate) async fn cp(context: &Context, args: &Cp) -> Result {
    match (split(&args.from), split(&args.to)) {
        (None, Some((pattern, path))) => send(context, args, &args.from, pattern, path).await,
        (Some((pattern, path)), None) => fetch(context, args, pattern, path, &args.to).await,
        _ => Err(context.asked(
            "one of the two must be here and the other on machines",
            Some("`updraft cp FILE PATTERN:/PATH` or `updraft cp MACHINE:/PATH FILE`"),
        )),
    }
}

async fn send(context: &Context, args: &Cp, from: &str, pattern: &str, path: &str) -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    let read = std::fs::read(from)
        .and_then(|bytes| Ok((bytes, std::fs::metadata(from)?.permissions().mode() & 0o7777)));
    let (bytes, mode) = match read {
        Ok(read) => read,
        Err(error) => return Err(context.asked(&format!("cannot read `{from}`: {error}"), None)),
    };
    let name = Path::new(from).file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let path = if path.ends_with('/') { format!("{path}{name}") } else { path.to_owned() };
    let put = updraft_control::Put {
        path: Some(path),
        size: bytes.len() as u64,
        digest: Digest::of(&bytes),
        mode,
        keep: false,
    };
    let bytes: Arc<[u8]> = bytes.into();
    let Chosen { ways, reacher } = choose(context, &args.hosts, pattern)?;
    let work = move |(name, way): (String, Way)| {
        let (reacher, bytes, put) = (Arc::clone(&reacher), Arc::clone(&bytes), put.clone());
        async move {
            let began = now();
            let sent = async {
                let session = reacher.session(&way).await?;
                Ok::<_, ReachError>(session.put(put, &mut &*bytes).await?)
            };
            Ok(Answer::plain(name, began, sent.await.err()))
        }
    };
    let answers = gather(ways, args.hosts.forks, Duration::from_secs(3600), work).await;
    finish(context, &answers, false)
}

async fn fetch(context: &Context, args: &Cp, pattern: &str, path: &str, to: &str) -> Result {
    let Chosen { ways, reacher } = choose(context, &args.hosts, pattern)?;
    let [(name, way)] = ways.as_slice() else {
        return Err(context.asked(
            &format!("`{pattern}` names {} machines; a file comes from one", ways.len()),
            None,
        ));
    };
    let file = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let place = match Path::new(to).is_dir() {
        true => Path::new(to).join(file),
        false => Path::new(to).to_owned(),
    };
    let mut bytes = Vec::new();
    let fetched = async {
        let session = reacher.session(way).await?;
        Ok::<_, ReachError>(session.get(path, &mut bytes).await?)
    };
    let mode = fetched.await.map_err(|error| context.fail(&error))?;
    let written = std::fs::write(&place, &bytes).and_then(|()| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode & 0o777))
    });
    if let Err(error) = written {
        let message = format!("cannot write `{}`: {error}", place.display());
        context.terminal.complain_text(&message, None);
        return Err(Ended(FAILED));
    }
    ui::say(&format!("{} bytes from {name} in {}.", bytes.len(), place.display()));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_machines_has_a_pattern_and_an_absolute_path() {
        assert_eq!(split("worker-1:/etc/motd"), Some(("worker-1", "/etc/motd")));
        assert_eq!(split("web:&staging:/etc/motd"), Some(("web:&staging", "/etc/motd")));
        for here in ["motd", "./a:/b", "/tmp/a:/b", "a:b"] {
            assert_eq!(split(here), None, "{here}");
        }
    }
}
