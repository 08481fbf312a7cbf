//! The Python that runs filters, tests and lookups, as tests start it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use updraft_playbook::{Partner, Starter};

/// Starts programs.
pub(crate) struct Starts;

impl Starter for Starts {
    fn start(&self, program: &Path, args: &[&str]) -> Result<Box<dyn Partner>, String> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let answers = BufReader::new(child.stdout.take().unwrap());
        Ok(Box::new(Talk { child, answers }))
    }
}

struct Talk {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Partner for Talk {
    fn exchange(&mut self, line: &str) -> Result<String, String> {
        let mut answer = String::new();
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").ok();
        match self.answers.read_line(&mut answer) {
            Ok(0) => Err("it has ended".to_owned()),
            Ok(_) => Ok(answer),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}
