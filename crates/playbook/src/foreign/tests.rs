//! Where modules are found and what goes with them, over an ansible-core and a collection of a few
//! files.

use super::*;
use crate::config::Here;
use std::fs;
use updraft_wire::ForeignStyle;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A home with an ansible-core of a few files, and a collection.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let core = "core/lib/python3.11/site-packages/ansible";
    for (name, text) in [
        ("release.py", "__version__ = '2.19.14'\n"),
        ("module_utils/basic.py", "import json\n"),
        ("module_utils/__init__.py", ""),
        ("module_utils/six/__init__.py", ""),
        (
            "modules/fetches.py",
            "from ansible.module_utils.six.moves.urllib.parse import urlsplit\n",
        ),
        (
            "modules/pip.py",
            "from ansible.module_utils.basic import AnsibleModule\nDOC='editable'\n",
        ),
        ("modules/reboot.py", ""),
        ("plugins/action/reboot.py", ""),
        (
            "config/ansible_builtin_runtime.yml",
            "plugin_routing:\n  modules:\n    old:\n      redirect: a.b.new\n    gone:\n      \
             tombstone: {warning_text: use something else}\n",
        ),
    ] {
        write(home.path(), &format!("{core}/{name}"), text);
    }
    let collection = ".ansible/collections/ansible_collections/a/b";
    for (name, text) in [
        (
            "plugins/modules/new.py",
            "from ..module_utils.near import x\nfrom ansible_collections.a.b.plugins.module_utils import far\n",
        ),
        ("plugins/modules/lost.py", "from ..module_utils.nowhere import x\n"),
        (
            "plugins/modules/maybe.py",
            "try:\n    from ..module_utils.nowhere import x\nexcept ImportError:\n    pass\n",
        ),
        (
            "plugins/module_utils/near.py",
            "from .deep.er import y\nfrom ansible.module_utils.basic import z\n",
        ),
        ("plugins/module_utils/deep/er.py", ""),
        ("plugins/module_utils/there.py", ""),
        ("meta/runtime.yml", "plugin_routing:\n  module_utils:\n    far: {redirect: a.b.there}\n"),
    ] {
        write(home.path(), &format!("{collection}/{name}"), text);
    }
    home
}

fn modules(home: &Path) -> Modules {
    modules_as(home, &Config::default())
}

fn modules_as(home: &Path, config: &Config) -> Modules {
    let path = home.join("core/bin");
    fs::create_dir_all(&path).unwrap();
    let env = BTreeMap::from([("PATH".to_owned(), path.display().to_string())]);
    Modules::new(&env, Some(home), config)
}

