//! What inventories, ranges, patterns and variables beside them give, on small sources.

use super::*;
use crate::config::Config;
use crate::template::World;
use crate::vault::Vault;
use std::sync::Arc;
use updraft_base::{FixedClock, Timestamp};

fn world(config: Config) -> Arc<World> {
    Arc::new(World {
        dialect: Default::default(),
        differences: None,
        env: std::collections::BTreeMap::new(),
        clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
        seed: 0,
        commands: Arc::new(crate::template::Alone),
        vault: Arc::default(),
        config: Arc::new(config),
    })
}

fn load_with(sources: &[&str], config: Config, scripts: Option<&dyn Scripts>) -> Inventory {
    let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
    let (world, extra_vars) = (world(config), Dict::new());
    let reading = Reading { world: &world, scripts, extra_vars: &extra_vars };
    Inventory::load(&sources, &reading).unwrap()
}

fn load(sources: &[&str]) -> Inventory {
    load_with(sources, Config::default(), None)
}

fn listed(inventory: &Inventory) -> serde_json::Value {
    Listing::new(inventory, &Default::default(), ListingOptions::default()).unwrap().list()
}

const HOSTS: &str = "
lone ansible_host=10.0.0.9
[web]
web[1:3] port=80 name='a b' flag=True  # a comment
web4:2222 listed=\"[1, 'x']\"
[db]
db1 port='5432'
[prod:children]
web
db
[prod:vars]
env = production
count = 3
text = yes
[staging]
web2
";

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    ini::read(&mut inventory, "hosts", HOSTS).unwrap();
    inventory.settle();
    inventory
}

#[test]
fn an_ini_file_gives_hosts_groups_and_python_literals() {
    let inventory = inventory();
    assert_eq!(
        inventory.hosts().collect::<Vec<_>>(),
        ["lone", "web1", "web2", "web3", "web4", "db1"]
    );
    let vars = |host: &str| Value::dict(inventory.host_vars(host, &[], None)).repr();
    assert_eq!(
        vars("web1"),
        "{'env': 'production', 'count': 3, 'text': 'yes', 'port': 80, 'name': 'a b', 'flag': True}"
    );
    assert_eq!(
        vars("web4"),
        "{'env': 'production', 'count': 3, 'text': 'yes', 'ansible_port': 2222, 'listed': [1, 'x']}"
    );
    assert_eq!(vars("lone"), "{'ansible_host': '10.0.0.9'}");
    assert_eq!(inventory.groups_of("web2"), ["prod", "staging", "web"]);
    assert_eq!(inventory.group_hosts("prod"), ["web1", "web2", "web3", "web4", "db1"]);
}

