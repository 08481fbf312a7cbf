//! Files that are encrypted in place, shown, edited.
//!
//! A file is replaced by another one at once, so that whoever interrupts leaves either the old
//! content or the new. What was readable is then overwritten on disk.

use super::VaultFault;
use crate::settings::Settings;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use updraft_base::Chance as _;
use updraft_host::OsChance;
use updraft_playbook::vault::{Envelope, Password, SALT, Vault, VaultError};

/// Standard input and output, where a file is named.
const STREAM: &str = "-";

/// Encrypts with one password.
#[derive(Clone, Debug)]
pub struct Sealer {
    /// The password.
    pub password: Password,
    /// The label that is written.
    pub id: Option<String>,
    /// The salt, instead of one drawn by chance.
    pub salt: Option<String>,
}

impl Sealer {
    /// Encrypted text.
    ///
    /// # Errors
    /// When it is encrypted already.
    pub fn seal(&self, plain: &[u8]) -> Result<String, VaultFault> {
        let drawn: Vec<u8> =
            (0..SALT / 8).flat_map(|_| OsChance.next_u64().to_le_bytes()).collect();
        let salt = self.salt.as_ref().map_or(drawn.as_slice(), |salt| salt.as_bytes());
        self.password
            .encrypt(plain, self.id.as_deref(), salt)
            .map_err(|error| VaultFault::Text { error, file: None })
    }
}

/// Works on encrypted files.
pub struct Editor<'a> {
    /// The passwords that files are read with.
    pub vault: &'a Vault,
    /// Home, editor, salt.
    pub settings: &'a Settings,
}

impl Editor<'_> {
    /// Encrypts a file in place, or into another.
    ///
    /// # Errors
    /// When it is encrypted already, or cannot be read or written.
    pub fn encrypt(&self, file: &str, sealer: &Sealer, to: Option<&str>) -> Result<(), VaultFault> {
        let path = real(file);
        let sealed = sealer.seal(&read(&path)?)?;
        put(sealed.as_bytes(), to.map_or(path, PathBuf::from).as_path(), None, true)
    }

    /// Decrypts a file in place, or into another.
    ///
    /// # Errors
    /// When it is not encrypted, no password fits, or it cannot be read or written.
    pub fn decrypt(&self, file: &str, to: Option<&str>) -> Result<(), VaultFault> {
        let path = real(file);
        let plain = self.plain_of(&path)?;
        put(&plain, to.map_or(path, PathBuf::from).as_path(), None, false)
    }

    /// The content of an encrypted file.
    ///
    /// # Errors
    /// When it is not encrypted, no password fits, or it cannot be read.
    pub fn plain(&self, file: &str) -> Result<Vec<u8>, VaultFault> {
        self.plain_of(&real(file)).map_err(|fault| match fault {
            VaultFault::Text { error, .. } => {
                VaultFault::Text { error, file: Some(file.to_owned()) }
            }
            other => other,
        })
    }

    fn plain_of(&self, path: &Path) -> Result<Vec<u8>, VaultFault> {
        let opened = self.vault.open(&read(path)?).map_err(|error| within(path, error))?;
        Ok(opened.plain.to_vec())
    }

    /// Encrypts a file anew.
    ///
    /// # Errors
    /// When it is not encrypted, no password fits, or it cannot be read or written.
    pub fn rekey(&self, file: &str, sealer: &Sealer) -> Result<(), VaultFault> {
        let path = real(file);
        let meta = look(&path)?;
        let sealed = sealer.seal(&self.plain_of(&path)?)?;
        put(sealed.as_bytes(), &path, Some(&meta), false)
    }

    /// Has a new file written by the person, and encrypts it.
    ///
    /// # Errors
    /// When it is there already, the editor cannot be started, or it cannot be written.
    pub fn create(&self, file: &str, sealer: &Sealer) -> Result<(), VaultFault> {
        let path = Path::new(file);
        if path.is_file() {
            return Err(VaultFault::World(format!("{file} exists, please use 'edit' instead")));
        }
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|error| {
                let directory = directory.display();
                VaultFault::World(format!("cannot make the directory `{directory}`: {error}"))
            })?;
        }
        let written = self.edited(path, &[])?;
        put(sealer.seal(&written)?.as_bytes(), path, None, false)
    }

    /// Has an encrypted file changed by the person. Password, label and mode stay.
    ///
    /// # Errors
    /// When it is not encrypted, no password fits, the editor cannot be started, or it cannot be
    /// written.
    pub fn edit(&self, file: &str) -> Result<(), VaultFault> {
        let path = real(file);
        let meta = look(&path)?;
        let text = read(&path)?;
        let opened = self.vault.open(&text).map_err(|error| within(&path, error))?;
        let written = self.edited(&path, &opened.plain)?;
        if written == *opened.plain {
            return Ok(());
        }
        let id = Envelope::parse(&text).ok().and_then(|envelope| envelope.id);
        let salt = self.settings.config.vault_encrypt_salt.value.clone();
        let sealer = Sealer { password: opened.password.clone(), id, salt };
        put(sealer.seal(&written)?.as_bytes(), &path, Some(&meta), false)
    }

    /// What the person made of `plain`. It stands in a file of its own meanwhile, which nobody
    /// else may read and which is overwritten afterwards.
    fn edited(&self, like: &Path, plain: &[u8]) -> Result<Vec<u8>, VaultFault> {
        let directory = match &self.settings.home {
            Some(home) => home.join(".ansible/tmp"),
            None => std::env::temp_dir(),
        };
        std::fs::create_dir_all(&directory)
            .map_err(|error| trouble("make the directory", &directory, &error))?;
        let end = like.extension().map(|end| format!(".{}", end.to_string_lossy()));
        let name = format!("vault-{:016x}{}", OsChance.next_u64(), end.unwrap_or_default());
        let draft = Draft(directory.join(name));
        fresh(&draft.0, plain).map_err(|error| trouble("write", &draft.0, &error))?;
        let editor = self.settings.config.editor.as_str();
        let words: Vec<String> = shlex::split(editor).unwrap_or_default();
        let (program, args) = words.split_first().ok_or_else(|| {
            VaultFault::Usage(format!("Unable to execute the command \"{editor}\": it is empty"))
        })?;
        let mut args = args.to_vec();
        args.push(draft.0.display().to_string());
        let ran = tokio::task::block_in_place(|| updraft_host::attended(program, &args));
        ran.map_err(|error| {
            VaultFault::World(format!("Unable to execute the command \"{editor}\": {error}"))
        })?;
        read(&draft.0)
    }
}

