//! `postgresql_user`: roles of a PostgreSQL server that may log in.
//!
//! All that is done is one transaction; in check mode it is taken back, so that what would fail
//! fails. Settings of a role are left to Ansible's module.

use super::password::differs;
use super::{Refusal, Server, identifier, literal, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use serde::Deserialize;
use serde_json::Value;

/// Names that go with version 5 of the collection.
const GOING: &[&str] = &["login", "host", "unix_socket", "port", "db"];

/// What a role may be told to be, or with NO before it not to be (PostgreSQL manual, CREATE ROLE).
const FLAGS: &[&str] =
    &["SUPERUSER", "CREATEROLE", "CREATEDB", "INHERIT", "LOGIN", "REPLICATION", "BYPASSRLS"];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    super::with_deprecations(decide(args, ctx), args, GOING)
}

fn decide(args: &Args, ctx: &Context) -> Done {
    let name = args.text("user");
    if args.dict("configuration").is_some_and(|map| !map.is_empty())
        || args.flag("reset_unspecified_configuration")
        || name == "PUBLIC"
        || !args.flag("encrypted") && args.str("password").is_some()
    {
        return Err(strange("configuration, PUBLIC or a password in plain text"));
    }
    let user = identifier(name)?;
    let server = Server::of(args, args.text("login_db"), ctx)?;
    let expires = args.str("expires");
    let seen = observe(&server, name, expires, ctx)?;
    let flags = flags(args.text("role_attr_flags"))?;
    if args.text("state") == "absent" {
        return remove(&server, name, &user, seen.found.is_some(), args.flag("fail_on_user"), ctx);
    }
    let wanted = Wanted {
        user: &user,
        password: args.str("password"),
        flags,
        expires,
        conn_limit: args.int("conn_limit"),
    };
    let keeps = args.flag("no_password_changes");
    let role = match &seen.found {
        None => Some(wanted.creation()?),
        Some(found) if keeps => wanted.has_other_flags(found).then(|| wanted.new_flags()),
        Some(found) => {
            let secret = match wanted.password {
                Some(password) => {
                    let current = held(&server, name, ctx)?;
                    differs(password, current.as_deref(), name, &seen.encryption)?
                }
                None => false,
            };
            wanted.differs(found, secret).then(|| wanted.change(secret)).transpose()?
        }
    };
    let before = seen.found.as_ref().and_then(|found| found.comment.as_deref());
    let comment = args.str("comment").filter(|comment| *comment != before.unwrap_or_default());
    let comment = comment
        .map(|comment| Ok::<_, Fault>(format!("COMMENT ON ROLE {user} IS {}", literal(comment)?)))
        .transpose()?;
    let (changed, only_comment) = (role.is_some() || comment.is_some(), role.is_none());
    let (mut said, mut told) = (Vec::new(), Vec::new());
    if let Some(statement) = role {
        said.push(statement.said);
        told.push(statement.told);
    }
    told.extend(comment.clone());
    // Of a comment it is not tried whether it could be made.
    said.extend(comment.filter(|_| !ctx.check));
    if !said.is_empty() {
        let new = seen.found.is_none();
        transact(&server, &said, ctx).map_err(|refusal| match refusal {
            Refusal::Statement(text) if new => {
                fail!("Unable to add user with given requirement due to : {text}")
            }
            Refusal::Statement(text) if only_comment => {
                fail!("Unable to add comment on role: {text}")
            }
            Refusal::Statement(text) => Fault::new(text.trim_end()),
            refusal => refusal.before_all(),
        })?;
    }
    Ok(Outcome::changed(changed).with("user", name).with("queries", told))
}

/// Has statements executed as one, or in check mode only tried.
fn transact(server: &Server, statements: &[String], ctx: &Context) -> Result<String, Refusal> {
    let end = if ctx.check { "ROLLBACK" } else { "COMMIT" };
    let all = [&["BEGIN".to_owned()], statements, &[end.to_owned()]].concat();
    server.tell(&all, ctx)
}

fn remove(
    server: &Server,
    name: &str,
    user: &str,
    exists: bool,
    needed: bool,
    ctx: &Context,
) -> Done {
    let outcome = |changed: bool, queries: &[String]| {
        Outcome::changed(changed).with("user", name).with("queries", queries.to_vec())
    };
    if !exists {
        return Ok(outcome(false, &[]));
    }
    if ctx.check {
        return Ok(outcome(true, &[]).with("user_removed", true));
    }
    let statement = [format!("DROP USER {user}")];
    match transact(server, &statement, ctx) {
        Ok(_) => Ok(outcome(true, &statement).with("user_removed", true)),
        Err(Refusal::Statement(_)) if !needed => {
            Ok(outcome(false, &statement).with("user_removed", false))
        }
        Err(Refusal::Statement(text)) => Err(fail!("Unable to remove user: {text}")),
        Err(refusal) => Err(refusal.before_all()),
    }
}

