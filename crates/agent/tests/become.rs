//! Becoming another user, with a stand-in for sudo that asks, refuses and obeys as sudo does.

#![expect(clippy::disallowed_methods, reason = "the test starts the program it is about")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use updraft_base::Digest;
use updraft_remote::{AgentSession, Output, RemoteError, Session as _, Stream};
use updraft_wire::{Become, Chain, Exec, FailureKind, ModuleRequest, Put, Request, Response};

const SOON: Duration = Duration::from_secs(20);

/// What sudo 1.9 does with the options we give it, as far as a caller can tell: it asks on
/// standard error, reads one line at a time, asks again after a wrong password, and with `-n` does
/// not ask. It notes how it was called, and whom it became.
const SUDO: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
never= ask= prompt=
while [ $# -gt 0 ]; do
  case $1 in
    -H) shift;;
    -n) never=1; shift;;
    -S) ask=1; shift;;
    -p) prompt=$2; shift 2;;
    -u) user=$2; shift 2;;
    --) shift; break;;
    *) echo "sudo: unknown option $1" >&2; exit 1;;
  esac
done
if [ -e "$here/needs-password" ]; then
  [ -n "$never" ] && { echo "sudo: a password is required" >&2; exit 1; }
  for try in 1 2 3; do
    printf %s "$prompt" >&2
    IFS= read -r word || { echo "sudo: no password was provided" >&2; exit 1; }
    [ "$word" = "right one" ] && break
    echo "Sorry, try again." >&2
    [ $try = 3 ] && { echo "sudo: 3 incorrect password attempts" >&2; exit 1; }
  done
fi
[ "$user" = ghost ] && { echo "sudo: unknown user ghost" >&2; exit 1; }
BECAME=$user exec "$@"
"#;

