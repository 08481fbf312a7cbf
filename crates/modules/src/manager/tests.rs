//! The manager's protocol, against one that answers by a script.

use super::*;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

/// A manager that answers each call by a script, and notes what it was asked.
pub(crate) struct FakeManager {
    pub(crate) socket: std::path::PathBuf,
    asked: JoinHandle<Vec<String>>,
}

/// What a [`FakeManager`] does when it is called.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// With nothing in it.
    Done,
    /// With the value of a property.
    Property(&'static str),
    /// With a text.
    Text(&'static str),
    /// With a job, that has ended so before the answer comes.
    Job(&'static str),
    /// With an error.
    Refused,
    /// Not at all: it hangs up.
    Gone,
}

impl FakeManager {
    pub(crate) fn start(dir: &Path, answers: &'static [Answer]) -> Self {
        let socket = dir.join("manager");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::thread::spawn(move || {
            let ctx = Context::system();
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TICK)).unwrap();
            let mut server = Manager {
                stream,
                serial: 0,
                until: None,
                ended: Vec::new(),
                broken: false,
                ctx: &ctx,
            };
            let mut opening = vec![0; "\0AUTH EXTERNAL \r\nBEGIN\r\n".len() + 2 * uid().len()];
            server.fill(&mut opening).unwrap();
            server.stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
            let mut asked = Vec::new();
            for answer in answers {
                let Ok(call) = server.receive() else { break };
                asked.push(call.member.clone());
                server.say(*answer, u32::try_from(asked.len()).unwrap());
                if matches!(answer, Answer::Gone) {
                    break;
                }
            }
            asked
        });
        Self { socket, asked }
    }

    /// The methods that were called, once it has been called as often as it answers.
    pub(crate) fn asked(self) -> Vec<String> {
        self.asked.join().unwrap()
    }
}

fn uid() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

impl Manager<'_> {
    fn say(&mut self, answer: Answer, to: u32) {
        let job = zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        match answer {
            Answer::Done => self.write(RETURN, to, "", &()),
            Answer::Property(text) => {
                self.write(RETURN, to, "", &zbus::as_variant::Serialize(&text));
            }
            Answer::Text(text) => self.write(RETURN, to, "", &text),
            Answer::Job(result) => {
                self.write(SIGNAL, to, "JobRemoved", &(7_u32, &job, "web.service", result));
                self.write(RETURN, to, "", &job);
            }
            Answer::Refused => self.write(ERROR, to, "", &"it cannot be"),
            Answer::Gone => {}
        }
    }

    fn write<T: Serialize + Type>(&mut self, kind: u8, to: u32, member: &str, body: &T) {
        let body = to_bytes(Encoding::new(LE, 0), body).unwrap();
        let signature = T::SIGNATURE.to_string_no_parens();
        let mut fields = vec![(MEMBER, Field(Signature::Str, member))];
        if !signature.is_empty() {
            fields.push((SIGNATURE, Field(Signature::Signature, &signature)));
        }
        // The number of the call it answers is no text; it goes last, by itself.
        let length = u32::try_from(body.len()).unwrap();
        let head = (b'l', kind, 0_u8, 1_u8, length, 1_u32, fields);
        let mut bytes = to_bytes(Encoding::new(LE, 0), &head).unwrap().to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let serial = [&[REPLY_SERIAL, 1, b'u', 0][..], &to.to_le_bytes()].concat();
        bytes.extend_from_slice(&serial);
        let fields = u32::try_from(bytes.len() - 16).unwrap();
        bytes[12..16].copy_from_slice(&fields.to_le_bytes());
        bytes.extend_from_slice(&body);
        self.stream.write_all(&bytes).unwrap();
    }
}

