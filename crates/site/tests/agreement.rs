//! The schema and the decoder agree: what one refuses by itself, the other refuses.
//!
//! Documents are good ones with a few changes at random places. A document is JSON, which is YAML,
//! so both read the same.

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use std::sync::LazyLock;
use updraft_site::{Faults, MemorySource, Site, load, schema};

/// Codes that are told of one value and the map it stands in: the schema refuses them too.
const STRUCTURAL: &[&str] = &[
    "bad-digest",
    "bad-http",
    "bad-name",
    "bad-path",
    "bad-url",
    "bad-version",
    "duplicate-item",
    "empty",
    "exclusive-keys",
    "missing-key",
    "not-yet",
    "password-in-url",
    "private-key",
    "reserved-name",
    "unknown-key",
    "unknown-word",
    "useless-key",
    "wrong-type",
];

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let draft = jsonschema::Draft::Draft202012;
    jsonschema::options().with_draft(draft).build(&schema()).expect("the schema is one")
});

fn good() -> Value {
    json!({
        "site": "hello",
        "domain": "hello.test",
        "admins": { "ops": { "keys": ["/keys/ops.pub"] } },
        "networks": { "lan": { "cidr": "10.77.0.0/24" } },
        "images": {
            "debian": {
                "bootstrap": "bookworm",
                "mirror": "https://deb.debian.org/debian",
                "packages": ["openssh-server", "curl"],
                "disk": "2GiB",
                "play": "plays/web.yaml",
                "vars": { "a": 1 },
                "admins": ["ops"],
                "test": ["true"],
            },
            "cloud": {
                "file": "plays/web.yaml",
                "digest": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "format": "raw",
                "firmware": "uefi",
            },
        },
        "groups": {
            "lb": { "image": "debian", "provider": "sim", "network": "lan", "cpus": 1 },
            "web": {
                "image": "debian",
                "count": { "min": 2, "max": 6 },
                "memory": "256MiB",
                "disk": "4GiB",
                "play": "plays/web.yaml",
                "vars": { "port": 8080, "deep": { "list": [1, "x", null] } },
            },
        },
        "services": {
            "hello": {
                "on": "web",
                "version": "v1",
                "deploy": "plays/web.yaml",
                "start": { "unit": "hello.service" },
                "stop": { "command": "true" },
                "test": { "http": ":8080/", "expect": "ok", "status": 200, "within": "30s" },
                "balancer": { "on": "lb", "listen": 80, "port": 8080, "drain": "5s" },
            },
        },
    })
}

/// What a production file would change.
fn change() -> Value {
    json!({
        "extends": "base.yaml",
        "domain": "prod.example.com",
        "images": { "debian": { "mirror": null, "disk": "3GiB" } },
        "groups": {
            "web": { "count": { "max": 20 }, "vars": { "port": 80, "new": null } },
            "job": { "image": "debian" },
        },
        "services": { "hello": { "test": { "every": "1s" }, "stop": null } },
    })
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fn read(document: &Value) -> Result<Site, Faults> {
    let source = MemorySource::default()
        .with("updraft.yaml", serde_json::to_string_pretty(document).expect("JSON"))
        .with("base.yaml", good().to_string())
        .with("plays/web.yaml", "[]")
        .with("/keys/ops.pub", KEY);
    load("updraft.yaml".into(), &source)
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(Index, Value),
    Remove(Index),
    Rename(Index, String),
    Add(Index, String, Value),
    Move(Index, Index),
}

fn key() -> impl Strategy<Value = String> {
    let known = vec![
        "site",
        "domain",
        "extends",
        "admins",
        "networks",
        "images",
        "groups",
        "services",
        "notify",
        "keys",
        "cidr",
        "bootstrap",
        "from",
        "file",
        "url",
        "box",
        "digest",
        "format",
        "firmware",
        "packages",
        "mirror",
        "disk",
        "play",
        "live",
        "image",
        "provider",
        "network",
        "count",
        "memory",
        "cpus",
        "vars",
        "scale",
        "min",
        "max",
        "on",
        "version",
        "deploy",
        "start",
        "stop",
        "test",
        "balancer",
        "unit",
        "command",
        "http",
        "tcp",
        "expect",
        "status",
        "within",
        "every",
        "listen",
        "port",
        "drain",
        "web",
        "lb",
        "all",
        "localhost",
        "root",
        "Web",
        "a-",
        "",
        "x_y",
        "debian",
        "lan",
        "unknown",
    ];
    prop_oneof![4 => select(known).prop_map(str::to_owned), 1 => "[a-z0-9_.-]{0,40}"]
}

fn value() -> impl Strategy<Value = Value> {
    let texts = vec![
        "",
        " ",
        "\n",
        "x",
        "web",
        "lb",
        "lan",
        "debian",
        "qemu",
        "sim",
        "metal",
        "docker",
        "512MiB",
        "1.5GiB",
        "2 g",
        "1.GiB",
        "512",
        "99999999TiB",
        "0B",
        "30s",
        "0s",
        "0m0s",
        "1h30m",
        "1h 30m",
        "30",
        "1.5s",
        "400d",
        "10.77.0.0/24",
        "10.78.0.0/16",
        "10.77.0.1/24",
        "10.77.0.0/30",
        "010.0.0.0/24",
        "127.0.0.0/24",
        ":8080/health",
        "8080",
        ":99999/",
        ":8080/a b",
        "/health",
        "http://a/",
        "https://deb.debian.org/debian",
        "file:/srv/mirror",
        "ftp://x/",
        "plays/web.yaml",
        "plays/",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "uefi",
        "raw",
        "https://me:pw@mirror.test/a.box",
        "/keys/ops.pub",
        "nowhere",
        "v1",
        "1.10",
        "v 1",
        "é",
        "hello.service",
        "a b",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        KEY,
        "bookworm",
        "Book Worm",
        "nginx=1.2-3",
        "nginx:amd64",
        "n",
        "a.b",
        "a..b",
        "UPPER",
        "base.yaml",
        "updraft.yaml",
    ];
    let leaf = prop_oneof![
        6 => select(texts).prop_map(Value::from),
        2 => (-2i64..70_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!(1.5)),
        1 => "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..3)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), value()).prop_map(|(at, value)| Edit::Replace(at, value)),
        2 => at().prop_map(Edit::Remove),
        2 => (at(), key()).prop_map(|(at, key)| Edit::Rename(at, key)),
        3 => (at(), key(), value()).prop_map(|(at, key, value)| Edit::Add(at, key, value)),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Move(from, to)),
    ]
}

