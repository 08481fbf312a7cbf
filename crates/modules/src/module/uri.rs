//! `uri`: a request to a web service, and what it answers.

use crate::args::{Args, text_of};
use crate::attributes::Attributes;
use crate::context::Context;
use crate::http::{self, Follow, Response};
use crate::module::get_url;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let url = args.text("url");
    let method = args.text("method").to_uppercase();
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(fail!(
            "Parameter 'method' needs to be a single word in uppercase, like GET or POST."
        ));
    }
    for (name, exists, state) in [("creates", true, "exists"), ("removes", false, "does not exist")]
    {
        if let Some(path) = args.str(name).filter(|path| Path::new(path).exists() == exists) {
            let said = format!("skipped, since '{path}' {state}");
            return Ok(Outcome::changed(false).with("stdout", said));
        }
    }
    http::Url::parse(url).map_err(|fault| fault.with("url", http::masked(url)))?;
    let mut request = get_url::request(args, url, ctx)?;
    request.method = method;
    let (body, kind) = body(args)?;
    request.body = body;
    let has_kind =
        request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let (Some(kind), false) = (kind, has_kind) {
        request.headers.push(("Content-Type".to_owned(), kind.to_owned()));
    }
    if args.flag("force") {
        request.headers.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
    } else if let Some(dest) = args.str("dest") {
        request.headers.extend(get_url::modified_since(Path::new(dest)));
    }
    request.follow = match args.text("follow_redirects") {
        "all" | "yes" => Follow::All,
        "none" | "no" => Follow::None,
        "urllib2" => Follow::Urllib,
        _ => Follow::Safe,
    };
    let accepted: Vec<i64> = args
        .raw("status_code")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect();
    let began = ctx.time.steady();
    let response = http::send(&request, ctx);
    let elapsed = ctx.time.steady().saturating_sub(began).as_secs();
    let shown: Vec<String> = accepted.iter().map(i64::to_string).collect();
    let refusal = |status: i64, said: &str| {
        fail!("Status code was {status} and not [{}]: {said}", shown.join(", "))
            .with("status", status)
            .with("url", http::masked(url))
            .with("elapsed", elapsed)
    };
    let response = match response {
        Ok(response) => response,
        Err(error) => return Err(refusal(-1, &error).with("redirected", false)),
    };
    let status = i64::from(response.status);
    let fine = accepted.contains(&status);
    let bytes = fs::read(response.body.path()).or_fail("cannot read the answer")?;
    let said = if status < 300 {
        format!("OK ({} bytes)", response.header("content-length").unwrap_or("unknown"))
    } else {
        format!("HTTP Error {status}: {}", response.reason)
    };
    let mut fields = headers(&response, url);
    fields.insert("redirected".into(), (response.url != url).into());
    fields.insert("url".into(), http::masked(&response.url).into());
    fields.insert("status".into(), status.into());
    fields.insert("elapsed".into(), elapsed.into());
    fields.insert("msg".into(), said.clone().into());
    if is_json(response.header("content-type").unwrap_or_default())
        && let Ok(value) = serde_json::from_slice::<Value>(&bytes)
    {
        fields.insert("json".into(), value);
    }
    if args.flag("return_content") {
        fields.insert("content".into(), String::from_utf8_lossy(&bytes).into_owned().into());
    }
    let dest = args.str("dest").map(|dest| {
        if !Path::new(dest).is_dir() {
            return PathBuf::from(dest);
        }
        let name = response.header("content-disposition").and_then(http::disposition);
        Path::new(dest).join(name.unwrap_or_else(|| http::file_name(&response.url)))
    });
    if let Some(dest) = &dest {
        fields.insert("path".into(), dest.display().to_string().into());
    }
    if !fine {
        let mut fault = refusal(status, &said);
        fields.remove("msg");
        fault.fields.extend(fields);
        return Err(fault);
    }
    let mut changed = false;
    if let Some(dest) = dest.filter(|_| status != 304) {
        save(args, ctx, &dest, &bytes)?;
        changed = true;
    }
    Ok(Outcome(fields).with("changed", changed))
}

