//! `validate_argument_spec`: whether what a role is given is what its `meta/argument_specs.yml` asks
//! for.
//!
//! The checks and their sentences are those of ansible-core 2.19's `ArgumentSpecValidator`.

use super::super::execute::{Call, Crew};
use super::super::outcome::{failed, put};
use super::done;
use crate::template::human_to_bytes;
use crate::value::{Dict, Indent, Key, Value, parse_float, python_json};

impl Crew<'_> {
    pub(super) fn validate_argument_spec(&self, call: &Call<'_>) -> Dict {
        let dict = |name: &str| match call.args.get(name) {
            None => Ok(Dict::new()),
            Some(value) => value.as_dict().cloned().ok_or_else(|| {
                failed(format!(
                    "Task failed: Incorrect type for {name}, expected dict and got <class '{}'>",
                    value.type_name()
                ))
            }),
        };
        if !call.args.contains_key("argument_spec") {
            return failed(format!(
                "Task failed: \"argument_spec\" arg is required in args: {}",
                Value::dict(call.args.clone()).to_text()
            ));
        }
        let (spec, provided) = match (dict("argument_spec"), dict("provided_arguments")) {
            (Ok(spec), Ok(provided)) => (spec, provided),
            (Err(result), _) | (_, Err(result)) => return result,
        };
        let mut given = Dict::new();
        for name in spec.keys().filter_map(Key::as_str) {
            match call.context.var(name) {
                Ok(Some(value)) => drop(given.insert(Key::str(name), value)),
                Ok(None) => {}
                Err(fault) => return failed(format!("Task failed: {}", fault.what)),
            }
        }
        given.extend(provided);
        let errors = violations(&spec, given);
        let context = call.args.get("validate_args_context").cloned();
        let mut result = done(false);
        put(
            &mut result,
            "validate_args_context",
            context.unwrap_or_else(|| Value::dict(Dict::new())),
        );
        if errors.is_empty() {
            put(&mut result, "msg", Value::str("The arg spec validation passed"));
            return result;
        }
        put(&mut result, "failed", true);
        let msg = format!("Validation of arguments failed:\n{}", errors.join("\n"));
        put(&mut result, "msg", Value::from(msg));
        put(&mut result, "argument_spec_data", Value::dict(spec));
        put(&mut result, "argument_errors", Value::strings(errors));
        result
    }
}

/// What is wrong with arguments, a sentence each.
fn violations(spec: &Dict, mut given: Dict) -> Vec<String> {
    let mut check = Check::default();
    check.level(spec, &mut given, &[], None);
    if let Some(last) = check.unsupported.last() {
        let mut names: Vec<&str> = check.unsupported.iter().map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        let mut supported = last.supported.join(", ");
        if !last.aliases.is_empty() {
            supported.push_str(&format!(" ({})", last.aliases.join(", ")));
        }
        check
            .errors
            .push(format!("{}. Supported parameters include: {supported}.", names.join(", ")));
    }
    check.errors
}

/// An argument that no specification knows, and those that it does know there.
struct Unsupported {
    name: String,
    supported: Vec<String>,
    aliases: Vec<String>,
}

#[derive(Default)]
struct Check {
    errors: Vec<String>,
    unsupported: Vec<Unsupported>,
}

/// A list of words, or one word.
fn words(value: &Value) -> Vec<String> {
    match value.as_list() {
        Some(items) => items.iter().map(Value::to_text).collect(),
        None => vec![value.to_text()],
    }
}

fn rows(spec: Option<&Dict>, name: &str) -> Vec<Value> {
    let rows = spec.and_then(|spec| spec.get(name)).and_then(Value::as_list);
    rows.unwrap_or_default().to_vec()
}

impl Check {
    /// The arguments of one level; `around` are the options that lead to it, `own` the last of
    /// these, which says what belongs together.
    fn level(&mut self, spec: &Dict, given: &mut Dict, around: &[String], own: Option<&Dict>) {
        let mut aliases = Vec::new();
        for (name, one) in spec {
            if one.get("default").is_some_and(|default| !default.is_none())
                && one.get("required").is_some_and(Value::is_true)
            {
                self.errors.push(format!(
                    "internal error: required and default are mutually exclusive for {name}"
                ));
            }
            for alias in one.get("aliases").map(words).unwrap_or_default() {
                if let Some(value) = given.get(alias.as_str()).cloned() {
                    given.insert(name.clone(), value);
                }
                aliases.push(alias);
            }
        }
        self.strangers(spec, given, around, &aliases);
        self.exclusive(given, around, own);
        defaults(spec, given, false);
        self.missing(spec, given, around);
        self.types(spec, given, around);
        self.choices(spec, given, around);
        self.together(given, around, own);
        defaults(spec, given, true);
        self.below(spec, given, around);
    }

