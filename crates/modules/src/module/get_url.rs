//! `get_url`: a file is what a web server has.

use crate::args::{Args, text_of};
use crate::attributes::Attributes;
use crate::context::Context;
use crate::http::{self, Follow, Request, Response};
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place::{self, Algorithm};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let url = args.text("url");
    http::Url::parse(url).map_err(|fault| fault.with("url", http::masked(url)))?;
    fetch(args, ctx).map_err(|mut fault| {
        for (key, value) in
            [("dest", args.text("dest").to_owned()), ("url", http::masked(args.text("url")))]
        {
            fault.fields.entry(key).or_insert(value.into());
        }
        fault
    })
}

fn fetch(args: &Args, ctx: &Context) -> Done {
    let dest = PathBuf::from(args.text("dest"));
    let in_dir = dest.is_dir();
    let checksum = expected(args, ctx)?;
    let mut force = args.flag("force");
    let base = || {
        Outcome::changed(false)
            .with("dest", args.text("dest"))
            .with("url", http::masked(args.text("url")))
            .with("checksum_src", Value::Null)
            .with("checksum_dest", Value::Null)
            .with("elapsed", 0)
    };
    if let (false, false, true, Some((algorithm, sum))) = (in_dir, force, dest.exists(), &checksum)
    {
        let have = place::checksum(&dest, *algorithm)
            .or_fail(format!("cannot read {}", dest.display()))?;
        if have == *sum {
            let changed = Attributes::asked(args).ensure(&dest, None, ctx)?;
            let message = if changed {
                "file already exists but file attributes changed"
            } else {
                "file already exists"
            };
            return Ok(base().with("changed", changed).with("msg", message));
        }
        force = true;
    }
    let mut request = request(args, args.text("url"), ctx)?;
    if ctx.check {
        "HEAD".clone_into(&mut request.method);
    }
    if force {
        request.headers.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
    } else if !in_dir {
        request.headers.extend(modified_since(&dest));
    }
    let began = ctx.time.steady();
    let response = http::send(&request, ctx);
    let elapsed = (ctx.time.steady().saturating_sub(began)).as_secs();
    let fault = |message: &str| {
        fail!("{message}")
            .with("url", http::masked(args.text("url")))
            .with("dest", args.text("dest"))
            .with("elapsed", elapsed)
    };
    let response = response.map_err(|error| fault(&error))?;
    if response.status == 304 {
        let message = format!("HTTP Error 304: {}", response.reason);
        let changed = Attributes::asked(args).ensure(&dest, None, ctx)?;
        return Ok(base()
            .with("changed", changed)
            .with("msg", message)
            .with("status_code", 304)
            .with("elapsed", elapsed));
    }
    if response.status != 200 {
        let said = format!("HTTP Error {}: {}", response.status, response.reason);
        return Err(fault("Request failed")
            .with("status_code", response.status)
            .with("response", said));
    }
    let dest = if in_dir { dest.join(name_of(&response)) } else { dest };
    let outcome = base().with("dest", dest.display().to_string()).with("elapsed", elapsed);
    place_file(args, ctx, &response, &dest, checksum.as_ref(), outcome)
}

