//! Dumps of databases and what is read from them: MariaDB's own programs in a shell.
//!
//! The words are the task's and are told as Ansible's module tells them, but for a password: the
//! program that runs finds it in a private file. What a shell would take apart where Ansible
//! does not quote is left to its module.

use super::{GROUP, option, strange};
use crate::args::{Args, repr};
use crate::context::Context;
use crate::discreet::MASK;
use crate::outcome::{Fault, OrFail};
use crate::place::Scratch;
use crate::process::Cmd;
use crate::shlex::quote;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Names the directory in which a line leaves what became of the program that unpacks.
const ASIDE: &str = "UPDRAFT_ASIDE";

/// A line for a shell, as it is told and as it is run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) told: String,
    run: String,
    shell: &'static str,
    /// What unpacks a target counts by itself, and bytes are told as Python shows them.
    split: bool,
}

impl Line {
    /// Runs it and gives what it printed.
    pub(super) fn run(&self, ctx: &Context) -> Result<String, Fault> {
        let cmd = Cmd::new(self.shell).arg("-c").arg(&self.run);
        let why = "cannot run a shell";
        if !self.split {
            let ran = cmd.run(ctx).or_fail(why)?;
            return if ran.success() { Ok(ran.out()) } else { Err(Fault::new(ran.err())) };
        }
        let what = || format!("cannot write to {}", ctx.staging.display());
        let aside = Scratch::dir(&ctx.staging).or_fail(what())?;
        let ran = cmd.env(ASIDE, aside.path().to_string_lossy()).run(ctx).or_fail(why)?;
        let read = |name: &str| fs::read_to_string(aside.path().join(name)).or_fail(what());
        if read("code")?.trim() != "0" {
            return Err(Fault::new(bytes(&read("said")?)));
        }
        if ran.success() { Ok(ran.out()) } else { Err(Fault::new(bytes(&ran.err()))) }
    }
}

/// A text as Python shows the bytes of it.
fn bytes(text: &str) -> String {
    let shown = repr(&Value::from(text));
    let escaped = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
    };
    format!("b{}", shown.chars().map(escaped).collect::<String>())
}

/// How the programs log in: as it is told, and as it is done.
pub(super) struct Login {
    told: Vec<String>,
    done: Vec<String>,
    /// The file in which they find the password, and all that the task's own file says.
    _secret: Option<Scratch>,
}

impl Login {
    /// A dump takes empty words for what they are, an import for none.
    pub(super) fn of(args: &Args, empty: bool, ctx: &Context) -> Result<Self, Fault> {
        if args.flag("check_implicit_admin") || args.flag("unsafe_login_password") {
            return Err(strange("such a login"));
        }
        let file = Path::new(args.text("config_file"));
        let only = args.flag("restrict_config_file") && file.exists();
        let word = if only { "--defaults-file" } else { "--defaults-extra-file" };
        let names = |file: &Path| format!("{word}={}", quote(&file.to_string_lossy()));
        let given = |name: &str| args.str(name).filter(|text| empty || !text.is_empty());
        let config = file.exists().then(|| names(file));
        let user = given("login_user").map(|user| format!("--user={}", quote(user)));
        let password = given("login_password");
        // What is masked in results is the text itself, which quotes may take apart.
        let shown = |text: &str| match quote(text) {
            quoted if quoted.contains(text) => quoted,
            _ => MASK.to_owned(),
        };
        let word = password.map(|text| format!("--password={}", shown(text)));
        let told: Vec<String> = config.into_iter().chain(user.clone()).chain(word).collect();
        let Some(password) = password else {
            return Ok(Self { done: told.clone(), told, _secret: None });
        };
        // The programs read that file after ours, and the last one counts.
        let home = ctx.var("HOME").map(|home| Path::new(home).join(".my.cnf"));
        if !only && home.is_some_and(|file| file.exists()) {
            return Err(strange("a password beside a file of options"));
        }
        let text = options(file, password).ok_or_else(|| strange("such a login"))?;
        let what = || format!("cannot write to {}", ctx.staging.display());
        let secret = Scratch::holding(&ctx.staging, ".cnf", text.as_bytes()).or_fail(what())?;
        let done = [names(secret.path())].into_iter().chain(user).collect();
        Ok(Self { told, done, _secret: Some(secret) })
    }
}

