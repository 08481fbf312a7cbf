//! Modules that are not built in: what they are told, how they get to the host, and what is made
//! of their answer.

use super::execute::{Call, Crew};
use super::outcome::{failed, put};
use super::remote::unreachable;
use crate::foreign::{Bundle, Found};
use crate::output::NO_TRACEBACK;
use crate::template::{Context, Fault};
use crate::value::{Dict, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use updraft_base::Digest;
use updraft_remote::Session;
use updraft_spec::CAUSE;
use updraft_wire::{
    ForeignModule, ForeignOutput, ForeignStyle, Job, ModuleRequest, PYTHONS, Put, Request, Response,
};

/// The version of the language, which modules are told.
const VERSION: &str = "2.19.14";

/// Modules of ours that work with the Python that Ansible's own would be run by.
const OF_PYTHON: &[&str] = &["pip"];

/// Interpreters that are looked for on a host where none is told, as Ansible's
/// `INTERPRETER_PYTHON_FALLBACK` has them.
const FALLBACK: &[&str] = &[
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "/usr/bin/python3",
    "python3",
];

/// Filesystems that SELinux treats specially, as Ansible's `DEFAULT_SELINUX_SPECIAL_FS` has them.
const SPECIAL_FS: &[&str] = &["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"];

impl Crew<'_> {
    /// Runs a program on the host that does the work.
    pub(super) async fn foreign(
        &self,
        call: &Call<'_>,
        found: &Found,
        args: &Dict,
        job: Option<Job>,
    ) -> Dict {
        let bundle = match self.bundle(call, found) {
            Ok(bundle) => bundle,
            Err(result) => return result,
        };
        let request = match self.foreign_request(call, found, &bundle, args) {
            Ok(request) => ModuleRequest { job, ..request },
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        let deadline = match request.timeout {
            0 => self.shared.options.deadline,
            // The agent gives up first; this is for an agent that does not answer.
            seconds => Duration::from_secs(seconds + 30),
        };
        ask(session.as_ref(), request, &bundle, deadline).await
    }

    /// A program with all it needs.
    pub(super) fn bundle(&self, call: &Call<'_>, found: &Found) -> Result<Arc<Bundle>, Dict> {
        self.shared
            .modules
            .bundle(found)
            .map_err(|why| failed(format!("`{}` ({}): {why}", call.task.word, call.task.origin)))
    }

    pub(super) fn foreign_request(
        &self,
        call: &Call<'_>,
        found: &Found,
        bundle: &Bundle,
        args: &Dict,
    ) -> Result<ModuleRequest, Fault> {
        let mut request = self.request(call, &found.name, args)?;
        let no_log = super::execute::truth(call.context, call.task.common.no_log.as_ref())?;
        self.internal(&mut request.args, call, &found.name, no_log);
        let (_, context) = self.worker(call);
        let (interpreters, interpreter_args) =
            self.interpreters(&context, &bundle.shebang, bundle.style)?;
        let name = match bundle.style {
            ForeignStyle::Python => found.dotted.clone(),
            _ => found
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        };
        request.foreign = Some(Box::new(ForeignModule {
            style: bundle.style,
            payload: bundle.payload.digest.into(),
            library: bundle.library.as_ref().map(|library| library.digest.into()),
            name,
            interpreters,
            interpreter_args,
        }));
        Ok(request)
    }

    /// What Ansible tells every module beside its arguments.
    fn internal(&self, args: &mut Map<String, Json>, call: &Call<'_>, name: &str, no_log: bool) {
        let ours = json!({
            "_ansible_check_mode": call.check,
            "_ansible_no_log": no_log,
            "_ansible_debug": false,
            "_ansible_diff": call.diff,
            "_ansible_verbosity": self.shared.options.verbosity,
            "_ansible_version": VERSION,
            "_ansible_module_name": name,
            "_ansible_syslog_facility": "LOG_USER",
            "_ansible_selinux_special_fs": SPECIAL_FS,
            "_ansible_socket": null,
            "_ansible_shell_executable": "/bin/sh",
            "_ansible_keep_remote_files": false,
            "_ansible_tmpdir": null,
            "_ansible_ignore_unknown_opts": false,
            "_ansible_target_log_info": null,
            "_ansible_tracebacks_for": [],
        });
        if let Json::Object(ours) = ours {
            args.extend(ours);
        }
    }

    /// Tells one of our modules that works with Python which one that is.
    pub(super) fn tell_pythons(
        &self,
        call: &Call<'_>,
        request: &mut ModuleRequest,
    ) -> Result<(), Fault> {
        if OF_PYTHON.contains(&request.name.as_str()) {
            let (_, context) = self.worker(call);
            let (pythons, _) = self.interpreters(&context, &[], ForeignStyle::Python)?;
            request.args.insert(PYTHONS.to_owned(), Json::from(pythons));
        }
        Ok(())
    }

    /// What runs a module on the host, the best first, and with which arguments.
    fn interpreters(
        &self,
        context: &Context,
        shebang: &[String],
        style: ForeignStyle,
    ) -> Result<(Vec<String>, Vec<String>), Fault> {
        let mut words = shebang.iter();
        let mut first = words.next().map_or("/usr/bin/python", String::as_str);
        if style == ForeignStyle::Python && first.ends_with("/env") {
            first = words.next().map_or("/usr/bin/python", String::as_str);
        }
        let args: Vec<String> = words.cloned().collect();
        let base = first.rsplit('/').next().unwrap_or(first);
        let told = context.var(&format!("ansible_{base}_interpreter"))?;
        let told = told.filter(|told| !told.is_none()).map(|told| told.to_text());
        let told = match (base, told) {
            ("python", None) => self.shared.world.env.get("ANSIBLE_PYTHON_INTERPRETER").cloned(),
            (_, told) => told,
        };
        let told = told.map(|told| told.trim().to_owned()).filter(|told| !told.is_empty());
        Ok(match told {
            Some(told) if base == "python" && told.starts_with("auto") => (pythons(), args),
            Some(told) => {
                // `ansible_python_interpreter: /usr/bin/env python3`
                let mut words = told.split_whitespace().map(str::to_owned);
                let mut program = words.next().unwrap_or_default();
                if program.ends_with("/env")
                    && let Some(name) = words.next()
                {
                    program = name;
                }
                (vec![program], words.chain(args).collect())
            }
            None if base == "python" => (pythons(), args),
            None => (vec![first.to_owned()], args),
        })
    }
}

/// Asks, brings what the host does not have yet, and asks again.
pub(super) async fn ask(
    session: &dyn Session,
    request: ModuleRequest,
    bundle: &Bundle,
    deadline: Duration,
) -> Dict {
    let mut brought = false;
    loop {
        match session.call(Request::Module(request.clone()), deadline).await {
            Ok(Response::Foreign(output)) => return result_of(&output, &request),
            // It has begun in the background.
            answered @ Ok(Response::Module(_)) => return super::remote::answer(answered),
            Ok(Response::Missing { digests }) if !brought => {
                brought = true;
                for digest in digests {
                    if let Err(result) = bring(session, bundle, digest).await {
                        return result;
                    }
                }
            }
            Ok(Response::Failed(failure)) => return failed(failure.message),
            Ok(_) => return failed("the agent does not keep the module that it was sent"),
            Err(error) => return unreachable(&updraft_base::chain(&error)),
        }
    }
}

fn pythons() -> Vec<String> {
    FALLBACK.iter().map(|&name| name.to_owned()).collect()
}

async fn bring(session: &dyn Session, bundle: &Bundle, digest: Digest) -> Result<(), Dict> {
    let parts = std::iter::once(&bundle.payload).chain(bundle.library.as_deref());
    let Some(content) = parts.into_iter().find(|content| content.digest == digest) else {
        return Err(failed("the agent asks for something that this module does not need"));
    };
    let put = Put { path: None, size: content.bytes.len() as u64, digest, mode: 0o600, keep: true };
    let mut reader = content.bytes.as_slice();
    let sent = session.put(put, &mut reader).await;
    sent.map(drop).map_err(|error| failed(updraft_base::chain(&error)))
}

/// What Ansible makes of a module's output.
fn result_of(output: &ForeignOutput, request: &ModuleRequest) -> Dict {
    if output.timed_out {
        return failed(format!("Timed out after {} second(s).", request.timeout));
    }
    let (mut result, warnings) = match read(&output.stdout) {
        Ok((object, warnings)) => (object, warnings),
        Err(why) => return no_result(output, &why),
    };
    // What only Ansible and its modules say to each other.
    result.retain(|key, _| !key.starts_with("_ansible_"));
    tidy(&mut result);
    for (text, lines) in [("stdout", "stdout_lines"), ("stderr", "stderr_lines")] {
        if let (Some(Json::String(text)), false) = (result.get(text), result.contains_key(lines)) {
            let split: Vec<Json> = text.lines().map(Json::from).collect();
            result.insert(lines.to_owned(), Json::from(split));
        }
    }
    if !result.contains_key("failed") {
        let code = result.get("rc").map(Json::to_string).unwrap_or_default();
        if !matches!(code.as_str(), "" | "0" | "\"0\"") {
            result.insert("failed".to_owned(), Json::from(true));
        }
    }
    if !warnings.is_empty() {
        let told = result.entry("warnings").or_insert_with(|| json!([]));
        if let Json::Array(told) = told {
            told.extend(warnings.into_iter().map(Json::from));
        }
    }
    Value::from(result).as_dict().cloned().unwrap_or_default()
}

/// The object in a module's output, and what to say about what stands around it.
fn read(stdout: &str) -> Result<(Map<String, Json>, Vec<String>), String> {
    let lines: Vec<&str> = stdout.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.trim().starts_with('{'))
        .ok_or("No start of json char found")?;
    let end = lines[start..]
        .iter()
        .rposition(|line| line.trim().ends_with('}'))
        .ok_or("No end of json char found")?
        + start;
    let mut warnings = Vec::new();
    if lines[end + 1..].iter().any(|line| !line.trim().is_empty()) {
        warnings.push(format!(
            "Module invocation had junk after the JSON data: {}",
            lines[end + 1..].join("\n")
        ));
    }
    let text = lines[start..=end].join("\n");
    let parsed = updraft_wire::from_python(&text).map_err(|error| error.to_string())?;
    match parsed {
        Json::Object(object) => Ok((object, warnings)),
        _ => Err("it is no object".to_owned()),
    }
}