fn place_file(
    args: &Args,
    ctx: &Context,
    response: &Response,
    dest: &Path,
    checksum: Option<&(Algorithm, String)>,
    mut outcome: Outcome,
) -> Done {
    let source = response.body.path();
    let shown = dest.display().to_string();
    let sum = |path: &Path| place::checksum(path, Algorithm::Sha1).or_fail("cannot read a file");
    let dir = place::parent(dest);
    if !dest.exists() {
        if !dir.exists() {
            return Err(fail!("Destination {} does not exist", dir.display()));
        }
        if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
            return Err(fail!("Destination {} is not writable", dir.display()));
        }
    }
    let length = fs::metadata(source).map_or(0, |meta| meta.len());
    let said = format!(
        "OK ({} bytes)",
        response.header("content-length").map_or_else(|| length.to_string(), str::to_owned)
    );
    if ctx.check {
        // Nothing was fetched: whether the content differs can be told only where none is there.
        return Ok(outcome.with("changed", true).with("msg", said));
    }
    let have = if dest.is_file() { Some(sum(dest)?) } else { None };
    let got = sum(source)?;
    if let Some((algorithm, expected)) = checksum {
        let found = place::checksum(source, *algorithm).or_fail("cannot read the download")?;
        if found != *expected {
            return Err(fail!(
                "The checksum for {} did not match {expected}; it was {found}.",
                source.display()
            )
            .with("url", http::masked(args.text("url")))
            .with("dest", shown));
        }
    }
    let mut changed = have.as_deref() != Some(&got);
    if changed {
        if args.flag("backup") && dest.exists() {
            outcome = outcome.with("backup_file", place::backup(dest, ctx)?);
        }
        place::replace(source, dest, true, args.flag("unsafe_writes"))?;
    }
    changed |= Attributes::asked(args).ensure(dest, None, ctx)?;
    let md5 = place::checksum(dest, Algorithm::Md5).or_fail(format!("cannot read {shown}"))?;
    Ok(outcome
        .with("changed", changed)
        .with("checksum_src", got)
        .with("checksum_dest", have)
        .with("md5sum", md5)
        .with("src", source.display().to_string())
        .with("msg", said)
        .with("status_code", response.status))
}

fn name_of(response: &Response) -> String {
    response
        .header("content-disposition")
        .and_then(http::disposition)
        .unwrap_or_else(|| http::file_name(&response.url))
}

/// The header that asks for content only if it is newer than a file.
pub(crate) fn modified_since(file: &Path) -> Option<(String, String)> {
    let meta = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    let moment = updraft_base::Timestamp::from_second(meta.mtime()).ok()?;
    let utc = moment.to_zoned(jiff::tz::TimeZone::UTC);
    let stamp = utc.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Some(("If-Modified-Since".to_owned(), stamp))
}

/// What is at a URL that another module was given in the place of a file.
pub(crate) fn download(url: &str, validate_certs: bool, ctx: &Context) -> Result<Response, Fault> {
    let request = plain_request(url, validate_certs, ctx);
    let response = http::send(&request, ctx).map_err(|error| {
        fail!("Failure downloading {}, Request failed: {error}", http::masked(url))
    })?;
    if response.status >= 400 {
        let reason = &response.reason;
        return Err(fail!("Failure downloading {}, {reason}", http::masked(url)));
    }
    Ok(response)
}

/// The bytes at a URL, for modules of keys. The fault says what Python would of a failure.
pub(crate) fn fetched(url: &str, validate_certs: bool, ctx: &Context) -> Result<Vec<u8>, Fault> {
    let tools = ["curl", "wget"];
    if http::Url::parse(url)?.tls && tools.iter().all(|tool| ctx.program(tool).is_none()) {
        return Err(Fault::beyond("https needs curl or wget on this machine"));
    }
    let request = plain_request(url, validate_certs, ctx);
    let response = http::send(&request, ctx).map_err(Fault::new)?;
    if response.status != 200 {
        return Err(fail!("HTTP Error {}: {}", response.status, response.reason));
    }
    fs::read(response.body.path()).or_fail("cannot read the download")
}

fn plain_request(url: &str, validate_certs: bool, ctx: &Context) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: vec![("User-Agent".to_owned(), "ansible-httpget".to_owned())],
        unredirected: Vec::new(),
        body: Vec::new(),
        upload: None,
        timeout: Duration::from_secs(10),
        follow: Follow::Urllib,
        user: None,
        force_basic: false,
        validate_certs,
        use_proxy: true,
        unix_socket: None,
        ca_path: None,
        client_cert: None,
        client_key: None,
        into: ctx.staging.to_path_buf(),
    }
}

