//! Names, users, time, environment, and which programs run the machine.

use super::{Facts, line, text};
use crate::accounts;
use crate::context::Context;
use crate::process::Cmd;
use crate::systemctl;
use jiff::Zoned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(super) fn platform(ctx: &Context) -> Facts {
    let uname = rustix::system::uname();
    let text_of = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let nodename = text_of(uname.nodename());
    let machine = text_of(uname.machine());
    let fqdn = full_name(&nodename);
    let domain = fqdn.split_once('.').map_or(String::new(), |(_, domain)| domain.to_owned());
    let architecture = match machine.as_str() {
        "i386" | "i486" | "i586" | "i686" => "i386",
        other => other,
    };
    let bits = if cfg!(target_pointer_width = "64") { "64" } else { "32" };
    let Value::Object(mut facts) = json!({
        "system": text_of(uname.sysname()),
        "kernel": text_of(uname.release()),
        "kernel_version": text_of(uname.version()),
        "machine": machine,
        "architecture": architecture,
        "userspace_bits": bits,
        "userspace_architecture": architecture,
        "nodename": nodename,
        "hostname": nodename.split('.').next().unwrap_or_default(),
        "fqdn": fqdn,
        "domain": domain,
    }) else {
        unreachable!("an object literal is an object")
    };
    let id = line("/var/lib/dbus/machine-id").or_else(|| line("/etc/machine-id"));
    if let Some(id) = id {
        facts.insert("machine_id".into(), id.into());
    }
    facts.insert("python_version".into(), python(ctx).1.into());
    facts
}

/// The full name of this machine.
pub(crate) fn full_name(nodename: &str) -> String {
    fqdn(nodename, &text("/etc/hosts"))
}

/// The full name of this machine as the hosts file has it.
///
/// As the C library's canonical name: the name leads to an address, and the first line with that
/// address to the names. Name servers are not asked.
fn fqdn(nodename: &str, hosts: &str) -> String {
    let lines: Vec<Vec<&str>> = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect())
        .filter(|words: &Vec<&str>| words.len() > 1)
        .collect();
    let address = lines
        .iter()
        .find(|words| words[1..].iter().any(|name| name.eq_ignore_ascii_case(nodename)))
        .map(|words| words[0]);
    let Some(line) = address.and_then(|address| lines.iter().find(|words| words[0] == address))
    else {
        return nodename.to_owned();
    };
    line[1..].iter().find(|name| name.contains('.')).unwrap_or(&line[1]).to_string()
}

/// One fact.
fn one(key: &str, value: Value) -> Facts {
    Facts::from_iter([(key.to_owned(), value)])
}

/// What was said to the kernel when it booted.
pub(super) fn kernel_words() -> Facts {
    let cmdline = text("/proc/cmdline");
    let mut facts = one("cmdline", Value::Object(words(&cmdline, false)));
    facts.extend(one("proc_cmdline", Value::Object(words(&cmdline, true))));
    facts
}

pub(super) fn fips() -> Facts {
    one("fips", (line("/proc/sys/crypto/fips_enabled").as_deref() == Some("1")).into())
}

pub(super) fn apparmor() -> Facts {
    let there = Path::new("/sys/kernel/security/apparmor").exists();
    one("apparmor", json!({ "status": if there { "enabled" } else { "disabled" } }))
}

pub(super) fn selinux() -> Facts {
    let mut facts = one("selinux", selinux_state());
    facts.extend(one("selinux_python_present", true.into()));
    facts
}

pub(super) fn time(ctx: &Context) -> Facts {
    one("date_time", date_time(ctx))
}

pub(super) fn environment(ctx: &Context) -> Facts {
    one("env", env(ctx))
}

pub(super) fn name_servers() -> Facts {
    one("dns", dns(&text("/etc/resolv.conf")))
}

pub(super) fn services(ctx: &Context) -> Facts {
    one("service_mgr", service_manager(ctx).into())
}

pub(super) fn packages() -> Facts {
    one("pkg_mgr", package_manager().into())
}

pub(super) fn interpreter(ctx: &Context) -> Facts {
    one("python", python(ctx).0)
}

pub(super) fn chroot(ctx: &Context) -> Facts {
    one("is_chroot", systemctl::in_chroot(ctx).into())
}

pub(super) fn systemd(ctx: &Context) -> Facts {
    systemd_version(ctx).map(|version| one("systemd", version)).unwrap_or_default()
}

