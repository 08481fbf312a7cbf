//! One exchange by way of the target's curl or wget, for HTTPS.
//!
//! Addresses, headers and bodies go through files and standard input, so nothing secret stands
//! in an argument list.

use super::{Request, Response, parse_head};
use crate::context::Context;
use crate::outcome::plain;
use crate::place::Scratch;
use crate::process::Cmd;

pub(super) fn exchange(
    request: &Request,
    headers: &[(String, String)],
    ctx: &Context,
) -> Result<Response, String> {
    if ctx.program("curl").is_some() {
        return curl(request, headers, ctx);
    }
    let simple = request.method == "GET" && request.body.is_empty();
    if ctx.program("wget").is_some() && simple {
        return wget(request, headers, ctx);
    }
    Err("https needs curl on this machine, or wget for plain downloads: install one of them first"
        .to_owned())
}

/// A value as curl's and wget's configuration files quote it.
fn quoted(value: &str) -> Result<String, String> {
    if value.contains(['\r', '\n']) {
        return Err("a line break cannot be part of a request".to_owned());
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn curl(
    request: &Request,
    headers: &[(String, String)],
    ctx: &Context,
) -> Result<Response, String> {
    let scratch =
        |bytes: &[u8]| Scratch::holding(&request.into, "", bytes).map_err(|error| plain(&error));
    let (body, head, sent) = (scratch(b"")?, scratch(b"")?, scratch(&request.body)?);
    let seconds = request.timeout.as_secs().max(1).to_string();
    let mut config = String::from("silent\nshow-error\nspeed-limit = 1\n");
    let mut set = |name: &str, value: &str| -> Result<(), String> {
        config.push_str(&format!("{name} = {}\n", quoted(value)?));
        Ok(())
    };
    set("url", &request.url)?;
    set("output", &body.path().display().to_string())?;
    set("dump-header", &head.path().display().to_string())?;
    set("connect-timeout", &seconds)?;
    set("speed-time", &seconds)?;
    for (name, value) in headers {
        // curl leaves out a header without a value unless it ends in a semicolon.
        let line = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        set("header", &line)?;
    }
    if !request.body.is_empty() || request.upload.is_some() {
        let file = request.upload.as_deref().unwrap_or(sent.path());
        set("data-binary", &format!("@{}", file.display()))?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            set("header", "Content-Type:")?;
        }
    }
    for (name, value) in [
        ("cert", &request.client_cert),
        ("key", &request.client_key),
        ("cacert", &request.ca_path),
        ("unix-socket", &request.unix_socket.as_ref().map(|path| path.display().to_string())),
    ] {
        if let Some(value) = value {
            set(name, value)?;
        }
    }
    if !request.use_proxy {
        set("noproxy", "*")?;
    }
    match request.method.as_str() {
        "HEAD" => config.push_str("head\n"),
        method => set("request", method)?,
    }
    if !request.validate_certs {
        config.push_str("insecure\n");
    }
    let cmd = Cmd::new("curl").args(["-q", "--config", "-"]).input(config);
    let ran = cmd.run(ctx).map_err(|error| format!("cannot run curl: {}", plain(&error)))?;
    let text = std::fs::read_to_string(head.path()).unwrap_or_default();
    if !ran.success() {
        return Err(format!("Request failed: {}", ran.err().trim()));
    }
    finish(request, &last_head(&text), body)
}

fn wget(
    request: &Request,
    headers: &[(String, String)],
    ctx: &Context,
) -> Result<Response, String> {
    let scratch =
        |bytes: &[u8]| Scratch::holding(&request.into, "", bytes).map_err(|error| plain(&error));
    let mut config = String::new();
    for (name, value) in headers {
        quoted(value)?;
        if name.eq_ignore_ascii_case("user-agent") {
            config.push_str(&format!("user_agent = {value}\n"));
        } else {
            config.push_str(&format!("header = {name}: {value}\n"));
        }
    }
    let (body, config, list) =
        (scratch(b"")?, scratch(config.as_bytes())?, scratch(request.url.as_bytes())?);
    let mut cmd = Cmd::new("wget")
        .args(["--quiet", "--server-response", "--content-on-error", "--max-redirect=0"])
        .arg("--tries=1")
        .arg(format!("--timeout={}", request.timeout.as_secs().max(1)))
        .arg(format!("--config={}", config.path().display()))
        .arg(format!("--input-file={}", list.path().display()))
        .arg(format!("--output-document={}", body.path().display()));
    if !request.validate_certs {
        cmd = cmd.arg("--no-check-certificate");
    }
    if !request.use_proxy {
        cmd = cmd.arg("--no-proxy");
    }
    for (flag, value) in [
        ("certificate", &request.client_cert),
        ("private-key", &request.client_key),
        ("ca-certificate", &request.ca_path),
    ] {
        if let Some(value) = value {
            cmd = cmd.arg(format!("--{flag}={value}"));
        }
    }
    let ran = cmd.plain_locale().run(ctx);
    let ran = ran.map_err(|error| format!("cannot run wget: {}", plain(&error)))?;
    let said = ran.err();
    let head: String = said.lines().map(|line| format!("{}\r\n", line.trim())).collect();
    let head = last_head(&head);
    if head.is_empty() {
        return Err(format!("Request failed: {}", said.trim()));
    }
    finish(request, &head, body)
}

/// The last block of headers; those before it belong to proxies and interim answers.
fn last_head(text: &str) -> String {
    let start = text
        .match_indices("HTTP/")
        .filter(|(at, _)| *at == 0 || text.as_bytes()[at - 1] == b'\n')
        .map(|(at, _)| at)
        .last();
    start.map_or_else(String::new, |at| text[at..].to_owned())
}

fn finish(request: &Request, head: &str, body: Scratch) -> Result<Response, String> {
    let (status, reason, headers) = parse_head(head).ok_or("the server does not speak HTTP")?;
    Ok(Response { status, reason, headers, url: request.url.clone(), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_counts() {
        let text = "HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 404 \r\nx: HTTP/1.1\r\n\r\n";
        let (status, _, headers) = parse_head(&last_head(text)).unwrap();
        assert_eq!(status, 404);
        assert_eq!(headers, [("x".to_owned(), "HTTP/1.1".to_owned())]);
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"b\\c").unwrap(), "\"a\\\"b\\\\c\"");
        assert!(quoted("a\nurl = x").is_err());
    }

    /// Stands in for curl and wget: notes its arguments and configuration, answers a file.
    const FAKE: &str = r#"#!/bin/sh
dir=${0%/*}
printf '%s\n' "$@" > "$dir/args"
case $0 in
*curl)
    cat > "$dir/config"
    body=$(sed -n 's/^output = "\(.*\)"$/\1/p' "$dir/config")
    head=$(sed -n 's/^dump-header = "\(.*\)"$/\1/p' "$dir/config")
    printf 'HTTP/2 200 \r\ncontent-type: text/plain\r\n\r\n' > "$head" ;;
*wget)
    for word; do case $word in
        --config=*) cat "${word#*=}" > "$dir/config" ;;
        --input-file=*) cat "${word#*=}" >> "$dir/config" ;;
        --output-document=*) body=${word#*=} ;;
    esac; done
    printf '  HTTP/1.1 200 OK\n  Content-Type: text/plain\n' >&2 ;;
esac
echo hello > "$body"
"#;

    fn check(program: &str) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(program);
        std::fs::write(&file, FAKE).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        for tool in ["cat", "sed", "sh", "printf"] {
            let real = Context::system().program(tool).unwrap();
            std::os::unix::fs::symlink(real, dir.path().join(tool)).unwrap();
        }
        let mut ctx = Context::system();
        ctx.env.insert("PATH".to_owned(), dir.path().display().to_string());
        let request = Request {
            method: "GET".to_owned(),
            url: "https://h/x?token=s3cret".to_owned(),
            headers: Vec::new(),
            unredirected: Vec::new(),
            body: Vec::new(),
            upload: None,
            timeout: std::time::Duration::from_secs(5),
            follow: super::super::Follow::None,
            user: None,
            force_basic: false,
            validate_certs: false,
            use_proxy: true,
            unix_socket: None,
            ca_path: None,
            client_cert: None,
            client_key: None,
            into: dir.path().to_owned(),
        };
        let headers = [("Authorization".to_owned(), "Basic s3cret".to_owned())];
        let exchange = if program == "curl" { curl } else { wget };
        let response = exchange(&request, &headers, &ctx).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(std::fs::read_to_string(response.body.path()).unwrap(), "hello\n");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!read("args").contains("s3cret"), "{}", read("args"));
        assert!(read("config").contains("Authorization: Basic s3cret"), "{}", read("config"));
        assert!(read("config").contains("https://h/x?token=s3cret"), "{}", read("config"));
    }

    #[test]
    fn secrets_reach_curl_and_wget_outside_their_arguments() {
        check("curl");
        check("wget");
    }
}
