//! Turns raw arguments into the checked ones a module works with.
//!
//! Conversions and refusals are Ansible's, word for word where people may match on them. Never
//! here: the table of what each module takes (`spec.rs`).

use crate::context::Context;
use crate::outcome::{Fault, fail};
use crate::place;
use serde_json::{Map, Value};
use updraft_spec::{Arg, Kind, ModuleSpec, Preset};

/// Arguments that agree with a module's specification. Every argument is present, if only as null.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args {
    values: Map<String, Value>,
    ours: Map<String, Value>,
    /// Names other than their own by which arguments were given.
    aliases: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) secrets: Vec<String>,
}

impl Args {
    /// Checks and converts `given`.
    pub(crate) fn check(
        spec: &'static ModuleSpec,
        called: &str,
        given: &Map<String, Value>,
        ctx: &Context,
    ) -> Result<Self, Fault> {
        let mut args = Self::default();
        let mut unknown = Vec::new();
        for (name, value) in given {
            if name.starts_with("_updraft_") {
                args.ours.insert(name.clone(), value.clone());
            } else if name.starts_with("_ansible_") {
                continue;
            } else if let Some(arg) = spec.arg(name) {
                let alias = arg.name != name;
                if alias && given.contains_key(arg.name) {
                    args.warnings
                        .push(format!("Both option {} and its alias {name} are set.", arg.name));
                }
                if alias {
                    args.aliases.push(name.clone());
                }
                if alias || !args.values.contains_key(arg.name) {
                    args.values.insert(arg.name.to_owned(), value.clone());
                }
            } else {
                unknown.push(name.as_str());
            }
        }
        args.exclusive(spec)?;
        args.presets(spec);
        let missing: Vec<_> = {
            let mut names: Vec<_> = spec
                .all_args()
                .filter(|arg| arg.required && !args.values.contains_key(arg.name))
                .map(|arg| arg.name)
                .collect();
            names.sort_unstable();
            names
        };
        if !missing.is_empty() {
            return Err(fail!("missing required arguments: {}", missing.join(", ")));
        }
        for arg in spec.all_args() {
            if let Some(value) = args.values.get(arg.name).filter(|value| !value.is_null()) {
                let value = converted(arg, value, "", ctx)?;
                args.values.insert(arg.name.to_owned(), value);
            } else if arg.required && matches!(arg.kind, Kind::Str | Kind::Path) {
                args.values.insert(arg.name.to_owned(), Value::from(""));
            }
        }
        for arg in spec.all_args() {
            if let Some(value) = args.values.get_mut(arg.name) {
                choose(arg, value, "")?;
            }
        }
        args.groups(spec)?;
        for arg in spec.all_args().filter(|arg| !arg.options.is_empty()) {
            match args.values.get_mut(arg.name) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) => {
                    for item in items {
                        inside(arg, called, item, ctx)?;
                    }
                }
                Some(value) => inside(arg, called, value, ctx)?,
            }
        }
        if !unknown.is_empty() {
            return Err(unsupported(called, unknown, &spec.all_args().collect::<Vec<_>>()));
        }
        for arg in spec.all_args() {
            let value = args.values.entry(arg.name).or_insert(Value::Null);
            if let (true, Value::String(text)) = (arg.secret, value)
                && !text.is_empty()
            {
                args.secrets.push(text.clone());
            }
        }
        Ok(args)
    }

    fn given(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    fn exclusive(&self, spec: &ModuleSpec) -> Result<(), Fault> {
        let clashes: Vec<_> = spec
            .exclusive
            .iter()
            .filter(|group| group.iter().filter(|name| self.given(name)).count() > 1)
            .map(|group| group.join("|"))
            .collect();
        if clashes.is_empty() {
            return Ok(());
        }
        Err(fail!("parameters are mutually exclusive: {}", clashes.join(", ")))
    }

    fn presets(&mut self, spec: &ModuleSpec) {
        for arg in spec.all_args() {
            if let (Some(value), false) = (preset(arg), self.given(arg.name)) {
                self.values.insert(arg.name.to_owned(), value);
            }
        }
    }

    /// Checks what arguments ask of each other.
    fn groups(&self, spec: &ModuleSpec) -> Result<(), Fault> {
        for group in spec.together {
            let given = group.iter().filter(|name| self.given(name)).count();
            if given > 0 && given < group.len() {
                return Err(fail!("parameters are required together: {}", group.join(", ")));
            }
        }
        for group in spec.one_of {
            if !group.iter().any(|name| self.given(name)) {
                return Err(fail!("one of the following is required: {}", group.join(", ")));
            }
        }
        for (name, wanted, others) in spec.required_if {
            if self.values.get(*name).map(text_of).as_deref() == Some(*wanted) {
                let missing: Vec<_> =
                    others.iter().filter(|other| !self.given(other)).copied().collect();
                if !missing.is_empty() {
                    return Err(fail!(
                        "{name} is {wanted} but all of the following are missing: {}",
                        missing.join(", ")
                    ));
                }
            }
        }
        for (name, others) in spec.required_by {
            let missing: Vec<_> =
                others.iter().filter(|other| !self.given(other)).copied().collect();
            if self.given(name) && !missing.is_empty() {
                return Err(fail!(
                    "missing parameter(s) required by '{name}': {}",
                    missing.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// The argument as it is, unless it is null.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// Text, if given.
    pub(crate) fn str(&self, name: &str) -> Option<&str> {
        self.raw(name).and_then(Value::as_str)
    }

    /// Text of an argument that is required or has a default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.str(name).unwrap_or_default()
    }

    /// Whether a flag is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.maybe(name).unwrap_or(false)
    }

    /// A flag that may be absent.
    pub(crate) fn maybe(&self, name: &str) -> Option<bool> {
        self.raw(name).and_then(Value::as_bool)
    }

    /// A whole number, if given.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.raw(name).and_then(|value| value.as_i64().or_else(|| value.as_bool().map(i64::from)))
    }

    /// A number of seconds; negative ones count as none.
    pub(crate) fn seconds(&self, name: &str) -> std::time::Duration {
        let seconds = self.int(name).unwrap_or(0).max(0);
        std::time::Duration::from_secs(seconds.unsigned_abs())
    }

    /// What is said of each of these names that was used and is to go from its collection.
    pub(crate) fn deprecations(&self, names: &[&str], collection: &str, end: &str) -> Vec<Value> {
        let used = names.iter().filter(|name| self.aliases.iter().any(|used| used == *name));
        used.map(|name| {
            serde_json::json!({
                "msg": format!(
                    "Alias '{name}' is deprecated. See the module docs for more information"
                ),
                "version": end,
                "collection_name": collection,
            })
        })
        .collect()
    }

    /// A list of texts; empty if not given.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.raw(name) {
            Some(Value::Array(items)) => items.iter().map(text_of).collect(),
            _ => Vec::new(),
        }
    }

    /// A mapping, if given.
    pub(crate) fn dict(&self, name: &str) -> Option<&Map<String, Value>> {
        self.raw(name).and_then(Value::as_object)
    }

    /// One of our own arguments, such as `_updraft_staged`.
    pub(crate) fn ours(&self, name: &str) -> Option<&str> {
        self.ours.get(name).and_then(Value::as_str)
    }

    /// One of our own arguments that is a list of texts; empty if it is not there.
    pub(crate) fn ours_list(&self, name: &str) -> Vec<String> {
        match self.ours.get(name) {
            Some(Value::Array(items)) => items.iter().map(text_of).collect(),
            _ => Vec::new(),
        }
    }
}

