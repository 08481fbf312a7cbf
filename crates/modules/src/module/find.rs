//! `find`: files that fit a description.

use crate::accounts;
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::mode::Present;
use crate::module::stat;
use crate::outcome::{Done, Fault, Outcome, fail, plain};
use crate::pattern::{Flags, Pattern, glob};
use crate::place::{self, Algorithm};
use serde_json::{Map, Value};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let mut search = Search::new(args, ctx)?;
    for path in args.list("paths") {
        let root = PathBuf::from(&path);
        if !root.is_dir() {
            search.skip(&path, format!("'{path}' is not a directory"));
            continue;
        }
        if let Err(stop) = search.walk(&root, 1) {
            match stop {
                Stop::Fault(fault) => return Err(fault),
                // The rest of this path is given up.
                Stop::Unreadable(why) => search.skip(&path, why),
            }
        }
    }
    let message = if !search.warnings.is_empty() {
        "Not all paths examined, check warnings for details"
    } else if search.full() {
        "Limit of matches reached"
    } else {
        "All paths examined"
    };
    let matched = search.found.len();
    let mut outcome = Outcome::changed(false)
        .with("files", search.found)
        .with("matched", matched)
        .with("examined", search.examined)
        .with("skipped_paths", search.skipped)
        .with("msg", message);
    if !search.warnings.is_empty() {
        outcome = outcome.with("warnings", search.warnings);
    }
    Ok(outcome)
}

/// Which bytes are text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Any,
}