fn save(args: &Args, ctx: &Context, dest: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let what = || format!("cannot write {}", dest.display());
    let dir = place::parent(dest);
    if !dir.exists() {
        return Err(fail!("Destination dir '{}' does not exist", dir.display()));
    }
    if fs::read(dest).ok().as_deref() != Some(bytes) {
        let scratch = place::Scratch::holding(&ctx.staging, "", bytes).or_fail(what())?;
        place::replace(scratch.path(), dest, true, args.flag("unsafe_writes"))?;
    }
    Attributes::asked(args).ensure(dest, None, ctx)?;
    Ok(())
}

/// Headers of the answer, named so that templates can reach them.
fn headers(response: &Response, url: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in &response.headers {
        fields.insert(name.replace('-', "_"), value.as_str().into());
    }
    let cookies = response.header("set-cookie").unwrap_or_default();
    let pairs: Vec<(&str, &str)> = cookies
        .split(", ")
        .filter_map(|cookie| cookie.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let map: Map<String, Value> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    fields.insert("cookies".into(), map.into());
    fields.insert("cookies_string".into(), text.join("; ").into());
    if let Some(Value::String(location)) = fields.get_mut("location")
        && let Ok(base) = http::Url::parse(url)
    {
        *location = base.join(location);
    }
    fields
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_lowercase();
    let Some((_, sub)) = kind.split_once('/') else { return false };
    matches!(
        sub.rsplit('+').next().unwrap_or(sub),
        "json" | "x-json" | "javascript" | "x-javascript"
    )
}

/// The body to send, and the type it has.
fn body(args: &Args) -> Result<(Vec<u8>, Option<&'static str>), Fault> {
    if let Some(src) = args.str("src") {
        let path = args.ours("_updraft_staged").unwrap_or(src);
        return Ok((fs::read(path).or_fail(format!("Unable to open source file {src}"))?, None));
    }
    let given = args.raw("body");
    let text = given.map(text_of).unwrap_or_default();
    let structured = !matches!(given, Some(Value::String(_)));
    match args.text("body_format") {
        "json" if given.is_none() => Ok((b"null".to_vec(), Some("application/json"))),
        "json" if structured => {
            let text = crate::json::python(given.unwrap_or(&Value::Null));
            Ok((text.into_bytes(), Some("application/json")))
        }
        "json" => Ok((text.into_bytes(), Some("application/json"))),
        "form-urlencoded" => {
            let text = if structured { form(given.unwrap_or(&json!({})))? } else { text };
            Ok((text.into_bytes(), Some("application/x-www-form-urlencoded")))
        }
        "form-multipart" => Err(fail!("body_format form-multipart is not supported")),
        _ => Ok((text.into_bytes(), None)),
    }
}

/// A mapping, or a list of pairs, as a web form sends it.
fn form(value: &Value) -> Result<String, Fault> {
    let bad = || fail!("failed to parse body as form_urlencoded: body must be a mapping or pairs");
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: &Value| match value {
        Value::Array(items) => {
            pairs.extend(items.iter().map(|item| (key.to_owned(), text_of(item))));
        }
        value => pairs.push((key.to_owned(), text_of(value))),
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| add(key, value)),
        Value::Array(items) => {
            for item in items {
                match item.as_array().map(Vec::as_slice) {
                    Some([key, value]) => add(&text_of(key), value),
                    _ => return Err(bad()),
                }
            }
        }
        _ => return Err(bad()),
    }
    let parts: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    Ok(parts.join("&"))
}

/// `application/x-www-form-urlencoded` as Python's `quote_plus` writes it.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_as_browsers_encode_them() {
        assert_eq!(
            form(&json!({ "a b": "c&d", "e": [1, "é"] })).unwrap(),
            "a+b=c%26d&e=1&e=%C3%A9"
        );
        assert_eq!(form(&json!([["x", 1], ["x", 2]])).unwrap(), "x=1&x=2");
        assert!(form(&json!("x")).is_err());
        assert!(form(&json!([1])).is_err());
    }

    #[test]
    fn json_is_recognised_by_its_type() {
        for (kind, json) in [
            ("application/json; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/html", false),
            ("", false),
        ] {
            assert_eq!(is_json(kind), json, "{kind}");
        }
    }
}
