//! Becoming other users: an agent of theirs, started through sudo or su, to which requests are
//! handed on.
//!
//! A password goes to the standard input of sudo or su and nowhere else. The new agent says hello
//! unasked, so nothing but the password is written before we know that it runs.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use crate::connection::{Connection, lock};
use crate::failure::{becoming, refused, system};
use crate::peer;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use updraft_wire::{
    Become, Decoded, Decoder, Failure, Frame, Hello, Kind, MAX_ID, NOT_FOUND, PREAMBLE, Request,
    Response, VERSION,
};

/// PAM may ask a directory server that is slow or away before it lets anybody through.
const START: Duration = Duration::from_secs(30);

/// How much of what sudo or su says is kept for the error.
const MOST_COMPLAINT: usize = 4 << 10;

/// Agents of other users that belong to a connection.
#[derive(Default)]
pub(crate) struct Users(Mutex<HashMap<Key, Arc<Slot>>>);

/// Method, user, program, flags.
type Key = (String, String, Vec<String>, Vec<String>);

/// Locked while the agent is being started, so that it is started once. Beside it, the accounts as
/// they were then: a process never learns of groups that its user has been given since.
type Slot = Mutex<Option<(Arc<Child>, Accounts)>>;

/// Tells one state of the files that name users and groups from another.
#[derive(PartialEq, Eq)]
struct Accounts([Option<(u64, i64, i64)>; 2]);

impl Accounts {
    fn now(connection: &Connection) -> Self {
        Self(["/etc/passwd", "/etc/group"].map(|path| {
            // Whoever changes them puts a new file in their place.
            let meta = fs::metadata(connection.root.at(path)).ok()?;
            Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
        }))
    }
}

/// An agent of another user.
pub(crate) struct Child {
    stdin: Mutex<Option<ChildStdin>>,
    open: Mutex<HashSet<u32>>,
    /// What we asked ourselves, and who waits for the answer.
    asked: Mutex<HashMap<u32, Sender<Frame>>>,
    /// How often we asked.
    count: AtomicU32,
    gone: AtomicBool,
}

/// A request of ours to an agent of another user.
pub(crate) struct Asked {
    pub(crate) id: u32,
    answer: Receiver<Frame>,
}

impl Asked {
    /// Waits for the answer, or for the end of the other agent.
    pub(crate) fn answer(self, user: &str) -> Result<Response, Failure> {
        let ended = |_| becoming(format_args!("the agent of `{user}` has ended"));
        let frame = self.answer.recv().map_err(ended)?;
        frame.message().map_err(|fault| system("cannot read what another agent answers", fault))
    }
}

/// What happens while an agent starts.
enum Start {
    Ready,
    AskedAgain,
    Ended,
}

impl Users {
    /// Whether we are that user already.
    pub(crate) fn is_self(&self, user: &str) -> bool {
        peer::user() == user
    }

    /// The agent of a user, started if there is none yet.
    pub(crate) fn agent_for(
        &self,
        connection: &Arc<Connection>,
        wanted: &Become,
    ) -> Result<Arc<Child>, Failure> {
        let Become { method, user, exe, flags, .. } = wanted;
        let key = (method.clone(), user.clone(), exe.clone(), flags.clone());
        let slot = Arc::clone(lock(&self.0).entry(key).or_default());
        let mut slot = lock(&slot);
        let accounts = Accounts::now(connection);
        if let Some((child, known)) = &*slot
            && !child.gone.load(Ordering::SeqCst)
            && (*known == accounts || child.is_busy())
        {
            return Ok(Arc::clone(child));
        }
        if let Some((old, _)) = slot.take() {
            old.end();
        }
        let child = start(connection, wanted)?;
        *slot = Some((Arc::clone(&child), accounts));
        Ok(child)
    }

    /// Whether there is no agent of another user.
    pub(crate) fn are_none(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Ends all of them: each finishes what must not be cut off, then stops.
    pub(crate) fn end(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.0).drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some((child, _)) = lock(&slot).take() {
                child.end();
            }
        }
    }
}

