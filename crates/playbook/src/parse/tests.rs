//! What playbooks become when they are read, and what is refused with its place.

use super::*;
use crate::template::World;
use std::collections::BTreeMap;
use updraft_base::{FixedClock, Timestamp};

/// A directory with files in it.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    fn load(&self) -> Result<Playbook, Faults> {
        self.load_as(true)
    }

    fn load_as(&self, strict: bool) -> Result<Playbook, Faults> {
        let world = World {
            dialect: Default::default(),
            differences: None,
            env: BTreeMap::new(),
            clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
            seed: 0,
            vault: Arc::default(),
            config: Arc::default(),
            commands: Arc::new(crate::template::Alone),
        };
        let loader = Loader {
            world: Arc::new(world),
            roles_path: Vec::new(),
            extra_vars: Dict::new(),
            modules: Arc::new(Modules::new(
                &BTreeMap::new(),
                None,
                &crate::config::Config::default(),
            )),
            strict,
        };
        Playbook::load(&[self.0.path().join("site.yml")], &loader)
    }

    fn faults(&self) -> Vec<String> {
        let base = format!("{}/", self.0.path().display());
        match self.load() {
            Ok(_) => Vec::new(),
            Err(faults) => {
                faults.0.iter().map(|fault| fault.to_string().replace(&base, "")).collect()
            }
        }
    }
}

fn faults(text: &str) -> Vec<String> {
    Files::with(&[("site.yml", text)]).faults()
}

#[test]
fn every_fault_is_told_with_its_place_and_a_suggestion() {
    let found = faults(
        "- hosts: all\n  taks: []\n  tasks:\n    - coppy: {src: a, dest: b}\n    - copy: {src: a, dst: /b}\n    - debug: msg={{ a | nope }}\n      wen: x\n    - command: ls\n      when: a ==\n    - name: nothing\n",
    );
    let expected = [
        "site.yml:2:3: 'taks' is not a valid attribute for a Play; did you mean `tasks`?",
        "site.yml:4:7: `coppy` is neither a keyword of a task nor a module that is supported; did you mean `copy`?",
        "site.yml:5:22: `copy` has no argument `dst`; did you mean `dest`?",
    ];
    for line in expected {
        assert!(found.iter().any(|fault| fault == line), "{line}\nnot in {found:#?}");
    }
    for part in [
        "no filter named `nope`",
        "'wen' is not a valid attribute for a Task; did you mean `when`?",
        "in the condition `a ==`",
        "no module or action",
    ] {
        assert!(found.iter().any(|fault| fault.contains(part)), "{part}\nnot in {found:#?}");
    }
}

