//! `mysql_db`: databases of a MariaDB server.
//!
//! Dumps and what is read from them are left to Ansible's module.

use super::{Server, identifier, literal, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use std::path::Path;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let names: Vec<String> = args.list("name").iter().map(|name| name.trim().to_owned()).collect();
    let present = match args.text("state") {
        "present" => true,
        "absent" => false,
        _ => return Err(strange("to dump or import a database")),
    };
    let odd = ["chdir", "target", "dump_extra_args"].iter().any(|name| args.raw(name).is_some());
    if odd {
        return Err(strange("what belongs to dumps"));
    }
    if names.is_empty() {
        let nothing = serde_json::json!([]);
        return Ok(Outcome::changed(false).with("db", nothing.clone()).with("db_list", nothing));
    }
    if names == ["all"] {
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
    let meant = names.iter().zip(&counts).filter(|(_, count)| exists(count) != present);
    let (encoding, collation) = (args.text("encoding"), args.text("collation"));
    let statements = meant.map(|(name, _)| match present {
        true => creation(name, encoding, collation),
        false => Ok(format!("DROP DATABASE {}", identifier(name)?)),
    });
    let statements: Vec<String> = statements.collect::<Result<_, Fault>>()?;
    let outcome =
        Outcome::changed(!statements.is_empty()).with("db", names.join(" ")).with("db_list", names);
    if ctx.check {
        return Ok(outcome);
    }
    if !statements.is_empty() {
        let silent = (!args.flag("sql_log_bin")).then(|| "SET SQL_LOG_BIN=0".to_owned());
        let all: Vec<String> = silent.into_iter().chain(statements.clone()).collect();
        server.tell(&all, ctx)?.map_err(|refusal| {
            let what = if present { "creating" } else { "deleting" };
            fail!("error {what} database: {}", refusal.shown())
        })?;
    }
    Ok(outcome.with("executed_commands", statements))
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