/// Why a path is not looked through to its end.
enum Stop {
    Fault(Fault),
    /// A file is not text in the encoding it is read with.
    Unreadable(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

enum Names {
    Globs(Vec<String>),
    Patterns(Vec<Pattern>),
}

impl Names {
    fn new(list: Vec<String>, regex: bool) -> Result<Self, Fault> {
        if !regex {
            return Ok(Self::Globs(list));
        }
        // Python's `match` is bound to the beginning of the name.
        let patterns = list.iter().map(|text| Pattern::new(&format!("\\A(?:{text})"), Flags::None));
        Ok(Self::Patterns(patterns.collect::<Result<_, _>>()?))
    }

    fn fit(&self, name: &str) -> Result<bool, Fault> {
        match self {
            Self::Globs(globs) => Ok(globs.iter().any(|pattern| glob(pattern, name))),
            Self::Patterns(patterns) => {
                for pattern in patterns {
                    if pattern.is_match(name.as_bytes())? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

struct Search<'a> {
    args: &'a Args,
    ctx: &'a Context,
    wanted: Names,
    unwanted: Names,
    contains: Option<Pattern>,
    age: Option<i64>,
    size: Option<i64>,
    mode: Option<u32>,
    depth: Option<i64>,
    limit: Option<usize>,
    algorithm: Algorithm,
    charset: Charset,
    now: f64,
    found: Vec<Value>,
    skipped: Map<String, Value>,
    warnings: Vec<String>,
    examined: usize,
}

impl<'a> Search<'a> {
    fn new(args: &'a Args, ctx: &'a Context) -> Result<Self, Fault> {
        let encoding = args.text("encoding");
        let charset = match encoding.to_ascii_lowercase().replace('_', "-").as_str() {
            "" | "utf-8" | "utf8" => Charset::Utf8,
            "ascii" | "us-ascii" => Charset::Ascii,
            // Every byte is a letter.
            "latin-1" | "latin1" | "iso-8859-1" => Charset::Any,
            _ => return Err(Fault::beyond(format!("there is no native find for {encoding}"))),
        };
        let regex = args.flag("use_regex");
        let mut patterns = args.list("patterns");
        if patterns.is_empty() {
            patterns.push(if regex { ".*" } else { "*" }.to_owned());
        }
        let contains = args.str("contains").map(|text| {
            let bound = if args.flag("read_whole_file") { "" } else { "\\A" };
            Pattern::new(&format!("{bound}(?:{text})"), Flags::None)
        });
        let mode = args.raw("mode").map(|mode| {
            let present = Present { bits: 0, directory: false, umask: place::umask() };
            crate::mode::resolve(mode, present).map_err(|error| fail!("{error}"))
        });
        let limit = match args.int("limit") {
            Some(limit) if limit <= 0 => {
                return Err(fail!("limit cannot be {limit} (use None for unlimited)"));
            }
            limit => limit.and_then(|limit| usize::try_from(limit).ok()),
        };
        Ok(Self {
            wanted: Names::new(patterns, regex)?,
            unwanted: Names::new(args.list("excludes"), regex)?,
            contains: contains.transpose()?,
            age: measured(
                args,
                "age",
                &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)],
            )?,
            size: measured(
                args,
                "size",
                &[("b", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)],
            )?,
            mode: mode.transpose()?,
            depth: args.int("depth").filter(|depth| *depth > 0),
            limit,
            algorithm: Algorithm::named(args.text("checksum_algorithm"))
                .expect("the table lists only algorithms there are"),
            charset,
            now: ctx.epoch(),
            args,
            ctx,
            found: Vec::new(),
            skipped: Map::new(),
            warnings: Vec::new(),
            examined: 0,
        })
    }

    fn full(&self) -> bool {
        self.limit.is_some_and(|limit| self.found.len() >= limit)
    }

    fn skip(&mut self, path: &str, why: String) {
        self.warnings.push(format!("Skipped '{path}' path due to this access issue: {why}\n"));
        self.skipped.insert(path.to_owned(), why.into());
    }

    fn walk(&mut self, dir: &Path, depth: i64) -> Result<(), Stop> {
        let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                let shown = dir.display().to_string();
                self.skipped.insert(shown, plain(&error).into());
                return Ok(());
            }
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        self.examined += paths.len();
        let (dirs, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
        let deep = self.depth.is_some_and(|limit| depth > limit);
        if deep {
            return Ok(());
        }
        for path in files.iter().chain(&dirs) {
            self.consider(path)?;
            if self.full() || self.ctx.stopped() {
                return Ok(());
            }
        }
        if self.args.flag("recurse") {
            let follow = self.args.flag("follow");
            for path in dirs.iter().filter(|path| follow || !place::is_link(path)) {
                // A link may lead back up; no path is deeper than this.
                if depth < 256 {
                    self.walk(path, depth + 1)?;
                }
                if self.full() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn consider(&mut self, path: &Path) -> Result<(), Stop> {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Ok(());
        };
        if name.starts_with('.') && !self.args.flag("hidden") {
            return Ok(());
        }
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) => {
                self.skip(&path.display().to_string(), plain(&error));
                return Ok(());
            }
        };
        let asked = self.args.text("file_type");
        let kind = match asked {
            "any" => true,
            "directory" => meta.is_dir(),
            "link" => meta.is_symlink(),
            _ => meta.is_file(),
        };
        let fits = kind
            && self.wanted.fit(&name)?
            && !self.unwanted.fit(&name)?
            && self.old_enough(&meta)
            && self.mode_fits(&meta)
            && (!meta.is_file() || self.size_fits(&meta))
            && (asked != "file" || self.content_fits(path)?);
        if !fits {
            return Ok(());
        }
        let mut entry = stat::described(&meta);
        entry.insert("path".into(), path.display().to_string().into());
        let owner = accounts::user_by_id(meta.uid(), self.ctx).map_or(String::new(), |u| u.name);
        let group = accounts::group_by_id(meta.gid(), self.ctx).map_or(String::new(), |g| g.name);
        entry.insert("pw_name".into(), owner.into());
        entry.insert("gr_name".into(), group.into());
        if meta.is_file() && self.args.flag("get_checksum") {
            let sum = place::checksum(path, self.algorithm).ok();
            entry.insert("checksum".into(), sum.into());
        }
        self.found.push(Value::Object(entry));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "ages are compared in seconds")]
    fn old_enough(&self, meta: &Metadata) -> bool {
        let Some(age) = self.age else { return true };
        let stamp = match self.args.text("age_stamp") {
            "atime" => stat::seconds(meta.atime(), meta.atime_nsec()),
            "ctime" => stat::seconds(meta.ctime(), meta.ctime_nsec()),
            _ => stat::seconds(meta.mtime(), meta.mtime_nsec()),
        };
        let passed = self.now - stamp;
        if age >= 0 { passed >= age as f64 } else { passed <= age.saturating_neg() as f64 }
    }

    fn size_fits(&self, meta: &Metadata) -> bool {
        let Some(size) = self.size else { return true };
        let bytes = i64::try_from(meta.len()).unwrap_or(i64::MAX);
        if size >= 0 { bytes >= size } else { bytes <= size.saturating_neg() }
    }

    fn mode_fits(&self, meta: &Metadata) -> bool {
        let Some(mode) = self.mode else { return true };
        let bits = meta.mode() & 0o7777;
        if self.args.flag("exact_mode") { bits == mode } else { bits & mode != 0 }
    }

    fn content_fits(&self, path: &Path) -> Result<bool, Stop> {
        let Some(pattern) = &self.contains else { return Ok(true) };
        let Ok(bytes) = fs::read(path) else { return Ok(false) };
        let text = match self.charset {
            Charset::Any => bytes.len(),
            Charset::Ascii => bytes.iter().take_while(|byte| byte.is_ascii()).count(),
            Charset::Utf8 => std::str::from_utf8(&bytes)
                .map_or_else(|error| error.valid_up_to(), |text| text.len()),
        };
        // Python reads and decodes that much at once, and looks at lines before it reads on.
        const CHUNK: usize = 8192;
        let whole = text == bytes.len();
        let looked = if whole { bytes.len() } else { text / CHUNK * CHUNK };
        if !self.args.flag("read_whole_file") {
            for line in bytes[..looked].split_inclusive(|byte| *byte == b'\n') {
                if pattern.is_match(line)? {
                    return Ok(true);
                }
            }
        } else if whole {
            return Ok(pattern.is_match(&bytes)?);
        }
        if whole {
            return Ok(false);
        }
        let usual = "None (default determined by the Python built-in function \"open\")";
        let encoding = self.args.str("encoding").unwrap_or(usual);
        Err(Stop::Unreadable(format!(
            "Failed to read the file {} due to an encoding error. current encoding: {encoding}",
            path.display()
        )))
    }
}

/// A number with a unit, such as `-2d` or `10m`.
fn measured(args: &Args, name: &str, units: &[(&str, i64)]) -> Result<Option<i64>, Fault> {
    let Some(text) = args.raw(name).map(text_of) else { return Ok(None) };
    let lower = text.to_lowercase();
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
        .unwrap_or((lower.as_str(), 1));
    match number.parse::<i64>() {
        Ok(number) => Ok(Some(number.saturating_mul(factor))),
        Err(_) => Err(fail!("failed to process {name}").with(name, text)),
    }
}