#[test]
fn faults_of_an_ini_file_are_told_all_at_once_with_their_lines() {
    let mut inventory = Inventory::default();
    let faults = ini::read(&mut inventory, "h", "[a:b]\nx y\n[c:children]\nc\n[d:vars]\nnothing\n")
        .unwrap_err();
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert_eq!(lines[4], "h:5:1: Section [d:vars] not valid for undefined group 'd'.");
    assert!(lines[0].starts_with("h:1:1: unknown kind of section"));
    assert!(lines[2].contains("itself"), "{lines:?}");
    // As Ansible has it, what comes after the first is not there.
    assert_eq!(inventory.hosts().count(), 0);
    ini::read(&mut inventory, "h", "[web]\na\n[web:chidren]\nb\n").unwrap_err();
    assert_eq!(inventory.hosts().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn patterns_mean_what_they_mean_to_ansible() {
    let inventory = inventory();
    for (pattern, hosts) in [
        ("all", "lone web1 web2 web3 web4 db1"),
        ("web", "web1 web2 web3 web4"),
        ("web:&staging", "web2"),
        ("prod:!web", "db1"),
        ("!web", "lone db1"),
        ("web[0]", "web1"),
        ("web[-1]", "web4"),
        ("web[1:2]", "web2 web3"),
        ("web[1:]", "web2 web3 web4"),
        ("~web[12]$", "web1 web2"),
        ("web?,db*", "web1 web2 web3 web4 db1"),
        ("db,lone", "db1 lone"),
        ("nope", ""),
        ("localhost", "localhost"),
        ("ungrouped", "lone"),
        ("*", "lone web1 web2 web3 web4 db1"),
    ] {
        assert_eq!(inventory.hosts_matching(pattern).unwrap().join(" "), hosts, "{pattern}");
    }
}

#[test]
fn what_matches_nothing_is_told_or_refused_or_let_be() {
    let inventory = inventory();
    let told = "Could not match supplied host pattern, ignoring: nope";
    for (pattern, said) in
        [("web:!nope", vec![told]), ("nope[0]", vec![told]), ("all:localhost:web?", vec![])]
    {
        assert_eq!(inventory.mismatches(pattern, "warning").unwrap(), said, "{pattern}");
        assert_eq!(inventory.mismatches(pattern, "error").err().as_deref(), said.first().copied());
        assert!(inventory.mismatches(pattern, "ignore").unwrap().is_empty());
    }
}

#[test]
fn nearer_groups_win_and_equals_go_by_name() {
    let mut inventory = Inventory::default();
    let text = "[b]\nh\n[a]\nh\n[p:children]\na\n[p:vars]\nx=p\ny=p\n[a:vars]\nx=a\nz=a\n[b:vars]\nz=b\ny=b\n";
    ini::read(&mut inventory, "h", text).unwrap();
    inventory.settle();
    let vars = Value::dict(inventory.host_vars("h", &[], None));
    // `a` lies one deeper than `b` and `p`.
    assert_eq!(vars.repr(), "{'z': 'a', 'y': 'p', 'x': 'a'}");
}

#[test]
fn yaml_directories_and_lists_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("1.yml"), "all:\n  children:\n    web:\n      hosts:\n        w[1:2]: {port: 1}\n      vars: {a: 1}\n").unwrap();
    std::fs::write(at("2.ini"), "[web]\nw2 port=2\n").unwrap();
    std::fs::create_dir(at("group_vars")).unwrap();
    std::fs::write(at("group_vars/web.yml"), "a: 2\nb: '{{ a }}'\n").unwrap();
    let listed = listed(&load(&[&dir.path().display().to_string(), "extra,"]));
    assert_eq!(
        listed["_meta"]["hostvars"]["w2"],
        serde_json::json!({"a": 2, "b": "{{ a }}", "port": 2})
    );
    assert_eq!(listed["all"]["children"], serde_json::json!(["ungrouped", "web"]));
    assert_eq!(listed["ungrouped"]["hosts"], serde_json::json!(["extra"]));
}

#[test]
fn a_source_that_cannot_be_read_is_told_and_passed_over() {
    let inventory = load(&["/nowhere/hosts", "a,b:22"]);
    assert_eq!(inventory.hosts().collect::<Vec<_>>(), ["a", "b"]);
    let told: Vec<&String> = inventory.warnings.iter().collect();
    assert_eq!(told, ["Unable to parse /nowhere/hosts as an inventory source"]);
    let strict = || {
        let mut config = Config::default();
        config.inventory_any_unparsed_fails.value = true;
        let (world, extra_vars) = (world(config), Dict::new());
        let reading = Reading { world: &world, scripts: None, extra_vars: &extra_vars };
        Inventory::load(&["/nowhere/hosts".to_owned(), "a,".to_owned()], &reading).unwrap_err()
    };
    assert_eq!(strict().to_string(), "Completely failed to parse inventory source /nowhere/hosts");
}

#[test]
fn what_begins_with_a_section_is_ini_and_its_faults_are_told_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts").display().to_string();
    let warnings = |text: &str| {
        std::fs::write(&hosts, text).unwrap();
        let inventory = load(&[&hosts]);
        let names: Vec<String> = inventory.hosts().map(str::to_owned).collect();
        (names, inventory.warnings.iter().cloned().collect::<Vec<String>>())
    };
    let (names, told) = warnings("# mine\n\n[web]  \na\nb # c\n");
    assert_eq!((names, told), (vec!["a".to_owned(), "b".to_owned()], vec![]));
    for text in ["[web:odd]\na\n", "[web]\n---\na\n"] {
        let (_, told) = warnings(text);
        assert!(told[0].contains("with 'yaml' plugin"), "{told:?}");
        assert!(told[1].contains("with 'ini' plugin"), "{told:?}");
        assert!(told[2].starts_with("Unable to parse"), "{told:?}");
    }
    // All there is may be a list, which YAML's reader says.
    let (_, told) = warnings("[web]\n");
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_file_of_variables_may_be_a_list_of_dicts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.yml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_vars(&path, &Default::default(), &mut Default::default(), false)
    };
    let vars = read("- {a: 1, b: 1}\n- {b: 2}\n").unwrap();
    assert_eq!(Value::dict(vars).repr(), "{'a': 1, 'b': 2}");
    assert!(read("- {a: 1}\n- b\n").unwrap_err()[0].to_string().contains("holds a list"));
}

