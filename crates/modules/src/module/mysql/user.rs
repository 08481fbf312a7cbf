//! `mysql_user`: accounts of a MariaDB server, their passwords and privileges.
//!
//! Passwords are hashed here and told to nobody. Other ways to log in, limits, TLS, roles and
//! servers before MariaDB 10.4 are left to Ansible's module.

use super::privileges::{Edit, Privileges, Way};
use super::{Refusal, Server, is_known, literal, strange};
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use crate::place::sha1_of;
use serde_json::Value;
use sha1::{Digest as _, Sha1};

/// Arguments that are Ansible's business when they are given.
const LEFT: &[&str] = &[
    "tls_requires",
    "attributes",
    "plugin",
    "plugin_hash_string",
    "plugin_auth_string",
    "salt",
    "resource_limits",
    "session_vars",
    "password_expire",
    "password_expire_interval",
    "locked",
];
/// Said until version 4 of the collection to whoever does not choose.
const COLUMNS: &str = "Option column_case_sensitive is not provided. The default is now false, so \
                       the column's name will be uppercased. The default will be changed to true in \
                       community.mysql 4.0.0.";
/// ER_CANNOT_USER: a password that takes more than ALTER USER.
const CANNOT_USER: i64 = 1396;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let told = args.deprecations(&["user"], "community.mysql", "5.0.0");
    let done = decide(args, ctx);
    match done {
        _ if told.is_empty() => done,
        Ok(outcome) => Ok(outcome.with("deprecations", told)),
        Err(fault) => Err(fault.with("deprecations", told)),
    }
}

fn decide(args: &Args, ctx: &Context) -> Done {
    if LEFT.iter().any(|name| args.raw(name).is_some()) || args.flag("force_context") {
        return Err(strange("plugin, salt, locked, limits, attributes, variables or TLS"));
    }
    let (way, privileges) = privileges(args)?;
    let server = Server::reach(args, ctx)?
        .map_err(|refusal| super::no_connection(args.text("config_file"), &refusal.shown()))?;
    let account = Account {
        user: args.text("name"),
        host: args.text("host").to_lowercase(),
        everywhere: args.flag("host_all"),
        silent: !args.flag("sql_log_bin"),
        server: &server,
        ctx,
    };
    let done = account.settle(args, way, privileges.as_ref());
    match args.raw("column_case_sensitive") {
        Some(_) => done,
        None => match done {
            Ok(outcome) => Ok(outcome.with("warnings", vec![COLUMNS])),
            Err(fault) => Err(fault.with("warnings", vec![COLUMNS])),
        },
    }
}

fn privileges(args: &Args) -> Result<(Way, Option<Privileges>), Fault> {
    let way = match (args.flag("append_privs"), args.flag("subtract_privs")) {
        (true, _) => Way::Append,
        (_, true) => Way::Subtract,
        _ => Way::Replace,
    };
    let text = match args.raw("priv") {
        None => return Ok((way, None)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => {
            let items = map.iter().map(|(object, what)| format!("{object}:{}", text_of(what)));
            items.collect::<Vec<_>>().join("/")
        }
        Some(_) => return Err(strange("priv that is neither text nor a mapping")),
    };
    Privileges::parse(&text, way != Way::Subtract).map(|privileges| (way, Some(privileges)))
}

/// What is seen of an account at one host.
#[derive(Clone, Debug)]
struct Seen {
    host: String,
    /// The hash of its password, or what it logs in by instead.
    hash: String,
}

struct Account<'a> {
    user: &'a str,
    host: String,
    everywhere: bool,
    silent: bool,
    server: &'a Server,
    ctx: &'a Context,
}

