//! Images by their names and ids, and how they come here.

use super::compare::same;
use super::{Docker, FOREVER, Refusal, auth, documents, quoted};
use crate::args::text_of;
use crate::json;
use crate::outcome::{Fault, fail};
use serde_json::{Value, json};

/// Whether this is the id of an image and no name.
pub(super) fn is_id(name: &str) -> bool {
    name.strip_prefix("sha256:")
        .is_some_and(|rest| rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A name without its tag or digest, and that.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = name.rsplit_once('@') {
        return (repository, Some(digest));
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

impl Docker<'_> {
    /// The image of this id.
    pub(super) fn image_by_id(&self, id: &str) -> Result<Option<Value>, Fault> {
        match self.get(format!("/images/{}/json", quoted(id)), &[]) {
            Ok(image) => Ok(Some(image)),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(fail!("Error inspecting image ID {id} - {refusal}")),
        }
    }

    /// The image of this name and tag, by whichever of the names that mean the same it is known.
    pub(super) fn image(&self, name: &str, tag: &str) -> Result<Option<Value>, Fault> {
        if name.is_empty() {
            return Ok(None);
        }
        let mut found = self.listed(name, tag)?;
        if found.is_empty() {
            let (registry, repository) = auth::registry(name)?;
            if registry == "docker.io" {
                found = self.listed(&repository, tag)?;
                if let (true, Some(short)) = (found.is_empty(), repository.strip_prefix("library/"))
                {
                    found = self.listed(short, tag)?;
                }
                if found.is_empty() {
                    found = self.listed(&format!("{registry}/{repository}"), tag)?;
                }
                if found.is_empty() && !repository.contains('/') {
                    found = self.listed(&format!("{registry}/library/{repository}"), tag)?;
                }
            }
        }
        let id = match found.as_slice() {
            [] => return Ok(None),
            [one] => text_of(&one["Id"]),
            _ => return Err(fail!("Daemon returned more than one result for {name}:{tag}")),
        };
        match self.get(format!("/images/{}/json", quoted(&id)), &[]) {
            Ok(image) => Ok(Some(image)),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(fail!("Error inspecting image {name}:{tag} - {refusal}")),
        }
    }

    /// What the daemon lists under exactly this name, and with this tag or digest if there is one.
    fn listed(&self, name: &str, tag: &str) -> Result<Vec<Value>, Fault> {
        let filters = json::python(&json!({ "reference": [name] }));
        let query = [("only_ids", "0"), ("all", "0"), ("filters", filters.as_str())];
        let all = self
            .get("/images/json".to_owned(), &query)
            .map_err(|refusal| fail!("Error searching for image {name} - {refusal}"))?;
        let all = all.as_array().cloned().unwrap_or_default();
        if tag.is_empty() {
            return Ok(all);
        }
        let (tagged, digest) = (format!("{name}:{tag}"), format!("{name}@{tag}"));
        let among = |names: &Value, wanted: &str| {
            names.as_array().into_iter().flatten().any(|known| *known == *wanted)
        };
        let found = all.into_iter().find(|image| {
            among(&image["RepoTags"], &tagged) || among(&image["RepoDigests"], &digest)
        });
        Ok(found.into_iter().collect())
    }

    /// Has an image brought here. Returns it, and whether it was here already.
    pub(super) fn pull(
        &self,
        name: &str,
        tag: &str,
        platform: Option<&str>,
    ) -> Result<(Option<Value>, bool), Fault> {
        let before = self.image(name, tag)?;
        let (repository, named) = split(name);
        let tag_or = if tag.is_empty() { named.unwrap_or("latest") } else { tag };
        let (registry, _) = auth::registry(repository)?;
        let mut query = vec![("tag", tag_or), ("fromImage", repository)];
        query.extend(platform.map(|platform| ("platform", platform)));
        let mut call = self.call("POST", "/images/create".to_owned(), &query);
        call.timeout = FOREVER;
        if let Some(header) = auth::header(&registry, self.ctx)? {
            call.headers.push(("X-Registry-Auth".to_owned(), header));
        }
        let lines = self
            .ask(&call)
            .and_then(|response| documents(&response))
            .map_err(|refusal| fail!("Error pulling image {name}:{tag} - {refusal}"))?;
        failed(&lines).map_err(|why| match why {
            Told::Detail { code, message } => {
                fail!("Error pulling {name} - code: {code} message: {message}")
            }
            Told::Line(line) => fail!("Error pulling {name} - {line}"),
        })?;
        let after = self.image(name, tag)?;
        let same = match (&before, &after) {
            (Some(before), Some(after)) => same(&timeless(before), &timeless(after)),
            (before, after) => before.is_none() && after.is_none(),
        };
        Ok((after, same))
    }

    /// Has an image removed, or only its name. One that is gone meanwhile is removed.
    pub(super) fn remove_image(&self, name: &str, force: bool) -> Result<(), Refusal> {
        let force = if force { "True" } else { "False" };
        match self.delete(format!("/images/{}", quoted(name)), &[("force", force)]) {
            Err(refusal) if !refusal.is_missing() => Err(refusal),
            _ => Ok(()),
        }
    }
}

/// How a stream tells that it failed.
pub(super) enum Told {
    Detail { code: String, message: String },
    Line(String),
}

/// What a stream of progress says that went wrong.
pub(super) fn failed(lines: &[Value]) -> Result<(), Told> {
    for line in lines {
        let error = &line["error"];
        if error.is_null() || *error == "" {
            continue;
        }
        return Err(match &line["errorDetail"] {
            Value::Object(detail) if !detail.is_empty() => Told::Detail {
                code: text_of(&line["errorDetail"]["code"]),
                message: text_of(&line["errorDetail"]["message"]),
            },
            _ => Told::Line(text_of(error)),
        });
    }
    Ok(())
}

/// An image without what changes when it is looked at again.
fn timeless(image: &Value) -> Value {
    let mut image = image.clone();
    if let Some(map) = image.as_object_mut() {
        map.shift_remove("Metadata");
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_tags_or_digests() {
        for (name, repository, tag) in [
            ("busybox", "busybox", None),
            ("busybox:1.36", "busybox", Some("1.36")),
            ("host:5000/app", "host:5000/app", None),
            ("host:5000/app:2", "host:5000/app", Some("2")),
            ("a/b@sha256:0f", "a/b", Some("sha256:0f")),
        ] {
            assert_eq!(split(name), (repository, tag), "{name}");
        }
        assert!(is_id(&format!("sha256:{}", "0f".repeat(32))));
        assert!(!is_id("sha256:0f"));
    }

    #[test]
    fn a_stream_tells_what_went_wrong() {
        assert!(failed(&[json!({ "status": "Pulling" })]).is_ok());
        let lines = [json!({ "error": "no", "errorDetail": { "message": "not there" } })];
        let Err(Told::Detail { code, message }) = failed(&lines) else { panic!("nothing told") };
        assert_eq!((code.as_str(), message.as_str()), ("None", "not there"));
        assert!(
            matches!(failed(&[json!({ "error": "no" })]), Err(Told::Line(line)) if line == "no")
        );
    }
}
