//! `debconf`: the answers that packages find in debconf's database.

use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::process::{Cmd, Ran};
use crate::shlex;
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let package = args.text("name");
    let known = selections(package, ctx)?;
    let Some((question, kind, given)) = asked(args) else {
        return Ok(Outcome::changed(false).with("msg", "").with("current", known));
    };
    let mut wanted = Answer::parse(kind, given)?;
    // Ansible's module puts choices in order only when there is something to compare them with.
    if let (Answer::Choices(choices), true) = (&mut wanted, known.contains_key(question)) {
        choices.sort_unstable();
    }
    let differs = match known.get(question).and_then(Value::as_str) {
        None => true,
        Some(_) if kind == "password" => {
            password(package, question, kind, ctx)? != Some(wanted.line())
        }
        Some(now) => !wanted.is(kind, now),
    };
    if !differs {
        return Ok(Outcome::changed(false).with("msg", "").with("current", known));
    }
    let mut said = String::new();
    if !ctx.check {
        let mut cmd = Cmd::new(ctx.required("debconf-set-selections")?);
        if args.flag("unseen") {
            cmd = cmd.arg("-u");
        }
        let line = format!("{package} {question} {kind} {}\n", wanted.line());
        let ran = call(&cmd.input(line), ctx)?;
        if !ran.success() {
            return Err(fail!("{}", ran.err()));
        }
        said = ran.out();
    }
    let shown = match &wanted {
        Answer::Choices(choices) if ctx.check => Value::from(choices.clone()),
        wanted => Value::from(wanted.line()),
    };
    let before = match known.get(question) {
        Some(now) => Map::from_iter([(question.to_owned(), now.clone())]),
        None => {
            let mut all = known;
            all.insert(question.to_owned(), "".into());
            all
        }
    };
    let diff = if ctx.diff {
        let mut after = before.clone();
        after.insert(question.to_owned(), shown.clone());
        json!({ "before": before, "after": after })
    } else {
        json!({})
    };
    Ok(Outcome::changed(true)
        .with("msg", said)
        .with("current", Map::from_iter([(question.to_owned(), shown)]))
        .with("previous", before)
        .with("diff", diff))
}

/// The question of a task with its type and answer, which come together or not at all.
fn asked(args: &Args) -> Option<(&str, &str, &Value)> {
    Some((args.str("question")?, args.str("vtype")?, args.raw("value")?))
}

/// What an answer is to be.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Text(String),
    Choices(Vec<String>),
}

impl Answer {
    fn parse(kind: &str, given: &Value) -> Result<Self, Fault> {
        match given {
            _ if kind == "boolean" => Ok(Self::Text(text_of(given).to_lowercase())),
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Array(items) if kind == "multiselect" => {
                let choices = items.iter().map(|item| item.as_str().map(str::to_owned));
                choices.collect::<Option<_>>().map(Self::Choices).ok_or_else(|| unreadable(given))
            }
            _ => Err(unreadable(given)),
        }
    }

    /// Whether debconf shows this answer already.
    fn is(&self, kind: &str, now: &str) -> bool {
        match self {
            Self::Text(text) if kind == "boolean" => *text == now.to_lowercase(),
            Self::Text(text) => text == now,
            Self::Choices(choices) => {
                let mut asked: Vec<&str> = choices.iter().map(String::as_str).collect();
                let mut set: Vec<&str> = now.split(',').map(str::trim).collect();
                asked.sort_unstable();
                set.sort_unstable();
                asked == set
            }
        }
    }

    /// As debconf is told.
    fn line(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Choices(choices) => choices.join(", "),
        }
    }
}

/// Anything but text as an answer ends Ansible's module in its own way.
fn unreadable(given: &Value) -> Fault {
    Fault::beyond(format!("an answer of debconf is text, not {}", text_of(given)))
}

/// Questions of a package and their answers, as `debconf-show` tells them.
fn selections(package: &str, ctx: &Context) -> Result<Map<String, Value>, Fault> {
    let program = ctx.required("debconf-show")?;
    let words = shlex::split(package).map_err(|error| fail!("{error}"))?;
    let ran = call(&Cmd::new(program).args(words), ctx)?;
    if !ran.success() {
        return Err(fail!("{}", ran.err()));
    }
    parse_selections(&ran.out())
        .ok_or_else(|| Fault::beyond("an answer of debconf-show is not understood"))
}

/// A star marks questions that were asked.
fn parse_selections(text: &str) -> Option<Map<String, Value>> {
    let entry = |line: &str| {
        let (question, answer) = line.split_once(':')?;
        Some((question.trim_matches('*').trim().to_owned(), Value::from(answer.trim())))
    };
    crate::split_lines(text).into_iter().map(entry).collect()
}

/// A password, which `debconf-show` keeps to itself.
fn password(
    package: &str,
    question: &str,
    kind: &str,
    ctx: &Context,
) -> Result<Option<String>, Fault> {
    let ran = call(&Cmd::new(ctx.required("debconf-get-selections")?), ctx)?;
    if !ran.success() {
        let said = ran.err();
        return Err(fail!("Failed to get the value '{question}' from '{package}': {said}"));
    }
    Ok(parse_password(&ran.out(), package, question, kind))
}

fn parse_password(text: &str, package: &str, question: &str, kind: &str) -> Option<String> {
    for line in text.split('\n').filter(|line| line.starts_with(package)) {
        match line.split('\t').collect::<Vec<_>>()[..] {
            [_, name, told, answer, ..] if name == question && told == kind => {
                return Some(answer.to_owned());
            }
            [_, _, _, _, ..] => {}
            _ => return Some(String::new()),
        }
    }
    None
}

fn call(cmd: &Cmd, ctx: &Context) -> Result<Ran, Fault> {
    cmd.run(ctx).or_fail("cannot run debconf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_whether_they_were_asked_or_not() {
        let shown = "* tzdata/Areas: Europe\n  tzdata/Zones/Etc: a: b\n  empty:\n";
        let read = parse_selections(shown).unwrap();
        let expected = json!({ "tzdata/Areas": "Europe", "tzdata/Zones/Etc": "a: b", "empty": "" });
        assert_eq!(Value::from(read), expected);
        assert_eq!(parse_selections("no colon"), None);
    }

    #[test]
    fn answers_are_compared_as_debconf_sees_them() {
        let cases = [
            ("boolean", json!(true), "true", true),
            ("boolean", json!("False"), "false", true),
            ("boolean", json!("yes"), "true", false),
            ("select", json!("Europe"), "Europe", true),
            ("multiselect", json!(["b", "a"]), "a,  b", true),
            ("multiselect", json!(["b"]), "a, b", false),
            ("multiselect", json!("a, b"), "b, a", false),
        ];
        for (kind, given, now, same) in cases {
            let answer = Answer::parse(kind, &given).unwrap();
            assert_eq!(answer.is(kind, now), same, "{kind} {given} {now}");
        }
        for (kind, given) in [("string", json!(22)), ("multiselect", json!(["a", 1]))] {
            let fault = Answer::parse(kind, &given).unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{given}");
        }
    }

    #[test]
    fn a_password_is_found_by_package_question_and_type() {
        let all = "# Name\nlab\tlab/user\tstring\tme\nlab\tlab/pw\tpassword\thunter2\n";
        let find = |question: &str| parse_password(all, "lab", question, "password");
        assert_eq!(find("lab/pw").as_deref(), Some("hunter2"));
        assert_eq!(find("lab/other"), None);
        assert_eq!(parse_password("lab\tx\n", "lab", "x", "password").as_deref(), Some(""));
    }
}