/// Paths to everything below the top.
fn paths(value: &Value, here: &str, found: &mut Vec<String>) {
    let pairs: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in pairs {
        let path = format!("{here}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(path.clone());
        paths(value, &path, found);
    }
}

fn pick(document: &Value, at: &Index) -> Option<String> {
    let mut found = Vec::new();
    paths(document, "", &mut found);
    (!found.is_empty()).then(|| at.get(&found).clone())
}

fn take(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent)? {
        Value::Object(map) => map.shift_remove(&key),
        Value::Array(items) => Some(items.remove(key.parse().ok()?)),
        _ => None,
    }
}

fn apply(mut document: Value, edits: &[Edit]) -> Value {
    for edit in edits {
        let at = match edit {
            Edit::Replace(at, _) | Edit::Remove(at) | Edit::Rename(at, _) => at,
            Edit::Add(at, ..) | Edit::Move(at, _) => at,
        };
        let Some(path) = pick(&document, at) else { continue };
        match edit {
            Edit::Replace(_, value) => {
                *document.pointer_mut(&path).expect("a path of the document") = value.clone()
            }
            Edit::Remove(_) => drop(take(&mut document, &path)),
            Edit::Rename(_, key) => {
                let parent = path.rsplit_once('/').expect("a slash").0.to_owned();
                let value = take(&mut document, &path).expect("a path of the document");
                if let Some(Value::Object(map)) = document.pointer_mut(&parent) {
                    map.insert(key.clone(), value);
                }
            }
            Edit::Add(_, key, value) => {
                match document.pointer_mut(&path).expect("a path of the document") {
                    Value::Object(map) => drop(map.insert(key.clone(), value.clone())),
                    Value::Array(items) => items.push(value.clone()),
                    _ => {}
                }
            }
            Edit::Move(_, to) => {
                let value = document.pointer(&path).expect("a path of the document").clone();
                let Some(to) = pick(&document, to) else { continue };
                *document.pointer_mut(&to).expect("a path of the document") = value;
            }
        }
    }
    document
}

fn errors(document: &Value) -> Vec<String> {
    VALIDATOR.iter_errors(document).map(|error| error.to_string()).collect()
}

fn check_agreement(document: &Value) -> Result<(), TestCaseError> {
    let refused = errors(document);
    match read(document) {
        Ok(_) => prop_assert!(refused.is_empty(), "only the schema refuses it: {refused:#?}"),
        Err(faults) => {
            // A fault of a file that was extended is none of this document's.
            let own = faults.iter().filter(|fault| fault.file == "updraft.yaml");
            let structural: Vec<_> = own.filter(|fault| STRUCTURAL.contains(&fault.code)).collect();
            // What is missing after merging may have been removed by either file.
            let extends = document.get("extends").is_some();
            prop_assert!(
                structural.is_empty() || extends || !refused.is_empty(),
                "the schema accepts it: {structural:#?}"
            );
        }
    }
    Ok(())
}

#[test]
fn both_accept_what_is_good() {
    for document in [good(), change()] {
        assert_eq!(errors(&document), Vec::<String>::new());
        if let Err(faults) = read(&document) {
            panic!("{}", faults.render(false, 100));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_refuse_the_same_sites(edits in prop::collection::vec(edit(), 1..3)) {
        check_agreement(&apply(good(), &edits))?;
    }

    #[test]
    fn both_refuse_the_same_changes(edits in prop::collection::vec(edit(), 1..3)) {
        check_agreement(&apply(change(), &edits))?;
    }
}
