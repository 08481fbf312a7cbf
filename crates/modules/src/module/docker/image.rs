//! `docker_image`: an image that is here, under these names, or is not.
//!
//! Building one and pushing it stay with Ansible's module.

use super::images;
use super::{Docker, FOREVER, Version, beyond, documents, quoted};
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail, numbered};
use crate::process::Cmd;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if args.flag("push") || args.raw("build").is_some() || args.text("source") == "build" {
        return Err(beyond("building or pushing an image"));
    }
    let docker = Docker::connect(args, ctx)?;
    let platform = args.raw("pull").and_then(|pull| pull["platform"].as_str());
    docker.require(&[("pull.platform", Version(1, 32), platform.is_some())])?;
    let tag = args.text("tag");
    if !is_tag(tag) {
        return Err(fail!("\"{tag}\" is not a valid docker tag!"));
    }
    let (mut name, mut tag) = (args.text("name"), tag);
    // A tag in the name counts for more than one beside it.
    if !images::is_id(name)
        && let (repository, Some(named)) = images::split(name)
        && !named.is_empty()
    {
        (name, tag) = (repository, named);
    }
    if let Some(repository) = args.str("repository").filter(|repository| images::is_id(repository))
    {
        return Err(fail!("`repository` must not be an image ID; got: {repository}"));
    }
    let mut work = Work {
        args,
        ctx,
        docker,
        name,
        tag,
        platform,
        actions: Vec::new(),
        changed: false,
        image: json!({}),
        warnings: Vec::new(),
    };
    match args.text("state") {
        "absent" => work.absent()?,
        _ => work.present()?,
    }
    Ok(Outcome::changed(work.changed)
        .with("actions", work.actions)
        .with("image", work.image)
        .with("warnings", work.warnings))
}

/// Whether this may be a tag; nothing is one, too.
fn is_tag(tag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128
        && tag.chars().next().is_none_or(plain)
        && tag.chars().all(|c| plain(c) || matches!(c, '.' | '-'))
}

/// What a task does to one image, and what it tells of that.
struct Work<'a> {
    args: &'a Args,
    ctx: &'a Context,
    docker: Docker<'a>,
    name: &'a str,
    /// Nothing stands for none.
    tag: &'a str,
    platform: Option<&'a str>,
    actions: Vec<Value>,
    changed: bool,
    image: Value,
    warnings: Vec<Value>,
}

