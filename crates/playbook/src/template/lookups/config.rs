//! `config`: what the settings of Ansible are, by Ansible's own names.

use crate::config::{Config, Setting, Source};
use crate::template::{Fault, Interp};
use crate::value::{Call, Value};

/// A value, and where it came from.
type Told = (Value, &'static str);

pub(super) fn lookup(
    cx: &mut Interp<'_>,
    terms: &[Value],
    call: &Call,
) -> Result<Vec<Value>, Fault> {
    let config = &cx.context().world.config;
    let missing = call.named("on_missing").or_else(|| call.named("missing")).map(Value::to_text);
    let with_origin = call.named("show_origin").is_some_and(Value::is_true);
    let mut found = Vec::new();
    for term in terms {
        let Value::Str(name) = term else {
            return Err(Fault::new(format!(
                "Invalid setting identifier, {} is not a <class 'str'>, its a <class '{}'>.",
                term.repr(),
                term.type_name()
            )));
        };
        match (setting(config, name), missing.as_deref().unwrap_or("error")) {
            (Some((value, origin)), _) if with_origin => {
                found.push(Value::list(vec![value, Value::str(origin)]));
            }
            (Some((value, _)), _) => found.push(value),
            (None, "skip" | "warn") => {}
            (None, "error") => {
                return Err(Fault::new(format!("No config definition exists for '{name}'.")));
            }
            (None, other) => {
                return Err(Fault::new(format!(
                    "Invalid option for error handling, missing must be error, warn or skip, got: {other}."
                )));
            }
        }
    }
    Ok(found)
}

fn told<T: Clone>(setting: &Setting<T>, value: impl FnOnce(T) -> Value) -> Option<Told> {
    let origin = match setting.from {
        Source::Default => "default",
        Source::Asked => "cli",
        Source::Env(name) => name,
        Source::File(..) => "ansible.cfg",
    };
    Some((value(setting.value.clone()), origin))
}

/// A setting by the name that Ansible has for it.
fn setting(config: &Config, name: &str) -> Option<Told> {
    let list = |items: Vec<String>| Value::strings(items);
    let word = |word: Option<String>| word.map_or(Value::None, Value::from);
    match name {
        "ALLOW_BROKEN_CONDITIONALS" => told(&config.allow_broken_conditionals, Value::Bool),
        "ANY_ERRORS_FATAL" => told(&config.any_errors_fatal, Value::Bool),
        "CACHE_PLUGIN" => told(&config.fact_caching, Value::from),
        "CACHE_PLUGIN_CONNECTION" => told(&config.fact_caching_connection, word),
        "CACHE_PLUGIN_TIMEOUT" => told(&config.fact_caching_timeout, Value::Int),
        "COLLECTIONS_PATHS" => told(&config.collections_path, list),
        "DEFAULT_BECOME" => told(&config.become_it, Value::Bool),
        "DEFAULT_BECOME_METHOD" => {
            told(&config.become_method, |method| Value::from(method.unwrap_or("sudo".to_owned())))
        }
        "DEFAULT_BECOME_USER" => {
            told(&config.become_user, |user| Value::from(user.unwrap_or("root".to_owned())))
        }
        "DEFAULT_FORCE_HANDLERS" => told(&config.force_handlers, Value::Bool),
        "DEFAULT_FORKS" => told(&config.forks, Value::Int),
        "DEFAULT_GATHERING" => told(&config.gathering, Value::from),
        "DEFAULT_HASH_BEHAVIOUR" => told(&config.hash_behaviour, Value::from),
        "DEFAULT_HOST_LIST" => told(&config.inventory, list),
        "DEFAULT_JINJA2_EXTENSIONS" => told(&config.jinja2_extensions, list),
        "DEFAULT_LOG_PATH" => told(&config.log_path, word),
        "DEFAULT_MODULE_NAME" => told(&config.module_name, Value::from),
        "DEFAULT_NO_LOG" => told(&config.no_log, Value::Bool),
        "DEFAULT_POLL_INTERVAL" => told(&config.poll_interval, Value::Int),
        "DEFAULT_PRIVATE_KEY_FILE" => told(&config.private_key_file, word),
        "DEFAULT_PRIVATE_ROLE_VARS" => told(&config.private_role_vars, Value::Bool),
        "DEFAULT_REMOTE_USER" => told(&config.remote_user, word),
        "DEFAULT_ROLES_PATH" => told(&config.roles_path, list),
        "DEFAULT_STDOUT_CALLBACK" => told(&config.stdout_callback, Value::from),
        "DEFAULT_STRATEGY" => told(&config.strategy, Value::from),
        "DEFAULT_TIMEOUT" => told(&config.timeout, Value::Int),
        "DEFAULT_VAULT_IDENTITY" => told(&config.vault_identity, Value::from),
        "DEFAULT_VAULT_ID_MATCH" => told(&config.vault_id_match, Value::Bool),
        "DEFAULT_VERBOSITY" => told(&config.verbosity, Value::Int),
        "DIFF_ALWAYS" => told(&config.diff_always, Value::Bool),
        "DUPLICATE_YAML_DICT_KEY" => told(&config.duplicate_dict_key, Value::from),
        "ERROR_ON_MISSING_HANDLER" => told(&config.error_on_missing_handler, Value::Bool),
        "HOST_KEY_CHECKING" => told(&config.host_key_checking, Value::Bool),
        "HOST_PATTERN_MISMATCH" => told(&config.host_pattern_mismatch, Value::from),
        "INJECT_FACTS_AS_VARS" => told(&config.facts_as_vars, Value::Bool),
        "INTERPRETER_PYTHON" => told(&config.interpreter_python, Value::from),
        "INVENTORY_ENABLED" => told(&config.inventory_plugins, list),
        "LOCALHOST_WARNING" => told(&config.localhost_warning, Value::Bool),
        "SHOW_CUSTOM_STATS" => told(&config.show_custom_stats, Value::Bool),
        "TAGS_RUN" => told(&config.run_tags, list),
        "TAGS_SKIP" => told(&config.skip_tags, list),
        "TASK_TIMEOUT" => told(&config.task_timeout, Value::Int),
        "VARIABLE_PRECEDENCE" => told(&config.precedence, list),
        _ => None,
    }
}
