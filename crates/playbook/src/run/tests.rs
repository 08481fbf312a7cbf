//! Whole playbooks on hosts in memory.

mod ahead;
mod explain;
mod failures;
mod precedence;
mod several;
mod synchronize;

use super::fake::{FakeNet, FakeOperator};
use super::*;
use crate::config::Config;
use crate::foreign::Modules;
use crate::inventory::Reading;
use crate::output::{Screen, ScreenOptions, Show};
use crate::parse::Loader;
use crate::template::{Dialect, World};
use crate::value::{Key, Value};
use std::collections::BTreeMap;
use std::future::Future;
use updraft_base::{FixedClock, Timestamp};

/// What a run left behind.
struct Ran {
    text: String,
    recap: Recap,
    net: FakeNet,
    operator: FakeOperator,
    dir: tempfile::TempDir,
}

impl Ran {
    /// The lines of the screen without banners and empty ones.
    fn lines(&self) -> Vec<&str> {
        self.text.lines().filter(|line| !line.is_empty() && !line.contains("****")).collect()
    }

    /// Every `msg` that `debug` showed, in order.
    fn said(&self) -> Vec<String> {
        self.text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("\"msg\": "))
            .map(|text| text.trim_end_matches(',').trim_matches('"').to_owned())
            .collect()
    }

    fn counts(&self, host: &str) -> [u64; 7] {
        let c = self.recap.host(host);
        [c.ok, c.changed, c.unreachable, c.failed, c.skipped, c.rescued, c.ignored]
    }
}

struct Printed(Mutex<(Screen, String)>);

impl Sink for Printed {
    fn event(&self, event: Event) {
        let mut inner = self.0.lock().unwrap();
        let text = inner.0.render(&event);
        inner.1.push_str(&text);
    }
}

/// Nothing here waits for anything outside, so polling once is enough.
fn block_on<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

struct Case<'c> {
    files: Vec<(&'c str, &'c str)>,
    hosts: &'c str,
    /// Where the inventory lies, if a file of the case is it.
    inventory: Option<&'c str>,
    options: RunOptions,
    answers: Vec<&'c str>,
    dialect: Dialect,
    /// Playbooks beside `site.yml` that are run after it.
    more: Vec<&'c str>,
    config: Config,
}

impl<'c> Case<'c> {
    fn new(playbook: &'c str) -> Self {
        Self {
            files: vec![("site.yml", playbook)],
            hosts: "h1\n",
            inventory: None,
            options: RunOptions::ordinary(),
            answers: Vec::new(),
            dialect: Dialect::default(),
            more: Vec::new(),
            config: Config::default(),
        }
    }

    /// Another playbook, run after the first.
    fn then(mut self, name: &'c str, text: &'c str) -> Self {
        self.more.push(name);
        self.file(name, text)
    }

    fn file(mut self, name: &'c str, text: &'c str) -> Self {
        self.files.push((name, text));
        self
    }

