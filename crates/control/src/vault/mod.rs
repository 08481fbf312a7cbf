//! Passwords for encrypted files: where they come from.
//!
//! A source is a file, a script that prints the password, a script that is asked for a label
//! (`*-client`), or the person. Sources are tried in order; one that fails is told and passed over
//! as long as another one gives a password.
//!
//! Never here: encrypting and decrypting, which `playbook` does.

mod files;

pub use files::{Editor, Sealer, put_sealed};

use crate::settings::Settings;
use std::path::{Path, PathBuf};
use updraft_base::{Blame, Blamed};
use updraft_playbook::Operator;
use updraft_playbook::config::Config;
use updraft_playbook::vault::{Password, Vault, VaultError};

/// Why something about encrypted files did not go well. The sentences are those of Ansible.
#[derive(Debug, thiserror::Error)]
pub enum VaultFault {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something in the world is not as it must be.
    #[error("{0}")]
    World(String),
    /// A text cannot be encrypted or decrypted.
    #[error("{error}{}", file.as_ref().map(|file| format!(" for {file}")).unwrap_or_default())]
    Text {
        /// Why.
        error: VaultError,
        /// The file it stands in.
        file: Option<String>,
    },
}

impl Blamed for VaultFault {
    fn blame(&self) -> Blame {
        match self {
            Self::Usage(_) | Self::Text { .. } => Blame::Asked,
            Self::World(_) => Blame::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Text { error: VaultError::NoPasswords, .. } => Some(
                "--vault-password-file FILE, --vault-id LABEL@SOURCE or -J gives a password"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// What the command line says about passwords.
#[derive(Clone, Debug, Default)]
pub struct VaultSources {
    /// `label@source`, or a source alone.
    pub ids: Vec<String>,
    /// Files and scripts without a label.
    pub files: Vec<String>,
    /// Ask the person.
    pub ask: bool,
}

/// What the passwords are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read what may be encrypted: nobody is asked who did not offer.
    Run,
    /// To read what is encrypted.
    Read,
    /// To encrypt: a password that is typed is typed twice.
    Write,
    /// To encrypt anew what had another password: only what the command line names counts.
    Rekey,
}

/// The passwords that command line, environment and `ansible.cfg` name, in order. `warn` is told
/// of sources that failed.
///
/// # Errors
/// When no source gave a password, or the person gave none.
pub async fn open_vault(
    sources: &VaultSources,
    purpose: Purpose,
    settings: &Settings,
    operator: &dyn Operator,
    warn: &(dyn Fn(&str) + Sync),
) -> Result<Vault, VaultFault> {
    let config = &settings.config;
    let mut slugs = Vec::new();
    if purpose != Purpose::Rekey {
        slugs.extend(config.vault_identities.iter().filter(|slug| !slug.is_empty()).cloned());
    }
    slugs.extend(sources.ids.iter().cloned());
    if let Some(wrong) = slugs.iter().find(|slug| slug.contains(';')) {
        return Err(VaultFault::Usage(format!(
            "'{wrong}' is not a valid vault id. The character ';' is not allowed in vault ids"
        )));
    }
    let files = sources.files.iter().chain(config.vault_password_file.as_ref());
    slugs.extend(files.map(|file| format!("{}@{file}", *config.vault_identity)));
    let ask = sources.ask || (purpose == Purpose::Run && *config.ask_vault_pass);
    if ask || (slugs.is_empty() && purpose != Purpose::Run) {
        slugs.push(format!("{}@prompt_ask_vault_pass", *config.vault_identity));
    }
    let mut found: Vec<Password> = Vec::new();
    let mut last = None;
    for slug in &slugs {
        let (label, source) = match slug.split_once('@') {
            Some((label, source)) => (label, source),
            None => ("", slug.as_str()),
        };
        let id = if label.is_empty() { config.vault_identity.as_str() } else { label };
        let shown = if label.is_empty() { "None" } else { label };
        if matches!(source, "prompt" | "prompt_ask_vault_pass") {
            let twice = matches!(purpose, Purpose::Write | Purpose::Rekey);
            match ask_for(operator, id, source == "prompt", twice).await {
                Ok(secret) => found.push(Password::new(id, secret)),
                Err(fault) => {
                    warn(&format!("Error in vault password prompt ({shown}): {fault}"));
                    return Err(fault);
                }
            }
            continue;
        }
        let path = match existing(source, settings) {
            Ok(path) => path,
            Err(fault) => {
                warn(&format!("Error getting vault password file ({shown}): {fault}"));
                last = Some(fault);
                continue;
            }
        };
        // A password may itself be encrypted with one that came before.
        let known = Vault::new(found.clone(), *config.vault_id_match);
        let read = tokio::task::block_in_place(|| read(&path, source, label, &known));
        match read {
            Ok(secret) => found.push(Password::new(id, secret)),
            Err(fault) => {
                warn(&format!("Error in vault password file loading ({shown}): {fault}"));
                last = Some(fault);
            }
        }
    }
    match (last, found.is_empty()) {
        (Some(fault), true) => Err(fault),
        _ => Ok(Vault::new(found, *config.vault_id_match)),
    }
}

/// The password to encrypt with: the one of that label, or the best.
///
/// # Errors
/// When there is none, or several and nobody says which.
pub fn choose<'v>(
    vault: &'v Vault,
    id: Option<&str>,
    config: &Config,
) -> Result<&'v Password, VaultFault> {
    let passwords = vault.passwords();
    let known = |quote: &str| {
        let names = passwords.iter().map(|password| format!("{quote}{}{quote}", password.id));
        names.collect::<Vec<_>>()
    };
    match id.or(config.vault_encrypt_identity.as_deref()) {
        Some(id) => passwords.iter().find(|password| password.id == id).ok_or_else(|| {
            VaultFault::World(format!(
                "Did not find a match for --encrypt-vault-id={id} in the known vault-ids [{}]",
                known("'").join(", ")
            ))
        }),
        None if passwords.len() > 1 => Err(VaultFault::Usage(format!(
            "The vault-ids {} are available to encrypt. Specify the vault-id to encrypt with \
             --encrypt-vault-id",
            known("").join(",")
        ))),
        None => passwords.first().ok_or_else(|| {
            VaultFault::Usage("A vault password is required to use Ansible's Vault".to_owned())
        }),
    }
}

async fn ask_for(
    operator: &dyn Operator,
    id: &str,
    labelled: bool,
    twice: bool,
) -> Result<Vec<u8>, VaultFault> {
    let questions: Vec<String> = match (labelled, twice) {
        (true, true) => vec![
            format!("New vault password ({id}): "),
            format!("Confirm new vault password ({id}): "),
        ],
        (true, false) => vec![format!("Vault password ({id}): ")],
        (false, true) => {
            vec!["New Vault password: ".to_owned(), "Confirm New Vault password: ".to_owned()]
        }
        (false, false) => vec!["Vault password: ".to_owned()],
    };
    let mut answers = Vec::new();
    for question in &questions {
        let answer = operator
            .ask(question, true)
            .await
            .ok_or_else(|| VaultFault::World(format!("EOFError (ctrl-d) on prompt for ({id})")))?;
        let answer = answer.trim().to_owned();
        if answer.is_empty() {
            return Err(VaultFault::World("Invalid vault password was provided".to_owned()));
        }
        answers.push(answer);
    }
    if answers.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(VaultFault::World("Passwords do not match".to_owned()));
    }
    Ok(answers.swap_remove(0).into_bytes())
}