/// The failure of a module that said nothing that is a result.
fn no_result(output: &ForeignOutput, why: &str) -> Dict {
    let interpreter = &output.interpreter;
    let absent = !interpreter.is_empty()
        && ["No such file or directory", "not found", "command not found"].iter().any(|said| {
            let said = format!("{interpreter}: {said}");
            output.stderr.contains(&said) || output.stdout.contains(&said)
        });
    let mut result = failed(if absent {
        format!("The module interpreter '{interpreter}' was not found.")
    } else {
        format!("Module result deserialization failed: {why}")
    });
    put(&mut result, "changed", false);
    put(&mut result, "module_stdout", Value::str(&output.stdout));
    put(&mut result, "module_stderr", Value::str(&output.stderr));
    put(&mut result, "rc", Value::Int(i64::from(output.code)));
    result
}

/// A result in which what modules of 2.19 say in objects of their own are texts.
pub(super) fn in_words(result: Dict) -> Dict {
    if !["exception", "warnings", "deprecations"].iter().any(|key| result.contains_key(*key)) {
        return result;
    }
    match Value::dict(result).to_json() {
        Json::Object(mut result) => {
            tidy(&mut result);
            Value::from(result).as_dict().cloned().unwrap_or_default()
        }
        _ => Dict::new(),
    }
}