    fn answers(mut self, answers: &[&'c str]) -> Self {
        self.answers = answers.to_vec();
        self
    }

    fn hosts(mut self, hosts: &'c str) -> Self {
        self.hosts = hosts;
        self
    }

    fn inventory(mut self, file: &'c str) -> Self {
        self.inventory = Some(file);
        self
    }

    fn options(mut self, set: impl FnOnce(&mut RunOptions)) -> Self {
        set(&mut self.options);
        self
    }

    fn run(self) -> Ran {
        let dir = tempfile::tempdir().unwrap();
        let hosts = self.inventory.is_none().then_some(("hosts", self.hosts));
        for (name, text) in self.files.iter().chain(&hosts) {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let world = World {
            dialect: self.dialect,
            differences: None,
            env: BTreeMap::new(),
            clock: Arc::new(FixedClock(Timestamp::UNIX_EPOCH)),
            seed: 0,
            commands: Arc::new(crate::template::Alone),
            vault: Arc::default(),
            config: Arc::new(self.config),
        };
        let loader = Loader {
            world: Arc::new(world),
            roles_path: Vec::new(),
            extra_vars: self.options.extra_vars.clone(),
            modules: Arc::new(Modules::new(&BTreeMap::new(), None, &Config::default())),
            strict: false,
        };
        let books: Vec<_> =
            ["site.yml"].iter().chain(&self.more).map(|name| dir.path().join(name)).collect();
        let playbook = Playbook::load(&books, &loader).unwrap();
        let hosts = dir.path().join(self.inventory.unwrap_or("hosts"));
        let hosts = [hosts.display().to_string()];
        let reading = Reading { world: &loader.world, scripts: None, extra_vars: &Dict::new() };
        let inventory = Inventory::load(&hosts, &reading).unwrap();
        let screen = Screen::new(ScreenOptions {
            dialect: self.dialect,
            verbosity: 0,
            colour: false,
            width: 79,
            show: Show::default(),
        });
        let printed = Printed(Mutex::new((screen, String::new())));
        let (net, operator) = (FakeNet::default(), FakeOperator::default());
        operator
            .answers
            .lock()
            .unwrap()
            .extend(self.answers.iter().rev().map(|answer| (*answer).to_owned()));
        let recap =
            block_on(playbook.run(&inventory, &net, &operator, &self.options, &printed)).unwrap();
        let text = printed.0.into_inner().unwrap().1;
        Ran { text, recap, net, operator, dir }
    }
}

fn run(tasks: &str) -> Ran {
    let tasks: String = tasks.lines().map(|line| format!("    {line}\n")).collect();
    Case::new(&format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")).run()
}

#[test]
fn a_play_reads_as_ansible_prints_it() {
    let ran = Case::new(
        "- name: first\n  hosts: all\n  vars: {who: world}\n  tasks:\n    - name: greet {{ who }}\n      debug: msg=\"hello {{ who }} on {{ ansible_distribution }}\"\n    - command: echo {{ item }}\n      loop: [a, b]\n      when: item != 'a'\n      register: r\n    - copy: {content: \"x\\n\", dest: /x}\n      notify: restart\n  handlers:\n    - name: restart\n      debug: msg=\"{{ r.results[1].stdout }}\"\n",
    )
    .options(|options| options.diff = true)
    .run();
    let stars = |text: &str| format!("{text} {}", "*".repeat(79 - text.len()));
    let expected = [
        "",
        &stars("PLAY [first]"),
        "",
        &stars("TASK [Gathering Facts]"),
        "ok: [h1]",
        "",
        &stars("TASK [greet world]"),
        "ok: [h1] => {",
        "    \"msg\": \"hello world on Debian\"",
        "}",
        "",
        &stars("TASK [command]"),
        "skipping: [h1] => (item=a) ",
        "changed: [h1] => (item=b)",
        "",
        &stars("TASK [copy]"),
        "--- before",
        "+++ after: /x",
        "@@ -0,0 +1 @@",
        "+x",
        "",
        "changed: [h1]",
        "",
        &stars("RUNNING HANDLER [restart]"),
        "ok: [h1] => {",
        "    \"msg\": \"b\"",
        "}",
        "",
        &stars("PLAY RECAP"),
        "h1                         : ok=5    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   ",
        "",
    ]
    .join("\n");
    assert_eq!(ran.text, expected + "\n");
}

#[test]
fn failures_rescues_and_ignores_are_counted_as_ansible_counts_them() {
    let ran = run(
        "- command: exit 1\n  ignore_errors: true\n- block:\n    - command: exit 2\n    - debug: msg=never\n  rescue:\n    - debug: msg=\"{{ ansible_failed_result.rc }} {{ ansible_failed_task.name }}\"\n  always:\n    - debug: msg=always\n- command: exit 3\n  failed_when: false\n- command: echo x\n  changed_when: false\n- block:\n    - command: exit 4\n  always:\n    - debug: msg=cleanup\n- debug: msg=unreached",
    );
    assert_eq!(ran.said(), ["2 ", "always", "cleanup"]);
    // ok changed unreachable failed skipped rescued ignored
    assert_eq!(ran.counts("h1"), [6, 2, 0, 1, 0, 1, 1]);
    assert_eq!(ran.recap.exit_code(), 2);
    assert!(
        ran.text.contains("fatal: [h1]: FAILED! => {\"changed\": true, \"cmd\": \"exit 1\""),
        "{}",
        ran.text
    );
    assert!(ran.text.contains("...ignoring"));
}

#[test]
fn what_hosts_say_is_never_rendered() {
    let ran = Case::new(
        "- hosts: all\n  vars: {secret: LEAKED}\n  tasks:\n    - command: evil x\n      register: r\n    - debug: msg=\"{{ r.stdout }} {{ ansible_evil }} {{ ansible_facts.evil }}\"\n    - set_fact: {copied: \"{{ r.stdout }}\"}\n    - debug: var=copied\n    - copy: {content: \"{{ copied }}\", dest: /x}\n",
    )
    .run();
    assert!(!ran.text.contains("LEAKED"), "{}", ran.text);
    assert_eq!(ran.net.file("h1", "/x").unwrap(), "{{ secret }}");
}

#[test]
fn loops_take_every_form() {
    let ran = run(
        "- debug: msg=\"{{ item }}\"\n  with_items: [a, [b, c], [[d]]]\n- debug: msg=\"{{ item.key }}={{ item.value }}\"\n  with_dict: {k: v}\n- debug: msg=\"{{ item.0 }}{{ item.1 }}\"\n  with_nested: [[1, 2], [x]]\n- debug: msg=\"{{ it }}{{ i }}{{ ansible_loop.last }}\"\n  loop: [p, q]\n  loop_control: {loop_var: it, index_var: i, extended: true, label: \"L{{ it }}\"}\n- debug: msg=\"{{ item }}\"\n  with_sequence: start=1 end=2 format=n%02d\n- debug: msg=\"{{ item.0.n }}{{ item.1 }}\"\n  with_subelements:\n    - [{n: a, l: [1, 2]}]\n    - l\n- set_fact: {acc: \"{{ acc | default([]) + [item] }}\"}\n  loop: [1, 2, 3]\n- debug: msg=\"{{ acc }}\"\n- debug: msg=never\n  loop: \"{{ missing }}\"\n  when: false\n- debug: msg=never\n  loop: []",
    );
    let said = ran.said();
    assert_eq!(
        said[..said.len() - 1],
        ["a", "b", "c", "[", "k=v", "1x", "2x", "p0False", "q1True", "n01", "n02", "a1", "a2"]
    );
    assert!(ran.text.contains("=> (item=Lp)"), "{}", ran.text);
    assert_eq!(ran.recap.host("h1").skipped, 2);
    assert_eq!(ran.recap.host("h1").failed, 0, "{}", ran.text);
}

#[test]
fn a_task_is_tried_until_it_holds() {
    let ran = run(
        "- command: flaky 3\n  until: r is succeeded\n  register: r\n  retries: 5\n  delay: 7\n- debug: msg=\"{{ r.attempts }}\"\n- command: exit 1\n  register: r\n  retries: 2\n  delay: 0\n  until: r.rc == 0\n  ignore_errors: true\n- debug: msg=\"{{ r.attempts }}\"",
    );
    assert_eq!(ran.said(), ["3", "2"]);
    assert_eq!(ran.operator.slept.lock().unwrap()[..2], [Duration::from_secs(7); 2]);
    assert!(
        ran.text.contains("FAILED - RETRYING: [h1]: command (2 retries left)."),
        "{}",
        ran.text
    );
}

#[test]
fn handlers_run_once_in_order_and_by_topic() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  roles: [r]\n  tasks:\n    - command: echo 1\n      notify: [b, topic]\n    - command: echo 2\n      notify: b\n    - meta: flush_handlers\n    - command: echo 3\n      notify: [r-handler, 'r : r-handler']\n    - command: echo 4\n      changed_when: false\n      notify: a\n  handlers:\n    - {name: a, debug: {msg: a}}\n    - {name: b, debug: {msg: b}}\n    - {name: c, listen: topic, debug: {msg: c}}\n",
    )
    .file("roles/r/handlers/main.yml", "- name: r-handler\n  debug: msg=from-role\n")
    .run();
    assert_eq!(ran.said(), ["b", "c", "from-role"]);
}

#[test]
fn an_unknown_handler_breaks_the_run_by_name() {
    let ran = run("- command: echo 1\n  notify: nobody");
    assert_eq!(ran.recap.exit_code(), 1);
    assert!(ran.recap.broken.unwrap().fault.what.contains("'nobody'"));
}

#[test]
fn includes_bring_tasks_and_roles_while_running() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - include_tasks: inc.yml\n      vars: {x: \"{{ item }}!\"}\n      loop: [1, 2]\n    - include_tasks: inc.yml\n      when: inventory_hostname == 'h1'\n      vars: {x: only}\n    - include_role: {name: r, tasks_from: other}\n      vars: {y: given}\n    - debug: msg=\"{{ y | default('gone') }} {{ z | default('gone') }}\"\n    - import_role: {name: r}\n    - debug: msg=\"{{ z }}\"\n",
    )
    .hosts("h1\nh2\n")
    .file("inc.yml", "- debug: msg=\"x{{ x }}\"\n")
    .file("roles/r/tasks/main.yml", "- debug: msg=\"main {{ z }} {{ role_name }}\"\n")
    .file("roles/r/tasks/other.yml", "- debug: msg=\"other {{ y }} {{ z }}\"\n")
    .file("roles/r/defaults/main.yml", "z: default\n")
    .run();
    let said = ran.said();
    assert_eq!(said[..5], ["x1!", "x1!", "x2!", "x2!", "xonly"]);
    assert_eq!(
        said[5..],
        [
            "other given default",
            "other given default",
            "gone default",
            "gone default",
            "main default r",
            "main default r",
            "default",
            "default"
        ]
    );
    assert!(ran.text.contains("inc.yml for h1, h2 => (item=1)"), "{}", ran.text);
    assert!(ran.text.contains("TASK [r : debug]"), "{}", ran.text);
}