/// Load over 1, 5 and 15 minutes, which the kernel counts in 1/65536.
pub(super) fn load() -> Facts {
    let loads = rustix::system::sysinfo().loads;
    #[expect(clippy::cast_precision_loss, reason = "a load has fewer digits than a float")]
    let load = |at: usize| loads[at] as f64 / 65536.0;
    one("loadavg", json!({ "1m": load(0), "5m": load(1), "15m": load(2) }))
}

/// What `capsh`, where it is, says a process of ours may do.
pub(super) fn capabilities(ctx: &Context) -> Facts {
    let said = ctx.program("capsh").and_then(|program| {
        let ran = Cmd::new(program).arg("--print").plain_locale().run(ctx).ok()?;
        (ran.code == 0).then(|| ran.out())
    });
    let (enforced, capabilities) = match said {
        Some(said) => capabilities_in(&said),
        None => (json!("N/A"), json!("N/A")),
    };
    let mut facts = one("system_capabilities_enforced", enforced);
    facts.extend(one("system_capabilities", capabilities));
    facts
}

fn capabilities_in(said: &str) -> (Value, Value) {
    let Some(current) = said.lines().find_map(|line| line.strip_prefix("Current:")) else {
        return (json!("NA"), json!([]));
    };
    match current.trim() {
        "=ep" => (json!("False"), json!([])),
        _ => {
            let list = current.split('=').nth(1).unwrap_or_default();
            (json!("True"), list.split(',').map(str::trim).collect())
        }
    }
}

pub(super) fn user(ctx: &Context) -> Facts {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let entry = accounts::user_by_id(uid, ctx);
    let field = |pick: fn(&accounts::User) -> &String| entry.as_ref().map(pick).cloned();
    let Value::Object(facts) = json!({
        "user_id": field(|user| &user.name).unwrap_or_else(|| uid.to_string()),
        "user_uid": uid,
        "user_gid": entry.as_ref().map_or(gid, |user| user.gid),
        "user_gecos": field(|user| &user.comment).unwrap_or_default(),
        "user_dir": field(|user| &user.home).unwrap_or_default(),
        "user_shell": field(|user| &user.shell).unwrap_or_default(),
        "real_user_id": rustix::process::getuid().as_raw(),
        "effective_user_id": uid,
        "real_group_id": rustix::process::getgid().as_raw(),
        "effective_group_id": gid,
    }) else {
        unreachable!("an object literal is an object")
    };
    facts
}

fn env(ctx: &Context) -> Value {
    let all: BTreeMap<_, _> = ctx.inherited.iter().chain(&ctx.env).collect();
    all.into_iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

fn date_time(ctx: &Context) -> Value {
    let now = ctx.time.now();
    date_time_at(
        &now.to_zoned(jiff::tz::TimeZone::system()),
        &now.to_zoned(jiff::tz::TimeZone::UTC),
    )
}

fn date_time_at(local: &Zoned, utc: &Zoned) -> Value {
    let at = |format: &str| local.strftime(format).to_string();
    let universal = |format: &str| utc.strftime(format).to_string();
    let weekday = i64::from(local.weekday().to_sunday_zero_offset());
    // strftime's %W: weeks that begin on Monday, days before the first one are week 0.
    let week = (i64::from(local.day_of_year()) - 1 + 7 - (weekday + 6) % 7) / 7;
    json!({
        "year": at("%Y"), "month": at("%m"), "day": at("%d"),
        "weekday": at("%A"), "weekday_number": weekday.to_string(),
        "weeknumber": format!("{week:02}"),
        "hour": at("%H"), "minute": at("%M"), "second": at("%S"),
        "epoch": local.timestamp().as_second().to_string(),
        "epoch_int": local.timestamp().as_second().to_string(),
        "date": at("%Y-%m-%d"), "time": at("%H:%M:%S"),
        "iso8601_micro": universal("%Y-%m-%dT%H:%M:%S.%6fZ"),
        "iso8601": universal("%Y-%m-%dT%H:%M:%SZ"),
        "iso8601_basic": at("%Y%m%dT%H%M%S%6f"),
        "iso8601_basic_short": at("%Y%m%dT%H%M%S"),
        "tz": at("%Z"), "tz_dst": at("%Z"), "tz_offset": at("%z"),
    })
}

/// The settings of resolv.conf (resolv.conf(5)).
fn dns(text: &str) -> Value {
    let mut dns = Map::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (key, rest): (&str, Vec<&str>) = match words.next() {
            Some(key) if !key.starts_with(['#', ';']) => (key, words.collect()),
            _ => continue,
        };
        match key {
            "nameserver" => {
                let list = dns.entry("nameservers").or_insert_with(|| json!([]));
                if let (Some(list), Some(server)) = (list.as_array_mut(), rest.first()) {
                    list.push(Value::from(*server));
                }
            }
            "domain" => {
                if let Some(domain) = rest.first() {
                    dns.insert("domain".into(), Value::from(*domain));
                }
            }
            "search" => {
                dns.insert("search".into(), rest.into());
            }
            "sortlist" => {
                dns.insert("sortlist".into(), rest.into());
            }
            "options" => {
                let options: Map<String, Value> = rest
                    .iter()
                    .map(|option| match option.split_once(':') {
                        Some((key, value)) => (key.to_owned(), value.into()),
                        None => ((*option).to_owned(), true.into()),
                    })
                    .collect();
                dns.insert("options".into(), Value::Object(options));
            }
            _ => {}
        }
    }
    Value::Object(dns)
}

