//! The table against itself.

use super::*;
use crate::fault::Sink;
use crate::{shape, yaml};

#[test]
fn every_example_and_every_default_is_possible() {
    for shape in shapes() {
        for field in shape.keys.iter().filter(|field| field.need != NotYet) {
            let mut texts = vec![field.example];
            if let Default(default) = field.need {
                texts.extend((!default.contains([' ', '`'])).then_some(default));
            }
            for text in texts {
                let mut sink = Sink::default();
                let node = yaml::parse(0, &format!("{}: {text}", field.name), &mut sink);
                let entry = node.expect("YAML").entries()[0].clone();
                shape::value(&entry.value, entry.key.at, &field.form, field.name, &mut sink);
                let told = format!("{sink:?}");
                assert!(sink.is_empty(), "`{}: {text}`: {told}", field.name);
            }
        }
    }
}

#[test]
fn what_a_shape_says_of_its_keys_is_about_keys_it_has() {
    for shape in shapes() {
        let beside = shape.only_with.iter().flat_map(|(key, with)| with.iter().chain([key]));
        let needs = shape.needs.iter().flat_map(|(key, needed)| [key, needed]);
        for key in shape.one_of.iter().chain(beside).chain(needs) {
            assert!(shape.field(key).is_some(), "{} has no `{key}`", shape.id);
        }
        for field in shape.keys {
            for word in field.also {
                assert!(shape.field(word).is_none(), "`{word}` of {} is a key", shape.id);
            }
        }
    }
}
