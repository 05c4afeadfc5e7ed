//! What is wrong before any body: garbage, lengths, headers, keys and versions.

use slipring_protocol::api::{APIS, ApiKey, lookup};

use crate::chance::Chance;
use crate::malformed::case::{CORRELATION_ID, Case, Ending, FRAME_BYTES_MAX, close, frame};

/// Bytes of other protocols, and of none.
pub(super) fn garbage(chance: &mut Chance) -> Vec<Case> {
    let mut cases = vec![
        Case::raw("garbage http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        Case::raw("garbage tls", [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 400]].concat()),
        Case::raw("garbage ssh", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        Case::raw("garbage zeros", vec![0; 4_096]),
        Case::raw("garbage ones", vec![0xff; 4_096]),
    ];
    for _ in 0..600 {
        let mut bytes = vec![0; 4];
        let length = chance.between(8, 2_000) as usize;
        bytes.extend(chance.bytes(length));
        // A key that is none, so that the outcome does not hang on chance.
        bytes[4] |= 0x40;
        cases.push(Case::raw("garbage in a frame", close(bytes)));
    }
    for _ in 0..200 {
        let mut bytes = chance.bytes(64);
        bytes[0] |= 0x80;
        cases.push(Case::raw("garbage with a negative length", bytes));
    }
    for _ in 0..200 {
        let mut bytes = chance.bytes(64);
        bytes[0] = 7 + bytes[0] % 0x78;
        cases.push(Case::raw("garbage with a huge length", bytes));
    }
    cases
}

/// Frame lengths, with and without what they promise.
pub(super) fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [-1, -2, i32::MIN, 0, 1, 2, 4, 7, 8, 9, FRAME_BYTES_MAX as i32 + 1, i32::MAX] {
        let bytes = [&length.to_be_bytes()[..], &[0; 9][..length.clamp(0, 9) as usize]].concat();
        cases.push(Case::raw(format!("length {length}"), bytes));
    }
    let most = (FRAME_BYTES_MAX as u32).to_be_bytes();
    cases.push(Case::raw("the longest frame, not sent", most.to_vec()));
    cases.push(Case::raw("the longest frame, begun", [&most[..], &[0, 18, 0, 0], &[0; 60_000]].concat()));
    let whole = frame(18, 0, b"");
    for end in 0..whole.len() {
        cases.push(Case::raw("a frame cut, then silence", whole[..end].to_vec()));
        cases.push(Case::raw("a frame cut, then closed", whole[..end].to_vec()).ending(Ending::HalfClose));
        cases.push(Case::raw("a frame cut, then reset", whole[..end].to_vec()).ending(Ending::Reset));
    }
    cases
}

/// Client ids and tagged fields of the header.
pub(super) fn headers() -> Vec<Case> {
    let mut cases = Vec::new();
    let plain = |name: &str, rest: &[u8]| header(&format!("client id {name}"), 3, 1, rest);
    // Metadata 1 with no topics follows each.
    const NO_TOPICS: &[u8] = &[0, 0, 0, 0];
    for (name, length) in
        [("of -2 bytes", -2), ("of the lowest length", i16::MIN), ("beyond the end", 30_000)]
    {
        cases.push(plain(name, &[&length.to_be_bytes()[..], NO_TOPICS].concat()));
    }
    cases.push(plain("null", &[&[0xff, 0xff], NO_TOPICS].concat()));
    cases.push(plain("empty", &[&[0, 0], NO_TOPICS].concat()));
    cases.push(plain("that is not UTF-8", &[&[0, 4, 0xff, 0xfe, 0xc0, 0x80], NO_TOPICS].concat()));
    cases.push(plain("with control characters", &[&[0, 4, 0, 10, 13, 27], NO_TOPICS].concat()));
    cases.push(plain("of 32767 bytes", &[&[0x7f, 0xff][..], &[b'x'; 32_767], NO_TOPICS].concat()));
    // Metadata 9: client id, tagged fields, then no topics, three flags and no tagged fields.
    const NOTHING: &[u8] = &[1, 0, 0, 0, 0];
    let tagged = |name: &str, tags: &[u8]| {
        let rest = [&[0, 1, b'a'][..], tags, NOTHING].concat();
        header(&format!("header tags: {name}"), 3, 9, &rest)
    };
    cases.push(tagged("one unknown", &[1, 5, 3, 1, 2, 3]));
    cases.push(tagged("the same twice", &[2, 5, 1, 1, 5, 1, 2]));
    cases.push(tagged("in falling order", &[2, 6, 1, 1, 5, 1, 2]));
    cases.push(tagged("a size beyond the end", &[1, 5, 200, 1]));
    cases.push(tagged("a highest size", &[1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]));
    cases.push(tagged("a highest count", &[0xff, 0xff, 0xff, 0xff, 0x0f]));
    cases.push(tagged("an endless count", &[0xff; 12]));
    for end in 0..10 {
        cases.push(Case::raw("a frame that ends in the header", close(frame(3, 9, b"")[..4 + end].to_vec())));
    }
    cases
}

/// Every key that there is and some that there are not, at versions that are not served.
pub(super) fn versions() -> Vec<Case> {
    let mut cases = Vec::new();
    for api in APIS {
        for (name, version) in [
            ("one below", api.min_served - 1),
            ("one above", api.max + 1),
            ("-1", -1),
            ("100", 100),
            ("lowest", i16::MIN),
            ("highest", i16::MAX),
        ] {
            // ApiVersions answers whatever the body holds.
            let body = if api.key == ApiKey::ApiVersions { &b"\x02a\x02a\0"[..] } else { b"" };
            let mut case =
                Case::request(format!("version {name}: {}", api.name), api.key.code(), version, body);
            case.version = None;
            case.is_watched = api.key != ApiKey::ApiVersions;
            cases.push(case);
        }
    }
    for key in [4, 5, 6, 7, 93, 94, 100, 127, 128, 255, 256, 1_000, i16::MAX, -1, i16::MIN] {
        debug_assert!(lookup(key).is_none());
        for version in [0, 1, i16::MAX] {
            let mut case = Case::request(format!("key {key}"), key, version, b"");
            (case.version, case.asked, case.is_watched) = (None, Vec::new(), true);
            cases.push(case);
        }
    }
    cases
}

/// A request whose header is `rest` after key, version and correlation id.
fn header(name: &str, key: i16, version: i16, rest: &[u8]) -> Case {
    let mut case = Case::request(name.to_owned(), key, version, b"");
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&CORRELATION_ID.to_be_bytes());
    bytes.extend_from_slice(rest);
    case.bytes = close(bytes);
    case.version = None;
    case
}