/// Turns what modules of 2.19 say in objects of their own into what playbooks see.
fn tidy(result: &mut Map<String, Json>) {
    if let Some(Json::Array(warnings)) = result.get_mut("warnings") {
        for warning in warnings {
            if let Some(text) = message(warning) {
                *warning = Json::from(text);
            }
        }
    }
    if let Some(Json::Array(deprecations)) = result.get_mut("deprecations") {
        for deprecation in deprecations {
            let Some(text) = message(deprecation) else { continue };
            let of = |name: &str| deprecation.get(name).cloned().unwrap_or_default();
            let collection =
                deprecation.pointer("/deprecator/resolved_name").cloned().unwrap_or_default();
            *deprecation = json!({
                "msg": text, "version": of("version"), "date": of("date"),
                "collection_name": collection,
            });
        }
    }
    let Some(exception) = result.remove("exception") else { return };
    let text = match &exception {
        Json::String(text) => Some(text.clone()),
        other => {
            if let (Some(text), false) = (message(other), result.contains_key("msg")) {
                result.insert(
                    "msg".to_owned(),
                    Json::from(format!("Task failed: Module failed: {text}")),
                );
            } else if let Some(behind) = behind(other) {
                result.insert(CAUSE.to_owned(), Json::from(behind));
            }
            other.pointer("/event/formatted_traceback").and_then(Json::as_str).map(str::to_owned)
        }
    };
    let text = text.unwrap_or_else(|| NO_TRACEBACK.to_owned());
    result.insert("exception".to_owned(), Json::from(text));
}

