//! `updraft vault`, which is `ansible-vault`: same files, same exit codes.

use super::{Context, Ended, Result};
use crate::args::{EncryptString, Vault as Command, VaultCommon, VaultOptions};
use crate::ui;
use async_trait::async_trait;
use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;
use updraft_control::{
    Editor, Operator, Purpose, Sealer, Vault, VaultFault, VaultSources, choose_password, open_vault,
};

/// What the command line asks for makes no sense, as Ansible's `AnsibleOptionsError`.
const USAGE: u8 = 5;

/// Spaces before a line of encrypted text in YAML, as `ansible-vault` writes them.
const INDENT: usize = 10;

impl From<&VaultOptions> for VaultSources {
    fn from(options: &VaultOptions) -> Self {
        Self {
            ids: options.vault_ids.clone(),
            files: options.vault_files.clone(),
            ask: options.ask_vault,
        }
    }
}

/// Tells what went wrong with passwords or with what is encrypted.
pub(super) fn fail(context: &Context, fault: &VaultFault) -> Ended {
    context.terminal.complain(fault);
    Ended(if matches!(fault, VaultFault::Usage(_)) { USAGE } else { super::FAILED })
}

/// The passwords a run may need.
pub(super) async fn passwords(
    context: &Context,
    sources: &VaultSources,
    purpose: Purpose,
) -> Result<Vault> {
    let person = Typist(context.terminal);
    let warn = |text: &str| context.terminal.warn(text);
    open_vault(sources, purpose, &context.settings, &person, &warn)
        .await
        .map_err(|fault| fail(context, &fault))
}

/// Whoever types a password: at the terminal of this process, or else on standard input.
pub(super) struct Typist(pub(super) ui::Terminal);

#[async_trait]
impl Operator for Typist {
    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn ask(&self, question: &str, hidden: bool) -> Option<String> {
        let (terminal, question) = (self.0, question.to_owned());
        tokio::task::spawn_blocking(move || terminal.read_typed(&question, hidden)).await.ok()?
    }
}

/// What one command works with.
struct Work<'a> {
    context: &'a Context,
}

impl Work<'_> {
    fn usage(&self, text: &str) -> Ended {
        fail(self.context, &VaultFault::Usage(text.to_owned()))
    }

    fn check<T>(&self, result: std::result::Result<T, VaultFault>) -> Result<T> {
        result.map_err(|fault| fail(self.context, &fault))
    }

    async fn readable(&self, common: &VaultCommon) -> Result<Vault> {
        passwords(self.context, &VaultSources::from(&common.passwords), Purpose::Read).await
    }

    async fn sealer(&self, common: &VaultCommon, id: Option<&str>) -> Result<Sealer> {
        let sources = VaultSources::from(&common.passwords);
        let vault = passwords(self.context, &sources, Purpose::Write).await?;
        self.seal_with(&vault, id)
    }

    fn seal_with(&self, vault: &Vault, id: Option<&str>) -> Result<Sealer> {
        let config = &self.context.settings.config;
        let password = self.check(choose_password(vault, id, config))?.clone();
        let id = Some(password.id.clone());
        Ok(Sealer { password, id, salt: config.vault_encrypt_salt.value.clone() })
    }

    fn editor<'v>(&'v self, vault: &'v Vault) -> Editor<'v> {
        Editor { vault, settings: &self.context.settings }
    }

    /// Several files cannot become one.
    fn one_output(&self, files: &[String], output: Option<&str>) -> Result<()> {
        match output.is_some() && files.len() > 1 {
            true => Err(self.usage("At most one input file may be used with the --output option")),
            false => Ok(()),
        }
    }

    fn each(
        &self,
        files: &[String],
        work: impl Fn(&str) -> std::result::Result<(), VaultFault>,
    ) -> Result<()> {
        let stream = ["-".to_owned()];
        let files = if files.is_empty() { &stream } else { files };
        files.iter().try_for_each(|file| self.check(work(file)))
    }

    fn done(&self, what: &str) {
        if std::io::stdout().is_terminal() {
            ui::say(what);
        }
    }

    fn reading(&self, files: &[String], what: &str) {
        if files.is_empty() && std::io::stdin().is_terminal() {
            ui::say(&format!("Reading {what} input from stdin"));
        }
    }
}

