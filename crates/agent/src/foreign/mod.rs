//! Modules that are not built in: Ansible's own in Python, and those of roles and collections, in
//! whatever language.
//!
//! What they write is handed back as it is; the controller makes a result of it. Never here:
//! finding modules, or what they import.

mod zygote;

pub(crate) use zygote::Zygotes;

use crate::blobs::Blobs;
use crate::connection::{Connection, Task};
use crate::exec;
use crate::failure::{refused, system};
use crate::files::random;
use serde_json::{Map, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use updraft_wire::{
    Blob, Exec, Failure, ForeignModule, ForeignOutput, ForeignStyle, ModuleRequest, Request,
    Response,
};

/// What a shell says, and exits with, when a program is not there.
const NOT_FOUND: i32 = 127;

/// Runs a foreign module.
pub(crate) fn run(
    connection: &Connection,
    task: &Arc<Task>,
    request: &ModuleRequest,
    module: &ForeignModule,
) -> Result<Response, Failure> {
    let mut missing = Vec::new();
    let mut have = |blob: &Blob| -> Result<PathBuf, Failure> {
        let found = connection.blobs.find(connection, blob)?;
        Ok(found.unwrap_or_else(|| {
            missing.push(blob.digest);
            PathBuf::new()
        }))
    };
    let payload = have(&module.payload)?;
    let library = module.library.as_ref().map(&mut have).transpose()?;
    if !missing.is_empty() {
        return Ok(Response::Missing { digests: missing });
    }
    let interpreter = match (&module.style, interpreter(module, request)) {
        (ForeignStyle::Binary, _) => String::new(),
        (_, Some(interpreter)) => interpreter,
        (_, None) => return Ok(Response::Foreign(absent(module))),
    };
    let mut args = request.args.clone();
    // Files that a module makes for itself go with the connection, whatever becomes of it.
    let scratch = connection.staging.private()?;
    args.insert("_ansible_remote_tmp".to_owned(), Value::from(scratch.display().to_string()));
    let mut output = match module.style {
        ForeignStyle::Python => {
            let library =
                library.ok_or_else(|| refused("a Python module came without its library"))?;
            let zygote = match connection.zygotes.get(&interpreter, &library)? {
                Ok(zygote) => zygote,
                Err(output) => return Ok(Response::Foreign(output)),
            };
            zygote.run(task, request, module, &payload, args)?
        }
        _ => program(task, request, module, &payload, &scratch, &interpreter, &args)?,
    };
    output.interpreter = interpreter;
    Ok(Response::Foreign(output))
}

/// Says where the blobs of a request lie, for the agent of another user; an answer when some are
/// missing.
pub(crate) fn locate(
    connection: &Connection,
    request: &mut Request,
) -> Result<Option<Response>, Failure> {
    let Request::Module(ModuleRequest { foreign: Some(module), .. }) = request else {
        return Ok(None);
    };
    let mut digests = Vec::new();
    for blob in std::iter::once(&mut module.payload).chain(&mut module.library) {
        match connection.blobs.find(connection, blob)? {
            Some(path) => {
                let path = Blobs::for_others(connection, &path)?;
                blob.path = Some(path.display().to_string());
            }
            None => digests.push(blob.digest),
        }
    }
    Ok((!digests.is_empty()).then_some(Response::Missing { digests }))
}

/// Sees to it that the blobs of a request stay for longer than the connection; an answer when some
/// are missing.
pub(crate) fn keep(
    connection: &Connection,
    request: &mut ModuleRequest,
) -> Result<Option<Response>, Failure> {
    let Some(module) = &mut request.foreign else { return Ok(None) };
    let mut digests = Vec::new();
    for blob in std::iter::once(&mut module.payload).chain(&mut module.library) {
        let Some(path) = connection.blobs.find(connection, blob)? else {
            digests.push(blob.digest);
            continue;
        };
        // The copy that another user's agent made for us goes with its connection.
        if blob.path.take().is_some() {
            let own = Blobs::place(connection, &blob.digest)?;
            let content = fs::read(&path)
                .map_err(|fault| system(format_args!("cannot read `{}`", path.display()), fault))?;
            crate::files::write(&own, &content, 0o600)?;
            connection.blobs.arrived(&own);
        }
    }
    Ok((!digests.is_empty()).then_some(Response::Missing { digests }))
}

/// The object in what a module wrote, whatever stands around it, and what stands behind it.
pub(crate) fn object(stdout: &str) -> Option<(Map<String, Value>, String)> {
    let lines: Vec<&str> = stdout.lines().collect();
    let start = lines.iter().position(|line| line.trim().starts_with('{'))?;
    let end = lines.iter().rposition(|line| line.trim().ends_with('}'))?;
    match updraft_wire::from_python(&lines.get(start..=end)?.join("\n")) {
        Ok(Value::Object(object)) => Some((object, lines[end + 1..].join("\n"))),
        _ => None,
    }
}

/// The first interpreter that is there.
fn interpreter(module: &ForeignModule, request: &ModuleRequest) -> Option<String> {
    let mut context = updraft_modules::Context::system();
    context.env.clone_from(&request.env);
    context.interpreter(&module.interpreters)
}

/// What a shell would have said.
fn absent(module: &ForeignModule) -> ForeignOutput {
    let interpreter = module.interpreters.first().cloned().unwrap_or_default();
    ForeignOutput {
        code: NOT_FOUND,
        stderr: format!("/bin/sh: 1: {interpreter}: not found\n"),
        interpreter,
        ..ForeignOutput::default()
    }
}

/// Runs a module that is a program, with its arguments in a file.
fn program(
    task: &Arc<Task>,
    request: &ModuleRequest,
    module: &ForeignModule,
    payload: &Path,
    scratch: &Path,
    interpreter: &str,
    args: &Map<String, Value>,
) -> Result<ForeignOutput, Failure> {
    let place = Scratch::create(scratch)?;
    let fault = |fault| system("cannot lay out a module", fault);
    let own = place.0.join(file_name(&module.name));
    let mut content = fs::read(payload).map_err(fault)?;
    if module.style == ForeignStyle::Inlined {
        content = inlined(&content, args);
    }
    fs::write(&own, content).map_err(fault)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).map_err(fault)?;
    let mut argv: Vec<String> = Vec::new();
    if module.style != ForeignStyle::Binary {
        argv.push(interpreter.to_owned());
        argv.extend(module.interpreter_args.iter().cloned());
    }
    argv.push(own.display().to_string());
    if module.style != ForeignStyle::Inlined {
        let text = match module.style {
            ForeignStyle::WordsFile => words(args),
            _ => Value::Object(args.clone()).to_string(),
        };
        let file = place.0.join("args");
        fs::write(&file, text).map_err(fault)?;
        argv.push(file.display().to_string());
    }
    let exec = Exec {
        argv,
        env: request.env.clone(),
        deadline_ms: request.timeout.saturating_mul(1000),
        ..Exec::default()
    };
    let (exit, stdout, stderr) = exec::gather(task, &exec)?;
    Ok(ForeignOutput {
        code: exit.code,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        interpreter: String::new(),
        timed_out: exit.timed_out,
    })
}