impl Child {
    /// Whether anybody has asked something of it, or is about to. We hold it, and the thread that
    /// reads what it says.
    fn is_busy(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2
    }

    /// Lets it finish what must not be cut off, and stop.
    fn end(&self) {
        lock(&self.stdin).take();
    }

    /// Hands a request on. The answer goes to the controller without passing here.
    pub(crate) fn forward(&self, id: u32, request: &Request) -> Result<(), Failure> {
        lock(&self.open).insert(id);
        if self.send(&Frame::request(id, request)) && !self.gone.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Whoever takes the id out of the set answers.
        if lock(&self.open).remove(&id) {
            return Err(becoming("the other user's agent has ended"));
        }
        Ok(())
    }

    /// Asks for something whose answer is for us.
    pub(crate) fn ask(&self, request: &Request) -> Result<Asked, Failure> {
        // Controllers count from the other end.
        let id = MAX_ID - self.count.fetch_add(1, Ordering::SeqCst) % (MAX_ID / 2);
        let (sender, answer) = channel();
        lock(&self.asked).insert(id, sender);
        let sent = self.send(&Frame::request(id, request));
        if !sent || self.gone.load(Ordering::SeqCst) {
            lock(&self.asked).remove(&id);
        }
        Ok(Asked { id, answer })
    }

    /// Whoever waits for the answer to a request of ours, once.
    fn waits_for(&self, id: u32) -> Option<Sender<Frame>> {
        lock(&self.asked).remove(&id)
    }

    /// Sends a frame; returns whether it was written.
    pub(crate) fn send(&self, frame: &Frame) -> bool {
        self.write(&frame.to_bytes())
    }

    fn write(&self, bytes: &[u8]) -> bool {
        let mut stdin = lock(&self.stdin);
        stdin
            .as_mut()
            .is_some_and(|stdin| stdin.write_all(bytes).and_then(|()| stdin.flush()).is_ok())
    }
}

fn start(connection: &Arc<Connection>, wanted: &Become) -> Result<Arc<Child>, Failure> {
    let program = reachable(connection, &wanted.user)?;
    let prompt = format!("[updraft {}]", crate::files::random()?);
    let argv = argv(wanted, &program, &prompt)?;
    let told = |what: &str| {
        becoming(format_args!("cannot become `{}` by {}: {what}", wanted.user, wanted.method))
    };
    let mut process = Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|fault| match fault.kind() {
            // In the words of a shell that is asked for it.
            ErrorKind::NotFound => told(&format!("{}{NOT_FOUND}", argv[0])),
            _ => told(&fault.to_string()),
        })?;
    let stdin = process.stdin.take().expect("a piped stdin");
    let stdout = process.stdout.take().expect("a piped stdout");
    let stderr = process.stderr.take().expect("a piped stderr");
    let child = Arc::new(Child {
        stdin: Mutex::new(Some(stdin)),
        open: Mutex::default(),
        asked: Mutex::default(),
        count: AtomicU32::new(0),
        gone: AtomicBool::new(false),
    });
    if let Some(password) = &wanted.password {
        child.write(format!("{password}\n").as_bytes());
    }
    let (events, happened) = channel();
    let complaint = Arc::new(Mutex::new(String::new()));
    let listening = {
        let (complaint, events) = (Arc::clone(&complaint), events.clone());
        std::thread::spawn(move || listen(stderr, &prompt, &complaint, &events))
    };
    {
        let (child, connection) = (Arc::clone(&child), Arc::clone(connection));
        let (complaint, wanted) = (Arc::clone(&complaint), wanted.user.clone());
        std::thread::spawn(move || {
            pass_on(stdout, &child, &connection, &events);
            child.gone.store(true, Ordering::SeqCst);
            lock(&child.stdin).take();
            // Nobody else waits for it, and its status says nothing its last words do not.
            drop(process.wait());
            drop(listening.join());
            drop(events.send(Start::Ended));
            let last = last_words(&lock(&complaint));
            lock(&child.asked).clear();
            let left: Vec<u32> = lock(&child.open).drain().collect();
            for id in left {
                let fault = becoming(format_args!("the agent of `{wanted}` has ended: {last}"));
                connection.answer(id, &Response::Failed(fault));
            }
        });
    }
    let outcome = happened.recv_timeout(START);
    if let Ok(Start::Ready) = outcome {
        let mut greeting = PREAMBLE.to_vec();
        Frame::hello(&Hello { version: VERSION, nonce: 1, peer: None }).encode(&mut greeting);
        child.write(&greeting);
        return Ok(child);
    }
    // Without input sudo and su give up by themselves; killing them may not be our right.
    lock(&child.stdin).take();
    Err(match outcome {
        Ok(Start::AskedAgain) => told("the password was not accepted"),
        Ok(_) => told(&last_words(&lock(&complaint))),
        Err(_) => told(&format!("no answer within {} s", START.as_secs())),
    })
}

