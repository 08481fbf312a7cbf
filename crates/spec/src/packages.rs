//! Modules of packages and of where they come from.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const APT_ARGS: &[Arg] = &[
    arg("state", Kind::Str)
        .choices(&["absent", "build-dep", "fixed", "latest", "present"])
        .default(Preset::Str("present")),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("cache_valid_time", Kind::Int).default(Preset::Int(0)),
    arg("purge", Kind::Bool).default(Preset::Bool(false)),
    arg("package", Kind::List).aka(&["pkg", "name"]),
    arg("deb", Kind::Path),
    arg("default_release", Kind::Str).aka(&["default-release"]),
    arg("install_recommends", Kind::Bool).aka(&["install-recommends"]),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("upgrade", Kind::Str)
        .choices(&["dist", "full", "no", "safe", "yes"])
        .default(Preset::Str("no")),
    arg("dpkg_options", Kind::Str).default(Preset::Str("force-confdef,force-confold")),
    arg("autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("autoclean", Kind::Bool).default(Preset::Bool(false)),
    arg("fail_on_autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("policy_rc_d", Kind::Int),
    arg("only_upgrade", Kind::Bool).default(Preset::Bool(false)),
    arg("force_apt_get", Kind::Bool).default(Preset::Bool(false)),
    arg("clean", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_unauthenticated", Kind::Bool)
        .aka(&["allow-unauthenticated"])
        .default(Preset::Bool(false)),
    arg("allow_downgrade", Kind::Bool)
        .aka(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
        .default(Preset::Bool(false)),
    arg("allow_change_held_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("lock_timeout", Kind::Int).default(Preset::Int(60)),
    arg("auto_install_module_deps", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const APT_REPOSITORY_ARGS: &[Arg] = &[
    arg("repo", Kind::Str).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("mode", Kind::Raw),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]).default(Preset::Bool(true)),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("filename", Kind::Str),
    arg("install_python_apt", Kind::Bool).default(Preset::Bool(true)),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("codename", Kind::Str),
];

pub(crate) const PACKAGE_ARGS: &[Arg] = &[
    arg("use", Kind::Str).default(Preset::Str("auto")),
    arg("state", Kind::Str)
        .choices(&["absent", "build-dep", "fixed", "latest", "present"])
        .default(Preset::Str("present")),
    arg("update_cache", Kind::Bool).aka(&["update-cache"]),
    arg("update_cache_retries", Kind::Int).default(Preset::Int(5)),
    arg("update_cache_retry_max_delay", Kind::Int).default(Preset::Int(12)),
    arg("cache_valid_time", Kind::Int).default(Preset::Int(0)),
    arg("purge", Kind::Bool).default(Preset::Bool(false)),
    arg("package", Kind::List).aka(&["pkg", "name"]),
    arg("deb", Kind::Path),
    arg("default_release", Kind::Str).aka(&["default-release"]),
    arg("install_recommends", Kind::Bool).aka(&["install-recommends"]),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("upgrade", Kind::Str)
        .choices(&["dist", "full", "no", "safe", "yes"])
        .default(Preset::Str("no")),
    arg("dpkg_options", Kind::Str).default(Preset::Str("force-confdef,force-confold")),
    arg("autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("autoclean", Kind::Bool).default(Preset::Bool(false)),
    arg("fail_on_autoremove", Kind::Bool).default(Preset::Bool(false)),
    arg("policy_rc_d", Kind::Int),
    arg("only_upgrade", Kind::Bool).default(Preset::Bool(false)),
    arg("force_apt_get", Kind::Bool).default(Preset::Bool(false)),
    arg("clean", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_unauthenticated", Kind::Bool)
        .aka(&["allow-unauthenticated"])
        .default(Preset::Bool(false)),
    arg("allow_downgrade", Kind::Bool)
        .aka(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
        .default(Preset::Bool(false)),
    arg("allow_change_held_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("lock_timeout", Kind::Int).default(Preset::Int(60)),
    arg("auto_install_module_deps", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const GIT_ARGS: &[Arg] = &[
    arg("dest", Kind::Path),
    arg("repo", Kind::Str).aka(&["name"]).required(),
    arg("version", Kind::Str).default(Preset::Str("HEAD")),
    arg("remote", Kind::Str).default(Preset::Str("origin")),
    arg("refspec", Kind::Str),
    arg("reference", Kind::Str),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("depth", Kind::Int),
    arg("clone", Kind::Bool).default(Preset::Bool(true)),
    arg("update", Kind::Bool).default(Preset::Bool(true)),
    arg("verify_commit", Kind::Bool).default(Preset::Bool(false)),
    arg("gpg_allowlist", Kind::List).aka(&["gpg_whitelist"]).default(Preset::List(&[])),
    arg("accept_hostkey", Kind::Bool).default(Preset::Bool(false)),
    arg("accept_newhostkey", Kind::Bool).default(Preset::Bool(false)),
    arg("key_file", Kind::Path),
    arg("ssh_opts", Kind::Str),
    arg("executable", Kind::Path),
    arg("bare", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool).default(Preset::Bool(true)),
    arg("single_branch", Kind::Bool).default(Preset::Bool(false)),
    arg("track_submodules", Kind::Bool).default(Preset::Bool(false)),
    arg("umask", Kind::Raw),
    arg("archive", Kind::Path),
    arg("archive_prefix", Kind::Str),
    arg("separate_git_dir", Kind::Path),
];

pub(crate) const PIP_ARGS: &[Arg] = &[
    arg("state", Kind::Str).default(Preset::Str("present")).choices(&[
        "present",
        "absent",
        "latest",
        "forcereinstall",
    ]),
    arg("name", Kind::List),
    arg("version", Kind::Str),
    arg("requirements", Kind::Str),
    arg("virtualenv", Kind::Path),
    arg("virtualenv_site_packages", Kind::Bool).default(Preset::Bool(false)),
    arg("virtualenv_command", Kind::Path).default(Preset::Str("virtualenv")),
    arg("virtualenv_python", Kind::Str),
    arg("extra_args", Kind::Str),
    arg("editable", Kind::Bool).default(Preset::Bool(false)),
    arg("chdir", Kind::Path),
    arg("executable", Kind::Path),
    arg("umask", Kind::Str),
    arg("break_system_packages", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const APT_KEY_ARGS: &[Arg] = &[
    arg("id", Kind::Str),
    arg("url", Kind::Str),
    arg("data", Kind::Str),
    arg("file", Kind::Path),
    arg("keyring", Kind::Path),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("keyserver", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
];

pub(crate) const DEB822_REPOSITORY_ARGS: &[Arg] = &[
    arg("allow_downgrade_to_insecure", Kind::Bool),
    arg("allow_insecure", Kind::Bool),
    arg("allow_weak", Kind::Bool),
    arg("architectures", Kind::List),
    arg("by_hash", Kind::Bool),
    arg("check_date", Kind::Bool),
    arg("check_valid_until", Kind::Bool),
    arg("components", Kind::List),
    arg("date_max_future", Kind::Int),
    arg("enabled", Kind::Bool),
    arg("inrelease_path", Kind::Str),
    arg("languages", Kind::List),
    arg("name", Kind::Str).required(),
    arg("pdiffs", Kind::Bool),
    arg("signed_by", Kind::Str),
    arg("suites", Kind::List),
    arg("targets", Kind::List),
    arg("trusted", Kind::Bool),
    arg("types", Kind::List).choices(&["deb", "deb-src"]).default(Preset::List(&["deb"])),
    arg("uris", Kind::List),
    arg("mode", Kind::Raw).default(Preset::Str("0644")),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
];

pub(crate) const DEBCONF_ARGS: &[Arg] = &[
    arg("name", Kind::Str).aka(&["pkg"]).required(),
    arg("question", Kind::Str).aka(&["selection", "setting"]),
    arg("vtype", Kind::Str).choices(&[
        "boolean",
        "error",
        "multiselect",
        "note",
        "password",
        "seen",
        "select",
        "string",
        "text",
        "title",
    ]),
    arg("value", Kind::Raw).aka(&["answer"]),
    arg("unseen", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const DPKG_SELECTIONS_ARGS: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("selection", Kind::Str).choices(&["install", "hold", "deinstall", "purge"]).required(),
];

pub(crate) const NPM_ARGS: &[Arg] = &[
    arg("name", Kind::Str),
    arg("path", Kind::Path),
    arg("version", Kind::Str),
    arg("production", Kind::Bool).default(Preset::Bool(false)),
    arg("executable", Kind::Path),
    arg("registry", Kind::Str),
    arg("state", Kind::Str)
        .choices(&["present", "absent", "latest"])
        .default(Preset::Str("present")),
    arg("ignore_scripts", Kind::Bool).default(Preset::Bool(false)),
    arg("unsafe_perm", Kind::Bool).default(Preset::Bool(false)),
    arg("ci", Kind::Bool).default(Preset::Bool(false)),
    arg("no_optional", Kind::Bool).default(Preset::Bool(false)),
    arg("no_bin_links", Kind::Bool).default(Preset::Bool(false)),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("global", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const COMPOSER_ARGS: &[Arg] = &[
    arg("command", Kind::Str).default(Preset::Str("install")),
    arg("arguments", Kind::Str).default(Preset::Str("")),
    arg("executable", Kind::Path).aka(&["php_path"]),
    arg("working_dir", Kind::Path),
    arg("global_command", Kind::Bool).default(Preset::Bool(false)),
    arg("prefer_source", Kind::Bool).default(Preset::Bool(false)),
    arg("prefer_dist", Kind::Bool).default(Preset::Bool(false)),
    arg("no_dev", Kind::Bool).default(Preset::Bool(true)),
    arg("no_scripts", Kind::Bool).default(Preset::Bool(false)),
    arg("no_plugins", Kind::Bool).default(Preset::Bool(false)),
    arg("apcu_autoloader", Kind::Bool).default(Preset::Bool(false)),
    arg("optimize_autoloader", Kind::Bool).default(Preset::Bool(true)),
    arg("classmap_authoritative", Kind::Bool).default(Preset::Bool(false)),
    arg("ignore_platform_reqs", Kind::Bool).default(Preset::Bool(false)),
    arg("composer_executable", Kind::Path),
];