/// The bytes that a call must have, by the specification: no code of ours made these.
#[test]
fn a_call_is_written_as_the_specification_says() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ctx = Context::system();
    let mut manager = Manager {
        stream: ours,
        serial: 0,
        until: None,
        ended: Vec::new(),
        broken: false,
        ctx: &ctx,
    };
    manager.send("/a", "i.f", "M", &("x", "yz")).unwrap();
    drop(manager);
    let mut bytes = Vec::new();
    (&theirs).read_to_end(&mut bytes).unwrap();
    let expected: &[u8] = b"l\x01\0\x01\x0f\0\0\0\x01\0\0\0\x60\0\0\0\
        \x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\
        \x02\x01s\0\x03\0\0\0i.f\0\0\0\0\0\
        \x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0\
        \x06\x01s\0\x18\0\0\0org.freedesktop.systemd1\0\0\0\0\0\0\0\0\
        \x08\x01g\0\x02ss\0\
        \x01\0\0\0x\0\0\0\x02\0\0\0yz\0";
    assert_eq!(bytes, expected);
}

fn ask<T>(
    answers: &'static [Answer],
    question: impl FnOnce(&mut Manager<'_>) -> T,
) -> (T, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeManager::start(dir.path(), answers);
    let ctx = Context::system();
    let mut manager = Manager::connect(&fake.socket, &ctx).unwrap();
    let said = question(&mut manager);
    drop(manager);
    (said, fake.asked())
}

#[test]
fn properties_are_read_and_errors_are_told() {
    let (state, asked) = ask(&[Answer::Property("active")], |manager| {
        manager.property("web", "ActiveState").unwrap()
    });
    assert_eq!((state.as_str(), asked), ("active", vec!["Get".to_owned()]));
    let (state, _) =
        ask(&[Answer::Text("enabled")], |manager| manager.unit_file_state("web").unwrap());
    assert_eq!(state, "enabled");
    let (error, _) = ask(&[Answer::Refused], |manager| manager.enable("web").unwrap_err());
    assert_eq!(error.to_string(), "systemd refused: it cannot be");
    // An answer of another type than the one that was asked for.
    let (error, _) =
        ask(&[Answer::Text("web")], |manager| manager.property("web", "ActiveState").unwrap_err());
    assert!(error.to_string().contains("of type `s`, not `v`"), "{error}");
}

#[test]
fn a_job_that_ends_before_its_answer_is_not_missed() {
    let (result, asked) =
        ask(&[Answer::Done, Answer::Job("failed")], |manager| manager.job("start", "web").unwrap());
    assert_eq!(result, "failed");
    assert_eq!(asked, ["Subscribe", "StartUnit"]);
}

#[test]
fn a_job_that_was_asked_for_is_not_asked_for_twice() {
    let (result, _) =
        ask(&[Answer::Done, Answer::Gone], |manager| manager.job("restart", "web").unwrap());
    assert_eq!(result, "lost");
    let (refused, _) =
        ask(&[Answer::Done, Answer::Refused], |manager| manager.job("restart", "web").is_err());
    assert!(refused);
}

#[test]
fn a_line_that_broke_is_not_waited_for_again() {
    let (errors, asked) = ask(&[Answer::Gone, Answer::Done], |manager| {
        [manager.enable("web").unwrap_err(), manager.reload().unwrap_err()].map(|e| e.to_string())
    });
    assert_eq!(asked, ["EnableUnitFiles"]);
    assert!(errors[1].contains("not connected"), "{errors:?}");
}

#[test]
fn units_have_suffixes_and_objects() {
    assert_eq!(full_name("web"), "web.service");
    assert_eq!(full_name("web.timer"), "web.timer");
    assert_eq!(full_name("a.b"), "a.b.service");
    assert_eq!(path_of("7-a_b"), "/org/freedesktop/systemd1/unit/_37_2da_5fb_2eservice");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(
        mut head in proptest::collection::vec(proptest::num::u8::ANY, 16),
        rest in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        lengths in (0_u8..64, 0_u8..128),
    ) {
        head[0] = b'l';
        head[4..8].copy_from_slice(&u32::from(lengths.0).to_le_bytes());
        head[12..16].copy_from_slice(&u32::from(lengths.1).to_le_bytes());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[head, rest].concat()).unwrap();
        drop(theirs);
        let ctx = Context::system();
        let mut manager = Manager { stream: ours, serial: 0, until: None, ended: Vec::new(), broken: false, ctx: &ctx };
        while let Ok(message) = manager.receive() {
            manager.note(&message);
        }
    }
}
