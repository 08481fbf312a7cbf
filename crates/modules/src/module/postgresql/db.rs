//! `postgresql_db`: databases of a PostgreSQL server, and dumps of them.
//!
//! Dumps are made and restored by PostgreSQL's own programs in a shell, whose words are the task's.
//! Compressed ones, renaming, and names that a shell would take apart are left to Ansible's module.

use super::{Login, Refusal, Server, identifier, keyed, literal, passfile, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::Cmd;
use crate::shlex::quote;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Names that go with version 5 of the collection.
const GOING: &[&str] = &["login", "host", "unix_socket", "port"];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let done = match args.text("state") {
        "present" => ensure_present(args, ctx),
        "absent" => ensure_absent(args, ctx),
        state @ ("dump" | "restore") => carry(state == "dump", args, ctx),
        _ => Err(strange("to rename a database")),
    };
    super::with_deprecations(done, args, GOING)
}

/// What a database is asked to be; empty is anything.
struct Wanted<'a> {
    name: &'a str,
    owner: &'a str,
    template: &'a str,
    encoding: &'a str,
    lc_collate: &'a str,
    lc_ctype: &'a str,
    icu_locale: &'a str,
    locale_provider: &'a str,
    conn_limit: &'a str,
    tablespace: &'a str,
    comment: Option<&'a str>,
}

/// What a database is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
struct Found {
    owner: String,
    encoding: String,
    encoding_id: i64,
    lc_collate: Option<String>,
    lc_ctype: Option<String>,
    icu_locale: Option<String>,
    locale_provider: Option<String>,
    conn_limit: i64,
    tablespace: String,
    comment: Option<String>,
}

/// What is seen of a server.
#[derive(Clone, Debug, Deserialize)]
struct Seen {
    version: i64,
    /// The number of the encoding that is asked for.
    encoding_id: Option<i64>,
    found: Option<Found>,
}

fn ensure_present(args: &Args, ctx: &Context) -> Done {
    let wanted = Wanted::of(args)?;
    let server = Server::of(args, args.text("maintenance_db"), ctx)?;
    let seen = observe(&server, &wanted, ctx)?;
    let statements = match &seen.found {
        None => wanted.creation(seen.version)?,
        Some(found) => match wanted.fixed(found, seen.encoding_id) {
            Some(_) if ctx.check => return Ok(told(true, wanted.name, &[])),
            Some(what) => return Err(Fault::new(what)),
            None => wanted.changes(found)?,
        },
    };
    apply(&server, wanted.name, statements, ctx)
}

fn ensure_absent(args: &Args, ctx: &Context) -> Done {
    let wanted = Wanted::of(args)?;
    let server = Server::of(args, args.text("maintenance_db"), ctx)?;
    let seen = observe(&server, &wanted, ctx)?;
    let force = args.flag("force");
    if force && seen.version < 130_000 {
        return Err(strange("force with such a server"));
    }
    let forced = if force { " WITH (FORCE)" } else { "" };
    let statements = match seen.found {
        Some(_) => vec![format!("DROP DATABASE {}{forced}", identifier(wanted.name)?)],
        None => Vec::new(),
    };
    apply(&server, wanted.name, statements, ctx)
}

fn apply(server: &Server, name: &str, statements: Vec<String>, ctx: &Context) -> Done {
    let changed = !statements.is_empty();
    if !changed || ctx.check {
        return Ok(told(changed, name, &[]));
    }
    server.tell(&statements, ctx).map_err(|refusal| match refusal {
        Refusal::Statement(text) => fail!("Database query failed: {text}"),
        refusal => refusal.before_all(),
    })?;
    Ok(told(true, name, &statements))
}

fn told(changed: bool, name: &str, commands: &[String]) -> Outcome {
    Outcome::changed(changed).with("db", name).with("executed_commands", commands.to_vec())
}

fn observe(server: &Server, wanted: &Wanted<'_>, ctx: &Context) -> Result<Seen, Fault> {
    let (name, encoding) = (literal(wanted.name)?, literal(wanted.encoding)?);
    // Before 15 there was no ICU for a database, before 17 its locale had another column.
    let row = server.ask(
        &format!(
            "SELECT current_setting('server_version_num')::int AS version,
             pg_char_to_encoding({encoding}) AS encoding_id,
             (SELECT row_to_json(f) FROM (
               SELECT rolname AS owner, pg_encoding_to_char(d.encoding) AS encoding,
               d.encoding AS encoding_id, datcollate AS lc_collate, datctype AS lc_ctype,
               coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS icu_locale,
               CASE to_jsonb(d)->>'datlocprovider' WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END
                 AS locale_provider,
               datconnlimit AS conn_limit, spcname AS tablespace,
               pg_catalog.shobj_description(d.oid, 'pg_database') AS comment
               FROM pg_catalog.pg_database d
               JOIN pg_catalog.pg_roles o ON o.oid = d.datdba
               JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
               WHERE datname = {name}) f) AS found"
        ),
        ctx,
    )?;
    Seen::deserialize(Value::Object(row)).map_err(|_| strange("such a server"))
}

