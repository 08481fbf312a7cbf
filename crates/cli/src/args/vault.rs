//! Options and commands for what is encrypted.

use clap::{Args, Subcommand};

/// Where passwords come from.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct VaultOptions {
    /// A vault password: `label@source`, where the source is a file, a script or `prompt`.
    #[arg(long = "vault-id", value_name = "ID")]
    pub(crate) vault_ids: Vec<String>,
    /// A file or a script with a vault password.
    #[arg(long = "vault-password-file", visible_alias = "vault-pass-file", value_name = "FILE")]
    pub(crate) vault_files: Vec<String>,
    /// Ask for the vault password.
    #[arg(
        short = 'J',
        long = "ask-vault-password",
        visible_alias = "ask-vault-pass",
        conflicts_with = "vault_files"
    )]
    pub(crate) ask_vault: bool,
}

/// Options of every command for encrypted files.
#[derive(Args, Clone, Debug)]
pub(crate) struct VaultCommon {
    #[command(flatten)]
    pub(crate) passwords: VaultOptions,
    /// Tell more.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// With what to encrypt.
#[derive(Args, Clone, Debug)]
pub(crate) struct EncryptWith {
    /// The label of the password to encrypt with; needed where several are given.
    #[arg(long = "encrypt-vault-id", value_name = "LABEL")]
    pub(crate) encrypt_id: Option<String>,
}

/// Where the result goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Write here instead; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<String>,
}

/// Commands for encrypted files.
#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    /// Write a new encrypted file in an editor.
    #[command(after_help = "Example:\n  updraft vault create group_vars/db/secrets.yml")]
    Create {
        #[command(flatten)]
        common: VaultCommon,
        #[command(flatten)]
        with: EncryptWith,
        /// Open the editor though nobody seems to be at a terminal.
        #[arg(long)]
        skip_tty_check: bool,
        /// File.
        files: Vec<String>,
    },
    /// Decrypt files, or standard input.
    #[command(
        after_help = "Examples:\n  updraft vault decrypt secrets.yml\n  updraft vault decrypt --output - secrets.yml"
    )]
    Decrypt {
        #[command(flatten)]
        common: VaultCommon,
        #[command(flatten)]
        output: Output,
        /// Files.
        files: Vec<String>,
    },
    /// Change an encrypted file in an editor.
    #[command(after_help = "Example:\n  EDITOR=nano updraft vault edit secrets.yml")]
    Edit {
        #[command(flatten)]
        common: VaultCommon,
        #[command(flatten)]
        with: EncryptWith,
        /// Files.
        files: Vec<String>,
    },
    /// Show encrypted files.
    #[command(after_help = "Example:\n  updraft vault view --vault-password-file pw secrets.yml")]
    View {
        #[command(flatten)]
        common: VaultCommon,
        /// Files.
        files: Vec<String>,
    },
    /// Encrypt files, or standard input.
    #[command(
        after_help = "Examples:\n  updraft vault encrypt secrets.yml\n  updraft vault encrypt --vault-id dev@pw secrets.yml"
    )]
    Encrypt {
        #[command(flatten)]
        common: VaultCommon,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        with: EncryptWith,
        /// Files.
        files: Vec<String>,
    },
    /// Encrypt text, as a value for YAML.
    #[command(
        name = "encrypt_string",
        visible_alias = "encrypt-string",
        after_help = "What is given as an argument can be seen by every user of this computer and is kept by the shell; standard input and --prompt cannot.\n\nExamples:\n  updraft vault encrypt_string --prompt --name db_password\n  pwgen | updraft vault encrypt_string --stdin-name db_password"
    )]
    EncryptString(EncryptString),
    /// Encrypt files anew, with another password.
    #[command(
        after_help = "Example:\n  updraft vault rekey --vault-password-file old --new-vault-password-file new secrets.yml"
    )]
    Rekey {
        #[command(flatten)]
        common: VaultCommon,
        #[command(flatten)]
        with: EncryptWith,
        /// A file or a script with the new password.
        #[arg(long, value_name = "FILE", conflicts_with = "new_vault_id")]
        new_vault_password_file: Option<String>,
        /// The new password: `label@source`.
        #[arg(long, value_name = "ID")]
        new_vault_id: Option<String>,
        /// Files.
        files: Vec<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct EncryptString {
    #[command(flatten)]
    pub(crate) common: VaultCommon,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) with: EncryptWith,
    /// Ask for the text.
    #[arg(short, long)]
    pub(crate) prompt: bool,
    /// Show what is typed.
    #[arg(long)]
    pub(crate) show_input: bool,
    /// The name of the variable; once for each text.
    #[arg(short, long = "name", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The name of the variable whose text comes from standard input.
    #[arg(long, value_name = "NAME")]
    pub(crate) stdin_name: Option<String>,
    /// Texts; `-` is standard input.
    pub(crate) texts: Vec<String>,
}