/// A file of options that says what another one does, but for a password.
fn options(file: &Path, password: &str) -> Option<String> {
    let mut text = String::new();
    if file.exists() {
        let name = file.to_str().filter(|name| !name.contains(['\n', '\r']))?;
        fs::File::open(file).ok()?;
        text.push_str(&format!("!include {name}\n"));
    }
    text.push_str(&format!("{GROUP}\npassword={}\n", option(password)?));
    Some(text)
}

fn place(args: &Args) -> Vec<String> {
    match args.str("login_unix_socket") {
        Some(socket) => vec![format!("--socket={}", quote(socket))],
        None => vec![
            format!("--host={}", quote(args.text("login_host"))),
            format!("--port={}", args.int("login_port").unwrap_or_default()),
        ],
    }
}

/// The program that packs what a file of that name holds.
fn packer(target: &str, ctx: &Context) -> Result<Option<String>, Fault> {
    let name = match Path::new(target).extension().and_then(|end| end.to_str()) {
        Some("gz") => "gzip",
        Some("bz2") => "bzip2",
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return Ok(None),
    };
    let program = ctx.program(name).ok_or_else(|| strange("a host without what packs"))?;
    Ok(Some(program.display().to_string()))
}

/// The line that dumps databases, or all of them, to the task's target.
pub(super) fn dump(
    args: &Args,
    names: &[String],
    all: bool,
    login: &Login,
    ctx: &Context,
) -> Result<Line, Fault> {
    let program =
        ctx.program("mariadb-dump").ok_or_else(|| strange("a host without mariadb-dump"))?;
    let target = args.text("target");
    let mut words = Vec::new();
    words.extend(args.flag("force").then(|| "--force".to_owned()));
    words.extend(place(args));
    let tables = args.list("ignore_tables");
    match names {
        _ if all => words.push("--all-databases".to_owned()),
        [name] => words.push(quote(name)),
        names => words.extend(["--databases".to_owned()].into_iter().chain(names.iter().cloned())),
    }
    if !tables.iter().chain(names).all(|word| is_plain(word))
        && (names.len() > 1 || !tables.is_empty())
    {
        return Err(strange("such a name"));
    }
    let encoding = args.str("encoding").filter(|encoding| !encoding.is_empty());
    let on = |name: &str, word: &str| args.flag(name).then(|| word.to_owned());
    words.extend(on("skip_lock_tables", "--skip-lock-tables"));
    words.extend(encoding.map(|encoding| format!("--default-character-set={}", quote(encoding))));
    words.extend(on("single_transaction", "--single-transaction=true"));
    words.extend(on("quick", "--quick"));
    words.extend(tables.iter().map(|table| format!("--ignore-table={table}")));
    words.extend(on("hex_blob", "--hex-blob"));
    let binlog = args.int("master_data").filter(|how| *how != 0);
    words.extend(binlog.map(|how| format!("--master-data={how}")));
    words.extend(args.str("dump_extra_args").map(str::to_owned));
    let pipefail = args.flag("pipefail");
    let (start, end) = match packer(target, ctx)? {
        Some(packer) => (
            if pipefail { "set -o pipefail && " } else { "" },
            format!(" | {packer} > {}", quote(target)),
        ),
        None => ("", format!(" > {}", quote(target))),
    };
    let line = |login: &[String]| {
        let all = [&[program.display().to_string()], login, &words].concat();
        format!("{start}{}{end}", all.join(" "))
    };
    let shell = if pipefail { "bash" } else { "/bin/sh" };
    Ok(Line { told: line(&login.told), run: line(&login.done), shell, split: false })
}