#[test]
fn check_mode_and_diff_reach_the_modules_and_change_nothing() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {content: a, dest: /a}\n    - copy: {content: b, dest: /b}\n      check_mode: false\n    - command: echo x\n    - debug: msg=\"{{ ansible_check_mode }}\"\n")
        .options(|options| {
            options.check = true;
            options.diff = true;
        })
        .run();
    assert_eq!(ran.net.file("h1", "/a"), None);
    assert_eq!(ran.net.file("h1", "/b").unwrap(), "b");
    assert_eq!(ran.said(), ["true"]);
    assert_eq!(ran.counts("h1"), [3, 2, 0, 0, 1, 0, 0]);
}

#[test]
fn a_task_that_asks_for_differences_shows_them() {
    let ran = run("- copy: {content: a, dest: /a}\n- copy: {content: b, dest: /b}\n  diff: true");
    assert_eq!(ran.text.matches("+++ after").count(), 1, "{}", ran.text);
    assert!(ran.text.contains("+++ after: /b"), "{}", ran.text);
}

#[test]
fn a_module_that_works_with_python_is_told_which_one() {
    let ran = run(
        "- pip: {name: a}\n- ansible.builtin.pip: {name: a}\n  vars: {ansible_python_interpreter: /opt/python -E}\n- command: echo x",
    );
    let log = ran.net.log("h1");
    let told = |at: usize| log[at].1.get("_updraft_pythons");
    assert!(told(0).unwrap().as_array().unwrap().contains(&"/usr/bin/python3".into()));
    assert_eq!(told(1), Some(&serde_json::json!(["/opt/python"])));
    assert_eq!(told(2), None);
}

