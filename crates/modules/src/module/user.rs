//! `user`: an account exists with these properties, or does not.
//!
//! What differs is decided from the account databases first; `useradd`, `usermod` and `userdel`
//! then do it. Password hashes go to `chpasswd` on its standard input, never into an argument.

use crate::accounts::{self, Group, User};
use crate::args::Args;
use crate::askpass::Askpass;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if args.flag("local") {
        for name in ["umask", "uid_min", "uid_max"] {
            if args.raw(name).is_some() {
                return Err(fail!("'{name}' can not be used with 'local'"));
            }
        }
    }
    let mut job = Job {
        args,
        ctx,
        name: args.text("name"),
        groups: args.raw("groups").map(|_| {
            let names = args.list("groups");
            names.iter().map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect()
        }),
        warnings: Vec::new(),
        changed: false,
        out: String::new(),
        err: String::new(),
    };
    let outcome = if args.text("state") == "absent" { job.absent() } else { job.present() }?;
    let mut outcome = outcome
        .with("name", job.name)
        .with("state", args.text("state"))
        .with("changed", job.changed);
    for (key, text) in [("stdout", &job.out), ("stderr", &job.err)] {
        if !text.is_empty() {
            outcome = outcome.with(key, text.as_str());
        }
    }
    if !job.warnings.is_empty() {
        outcome = outcome.with("warnings", job.warnings);
    }
    Ok(outcome)
}

/// What the shadow file says of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shadow {
    password: String,
    min: Option<i64>,
    max: Option<i64>,
    warn: Option<i64>,
    inactive: Option<i64>,
    /// Days since 1970.
    expires: Option<i64>,
}

impl Shadow {
    fn parse(text: &str, name: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
        Some(Self {
            password: fields.get(1).unwrap_or(&"").to_string(),
            min: number(3),
            max: number(4),
            warn: number(5),
            inactive: number(6),
            expires: number(7),
        })
    }
}

/// What a task wants to be different about an account that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Arguments for `usermod`; empty means nothing.
    usermod: Vec<String>,
    /// A hash for `chpasswd`.
    password: Option<String>,
}

/// What a task asks of an account, as far as `usermod` is concerned.
#[derive(Clone, Debug, Default)]
struct Asked<'a> {
    uid: Option<i64>,
    non_unique: bool,
    gid: Option<u32>,
    groups: Option<Vec<String>>,
    append: bool,
    comment: Option<&'a str>,
    home: Option<&'a str>,
    move_home: bool,
    shell: Option<&'a str>,
    /// Seconds since 1970; negative means never.
    expires: Option<f64>,
    inactive: Option<i64>,
    lock: Option<bool>,
    password: Option<&'a str>,
}

/// The difference between an account and what is asked of it.
fn decide(asked: &Asked<'_>, user: &User, shadow: &Shadow, member_of: &[String]) -> Changes {
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(uid) = asked.uid.filter(|uid| *uid != i64::from(user.uid)) {
        add("-u", uid.to_string());
        if asked.non_unique {
            words.push("-o".to_owned());
        }
    }
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(gid) = asked.gid.filter(|gid| *gid != user.gid) {
        add("-g", gid.to_string());
    }
    if let Some(groups) = &asked.groups {
        let missing = groups.iter().any(|group| !member_of.contains(group));
        let surplus = member_of.iter().any(|group| !groups.contains(group));
        if asked.append && missing {
            words.push("-a".to_owned());
        }
        if missing || (surplus && !asked.append) {
            words.extend(["-G".to_owned(), groups.join(",")]);
        }
    }
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(comment) = asked.comment.filter(|comment| *comment != user.comment) {
        add("-c", comment.to_owned());
    }
    if let Some(home) = asked.home.filter(|home| *home != user.home) {
        add("-d", home.to_owned());
        if asked.move_home {
            words.push("-m".to_owned());
        }
    }
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(shell) = asked.shell.filter(|shell| *shell != user.shell) {
        add("-s", shell.to_owned());
    }
    if let Some(expires) = asked.expires {
        let days = days(expires);
        let now = shadow.expires.filter(|days| *days >= 0);
        if days != now {
            add("-e", days.map(date).unwrap_or_default());
        }
    }
    if let Some(inactive) = asked.inactive.filter(|days| Some(*days) != shadow.inactive) {
        add("-f", inactive.to_string());
    }
    let locked = shadow.password.starts_with('!');
    let password = asked
        .password
        .filter(|hash| hash.trim_start_matches('!') != shadow.password.trim_start_matches('!'))
        .map(|hash| hashed(hash, asked.lock));
    if password.is_none() {
        match asked.lock {
            Some(true) if !locked => words.push("-L".to_owned()),
            Some(false) if locked => words.push("-U".to_owned()),
            _ => {}
        }
    }
    Changes { usermod: words, password }
}