impl<'a> Wanted<'a> {
    fn of(args: &'a Args) -> Result<Self, Fault> {
        let conn_limit = args.text("conn_limit");
        let digits = conn_limit.strip_prefix('-').unwrap_or(conn_limit);
        if !digits.bytes().all(|byte| byte.is_ascii_digit())
            || (digits.is_empty() && !conn_limit.is_empty())
        {
            return Err(strange("such a conn_limit"));
        }
        Ok(Self {
            name: args.text("db"),
            owner: args.text("owner"),
            template: args.text("template"),
            encoding: args.text("encoding"),
            lc_collate: args.text("lc_collate"),
            lc_ctype: args.text("lc_ctype"),
            icu_locale: args.text("icu_locale"),
            locale_provider: args.text("locale_provider"),
            conn_limit,
            tablespace: args.text("tablespace"),
            comment: args.str("comment"),
        })
    }

    fn creation(&self, version: i64) -> Result<Vec<String>, Fault> {
        let name = identifier(self.name)?;
        let mut words = vec![format!("CREATE DATABASE {name}")];
        let mut name_of = |word: &str, value: &str| -> Result<(), Fault> {
            if !value.is_empty() {
                words.push(format!("{word} {}", identifier(value)?));
            }
            Ok(())
        };
        name_of("OWNER", self.owner)?;
        name_of("TEMPLATE", self.template)?;
        let icu = version >= 150_000;
        for (word, value, known) in [
            ("ENCODING", self.encoding, true),
            ("LC_COLLATE", self.lc_collate, true),
            ("LC_CTYPE", self.lc_ctype, true),
            ("ICU_LOCALE", self.icu_locale, icu),
            ("LOCALE_PROVIDER", self.locale_provider, icu),
        ] {
            if known && !value.is_empty() {
                words.push(format!("{word} {}", literal(value)?));
            }
        }
        if !self.tablespace.is_empty() {
            words.push(format!("TABLESPACE {}", identifier(self.tablespace)?));
        }
        if !self.conn_limit.is_empty() {
            words.push(format!("CONNECTION LIMIT {}", self.conn_limit));
        }
        let mut statements = vec![words.join(" ")];
        if let Some(comment) = self.comment.filter(|comment| !comment.is_empty()) {
            statements.push(format!("COMMENT ON DATABASE {name} IS {}", literal(comment)?));
        }
        Ok(statements)
    }

    /// Why the database cannot become what is asked for.
    fn fixed(&self, found: &Found, encoding_id: Option<i64>) -> Option<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "None".to_owned());
        let differs = |wanted: &str, found: &Option<String>| {
            !wanted.is_empty() && found.as_deref() != Some(wanted)
        };
        if !self.encoding.is_empty() && encoding_id != Some(found.encoding_id) {
            return Some(format!(
                "Changing database encoding is not supported. Current encoding: {}",
                found.encoding
            ));
        }
        // Where a space is missing it is missing in Ansible's words.
        for (what, wanted, found) in [
            ("LC_COLLATE is not supported. ", self.lc_collate, &found.lc_collate),
            ("LC_CTYPE is not supported.", self.lc_ctype, &found.lc_ctype),
            ("ICU_LOCALE is not supported.", self.icu_locale, &found.icu_locale),
            ("LOCALE_PROVIDER is not supported.", self.locale_provider, &found.locale_provider),
        ] {
            if differs(wanted, found) {
                let name = what.split(' ').next().unwrap_or_default();
                return Some(format!("Changing {what}Current {name}: {}", text(found)));
            }
        }
        None
    }

    fn changes(&self, found: &Found) -> Result<Vec<String>, Fault> {
        let name = identifier(self.name)?;
        let mut statements = Vec::new();
        if !self.owner.is_empty() && self.owner != found.owner {
            let owner = identifier(self.owner)?;
            statements.push(format!("ALTER DATABASE {name} OWNER TO {owner}"));
        }
        if !self.conn_limit.is_empty() && self.conn_limit != found.conn_limit.to_string() {
            let limit = self.conn_limit;
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"));
        }
        if !self.tablespace.is_empty() && self.tablespace != found.tablespace {
            let space = identifier(self.tablespace)?;
            statements.push(format!("ALTER DATABASE {name} SET TABLESPACE {space}"));
        }
        if let Some(comment) = self.comment
            && comment != found.comment.as_deref().unwrap_or_default()
        {
            statements.push(format!("COMMENT ON DATABASE {name} IS {}", literal(comment)?));
        }
        Ok(statements)
    }
}

