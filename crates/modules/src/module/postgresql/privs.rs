//! `postgresql_privs`: who may do what with the objects of a PostgreSQL server.
//!
//! Privileges are granted or revoked in one transaction, and what the server then holds of the
//! objects is compared with what it held before: that is what "changed" means. Where nothing
//! changed, and in check mode, the transaction is taken back.

use super::{Refusal, Server, identifier, literal, strange};
use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use serde::Deserialize;
use serde_json::Value;

/// Names that go with version 5 of the collection.
const GOING: &[&str] = &["login", "host", "unix_socket", "port", "db", "database"];

/// What may be granted; of two words an underscore makes one.
const PRIVILEGES: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "CREATE",
    "CONNECT",
    "TEMPORARY",
    "TEMP",
    "EXECUTE",
    "USAGE",
    "ALL",
    "SET",
    "ALTER_SYSTEM",
    "MAINTAIN",
];

/// Of which objects yet to come privileges can be granted, and which.
const DEFAULTS: &[(&str, &[&str])] = &[
    (
        "TABLES",
        &[
            "ALL",
            "SELECT",
            "INSERT",
            "UPDATE",
            "DELETE",
            "TRUNCATE",
            "REFERENCES",
            "TRIGGER",
            "MAINTAIN",
        ],
    ),
    ("SEQUENCES", &["ALL", "SELECT", "UPDATE", "USAGE"]),
    ("FUNCTIONS", &["ALL", "EXECUTE"]),
    ("TYPES", &["ALL", "USAGE"]),
    ("SCHEMAS", &["CREATE", "USAGE"]),
];

/// Of what default privileges are revoked, whatever is asked.
const REVOKED: &[&str] = &["TABLES", "FUNCTIONS", "SEQUENCES", "TYPES"];

/// Who is no role and yet may be told, and since which version of the server.
const IMPLICIT: &[(&str, i64)] =
    &[("PUBLIC", 0), ("CURRENT_USER", 95_000), ("SESSION_USER", 95_000), ("CURRENT_ROLE", 140_000)];

/// Older servers are left to Ansible's module (11).
const OLDEST: i64 = 110_000;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    super::with_deprecations(decide(args, ctx), args, GOING)
}

/// What a task asks for.
struct Asked<'a> {
    kind: &'a str,
    /// The schema the objects are in, for those that are in one.
    schema: Option<&'a str>,
    objs: &'a str,
    privileges: Vec<String>,
    grants: bool,
    grant_option: Option<bool>,
}

const IN_SCHEMAS: &[&str] =
    &["table", "sequence", "function", "procedure", "type", "default_privs"];
const ALL_IN_SCHEMA: &str = "ALL_IN_SCHEMA";

impl<'a> Asked<'a> {
    fn of(args: &'a Args) -> Result<Self, Fault> {
        let given = |name: &str| args.str(name).filter(|text| !text.is_empty());
        let kind = args.text("type");
        let objs = given("objs");
        let schema = if !IN_SCHEMAS.contains(&kind) {
            if given("schema").is_some() {
                return Err(fail!("Argument \"schema\" is not allowed for type \"{kind}\"."));
            }
            None
        } else if objs == Some("schemas") || args.str("schema") == Some("not-specified") {
            None
        } else {
            Some(given("schema").unwrap_or("public"))
        };
        if objs == Some(ALL_IN_SCHEMA)
            && !matches!(kind, "table" | "sequence" | "function" | "procedure")
        {
            return Err(fail!(
                "Argument \"objs\": ALL_IN_SCHEMA can be used only for type: table, sequence, \
                 function or procedure, {kind} was passed."
            ));
        }
        let objs = match objs {
            Some(objs) => objs,
            None if kind == "database" => args.text("login_db"),
            None => return Err(fail!("Argument \"objs\" is required for type \"{kind}\".")),
        };
        let privs = given("privs");
        if kind == "group" && privs.is_some() {
            return Err(fail!("Argument \"privs\" is not allowed for type \"group\"."));
        }
        if kind != "group" && privs.is_none() {
            return Err(fail!("Argument \"privs\" is required for type \"{kind}\"."));
        }
        if schema.is_none() && IN_SCHEMAS.contains(&kind) && kind != "default_privs" {
            return Err(strange("an object of no schema"));
        }
        let mut privileges: Vec<String> = Vec::new();
        for word in privs.into_iter().flat_map(|privs| privs.split(',')).map(str::to_uppercase) {
            if !privileges.contains(&word) {
                privileges.push(word);
            }
        }
        Ok(Self {
            kind,
            schema,
            objs,
            privileges,
            grants: args.text("state") == "present",
            grant_option: args.maybe("grant_option"),
        })
    }
}

