//! Modules of PostgreSQL speak to its server through the host's own `psql`.
//!
//! What is asked is answered as JSON, one row, so that no value can look like another; names and
//! texts go into SQL through [`identifier`] and [`literal`] and in no other way. A password lies in
//! a private file for as long as `psql` runs. A host without `psql`, a name that would have to be
//! escaped and a server that does not answer what is asked are left to Ansible's module.

pub(crate) mod db;
mod password;
pub(crate) mod privs;
pub(crate) mod user;

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, fail, plain};
use crate::place::Scratch;
use crate::process::Cmd;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Where Debian keeps the programs of each version of PostgreSQL.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Arguments of Ansible's that tell libpq the same under another name (libpq, Parameter Key Words).
const PASSED_ON: &[(&str, &str)] = &[
    ("ssl_mode", "sslmode"),
    ("ca_cert", "sslrootcert"),
    ("ssl_cert", "sslcert"),
    ("ssl_key", "sslkey"),
];
/// What is printed once there is a connection and whoever is asked for has been become.
const READY: &str = "ready";

/// What makes a session one in which a backslash is a letter, and notices are nobody's business.
const PREPARED: &str =
    "SET standard_conforming_strings TO on;\nSET client_min_messages TO error;\n";

/// A server, and as whom it is spoken to.
struct Server {
    psql: PathBuf,
    connection: String,
    role: Option<String>,
    password: Option<Scratch>,
}

/// What a server does not do, in its own words.
#[derive(Debug)]
enum Refusal {
    /// It cannot be reached, or not as this user.
    Connection(String),
    /// It does not let us become the role.
    Role(String),
    /// A statement failed.
    Statement(String),
}

impl Refusal {
    /// The fault of somebody who has changed nothing yet; what the server does not understand may
    /// be known to Ansible's module.
    fn before_all(self) -> Fault {
        match self {
            Self::Connection(text) => fail!("unable to connect to database: {text}"),
            Self::Role(text) => fail!("Could not switch role: {text}"),
            Self::Statement(text) => Fault::beyond(text.trim_end()),
        }
    }
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// What a module gives, with what is said of names that are to go.
fn with_deprecations(done: Done, args: &Args, names: &[&str]) -> Done {
    let told = args.deprecations(names, "community.postgresql", "5.0.0");
    match done {
        _ if told.is_empty() => done,
        Ok(outcome) => Ok(outcome.with("deprecations", told)),
        Err(fault) => Err(fault.with("deprecations", told)),
    }
}

impl Server {
    /// The server that a task means, and the database to speak to it in.
    fn of(args: &Args, database: &str, ctx: &Context) -> Result<Self, Fault> {
        if !args.flag("trust_input")
            || args.dict("connect_params").is_some_and(|map| !map.is_empty())
        {
            return Err(strange("trust_input or connect_params"));
        }
        let psql = psql(Path::new(VERSIONS))
            .or_else(|| ctx.program("psql"))
            .ok_or_else(|| strange("a host without psql"))?;
        let login = Login::of(args, ctx)?;
        let mut words = vec![("user", login.user), ("port", login.port.to_string())];
        words.extend(login.host.map(|host| ("host", host)));
        if !database.is_empty() {
            words.push(("dbname", database.to_owned()));
        }
        for (name, word) in PASSED_ON {
            words.extend(
                args.str(name).filter(|text| !text.is_empty()).map(|text| (*word, text.to_owned())),
            );
        }
        if words.iter().any(|(_, value)| value.contains('\0')) {
            return Err(strange("such a name"));
        }
        let role = args.str("session_role").filter(|role| !role.is_empty());
        Ok(Self {
            psql,
            connection: words
                .iter()
                .map(|(word, value)| parameter(word, value))
                .collect::<Vec<_>>()
                .join(" "),
            role: role.map(identifier).transpose()?,
            password: passfile(args.text("login_password"), ctx)?,
        })
    }

    /// The one row that a query gives.
    fn ask(&self, query: &str, ctx: &Context) -> Result<Map<String, Value>, Fault> {
        let query = format!("SELECT row_to_json(r) FROM ({query}) r");
        let said = self.tell(&[query], ctx).map_err(Refusal::before_all)?;
        serde_json::from_str(said.trim_end()).map_err(|_| strange("such an answer"))
    }

