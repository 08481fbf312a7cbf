//! One exchange of HTTP/1.1 over TCP or a Unix socket (RFC 9112).

use super::{Request, Response, Url, parse_head, resolve};
use crate::context::Context;
use crate::outcome::{numbered, plain};
use crate::place::Scratch;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// No server needs more than this before the body begins.
const HEAD_LIMIT: usize = 256 * 1024;

/// How often a silent connection is looked at, to notice that we are to stop.
const TICK: Duration = Duration::from_millis(200);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Connection<'a> {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    timeout: Duration,
    ctx: &'a Context,
}

pub(super) fn exchange(
    request: &Request,
    url: &Url,
    headers: &[(String, String)],
    ctx: &Context,
) -> Result<Response, String> {
    let told = |error: io::Error| format!("Request failed: <urlopen error {}>", plain(&error));
    let (stream, target) = connect(request, url, ctx)?;
    let mut connection = Connection { stream, buffer: Vec::new(), timeout: request.timeout, ctx };
    let mut head = format!("{} {target} HTTP/1.1\r\nHost: {}\r\n", request.method, url.authority());
    let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    for (name, value) in headers {
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(format!("the header {name:?} cannot be sent"));
        }
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !has("accept-encoding") {
        head.push_str("Accept-Encoding: identity\r\n");
    }
    let upload = request.upload.as_ref().map(File::open).transpose().map_err(told)?;
    let length = match &upload {
        Some(file) => file.metadata().map_err(told)?.len(),
        None => request.body.len() as u64,
    };
    let with_body = length > 0 || matches!(request.method.as_str(), "POST" | "PUT");
    if with_body && !has("content-length") {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    connection.stream.write_all(head.as_bytes()).map_err(told)?;
    match upload {
        Some(file) => drop(io::copy(&mut file.take(length), &mut connection.stream).map_err(told)?),
        None => connection.stream.write_all(&request.body).map_err(told)?,
    }
    connection.stream.flush().map_err(told)?;
    let (status, reason, headers) = loop {
        let head = connection.head().map_err(told)?;
        let parsed = parse_head(&head).ok_or("the server does not speak HTTP")?;
        if parsed.0 >= 200 {
            break parsed;
        }
    };
    let (body, mut file) = Scratch::file(&request.into, "").map_err(told)?;
    let header = |name: &str| {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let empty = request.method == "HEAD" || matches!(status, 204 | 304);
    if !empty {
        let chunked = header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
        let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
        match (chunked, length) {
            (true, _) => connection.chunks(&mut file),
            (false, Some(length)) => connection.exactly(length, &mut file),
            (false, None) => connection.rest(&mut file),
        }
        .map_err(told)?;
    }
    Ok(Response { status, reason, headers, url: request.url.clone(), body })
}

/// A connection to the server or its proxy, and the request target to ask it for.
fn connect(
    request: &Request,
    url: &Url,
    ctx: &Context,
) -> Result<(Box<dyn Stream>, String), String> {
    let told = |error: io::Error| format!("Request failed: <urlopen error {}>", numbered(&error));
    if let Some(socket) = &request.unix_socket {
        let stream = UnixStream::connect(socket).map_err(told)?;
        stream.set_read_timeout(Some(TICK)).map_err(told)?;
        stream.set_write_timeout(Some(request.timeout)).map_err(told)?;
        return Ok((Box::new(stream), url.path.clone()));
    }
    let proxy = proxy(request, url, ctx).map(|proxy| Url::parse(&proxy));
    let (to, target) = match proxy.transpose().map_err(|fault| fault.message)? {
        Some(proxy) => (proxy, format!("http://{}{}", url.authority(), url.path)),
        None => (url.clone(), url.path.clone()),
    };
    let mut last = None;
    for address in resolve(&to.host, to.port, ctx)
        .map_err(|error| format!("Request failed: <urlopen error {error}>"))?
    {
        match TcpStream::connect_timeout(&address, request.timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TICK)).map_err(told)?;
                stream.set_write_timeout(Some(request.timeout)).map_err(told)?;
                stream.set_nodelay(true).map_err(told)?;
                return Ok((Box::new(stream), target));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(told(last.unwrap_or_else(|| io::Error::other("no address"))))
}

/// The proxy the environment names for a url, unless `no_proxy` covers it.
fn proxy(request: &Request, url: &Url, ctx: &Context) -> Option<String> {
    if !request.use_proxy {
        return None;
    }
    let var = |name: &str| ctx.var(name).or_else(|| ctx.var(&name.to_uppercase()));
    let proxy = var("http_proxy").filter(|proxy| !proxy.is_empty())?;
    let spared = var("no_proxy").unwrap_or_default().split(',').map(str::trim).any(|entry| {
        let entry = entry.trim_start_matches('.');
        !entry.is_empty()
            && (entry == "*" || url.host == entry || url.host.ends_with(&format!(".{entry}")))
    });
    if spared {
        return None;
    }
    Some(if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") })
}

impl Connection<'_> {
    /// More bytes for the buffer; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let start = self.ctx.time.steady();
        let mut chunk = [0; 16 * 1024];
        loop {
            if self.ctx.stopped() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return Ok(true);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) =>
                {
                    if self.ctx.time.steady().saturating_sub(start) >= self.timeout {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "timed out"));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything up to an empty line.
    fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            if self.buffer.len() > HEAD_LIMIT || !self.fill()? {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "Remote end closed connection without response",
                ));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            if self.buffer.len() > HEAD_LIMIT || !self.fill()? {
                return Err(cut_short());
            }
        }
    }

    fn exactly(&mut self, mut length: u64, file: &mut File) -> io::Result<()> {
        while length > 0 {
            if self.buffer.is_empty() && !self.fill()? {
                return Err(cut_short());
            }
            let take = self.buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            file.write_all(&self.buffer[..take])?;
            self.buffer.drain(..take);
            length -= take as u64;
        }
        Ok(())
    }

    fn rest(&mut self, file: &mut File) -> io::Result<()> {
        loop {
            file.write_all(&self.buffer)?;
            self.buffer.clear();
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    fn chunks(&mut self, file: &mut File) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk has no size"))?;
            if size == 0 {
                // Trailers follow; nobody asked for them.
                return Ok(());
            }
            self.exactly(size, file)?;
            self.line()?;
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends too early")
}

#[cfg(test)]
mod tests {
    use super::super::{Follow, send};
    use super::*;
    use std::io::BufRead;
    use std::net::TcpListener;

    /// Answers connections one after the other and tells what was asked.
    fn server(answers: &'static [&'static str]) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = io::BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.strip_prefix("Content-Length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    if line == "\r\n" {
                        break;
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                asked.push(format!("{head}|{}", String::from_utf8(body).unwrap()));
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (port, thread)
    }

    fn request(port: u16, method: &str) -> Request {
        Request {
            method: method.to_owned(),
            url: format!("http://127.0.0.1:{port}/x?y"),
            headers: vec![("User-Agent".to_owned(), "test".to_owned())],
            unredirected: Vec::new(),
            body: Vec::new(),
            upload: None,
            timeout: Duration::from_secs(5),
            follow: Follow::Safe,
            user: None,
            force_basic: false,
            validate_certs: true,
            use_proxy: false,
            unix_socket: None,
            ca_path: None,
            client_cert: None,
            client_key: None,
            into: std::env::temp_dir(),
        }
    }

    fn body(response: &Response) -> String {
        std::fs::read_to_string(response.body.path()).unwrap()
    }

    #[test]
    fn bodies_end_by_length_by_chunks_and_by_silence() {
        for answer in [
            &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloXX"],
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n",
            ],
            &["HTTP/1.0 200 OK\r\n\r\nhello"],
            &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
        ] {
            let (port, thread) = server(answer);
            let response = send(&request(port, "GET"), &Context::system()).unwrap();
            assert_eq!((response.status, body(&response).as_str()), (200, "hello"));
            assert!(thread.join().unwrap()[0].starts_with("GET /x?y HTTP/1.1\r\n"));
        }
    }

    #[test]
    fn a_body_is_sent_and_a_short_answer_is_an_error() {
        let (port, thread) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"]);
        let mut request = request(port, "POST");
        request.body = b"a=1".to_vec();
        let error = send(&request, &Context::system()).unwrap_err();
        assert!(error.contains("ends too early"), "{error}");
        assert!(thread.join().unwrap()[0].ends_with("|a=1"));
    }

    #[test]
    fn redirects_are_followed_and_credentials_stay_at_home() {
        let (port, thread) = server(&[
            "HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ]);
        let mut request = request(port, "GET");
        request.user = Some(("me".to_owned(), "pw".to_owned()));
        let response = send(&request, &Context::system()).unwrap();
        assert_eq!(body(&response), "ok");
        assert!(response.url.ends_with("/next"));
        let asked = thread.join().unwrap();
        assert!(!asked[0].contains("Authorization") && !asked[1].contains("Authorization"));
        assert!(asked[2].contains("Authorization: Basic bWU6cHc=\r\n"));
    }

    #[test]
    fn a_post_is_not_redirected_unless_asked() {
        let (port, thread) =
            server(&["HTTP/1.1 302 Found\r\nLocation: /n\r\nContent-Length: 0\r\n\r\n"]);
        let response = send(&request(port, "POST"), &Context::system()).unwrap();
        assert_eq!(response.status, 302);
        thread.join().unwrap();
    }
}
