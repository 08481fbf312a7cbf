//! Actions that bring files to hosts: `template` and `copy`.

use super::actions::done;
use super::content::Content;
use super::execute::{Call, Crew};
use super::failure::unrendered;
use super::outcome::{UNEXPECTED, failed, flag, put};
use super::tree::Tree;
use crate::template::{Context, Dialect, Interp, Syntax, encode, find_file, not_found};
use crate::value::{Dict, Key, Value};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use updraft_wire::{SAME, SEND};

/// Arguments of `template` that are ours alone.
const OURS: &[&str] = &[
    "src",
    "newline_sequence",
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "trim_blocks",
    "lstrip_blocks",
    "output_encoding",
];

/// What 2.19 says of a file that is nowhere on this side: each action has its own way to it.
fn nowhere(call: &Call<'_>, what: &str) -> String {
    match (call.context.world.dialect, call.module) {
        (Dialect::Core219, "copy") => format!("{UNEXPECTED}{what}"),
        (Dialect::Core219, "unarchive" | "assemble") => format!("Task failed: {what}"),
        _ => what.to_owned(),
    }
}

/// Which template file failed, and in which line; 0 where that is not known. Both are taken out of
/// the result before anybody sees it.
pub(super) const TEMPLATE: &str = "_updraft_template";
pub(super) const TEMPLATE_LINE: &str = "_updraft_template_line";

