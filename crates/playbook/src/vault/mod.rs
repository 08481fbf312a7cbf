//! Values and files that are encrypted as `ansible-vault` does it.
//!
//! A password and a salt give three keys (PBKDF2, 10,000 rounds of HMAC-SHA-256): one for AES-256 in
//! counter mode, one for the HMAC over what AES gave, and the counter's start. The HMAC is checked
//! before anything is decrypted, in constant time. Keys are kept per salt, so a text costs its
//! rounds once, and only when somebody looks at it.
//!
//! Never here: asking for passwords, running the scripts that know them, drawing salts.

mod envelope;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, is_encrypted};

use aes::Aes256;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use updraft_base::{Blame, Blamed, Secret};
use zeroize::Zeroizing;

/// The label of a password that was given without one.
pub const DEFAULT_ID: &str = "default";

/// Bytes of a salt that is drawn by chance, as `ansible-vault` draws it.
pub const SALT: usize = 32;

/// Rounds of PBKDF2, fixed by the format (ansible-core 2.19, `VaultAES256`).
const ROUNDS: u32 = 10_000;

/// The block that texts are padded to, in bytes.
const BLOCK: usize = 16;

/// Key of AES, key of the HMAC, and the first counter.
const KEYS: usize = 32 + 32 + 16;

/// How the sentence begins that a file cannot be decrypted.
pub(crate) const CANNOT_OPEN: &str = "cannot decrypt";

/// Why something cannot be encrypted or decrypted. The sentences are those of Ansible, because
/// people look for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is not encrypted.
    #[error("Input is not vault encrypted data.")]
    Plain,
    /// It is encrypted already.
    #[error("input is already encrypted")]
    Already,
    /// The header is not one.
    #[error("Vault envelope format error.")]
    Envelope,
    /// The body is not hexadecimal; with the reason.
    #[error("Vault format unhexlify error: {0}")]
    Hex(&'static str),
    /// The body has not three parts.
    #[error("Vault vaulttext format error.")]
    Body,
    /// It was encrypted in a way that nobody does any more.
    #[error("Cipher '{0}' could not be found.")]
    Cipher(String),
    /// There is no password at all.
    #[error("Attempting to decrypt but no vault secrets found.")]
    NoPasswords,
    /// No password fits.
    #[error("Decryption failed (no vault secrets were found that could decrypt).")]
    NoneFits,
    /// What was inside is not text, and text was needed.
    #[error("what was decrypted is not UTF-8")]
    NotText,
}

impl Blamed for VaultError {
    fn blame(&self) -> Blame {
        Blame::Asked
    }
}

/// One password, with the label it goes by.
#[derive(Clone, Debug)]
pub struct Password {
    /// The label; [`DEFAULT_ID`] where none was given.
    pub id: String,
    secret: Arc<Secret<Zeroizing<Vec<u8>>>>,
}

impl Password {
    /// A password under a label.
    pub fn new(id: impl Into<String>, secret: Vec<u8>) -> Self {
        Self { id: id.into(), secret: Arc::new(Secret::new(Zeroizing::new(secret))) }
    }

    /// Encrypts `plain` for whoever has this password.
    ///
    /// # Errors
    /// When it is encrypted already.
    pub fn encrypt(
        &self,
        plain: &[u8],
        id: Option<&str>,
        salt: &[u8],
    ) -> Result<String, VaultError> {
        if is_encrypted(plain) {
            return Err(VaultError::Already);
        }
        let keys = self.keys(salt);
        // PKCS #7 (RFC 5652, section 6.3): as many bytes as are missing, each saying how many.
        let missing = BLOCK - plain.len() % BLOCK;
        let mut body = plain.to_vec();
        body.extend(std::iter::repeat_n(u8::try_from(missing).unwrap_or(0), missing));
        keys.stream(&mut body);
        let code = keys.code(&body).finalize().into_bytes().to_vec();
        Ok(Envelope { id: id.map(str::to_owned), salt: salt.to_vec(), code, body }.to_text())
    }

    fn keys(&self, salt: &[u8]) -> Keys {
        let mut keys = Zeroizing::new([0; KEYS]);
        pbkdf2::pbkdf2_hmac::<Sha256>(self.secret.expose(), salt, ROUNDS, keys.as_mut_slice());
        Keys(keys)
    }
}

#[derive(Clone)]
struct Keys(Zeroizing<[u8; KEYS]>);

impl Keys {
    /// Encrypts or decrypts in place: counter mode is its own inverse.
    fn stream(&self, bytes: &mut [u8]) {
        let (key, counter) = (&self.0[..32], &self.0[64..]);
        let mut cipher = ctr::Ctr128BE::<Aes256>::new_from_slices(key, counter)
            .expect("32 bytes are a key and 16 are a counter");
        cipher.apply_keystream(bytes);
    }

    fn code(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut code =
            Hmac::new_from_slice(&self.0[32..64]).expect("an HMAC takes keys of any length");
        code.update(body);
        code
    }