#[test]
fn what_is_fine_has_no_faults() {
    let found = faults(
        r#"
- name: all of it
  hosts: web:&staging
  become: true
  vars: {a: 1, list: [1, 2]}
  vars_files: [x.yml]
  serial: [1, "50%"]
  pre_tasks:
    - ansible.builtin.ping:
  tasks:
    - copy: src=a dest="/b c" mode=0644
      notify: [one, "{{ a }}"]
    - shell: echo {{ a }} | cat creates=/x
      args: {chdir: /tmp}
      register: r
      changed_when: r.rc == 2
      failed_when: [r.rc != 0, "'x' in r.stdout"]
      until: r is succeeded
      retries: 3
    - block:
        - set_fact: {"x_{{ a }}": 1, b: "{{ list | map('string') | list }}"}
          loop: "{{ list }}"
          loop_control: {loop_var: it, label: "{{ it }}"}
      rescue: [{debug: {var: a}}]
      always: [{meta: flush_handlers}]
      when: a is defined
      tags: [x, y]
    - local_action: {module: command, cmd: ls}
    - action: file path=/x state=directory
    - include_tasks: "{{ a }}.yml"
      with_items: [1]
    - debug:
    - assert: {that: [a == 1, "list | length > 1"], fail_msg: bad}
  handlers:
    - name: one
      listen: topic
      service: {name: x, state: restarted}
"#,
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn roles_bring_tasks_handlers_variables_and_dependencies() {
    let files = Files::with(&[
        (
            "site.yml",
            "- hosts: all\n  roles:\n    - role: web\n      level: 80\n      when: x\n    - web2\n",
        ),
        (
            "roles/web/tasks/main.yml",
            "- import_tasks: more.yml\n- template: {src: a.j2, dest: /a}\n",
        ),
        ("roles/web/tasks/more.yml", "- debug: msg=hi\n  notify: h\n"),
        ("roles/web/handlers/main.yml", "- name: h\n  debug: msg=handled\n"),
        ("roles/web/defaults/main.yml", "port: 1\n"),
        ("roles/web/vars/main/a.yml", "inner: 2\n"),
        ("roles/web/templates/a.j2", "{{ port }}\n"),
        ("roles/web/meta/main.yml", "dependencies: [{role: base, level: 3}]\n"),
        ("roles/base/tasks/main.yml", "- debug: msg={{ level }}\n"),
        ("roles/web2/tasks/main.yml", "- debug: msg=2\n"),
        ("roles/web2/meta/main.yml", "dependencies: [{role: base, level: 3}]\n"),
    ]);
    let playbook = files.load().unwrap();
    let order: Vec<&str> =
        in_order(&playbook.plays[0].roles).iter().map(|used| used.role.name.as_str()).collect();
    // The condition of web's entry does not make another role of what web needs: whether that has
    // run for a host shows when it runs.
    assert_eq!(order, ["base", "web", "web2"]);
    let web = &playbook.plays[0].roles[0];
    assert_eq!(web.role.params.get("level"), Some(&Value::Int(80)));
    assert_eq!(web.role.vars.own.get("inner"), Some(&Value::Int(2)));
    assert_eq!(web.tasks.len(), 2);
    assert_eq!(web.handlers.len(), 1);
}

#[test]
fn faults_in_templates_and_included_roles_are_found_before_the_run() {
    let files = Files::with(&[
        (
            "site.yml",
            "- hosts: all\n  tasks:\n    - template: {src: a.j2, dest: /a}\n    - include_role: {name: r}\n    - import_tasks: missing.yml\n    - import_tasks: '{{ unknown }}.yml'\n    - import_role: {name: nowhere}\n",
        ),
        ("templates/a.j2", "ok\n{% if x %}\n"),
        ("roles/r/tasks/main.yml", "- nomodule: x\n"),
    ]);
    let found = files.faults();
    assert_eq!(found.len(), 5, "{found:#?}");
    for part in [
        "templates/a.j2:2:1: Unexpected end of template",
        "`nomodule`",
        "Could not find or access 'missing.yml'",
        "'unknown' is undefined",
        "the role 'nowhere' was not found",
    ] {
        assert!(found.iter().any(|fault| fault.contains(part)), "{part}\nnot in {found:#?}");
    }
}

#[test]
fn what_ansible_finds_only_while_running_lets_a_play_load() {
    let files = Files::with(&[(
        "site.yml",
        "- hosts: all\n  strategy: free\n  tasks:\n    - debug: msg={{ a | nope }}\n    - debug: {mgs: 1}\n      when: 1 ==\n    - template: {dest: /a}\n    - meta: dance\n    - action: '{{ which }} msg=x'\n      async: 10\n      poll: 0\n      throttle: 2\n      debugger: never\n",
    )]);
    let playbook = files.load_as(false).unwrap();
    let doubts: Vec<&str> = playbook.doubts.iter().map(|doubt| doubt.what.as_str()).collect();
    for part in ["no filter named `nope`", "no argument `mgs`", "`1 ==`", "`src`", "dance"] {
        assert!(doubts.iter().any(|doubt| doubt.contains(part)), "{part}\nnot in {doubts:#?}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let found = faults(
        "- hosts: all\n  tasks:\n    - command: ls\n      become_method: doas\n    - meta: dance\n",
    );
    for part in ["become_method `doas`", "invalid meta action requested: dance"] {
        assert!(found.iter().any(|fault| fault.contains(part)), "{part}\nnot in {found:#?}");
    }
}

#[test]
fn the_digest_changes_with_each_file_that_is_reached() {
    let list = [
        ("site.yml", "- hosts: all\n  roles: [r]\n  tasks:\n    - copy: {src: f, dest: /f}\n"),
        ("files/f", "1"),
        ("roles/r/tasks/main.yml", "- debug: msg=x\n"),
        ("roles/r/files/g", "1"),
        ("unrelated", "1"),
    ];
    let digest = |change: Option<usize>| {
        let mut list = list;
        if let Some(index) = change {
            let text: &'static str =
                if index == 0 { "- hosts: web\n  roles: [r]\n" } else { "- debug: msg=2\n" };
            list[index].1 = text;
        }
        Files::with(&list).load().unwrap().digest()
    };
    assert_eq!(digest(None), digest(None), "the place of the files counts");
    for (index, (name, _)) in list.iter().enumerate().take(4) {
        assert_ne!(digest(None), digest(Some(index)), "{name}");
    }
    assert_eq!(digest(None), digest(Some(4)));
}