/// The line that has a database read the task's target.
pub(super) fn import(
    args: &Args,
    name: &str,
    all: bool,
    login: &Login,
    ctx: &Context,
) -> Result<Line, Fault> {
    let program = ctx.program("mariadb").ok_or_else(|| strange("a host without mariadb"))?;
    let target = args.text("target");
    let mut words = Vec::new();
    words.extend(args.flag("force").then(|| "-f".to_owned()));
    words.extend(place(args));
    let encoding = args.str("encoding").filter(|encoding| !encoding.is_empty());
    words.extend(encoding.map(|encoding| format!("--default-character-set={}", quote(encoding))));
    if !all {
        words.extend(["--one-database".to_owned(), quote(name)]);
    }
    let words = |login: &[String]| [&[program.display().to_string()], login, &words].concat();
    let (told, done) = (words(&login.told), words(&login.done).join(" "));
    let shell = "/bin/sh";
    let Some(packer) = packer(target, ctx)? else {
        let end = format!(" < {}", quote(target));
        let told = told.join(" ") + &end;
        return Ok(Line { told, run: done + &end, shell, split: false });
    };
    // Ansible tells the words as a list of Python's.
    let split = !args.flag("use_shell");
    if split && told.iter().any(|word| word.contains('\'')) {
        // It has the program take the quotes for a part of the word.
        return Err(strange("such a login for a packed target"));
    }
    let unpacked = format!("{packer} -dc {}", quote(target));
    let run = match split {
        true => {
            format!("{{ {unpacked} 2>\"${ASIDE}/said\"; echo $? >\"${ASIDE}/code\"; }} | {done}")
        }
        false => format!("{unpacked} | {done}"),
    };
    let told = format!("{packer} -dc {target} | {}", repr(&Value::from(told)));
    Ok(Line { told, run, shell, split })
}

