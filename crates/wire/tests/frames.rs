//! What crosses the line, byte for byte, and that nothing that crosses it can do harm.

use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;
use updraft_wire::{
    Decoded, Decoder, Exec, Exit, Frame, FrameError, Hello, Kind, MAX_BODY, OutputTag, PREAMBLE,
    Peer, Request, Response, VERSION,
};

fn check_golden(name: &str, bytes: &[u8]) {
    let mut text = String::new();
    for line in bytes.chunks(16) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let seen: String =
            line.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '.' }).collect();
        writeln!(text, "{:<47}  {seen}", hex.join(" ")).expect("text takes any text");
    }
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    if option_env!("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("goldens can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{} differs; UPDATE=1 rewrites it", path.display());
}

fn decode_all(decoder: &mut Decoder) -> Result<Vec<Decoded>, FrameError> {
    let mut found = Vec::new();
    while let Some(one) = decoder.decode()? {
        found.push(one);
    }
    Ok(found)
}

fn frames(found: Vec<Decoded>) -> Vec<Frame> {
    found
        .into_iter()
        .filter_map(|one| match one {
            Decoded::Frame(frame) => Some(frame),
            Decoded::Preamble => None,
        })
        .collect()
}

fn connection(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    bytes
}

fn decode(bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    frames(decode_all(&mut decoder).expect("frames and nothing else"))
}

#[test]
fn the_bytes_of_each_kind_are_the_agreed_ones() {
    let hello = Hello { version: VERSION, nonce: 0x0123_4567_89ab_cdef, peer: None };
    check_golden("hello-controller", &connection(&[Frame::hello(&hello)]));
    let peer = Peer {
        agent: "0.1.0".to_owned(),
        hostname: "worker-1".to_owned(),
        boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        user: "root".to_owned(),
        arch: "x86_64".to_owned(),
        machine: None,
    };
    check_golden("hello-agent", &connection(&[Frame::hello(&Hello { peer: Some(peer), ..hello })]));
    check_golden("ping", &Frame::request(1, &Request::Ping).to_bytes());
    let exec = Exec { argv: vec!["uptime".to_owned()], deadline_ms: 5000, ..Exec::default() };
    check_golden("exec", &Frame::request(2, &Request::Exec(exec)).to_bytes());
    check_golden("output", &Frame::output(2, OutputTag::Err, b"no\n").to_bytes());
    let exit = Response::Exec(Exit { code: 3, timed_out: false });
    check_golden("exit", &Frame::response(2, &exit).to_bytes());
    check_golden("data-end", &Frame::data(0x7fff_ffff, Vec::new()).to_bytes());
    check_golden("cancel", &Frame::cancel(7).to_bytes());
    check_golden("data-like-a-preamble", &Frame::data(3, PREAMBLE.to_vec()).to_bytes());
}

#[test]
fn a_frame_longer_than_allowed_is_refused_and_the_next_connection_is_found() {
    let mut bytes = PREAMBLE.to_vec();
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    bytes.extend_from_slice(&[5, 0, 0, 0, 0]);
    bytes.extend_from_slice(&connection(&[Frame::cancel(9)]));
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    assert_eq!(decoder.decode().unwrap(), Some(Decoded::Preamble));
    assert!(matches!(decoder.decode(), Err(FrameError::TooLong { .. })));
    assert_eq!(decoder.decode().unwrap(), Some(Decoded::Preamble));
    assert_eq!(decoder.decode().unwrap(), Some(Decoded::Frame(Frame::cancel(9))));
    assert_eq!(decoder.decode().unwrap(), None);
}

#[test]
fn a_connection_cut_off_in_a_frame_does_not_swallow_the_next_one() {
    let whole = connection(&[Frame::cancel(1), Frame::data(2, vec![7; 500])]);
    for cut in PREAMBLE.len()..whole.len() {
        let mut decoder = Decoder::new();
        decoder.push(&whole[..cut]);
        decode_all(&mut decoder).unwrap();
        decoder.push(&connection(&[Frame::cancel(3)]));
        let found = decode_all(&mut decoder).unwrap();
        let last = &found[found.len() - 2..];
        assert_eq!(last, [Decoded::Preamble, Decoded::Frame(Frame::cancel(3))], "cut at {cut}");
    }
}

/// Found by fuzzing: what is missing of the frame may come out of the preamble, whose end was then
/// looked for in what followed.
#[test]
fn a_connection_is_not_swallowed_either_when_it_arrives_byte_by_byte() {
    let whole = connection(&[Frame::cancel(1), Frame::data(2, vec![7; 40])]);
    for cut in PREAMBLE.len()..whole.len() {
        let mut decoder = Decoder::new();
        decoder.push(&whole[..cut]);
        decode_all(&mut decoder).unwrap();
        let mut found = Vec::new();
        for byte in connection(&[Frame::cancel(3)]) {
            decoder.push(&[byte]);
            // What looks like a frame that is none is an error of the old connection.
            found.extend(decode_all(&mut decoder).unwrap_or_default());
        }
        let last = &found[found.len().saturating_sub(2)..];
        assert_eq!(last, [Decoded::Preamble, Decoded::Frame(Frame::cancel(3))], "cut at {cut}");
    }
}