/// What is seen of a server.
#[derive(Clone, Debug, Deserialize)]
struct Seen {
    /// The kind of hash the server makes of a password.
    encryption: String,
    found: Option<Found>,
}

/// What a role is.
#[derive(Clone, Debug, Default, Deserialize)]
struct Found {
    /// Which of [`FLAGS`] it has, in their order.
    flags: Vec<bool>,
    conn_limit: i64,
    /// Whether it expires when it is asked to.
    expires: bool,
    comment: Option<String>,
}

fn observe(
    server: &Server,
    name: &str,
    expires: Option<&str>,
    ctx: &Context,
) -> Result<Seen, Fault> {
    let name = literal(name)?;
    let expires = expires.map_or_else(|| Ok("NULL".to_owned()), literal)?;
    let row = server.ask(
        &format!(
            "SELECT current_setting('password_encryption') AS encryption,
             (SELECT row_to_json(f) FROM (
               SELECT ARRAY[rolsuper, rolcreaterole, rolcreatedb, rolinherit, rolcanlogin,
                 rolreplication, rolbypassrls] AS flags,
               rolconnlimit AS conn_limit,
               rolvaliduntil IS NOT DISTINCT FROM {expires}::timestamptz AS expires,
               pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment
               FROM pg_catalog.pg_roles r WHERE rolname = {name}) f) AS found"
        ),
        ctx,
    )?;
    Seen::deserialize(Value::Object(row)).map_err(|_| strange("such a server"))
}

/// What the server holds of a role's password; whoever may not see it is left to Ansible's module.
fn held(server: &Server, name: &str, ctx: &Context) -> Result<Option<String>, Fault> {
    let name = literal(name)?;
    let query = format!("SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = {name}");
    let row = server.ask(&query, ctx)?;
    Ok(row.get("rolpassword").and_then(Value::as_str).map(str::to_owned))
}

/// The flags of a list, each once.
fn flags(text: &str) -> Result<Vec<String>, Fault> {
    let mut flags: Vec<String> = Vec::new();
    for flag in text.split(',').filter(|flag| !flag.is_empty()).map(str::to_uppercase) {
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    let is_known = |flag: &str| FLAGS.contains(&flag.strip_prefix("NO").unwrap_or(flag));
    let unknown: Vec<_> = flags.iter().filter(|flag| !is_known(flag)).cloned().collect();
    if unknown.is_empty() {
        return Ok(flags);
    }
    Err(fail!("Invalid role_attr_flags specified: {}", unknown.join(" ")))
}

/// A statement as the server is told it, and as the result tells it: without the password.
#[derive(Debug, PartialEq)]
struct Statement {
    said: String,
    told: String,
}

/// What a role is asked to be.
struct Wanted<'a> {
    user: &'a str,
    password: Option<&'a str>,
    flags: Vec<String>,
    expires: Option<&'a str>,
    conn_limit: Option<i64>,
}