/// Words of the kernel's command line; repeated ones win last, or become lists.
fn words(text: &str, lists: bool) -> Map<String, Value> {
    let mut found = Map::new();
    for word in crate::shlex::split(text).unwrap_or_default() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Value::from(value)),
            None => (word, Value::from(true)),
        };
        match found.get_mut(&key) {
            Some(Value::Array(values)) if lists => values.push(value),
            Some(old) if lists => *old = json!([old.take(), value]),
            _ => {
                found.insert(key, value);
            }
        }
    }
    found
}

fn selinux_state() -> Value {
    let Some(enforce) = line("/sys/fs/selinux/enforce") else {
        return json!({ "status": "disabled" });
    };
    let config = text("/etc/selinux/config");
    let setting = |name: &str| {
        config
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    json!({
        "status": "enabled",
        "mode": if enforce == "1" { "enforcing" } else { "permissive" },
        "config_mode": setting("SELINUX"),
        "type": setting("SELINUXTYPE"),
        "policyvers": line("/sys/fs/selinux/policyvers"),
    })
}

/// What `systemctl --version` says, where systemd runs services.
fn systemd_version(ctx: &Context) -> Option<Value> {
    let program = ctx.program("systemctl").filter(|_| service_manager(ctx) == "systemd")?;
    let ran = Cmd::new(program).arg("--version").plain_locale().run(ctx).ok()?;
    let out = ran.out();
    let mut lines = out.lines();
    let version: u64 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    Some(json!({ "version": version, "features": lines.next().unwrap_or_default() }))
}

/// What runs services here, by the name Ansible gives it.
pub(crate) fn service_manager(ctx: &Context) -> String {
    let first = line("/proc/1/comm").unwrap_or_default();
    let shell_like = first.is_empty() || first == "init" || first.ends_with("sh");
    if first == "systemd" {
        return first;
    }
    let systemctl = ctx.program("systemctl").is_some();
    let running = ["/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd"]
        .iter()
        .any(|path| Path::new(path).exists());
    if systemctl && running {
        return "systemd".to_owned();
    }
    if !shell_like {
        return match first.as_str() {
            "runit-init" => "runit",
            "svscan" => "svc",
            "openrc-init" => "openrc",
            other => other,
        }
        .to_owned();
    }
    let init = fs::read_link("/sbin/init").unwrap_or_default();
    if systemctl && init.file_name().is_some_and(|name| name == "systemd") {
        return "systemd".to_owned();
    }
    if Path::new("/sbin/openrc").exists() {
        return "openrc".to_owned();
    }
    if Path::new("/etc/init.d").exists() {
        return "sysvinit".to_owned();
    }
    "service".to_owned()
}

/// The program that manages packages here, as the fact `pkg_mgr` has it.
pub(crate) fn package_manager() -> &'static str {
    [
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/dnf5", "dnf5"),
        ("/usr/bin/dnf", "dnf"),
        ("/usr/bin/yum", "yum"),
        ("/usr/bin/zypper", "zypper"),
        ("/sbin/apk", "apk"),
        ("/usr/bin/pacman", "pacman"),
        ("/usr/bin/emerge", "portage"),
    ]
    .into_iter()
    .find(|(path, _)| Path::new(path).exists())
    .map_or("unknown", |(_, name)| name)
}

pub(super) fn host_keys() -> Facts {
    let mut facts = Facts::new();
    for dir in ["/etc/ssh", "/etc/openssh", "/etc"] {
        for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let Some(key) = line(&format!("{dir}/ssh_host_{kind}_key.pub")) else { continue };
            let mut words = key.split_whitespace();
            if let (Some(keytype), Some(blob)) = (words.next(), words.next()) {
                let name = format!("ssh_host_key_{kind}_public");
                facts.insert(format!("{name}_keytype"), keytype.into());
                facts.insert(name, blob.into());
            }
        }
        if !facts.is_empty() {
            break;
        }
    }
    facts
}

