//! What templates give, checked against ansible-core 2.19.14 on 2026-11-21.

use super::*;
use crate::value::Value;
use std::collections::BTreeMap;
use updraft_base::{FixedClock, Timestamp};

struct Vars(Value);

impl Scope for Vars {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.as_dict().unwrap().keys().map(|key| Arc::from(key.to_json_key())).collect()
    }
}

fn context(vars: &str) -> Context {
    context_in(Dialect::Core219, None, vars)
}

fn context_in(dialect: Dialect, differences: Option<Arc<Differences>>, vars: &str) -> Context {
    let vars = crate::yaml::parse("vars.yml", vars).unwrap().documents[0].to_value();
    let world = World {
        dialect,
        differences,
        env: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]),
        clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
        seed: 0,
        commands: Arc::new(crate::template::Alone),
        vault: Arc::default(),
        config: Arc::default(),
    };
    Context { scope: Arc::new(Vars(vars)), world: Arc::new(world) }
}

const VARS: &str = r#"
n: null
one: 1
text: hello
list: [3, 1, 2]
words: [b, A, c]
d: {a: 1, b: {c: 2}, items: own}
lazy: "{{ text }} {{ one }}"
deep: {x: "{{ lazy }}", y: "{{ nope }}", z: ["{{ one }}"]}
undef: "{{ nope }}"
loop_a: "{{ loop_b }}"
loop_b: "{{ loop_a }}"
empty: "{% if false %}x{% endif %}"
people: [{name: bo, age: 3}, {name: al, age: 5}, {name: cy}]
quoted: "'yes'"
"#;

fn give(source: &str) -> Result<Value, Fault> {
    let cx = context(VARS);
    cx.finish(&Value::trusted(source, None))
}

fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        match give(source) {
            Ok(value) => assert_eq!(value.repr(), *expected, "{source}"),
            Err(fault) => panic!("{source}: {fault}"),
        }
    }
}

#[test]
fn text_is_encrypted_and_decrypted_within_a_template() {
    check(&[
        ("{{ text | vault('pw') | unvault('pw') }} {{ text | unvault('pw') }}", "'hello hello'"),
        (
            "{{ (text | vault('pw', vault_id='dev')).splitlines()[0] }}",
            "'$ANSIBLE_VAULT;1.2;AES256;dev'",
        ),
        // As ansible-core writes it.
        (
            "{{ text | vault('pw', 'saltsalt') | hash('sha1') }}",
            "'210e20ba548ac5e6223119ae0919096ba3c290a2'",
        ),
    ]);
    let fault = give("{{ text | vault('pw') | unvault('other') }}").unwrap_err();
    assert!(fault.what.contains("Decryption failed"), "{fault}");
    assert!(give("{{ text | vault(1) }}").is_err());
}

#[test]
fn newlines_at_the_end_of_a_template_stay_with_text() {
    check(&[
        ("by {{ text }}\n", r"'by hello\n'"),
        ("{{ text }}\n\n", r"'hello\n\n'"),
        ("{{ text ~ '\n' }}\n", r"'hello\n'"),
        ("{% if true %}x{% endif %}\n", r"'x\n'"),
        ("{{ list }}\n", "[3, 1, 2]"),
        ("{{ text }}", "'hello'"),
    ]);
}

