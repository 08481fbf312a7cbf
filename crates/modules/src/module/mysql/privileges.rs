//! Privileges of a MariaDB account: as a task writes them, as the server tells them, and what turns
//! the one into the other.
//!
//! Those on columns and routines, and names that need escapes, are left to Ansible's module. Never
//! here: the server.

use super::strange;
use crate::outcome::Fault;

/// What may be done with what, in the order in which it was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Privileges(pub(super) Vec<(String, Vec<String>)>);

impl Privileges {
    fn get(&self, object: &str) -> Option<&[String]> {
        self.0
            .iter()
            .find(|(known, _)| known == object)
            .map(|(_, privileges)| privileges.as_slice())
    }

    /// Whether both hold the same, wherever it stands.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|(object, privileges)| other.get(object) == Some(privileges))
    }

    /// Reads `db.*:SELECT,INSERT/other.table:ALL`. Everybody may log in, which is `USAGE`; it is
    /// added unless privileges are to be taken away.
    pub(super) fn parse(text: &str, usage: bool) -> Result<Self, Fault> {
        let mut all = Self::default();
        for item in text.trim().split('/') {
            let odd = || strange("such a privilege");
            let (object, privileges) = item.trim().rsplit_once(':').ok_or_else(odd)?;
            let (database, table) = object.rsplit_once('.').ok_or_else(odd)?;
            if ["FUNCTION ", "PROCEDURE "].iter().any(|kind| database.starts_with(kind)) {
                return Err(odd());
            }
            let object = format!("{}.{}", side(database)?, side(table)?);
            let privileges: Vec<String> =
                privileges.to_uppercase().split(',').map(str::to_owned).collect();
            if !privileges.iter().all(|privilege| is_plain(privilege)) {
                return Err(odd());
            }
            match all.0.iter_mut().find(|(known, _)| *known == object) {
                Some((_, known)) => *known = privileges,
                None => all.0.push((object, privileges)),
            }
        }
        if usage && all.get("*.*").is_none() {
            all.0.push(("*.*".to_owned(), vec!["USAGE".to_owned()]));
        }
        Ok(all)
    }

    /// Reads what `SHOW GRANTS` tells of `user` at `host`; roles are nobody's privileges.
    pub(super) fn shown(
        lines: impl IntoIterator<Item = impl AsRef<str>>,
        user: &str,
        host: &str,
    ) -> Result<Self, Fault> {
        // Of accounts that stand for others the server tells in other quotes.
        let accounts = ['`', '\''].map(|q| format!(" TO {q}{user}{q}@{q}{host}{q}"));
        let mut all = Self::default();
        for line in lines {
            let line = line.as_ref();
            if line.starts_with("SET DEFAULT ROLE ") {
                continue;
            }
            let odd = || strange("such a grant");
            let grant = line.strip_prefix("GRANT ").ok_or_else(odd)?;
            let found = accounts.iter().find_map(|account| grant.split_once(account.as_str()));
            let (what, rest) = found.ok_or_else(odd)?;
            let Some((privileges, object)) = what.split_once(" ON ") else {
                if what.starts_with('`') {
                    continue;
                }
                return Err(odd());
            };
            let mut privileges: Vec<String> = privileges
                .split(',')
                .map(|privilege| match privilege.trim() {
                    "ALL PRIVILEGES" => "ALL".to_owned(),
                    other => other.to_owned(),
                })
                .collect();
            if !privileges.iter().all(|privilege| is_plain(privilege)) {
                return Err(odd());
            }
            if rest.contains("WITH GRANT OPTION") {
                privileges.push("GRANT".to_owned());
            }
            match all.0.iter_mut().find(|(known, _)| known == object) {
                Some((_, known)) => known.append(&mut privileges),
                None => all.0.push((object.to_owned(), privileges)),
            }
        }
        Ok(all)
    }
}

/// One side of `database.table`, as the server tells it.
fn side(name: &str) -> Result<String, Fault> {
    let bare = name.trim_matches('`');
    if bare == "*" {
        return Ok(name.to_owned());
    }
    if bare.is_empty() || bare.contains(['`', '\'', '"', '\n', '\r', '\0']) {
        return Err(strange("such a privilege"));
    }
    Ok(format!("`{bare}`"))
}

/// Whether it is words and nothing else.
fn is_plain(privilege: &str) -> bool {
    privilege.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ')
        && privilege.bytes().any(|byte| byte != b' ')
}

/// How new privileges go with those that are there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// They take their place.
    Replace,
    /// They are added.
    Append,
    /// They are taken away.
    Subtract,
}

/// Statements that change privileges, and what is told of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Edit {
    pub(super) statements: Vec<String>,
    /// What a grant was of and how Ansible's module writes it, beside the number of its statement.
    pub(super) grants: Vec<(usize, String, String)>,
    pub(super) message: Option<String>,
    /// Whether something changes for certain; the rest is seen afterwards.
    pub(super) changed: bool,
    /// Whether anything is done at all.
    pub(super) any: bool,
}