/// How to start the agent as somebody else.
fn argv(wanted: &Become, program: &Path, prompt: &str) -> Result<Vec<String>, Failure> {
    let Become { method, user, exe, flags, password } = wanted;
    if user.is_empty() || user.starts_with('-') || user.contains(['\0', '\n']) {
        return Err(refused(format_args!("`{user}` is not a user's name")));
    }
    let program = program.to_string_lossy().into_owned();
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut argv = match exe.is_empty() {
        true => text(&[method]),
        false => exe.clone(),
    };
    Ok(match &**method {
        "sudo" => {
            if flags.is_empty() {
                argv.push("-H".to_owned());
            }
            match password {
                Some(_) => argv.extend(text(&["-S", "-p", prompt])),
                None => argv.push("-n".to_owned()),
            }
            argv.extend(flags.iter().filter_map(|flag| without_asking(flag)));
            argv.extend(text(&["-u", user, "--", &program, "serve", "--stdio", "--announce"]));
            argv
        }
        "su" => {
            argv.extend(flags.iter().cloned());
            let quoted = program.replace('\'', r"'\''");
            let command = format!("exec '{quoted}' serve --stdio --announce");
            argv.extend(text(&[user, "-c", &command]));
            argv
        }
        other => {
            return Err(refused(format_args!(
                "become method `{other}` is not supported; use sudo or su"
            )));
        }
    })
}

/// A flag of sudo without what says how it asks, alone or among others: that is ours to say.
fn without_asking(flag: &str) -> Option<String> {
    let Some(letters) = flag.strip_prefix('-').filter(|letters| !letters.starts_with('-')) else {
        return Some(flag.to_owned());
    };
    // Behind a letter that takes a word stands the word.
    if !letters.chars().all(|letter| "ABbEHiKkNnPSs".contains(letter)) {
        return Some(flag.to_owned());
    }
    let left: String = letters.chars().filter(|letter| !"Sn".contains(*letter)).collect();
    (!left.is_empty()).then(|| format!("-{left}"))
}

/// A path to this program that `user` can run.
fn reachable(connection: &Connection, user: &str) -> Result<PathBuf, Failure> {
    let own =
        fs::read_link("/proc/self/exe").map_err(|fault| system("cannot find the agent", fault))?;
    let is_root = peer::account(|account| account.name == user).is_some_and(|found| found.uid == 0);
    if own.exists() && (is_root || open_to_all(&own)) {
        return Ok(own);
    }
    connection.staging.program()
}

/// Whether everybody may run the program and pass through the directories above it.
fn open_to_all(program: &Path) -> bool {
    let bits = |path: &Path| fs::metadata(path).map(|facts| facts.permissions().mode());
    let all = program.ancestors().all(|path| bits(path).is_ok_and(|mode| mode & 0o001 != 0));
    all && bits(program).is_ok_and(|mode| mode & 0o004 != 0)
}