fn decide(args: &Args, ctx: &Context) -> Done {
    let asked = Asked::of(args)?;
    let server = Server::of(args, args.text("login_db"), ctx)?;
    let roles: Vec<&str> = args.text("roles").split(',').collect();
    let seen = observe(&server, &asked, &roles, ctx)?;
    if seen.version < OLDEST {
        return Err(strange("such an old server"));
    }
    let unknown: Vec<_> =
        asked.privileges.iter().filter(|word| !PRIVILEGES.contains(&&***word)).collect();
    if !unknown.is_empty() {
        return Err(fail!("Invalid privileges specified: {}", set(&unknown)));
    }
    let objs = objects(&asked, &seen)?;
    let mut warnings = Vec::new();
    let mut whom = Vec::new();
    for (role, known) in roles.iter().zip(&seen.roles) {
        let upper = role.to_uppercase();
        if IMPLICIT.iter().any(|(name, since)| *name == upper && seen.version >= *since) {
            whom.push(upper);
        } else if *known {
            whom.push(identifier(role)?);
        } else if args.flag("fail_on_role") {
            return Err(fail!("Role '{role}' does not exist"));
        } else {
            warnings.push(format!("Role '{role}' does not exist, pass it"));
        }
    }
    let told = |changed: bool, queries: Vec<String>, warnings: Vec<String>| {
        let outcome = Outcome::changed(changed).with("queries", queries);
        if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) }
    };
    if whom.is_empty() {
        warnings.push("No valid roles provided, nothing to do".to_owned());
        return Ok(told(false, Vec::new(), warnings));
    }
    let targets = args.str("target_roles").filter(|targets| !targets.is_empty());
    if targets.is_some() && asked.kind != "default_privs" {
        warnings.push(
            "\"target_roles\" will be ignored Argument \"type: default_privs\" is required for \
             usage of \"target_roles\"."
                .to_owned(),
        );
    }
    if objs.is_empty() {
        return Ok(told(false, Vec::new(), warnings));
    }
    if asked.kind == "parameter" && seen.version < 150_000 {
        return Err(fail!("PostgreSQL version must be >= 15 for type=parameter. Exit"));
    }
    let targets = targets.map(|targets| quoted(targets.split(','))).transpose()?;
    let statements = statements(&asked, &objs, &whom.join(","), targets.as_deref())?;
    let query = statements.iter().map(|one| format!("{one};")).collect::<Vec<_>>().join("\n");
    let changed = server.try_out(&state_of(&asked, &objs)?, &statements, !ctx.check, ctx).map_err(
        |refusal| match refusal {
            Refusal::Statement(text) => fail!("Cannot execute SQL '{query}': {text}"),
            refusal => refusal.before_all(),
        },
    )?;
    Ok(told(changed, vec![query], warnings))
}

/// A set as Python shows one that cannot be changed.
fn set<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.as_ref())).collect();
    match words.is_empty() {
        true => "frozenset()".to_owned(),
        false => format!("frozenset({{{}}})", words.join(", ")),
    }
}

fn quoted<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<String, Fault> {
    let names: Result<Vec<_>, _> = names.into_iter().map(identifier).collect();
    Ok(names?.join(","))
}

/// Texts as SQL takes a list of them.
fn texts<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<String, Fault> {
    let names: Result<Vec<_>, _> = names.into_iter().map(literal).collect();
    Ok(format!("ARRAY[{}]::text[]", names?.join(",")))
}

/// What is seen of a server before anything is done.
#[derive(Deserialize)]
struct Seen {
    version: i64,
    /// Whether each of the roles exists.
    roles: Vec<bool>,
    /// Whether the schema exists.
    schema: bool,
    /// Everything of the kind that is in the schema.
    all: Vec<String>,
}

fn observe(
    server: &Server,
    asked: &Asked<'_>,
    roles: &[&str],
    ctx: &Context,
) -> Result<Seen, Fault> {
    let row = server.ask(&question(asked, roles)?, ctx)?;
    Seen::deserialize(Value::Object(row)).map_err(|_| strange("such a server"))
}

