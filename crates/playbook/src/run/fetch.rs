//! `fetch`: a file of a host is brought here.

use super::actions::done;
use super::content::{Here, checksums_of};
use super::execute::{Call, Crew};
use super::outcome::{failed, flag, put};
use crate::template::{Checksums, Interp, checksums, expand_user};
use crate::value::{Dict, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::{self, Seek as _};
use std::path::{Component, Path, PathBuf};

/// A file of a host.
struct Source {
    /// What it is called, which decides where it goes here.
    path: String,
    content: Far,
}

/// What is in a file of a host.
enum Far {
    /// The module has read it.
    Read(Vec<u8>),
    /// It is there for the session to read, under its full name; and its checksum, where the host
    /// tells.
    There(String, Option<String>),
}

impl Crew<'_> {
    pub(super) async fn fetch(&self, call: &Call<'_>) -> Dict {
        if call.check {
            let mut result = done(false);
            put(&mut result, "skipped", true);
            put(&mut result, "msg", Value::str("check mode not (yet) supported for this module"));
            return result;
        }
        let (src, dest) = match (call.args.get("src"), call.args.get("dest")) {
            (None | Some(Value::None), _) | (_, None | Some(Value::None)) => {
                return failed("src and dest are required");
            }
            (Some(Value::Str(src)), Some(Value::Str(dest))) => (src.to_string(), dest.to_string()),
            (Some(Value::Str(_)), _) => {
                return failed("Invalid type supplied for dest option, it must be a string");
            }
            _ => return failed("Invalid type supplied for source option, it must be a string"),
        };
        let source = match self.remote_file(call, &src).await {
            Ok(source) => source,
            Err(result) => return result,
        };
        match self.place(call, &dest, &source.path) {
            Ok(place) => match self.kept(call, &source, &place).await {
                Ok(result) | Err(result) => result,
            },
            Err(why) => failed(why),
        }
    }

    /// Has the file here, and says so.
    async fn kept(&self, call: &Call<'_>, source: &Source, place: &Path) -> Result<Dict, Dict> {
        let cannot = |error: io::Error| {
            failed(format!("Failed to fetch the file: {}: {error}", place.display()))
        };
        let here = checksums_of(place).ok();
        let there = match (&source.content, &here) {
            (Far::There(_, Some(sum)), Some(here)) if here.sha1 == *sum => here.clone(),
            (Far::There(path, _), _) => {
                let session = self.session(call).await?;
                let folder = place.parent().unwrap_or(Path::new("/"));
                fs::create_dir_all(folder).map_err(cannot)?;
                // What is here stays until all of the other has come.
                let mut part = tempfile::tempfile_in(folder).map_err(cannot)?;
                let copy = part.try_clone().map_err(cannot)?;
                let got = session.get(path, &mut Here(copy)).await;
                got.map_err(|error| failed(updraft_base::chain(&error)))?;
                part.rewind().map_err(cannot)?;
                let there = checksums(&part).map_err(cannot)?;
                if here.as_ref() != Some(&there) {
                    part.rewind().map_err(cannot)?;
                    let written =
                        fs::File::create(place).and_then(|mut file| io::copy(&mut part, &mut file));
                    written.map_err(cannot)?;
                }
                there
            }
            (Far::Read(content), _) => {
                let there = checksums(content.as_slice()).map_err(cannot)?;
                if here.as_ref() != Some(&there) {
                    let folder = place.parent().map_or(Ok(()), fs::create_dir_all);
                    folder.and_then(|()| fs::write(place, content)).map_err(cannot)?;
                }
                there
            }
        };
        let same = here.as_ref() == Some(&there);
        let mut result = done(!same);
        put(&mut result, "dest", Value::from(place.display().to_string()));
        let Checksums { sha1, md5 } = there;
        put(&mut result, "checksum", Value::from(sha1.clone()));
        put(&mut result, "md5sum", Value::from(md5));
        if same {
            put(&mut result, "file", Value::str(&source.path));
        } else {
            put(&mut result, "remote_checksum", Value::from(sha1));
            put(&mut result, "remote_md5sum", Value::None);
        }
        Ok(result)
    }

    /// What is in a file of the host; or the result that says why it cannot be had.
    async fn remote_file(&self, call: &Call<'_>, src: &str) -> Result<Source, Dict> {
        let must = call.args.get("fail_on_missing").and_then(Value::as_boolean).unwrap_or(true);
        let (_, context) = self.worker(call);
        let other = self
            .become_user(call, &context)
            .map_err(|fault| failed(format!("Task failed: {}", fault.what)))?;
        // The session reads as who connects; as another user the module reads.
        if other.is_none() {
            let stat = self.looked_at(call, src, must).await?;
            let is = |name: &str| stat.get(name).is_some_and(Value::is_true);
            if is("isdir") {
                return Err(directory(must));
            }
            if is("exists") && is("readable") {
                let there = stat.get("path").and_then(Value::as_str).unwrap_or(src);
                let sum = stat.get("checksum").and_then(Value::as_str).map(str::to_owned);
                let path = named(src, there);
                return Ok(Source { path, content: Far::There(there.to_owned(), sum) });
            }
        }
        let mut args = Dict::new();
        put(&mut args, "src", Value::str(src));
        let mut slurped = self.legacy(call, "slurp", &args).await;
        if flag(&slurped, "unreachable") {
            return Err(slurped);
        }
        if flag(&slurped, "failed") {
            let msg = slurped.get("msg").map(Value::to_text).unwrap_or_default();
            slurped.shift_remove(updraft_spec::CAUSE);
            let mut result = if must { slurped } else { done(false) };
            if msg.contains("not found") {
                let why = "the remote file does not exist, not transferring, ignored";
                put(&mut result, "msg", Value::str(why));
            } else if msg.to_lowercase().starts_with("source is a directory") {
                let why = "remote file is a directory, fetch cannot work on directories";
                put(&mut result, "msg", Value::str(why));
            }
            if !must {
                put(&mut result, "file", Value::str(src));
            }
            return Err(result);
        }
        let text = slurped.shift_remove("content").unwrap_or_default();
        let content = STANDARD
            .decode(text.as_str().unwrap_or_default().as_bytes())
            .map_err(|error| failed(format!("slurp answered something else: {error}")))?;
        let there = slurped.get("source").and_then(Value::as_str).unwrap_or(src);
        Ok(Source { path: named(src, there), content: Far::Read(content) })
    }

    /// What `stat` says of a file, links followed.
    async fn looked_at(&self, call: &Call<'_>, src: &str, must: bool) -> Result<Value, Dict> {
        let mut args = Dict::new();
        put(&mut args, "path", Value::str(src));
        put(&mut args, "follow", true);
        put(&mut args, "get_mime", false);
        put(&mut args, "get_attributes", false);
        put(&mut args, "get_checksum", true);
        let stat = self.module(call, "stat", &args).await;
        if flag(&stat, "unreachable") {
            return Err(stat);
        }
        if flag(&stat, "failed") {
            let msg = stat.get("msg").map(Value::to_text).unwrap_or_default();
            let msg = format!("Failed to get information on remote file ({src}): {msg}");
            let mut result = if must { failed(&msg) } else { done(false) };
            let ignored = if must { "" } else { ", ignored" };
            put(&mut result, "msg", Value::from(format!("{msg}{ignored}")));
            put(&mut result, "file", Value::str(src));
            return Err(result);
        }
        Ok(stat.get("stat").cloned().unwrap_or_default())
    }

    /// Where the file goes here.
    fn place(&self, call: &Call<'_>, dest: &str, source: &str) -> Result<PathBuf, String> {
        let flat = call.args.get("flat").and_then(Value::as_boolean).unwrap_or(false);
        let dest = expand_user(&Interp::new(call.context), dest);
        let full = call.scope.play.dir.join(&dest);
        let full = std::path::absolute(&full).unwrap_or(full);
        if !flat {
            let below = source.trim_start_matches('/');
            return Ok(normal(&full.join(&call.scope.host.name).join(below)));
        }
        if !dest.ends_with('/') {
            if full.is_dir() {
                return Err("dest is an existing directory, use a trailing slash if you want to fetch src into that directory".to_owned());
            }
            return Ok(normal(&full));
        }
        let full = full.join(source.rsplit('/').next().unwrap_or_default());
        if full.is_dir() {
            return Err(format!(
                "calculated dest '{}' is an existing directory, use another path that does not point to an existing directory",
                full.display()
            ));
        }
        Ok(normal(&full))
    }
}

/// The name of a file, which decides where it goes here. A host is asked only for what `~` means to
/// it, and is not believed when that leads elsewhere.
fn named(src: &str, there: &str) -> String {
    let below = Path::new(there).components().all(|part| part != Component::ParentDir);
    if src.starts_with('~') && below { there } else { src }.to_owned()
}

/// Where a directory stands in the place of a file.
fn directory(must: bool) -> Dict {
    let msg = "remote file is a directory, fetch cannot work on directories";
    if must {
        return failed(msg);
    }
    let mut result = done(false);
    put(&mut result, "msg", Value::from(format!("{msg}, not transferring, ignored")));
    result
}

/// A path without `.` and `..`, as it is written; links are not asked.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_a_host_stays_below_where_it_was_to_go() {
        assert_eq!(normal(Path::new("/out/web/../web/./etc/x")), Path::new("/out/web/etc/x"));
        assert_eq!(normal(Path::new("/a/../../b")), Path::new("/b"));
        assert_eq!(named("/etc/x", "/etc/../../y"), "/etc/x");
        assert_eq!(named("~/x", "/home/a/x"), "/home/a/x");
        assert_eq!(named("~/x", "/home/../../y"), "~/x");
    }
}
