//! Hashes of passwords as `/etc/shadow` and Apache's `htpasswd` hold them.
//!
//! Ulrich Drepper's SHA-crypt ("Unix crypt using SHA-256 and SHA-512", 2008), Poul-Henning Kamp's
//! MD5-crypt, and bcrypt (Provos, Mazières: A Future-Adaptable Password Scheme, 1999). Never
//! here: files, users, where a salt comes from.

use blowfish::Blowfish;
use sha2::Digest as _;
use updraft_base::Chance;

/// The alphabet of crypt(3), from the lowest six bits up.
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// bcrypt's own order of the same letters.
const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// What crypt(3) takes when nothing is said; it is not written into the hash.
const SILENT_ROUNDS: u32 = 5000;

/// The full name of a hash that may go by a short one.
pub fn full_name(kind: &str) -> &str {
    match kind {
        "md5" => "md5_crypt",
        "blowfish" => "bcrypt",
        "sha256" => "sha256_crypt",
        "sha512" => "sha512_crypt",
        other => other,
    }
}

/// How many letters a salt for it has.
pub fn salt_size(kind: &str) -> usize {
    match full_name(kind) {
        "sha256_crypt" | "sha512_crypt" => 16,
        "bcrypt" => 22,
        _ => 8,
    }
}

/// A salt that nobody can foresee.
pub fn salt(chance: &mut dyn Chance, size: usize) -> String {
    (0..size).map(|_| char::from(LETTERS[chance.below(64) as usize])).collect()
}

/// A salt of the lowest six bits of bytes that nobody can foresee.
pub fn salt_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 0x3f)])).collect()
}

/// The hash of a password. `rounds` counts turns, and for bcrypt their logarithm.
///
/// # Errors
/// When there is no such hash, or it cannot take the salt or the rounds.
pub fn hash(
    kind: &str,
    password: &str,
    salt: &str,
    rounds: Option<u32>,
    ident: Option<&str>,
) -> Result<String, String> {
    let name = full_name(kind);
    let limits = match name {
        "sha256_crypt" | "sha512_crypt" => (0, 16),
        "md5_crypt" => (0, 8),
        "bcrypt" => (22, 22),
        other => {
            return Err(format!(
                "{other} is not in the list of supported passlib algorithms: md5, blowfish, sha256, sha512"
            ));
        }
    };
    if !salt.bytes().all(|b| LETTERS.contains(&b)) {
        return Err("Could not hash the secret.: invalid characters in the salt".to_owned());
    }
    if salt.len() < limits.0 || salt.len() > limits.1 {
        return Err(format!("Could not hash the secret.: the salt has {} letters", salt.len()));
    }
    let range = if name == "bcrypt" { 4..=31 } else { 1000..=999_999_999 };
    if let Some(rounds) = rounds.filter(|rounds| name != "md5_crypt" && !range.contains(rounds)) {
        return Err(format!(
            "Could not hash the secret.: rounds must be from {} to {}, not {rounds}",
            range.start(),
            range.end()
        ));
    }
    let password = password.as_bytes();
    match name {
        "md5_crypt" => Ok(md5("1", password, salt)),
        "bcrypt" => bcrypt(password, salt, rounds.unwrap_or(12), ident.unwrap_or("2b")),
        // What Ansible takes, so that the cost does not depend on a library's version.
        "sha256_crypt" => {
            let rounds = rounds.unwrap_or(535_000);
            Ok(sha::<sha2::Sha256>("5", password, salt, rounds, &SHA256_ORDER))
        }
        _ => {
            let rounds = rounds.unwrap_or(656_000);
            Ok(sha::<sha2::Sha512>("6", password, salt, rounds, &SHA512_ORDER))
        }
    }
}

/// The hash that Apache's `htpasswd` writes when nothing else is said: MD5-crypt with a mark of
/// its own.
pub fn apr1(password: &str, salt: &str) -> String {
    md5("apr1", password.as_bytes(), salt)
}

/// Whether a password is that of a hash; nothing if the hash is of a kind that is not known here.
pub fn verify(known: &str, password: &str) -> Option<bool> {
    let mut parts = known.strip_prefix('$')?.split('$').peekable();
    let id = parts.next()?;
    let rounds = parts.next_if(|part| part.starts_with("rounds="));
    let rounds = match rounds {
        Some(told) => told["rounds=".len()..].parse().ok()?,
        None => SILENT_ROUNDS,
    };
    let hashed = match (id, parts.collect::<Vec<_>>().as_slice()) {
        ("1" | "apr1", [salt, _]) => md5(id, password.as_bytes(), salt),
        ("5", [salt, _]) => hash("sha256", password, salt, Some(rounds), None).ok()?,
        ("6", [salt, _]) => hash("sha512", password, salt, Some(rounds), None).ok()?,
        ("2a" | "2b" | "2y", [cost, rest]) if rest.len() == 53 => {
            let salt = rest.get(..22)?;
            hash("bcrypt", password, salt, Some(cost.parse().ok()?), Some(id)).ok()?
        }
        _ => return None,
    };
    // How a salt ends and rounds are told is not always written in one way.
    let sum = |text: &str| match id {
        "2a" | "2b" | "2y" => text.get(text.len() - 31..).map(str::to_owned),
        _ => text.rsplit('$').next().map(str::to_owned),
    };
    Some(sum(&hashed) == sum(known))
}

