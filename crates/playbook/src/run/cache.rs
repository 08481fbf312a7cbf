//! Facts that outlive a run, as `ansible.cfg` asks for: one JSON file a host.
//!
//! Files are exchangeable with those of ansible-core 2.19's `jsonfile`: the name begins with the
//! number of the format, the facts are JSON within JSON, and text that a playbook says is marked.

use crate::config::Config;
use crate::value::{Dict, Key, Value};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use updraft_base::Clock;

/// What ansible-core 2.19 begins the names of its files with.
const FORMAT: &str = "s1_";

/// The key under which facts stand in a file.
const PAYLOAD: &str = "__payload__";

/// The fact that says that facts were gathered.
pub(crate) const GATHERED: &str = "_ansible_facts_gathered";

/// A directory of facts.
#[derive(Debug)]
pub(crate) struct FactCache {
    dir: PathBuf,
    prefix: String,
    /// How long facts are good for; nothing is for ever.
    lasts: Option<Duration>,
}

impl FactCache {
    /// The cache that is asked for, and what is to be said about it. Facts that are kept in memory
    /// need none.
    pub(crate) fn of(config: &Config) -> (Option<Self>, Option<String>) {
        let kind = crate::parse::catalog::short(&config.fact_caching.value).to_owned();
        match kind.as_str() {
            "memory" => return (None, None),
            "jsonfile" => {}
            other => {
                let text = format!(
                    "facts are not kept: the fact cache `{other}` is not supported; `jsonfile` is"
                );
                return (None, Some(text));
            }
        }
        let Some(dir) = config.fact_caching_connection.value.clone() else {
            let text = "error, 'jsonfile' cache plugin requires the 'fact_caching_connection' config option to be set (to a writeable directory path)";
            return (None, Some(text.to_owned()));
        };
        let dir = PathBuf::from(dir);
        if let Err(error) = std::fs::create_dir_all(&dir) {
            let text = format!("facts are not kept: cannot make `{}`: {error}", dir.display());
            return (None, Some(text));
        }
        let seconds = u64::try_from(config.fact_caching_timeout.value).unwrap_or(0);
        let lasts = (seconds > 0).then(|| Duration::from_secs(seconds));
        let prefix = config.fact_caching_prefix.value.clone().unwrap_or_default();
        (Some(Self { dir, prefix, lasts }), None)
    }

    fn file(&self, host: &str) -> PathBuf {
        self.dir.join(format!("{}{FORMAT}{host}", self.prefix))
    }

    /// The facts of a host, if they are there and still good.
    pub(crate) fn read(&self, host: &str, clock: &dyn Clock) -> Option<Dict> {
        let file = self.file(host);
        if self.is_over(&file, clock) {
            return None;
        }
        let text = std::fs::read_to_string(file).ok()?;
        let outer: Json = serde_json::from_str(&text).ok()?;
        let facts: Json = serde_json::from_str(outer.get(PAYLOAD)?.as_str()?).ok()?;
        unmarked(&facts).as_dict().cloned()
    }

    fn is_over(&self, file: &Path, clock: &dyn Clock) -> bool {
        let Some(lasts) = self.lasts else { return false };
        let Some(written) = std::fs::metadata(file).ok().and_then(|meta| meta.modified().ok())
        else {
            return false;
        };
        let written = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(clock.now().as_second()).unwrap_or(0);
        Duration::from_secs(now) > written + lasts
    }

    /// Writes the facts of a host, whole or not at all.
    ///
    /// # Errors
    /// With a sentence, when they cannot be written.
    pub(crate) fn write(&self, host: &str, facts: &Dict) -> Result<(), String> {
        let facts: Map<String, Json> =
            facts.iter().map(|(key, value)| (key.to_json_key(), marked(value))).collect();
        let text = json!({ PAYLOAD: Json::Object(facts).to_string() }).to_string();
        let file = self.file(host);
        let fresh = self.dir.join(format!(".{}{host}.{}", self.prefix, std::process::id()));
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file));
        written.map_err(|error| {
            format!("the facts of `{host}` were not kept in `{}`: {error}", file.display())
        })
    }

    /// Forgets the facts of a host.
    pub(crate) fn forget(&self, host: &str) {
        // Facts that are not there are as good as forgotten.
        drop(std::fs::remove_file(self.file(host)));
    }
}

