//! `alternatives`: which program a generic name leads to (update-alternatives(1)).

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use serde_json::json;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if args.str("family").is_some() {
        return Err(fail!("family is something that Debian's update-alternatives does not have"));
    }
    let (name, path, state) = (args.text("name"), args.text("path"), args.text("state"));
    let ran = call(&["--query", name], ctx)?;
    let now = if ran.success() { Group::parse(&ran.out()) } else { Group::default() };
    let wanted = Wanted { path, state, priority: args.int("priority"), link: args.str("link") };
    let acts = decide(&now, &wanted);
    let installs = acts.contains(&Act::Install);
    if installs && !Path::new(path).exists() {
        return Err(fail!("Specified path {path} does not exist"));
    }
    let link = args.str("link").map(str::to_owned).or_else(|| now.link.clone());
    if installs && link.is_none() {
        return Err(fail!(
            "Needed to install the alternative, but unable to do so as we are missing the link"
        ));
    }
    let link = link.unwrap_or_default();
    let priority = wanted.priority.or(now.priority(path)).unwrap_or(50).to_string();
    for act in acts.iter().filter(|_| !ctx.check) {
        let words: &[&str] = match act {
            Act::Install => &["--install", &link, name, path, &priority],
            Act::Remove => &["--remove", name, path],
            Act::Select => &["--set", name, path],
            Act::Auto => &["--auto", name],
        };
        let ran = call(words, ctx)?;
        if !ran.success() {
            return Err(
                fail!("update-alternatives failed: {}", ran.err().trim()).with("rc", ran.code)
            );
        }
    }
    let outcome = Outcome::changed(!acts.is_empty());
    Ok(if ctx.diff {
        let after = if acts.is_empty() { now.value.as_deref() } else { Some(path) };
        outcome.with(
            "diff",
            json!({
                "before": { "state": now.state(path), "path": now.value, "priority": now.priority(path), "link": now.link },
                "after": { "state": state, "path": after, "priority": wanted.priority, "link": link },
            }),
        )
    } else {
        outcome
    })
}

fn call(words: &[&str], ctx: &Context) -> Result<Ran, Fault> {
    let cmd = Cmd::new("update-alternatives").args(words).plain_locale();
    cmd.run(ctx).or_fail("cannot run update-alternatives")
}

/// What is known of a name.
#[derive(Debug, Default, PartialEq)]
struct Group {
    link: Option<String>,
    manual: bool,
    /// Where it leads.
    value: Option<String>,
    /// Programs and their priorities.
    choices: Vec<(String, i64)>,
}

impl Group {
    /// The answer to `--query`: fields of the name, then a paragraph for each alternative.
    fn parse(text: &str) -> Self {
        let mut group = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else { continue };
            let value = value.trim();
            match key {
                "Link" => group.link = Some(value.to_owned()),
                "Status" => group.manual = value == "manual",
                "Value" => group.value = Some(value.to_owned()).filter(|it| it != "none"),
                "Alternative" => group.choices.push((value.to_owned(), 0)),
                "Priority" => {
                    if let Some(last) = group.choices.last_mut() {
                        last.1 = value.parse().unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        group
    }

    fn priority(&self, path: &str) -> Option<i64> {
        self.choices.iter().find(|(known, _)| known == path).map(|(_, priority)| *priority)
    }

    /// The state of one program, in the module's words.
    fn state(&self, path: &str) -> &'static str {
        match self.priority(path) {
            None => "absent",
            Some(_) if self.value.as_deref() != Some(path) => "present",
            Some(_) if self.manual => "selected",
            Some(_) => "auto",
        }
    }
}

struct Wanted<'a> {
    path: &'a str,
    state: &'a str,
    priority: Option<i64>,
    link: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Install,
    Remove,
    Select,
    Auto,
}

/// What has to be done, in this order.
fn decide(now: &Group, wanted: &Wanted<'_>) -> Vec<Act> {
    let has = now.priority(wanted.path);
    if wanted.state == "absent" {
        return has.map(|_| Act::Remove).into_iter().collect();
    }
    let mut acts = Vec::new();
    let other_priority = wanted.priority.is_some_and(|priority| Some(priority) != has);
    let other_link = wanted.link.is_some_and(|link| now.link.as_deref() != Some(link));
    if has.is_none() || other_priority || other_link {
        acts.push(Act::Install);
    }
    let selected = now.value.as_deref() == Some(wanted.path);
    match wanted.state {
        // One alternative alone is where the name leads in any case.
        "selected" if !selected => acts.push(Act::Select),
        "auto" if now.manual => acts.push(Act::Auto),
        // What is there without being chosen is not chosen.
        "present" if selected && now.manual => acts.push(Act::Auto),
        _ => {}
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "Name: editor\nLink: /usr/bin/editor\nSlaves:\n editor.1.gz /usr/share/man/man1/editor.1.gz\nStatus: auto\nBest: /bin/nano\nValue: /bin/nano\n\nAlternative: /bin/ed\nPriority: -100\nSlaves:\n editor.1.gz /usr/share/man/man1/ed.1.gz\n\nAlternative: /bin/nano\nPriority: 40\n";

    fn acts(path: &str, state: &str, priority: Option<i64>) -> Vec<Act> {
        decide(&Group::parse(QUERY), &Wanted { path, state, priority, link: None })
    }

    #[test]
    fn what_is_known_of_a_name_is_read() {
        let group = Group::parse(QUERY);
        assert_eq!(group.link.as_deref(), Some("/usr/bin/editor"));
        assert_eq!(group.value.as_deref(), Some("/bin/nano"));
        assert_eq!(group.choices, [("/bin/ed".to_owned(), -100), ("/bin/nano".to_owned(), 40)]);
        assert_eq!((group.state("/bin/ed"), group.state("/bin/nano")), ("present", "auto"));
    }

    #[test]
    fn only_what_differs_is_done() {
        assert_eq!(acts("/bin/nano", "selected", None), []);
        assert_eq!(acts("/bin/ed", "selected", None), [Act::Select]);
        assert_eq!(acts("/bin/vi", "selected", None), [Act::Install, Act::Select]);
        assert_eq!(acts("/bin/ed", "present", Some(-100)), []);
        assert_eq!(acts("/bin/ed", "present", Some(5)), [Act::Install]);
        assert_eq!(acts("/bin/ed", "absent", None), [Act::Remove]);
        assert_eq!(acts("/bin/vi", "absent", None), []);
        assert_eq!(acts("/bin/nano", "auto", None), []);
    }
}
