//! Modules of MySQL speak to a MariaDB server through the host's own `mariadb`.
//!
//! Names and texts go into SQL through [`identifier`] and [`literal`] and in no other way, and mean
//! the same in every mode of the server. A password lies in a private file of options for as long
//! as `mariadb` runs, and that file is all it reads. A host without `mariadb`, another server, and
//! what would have to be escaped are left to Ansible's module.

pub(crate) mod db;
mod dump;
mod privileges;
pub(crate) mod user;

use crate::accounts;
use crate::args::{Args, repr};
use crate::context::Context;
use crate::outcome::{Fault, OrFail, fail};
use crate::place::Scratch;
use crate::process::Cmd;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What is printed once there is a connection.
const READY: &str = "ready";
/// The group of options that every client reads.
const GROUP: &str = "[client]";

/// A server, and as whom it is spoken to.
struct Server {
    client: PathBuf,
    options: Scratch,
}

/// Whether it is a server whose tables and answers are known: MariaDB since 10.4.
fn is_known(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let known = (numbers.next(), numbers.next()) >= (Some(10), Some(4));
    known && version.to_lowercase().contains("mariadb")
}

/// What a server does not do, in its own words.
#[derive(Clone, Debug, PartialEq)]
struct Refusal {
    number: i64,
    text: String,
    /// Which of the statements failed; none when there was no connection.
    statement: Option<usize>,
}

impl Refusal {
    /// As drivers of Python write it.
    fn shown(&self) -> String {
        format!("({}, {})", self.number, repr(&Value::from(self.text.as_str())))
    }
}

fn strange(what: &str) -> Fault {
    Fault::beyond(format!("{what} is not supported"))
}

/// The fault of somebody who was not let in.
fn no_connection(file: &str, why: &str) -> Fault {
    fail!(
        "unable to connect to database, check login_user and login_password are correct or {file} \
         has the credentials. Exception message: {why}"
    )
}

impl Server {
    /// The server that a task means, once it has answered.
    fn reach(args: &Args, ctx: &Context) -> Result<Result<Self, Refusal>, Fault> {
        let given = ["client_cert", "client_key", "ca_cert", "check_hostname"];
        if given.iter().any(|name| args.raw(name).is_some())
            || args.flag("config_overrides_defaults")
        {
            return Err(strange(
                "TLS, or a file of options that is stronger than what is asked for,",
            ));
        }
        let client = ctx.program("mariadb").ok_or_else(|| strange("a host without mariadb"))?;
        let options = Options::read(Path::new(args.text("config_file")))?;
        let own =
            Login::of(args, &options, args.str("login_user"), args.str("login_password"), ctx)?;
        let admin = args
            .flag("check_implicit_admin")
            .then(|| Login::of(args, &options, Some("root"), None, ctx));
        let mut last = None;
        for login in admin.transpose()?.into_iter().chain([own]) {
            let what = || format!("cannot write to {}", ctx.staging.display());
            let text = login.render().ok_or_else(|| strange("such a login"))?;
            let options = Scratch::holding(&ctx.staging, ".cnf", text.as_bytes()).or_fail(what())?;
            let server = Self { client: client.clone(), options };
            match server.tell(&[], ctx)? {
                Ok(_) => return Ok(Ok(server)),
                Err(refusal) => last = Some(refusal),
            }
        }
        Ok(Err(last.unwrap_or(Refusal { number: 0, text: String::new(), statement: None })))
    }

    /// The rows that queries give, one after the other. A query that fails may be known to
    /// Ansible's module.
    fn ask(&self, queries: &[String], ctx: &Context) -> Result<Vec<Vec<String>>, Fault> {
        self.tell(queries, ctx)?.map_err(|refusal| Fault::beyond(refusal.shown()))
    }