#[test]
fn templates_are_rendered_here_and_written_there() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  vars: {list: [1, 2], name: site}\n  tasks:\n    - template: {src: a.j2, dest: /a, mode: '0640', owner: root}\n    - template: src=raw.j2 dest=/raw\n    - copy: {src: big, dest: /big}\n    - copy: {content: {a: [1]}, dest: /json}\n")
        .file("templates/a.j2", "# {{ ansible_managed }}\n{% for i in list %}\nline {{ i }} {{ template_path }}\n{% endfor %}\n{% include 'part.j2' %}\n")
        .file("templates/part.j2", "part {{ name }}\n")
        .file("templates/raw.j2", "#jinja2: variable_start_string:'[[', variable_end_string:']]', trim_blocks:False\n[[ name ]] {{ kept }}\n")
        .file("files/big", &"y".repeat(100_000))
        .run();
    assert_eq!(ran.recap.exit_code(), 0, "{}", ran.text);
    assert_eq!(
        ran.net.file("h1", "/a").unwrap(),
        "# Ansible managed\nline 1 a.j2\nline 2 a.j2\npart site\n"
    );
    assert_eq!(ran.net.file("h1", "/raw").unwrap(), "site {{ kept }}\n");
    assert_eq!(ran.net.file("h1", "/big").unwrap().len(), 100_000);
    assert_eq!(ran.net.file("h1", "/json").unwrap(), "{\"a\": [1]}");
    let (_, args) = &ran.net.log("h1")[0];
    assert_eq!((args["mode"].as_str(), args["owner"].as_str()), (Some("0640"), Some("root")));
    assert!(ran.net.log("h1")[2].1.contains_key("_updraft_same"));
    assert!(ran.net.log("h1")[3].1.contains_key("_updraft_staged"));
    let twice = run(
        "- copy: {content: \"{{ 'y' * 100000 }}\", dest: /big}\n- copy: {content: \"{{ 'y' * 100000 }}\", dest: /big}\n- command: echo x",
    );
    let sent =
        twice.net.log("h1").iter().filter(|(_, args)| args.contains_key("_updraft_staged")).count();
    assert_eq!((sent, twice.counts("h1")), (1, [3, 2, 0, 0, 0, 0, 0]));
    assert_eq!(twice.net.trips("h1"), [3, 1, 2]);
}

