//! The JSON Schema of a site file, drawn from the table.
//!
//! It knows what can be told from one value and the map it stands in. Names that refer to something,
//! files, and numbers against each other are [`crate::load`]'s alone.
//! Never here: keys of its own.

use crate::format::Format;
use crate::table::{self, Field, Form, Need, Shape};
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of a site file.
///
/// A file with `extends` may leave out what the file it extends says, and may remove its keys with
/// null; that is the half of the schema whose names end in `-change`.
pub fn schema() -> Value {
    let mut defs = Map::new();
    for shape in table::shapes() {
        for whole in [true, false] {
            defs.insert(def_name(shape, whole), shape_schema(shape, whole));
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Updraft site file",
        "type": "object",
        "if": { "required": ["extends"] },
        "then": { "$ref": reference(&table::SITE, false) },
        "else": { "$ref": reference(&table::SITE, true) },
        "$defs": defs,
    })
}

fn def_name(shape: &Shape, whole: bool) -> String {
    match whole {
        true => shape.id.to_owned(),
        false => format!("{}-change", shape.id),
    }
}

fn reference(shape: &Shape, whole: bool) -> String {
    format!("#/$defs/{}", def_name(shape, whole))
}

fn shape_schema(shape: &Shape, whole: bool) -> Value {
    let mut schema = Map::new();
    schema.insert("description".into(), shape.about.into());
    schema.insert("type".into(), "object".into());
    let properties: Map<String, Value> =
        shape.keys.iter().map(|field| (field.name.to_owned(), property(field, whole))).collect();
    schema.insert("properties".into(), properties.into());
    schema.insert("additionalProperties".into(), false.into());
    if whole {
        let required: Vec<&str> = shape
            .keys
            .iter()
            .filter(|field| field.need == Need::Required)
            .map(|field| field.name)
            .collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if !shape.one_of.is_empty() {
            let each: Vec<Value> =
                shape.one_of.iter().map(|key| json!({ "required": [key] })).collect();
            schema.insert("oneOf".into(), each.into());
        }
        if !shape.needs.is_empty() {
            let pairs: Map<String, Value> = shape
                .needs
                .iter()
                .map(|(key, needed)| ((*key).to_owned(), json!([needed])))
                .collect();
            schema.insert("dependentRequired".into(), pairs.into());
        }
        if !shape.only_with.is_empty() {
            let beside = |with: &[&str]| -> Vec<Value> {
                with.iter().map(|with| json!({ "required": [with] })).collect()
            };
            let pairs: Map<String, Value> = shape
                .only_with
                .iter()
                .map(|(key, with)| ((*key).to_owned(), json!({ "anyOf": beside(with) })))
                .collect();
            schema.insert("dependentSchemas".into(), pairs.into());
        }
    }
    schema.into()
}

fn property(field: &Field, whole: bool) -> Value {
    let nothing = json!({ "type": "null" });
    let mut schema = match (field.need, whole) {
        (Need::NotYet, true) => json!({ "not": {} }),
        (Need::NotYet, false) => nothing,
        (_, true) => form_schema(&field.form, true),
        // A file cannot remove its own `extends`: without it there is nothing to remove from.
        (_, false) if field.name == "extends" => form_schema(&field.form, false),
        (_, false) => json!({ "anyOf": [form_schema(&field.form, false), nothing] }),
    };
    if let Some(schema) = schema.as_object_mut() {
        let about = match field.need {
            Need::NotYet => format!("{} Not in this version.", field.about),
            Need::Default(default) => format!("{} Default: {default}.", field.about),
            Need::Required | Need::Optional => field.about.to_owned(),
        };
        schema.insert("description".into(), about.into());
    }
    schema
}

fn form_schema(form: &Form, whole: bool) -> Value {
    match form {
        Form::Text(format) => text_schema(*format),
        Form::Word(words, _) => json!({ "enum": words }),
        Form::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::List(item) => json!({
            "type": "array",
            "items": form_schema(item, whole),
            "minItems": 1,
            "uniqueItems": true,
        }),
        Form::Named(_, format, each) => {
            let each = form_schema(each, whole);
            let each = match whole {
                true => each,
                false => json!({ "anyOf": [each, { "type": "null" }] }),
            };
            json!({
                "type": "object",
                "propertyNames": { "pattern": format.pattern() },
                "additionalProperties": each,
            })
        }
        Form::Shape(shape) => json!({ "$ref": reference(shape, whole) }),
        Form::Either(scalar, shape) => json!({
            "anyOf": [form_schema(scalar, whole), { "$ref": reference(shape, whole) }],
        }),
        Form::Vars => json!({
            "type": "object",
            "propertyNames": { "pattern": Format::VariableName.pattern() },
        }),
        Form::Anything => json!({}),
    }
}

fn text_schema(format: Format) -> Value {
    json!({ "type": "string", "pattern": format.pattern() })
}

#[cfg(test)]
mod tests;