/// Compared with ansible-core 2.19.14 by hand, 22 November 2026.
#[test]
fn dicts_of_several_files_of_one_group_come_together_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join("group_vars").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("all/a.yml", "d: {a: 1, n: {x: 1}, l: [1]}\n");
    write("all/b.yml", "d: {b: 2, n: {y: 2}, l: [2]}\n");
    write("all/sub/c.yml", "d: {c: 3}\n");
    write("all/old.d/e.yml", "d: {e: 5}\n");
    // The directory comes first, so that nobody looks at this one.
    write("all.yml", "d: {f: 6}\n");
    let given = |merge: bool| {
        let read = VarsDir::read(dir.path(), &Default::default(), merge).unwrap();
        let inventory = Inventory { merge, ..Inventory::default() };
        Value::dict(inventory.vars_of_group("all", &[read], None)).repr()
    };
    assert_eq!(given(true), "{'d': {'a': 1, 'n': {'x': 1, 'y': 2}, 'l': [2], 'b': 2, 'c': 3}}");
    assert_eq!(given(false), "{'d': {'c': 3}}");
}

#[test]
fn names_of_groups_are_changed_only_where_that_was_asked_for() {
    use crate::config::GroupNames;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    std::fs::write(&path, "[my-web]\nh\n[all:children]\nmy-web\n").unwrap();
    let names = |rule: GroupNames| {
        let mut config = Config::default();
        config.group_names.value = rule;
        let inventory = load_with(&[&path.display().to_string()], config, None);
        (inventory.groups_of("h"), inventory.warnings.len())
    };
    assert_eq!(names(GroupNames::Never), (vec!["my-web".to_owned()], 1));
    assert_eq!(names(GroupNames::Ignore), (vec!["my-web".to_owned()], 0));
    assert_eq!(names(GroupNames::Always), (vec!["my_web".to_owned()], 1));
    assert_eq!(names(GroupNames::Silently), (vec!["my_web".to_owned()], 0));
}

#[test]
fn constructed_groups_follow_what_is_known_of_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let hosts = at("hosts.ini", "[web]\na os=debian tags=\"['x', '']\"\nb os=alpine\n");
    let constructed = at(
        "groups.yml",
        "plugin: constructed\ncompose: {port: 80 + 1}\ngroups:\n  big: port == 81\nkeyed_groups:\n- {key: os, prefix: os, parent_group: systems}\n- {key: tags, separator: '', default_value: none}\n",
    );
    let inventory = load(&[&hosts, &constructed]);
    assert!(inventory.warnings.is_empty(), "{:?}", inventory.warnings);
    assert_eq!(inventory.groups_of("a"), ["big", "none", "os_debian", "systems", "web", "x"]);
    // What is composed counts for the groups after it.
    assert_eq!(inventory.group_hosts("os_alpine"), ["b"]);
    assert_eq!(listed(&inventory)["_meta"]["hostvars"]["b"]["port"], 81);
}

#[test]
fn constructed_groups_know_what_a_host_is_called_and_where_it_belongs() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let hosts = at("hosts.ini", "[web]\nw1.example.org\n[db]\nd1.example.org\n");
    let constructed = at(
        "groups.yml",
        "plugin: constructed\nstrict: true\ncompose: {ansible_host: inventory_hostname_short}\ngroups:\n  ws: inventory_hostname.startswith('w')\n  served: \"'web' in group_names\"\n",
    );
    let inventory = load(&[&hosts, &constructed]);
    assert!(inventory.warnings.is_empty(), "{:?}", inventory.warnings);
    assert_eq!(inventory.groups_of("w1.example.org"), ["served", "web", "ws"]);
    assert_eq!(inventory.groups_of("d1.example.org"), ["db"]);
    assert_eq!(listed(&inventory)["_meta"]["hostvars"]["d1.example.org"]["ansible_host"], "d1");
}