#[test]
fn become_environment_and_connection_reach_the_host() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  become: true\n  environment: {A: 1, B: \"{{ b }}\"}\n  vars: {b: two}\n  tasks:\n    - command: env x\n      become_user: www\n      environment: {A: 3}\n    - command: echo x\n      become: false\n      delegate_to: h2\n    - command: echo x\n      delegate_to: localhost\n")
        .hosts("h1 ansible_host=10.0.0.1 ansible_port=2200 ansible_user=me\nh2 ansible_become_pass=s3 ansible_become=true\n")
        .options(|options| options.limit = Some("h1".to_owned()))
        .run();
    let first = &ran.net.requests("h1")[0];
    let env: Vec<_> = first.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=3", "B=two"]);
    assert_eq!(first.become_user.as_ref().unwrap().user, "www");
    let delegated = &ran.net.requests("h2")[0];
    assert_eq!(delegated.become_user.as_ref().unwrap().password.as_deref(), Some("s3"));
    let targets = ran.net.targets.lock().unwrap();
    assert_eq!(
        (targets[0].address(), targets[0].port(), targets[0].user()),
        ("10.0.0.1".to_owned(), Some(2200), Some("me".to_owned()))
    );
    assert_eq!(targets[2].connection(), "local");
    assert!(ran.text.contains("changed: [h1 -> h2]"), "{}", ran.text);
}

#[test]
fn a_connection_that_is_reset_is_logged_in_to_anew() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - command: echo x\n    - meta: reset_connection\n      vars: {ansible_user: other}\n    - command: echo y\n")
        .hosts("h1 ansible_user=me\nh2 ansible_user=me\n")
        .options(|options| options.limit = Some("h2".to_owned()))
        .run();
    let logins = ran.net.logins.lock().unwrap();
    let told: Vec<_> = logins.iter().map(|host| (host.name.as_str(), host.user())).collect();
    assert_eq!(told, [("h2", Some("other".to_owned()))]);
}

#[test]
fn hosts_that_are_gone_leave_the_others_to_go_on() {
    let ran = Case::new("- hosts: all\n  tasks:\n    - debug: msg=\"{{ ansible_play_hosts | join(',') }}\"\n    - command: exit 1\n      when: inventory_hostname == 'h2'\n    - debug: msg=last\n- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: msg=second\n")
        .hosts("h1\nh2\nh3 ansible_host=dead\n")
        .run();
    assert_eq!(ran.said(), ["h1,h2", "h1,h2", "last", "second"]);
    assert_eq!(ran.counts("h3"), [0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(ran.recap.exit_code(), 4);
    assert!(
        ran.text.contains(
            "fatal: [h3]: UNREACHABLE! => {\"changed\": false, \"msg\": \"Connection refused\""
        ),
        "{}",
        ran.text
    );
}

#[test]
fn serial_any_errors_fatal_and_run_once_keep_hosts_together() {
    let hosts = "h1\nh2\nh3\nh4\n";
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  serial: [1, 50%]\n  tasks:\n    - debug: msg=\"{{ ansible_play_batch | join(' ') }}\"\n      run_once: true\n").hosts(hosts).run();
    assert_eq!(ran.said(), ["h1", "h2 h3", "h4"]);
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  any_errors_fatal: true\n  tasks:\n    - command: exit 1\n      when: inventory_hostname == 'h2'\n    - debug: msg=never\n").hosts(hosts).run();
    assert!(ran.said().is_empty());
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - command: echo once\n      run_once: true\n      register: r\n    - debug: msg=\"{{ r.stdout }}\"\n").hosts(hosts).run();
    assert_eq!(ran.said(), ["once"; 4]);
    assert_eq!(ran.net.log("h2").len(), 0);
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  max_fail_percentage: 25\n  tasks:\n    - command: exit 1\n      when: inventory_hostname in ['h1', 'h2']\n    - debug: msg=never\n").hosts(hosts).run();
    assert!(ran.said().is_empty(), "{}", ran.text);
    assert!(ran.text.contains("NO MORE HOSTS LEFT"));
}