/// Reads what sudo or su says, and notices when it asks a second time.
fn listen(mut stderr: impl Read, prompt: &str, complaint: &Mutex<String>, events: &Sender<Start>) {
    let mut chunk = [0; 1024];
    let mut all = String::new();
    while let Ok(length) = stderr.read(&mut chunk) {
        if length == 0 {
            return;
        }
        if all.len() > MOST_COMPLAINT {
            continue;
        }
        all.push_str(&String::from_utf8_lossy(&chunk[..length]));
        if all.matches(prompt).count() > 1 {
            // The other end is gone when nobody waits for the start any more.
            drop(events.send(Start::AskedAgain));
        }
        *lock(complaint) = all.replace(prompt, "");
    }
}

/// Passes what the other agent says on to the controller, until it ends.
fn pass_on(
    mut stdout: impl Read,
    child: &Child,
    connection: &Arc<Connection>,
    events: &Sender<Start>,
) {
    let mut decoder = Decoder::new();
    let mut chunk = vec![0; 64 << 10];
    while let Ok(length) = stdout.read(&mut chunk) {
        if length == 0 {
            return;
        }
        decoder.push(&chunk[..length]);
        while let Ok(Some(found)) = decoder.decode() {
            let Decoded::Frame(frame) = found else {
                continue;
            };
            match frame.kind {
                Kind::Hello => drop(events.send(Start::Ready)),
                Kind::Response if let Some(waits) = child.waits_for(frame.id) => {
                    // Who no longer waits has given up.
                    waits.send(frame).ok();
                }
                Kind::Response => {
                    if lock(&child.open).remove(&frame.id) {
                        connection.pass_on(&frame);
                    }
                }
                _ => connection.pass_on(&frame),
            }
        }
    }
}

fn last_words(complaint: &str) -> String {
    // Behind a user it does not know sudo 1.9 says that its log could not be opened either.
    let matters = |line: &&str| !line.is_empty() && !line.starts_with("sudo: error initializing");
    let mut lines = complaint.lines().map(str::trim).filter(matters);
    lines.next_back().unwrap_or("it ended without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(method: &str, password: Option<&str>) -> Become {
        Become {
            method: method.to_owned(),
            user: "app".to_owned(),
            exe: Vec::new(),
            flags: Vec::new(),
            password: password.map(str::to_owned),
        }
    }

    #[test]
    fn a_password_is_in_no_argument() {
        for method in ["sudo", "su"] {
            let argv = argv(&wish(method, Some("hunter2")), Path::new("/a b/agent"), "?").unwrap();
            assert!(!argv.iter().any(|word| word.contains("hunter2")), "{argv:?}");
        }
    }

    #[test]
    fn sudo_never_asks_when_there_is_no_password() {
        let argv = argv(&wish("sudo", None), Path::new("/agent"), "?").unwrap();
        assert!(argv.contains(&"-n".to_owned()) && !argv.contains(&"-S".to_owned()), "{argv:?}");
    }

    #[test]
    fn another_program_and_its_flags_are_taken_as_they_are() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let started = |method, exe: &str, flags: &str, password| {
            let (exe, flags) = (words(exe), words(flags));
            let wanted = Become { exe, flags, ..wish(method, password) };
            argv(&wanted, Path::new("/agent"), "?").unwrap().join(" ")
        };
        let serve = "/agent serve --stdio --announce";
        assert_eq!(
            started("sudo", "/opt/sudo", "-HSn -E -g www", None),
            format!("/opt/sudo -n -H -E -g www -u app -- {serve}")
        );
        assert_eq!(
            started("sudo", "env sudo", "-nE -n", Some("hunter2")),
            format!("env sudo -S -p ? -E -u app -- {serve}")
        );
        assert_eq!(
            started("su", "sudo su", "-", None),
            format!("sudo su - app -c exec '/agent' serve --stdio --announce")
        );
    }

    #[test]
    fn a_name_that_looks_like_an_option_is_refused() {
        let wanted = Become { user: "-c".to_owned(), ..wish("su", None) };
        assert!(argv(&wanted, Path::new("/agent"), "?").is_err());
    }
}