/// Dumps a database to a file, or restores it from one.
fn carry(dump: bool, args: &Args, ctx: &Context) -> Done {
    if !args.flag("trust_input") || args.dict("connect_params").is_some_and(|map| !map.is_empty()) {
        return Err(strange("trust_input or connect_params"));
    }
    let name = args.text("db");
    let login = Login::of(args, ctx)?;
    let shell = Shell {
        name,
        target: args.text("target"),
        options: args.text("target_opts"),
        more: args.text("dump_extra_args"),
        role: args.text("session_role"),
    };
    let (program, words) = if dump { shell.dump(&login)? } else { shell.restore(&login)? };
    if ctx.check {
        return Ok(told(false, name, &[]));
    }
    let program = ctx.program(program).ok_or_else(|| strange("a host without it"))?;
    let line = format!("{}{words}", program.display());
    let password = passfile(args.text("login_password"), ctx)?;
    let cmd = keyed(Cmd::new("/bin/sh").arg("-c").arg(&line), password.as_ref());
    let ran = cmd.run(ctx).or_fail(format!("cannot run {}", program.display()))?;
    if !ran.success() {
        return Err(Fault::new(ran.err())
            .with("stdout", ran.out())
            .with("rc", ran.code)
            .with("cmd", line));
    }
    Ok(Outcome::changed(true)
        .with("msg", ran.out())
        .with("stderr", ran.err())
        .with("rc", ran.code)
        .with("cmd", line.clone())
        .with("executed_commands", vec![line]))
}

/// Words of a command that a shell runs.
struct Shell<'a> {
    name: &'a str,
    target: &'a str,
    options: &'a str,
    more: &'a str,
    role: &'a str,
}

impl Shell<'_> {
    /// The program, and what follows it.
    fn dump(&self, login: &Login) -> Result<(&'static str, String), Fault> {
        let format = match self.kind()? {
            "tar" => " --format=t",
            "pgc" => " --format=c",
            "dir" => " --format=d",
            _ => "",
        };
        let role = match self.role {
            "" => String::new(),
            role => format!(" --role={}", quote(role)),
        };
        let more: String = [self.more, self.options]
            .iter()
            .filter(|text| !text.is_empty())
            .map(|text| format!(" {text} "))
            .collect();
        let words = format!(" {}{}{format}{role}{more}", quote(self.name), flags(login)?);
        let to = if words.contains(" --format=d") { "-f" } else { ">" };
        Ok(("pg_dump", format!("{words} {to} {}", quote(self.target))))
    }

    /// The program, and what follows it.
    fn restore(&self, login: &Login) -> Result<(&'static str, String), Fault> {
        let (program, format) = match self.kind()? {
            "sql" if is_plain(self.target) => ("psql", format!(" --file={}", self.target)),
            "sql" => return Err(strange("such a target")),
            "tar" => ("pg_restore", " --format=Tar".to_owned()),
            "pgc" => ("pg_restore", " --format=Custom".to_owned()),
            "dir" => ("pg_restore", " --format=Directory".to_owned()),
            _ => ("psql", String::new()),
        };
        let role = match self.role {
            role if program == "pg_restore" && !role.is_empty() => {
                format!(" --role={}", quote(role))
            }
            _ => String::new(),
        };
        let more = match self.options {
            "" => String::new(),
            text => format!(" {text} "),
        };
        let words = format!(" --dbname={}{}{format}{role}{more}", quote(self.name), flags(login)?);
        let target = quote(self.target);
        let named =
            ["--format=Directory", "--format=Custom"].iter().any(|word| words.contains(word));
        let from = match () {
            () if named => format!(" {target}"),
            () if words.contains("--file=") => String::new(),
            () => format!(" < {target}"),
        };
        Ok((program, format!("{words}{from}")))
    }

    /// What the end of the file's name says of what is in it.
    fn kind(&self) -> Result<&str, Fault> {
        let end =
            Path::new(self.target).extension().and_then(|end| end.to_str()).unwrap_or_default();
        if self.target.is_empty() || matches!(end, "gz" | "bz2" | "xz") {
            return Err(strange("such a target"));
        }
        Ok(end)
    }
}

/// Options by which the programs find the server; Ansible quotes none of them.
fn flags(login: &Login) -> Result<String, Fault> {
    let Login { user, host, port } = login;
    if !host.iter().chain([user]).all(|word| is_plain(word)) {
        return Err(strange("such a login"));
    }
    let host = host.as_ref().map(|host| format!(" --host={host}")).unwrap_or_default();
    Ok(format!("{host} --port={port} --username={user}"))
}