/// Text that a playbook says, as Ansible marks it.
const OWN: &str = "TrustedAsTemplate";

/// A value as JSON, with a mark at text that a playbook says.
fn marked(value: &Value) -> Json {
    match value {
        Value::Str(text) if text.is_own() => json!({
            "value": &**text,
            "tags": [{ "__ansible_type": OWN }],
            "__ansible_type": "_AnsibleTaggedStr",
        }),
        _ => match (value.as_list(), value.as_dict()) {
            (Some(items), _) => items.iter().map(marked).collect(),
            (None, Some(entries)) => Json::Object(
                entries.iter().map(|(key, value)| (key.to_json_key(), marked(value))).collect(),
            ),
            (None, None) => value.to_json(),
        },
    }
}

/// The value behind marks; a template that a playbook says is one again.
fn unmarked(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::list(items.iter().map(unmarked).collect()),
        Json::Object(entries) if entries.contains_key("__ansible_type") => {
            let own = entries
                .get("tags")
                .and_then(Json::as_array)
                .is_some_and(|tags| tags.iter().any(|tag| tag["__ansible_type"] == OWN));
            match entries.get("value") {
                Some(Json::String(text)) if own => Value::trusted(text, None),
                Some(value) => unmarked(value),
                None => Value::None,
            }
        }
        Json::Object(entries) => Value::dict(
            entries.iter().map(|(key, value)| (Key::str(key), unmarked(value))).collect(),
        ),
        other => Value::from(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_base::{FixedClock, Timestamp};

    fn cache(dir: &Path, lasts: Option<Duration>) -> FactCache {
        FactCache { dir: dir.to_path_buf(), prefix: "p_".to_owned(), lasts }
    }

    #[test]
    fn facts_come_back_and_text_of_a_playbook_stays_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), None);
        let clock = FixedClock(Timestamp::UNIX_EPOCH);
        let facts = Value::dict_of([
            ("a", Value::trusted("said here", None)),
            ("b", Value::list(vec![Value::Int(1), Value::str("{{ from a host }}")])),
        ]);
        cache.write("h", facts.as_dict().unwrap()).unwrap();
        assert!(dir.path().join("p_s1_h").is_file());
        let back = Value::dict(cache.read("h", &clock).unwrap());
        assert_eq!(back, facts);
        assert!(matches!(back.get("a"), Some(Value::Str(text)) if text.is_own()));
        assert!(!back.get("b").unwrap().is_lazy(), "what a host said is data");
        cache.forget("h");
        assert_eq!(cache.read("h", &clock), None);
    }

    #[test]
    fn facts_are_good_for_a_while_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), Some(Duration::from_secs(60)));
        cache.write("h", &Dict::new()).unwrap();
        let later = |seconds: i64| {
            let written = std::fs::metadata(dir.path().join("p_s1_h")).unwrap().modified().unwrap();
            let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            FixedClock(Timestamp::from_second(i64::try_from(written).unwrap() + seconds).unwrap())
        };
        assert!(cache.read("h", &later(30)).is_some());
        assert!(cache.read("h", &later(90)).is_none());
    }

    // Written by ansible-core 2.19.14 on 2026-11-22.
    #[test]
    fn what_ansible_wrote_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"__payload__": "{\"n\": 1, \"cf\": {\"value\": \"a\", \"tags\": [{\"path\": \"/fc.yml\", \"line_num\": 5, \"col_num\": 13, \"__ansible_type\": \"Origin\"}, {\"__ansible_type\": \"TrustedAsTemplate\"}], \"__ansible_type\": \"_AnsibleTaggedStr\"}}"}"#;
        std::fs::write(dir.path().join("p_s1_h"), text).unwrap();
        let clock = FixedClock(Timestamp::UNIX_EPOCH);
        let facts = Value::dict(cache(dir.path(), None).read("h", &clock).unwrap());
        assert_eq!(facts.repr(), "{'n': 1, 'cf': 'a'}");
    }
}