fn question(asked: &Asked<'_>, roles: &[&str]) -> Result<String, Fault> {
    let schema = literal(asked.schema.unwrap_or_default())?;
    let all = match (asked.objs, asked.kind) {
        (ALL_IN_SCHEMA, "table") => {
            "SELECT relname AS name FROM pg_catalog.pg_class WHERE relnamespace = s.oid
             AND relkind IN ('r', 'v', 'm', 'p', 'f')"
        }
        (ALL_IN_SCHEMA, "sequence") => {
            "SELECT relname AS name FROM pg_catalog.pg_class WHERE relnamespace = s.oid
             AND relkind = 'S'"
        }
        (ALL_IN_SCHEMA, kind @ ("function" | "procedure")) => match kind {
            "function" => {
                "SELECT proname || '(' || oidvectortypes(proargtypes) || ')' AS name
                 FROM pg_catalog.pg_proc WHERE pronamespace = s.oid AND prokind = 'f'"
            }
            _ => {
                "SELECT proname || '(' || oidvectortypes(proargtypes) || ')' AS name
                 FROM pg_catalog.pg_proc WHERE pronamespace = s.oid AND prokind = 'p'"
            }
        },
        _ => "SELECT '' AS name WHERE false",
    };
    Ok(format!(
        "SELECT current_setting('server_version_num')::int AS version,
         (SELECT json_agg(EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = w.name)
           ORDER BY w.place) FROM unnest({roles}) WITH ORDINALITY AS w (name, place)) AS roles,
         EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {schema}) AS schema,
         coalesce((SELECT json_agg(a.name) FROM pg_catalog.pg_namespace s, LATERAL ({all}) a
           WHERE s.nspname = {schema}), '[]') AS all",
        roles = texts(roles.iter().copied())?,
    ))
}

/// The objects a task means.
fn objects(asked: &Asked<'_>, seen: &Seen) -> Result<Vec<String>, Fault> {
    if asked.objs == ALL_IN_SCHEMA {
        return match asked.schema {
            Some(schema) if !seen.schema => Err(fail!("Schema \"{schema}\" does not exist.")),
            _ => Ok(seen.all.clone()),
        };
    }
    if asked.kind != "default_privs" {
        let objs = asked.objs.split(',');
        // Commas between arguments are written as colons.
        let is_called = matches!(asked.kind, "function" | "procedure");
        return Ok(objs
            .map(|obj| if is_called { obj.replace(':', ",") } else { obj.to_owned() })
            .collect());
    }
    let mut objs: Vec<String> = Vec::new();
    if asked.objs == "ALL_DEFAULT" {
        objs.extend(DEFAULTS.iter().map(|(name, _)| (*name).to_owned()));
        objs.retain(|name| name != "SCHEMAS");
    } else {
        for obj in asked.objs.split(',').map(str::to_uppercase) {
            if !objs.contains(&obj) {
                objs.push(obj);
            }
        }
    }
    let of = |obj: &str| DEFAULTS.iter().find(|(name, _)| *name == obj).map(|(_, privs)| *privs);
    let unknown: Vec<_> = objs.iter().filter(|obj| of(obj).is_none()).collect();
    if !unknown.is_empty() {
        return Err(fail!("Invalid Object set specified: {}", set(&unknown)));
    }
    let fits = |obj: &&String| {
        let known = of(obj).unwrap_or_default();
        asked.privileges.iter().all(|word| known.contains(&&**word))
    };
    let fitting: Vec<_> = objs.iter().filter(fits).collect();
    if fitting.len() != objs.len() {
        return Err(fail!(
            "Invalid priv specified. Valid object for priv: {}. Objects: {}",
            set(&fitting),
            set(&objs)
        ));
    }
    Ok(objs)
}