fn unsupported(called: &str, mut unknown: Vec<&str>, known: &[&Arg]) -> Fault {
    unknown.sort_unstable();
    let mut names: Vec<_> = known.iter().map(|arg| arg.name).collect();
    names.sort_unstable();
    let mut aliases: Vec<_> = known.iter().flat_map(|arg| arg.aliases).copied().collect();
    aliases.sort_unstable();
    let aliases =
        if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
    fail!(
        "Unsupported parameters for ({called}) module: {}. Supported parameters include: {}{aliases}.",
        unknown.join(", "),
        names.join(", ")
    )
}

/// Checks and converts a mapping in the argument `outer`; all that may stand in it is there
/// afterwards, if only as null.
fn inside(outer: &Arg, called: &str, value: &mut Value, ctx: &Context) -> Result<(), Fault> {
    let Value::Object(given) = value else {
        return Err(fail!("value of '{}' must be of type dict or list of dicts", outer.name));
    };
    let place = format!(" found in {}", outer.name);
    let mut checked = Map::new();
    for arg in outer.options {
        let names = arg.aliases.iter().rev().chain([&arg.name]);
        let value = names.filter_map(|name| given.get(*name)).next().unwrap_or(&Value::Null);
        let mut value = match value {
            Value::Null => preset(arg).unwrap_or(Value::Null),
            value => value.clone(),
        };
        if arg.required && value.is_null() {
            return Err(fail!("missing required arguments: {}{place}", arg.name));
        }
        if !value.is_null() {
            value = converted(arg, &value, &format!(" found in '{}'.", outer.name), ctx)?;
            choose(arg, &mut value, &place)?;
            if !arg.options.is_empty() {
                inside(arg, called, &mut value, ctx)?;
            }
        }
        checked.insert(arg.name.to_owned(), value);
    }
    let stranger = given.keys().find(|name| {
        !outer.options.iter().any(|arg| arg.name == **name || arg.aliases.contains(&name.as_str()))
    });
    if let Some(stranger) = stranger {
        let unknown = format!("{}.{stranger}", outer.name);
        return Err(unsupported(called, vec![&unknown], &outer.options.iter().collect::<Vec<_>>()));
    }
    *given = checked;
    Ok(())
}