/// The Python a role may ask about, even though we do not need it.
///
/// Version numbers come from the name of the program and dpkg's notes; only where those do not
/// tell is Python started, and its answer is remembered as long as the program stays the same.
/// Where there is none, version 3.0.0 is told, since roles compare it.
fn python(ctx: &Context) -> (Value, String) {
    let Some(program) = ctx.program("python3") else {
        return describe_python([3, 0, 0], Value::Null);
    };
    let version = noted_python(&program).or_else(|| asked_python(&program, ctx));
    describe_python(version.unwrap_or([3, 0, 0]), program.display().to_string().into())
}

/// What Python says of itself. Starting it takes longer than gathering everything else.
fn asked_python(program: &Path, ctx: &Context) -> Option<[u64; 3]> {
    type Asked = Option<(PathBuf, u64, i64, [u64; 3])>;
    static ASKED: Mutex<Asked> = Mutex::new(None);
    let meta = program.metadata().ok()?;
    let (inode, changed) = (meta.ino(), meta.mtime());
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, old_inode, old_changed, version)) = &*asked
        && (path.as_path(), *old_inode, *old_changed) == (program, inode, changed)
    {
        return Some(*version);
    }
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let ran = Cmd::new(program).args(["-I", "-S", "-c", script]).run(ctx).ok()?;
    let version = numbers(ran.out().trim())?;
    *asked = Some((program.to_owned(), inode, changed, version));
    Some(version)
}

fn describe_python(version: [u64; 3], program: Value) -> (Value, String) {
    let [major, minor, micro] = version;
    let described = json!({
        "version": {
            "major": major, "minor": minor, "micro": micro, "releaselevel": "final", "serial": 0
        },
        "version_info": [major, minor, micro, "final", 0],
        "executable": program,
        "has_sslcontext": true,
        "type": "cpython",
    });
    (described, format!("{major}.{minor}.{micro}"))
}

/// What dpkg knows of the package a system Python comes from.
fn noted_python(program: &Path) -> Option<[u64; 3]> {
    let real = fs::canonicalize(program).ok()?;
    let name = real.strip_prefix("/usr/bin").ok()?.to_str()?.to_owned();
    let status = text(crate::module::apt::STATUS_FILE);
    let at = status.find(&format!("Package: {name}-minimal\n"))?;
    let stanza = status[at..].split("\n\n").next()?;
    let version = stanza.lines().find_map(|line| line.strip_prefix("Version: "))?;
    numbers(version.split(['-', '~', '+']).next()?)
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_is_what_the_hosts_file_says() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 web1.shop.test web1 # me\n::1 localhost\n";
        assert_eq!(fqdn("web1", hosts), "web1.shop.test");
        assert_eq!(fqdn("localhost", hosts), "localhost");
        assert_eq!(fqdn("db1", hosts), "db1");
        assert_eq!(fqdn("vm", "127.0.0.1 localhost vm vm.lan\n"), "vm.lan");
    }

    #[test]
    fn dates_are_told_in_every_form() {
        let moment: updraft_base::Timestamp = "2026-11-21T08:43:28.773890Z".parse().unwrap();
        let utc = moment.to_zoned(jiff::tz::TimeZone::UTC);
        let told = date_time_at(&utc, &utc);
        assert_eq!(told["weekday"], "Saturday");
        assert_eq!(told["weekday_number"], "6");
        assert_eq!(told["weeknumber"], "46");
        assert_eq!(told["iso8601_micro"], "2026-11-21T08:43:28.773890Z");
        assert_eq!(told["iso8601_basic_short"], "20261121T084328");
        assert_eq!(told["tz_offset"], "+0000");
        assert_eq!(told["epoch"], "1795250608");
    }

    #[test]
    fn resolver_settings_are_read() {
        let text = "# c\nsearch a.test b.test\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n\
                    options edns0 ndots:2\n";
        assert_eq!(
            dns(text),
            json!({
                "search": ["a.test", "b.test"],
                "nameservers": ["10.0.0.1", "10.0.0.2"],
                "options": { "edns0": true, "ndots": "2" },
            })
        );
    }

    #[test]
    fn repeated_words_of_the_command_line_are_kept_where_asked() {
        let text = "quiet console=tty0 console=ttyS0 root=\"a b\"";
        assert_eq!(words(text, false)["console"], "ttyS0");
        assert_eq!(words(text, true)["console"], json!(["tty0", "ttyS0"]));
        assert_eq!(words(text, true)["root"], "a b");
        assert_eq!(words(text, false)["quiet"], true);
    }
}