/// The text of a warning, a deprecation or an error.
fn message(summary: &Json) -> Option<String> {
    summary.pointer("/event/msg").and_then(Json::as_str).map(str::to_owned)
}

/// What an error says of the ones that caused it, from the outside in.
fn behind(summary: &Json) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    let mut event = summary.get("event")?;
    while let Some(chain) = event.get("chain").filter(|chain| chain["follow"] != false) {
        let Some(inner) = chain.get("event") else { break };
        let text = inner.get("msg").and_then(Json::as_str).unwrap_or_default();
        said.push(text.trim_end_matches('.').to_owned());
        event = inner;
    }
    (!said.is_empty()).then(|| said.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stdout: &str) -> Dict {
        let output = ForeignOutput {
            stdout: stdout.to_owned(),
            stderr: "oh".to_owned(),
            code: 3,
            ..ForeignOutput::default()
        };
        result_of(&output, &ModuleRequest::default())
    }

    #[test]
    fn junk_around_a_result_is_passed_over_and_told_where_it_follows() {
        let result = told("hello\n{\"changed\": true, \"_ansible_x\": 1}\n");
        assert_eq!(Value::dict(result).to_json(), json!({ "changed": true }));
        let result = told("{\"changed\": true}\nbye\n");
        let warnings = result.get("warnings").unwrap().to_json();
        assert_eq!(warnings, json!(["Module invocation had junk after the JSON data: bye"]));
    }

    #[test]
    fn numbers_of_a_key_are_kept_to_the_last_digit() {
        let modulus = "7".repeat(617);
        let result = told(&format!("{{\"diff\": {{\"after\": {{\"modulus\": {modulus}}}}}}}\n"));
        let result = Value::dict(result).to_json();
        assert_eq!(result["diff"]["after"]["modulus"], modulus);
    }

    #[test]
    fn a_module_that_says_no_result_has_failed_with_all_that_it_said() {
        let result = Value::dict(told("Traceback\n")).to_json();
        assert_eq!(result["failed"], true);
        assert_eq!((&result["rc"], &result["module_stdout"]), (&json!(3), &json!("Traceback\n")));
        assert_eq!(result["module_stderr"], "oh");
    }

    #[test]
    fn an_interpreter_that_is_not_there_is_named() {
        let output = ForeignOutput {
            code: 127,
            stderr: "/bin/sh: 1: /no/python: not found\n".to_owned(),
            interpreter: "/no/python".to_owned(),
            ..ForeignOutput::default()
        };
        let result = result_of(&output, &ModuleRequest::default());
        let msg = result.get("msg").unwrap().to_text();
        assert_eq!(msg, "The module interpreter '/no/python' was not found.");
    }

    #[test]
    fn warnings_and_errors_of_219_become_texts() {
        let result = told(
            r#"{"failed": true, "warnings": [{"event": {"msg": "w", "__ansible_type": "Event"}}],
                "exception": {"event": {"msg": "boom", "formatted_traceback": null}}}"#,
        );
        let result = Value::dict(result).to_json();
        assert_eq!(result["warnings"], json!(["w"]));
        assert_eq!(result["msg"], "Task failed: Module failed: boom");
    }

    #[test]
    fn what_a_module_said_in_the_background_becomes_text_too() {
        let job = json!({"failed": true, "finished": 1, "exception": {"event": {"msg": "boom"}}});
        let result = in_words(Value::from(job).as_dict().cloned().unwrap());
        assert_eq!(
            Value::dict(result).to_json(),
            json!({"failed": true, "finished": 1, "msg": "Task failed: Module failed: boom", "exception": NO_TRACEBACK})
        );
    }

    #[test]
    fn an_exit_code_that_is_not_zero_is_a_failure_unless_the_module_says_otherwise() {
        assert!(super::super::outcome::flag(&told(r#"{"rc": 1}"#), "failed"));
        assert!(!super::super::outcome::flag(&told(r#"{"rc": 1, "failed": false}"#), "failed"));
    }
}