    fn error(&mut self, text: String, around: &[String]) {
        self.errors.push(match around {
            [] => text,
            around => format!("{text} found in {}", around.join(" -> ")),
        });
    }

    fn strangers(&mut self, spec: &Dict, given: &Dict, around: &[String], aliases: &[String]) {
        for name in given.keys().map(Key::to_json_key) {
            if spec.contains_key(name.as_str()) || aliases.contains(&name) {
                continue;
            }
            let mut path = around.to_vec();
            path.push(name);
            let mut supported: Vec<String> = spec.keys().map(Key::to_json_key).collect();
            let mut aliases = aliases.to_vec();
            supported.sort();
            aliases.sort();
            self.unsupported.push(Unsupported { name: path.join("."), supported, aliases });
        }
    }

    fn exclusive(&mut self, given: &Dict, around: &[String], own: Option<&Dict>) {
        let mut rows = rows(own, "mutually_exclusive");
        if rows.iter().all(|row| row.as_list().is_none()) && !rows.is_empty() {
            rows = vec![Value::list(rows)];
        }
        let clashes: Vec<String> = rows
            .iter()
            .map(words)
            .filter(|names| {
                names.iter().filter(|name| given.contains_key(name.as_str())).count() > 1
            })
            .map(|names| names.join("|"))
            .collect();
        if !clashes.is_empty() {
            let text = format!("parameters are mutually exclusive: {}", clashes.join(", "));
            self.error(text, around);
        }
    }

    fn missing(&mut self, spec: &Dict, given: &Dict, around: &[String]) {
        let mut names: Vec<String> = spec
            .iter()
            .filter(|(name, one)| {
                one.get("required").is_some_and(Value::is_true) && !given.contains_key(*name)
            })
            .map(|(name, _)| name.to_json_key())
            .collect();
        if !names.is_empty() {
            names.sort();
            self.error(format!("missing required arguments: {}", names.join(", ")), around);
        }
    }

    fn types(&mut self, spec: &Dict, given: &mut Dict, around: &[String]) {
        for (name, one) in spec {
            let Some(value) = given.get(name).cloned() else { continue };
            let needed = one.get("required").is_some_and(Value::is_true)
                || one.get("default").is_some_and(|default| !default.is_none());
            if value.is_none() && !needed {
                continue;
            }
            let kind = one.get("type").map_or_else(|| "str".to_owned(), Value::to_text);
            match converted(&kind, &value) {
                Ok(converted) => {
                    let elements = one.get("elements").map(Value::to_text);
                    if let (Some(kind), Some(items)) = (&elements, converted.as_list()) {
                        self.elements(name, kind, items, around);
                    }
                    given.insert(name.clone(), converted);
                }
                Err(why) => {
                    let place = match around {
                        [] => String::new(),
                        around => format!(" found in '{}'.", around.join(" -> ")),
                    };
                    self.errors.push(format!(
                        "argument '{name}' is of type {}{place} and we were unable to convert to {kind}: {why}",
                        value.type_name()
                    ));
                }
            }
        }
    }

    fn elements(&mut self, name: &Key, kind: &str, items: &[Value], around: &[String]) {
        for item in items {
            let Err(why) = converted(kind, item) else { continue };
            let place = match around {
                [] => String::new(),
                around => format!(" found in '{}'", around.join(" -> ")),
            };
            self.errors.push(format!(
                "Elements value for option '{name}'{place} is of type {} and we were unable to convert to {kind}: {why}",
                item.type_name()
            ));
        }
    }

    fn choices(&mut self, spec: &Dict, given: &Dict, around: &[String]) {
        for (name, one) in spec {
            let Some(choices) = one.get("choices").and_then(Value::as_list) else { continue };
            let Some(value) = given.get(name) else { continue };
            let shown = choices.iter().map(Value::to_text).collect::<Vec<_>>().join(", ");
            match value.as_list() {
                Some(items) => {
                    let odd: Vec<String> = items
                        .iter()
                        .filter(|item| !choices.contains(item))
                        .map(Value::to_text)
                        .collect();
                    if !odd.is_empty() {
                        let text = format!(
                            "value of {name} must be one or more of: {shown}. Got no match for: {}",
                            odd.join(", ")
                        );
                        self.error(text, around);
                    }
                }
                None if choices.contains(value) => {}
                None => {
                    let text = format!(
                        "value of {name} must be one of: {shown}, got: {}",
                        value.to_text()
                    );
                    self.error(text, around);
                }
            }
        }
    }