/// Whether a shell takes a word as it stands.
fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted<'static> {
        Wanted {
            name: "shop",
            owner: "",
            template: "",
            encoding: "",
            lc_collate: "",
            lc_ctype: "",
            icu_locale: "",
            locale_provider: "",
            conn_limit: "",
            tablespace: "",
            comment: None,
        }
    }

    fn found() -> Found {
        Found {
            owner: "postgres".to_owned(),
            encoding: "UTF8".to_owned(),
            encoding_id: 6,
            lc_collate: Some("C".to_owned()),
            lc_ctype: Some("C".to_owned()),
            conn_limit: -1,
            tablespace: "pg_default".to_owned(),
            ..Found::default()
        }
    }

    #[test]
    fn a_database_is_created_with_all_that_is_said_of_it() {
        let all = Wanted {
            owner: "o'neil",
            template: "template0",
            encoding: "UTF-8",
            lc_collate: "C",
            icu_locale: "de",
            conn_limit: "5",
            tablespace: "fast",
            comment: Some("it's"),
            ..wanted()
        };
        let sql = all.creation(150_000).unwrap();
        assert_eq!(
            sql[0],
            "CREATE DATABASE \"shop\" OWNER \"o'neil\" TEMPLATE \"template0\" ENCODING 'UTF-8' \
             LC_COLLATE 'C' ICU_LOCALE 'de' TABLESPACE \"fast\" CONNECTION LIMIT 5"
        );
        assert_eq!(sql[1], "COMMENT ON DATABASE \"shop\" IS 'it''s'");
        assert!(!all.creation(140_000).unwrap()[0].contains("ICU"));
        assert_eq!(wanted().creation(150_000).unwrap(), ["CREATE DATABASE \"shop\""]);
    }

    #[test]
    fn only_what_differs_is_changed() {
        assert!(wanted().changes(&found()).unwrap().is_empty());
        let same = Wanted {
            owner: "postgres",
            conn_limit: "-1",
            tablespace: "pg_default",
            comment: Some(""),
            ..wanted()
        };
        assert!(same.changes(&found()).unwrap().is_empty());
        let other = Wanted { owner: "bob", conn_limit: "3", comment: Some("x"), ..wanted() };
        assert_eq!(
            other.changes(&found()).unwrap(),
            [
                "ALTER DATABASE \"shop\" OWNER TO \"bob\"",
                "ALTER DATABASE \"shop\" CONNECTION LIMIT 3",
                "COMMENT ON DATABASE \"shop\" IS 'x'",
            ]
        );
    }

    #[test]
    fn what_cannot_change_is_told() {
        let utf = Wanted { encoding: "UTF-8", lc_collate: "C", ..wanted() };
        assert_eq!(utf.fixed(&found(), Some(6)), None);
        let told = utf.fixed(&found(), Some(8)).unwrap();
        assert_eq!(told, "Changing database encoding is not supported. Current encoding: UTF8");
        let told = Wanted { lc_ctype: "de", ..wanted() }.fixed(&found(), None).unwrap();
        assert_eq!(told, "Changing LC_CTYPE is not supported.Current LC_CTYPE: C");
        let told = Wanted { icu_locale: "de", ..wanted() }.fixed(&found(), None).unwrap();
        assert_eq!(told, "Changing ICU_LOCALE is not supported.Current ICU_LOCALE: None");
    }

    #[test]
    fn programs_are_told_what_a_dump_is() {
        let login = Login { user: "postgres".to_owned(), host: None, port: 5432 };
        let shell = |target| Shell { name: "a b", target, options: "", more: "", role: "" };
        let dump = |target| shell(target).dump(&login).unwrap().1;
        let rest = " --port=5432 --username=postgres";
        assert_eq!(dump("/t/x.sql"), format!(" 'a b'{rest} > /t/x.sql"));
        assert_eq!(dump("/t/x.pgc"), format!(" 'a b'{rest} --format=c > /t/x.pgc"));
        assert_eq!(dump("/t/x.dir"), format!(" 'a b'{rest} --format=d -f /t/x.dir"));
        let more = Shell { options: "-n s", more: "-v", role: "r", ..shell("/t/x") };
        let told = more.dump(&login).unwrap().1;
        assert_eq!(told, format!(" 'a b'{rest} --role=r -v  -n s  > /t/x"));
        let restore = |target| shell(target).restore(&login).unwrap();
        let told = restore("/t/x.sql").1;
        assert_eq!(told, format!(" --dbname='a b'{rest} --file=/t/x.sql"));
        let told = restore("/t/x.tar").1;
        assert_eq!(told, format!(" --dbname='a b'{rest} --format=Tar < /t/x.tar"));
        assert_eq!(restore("/t/x.dir").0, "pg_restore");
        for odd in ["", "/t/x.gz", "/t/$x.sql"] {
            let fault = shell(odd).restore(&login).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{odd}");
        }
        let odd = Login { user: "a;b".to_owned(), ..login };
        assert!(shell("/t/x").dump(&odd).is_err());
    }
}