    /// Has statements executed, one after the other, and stops at the first that fails.
    fn tell(
        &self,
        statements: &[String],
        ctx: &Context,
    ) -> Result<Result<Vec<Vec<String>>, Refusal>, Fault> {
        // One line each, so that the number of a line tells which one failed.
        if statements.iter().any(|statement| statement.contains(['\n', '\r', '\0'])) {
            return Err(strange("such a name"));
        }
        let mut script = format!("SELECT '{READY}';\n");
        statements.iter().for_each(|statement| script.push_str(&format!("{statement};\n")));
        let ran = Cmd::new(&self.client)
            .arg(format!("--defaults-file={}", self.options.path().display()))
            .args(["--batch", "--skip-column-names", "--binary-mode"])
            .plain_locale()
            .input(script)
            .run(ctx)
            .or_fail("cannot run mariadb")?;
        if ran.success() {
            let out = ran.out();
            let lines = out.lines().skip(1);
            return Ok(Ok(lines.map(|line| line.split('\t').map(unescaped).collect()).collect()));
        }
        Ok(Err(
            refusal(&ran.err()).ok_or_else(|| fail!("mariadb failed: {}", ran.err().trim_end()))?
        ))
    }
}

/// What the client says of an error: `ERROR 1064 (42000) at line 3: text`.
fn refusal(said: &str) -> Option<Refusal> {
    let said = &said[said.find("ERROR ")?..];
    let (number, rest) = said["ERROR ".len()..].split_once(' ')?;
    let (place, text) = rest.split_once(": ")?;
    let number = number.parse().ok()?;
    // The first line is ours.
    let line = place.split_once("at line ").and_then(|(_, line)| line.parse::<usize>().ok());
    let statement = line.map(|line| line.saturating_sub(2));
    let text = text.trim_end().to_owned();
    Some(match number {
        2002 | 2003 => Refusal { number: 2003, text: unreachable(&text), statement },
        _ => Refusal { number, text, statement },
    })
}

/// Why there is no connection, as drivers of Python say it: `Can't connect to server on 'x' (111)`.
fn unreachable(text: &str) -> String {
    let place = text.split_once("on '").and_then(|(_, rest)| rest.split_once('\''));
    let place = place.map_or("localhost", |(place, _)| place);
    let number = text.rsplit_once('(').and_then(|(_, end)| end.trim_end_matches(')').parse().ok());
    let Some(number) = number else { return text.to_owned() };
    // Of a connection that is not waited for the client tells EINPROGRESS.
    let number = if number == 115 { 111 } else { number };
    let error = std::io::Error::from_raw_os_error(number);
    let why = crate::outcome::plain(&error);
    format!("Can't connect to MySQL server on '{place}' ([Errno {number}] {why})")
}

/// What a file of options says of a login.
#[derive(Clone, Debug, Default, PartialEq)]
struct Options {
    user: Option<String>,
    password: Option<String>,
    socket: Option<String>,
}

impl Options {
    fn read(path: &Path) -> Result<Self, Fault> {
        match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .ok()
                .and_then(|text| Self::parse(&text))
                .ok_or_else(|| strange("such a file of options")),
            // Whoever may not read it goes without, as drivers of Python do.
            Err(_) => Ok(Self::default()),
        }
    }

    /// The plain form of such files alone, in which everybody reads the same.
    fn parse(text: &str) -> Option<Self> {
        let mut options = Self::default();
        let (mut section, mut seen) = (None, Vec::new());
        for line in text.lines() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) || (section.is_none() && !line.starts_with('[')) {
                return None;
            }
            if line.starts_with('[') {
                if !line.ends_with(']') || seen.contains(&line) {
                    return None;
                }
                seen.push(line);
                section = Some(line);
                continue;
            }
            if section != Some(GROUP) {
                continue;
            }
            let (name, value) = match line.find(['=', ':']) {
                Some(at) => (line[..at].trim(), line[at + 1..].trim()),
                None => (line, ""),
            };
            let value = without_quotes(value);
            let place = match name.to_lowercase().replace('_', "-").as_str() {
                "user" => &mut options.user,
                "password" => &mut options.password,
                "socket" => &mut options.socket,
                "host" | "port" | "default-character-set" => continue,
                _ => return None,
            };
            // A mark of a comment is one to some, an escape is one to others.
            if place.is_some() || value.contains('\\') {
                return None;
            }
            *place = Some(value.to_owned());
        }
        Some(options)
    }
}