    fn together(&mut self, given: &Dict, around: &[String], own: Option<&Dict>) {
        let has = |name: &String| given.contains_key(name.as_str());
        for row in rows(own, "required_together").iter().map(words) {
            if row.iter().any(has) && !row.iter().all(has) {
                self.error(format!("parameters are required together: {}", row.join(", ")), around);
                break;
            }
        }
        for row in rows(own, "required_one_of").iter().map(words) {
            if !row.iter().any(has) {
                let text = format!("one of the following is required: {}", row.join(", "));
                self.error(text, around);
                break;
            }
        }
        self.required_if(given, around, own);
        let by = own.and_then(|own| own.get("required_by")).and_then(Value::as_dict).cloned();
        for (name, needs) in by.unwrap_or_default() {
            let there = |name: &str| given.get(name).is_some_and(|value| !value.is_none());
            if !there(&name.to_json_key()) {
                continue;
            }
            let missing: Vec<String> =
                words(&needs).into_iter().filter(|need| !there(need)).collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                self.error(format!("missing parameter(s) required by '{name}': {missing}"), around);
                break;
            }
        }
    }

    fn required_if(&mut self, given: &Dict, around: &[String], own: Option<&Dict>) {
        for row in rows(own, "required_if") {
            let Some([name, wanted, needs, rest @ ..]) = row.as_list() else { continue };
            let any = rest.first().is_some_and(Value::is_true);
            if given.get(name.to_text().as_str()) != Some(wanted) {
                continue;
            }
            let needs = words(needs);
            let missing: Vec<&String> =
                needs.iter().filter(|need| !given.contains_key(need.as_str())).collect();
            let most = if any { needs.len() } else { 1 };
            if missing.len() >= most.max(1) {
                let which = if any { "any" } else { "all" };
                let missing = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>();
                let text = format!(
                    "{} is {} but {which} of the following are missing: {}",
                    name.to_text(),
                    wanted.to_text(),
                    missing.join(", ")
                );
                return self.error(text, around);
            }
        }
    }

    /// The options within options.
    fn below(&mut self, spec: &Dict, given: &Dict, around: &[String]) {
        for (name, one) in spec {
            let kind = one.get("type").map(Value::to_text).unwrap_or_default();
            let of_dicts = one.get("elements").is_some_and(|kind| kind.to_text() == "dict");
            let Some(inner) = one.get("options").and_then(Value::as_dict) else { continue };
            if !(kind == "dict" || kind == "list" && of_dicts) {
                continue;
            }
            let fill = one.get("apply_defaults").is_some_and(Value::is_true);
            let value = match given.get(name).filter(|value| !value.is_none()) {
                Some(value) => value.clone(),
                None if fill => Value::dict(Dict::new()),
                None => continue,
            };
            let mut path = around.to_vec();
            path.push(name.to_json_key());
            let items = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
            for item in items {
                match item.as_dict() {
                    Some(entries) => {
                        self.level(inner, &mut entries.clone(), &path, one.as_dict());
                    }
                    None => self
                        .errors
                        .push(format!("value of '{name}' must be of type dict or list of dicts")),
                }
            }
        }
    }
}

/// A value as an argument of a type, or why it is none.
fn converted(kind: &str, value: &Value) -> Result<Value, String> {
    let class = || format!("<class '{}'>", value.type_name());
    let text = value.as_str();
    match kind {
        "str" | "path" => Ok(Value::from(match value {
            Value::None => String::new(),
            other => other.to_text(),
        })),
        "list" => match (value, text) {
            _ if value.as_list().is_some() => Ok(value.clone()),
            (_, Some(text)) => Ok(Value::strings(text.split(','))),
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), _) => {
                Ok(Value::strings([value.to_text()]))
            }
            _ => Err(format!("{} cannot be converted to a list", class())),
        },
        "dict" => match text {
            _ if value.as_dict().is_some() => Ok(value.clone()),
            Some(text) => dict_of(text).map(Value::dict),
            None => Err(format!("{} cannot be converted to a dict", class())),
        },
        "bool" => match (value.as_boolean(), value) {
            (Some(truth), _) => Ok(Value::Bool(truth)),
            (None, Value::Str(_) | Value::Int(_) | Value::Float(_)) => {
                Err(format!("The value {} is not a valid boolean.", value.repr()))
            }
            _ => Err(format!("{} cannot be converted to a bool", class())),
        },
        "int" => {
            let number = match (value.as_int(), text) {
                (Some(number), _) => Some(number as f64),
                (None, Some(text)) => parse_float(text),
                (None, None) => value.as_float(),
            };
            number
                .filter(|number| number.is_finite() && number.fract() == 0.0)
                .map(|number| value.as_int().unwrap_or(number as i64))
                .map(Value::Int)
                .ok_or_else(|| format!("\"{}\" cannot be converted to an int", value.repr()))
        }
        "float" => value
            .as_float()
            .or_else(|| text.and_then(parse_float))
            .map(Value::Float)
            .ok_or_else(|| format!("{} cannot be converted to a float", class())),
        "json" | "jsonarg" => match text {
            Some(text) => Ok(Value::str(text.trim())),
            None if value.as_list().is_some() || value.as_dict().is_some() => {
                let indent = Indent { width: None, sorted: false, ascii: true };
                Ok(Value::from(python_json(&value.to_json(), indent)))
            }
            None => Err(format!("{} cannot be converted to a json string", class())),
        },
        "bytes" | "bits" => {
            let bits = kind == "bits";
            let unit = if bits { "Bit" } else { "Byte" };
            human_to_bytes(&value.to_text(), None, bits)
                .map(Value::Int)
                .map_err(|_| format!("{} cannot be converted to a {unit} value", class()))
        }
        _ => Ok(value.clone()),
    }
}

