//! What filters and tests take, so that an argument too many or one misspelt is refused.
//!
//! The names of functions and parameters are those of Jinja 3.1 and ansible-core 2.19: people call
//! parameters by name, and look for what Python says of a call that does not fit.

use super::Fault;
use crate::value::{Call, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Filters, several of which may be one function, and how it is declared: the value is its first
/// parameter, or the second after a context (`@`). `=` follows what may be left out, `#` what is a
/// whole number; `+` precedes what is given by name only; `*` and `**` take all that is left, and
/// `/` stands in a function that Python has in C.
const FILTERS: &[(&str, &str)] = &[
    ("abs", "abs(x, /)"),
    ("attr", "do_attr(@, obj, name)"),
    ("b64decode", "b64decode(string, encoding=, urlsafe=)"),
    ("b64encode", "b64encode(string, encoding=, urlsafe=)"),
    ("basename", "basename(p)"),
    ("batch", "do_batch(value, linecount#, fill_with=)"),
    ("bool", "to_bool(value)"),
    ("capitalize", "do_capitalize(s)"),
    ("center", "do_center(value, width=#)"),
    ("checksum sha1", "secure_hash_s(data, hash_func=)"),
    ("comment", "comment(text, style=, **)"),
    ("commonpath", "commonpath(paths)"),
    ("count length", "len(obj, /)"),
    ("d default", "ansible_default(value, default_value=, boolean=)"),
    ("dict2items", "dict_to_list_of_dict_key_value_elements(mydict, key_name=, value_name=)"),
    ("dictsort", "do_dictsort(value, case_sensitive=, by=, reverse=)"),
    ("difference", "difference(@, a, b)"),
    ("dirname", "dirname(p)"),
    ("e escape", "escape(s)"),
    ("expanduser", "expanduser(path)"),
    ("expandvars", "expandvars(path)"),
    ("extract", "extract(@, item, container, morekeys=)"),
    ("fileglob", "fileglob(pathname)"),
    ("filesizeformat", "do_filesizeformat(value, binary=)"),
    ("first", "sync_do_first(@, seq)"),
    ("flatten", "flatten(mylist, levels=#, skip_nulls=)"),
    ("float", "do_float(value, default=)"),
    ("forceescape", "do_forceescape(value)"),
    ("from_json", "from_json(a, profile=, **)"),
    ("from_yaml", "from_yaml(data)"),
    ("from_yaml_all", "from_yaml_all(data)"),
    ("groupby", "sync_do_groupby(@, value, attribute, default=, case_sensitive=)"),
    ("hash", "get_hash(data, hashtype=)"),
    ("human_readable", "human_readable(size, isbits=, unit=)"),
    ("human_to_bytes", "human_to_bytes(size, default_unit=, isbits=)"),
    ("indent", "do_indent(s, width=, first=, blank=)"),
    ("int", "do_int(value, default=, base=)"),
    ("intersect", "intersect(@, a, b)"),
    ("items", "do_items(value)"),
    ("items2dict", "list_of_dict_key_value_elements_to_dict(mylist, key_name=, value_name=)"),
    ("join", "sync_do_join(@, value, d=, attribute=)"),
    ("last", "do_last(@, seq)"),
    ("list", "sync_do_list(value)"),
    ("log", "logarithm(x, base=)"),
    ("lower", "do_lower(s)"),
    ("mandatory", "mandatory(a, msg=)"),
    ("max", "do_max(@, value, case_sensitive=, attribute=)"),
    ("md5", "md5s(data)"),
    ("min", "do_min(@, value, case_sensitive=, attribute=)"),
    ("normpath", "normpath(path)"),
    (
        "password_hash",
        "get_encrypted_password(password, hashtype=, salt=, salt_size=, rounds=, ident=)",
    ),
    ("path_join", "path_join(paths)"),
    ("pow", "power(x, y)"),
    ("pprint", "do_pprint(value)"),
    ("quote", "quote(a)"),
    ("random", "rand(@, end, start=, step=, seed=)"),
    ("realpath", "realpath(filename, +strict)"),
    ("regex_escape", "regex_escape(string, re_type=)"),
    ("regex_findall", "regex_findall(value, regex, multiline=, ignorecase=)"),
    (
        "regex_replace",
        "regex_replace(value=, pattern=, replacement=, ignorecase=, multiline=, count=, mandatory_count=)",
    ),
    ("regex_search", "regex_search(value, regex, *, **)"),
    ("rekey_on_member", "rekey_on_member(data, key, duplicates=)"),
    ("relpath", "relpath(path, start=)"),
    ("replace", "do_replace(@, s, old, new, count=)"),
    ("reverse", "do_reverse(value)"),
    ("root", "inversepower(x, base=)"),
    ("round", "do_round(value, precision=#, method=)"),
    ("safe", "do_mark_safe(value)"),
    ("shuffle", "randomize_list(mylist, seed=)"),
    ("slice", "sync_do_slice(value, slices#, fill_with=)"),
    ("sort", "do_sort(@, value, reverse=, case_sensitive=, attribute=)"),
    ("splitext", "splitext(p)"),
    ("strftime", "strftime(string_format, second=, utc=)"),
    ("string", "soft_str(s)"),
    ("striptags", "do_striptags(value)"),
    ("subelements", "subelements(obj, subelements, skip_missing=)"),
    ("sum", "sync_do_sum(@, iterable, attribute=, start=)"),
    ("symmetric_difference", "symmetric_difference(@, a, b)"),
    ("ternary", "ternary(value, true_val, false_val, none_val=)"),
    ("title", "do_title(s)"),
    ("to_datetime", "to_datetime(string, format=)"),
    ("to_json", "to_json(a, profile=, vault_to_text=, preprocess_unsafe=, **)"),
    ("to_nice_json", "to_nice_json(a, indent=, sort_keys=, **)"),
    ("to_nice_yaml", "to_nice_yaml(a, indent=, *, +default_flow_style, **)"),
    ("to_uuid", "to_uuid(string, namespace=)"),
    ("to_yaml", "to_yaml(a, *, +default_flow_style, **)"),
    ("tojson", "do_tojson(@, value, indent=)"),
    ("trim", "do_trim(value, chars=)"),
    ("truncate", "do_truncate(@, s, length=#, killwords=, end=, leeway=#)"),
    ("type_debug", "type_debug(obj)"),
    ("union", "union(@, a, b)"),
    ("unique", "unique(@, a, case_sensitive=, attribute=)"),
    ("unvault", "do_unvault(vault, secret, vault_id=, vaultid=)"),
    ("upper", "do_upper(s)"),
    ("urldecode", "unquote_plus(string, encoding=, errors=)"),
    ("urlencode", "do_urlencode(value)"),
    ("urlize", "do_urlize(@, value, trim_url_limit=, nofollow=, target=, rel=, extra_schemes=)"),
    ("urlsplit", "split_url(value, query=, alias=)"),
    ("vault", "do_vault(data, secret, salt=, vault_id=, wrap_object=, vaultid=)"),
    ("win_basename", "basename(p)"),
    ("win_dirname", "dirname(p)"),
    ("win_splitdrive", "splitdrive(p)"),
    ("wordcount", "do_wordcount(s)"),
    ("wordwrap", "do_wordwrap(@, s, width=, break_long_words=, wrapstring=, break_on_hyphens=)"),
    ("xmlattr", "do_xmlattr(@, d, autospace=)"),
];

/// The same for tests.
const TESTS: &[(&str, &str)] = &[
    ("abs is_abs", "isabs(s)"),
    ("all", "all(iterable, /)"),
    ("any", "any(iterable, /)"),
    ("boolean", "test_boolean(value)"),
    ("callable", "callable(obj, /)"),
    ("change changed", "changed(result)"),
    ("contains", "contains(seq, value)"),
    ("defined", "test_defined(value)"),
    ("directory is_dir", "isdir(s)"),
    ("divisibleby", "test_divisibleby(value, num)"),
    ("escaped", "test_escaped(value)"),
    ("even", "test_even(value)"),
    ("exists", "exists(path)"),
    ("failed failure", "failed(result)"),
    ("false", "test_false(value)"),
    ("falsy", "falsy(value, convert_bool=)"),
    ("file is_file", "isfile(path)"),
    ("filter", "test_filter(@, value)"),
    ("finished", "finished(result)"),
    ("float", "test_float(value)"),
    ("in", "test_in(value, seq)"),
    ("integer", "test_integer(value)"),
    ("is_link link", "islink(path)"),
    ("is_mount mount", "ismount(path)"),
    ("is_same_file same_file", "samefile(f1, f2)"),
    ("isnan nan", "isnotanumber(x)"),
    ("issubset subset", "issubset(a, b)"),
    ("issuperset superset", "issuperset(a, b)"),
    ("iterable", "test_iterable(value)"),
    ("link_exists", "lexists(path)"),
    ("lower", "test_lower(value)"),
    ("mapping", "test_mapping(value)"),
    ("match", "match(value, pattern=, ignorecase=, multiline=)"),
    ("none", "test_none(value)"),
    ("number", "test_number(value)"),
    ("odd", "test_odd(value)"),
    ("reachable", "reachable(result)"),
    ("regex", "regex(value=, pattern=, ignorecase=, multiline=, match_type=)"),
    ("sameas", "test_sameas(value, other)"),
    ("search", "search(value, pattern=, ignorecase=, multiline=)"),
    ("sequence", "test_sequence(value)"),
    ("skip skipped", "skipped(result)"),
    ("started", "started(result)"),
    ("string", "test_string(value)"),
    ("succeeded success successful", "success(result)"),
    ("test", "test_test(@, value)"),
    ("timedout", "timedout(result)"),
    ("true", "test_true(value)"),
    ("truthy", "truthy(value, convert_bool=)"),
    ("undefined", "test_undefined(value)"),
    ("unreachable", "unreachable(result)"),
    ("upper", "test_upper(value)"),
    ("uri", "is_uri(value, schemes=)"),
    ("url", "is_url(value, schemes=)"),
    ("urn", "is_urn(value)"),
    ("vault_encrypted", "vault_encrypted(value)"),
    ("vaulted_file", "vaulted_file(value)"),
    (
        "version version_compare",
        "version_compare(value, version, operator=, strict=, version_type=)",
    ),
];

/// The function `now`, which is given no value.
const NOW: &str = "_now(, utc=, fmt=)";

/// How a function is declared.
struct Signature {
    function: &'static str,
    /// Contexts and values that a template does not write among the arguments.
    before: usize,
    /// Parameters by place, after those; `true` for those that may be left out.
    places: Vec<(&'static str, bool)>,
    /// Those that are whole numbers.
    whole: Vec<&'static str>,
    /// The name of the value itself, which cannot be given twice.
    value: &'static str,
    /// Might the value be left out, if a filter could be called without one?
    value_optional: bool,
    /// Parameters by name only.
    named: Vec<&'static str>,
    takes_more: bool,
    takes_names: bool,
    in_c: bool,
}

fn signature(declared: &'static str) -> Option<Signature> {
    let (function, rest) = declared.split_once('(')?;
    let mut signature = Signature {
        function,
        before: 1,
        places: Vec::new(),
        whole: Vec::new(),
        value: "",
        value_optional: false,
        named: Vec::new(),
        takes_more: false,
        takes_names: false,
        in_c: false,
    };
    for word in rest.strip_suffix(')')?.split(", ") {
        let word = match word.strip_suffix('#') {
            Some(word) => {
                signature.whole.push(word.trim_end_matches('='));
                word
            }
            None => word,
        };
        match word {
            "@" => signature.before = 2,
            "*" => signature.takes_more = true,
            "**" => signature.takes_names = true,
            "/" => signature.in_c = true,
            "" => signature.before = 0,
            _ if signature.before > 0 && signature.value.is_empty() => {
                signature.value = word.trim_end_matches('=');
                signature.value_optional = word.ends_with('=');
            }
            _ => match (word.strip_prefix('+'), word.strip_suffix('=')) {
                (Some(name), _) => signature.named.push(name),
                (None, Some(name)) => signature.places.push((name, true)),
                (None, None) => signature.places.push((word, false)),
            },
        }
    }
    Some(signature)
}

type Known = LazyLock<HashMap<&'static str, Signature>>;

fn known(table: &[(&'static str, &'static str)]) -> HashMap<&'static str, Signature> {
    let mut all = HashMap::new();
    for (names, declared) in table {
        for name in names.split(' ') {
            all.extend(signature(declared).map(|signature| (name, signature)));
        }
    }
    all
}

static KNOWN_FILTERS: Known = LazyLock::new(|| known(FILTERS));
static KNOWN_TESTS: Known = LazyLock::new(|| known(TESTS));

/// Refuses arguments that the filter of this short name does not take.
pub(super) fn check_filter(name: &str, call: &Call) -> Result<(), Fault> {
    KNOWN_FILTERS.get(name).map_or(Ok(()), |signature| signature.check(call))
}

/// The same for the function `now`.
pub(super) fn check_now(call: &Call) -> Result<(), Fault> {
    signature(NOW).map_or(Ok(()), |signature| signature.check(call))
}

/// The same for a test.
pub(super) fn check_test(name: &str, call: &Call) -> Result<(), Fault> {
    KNOWN_TESTS.get(name).map_or(Ok(()), |signature| signature.check(call))
}

impl Signature {
    /// In the order in which Python looks at a call.
    fn check(&self, call: &Call) -> Result<(), Fault> {
        let function = self.function;
        let refuse = |what: String| Err(Fault::new(format!("{function}() {what}")));
        let given = call.args.len();
        if self.in_c {
            if !call.named.is_empty() {
                return refuse("takes no keyword arguments".to_owned());
            }
            return match given {
                0 => Ok(()),
                _ => refuse(format!("takes exactly one argument ({} given)", given + 1)),
            };
        }
        for (name, _) in &call.named {
            let name = &**name;
            let place = self.places.iter().position(|(place, _)| *place == name);
            if name == self.value || place.is_some_and(|place| place < given) {
                return refuse(format!("got multiple values for argument '{name}'"));
            }
            if place.is_none() && !self.takes_names && !self.named.contains(&name) {
                return refuse(format!("got an unexpected keyword argument '{name}'"));
            }
        }
        let most = self.places.len() + self.before;
        if given > self.places.len() && !self.takes_more {
            let optional = self.places.iter().filter(|(_, optional)| *optional).count();
            let least = most - optional - usize::from(self.value_optional);
            let takes = match (least, most) {
                (1, 1) => "1 positional argument".to_owned(),
                _ if least == most => format!("{most} positional arguments"),
                _ => format!("from {least} to {most} positional arguments"),
            };
            let given = given + self.before;
            return refuse(format!("takes {takes} but {given} were given"));
        }
        let missing: Vec<String> = self
            .places
            .iter()
            .skip(given)
            .filter(|(name, optional)| {
                !optional && !call.named.iter().any(|(given, _)| **given == **name)
            })
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        match &missing[..] {
            [] => self.check_numbers(call),
            [one] => refuse(format!("missing 1 required positional argument: {one}")),
            [first, second] => {
                refuse(format!("missing 2 required positional arguments: {first} and {second}"))
            }
            [all @ .., last] => refuse(format!(
                "missing {} required positional arguments: {}, and {last}",
                missing.len(),
                all.join(", ")
            )),
        }
    }

    fn check_numbers(&self, call: &Call) -> Result<(), Fault> {
        for name in &self.whole {
            let place = self.places.iter().position(|(place, _)| place == name);
            let Some(value) = place.and_then(|place| call.get(place, name)) else { continue };
            if !matches!(value, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
                let kind = value.type_name();
                let what = format!("'{kind}' object cannot be interpreted as an integer");
                return Err(Fault::new(what));
            }
        }
        Ok(())
    }
}