/// What an argument is when it is not given.
fn preset(arg: &Arg) -> Option<Value> {
    Some(match arg.preset {
        Preset::None => return None,
        Preset::Str(text) => Value::from(text),
        Preset::Bool(flag) => Value::from(flag),
        Preset::Int(number) => Value::from(number),
        Preset::List(items) => Value::from(items.to_vec()),
        Preset::Dict => Value::Object(Map::new()),
    })
}

/// Checks that `value` is one of the choices of `arg`; `place` is told where it is none.
fn choose(arg: &Arg, value: &mut Value, place: &str) -> Result<(), Fault> {
    if arg.choices.is_empty() || value.is_null() {
        return Ok(());
    }
    if let Value::Array(items) = value {
        let strangers: Vec<_> = items
            .iter()
            .map(text_of)
            .filter(|item| !arg.choices.contains(&item.as_str()))
            .collect();
        if strangers.is_empty() {
            return Ok(());
        }
        return Err(fail!(
            "value of {} must be one or more of: {}. Got no match for: {}{place}",
            arg.name,
            arg.choices.join(", "),
            strangers.join(", ")
        ));
    }
    let text = text_of(value);
    if arg.choices.contains(&text.as_str()) {
        return Ok(());
    }
    // YAML may have turned a bare `yes` or `no` into a boolean on its way here.
    let meant: &[&str] = match text.as_str() {
        "True" => &["y", "yes", "on", "1", "true", "t"],
        "False" => &["n", "no", "off", "0", "false", "f"],
        _ => &[],
    };
    let mut fitting = arg.choices.iter().filter(|choice| meant.contains(choice));
    if let (Some(choice), None) = (fitting.next(), fitting.next()) {
        *value = Value::from(*choice);
        return Ok(());
    }
    Err(fail!(
        "value of {} must be one of: {}, got: {text}{place}",
        arg.name,
        arg.choices.join(", ")
    ))
}

