//! `synchronize`: rsync between this machine and another one, or between two places of this one.
//!
//! The action of that name decides on which machine this runs and how the other end is called.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail, plain};
use crate::place::expand;
use crate::process::Cmd;
use crate::shlex::{quote, split};
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

/// Stands before each change that rsync tells of.
const MARK: &str = "<<CHANGED>>";

/// What the parts of `archive` are called, here and there.
const PARTS: &[&str] = &["recursive", "links", "perms", "times", "owner", "group"];

/// What an empty text among the options leads to.
const EMPTY_OPTION: &str = "rsync_opts holds an empty string, for which some rsync transfer the current working directory; write `.` where that is meant";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let (source, dest) = match args.flag("_substitute_controller") {
        true => {
            let address = controller(ctx).ok_or_else(|| {
                fail!("Could not determine controller hostname for rsync to send to")
            })?;
            let there = |name: &str| match args.text(name).strip_prefix("localhost:") {
                Some(path) => format!("{address}:{path}"),
                None => args.text(name).to_owned(),
            };
            (there("src"), there("dest"))
        }
        false => (args.text("src").to_owned(), args.text("dest").to_owned()),
    };
    let is_daemon = |path: &str| path.starts_with("rsync://");
    let rsync = match args.text("_local_rsync_path") {
        path if path.contains('/') => path.to_owned(),
        name => ctx.required(name)?.display().to_string(),
    };
    let password = args.str("_local_rsync_password").filter(|password| !password.is_empty());
    if password.is_some() && ctx.program("sshpass").is_none() {
        return Err(fail!(
            "to use rsync connection with passwords, you must install the sshpass program"
        ));
    }
    if is_daemon(&source) && is_daemon(&dest) {
        return Err(fail!("either src or dest must be a localhost").with("rc", 1));
    }
    let wants_shell = !is_daemon(&source)
        && !is_daemon(&dest)
        && (source.contains(':') || dest.contains(':'))
        && !args.list("rsync_opts").iter().any(|option| option.contains("--rsh"));
    let shell = match wants_shell {
        true => Some(remote_shell(args, &ctx.required("ssh")?.display().to_string())),
        false => None,
    };
    let links = links(args, &dest)?;
    let mut words = Vec::new();
    // It asks its standard input for the password, which rsync does not read.
    words.extend(password.map(|_| "sshpass -d0".to_owned()));
    words.push(rsync);
    words.extend(options(args, ctx.check, shell.as_deref(), &links));
    words.push(format!("--out-format={}", quote(&format!("{MARK}%i %n%L"))));
    words.extend([quote(&source), quote(&dest)]);
    let line = words.join(" ");
    let argv = split(&line).map_err(|error| Fault::new(error.to_string()))?;
    let argv: Vec<String> = argv.iter().map(|word| expand(word, ctx)).collect();
    let mut cmd = Cmd::argv(&argv).ok_or_else(|| fail!("no command given"))?;
    if let Some(password) = password {
        cmd = cmd.input(format!("{password}\n"));
    }
    let ran = cmd.run(ctx).map_err(|error| {
        let rc = error.raw_os_error().unwrap_or(257);
        fail!("Error executing command: {}", plain(&error))
            .with("cmd", cmd.line())
            .with("rc", rc)
            .with("stdout", "")
            .with("stderr", "")
    })?;
    if !ran.success() {
        let fault = Fault::new(ran.err()).with("rc", ran.code).with("cmd", line);
        return Err(match warnings(args) {
            Some(warnings) => fault.with("warnings", warnings),
            None => fault,
        });
    }
    Ok(told(args, ctx, &ran.out(), line))
}

/// What rsync told, as a result.
fn told(args: &Args, ctx: &Context, out: &str, line: String) -> Outcome {
    // With links rsync tells of all there is; a period stands before what stays as it is.
    let changed = match args.list("link_dest").is_empty() {
        true => out.contains(MARK),
        false => !out.contains(&format!("{MARK}.")),
    };
    let clean = out.replace(MARK, "");
    let lines: Vec<&str> = clean.split('\n').filter(|line| !line.is_empty()).collect();
    Outcome::changed(changed)
        .with("msg", clean.as_str())
        .with("rc", 0)
        .with("cmd", line)
        .with("stdout_lines", lines)
        .with_some("diff", ctx.diff.then(|| json!({ "prepared": clean })))
        .with_some("warnings", warnings(args))
}