/// In which order the bytes of the digest are written, three for four letters.
const SHA256_ORDER: [[usize; 3]; 10] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
];
const SHA512_ORDER: [[usize; 3]; 21] = [
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
];
const MD5_ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// The lowest `count` groups of six bits, lowest first.
fn letters(out: &mut String, bytes: [u8; 3], count: usize) {
    let mut bits = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
    for _ in 0..count {
        out.push(char::from(LETTERS[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}

fn ordered(digest: &[u8], order: &[[usize; 3]]) -> String {
    let mut out = String::new();
    for [a, b, c] in order {
        letters(&mut out, [digest[*a], digest[*b], digest[*c]], 4);
    }
    out
}

/// `bytes` over and over, `length` of them.
fn filled(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

fn sha<D: sha2::Digest>(
    id: &str,
    password: &[u8],
    salt: &str,
    rounds: u32,
    order: &[[usize; 3]],
) -> String {
    let salt_bytes = salt.as_bytes();
    let once = |parts: &[&[u8]]| {
        let mut digest = D::new();
        parts.iter().for_each(|part| digest.update(part));
        digest.finalize().to_vec()
    };
    let b = once(&[password, salt_bytes, password]);
    let mut a = D::new();
    a.update(password);
    a.update(salt_bytes);
    a.update(filled(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            a.update(&b);
        } else {
            a.update(password);
        }
        bits >>= 1;
    }
    let a = a.finalize().to_vec();
    let p = filled(&once(&[&password.repeat(password.len())]), password.len());
    let s = filled(&once(&[&salt_bytes.repeat(16 + usize::from(a[0]))]), salt_bytes.len());
    let mut digest = a;
    for round in 0..rounds {
        let odd = round & 1 == 1;
        let mut c = D::new();
        c.update(if odd { &p } else { &digest });
        if round % 3 != 0 {
            c.update(&s);
        }
        if round % 7 != 0 {
            c.update(&p);
        }
        c.update(if odd { &digest } else { &p });
        digest = c.finalize().to_vec();
    }
    let mut text = ordered(&digest, order);
    match digest.len() {
        32 => letters(&mut text, [0, digest[31], digest[30]], 3),
        _ => letters(&mut text, [0, 0, digest[63]], 2),
    }
    let rounds = if rounds == SILENT_ROUNDS { String::new() } else { format!("rounds={rounds}$") };
    format!("${id}${rounds}{salt}${text}")
}

fn md5(id: &str, password: &[u8], text: &str) -> String {
    let salt = text.as_bytes();
    let mut alternate = md5::Md5::new();
    alternate.update(password);
    alternate.update(salt);
    alternate.update(password);
    let alternate = alternate.finalize();
    let mut first = md5::Md5::new();
    first.update(password);
    first.update(format!("${id}$"));
    first.update(salt);
    first.update(filled(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            first.update([0]);
        } else {
            first.update(&password[..1]);
        }
        bits >>= 1;
    }
    let mut digest = first.finalize().to_vec();
    for round in 0..1000 {
        let odd = round & 1 == 1;
        let mut next = md5::Md5::new();
        next.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest } else { password });
        digest = next.finalize().to_vec();
    }
    let mut sum = ordered(&digest, &MD5_ORDER);
    letters(&mut sum, [0, 0, digest[11]], 2);
    format!("${id}${text}${sum}")
}

fn bcrypt(password: &[u8], salt: &str, cost: u32, ident: &str) -> Result<String, String> {
    if !matches!(ident, "2" | "2a" | "2y" | "2b") {
        return Err(format!("Could not hash the secret.: no ident {ident}"));
    }
    let salt = bcrypt_bytes(salt);
    // Like every bcrypt, 72 bytes with the zero at the end.
    let mut key: Vec<u8> = password.iter().copied().chain([0]).collect();
    key.truncate(72);
    let mut state: Blowfish = Blowfish::bc_init_state();
    state.salted_expand_key(&salt, &key);
    for _ in 0..1u64 << cost {
        state.bc_expand_key(&key);
        state.bc_expand_key(&salt);
    }
    // "OrpheanBeholderScryDoubt"
    let mut words: [u32; 6] =
        [0x4f72_7068, 0x6561_6e42, 0x6568_6f6c, 0x6465_7253, 0x6372_7944, 0x6f75_6274];
    for pair in words.chunks_exact_mut(2) {
        for _ in 0..64 {
            let [left, right] = state.bc_encrypt([pair[0], pair[1]]);
            pair.copy_from_slice(&[left, right]);
        }
    }
    let digest: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).take(23).collect();
    Ok(format!("${ident}${cost:02}${}{}", bcrypt_text(&salt), bcrypt_text(&digest)))
}

/// 22 letters as 16 bytes; bits beyond them are dropped.
fn bcrypt_bytes(text: &str) -> [u8; 16] {
    let mut out = [0; 16];
    let (mut bits, mut count, mut at) = (0u32, 0, 0);
    for byte in text.bytes() {
        let value = BCRYPT.iter().position(|letter| *letter == byte).unwrap_or(0);
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 && at < out.len() {
            count -= 8;
            out[at] = (bits >> count) as u8;
            at += 1;
        }
    }
    out
}

fn bcrypt_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..=chunk.len() {
            out.push(char::from(BCRYPT[(bits >> (18 - 6 * at) & 0x3f) as usize]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_hash_as_libxcrypt_hashes_them() {
        // python3 -c 'import crypt; crypt.crypt(password, "$id$…salt")' on Debian 12.
        for (kind, password, salt, rounds, text) in [
            (
                "sha512",
                "secret",
                "saltsalt",
                Some(5000),
                "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
            ),
            (
                "sha512",
                "",
                "a",
                Some(1000),
                "$6$rounds=1000$a$q/ZSdy9IBSzcpbaIjdRTOu569QiYiP4n7Ab08Oq1Ir6J.GD1xR3BAwRIYHnavtE1Wzodknd9BxknlHhFBP/az1",
            ),
            (
                "sha512",
                "a much longer password than the digest of SHA-512 has bytes, so that it is filled",
                "saltsaltsaltsalt",
                Some(1001),
                "$6$rounds=1001$saltsaltsaltsalt$wYKl6FkO3ZwBUUjjXOvvLR/9vOIoOabXI.ArUbRZkrMFV3uTguH1xd/vaaCqOIhdQN2BIJNZviDKd.MRi9oLN.",
            ),
            (
                "sha256",
                "secret",
                "saltsalt",
                Some(5000),
                "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
            ),
            (
                "sha256",
                "grüße, über zweiunddreißig Bytes lang",
                "abc",
                Some(1234),
                "$5$rounds=1234$abc$yct/ya1ATj9vV.5VEWbqeRbL396V5dGIcsLSpq7ZjP3",
            ),
            ("md5", "secret", "saltsalt", None, "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"),
            ("md5", "seventeen letters", "x", None, "$1$x$8TgDBb4yM2htjhWnPqSUz."),
            (
                "bcrypt",
                "secret",
                "1234567890123456789012",
                Some(5),
                "$2b$05$123456789012345678901u.97m5mwuxOR3RvRKYm9sasohx5Mnzwq",
            ),
            (
                "bcrypt",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "abcdefghijklmnopqrstuu",
                Some(4),
                "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i",
            ),
        ] {
            assert_eq!(hash(kind, password, salt, rounds, None).unwrap(), text);
        }
    }

    #[test]
    fn a_hash_knows_its_password() {
        // openssl passwd -apr1 -salt saltsalt secret
        let apache = "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0";
        assert_eq!(apr1("secret", "saltsalt"), apache);
        for known in [
            apache,
            "$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
            "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
            "$5$rounds=5000$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
            "$2y$05$123456789012345678901u.97m5mwuxOR3RvRKYm9sasohx5Mnzwq",
        ] {
            assert_eq!(verify(known, "secret"), Some(true), "{known}");
            assert_eq!(verify(known, "Secret"), Some(false), "{known}");
        }
        for strange in ["", "secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "$y$j9T$x$y", "$5$x"] {
            assert_eq!(verify(strange, "secret"), None, "{strange}");
        }
    }

    #[test]
    fn what_cannot_be_hashed_is_refused() {
        assert!(hash("nope", "x", "y", None, None).is_err());
        assert!(hash("sha512", "x", "a b", None, None).is_err());
        assert!(hash("sha512", "x", "12345678901234567", None, None).is_err());
        assert!(hash("sha512", "x", "y", Some(1), None).is_err());
        assert!(hash("bcrypt", "x", "short", None, None).is_err());
    }
}