impl Work<'_> {
    fn find(&self) -> Result<Option<Value>, Fault> {
        if images::is_id(self.name) {
            return self.docker.image_by_id(self.name);
        }
        self.docker.image(self.name, self.tag)
    }

    /// The image's name as people write it.
    fn full(&self) -> String {
        match (images::is_id(self.name), self.tag) {
            (true, _) | (_, "") => self.name.to_owned(),
            (false, tag) => format!("{}:{tag}", self.name),
        }
    }

    fn absent(&mut self) -> Result<(), Fault> {
        if self.find()?.is_none() {
            return Ok(());
        }
        let name = self.full();
        if !self.ctx.check {
            self.docker
                .remove_image(&name, self.args.flag("force_absent"))
                .map_err(|refusal| fail!("Error removing image {name} - {refusal}"))?;
        }
        self.changed = true;
        self.actions.push(format!("Removed image {name}").into());
        self.image = json!({ "state": "Deleted" });
        Ok(())
    }

    fn present(&mut self) -> Result<(), Fault> {
        let found = self.find()?;
        let missing = found.is_none() || self.args.flag("force_source");
        match self.args.text("source") {
            _ if !missing => {}
            "load" => self.load()?,
            "pull" => self.pull()?,
            _ if found.is_none() => {
                return Err(fail!("Cannot find the image {} locally.", self.full()));
            }
            // What is asked of one that is here by force, is nothing: Python falls over it.
            _ => return Err(beyond("an image that is here, by force,")),
        }
        if let Some(found) = found {
            if !missing {
                self.image = found;
            } else if !self.ctx.check && found["Id"] == self.image["Id"] {
                self.changed = false;
            }
        }
        if let Some(path) = self.args.str("archive_path") {
            self.archive(Path::new(path))?;
        }
        match self.args.str("repository").filter(|repository| !repository.is_empty()) {
            Some(repository) => self.name_it(repository),
            None => Ok(()),
        }
    }

    fn pull(&mut self) -> Result<(), Fault> {
        let (name, tag) = (self.name, self.tag);
        if images::is_id(name) {
            return Err(fail!("Image name must not be an image ID for source=pull; got: {name}"));
        }
        self.actions.push(format!("Pulled image {name}:{tag}").into());
        self.changed = true;
        if !self.ctx.check {
            let (image, _) = self.docker.pull(name, tag, self.platform)?;
            self.image = image.unwrap_or_default();
        }
        Ok(())
    }

    fn load(&mut self) -> Result<(), Fault> {
        let (name, path) = (self.name, self.args.text("load_path"));
        if !Path::new(path).is_file() {
            return Err(fail!("Error loading image {name}. Specified path {path} does not exist."));
        }
        self.actions.push(format!("Loaded image {} from {path}", self.full()).into());
        self.changed = true;
        if !self.ctx.check {
            self.take_in(path)?;
            self.image = self.find()?.unwrap_or_default();
        }
        Ok(())
    }

    /// Has the daemon read an archive, and sees that it brought what was asked for.
    fn take_in(&mut self, path: &str) -> Result<(), Fault> {
        let name = self.name;
        let mut call = self.docker.call("POST", "/images/load".to_owned(), &[]);
        call.upload = Some(PathBuf::from(path));
        let lines =
            self.docker.ask(&call).and_then(|answer| documents(&answer)).map_err(|refusal| {
                fail!("Error loading image {name} - {refusal}").with("stdout", "")
            })?;
        let told: Vec<String> = lines
            .iter()
            .filter_map(|line| [&line["stream"], &line["status"]].into_iter().find_map(said))
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let mut named = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for line in &told {
            if let Some(image) = line.strip_prefix("Loaded image:") {
                named.insert(image.trim().to_owned());
            }
            if let Some(id) = line.strip_prefix("Loaded image ID:") {
                ids.insert(id.trim().to_lowercase());
            }
        }
        let stdout = told.join("\n");
        if named.is_empty() && ids.is_empty() {
            let message = "Detected no loaded images. Archive potentially corrupt?";
            return Err(Fault::new(message).with("stdout", stdout));
        }
        let (wanted, there) = if images::is_id(name) {
            let id = name.to_lowercase();
            let there = ids.contains(&id);
            (id, there)
        } else {
            let full = format!("{name}:{}", self.tag);
            let there = named.contains(&full);
            (full, there)
        };
        let list = |named: &BTreeSet<String>| {
            let mut all: Vec<String> = named.iter().map(|name| format!("'{name}'")).collect();
            all.extend(ids.iter().cloned());
            all.sort();
            all.join(", ")
        };
        if !there {
            return Err(fail!(
                "The archive did not contain image '{wanted}'. Instead, found {}.",
                list(&named)
            )
            .with("stdout", stdout));
        }
        if images::is_id(name) {
            // Python looks for the id among the names, and falls over it.
            return Err(fail!("{}", crate::args::repr(&wanted.into())));
        }
        named.remove(&wanted);
        if !named.is_empty() {
            self.warnings.push(
                format!("The archive contained more images than specified: {}", list(&named))
                    .into(),
            );
        }
        Ok(())
    }

    /// Writes the image to a file, unless it is there already.
    fn archive(&mut self, path: &Path) -> Result<(), Fault> {
        let tag = if self.tag.is_empty() { "latest" } else { self.tag };
        let (image, name) = if images::is_id(self.name) {
            (self.docker.image_by_id(self.name)?, self.name.to_owned())
        } else {
            (self.docker.image(self.name, tag)?, format!("{}:{tag}", self.name))
        };
        let Some(image) = image else { return Ok(()) };
        let shown = path.display();
        let why = match archived(path, self.ctx)? {
            Archive::None => Some("since none present".to_owned()),
            Archive::Unreadable => Some("overwriting an unreadable archive file".to_owned()),
            Archive::Image { id, names } => {
                if image["Id"] == *format!("sha256:{id}") && names == [name.clone()] {
                    None
                } else {
                    let names = names.join(", ");
                    Some(format!("overwriting archive with image {id} named {names}"))
                }
            }
        };
        self.changed = why.is_some();
        if let Some(why) = why {
            self.actions.push(format!("Archived image {name} to {shown}, {why}").into());
            if !self.ctx.check {
                let mut call =
                    self.docker.call("GET", format!("/images/{}/get", quoted(&name)), &[]);
                call.timeout = FOREVER;
                let answer = self
                    .docker
                    .ask(&call)
                    .map_err(|refusal| fail!("Error getting image {name} - {refusal}"))?;
                let write = || -> io::Result<u64> {
                    let mut from = File::open(answer.body.path())?;
                    io::copy(&mut from, &mut File::create(path)?)
                };
                write().map_err(|error| {
                    let why = numbered(&error);
                    fail!("Error writing image archive {shown} - {why}: '{shown}'")
                })?;
            }
        }
        self.image = image;
        Ok(())
    }

    /// Gives the image another name.
    fn name_it(&mut self, repository: &str) -> Result<(), Fault> {
        let (repository, tag) = images::split(repository);
        let tag = match tag.unwrap_or(self.tag) {
            "" => "latest",
            tag => tag,
        };
        let found = self.docker.image(repository, tag)?;
        if found.is_some() && !self.args.flag("force_tag") {
            return Ok(());
        }
        let name = match (images::is_id(self.name), self.tag) {
            (false, own) if !own.is_empty() && !self.name.ends_with(&format!(":{own}")) => {
                format!("{}:{own}", self.name)
            }
            _ => self.name.to_owned(),
        };
        self.changed = true;
        self.actions.push(format!("Tagged image {name} to {repository}:{tag}").into());
        if self.ctx.check {
            return Ok(());
        }
        let query = [("tag", tag), ("repo", repository), ("force", "True")];
        self.docker
            .post(format!("/images/{}/tag", quoted(&name)), &query)
            .map_err(|refusal| fail!("Error: failed to tag image - {refusal}"))?;
        self.image = self.docker.image(repository, tag)?.unwrap_or_default();
        if found.is_some_and(|found| found["Id"] == self.image["Id"]) {
            self.changed = false;
        }
        Ok(())
    }
}