/// A function with its arguments, as SQL names it. The arguments are types, which are no names;
/// they hold nothing that could end there.
fn called(schema: &str, obj: &str) -> Result<String, Fault> {
    let Some((name, types)) = obj.split_once('(') else {
        return Err(fail!("Illegal function / procedure signature: \"{obj}\"."));
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _,.[]\"".contains(c);
    match types.strip_suffix(')') {
        Some(types) if types.chars().all(is_plain) && types.matches('"').count() % 2 == 0 => {
            Ok(format!("{schema}.{}({types})", identifier(name)?))
        }
        _ => Err(strange("such a signature")),
    }
}

/// What is done, one statement after the other.
fn statements(
    asked: &Asked<'_>,
    objs: &[String],
    whom: &str,
    targets: Option<&str>,
) -> Result<Vec<String>, Fault> {
    let schema = asked.schema.map(identifier).transpose()?;
    let privileges = asked.privileges.join(",");
    if asked.kind == "default_privs" {
        let role = targets.map(|targets| format!(" FOR ROLE {targets}")).unwrap_or_default();
        let schema = schema.map(|schema| format!(" IN SCHEMA {schema}")).unwrap_or_default();
        let alter = format!("ALTER DEFAULT PRIVILEGES{role}{schema}");
        let revoked = |obj: &str| format!("{alter} REVOKE ALL ON {obj} FROM {whom}");
        if !asked.grants {
            return Ok(REVOKED.iter().map(|obj| revoked(obj)).collect());
        }
        let option = if asked.grant_option == Some(true) { " WITH GRANT OPTION" } else { "" };
        let granted =
            objs.iter().map(|obj| format!("{alter} GRANT {privileges} ON {obj} TO {whom}{option}"));
        return Ok(objs.iter().map(|obj| revoked(obj)).chain(granted).collect());
    }
    let words = privileges.replace('_', " ");
    let what = match (asked.kind, &schema) {
        ("group", _) => quoted(objs.iter().map(String::as_str))?,
        (kind, Some(schema)) if asked.objs == ALL_IN_SCHEMA => {
            format!("{words} ON ALL {}S IN SCHEMA {schema}", kind.to_uppercase())
        }
        (kind, schema) => {
            let named = |obj: &String| match (kind, schema) {
                ("function" | "procedure", Some(schema)) => called(schema, obj),
                (_, Some(schema)) => Ok(format!("{schema}.{}", identifier(obj)?)),
                (_, None) => identifier(obj),
            };
            let names: Result<Vec<_>, _> = objs.iter().map(named).collect();
            format!("{words} ON {} {}", kind.replace('_', " "), names?.join(","))
        }
    };
    if !asked.grants {
        return Ok(vec![format!("REVOKE {what} FROM {whom}")]);
    }
    let option = if asked.kind == "group" { "ADMIN OPTION" } else { "GRANT OPTION" };
    let grant = format!("GRANT {what} TO {whom}");
    Ok(match asked.grant_option {
        None => vec![grant],
        Some(true) => vec![format!("{grant} WITH {option}")],
        Some(false) => vec![grant, format!("REVOKE {option} FOR {what} FROM {whom}")],
    })
}

/// A query for what the server holds of the objects' privileges, as one text.
fn state_of(asked: &Asked<'_>, objs: &[String]) -> Result<String, Fault> {
    let names = texts(objs.iter().map(String::as_str))?;
    let schema = asked.schema.map(literal).transpose()?;
    let within = |column: &str| match &schema {
        Some(schema) => format!(
            "{column} IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {schema})"
        ),
        None => "true".to_owned(),
    };
    let (column, from) = match asked.kind {
        "table" => (
            "relacl::text",
            format!(
                "pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND relname = ANY ({names}) AND {}",
                within("relnamespace")
            ),
        ),
        "sequence" => (
            "relacl::text",
            format!(
                "pg_catalog.pg_class WHERE relkind = 'S' AND relname = ANY ({names}) AND {}",
                within("relnamespace")
            ),
        ),
        "function" | "procedure" => {
            let bare = objs.iter().map(|obj| obj.split('(').next().unwrap_or(obj));
            (
                "proacl::text",
                format!(
                    "pg_catalog.pg_proc WHERE proname = ANY ({}) AND {}",
                    texts(bare)?,
                    within("pronamespace")
                ),
            )
        }
        "type" => (
            "typacl::text",
            format!(
                "pg_catalog.pg_type WHERE typname = ANY ({names}) AND {}",
                within("typnamespace")
            ),
        ),
        "default_privs" => (
            "defaclacl::text",
            format!("pg_catalog.pg_default_acl WHERE {}", within("defaclnamespace")),
        ),
        "group" => (
            "concat_ws(' ', roleid, grantor, member, admin_option)",
            format!(
                "pg_catalog.pg_auth_members WHERE roleid IN
                 (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY ({names}))"
            ),
        ),
        other => {
            let (column, table, name) = match other {
                "schema" => ("nspacl::text", "pg_namespace", "nspname"),
                "language" => ("lanacl::text", "pg_language", "lanname"),
                "tablespace" => ("spcacl::text", "pg_tablespace", "spcname"),
                "database" => ("datacl::text", "pg_database", "datname"),
                "foreign_data_wrapper" => ("fdwacl::text", "pg_foreign_data_wrapper", "fdwname"),
                "foreign_server" => ("srvacl::text", "pg_foreign_server", "srvname"),
                "parameter" => ("paracl::text", "pg_parameter_acl", "parname"),
                _ => return Err(strange("such a type")),
            };
            (column, format!("pg_catalog.{table} WHERE {name} = ANY ({names})"))
        }
    };
    Ok(format!(
        "SELECT array_agg(coalesce({column}, '') ORDER BY coalesce({column}, ''))::text FROM {from}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked<'a>(kind: &'a str, objs: &'a str, privileges: &[&str]) -> Asked<'a> {
        Asked {
            kind,
            schema: IN_SCHEMAS.contains(&kind).then_some("public"),
            objs,
            privileges: privileges.iter().map(|word| (*word).to_owned()).collect(),
            grants: true,
            grant_option: None,
        }
    }

    fn said(asked: &Asked<'_>, targets: Option<&str>) -> String {
        let seen = Seen { version: 150_000, roles: vec![true], schema: true, all: Vec::new() };
        let objs = objects(asked, &seen).unwrap();
        statements(asked, &objs, "\"bob\"", targets).unwrap().join("; ")
    }

    #[test]
    fn statements_are_those_of_the_real_module() {
        for (kind, objs, privileges, expected) in [
            (
                "table",
                "a,b",
                &["SELECT", "INSERT"][..],
                "GRANT SELECT,INSERT ON table \"public\".\"a\",\"public\".\"b\" TO \"bob\"",
            ),
            (
                "function",
                "f(int:text)",
                &["EXECUTE"],
                "GRANT EXECUTE ON function \"public\".\"f\"(int,text) TO \"bob\"",
            ),
            (
                "sequence",
                "ALL_IN_SCHEMA",
                &["ALL"],
                "GRANT ALL ON ALL SEQUENCES IN SCHEMA \"public\" TO \"bob\"",
            ),
            (
                "parameter",
                "work_mem",
                &["ALTER_SYSTEM"],
                "GRANT ALTER SYSTEM ON parameter \"work_mem\" TO \"bob\"",
            ),
            ("group", "g", &[], "GRANT \"g\" TO \"bob\""),
        ] {
            assert_eq!(said(&asked(kind, objs, privileges), None), expected);
        }
    }

    #[test]
    fn the_option_to_grant_is_given_taken_or_left() {
        let mut asked = asked("group", "g", &[]);
        asked.grant_option = Some(true);
        assert_eq!(said(&asked, None), "GRANT \"g\" TO \"bob\" WITH ADMIN OPTION");
        asked.grant_option = Some(false);
        let taken = "GRANT \"g\" TO \"bob\"; REVOKE ADMIN OPTION FOR \"g\" FROM \"bob\"";
        assert_eq!(said(&asked, None), taken);
    }

    #[test]
    fn default_privileges_begin_with_none() {
        let mut asked = asked("default_privs", "tables", &["SELECT"]);
        assert_eq!(
            said(&asked, Some("\"carl\"")),
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"carl\" IN SCHEMA \"public\" REVOKE ALL ON TABLES \
             FROM \"bob\"; ALTER DEFAULT PRIVILEGES FOR ROLE \"carl\" IN SCHEMA \"public\" GRANT \
             SELECT ON TABLES TO \"bob\""
        );
        asked.grants = false;
        assert_eq!(said(&asked, None).matches("REVOKE ALL ON").count(), REVOKED.len());
    }

    proptest! {
        /// Arguments of functions are no names and cannot be quoted: nothing in them ends them.
        #[test]
        fn a_signature_is_only_that(text in r#"[a-z(),;'"$\\ :.\[\]-]{0,16}"#) {
            if let Ok(sql) = called("\"s\"", &format!("f({text}")) {
                prop_assert!(sql.ends_with(')'));
                prop_assert!(!sql.contains([';', '\'', '\\', '$', ':', '-']), "{}", sql);
            }
        }
    }
}