/// `updraft vault`
pub(crate) async fn vault(context: &Context, command: &Command) -> Result {
    let work = Work { context };
    let nothing = Vault::default();
    match command {
        Command::Encrypt { common, output, with, files } => {
            work.one_output(files, output.output.as_deref())?;
            let sealer = work.sealer(common, with.encrypt_id.as_deref()).await?;
            work.reading(files, "plaintext");
            let editor = work.editor(&nothing);
            work.each(files, |file| editor.encrypt(file, &sealer, output.output.as_deref()))?;
            work.done("Encryption successful");
        }
        Command::Decrypt { common, output, files } => {
            work.one_output(files, output.output.as_deref())?;
            let vault = work.readable(common).await?;
            work.reading(files, "ciphertext");
            let editor = work.editor(&vault);
            work.each(files, |file| editor.decrypt(file, output.output.as_deref()))?;
            work.done("Decryption successful");
        }
        Command::View { common, files } => {
            let vault = work.readable(common).await?;
            for file in files {
                show(context, &work.check(work.editor(&vault).plain(file))?);
            }
        }
        Command::Edit { common, files, .. } => {
            let vault = work.readable(common).await?;
            for file in files {
                work.check(work.editor(&vault).edit(file))?;
            }
        }
        Command::Create { common, with, skip_tty_check, files } => {
            let sealer = work.sealer(common, with.encrypt_id.as_deref()).await?;
            let [file] = files.as_slice() else {
                return Err(work.usage("ansible-vault create can take only one filename argument"));
            };
            if !skip_tty_check && !std::io::stdout().is_terminal() {
                return Err(work.usage("not a tty, editor cannot be opened"));
            }
            work.check(work.editor(&nothing).create(file, &sealer))?;
        }
        Command::EncryptString(args) => return encrypt_string(&work, args).await,
        Command::Rekey { common, with, new_vault_password_file, new_vault_id, files } => {
            let vault = work.readable(common).await?;
            let config = &context.settings.config;
            let mut ids = Vec::new();
            if with.encrypt_id.is_some() || config.vault_encrypt_identity.is_some() {
                ids.clone_from(&config.vault_identities);
            }
            ids.extend(new_vault_id.clone());
            let sources = VaultSources {
                ids,
                files: new_vault_password_file.iter().cloned().collect(),
                ask: common.passwords.ask_vault,
            };
            let new = passwords(context, &sources, Purpose::Rekey).await?;
            let id = with.encrypt_id.as_deref().or(config.vault_encrypt_identity.as_deref());
            // Without a label the first password counts, whatever else is there.
            let sealer =
                work.seal_with(&new, id.or(new.passwords().first().map(|p| p.id.as_str())))?;
            for file in files {
                work.check(work.editor(&vault).rekey(file, &sealer))?;
            }
            ui::say("Rekey successful");
        }
    }
    Ok(0)
}

/// Shows content: in a pager where a person looks, as it is elsewhere.
fn show(context: &Context, content: &[u8]) {
    let pager: Vec<&str> = context.settings.config.pager.split_whitespace().collect();
    if let (true, Some((program, args))) = (std::io::stdout().is_terminal(), pager.split_first()) {
        let shown =
            tokio::task::block_in_place(|| updraft_host::attended_input(program, args, content));
        if shown.is_ok() {
            return;
        }
    }
    ui::out_raw(content);
    if !content.ends_with(b"\n") {
        ui::out("\n");
    }
}

/// A text to encrypt: what it is, where it came from, the name of its variable.
type Text = (Vec<u8>, &'static str, Option<String>);

async fn encrypt_string(work: &Work<'_>, args: &EncryptString) -> Result {
    let words: Vec<&String> = args.texts.iter().filter(|text| *text != "-").collect();
    let from_stdin = words.len() < args.texts.len()
        || args.stdin_name.is_some()
        || (args.texts.is_empty() && !args.prompt);
    if args.prompt && from_stdin {
        return Err(
            work.usage("The --prompt option is not supported if also reading input from stdin")
        );
    }
    let sealer = work.sealer(&args.common, args.with.encrypt_id.as_deref()).await?;
    let mut texts: Vec<Text> = Vec::new();
    if args.prompt {
        texts.push(prompted(work, args.show_input).await?);
    }
    if from_stdin {
        if std::io::stdout().is_terminal() {
            ui::say(
                "Reading plaintext input from stdin. (ctrl-d to end input, twice if your content does not already have a newline)",
            );
        }
        let mut text = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut text);
        if read.is_err() || text.is_empty() {
            return Err(work.usage("stdin was empty, not encrypting"));
        }
        texts.push((text, "stdin", args.stdin_name.clone()));
    }
    if let (true, Some(last)) = (words.len() > args.names.len(), args.names.last()) {
        ui::say("The number of --name options do not match the number of args.");
        ui::say(&format!(
            "The last named variable will be \"{last}\". The rest will not have names."
        ));
    }
    for (index, word) in words.iter().enumerate() {
        if word.is_empty() {
            return Err(work.usage(
                "The plaintext provided from the command line args was empty, not encrypting",
            ));
        }
        let name = args.names.get(index).cloned();
        texts.push((word.as_bytes().to_vec(), "the command line args", name));
    }
    let mut out = String::new();
    for (index, (text, source, name)) in texts.iter().enumerate() {
        if texts.len() > 1 {
            let number = index + 1;
            ui::say(&match name {
                Some(name) => format!(
                    "# The encrypted version of variable (\"{name}\", the string #{number} from {source})."
                ),
                None => format!("# The encrypted version of the string #{number} from {source}.)"),
            });
        }
        let sealed = work.check(sealer.seal(text))?;
        let name = name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        out.push_str(&format!("{name}!vault |\n"));
        for line in sealed.lines() {
            out.push_str(&format!("{:INDENT$}{line}\n", ""));
        }
    }
    work.check(updraft_control::put_sealed(&out, args.output.output.as_deref()))?;
    work.done("Encryption successful");
    Ok(0)
}

async fn prompted(work: &Work<'_>, shown: bool) -> Result<Text> {
    let person = Typist(work.context.terminal);
    let name = person.ask("Variable name (enter for no name): ", false).await.unwrap_or_default();
    let question = if shown { "String to encrypt:" } else { "String to encrypt (hidden): " };
    let text = person.ask(question, !shown).await.unwrap_or_default();
    if text.is_empty() {
        return Err(work.usage("The plaintext provided from the prompt was empty, not encrypting"));
    }
    Ok((text.into_bytes(), "the interactive prompt", Some(name).filter(|name| !name.is_empty())))
}
