//! Who we are to a registry, from what `docker login` left behind.
//!
//! What it says goes to the daemon in a header, and nowhere else. Programs that keep credentials
//! are left to Ansible's module.

use super::beyond;
use crate::context::Context;
use crate::json;
use crate::outcome::{Fault, fail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// The registry of names that name none.
const INDEX: &str = "docker.io";

/// The registry of a repository, and what it is called there.
pub(super) fn registry(repository: &str) -> Result<(String, String), Fault> {
    if repository.contains("://") {
        return Err(fail!(
            "An unexpected Docker error occurred: Repository name cannot contain a scheme ({repository})"
        ));
    }
    let (index, name) = match repository.split_once('/') {
        Some((index, name)) if index.contains(['.', ':']) || index == "localhost" => (index, name),
        _ => (INDEX, repository),
    };
    if index.starts_with('-') || index.ends_with('-') {
        return Err(fail!(
            "An unexpected Docker error occurred: Invalid index name ({index}). Cannot begin or end with a hyphen."
        ));
    }
    Ok((resolved(index), name.to_owned()))
}

/// The name of a registry without the address around it.
fn resolved(index: &str) -> String {
    let bare = index.replace("http://", "").replace("https://", "");
    let host = bare.split('/').next().unwrap_or_default();
    if host == "index.docker.io" { INDEX.to_owned() } else { host.to_owned() }
}

/// The header that tells `registry` who we are, if anything is known.
pub(super) fn header(registry: &str, ctx: &Context) -> Result<Option<String>, Fault> {
    let Some(config) = config(ctx)? else { return Ok(None) };
    if ["credsStore", "credHelpers"].iter().any(|key| is_set(&config[*key])) {
        return Err(beyond("a program that keeps credentials"));
    }
    if !is_set(&config["auths"]) {
        return Ok(None);
    }
    let auths = config["auths"].as_object().ok_or_else(|| beyond("such a config.json"))?;
    let known = auths
        .get_key_value(registry)
        .or_else(|| auths.iter().find(|(index, _)| resolved(index) == registry));
    let Some((index, entry)) = known else { return Ok(None) };
    let said = credentials(index, entry).ok_or_else(|| beyond("such a config.json"))?;
    Ok((!said.is_empty()).then(|| URL_SAFE.encode(json::python(&said.into()))))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// What `docker login` wrote.
fn config(ctx: &Context) -> Result<Option<Value>, Fault> {
    let dir = ctx.var("DOCKER_CONFIG").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = ctx.var("HOME").map(PathBuf::from);
    let old = home.as_ref().map(|home| home.join(".dockercfg"));
    let new = dir.or_else(|| home.map(|home| home.join(".docker")));
    for (path, known) in [(new.map(|dir| dir.join("config.json")), true), (old, false)] {
        let Some(Ok(text)) = path.map(std::fs::read_to_string) else { continue };
        let parsed = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
        return match parsed.filter(|_| known) {
            Some(config) => Ok(Some(config)),
            None => Err(beyond("such a file of credentials")),
        };
    }
    Ok(None)
}

/// What a registry is told of this entry.
fn credentials(index: &str, entry: &Value) -> Option<Map<String, Value>> {
    let entry = entry.as_object()?;
    let mut said = Map::new();
    if let Some(token) = entry.get("identitytoken") {
        said.insert("IdentityToken".to_owned(), token.clone());
    } else if let Some(auth) = entry.get("auth") {
        let pair = String::from_utf8(STANDARD.decode(auth.as_str()?).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        said.insert("username".to_owned(), user.into());
        said.insert("password".to_owned(), password.into());
        said.insert("email".to_owned(), entry.get("email").cloned().unwrap_or_default());
        said.insert("serveraddress".to_owned(), index.into());
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn repositories_are_in_registries() {
        for (repository, index, name) in [
            ("busybox", "docker.io", "busybox"),
            ("user/app", "docker.io", "user/app"),
            ("index.docker.io/user/app", "docker.io", "user/app"),
            ("localhost/app", "localhost", "app"),
            ("host:5000/app", "host:5000", "app"),
            ("ghcr.io/a/b", "ghcr.io", "a/b"),
        ] {
            assert_eq!(registry(repository).unwrap(), (index.to_owned(), name.to_owned()));
        }
        assert!(registry("https://x/y").is_err());
        assert!(registry("-.x/y").is_err());
    }

    #[test]
    fn credentials_are_told_as_they_are_kept() {
        let entry = json!({ "auth": "bWU6c2U6Y3JldA==" });
        let said = credentials("host:5000", &entry).unwrap();
        assert_eq!(
            (said["username"].as_str(), said["password"].as_str()),
            (Some("me"), Some("se:cret"))
        );
        assert_eq!(credentials("x", &json!({})).unwrap(), Map::new());
        assert_eq!(credentials("x", &json!({ "auth": "!" })), None);
        assert_eq!(credentials("x", &json!({ "auth": "bWU=" })), None);
    }
}