fn without_quotes(value: &str) -> &str {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// Where and as whom somebody logs in.
struct Login {
    user: String,
    password: String,
    /// A socket, or a host and a port.
    place: Result<String, (String, i64)>,
    patience: i64,
}

impl Login {
    fn of(
        args: &Args,
        options: &Options,
        user: Option<&str>,
        password: Option<&str>,
        ctx: &Context,
    ) -> Result<Self, Fault> {
        let filled = |text: &&str| !text.is_empty();
        let user =
            user.filter(filled).or(options.user.as_deref()).filter(filled).map(str::to_owned);
        let password = password.filter(filled).or(options.password.as_deref()).unwrap_or_default();
        let socket = args.str("login_unix_socket").filter(filled).or(options.socket.as_deref());
        let port = args.int("login_port").unwrap_or_default();
        if !(0..=65535).contains(&port) {
            return Err(fail!("login_port must be a valid unix port number (0-65535)"));
        }
        Ok(Self {
            user: user.or_else(|| own_name(ctx)).ok_or_else(|| strange("nobody"))?,
            password: password.to_owned(),
            place: match socket.filter(filled) {
                Some(socket) => Ok(socket.to_owned()),
                None => Err((args.text("login_host").to_owned(), port)),
            },
            patience: args.int("connect_timeout").unwrap_or(30),
        })
    }

    /// The file of options that says so; none for what takes more than a line.
    fn render(&self) -> Option<String> {
        let mut lines = vec![
            GROUP.to_owned(),
            format!("user={}", option(&self.user)?),
            format!("password={}", option(&self.password)?),
            "default-character-set=utf8mb4".to_owned(),
            // Drivers of Python speak TLS only where they are told to.
            "skip-ssl".to_owned(),
            format!("connect-timeout={}", self.patience),
        ];
        match &self.place {
            Ok(socket) => {
                lines.extend(["protocol=socket".to_owned(), format!("socket={}", option(socket)?)])
            }
            Err((host, port)) => lines.extend([
                "protocol=tcp".to_owned(),
                format!("host={}", option(host)?),
                format!("port={port}"),
            ]),
        }
        Some(lines.join("\n") + "\n")
    }
}

/// The name of whoever runs this, as Python's `getpass` finds it.
fn own_name(ctx: &Context) -> Option<String> {
    let named = ["LOGNAME", "USER", "LNAME", "USERNAME"].iter().find_map(|name| ctx.var(name));
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return Some(name.to_owned());
    }
    accounts::user_by_id(rustix::process::getuid().as_raw(), ctx).map(|user| user.name)
}

/// A value as a file of options takes it (MariaDB manual, Option Files, Escape Sequences).
fn option(value: &str) -> Option<String> {
    if value.contains(['\n', '\r', '\0']) {
        return None;
    }
    Some(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A field as the client prints it in batches, read back.
fn unescaped(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(mark)) => {
                chars.next();
                out.push(match mark {
                    'n' => '\n',
                    't' => '\t',
                    '0' => '\0',
                    other => other,
                });
            }
            _ => out.push(c),
        }
    }
    out
}

/// A name as SQL takes it; what would have to be escaped is left to Ansible's module, and so are
/// the dots it splits names at.
fn identifier(name: &str) -> Result<String, Fault> {
    if name.is_empty() || name == "*" || name.contains(['`', '.', '\n', '\r', '\0']) {
        return Err(strange("such a name"));
    }
    Ok(format!("`{name}`"))
}

