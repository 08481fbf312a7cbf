//! A program to run, as a value.

use crate::HostError;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a child sees as `PATH`: Debian's default for root, whoever we are, because tools such as
/// `mke2fs` and `nft` live in the `sbin` directories.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Long enough for every program that only looks or flips a switch, on a busy machine.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// A program to run: argv, never shell text.
///
/// The environment is cleared but for a fixed `PATH` and `LC_ALL=C.UTF-8`, unless somebody's is
/// given; standard input is closed unless bytes are given, and there is always a deadline.
#[derive(Clone)]
pub struct Cmd {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Positions in `args` that [`Cmd::redacted`] hides.
    secret: Vec<usize>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The locale is a matter of `env`.
    pub(crate) own_locale: bool,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) deadline: Duration,
    accepted: Accepted,
}

#[derive(Clone)]
enum Accepted {
    Some(Vec<i32>),
    All,
}

impl Cmd {
    /// A program by name, looked up in the fixed `PATH`, or by its absolute path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            secret: Vec::new(),
            env: Vec::new(),
            own_locale: false,
            stdin: None,
            cwd: None,
            deadline: DEFAULT_DEADLINE,
            accepted: Accepted::Some(vec![0]),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds one argument that is shown as stars in errors and logs. Other users of the computer
    /// can still see it in the process list: secrets belong into [`Cmd::stdin`].
    #[must_use]
    pub fn hidden_arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.secret.push(self.args.len());
        self.arg(arg)
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the environment of whoever wants the program: also its locale, or that it has none.
    #[must_use]
    pub fn environment<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.own_locale = true;
        variables.into_iter().fold(self, |cmd, (name, value)| cmd.env(name, value))
    }

    /// Gives these bytes on standard input, then closes it.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.cwd = Some(path.as_ref().to_owned());
        self
    }

    /// Gives up after this long; 30 s without this call.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Takes this exit status as success too. A signal `n` counts as status `128 + n`.
    #[must_use]
    pub fn accept(mut self, status: i32) -> Self {
        if let Accepted::Some(statuses) = &mut self.accepted {
            statuses.push(status);
        }
        self
    }

    /// Takes every exit status as success: the caller looks at it.
    #[must_use]
    pub fn accept_all(mut self) -> Self {
        self.accepted = Accepted::All;
        self
    }

    /// The same command run by another: `wrapped("unshare", &["-r", "--"])` runs `unshare -r -- …`.
    #[must_use]
    pub fn wrapped(mut self, program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let inner = std::mem::replace(&mut self.program, program.as_ref().to_owned());
        let shift = args.len() + 1;
        self.args.splice(0..0, args.iter().map(OsString::from).chain([inner]));
        self.secret.iter_mut().for_each(|at| *at += shift);
        self
    }

    pub(crate) fn accepts(&self, status: i32) -> bool {
        match &self.accepted {
            Accepted::Some(statuses) => statuses.contains(&status),
            Accepted::All => true,
        }
    }

    /// Program and arguments.
    pub fn argv(&self) -> Vec<&OsStr> {
        std::iter::once(&self.program).chain(&self.args).map(OsString::as_os_str).collect()
    }

    /// The command on one line, for errors and logs: hidden arguments as stars, words quoted where
    /// a shell would need it, and a very long line cut.
    pub fn redacted(&self) -> String {
        let mut line = quoted(&self.program);
        for (at, arg) in self.args.iter().enumerate() {
            line.push(' ');
            if self.secret.contains(&at) {
                line.push_str("***");
            } else {
                line.push_str(&quoted(arg));
            }
            if line.len() > 600 {
                line.push_str(" …");
                break;
            }
        }
        line
    }
}

impl std::fmt::Debug for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cmd(`{}`)", self.redacted())
    }
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a program that ended left behind.
#[derive(Clone, Debug)]
pub struct CmdOutput {
    /// The command, redacted.
    pub cmd: String,
    /// Exit status; 128 plus the signal's number when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl CmdOutput {
    /// Standard output as text, without white space at its ends. Bytes that are not UTF-8 become
    /// replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard output read as JSON.
    ///
    /// # Errors
    /// When it is not JSON of that shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, HostError> {
        serde_json::from_slice(&self.stdout)
            .map_err(|source| HostError::NotJson { cmd: self.cmd.clone(), source })
    }

    /// The last lines of standard error, for errors.
    pub fn stderr_tail(&self) -> String {
        tail(&self.stderr)
    }
}

/// The last few lines of a program's complaint on one line.
pub(crate) fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut told = lines[lines.len().saturating_sub(6)..].join("; ");
    if let Some((at, _)) = told.char_indices().nth(800) {
        told.truncate(at);
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_argument_is_shown_as_stars() {
        let cmd = Cmd::new("tool").arg("--token").hidden_arg("s3cret").arg("two words");
        assert_eq!(cmd.redacted(), "tool --token *** 'two words'");
        assert!(!format!("{cmd:?}").contains("s3cret"));
        assert_eq!(cmd.argv()[2], "s3cret");
    }

    #[test]
    fn a_wrapped_command_still_hides_what_was_hidden() {
        let cmd = Cmd::new("tool").hidden_arg("s3cret").wrapped("unshare", &["-r", "--"]);
        assert_eq!(cmd.redacted(), "unshare -r -- tool ***");
    }

    #[test]
    fn only_status_zero_is_success_unless_said_otherwise() {
        assert!(!Cmd::new("grep").accepts(1));
        assert!(Cmd::new("grep").accept(1).accepts(1));
        assert!(Cmd::new("grep").accept_all().accepts(77));
    }

    #[test]
    fn a_long_complaint_is_told_by_its_end() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        assert_eq!(
            tail(lines.join("\n").as_bytes()),
            "line 94; line 95; line 96; line 97; line 98; line 99"
        );
        assert!(tail(&[b'x'; 5000]).len() < 900);
    }
}