/// Names of the files in a zip, from its directory.
fn names(zip: &[u8]) -> Vec<String> {
    let mark = b"PK\x01\x02";
    let starts = zip.windows(4).enumerate().filter(|(_, window)| *window == mark);
    starts
        .map(|(at, _)| {
            let length = usize::from(u16::from_le_bytes([zip[at + 28], zip[at + 29]]));
            String::from_utf8(zip[at + 46..at + 46 + length].to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn a_module_of_ansible_core_is_found_beside_the_path() {
    let home = home();
    let modules = modules(home.path());
    let found = modules.find("ansible.builtin.pip").unwrap();
    assert_eq!(found.dotted, "ansible.modules.pip");
    let bundle = modules.bundle(&found).unwrap();
    assert_eq!(bundle.style, ForeignStyle::Python);
    // What all have in common is in the library and not in every module's zip.
    assert_eq!(
        names(&bundle.payload.bytes),
        ["ansible/__init__.py", "ansible/modules/__init__.py", "ansible/modules/pip.py"]
    );
    let library = names(&bundle.library.as_ref().unwrap().bytes);
    assert!(library.contains(&"ansible/module_utils/basic.py".to_owned()), "{library:?}");
}

#[test]
fn a_module_brings_what_it_imports_through_redirects_too() {
    let home = home();
    let modules = modules(home.path());
    // The name leads from ansible-core's old one into the collection.
    let found = modules.find("old").unwrap();
    assert_eq!(found.dotted, "ansible_collections.a.b.plugins.modules.new");
    let names = names(&modules.bundle(&found).unwrap().payload.bytes);
    for wanted in ["near.py", "deep/er.py", "deep/__init__.py", "far.py", "there.py"] {
        let wanted = format!("ansible_collections/a/b/plugins/module_utils/{wanted}");
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
}

#[test]
fn what_six_moves_about_is_in_six() {
    let home = home();
    let modules = modules(home.path());
    let fetches = modules.find("fetches").unwrap();
    assert!(modules.bundle(&fetches).is_ok(), "{:?}", modules.bundle(&fetches).err());
}

#[test]
fn an_import_that_is_not_there_is_named_unless_it_may_be_absent() {
    let home = home();
    let modules = modules(home.path());
    let lost = modules.find("a.b.lost").unwrap();
    let why = modules.bundle(&lost).err().unwrap();
    assert!(why.contains("a.b.plugins.module_utils.nowhere"), "{why}");
    assert!(modules.bundle(&modules.find("a.b.maybe").unwrap()).is_ok());
}

#[test]
fn a_module_that_cannot_be_run_says_how_to_get_it() {
    let home = home();
    let modules = modules(home.path());
    let why = |word: &str| modules.find(word).err().unwrap();
    assert!(why("c.d.e").contains("ansible-galaxy collection install c.d"), "{}", why("c.d.e"));
    assert!(why("gone").contains("use something else"), "{}", why("gone"));
    // It is there, and told only when it is run: a condition may keep it from that.
    let reboot = modules.find("reboot").unwrap();
    assert!(modules.bundle(&reboot).err().unwrap().contains("action plugin"));
    let empty = Modules::new(
        &BTreeMap::from([("PATH".to_owned(), "/nowhere/bin".to_owned())]),
        None,
        &Config::default(),
    );
    // Where the machine that runs the tests has an ansible-core of its own it answers instead.
    let why = empty.find("no_such_module").err().unwrap();
    assert!(why.contains("ansible-core"), "{why}");
}

#[test]
fn a_library_beside_the_playbook_goes_before_ours() {
    let home = home();
    let modules = modules(home.path());
    write(home.path(), "play/library/ping", "#!/bin/sh\n# WANT_JSON\n");
    write(home.path(), "play/library/ping.pyc", "");
    modules.beside(&home.path().join("play"));
    let found = modules.before_ours("ansible.legacy.ping").unwrap();
    assert_eq!(modules.bundle(&found).unwrap().style, ForeignStyle::JsonFile);
    assert!(modules.before_ours("ping").is_some());
    assert_eq!(modules.before_ours("ansible.builtin.ping"), None);
}

#[test]
fn the_settings_name_where_modules_collections_and_support_code_are() {
    let root = home();
    write(root.path(), "mods/own.py", "from ansible.module_utils.near import x\n");
    write(root.path(), "support/near.py", "x = 1\n");
    write(root.path(), "cols/ansible_collections/a/b/plugins/modules/far.py", "\n");
    let cfg = "[defaults]\nlibrary = mods\nmodule_utils = support\ncollections_path = cols\n";
    write(root.path(), "ansible.cfg", cfg);
    let here = Here { env: &BTreeMap::new(), home: None, cwd: root.path() };
    let config = Config::load(&here).unwrap();
    let modules = modules_as(root.path(), &config);
    let own = modules.before_ours("own").unwrap();
    let names = names(&modules.bundle(&own).unwrap().payload.bytes);
    assert!(names.contains(&"ansible/module_utils/near.py".to_owned()), "{names:?}");
    assert!(modules.find("a.b.far").is_ok());
    // The usual places are not looked at any more, what was asked for is first.
    assert!(modules.find("a.b.new").is_err());
    write(root.path(), "first/own.py", "\n");
    modules.prefer(&[root.path().join("first")]);
    assert_eq!(modules.before_ours("own").unwrap().path, root.path().join("first/own.py"));
}

#[test]
fn the_text_of_a_module_says_how_it_takes_its_arguments() {
    use bundle::style;
    assert_eq!(style(b"\x7fELF\x00\x01"), ForeignStyle::Binary);
    assert_eq!(style(b"#!/bin/sh\nsource $1\n"), ForeignStyle::WordsFile);
    assert_eq!(style(b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>"), ForeignStyle::Inlined);
    assert_eq!(style(b"import ansible.module_utils.x\n"), ForeignStyle::Python);
    assert_eq!(style(b"from ..module_utils.x import y\n"), ForeignStyle::Python);
    assert_eq!(style(b"# about ansible.module_utils\n"), ForeignStyle::WordsFile);
}

#[test]
fn an_argument_that_only_ansibles_module_knows_is_its_own() {
    let home = home();
    let modules = modules(home.path());
    assert!(modules.core_knows("pip", "editable").is_some());
    assert!(modules.core_knows("pip", "edit").is_none());
}

#[test]
fn what_ours_cannot_do_is_left_to_the_collection_that_has_it() {
    let home = home();
    let modules = modules(home.path());
    assert_eq!(modules.core_has("old").unwrap().name, "a.b.new");
    assert_eq!(modules.core_has("reboot"), None);
    assert_eq!(modules.core_has("gone"), None);
}

#[test]
fn plugins_in_python_are_seen_where_ansible_finds_them() {
    let home = home();
    let core = "core/lib/python3.11/site-packages/ansible";
    let collection = ".ansible/collections/ansible_collections/a/b";
    for (name, text) in [
        (
            "play/filter_plugins/mine.py",
            "def f(v): return v.upper()\nx = {'mine': f, \"join\": f}\n",
        ),
        ("play/lookup_plugins/look.py", ""),
        ("named/deep/test_plugins.py", "dict(even_more=1)\n"),
        (&format!("{core}/plugins/lookup/url.py"), ""),
        (&format!("{collection}/plugins/filter/many.py"), "{'near': 1}\n"),
        (&format!("{collection}/plugins/test/sub/deep.py"), "{'deeper': 1}\n"),
        (
            &format!("{collection}/meta/runtime.yml"),
            "plugin_routing: {lookup: {old: {redirect: a.b.new}}}\n",
        ),
    ] {
        write(home.path(), name, text);
    }
    let cwd = Path::new("/");
    let tests = home.path().join("named").display().to_string();
    let env = BTreeMap::from([("ANSIBLE_TEST_PLUGINS".to_owned(), tests)]);
    let config = Config::load(&Here { env: &env, home: None, cwd }).unwrap();
    let modules = modules_as(home.path(), &config);
    assert!(!modules.may_have(Kind::Filter, "mine"));
    modules.beside(&home.path().join("play"));
    for (kind, name, expected) in [
        (Kind::Filter, "mine", true),
        (Kind::Filter, "ansible.legacy.mine", true),
        (Kind::Filter, "ansible.builtin.mine", false),
        (Kind::Filter, "min", false),
        (Kind::Test, "mine", false),
        (Kind::Lookup, "look", true),
        (Kind::Test, "even_more", true),
        (Kind::Lookup, "url", true),
        (Kind::Lookup, "ansible.builtin.url", true),
        (Kind::Filter, "a.b.near", true),
        (Kind::Filter, "near", false),
        (Kind::Filter, "a.b.far", false),
        (Kind::Test, "a.b.sub.deeper", true),
        (Kind::Lookup, "a.b.old", true),
        (Kind::Lookup, "a.c.old", false),
    ] {
        assert_eq!(modules.may_have(kind, name), expected, "{kind} {name}");
    }
    // Of ours those stand behind that give the name to something, not those that have the word.
    assert!(modules.may_be_before_ours(Kind::Filter, "join"));
    assert!(!modules.may_be_before_ours(Kind::Filter, "upper"));
    assert!(!modules.may_be_before_ours(Kind::Filter, "ansible.builtin.join"));
    modules.has_none_before_ours(Kind::Filter, "join");
    assert!(!modules.may_be_before_ours(Kind::Filter, "join"));
}

#[test]
fn the_python_of_the_ansible_core_that_is_found_runs_plugins() {
    let home = home();
    let program = "core/bin/python3.11";
    write(home.path(), program, "");
    let python = modules(home.path()).python().unwrap();
    assert_eq!(python.program, home.path().join(program));
    assert_eq!(python.packages, Some(home.path().join("core/lib/python3.11/site-packages")));
}
