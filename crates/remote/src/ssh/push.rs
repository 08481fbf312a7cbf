//! Bringing the agent to a host over one channel: a few lines of POSIX shell that start it from
//! the cache, or receive it first.
//!
//! The text contains no single quote, exclamation mark, backslash or newline, so that every login
//! shell hands it to `/bin/sh` as it is.

use crate::RemoteError;
use crate::target::AgentBinary;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use updraft_wire::PREAMBLE;

/// A host that takes longer to look for the agent, or to start it, is not well.
const START: Duration = Duration::from_secs(30);

/// Bytes written at once, as many as a packet takes, and how long one such piece may take.
const PIECE: usize = 32 << 10;
const STALL: Duration = Duration::from_secs(30);

/// To so many hosts at once the agent is sent. What a host has not taken yet waits in our memory, up
/// to the 2 MiB of its window.
const AT_ONCE: usize = 16;
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The rest after each piece. russh encrypts all that waits before it sends any of it, and keeps as
/// much memory for the next time: without a rest that was 2 MiB of each connection until its end,
/// 496 MB for two hundred new hosts, and twice the time for ten.
const REST: Duration = Duration::from_micros(500);

/// The rest while all turns are taken: nobody is kept waiting by it then, since the processors are
/// busy, and whoever sends comes to its turn later than it should.
const REST_OF_MANY: Duration = Duration::from_millis(2);

/// More text than this before the agent speaks is not a login message.
const MOST_NOISE: usize = 256 << 10;

/// What the shell text says when it wants something; no login message begins a line like that.
const WORD: &str = "updraft-agent-push:";

/// Text for the remote side.
///
/// It looks in each place for the right agent, which only counts when the file and its directory
/// belong to us, since a directory that others can write could swap it, and when its content is
/// right. The agent itself says so of its own file: what must be noticed there is a disk that lost
/// something, and one that is not whole enough to tell does not run. If there
/// is none, it finds a place where programs may be run, says `need`, and takes as many bytes as
/// that agent has.
pub(crate) fn script(agents: &[AgentBinary]) -> String {
    let mut cases = String::new();
    for agent in agents {
        let also = if agent.arch == "aarch64" { "|arm64" } else { "" };
        write!(cases, "{}{also}) d={}; n={};; ", agent.arch, agent.digest, agent.bytes.len())
            .expect("text takes any text");
    }
    let body = format!(
        "exec 2>&1; umask 077; s=$(uname -s); m=$(uname -m); \
         case $s in Linux) ;; *) echo {WORD}system:$s; exit 0;; esac; \
         case $m in {cases}*) echo {WORD}arch:$m; exit 0;; esac; \
         u=$(id -u); p=; [ -n \"$HOME\" ] && p=$HOME/.cache; \
         right() {{ [ -f \"$1\" ] && [ -O \"$1\" ] && [ \"$(\"$1\" digest </dev/null 2>/dev/null)\" = $d ]; }}; \
         run() {{ exec \"$1\" serve --stdio --announce 2>/dev/null; }}; \
         for b in \"$p/updraft\" /var/tmp/.updraft-agent-$u /dev/shm/.updraft-agent-$u; do \
         a=$b/agent-$d; \
         [ -O \"$b\" ] && [ -x \"$a\" ] && right \"$a\" && run \"$a\"; done; \
         for b in \"$p/updraft\" /var/tmp/.updraft-agent-$u /dev/shm/.updraft-agent-$u; do \
         [ \"$b\" = /updraft ] && continue; \
         mkdir -p \"$b\" 2>/dev/null && [ -O \"$b\" ] && chmod 700 \"$b\" || continue; \
         a=$b/agent-$d; t=$b/.new-$$; \
         {{ echo \"#\"/bin/sh >\"$t\" && chmod 700 \"$t\" && \"$t\"; }} >/dev/null 2>&1 || \
         {{ rm -f \"$t\"; continue; }}; \
         find \"$b\" -name \"agent-*\" -mtime +7 -exec rm -f {{}} + 2>/dev/null; \
         echo {WORD}need:$m; \
         head -c $n >\"$t\" || {{ rm -f \"$t\"; echo {WORD}fail:cannot write to $b; exit 0; }}; \
         right \"$t\" || {{ rm -f \"$t\"; echo {WORD}fail:the agent did not arrive whole in $b; exit 0; }}; \
         mv -f \"$t\" \"$a\" && run \"$a\"; \
         echo {WORD}fail:cannot run it in $b; exit 0; done; \
         echo {WORD}fail:no directory takes a program that may be run"
    );
    format!("exec /bin/sh -c '{body}'")
}