/// The last part of a module's name, as a file may be called.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.is_empty() || last.starts_with('.') { format!("module{last}") } else { last.to_owned() }
}

/// The text of a module with its arguments put into it.
fn inlined(text: &[u8], args: &Map<String, Value>) -> Vec<u8> {
    const HERE: &[u8] = b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";
    const VERSION: &[u8] = b"\"<<ANSIBLE_VERSION>>\"";
    const SPECIAL: &[u8] = b"<<SELINUX_SPECIAL_FILESYSTEMS>>";
    let json = Value::Object(args.clone()).to_string();
    let version = args.get("_ansible_version").cloned().unwrap_or_default().to_string();
    let special = match args.get("_ansible_selinux_special_fs") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    };
    let mut text = replaced(text, VERSION, version.as_bytes());
    text = replaced(&text, SPECIAL, special.as_bytes());
    replaced(&text, HERE, json.as_bytes())
}

fn replaced(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Arguments as `key=value` words, values quoted for a shell.
fn words(args: &Map<String, Value>) -> String {
    let word = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Null => "None".to_owned(),
            other => other.to_string(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
        if !value.is_empty() && value.chars().all(plain) {
            format!("{key}={value}")
        } else {
            format!("{key}='{}'", value.replace('\'', "'\"'\"'"))
        }
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A directory of one module's run.
struct Scratch(PathBuf);

impl Scratch {
    fn create(parent: &Path) -> Result<Self, Failure> {
        let place = parent.join(random()?);
        fs::create_dir(&place).map_err(|fault| system("cannot lay out a module", fault))?;
        Ok(Self(place))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the connection.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_put_into_the_text_wherever_it_asks_for_them() {
        let args = json!({ "a": 1, "_ansible_version": "2.19" });
        let text = b"x = '<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'; v = \"<<ANSIBLE_VERSION>>\"";
        let made = inlined(text, args.as_object().unwrap());
        let made = String::from_utf8(made).unwrap();
        assert!(made.contains(r#""a":1"#) && made.ends_with(r#"v = "2.19""#), "{made}");
    }

    #[test]
    fn words_are_quoted_so_that_a_shell_reads_them_back() {
        let args = json!({ "name": "it's", "path": "/a", "flag": true, "none": "" });
        let words = words(args.as_object().unwrap());
        // Which comes first hangs on how serde_json was built.
        let mut apart: Vec<&str> = words.split(' ').collect();
        apart.sort_unstable();
        assert_eq!(apart, ["flag=True", r#"name='it'"'"'s'"#, "none=''", "path=/a"]);
    }

    #[test]
    fn the_first_interpreter_that_is_there_is_taken() {
        let mut module = ForeignModule {
            style: ForeignStyle::JsonFile,
            payload: updraft_base::Digest::of("").into(),
            library: None,
            name: "m".to_owned(),
            interpreters: vec!["/nowhere/python".to_owned(), "sh".to_owned()],
            interpreter_args: Vec::new(),
        };
        let found = interpreter(&module, &ModuleRequest::default()).unwrap();
        assert!(found.ends_with("/sh"), "{found}");
        module.interpreters.pop();
        assert_eq!(interpreter(&module, &ModuleRequest::default()), None);
        assert_eq!(absent(&module).stderr, "/bin/sh: 1: /nowhere/python: not found\n");
    }
}