/// What is to be said of the options.
fn warnings(args: &Args) -> Option<Value> {
    let empty = args.list("rsync_opts").iter().any(String::is_empty);
    empty.then(|| json!([EMPTY_OPTION]))
}

/// The options for rsync in their order, each as a shell would take it.
fn options(args: &Args, check: bool, shell: Option<&str>, links: &[PathBuf]) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |wanted: bool, word: &str| {
        if wanted {
            words.push(word.to_owned());
        }
    };
    let archive = args.flag("archive");
    let timeout = args.int("rsync_timeout").unwrap_or(0);
    add(args.flag("delay_updates"), "--delay-updates");
    add(args.flag("delay_updates"), "-F");
    add(args.flag("compress"), "--compress");
    add(timeout != 0, &format!("--timeout={timeout}"));
    add(check, "--dry-run");
    add(args.flag("delete"), "--delete-after");
    add(args.flag("existing_only"), "--existing");
    add(args.flag("checksum"), "--checksum");
    add(args.flag("copy_links"), "--copy-links");
    add(archive, "--archive");
    for part in PARTS {
        match args.maybe(part) {
            Some(false) => add(archive, &format!("--no-{part}")),
            Some(true) => add(!archive, &format!("--{part}")),
            None => {}
        }
    }
    add(args.flag("dirs"), "--dirs");
    if let Some(shell) = shell {
        add(true, &format!("--rsh={}", quote(shell)));
    }
    if let Some(path) = args.str("rsync_path").filter(|path| !path.is_empty()) {
        add(true, &format!("--rsync-path={}", quote(path)));
    }
    for option in args.list("rsync_opts") {
        add(true, &option);
    }
    add(args.flag("partial"), "--partial");
    // Without its words rsync does not tell that it made a link.
    add(!links.is_empty(), "-H");
    add(!links.is_empty(), "-vv");
    for link in links {
        add(true, &format!("--link-dest={}", link.display()));
    }
    words
}

