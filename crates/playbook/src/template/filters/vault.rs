//! `vault` and `unvault`: text that is encrypted and decrypted within a template.
//!
//! The password is an argument; those of the run are not looked at.

use super::Filter;
use crate::template::Fault;
use crate::value::{Call, Value};
use crate::vault::{Password, Vault, is_encrypted};

/// The label where none is given.
const LABEL: &str = "filter_default";

/// As long as the salts that `ansible-vault` draws.
const SALT: usize = 32;

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "vault" => |cx, value, call| {
            let password = password(call, 2)?;
            let Some(plain) = value.as_str() else {
                return Err(Fault::new(format!(
                    "Can only vault strings, instead we got {}.",
                    value.type_name()
                )));
            };
            let salt = match call.text(1, "salt") {
                Some(salt) => salt.into_bytes(),
                None => {
                    let mut chance = cx.cx.world.commands.chance();
                    (0..SALT / 8).flat_map(|_| chance.next_u64().to_le_bytes()).collect()
                }
            };
            let sealed = password.encrypt(plain.as_bytes(), Some(&password.id), &salt);
            sealed.map(Value::from).map_err(|error| Fault::new(error.to_string()))
        },
        "unvault" => |_, value, call| {
            let password = password(call, 1)?;
            let Some(text) = value.as_str() else {
                return Err(Fault::new(format!(
                    "Vault should be in the form of a string, instead we got {}.",
                    value.type_name()
                )));
            };
            if !is_encrypted(text.as_bytes()) {
                return Ok(value);
            }
            let plain = Vault::new(vec![password], false).text(text);
            plain.map(Value::from).map_err(|error| Fault::new(error.to_string()))
        },
        _ => return None,
    })
}

/// What a call names as password; `label` is the place of its label among the arguments.
fn password(call: &Call, label: usize) -> Result<Password, Fault> {
    let secret = call
        .get(0, "secret")
        .and_then(Value::as_str)
        .ok_or_else(|| Fault::new("Secret passed is required to be a string."))?;
    let id = call.text(label, "vault_id").unwrap_or_else(|| LABEL.to_owned());
    Ok(Password::new(id, secret.as_bytes().to_vec()))
}
