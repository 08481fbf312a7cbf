//! Modules of databases and of who may use them.

use crate::{Arg, Kind, Preset, arg};

const SSL_MODES: &[&str] = &["allow", "disable", "prefer", "require", "verify-ca", "verify-full"];

// How modules of PostgreSQL reach its server; user and port have defaults that the host's
// environment may change.
const PG_LOGIN_USER: Arg = arg("login_user", Kind::Str).aka(&["login"]);
const PG_LOGIN_PASSWORD: Arg = arg("login_password", Kind::Str).secret().default(Preset::Str(""));
const PG_LOGIN_HOST: Arg = arg("login_host", Kind::Str).aka(&["host"]).default(Preset::Str(""));
const PG_LOGIN_UNIX_SOCKET: Arg =
    arg("login_unix_socket", Kind::Str).aka(&["unix_socket"]).default(Preset::Str(""));
const PG_LOGIN_PORT: Arg = arg("login_port", Kind::Int).aka(&["port"]);
const PG_SSL_MODE: Arg =
    arg("ssl_mode", Kind::Str).choices(SSL_MODES).default(Preset::Str("prefer"));
const PG_CA_CERT: Arg = arg("ca_cert", Kind::Str).aka(&["ssl_rootcert"]);
const PG_SSL_CERT: Arg = arg("ssl_cert", Kind::Path);
const PG_SSL_KEY: Arg = arg("ssl_key", Kind::Path);
const PG_CONNECT_PARAMS: Arg = arg("connect_params", Kind::Dict).default(Preset::Dict);

pub(crate) const POSTGRESQL_DB_ARGS: &[Arg] = &[
    PG_LOGIN_USER,
    PG_LOGIN_PASSWORD,
    PG_LOGIN_HOST,
    PG_LOGIN_UNIX_SOCKET,
    PG_LOGIN_PORT,
    PG_SSL_MODE,
    PG_CA_CERT,
    PG_SSL_CERT,
    PG_SSL_KEY,
    PG_CONNECT_PARAMS,
    arg("db", Kind::Str).aka(&["name"]).required(),
    arg("owner", Kind::Str).default(Preset::Str("")),
    arg("template", Kind::Str).default(Preset::Str("")),
    arg("encoding", Kind::Str).default(Preset::Str("")),
    arg("lc_collate", Kind::Str).default(Preset::Str("")),
    arg("lc_ctype", Kind::Str).default(Preset::Str("")),
    arg("icu_locale", Kind::Str).default(Preset::Str("")),
    arg("locale_provider", Kind::Str).default(Preset::Str("")),
    arg("state", Kind::Str)
        .choices(&["absent", "dump", "present", "rename", "restore"])
        .default(Preset::Str("present")),
    arg("target", Kind::Path).default(Preset::Str("")),
    arg("target_opts", Kind::Str).default(Preset::Str("")),
    arg("maintenance_db", Kind::Str).default(Preset::Str("postgres")),
    arg("session_role", Kind::Str),
    arg("conn_limit", Kind::Str).default(Preset::Str("")),
    arg("tablespace", Kind::Path).default(Preset::Str("")),
    arg("dump_extra_args", Kind::Str),
    arg("trust_input", Kind::Bool).default(Preset::Bool(true)),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("comment", Kind::Str),
];

