//! Users and groups: the files in `/etc` first, then whatever `getent` knows.
//!
//! A static binary cannot load the C library's name service plug-ins, so directories such as LDAP
//! are reached by asking the system's own `getent`. Never here: changing accounts.

use crate::context::Context;
use crate::process::Cmd;
use std::fs;
use std::time::Duration;

/// A directory server that does not answer must not hold a module up for good.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) comment: String,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// A line of the group database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

impl User {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        fields.next()?;
        Some(Self {
            name,
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
            comment: fields.next()?.to_owned(),
            home: fields.next()?.to_owned(),
            shell: fields.next()?.to_owned(),
        })
    }
}

impl Group {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        fields.next()?;
        let gid = fields.next()?.parse().ok()?;
        let members = fields.next()?.split(',').filter(|name| !name.is_empty());
        Some(Self { name, gid, members: members.map(str::to_owned).collect() })
    }
}

/// Every user in `/etc/passwd`.
pub(crate) fn local_users() -> Vec<User> {
    read("/etc/passwd").lines().filter_map(User::parse).collect()
}

/// Every group in `/etc/group`.
pub(crate) fn local_groups() -> Vec<Group> {
    read("/etc/group").lines().filter_map(Group::parse).collect()
}

/// The user called `name`.
pub(crate) fn user(name: &str, ctx: &Context) -> Option<User> {
    local_users()
        .into_iter()
        .find(|user| user.name == name)
        .or_else(|| User::parse(&getent("passwd", name, ctx)?))
        .filter(|user| user.name == name)
}

/// The user with a number.
pub(crate) fn user_by_id(uid: u32, ctx: &Context) -> Option<User> {
    local_users()
        .into_iter()
        .find(|user| user.uid == uid)
        .or_else(|| User::parse(&getent("passwd", &uid.to_string(), ctx)?))
        .filter(|user| user.uid == uid)
}

/// The group called `name`.
pub(crate) fn group(name: &str, ctx: &Context) -> Option<Group> {
    local_groups()
        .into_iter()
        .find(|group| group.name == name)
        .or_else(|| Group::parse(&getent("group", name, ctx)?))
        .filter(|group| group.name == name)
}

/// The group with a number.
pub(crate) fn group_by_id(gid: u32, ctx: &Context) -> Option<Group> {
    local_groups()
        .into_iter()
        .find(|group| group.gid == gid)
        .or_else(|| Group::parse(&getent("group", &gid.to_string(), ctx)?))
        .filter(|group| group.gid == gid)
}

fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Asks the name service, if it knows more than the files do.
fn getent(database: &str, key: &str, ctx: &Context) -> Option<String> {
    if !has_more_sources(&read("/etc/nsswitch.conf"), database) {
        return None;
    }
    let ran = Cmd::new("getent").args([database, key]).within(PATIENCE).run(ctx).ok()?;
    ran.success().then(|| ran.out().lines().next().map(str::to_owned))?
}

/// Whether nsswitch.conf names a source that can hold accounts we did not see in the files.
///
/// `systemd` counts as none: it knows root, nobody and dynamic users of running services.
fn has_more_sources(nsswitch: &str, database: &str) -> bool {
    nsswitch
        .lines()
        .filter_map(|line| line.split('#').next()?.split_once(':'))
        .filter(|(name, _)| name.trim() == database)
        .flat_map(|(_, sources)| sources.split_whitespace())
        .any(|source| !source.starts_with('[') && !matches!(source, "files" | "compat" | "systemd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_lines_are_read_and_broken_ones_passed_over() {
        let user = User::parse("web:x:1001:1002:Web,,,:/srv/web:/bin/sh").unwrap();
        assert_eq!((user.uid, user.gid), (1001, 1002));
        assert_eq!((user.comment.as_str(), user.home.as_str()), ("Web,,,", "/srv/web"));
        let group = Group::parse("adm:x:4:syslog,web").unwrap();
        assert_eq!(group.members, ["syslog", "web"]);
        assert!(Group::parse("empty:x:7:").unwrap().members.is_empty());
        for line in ["", "# comment", "web:x:one:2:::", "+::::::"] {
            assert_eq!(User::parse(line), None, "{line}");
        }
    }

    #[test]
    fn getent_is_asked_only_where_it_can_know_more() {
        let debian = "passwd:         files systemd\ngroup: compat # ldap\n";
        assert!(!has_more_sources(debian, "passwd"));
        assert!(!has_more_sources(debian, "group"));
        assert!(has_more_sources("passwd: files [NOTFOUND=continue] sss\n", "passwd"));
        assert!(!has_more_sources("", "passwd"));
    }
}
