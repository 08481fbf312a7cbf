//! Modules that this side prepares: `unarchive`, `assemble` and `uri`, whose source may lie here, and
//! `package`, which is another one on each system.

use super::content::Content;
use super::execute::{Call, Crew};
use super::outcome::{failed, flag, put};
use crate::value::{Dict, Value};
use std::path::Path;
use updraft_wire::MANAGER;

impl Crew<'_> {
    pub(super) async fn unarchive(&self, call: &Call<'_>) -> Dict {
        let text = |name: &str| call.args.get(name).filter(|it| !it.is_none()).map(Value::to_text);
        let truth = |name: &str| call.args.get(name).and_then(Value::as_boolean);
        let (Some(src), Some(_)) = (text("src"), text("dest")) else {
            return failed("src (or content) and dest are required");
        };
        if truth("copy").is_some() && truth("remote_src").is_some() {
            return failed("parameters are mutually exclusive: ('copy', 'remote_src')");
        }
        let mut args = call.args.clone();
        let decrypt = args.shift_remove("decrypt").and_then(|value| value.as_boolean());
        if truth("remote_src").or_else(|| truth("copy").map(|copy| !copy)).unwrap_or(false) {
            return self.module(call, "unarchive", &args).await;
        }
        if src.contains("://") {
            return failed(format!(
                "Unsupported option, an URI src ({src}) is only supported when remote_src is True"
            ));
        }
        self.with_staged(call, "unarchive", &src, args, decrypt.unwrap_or(true)).await
    }

    /// Runs the module of the host's package manager.
    pub(super) async fn package(&self, call: &Call<'_>) -> Dict {
        let (_, context) = self.worker(call);
        let text = |value: Option<&Value>| {
            value.filter(|value| !value.is_none()).map(Value::to_text).filter(|it| it != "auto")
        };
        let told = match text(call.args.get("use")) {
            Some(told) => Some(told),
            None => match context.var("ansible_package_use") {
                Ok(told) => text(told.as_ref()),
                Err(fault) => return failed(format!("Task failed: {}", fault.what)),
            },
        };
        let known = || {
            let facts = context.var("ansible_facts").ok().flatten()?;
            text(facts.get("pkg_mgr"))
        };
        let manager = match told.or_else(known) {
            Some(manager) => manager,
            // Nothing here hangs on which it is: the host knows.
            None if call.task.detach.is_none() && call.task.common.module_defaults.is_empty() => {
                match self.package_of_host(call).await {
                    Ok(result) => return result,
                    Err(manager) => manager,
                }
            }
            None => match self.package_manager(call).await {
                Ok(manager) => manager,
                Err(result) => return result,
            },
        };
        let short = crate::parse::catalog::short(&manager);
        let mut args = match self.with_defaults(call, &[short]) {
            Ok(args) => args,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        args.shift_remove("use");
        if crate::parse::catalog::module(short).is_some() {
            return self.run_module(call, None, short, &args).await;
        }
        match self.shared.modules.find(&manager) {
            Ok(found) => self.run_module(call, Some(found.as_ref()), &found.name, &args).await,
            Err(_) => failed(format!(
                "Could not find a matching action for the \"{manager}\" package manager."
            )),
        }
    }

    /// Has the host run the module of its package manager, if that is one of ours.
    ///
    /// # Errors
    /// With the name of the package manager, if it is another.
    async fn package_of_host(&self, call: &Call<'_>) -> Result<Dict, String> {
        let mut args = call.args.clone();
        args.shift_remove("use");
        let mut result = self.native_as(call, "package", "apt", &args, None).await;
        match result.shift_remove(MANAGER) {
            Some(manager) => Err(manager.to_text()),
            None => Ok(result),
        }
    }

    /// What a host says of its package manager.
    async fn package_manager(&self, call: &Call<'_>) -> Result<String, Dict> {
        self.one_fact(call, "ansible_pkg_mgr").await?.ok_or_else(|| {
            failed("Could not detect a package manager. Try using the \"use\" option.")
        })
    }

    /// A fact that a host is asked for.
    async fn one_fact(&self, call: &Call<'_>, name: &str) -> Result<Option<String>, Dict> {
        let mut args = Dict::new();
        put(&mut args, "gather_subset", Value::str("!all"));
        put(&mut args, "filter", Value::str(name));
        let result = self.module(call, "setup", &args).await;
        if flag(&result, "unreachable") {
            return Err(result);
        }
        Ok(result.get("ansible_facts").and_then(|facts| facts.get(name)).map(Value::to_text))
    }

    /// The arguments of `service`, with what `module_defaults` says of the module that manages
    /// services on the host.
    pub(super) async fn service_args(&self, call: &Call<'_>) -> Result<Dict, Dict> {
        if call.task.common.module_defaults.is_empty() {
            return Ok(call.args.clone());
        }
        let (_, context) = self.worker(call);
        let text = |value: Option<&Value>| {
            value.filter(|value| !value.is_none()).map(Value::to_text).filter(|it| it != "auto")
        };
        let told = text(call.args.get("use")).or_else(|| {
            let facts = context.var("ansible_facts").ok().flatten()?;
            text(facts.get("service_mgr"))
        });
        let manager = match told {
            Some(manager) => Some(manager),
            None => self.one_fact(call, "ansible_service_mgr").await?,
        };
        let names: &[&str] = match manager.as_deref() {
            None => &[],
            Some("systemd") => &["systemd_service", "systemd"],
            Some(other) => &[other],
        };
        self.with_defaults(call, names)
            .map_err(|fault| failed(format!("Task failed: {}", fault.what)))
    }

    pub(super) async fn uri(&self, call: &Call<'_>) -> Dict {
        let remote = call.args.get("remote_src").and_then(Value::as_boolean).unwrap_or(false);
        let src = call.args.get("src").filter(|src| !src.is_none()).map(Value::to_text);
        match src {
            Some(src) if !remote => {
                self.with_staged(call, "uri", &src, call.args.clone(), false).await
            }
            _ => self.run_module(call, None, "uri", &call.args).await,
        }
    }

    /// Runs a module with a file of this side as its source.
    async fn with_staged(
        &self,
        call: &Call<'_>,
        name: &str,
        src: &str,
        mut args: Dict,
        decrypt: bool,
    ) -> Dict {
        let path = match self.local(call, "files", src) {
            Ok(path) => path,
            Err(result) => return result,
        };
        let content = match Content::of(call, &path, decrypt) {
            Ok(content) => content,
            Err(result) => return result,
        };
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        match content.staged(session.as_ref(), 0o600).await {
            Ok(place) => put(&mut args, "_updraft_staged", Value::from(place)),
            Err(result) => return result,
        }
        self.run_module(call, None, name, &args).await
    }

    pub(super) async fn assemble(&self, call: &Call<'_>) -> Dict {
        let text = |name: &str| call.args.get(name).filter(|it| !it.is_none()).map(Value::to_text);
        let truth =
            |name: &str, usual| call.args.get(name).and_then(Value::as_boolean).unwrap_or(usual);
        let (Some(src), Some(_)) = (text("src"), text("dest")) else {
            return failed("src and dest are required");
        };
        if truth("remote_src", true) {
            let mut result = self.module(call, "assemble", &call.args).await;
            // Ansible tells how the file changes only where the parts lie on this side.
            result.shift_remove("diff");
            return result;
        }
        let dir = match self.local(call, "files", &src) {
            Ok(dir) if dir.is_dir() => dir,
            Ok(dir) => return failed(format!("Source ({}) is not a directory", dir.display())),
            Err(result) => return result,
        };
        let pattern = match text("regexp").map(|regexp| fancy_regex::Regex::new(&regexp)) {
            None => None,
            Some(Ok(pattern)) => Some(pattern),
            Some(Err(error)) => return failed(format!("Invalid Regexp: {error}")),
        };
        let wanted = |name: &str| {
            let fits = pattern.as_ref().is_none_or(|one| one.is_match(name).unwrap_or(false));
            fits && !(truth("ignore_hidden", false) && name.starts_with('.'))
        };
        let delimiter =
            text("delimiter").map(|text| text.replace("\\n", "\n").replace("\\t", "\t"));
        let content = match assembled(&dir, delimiter.as_deref(), &wanted) {
            Ok(content) => content,
            Err(why) => return failed(why),
        };
        let mut args = call.args.clone();
        for name in ["src", "remote_src", "regexp", "delimiter", "ignore_hidden", "decrypt"] {
            args.shift_remove(name);
        }
        let mut result = self.deliver(call, &Content::Whole(content.into()), args).await;
        // There is one file, and Ansible tells its difference as one.
        if let Some([only]) = result.get("diff").and_then(Value::as_list) {
            let only = only.clone();
            put(&mut result, "diff", only);
        }
        result
    }
}

/// The files of a directory one after another.
fn assembled(
    dir: &Path,
    delimiter: Option<&str>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<u8>, String> {
    let mut out: Vec<u8> = Vec::new();
    let mut first = true;
    for path in crate::inventory::sorted_entries(dir) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if !path.is_file() || !name.is_some_and(|name| wanted(&name)) {
            continue;
        }
        let part = std::fs::read(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        if !first {
            if out.last().is_some_and(|last| *last != b'\n') {
                out.push(b'\n');
            }
            if let Some(delimiter) = delimiter {
                out.extend(delimiter.as_bytes());
                if !delimiter.ends_with('\n') {
                    out.push(b'\n');
                }
            }
        }
        out.extend(part);
        first = false;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_joined_at_lines() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("1", "a"), ("2", "b\n"), (".3", "hidden"), ("4", "c\n")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let visible = |name: &str| !name.starts_with('.');
        let joined = assembled(dir.path(), None, &visible).unwrap();
        assert_eq!(String::from_utf8(joined).unwrap(), "a\nb\nc\n");
        let joined = assembled(dir.path(), Some("--"), &visible).unwrap();
        assert_eq!(String::from_utf8(joined).unwrap(), "a\n--\nb\n--\nc\n");
    }
}
