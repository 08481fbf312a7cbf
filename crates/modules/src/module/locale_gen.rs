//! `locale_gen`: locales are generated, or are not, where `/etc/locale.gen` lists them.
//!
//! As Ansible's it judges by what the system has when it is done: in check mode, where nothing is
//! generated, it never tells of a change.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, OrFail, Outcome};
use crate::place::{self, Rewrite};
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

const LISTED: &str = "/etc/locale.gen";
const SUPPORTED: &str = "/usr/share/i18n/SUPPORTED";
/// Where releases of Ubuntu before 2016 list theirs.
const LEGACY: &str = "/var/lib/locales/supported.d";

/// Encodings as `locale -a` writes them, and as they are asked for.
const ENCODINGS: &[(&str, &str)] = &[
    (".utf8", ".UTF-8"),
    (".eucjp", ".EUC-JP"),
    (".iso885915", ".ISO-8859-15"),
    (".cp1251", ".CP1251"),
    (".koi8r", ".KOI8-R"),
    (".armscii8", ".ARMSCII-8"),
    (".euckr", ".EUC-KR"),
    (".gbk", ".GBK"),
    (".gb18030", ".GB18030"),
    (".euctw", ".EUC-TW"),
];

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let names = args.list("name");
    let present = args.text("state") == "present";
    let mut said = Map::from_iter([("name".to_owned(), json!(names))]);
    if !Path::new(LISTED).exists() {
        if Path::new(LEGACY).exists() {
            return Err(Fault::beyond(format!("{LISTED} is not there, only {LEGACY}")));
        }
        let message =
            format!("{LEGACY} and {LISTED} are missing. Is the package \"locales\" installed?");
        return Err(refused(message, said, ctx));
    }
    said.insert("ubuntu_mode".to_owned(), false.into());
    said.insert("mechanism".to_owned(), "glibc".into());
    let supported = fs::read_to_string(SUPPORTED)
        .map_err(|_| Fault::beyond(format!("{SUPPORTED} cannot be read")))?;
    let known: Vec<&str> = supported.lines().filter_map(locale_of).collect();
    let strangers: Vec<String> =
        names.iter().filter(|name| !known.contains(&name.as_str())).cloned().collect();
    let before = observe_locales(ctx)?;
    let strangers = missing(&strangers, &before);
    if !strangers.is_empty() {
        let message = format!(
            "The following locales you have entered are not available on your system: {}",
            strangers.join(", ")
        );
        return Err(refused(message, said, ctx));
    }
    let was = missing(&names, &before).is_empty();
    let mut is = was;
    if was != present && !ctx.check {
        let generate = ctx.required("locale-gen")?;
        let listed = fs::read_to_string(LISTED).or_fail(format!("cannot read {LISTED}"))?;
        let rules = Rewrite { backup: false, validate: None, unsafe_writes: false };
        let text = relisted(&listed, &names, present);
        place::rewrite(Path::new(LISTED), text.as_bytes(), &rules, ctx)?;
        plainly(Cmd::new(generate)).checked(ctx)?;
        is = missing(&names, &observe_locales(ctx)?).is_empty();
    }
    said.insert("changed".to_owned(), (was != is).into());
    if ctx.diff {
        said.insert("diff".to_owned(), json!({}));
    }
    Ok(Outcome(said))
}

/// A failure, in which Ansible tells twice what it knows.
fn refused(message: String, said: Map<String, Value>, ctx: &Context) -> Fault {
    let mut fields = said.clone();
    if ctx.diff {
        fields.insert("diff".to_owned(), json!({}));
    }
    let output = Value::from(fields.clone());
    let fault = Fault { message, fields: Box::new(fields) };
    fault.with("output", output).with("vars", said)
}

/// The locales that the system has.
fn observe_locales(ctx: &Context) -> Result<String, Fault> {
    let cmd = Cmd::new(ctx.required("locale")?).arg("-a");
    Ok(plainly(cmd).checked(ctx)?.out())
}

fn plainly(cmd: Cmd) -> Cmd {
    cmd.env("LANGUAGE", "C").env("LC_ALL", "C")
}

/// Those names that are not among the lines of `locale -a`.
fn missing(names: &[String], there: &str) -> Vec<String> {
    let there: Vec<String> = there.lines().map(normal).collect();
    names.iter().filter(|name| !there.contains(&normal(name))).cloned().collect()
}

fn normal(name: &str) -> String {
    ENCODINGS.iter().fold(name.to_owned(), |name, (short, long)| name.replace(short, long))
}

/// The locale of a line that may be commented out.
fn locale_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line.strip_prefix('#').unwrap_or(line).trim_start();
    let (locale, charset) = line.split_once(' ')?;
    let word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    (locale.len() > 1 && word(locale) && word(charset)).then_some(locale)
}

/// `/etc/locale.gen` with lines of these names switched on or off.
fn relisted(text: &str, names: &[String], on: bool) -> String {
    let line = |line: &str| {
        names.iter().fold(line.to_owned(), |line, name| {
            let rest = line.strip_prefix('#').unwrap_or(&line).trim_start();
            match rest.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(' ')) {
                Some(charset) if !charset.trim_end_matches('\n').is_empty() => {
                    format!("{}{name} {charset}", if on { "" } else { "# " })
                }
                _ => line,
            }
        })
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn locales_are_switched_on_and_off_where_they_are_listed() {
        let off = "# Comment\n# de_CH ISO-8859-1\n#de_CH.UTF-8 UTF-8\n  de_AT UTF-8";
        let on = "# Comment\n# de_CH ISO-8859-1\nde_CH.UTF-8 UTF-8\nde_AT UTF-8";
        let asked = names(&["de_CH.UTF-8", "de_AT", "xx"]);
        assert_eq!(relisted(off, &asked, true), on);
        let back = "# Comment\n# de_CH ISO-8859-1\n# de_CH.UTF-8 UTF-8\n# de_AT UTF-8";
        assert_eq!(relisted(on, &asked, false), back);
    }

    #[test]
    fn supported_locales_are_read_commented_out_or_not() {
        let cases = [
            ("de_CH.UTF-8 UTF-8", Some("de_CH.UTF-8")),
            ("# sr_RS@latin UTF-8", Some("sr_RS@latin")),
            ("de_CH.UTF-8  UTF-8", None),
            ("# This file lists locales", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(locale_of(line), expected, "{line}");
        }
    }

    #[test]
    fn names_are_compared_in_both_spellings() {
        let there = "C\nC.utf8\nde_CH.iso885915\nPOSIX\n";
        let asked = names(&["C.UTF-8", "C.utf8", "de_CH.ISO-8859-15", "de_CH"]);
        assert_eq!(missing(&asked, there), ["de_CH"]);
    }
}