    /// Has statements executed, one after the other, and stops at the first that fails. Unless they
    /// open a transaction each is one.
    fn tell(&self, statements: &[String], ctx: &Context) -> Result<String, Refusal> {
        // A semicolon would be told of with the statement where it fails.
        self.read(
            &statements.iter().map(|statement| format!("{statement}\n\\g\n")).collect::<String>(),
            ctx,
        )
    }

    /// Has statements executed as one, and says whether they changed what a query tells. They stay
    /// only if they did, and if they are to.
    fn try_out(
        &self,
        query: &str,
        statements: &[String],
        stays: bool,
        ctx: &Context,
    ) -> Result<bool, Refusal> {
        let state = format!("coalesce(({query}), '')");
        let mut script = format!(
            "BEGIN\n\\g\nSELECT set_config('updraft.before', {state}, true) AS before \\gset\n"
        );
        // As one query, as drivers of Python send it: the server tells of lines of the whole.
        statements.iter().for_each(|statement| script.push_str(&format!("{statement}\\;\n")));
        script.push_str("\\g\n");
        let end = if stays { "COMMIT" } else { "ROLLBACK" };
        script.push_str(&format!(
            "SELECT current_setting('updraft.before') IS DISTINCT FROM {state} AS changed \\gset
\\if :changed
{end}
\\g
\\else
ROLLBACK
\\g
\\endif
\\echo :changed\n"
        ));
        Ok(self.read(&script, ctx)?.trim() == "t")
    }

    /// What `psql` prints when it reads this.
    fn read(&self, commands: &str, ctx: &Context) -> Result<String, Refusal> {
        let mut script = PREPARED.to_owned();
        if let Some(role) = &self.role {
            script.push_str(&format!("SET ROLE {role};\n"));
        }
        script.push_str(&format!("SELECT '{READY}';\n"));
        script.push_str(commands);
        let cmd = Cmd::new(&self.psql)
            .args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(&self.connection)
            .plain_locale()
            .env("PGCLIENTENCODING", "UTF8");
        let ran = keyed(cmd, self.password.as_ref())
            .input(script)
            .run(ctx)
            .map_err(|error| Refusal::Connection(plain(&error)))?;
        let (out, err) = (ran.out(), ran.err());
        let rest = out.strip_prefix(READY);
        if ran.success() {
            return Ok(rest.unwrap_or_default().trim_start().to_owned());
        }
        // psql(1), EXIT STATUS.
        let text = server_words(&err);
        Err(match ran.code {
            3 if rest.is_some() => Refusal::Statement(text),
            3 => Refusal::Role(text),
            _ => Refusal::Connection(text),
        })
    }
}

/// Where and as whom somebody logs in.
struct Login {
    user: String,
    host: Option<String>,
    port: i64,
}

impl Login {
    fn of(args: &Args, ctx: &Context) -> Result<Self, Fault> {
        let var = |name: &str| ctx.var(name).filter(|value| !value.is_empty());
        let port = match (args.int("login_port"), ctx.var("PGPORT")) {
            (Some(port), _) => port,
            (None, Some(text)) => text.parse().map_err(|_| strange("such a PGPORT"))?,
            (None, None) => 5432,
        };
        let (host, socket) = (args.text("login_host"), args.text("login_unix_socket"));
        let host =
            if matches!(host, "" | "localhost") && !socket.is_empty() { socket } else { host };
        let user = args.str("login_user").or_else(|| var("PGUSER")).unwrap_or("postgres");
        if user.is_empty() {
            return Err(strange("nobody"));
        }
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Ok(Self { user: user.to_owned(), host, port })
    }
}

/// A command of PostgreSQL's that finds the password in a file.
fn keyed(cmd: Cmd, password: Option<&Scratch>) -> Cmd {
    match password {
        // What stands in the environment would be stronger than the file.
        Some(file) => {
            cmd.env("PGPASSWORD", "").env("PGPASSFILE", file.path().display().to_string())
        }
        None => cmd,
    }
}

/// A private file that holds a password for every server (libpq, The Password File).
fn passfile(password: &str, ctx: &Context) -> Result<Option<Scratch>, Fault> {
    if password.is_empty() {
        return Ok(None);
    }
    let line = passfile_line(password).ok_or_else(|| strange("such a password"))?;
    let what = || format!("cannot write to {}", ctx.staging.display());
    Scratch::holding(&ctx.staging, "", line.as_bytes()).or_fail(what()).map(Some)
}

/// The line for any host, port, database and user; none for what takes more than a line.
fn passfile_line(password: &str) -> Option<String> {
    if password.contains(['\n', '\r', '\0']) {
        return None;
    }
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    Some(format!("*:*:*:*:{escaped}\n"))
}

/// The program of the newest version: what Debian has in the path is a script that chooses among
/// them, and a server as well (pg_wrapper(1)).
fn psql(versions: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(versions).ok()?.filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| {
        let number: f64 = entry.file_name().to_str()?.parse().ok()?;
        let psql = entry.path().join("bin/psql");
        psql.is_file().then_some((number, psql))
    });
    numbers.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, psql)| psql)
}