impl Account<'_> {
    fn settle(&self, args: &Args, way: Way, privileges: Option<&Privileges>) -> Done {
        let seen = self.observe()?;
        let outcome = |changed: bool, message: &str, password: Value| {
            Outcome::changed(changed)
                .with("user", self.user)
                .with("msg", message)
                .with("password_changed", password)
                .with("attributes", Value::Null)
        };
        if args.text("state") == "absent" {
            if seen.is_empty() {
                return Ok(outcome(false, "User doesn't exist", false.into()));
            }
            if !self.ctx.check {
                let drops = seen
                    .iter()
                    .map(|seen| Ok(format!("DROP USER IF EXISTS {}", self.name(&seen.host)?)));
                self.act(drops.collect::<Result<Vec<_>, Fault>>()?)?
                    .map_err(|refusal| Fault::new(refusal.shown()))?;
            }
            return Ok(outcome(true, "User deleted", false.into()));
        }
        let password = args.str("password").filter(|password| !password.is_empty());
        let update = args.text("update_password");
        if !seen.is_empty() {
            let password = password.filter(|_| update == "always");
            let hash = password.map(|password| hash(password, args.flag("encrypted"), true));
            return self.alter(&seen, hash.transpose()?, way, privileges);
        }
        if self.everywhere {
            return Err(fail!("host_all parameter cannot be used when adding a user"));
        }
        if update == "on_new_username" {
            return Err(strange("on_new_username"));
        }
        if self.ctx.check {
            return Ok(outcome(true, "User added", Value::Null));
        }
        let hash = password.map(|password| hash(password, args.flag("encrypted"), false));
        self.add(hash.transpose()?, privileges.filter(|_| way != Way::Subtract))?;
        Ok(outcome(true, "User added", true.into()))
    }

    /// Where there is such an account; what its login needs beside a password is left to Ansible.
    fn observe(&self) -> Result<Vec<Seen>, Fault> {
        let at = match self.everywhere {
            true => String::new(),
            false => format!(" AND Host = {}", literal(&self.host)?),
        };
        let user = literal(self.user)?;
        let queries = [
            "SELECT VERSION(), @@sql_mode".to_owned(),
            format!(
                "SELECT Host, COALESCE(NULLIF(Password, ''), NULLIF(authentication_string, ''), ''), \
                 CONCAT(is_role, ssl_type, ssl_cipher, x509_issuer, x509_subject) \
                 FROM mysql.user WHERE User = {user}{at}"
            ),
        ];
        let mut rows = self.server.ask(&queries, self.ctx)?.into_iter();
        let server = rows.next().unwrap_or_default();
        let [version, mode] = server.as_slice() else { return Err(strange("such an answer")) };
        if !is_known(version) || mode.contains("ANSI") {
            return Err(strange("such a server"));
        }
        rows.map(|row| match row.as_slice() {
            [host, hash, plain] if plain == "N" => {
                Ok(Seen { host: host.clone(), hash: hash.clone() })
            }
            _ => Err(strange("a role, or an account that needs TLS,")),
        })
        .collect()
    }

    fn name(&self, host: &str) -> Result<String, Fault> {
        Ok(format!("{}@{}", literal(self.user)?, literal(host)?))
    }

    /// Has statements executed; a refusal tells which of these it was.
    fn act(&self, statements: Vec<String>) -> Result<Result<Vec<Vec<String>>, Refusal>, Fault> {
        let silent = self.silent.then(|| "SET SQL_LOG_BIN=0".to_owned());
        let before = usize::from(self.silent);
        let all: Vec<String> = silent.into_iter().chain(statements).collect();
        let done = self.server.tell(&all, self.ctx)?;
        Ok(done.map_err(|refusal| Refusal {
            statement: refusal.statement.and_then(|number| number.checked_sub(before)),
            ..refusal
        }))
    }

    fn add(&self, hash: Option<Hash>, privileges: Option<&Privileges>) -> Result<(), Fault> {
        let name = self.name(&self.host)?;
        let by = match &hash {
            Some(Hash { text, given: true }) => {
                format!(" IDENTIFIED BY PASSWORD {}", literal(text)?)
            }
            Some(Hash { text, .. }) => {
                format!(" IDENTIFIED WITH mysql_native_password AS {}", literal(text)?)
            }
            None => String::new(),
        };
        let mut edit =
            Edit { statements: vec![format!("CREATE USER {name}{by}")], ..Edit::default() };
        for (object, privileges) in privileges.iter().flat_map(|privileges| &privileges.0) {
            edit.grant(object, privileges, &name);
        }
        let Edit { statements, grants, .. } = edit;
        self.act(statements)?.map_err(|refusal| self.refused(&refusal, &grants, &self.host))?;
        Ok(())
    }

    fn alter(
        &self,
        seen: &[Seen],
        hash: Option<Hash>,
        way: Way,
        privileges: Option<&Privileges>,
    ) -> Done {
        let (mut changed, mut password_changed) = (false, false);
        let mut message = "User unchanged".to_owned();
        let mut option = false;
        let mut touched = false;
        for Seen { host, hash: held } in seen {
            let name = self.name(host)?;
            let mut statements = Vec::new();
            if let Some(Hash { text, .. }) = &hash
                && text != held
            {
                (changed, password_changed) = (true, true);
                let how = if self.ctx.check { "" } else { " (new style)" };
                message = format!("Password updated{how}");
                let text = literal(text)?;
                statements.push(format!(
                    "ALTER USER {name} IDENTIFIED WITH mysql_native_password AS {text}"
                ));
            }
            let secrets = statements.len();
            let show = format!("SHOW GRANTS FOR {name}");
            let mut edit = Edit::default();
            let mut before = None;
            if let Some(wanted) = privileges {
                let rows = self.server.ask(std::slice::from_ref(&show), self.ctx)?;
                let current = Privileges::shown(first(&rows), self.user, host)?;
                edit = Edit::plan(&current, wanted, way, self.user == "root", &mut option, &name);
                changed |= edit.changed || self.ctx.check && edit.any;
                message = edit.message.clone().unwrap_or(message);
                before = Some(current);
            }
            statements.append(&mut edit.statements);
            if self.ctx.check || statements.is_empty() {
                continue;
            }
            let watched = before.is_some();
            statements.extend(watched.then_some(show));
            let grants: Vec<_> = edit
                .grants
                .into_iter()
                .map(|(number, words, query)| (number + secrets, words, query))
                .collect();
            let rows = self.act(statements)?.map_err(|refusal| {
                let first = refusal.statement.is_none_or(|number| number == 0);
                if refusal.number == CANNOT_USER && first && !touched {
                    return strange("such an account");
                }
                self.refused(&refusal, &grants, host)
            })?;
            touched = true;
            if let Some(before) = before {
                let after = Privileges::shown(first(&rows), self.user, host);
                changed |= after.is_ok_and(|after| !after.same(&before));
            }
        }
        Ok(Outcome::changed(changed)
            .with("user", self.user)
            .with("msg", message)
            .with("password_changed", password_changed)
            .with("attributes", serde_json::json!({})))
    }

    /// The fault of a statement; of a grant Ansible tells more.
    fn refused(&self, refusal: &Refusal, grants: &[(usize, String, String)], host: &str) -> Fault {
        let grant = grants.iter().find(|(number, ..)| refusal.statement == Some(*number));
        let Some((_, words, query)) = grant else { return Fault::new(refusal.shown()) };
        let quoted = |text: &str| crate::args::repr(&Value::from(text));
        fail!(
            "Error granting privileges, invalid priv string: {words} , params: ({}, {}), query: {query} \
             , exception: {}.",
            quoted(self.user),
            quoted(host),
            refusal.shown()
        )
    }
}

