//! systemd's manager, asked on its own socket instead of through `systemctl`.
//!
//! Each start of `systemctl` loads four megabytes of libraries to send one message: 70 ms in an
//! emulated guest and five times that when the guest has just gone on from a template. The message
//! itself takes a few. Process 1 answers root alone on [`SOCKET`], in D-Bus's wire format and
//! without a bus between. Sources: D-Bus specification (message format, `EXTERNAL`),
//! org.freedesktop.systemd1(5).
//!
//! Whoever asks here must be ready for [`ManagerError`] and ask `systemctl` then: it knows init
//! scripts, chroots and how to word an error.

use crate::context::Context;
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use zbus::wire::serialized::{Context as Encoding, Data};
use zbus::wire::{LE, to_bytes};
use zbus::{OwnedObjectPath, OwnedVariant, Signature, Type, Variant};

/// Where process 1 answers.
pub(crate) const SOCKET: &str = "/run/systemd/private";

const DESTINATION: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Kinds of messages, and the fields of their headers, by their numbers in the specification.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const REPLY_SERIAL: u8 = 5;
const TO: u8 = 6;
const SIGNATURE: u8 = 8;

/// More than any answer to what is asked here: a property, a job, a handful of links.
const LARGEST: usize = 1 << 20;

/// How often a wait looks whether it is to end.
const TICK: Duration = Duration::from_millis(200);

/// How long an answer may take: reading all units again took an emulated machine seconds, and
/// `systemctl` gives it three minutes.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);

/// Suffixes of names that are units as they are; others are services.
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".scope",
    ".device",
];

/// Why the manager did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerError {
    #[error("cannot talk to systemd: {0}")]
    Io(#[from] io::Error),
    #[error("systemd said what is no D-Bus: {0}")]
    Format(String),
    #[error("systemd refused: {0}")]
    Refused(String),
}

impl From<zbus::Error> for ManagerError {
    fn from(error: zbus::Error) -> Self {
        Self::Format(error.to_string())
    }
}

/// A connection with process 1.
pub(crate) struct Manager<'a> {
    stream: UnixStream,
    serial: u32,
    /// Reading of the steady clock by which something has to come.
    until: Option<Duration>,
    /// Jobs that ended while something else was waited for, and how.
    ended: Vec<(String, String)>,
    /// Something did not come or was not understood: nobody knows where the next message begins.
    broken: bool,
    ctx: &'a Context,
}

/// A text in a header, with what it is one of. The type of a body has no brackets around it, as a
/// value that is a type would.
struct Field<'t>(Signature, &'t str);

impl Type for Field<'_> {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut variant = serializer.serialize_struct("Variant", 2)?;
        variant.serialize_field("signature", &self.0)?;
        variant.serialize_field("value", self.1)?;
        variant.end()
    }
}

struct Message {
    kind: u8,
    reply_to: Option<u32>,
    member: String,
    signature: String,
    body: Vec<u8>,
}

impl Message {
    fn read<T: Type + DeserializeOwned>(&self) -> Result<T, ManagerError> {
        let wanted = T::SIGNATURE.to_string_no_parens();
        if self.signature != wanted {
            let what = format!("an answer of type `{}`, not `{wanted}`", self.signature);
            return Err(ManagerError::Format(what));
        }
        Ok(Data::new(&self.body[..], Encoding::new(LE, 0)).deserialize::<T>()?.0)
    }
}