/// Text for the remote side that takes away everything [`script`] brings there and what agents keep
/// beside it, and says how many agents there were. What is not ours stays.
pub(crate) fn removal() -> String {
    let body = "umask 077; u=$(id -u); p=; [ -n \"$HOME\" ] && p=$HOME/.cache; n=0; \
         for b in \"$p/updraft\" /var/tmp/.updraft-agent-$u /dev/shm/.updraft-agent-$u; do \
         [ -d \"$b\" ] && [ -O \"$b\" ] || continue; [ -L \"$b\" ] && continue; \
         for a in \"$b\"/agent-* \"$b\"/.new-*; do \
         [ -f \"$a\" ] && [ -O \"$a\" ] && rm -f \"$a\" && n=$((n + 1)); done; \
         [ -O \"$b/modules\" ] && rm -rf \"$b/modules\"; \
         rmdir \"$b\" 2>/dev/null; done; \
         [ $u = 0 ] && [ -O /var/lib/updraft/modules ] && rm -rf /var/lib/updraft/modules && \
         rmdir /var/lib/updraft 2>/dev/null; echo $n";
    format!("exec /bin/sh -c '{body}'")
}

/// Sees to it that the agent runs at the other end of a stream on which [`script`] was started.
/// Afterwards the agent waits for a hello.
pub(crate) async fn ensure_agent(
    name: &str,
    agents: &[AgentBinary],
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), RemoteError> {
    let mut heard = Vec::new();
    // Held until the agent speaks, as it has been taken whole then.
    let mut turn = None;
    loop {
        if heard.windows(PREAMBLE.len()).any(|window| window == PREAMBLE) {
            return Ok(());
        }
        if let Some((word, rest)) = said(&heard) {
            match word.as_str() {
                "need" if turn.is_none() => {
                    let agent = agents.iter().find(|agent| fits(agent, &rest));
                    let agent = agent.ok_or_else(|| wrong_arch(name, &rest, agents))?;
                    turn = Some(TURNS.acquire().await.expect("nobody closes it"));
                    send(name, agent, stream).await?;
                    heard.clear();
                }
                "arch" => return Err(wrong_arch(name, &rest, agents)),
                "system" => {
                    return Err(no_agent(name, format!("it runs {rest}, the agent needs Linux")));
                }
                _ => return Err(no_agent(name, rest)),
            }
            continue;
        }
        if heard.len() > MOST_NOISE {
            return Err(no_agent(name, "it says much, but not what it was asked".to_owned()));
        }
        let mut chunk = [0; 4096];
        let read = timeout(START, stream.read(&mut chunk)).await;
        let read = read.map_err(|_| RemoteError::Deadline {
            host: name.to_owned(),
            what: "the start of the agent",
            within: START,
        })?;
        match read {
            Ok(0) => return Err(lost(name, &heard, None)),
            Ok(length) => heard.extend_from_slice(&chunk[..length]),
            Err(fault) => return Err(lost(name, &heard, Some(&fault))),
        }
    }
}