fn hashed(hash: &str, lock: Option<bool>) -> String {
    if lock == Some(true) { format!("!{hash}") } else { hash.to_owned() }
}

/// Whole days since 1970, or nothing for never.
#[expect(clippy::cast_possible_truncation, reason = "dates fit")]
fn days(seconds: f64) -> Option<i64> {
    (seconds >= 0.0).then_some((seconds / 86_400.0).floor() as i64)
}

/// `2026-11-21`.
fn date(days: i64) -> String {
    let moment =
        updraft_base::Timestamp::from_second(days.saturating_mul(86_400)).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Context,
    name: &'a str,
    groups: Option<Vec<String>>,
    warnings: Vec<String>,
    changed: bool,
    out: String,
    err: String,
}

impl Job<'_> {
    fn find(&self) -> Option<User> {
        if self.args.flag("local") {
            return accounts::local_users().into_iter().find(|user| user.name == self.name);
        }
        accounts::user(self.name, self.ctx)
    }

    fn shadow(&self) -> Shadow {
        let text = fs::read("/etc/shadow").unwrap_or_default();
        // Without an entry an account counts as one that expired on day 0, as it does for Ansible:
        // taking that back makes the entry.
        let none = || Shadow { expires: Some(0), ..Shadow::default() };
        Shadow::parse(&String::from_utf8_lossy(&text), self.name).unwrap_or_else(none)
    }

    fn group(&self, name: &str) -> Result<Group, Fault> {
        let by_id = name.parse().ok().and_then(|gid| accounts::group_by_id(gid, self.ctx));
        by_id
            .or_else(|| accounts::group(name, self.ctx))
            .ok_or_else(|| fail!("Group {name} does not exist"))
    }

    /// Runs something that changes accounts; not in check mode.
    fn call(&mut self, cmd: Cmd) -> Result<(), Fault> {
        let ran: Ran =
            cmd.plain_locale().run(self.ctx).or_fail("cannot run the tools for accounts")?;
        self.out.push_str(&ran.out());
        self.err.push_str(&ran.err());
        if ran.success() {
            return Ok(());
        }
        Err(fail!("{}", ran.err()).with("name", self.name).with("rc", ran.code))
    }

    fn set_password(&mut self, hash: &str) -> Result<(), Fault> {
        let line = format!("{}:{hash}\n", self.name);
        self.call(Cmd::new("chpasswd").arg("-e").input(line))
    }

    fn absent(&mut self) -> Done {
        if self.find().is_none() {
            return Ok(Outcome::default());
        }
        self.changed = true;
        let (force, remove) = (self.args.flag("force"), self.args.flag("remove"));
        if !self.ctx.check {
            let mut cmd = Cmd::new("userdel");
            if force {
                cmd = cmd.arg("-f");
            }
            if remove {
                cmd = cmd.arg("-r");
            }
            self.call(cmd.arg("--").arg(self.name))?;
        }
        Ok(Outcome::default().with("force", force).with("remove", remove))
    }

    fn present(&mut self) -> Done {
        self.warn();
        let args = self.args;
        let mut outcome = Outcome::default();
        match self.find() {
            None => {
                self.changed = true;
                self.check_groups()?;
                if self.ctx.check {
                    return Ok(outcome);
                }
                self.create()?;
                outcome = outcome
                    .with("system", args.flag("system"))
                    .with("create_home", args.flag("create_home"));
            }
            Some(user) => {
                self.modify(&user)?;
                outcome = outcome
                    .with("append", args.flag("append"))
                    .with("move_home", args.flag("move_home"));
            }
        }
        if args.raw("password").is_some() {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
        }
        let user =
            self.find().ok_or_else(|| fail!("failed to look up user name: {}", self.name))?;
        outcome = outcome
            .with("uid", user.uid)
            .with("group", user.gid)
            .with("comment", user.comment.as_str())
            .with("home", user.home.as_str())
            .with("shell", user.shell.as_str());
        if let Some(groups) = &self.groups {
            outcome = outcome.with("groups", groups.join(","));
        }
        let home = args.str("home").unwrap_or(&user.home);
        if args.flag("create_home") && !Path::new(home).exists() {
            self.changed = true;
            if !self.ctx.check {
                self.make_home(Path::new(home), &user)?;
            }
        }
        if args.flag("generate_ssh_key") {
            outcome = self.ssh_key(&user, outcome)?;
        }
        self.age()?;
        Ok(outcome)
    }

    fn check_groups(&self) -> Result<(), Fault> {
        if let Some(group) = self.args.str("group") {
            self.group(group)?;
        }
        for group in self.groups.iter().flatten() {
            self.group(group)?;
        }
        Ok(())
    }

    fn warn(&mut self) {
        if self.groups.is_none() && self.args.flag("append") {
            self.warnings.push(
                "'append' is set, but no 'groups' are specified. Use 'groups' for appending new \
                 groups."
                    .to_owned(),
            );
        }
        let password = self.args.text("password");
        if !password.is_empty() && !looks_hashed(password) {
            self.warnings.push(
                "The input password appears not to have been hashed. The 'password' argument \
                 must be encrypted for this module to work properly."
                    .to_owned(),
            );
        }
    }

    fn create(&mut self) -> Result<(), Fault> {
        let args = self.args;
        let mut cmd = Cmd::new("useradd");
        if let Some(uid) = args.int("uid") {
            cmd = cmd.arg("-u").arg(uid.to_string());
            if args.flag("non_unique") {
                cmd = cmd.arg("-o");
            }
        }
        if let Some(group) = args.str("group") {
            cmd = cmd.arg("-g").arg(group);
        } else if accounts::group(self.name, self.ctx).is_some() {
            cmd = cmd.arg("-N");
        }
        if let Some(groups) = self.groups.as_ref().filter(|groups| !groups.is_empty()) {
            cmd = cmd.arg("-G").arg(groups.join(","));
        }
        for (name, flag) in [("seuser", "-Z"), ("comment", "-c"), ("shell", "-s")] {
            if let Some(value) = args.str(name) {
                cmd = cmd.arg(flag).arg(value);
            }
        }
        if let Some(home) = args.str("home") {
            if args.flag("create_home")
                && let Some(parent) = Path::new(home).parent()
            {
                fs::create_dir_all(parent)
                    .or_fail(format!("cannot create {}", parent.display()))?;
            }
            cmd = cmd.arg("-d").arg(home);
        }
        if let Some(expires) = args.raw("expires").and_then(Value::as_f64) {
            cmd = cmd.arg("-e").arg(days(expires).map(date).unwrap_or_default());
        }
        if let Some(days) = args.int("password_expire_account_disable") {
            cmd = cmd.arg("-f").arg(days.to_string());
        }
        if args.flag("create_home") {
            cmd = cmd.arg("-m");
            if let Some(skeleton) = args.str("skeleton") {
                cmd = cmd.arg("-k").arg(skeleton);
            }
            if let Some(umask) = args.str("umask") {
                cmd = cmd.arg("-K").arg(format!("UMASK={umask}"));
            }
        } else {
            cmd = cmd.arg("-M");
        }
        if args.flag("system") {
            cmd = cmd.arg("-r");
        }
        for (name, key) in [("uid_min", "UID_MIN"), ("uid_max", "UID_MAX")] {
            if let Some(value) = args.int(name) {
                cmd = cmd.arg("-K").arg(format!("{key}={value}"));
            }
        }
        self.call(cmd.arg("--").arg(self.name))?;
        if let Some(hash) = args.str("password") {
            self.set_password(&hashed(hash, args.maybe("password_lock")))?;
        }
        Ok(())
    }

    fn modify(&mut self, user: &User) -> Result<(), Fault> {
        let args = self.args;
        let gid = args.str("group").map(|group| self.group(group)).transpose()?.map(|g| g.gid);
        let groups = self
            .groups
            .as_ref()
            .map(|names| {
                let found = names.iter().map(|name| Ok(self.group(name)?.name));
                found.collect::<Result<Vec<_>, Fault>>()
            })
            .transpose()?;
        let member_of: Vec<String> = accounts::local_groups()
            .into_iter()
            .filter(|group| group.members.iter().any(|member| member == self.name))
            .map(|group| group.name)
            .collect();
        let asked = Asked {
            uid: args.int("uid"),
            non_unique: args.flag("non_unique"),
            gid,
            groups,
            append: args.flag("append"),
            comment: args.str("comment"),
            home: args.str("home"),
            move_home: args.flag("move_home"),
            shell: args.str("shell"),
            expires: args.raw("expires").and_then(Value::as_f64),
            inactive: args.int("password_expire_account_disable"),
            lock: args.maybe("password_lock"),
            password: args.str("password").filter(|_| args.text("update_password") == "always"),
        };
        let changes = decide(&asked, user, &self.shadow(), &member_of);
        if changes == Changes::default() {
            return Ok(());
        }
        self.changed = true;
        if self.ctx.check {
            return Ok(());
        }
        if !changes.usermod.is_empty() {
            self.call(Cmd::new("usermod").args(&changes.usermod).arg("--").arg(self.name))?;
        }
        if let Some(hash) = changes.password {
            self.set_password(&hash)?;
        }
        Ok(())
    }

    /// Makes a home directory after the skeleton, as `useradd` would have.
    fn make_home(&mut self, home: &Path, user: &User) -> Result<(), Fault> {
        let what = || format!("cannot create {}", home.display());
        let skeleton = PathBuf::from(self.args.str("skeleton").unwrap_or("/etc/skel"));
        fs::create_dir_all(home).or_fail(what())?;
        if skeleton.is_dir() {
            copy_tree(&skeleton, home, user).or_fail(what())?;
        }
        let text = fs::read_to_string("/etc/login.defs").unwrap_or_default();
        fs::set_permissions(home, fs::Permissions::from_mode(home_mode(&text))).or_fail(what())?;
        std::os::unix::fs::chown(home, Some(user.uid), Some(user.gid)).or_fail(what())
    }

    fn ssh_key(&mut self, user: &User, outcome: Outcome) -> Done {
        let args = self.args;
        let kind = args.text("ssh_key_type");
        let file = match args.str("ssh_key_file") {
            Some(file) => PathBuf::from(file),
            None => PathBuf::from(format!(".ssh/id_{kind}")),
        };
        let file = Path::new(&user.home).join(file);
        let public = PathBuf::from(format!("{}.pub", file.display()));
        let force = args.flag("force");
        if (file.exists() || public.exists()) && !force {
            self.warnings.push(format!(
                "Found existing ssh key private file \"{}\", no force, so skipping ssh-keygen generation",
                file.display()
            ));
        } else {
            self.changed = true;
            if !self.ctx.check {
                self.generate(user, &file, &public)?;
            }
        }
        let print = Cmd::new("ssh-keygen").args(["-l", "-f"]).arg(&file).plain_locale();
        let fingerprint = match print.run(self.ctx) {
            Ok(ran) if ran.success() => ran.out(),
            Ok(ran) => ran.err(),
            Err(_) => String::new(),
        };
        let key = fs::read_to_string(&public).ok().map(|key| key.trim().to_owned());
        Ok(outcome
            .with("ssh_fingerprint", fingerprint.trim())
            .with("ssh_key_file", file.display().to_string())
            .with("ssh_public_key", key))
    }

    fn generate(&mut self, user: &User, file: &Path, public: &Path) -> Result<(), Fault> {
        let args = self.args;
        if !Path::new(&user.home).exists() {
            return Err(fail!("User {} home directory does not exist", self.name));
        }
        let owned = |path: &Path| {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
                .or_fail(format!("cannot give {} to its user", path.display()))
        };
        let dir = crate::place::parent(file);
        if !dir.exists() {
            crate::place::make_private_dir(dir)
                .or_fail(format!("Failed to create {}", dir.display()))?;
            owned(dir)?;
        }
        for old in [file, public] {
            if old.exists() {
                fs::remove_file(old).or_fail(format!("cannot remove {}", old.display()))?;
            }
        }
        let mut cmd = Cmd::new("ssh-keygen").args(["-q", "-t", args.text("ssh_key_type")]);
        if let Some(bits) = args.int("ssh_key_bits").filter(|bits| *bits > 0) {
            cmd = cmd.arg("-b").arg(bits.to_string());
        }
        let comment = match args.str("ssh_key_comment") {
            Some(comment) => comment.to_owned(),
            None => {
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                format!("ansible-generated on {host}")
            }
        };
        cmd = cmd.args(["-C", &comment]);
        match args.str("ssh_key_passphrase").filter(|passphrase| !passphrase.is_empty()) {
            None => self.call(cmd.args(["-N", "", "-f"]).arg(file))?,
            Some(passphrase) => {
                let asked = Askpass::new(passphrase, self.ctx)?;
                self.call(asked.answers(cmd.arg("-f").arg(file)))?;
            }
        }
        owned(file)?;
        owned(public)
    }

    /// Ages of the password.
    fn age(&mut self) -> Result<(), Fault> {
        let shadow = self.shadow();
        let mut cmd = Cmd::new("chage");
        let mut due = false;
        for (name, flag, now) in [
            ("password_expire_min", "-m", shadow.min),
            ("password_expire_max", "-M", shadow.max),
            ("password_expire_warn", "-W", shadow.warn),
        ] {
            if let Some(days) = self.args.int(name).filter(|days| Some(*days) != now) {
                cmd = cmd.arg(flag).arg(days.to_string());
                due = true;
            }
        }
        if !due {
            return Ok(());
        }
        self.changed = true;
        if self.ctx.check {
            return Ok(());
        }
        self.call(cmd.arg("--").arg(self.name))
    }
}

