//! A program of this computer that answers line by line, as the Python does that runs filters, tests
//! and lookups.
//!
//! Never here: what is said to it.

use std::collections::BTreeMap;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use updraft_host::{Child, Cmd, Host as _, LocalHost};
use updraft_playbook::{Partner, Starter};

/// How much of what a program says on standard error is kept for whoever asks why it ended.
const TAIL: usize = 2048;

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// Starts programs in the environment of whoever runs us.
pub(crate) struct InEnvironment(pub(crate) BTreeMap<String, String>);

impl Starter for InEnvironment {
    fn start(&self, program: &Path, args: &[&str]) -> Result<Box<dyn Partner>, String> {
        let cmd = Cmd::new(program).args(args).environment(&self.0);
        let child = waiting(LocalHost.spawn(cmd)).map_err(|error| updraft_base::chain(&error))?;
        Ok(Box::new(Talk { child, heard: Vec::new(), errors: Vec::new() }))
    }
}

/// What is said here is waited for where it is said: templates do not know how to wait.
fn waiting<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

struct Talk {
    child: Child,
    /// Bytes after the last line.
    heard: Vec<u8>,
    /// The end of what it said on standard error.
    errors: Vec<u8>,
}

impl Partner for Talk {
    fn exchange(&mut self, line: &str) -> Result<String, String> {
        waiting(async {
            match self.ask(line).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(self.last_words().await),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

impl Talk {
    async fn ask(&mut self, line: &str) -> std::io::Result<Option<String>> {
        let Some(stdin) = &mut self.child.stdin else { return Ok(None) };
        let said = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        // Of an end nobody but standard output tells.
        drop(said.await);
        let (mut chunk, mut complaint) = ([0; CHUNK], [0; CHUNK]);
        let mut complains = true;
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            tokio::select! {
                read = self.child.stdout.read(&mut chunk) => match read? {
                    0 => return Ok(None),
                    read => self.heard.extend_from_slice(&chunk[..read]),
                },
                read = self.child.stderr.read(&mut complaint), if complains => match read? {
                    0 => complains = false,
                    read => {
                        self.errors.extend_from_slice(&complaint[..read]);
                        let start = self.errors.len().saturating_sub(TAIL);
                        self.errors.drain(..start);
                    }
                },
            }
        }
    }

    /// Why it has ended.
    async fn last_words(&mut self) -> String {
        let mut rest = Vec::new();
        let ended = self.child.kill().await;
        drop((&mut self.child.stderr).take(TAIL as u64).read_to_end(&mut rest).await);
        self.errors.extend(rest);
        let said = String::from_utf8_lossy(&self.errors);
        let last = said.trim().lines().last().unwrap_or_default();
        let status = ended.map_or_else(|error| error.to_string(), |it| it.status.to_string());
        format!("`{}` ended with status {status}: {last}", self.child.cmd())
    }
}
