//! What the agent says of itself and its machine.

use crate::root::Root;
use std::fs;
use updraft_wire::Peer;

/// The peer of a hello.
pub(crate) fn describe(root: &Root) -> Peer {
    let uname = rustix::system::uname();
    Peer {
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: uname.nodename().to_string_lossy().into_owned(),
        boot_id: boot_id(),
        user: user(),
        arch: uname.machine().to_string_lossy().into_owned(),
        machine: crate::identity::machine(root),
    }
}

/// The kernel's boot id; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The effective user by name, or by number when it has none.
pub(crate) fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    account(|account| account.uid == uid).map_or_else(|| uid.to_string(), |account| account.name)
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

/// The first local account that fits.
pub(crate) fn account(fits: impl Fn(&Account) -> bool) -> Option<Account> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    accounts(&text).find(|account| fits(account))
}

/// The accounts of a passwd file; lines that are none are passed over.
pub(crate) fn accounts(passwd: &str) -> impl Iterator<Item = Account> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?.to_owned();
        Some(Account { name, uid, gid, home })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_other_lines_passed_over() {
        let text = "root:x:0:0:root:/root:/bin/bash\n+nis\nops:x:1000:1001::/home/ops:/bin/sh\n";
        let found: Vec<Account> = accounts(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].uid, found[1].gid, &*found[1].home), (1000, 1001, "/home/ops"));
    }
}