#[test]
fn tags_limit_and_meta_choose_what_runs() {
    let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - {debug: {msg: a}, tags: a}\n    - {debug: {msg: b}, tags: [b]}\n    - {debug: {msg: always}, tags: always}\n    - {debug: {msg: never}, tags: [never, n]}\n    - {meta: end_host, when: \"inventory_hostname == 'h2'\"}\n    - {debug: {msg: plain}}\n";
    let with = |tags: &str, skip: &str| {
        Case::new(playbook)
            .hosts("h1\nh2\n")
            .options(|options| {
                options.tags = tags.split_whitespace().map(str::to_owned).collect();
                options.skip_tags = skip.split_whitespace().map(str::to_owned).collect();
                options.limit = Some("h1".to_owned());
            })
            .run()
            .said()
    };
    assert_eq!(with("", ""), ["a", "b", "always", "plain"]);
    assert_eq!(with("a", ""), ["a", "always"]);
    assert_eq!(with("n", ""), ["always", "never"]);
    assert_eq!(with("", "a always"), ["b", "plain"]);
    let all = Case::new(playbook).hosts("h1\nh2\n").run();
    assert_eq!(all.said().iter().filter(|text| *text == "plain").count(), 1);
}

#[test]
fn conditions_and_arguments_that_cannot_be_rendered_say_why() {
    let ran = run(
        "- debug: msg=\"{{ nope }}\"\n  ignore_errors: true\n- debug: msg=x\n  when: nope\n  ignore_errors: true\n- debug: msg=x\n  when: \"'text'\"\n  ignore_errors: true\n- command: echo x\n  changed_when: nope.x\n  ignore_errors: true\n- assert: {that: [1 == 1, 1 == 2], fail_msg: wrong}\n  ignore_errors: true\n- fail: msg=asked\n  ignore_errors: true\n- debug: var=nope",
    );
    for part in [
        "Task failed: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for 'msg': 'nope' is undefined",
        "Task failed: Error while evaluating conditional: 'nope' is undefined",
        "Conditionals must have a boolean result.",
        "[ERROR]: Task failed: Action failed: asked",
        "\"assertion\": \"1 == 2\"",
        "\"nope\": \"<< error 1 - 'nope' is undefined >>\"",
    ] {
        assert!(ran.text.contains(part), "{part}\nnot in\n{}", ran.text);
    }
    assert_eq!(ran.counts("h1"), [7, 1, 0, 0, 0, 0, 6]);
}

#[test]
fn nothing_secret_is_shown() {
    let ran = run(
        "- command: echo hunter2\n  no_log: true\n  register: r\n- command: exit 1\n  no_log: true\n  ignore_errors: true\n- debug: msg=\"{{ item }}\"\n  loop: [hunter2]\n  no_log: true\n- debug: msg=\"{{ r.stdout | length }}\"",
    );
    assert!(!ran.text.contains("hunter2"), "{}", ran.text);
    assert_eq!(ran.said(), ["7"]);
    assert!(ran.text.contains("censored"));
}

#[test]
fn hosts_see_each_others_variables_and_groups_grow() {
    let ran = Case::new("- hosts: web\n  gather_facts: false\n  tasks:\n    - set_fact: {mine: \"{{ inventory_hostname }}!\"}\n    - debug: msg=\"{{ groups['web'] | map('extract', hostvars, 'mine') | join(' ') }} {{ hostvars['h2'].addr }}\"\n      run_once: true\n    - add_host: {name: new, groups: [grown], flavour: sweet}\n      run_once: true\n    - group_by: {key: \"by-{{ flavour | default('x') }}\"}\n- hosts: grown\n  gather_facts: false\n  tasks:\n    - debug: msg=\"{{ flavour }} {{ group_names }} {{ groups['by-x'] }}\"\n")
        .hosts("[web]\nh1\nh2 ansible_host=10.0.0.2 addr='{{ ansible_host }}/24'\n")
        .run();
    assert_eq!(ran.said(), ["h1! h2! 10.0.0.2/24", "sweet ['grown'] ['h1', 'h2']"]);
}

#[test]
fn omitted_arguments_are_left_out_and_defaults_filled_in() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  module_defaults: {file: {owner: bob}}\n  tasks:\n    - file: {path: /x, state: directory, mode: \"{{ m | default(omit) }}\", group: \"{{ g }}\"}\n      vars: {g: staff}\n").run();
    let (_, args) = &ran.net.log("h1")[0];
    assert_eq!(
        serde_json::Value::Object(args.clone()),
        serde_json::json!({"owner": "bob", "path": "/x", "state": "directory", "group": "staff"})
    );
}

#[test]
fn groups_of_what_is_built_in_need_no_collection() {
    for (group, module) in [
        ("community.docker.docker", "community.docker.docker_network"),
        ("community.docker.docker", "docker_network"),
        ("docker", "docker_network"),
    ] {
        let ran = Case::new(&format!("- hosts: all\n  gather_facts: false\n  module_defaults: {{group/{group}: {{timeout: 5}}, group/community.postgresql.all: {{port: 1}}}}\n  tasks:\n    - {module}: {{name: x}}\n")).run();
        let (_, args) = &ran.net.log("h1")[0];
        let args = serde_json::Value::Object(args.clone());
        assert_eq!(args, serde_json::json!({"timeout": 5, "name": "x"}), "{group} {module}");
    }
}