impl Wanted<'_> {
    fn has_other_flags(&self, found: &Found) -> bool {
        self.flags.iter().any(|flag| {
            let (name, on) = match flag.strip_prefix("NO") {
                Some(name) => (name, false),
                None => (flag.as_str(), true),
            };
            let at = FLAGS.iter().position(|known| *known == name);
            at.and_then(|at| found.flags.get(at)) != Some(&on)
        })
    }

    fn differs(&self, found: &Found, secret: bool) -> bool {
        secret
            || self.has_other_flags(found)
            || self.expires.is_some() && !found.expires
            || self.conn_limit.is_some_and(|limit| limit != found.conn_limit)
    }

    /// A statement in which secrets are left out where it is told.
    fn statement(&self, build: impl Fn(&str, &str) -> Vec<String>) -> Result<Statement, Fault> {
        let password = literal(self.password.unwrap_or_default())?;
        let expires = literal(self.expires.unwrap_or_default())?;
        Ok(Statement {
            said: build(&password, &expires).join(" "),
            told: build("%(password)s", "%(expires)s").join(" "),
        })
    }

    fn creation(&self) -> Result<Statement, Fault> {
        self.statement(|password, expires| {
            let mut words = vec![format!("CREATE USER {}", self.user)];
            if self.password.is_some_and(|password| !password.is_empty()) {
                words.extend(["WITH ENCRYPTED".to_owned(), format!("PASSWORD {password}")]);
            }
            words.extend(self.limits(expires));
            words.push(self.flags.join(" "));
            words
        })
    }

    fn change(&self, secret: bool) -> Result<Statement, Fault> {
        let flags = self.flags.join(" ");
        self.statement(|password, expires| {
            let mut words = vec![format!("ALTER USER {}", self.user)];
            match self.password {
                Some("") if secret => {
                    words.extend(["WITH PASSWORD NULL".to_owned(), flags.clone()])
                }
                _ if secret => words.extend([
                    "WITH ENCRYPTED".to_owned(),
                    format!("PASSWORD {password}"),
                    flags.clone(),
                ]),
                _ if !flags.is_empty() => words.push(format!("WITH {flags}")),
                _ => {}
            }
            words.extend(self.limits(expires));
            words
        })
    }

    fn new_flags(&self) -> Statement {
        let text = format!("ALTER USER {} WITH {}", self.user, self.flags.join(" "));
        Statement { said: text.clone(), told: text }
    }

    fn limits(&self, expires: &str) -> impl Iterator<Item = String> {
        let expires = self.expires.map(|_| format!("VALID UNTIL {expires}"));
        let limit = self.conn_limit.map(|limit| format!("CONNECTION LIMIT {limit}"));
        expires.into_iter().chain(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted<'static> {
        Wanted {
            user: "\"bob\"",
            password: None,
            flags: Vec::new(),
            expires: None,
            conn_limit: None,
        }
    }

    fn found() -> Found {
        Found {
            flags: vec![false, false, true, true, true, false, false],
            conn_limit: -1,
            ..Found::default()
        }
    }

    #[test]
    fn flags_are_known_each_once_and_in_any_case() {
        assert_eq!(flags("createdb,NOSUPERUSER,CREATEDB,").unwrap(), ["CREATEDB", "NOSUPERUSER"]);
        assert!(flags("").unwrap().is_empty());
        for odd in ["CREATEUSER", "LOGIN; DROP", " LOGIN", "NONOLOGIN"] {
            let said = flags(odd).unwrap_err().message;
            assert_eq!(said, format!("Invalid role_attr_flags specified: {odd}"));
        }
    }

    #[test]
    fn a_role_is_changed_only_where_it_differs() {
        assert!(!wanted().differs(&found(), false));
        assert!(wanted().differs(&found(), true));
        for (flag, differs) in [("CREATEDB", false), ("NOCREATEDB", true), ("SUPERUSER", true)] {
            let wanted = Wanted { flags: vec![flag.to_owned()], ..wanted() };
            assert_eq!(wanted.differs(&found(), false), differs, "{flag}");
        }
        assert!(!Wanted { conn_limit: Some(-1), ..wanted() }.differs(&found(), false));
        assert!(Wanted { conn_limit: Some(5), ..wanted() }.differs(&found(), false));
        assert!(Wanted { expires: Some("infinity"), ..wanted() }.differs(&found(), false));
    }

    #[test]
    fn a_statement_is_told_without_what_is_secret() {
        let all = Wanted {
            password: Some("it's %(expires)s \\"),
            flags: vec!["LOGIN".to_owned(), "NOCREATEDB".to_owned()],
            expires: Some("Jan 31 2030"),
            conn_limit: Some(3),
            ..wanted()
        };
        let Statement { said, told } = all.creation().unwrap();
        assert_eq!(
            told,
            "CREATE USER \"bob\" WITH ENCRYPTED PASSWORD %(password)s VALID UNTIL %(expires)s \
             CONNECTION LIMIT 3 LOGIN NOCREATEDB"
        );
        assert_eq!(
            said,
            "CREATE USER \"bob\" WITH ENCRYPTED PASSWORD 'it''s %(expires)s \\' \
             VALID UNTIL 'Jan 31 2030' CONNECTION LIMIT 3 LOGIN NOCREATEDB"
        );
        let told = all.change(false).unwrap().told;
        assert_eq!(
            told,
            "ALTER USER \"bob\" WITH LOGIN NOCREATEDB VALID UNTIL %(expires)s CONNECTION LIMIT 3"
        );
    }

    #[test]
    fn statements_have_the_gaps_that_ansible_leaves() {
        assert_eq!(wanted().creation().unwrap().told, "CREATE USER \"bob\" ");
        let none = Wanted { password: Some(""), ..wanted() };
        assert_eq!(none.creation().unwrap().said, "CREATE USER \"bob\" ");
        assert_eq!(none.change(true).unwrap().said, "ALTER USER \"bob\" WITH PASSWORD NULL ");
        let new = Wanted { password: Some("x"), ..wanted() };
        assert_eq!(
            new.change(true).unwrap().said,
            "ALTER USER \"bob\" WITH ENCRYPTED PASSWORD 'x' "
        );
    }
}