/// The first field of each row.
fn first(rows: &[Vec<String>]) -> impl Iterator<Item = &String> {
    rows.iter().filter_map(|row| row.first())
}

/// What a server keeps of a password.
#[derive(Clone, Debug, PartialEq)]
struct Hash {
    text: String,
    /// Whether it was made by somebody else.
    given: bool,
}

fn hash(password: &str, given: bool, checked: bool) -> Result<Hash, Fault> {
    if !given {
        let text = format!("*{}", sha1_of(&Sha1::digest(password.as_bytes())).to_uppercase());
        return Ok(Hash { text, given });
    }
    let is_hash =
        |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if checked && !password.strip_prefix('*').is_some_and(is_hash) {
        return Err(fail!(
            "encrypted was specified however it does not appear to be a valid hash expecting: \
             *SHA1(SHA1(your_password))"
        ));
    }
    Ok(Hash { text: password.to_owned(), given })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_the_server_hashes_it() {
        // MariaDB manual, PASSWORD(): SELECT PASSWORD('notagoodpwd').
        let made = hash("notagoodpwd", false, true).unwrap();
        assert_eq!(made.text, "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937");
        assert_eq!(hash(&made.text, true, true).unwrap().text, made.text);
        assert!(hash("plain", true, true).unwrap_err().message.contains("valid hash"));
        assert_eq!(hash("plain", true, false).unwrap().text, "plain");
    }
}