/// Writes encrypted text to a file, or to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn put_sealed(text: &str, to: Option<&str>) -> Result<(), VaultFault> {
    put(text.as_bytes(), Path::new(to.unwrap_or(STREAM)), None, false)
}

/// Plain text on disk for as long as somebody edits it.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(&self.0) {
            overwrite(file);
        }
        // What the editor moved away itself is not there any more.
        drop(std::fs::remove_file(&self.0));
    }
}

fn within(path: &Path, error: VaultError) -> VaultFault {
    VaultFault::Text { error, file: Some(path.display().to_string()) }
}

fn trouble(what: &str, path: &Path, error: &std::io::Error) -> VaultFault {
    VaultFault::World(format!("cannot {what} `{}`: {error}", path.display()))
}

/// The file itself, where a link was named.
fn real(file: &str) -> PathBuf {
    if file == STREAM {
        return PathBuf::from(file);
    }
    let full = || std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    std::fs::canonicalize(file).unwrap_or_else(|_| full())
}

fn look(path: &Path) -> Result<std::fs::Metadata, VaultFault> {
    std::fs::metadata(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> VaultFault {
    VaultFault::World(format!("Unable to read source file ({}): {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, VaultFault> {
    if path == Path::new(STREAM) {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|error| unreadable(path, &error));
    }
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

fn fresh(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a file at once, readable by its owner alone, or as the one before was. `shred`: what was
/// in it before is overwritten.
fn put(
    bytes: &[u8],
    path: &Path,
    like: Option<&std::fs::Metadata>,
    shred: bool,
) -> Result<(), VaultFault> {
    if path == Path::new(STREAM) {
        let mut out = std::io::stdout().lock();
        let wrote = out.write_all(bytes).and_then(|()| out.flush());
        return wrote.map_err(|error| trouble("write", path, &error));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let draft = directory.join(format!(".vault-{:016x}", OsChance.next_u64()));
    let before = std::fs::OpenOptions::new().write(true).open(path).ok();
    let wrote = fresh(&draft, bytes)
        .and_then(|()| match like {
            Some(meta) => {
                let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777);
                // Only root may give a file away; to whom it belongs anyway, anybody may.
                std::os::unix::fs::chown(&draft, Some(meta.uid()), Some(meta.gid()))?;
                std::fs::set_permissions(&draft, mode)
            }
            None => Ok(()),
        })
        .and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = wrote {
        drop(std::fs::remove_file(&draft));
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                VaultFault::World(format!("Destination '{}' not writable", directory.display()))
            }
            _ => trouble("write", path, &error),
        });
    }
    // By now nothing has that name any more; somebody else's link to it would lose its content.
    if let Some(before) = before.filter(|_| shred)
        && before.metadata().is_ok_and(|meta| meta.nlink() == 0)
    {
        overwrite(before);
    }
    Ok(())
}

/// Overwrites what a file holds. How much that is worth depends on the disk; there is nobody to
/// tell that it failed.
fn overwrite(mut file: std::fs::File) {
    let Ok(length) = file.metadata().map(|meta| meta.len()) else { return };
    let mut left = length;
    if file.rewind().is_err() {
        return;
    }
    while left > 0 {
        let block = OsChance.next_u64().to_le_bytes().repeat(512);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if file.write_all(&block[..size]).is_err() {
            return;
        }
        left -= size as u64;
    }
    drop(file.sync_all());
}
