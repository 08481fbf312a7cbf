//! Which file counts, what outranks what, and what values mean.

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(env: &BTreeMap<String, String>, cwd: &Path) -> Config {
    Config::load(&Here { env, home: Some(&cwd.join("home")), cwd }).unwrap()
}

const FILE: &str = "
# a comment
[defaults]
inventory = hosts,../other ; where they are
forks: 7
Remote_User = 'deploy'
vault_identity_list = dev@one,
    prod@two
[inventory]
enable_plugins = ini, yaml
[diff]
always = yes
";

#[test]
fn the_environment_outranks_the_file_and_each_value_knows_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(dir.path()).unwrap();
    std::fs::write(root.join("ansible.cfg"), FILE).unwrap();
    let config = load(&env(&[("ANSIBLE_FORKS", "9"), ("ANSIBLE_ROLES_PATH", "~/roles:r")]), &root);
    assert_eq!(config.file.as_deref(), Some(root.join("ansible.cfg").as_path()));
    let at = |name: &str| root.join(name).display().to_string();
    let beside = root.parent().unwrap().join("other").display().to_string();
    assert_eq!(*config.inventory, [at("hosts"), beside]);
    assert_eq!((*config.forks, config.forks.from.clone()), (9, Source::Env("ANSIBLE_FORKS")));
    assert_eq!(config.remote_user.as_deref(), Some("deploy"));
    assert_eq!(config.remote_user.from, Source::File("defaults", "remote_user"));
    assert_eq!(*config.inventory_plugins, ["ini", "yaml"]);
    assert_eq!(*config.vault_identities, ["dev@one", "prod@two"]);
    assert_eq!(*config.roles_path, [at("home/roles"), at("r")]);
    assert!(*config.diff_always && !config.become_it.is_set());
}

#[test]
fn the_first_file_counts_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("home")).unwrap();
    std::fs::write(root.join("home/.ansible.cfg"), "[defaults]\nforks=2\ntimeout=3\n").unwrap();
    assert_eq!(*load(&env(&[]), root).forks, 2);
    std::fs::write(root.join("ansible.cfg"), "[defaults]\nforks=3\n").unwrap();
    let config = load(&env(&[]), root);
    assert_eq!((*config.forks, *config.timeout), (3, 10));
    std::fs::write(root.join("mine.cfg"), "[defaults]\nforks=4\n").unwrap();
    assert_eq!(*load(&env(&[("ANSIBLE_CONFIG", "mine.cfg")]), root).forks, 4);
}

#[test]
fn a_file_where_everybody_may_write_is_passed_over_and_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ansible.cfg"), "[defaults]\nforks=3\n").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = load(&env(&[]), dir.path());
    assert_eq!(*config.forks, 5);
    assert!(config.warnings[0].contains("world writable"), "{:?}", config.warnings);
}

#[test]
fn a_file_of_filters_names_modules_that_may_not_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("ansible.cfg", "[defaults]\nplugin_filters_cfg = filters.yml\n");
    write("filters.yml", "filter_version: 1.0\nmodule_rejectlist: [copy]\n");
    assert!(load(&env(&[]), dir.path()).rejected_modules.contains("copy"));
    write("filters.yml", "filter_version: 1.0\nmodule_rejectlist: [stat]\n");
    let here = Here { env: &env(&[]), home: None, cwd: dir.path() };
    let told = Config::load(&here).unwrap_err()[0].to_string();
    assert!(told.contains("will not function without the stat module"), "{told}");
}

#[test]
fn a_value_of_another_type_names_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let here = |env: &BTreeMap<String, String>| {
        let faults = Config::load(&Here { env, home: None, cwd: dir.path() }).unwrap_err();
        faults[0].to_string()
    };
    let told = here(&env(&[("ANSIBLE_FORKS", "many")]));
    assert_eq!(told, "ANSIBLE_FORKS: `many` is not a whole number");
    std::fs::write(dir.path().join("ansible.cfg"), "[defaults]\nnothing\n").unwrap();
    assert!(here(&env(&[])).contains("line 2"));
}