    /// What is inside, if these are the keys for it.
    fn open(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
        self.code(&envelope.body).verify_slice(&envelope.code).ok()?;
        let mut plain = Zeroizing::new(envelope.body.clone());
        self.stream(&mut plain);
        let padding = usize::from(*plain.last()?);
        let kept = plain.len().checked_sub(padding)?;
        let padded = (1..=BLOCK).contains(&padding)
            && plain[kept..].iter().all(|byte| usize::from(*byte) == padding);
        padded.then(|| plain.truncate(kept))?;
        Some(plain)
    }
}

/// What was inside an encrypted text.
pub struct Opened<'v> {
    /// The content.
    pub plain: Zeroizing<Vec<u8>>,
    /// The password that fitted.
    pub password: &'v Password,
    /// The label in the header, if there was one.
    pub id: Option<String>,
}

/// The passwords of a run.
#[derive(Default)]
pub struct Vault {
    passwords: Vec<Password>,
    strict: bool,
    keys: Mutex<HashMap<(usize, Vec<u8>), Keys>>,
    known: Mutex<Known>,
}

/// Values that were decrypted in a run.
#[derive(Default)]
struct Known {
    /// What is inside of each encrypted text.
    plain: HashMap<Arc<str>, Arc<str>>,
    /// What each decrypted text was, by where it lies in memory. It lies there as long as `plain`
    /// holds it, and whatever is passed on unchanged is the same text.
    sealed: HashMap<usize, Arc<str>>,
}

impl Vault {
    /// Passwords from the best to the last. If `strict`, a text with a label is tried with the
    /// passwords of that label alone.
    pub fn new(passwords: Vec<Password>, strict: bool) -> Self {
        Self { passwords, strict, ..Self::default() }
    }

    /// The passwords, from the best to the last.
    pub fn passwords(&self) -> &[Password] {
        &self.passwords
    }

    /// Decrypts a text.
    ///
    /// # Errors
    /// When it is not encrypted, is damaged, or no password fits.
    pub fn open(&self, text: &[u8]) -> Result<Opened<'_>, VaultError> {
        let envelope = Envelope::parse(text)?;
        if self.passwords.is_empty() {
            return Err(VaultError::NoPasswords);
        }
        let label = envelope.id.as_deref().unwrap_or(DEFAULT_ID);
        let named = |wanted: bool| {
            self.passwords
                .iter()
                .enumerate()
                .filter(move |(_, password)| (password.id == label) == wanted)
        };
        let others = named(false).filter(|_| !self.strict);
        for (index, password) in named(true).chain(others) {
            if let Some(plain) = self.keys_of(index, &envelope.salt).open(&envelope) {
                return Ok(Opened { plain, password, id: envelope.id });
            }
        }
        Err(VaultError::NoneFits)
    }

    fn keys_of(&self, index: usize, salt: &[u8]) -> Keys {
        let place = (index, salt.to_vec());
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(place).or_insert_with(|| self.passwords[index].keys(salt)).clone()
    }

    /// Decrypts a text that holds text.
    ///
    /// # Errors
    /// As [`Vault::open`], and when there is no text inside.
    pub fn text(&self, text: &str) -> Result<String, VaultError> {
        let opened = self.open(text.as_bytes())?;
        String::from_utf8(opened.plain.to_vec()).map_err(|_| VaultError::NotText)
    }

    /// Decrypts a value, once for all who ask. The text is known again by [`Vault::sealed`] until
    /// somebody makes another text of it.
    ///
    /// # Errors
    /// As [`Vault::text`].
    pub fn value(&self, sealed: &str) -> Result<Arc<str>, VaultError> {
        if let Some(plain) = self.known().plain.get(sealed) {
            return Ok(Arc::clone(plain));
        }
        let (sealed, plain): (Arc<str>, Arc<str>) = (sealed.into(), self.text(sealed)?.into());
        let mut known = self.known();
        // Whoever was faster keeps their text: others may hold it by now.
        let plain = Arc::clone(known.plain.entry(Arc::clone(&sealed)).or_insert(plain));
        known.sealed.insert(plain.as_ptr().addr(), sealed);
        Ok(plain)
    }

    /// The encrypted text that a text was, if it came from [`Vault::value`].
    pub fn sealed(&self, plain: &Arc<str>) -> Option<Arc<str>> {
        self.known().sealed.get(&plain.as_ptr().addr()).cloned()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a file, decrypted if it is encrypted.
    ///
    /// # Errors
    /// With one sentence that names the file.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let name = path.display();
        let bytes =
            std::fs::read(path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
        if !is_encrypted(&bytes) {
            return Ok(bytes);
        }
        let opened = self.open(&bytes).map_err(|error| format!("{CANNOT_OPEN} `{name}`: {error}"));
        Ok(opened?.plain.to_vec())
    }

    /// As [`Vault::read`], for a file of text.
    ///
    /// # Errors
    /// With one sentence that names the file.
    pub fn read_text(&self, path: &Path) -> Result<String, String> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| format!("cannot read `{}`: it is not UTF-8", path.display()))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("passwords", &self.passwords).finish_non_exhaustive()
    }
}
