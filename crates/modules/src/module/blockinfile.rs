//! `blockinfile`: lines between two markers.

use crate::args::Args;
use crate::context::Context;
use crate::module::lineinfile::{self, Edit};
use crate::outcome::{Done, Fault, OrFail, Outcome, fail, plain};
use crate::pattern::{Flags, Pattern};
use crate::place::{self, Rewrite};
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let shown = args.text("path");
    let path = Path::new(shown);
    if path.is_dir() {
        return Err(fail!("Path {shown} is a directory !").with("rc", 256));
    }
    let before = if path.exists() {
        Some(fs::read(path).or_fail(format!("cannot read {shown}"))?)
    } else if args.flag("create") {
        None
    } else {
        return Err(fail!("Path {shown} does not exist !").with("rc", 257));
    };
    let rules = Rules::asked(args)?;
    if !rules.present && before.is_none() {
        return Ok(Outcome::changed(false).with("msg", format!("File {shown} not present")));
    }
    if before.is_none() && !ctx.check {
        let dir = place::parent(path);
        fs::create_dir_all(dir)
            .map_err(|error| fail!("Error creating {} Error: {}", dir.display(), plain(&error)))?;
    }
    let edit = rules.apply(before.as_deref())?;
    let mut backup = None;
    if edit.changed && !ctx.check {
        let rewrite = Rewrite {
            backup: args.flag("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.flag("unsafe_writes"),
        };
        backup = place::rewrite(path, &edit.content, &rewrite, ctx)?;
    }
    let before = before.unwrap_or_default();
    let outcome = lineinfile::finish(path, shown, &before, &edit, args, ctx)?;
    Ok(outcome.with_some("backup_file", backup))
}

/// Where a new block goes.
enum Anchor {
    Start,
    End,
    After(Pattern),
    Before(Pattern),
}

struct Rules {
    present: bool,
    begin: Vec<u8>,
    end: Vec<u8>,
    block: Vec<u8>,
    anchor: Anchor,
    append_newline: bool,
    prepend_newline: bool,
}

impl Rules {
    fn asked(args: &Args) -> Result<Self, Fault> {
        let marker = |mark: &str| {
            let text = args.text("marker").replace("{mark}", args.text(mark));
            format!("{text}\n").into_bytes()
        };
        let mut block = args.text("block").to_owned();
        if !block.is_empty() && !block.ends_with('\n') {
            block.push('\n');
        }
        let anchor = match (args.str("insertafter"), args.str("insertbefore")) {
            (Some("EOF") | None, None) => Anchor::End,
            (_, Some("BOF")) => Anchor::Start,
            (Some(after), _) => Anchor::After(Pattern::new(after, Flags::None)?),
            (None, Some(before)) => Anchor::Before(Pattern::new(before, Flags::None)?),
        };
        Ok(Self {
            present: args.text("state") == "present",
            begin: marker("marker_begin"),
            end: marker("marker_end"),
            block: block.into_bytes(),
            anchor,
            append_newline: args.flag("append_newline"),
            prepend_newline: args.flag("prepend_newline"),
        })
    }

    fn apply(&self, before: Option<&[u8]>) -> Result<Edit, Fault> {
        let original = before.unwrap_or_default();
        let mut lines = split_lines(original);
        let last = |wanted: &[u8]| lines.iter().rposition(|line| line == wanted);
        let mut at = match (last(&self.begin), last(&self.end)) {
            (Some(begin), Some(end)) => {
                let (first, end) = (begin.min(end), begin.max(end));
                lines.drain(first..=end);
                first
            }
            _ => self.place(original, &lines)?,
        };
        if at > 0
            && let Some(line) = lines.get_mut(at - 1)
            && !line.ends_with(b"\n")
        {
            line.push(b'\n');
        }
        let blank = b"\n".to_vec();
        if self.prepend_newline && self.present && at != 0 && lines[at - 1] != blank {
            lines.insert(at, blank.clone());
            at += 1;
        }
        let mut block = Vec::new();
        if self.present && !self.block.is_empty() {
            block.push(self.begin.clone());
            block.extend(split_lines(&self.block));
            block.push(self.end.clone());
        }
        let after = at + block.len();
        let removed = block.is_empty();
        lines.splice(at..at, block);
        if self.append_newline && self.present && lines.get(after).is_some_and(|l| *l != blank) {
            lines.insert(after, blank);
        }
        let content = lines.concat();
        let message = match before {
            Some(before) if before == content => "",
            None => "File created",
            Some(_) if removed => "Block removed",
            Some(_) => "Block inserted",
        };
        Ok(Edit {
            changed: before != Some(content.as_slice()),
            content,
            message: message.to_owned(),
            found: 0,
        })
    }

    /// The index a block is put at when its markers are not there yet.
    fn place(&self, original: &[u8], lines: &[Vec<u8>]) -> Result<usize, Fault> {
        let (pattern, after) = match &self.anchor {
            Anchor::Start => return Ok(0),
            Anchor::End => return Ok(lines.len()),
            Anchor::After(pattern) => (pattern, true),
            Anchor::Before(pattern) => (pattern, false),
        };
        let mut found = None;
        if pattern.multi_line() {
            if let Some(hit) = pattern.find(original)? {
                let to = if after { hit.range().end } else { hit.range().start };
                found = Some(original[..to].iter().filter(|byte| **byte == b'\n').count());
            }
        } else {
            for (index, line) in lines.iter().enumerate() {
                if pattern.is_match(line)? {
                    found = Some(index);
                }
            }
        }
        Ok(match found {
            None => lines.len(),
            Some(index) if after => (index + 1).min(lines.len()),
            Some(index) => index,
        })
    }
}

/// Lines with their ends, as Python splits bytes: at `\n`, `\r` and `\r\n`.
fn split_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if byte == b'\r' && bytes.get(at) == Some(&b'\n') {
            at += 1;
        } else if !matches!(byte, b'\r' | b'\n') {
            continue;
        }
        lines.push(bytes[start..at].to_vec());
        start = at;
    }
    if start < bytes.len() {
        lines.push(bytes[start..].to_vec());
    }
    lines
}