/// Converts `value` to what `arg` wants; `place` is told where that cannot be.
fn converted(arg: &Arg, value: &Value, place: &str, ctx: &Context) -> Result<Value, Fault> {
    let refusal = |kind: &str, why: String| {
        fail!(
            "argument '{}' is of type {}{place} and we were unable to convert to {kind}: {why}",
            arg.name,
            type_name(value)
        )
    };
    if arg.kind != Kind::List {
        return convert(arg.kind, value, ctx).map_err(|why| match arg.options {
            [] => refusal(kind_name(arg.kind), why),
            _ => Fault::new(why),
        });
    }
    let items = match value {
        Value::Array(items) => items.clone(),
        Value::String(text) => text.split(',').map(Value::from).collect(),
        Value::Number(_) => vec![Value::from(text_of(value))],
        _ => {
            let why = format!("<class '{}'> cannot be converted to a list", type_name(value));
            return Err(refusal("list", why));
        }
    };
    items
        .iter()
        .map(|item| {
            convert(arg.elements, item, ctx).map_err(|why| {
                if !arg.options.is_empty() {
                    return Fault::new(why);
                }
                fail!(
                    "Elements value for option '{}' is of type <class '{}'>{place} and we were unable to convert to {}: {why}",
                    arg.name,
                    type_name(item),
                    kind_name(arg.elements)
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Value::Array)
}

fn convert(kind: Kind, value: &Value, ctx: &Context) -> Result<Value, String> {
    match kind {
        Kind::Raw | Kind::List => Ok(value.clone()),
        Kind::Str => Ok(Value::from(text_of(value))),
        Kind::Path => Ok(Value::from(place::expand(&text_of(value), ctx))),
        Kind::Bool => boolean(value).map(Value::from),
        Kind::Int => integer(value).map(Value::from),
        Kind::Float => float(value),
        Kind::Dict => dictionary(value).map(Value::Object),
    }
}

/// YAML 1.1's idea of yes and no, as Ansible has it.
pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => return Ok(*flag),
        Value::Number(number) if number.as_f64() == Some(1.0) => return Ok(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => return Ok(false),
        _ => {}
    }
    let text = text_of(value);
    match text.trim().to_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Ok(false),
        _ if !matches!(value, Value::String(_) | Value::Number(_)) => {
            Err(format!("<class '{}'> cannot be converted to a bool", type_name(value)))
        }
        _ => Err(format!(
            "The value '{text}' is not a valid boolean. Valid booleans include: \
             0, 1, '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
        )),
    }
}

fn integer(value: &Value) -> Result<i64, String> {
    let parsed = match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        _ => None,
    };
    parsed.ok_or_else(|| format!("\"{}\" cannot be converted to an int", repr(value)))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i64)
}

fn float(value: &Value) -> Result<Value, String> {
    let parsed = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    parsed
        .and_then(serde_json::Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| format!("<class '{}'> cannot be converted to a float", type_name(value)))
}

fn dictionary(value: &Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::String(text) if text.trim_start().starts_with('{') => {
            serde_json::from_str(text).map_err(|_| "unable to evaluate string as dictionary".into())
        }
        Value::String(text) if text.contains('=') => {
            let words = crate::shlex::split(&text.replace(',', " ")).map_err(|_| {
                "unable to evaluate string in the \"key=value\" format as dictionary".to_owned()
            })?;
            words
                .iter()
                .map(|word| {
                    let (key, value) = word.split_once('=').ok_or(
                        "unable to evaluate string in the \"key=value\" format as dictionary",
                    )?;
                    Ok((key.trim().to_owned(), Value::from(value.trim())))
                })
                .collect()
        }
        Value::String(_) => {
            Err("dictionary requested, could not parse JSON or key=value".to_owned())
        }
        _ => Err(format!("<class '{}'> cannot be converted to a dict", type_name(value))),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "str",
        Kind::Bool => "bool",
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Path => "path",
        Kind::List => "list",
        Kind::Dict => "dict",
        Kind::Raw => "raw",
    }
}

/// What Python calls the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A value as Python's `str` writes it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => repr(value),
    }
}

/// A value as Python's `repr` writes it.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut out = String::from(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => out.extend(['\\', c]),
                    c => out.push(c),
                }
            }
            out.push(quote);
            out
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(key, value)| {
                    format!("{}: {}", repr(&Value::from(key.as_str())), repr(value))
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}