/// A text as SQL takes it, whatever the server thinks of backslashes: it has none.
fn literal(text: &str) -> Result<String, Fault> {
    if text.contains(['\\', '\n', '\r', '\0']) {
        return Err(strange("such a text"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_one_constant_or_none_of_ours(text in r#"[a-z'"`\\;\- \n\x00é]{0,12}"#) {
            match literal(&text) {
                Ok(sql) => {
                    let body = sql.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
                    prop_assert!(!body.contains('\\'));
                    prop_assert_eq!(body.replace("''", "").matches('\'').count(), 0);
                    prop_assert_eq!(body.replace("''", "'"), text);
                }
                Err(fault) => prop_assert!(fault.fields.contains_key(updraft_wire::BEYOND)),
            }
        }

        #[test]
        fn a_name_is_one_name_or_none_of_ours(name in r#"[a-z'"`\\;.*\- \n\x00é]{0,12}"#) {
            match identifier(&name) {
                Ok(sql) => {
                    prop_assert_eq!(sql.matches('`').count(), 2);
                    prop_assert_eq!(sql.trim_matches('`'), name);
                }
                Err(fault) => prop_assert!(fault.fields.contains_key(updraft_wire::BEYOND)),
            }
        }

        #[test]
        fn an_option_ends_where_it_should(value in r#"[a-z'"\\#; ]{0,12}"#) {
            let told = option(&value).unwrap();
            let body = told.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let mut read = String::new();
            let mut chars = body.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"');
                read.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            prop_assert_eq!(read, value);
        }

        #[test]
        fn no_answer_makes_it_stumble(text in "\\PC*") {
            drop(refusal(&text));
            drop(refusal(&format!("ERROR {text}")));
            drop(unescaped(&text));
            drop(Options::parse(&text));
        }
    }

    #[test]
    fn errors_are_told_as_drivers_of_python_tell_them() {
        for (said, shown, statement) in [
            (
                "ERROR 1045 (28000): Access denied for user 'x'@'localhost' (using password: NO)\n",
                "(1045, \"Access denied for user 'x'@'localhost' (using password: NO)\")",
                None,
            ),
            ("ERROR 1064 (42000) at line 3: near \"x\"\n", "(1064, 'near \"x\"')", Some(1)),
            (
                "ERROR 2002 (HY000): Can't connect to local server through socket '/x' (2)\n",
                "(2003, \"Can't connect to MySQL server on 'localhost' ([Errno 2] No such file or directory)\")",
                None,
            ),
            (
                "ERROR 2002 (HY000): Can't connect to server on 'db' (115)\n",
                "(2003, \"Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)\")",
                None,
            ),
        ] {
            let refusal = refusal(said).unwrap();
            assert_eq!((refusal.shown().as_str(), refusal.statement), (shown, statement));
        }
        assert_eq!(refusal("Segmentation fault\n"), None);
    }

    #[test]
    fn plain_files_of_options_are_read_and_others_left() {
        let text = "# mine\n[mysqld]\nskip-networking\n[client]\nuser = root\nPassword='a#b'\n\nsocket=/run/x\nport=1\n";
        let options = Options::parse(text).unwrap();
        let told = |text: &Option<String>| text.clone().unwrap();
        assert_eq!(told(&options.user), "root");
        assert_eq!(
            (told(&options.password).as_str(), told(&options.socket).as_str()),
            ("a#b", "/run/x")
        );
        for odd in [
            "user=root\n",
            "[client]\nuser=a\nuser=b\n",
            "[client]\nuser=a\n[client]\n",
            "[client]\nuser=a\n more\n",
            "[client]\nssl-ca=/x\n",
            "!includedir /etc/x\n",
            "[client]\npassword=a\\tb\n",
        ] {
            assert_eq!(Options::parse(odd), None, "{odd}");
        }
        assert_eq!(Options::parse(""), Some(Options::default()));
    }

    #[test]
    fn fields_of_batches_are_read_back() {
        assert_eq!(unescaped(r"a\tb\nc\\d"), "a\tb\nc\\d");
        assert_eq!(unescaped("plain"), "plain");
    }

    #[test]
    fn a_login_is_told_in_a_file() {
        let login = Login {
            user: "root".to_owned(),
            password: "a\"b\\c".to_owned(),
            place: Err(("db".to_owned(), 3307)),
            patience: 5,
        };
        let text = login.render().unwrap();
        assert!(text.contains("\npassword=\"a\\\"b\\\\c\"\n"), "{text}");
        assert!(text.contains("\nprotocol=tcp\nhost=\"db\"\nport=3307\n"), "{text}");
        assert!(Login { user: "a\nb".to_owned(), ..login }.render().is_none());
    }

    #[test]
    fn servers_that_are_known_are_told_from_others() {
        for (version, known) in [
            ("10.11.6-MariaDB-0+deb12u1", true),
            ("11.8.3-MariaDB-0+deb13u1 from Debian", true),
            ("10.4.0-MariaDB", true),
            ("10.3.39-MariaDB-0+deb10u1", false),
            ("8.0.36-0ubuntu0.22.04.1", false),
            ("", false),
        ] {
            assert_eq!(is_known(version), known, "{version}");
        }
    }
}
