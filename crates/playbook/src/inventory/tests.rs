//! What inventories, ranges, patterns and variables beside them give, on small sources.

use super::*;

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
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("h:1:1: unknown kind of section"));
    assert!(lines[2].contains("would hold itself"));
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
    let sources = [dir.path().display().to_string(), "extra,".to_owned()];
    let inventory = Inventory::load(&sources, None).unwrap();
    let listed = inventory.list(&Default::default()).unwrap();
    assert_eq!(
        listed["_meta"]["hostvars"]["w2"],
        serde_json::json!({"a": 2, "b": "{{ a }}", "port": 2})
    );
    assert_eq!(listed["all"]["children"], serde_json::json!(["ungrouped", "web"]));
    assert_eq!(listed["ungrouped"]["hosts"], serde_json::json!(["extra"]));
    assert!(
        Inventory::load(&["/nowhere/hosts".to_owned()], None)
            .unwrap_err()
            .to_string()
            .contains("not found")
    );
}

struct Said;

impl Scripts for Said {
    fn run(&self, _script: &std::path::Path, args: &[&str]) -> Result<String, String> {
        Ok(match args {
            ["--list"] => r#"{"web": {"hosts": ["s1"], "vars": {"a": "{{ not }}"}}, "_meta": {"hostvars": {"s1": {"b": 1}}}}"#,
            _ => "{}",
        }
        .to_owned())
    }
}

#[test]
fn a_scripts_answer_is_data() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("inv");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = [script.display().to_string()];
    let inventory = Inventory::load(&source, Some(&Said)).unwrap();
    let vars = inventory.host_vars("s1", &[], None);
    assert!(!vars["a"].is_lazy(), "an answer became a template");
    assert_eq!(vars["b"], Value::Int(1));
    assert!(Inventory::load(&source, None).unwrap_err().to_string().contains("script"));
}

proptest::proptest! {
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