#[test]
fn prompts_pauses_fetches_and_variables_from_files() {
    let mut case = Case::new("- hosts: all\n  gather_facts: false\n  vars_prompt:\n    - {name: who, prompt: Who, private: false}\n    - {name: why, default: because}\n  tasks:\n    - debug: msg=\"{{ who }} {{ why }}\"\n    - pause: seconds=3\n    - copy: {content: data, dest: /etc/x}\n    - fetch: {src: /etc/x, dest: got/, flat: true}\n    - include_vars: {file: more.yml, name: more}\n    - debug: msg=\"{{ more.a }} {{ lookup('file', 'got/x') }}\"\n")
        .file("vars/more.yml", "a: from file\n");
    case.answers = vec!["me", ""];
    let ran = case.run();
    assert_eq!(ran.said(), ["me because", "from file data"]);
    assert_eq!(*ran.operator.slept.lock().unwrap(), [Duration::from_secs(3)]);
    assert!(ran.dir.path().join("got/x").is_file());
    assert!(ran.lines().contains(&"Pausing for 3 seconds"));
}

#[test]
fn what_a_host_said_is_never_evaluated() {
    let ran = Case::new(
        "- hosts: h1
  gather_facts: false
  vars: {own: ['1 == 1']}
  tasks:
  - command: echo lookup('pipe', 'echo x') == 'x'
    register: r
  - set_fact: {said: '{{ r.stdout }}', mine: 2 == 2, keys: {\"{{ 1 + 1 }}\": 1}}
  - assert: {that: '{{ own }}'}
  - assert: {that: ['{{ mine }}']}
  - assert: {that: '{{ said }}'}
    ignore_errors: true
  - debug: {var: '{{ said }}'}
    ignore_errors: true
",
    )
    .run();
    assert!(ran.text.contains("untrusted template or expression"), "{}", ran.text);
    assert_eq!(ran.text.matches("untrusted template").count(), 4, "{}", ran.text);
    assert_eq!(ran.counts("h1"), [6, 1, 0, 0, 0, 0, 2]);
}

#[test]
fn hosts_that_go_on_for_themselves_do_not_wait_for_each_other() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  strategy: free\n  tasks:\n    - command: exit 1\n      when: inventory_hostname == 'a'\n    - name: goes on\n      debug: msg=there\n    - meta: end_host\n      when: inventory_hostname == 'b'\n    - name: only some\n      debug: msg=here\n      throttle: 1\n",
    )
    .hosts("a\nb\nc\n")
    .run();
    let counts = |host: &str| ran.recap.host(host);
    assert_eq!((counts("a").failed, counts("a").ok), (1, 0), "{}", ran.text);
    assert_eq!((counts("b").ok, counts("c").ok), (1, 2), "{}", ran.text);
    let invalid = Case::new("- hosts: all\n  strategy: sideways\n  tasks: []\n").run();
    let broken = invalid.recap.broken.unwrap();
    assert_eq!(broken.fault.what, "Invalid play strategy specified: sideways");
    assert_eq!(broken.code, 1);
}

#[test]
fn a_task_in_the_background_is_asked_for_its_end() {
    let ran = run(
        "- command: echo done\n  async: 10\n  poll: 0\n  register: job\n- assert: {that: [job.started, not job.finished]}\n- async_status: {jid: \"{{ job.ansible_job_id }}\"}\n  register: end\n  until: end is finished\n  retries: 5\n  delay: 1\n- assert: {that: end.stdout == 'done'}\n- command: echo waited\n  async: 10\n  poll: 1\n  register: waited\n- assert: {that: [waited.finished, waited.stdout == 'waited']}\n- async_status: {jid: j0}\n  ignore_errors: true\n  register: lost\n- assert: {that: lost.msg == 'could not find job'}",
    );
    assert_eq!(ran.recap.exit_code(), 0, "{}", ran.text);
    assert!(ran.text.contains("ASYNC OK on "), "{}", ran.text);
}

#[test]
fn a_host_that_ends_a_role_goes_on_after_it() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  roles: [r]\n  tasks:\n    - debug: msg=after\n",
    )
    .file("roles/r/tasks/main.yml", "- debug: msg=first\n- meta: end_role\n- debug: msg=never\n")
    .run();
    assert!(ran.text.contains("after") && ran.text.contains("first"), "{}", ran.text);
    assert!(!ran.text.contains("never"), "{}", ran.text);
}

#[test]
fn a_run_may_start_at_a_task_and_ask_before_each() {
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: one\n      debug: msg=1st\n    - name: two\n      debug: msg=2nd\n    - name: three\n      debug: msg=3rd\n";
    let ran = Case::new(play).options(|options| options.start_at = Some("tw*".to_owned())).run();
    assert!(!ran.text.contains("1st") && ran.text.contains("3rd"), "{}", ran.text);
    let ran =
        Case::new(play).options(|options| options.step = true).answers(&["n", "y", "n"]).run();
    assert!(ran.text.contains("2nd") && !ran.text.contains("3rd"), "{}", ran.text);
}

