//! Environment variables: read here and nowhere else.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]

use std::path::PathBuf;
use std::time::Duration;
use updraft_control::Dialect;

/// Where images and templates are kept instead of the user's data directory.
pub(crate) const STORE: &str = "UPDRAFT_STORE";

/// Die at this line of the journal, for crash tests: `7`, `after:7` or `before:7`, counted from 1.
pub(crate) const CRASH_AT: &str = "UPDRAFT_CRASH_AT";

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    path("HOME")
}

/// Images and templates: [`STORE`], `/var/lib/updraft` for root, else below `XDG_DATA_HOME`.
pub(crate) fn store() -> PathBuf {
    if let Some(store) = path(STORE) {
        return store;
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/updraft");
    }
    let data = path("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("updraft")
}

/// Sockets of running guests: `/run/updraft` for root, else below `XDG_RUNTIME_DIR`.
pub(crate) fn runtime() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/updraft");
    }
    let uid = rustix::process::geteuid().as_raw();
    path("XDG_RUNTIME_DIR")
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/updraft-{uid}")))
        .join("updraft")
}

/// Login name of who runs this: the one who called sudo, if anybody did.
pub(crate) fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| match rustix::process::getuid() {
            uid if uid.is_root() => "root".to_owned(),
            uid => format!("uid {}", uid.as_raw()),
        })
}

/// Login name of the user this runs as.
pub(crate) fn login() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "root".to_owned())
}

/// How playbooks are understood when the command does not say: `2.14` or `2.19`.
pub(crate) const DIALECT: &str = "UPDRAFT_DIALECT";

/// See [`DIALECT`].
pub(crate) fn dialect() -> Result<Dialect, String> {
    let asked = std::env::var(DIALECT).ok().filter(|text| !text.is_empty());
    asked.map_or(Ok(Dialect::default()), |text| text.parse())
}

/// How long connections to hosts are kept for later commands: `90s`, or `0s` for not at all.
pub(crate) const KEEP: &str = "UPDRAFT_KEEP";

/// As long as Ansible has OpenSSH keep its connections (`ControlPersist`).
const KEEP_USUALLY: Duration = Duration::from_secs(60);

/// See [`KEEP`]. `None`: not at all.
pub(crate) fn keep() -> Result<Option<Duration>, updraft_base::span::SpanError> {
    let asked = std::env::var(KEEP).ok().filter(|text| !text.is_empty());
    let idle = asked.map_or(Ok(KEEP_USUALLY), |text| updraft_base::span::parse(&text))?;
    Ok((!idle.is_zero()).then_some(idle))
}

/// Socket of the user's SSH agent.
pub(crate) fn ssh_auth_sock() -> Option<PathBuf> {
    path("SSH_AUTH_SOCK")
}

/// Everything, for the `env` lookup of templates.
pub(crate) fn all() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// See [`CRASH_AT`].
pub(crate) fn crash_at() -> Option<String> {
    std::env::var(CRASH_AT).ok().filter(|text| !text.is_empty())
}

/// Colour is not wanted: <https://no-color.org>.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