#[test]
fn a_generator_makes_a_host_of_every_combination() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g.yml");
    std::fs::write(&path, "plugin: generator\nhosts:\n  name: '{{ a }}{{ b }}'\n  parents:\n  - {name: '{{ a }}', vars: {which: '{{ b }}'}}\nlayers: {a: [x, y], b: [1, 2]}\n").unwrap();
    let inventory = load(&[&path.display().to_string()]);
    assert_eq!(inventory.hosts().collect::<Vec<_>>(), ["x1", "x2", "y1", "y2"]);
    assert_eq!(inventory.group_hosts("y"), ["y1", "y2"]);
}

#[test]
fn toml_gives_what_ini_gives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts.toml");
    std::fs::write(
        &path,
        "[web.hosts]\n'w[1:2]' = {port = 80}\n[web.vars]\nname = 'a'\n[all]\nchildren = ['web']\n",
    )
    .unwrap();
    let inventory = load(&[&path.display().to_string()]);
    let vars = |host: &str| Value::dict(inventory.host_vars(host, &[], None)).repr();
    assert_eq!(vars("w2"), "{'name': 'a', 'port': 80}");
}

#[test]
fn a_graph_shows_groups_before_hosts_and_variables_where_they_were_given() {
    let inventory = inventory();
    let vault = Vault::default();
    let listing = Listing::new(&inventory, &vault, ListingOptions::default()).unwrap();
    assert_eq!(
        listing.graph("staging", true).unwrap().unwrap(),
        "@staging:\n  |--web2\n  |  |--{count = 3}\n  |  |--{env = production}\n  |  |--{flag = True}\n  |  |--{name = a b}\n  |  |--{port = 80}\n  |  |--{text = yes}\n"
    );
    assert_eq!(listing.graph("nope", false).unwrap(), None);
}

#[test]
fn a_graph_shows_what_is_encrypted_and_a_list_does_not() {
    // As ansible-inventory 2.19.14, which needs the password for the graph alone.
    let password = crate::vault::Password::new("default", b"letmein".to_vec());
    let sealed = password.encrypt(b"hunter2", None, b"salt").unwrap();
    let mut inventory = inventory();
    let nested = Value::dict_of([("a", Value::vaulted(&sealed, None))]);
    inventory.set_group_var("staging", "secret", nested);
    let vault = Vault::new(vec![password], false);
    let listing = Listing::new(&inventory, &vault, ListingOptions::default()).unwrap();
    let graph = listing.graph("staging", true).unwrap().unwrap();
    assert!(graph.contains("{secret = {'a': 'hunter2'}}"), "{graph}");
    assert!(!listing.list().to_string().contains("hunter2"));
    let vault = Vault::default();
    let listing = Listing::new(&inventory, &vault, ListingOptions::default()).unwrap();
    let told = listing.graph("staging", true).unwrap_err().to_string();
    assert_eq!(told, "Attempting to decrypt but no vault secrets found.");
    assert!(listing.graph("staging", false).is_ok());
}