#[test]
fn what_is_wrong_with_a_throttle_is_said() {
    let ran = run("- debug: msg=x\n  throttle: \"{{ 'many' }}\"");
    assert_eq!(
        ran.recap.broken.unwrap().fault.what,
        "Failed to convert the throttle value to an integer: invalid literal for int() with base 10: 'many'"
    );
}

#[test]
fn errors_that_are_cleared_in_the_end_of_a_block_are_forgotten() {
    let ran = run(
        "- block: [{command: exit 1}]\n  always: [{meta: clear_host_errors}]\n- debug: msg=goes-on",
    );
    assert!(ran.text.contains("goes-on"), "{}", ran.text);
}

#[test]
fn a_task_that_failed_is_changed_and_tried_again() {
    let play = "- hosts: all\n  gather_facts: false\n  debugger: on_failed\n  tasks:\n    - name: t\n      command: exit {{ code }}\n      vars: {code: 3}\n    - debug: msg=goes-on\n";
    let answers =
        ["p task", "p result._result.rc", "nonsense", "p task.args", "task_vars['code'] = 0", "r"];
    let ran = Case::new(play).answers(&answers).run();
    for said in ["TASK: t", "\n3\n", "no command", "exit {{ code }}", "goes-on"] {
        assert!(ran.text.contains(said), "{said}: {}", ran.text);
    }
    assert_eq!(ran.counts("h1"), [2, 1, 0, 0, 0, 0, 0]);
    let ran = Case::new(play).answers(&["q"]).run();
    assert_eq!(ran.recap.exit_code(), 99, "{}", ran.text);
    assert!(!ran.text.contains("goes-on"), "{}", ran.text);
    // What the strategy asks for, a task may refuse.
    let never = "- hosts: all\n  gather_facts: false\n  strategy: debug\n  tasks:\n    - command: exit 1\n      debugger: never\n      ignore_errors: true\n    - command: exit 2\n";
    let ran = Case::new(never).answers(&["c"]).run();
    assert_eq!(ran.recap.exit_code(), 2, "{}", ran.text);
}

#[test]
fn what_needs_this_side_does_not_go_to_the_background() {
    let ran = run(
        "- copy: {content: x, dest: /x}\n  async: 10\n  ignore_errors: true\n- debug:\n  async: 10\n",
    );
    assert_eq!(ran.text.matches("does not support async.").count(), 4, "{}", ran.text);
}

#[test]
fn facts_that_are_there_are_not_gathered_again_where_that_is_smart() {
    let play = "- hosts: all\n  tasks: [{meta: noop}]\n- hosts: all\n  tasks: [{meta: clear_facts}]\n- hosts: all\n  tasks: [{meta: noop}]\n";
    let smart = |options: &mut RunOptions| options.gathering = Gathering::Smart;
    let ran = Case::new(play).options(smart).run();
    let gathered = ran.net.log("h1").iter().filter(|(name, _)| name == "setup").count();
    assert_eq!(gathered, 2, "once before they are cleared and once after: {}", ran.text);
}

#[test]
fn a_host_that_restarts_is_waited_for_until_it_is_another_boot() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - reboot: {test_command: echo up, post_reboot_delay: 5}\n      register: r\n    - debug: msg=\"{{ r.rebooted }} {{ r is changed }}\"\n    - reboot:\n      vars: {ansible_connection: local}\n      ignore_errors: true\n").run();
    assert_eq!(ran.said(), ["True True"], "{}", ran.text);
    // Away three times, there the fourth.
    let slept: Vec<u64> =
        ran.operator.slept.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(slept, [0, 5, 1, 2, 4]);
    assert!(ran.text.contains("would reboot the control node"), "{}", ran.text);
}

#[test]
fn facts_are_gathered_beside_each_other_and_laid_over_each_other_in_order() {
    let gathered = |how: &str| {
        let tasks = format!(
            "- gather_facts: {{{how}}}\n  vars: {{ansible_facts_modules: [service_facts, package_facts]}}\n- debug: msg=\"{{{{ last }}}} {{{{ service_facts }}}}\"",
        );
        let ran = run(&tasks);
        assert_eq!(ran.said(), ["package_facts True"], "{}", ran.text);
        ran.net.most("h1")
    };
    assert_eq!((gathered(""), gathered("parallel: true")), (2, 2));
    assert_eq!(gathered("parallel: false"), 1);
}
