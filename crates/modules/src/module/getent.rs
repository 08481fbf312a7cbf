//! `getent`: entries of a name service database, as facts.

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, OrFail, Outcome, fail};
use crate::process::Cmd;
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let database = args.text("database");
    let key = args.str("key");
    let mut cmd = Cmd::new("getent");
    if let Some(service) = args.str("service") {
        cmd = cmd.arg("-s").arg(service);
    }
    cmd = cmd.arg(database);
    if let Some(key) = key {
        cmd = cmd.arg(key);
    }
    let colons = ["passwd", "shadow", "group", "gshadow"].contains(&database);
    let split = args.str("split").or(colons.then_some(":"));
    let ran = cmd.plain_locale().run(ctx).or_fail("cannot run getent")?;
    let name = format!("getent_{database}");
    let told = |entries: Map<String, Value>| {
        Ok(Outcome::changed(false).with("ansible_facts", json!({ name.clone(): entries })))
    };
    // getent(1), EXIT STATUS.
    match ran.code {
        0 => {
            let mut entries: Map<String, Value> = Map::new();
            for line in ran.out().lines() {
                let parts: Vec<&str> = match split {
                    Some(split) => line.split(split).collect(),
                    None => line.split_whitespace().collect(),
                };
                let Some((first, rest)) = parts.split_first() else { continue };
                let list = |rest: &[&str]| Value::from(rest.to_vec());
                match entries.get_mut(*first) {
                    // Databases such as services list one name more than once.
                    Some(Value::Array(old)) if old.first().is_some_and(Value::is_array) => {
                        old.push(list(rest));
                    }
                    Some(old) => *old = json!([old.take(), list(rest)]),
                    None => {
                        entries.insert((*first).to_owned(), list(rest));
                    }
                }
            }
            told(entries)
        }
        1 => Err(fail!("Missing arguments, or database unknown.")),
        2 if args.flag("fail_key") => {
            Err(fail!("One or more supplied key could not be found in the database."))
        }
        2 => {
            let mut entries = Map::new();
            if let Some(key) = key {
                entries.insert(key.to_owned(), Value::Null);
            }
            told(entries).map(|outcome| {
                outcome.with("msg", "One or more supplied key could not be found in the database.")
            })
        }
        3 => Err(fail!("Enumeration not supported on this database.")),
        _ => Err(fail!("Unexpected failure!")),
    }
}
