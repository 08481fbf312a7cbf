//! Modules in the background: each in a process of its own that outlives the connection, and a file
//! with what became of it, which any later connection of the same user finds.
//!
//! The files are those of Ansible's `async_wrapper`: `~/.ansible_async/ID`, JSON, with `started` and
//! `finished` until the module's result takes their place.
//!
//! Never here: what a module does, how a task waits for it.

use crate::connection::{Connection, Task};
use crate::failure::{refused, system};
use crate::files;
use crate::outbox::{Outbox, Sink};
use crate::root::Root;
use crate::{foreign, module};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use updraft_wire::{Failure, Job, ModuleRequest, ModuleResult, Response};

/// How long a module that was told to give up has to do so before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The module that tells what became of a job.
pub(crate) const STATUS: &str = "async_status";

/// What the process of a job is told.
#[derive(Serialize, Deserialize)]
struct Order {
    directory: PathBuf,
    job: Job,
    request: ModuleRequest,
}

/// Nobody hears what a job would say to a controller.
struct Nobody;

impl Sink for Nobody {
    fn write(&mut self, _bytes: &[u8], _stale: &dyn Fn() -> bool) -> io::Result<()> {
        Ok(())
    }
}

/// Begins a module in a process of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "its process is meant to outlive every deadline of ours"
)]
pub(crate) fn begin(
    connection: &Connection,
    request: &ModuleRequest,
    job: &Job,
) -> Result<Response, Failure> {
    let mut request = ModuleRequest { job: None, timeout: job.limit, ..request.clone() };
    if let Some(missing) = foreign::keep(connection, &mut request)? {
        return Ok(missing);
    }
    let directory = expand(&job.directory)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|fault| system(format_args!("cannot make `{}`", directory.display()), fault))?;
    keep_staged(&directory, job, &mut request)?;
    let order = Order { directory, job: job.clone(), request };
    let order = serde_json::to_vec(&order).map_err(|fault| refused(fault.to_string()))?;
    let cannot = |fault: io::Error| system("cannot start a job", fault);
    let mut child = Command::new("/proc/self/exe")
        .arg("job")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let stdout = child.stdout.take().expect("a piped stdout");
    stdin.write_all(&order).map_err(cannot)?;
    drop(stdin);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(cannot)?;
    // Somebody has to be told when it ends, or it stays as a zombie while we are here.
    std::thread::spawn(move || drop(child.wait()));
    match serde_json::from_str(&line) {
        Ok(begun) => Ok(Response::Module(ModuleResult(begun))),
        Err(_) => Err(system("cannot start a job", "its process ended at once")),
    }
}

/// A file that was brought for the module goes with the connection; the job needs it for longer.
fn keep_staged(directory: &Path, job: &Job, request: &mut ModuleRequest) -> Result<(), Failure> {
    const STAGED: &str = "_updraft_staged";
    let Some(staged) = request.args.get(STAGED).and_then(Value::as_str) else { return Ok(()) };
    let kept = directory.join(format!("{}.staged", job.id));
    let content =
        fs::read(staged).map_err(|fault| system(format_args!("cannot read `{staged}`"), fault))?;
    files::write(&kept, &content, 0o600)?;
    request.args.insert(STAGED.to_owned(), Value::from(kept.display().to_string()));
    Ok(())
}

/// `~` is the home of whoever we are.
fn expand(directory: &str) -> Result<PathBuf, Failure> {
    let Some(rest) = directory.strip_prefix('~') else { return Ok(PathBuf::from(directory)) };
    let home = updraft_modules::Context::system().var("HOME").map(PathBuf::from);
    let home = home.ok_or_else(|| system("cannot find the home directory", "HOME is not set"))?;
    Ok(home.join(rest.trim_start_matches('/')))
}

