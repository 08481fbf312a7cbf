//! Actions that are programs of the playbook's own: `raw` and `script`.

use super::actions::done;
use super::content::Content;
use super::execute::{Call, Crew};
use super::outcome::{failed, flag, put};
use super::remote::unreachable;
use crate::parse::split;
use crate::value::{Dict, Value};
use std::path::Path;
use updraft_remote::{Output, Session, Stream};
use updraft_wire::Exec;

/// What a program wrote.
#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output for Said {
    fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => self.out.extend_from_slice(bytes),
            Stream::Err => self.err.extend_from_slice(bytes),
        }
    }
}

impl Crew<'_> {
    /// `raw`: text for the shell of the host, which needs nothing there.
    pub(super) async fn raw(&self, call: &Call<'_>) -> Dict {
        if call.check {
            let mut result = done(false);
            put(&mut result, "skipped", true);
            return result;
        }
        let text = call.args.get("_raw_params").map(Value::to_text).unwrap_or_default();
        let shell = call.args.get("executable").map(Value::to_text).unwrap_or_default();
        let mut argv: Vec<String> = shell.split_whitespace().map(str::to_owned).collect();
        if argv.is_empty() {
            argv.push("/bin/sh".to_owned());
        }
        argv.extend(["-c".to_owned(), text]);
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        self.execute(call, session.as_ref(), Exec { argv, ..Exec::default() }).await
    }

    /// `script`: a file of this side, run on the host.
    pub(super) async fn script(&self, call: &Call<'_>) -> Dict {
        let text = |name: &str| {
            call.args.get(name).map(Value::to_text).filter(|text| !text.trim().is_empty())
        };
        let Some(line) = text("_raw_params").or_else(|| text("cmd")) else {
            return failed("one of the following is required: _raw_params, cmd");
        };
        for (word, wanted) in [("creates", true), ("removes", false)] {
            let Some(path) = text(word) else { continue };
            match self.exists(call, &path).await {
                Ok(exists) if exists == wanted => {
                    let is = if exists { "exists" } else { "does not exist" };
                    return skipped(&format!("{path} {is}, matching {word} option"));
                }
                Ok(_) => {}
                Err(result) => return result,
            }
        }
        let chdir = text("chdir");
        if let Some(chdir) = chdir.as_deref().filter(|chdir| !chdir.starts_with('/')) {
            return failed(format!(
                "chdir {chdir} must be an absolute path for a Unix-aware remote node"
            ));
        }
        let line = line.trim();
        let words = split::words(line).unwrap_or_default();
        let Some(first) = words.first() else { return failed("there is no script to run") };
        let path = match self.local(call, "files", &split::unquote(first)) {
            Ok(path) => path,
            Err(result) => return result,
        };
        if call.check {
            if text("creates").is_some() || text("removes").is_some() {
                return done(true);
            }
            return skipped("Check mode is not supported for this task.");
        }
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        let place = match self.bring_script(call, session.as_ref(), &path).await {
            Ok(place) => place,
            Err(result) => return result,
        };
        let rest = &line[first.len()..];
        let with = text("executable").map(|program| format!("{program} ")).unwrap_or_default();
        let argv = ["/bin/sh".to_owned(), "-c".to_owned(), format!("{with}{place}{rest}")];
        let exec = Exec { argv: argv.into(), chdir, ..Exec::default() };
        self.execute(call, session.as_ref(), exec).await
    }

    async fn bring_script(
        &self,
        call: &Call<'_>,
        session: &dyn Session,
        path: &Path,
    ) -> Result<String, Dict> {
        let decrypt = call.args.get("decrypt").and_then(Value::as_boolean).unwrap_or(true);
        let content = Content::of(call, path, decrypt)?;
        let (_, context) = self.worker(call);
        let other = self
            .become_user(call, &context)
            .map_err(|fault| failed(format!("Task failed: {}", fault.what)))?;
        // Whoever runs it must be able to read it; its name cannot be guessed.
        let mode = if other.is_some() { 0o755 } else { 0o700 };
        content.staged(session, mode).await
    }

    async fn exists(&self, call: &Call<'_>, path: &str) -> Result<bool, Dict> {
        let mut args = Dict::new();
        put(&mut args, "path", Value::str(path));
        let stat = self.module(call, "stat", &args).await;
        if flag(&stat, "unreachable") || flag(&stat, "failed") {
            return Err(stat);
        }
        let found =
            stat.get("stat").and_then(|stat| stat.get("exists")).is_some_and(Value::is_true);
        Ok(found)
    }

    async fn execute(&self, call: &Call<'_>, session: &dyn Session, exec: Exec) -> Dict {
        let prepared = || {
            let (_, context) = self.worker(call);
            let seconds = match &call.task.common.timeout {
                Some(value) => {
                    super::execute::number_as(call.context, value, "int")?.max(0.0) as u64
                }
                None => 0,
            };
            Ok(Exec {
                env: call.env.clone(),
                become_user: self.become_user(call, &context)?,
                deadline_ms: seconds.saturating_mul(1000),
                ..exec
            })
        };
        let exec = match prepared() {
            Ok(exec) => exec,
            Err::<_, crate::template::Fault>(fault) => {
                return failed(format!("Task failed: {}", fault.what));
            }
        };
        let mut said = Said::default();
        let exit = match session.exec(exec, &mut said).await {
            Ok(exit) => exit,
            Err(error) => return unreachable(&updraft_base::chain(&error)),
        };
        let mut result = done(true);
        put(&mut result, "rc", Value::Int(i64::from(exit.code)));
        for (name, bytes) in [("stdout", &said.out), ("stderr", &said.err)] {
            let text = String::from_utf8_lossy(bytes);
            put(&mut result, name, Value::str(&text));
            let lines = text.lines().map(Value::str).collect();
            put(&mut result, &format!("{name}_lines"), Value::list(lines));
        }
        if exit.code != 0 {
            put(&mut result, "failed", true);
            put(&mut result, "msg", Value::str("non-zero return code"));
        }
        result
    }
}

fn skipped(msg: &str) -> Dict {
    let mut result = done(false);
    put(&mut result, "skipped", true);
    put(&mut result, "msg", Value::str(msg));
    result
}