#[test]
fn a_message_longer_than_a_frame_arrives_whole() {
    let text = "x".repeat(3 * MAX_BODY + 5);
    let answer = Response::Text { text };
    let found = decode(&connection(&[Frame::cancel(1), Frame::response(4, &answer)]));
    assert_eq!(found[1].message::<Response>().unwrap(), answer);
}

#[test]
fn parts_that_never_end_are_refused() {
    let mut decoder = Decoder::new();
    decoder.push(&PREAMBLE);
    let part = Frame { kind: Kind::Part, id: 1, body: vec![b' '; MAX_BODY] }.to_bytes();
    let fault = (0..100).find_map(|_| {
        decoder.push(&part);
        decode_all(&mut decoder).err()
    });
    assert!(matches!(fault, Some(FrameError::MessageTooLong)));
}

#[test]
fn text_before_the_first_preamble_is_skipped() {
    let mut decoder = Decoder::new();
    decoder.push(b"Welcome to web-1!\nLast login: never\n");
    assert_eq!(decode_all(&mut decoder).unwrap(), []);
    decoder.push(&connection(&[Frame::cancel(1)]));
    assert_eq!(frames(decode_all(&mut decoder).unwrap()), [Frame::cancel(1)]);
}

/// Bytes in which pieces of the preamble are likely.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0..16usize, 0..=16usize).prop_map(|(a, b)| PREAMBLE[a.min(b)..a.max(b)].to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
        Just(PREAMBLE.to_vec()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let id = 0..=updraft_wire::MAX_ID;
    prop_oneof![
        (id.clone(), nasty()).prop_map(|(id, body)| Frame::data(id, body)),
        (id.clone(), nasty(), any::<bool>()).prop_map(|(id, body, out)| {
            Frame::output(id, if out { OutputTag::Out } else { OutputTag::Err }, &body)
        }),
        (id.clone(), ".*").prop_map(|(id, text)| Frame::response(id, &Response::Text { text })),
        id.prop_map(Frame::cancel),
    ]
}

/// Chunks of one stream joined, so that frames cut in two compare equal to whole ones.
fn told(frames: Vec<Frame>) -> Vec<(Kind, u32, Vec<u8>)> {
    let mut told: Vec<(Kind, u32, Vec<u8>)> = Vec::new();
    for frame in frames {
        let joins = |last: &(Kind, u32, Vec<u8>)| {
            last.0 == frame.kind
                && last.1 == frame.id
                && (frame.kind == Kind::Data
                    || frame.kind == Kind::Output && last.2.first() == frame.body.first())
        };
        match told.last_mut().filter(|last| joins(last)) {
            Some(last) if frame.kind == Kind::Output => last.2.extend_from_slice(&frame.body[1..]),
            Some(last) => last.2.extend_from_slice(&frame.body),
            None => told.push((frame.kind, frame.id, frame.body)),
        }
    }
    told
}

#[test]
fn a_preamble_cut_off_anywhere_is_not_completed_by_the_next_one() {
    for cut in 1..PREAMBLE.len() {
        let mut decoder = Decoder::new();
        decoder.push(&PREAMBLE[..cut]);
        decoder.push(&connection(&[Frame::cancel(42)]));
        assert_eq!(frames(decode_all(&mut decoder).unwrap()), [Frame::cancel(42)], "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn what_was_sent_is_what_arrives_however_it_is_cut(
        sent in prop::collection::vec(any_frame(), 0..6),
        sizes in prop::collection::vec(1..40usize, 1..200),
    ) {
        let bytes = connection(&sent);
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            decoder.push(now);
            found.extend(decode_all(&mut decoder).unwrap());
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(told(frames(found)), told(sent));
    }

    #[test]
    fn no_frame_contains_the_preamble_even_next_to_another(
        sent in prop::collection::vec(any_frame(), 0..6),
    ) {
        let mut bytes = Vec::new();
        sent.iter().for_each(|frame| frame.encode(&mut bytes));
        prop_assert!(!bytes.windows(PREAMBLE.len()).any(|window| window == PREAMBLE));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_stop(noise in nasty(), more in nasty()) {
        let mut decoder = Decoder::new();
        for bytes in [&PREAMBLE[..], &noise, &PREAMBLE, &more] {
            decoder.push(bytes);
            // A fault ends a connection; at most one lies between two preambles.
            for _ in 0..200 {
                if matches!(decoder.decode(), Ok(None)) {
                    break;
                }
            }
            prop_assert!(matches!(decoder.decode(), Ok(None)));
        }
        decoder.push(&connection(&[Frame::cancel(42)]));
        let mut last = None;
        for _ in 0..200 {
            match decoder.decode() {
                Ok(None) => break,
                Ok(found) => last = found,
                Err(_) => {}
            }
        }
        prop_assert_eq!(last, Some(Decoded::Frame(Frame::cancel(42))));
    }
}
