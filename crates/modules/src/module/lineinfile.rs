//! `lineinfile`: one line is in a file, or lines that match are not.

use crate::args::Args;
use crate::attributes::{Attributes, Diff};
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::pattern::{Flags, Match, Pattern, Template};
use crate::place::{self, Rewrite};
use serde_json::json;
use std::fs;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let shown = args.text("path");
    let path = Path::new(shown);
    if path.is_dir() {
        return Err(fail!("Path {shown} is a directory !").with("rc", 256));
    }
    let rules = Rules::asked(args)?;
    let exists = path.exists();
    if !exists {
        if !rules.present {
            return Ok(Outcome::changed(false).with("msg", "file not present"));
        }
        if !args.flag("create") {
            return Err(fail!("Destination {shown} does not exist !").with("rc", 257));
        }
    }
    let before =
        if exists { fs::read(path).or_fail(format!("cannot read {shown}"))? } else { Vec::new() };
    let edit = rules.apply(&before)?;
    if !exists && !ctx.check {
        let dir = place::parent(path);
        fs::create_dir_all(dir).map_err(|error| {
            fail!("Error creating {} ({})", dir.display(), crate::outcome::plain(&error))
        })?;
    }
    let mut backup = None;
    if edit.changed && !ctx.check {
        let rewrite = Rewrite {
            backup: args.flag("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.flag("unsafe_writes"),
        };
        backup = place::rewrite(path, &edit.content, &rewrite, ctx)?;
    }
    let mut outcome = finish(path, shown, &before, &edit, args, ctx)?;
    if !rules.present {
        outcome = outcome.with("found", edit.found);
    }
    let outcome = outcome.with("backup", backup.unwrap_or_default());
    let empty = ["regexp", "search_string"].into_iter().find(|name| args.str(name) == Some(""));
    Ok(match empty {
        Some(name) => outcome.with("warnings", json!([empty_pattern(name)])),
        None => outcome,
    })
}

fn empty_pattern(name: &str) -> String {
    let (what, hint) = match name {
        "regexp" => (
            "regular expression",
            " If this is desired, use '^' to match every line in the file and avoid this warning.",
        ),
        _ => ("search string", ""),
    };
    format!(
        "The {what} is an empty string, which will match every line in the file. This may have \
         unintended consequences, such as replacing the last line in the file rather than \
         appending.{hint}"
    )
}

/// Message, attributes and diff, as all the editing modules tell them.
pub(crate) fn finish(
    path: &Path,
    shown: &str,
    before: &[u8],
    edit: &Edit,
    args: &Args,
    ctx: &Context,
) -> Result<Outcome, Fault> {
    let mut changed = edit.changed;
    let mut message = edit.message.clone();
    let mut attributes = Diff::default();
    if path.exists()
        && Attributes::asked(args).ensure(&place::real(path), Some(&mut attributes), ctx)?
    {
        if changed {
            message.push_str(" and ");
        }
        message.push_str("ownership, perms or SE linux context changed");
        changed = true;
    }
    let mut outcome = Outcome::changed(changed).with("msg", message);
    if ctx.diff {
        let header = format!("{shown} (content)");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content = json!({
            "before": text(before),
            "after": text(&edit.content),
            "before_header": header,
            "after_header": header,
        });
        // A file that check mode has not created has no attributes to tell.
        let diff = if ctx.check && !path.exists() {
            content
        } else {
            json!([content, attributes.under(shown)])
        };
        outcome = outcome.with("diff", diff);
    }
    Ok(outcome)
}

/// What becomes of a file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) content: Vec<u8>,
    pub(crate) changed: bool,
    pub(crate) message: String,
    /// How many lines were removed.
    pub(crate) found: usize,
}

/// Where a line goes when nothing matches.
enum Anchor {
    Start,
    End,
    After(Pattern),
    Before(Pattern),
}

enum Search<'a> {
    Regexp(Pattern),
    Text(&'a str),
    Nothing,
}

struct Rules<'a> {
    present: bool,
    line: Option<&'a str>,
    search: Search<'a>,
    anchor: Anchor,
    backrefs: bool,
    firstmatch: bool,
}

impl<'a> Rules<'a> {
    fn asked(args: &'a Args) -> Result<Self, Fault> {
        let present = args.text("state") == "present";
        let line = args.str("line");
        let search = match (args.str("regexp"), args.str("search_string")) {
            (Some(regexp), _) => Search::Regexp(Pattern::new(regexp, Flags::None)?),
            (None, Some(text)) => Search::Text(text),
            (None, None) => Search::Nothing,
        };
        let backrefs = args.flag("backrefs");
        if present {
            if backrefs && !matches!(search, Search::Regexp(_)) {
                return Err(fail!("regexp is required with backrefs=true"));
            }
            if line.is_none() {
                return Err(fail!("line is required with state=present"));
            }
        } else if line.is_none() && matches!(search, Search::Nothing) {
            return Err(fail!(
                "one of line, search_string, or regexp is required with state=absent"
            ));
        }
        let anchor = match (args.str("insertafter"), args.str("insertbefore")) {
            (Some("BOF"), _) | (_, Some("BOF")) => Anchor::Start,
            (None | Some("EOF"), None) => Anchor::End,
            (Some(after), _) => Anchor::After(Pattern::new(after, Flags::None)?),
            (None, Some(before)) => Anchor::Before(Pattern::new(before, Flags::None)?),
        };
        Ok(Self { present, line, search, anchor, backrefs, firstmatch: args.flag("firstmatch") })
    }