pub(crate) const POSTGRESQL_PRIVS_ARGS: &[Arg] = &[
    PG_LOGIN_USER,
    PG_LOGIN_PASSWORD,
    PG_LOGIN_HOST,
    PG_LOGIN_UNIX_SOCKET,
    PG_LOGIN_PORT,
    PG_SSL_MODE,
    PG_CA_CERT,
    PG_SSL_CERT,
    PG_SSL_KEY,
    PG_CONNECT_PARAMS,
    arg("login_db", Kind::Str).aka(&["db", "database"]).required(),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("privs", Kind::Str).aka(&["priv"]),
    arg("type", Kind::Str)
        .choices(&[
            "table",
            "sequence",
            "function",
            "procedure",
            "database",
            "schema",
            "language",
            "tablespace",
            "group",
            "default_privs",
            "foreign_data_wrapper",
            "foreign_server",
            "type",
            "parameter",
        ])
        .default(Preset::Str("table")),
    arg("objs", Kind::Str).aka(&["obj"]),
    arg("schema", Kind::Str),
    arg("roles", Kind::Str).aka(&["role"]).required(),
    arg("session_role", Kind::Str),
    arg("target_roles", Kind::Str),
    arg("grant_option", Kind::Bool).aka(&["admin_option"]),
    arg("fail_on_role", Kind::Bool).default(Preset::Bool(true)),
    arg("trust_input", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const POSTGRESQL_USER_ARGS: &[Arg] = &[
    PG_LOGIN_USER,
    PG_LOGIN_PASSWORD,
    PG_LOGIN_HOST,
    PG_LOGIN_UNIX_SOCKET,
    PG_LOGIN_PORT,
    PG_SSL_MODE,
    PG_CA_CERT,
    PG_SSL_CERT,
    PG_SSL_KEY,
    PG_CONNECT_PARAMS,
    arg("user", Kind::Str).aka(&["name"]).required(),
    arg("password", Kind::Str).secret(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("login_db", Kind::Str).aka(&["db"]).default(Preset::Str("")),
    arg("fail_on_user", Kind::Bool).aka(&["fail_on_role"]).default(Preset::Bool(true)),
    arg("role_attr_flags", Kind::Str).default(Preset::Str("")),
    arg("encrypted", Kind::Bool).default(Preset::Bool(true)),
    arg("no_password_changes", Kind::Bool).default(Preset::Bool(false)),
    arg("expires", Kind::Str),
    arg("conn_limit", Kind::Int),
    arg("session_role", Kind::Str),
    arg("comment", Kind::Str),
    arg("trust_input", Kind::Bool).default(Preset::Bool(true)),
    arg("configuration", Kind::Dict).default(Preset::Dict),
    arg("reset_unspecified_configuration", Kind::Bool).default(Preset::Bool(false)),
    arg("quote_configuration_values", Kind::Bool).default(Preset::Bool(true)),
];

// How modules of MySQL and MariaDB reach their server.
const MY_LOGIN_USER: Arg = arg("login_user", Kind::Str);
const MY_LOGIN_PASSWORD: Arg = arg("login_password", Kind::Str).secret();
const MY_LOGIN_HOST: Arg = arg("login_host", Kind::Str).default(Preset::Str("localhost"));
const MY_LOGIN_PORT: Arg = arg("login_port", Kind::Int).default(Preset::Int(3306));
const MY_LOGIN_UNIX_SOCKET: Arg = arg("login_unix_socket", Kind::Str);
const MY_CONFIG_FILE: Arg = arg("config_file", Kind::Path).default(Preset::Str("~/.my.cnf"));
const MY_CONNECT_TIMEOUT: Arg = arg("connect_timeout", Kind::Int).default(Preset::Int(30));
const MY_CLIENT_CERT: Arg = arg("client_cert", Kind::Path).aka(&["ssl_cert"]);
const MY_CLIENT_KEY: Arg = arg("client_key", Kind::Path).aka(&["ssl_key"]);
const MY_CA_CERT: Arg = arg("ca_cert", Kind::Path).aka(&["ssl_ca"]);
const MY_CHECK_HOSTNAME: Arg = arg("check_hostname", Kind::Bool);

pub(crate) const MYSQL_DB_ARGS: &[Arg] = &[
    MY_LOGIN_USER,
    MY_LOGIN_PASSWORD,
    MY_LOGIN_HOST,
    MY_LOGIN_PORT,
    MY_LOGIN_UNIX_SOCKET,
    MY_CONFIG_FILE,
    MY_CONNECT_TIMEOUT,
    MY_CLIENT_CERT,
    MY_CLIENT_KEY,
    MY_CA_CERT,
    MY_CHECK_HOSTNAME,
    arg("name", Kind::List).aka(&["db"]).required(),
    arg("encoding", Kind::Str).default(Preset::Str("")),
    arg("collation", Kind::Str).default(Preset::Str("")),
    arg("target", Kind::Path),
    arg("state", Kind::Str)
        .choices(&["absent", "dump", "import", "present"])
        .default(Preset::Str("present")),
    arg("single_transaction", Kind::Bool).default(Preset::Bool(false)),
    arg("quick", Kind::Bool).default(Preset::Bool(true)),
    arg("ignore_tables", Kind::List).default(Preset::List(&[])),
    arg("hex_blob", Kind::Bool).default(Preset::Bool(false)),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("master_data", Kind::Int).choices(&["0", "1", "2"]).default(Preset::Int(0)),
    arg("skip_lock_tables", Kind::Bool).default(Preset::Bool(false)),
    arg("dump_extra_args", Kind::Str),
    arg("use_shell", Kind::Bool).default(Preset::Bool(false)),
    arg("unsafe_login_password", Kind::Bool).secret().default(Preset::Bool(false)),
    arg("restrict_config_file", Kind::Bool).default(Preset::Bool(false)),
    arg("check_implicit_admin", Kind::Bool).default(Preset::Bool(false)),
    arg("config_overrides_defaults", Kind::Bool).default(Preset::Bool(false)),
    arg("chdir", Kind::Path),
    arg("pipefail", Kind::Bool).default(Preset::Bool(false)),
    arg("sql_log_bin", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const MYSQL_USER_ARGS: &[Arg] = &[
    MY_LOGIN_USER,
    MY_LOGIN_PASSWORD,
    MY_LOGIN_HOST,
    MY_LOGIN_PORT,
    MY_LOGIN_UNIX_SOCKET,
    MY_CONFIG_FILE,
    MY_CONNECT_TIMEOUT,
    MY_CLIENT_CERT,
    MY_CLIENT_KEY,
    MY_CA_CERT,
    MY_CHECK_HOSTNAME,
    arg("name", Kind::Str).aka(&["user"]).required(),
    arg("password", Kind::Str).secret(),
    arg("encrypted", Kind::Bool).default(Preset::Bool(false)),
    arg("host", Kind::Str).default(Preset::Str("localhost")),
    arg("host_all", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("priv", Kind::Raw),
    arg("tls_requires", Kind::Dict),
    arg("append_privs", Kind::Bool).default(Preset::Bool(false)),
    arg("subtract_privs", Kind::Bool).default(Preset::Bool(false)),
    arg("attributes", Kind::Dict),
    arg("check_implicit_admin", Kind::Bool).default(Preset::Bool(false)),
    arg("update_password", Kind::Str)
        .choices(&["always", "on_create", "on_new_username"])
        .default(Preset::Str("always")),
    arg("sql_log_bin", Kind::Bool).default(Preset::Bool(true)),
    arg("plugin", Kind::Str),
    arg("plugin_hash_string", Kind::Str),
    arg("plugin_auth_string", Kind::Str),
    arg("salt", Kind::Str),
    arg("resource_limits", Kind::Dict),
    arg("force_context", Kind::Bool).default(Preset::Bool(false)),
    arg("session_vars", Kind::Dict),
    arg("column_case_sensitive", Kind::Bool),
    arg("password_expire", Kind::Str).choices(&["now", "never", "default", "interval"]).secret(),
    arg("password_expire_interval", Kind::Int).secret(),
    arg("locked", Kind::Bool),
];