fn existing(source: &str, settings: &Settings) -> Result<PathBuf, VaultFault> {
    let path = match (source.strip_prefix("~/"), &settings.home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source)),
    };
    let name = path.display();
    if !path.exists() {
        return Err(VaultFault::World(format!("The vault password file {name} was not found")));
    }
    if path.is_dir() {
        return Err(VaultFault::World(format!(
            "The vault password file provided '{name}' can not be a directory"
        )));
    }
    Ok(path)
}

fn read(path: &Path, source: &str, label: &str, known: &Vault) -> Result<Vec<u8>, VaultFault> {
    use std::os::unix::fs::PermissionsExt as _;
    let name = path.display();
    let executable =
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    let (secret, kind) = if executable {
        (from_script(path, source, label)?, "script")
    } else {
        let bytes = std::fs::read(path).map_err(|_| {
            VaultFault::World(format!("Could not read vault password file '{name}'."))
        })?;
        let bytes = trim(&bytes, |byte| byte.is_ascii_whitespace()).to_vec();
        if updraft_playbook::vault::is_encrypted(&bytes) {
            let opened = known.open(&bytes).map_err(|error| VaultFault::Text { error, file: None });
            (opened?.plain.to_vec(), "file")
        } else {
            (bytes, "file")
        }
    };
    let secret = trim(&secret, |byte| matches!(byte, b'\r' | b'\n')).to_vec();
    if secret.is_empty() {
        return Err(VaultFault::World(format!(
            "Invalid vault password was provided from {kind} ({name})"
        )));
    }
    Ok(secret)
}

fn from_script(path: &Path, source: &str, label: &str) -> Result<Vec<u8>, VaultFault> {
    let name = path.display();
    let client = Path::new(source)
        .file_stem()
        .is_some_and(|stem| stem.to_string_lossy().ends_with("-client"));
    let args: Vec<&str> = match client && !label.is_empty() {
        true => vec!["--vault-id", label],
        false => Vec::new(),
    };
    let kind = if client { "client script" } else { "script" };
    let (status, said, errors) =
        updraft_host::attended_output(path, &args, client).map_err(|error| {
            VaultFault::World(format!(
                "Problem running vault password {kind} {name} ({error}). If this is not a script, \
                 remove the executable bit from the file."
            ))
        })?;
    let errors = String::from_utf8_lossy(&errors);
    match (status, client) {
        (0, _) => Ok(said),
        (2, true) => Err(VaultFault::World(format!(
            "Vault password client script {name} did not find a secret for vault-id={label}: {errors}"
        ))),
        (status, true) => Err(VaultFault::World(format!(
            "Vault password client script {name} returned non-zero ({status}) when getting secret \
             for vault-id={label}: {errors}"
        ))),
        (status, false) => Err(VaultFault::World(format!(
            "Vault password script {name} returned non-zero ({status})"
        ))),
    }
}

fn trim(bytes: &[u8], drop: impl Fn(u8) -> bool) -> &[u8] {
    let keep = |byte: &u8| !drop(*byte);
    let first = bytes.iter().position(keep).unwrap_or(bytes.len());
    let last = bytes.iter().rposition(keep).map_or(first, |at| at + 1);
    &bytes[first..last]
}
