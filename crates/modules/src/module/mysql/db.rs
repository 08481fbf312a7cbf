//! `mysql_db`: databases of a MariaDB server, and dumps of them.

use super::{Server, dump, identifier, is_known, literal, strange};
use crate::args::{Args, repr};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use serde_json::Value;
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let names: Vec<String> = args.list("name").iter().map(|name| name.trim().to_owned()).collect();
    let state = args.text("state");
    let carries = matches!(state, "dump" | "import");
    if args.raw("chdir").is_some() {
        return Err(strange("chdir"));
    }
    if names.is_empty() {
        let nothing = serde_json::json!([]);
        return Ok(Outcome::changed(false).with("db", nothing.clone()).with("db_list", nothing));
    }
    if args.list("ignore_tables").iter().any(String::is_empty) {
        return Err(fail!("Name of ignored table cannot be empty"));
    }
    if names.len() > 1 && state == "import" {
        return Err(fail!("Multiple databases are not supported with state=import"));
    }
    if carries && args.str("target").is_none() {
        return Err(fail!("with state={state} target is required"));
    }
    let all = names == ["all"];
    if all && !carries {
        return Err(fail!(
            "name is not allowed to equal 'all' unless state equals import, or dump."
        ));
    }
    let file = args.text("config_file");
    let server = Server::reach(args, ctx)?.map_err(|refusal| {
        let why = refusal.shown();
        if Path::new(file).exists() {
            super::no_connection(file, &why)
        } else {
            fail!("unable to find {file}. Exception message: {why}")
        }
    })?;
    let queries = names.iter().map(|name| {
        let name = literal(name)?;
        Ok(format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {name}"))
    });
    let counts = server.ask(&queries.collect::<Result<Vec<_>, Fault>>()?, ctx)?;
    if counts.len() != names.len() {
        return Err(strange("such an answer"));
    }
    let exists = |count: &Vec<String>| count.first().is_some_and(|count| count == "1");
    let pairs = || names.iter().zip(&counts);
    let missing: Vec<_> =
        pairs().filter(|(_, count)| !all && !exists(count)).map(|(name, _)| name).collect();
    let outcome = |changed: bool| {
        Outcome::changed(changed).with("db", names.join(" ")).with("db_list", names.clone())
    };
    let (encoding, collation) = (args.text("encoding"), args.text("collation"));
    let statements = match state {
        "dump" => Ok(Vec::new()),
        "absent" => pairs()
            .filter(|(_, count)| exists(count))
            .map(|(name, _)| Ok(format!("DROP DATABASE {}", identifier(name)?)))
            .collect::<Result<Vec<_>, Fault>>(),
        _ => missing.iter().map(|name| creation(name, encoding, collation)).collect(),
    }?;
    let make = || {
        if statements.is_empty() {
            return Ok(());
        }
        let silent =
            (!carries && !args.flag("sql_log_bin")).then(|| "SET SQL_LOG_BIN=0".to_owned());
        let all: Vec<String> = silent.into_iter().chain(statements.clone()).collect();
        let what = if state == "absent" { "deleting" } else { "creating" };
        let done = server.tell(&all, ctx)?;
        done.map(drop).map_err(|refusal| fail!("error {what} database: {}", refusal.shown()))
    };
    if !carries {
        if !ctx.check {
            make()?;
        }
        let outcome = outcome(!statements.is_empty());
        return Ok(if ctx.check { outcome } else { outcome.with("executed_commands", statements) });
    }
    if state == "dump" && !missing.is_empty() {
        let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(fail!("Cannot dump database(s) {} - not found", repr(&Value::from(names))));
    }
    let version = server.ask(&["SELECT VERSION()".to_owned()], ctx)?;
    if !version.iter().flatten().any(|version| is_known(version)) {
        return Err(strange("such a server"));
    }
    let login = dump::Login::of(args, state == "dump", ctx)?;
    let line = match state {
        "dump" => dump::dump(args, &names, all, &login, ctx),
        _ => dump::import(args, &names.concat(), all, &login, ctx),
    }?;
    if ctx.check {
        return Ok(outcome(true));
    }
    make()?;
    let target = args.text("target");
    if state == "import" && !Path::new(target).exists() {
        return Err(fail!("target {target} does not exist on the host"));
    }
    let said = line.run(ctx)?;
    let commands: Vec<String> = statements.into_iter().chain([line.told]).collect();
    Ok(outcome(true).with("msg", said).with("executed_commands", commands))
}

fn creation(name: &str, encoding: &str, collation: &str) -> Result<String, Fault> {
    let mut words = vec![format!("CREATE DATABASE {}", identifier(name)?)];
    for (word, value) in [("CHARACTER SET", encoding), ("COLLATE", collation)] {
        if !value.is_empty() {
            words.push(format!("{word} {}", literal(value)?));
        }
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_created_with_what_is_said_of_it() {
        assert_eq!(creation("shop", "", "").unwrap(), "CREATE DATABASE `shop`");
        assert_eq!(
            creation("a-b c", "utf8mb4", "utf8mb4_bin").unwrap(),
            "CREATE DATABASE `a-b c` CHARACTER SET 'utf8mb4' COLLATE 'utf8mb4_bin'"
        );
        for odd in ["", "a.b", "a`b", "*"] {
            let fault = creation(odd, "", "").unwrap_err();
            assert!(fault.fields.contains_key(updraft_wire::BEYOND), "{odd}");
        }
    }
}