impl Edit {
    /// Grants privileges on an object. `account` is SQL for who gets them.
    pub(super) fn grant(&mut self, object: &str, privileges: &[String], account: &str) {
        let words = without_option(privileges);
        let option = privileges.iter().any(|privilege| privilege == "GRANT");
        let option = if option { " WITH GRANT OPTION" } else { "" };
        let told = object.replace('%', "%%");
        self.grants.push((
            self.statements.len(),
            words.clone(),
            format!("GRANT {words} ON {told} TO %s@%s{option}"),
        ));
        self.statements.push(format!("GRANT {words} ON {object} TO {account}{option}"));
    }

    fn revoke(&mut self, object: &str, privileges: &[String], option: bool, account: &str) {
        if option {
            self.statements.push(format!("REVOKE GRANT OPTION ON {object} FROM {account}"));
        }
        let words = without_option(privileges);
        let nothing = words.is_empty() || option && words == "USAGE";
        if !nothing {
            self.statements.push(format!("REVOKE {words} ON {object} FROM {account}"));
        }
        self.statements.push("FLUSH PRIVILEGES".to_owned());
    }

    /// What makes `current` into `wanted`. Once an account was seen to grant what it has, `option`
    /// stays so, for whatever of it is revoked later.
    pub(super) fn plan(
        current: &Privileges,
        wanted: &Privileges,
        way: Way,
        is_root: bool,
        option: &mut bool,
        account: &str,
    ) -> Self {
        let mut edit = Self::default();
        if way == Way::Replace {
            for (object, privileges) in &current.0 {
                let has = |what: &str| privileges.iter().any(|privilege| privilege == what);
                *option |= has("GRANT");
                if wanted.get(object).is_none() && !is_root && !has("PROXY") {
                    edit.message = Some("Privileges updated".to_owned());
                    edit.revoke(object, privileges, *option, account);
                    edit.changed = true;
                }
            }
        }
        if way != Way::Subtract {
            for (object, privileges) in &wanted.0 {
                if current.get(object).is_none() {
                    edit.message = Some("New privileges granted".to_owned());
                    edit.grant(object, privileges, account);
                    edit.changed = true;
                }
            }
        }
        for (object, wanted) in &wanted.0 {
            let Some(current) = current.get(object) else { continue };
            let (mut more, mut less) = (missing(wanted, current), missing(current, wanted));
            match way {
                Way::Append => less.clear(),
                Way::Subtract => {
                    more.clear();
                    less = distinct(wanted.iter().filter(|one| current.contains(one)));
                }
                Way::Replace => {
                    // What is in all of them need not go.
                    if more.iter().any(|one| one == "ALL" || one == "ALL PRIVILEGES") {
                        less.retain(|one| one == "GRANT" || one == "PROXY");
                    }
                    let grant = "GRANT".to_owned();
                    *option = less.contains(&grant) && !more.contains(&grant);
                }
            }
            if more == ["GRANT"] {
                more.push("USAGE".to_owned());
            }
            if more.is_empty() && less.is_empty() {
                continue;
            }
            edit.message = Some(format!(
                "Privileges updated: granted {}, revoked {}",
                listed(&more),
                listed(&less)
            ));
            edit.any = true;
            if !less.is_empty() {
                edit.revoke(object, &less, *option, account);
            }
            if !more.is_empty() {
                edit.grant(object, &more, account);
            }
        }
        edit.any |= edit.changed;
        edit
    }
}

fn without_option(privileges: &[String]) -> String {
    let words = privileges.iter().filter(|privilege| *privilege != "GRANT");
    words.map(String::as_str).collect::<Vec<_>>().join(",")
}

/// What of `these` is not among `those`, each once.
fn missing(these: &[String], those: &[String]) -> Vec<String> {
    distinct(these.iter().filter(|one| !those.contains(one)))
}

fn distinct<'a>(privileges: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for privilege in privileges {
        if !out.contains(privilege) {
            out.push(privilege.clone());
        }
    }
    out
}