/// One setting of a connection string (libpq, Keyword/Value Connection Strings).
fn parameter(word: &str, value: &str) -> String {
    format!("{word}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The words of the server, or of libpq, as drivers of Python have them: without who says so.
fn server_words(said: &str) -> String {
    let said = said.strip_prefix("psql: error: ").unwrap_or(said);
    match said.strip_prefix("ERROR:  ") {
        Some(text) => text.to_owned(),
        None => said.to_owned(),
    }
}

/// A name as SQL takes it; what would have to be escaped or cut is left to Ansible's module.
fn identifier(name: &str) -> Result<String, Fault> {
    // NAMEDATALEN is 64; longer names are cut. Drivers of Python take a percent sign for their own.
    if name.is_empty() || name.len() > 63 || name.contains(['"', '%', '\0']) {
        return Err(strange("such a name"));
    }
    Ok(format!("\"{name}\""))
}

/// A text as SQL takes it where a backslash is a letter, which [`PREPARED`] sees to.
fn literal(text: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(strange("such a text"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server reads where it expects a constant, and what is left.
    fn read_constant(sql: &str) -> Option<(String, &str)> {
        let rest = sql.strip_prefix('\'')?;
        let mut text = String::new();
        let mut chars = rest.char_indices();
        while let Some((_, c)) = chars.next() {
            match c {
                '\'' => match chars.next() {
                    Some((_, '\'')) => text.push('\''),
                    Some((at, _)) => return Some((text, &rest[at..])),
                    None => return Some((text, "")),
                },
                c => text.push(c),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_text_is_one_constant_that_means_it(text in "[^\\x00]*") {
            let sql = literal(&text).unwrap();
            prop_assert_eq!(read_constant(&sql), Some((text.clone(), "")));
        }

        #[test]
        fn mischief_stays_a_text(text in r#"['"\\;:$\-\n ]{0,12}"#) {
            let sql = literal(&text).unwrap();
            prop_assert_eq!(read_constant(&sql), Some((text.clone(), "")));
        }

        #[test]
        fn a_name_is_one_name_or_none_of_ours(name in r#"[a-z"%'\\;. \x00é-]{0,70}"#) {
            match identifier(&name) {
                Ok(sql) => {
                    prop_assert_eq!(sql.matches('"').count(), 2);
                    prop_assert_eq!(sql.trim_matches('"'), name);
                }
                Err(fault) => prop_assert!(fault.fields.contains_key(updraft_wire::BEYOND)),
            }
        }

        #[test]
        fn a_setting_of_a_connection_ends_where_it_should(value in r#"[a-z'\\= ]{0,12}"#) {
            let told = parameter("host", &value);
            let body = told.strip_prefix("host='").unwrap().strip_suffix('\'').unwrap();
            let mut read = String::new();
            let mut chars = body.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '\'');
                read.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            prop_assert_eq!(read, value);
        }
    }

    #[test]
    fn a_password_is_one_field_of_a_line() {
        assert_eq!(passfile_line(r"a:b\c").unwrap(), "*:*:*:*:a\\:b\\\\c\n");
        assert_eq!(passfile_line("two\nlines"), None);
    }

    #[test]
    fn the_newest_program_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(psql(dir.path()), None);
        for version in ["9.6", "13", "15", "17"] {
            std::fs::create_dir_all(dir.path().join(version).join("bin")).unwrap();
        }
        for version in ["9.6", "13", "15"] {
            std::fs::write(dir.path().join(version).join("bin/psql"), "").unwrap();
        }
        assert_eq!(psql(dir.path()), Some(dir.path().join("15/bin/psql")));
        assert_eq!(psql(&dir.path().join("none")), None);
    }

    #[test]
    fn whoever_says_something_is_left_out() {
        for (said, words) in [
            ("psql: error: connection to server failed\n", "connection to server failed\n"),
            ("ERROR:  role \"x\" does not exist\n", "role \"x\" does not exist\n"),
        ] {
            assert_eq!(server_words(said), words);
        }
    }
}