#[test]
fn one_expression_gives_its_value_and_mixed_text_gives_text() {
    check(&[
        ("{{ one }}", "1"),
        ("{{ one }}{{ one }}", "'11'"),
        (" {{ one }}", "' 1'"),
        ("{{ one }}\n", "1"),
        ("a{{ n }}b", "'ab'"),
        ("{{ n }}{{ n }}", "None"),
        ("{{ empty }}", "None"),
        ("{{ '[1]' }}", "'[1]'"),
        ("{{ [1, 'a', none, true, {'k': 1.5}] }}x", r#""[1, 'a', None, True, {'k': 1.5}]x""#),
        ("{{ (1, 2) }}", "[1, 2]"),
        ("{{ {'a': 1}.items() }}", "[['a', 1]]"),
        ("{% for i in list %}{{ i }}{% endfor %}", "'312'"),
        ("{% if one %}{{ list }}{% endif %}", "[3, 1, 2]"),
    ]);
}

#[test]
fn variables_are_rendered_when_they_are_used() {
    check(&[
        ("{{ lazy }}", "'hello 1'"),
        ("{{ deep.x }}", "'hello 1'"),
        ("{{ deep.z }}", "[1]"),
        ("{{ deep.y | default('D') }}", "'D'"),
        ("{{ undef | default('D') }}", "'D'"),
        ("{{ nope.a.b | default('D') }}", "'D'"),
        ("{{ nope.a is defined }}", "False"),
        ("{{ deep.y is undefined }}", "True"),
        ("{{ (nope | upper) | default('D') }}", "'D'"),
    ]);
    assert_eq!(give("{{ undef }}").unwrap_err().what, "'nope' is undefined");
    assert_eq!(
        give("x {{ d.zip.zap }}").unwrap_err().what,
        "object of type 'dict' has no attribute 'zip'"
    );
    assert!(give("{{ loop_a }}").unwrap_err().what.contains("Recursive loop"));
}

#[test]
fn numbers_and_names_in_brackets_are_different_keys() {
    check(&[
        ("{{ list.0 }} {{ list[-1] }} {{ list['1'] | default('D') }}", "'3 2 D'"),
        (
            "{{ {'0': 1}.0 | default('D') }} {{ {1: 2}.1 }} {{ {1: 2}['1'] | default('D') }}",
            "'D 2 D'",
        ),
        ("{{ [list] | map(attribute='1') | list }}", "[1]"),
        ("{{ [{'0': 1}] | map(attribute='0', default='D') | list }}", "['D']"),
        ("{{ text['upper']() }} {{ list['index'] is defined }}", "'HELLO True'"),
    ]);
    let class = "ansible._internal._templating._lazy_containers._AnsibleLazyTemplate";
    for (text, what) in [
        ("{{ list[7] }}", "object of type 'list' has no attribute 7"),
        ("{{ [][0] }}", &*format!("{class}List object has no element 0")),
        ("{{ {}[0] }}", &format!("{class}Dict object has no element 0")),
        ("{{ {}['a'] }}", "object of type 'dict' has no attribute 'a'"),
        ("{{ ''[0] }}", "str object has no element 0"),
    ] {
        assert_eq!(give(text).unwrap_err().what, what);
    }
}

#[test]
fn results_are_never_rendered_again() {
    check(&[
        ("{{ '{{ one }}' }}", "'{{ one }}'"),
        ("{{ '{' ~ '{ one }}' }}", "'{{ one }}'"),
        ("{{ '{\"a\": \"{{ one }}\"}' | from_json }}", "{'a': '{{ one }}'}"),
        ("{{ 'a: \"{{ one }}\"' | from_yaml }}", "{'a': '{{ one }}'}"),
    ]);
}

#[test]
fn lists_and_dicts_have_pythons_methods() {
    check(&[
        (
            "{% set l = [] %}{% for i in list %}{% set _ = l.append(i * 2) %}{% endfor %}{{ l }}",
            "[6, 2, 4]",
        ),
        (
            "{% set x = {} %}{{ x.update({'a': 1}) }}{% set _ = x.update(b=2) %}{{ x }}",
            "{'a': 1, 'b': 2}",
        ),
        ("{% set x = {'l': [1]} %}{% set _ = x.l.extend([2, 3]) %}{{ x }}", "{'l': [1, 2, 3]}"),
        ("{% set l = [1, 2] %}{{ l.pop() }}{{ l }}", "'2[1]'"),
        ("{{ d.items() | list | length }}", "3"),
        ("{{ d['items'] }}", "'own'"),
        ("{{ d.get('zz', 5) }} {{ d.keys() | list }}", r#""5 ['a', 'b', 'items']""#),
        ("{{ 'a,b'.split(',') }}", "['a', 'b']"),
        (
            "{{ 'abc'.find('c') }} {{ 'x'.ljust(3) }}| {{ '%s-%05d' % ('a', 42) }}",
            "'2 x  | a-00042'",
        ),
        ("{{ '{}-{name}'.format(1, name='x') }}", "'1-x'"),
        (
            "{{ 'a b  c'.split() }} {{ 'a.b.c'.rsplit('.', 1) }}",
            r#""['a', 'b', 'c'] ['a.b', 'c']""#,
        ),
        ("{{ ','.join(['a', 'b']) }}", "'a,b'"),
        (
            "{% set ns = namespace(x=0) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
            "6",
        ),
    ]);
}

#[test]
fn filters_give_what_they_give_to_ansible() {
    check(&[
        ("{{ list | sort | join(',') }}", "'1,2,3'"),
        ("{{ words | sort }}", "['A', 'b', 'c']"),
        ("{{ people | map(attribute='name') | list }}", "['bo', 'al', 'cy']"),
        ("{{ people | selectattr('age', 'defined') | map(attribute='age') | sum }}", "8"),
        (
            "{{ people | rejectattr('name', 'equalto', 'bo') | map(attribute='name') | list }}",
            "['al', 'cy']",
        ),
        ("{{ people | sort(attribute='name') | map(attribute='name') | first }}", "'al'"),
        ("{{ list | select('gt', 1) | list }}", "[3, 2]"),
        ("{{ list | map('string') | list }}", "['3', '1', '2']"),
        ("{{ ['a.j2', 'b.j2'] | map('regex_replace', '\\.j2$', '') | list }}", "['a', 'b']"),
        ("{{ 'foo bar' | regex_replace('(\\w+) (\\w+)', '\\2 \\1') }}", "'bar foo'"),
        ("{{ 'foobar' | regex_search('o+(b)', '\\1') }}", "['b']"),
        ("{{ 'foobar' | regex_search('x') }}", "None"),
        ("{{ 'a1b22' | regex_findall('[0-9]+') }}", "['1', '22']"),
        (
            "{{ d | combine({'b': {'e': 3}}, recursive=true) }}",
            "{'a': 1, 'b': {'c': 2, 'e': 3}, 'items': 'own'}",
        ),
        ("{{ {'a': [1]} | combine({'a': [2]}, list_merge='append') }}", "{'a': [1, 2]}"),
        (
            "{{ {'b': 1, 'a': 2} | dict2items }}",
            "[{'key': 'b', 'value': 1}, {'key': 'a', 'value': 2}]",
        ),
        ("{{ [{'key': 'a', 'value': 1}] | items2dict }}", "{'a': 1}"),
        ("{{ {'b': 1, 'a': 2} | dictsort }}", "[['a', 2], ['b', 1]]"),
        (
            "{{ [1, [2, [3]]] | flatten }} {{ [1, [2, [3]]] | flatten(levels=1) }}",
            "'[1, 2, 3] [1, 2, [3]]'",
        ),
        ("{{ [1, 2] | zip(['a', 'b']) | list }}", "[[1, 'a'], [2, 'b']]"),
        (
            "{{ [1, 1, 2] | unique }} {{ [1, 2] | union([2, 3]) }} {{ [1, 2] | difference([2]) }} {{ [1, 2] | intersect([2]) }}",
            "'[1, 2] [1, 2, 3] [1] [2]'",
        ),
        ("{{ d | to_json }}", r#"'{"a": 1, "b": {"c": 2}, "items": "own"}'"#),
        (
            "{{ {'b': 1, 'a': [1]} | to_nice_json }}",
            r#"'{\n    "a": [\n        1\n    ],\n    "b": 1\n}'"#,
        ),
        ("{{ {'b': 'yes', 'a': [1]} | to_nice_yaml(indent=2) }}", r#""a:\n- 1\nb: 'yes'\n""#),
        ("{{ 'hello' | b64encode }} {{ 'aGVsbG8=' | b64decode }}", "'aGVsbG8= hello'"),
        (
            "{{ 'abc' | hash('sha256') | truncate(10, true, '', 0) }} {{ 'abc' | md5 }}",
            "'ba7816bf8f 900150983cd24fb0d6963f7d28e17f72'",
        ),
        ("{{ 'example' | to_uuid }}", "'0cd629ef-c3f7-5d62-98fc-b4270497b261'"),
        ("{{ 'a\nb\n' | indent(2) }}", r"'a\n  b\n'"),
        ("{{ 'it is' | quote }} {{ 'x' | quote }}", r#""'it is' x""#),
        ("{{ 'x' | comment }}", r"'#\n# x\n#'"),
        (
            "{{ '/a/b.txt' | basename }} {{ '/a/b.txt' | dirname }} {{ 'b.tar.gz' | splitext }} {{ '~/x' | expanduser }}",
            r#""b.txt /a ['b.tar', '.gz'] /home/me/x""#,
        ),
        (
            "{{ true | ternary('a', 'b') }} {{ 'yes' | bool }} {{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ '1.5' | float }}",
            "'a True 13 7 1.5'",
        ),
        ("{{ 1536 | human_readable }} {{ '1.5G' | human_to_bytes }}", "'1.50 KB 1610612736'"),
        (
            "{{ 'http://u:p@h.x:80/p?q=1#f' | urlsplit('hostname') }} {{ 'a b&c' | urlencode }}",
            "'h.x a%20b%26c'",
        ),
        (
            "{{ [1, 2, 3] | batch(2) | list }} {{ 3.7 | round | int }} {{ [1, 5] | max }}",
            "'[[1, 2], [3]] 4 5'",
        ),
        ("{{ '%Y-%m-%d' | strftime(0, utc=true) }}", "'1970-01-01'"),
        (
            "{{ ('2024-01-03 00:00:00' | to_datetime - '2024-01-01 00:00:00' | to_datetime).days }}",
            "2",
        ),
        (
            "{{ ['a', 'b'] | product([1]) | list }} {{ 'a' | extract(d) }}",
            r#""[['a', 1], ['b', 1]] 1""#,
        ),
        (
            "{{ 'x' | type_debug }} {{ 1 | type_debug }} {{ d | type_debug }} {{ n | type_debug }}",
            "'str int dict NoneType'",
        ),
        ("{{ people | groupby('age', default=0) | length if false else 'skip' }}", "'skip'"),
        ("{{ 'hello world' | title }} {{ 'ABC' | capitalize }}", "'Hello World Abc'"),
    ]);
}

#[test]
fn tests_hold_as_they_hold_to_ansible() {
    check(&[
        ("{{ '1.10' is version('1.9', '>') }}", "True"),
        ("{{ '2.0.0-rc1' is version('2.0.0', '<', version_type='semver') }}", "True"),
        (
            "{{ text is match('hel') and text is search('llo') and text is not match('llo') }}",
            "True",
        ),
        (
            "{{ {'failed': true} is failed }} {{ {'changed': true} is changed }} {{ {} is succeeded }} {{ {'skipped': true} is skipped }}",
            "'True True True True'",
        ),
        (
            "{{ [1] is subset([1, 2]) }} {{ 1 is in [1] }} {{ [1, 2] is contains(2) }}",
            "'True True True'",
        ),
        (
            "{{ 'x' is string }} {{ d is mapping }} {{ list is sequence }} {{ n is none }} {{ 1 is number }}",
            "'True True True True True'",
        ),
        ("{{ 'yes' is truthy(convert_bool=true) }} {{ '' is falsy }}", "'True True'"),
        ("{{ [true, 1] is all }} {{ [0, 1] is any }}", "'True True'"),
    ]);
}

#[test]
fn statements_work_as_in_jinja() {
    check(&[
        (
            "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{{ loop.index }}{{ loop.last }}{% endfor %}",
            "'a=11True'",
        ),
        (
            "{% macro m(a, b='x') %}<{{ a }}{{ b }}>{% endmacro %}{{ m(1) }}{{ m(2, b=3) }}",
            "'<1x><23>'",
        ),
        ("{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}", "'[in]'"),
        ("{% set x %}a{{ one }}{% endset %}{{ x | upper }}", "'A1'"),
        ("{% for i in [1, 2, 3] if i != 2 %}{{ i }}{% else %}none{% endfor %}", "'13'"),
        ("{% for i in [] %}x{% else %}none{% endfor %}", "'none'"),
        ("{% filter upper %}abc{% endfilter %}", "'ABC'"),
        ("{% with a = 1 %}{{ a }}{% endwith %}-", "'1-'"),
        ("{% raw %}{{ x }}{% endraw %}{{ one }}", "'{{ x }}1'"),
        ("{{ 'a' if one == 1 else 'b' }}{{ one if false else '' }}", "'a'"),
        ("{% for x in [{'c': [{'c': []}]}] recursive %}({{ loop(x.c) }}){% endfor %}", "'(())'"),
        ("{{ [1, 2, 3][1:] }} {{ 'abc'[::-1] }} {{ list[-1] }}", "'[2, 3] cba 2'"),
        (
            "{{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }} {{ 7 / 2 }} {{ 1 ~ 'a' }} {{ 'a' * 3 }}",
            "'3 2 8 3.5 1a aaa'",
        ),
        (
            "{{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ 1 < 2 < 3 }} {{ not one }}",
            "'True True True False'",
        ),
        (
            "{{ lookup('env', 'HOME') }} {{ query('sequence', '1-3') }} {{ lookup('vars', 'one') }}",
            r#""/home/me ['1', '2', '3'] 1""#,
        ),
        (
            "{{ range(3) | list }} {{ dict(a=1) }} {{ now(utc=true, fmt='%Y') }}",
            r#""[0, 1, 2] {'a': 1} 1970""#,
        ),
        (
            "{% for i in range(4) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "'02'",
        ),
    ]);
}

#[test]
fn conditions_must_be_boolean() {
    let cx = context(VARS);
    let holds = |source: &str| cx.holds(&Expression::new(source, None).unwrap());
    assert_eq!(holds("one == 1 and text is defined"), Ok(true));
    assert_eq!(holds("not (nope is defined)"), Ok(true));
    assert!(holds("text").unwrap_err().what.contains("must have a boolean result"));
    assert!(holds("one").unwrap_err().what.contains("type 'int'"));
    assert_eq!(
        holds("nope").unwrap_err().what,
        "Error while evaluating conditional: 'nope' is undefined"
    );
}

#[test]
fn template_files_keep_their_last_newline_and_trim_blocks() {
    let cx = context(VARS);
    let syntax = Syntax { keep_trailing_newline: true, ..Syntax::default() };
    let text =
        "a {{ n }} {{ 1.5 }} {{ [1, \"x\"] }}\n{% if true %}\nyes\n{% endif %}\n{{ true }}\n";
    assert_eq!(cx.render_text(text, &syntax).unwrap(), "a  1.5 [1, 'x']\nyes\nTrue\n");
}

#[test]
fn what_cannot_work_is_found_without_running() {
    let check = |source: &str| Template::new(source, None).check(None);
    assert!(check("{{ a | nofilter }}").unwrap_err().what.contains("`nofilter`"));
    assert!(check("{{ a is notest }}").unwrap_err().what.contains("`notest`"));
    assert!(check("{{ lookup('nolookup', 1) }}").unwrap_err().what.contains("`nolookup`"));
    assert!(check("{{ a | }}").is_err());
    assert!(check("{{ a | ansible.builtin.default(1) }}").is_ok());
}

proptest::proptest! {
    #[test]
    fn no_template_makes_it_fall_over(
        text in r#"([{%}#'"()\[\]|.,:=~+*/<>! \\-]|\{\{|\}\}|\{%|%\}|if|for|in|is|not|set|a|b|1|0x|raw|end|macro|list){0,24}"#
    ) {
        let cx = context(VARS);
        drop(cx.finish(&Value::trusted(&text, None)));
        drop(cx.render_text(&text, &Syntax { lstrip_blocks: true, ..Syntax::default() }));
        drop(Expression::new(&text, None).and_then(|expression| cx.evaluate(&expression)));
    }
}

/// Checked against ansible-core 2.14.18 and 2.19.14 on 2026-11-22.
const DIALECTS: &[(&str, &str, &str)] = &[
    ("{{ 1 + 1 }}", "'2'", "2"),
    ("{{ sum }}", "'2'", "2"),
    ("{{ one }}", "1", "1"),
    ("{{ '[1,2]' }}", "[1, 2]", "'[1,2]'"),
    ("{{ '{\"a\":1}' }}", "{'a': 1}", "'{\"a\":1}'"),
    ("{{ none }}", "''", "None"),
    ("{{ n }}", "None", "None"),
    ("{{ 'True' }}", "True", "'True'"),
    ("{{ 'yes' }}", "'yes'", "'yes'"),
    ("{{ 1 == 1 }}", "True", "True"),
    ("{{ 1.5 * 2 }}", "'3.0'", "3.0"),
    ("a{{ n }}b{{ true }}{{ none }}", "'abTrue'", "'abTrue'"),
    ("{{ (1, 2) }}", "'(1, 2)'", "[1, 2]"),
    ("[{{ one }}, 2]", "[1, 2]", "'[1, 2]'"),
    ("[not a list", "'[not a list'", "'[not a list'"),
    (" {{ l }}", "\" [1, '2']\"", "\" [1, '2']\""),
    ("{{ l }}\n", "[1, '2']", "[1, '2']"),
    ("{{ nope | default(none) }}", "''", "None"),
    ("{{ l | map('string') }}", "['1', '2']", "['1', '2']"),
    ("{{ range(3) }}", "[0, 1, 2]", "[0, 1, 2]"),
    ("{{ '5' | int }}", "'5'", "5"),
    ("{{ 'yes' | bool }}", "True", "True"),
    ("{{ l | to_json }}", "'[1, \"2\"]'", "'[1, \"2\"]'"),
    ("{{ json }}", "'[1, \"2\"]'", "'[1, \"2\"]'"),
    (
        "{{ [1, none, true, {'k': none}] }}",
        "[1, None, True, {'k': None}]",
        "[1, None, True, {'k': None}]",
    ),
];

const OF_BOTH: &str = r#"
one: 1
n: null
l: [1, "2"]
sum: "{{ 1 + 1 }}"
json: "{{ l | to_json }}"
text: "false"
"#;

#[test]
fn the_dialects_make_what_their_versions_make() {
    for (source, core214, core219) in DIALECTS {
        for (dialect, expected) in [(Dialect::Core214, core214), (Dialect::Core219, core219)] {
            let cx = context_in(dialect, None, OF_BOTH);
            let value = cx.finish(&Value::trusted(source, None)).unwrap();
            assert_eq!(value.repr(), *expected, "{source} in {dialect}");
        }
    }
}

#[test]
fn a_condition_of_the_older_dialect_holds_if_it_is_not_empty() {
    let cx = context_in(Dialect::Core214, None, OF_BOTH);
    let holds = |source: &str| cx.holds(&Expression::new(source, None).unwrap());
    for (source, expected) in [
        ("text", true),
        ("one", true),
        ("l", true),
        ("n", false),
        ("'false'", true),
        ("sum == 2", false),
        ("sum == '2'", true),
        ("'{{ one == 1 }}'", true),
        ("'{{ text }}'", false),
    ] {
        assert_eq!(holds(source), Ok(expected), "{source}");
    }
    assert!(holds("nope").unwrap_err().what.contains("'nope' is undefined"));
    assert!(holds("'{{ json }}'").unwrap_err().what.contains("not evaluated again"));
}

#[test]
fn what_the_dialects_read_differently_is_told_without_values() {
    let told = |dialect| {
        let differences = Arc::new(Differences::default());
        let cx = context_in(dialect, Some(Arc::clone(&differences)), OF_BOTH);
        for (source, ..) in DIALECTS {
            cx.finish(&Value::trusted(source, None)).unwrap();
        }
        cx.holds(&Expression::new("text", None).unwrap()).ok();
        differences.all()
    };
    let found = told(Dialect::Core219);
    let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
    for (source, core214, core219) in DIALECTS {
        assert_eq!(texts.contains(source), core214 != core219, "{source}");
    }
    assert!(texts.contains(&"text"));
    let sum = found.iter().find(|one| one.text == "{{ 1 + 1 }}").unwrap();
    assert_eq!((sum.core214.as_str(), sum.core219.as_str()), ("str", "int"));
    // `sum` is text before, so that `{{ sum }}` adds nothing.
    let places = |found: Vec<Difference>| -> Vec<String> {
        found.into_iter().map(|one| one.text).filter(|text| text != "{{ sum }}").collect()
    };
    assert_eq!(places(told(Dialect::Core214)), places(found));
}