/// A list as Python writes it.
fn listed(privileges: &[String]) -> String {
    crate::args::repr(&serde_json::Value::from(privileges.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Privileges {
        Privileges::parse(text, true).unwrap()
    }

    fn plan(current: &Privileges, wanted: &str, way: Way) -> Edit {
        let wanted = Privileges::parse(wanted, way != Way::Subtract).unwrap();
        Edit::plan(current, &wanted, way, false, &mut false, "A")
    }

    #[test]
    fn privileges_are_read_as_they_are_written() {
        let told = |text: &str| {
            let all = parse(text).0.into_iter();
            all.map(|(object, privileges)| format!("{object}={}", privileges.join("|")))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(told("shop.*:select,INSERT"), "`shop`.*=SELECT|INSERT *.*=USAGE");
        assert_eq!(told("*.*:ALL,GRANT"), "*.*=ALL|GRANT");
        assert_eq!(
            told("`a.b`.t:SELECT/a.*:ALL/a.*:DROP"),
            "`a.b`.`t`=SELECT `a`.*=DROP *.*=USAGE"
        );
        assert_eq!(told("a.*:CREATE VIEW, DROP"), "`a`.*=CREATE VIEW| DROP *.*=USAGE");
        for odd in [
            "",
            "shop",
            "shop:ALL",
            "a.*:SELECT (x)",
            "FUNCTION a.f:EXECUTE",
            "a'b.*:ALL",
            "a.*:",
            "a.*:X;Y",
        ] {
            let fault = Privileges::parse(odd, true).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{odd}");
        }
    }

    #[test]
    fn grants_are_read_as_the_server_shows_them() {
        let shown = Privileges::shown(
            [
                "GRANT `staff` TO `bob`@`localhost`",
                "GRANT USAGE ON *.* TO `bob`@`localhost` IDENTIFIED BY PASSWORD '*AB'",
                "GRANT ALL PRIVILEGES ON `shop`.* TO `bob`@`localhost` WITH GRANT OPTION",
                "GRANT SELECT, CREATE VIEW ON `shop`.`t on x` TO `bob`@`localhost`",
                "GRANT PROXY ON ''@'%' TO 'bob'@'localhost' WITH GRANT OPTION",
                "SET DEFAULT ROLE `staff` FOR `bob`@`localhost`",
            ],
            "bob",
            "localhost",
        );
        let text = |text: &str| text.to_owned();
        assert_eq!(
            shown.unwrap().0,
            [
                (text("*.*"), vec![text("USAGE")]),
                (text("`shop`.*"), vec![text("ALL"), text("GRANT")]),
                (text("`shop`.`t on x`"), vec![text("SELECT"), text("CREATE VIEW")]),
                (text("''@'%'"), vec![text("PROXY"), text("GRANT")]),
            ]
        );
        for odd in [
            "GRANT SELECT (`a`) ON `s`.`t` TO `bob`@`localhost`",
            "GRANT USAGE ON *.* TO `eve`@`localhost`",
            "something else",
        ] {
            assert!(Privileges::shown([odd], "bob", "localhost").is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_asked_for_already_takes_no_statement() {
        let current = parse("shop.*:SELECT,INSERT");
        for (wanted, way) in [
            ("shop.*:INSERT,SELECT", Way::Replace),
            ("shop.*:INSERT", Way::Append),
            ("shop.*:DROP", Way::Subtract),
            ("other.*:DROP", Way::Subtract),
        ] {
            assert_eq!(plan(&current, wanted, way).statements, Vec::<String>::new(), "{wanted}");
        }
    }

    #[test]
    fn what_differs_is_granted_and_revoked() {
        let current = parse("shop.*:SELECT,INSERT");
        let replaced = plan(&current, "shop.*:SELECT,DROP", Way::Replace);
        assert_eq!(
            replaced.statements,
            ["REVOKE INSERT ON `shop`.* FROM A", "FLUSH PRIVILEGES", "GRANT DROP ON `shop`.* TO A"]
        );
        let told = "Privileges updated: granted ['DROP'], revoked ['INSERT']";
        assert_eq!(replaced.message.as_deref(), Some(told));
        let moved = plan(&current, "other.*:ALL,GRANT", Way::Replace);
        assert_eq!(
            moved.statements,
            [
                "REVOKE SELECT,INSERT ON `shop`.* FROM A",
                "FLUSH PRIVILEGES",
                "GRANT ALL ON `other`.* TO A WITH GRANT OPTION",
            ]
        );
        let more = plan(&current, "shop.*:GRANT", Way::Append);
        assert_eq!(more.statements, ["GRANT USAGE ON `shop`.* TO A WITH GRANT OPTION"]);
        let less = plan(&current, "shop.*:INSERT,DROP", Way::Subtract);
        assert_eq!(less.statements, ["REVOKE INSERT ON `shop`.* FROM A", "FLUSH PRIVILEGES"]);
        let all = plan(&current, "shop.*:ALL", Way::Replace);
        assert_eq!(all.statements, ["GRANT ALL ON `shop`.* TO A"]);
    }

    proptest! {
        #[test]
        fn no_privilege_breaks_out_of_its_statement(text in r#"[a-zA-Z.*`'"\\;:,/() %-]{0,20}"#) {
            if let Ok(wanted) = Privileges::parse(&text, false) {
                for (object, privileges) in &wanted.0 {
                    prop_assert!(privileges.iter().all(|one| is_plain(one)));
                    prop_assert!(!object.contains(['\'', '"']));
                    // Outside of quotes there is a dot and perhaps stars.
                    let outside: String = object.split('`').step_by(2).collect();
                    prop_assert!(outside.chars().all(|c| c == '.' || c == '*'), "{}", object);
                    prop_assert_eq!(object.matches('`').count() % 2, 0);
                }
            }
        }
    }
}