impl<'a> Manager<'a> {
    /// Connects, and says who we are.
    pub(crate) fn connect(socket: &Path, ctx: &'a Context) -> Result<Self, ManagerError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TICK))?;
        let until = Some(ctx.time.steady() + ANSWERS_WITHIN);
        let mut manager = Self { stream, serial: 0, until, ended: Vec::new(), broken: false, ctx };
        let uid = rustix::process::geteuid().as_raw().to_string();
        let digits: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        // `BEGIN` goes along, as systemd's own programs send it: if it came together with the first
        // message, systemd would keep that message until the next one comes.
        let opening = format!("\0AUTH EXTERNAL {digits}\r\nBEGIN\r\n");
        manager.stream.write_all(opening.as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 256 {
            let mut byte = [0];
            manager.fill(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err(ManagerError::Refused(String::from_utf8_lossy(&line).trim().to_owned()));
        }
        Ok(manager)
    }

    /// The state of a unit's file: `enabled`, `disabled`, `static`, ….
    pub(crate) fn unit_file_state(&mut self, unit: &str) -> Result<String, ManagerError> {
        self.call(OBJECT, MANAGER, "GetUnitFileState", &[&full_name(unit)])?.read()
    }

    /// A property of a unit, which is loaded if it was not.
    pub(crate) fn property(&mut self, unit: &str, name: &str) -> Result<String, ManagerError> {
        self.property_of(UNIT, unit, name)
    }

    fn property_of(
        &mut self,
        interface: &str,
        unit: &str,
        name: &str,
    ) -> Result<String, ManagerError> {
        let answer = self.call(&path_of(unit), PROPERTIES, "Get", &[interface, name])?;
        let value: Variant<'static> = answer.read::<OwnedVariant>()?.into();
        match value {
            Variant::Str(text) => Ok(text.as_str().to_owned()),
            other => Err(ManagerError::Format(format!("{name} is no string: {other:?}"))),
        }
    }

    /// Links the unit's file to where it asks to be linked. The manager is not told to read them.
    pub(crate) fn enable(&mut self, unit: &str) -> Result<(), ManagerError> {
        let arguments = (vec![full_name(unit)], false, false);
        self.send(OBJECT, MANAGER, "EnableUnitFiles", &arguments)?;
        self.answer().map(drop)
    }

    /// Makes the manager read its configuration and all units again, and waits until it has.
    pub(crate) fn reload(&mut self) -> Result<(), ManagerError> {
        self.call(OBJECT, MANAGER, "Reload", &[]).map(drop)
    }

    /// Starts, stops, restarts or reloads a unit. Gives the manager's word for how that ended:
    /// `done`, `failed`, `timeout`, `dependency`, ….
    ///
    /// # Errors
    ///
    /// When the manager does not take the job on. A connection that is lost once it was asked is an
    /// end of its own, `lost`: the job may go on, and must not be asked for twice.
    pub(crate) fn job(&mut self, verb: &str, unit: &str) -> Result<String, ManagerError> {
        let member = match verb {
            "start" => "StartUnit",
            "stop" => "StopUnit",
            "restart" => "RestartUnit",
            "reload" => "ReloadUnit",
            _ => return Err(ManagerError::Format(format!("`{verb}` is no job"))),
        };
        self.call(OBJECT, MANAGER, "Subscribe", &[])?;
        let answer = self.call(OBJECT, MANAGER, member, &[&full_name(unit), "replace"]);
        let job = match answer.and_then(|answer| answer.read::<OwnedObjectPath>()) {
            Ok(job) => job.as_str().to_owned(),
            Err(ManagerError::Refused(text)) => return Err(ManagerError::Refused(text)),
            // It may have been taken on, whatever was understood of the answer.
            Err(_) => return Ok("lost".to_owned()),
        };
        // It takes as long as the unit takes.
        self.until = None;
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(path, _)| *path == job) {
                return Ok(result.clone());
            }
            let Ok(message) = self.receive() else {
                self.broken = true;
                return Ok("lost".to_owned());
            };
            self.note(&message);
        }
    }