/// The request a task describes.
pub(crate) fn request(args: &Args, url: &str, ctx: &Context) -> Result<Request, Fault> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_lowercase();
    if !matches!(scheme.as_str(), "" | "http" | "https") {
        return Err(Fault::beyond(format!("{scheme} urls are not supported, only http and https")));
    }
    if args.flag("use_gssapi") {
        return Err(Fault::beyond("use_gssapi is not supported"));
    }
    if args.raw("ciphers").is_some() {
        return Err(Fault::beyond("ciphers is not supported: TLS is done by curl or wget here"));
    }
    let mut headers: Vec<(String, String)> =
        vec![("User-Agent".to_owned(), args.text("http_agent").to_owned())];
    for (name, value) in args.dict("headers").into_iter().flatten() {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.clone(), text_of(value)));
    }
    let text = |name: &str| args.str(name).map(str::to_owned);
    let user = args
        .str("url_username")
        .map(|user| (user.to_owned(), args.text("url_password").to_owned()));
    let into = match args.str("tmp_dest") {
        Some(dir) if Path::new(dir).is_dir() => PathBuf::from(dir),
        Some(dir) if Path::new(dir).exists() => {
            return Err(fail!("{dir} is a file but should be a directory."));
        }
        Some(dir) => return Err(fail!("{dir} directory does not exist.")),
        None => ctx.staging.to_path_buf(),
    };
    Ok(Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers,
        unredirected: args.list("unredirected_headers"),
        body: Vec::new(),
        upload: None,
        timeout: args.seconds("timeout").max(Duration::from_secs(1)),
        follow: Follow::Urllib,
        user,
        force_basic: args.flag("force_basic_auth"),
        validate_certs: args.flag("validate_certs"),
        use_proxy: args.flag("use_proxy"),
        unix_socket: text("unix_socket").map(PathBuf::from),
        ca_path: text("ca_path"),
        client_cert: text("client_cert"),
        client_key: text("client_key"),
        into,
    })
}

/// The checksum a task expects, which may lie behind a url of its own.
fn expected(args: &Args, ctx: &Context) -> Result<Option<(Algorithm, String)>, Fault> {
    let asked = args.text("checksum");
    if asked.is_empty() {
        return Ok(None);
    }
    let (name, sum) = asked.split_once(':').ok_or_else(|| {
        fail!("The checksum parameter has to be in format <algorithm>:<checksum>")
    })?;
    let algorithm = Algorithm::named(name)
        .ok_or_else(|| fail!("Could not hash file with algorithm '{name}'."))?;
    let sum = if sum.contains("://") {
        let response = http::send(&request(args, sum, ctx)?, ctx).map_err(Fault::new)?;
        if response.status != 200 {
            return Err(fail!("Request failed")
                .with("status_code", response.status)
                .with("url", http::masked(sum)));
        }
        let text = fs::read(response.body.path()).or_fail("cannot read the checksums")?;
        let file = http::file_name(args.text("url"));
        find_sum(&String::from_utf8_lossy(&text), &file).ok_or_else(|| {
            fail!("Unable to find a checksum for file '{file}' in '{}'", http::masked(sum))
        })?
    } else {
        sum.to_owned()
    };
    let sum: String =
        sum.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    if sum.is_empty() || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(fail!("The checksum format is invalid"));
    }
    Ok(Some((algorithm, sum)))
}

/// The checksum of a file in a list as `sha256sum` or BSD's tools write it.
fn find_sum(text: &str, file: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    if let [only] = lines.as_slice()
        && only.split_whitespace().count() == 1
    {
        return Some(only.trim().to_owned());
    }
    lines.iter().find_map(|line| {
        if let Some((left, sum)) = line.rsplit_once(") = ") {
            let (_, name) = left.split_once('(')?;
            return (name == file).then(|| sum.trim().to_owned());
        }
        let (sum, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*');
        let name = name.trim_start_matches(['.', '/']);
        (name == file).then(|| sum.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_in_lists() {
        let gnu = "aa  other.tgz\nbb *./my.tgz\ncc  my.tgz.asc\n";
        assert_eq!(find_sum(gnu, "my.tgz").as_deref(), Some("bb"));
        assert_eq!(find_sum("SHA256 (my.tgz) = dd\n", "my.tgz").as_deref(), Some("dd"));
        assert_eq!(find_sum("ee\n", "my.tgz").as_deref(), Some("ee"));
        assert_eq!(find_sum(gnu, "nope"), None);
    }
}
