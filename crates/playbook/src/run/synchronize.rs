//! `synchronize`: which computer runs rsync, and what the other end is called there.
//!
//! Without `delegate_to` this one does, and reaches the host by the `ssh` program for itself; with it
//! the other host does. Who a task becomes is a matter of the far end: rsync is told how to start
//! itself there.

use super::execute::{Call, Crew};
use super::fetch::normal;
use super::outcome::{failed, put};
use super::reach::HostTarget;
use super::remote::{answer, target, unreachable};
use super::vars::TaskScope;
use crate::inventory::is_localhost;
use crate::template::{Context, Fault, Interp, expand_user};
use crate::value::{Dict, Value};
use serde_json::{Map, json};
use std::path::{Path, PathBuf};

/// What `ssh` is given where no setting says otherwise, as Ansible's `ssh_args` has it.
pub(super) const SSH_ARGS: &str = "-C -o ControlMaster=auto -o ControlPersist=60s";

/// Who talks to whom.
struct Ends {
    /// The host that does the work is reached over SSH.
    far: bool,
    /// The host that the task is delegated to runs rsync, and not this computer.
    delegated: bool,
    /// Both ends are on the computer that runs rsync.
    one: bool,
    /// What the other end is called.
    address: String,
}

impl Crew<'_> {
    pub(super) async fn synchronize(&self, call: &Call<'_>) -> Dict {
        let (ends, args) = match self.synchronize_args(call) {
            Ok(Ok(decided)) => decided,
            Ok(Err(result)) => return result,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let mut request = match self.request(call, "synchronize", &args) {
            Ok(request) => request,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        if !ends.one {
            request.become_user = None;
        }
        let session = if ends.far && !ends.delegated {
            let vars = Map::from_iter([("ansible_connection".to_owned(), json!("local"))]);
            let here = HostTarget { name: "localhost".to_owned(), vars };
            let session = self.reach.session(&here).await;
            session.map_err(|error| unreachable(&updraft_base::chain(&error)))
        } else {
            self.session(call).await
        };
        let session = match session {
            Ok(session) => session,
            Err(result) => return result,
        };
        let within = self.deadline(&request);
        let request = updraft_wire::Request::Module(request);
        let result = answer(session.call(request, within).await);
        self.with_invocation("synchronize", &args, result)
    }

    /// The arguments for who runs rsync; or the result, where there is nothing to run.
    fn synchronize_args(&self, call: &Call<'_>) -> Result<Result<(Ends, Dict), Dict>, Fault> {
        let (worker, context) = self.worker(call);
        let way = target(&worker.name, &context)?;
        let transport = if way.is_here() { "local".to_owned() } else { way.connection() };
        let transport = transport.rsplit('.').next().unwrap_or_default().to_owned();
        let known = ["smart", "ssh", "paramiko", "paramiko_ssh", "local"];
        if call.delegate.is_none() && !known.contains(&transport.as_str()) {
            return Ok(Err(failed(format!(
                "synchronize runs rsync, which gets to this host over ssh or finds it here; it is reached by `{transport}`"
            ))));
        }
        let text = |name: &str| call.args.get(name).filter(|it| !it.is_none()).map(Value::to_text);
        let (Some(src), Some(dest)) = (text("src"), text("dest")) else {
            return Ok(Err(failed("synchronize requires both src and dest parameters are set")));
        };
        let inventory = inventory_context(call, &call.scope.host.name);
        let ends = ends(call, inventory.as_ref(), transport != "local")?;
        let one = |name: &str| Ok::<_, Fault>(call.context.var(name)?.filter(Value::is_true));
        let mut args = call.args.clone();
        if args.shift_remove("use_ssh_args").is_some_and(|value| value.is_true())
            && ["smart", "ssh"].contains(&transport.as_str())
        {
            put(&mut args, "_ssh_args", self.ssh_args(&context)?);
        }
        let rsync = one("ansible_rsync_path")?;
        put(&mut args, "_local_rsync_path", rsync.unwrap_or_else(|| Value::str("rsync")));
        let port = one("ansible_port")?.or_else(|| way.port().map(|port| Value::Int(port.into())));
        if text("dest_port").is_none()
            && let Some(port) = &port
        {
            put(&mut args, "dest_port", port.clone());
        }
        let pulls = text("mode").as_deref() == Some("pull");
        let password;
        let (mut there, mut here) = if pulls { (src, dest) } else { (dest, src) };
        if ends.one {
            there = self.path_here(call, &there);
            password = ["ansible_ssh_pass", "ansible_password"]
                .iter()
                .find_map(|name| one(name).transpose())
                .transpose()?;
        } else {
            let user = match args.get("set_remote_user") {
                Some(value) if !value.as_boolean().unwrap_or(false) => None,
                _ => one("ansible_user")?.map(|user| user.to_text()).or_else(|| way.user()),
            };
            if text("private_key").is_none()
                && let Some(key) = way
                    .private_key()
                    .or_else(|| context.world.config.private_key_file.value.clone())
            {
                put(&mut args, "private_key", Value::from(key));
            }
            let usual = usual_ports(call)?.contains(&port.map(|port| port.to_text()));
            if !ends.delegated && is_localhost(&ends.address) && usual {
                there = self.path_here(call, &there);
            } else {
                if usual && is_localhost(&ends.address) {
                    put(&mut args, "_substitute_controller", true);
                }
                there = remote_path(&ends.address, &there, user.as_deref());
            }
            password = match &inventory {
                Some(vars) => match vars.var("ansible_ssh_pass")?.filter(Value::is_true) {
                    Some(password) => Some(password),
                    None => vars.var("ansible_password")?.filter(Value::is_true),
                },
                None => None,
            };
            // It is the far end that becomes somebody else.
            let becomes = self.become_user(call, &context)?.filter(|it| it.method == "sudo");
            if let (None, Some(becomes)) = (text("rsync_path").filter(|it| !it.is_empty()), becomes)
            {
                let path = format!("sudo -u {} rsync", becomes.user);
                put(&mut args, "rsync_path", Value::from(path));
            }
        }
        here = self.path_here(call, &here);
        let (src, dest) = if pulls { (there, here) } else { (here, there) };
        put(&mut args, "src", Value::from(src));
        put(&mut args, "dest", Value::from(dest));
        args.shift_remove("_local_rsync_password");
        if let Some(password) = password {
            put(&mut args, "_local_rsync_password", password);
        }
        Ok(Ok((ends, args)))
    }

    /// What `ssh` is given for the host that does the work.
    fn ssh_args(&self, context: &Context) -> Result<Value, Fault> {
        let config = &context.world.config;
        let mut all = Vec::new();
        for (name, setting) in [
            ("ansible_ssh_args", config.ssh_args.value.as_deref().or(Some(SSH_ARGS))),
            ("ansible_ssh_common_args", config.ssh_common_args.value.as_deref()),
            ("ansible_ssh_extra_args", None),
        ] {
            let told = context.var(name)?.map(|told| told.to_text());
            all.extend(told.or_else(|| setting.map(str::to_owned)).filter(|it| !it.is_empty()));
        }
        Ok(Value::from(all.join(" ")))
    }

    /// A path on this side, which a role and the playbook may say in short.
    fn path_here(&self, call: &Call<'_>, path: &str) -> String {
        if path.contains(':') || path.starts_with('/') {
            return path.to_owned();
        }
        let full = |path: &Path| {
            // A playbook named without a directory stands in this one.
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
        };
        let found = if path.starts_with('~') {
            normal(Path::new(&expand_user(&Interp::new(call.context), path)))
        } else {
            let play = full(&call.scope.play.dir);
            let (base, role) = match &call.scope.role {
                Some(role) => (full(&role.path), true),
                None => (play.clone(), false),
            };
            // The first is left as it was written.
            if base.join("files").join(path).exists() {
                return format!("{}/files/{path}", base.display());
            }
            let places = [
                role.then(|| base.join("tasks")),
                Some(full(Path::new("files"))),
                Some(base),
                Some(play.join("files")),
                Some(play),
            ];
            let places = places.into_iter().flatten().map(|place| normal(&place.join(path)));
            let places: Vec<PathBuf> = places.collect();
            let there = places.iter().find(|place| place.exists());
            there.or_else(|| places.last()).cloned().unwrap_or_default()
        };
        let end = if path.ends_with('/') { "/" } else { "" };
        format!("{}{end}", found.display())
    }
}

/// The variables of a host as `hostvars` has them.
fn inventory_context(call: &Call<'_>, host: &str) -> Option<Context> {
    call.scope.of_other(host).map(TaskScope::context)
}

/// Who talks to whom.
fn ends(call: &Call<'_>, inventory: Option<&Context>, far: bool) -> Result<Ends, Fault> {
    let name = call.scope.host.name.clone();
    let told = inventory.map(|vars| vars.var("ansible_host")).transpose()?.flatten();
    let address = told.map_or_else(|| name.clone(), |address| address.to_text());
    let Some(delegate) = &call.delegate else {
        return Ok(Ends { far, delegated: false, one: !far, address });
    };
    let one = delegate.name == name || delegate.name == address;
    Ok(Ends { far, delegated: one || far, one, address })
}

/// The ports under which this computer is in the inventory; where none is said it is the usual one.
fn usual_ports(call: &Call<'_>) -> Result<Vec<Option<String>>, Fault> {
    let mut ports = Vec::new();
    for host in ["localhost", "127.0.0.1", "::1"] {
        let Some(vars) = inventory_context(call, host) else { continue };
        let port = match vars.var("ansible_ssh_port")? {
            Some(port) => Some(port),
            None => vars.var("ansible_port")?,
        };
        ports.push(port.map(|port| port.to_text()));
    }
    Ok(ports)
}

/// A path on another computer, as rsync reads it.
fn remote_path(host: &str, path: &str, user: Option<&str>) -> String {
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    match path {
        _ if path.starts_with("rsync://") => path.to_owned(),
        _ if host.contains(':') => format!("[{user}{host}]:{path}"),
        _ if !path.contains(':') => format!("{user}{host}:{path}"),
        _ if !path.contains('@') => format!("{user}{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::remote_path;

    #[test]
    fn a_remote_path_may_name_its_host_itself() {
        let cases = [
            ("h1", "/a", Some("me"), "me@h1:/a"),
            ("h1", "/a", None, "h1:/a"),
            ("fe80::1", "/a", Some("me"), "[me@fe80::1]:/a"),
            ("h1", "h2:/a", Some("me"), "me@h2:/a"),
            ("h1", "you@h2:/a", Some("me"), "you@h2:/a"),
            ("h1", "rsync://h2/a", Some("me"), "rsync://h2/a"),
        ];
        for (host, path, user, wanted) in cases {
            assert_eq!(remote_path(host, path, user), wanted);
        }
    }
}
