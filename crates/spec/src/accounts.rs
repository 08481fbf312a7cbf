//! Modules of users, groups and their keys.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const USER_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("name", Kind::Str).aka(&["user"]).required(),
    arg("uid", Kind::Int),
    arg("non_unique", Kind::Bool).default(Preset::Bool(false)),
    arg("group", Kind::Str),
    arg("groups", Kind::List),
    arg("comment", Kind::Str),
    arg("home", Kind::Path),
    arg("shell", Kind::Path),
    arg("password", Kind::Str).secret(),
    arg("login_class", Kind::Str),
    arg("password_expire_max", Kind::Int),
    arg("password_expire_min", Kind::Int),
    arg("password_expire_warn", Kind::Int),
    arg("hidden", Kind::Bool),
    arg("seuser", Kind::Str),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("remove", Kind::Bool).default(Preset::Bool(false)),
    arg("create_home", Kind::Bool).aka(&["createhome"]).default(Preset::Bool(true)),
    arg("skeleton", Kind::Str),
    arg("system", Kind::Bool).default(Preset::Bool(false)),
    arg("move_home", Kind::Bool).default(Preset::Bool(false)),
    arg("append", Kind::Bool).default(Preset::Bool(false)),
    arg("generate_ssh_key", Kind::Bool),
    arg("ssh_key_bits", Kind::Int).default(Preset::Int(0)),
    arg("ssh_key_type", Kind::Str).default(Preset::Str("rsa")),
    arg("ssh_key_file", Kind::Path),
    arg("ssh_key_comment", Kind::Str),
    arg("ssh_key_passphrase", Kind::Str).secret(),
    arg("update_password", Kind::Str)
        .choices(&["always", "on_create"])
        .default(Preset::Str("always")),
    arg("expires", Kind::Float),
    arg("password_lock", Kind::Bool),
    arg("local", Kind::Bool),
    arg("profile", Kind::Str),
    arg("authorization", Kind::Str),
    arg("role", Kind::Str),
    arg("umask", Kind::Str),
    arg("password_expire_account_disable", Kind::Int),
    arg("uid_min", Kind::Int),
    arg("uid_max", Kind::Int),
];

pub(crate) const GROUP_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("name", Kind::Str).required(),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("gid", Kind::Int),
    arg("system", Kind::Bool).default(Preset::Bool(false)),
    arg("local", Kind::Bool).default(Preset::Bool(false)),
    arg("non_unique", Kind::Bool).default(Preset::Bool(false)),
    arg("gid_min", Kind::Int),
    arg("gid_max", Kind::Int),
];

pub(crate) const AUTHORIZED_KEY_ARGS: &[Arg] = &[
    arg("user", Kind::Str).required(),
    arg("key", Kind::Str).required(),
    arg("path", Kind::Path),
    arg("manage_dir", Kind::Bool).default(Preset::Bool(true)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("key_options", Kind::Str),
    arg("exclusive", Kind::Bool).default(Preset::Bool(false)),
    arg("comment", Kind::Str),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const HTPASSWD_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile"]).required(),
    arg("name", Kind::Str).aka(&["username"]).required(),
    arg("password", Kind::Str).secret(),
    arg("hash_scheme", Kind::Str).aka(&["crypt_scheme"]).default(Preset::Str("apr_md5_crypt")),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("create", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const KNOWN_HOSTS_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["host"]).required(),
    arg("key", Kind::Str),
    arg("path", Kind::Path).default(Preset::Str("~/.ssh/known_hosts")),
    arg("hash_host", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];

pub(crate) const OPENSSH_KEYPAIR_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("size", Kind::Int),
    arg("type", Kind::Str)
        .choices(&["rsa", "dsa", "rsa1", "ecdsa", "ed25519"])
        .default(Preset::Str("rsa")),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("path", Kind::Path).required(),
    arg("comment", Kind::Str),
    arg("regenerate", Kind::Str)
        .choices(&["never", "fail", "partial_idempotence", "full_idempotence", "always"])
        .default(Preset::Str("partial_idempotence")),
    arg("passphrase", Kind::Str).secret(),
    arg("private_key_format", Kind::Str)
        .choices(&["auto", "pkcs1", "pkcs8", "ssh"])
        .default(Preset::Str("auto")),
    arg("backend", Kind::Str)
        .choices(&["auto", "cryptography", "opensshbin"])
        .default(Preset::Str("auto")),
];