struct Served {
    session: AgentSession,
    bin: tempfile::TempDir,
    child: Child,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(more: &[&std::ffi::OsStr]) -> Self {
        let bin = tempfile::tempdir().expect("a temporary directory");
        let sudo = bin.path().join("sudo");
        std::fs::write(&sudo, SUDO).expect("a script");
        std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let path = format!("{}:/usr/bin:/bin", bin.path().display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_updraft-agent"))
            .args(["serve", "--stdio"])
            .args(more)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let stream = tokio::io::join(
            child.stdout.take().expect("a piped stdout"),
            child.stdin.take().expect("a piped stdin"),
        );
        let session = AgentSession::start("here", stream, SOON).await.expect("a session");
        Self { session, bin, child }
    }

    fn needs_password(&self) {
        std::fs::write(self.bin.path().join("needs-password"), "").expect("a file");
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.bin.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn shell(&self, text: &str, wanted: Become) -> Result<String, RemoteError> {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        let exec = Exec { argv, become_user: Some(wanted), ..Exec::default() };
        let mut heard = Heard::default();
        self.session.exec(exec, &mut heard).await.map(|_| heard.0)
    }
}

#[derive(Default)]
struct Heard(String);

impl Output for Heard {
    fn chunk(&mut self, _stream: Stream, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

/// Waits until a file holds a whole line.
async fn eventually_written(file: &std::path::Path) {
    for _ in 0..400 {
        if std::fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("after 10 s nothing was written to {}", file.display());
}

/// Waits until a process has ended.
async fn eventually_gone(pid: &str) {
    for _ in 0..400 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        if stat.map_or(true, |stat| stat.contains(") Z ")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("after 10 s process {pid} still runs");
}

fn wish(user: &str, password: Option<&str>) -> Become {
    Become {
        method: "sudo".to_owned(),
        user: user.to_owned(),
        exe: Vec::new(),
        flags: Vec::new(),
        password: password.map(str::to_owned),
    }
}

#[tokio::test]
async fn groups_that_a_user_is_given_count_from_the_next_task_on() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).expect("a directory");
    std::fs::write(etc.join("group"), "docker:x:999:\n").expect("a file");
    let served = Served::start_with(&["--root".as_ref(), root.path().as_os_str()]).await;
    let who = || served.shell("echo $PPID", wish("app", None));
    let first = who().await.unwrap();
    assert_eq!(who().await.unwrap(), first);
    // As usermod does it.
    std::fs::write(etc.join("group+"), "docker:x:999:app\n").expect("a file");
    std::fs::rename(etc.join("group+"), etc.join("group")).expect("a rename");
    let second = who().await.unwrap();
    assert_ne!(second, first, "it knows its groups from its start");
    eventually_gone(&first).await;
    assert_eq!(who().await.unwrap(), second);
    assert_eq!(served.calls().len(), 2);
}

#[tokio::test]
async fn one_agent_is_started_for_a_user_and_used_for_all_that_follows() {
    let served = Served::start().await;
    let who = "echo $BECAME $PPID";
    let (one, two) =
        tokio::join!(served.shell(who, wish("app", None)), served.shell(who, wish("app", None)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.starts_with("app "), "{one}");
    assert_eq!(one, two, "each had an agent of its own");
    assert!(served.shell(who, wish("db", None)).await.unwrap().starts_with("db "));
    assert_eq!(served.calls().len(), 2);
    assert!(served.calls()[0].starts_with("-H -n -u app -- "), "{:?}", served.calls());
}

#[tokio::test]
async fn a_password_is_given_when_asked_for_and_shown_to_nobody() {
    let served = Served::start().await;
    served.needs_password();
    let look =
        "cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c 'right on[e]'";
    let seen = served.shell(look, wish("app", Some("right one"))).await.unwrap();
    assert_eq!(seen, "0\n");
    assert!(!served.calls().concat().contains("right one"));
}

#[tokio::test]
async fn a_password_that_nobody_asked_for_does_no_harm() {
    let served = Served::start().await;
    let said = served.shell("echo $BECAME", wish("app", Some("right one"))).await.unwrap();
    assert_eq!(said, "app\n");
}

#[tokio::test]
async fn what_sudo_says_no_to_is_said_in_its_words() {
    let served = Served::start().await;
    let refusal = async |wanted: Become| match served.shell("true", wanted).await {
        Err(RemoteError::Failed { failure, .. }) => {
            assert_eq!(failure.kind, FailureKind::Become);
            failure.message
        }
        other => panic!("{other:?}"),
    };
    let ghost = refusal(wish("ghost", None)).await;
    assert_eq!(ghost, "cannot become `ghost` by sudo: sudo: unknown user ghost");
    served.needs_password();
    let none = refusal(wish("app", None)).await;
    assert_eq!(none, "cannot become `app` by sudo: sudo: a password is required");
    let wrong = refusal(wish("app", Some("wrong one"))).await;
    assert_eq!(wrong, "cannot become `app` by sudo: the password was not accepted");
    // A refusal is not kept: the right password works afterwards.
    assert_eq!(
        served.shell("echo $BECAME", wish("app", Some("right one"))).await.unwrap(),
        "app\n"
    );
}

#[tokio::test]
async fn another_program_stands_in_for_sudo_or_is_told_to_be_missing() {
    let served = Served::start().await;
    let exe = |name: &str| vec![served.bin.path().join(name).display().to_string()];
    std::fs::rename(served.bin.path().join("sudo"), served.bin.path().join("other")).unwrap();
    let wanted = Become { exe: exe("other"), ..wish("app", None) };
    assert_eq!(served.shell("echo $BECAME", wanted).await.unwrap(), "app\n");
    let gone = Become { exe: exe("sudo"), ..wish("app", None) };
    let Err(RemoteError::Failed { failure, .. }) = served.shell("true", gone).await else {
        panic!("nobody is there to become");
    };
    let expected = format!("cannot become `app` by sudo: {}: not found", exe("sudo")[0]);
    assert_eq!(failure.message, expected);
}

#[tokio::test]
async fn modules_facts_and_cancellations_go_to_the_other_user_too() {
    let served = Served::start().await;
    let request = ModuleRequest {
        name: "command".to_owned(),
        args: serde_json::json!({ "_raw_params": "/bin/sh -c 'echo $BECAME'" })
            .as_object()
            .expect("a map")
            .clone(),
        become_user: Some(wish("app", None)),
        ..ModuleRequest::default()
    };
    let answer = served.session.call(Request::Module(request), SOON).await.unwrap();
    let Response::Module(result) = answer else { panic!("{answer:?}") };
    assert_eq!(result.0["stdout"], "app", "{result:?}");

    let file = served.bin.path().join("pid");
    let shell = format!("echo $$ > {}; sleep 100", file.display());
    tokio::select! {
        _ = served.shell(&shell, wish("app", None)) => panic!("it does not end by itself"),
        () = eventually_written(&file) => {}
    }
    let pid = std::fs::read_to_string(&file).unwrap();
    eventually_gone(&pid).await;
}

#[tokio::test]
async fn a_staged_file_can_be_read_by_the_other_user_and_the_agents_go_together() {
    let mut served = Served::start().await;
    let put = Put { path: None, size: 5, digest: Digest::of("hello"), mode: 0o600, keep: false };
    let staged = served.session.put(put, &mut &b"hello"[..]).await.unwrap();
    let target = served.bin.path().join("copy");
    let request = ModuleRequest {
        name: "copy".to_owned(),
        args: serde_json::json!({ "dest": target, "_updraft_staged": staged })
            .as_object()
            .expect("a map")
            .clone(),
        become_user: Some(wish("app", None)),
        ..ModuleRequest::default()
    };
    let answer = served.session.call(Request::Module(request), SOON).await.unwrap();
    let Response::Module(result) = answer else { panic!("{answer:?}") };
    assert_eq!(result.0.get("changed"), Some(&true.into()), "{result:?}");
    assert_eq!(std::fs::read_to_string(target).unwrap(), "hello");
    let other = served.shell("echo $PPID", wish("app", None)).await.unwrap();
    drop(served.session);
    tokio::time::timeout(SOON, served.child.wait()).await.expect("an end").unwrap();
    eventually_gone(&other).await;
}

#[tokio::test]
async fn a_chain_goes_to_the_other_user_as_a_whole() {
    let served = Served::start().await;
    let line = |text: &str| ModuleRequest {
        name: "shell".to_owned(),
        args: serde_json::json!({ "_raw_params": text }).as_object().expect("a map").clone(),
        ..ModuleRequest::default()
    };
    let modules = vec![line("echo $BECAME 1"), line("echo $BECAME 2; exit 1"), line("echo never")];
    let chain = Chain { modules, become_user: Some(wish("app", None)) };
    let mut steps = served.session.chain(chain).await.unwrap();
    for expected in ["app 1", "app 2"] {
        let Some(Response::Module(result)) = steps.next(SOON).await.unwrap() else { panic!() };
        assert_eq!(result.0["stdout"], expected);
    }
    assert_eq!(steps.next(SOON).await.unwrap(), None);
    assert_eq!(served.calls().len(), 1);
    // Who cannot be become is said once.
    let chain = Chain { modules: vec![line("true")], become_user: Some(wish("ghost", None)) };
    let mut steps = served.session.chain(chain).await.unwrap();
    let Some(Response::Failed(failure)) = steps.next(SOON).await.unwrap() else { panic!() };
    assert_eq!(failure.kind, FailureKind::Become);
    assert_eq!(steps.next(SOON).await.unwrap(), None);
}

#[tokio::test]
async fn modules_of_a_chain_become_their_own_users() {
    let served = Served::start().await;
    let line = |text: &str, user: Option<&str>| ModuleRequest {
        name: "shell".to_owned(),
        args: serde_json::json!({ "_raw_params": text }).as_object().expect("a map").clone(),
        become_user: user.map(|user| wish(user, None)),
        ..ModuleRequest::default()
    };
    let said = |answer: Option<Response>| match answer {
        Some(Response::Module(result)) => result.0["stdout"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    let modules = vec![
        line("echo ${BECAME:-nobody} 1", None),
        line("echo ${BECAME:-nobody} 2", Some("app")),
        line("echo ${BECAME:-nobody} 3", Some("other")),
        line("echo ${BECAME:-nobody} 4", None),
        // More than fits one frame.
        line("head -c 1500000 /dev/zero | tr '\\0' x", Some("app")),
        line("echo ${BECAME:-nobody} 6; exit 1", Some("app")),
        line("echo never", None),
    ];
    let mut steps = served.session.chain(Chain { modules, become_user: None }).await.unwrap();
    for expected in ["nobody 1", "app 2", "other 3", "nobody 4"] {
        assert_eq!(said(steps.next(SOON).await.unwrap()), expected);
    }
    assert_eq!(said(steps.next(SOON).await.unwrap()).len(), 1_500_000);
    assert_eq!(said(steps.next(SOON).await.unwrap()), "app 6");
    assert_eq!(steps.next(SOON).await.unwrap(), None);
    // One agent for each of them.
    assert_eq!(served.calls().len(), 2);
    // Whoever cannot be become ends the chain where it is their turn, and so does an agent's end.
    let killed = [line("true", None), line("kill -9 $PPID", Some("app")), line("echo never", None)];
    for (modules, kind) in [
        (vec![line("true", None), line("true", Some("ghost"))], FailureKind::Become),
        (killed.to_vec(), FailureKind::Become),
    ] {
        let chain = Chain { modules, become_user: None };
        let mut steps = served.session.chain(chain).await.unwrap();
        assert!(matches!(steps.next(SOON).await.unwrap(), Some(Response::Module(_))));
        let Some(Response::Failed(failure)) = steps.next(SOON).await.unwrap() else { panic!() };
        assert_eq!(failure.kind, kind);
        assert_eq!(steps.next(SOON).await.unwrap(), None);
    }
}
