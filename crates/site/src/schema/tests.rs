//! The schema against the cases, the examples and, rule by rule, the decoder.

use super::*;
use crate::fault::Sink;
use crate::node::Node;
use crate::text::Span;
use crate::{shape, yaml};
use camino::Utf8Path;
use jsonschema::Validator;
use std::fs;

fn validator() -> Validator {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&schema())
        .expect("the schema is one")
}

fn json(text: &str) -> Option<Value> {
    yaml::parse(0, text, &mut Sink::default()).map(|node| node.to_json())
}

fn cases(folder: &str) -> Vec<(String, String)> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let files = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| path.extension() == Some("yaml"))
        .map(|path| (path.to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn it_accepts_every_good_case() {
    let validator = validator();
    for (path, text) in cases("good") {
        let json = json(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
    }
}

#[test]
fn it_accepts_every_example() {
    let validator = validator();
    let examples = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found = 0;
    for example in examples.read_dir_utf8().unwrap() {
        let path = example.unwrap().path().join("updraft.yaml");
        let json = json(&fs::read_to_string(&path).unwrap()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
        found += 1;
    }
    assert!(found > 0, "no examples in {examples}");
}

#[test]
fn it_accepts_the_starter() {
    let starter = crate::starter(&"hello".parse().unwrap());
    assert!(validator().is_valid(&json(&starter).unwrap()));
}

#[test]
fn it_refuses_every_bad_case() {
    let validator = validator();
    for (path, text) in cases("bad") {
        let json = json(&text).unwrap_or_else(|| panic!("{path} belongs to bad-yaml"));
        assert!(!validator.is_valid(&json), "{path} is accepted");
    }
}

#[test]
fn only_what_a_schema_cannot_say_is_left_to_loading() {
    let validator = validator();
    for (path, text) in cases("bad-semantic") {
        let json = json(&text).unwrap_or_else(|| panic!("{path} belongs to bad-yaml"));
        assert!(validator.is_valid(&json), "{path} belongs to bad");
    }
}

#[test]
fn what_cannot_reach_a_schema_is_refused_while_reading_yaml() {
    for (path, text) in cases("bad-yaml") {
        let mut sink = Sink::default();
        yaml::parse(0, &text, &mut sink);
        assert!(!sink.is_empty(), "{path} belongs to bad");
    }
}

/// What the schema and the decoder say of one map with known keys.
struct Judges {
    shape: &'static Shape,
    whole: Validator,
    change: Validator,
}

impl Judges {
    fn of(shape: &'static Shape) -> Self {
        let validator = |whole| {
            // The maps within this one alone: every pattern takes its time to compile.
            let all = schema();
            let mut inner = vec![shape];
            let mut defs = Map::new();
            while let Some(next) = inner.pop() {
                let name = def_name(next, whole);
                defs.insert(name.clone(), all["$defs"][&name].clone());
                inner.extend(next.keys.iter().filter_map(|field| field.form.shape()));
            }
            let schema = json!({ "$ref": reference(shape, whole), "$defs": defs });
            jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .build(&schema)
                .expect("the schema is one")
        };
        Self { shape, whole: validator(true), change: validator(false) }
    }

    fn decodes(&self, document: &Value) -> bool {
        let mut sink = Sink::default();
        let node: Node = yaml::parse(0, &document.to_string(), &mut sink).expect("JSON is YAML");
        let at = Span { file: 0, start: 0, end: 0 };
        shape::shaped(&node, at, self.shape, "it", &mut sink);
        sink.is_empty()
    }

    fn both_accept(&self, document: &Value) {
        assert!(self.whole.is_valid(document), "the schema refuses {document}");
        assert!(self.decodes(document), "the decoder refuses {document}");
    }

    fn both_refuse(&self, document: &Value) {
        assert!(!self.whole.is_valid(document), "the schema accepts {document}");
        assert!(!self.decodes(document), "the decoder accepts {document}");
    }

    /// The smallest good map with this one of the exclusive keys.
    fn smallest(&self, one: Option<&str>) -> Value {
        let needed = |name: &str| {
            self.shape.needs.iter().any(|(key, needed)| Some(*key) == one && *needed == name)
        };
        let wanted = |field: &&Field| {
            field.need == Need::Required || Some(field.name) == one || needed(field.name)
        };
        let fields = self.shape.keys.iter().filter(wanted);
        Value::Object(fields.map(|field| (field.name.to_owned(), example(field))).collect())
    }

    /// The exclusive keys that this version can do.
    fn ones(&self) -> Vec<Option<&'static str>> {
        let possible = |key: &&&str| self.shape.field(key).is_some_and(|f| f.need != Need::NotYet);
        match self.shape.one_of {
            [] => vec![None],
            keys => keys.iter().filter(possible).map(|key| Some(*key)).collect(),
        }
    }

    /// A good map in which this field may stand.
    fn home_of(&self, field: &Field) -> Value {
        let with = self.shape.only_with.iter().find(|(key, _)| *key == field.name);
        let one = match with {
            Some((_, with)) if !self.shape.one_of.contains(&with[0]) => {
                let beside = self.shape.field(with[0]).expect("a key of the shape");
                let home = self.home_of(beside);
                return self::with(&home, beside.name, example(beside));
            }
            Some((_, with)) => Some(with[0]),
            None if self.shape.one_of.contains(&field.name) => Some(field.name),
            None => self.ones()[0],
        };
        self.smallest(one)
    }
}

fn example(field: &Field) -> Value {
    json(field.example).expect("an example is YAML")
}

fn with(document: &Value, key: &str, value: Value) -> Value {
    let mut document = document.clone();
    document[key] = value;
    document
}

fn without(document: &Value, key: &str) -> Value {
    let mut document = document.clone();
    document.as_object_mut().expect("a map").shift_remove(key);
    document
}

/// Values that are not of a form.
fn misfits(form: &Form, good: &Value) -> Vec<Value> {
    let mut all =
        vec![json!(null), json!(true), json!(-7), json!(1.5), json!(""), json!([]), json!([[]])];
    match form {
        Form::Int { min, max } => all.extend([json!(min - 1), json!(max + 1), json!("1")]),
        Form::Word(..) => all.push(json!("nowhere")),
        Form::List(_) => all.push(json!([good[0], good[0]])),
        Form::Named(..) | Form::Vars => {
            all.push(json!({ "-": {} }));
            all.push(json!({ "a": null, "b b": {} }));
        }
        Form::Flag => all.retain(|value| !value.is_boolean()),
        Form::Shape(_) | Form::Either(..) => all.push(json!({ "unheard": 1 })),
        Form::Text(_) => all.push(json!({})),
        Form::Anything => all.clear(),
    }
    all
}

#[test]
fn every_rule_of_the_table_is_kept_by_schema_and_decoder_alike() {
    for shape in table::shapes() {
        let judges = Judges::of(shape);
        for one in judges.ones() {
            let good = judges.smallest(one);
            judges.both_accept(&good);
            judges.both_refuse(&with(&good, "unheard", json!(1)));
            for field in shape.keys.iter().filter(|field| field.need == Need::Required) {
                judges.both_refuse(&without(&good, field.name));
            }
            if let Some(one) = one {
                judges.both_refuse(&without(&good, one));
                for other in shape.one_of.iter().filter(|other| **other != one) {
                    let field = shape.field(other).expect("a key of the shape");
                    judges.both_refuse(&with(&good, other, example(field)));
                }
            }
            for (key, needed) in shape.needs.iter().filter(|(key, _)| Some(*key) == one) {
                assert!(good.get(key).is_some());
                judges.both_refuse(&without(&good, needed));
            }
            for (key, beside) in shape.only_with {
                if beside.iter().any(|beside| good.get(beside).is_some()) {
                    continue;
                }
                let field = shape.field(key).expect("a key of the shape");
                judges.both_refuse(&with(&good, key, example(field)));
            }
        }
        for field in shape.keys {
            let home = judges.home_of(field);
            if field.need == Need::NotYet {
                judges.both_refuse(&with(&home, field.name, example(field)));
                continue;
            }
            // A whole file with `extends` is judged as a change.
            judges.both_accept(&with(&home, field.name, example(field)));
            for misfit in misfits(&field.form, &example(field)) {
                judges.both_refuse(&with(&home, field.name, misfit));
            }
        }
    }
}

#[test]
fn a_change_may_leave_out_and_remove_every_key_but_say_nothing_wrong() {
    for shape in table::shapes() {
        let judges = Judges::of(shape);
        let nothing = json!({});
        assert!(judges.change.is_valid(&nothing), "{}", shape.id);
        assert!(!judges.change.is_valid(&with(&nothing, "unheard", json!(null))));
        for field in shape.keys {
            let accepts = |value| judges.change.is_valid(&with(&nothing, field.name, value));
            assert_eq!(accepts(json!(null)), field.name != "extends", "{}", field.name);
            assert_eq!(accepts(example(field)), field.need != Need::NotYet, "{}", field.name);
            for misfit in misfits(&field.form, &example(field)) {
                if !misfit.is_null() && !matches!(field.form, Form::Vars | Form::Named(..)) {
                    assert!(!accepts(misfit.clone()), "{}: {misfit}", field.name);
                }
            }
        }
    }
}