/// Whether a password is a crypt(5) hash or a deliberate non-password.
fn looks_hashed(password: &str) -> bool {
    if matches!(password, "*" | "!" | "*************") {
        return true;
    }
    if password.contains([':', '*', '!']) {
        return false;
    }
    let fields: Vec<&str> = password.split('$').collect();
    let Some(last) = fields.last().filter(|_| fields.len() >= 3) else { return false };
    // crypt(5): lengths of the encoded hash of each method.
    let length = match fields[1] {
        "1" => 22,
        "5" | "y" => 43,
        "6" => 86,
        _ => last.len(),
    };
    last.len() == length && last.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b))
}

/// The mode of new home directories by login.defs(5).
fn home_mode(login_defs: &str) -> u32 {
    let setting = |name: &str| {
        login_defs.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == name).then(|| u32::from_str_radix(words.next()?, 8).ok())?
        })
    };
    setting("HOME_MODE").or_else(|| setting("UMASK").map(|mask| 0o777 & !mask)).unwrap_or(0o755)
}

fn copy_tree(from: &Path, to: &Path, user: &User) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir_all(&target)?;
            copy_tree(&entry.path(), &target, user)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
        std::os::unix::fs::lchown(&target, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> User {
        User::parse("web:x:1001:1002:Web:/srv/web:/bin/sh").unwrap()
    }

    fn check(asked: &Asked<'_>, password: &str, groups: &[&str], expected: &[&str]) {
        let shadow = Shadow { password: password.to_owned(), ..Shadow::default() };
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let changes = decide(asked, &web(), &shadow, &groups);
        let mut got = changes.usermod;
        got.extend(changes.password.map(|hash| format!("password={hash}")));
        assert_eq!(got, expected, "{asked:?}");
    }

    #[test]
    fn only_what_differs_is_changed() {
        let none = Asked::default;
        let groups = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        check(&none(), "*", &["adm"], &[]);
        check(&Asked { uid: Some(1001), gid: Some(1002), ..none() }, "*", &[], &[]);
        check(
            &Asked { uid: Some(2000), non_unique: true, ..none() },
            "*",
            &[],
            &["-u", "2000", "-o"],
        );
        check(&Asked { gid: Some(5), ..none() }, "*", &[], &["-g", "5"]);
        check(
            &Asked { groups: groups(&["adm", "sudo"]), ..none() },
            "*",
            &["adm"],
            &["-G", "adm,sudo"],
        );
        check(&Asked { groups: groups(&["adm"]), ..none() }, "*", &["adm", "sudo"], &["-G", "adm"]);
        check(&Asked { groups: groups(&[]), ..none() }, "*", &["adm"], &["-G", ""]);
        let append = |names| Asked { groups: groups(names), append: true, ..none() };
        check(&append(&["adm"]), "*", &["adm", "sudo"], &[]);
        check(&append(&["www"]), "*", &["adm"], &["-a", "-G", "www"]);
        check(
            &Asked { shell: Some("/bin/bash"), comment: Some("Web"), ..none() },
            "*",
            &[],
            &["-s", "/bin/bash"],
        );
        check(
            &Asked { home: Some("/home/web"), move_home: true, ..none() },
            "*",
            &[],
            &["-d", "/home/web", "-m"],
        );
    }

    #[test]
    fn passwords_are_set_locked_and_unlocked() {
        let none = Asked::default;
        check(&Asked { password: Some("$6$a"), ..none() }, "$6$a", &[], &[]);
        check(&Asked { password: Some("$6$a"), ..none() }, "!$6$a", &[], &[]);
        check(&Asked { password: Some("$6$b"), ..none() }, "$6$a", &[], &["password=$6$b"]);
        let locked = Asked { password: Some("$6$b"), lock: Some(true), ..none() };
        check(&locked, "$6$a", &[], &["password=!$6$b"]);
        check(&Asked { lock: Some(true), ..none() }, "$6$a", &[], &["-L"]);
        check(&Asked { lock: Some(true), ..none() }, "!$6$a", &[], &[]);
        check(&Asked { lock: Some(false), ..none() }, "!$6$a", &[], &["-U"]);
    }

    #[test]
    fn an_account_expires_on_a_day_or_never() {
        let none = Asked::default;
        check(&Asked { expires: Some(1_795_250_608.0), ..none() }, "*", &[], &["-e", "2026-11-21"]);
        check(&Asked { expires: Some(-1.0), ..none() }, "*", &[], &[]);
        let shadow = Shadow { expires: Some(20_778), ..Shadow::default() };
        let asked = Asked { expires: Some(1_795_250_608.0), ..none() };
        assert_eq!(decide(&asked, &web(), &shadow, &[]), Changes::default());
        let never = Asked { expires: Some(-1.0), ..none() };
        assert_eq!(decide(&never, &web(), &shadow, &[]).usermod, ["-e", ""]);
    }

    #[test]
    fn a_plain_password_is_noticed() {
        let sha512 = format!("$6$salt${}", "a".repeat(86));
        for (password, hashed) in [
            (sha512.as_str(), true),
            ("!", true),
            ("*", true),
            ("hunter2", false),
            ("$6$salt$short", false),
            ("a:b", false),
        ] {
            assert_eq!(looks_hashed(password), hashed, "{password}");
        }
    }

    #[test]
    fn shadow_and_login_settings_are_read() {
        let shadow = Shadow::parse("root:*:1:0:99999:7:::\nweb:$6$x:2:1:90:5:30:20000:\n", "web");
        let shadow = shadow.unwrap();
        assert_eq!((shadow.min, shadow.max, shadow.warn), (Some(1), Some(90), Some(5)));
        assert_eq!((shadow.inactive, shadow.expires), (Some(30), Some(20_000)));
        assert_eq!(home_mode("UMASK 022\nHOME_MODE\t0700\n"), 0o700);
        assert_eq!(home_mode("# HOME_MODE 0700\nUMASK 027\n"), 0o750);
    }
}