/// Fills in defaults; with `all`, what has none is there as nothing.
fn defaults(spec: &Dict, given: &mut Dict, all: bool) {
    for (name, one) in spec {
        let default = one.get("default").filter(|default| !default.is_none());
        if !given.contains_key(name) && (default.is_some() || all) {
            given.insert(name.clone(), default.cloned().unwrap_or_default());
        }
    }
}

/// A dict written as JSON, or as `a=1, b=2`.
fn dict_of(text: &str) -> Result<Dict, String> {
    if text.starts_with('{') {
        let json = serde_json::from_str::<serde_json::Value>(text).ok().map(Value::from);
        let found = json.or_else(|| crate::inventory::python_literal(text));
        return found
            .and_then(|value| value.as_dict().cloned())
            .ok_or_else(|| "unable to evaluate string as dictionary".to_owned());
    }
    if !text.contains('=') {
        return Err("dictionary requested, could not parse JSON or key=value".to_owned());
    }
    let mut entries = Dict::new();
    for field in fields(text) {
        let Some((name, value)) = field.split_once('=') else {
            return Err(
                "unable to evaluate string in the \"key=value\" format as dictionary".to_owned()
            );
        };
        entries.insert(Key::str(name), Value::str(value));
    }
    Ok(entries)
}

/// The parts between blanks and commas, quotes and backslashes taken away.
fn fields(text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let (mut quote, mut escaped) = (None, false);
    for c in text.trim().chars() {
        match (c, quote) {
            _ if escaped => {
                field.push(c);
                escaped = false;
            }
            ('\\', _) => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',' | ' ', None) => fields.push(std::mem::take(&mut field)),
            (c, _) => field.push(c),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &str, given: &str) -> Vec<String> {
        let dict = |text: &str| {
            let parsed = crate::yaml::parse("t", text).unwrap();
            parsed.documents[0].to_value().as_dict().unwrap().clone()
        };
        violations(&dict(spec), dict(given))
    }

    // Every sentence was said by ansible-core 2.19.14 on 2026-11-22, but for the names of its own
    // classes.
    #[test]
    fn what_is_wrong_with_arguments_is_told_as_ansible_tells_it() {
        let spec = "{n: {type: int, required: true}, s: {choices: [a, b]}, l: {type: list, elements: float}, \
                    o: {type: dict, mutually_exclusive: [[x, y]], options: {x: {type: bool}, y: {}, z: {required: true}}}}";
        assert!(found(spec, "{n: '5', s: a, l: [1, '2.5'], o: {x: yes, z: 1}}").is_empty());
        for (given, errors) in [
            ("{s: a}", vec!["missing required arguments: n"]),
            (
                "{n: ~}",
                vec![
                    "argument 'n' is of type NoneType and we were unable to convert to int: \"None\" cannot be converted to an int",
                ],
            ),
            ("{n: 1, s: c}", vec!["value of s must be one of: a, b, got: c"]),
            (
                "{n: 1, l: [x]}",
                vec![
                    "Elements value for option 'l' is of type str and we were unable to convert to float: <class 'str'> cannot be converted to a float",
                ],
            ),
            (
                "{n: 1, o: {x: 1, y: 2, q: 3}}",
                vec![
                    "parameters are mutually exclusive: x|y found in o",
                    "missing required arguments: z found in o",
                    "o.q. Supported parameters include: x, y, z.",
                ],
            ),
            (
                "{n: 1, o: text}",
                vec![
                    "argument 'o' is of type str and we were unable to convert to dict: dictionary requested, could not parse JSON or key=value",
                    "value of 'o' must be of type dict or list of dicts",
                ],
            ),
        ] {
            assert_eq!(found(spec, given), errors, "{given}");
        }
    }

    #[test]
    fn a_dict_may_be_written_as_text() {
        let spec = "{o: {type: dict, options: {a: {type: int}, b: {}}}}";
        assert!(found(spec, "{o: 'a=1, b=\"x, y\"'}").is_empty());
        assert_eq!(found(spec, "{o: 'a=x'}").len(), 1);
    }
}
