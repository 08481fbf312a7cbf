//! Running a tool that talks while it works: its stages told on, its silence noticed, its reason
//! found among a thousand lines.
//!
//! Never here: knowing which tool it is, beyond how a bootstrap marks its lines.

use crate::Progress;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use updraft_host::{Cmd, Host, HostError};

/// How a tool failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be started or watched.
    Lost(HostError),
    /// It said nothing for too long and was killed; its last line.
    Stuck { said: String },
    /// It ended with an error; what it said about it.
    Ended { status: i32, said: String },
}

/// Runs a tool for as long as it talks: no longer silent than `idle`.
pub(crate) async fn run(
    host: &dyn Host,
    cmd: Cmd,
    idle: Duration,
    progress: Progress<'_>,
) -> Result<(), Fault> {
    let mut child = host.spawn(cmd).await.map_err(Fault::Lost)?;
    child.stdin = None;
    let cmd = child.cmd().to_owned();
    let mut said: Vec<String> = Vec::new();
    {
        let mut out = BufReader::new(&mut child.stdout).split(b'\n');
        let mut err = BufReader::new(&mut child.stderr).split(b'\n');
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            let line = tokio::time::timeout(idle, async {
                tokio::select! {
                    line = out.next_segment(), if out_open => (line, &mut out_open),
                    line = err.next_segment(), if err_open => (line, &mut err_open),
                }
            });
            // Returning drops the child, which kills it.
            let Ok((line, open)) = line.await else {
                return Err(Fault::Stuck { said: said.pop().unwrap_or_default() });
            };
            let line =
                line.map_err(|source| Fault::Lost(HostError::Lost { cmd: cmd.clone(), source }))?;
            let Some(line) = line else {
                *open = false;
                continue;
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(told) = worth_telling(&line) {
                progress(told);
            }
            said.push(line);
        }
    }
    match child.wait().await.map_err(Fault::Lost)?.status {
        0 => Ok(()),
        status => Err(Fault::Ended { status, said: reason(&said) }),
    }
}

/// A line that tells how far a bootstrap is.
fn worth_telling(line: &str) -> Option<&str> {
    line.strip_prefix("I: ").filter(|line| {
        ["downloading", "extracting", "installing", "creating"]
            .iter()
            .any(|word| line.starts_with(word))
    })
}

/// What a failed bootstrap says about why, among a thousand lines about what it did.
fn reason(said: &[String]) -> String {
    let mut telling: Vec<&str> = said
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("E:") || line.contains("No space left on device"))
        .collect();
    // A full disk is told once for each package.
    telling.dedup();
    let lines: Vec<&str> = if telling.is_empty() {
        said[said.len().saturating_sub(3)..].iter().map(|line| line.trim()).collect()
    } else {
        telling.into_iter().take(4).collect()
    };
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_host::LocalHost;

    async fn sh(script: &str, idle: u64) -> (Result<(), Fault>, Vec<String>) {
        let told = std::sync::Mutex::new(Vec::new());
        let progress = |line: &str| told.lock().unwrap().push(line.to_owned());
        let cmd = Cmd::new("sh").args(["-c", script]);
        let result = run(&LocalHost, cmd, Duration::from_millis(idle), &progress).await;
        (result, told.into_inner().unwrap())
    }

    #[tokio::test]
    async fn stages_are_told_while_the_tool_works() {
        let (result, told) =
            sh("echo 'I: installing remaining packages...' >&2; echo noise", 20_000).await;
        result.unwrap();
        assert_eq!(told, ["installing remaining packages..."]);
    }

    #[tokio::test]
    async fn a_tool_that_falls_silent_is_given_up_with_its_last_word() {
        let (result, _) = sh("echo last word; sleep 60", 1_000).await;
        assert!(matches!(result, Err(Fault::Stuck { said }) if said == "last word"));
    }

    #[tokio::test]
    async fn a_tool_that_fails_is_told_by_its_reason() {
        let (result, _) = sh("echo work; echo 'E: no such suite' >&2; exit 25", 20_000).await;
        assert!(
            matches!(result, Err(Fault::Ended { status: 25, said }) if said == "E: no such suite")
        );
    }

    #[test]
    fn a_failed_bootstrap_is_told_by_its_reason() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let said = "Get:1 http://mirror.test bookworm\nE: Unable to locate package no-such\n\
                    I: main() received signal PIPE: waiting for setup...\nE: mmdebstrap failed to run\n";
        assert_eq!(
            reason(&lines(said)),
            "E: Unable to locate package no-such; E: mmdebstrap failed to run"
        );
        assert_eq!(reason(&lines("a\nb\nc\nd")), "b; c; d");
        let full = "Error writing to file - write (28: No space left on device)\n".repeat(9);
        assert_eq!(reason(&lines(&full)), full.lines().next().unwrap());
    }

    #[test]
    fn only_stages_are_told_to_people() {
        assert_eq!(
            worth_telling("I: downloading packages with apt..."),
            Some("downloading packages with apt...")
        );
        assert_eq!(worth_telling("Setting up libc6 (2.36) ..."), None);
    }
}
