//! `acl`: who else may do what with a file (acl(5)), by setfacl(1) and getfacl(1).

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::{Cmd, Ran};
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if args.flag("use_nfsv4_acls") {
        return Err(Fault::beyond("lists of NFS version 4 are not supported"));
    }
    if !Path::new(args.text("path")).exists() {
        return Err(fail!("Path not found or not accessible."));
    }
    let wanted = Wanted::asked(args)?;
    let tool = Tool { args, default: wanted.default, ctx };
    let (state, entry) = (args.text("state"), &wanted.entry);
    let (changed, message) = match state {
        "query" => (false, "current acl".to_owned()),
        _ => (tool.ensure(state == "present", entry)?, format!("{entry} is {state}")),
    };
    Ok(Outcome::changed(changed).with("msg", message).with("acl", tool.list()?))
}

/// The entry that a task is about, as setfacl takes it.
#[derive(Debug, PartialEq)]
struct Wanted {
    /// It is for what is made in the directory later on.
    default: bool,
    entry: String,
}

impl Wanted {
    fn asked(args: &Args) -> Result<Self, Fault> {
        let (state, entity) = (args.text("state"), args.text("entity"));
        let kind = args.str("etype").filter(|kind| !kind.is_empty());
        let rights = args.str("permissions").filter(|rights| !rights.is_empty());
        let entry = args.str("entry").filter(|entry| !entry.is_empty());
        if state == "query" {
            if args.flag("recursive") {
                return Err(fail!("'recursive' MUST NOT be set when 'state=query'."));
            }
            if args.text("recalculate_mask") != "default" {
                return Err(fail!(
                    "'recalculate_mask' MUST NOT be set to 'mask' or 'no_mask' when 'state=query'."
                ));
            }
        }
        if let Some(entry) = entry {
            if kind.or(rights).is_some() || !entity.is_empty() {
                return Err(fail!(
                    "'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set."
                ));
            }
            let colons = entry.matches(':').count();
            match state {
                "present" if ![2, 3].contains(&colons) => Err(fail!(
                    "'entry' MUST have 3 or 4 sections divided by ':' when 'state=present'."
                )),
                "absent" if ![1, 2].contains(&colons) => Err(fail!(
                    "'entry' MUST have 2 or 3 sections divided by ':' when 'state=absent'."
                )),
                "query" => Err(fail!("'entry' MUST NOT be set when 'state=query'.")),
                _ => Self::parse(entry, state == "present", args.flag("default"))
                    .ok_or_else(|| Fault::beyond(format!("`{entry}` is no entry"))),
            }
        } else {
            if state == "absent" && rights.is_some() {
                return Err(fail!("'permissions' MUST NOT be set when 'state=absent'."));
            }
            if state == "absent" && entity.is_empty() {
                return Err(fail!("'entity' MUST be set when 'state=absent'."));
            }
            if state != "query" && kind.is_none() {
                return Err(fail!("'etype' MUST be set when 'state={state}'."));
            }
            let entry = render(kind.unwrap_or_default(), entity, rights);
            Ok(Self { default: args.flag("default"), entry })
        }
    }

    /// An entry in one piece, such as `default:user:joe:rw-`; of one that goes, rights are not said.
    fn parse(entry: &str, present: bool, default: bool) -> Option<Self> {
        let mut parts: Vec<&str> = entry.split(':').collect();
        let for_later = entry.starts_with(['d', 'D']);
        if for_later {
            parts.remove(0);
        }
        let (kind, entity, rights) = match parts.as_slice() {
            [kind, entity] => (kind, entity, None),
            [kind, entity, rights] => (kind, entity, Some(*rights).filter(|it| !it.is_empty())),
            _ => return None,
        };
        let kind = match kind.bytes().next()?.to_ascii_lowercase() {
            b'u' => "user",
            b'g' => "group",
            b'm' => "mask",
            b'o' => "other",
            _ => return None,
        };
        let entry = render(kind, entity, rights.filter(|_| present));
        Some(Self { default: default || for_later, entry })
    }
}

fn render(kind: &str, entity: &str, rights: Option<&str>) -> String {
    let rights = rights.map(|rights| format!(":{rights}")).unwrap_or_default();
    format!("{kind}:{entity}{rights}")
}

/// The two programs on one path.
struct Tool<'a> {
    args: &'a Args,
    default: bool,
    ctx: &'a Context,
}