fn said(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// What lies where an archive is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Archive {
    None,
    Unreadable,
    Image { id: String, names: Vec<String> },
}

fn archived(path: &Path, ctx: &Context) -> Result<Archive, Fault> {
    if !path.is_file() {
        return Ok(Archive::None);
    }
    let tar = ctx.required("tar")?;
    let cmd = Cmd::new(&tar).args(["--extract", "--to-stdout", "--file"]);
    let ran = cmd.arg(path.display().to_string()).arg("manifest.json").run(ctx);
    let Ok(ran) = ran else { return Err(beyond("reading an archive")) };
    Ok(if ran.success() { manifest(&ran.stdout) } else { Archive::Unreadable })
}

/// What the manifest of an archive of one image says.
fn manifest(bytes: &[u8]) -> Archive {
    let one = || -> Option<Archive> {
        let all: Vec<Map<String, Value>> = serde_json::from_slice(bytes).ok()?;
        let [one] = all.as_slice() else { return None };
        let config = one.get("Config")?.as_str()?;
        let id = match config.rsplit_once('.') {
            Some((id, end)) if !end.contains('/') && !id.is_empty() => id,
            _ => config,
        };
        let id = id.strip_prefix("blobs/sha256/").unwrap_or(id);
        let names = one.get("RepoTags")?.as_array()?.iter().map(text_of).collect();
        Some(Archive::Image { id: id.to_owned(), names })
    };
    one().unwrap_or(Archive::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words() {
        for (tag, is) in
            [("", true), ("1.36-x_y", true), (".x", false), ("a b", false), ("a:b", false)]
        {
            assert_eq!(is_tag(tag), is, "{tag}");
        }
        assert!(!is_tag(&"x".repeat(129)));
    }

    #[test]
    fn archives_tell_what_they_hold() {
        for (text, expected) in [
            (
                r#"[{"Config":"0f.json","RepoTags":["a:1"]}]"#,
                Archive::Image { id: "0f".to_owned(), names: vec!["a:1".to_owned()] },
            ),
            (
                r#"[{"Config":"blobs/sha256/0f","RepoTags":[]}]"#,
                Archive::Image { id: "0f".to_owned(), names: Vec::new() },
            ),
            ("[]", Archive::Unreadable),
            (r#"[{"Config":"0f.json"}]"#, Archive::Unreadable),
            ("x", Archive::Unreadable),
        ] {
            assert_eq!(manifest(text.as_bytes()), expected, "{text}");
        }
    }
}