    fn apply(&self, before: &[u8]) -> Result<Edit, Fault> {
        let lines: Vec<&[u8]> = before.split_inclusive(|byte| *byte == b'\n').collect();
        if self.present { self.insert(&lines) } else { self.remove(&lines) }
    }

    fn matches(&self, line: &[u8]) -> Result<Option<Option<Match>>, Fault> {
        Ok(match &self.search {
            Search::Regexp(pattern) => pattern.find(line)?.map(Some),
            Search::Text(text) => contains(line, text.as_bytes()).then_some(None),
            Search::Nothing => None,
        })
    }

    fn remove(&self, lines: &[&[u8]]) -> Result<Edit, Fault> {
        let mut edit = Edit::default();
        for line in lines {
            let hit = match self.search {
                Search::Nothing => Some(bare(line)) == self.line.map(str::as_bytes),
                _ => self.matches(line)?.is_some(),
            };
            if hit {
                edit.found += 1;
            } else {
                edit.content.extend_from_slice(line);
            }
        }
        edit.changed = edit.found > 0;
        if edit.changed {
            edit.message = format!("{} line(s) removed", edit.found);
        }
        Ok(edit)
    }

    fn insert(&self, lines: &[&[u8]]) -> Result<Edit, Fault> {
        let wanted = self.line.unwrap_or_default().as_bytes();
        let mut hit: Option<(usize, Option<Match>)> = None;
        for (index, line) in lines.iter().enumerate() {
            if let Some(found) = self.matches(line)? {
                hit = Some((index, found));
                if self.firstmatch {
                    break;
                }
            }
        }
        let mut out: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
        if let Some((index, found)) = hit {
            let new = match found {
                Some(found) if self.backrefs => {
                    Template::new(self.line.unwrap_or_default())?.expand(&found, lines[index])
                }
                _ => wanted.to_vec(),
            };
            let new = ended(new);
            if out[index] == new {
                return Ok(unchanged(out));
            }
            out[index] = new;
            return Ok(changed(out, "line replaced"));
        }
        let (exact, anchored) = self.look(lines, wanted)?;
        if let Some(index) = exact {
            let new = ended(wanted.to_vec());
            if out[index] == new {
                return Ok(unchanged(out));
            }
            out[index] = new;
            return Ok(changed(out, "line replaced"));
        }
        if self.backrefs {
            return Ok(unchanged(out));
        }
        match (&self.anchor, anchored) {
            (Anchor::Start, _) => out.insert(0, ended(wanted.to_vec())),
            (Anchor::After(_), Some(index)) => {
                if index == out.len() {
                    if let Some(last) = out.last_mut()
                        && !last.ends_with(b"\n")
                        && !last.ends_with(b"\r")
                    {
                        last.push(b'\n');
                    }
                    out.push(ended(wanted.to_vec()));
                } else if bare(&out[index]) == wanted {
                    return Ok(unchanged(out));
                } else {
                    out.insert(index, ended(wanted.to_vec()));
                }
            }
            (Anchor::Before(_), Some(index)) => out.insert(index, ended(wanted.to_vec())),
            (Anchor::End | Anchor::After(_) | Anchor::Before(_), _) => {
                if out.last().is_some_and(|last| !last.ends_with(b"\n") && !last.ends_with(b"\r")) {
                    out.push(b"\n".to_vec());
                }
                out.push(ended(wanted.to_vec()));
            }
        }
        Ok(changed(out, "line added"))
    }

    /// Where the very line stands already, and where the anchor says it should go.
    fn look(
        &self,
        lines: &[&[u8]],
        wanted: &[u8],
    ) -> Result<(Option<usize>, Option<usize>), Fault> {
        let (mut exact, mut anchored) = (None, None);
        for (index, line) in lines.iter().enumerate() {
            if bare(line) == wanted {
                exact = Some(index);
                continue;
            }
            let place = match &self.anchor {
                Anchor::After(pattern) if pattern.is_match(line)? => index + 1,
                Anchor::Before(pattern) if pattern.is_match(line)? => index,
                _ => continue,
            };
            anchored = Some(place);
            if self.firstmatch {
                break;
            }
        }
        Ok((exact, anchored))
    }
}

fn unchanged(lines: Vec<Vec<u8>>) -> Edit {
    Edit { content: lines.concat(), ..Edit::default() }
}

fn changed(lines: Vec<Vec<u8>>, message: &str) -> Edit {
    Edit { content: lines.concat(), changed: true, message: message.to_owned(), found: 0 }
}

/// A line without its end.
fn bare(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &line[..end]
}

fn ended(mut line: Vec<u8>) -> Vec<u8> {
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}

fn contains(line: &[u8], text: &[u8]) -> bool {
    text.is_empty() || line.windows(text.len()).any(|window| window == text)
}