/// Whether a shell takes a word as it stands.
fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    /// A host that has the programs, which do nothing.
    fn host() -> (tempfile::TempDir, Context) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["mariadb", "mariadb-dump", "gzip"] {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut ctx = Context::system();
        ctx.env.insert("PATH".to_owned(), dir.path().display().to_string());
        ctx.staging = dir.path().to_owned().into();
        (dir, ctx)
    }

    fn args(more: serde_json::Value, ctx: &Context) -> Args {
        let mut given = json!({ "name": "x", "config_file": "/no/such", "target": "/t/x.sql" });
        let given = given.as_object_mut().unwrap();
        given.extend(more.as_object().unwrap().clone());
        Args::check(updraft_spec::find("mysql_db").unwrap(), "mysql_db", given, ctx).unwrap()
    }

    #[test]
    fn a_password_is_told_and_not_run() {
        let (dir, ctx) = host();
        let args = args(json!({ "login_user": "root", "login_password": "top secret" }), &ctx);
        let login = Login::of(&args, true, &ctx).unwrap();
        let names = ["shop".to_owned()];
        let lines = [
            dump(&args, &names, false, &login, &ctx).unwrap(),
            import(&args, "shop", false, &login, &ctx).unwrap(),
        ];
        let at = dir.path().display();
        let place = "--host=localhost --port=3306";
        assert_eq!(
            lines[0].told,
            format!(
                "{at}/mariadb-dump --user=root --password='top secret' {place} shop --quick > /t/x.sql"
            )
        );
        assert_eq!(
            lines[1].told,
            format!(
                "{at}/mariadb --user=root --password='top secret' {place} --one-database shop < /t/x.sql"
            )
        );
        for line in lines {
            assert!(!line.run.contains("top"), "{}", line.run);
            assert!(line.run.contains(&format!(" --defaults-extra-file={at}/")), "{}", line.run);
        }
    }

    #[test]
    fn a_password_that_quotes_take_apart_is_told_of_and_not_told() {
        let (_dir, ctx) = host();
        let login = Login::of(&args(json!({ "login_password": "it's" }), &ctx), true, &ctx);
        assert_eq!(login.unwrap().told, ["--password=********"]);
    }

    #[test]
    fn a_file_of_options_says_what_another_does_and_then_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b.cnf");
        let own = "[client]\npassword=\"a\\\"b\"\n";
        assert_eq!(options(&file, "a\"b").unwrap(), own);
        std::fs::write(&file, "").unwrap();
        let text = options(&file, "a\"b").unwrap();
        assert_eq!(text, format!("!include {}\n{own}", file.display()));
        assert_eq!(options(&file, "a\nb"), None);
    }

    #[test]
    fn a_password_does_not_compete_with_a_file_at_home() {
        let (dir, mut ctx) = host();
        ctx.env.insert("HOME".to_owned(), dir.path().display().to_string());
        let file = dir.path().join(".my.cnf");
        std::fs::write(&file, "").unwrap();
        let told = |more: serde_json::Value| Login::of(&args(more, &ctx), true, &ctx).is_ok();
        let config = file.display().to_string();
        assert!(told(json!({ "login_user": "a" })));
        assert!(!told(json!({ "login_password": "a" })));
        assert!(told(
            json!({ "login_password": "a", "config_file": config, "restrict_config_file": true })
        ));
        assert!(!told(json!({ "check_implicit_admin": true })));
    }

    #[test]
    fn words_that_ansible_does_not_quote_are_left_to_it() {
        let (_dir, ctx) = host();
        let two = ["a b".to_owned(), "c".to_owned()];
        for (more, names, works) in [
            (json!({}), &two[..1], true),
            (json!({}), &two[..], false),
            (json!({ "ignore_tables": ["c.t"] }), &two[1..], true),
            (json!({ "ignore_tables": ["c;t"] }), &two[1..], false),
        ] {
            let args = args(more.clone(), &ctx);
            let login = Login::of(&args, true, &ctx).unwrap();
            let line = dump(&args, names, false, &login, &ctx);
            assert_eq!(line.is_ok(), works, "{more} {names:?}");
        }
    }

    #[test]
    fn packed_targets_go_through_what_packs_them() {
        let (dir, ctx) = host();
        let at = dir.path().display();
        let packed = json!({ "target": "/t/x.sql.gz", "pipefail": true, "login_user": "a" });
        let packed = args(packed, &ctx);
        let login = Login::of(&packed, true, &ctx).unwrap();
        let line = dump(&packed, &[], true, &login, &ctx).unwrap();
        assert!(line.told.starts_with("set -o pipefail && "), "{}", line.told);
        assert!(line.told.ends_with(&format!(" | {at}/gzip > /t/x.sql.gz")), "{}", line.told);
        assert_eq!(line.shell, "bash");
        let line = import(&packed, "c", false, &login, &ctx).unwrap();
        assert_eq!(
            line.told,
            format!(
                "{at}/gzip -dc /t/x.sql.gz | ['{at}/mariadb', '--user=a', '--host=localhost', \
                 '--port=3306', '--one-database', 'c']"
            )
        );
        assert!(line.split);
        let odd = args(json!({ "target": "/t/x.sql.gz", "login_user": "a b" }), &ctx);
        let login = Login::of(&odd, true, &ctx).unwrap();
        assert!(import(&odd, "c", false, &login, &ctx).is_err());
        let odd = args(json!({ "target": "/t/x.sql.xz" }), &ctx);
        let login = Login::of(&odd, true, &ctx).unwrap();
        assert!(dump(&odd, &[], true, &login, &ctx).is_err());
    }

    #[test]
    fn bytes_are_told_as_python_tells_them() {
        assert_eq!(bytes("it's\n"), "b\"it's\\n\"");
        assert_eq!(bytes("größe"), "b'gr\\xc3\\xb6\\xc3\\x9fe'");
    }
}
