//! Inventories are shown byte for byte as ansible-inventory shows them.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test runs the reference")]

mod referee_venv;

use std::path::Path;
use std::process::Command;
use updraft_playbook::inventory::{Inventory, Listing, ListingOptions, Reading};
use updraft_playbook::value::Dict;

const HOSTS: &str = "lone ansible_host=10.0.0.9\n[web]\nweb[1:2] speed=80 x=\"{{ y }}\" uni='é'\n\
                     [db]\ndb1:2222 list=\"[1, 'a', None]\" raw=b'x'\n[prod:children]\nweb\ndb\n\
                     [prod:vars]\nansible_group_priority=5\nenvi=production\n";

const MORE: &str = "all:\n  hosts:\n    'y[a:c]': {deep: {list: [1, two, null, 1.5, true]}}\n  \
                    children:\n    odd: {hosts: {ya: , web1: }, vars: {t: 'a: b'}}\n    empty:\n";

const MADE: &str = "plugin: constructed\ncompose: {twice: speed * 2}\ngroups: {quick: speed is defined}\n\
                    keyed_groups:\n- {key: envi, prefix: in, parent_group: places}\n";

fn theirs(args: &[&str], at: &Path) -> String {
    let program = referee_venv::ansible().join("ansible-inventory");
    let sources = ["-i", "hosts.ini", "-i", "more.yml", "-i", "made.yml"];
    let enabled = "host_list,script,auto,yaml,ini";
    let ran = Command::new(program)
        .args(sources)
        .args(args)
        .current_dir(at)
        .env("HOME", at)
        .env("ANSIBLE_INVENTORY_ENABLED", enabled)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn every_form_is_that_of_ansible_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::create_dir(at.join("group_vars")).unwrap();
    let files = [
        ("hosts.ini", HOSTS),
        ("more.yml", MORE),
        ("made.yml", MADE),
        ("group_vars/db.yml", "beside: {t: '{{ q }}'}\n"),
    ];
    for (name, text) in files {
        std::fs::write(at.join(name), text).unwrap();
    }
    let world = referee_venv::world(Default::default(), None);
    let sources: Vec<String> = ["hosts.ini", "more.yml", "made.yml"]
        .iter()
        .map(|name| at.join(name).display().to_string())
        .collect();
    let extra_vars = Dict::new();
    let reading = Reading { world: &world, scripts: None, extra_vars: &extra_vars };
    let inventory = Inventory::load(&sources, &reading).unwrap();
    let listing = |export: bool| {
        let options = ListingOptions { export, ..ListingOptions::default() };
        Listing::new(&inventory, &world.vault, options).unwrap()
    };
    let (plain, export) = (listing(false), listing(true));
    for (args, ours) in [
        (vec!["--list"], Listing::json_text(&plain.list())),
        (vec!["--list", "--export"], Listing::json_text(&export.list())),
        (vec!["--list", "--yaml", "--export"], Listing::yaml_text(&export.tree())),
        (vec!["--graph"], plain.graph("all", false).unwrap().unwrap()),
        (vec!["--graph", "--vars"], plain.graph("all", true).unwrap().unwrap()),
        (vec!["--graph", "prod"], plain.graph("prod", false).unwrap().unwrap()),
        (vec!["--host", "db1"], Listing::json_text(&plain.host("db1").unwrap().to_json())),
        (vec!["--host", "ya", "--yaml"], Listing::yaml_text(&plain.host("ya").unwrap())),
    ] {
        assert_eq!(ours, theirs(&args, at), "{args:?}");
    }
}