impl Tool<'_> {
    /// Returns whether the entry was, or in check mode would be, set or removed.
    fn ensure(&self, present: bool, entry: &str) -> Result<bool, Fault> {
        let entry = place::expand(entry, self.ctx);
        let tested = self.change(true, present, &entry)?.checked(self.ctx)?;
        if !differs(&tested.out()) {
            return Ok(false);
        }
        if !self.ctx.check {
            let cmd = self.change(false, present, &entry)?;
            // That an entry cannot be removed is no failure; what is there is told.
            if present { cmd.checked(self.ctx) } else { cmd.run(self.ctx).or_fail(cmd.line()) }?;
        }
        Ok(true)
    }

    fn change(&self, test: bool, present: bool, entry: &str) -> Result<Cmd, Fault> {
        let mut words = Vec::new();
        words.extend(test.then_some("--test"));
        words.extend(self.default.then_some("-d"));
        words.extend([if present { "-m" } else { "-x" }, entry]);
        words.extend(self.args.flag("recursive").then_some("--recursive"));
        match self.args.text("recalculate_mask") {
            "mask" => words.push("--mask"),
            "no_mask" => words.push("--no-mask"),
            _ => {}
        }
        self.command("setfacl", &words)
    }

    /// The entries there are.
    fn list(&self) -> Result<Vec<String>, Fault> {
        let mut words = Vec::new();
        words.extend(self.default.then_some("-d"));
        words.extend(["--absolute-names", "--omit-header"]);
        words.extend(self.args.flag("recursive").then_some("--recursive"));
        let ran: Ran = self.command("getfacl", &words)?.checked(self.ctx)?;
        Ok(entries(&ran.out()))
    }

    fn command(&self, program: &str, words: &[&str]) -> Result<Cmd, Fault> {
        let cmd = Cmd::new(self.ctx.required(program)?).args(words).plain_locale();
        let cmd = if self.args.flag("follow") { cmd } else { cmd.arg("--physical") };
        Ok(cmd.arg(self.args.text("path")))
    }
}

/// Lines that are no comments; only the last of the empty ones is left out.
fn entries(said: &str) -> Vec<String> {
    let lines = crate::split_lines(said).into_iter().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Whether a rehearsal tells of a change. Like Ansible's module: one file of a tree that is as
/// wanted speaks for all of them.
fn differs(tested: &str) -> bool {
    !entries(tested).iter().any(|line| line.ends_with("*,*"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(mut args: Value) -> Result<Wanted, Fault> {
        args["path"] = "/x".into();
        let spec = updraft_spec::find("acl").unwrap();
        let args = args.as_object().unwrap();
        Wanted::asked(&Args::check(spec, "acl", args, &Context::system())?)
    }

    #[test]
    fn an_entry_comes_in_parts_or_in_one_piece() {
        for (args, default, entry) in [
            (
                json!({ "state": "present", "etype": "user", "entity": "joe", "permissions": "rw" }),
                false,
                "user:joe:rw",
            ),
            (json!({ "state": "present", "entry": "default:user:joe:rw-" }), true, "user:joe:rw-"),
            (json!({ "state": "present", "entry": "g::r", "default": true }), true, "group::r"),
            (json!({ "state": "present", "entry": "d:u:joe" }), true, "user:joe"),
            (json!({ "state": "absent", "entry": "u:joe:rwx" }), false, "user:joe"),
            (json!({ "state": "absent", "etype": "group", "entity": "adm" }), false, "group:adm"),
            (json!({ "state": "present", "etype": "mask", "permissions": "r" }), false, "mask::r"),
        ] {
            let wanted = Wanted { default, entry: entry.to_owned() };
            assert_eq!(asked(args.clone()), Ok(wanted), "{args}");
        }
    }

    #[test]
    fn what_says_too_little_or_too_much_is_refused() {
        for (args, why) in [
            (json!({ "recursive": true }), "'recursive' MUST NOT"),
            (json!({ "recalculate_mask": "mask" }), "'recalculate_mask' MUST NOT"),
            (json!({ "entry": "u:a" }), "'entry' MUST NOT be set when 'state=query'."),
            (json!({ "state": "present" }), "'etype' MUST be set when 'state=present'."),
            (json!({ "state": "absent", "etype": "user" }), "'entity' MUST be set"),
            (
                json!({ "state": "absent", "etype": "user", "entity": "a", "permissions": "r" }),
                "'permissions' MUST NOT",
            ),
            (json!({ "state": "present", "entry": "u:a" }), "3 or 4 sections"),
            (json!({ "state": "absent", "entry": "u:a:r:x" }), "2 or 3 sections"),
            (
                json!({ "state": "present", "entry": "u:a:r", "entity": "a" }),
                "'entry' MUST NOT be set when 'entity'",
            ),
        ] {
            let fault = asked(args.clone()).unwrap_err();
            assert!(fault.message.contains(why), "{args}: {}", fault.message);
            assert!(!fault.fields.contains_key(updraft_wire::BEYOND));
        }
        for entry in ["u:a:b:c", "x:a:r", ":a:r"] {
            let fault = asked(json!({ "state": "present", "entry": entry })).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{entry}");
        }
    }

    #[test]
    fn what_the_programs_say_is_read() {
        assert!(!differs("/x: *,*\n"));
        assert!(differs("/x: u::rw-,u:joe:r--,g::r--,m::r--,o::r--,*\n"));
        assert_eq!(
            entries("# file: x\nuser::rw-\nuser:joe:r--\t#effective:---\n\n"),
            ["user::rw-", "user:joe:r--\t#effective:---"]
        );
    }
}