/// The process of a job: reads what to do, tells that it began, and does it.
pub(crate) fn run() -> Result<(), String> {
    let mut order = Vec::new();
    io::stdin().read_to_end(&mut order).map_err(|fault| fault.to_string())?;
    let order: Order = serde_json::from_slice(&order).map_err(|fault| fault.to_string())?;
    // The end of a connection ends the processes of its session; this one has another.
    rustix::process::setsid().map_err(|fault| fault.to_string())?;
    let process = std::process::id();
    let id = format!("{}.{process}", order.job.id);
    let file = order.directory.join(&id);
    let begun = json!({ "started": true, "finished": false, "ansible_job_id": id });
    write(&file, &begun)?;
    let mut told = begun;
    told["results_file"] = Value::from(file.display().to_string());
    told["changed"] = Value::from(true);
    let said = io::stdout().write_all(format!("{told}\n").as_bytes());
    said.and_then(|()| io::stdout().flush()).map_err(|fault| fault.to_string())?;
    let staged = order.directory.join(format!("{}.staged", order.job.id));
    let limit = Duration::from_secs(order.job.limit) + GRACE;
    let (done, result) = channel();
    std::thread::spawn(move || drop(done.send(carry_out(&order.request))));
    let result = match result.recv_timeout(limit) {
        Ok(result) => Value::Object(result),
        Err(RecvTimeoutError::Timeout) => {
            json!({ "failed": true, "msg": "Timeout exceeded", "child_pid": process })
        }
        Err(RecvTimeoutError::Disconnected) => {
            json!({ "failed": true, "msg": "the agent failed in this module" })
        }
    };
    drop(fs::remove_file(staged));
    write(&file, &result)?;
    // What the module left behind in this session ends with it.
    if let Some(group) = rustix::process::Pid::from_raw(i32::try_from(process).unwrap_or(0)) {
        let kill = rustix::process::Signal::KILL;
        rustix::process::kill_process_group(group, kill).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

/// Writes a file whole or not at all, for nobody else to read: what modules say may be secret.
fn write(file: &Path, content: &Value) -> Result<(), String> {
    files::write(file, content.to_string().as_bytes(), 0o600).map_err(|failure| failure.message)
}

fn carry_out(request: &ModuleRequest) -> Map<String, Value> {
    let (outbox, _writer) = Outbox::start(Nobody);
    let connection = Connection::begin(outbox, Root::system());
    let task = Task::alone();
    let outcome = match &request.foreign {
        Some(module) => foreign::run(&connection, &task, request, module),
        None => Ok(module::run(&connection, &task, request)),
    };
    connection.end();
    let failed = |msg: String| json!({ "failed": true, "msg": msg });
    let result = match outcome {
        Ok(Response::Module(result)) => return result.0,
        Ok(Response::Foreign(output)) => match foreign::object(&output.stdout) {
            Some((result, behind)) => return with_noise(result, &behind, &output.stderr),
            None => json!({
                "failed": true,
                "msg": "Module result deserialization failed",
                "module_stdout": output.stdout,
                "module_stderr": output.stderr,
                "rc": output.code,
            }),
        },
        Ok(_) => failed("what the module needs is gone".to_owned()),
        Err(failure) => failed(failure.message),
    };
    result.as_object().cloned().unwrap_or_default()
}

/// A result with what its module wrote besides: ansible-core's `async_wrapper` keeps it there too.
fn with_noise(mut result: Map<String, Value>, behind: &str, stderr: &str) -> Map<String, Value> {
    if !behind.trim().is_empty() {
        let text = format!("Module invocation had junk after the JSON data: {behind}");
        if let Value::Array(told) = result.entry("warnings").or_insert_with(|| json!([])) {
            told.push(Value::from(text));
        }
    }
    if !stderr.is_empty() {
        result.insert("stderr".to_owned(), Value::from(stderr));
    }
    result
}

/// `async_status`: what became of a job, or forgetting it.
pub(crate) fn status(args: &Map<String, Value>) -> Result<Response, Failure> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = text("jid");
    if id.is_empty() || id.starts_with('.') || id.contains('/') {
        return Err(refused(format_args!("`{id}` is no id of a job")));
    }
    let file = expand(text("_async_dir"))?.join(id);
    let mut result = match (fs::read_to_string(&file), text("mode")) {
        (Err(_), _) => Map::from_iter([
            ("failed".to_owned(), Value::from(true)),
            ("msg".to_owned(), Value::from("could not find job")),
            ("finished".to_owned(), Value::from(true)),
        ]),
        (Ok(_), "cleanup") => {
            fs::remove_file(&file).map_err(|fault| {
                system(format_args!("cannot remove `{}`", file.display()), fault)
            })?;
            let erased = Value::from(file.display().to_string());
            Map::from_iter([("erased".to_owned(), erased)])
        }
        (Ok(text), _) => told(id, &file, &text),
    };
    result.entry("started").or_insert(Value::from(true));
    result.insert("ansible_job_id".to_owned(), Value::from(id));
    if !result.contains_key("erased") {
        result.insert("results_file".to_owned(), Value::from(file.display().to_string()));
    }
    Ok(Response::Module(ModuleResult(result)))
}

/// What the file of a job says.
fn told(id: &str, file: &Path, text: &str) -> Map<String, Value> {
    let Ok(Value::Object(mut result)) = serde_json::from_str(text) else {
        let msg = format!("Could not parse job output: {text}");
        return Map::from_iter([
            ("failed".to_owned(), Value::from(true)),
            ("finished".to_owned(), Value::from(true)),
            ("msg".to_owned(), Value::from(msg)),
        ]);
    };
    if !result.contains_key("started") {
        result.insert("finished".to_owned(), Value::from(true));
        return result;
    }
    let process = id.rsplit_once('.').map_or("", |(_, process)| process);
    let lives = Path::new("/proc").join(process).exists();
    // It may have ended since the file was read.
    let again = fs::read_to_string(file).unwrap_or_default();
    if !lives && again == text && !process.is_empty() {
        result.insert("failed".to_owned(), Value::from(true));
        result.insert("finished".to_owned(), Value::from(true));
        let msg = "the job ended without a result: its machine was restarted, or it was killed";
        result.insert("msg".to_owned(), Value::from(msg));
        return result;
    }
    if again != text {
        return told(id, file, &again);
    }
    result.entry("finished").or_insert(Value::from(false));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_wrote_beside_its_result_is_kept_with_it() {
        let stdout = "hello\n{\"changed\": true, \"warnings\": [\"own\"]}\nbye\n";
        let (result, behind) = foreign::object(stdout).unwrap();
        let warnings = json!(["own", "Module invocation had junk after the JSON data: bye"]);
        assert_eq!(
            Value::from(with_noise(result, &behind, "oh\n")),
            json!({"changed": true, "warnings": warnings, "stderr": "oh\n"})
        );
        let (result, behind) = foreign::object("{}\n\n").unwrap();
        assert_eq!(Value::from(with_noise(result, &behind, "")), json!({}));
    }
}