/// A word from the shell text and what follows it, once its line is whole.
fn said(heard: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(heard);
    let whole = text.rfind('\n').map(|end| &text[..end])?;
    let line = whole.lines().find_map(|line| line.trim_end().strip_prefix(WORD))?;
    let (word, rest) = line.split_once(':').unwrap_or((line, ""));
    Some((word.to_owned(), rest.to_owned()))
}

fn fits(agent: &AgentBinary, arch: &str) -> bool {
    agent.arch == arch || (agent.arch == "aarch64" && arch == "arm64")
}

async fn send(
    name: &str,
    agent: &AgentBinary,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), RemoteError> {
    for piece in agent.bytes.chunks(PIECE) {
        let written = timeout(STALL, stream.write_all(piece)).await;
        let written = written.map_err(|_| RemoteError::Deadline {
            host: name.to_owned(),
            what: "more of the agent to be taken",
            within: STALL,
        })?;
        written.map_err(|fault| lost(name, &[], Some(&fault)))?;
        sleep(if TURNS.available_permits() == 0 { REST_OF_MANY } else { REST }).await;
    }
    stream.flush().await.map_err(|fault| lost(name, &[], Some(&fault)))
}

fn no_agent(name: &str, reason: String) -> RemoteError {
    RemoteError::NoAgent { host: name.to_owned(), reason }
}

fn wrong_arch(name: &str, arch: &str, agents: &[AgentBinary]) -> RemoteError {
    let ours: Vec<&str> = agents.iter().map(|agent| agent.arch.as_str()).collect();
    let ours = ours.join(" and ");
    no_agent(name, format!("its processor is {arch}, this updraft has an agent for {ours} only"))
}

fn lost(name: &str, heard: &[u8], fault: Option<&std::io::Error>) -> RemoteError {
    let text = String::from_utf8_lossy(heard);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let reason = match (last, fault) {
        (Some(last), _) => format!("it ended before the agent ran and said last: {last}"),
        (None, Some(fault)) => format!("it ended before the agent ran: {fault}"),
        (None, None) => "it ended before the agent ran".to_owned(),
    };
    RemoteError::Lost { host: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> [AgentBinary; 1] {
        [AgentBinary::new("x86_64", b"an agent".to_vec())]
    }

    #[test]
    fn the_shell_text_survives_every_login_shell() {
        for text in [script(&agents()), removal()] {
            survives(&text);
        }
    }

    fn survives(text: &str) {
        let body = text.strip_prefix("exec /bin/sh -c '").unwrap().strip_suffix('\'').unwrap();
        assert!(!body.contains(['\'', '!', '\\', '\n']), "{body}");
    }

    #[test]
    fn a_word_counts_only_as_a_whole_line_of_its_own() {
        assert_eq!(said(b"Welcome\nupdraft-agent-push:need:x86_6"), None);
        assert_eq!(said(b"it said updraft-agent-push:need:x86_64\n"), None);
        let expected = Some(("need".to_owned(), "x86_64".to_owned()));
        assert_eq!(said(b"Welcome\nupdraft-agent-push:need:x86_64\r\n"), expected);
    }

    #[tokio::test]
    async fn a_host_of_another_kind_is_told_apart() {
        for (word, told) in [
            ("arch:sparc64", "its processor is sparc64, this updraft has an agent for x86_64 only"),
            ("system:FreeBSD", "it runs FreeBSD, the agent needs Linux"),
            ("fail:no directory", "no directory"),
        ] {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
            theirs.write_all(format!("motd\n{WORD}{word}\n").as_bytes()).await.unwrap();
            let error = ensure_agent("old", &agents(), &mut ours).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the agent cannot run on `old`: {told}"));
        }
    }

    #[tokio::test]
    async fn last_words_are_kept_when_the_host_hangs_up() {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(b"This account is currently not available.\n").await.unwrap();
        drop(theirs);
        let error = ensure_agent("web-1", &agents(), &mut ours).await.unwrap_err();
        assert!(error.to_string().ends_with("This account is currently not available."), "{error}");
    }
}