impl Crew<'_> {
    pub(super) fn local(&self, call: &Call<'_>, subdir: &str, name: &str) -> Result<PathBuf, Dict> {
        let mut interp = Interp::new(call.context);
        match find_file(&mut interp, subdir, name) {
            Ok(Some(path)) => Ok(path),
            Ok(None) => {
                let what = not_found(&mut interp, subdir, name);
                let mut result = failed(nowhere(call, &what));
                if call.context.world.dialect == Dialect::Core214 {
                    put(&mut result, "exception", what);
                }
                Err(result)
            }
            Err(fault) => Err(failed(fault.what)),
        }
    }

    pub(super) async fn template(&self, call: &Call<'_>) -> Dict {
        match self.rendered(call) {
            Ok((content, args)) => self.deliver(call, &Content::Whole(content.into()), args).await,
            Err(result) => result,
        }
    }

    /// What a template gives, and the arguments for `copy`.
    fn rendered(&self, call: &Call<'_>) -> Result<(Vec<u8>, Dict), Dict> {
        let src = call.args.get("src").map(Value::to_text).unwrap_or_default();
        let path = self.local(call, "templates", &src)?;
        let source = read_text(call, &path)?;
        let dest = call.args.get("dest").map(Value::to_text).unwrap_or_default();
        let context = template_context(call, &path, &src, &dest);
        let mut syntax = Syntax::default();
        let text =
            |name: &str| call.args.get(name).filter(|value| !value.is_none()).map(Value::to_text);
        let mark = |name: &str, place: &mut String| {
            if let Some(mark) = text(name).filter(|mark| !mark.is_empty()) {
                *place = mark;
            }
        };
        mark("block_start_string", &mut syntax.block.0);
        mark("block_end_string", &mut syntax.block.1);
        mark("variable_start_string", &mut syntax.variable.0);
        mark("variable_end_string", &mut syntax.variable.1);
        mark("comment_start_string", &mut syntax.comment.0);
        mark("comment_end_string", &mut syntax.comment.1);
        let boolean = |name: &str, default: bool| {
            call.args.get(name).and_then(Value::as_boolean).unwrap_or(default)
        };
        syntax.trim_blocks = boolean("trim_blocks", true);
        syntax.lstrip_blocks = boolean("lstrip_blocks", false);
        if let Some(newline) = text("newline_sequence") {
            syntax.newline = newline.replace("\\n", "\n").replace("\\r", "\r");
        }
        let source = syntax.header(&source).map_err(failed)?;
        let rendered = context.render_text(source, &syntax).map_err(|fault| {
            if call.context.world.dialect == Dialect::Core214 {
                return unrendered(&fault);
            }
            let (what, line) =
                match fault.what.strip_suffix(')').and_then(|it| it.rsplit_once(" (line ")) {
                    Some((what, line)) => (what, line.parse().unwrap_or(0)),
                    None => (fault.what.as_str(), 0),
                };
            let mut result = failed(format!("Task failed: {what}"));
            put(&mut result, TEMPLATE, Value::from(path.display().to_string()));
            put(&mut result, TEMPLATE_LINE, Value::Int(line));
            result
        })?;
        let encoding = text("output_encoding").filter(|name| !name.is_empty());
        let encoding = encoding.unwrap_or_else(|| "utf-8".to_owned());
        let rendered = encode(&rendered, &encoding).map_err(|fault| failed(fault.what))?;
        let mut args: Dict = call
            .args
            .iter()
            .filter(|(key, _)| key.as_str().is_none_or(|name| !OURS.contains(&name)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        preserve_mode(&mut args, &path)?;
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        put(&mut args, "_original_basename", Value::from(name));
        args.entry(Key::str("follow")).or_insert(Value::Bool(false));
        Ok((rendered, args))
    }

    /// Has a file written on the host. Of a failure is told, too, what was to be there.
    pub(super) async fn deliver(&self, call: &Call<'_>, content: &Content, args: Dict) -> Dict {
        let mut result = self.write(call, content, args).await;
        if flag(&result, "failed")
            && !flag(&result, "unreachable")
            && let Ok(sums) = content.checksums()
        {
            result.entry(Key::str("checksum")).or_insert_with(|| Value::from(sums.sha1));
        }
        result
    }

    async fn write(&self, call: &Call<'_>, content: &Content, mut args: Dict) -> Dict {
        if let Some(text) = content.inline() {
            put(&mut args, "content", Value::str(text));
            if call.check {
                name_file(&mut args);
            }
            let result = self.module(call, "copy", &args).await;
            return content_only(if call.check { foreseen(call, result, text) } else { result });
        }
        // It travels only where the file does not hold it yet.
        put(&mut args, SAME, content.digest().to_string());
        let mut result = self.module(call, "copy", &args).await;
        if result.shift_remove(SEND).is_none() {
            return content_only(result);
        }
        args.shift_remove(SAME);
        let session = match self.session(call).await {
            Ok(session) => session,
            Err(result) => return result,
        };
        match content.staged(session.as_ref(), 0o600).await {
            Ok(path) => put(&mut args, "_updraft_staged", Value::from(path)),
            Err(result) => return result,
        }
        match self.request(call, "copy", &args) {
            Ok(request) => content_only(self.ask(session.as_ref(), request).await),
            Err(fault) => failed(fault.what),
        }
    }

    pub(super) async fn copy(&self, call: &Call<'_>) -> Dict {
        let remote = call.args.get("remote_src").and_then(Value::as_boolean).unwrap_or(false);
        let content = call.args.get("content").filter(|content| !content.is_none());
        let src = call.args.get("src").filter(|src| !src.is_none());
        let src = src.filter(|src| src.as_str() != Some(""));
        let dest = call.args.get("dest").map(Value::to_text).unwrap_or_default();
        match (content, src) {
            (None, None) => failed("src (or content) is required"),
            _ if dest.is_empty() => failed("dest is required"),
            (Some(_), Some(_)) => failed("src and content are mutually exclusive"),
            (Some(_), None) if dest.ends_with('/') => {
                failed("can not use content with a dir as dest")
            }
            (Some(content), None) => {
                let text = match content {
                    Value::Str(text) => text.to_string(),
                    Value::Dict(_) | Value::List(_) => crate::value::python_json(
                        &content.to_json(),
                        crate::value::Indent { ascii: true, ..Default::default() },
                    ),
                    other => other.to_text(),
                };
                let mut args = call.args.clone();
                args.shift_remove("content");
                self.deliver(call, &Content::Whole(text.into_bytes().into()), args).await
            }
            (None, Some(_)) if remote => {
                let args = call.args.clone();
                self.module(call, "copy", &args).await
            }
            (None, Some(src)) => {
                let src = src.to_text();
                let path = match self.local(call, "files", src.trim_end_matches('/')) {
                    Ok(path) => path,
                    Err(result) => return result,
                };
                if path.is_dir() {
                    self.copy_tree(call, &path, src.ends_with('/')).await
                } else {
                    let name = path.file_name().map(Path::new).unwrap_or(&path);
                    self.copy_file(call, &path, name, call.args.clone()).await
                }
            }
        }
    }

    /// One file. `name` is what it is called where it goes, below a destination that is a directory.
    async fn copy_file(&self, call: &Call<'_>, path: &Path, name: &Path, mut args: Dict) -> Dict {
        // A file that is encrypted here is put there as what is in it, unless it is told otherwise.
        let decrypt = args.shift_remove("decrypt").and_then(|value| value.as_boolean());
        let content = match Content::of(call, path, decrypt.unwrap_or(true)) {
            Ok(content) => content,
            Err(result) => return result,
        };
        args.shift_remove("src");
        args.shift_remove("local_follow");
        if let Err(result) = preserve_mode(&mut args, path) {
            return result;
        }
        put(&mut args, "_original_basename", Value::from(name.display().to_string()));
        if let Some(wanted) =
            args.shift_remove("checksum").map(|sum| sum.to_text()).filter(|sum| !sum.is_empty())
        {
            let found = match content.checksums() {
                Ok(found) => found.sha1,
                Err(error) => {
                    return failed(format!("cannot read `{}`: {error}", path.display()));
                }
            };
            if wanted != found {
                return failed(format!(
                    "the file has the checksum {found}, `checksum` says {wanted}"
                ));
            }
        }
        self.deliver(call, &content, args).await
    }

    /// A directory with everything in it. With a slash at the end of `src` only what is in it.
    ///
    /// Files come first and make the directories they need, with `directory_mode`; then come the
    /// directories, as they may be empty, and links.
    async fn copy_tree(&self, call: &Call<'_>, root: &Path, contents_only: bool) -> Dict {
        let follow = call.args.get("local_follow").and_then(Value::as_boolean).unwrap_or(true);
        let below = match root.file_name() {
            Some(name) if !contents_only => Path::new(name),
            _ => Path::new(""),
        };
        let tree = match Tree::of(root, below, follow) {
            Ok(tree) => tree,
            Err(error) => return failed(format!("cannot read `{}`: {error}", root.display())),
        };
        let dest = call.args.get("dest").map(Value::to_text).unwrap_or_default();
        let dest = format!("{}/", dest.trim_end_matches('/'));
        let mut changed = false;
        let mut last = Dict::new();
        for (path, name) in &tree.files {
            let mut args = call.args.clone();
            put(&mut args, "dest", Value::str(&dest));
            if !tree.dirs.is_empty() {
                put(&mut args, "follow", false);
            }
            last = self.copy_file(call, path, name, args).await;
            if flag(&last, "failed") || flag(&last, "unreachable") {
                return last;
            }
            changed |= flag(&last, "changed");
        }
        for args in tree.file_tasks(&call.args, &dest) {
            let result = self.module(call, "file", &args).await;
            if flag(&result, "failed") || flag(&result, "unreachable") {
                return result;
            }
            changed |= flag(&result, "changed");
        }
        // Ansible tells how a file changes only where it is the only one.
        let mut result = if tree.files.len() == 1 { last } else { Dict::new() };
        put(&mut result, "changed", changed);
        if tree.files.len() != 1 {
            let slash = if contents_only { "/" } else { "" };
            put(&mut result, "dest", Value::from(dest));
            put(&mut result, "src", Value::from(format!("{}{slash}", root.display())));
        }
        result
    }
}

/// Where the content changes Ansible shows that alone and not how mode and owner follow.
fn content_only(mut result: Dict) -> Dict {
    let Some(parts) = result.get("diff").and_then(Value::as_list) else { return result };
    let is_text = |part: &&Value| part.get("after").is_some_and(|after| after.as_str().is_some());
    let text: Vec<Value> = parts.iter().filter(is_text).cloned().collect();
    if !text.is_empty() && text.len() < parts.len() {
        put(&mut result, "diff", Value::list(text));
    }
    result
}

/// A destination that ends with a slash is the directory of the file: named in full, so that check
/// mode can tell about the file though the directory is not there yet.
fn name_file(args: &mut Dict) {
    let dest = args.get("dest").map(Value::to_text).unwrap_or_default();
    if let (true, Some(name)) =
        (dest.ends_with('/'), args.get("_original_basename").map(Value::to_text))
    {
        put(args, "dest", Value::from(dest + &name));
    }
}

/// In check mode a directory may be missing only because nothing made it. Then the file would be
/// new, which is what Ansible says too.
fn foreseen(call: &Call<'_>, result: Dict, content: &str) -> Dict {
    let msg = result.get("msg").map(Value::to_text).unwrap_or_default();
    if !(flag(&result, "failed")
        && msg.starts_with("Destination directory")
        && msg.ends_with("does not exist"))
    {
        return result;
    }
    let mut foreseen = done(true);
    if call.diff {
        let dest = call.args.get("dest").cloned().unwrap_or_default();
        let diff =
            [("before", Value::str("")), ("after", Value::str(content)), ("after_header", dest)];
        put(&mut foreseen, "diff", Value::dict_of(diff));
    }
    foreseen
}

fn read_text(call: &Call<'_>, path: &Path) -> Result<String, Dict> {
    call.scope.shared.world.vault.read_text(path).map_err(failed)
}

/// `mode: preserve` is the mode the file has here.
fn preserve_mode(args: &mut Dict, path: &Path) -> Result<(), Dict> {
    if args.get("mode").and_then(Value::as_str) != Some("preserve") {
        return Ok(());
    }
    let meta = std::fs::metadata(path)
        .map_err(|error| failed(format!("cannot look at `{}`: {error}", path.display())))?;
    put(args, "mode", Value::from(format!("{:04o}", meta.permissions().mode() & 0o7777)));
    Ok(())
}

/// The name of this computer.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The name of a user of this computer, or the number where there is none.
fn user_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

/// The names that only template files see.
fn template_context(call: &Call<'_>, path: &Path, src: &str, dest: &str) -> Context {
    let full =
        std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string();
    let mut scope = call.scope.with("template_path", Value::str(src));
    let mut add = |name: &str, value: Value| {
        scope.over.insert(Key::str(name), value);
    };
    add("template_fullpath", Value::from(full));
    add("template_destpath", Value::str(dest));
    add("template_host", Value::from(host_name()));
    let meta = std::fs::metadata(path).ok();
    if let Some(meta) = &meta {
        let uid = std::os::unix::fs::MetadataExt::uid(meta);
        add("template_uid", Value::from(user_name(uid)));
    }
    let modified = meta.and_then(|meta| meta.modified().ok());
    if let Some(stamp) = modified.and_then(|time| updraft_base::Timestamp::try_from(time).ok()) {
        let at = stamp.to_zoned(jiff::tz::TimeZone::system()).datetime();
        add("template_mtime", crate::value::Moment::DateTime(at).into_value());
    }
    let now = call.scope.shared.world.clock.now().to_zoned(jiff::tz::TimeZone::system()).datetime();
    add("template_run_date", crate::value::Moment::DateTime(now).into_value());
    // Templates beside this one can be included.
    if let Some(dir) = path.parent() {
        let mut places: Vec<Value> = vec![Value::from(dir.display().to_string())];
        places.extend(
            call.scope.search_path().iter().map(|place| Value::from(place.display().to_string())),
        );
        add("ansible_search_path", Value::list(places));
    }
    scope.context()
}
