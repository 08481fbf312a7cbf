//! What is encrypted can be read again, by us and by Ansible, and by nobody without the password.

use super::*;

/// `echo -n 'secret text' | ansible-vault encrypt`, password `letmein`, `ANSIBLE_VAULT_ENCRYPT_SALT`
/// `salty`, ansible-core 2.19.14.
const THEIRS: &str = include_str!("theirs.txt");

fn vault(passwords: &[(&str, &str)], strict: bool) -> Vault {
    let passwords =
        passwords.iter().map(|(id, secret)| Password::new(*id, secret.as_bytes().to_vec()));
    Vault::new(passwords.collect(), strict)
}

#[test]
fn the_same_salt_gives_the_bytes_that_ansible_gives() {
    let password = Password::new("default", b"letmein".to_vec());
    assert_eq!(password.encrypt(b"secret text", None, b"salty").unwrap(), THEIRS);
    assert_eq!(vault(&[("default", "letmein")], false).text(THEIRS).unwrap(), "secret text");
}

#[test]
fn a_label_is_in_the_header_and_its_password_comes_first() {
    let both = vault(&[("dev", "one"), ("prod", "two")], true);
    let text = both.passwords()[1].encrypt(b"x", Some("prod"), &[7; SALT]).unwrap();
    assert!(text.starts_with("$ANSIBLE_VAULT;1.2;AES256;prod\n"), "{text}");
    let opened = both.open(text.as_bytes()).unwrap();
    assert_eq!((opened.password.id.as_str(), opened.id.as_deref()), ("prod", Some("prod")));
    // Under another label only where labels need not match.
    assert_eq!(vault(&[("x", "two")], true).text(&text), Err(VaultError::NoneFits));
    assert_eq!(vault(&[("x", "two")], false).text(&text).unwrap(), "x");
}

#[test]
fn the_wrong_password_and_a_changed_byte_are_noticed() {
    assert_eq!(vault(&[("default", "guess")], false).text(THEIRS), Err(VaultError::NoneFits));
    assert_eq!(vault(&[], false).text(THEIRS), Err(VaultError::NoPasswords));
    let mut envelope = Envelope::parse(THEIRS.as_bytes()).unwrap();
    envelope.body[0] ^= 1;
    let right = vault(&[("default", "letmein")], false);
    assert_eq!(right.text(&envelope.to_text()), Err(VaultError::NoneFits));
    let password = Password::new("default", Vec::new());
    assert_eq!(password.encrypt(THEIRS.as_bytes(), None, b"s"), Err(VaultError::Already));
}

#[test]
fn what_is_no_envelope_says_what_is_wrong_with_it() {
    let open = |text: &str| Envelope::parse(text.as_bytes()).unwrap_err();
    assert_eq!(open("plain"), VaultError::Plain);
    assert_eq!(open("$ANSIBLE_VAULT;1.1\n00\n"), VaultError::Envelope);
    assert_eq!(open("$ANSIBLE_VAULT;1.1;AES\n00\n"), VaultError::Cipher("AES".to_owned()));
    assert_eq!(open("$ANSIBLE_VAULT;1.1;AES256\n0\n"), VaultError::Hex("Odd-length string"));
    let wrong = open("$ANSIBLE_VAULT;1.1;AES256\nxy\n");
    assert_eq!(wrong, VaultError::Hex("Non-hexadecimal digit found"));
    assert_eq!(open("$ANSIBLE_VAULT;1.1;AES256\n3030\n"), VaultError::Body);
}

#[test]
fn a_value_is_known_for_encrypted_until_another_text_is_made_of_it() {
    let vault = vault(&[("default", "letmein")], false);
    let plain = vault.value(THEIRS).unwrap();
    assert!(Arc::ptr_eq(&plain, &vault.value(THEIRS).unwrap()));
    assert_eq!(vault.sealed(&Arc::clone(&plain)).as_deref(), Some(THEIRS));
    assert_eq!(vault.sealed(&Arc::from(&*plain)), None);
}

#[test]
fn a_password_is_never_shown() {
    let vault = vault(&[("default", "letmein")], false);
    assert!(!format!("{vault:?}").contains("letmein"));
}

proptest::proptest! {
    // Ten thousand rounds each, in a debug build.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]
    #[test]
    fn what_was_encrypted_is_read_again_and_a_changed_digit_is_noticed(
        plain in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
        salt in proptest::collection::vec(proptest::num::u8::ANY, 1..SALT),
        label in "[a-z]{1,8}",
        at in proptest::num::usize::ANY,
    ) {
        let vault = vault(&[("other", "guess"), (&label, "letmein")], false);
        let text = vault.passwords()[1].encrypt(&plain, Some(&label), &salt);
        // What looks encrypted already is refused.
        proptest::prop_assume!(text.is_ok());
        let text = text.unwrap();
        let opened = vault.open(text.as_bytes()).unwrap();
        proptest::prop_assert_eq!(&*opened.plain, &plain);
        proptest::prop_assert_eq!(&opened.password.id, &label);
        let mut envelope = Envelope::parse(text.as_bytes()).unwrap();
        let at = at % envelope.body.len();
        envelope.body[at] ^= 1;
        let changed = vault.open(envelope.to_text().as_bytes()).err();
        proptest::prop_assert_eq!(changed, Some(VaultError::NoneFits));
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fall_over(text in r#"(\$ANSIBLE_VAULT|;|1\.1|AES256|[0-9a-f\n]|0a|é){0,60}"#) {
        drop(Envelope::parse(text.as_bytes()));
        let framed = format!("$ANSIBLE_VAULT;1.1;AES256\n{text}");
        if let Ok(envelope) = Envelope::parse(framed.as_bytes()) {
            proptest::prop_assert_eq!(Envelope::parse(envelope.to_text().as_bytes()).unwrap(), envelope);
        }
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written(
        salt in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        code in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let envelope = Envelope { id: None, salt, code, body };
        proptest::prop_assert_eq!(Envelope::parse(envelope.to_text().as_bytes()).unwrap(), envelope);
    }
}