    /// What systemd says of a service that failed, for a sentence.
    pub(crate) fn why(&mut self, unit: &str) -> Option<&'static str> {
        let result = self.property_of(SERVICE, unit, "Result").ok()?;
        Some(match result.as_str() {
            "resources" => "of unavailable resources or another system error",
            "protocol" => "the service did not take the steps required by its unit configuration",
            "timeout" => "a timeout was exceeded",
            "exit-code" => "the control process exited with error code",
            "signal" => "a fatal signal was delivered to the control process",
            "core-dump" => "a fatal signal was delivered causing the control process to dump core",
            "watchdog" => "the service failed to send watchdog ping",
            "start-limit-hit" => "start of the service was attempted too often",
            "oom-kill" => "of an out-of-memory (OOM) situation",
            _ => return None,
        })
    }

    /// Calls a method whose arguments are strings.
    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        arguments: &[&str],
    ) -> Result<Message, ManagerError> {
        match arguments {
            [] => self.send(path, interface, member, &())?,
            [one] => self.send(path, interface, member, one)?,
            [one, two] => self.send(path, interface, member, &(one, two))?,
            _ => return Err(ManagerError::Format(format!("too many words for {member}"))),
        }
        self.answer()
    }

    fn send<T: Serialize + Type>(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        arguments: &T,
    ) -> Result<(), ManagerError> {
        if self.broken {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        self.serial += 1;
        self.until = Some(self.ctx.time.steady() + ANSWERS_WITHIN);
        let body = to_bytes(Encoding::new(LE, 0), arguments)?;
        let signature = T::SIGNATURE.to_string_no_parens();
        let mut fields = vec![
            (PATH, Field(Signature::ObjectPath, path)),
            (INTERFACE, Field(Signature::Str, interface)),
            (MEMBER, Field(Signature::Str, member)),
            (TO, Field(Signature::Str, DESTINATION)),
        ];
        if !signature.is_empty() {
            fields.push((SIGNATURE, Field(Signature::Signature, &signature)));
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = (b'l', CALL, 0_u8, 1_u8, length, self.serial, fields);
        let mut bytes = to_bytes(Encoding::new(LE, 0), &header)?.to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&body);
        Ok(self.stream.write_all(&bytes)?)
    }

    /// The answer to what was sent last. Jobs that end meanwhile are kept.
    fn answer(&mut self) -> Result<Message, ManagerError> {
        loop {
            let message = match self.receive() {
                Ok(message) => message,
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            };
            match message.kind {
                RETURN if message.reply_to == Some(self.serial) => return Ok(message),
                ERROR if message.reply_to == Some(self.serial) => {
                    let text = message.read::<String>().unwrap_or_default();
                    return Err(ManagerError::Refused(text));
                }
                _ => self.note(&message),
            }
        }
    }

    fn note(&mut self, message: &Message) {
        if message.kind == SIGNAL
            && message.member == "JobRemoved"
            && let Ok((_, job, _, result)) =
                message.read::<(u32, OwnedObjectPath, String, String)>()
        {
            self.ended.push((job.as_str().to_owned(), result));
        }
    }

    fn receive(&mut self) -> Result<Message, ManagerError> {
        let mut bytes = vec![0; 16];
        self.fill(&mut bytes)?;
        let number = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            usize::try_from(u32::from_le_bytes(four)).unwrap_or(usize::MAX)
        };
        let (body, fields) = (number(4), number(12));
        if bytes[0] != b'l' || body > LARGEST || fields > LARGEST {
            return Err(ManagerError::Format("a header that cannot be".to_owned()));
        }
        bytes.resize((16 + fields).next_multiple_of(8), 0);
        self.fill(&mut bytes[16..])?;
        let mut message = Message {
            kind: bytes[1],
            reply_to: None,
            member: String::new(),
            signature: String::new(),
            body: vec![0; body],
        };
        self.fill(&mut message.body)?;
        type Header<'m> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'m>)>);
        let data = Data::new(&bytes[..], Encoding::new(LE, 0));
        let header: Header<'_> = data.deserialize()?.0;
        for (field, value) in header.6 {
            match (field, value) {
                (REPLY_SERIAL, Variant::U32(serial)) => message.reply_to = Some(serial),
                (MEMBER, Variant::Str(member)) => member.as_str().clone_into(&mut message.member),
                (SIGNATURE, Variant::Signature(signature)) => {
                    message.signature = signature.to_string_no_parens();
                }
                _ => {}
            }
        }
        Ok(message)
    }

    /// Reads exactly so many bytes; ends with an error when they are late or the module is to stop.
    fn fill(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let late = self.until.is_some_and(|until| self.ctx.time.steady() >= until);
            if late || self.ctx.stopped() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match self.stream.read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The name of a unit with its suffix.
pub(crate) fn full_name(unit: &str) -> String {
    match SUFFIXES.iter().any(|suffix| unit.ends_with(suffix)) {
        true => unit.to_owned(),
        false => format!("{unit}.service"),
    }
}

/// The object of a unit: letters and digits as they are, but no digit first, other bytes in hex.
fn path_of(unit: &str) -> String {
    let mut path = format!("{OBJECT}/unit/");
    for (index, byte) in full_name(unit).bytes().enumerate() {
        if byte.is_ascii_alphabetic() || index > 0 && byte.is_ascii_digit() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
pub(crate) mod tests;