struct Says(&'static str);

impl Scripts for Says {
    fn run(&self, _script: &std::path::Path, args: &[&str]) -> Result<Said, String> {
        let stdout = if args == ["--list"] { self.0 } else { "" }.to_owned();
        Ok(Said { stdout, stderr: "a word\n".to_owned() })
    }
}

const SAYS: &str = r#"{"web": {"hosts": ["s1"], "vars": {"a": "{{ yes }}", "c": {"__ansible_unsafe": "{{ not }}"}}}, "_meta": {"hostvars": {"s1": {"b": 1}}}}"#;

#[test]
fn a_script_is_trusted_but_for_what_it_marks() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("inv");
    std::fs::write(&script, "#!/bin/sh\necho {\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = script.display().to_string();
    let inventory = load_with(&[&source], Config::default(), Some(&Says(SAYS)));
    let vars = inventory.host_vars("s1", &[], None);
    assert!(vars["a"].is_lazy(), "an answer is a template as it is in Ansible");
    assert!(!vars["c"].is_lazy(), "what is marked as unsafe became a template");
    assert_eq!(vars["b"], Value::Int(1));
    assert!(inventory.warnings.contains("a word"), "{:?}", inventory.warnings);
    let told = load(&[&source]).warnings;
    assert!(told.iter().any(|told| told.contains("is a script, and nothing here may run it")));
    // The sentences of ansible-core 2.19.14.
    for (said, why) in [
        ("i am not JSON", "Value could not be parsed as JSON."),
        ("\"x\"", "Value is 'str' instead of 'dict'."),
        (r#"{"_meta": "x"}"#, "Value contains '_meta' which is 'str' instead of 'dict'."),
        (r#"{"_meta": {"profile": 1}}"#, "'_meta.profile' which is 'int' instead of 'str'."),
        (r#"{"_meta": {"profile": "x"}}"#, "Non-inventory profile 'x' is not allowed."),
        (r#"{"_meta": {"profile": "inventory_x"}}"#, "Unknown profile name 'inventory_x'."),
        (r#"{"__ansible_vault": 1}"#, "Inventory script result could not be parsed as JSON."),
        (r#"{"_meta": {"hostvars": []}}"#, "'_meta.hostvars' which is 'list' instead of 'dict'."),
        (r#"{"g": null}"#, "'g.hosts' which is 'NoneType' instead of 'list'."),
        (r#"{"g": "x"}"#, "Group 'g' was converted to 'dict' from 'str'."),
        (r#"{"g": {"vars": []}}"#, "'g.vars' which is 'list' instead of 'dict'."),
        (
            r#"{"g": ["h"], "_meta": {"hostvars": {"h": []}}}"#,
            "Invalid data from file, expected dictionary and got",
        ),
    ] {
        let told = load_with(&[&source], Config::default(), Some(&Says(said))).warnings;
        assert!(told.iter().any(|told| told.contains(why)), "{said}: {told:?}");
    }
}

proptest::proptest! {
    #[test]
    fn whoever_is_nearer_to_a_host_outranks_those_further_away(
        levels in proptest::collection::vec(proptest::bool::ANY, 6),
        order in proptest::sample::subsequence((0..6usize).collect::<Vec<_>>(), 6),
    ) {
        // From the weakest to the strongest: `all`, then groups by depth and by name, then the host.
        const LEVELS: [&str; 6] = ["all", "far", "near", "twin_a", "twin_b", "h"];
        let mut inventory = Inventory::default();
        inventory.add_host("h", Some("twin_b"));
        inventory.add_host("h", Some("twin_a"));
        for (group, child) in [("far", "near"), ("near", "twin_a"), ("near", "twin_b")] {
            inventory.add_group(group);
            inventory.add_child(group, child).unwrap();
        }
        inventory.settle();
        let value = |level: usize| Value::Int(level as i64);
        for level in order.iter().copied().filter(|level| levels[*level]) {
            match LEVELS[level] {
                "h" => inventory.set_host_var("h", "x", value(level)),
                group => inventory.set_group_var(group, "x", value(level)),
            }
        }
        let strongest = (0..6).rev().find(|level| levels[*level]).map(value);
        let vars = inventory.host_vars("h", &[], None);
        proptest::prop_assert_eq!(vars.get("x"), strongest.as_ref());
    }

    #[test]
    fn no_inventory_or_pattern_makes_it_fall_over(
        text in r#"([\[\]:=,.!&~*?#'" \n\\-]|web|db|children|vars|[0-9]|a){0,40}"#
    ) {
        let mut read = Inventory::default();
        drop(ini::read(&mut read, "h", &text));
        read.settle();
        drop(read.hosts_matching(&text));
        drop(inventory().hosts_matching(&text));
    }

    #[test]
    fn what_is_left_out_is_not_there(kept in "web|db|prod|staging|all", out in "web|db|prod|staging") {
        let inventory = inventory();
        let found = inventory.hosts_matching(&format!("{kept}:!{out}")).unwrap();
        let without = inventory.hosts_matching(&out).unwrap();
        proptest::prop_assert!(found.iter().all(|host| !without.contains(host)));
        let both = inventory.hosts_matching(&format!("{kept}:&{out}")).unwrap();
        let mut all = inventory.hosts_matching(&kept).unwrap();
        all.retain(|host| without.contains(host));
        proptest::prop_assert_eq!(both, all);
    }
}