/// How rsync gets to the other machine.
fn remote_shell(args: &Args, ssh: &str) -> String {
    let mut words = vec![ssh.to_owned()];
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| quote(word)));
    if !args.flag("ssh_connection_multiplexing") {
        add(&["-S", "none"]);
    }
    if let Some(key) = args.str("private_key") {
        add(&["-i", key]);
    }
    if let Some(port) = args.int("dest_port") {
        add(&["-o", &format!("Port={port}")]);
    }
    if !args.flag("verify_host") {
        add(&["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    }
    words.extend(args.str("_ssh_args").filter(|more| !more.is_empty()).map(str::to_owned));
    words.join(" ")
}

/// Directories whose files are linked to rather than copied.
fn links(args: &Args, dest: &str) -> Result<Vec<PathBuf>, Fault> {
    let target = normal(crate::place::parent(Path::new(dest)));
    let links: Vec<PathBuf> =
        args.list("link_dest").iter().map(|path| normal(Path::new(path))).collect();
    for link in &links {
        if target.display().to_string().starts_with(&link.display().to_string()) {
            return Err(fail!(
                "Hardlinking into a subdirectory of the source would cause recursion. {} and {dest}",
                target.display()
            ));
        }
    }
    Ok(links)
}

/// A path from the root, without `.` and `..`; links are not asked.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in crate::place::absolute(path).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Where whoever is connected to this machine comes from.
fn controller(ctx: &Context) -> Option<String> {
    let told = ctx.var("SSH_CLIENT").or_else(|| ctx.var("SSH_CONNECTION"))?;
    told.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn checked(args: Value) -> Args {
        let mut given: Map<String, Value> =
            Map::from_iter([("src", "/a/"), ("dest", "/b")].map(|(k, v)| (k.into(), v.into())));
        given.extend(args.as_object().unwrap().clone());
        let spec = updraft_spec::find("ansible.posix.synchronize").unwrap();
        Args::check(spec, "synchronize", &given, &Context::system()).unwrap()
    }

    #[test]
    fn options_stand_in_the_order_of_ansible() {
        let cases = [
            (json!({}), "--delay-updates -F --compress --archive"),
            (json!({"delay_updates": false, "compress": false, "archive": false}), ""),
            (
                json!({"recursive": false, "owner": false, "times": true}),
                "--delay-updates -F --compress --archive --no-recursive --no-owner",
            ),
            (
                json!({"archive": false, "recursive": true, "links": false, "group": true, "dirs": true}),
                "--delay-updates -F --compress --recursive --group --dirs",
            ),
            (
                json!({"delete": true, "existing_only": true, "checksum": true, "copy_links": true,
                       "rsync_timeout": 5, "partial": true, "rsync_path": "sudo -u root rsync",
                       "rsync_opts": ["--exclude=.git", "--chmod=F640"]}),
                "--delay-updates -F --compress --timeout=5 --delete-after --existing --checksum \
                 --copy-links --archive --rsync-path='sudo -u root rsync' --exclude=.git \
                 --chmod=F640 --partial",
            ),
        ];
        for (args, wanted) in cases {
            let shown = args.to_string();
            assert_eq!(options(&checked(args), false, None, &[]).join(" "), wanted, "{shown}");
        }
        let rehearsed = options(&checked(json!({})), true, Some("ssh -S none"), &["/l".into()]);
        assert_eq!(
            rehearsed.join(" "),
            "--delay-updates -F --compress --dry-run --archive --rsh='ssh -S none' -H -vv --link-dest=/l"
        );
    }

    #[test]
    fn the_way_to_the_other_machine_is_told_as_a_shell_takes_it() {
        let blind = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
        let cases = [
            (json!({}), format!("/bin/ssh -S none {blind}")),
            (
                json!({"private_key": "/k y", "dest_port": 2222}),
                format!("/bin/ssh -S none -i '/k y' -o Port=2222 {blind}"),
            ),
            (
                json!({"verify_host": true, "ssh_connection_multiplexing": true,
                       "_ssh_args": "-C -o ControlMaster=auto"}),
                "/bin/ssh -C -o ControlMaster=auto".to_owned(),
            ),
        ];
        for (args, wanted) in cases {
            assert_eq!(remote_shell(&checked(args), "/bin/ssh"), wanted);
        }
    }

    #[test]
    fn links_into_what_is_linked_to_are_refused() {
        let args = checked(json!({"link_dest": ["/srv/old/../old"]}));
        assert_eq!(links(&args, "/srv/new/x").unwrap(), [PathBuf::from("/srv/old")]);
        assert!(links(&args, "/srv/old/new/x").unwrap_err().message.contains("recursion"));
    }

    #[test]
    fn a_mark_tells_of_a_change() {
        let ctx = Context { diff: true, ..Context::system() };
        let say = |args: Value, out: &str| {
            let outcome = told(&checked(args), &ctx, out, "rsync".to_owned());
            Value::Object(outcome.0)
        };
        let same = say(json!({}), "");
        assert_eq!((&same["changed"], &same["msg"]), (&json!(false), &json!("")));
        let new = say(json!({}), "<<CHANGED>>cd+++++++++ ./\n<<CHANGED>>>f+++++++++ x\n");
        assert_eq!(new["changed"], true);
        assert_eq!(new["stdout_lines"], json!(["cd+++++++++ ./", ">f+++++++++ x"]));
        assert_eq!(new["diff"]["prepared"], "cd+++++++++ ./\n>f+++++++++ x\n");
        let linked = json!({"link_dest": ["/old"]});
        assert_eq!(say(linked.clone(), "<<CHANGED>>.d          ./\n")["changed"], false);
        assert_eq!(say(linked, "<<CHANGED>>>f+++++++++ x\n")["changed"], true);
        assert_eq!(say(json!({"rsync_opts": [""]}), "")["warnings"], json!([EMPTY_OPTION]));
    }

    #[test]
    fn who_is_connected_is_the_other_end() {
        let mut ctx = Context::system();
        ctx.inherited = [("SSH_CLIENT".to_owned(), "10.0.0.9 41514 22".to_owned())].into();
        assert_eq!(controller(&ctx).as_deref(), Some("10.0.0.9"));
        ctx.inherited.clear();
        assert_eq!(controller(&ctx), None);
    }
}
