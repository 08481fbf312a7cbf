//! What is sent together, and what is not.

use super::{Case, Ran, RunOptions, run};
use updraft_wire::ModuleRequest;

/// What was asked of a host, each module by its line or destination.
fn asked(ran: &Ran) -> Vec<String> {
    let of = |(name, args): &(String, serde_json::Map<String, serde_json::Value>)| {
        let what = ["_raw_params", "dest", "path", "name"].iter().find_map(|key| args.get(*key));
        format!("{name} {}", what.and_then(|what| what.as_str()).unwrap_or_default())
    };
    ran.net.log("h1").iter().map(of).collect()
}

#[test]
fn tasks_that_need_nothing_in_between_are_one_message() {
    let ran = run(
        "- command: echo a\n- copy: {content: x, dest: /x}\n  when: false\n- copy: {content: \"{{ 6 * 7 }}\", dest: /y}\n- debug: msg=between\n- block:\n    - file: {path: /z, state: directory}\n  always:\n    - stat: {path: /x}",
    );
    assert_eq!(ran.net.trips("h1"), [4]);
    assert_eq!(asked(&ran), ["command echo a", "copy /y", "file /z", "stat /x"]);
    assert_eq!(ran.net.file("h1", "/y").as_deref(), Some("42"));
    assert_eq!(ran.counts("h1"), [5, 3, 0, 0, 1, 0, 0]);
}

#[test]
fn what_is_settled_of_other_hosts_can_be_read_ahead() {
    let ran = Case::new(
        "- hosts: h1\n  gather_facts: false\n  tasks:\n    - command: echo a\n      register: r\n    - command: echo {{ hostvars.h2.word }} {{ hostvars | length }}\n    - command: echo {{ hostvars.h1 | length > 5 }}\n",
    )
    .hosts("h1\nh2 word=up\n")
    .run();
    assert_eq!(asked(&ran), ["command echo a", "command echo up 2", "command echo True"]);
    assert_eq!(ran.net.trips("h1"), [2, 1]);
}

#[test]
fn items_of_a_loop_go_out_together_with_what_follows() {
    let ran = run(
        "- copy: {content: \"{{ item }}\", dest: \"/{{ item }}\"}\n  loop: [a, b, c]\n- command: echo x",
    );
    assert_eq!(ran.net.trips("h1"), [4]);
    assert_eq!(asked(&ran), ["copy /a", "copy /b", "copy /c", "command echo x"]);
}

#[test]
fn what_a_task_gives_is_waited_for() {
    for reads in [
        "- command: echo {{ r.stdout }}",
        "- command: echo x\n  when: r.rc == 0",
        "- command: echo {{ hostvars.h1.r.stdout }}",
        "- command: echo {{ vars.r.stdout | default('none') }}",
        "- command: echo {{ lookup('vars', 'r').stdout }}",
        "- command: echo {{ deep }}\n  vars: {deep: \"{{ deeper }}\", deeper: \"{{ r.stdout }}\"}",
        "- command: echo {{ 'not there' if r is not defined else r.stdout }}",
    ] {
        let ran = run(&format!("- command: echo one\n  register: r\n{reads}"));
        assert_eq!(ran.net.trips("h1"), [1, 1], "{reads}");
        assert_eq!(ran.counts("h1")[0], 2, "{reads}: {}", ran.text);
        assert!(asked(&ran).iter().all(|line| !line.contains("none")), "{reads}");
    }
}

#[test]
fn chance_time_and_programs_wait_for_their_turn() {
    for fleeting in [
        "{{ 1000 | random }}",
        "{{ now() }}",
        "{{ lookup('pipe', 'echo x', errors='ignore') }}",
        "{{ lookup('password', 'kept') }}",
    ] {
        let ran =
            run(&format!("- command: echo one\n- command: echo {fleeting}\n  ignore_errors: true"));
        assert_eq!(ran.net.trips("h1")[0], 1, "{fleeting}");
        assert!(ran.net.trips("h1").len() <= 2, "{fleeting}");
    }
}

#[test]
fn what_comes_after_a_failure_is_not_run() {
    let ran = run(
        "- block:\n    - command: echo a\n    - command: exit 1\n    - command: echo never\n  rescue:\n    - command: echo rescued\n    - command: echo again\n- command: echo after",
    );
    assert_eq!(
        asked(&ran),
        [
            "command echo a",
            "command exit 1",
            "command echo rescued",
            "command echo again",
            "command echo after"
        ]
    );
    assert_eq!(ran.net.trips("h1"), [4, 2, 1]);
    let ran = run("- command: exit 1\n  ignore_errors: true\n- command: echo b\n- command: echo c");
    assert_eq!(asked(&ran), ["command exit 1", "command echo b", "command echo c"]);
    assert_eq!(ran.net.trips("h1"), [3, 2]);
}

#[test]
fn a_task_that_is_judged_here_ends_what_is_sent() {
    let ran = run(
        "- command: echo a\n- command: echo b\n  register: r\n  failed_when: \"'b' in r.stdout\"\n- command: echo never",
    );
    assert_eq!(asked(&ran), ["command echo a", "command echo b"]);
    assert_eq!(ran.counts("h1")[3], 1);
    let ran = run("- command: echo a\n  changed_when: false\n- command: echo b");
    assert_eq!(ran.net.trips("h1"), [2]);
}

#[test]
fn what_handlers_facts_and_other_hosts_do_comes_in_between() {
    let ran = Case::new(
        "- hosts: all\n  tasks:\n    - copy: {content: x, dest: /x}\n      notify: tell\n    - command: echo a\n    - meta: flush_handlers\n    - command: echo b\n    - command: echo c\n      delegate_to: other\n    - command: echo d\n    - set_fact: {word: e}\n    - command: echo {{ word }}\n  handlers:\n    - name: tell\n      command: echo told\n",
    )
    .run();
    assert_eq!(
        asked(&ran),
        [
            "setup ",
            "copy /x",
            "command echo a",
            "command echo told",
            "command echo b",
            "command echo d",
            "command echo e"
        ]
    );
    // The handler goes out with what comes after the flush, and a fact is set in between.
    assert_eq!(ran.net.trips("h1"), [1, 2, 2, 2]);
}

#[test]
fn several_hosts_stay_in_step_unless_nobody_can_see_it() {
    let tasks =
        "- copy: {content: x, dest: /x}\n- file: {path: /y}\n- command: echo a\n- command: echo b";
    let indented: String = tasks.lines().map(|line| format!("    {line}\n")).collect();
    let play =
        |more: &str| format!("- hosts: all\n  gather_facts: false\n{more}  tasks:\n{indented}");
    for (more, trips) in [
        ("", vec![2, 1, 1]),
        ("  strategy: free\n", vec![4]),
        ("  serial: 1\n", vec![4]),
        ("  any_errors_fatal: true\n", vec![1, 1, 1, 1]),
        ("  max_fail_percentage: 10\n", vec![1, 1, 1, 1]),
    ] {
        let ran = Case::new(&play(more)).hosts("h1\nh2\n").run();
        for host in ["h1", "h2"] {
            assert_eq!(ran.net.trips(host), trips, "{more}");
            assert_eq!(ran.counts(host)[0], 4);
        }
    }
}

#[test]
fn roles_follow_each_other_in_one_message_and_each_runs_once() {
    let main = |line: &str| format!("- command: echo {line}\n");
    let (one, two, both) = (main("one"), main("two"), main("both"));
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  roles: [one, two, one]\n  tasks:\n    - command: echo last\n",
    )
    .file("roles/one/tasks/main.yml", &one)
    .file("roles/one/meta/main.yml", "dependencies: [both]\n")
    .file("roles/two/tasks/main.yml", &two)
    .file("roles/two/meta/main.yml", "dependencies: [both]\n")
    .file("roles/both/tasks/main.yml", &both)
    .run();
    assert_eq!(
        asked(&ran),
        ["command echo both", "command echo one", "command echo two", "command echo last"]
    );
    let trips = ran.net.trips("h1");
    assert!(trips.len() <= 3 && trips.iter().sum::<usize>() == 4, "{trips:?}");
}

#[test]
fn a_role_that_was_included_meanwhile_is_not_run_ahead() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - block:\n        - include_role: {name: one, public: true}\n        - command: echo between\n    - import_role: {name: one}\n    - command: echo last\n",
    )
    .file("roles/one/tasks/main.yml", "- command: echo one\n")
    .run();
    let lines = asked(&ran);
    let shown = ran.text.matches("changed: [h1]").count();
    assert_eq!(lines.len(), shown, "{lines:?} {}", ran.text);
    assert_eq!(lines[..2], ["command echo one", "command echo between"]);
    assert_eq!(lines.last().unwrap(), "command echo last");
}

#[test]
fn tags_decide_before_anything_is_sent() {
    let tasks = "- command: echo a\n- command: echo b\n  tags: never\n- command: echo c\n- command: echo d\n  tags: \"{{ 'never' if true else 'x' }}\"\n- command: echo e";
    let ran = run(tasks);
    assert_eq!(asked(&ran), ["command echo a", "command echo c", "command echo e"]);
    assert_eq!(ran.net.trips("h1"), [2, 1]);
}

#[test]
fn each_task_becomes_its_own_user() {
    let users = |ran: &Ran| -> Vec<Option<String>> {
        let user = |request: ModuleRequest| request.become_user.map(|other| other.user);
        ran.net.requests("h1").into_iter().map(user).collect()
    };
    let ran = run(
        "- command: echo a\n- command: echo b\n  become: true\n- command: echo c\n  become: true\n  become_user: app\n- command: echo d",
    );
    assert_eq!(ran.net.trips("h1"), [4]);
    assert_eq!(users(&ran), [None, Some("root".to_owned()), Some("app".to_owned()), None]);
    let ran = run("- command: echo a\n  become: true\n- command: echo b\n  become: true");
    assert_eq!(ran.net.trips("h1"), [2]);
    assert_eq!(users(&ran), [Some("root".to_owned()), Some("root".to_owned())]);
}

#[test]
fn hosts_of_this_computer_are_asked_apart() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  connection: local\n  tasks:\n    - command: echo a\n    - command: echo b\n",
    )
    .run();
    assert_eq!(ran.net.trips("h1"), [1, 1]);
    let here = Case::new(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - command: echo a\n    - command: echo b\n",
    )
    .hosts("localhost ansible_connection=ssh\n")
    .run();
    assert_eq!(here.net.trips("localhost"), [1, 1]);
}

#[test]
fn a_long_play_goes_out_in_pieces() {
    let tasks: String = (0..40).map(|n| format!("- command: echo {n}\n")).collect();
    let ran = run(tasks.trim_end());
    assert_eq!(ran.net.trips("h1"), [32, 8]);
    assert_eq!(ran.counts("h1")[0], 40);
}

#[test]
fn services_and_packages_ask_for_no_fact() {
    let tasks = "- service: {name: a, state: started}\n- package: {name: b}\n- apt: {name: c}\n- service: {name: d, enabled: true}";
    let ran = run(tasks);
    assert_eq!(ran.net.trips("h1"), [4]);
    assert_eq!(asked(&ran), ["service a", "package b", "apt c", "service d"]);
    let with_facts = Case::new(
        "- hosts: all\n  gather_facts: false\n  vars: {ansible_facts: {}}\n  tasks:\n    - set_fact: {ansible_package_use: apt}\n    - package: {name: b}\n    - package: {name: c, use: apt}\n",
    )
    .run();
    assert_eq!(asked(&with_facts), ["apt b", "apt c"]);
    assert_eq!(with_facts.net.trips("h1"), [2]);
}

#[test]
fn another_package_manager_is_told_by_its_host() {
    let ran = run("- package: {name: alien}\n  ignore_errors: true\n- package: {name: b}");
    assert_eq!(asked(&ran), ["package alien", "package b"]);
    assert_eq!(ran.net.trips("h1"), [2, 1]);
    let said = "Could not find a matching action for the \"zypper\" package manager.";
    assert!(ran.text.contains(&said.replace('"', "\\\"")), "{}", ran.text);
    assert!(!ran.text.contains("_updraft"), "{}", ran.text);
}

#[test]
fn what_a_fact_decides_is_asked_after_the_fact() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  module_defaults:\n    apt: {state: absent}\n    systemd: {scope: user}\n  tasks:\n    - command: echo a\n    - package: {name: b}\n    - service: {name: c, state: started}\n    - command: echo d\n",
    )
    .run();
    let trips = ran.net.trips("h1");
    assert_eq!(trips[..2], [1, 1], "{trips:?}");
    assert_eq!(asked(&ran)[..2], ["command echo a", "setup "]);
}

#[test]
fn handlers_go_out_together_whatever_their_tags() {
    let play = |handlers: &str| {
        format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: echo a\n      notify: [one, two, three]\n      tags: chosen\n    - command: echo b\n      notify: all of them\n      tags: chosen\n  handlers:\n{handlers}"
        )
    };
    let plain = play(
        "    - {name: one, service: {name: one, state: restarted}, listen: all of them}\n    - {name: not told, command: echo never}\n    - {name: two, command: echo two, tags: never}\n    - {name: three, command: echo three, when: false}\n    - {name: four, command: echo four, listen: all of them}\n",
    );
    let ran = Case::new(&plain).options(|options| options.tags = vec!["chosen".to_owned()]).run();
    assert_eq!(
        asked(&ran),
        [
            "command echo a",
            "command echo b",
            "service one",
            "command echo two",
            "command echo four"
        ]
    );
    assert_eq!(ran.net.trips("h1"), [2, 3]);
    // A handler that notifies another may be the last of what is sent.
    let notifying = play(
        "    - {name: one, command: echo one, notify: between}\n    - {name: between, command: echo between}\n    - {name: two, command: echo two}\n    - {name: three, command: exit 1}\n    - {name: all of them, command: echo never}\n",
    );
    let ran = Case::new(&notifying).run();
    assert_eq!(
        asked(&ran)[2..],
        ["command echo one", "command echo between", "command echo two", "command exit 1"]
    );
    assert_eq!(ran.net.trips("h1"), [2, 1, 4]);
}

#[test]
fn a_handler_that_is_not_there_ends_the_run_where_it_is_missed() {
    let ran = run("- command: echo a\n  notify: nobody\n- command: echo never");
    assert_eq!(asked(&ran), ["command echo a"]);
}

#[test]
fn variables_that_are_set_in_between_are_known() {
    let ran = run(
        "- command: echo a\n- set_fact: {one: 1, list: []}\n- set_fact: {list: \"{{ list + [item] }}\"}\n  loop: [x, y]\n- command: echo {{ one }} {{ list | join }} {{ hostvars[inventory_hostname].one }}\n- set_fact: {never: 1}\n  when: one == 2\n- fail: msg=never\n  when: never is defined\n- command: echo b",
    );
    assert_eq!(asked(&ran), ["command echo a", "command echo 1 xy 1", "command echo b"]);
    assert_eq!(ran.net.trips("h1"), [3]);
    // What is not known, or is kept beyond the run, is waited for.
    for (sets, trips) in [
        ("- set_fact: {word: \"{{ r.stdout }}\"}", vec![1, 2]),
        ("- set_fact: {word: one, cacheable: true}", vec![1, 2]),
        ("- set_fact: {\"{{ 'word' }}\": one}", vec![1, 2]),
        ("- set_fact: {word: one}\n  when: r is changed", vec![1, 2]),
        ("- set_fact: {word: one}\n  register: r", vec![3]),
    ] {
        let ran = run(&format!(
            "- command: echo one\n  register: r\n{sets}\n- command: echo {{{{ word }}}}\n- command: echo last"
        ));
        assert_eq!(asked(&ran), ["command echo one", "command echo one", "command echo last"]);
        assert_eq!(ran.net.trips("h1"), trips, "{sets}");
    }
}

#[test]
fn variables_that_are_set_on_others_are_waited_for() {
    let ran = Case::new(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - file: {path: /a}\n    - set_fact: {word: \"{{ inventory_hostname }}\"}\n      when: inventory_hostname == 'h2'\n    - file: {path: \"/{{ hostvars.h2.word }}\"}\n    - file: {path: /b}\n",
    )
    .hosts("h1\nh2\n")
    .run();
    assert_eq!(asked(&ran), ["file /a", "file /h2", "file /b"]);
    assert_eq!(ran.net.trips("h1"), [1, 2]);
    // It is known of the host itself.
    assert_eq!(ran.net.trips("h2"), [3]);
}

#[test]
fn what_only_shows_a_result_is_not_waited_for() {
    let shown = |task: &str| {
        let ran = run(&format!("- command: echo one\n  register: r\n{task}\n- command: echo two"));
        assert_eq!(asked(&ran).len(), 2, "{}", ran.text);
        ran.net.trips("h1")
    };
    for harmless in ["- debug: var=r", "- debug: var=r.stdout_lines", "- debug: {var: r.stat}"] {
        assert_eq!(shown(harmless), [2], "{harmless}");
    }
    for may_fail in [
        "- debug: msg={{ r.stdout }}",
        "- debug: var=r.stdout.upper",
        "- debug: var=r[0]",
        "- debug: var=r.stdout\n  when: r.rc == 0",
        "- assert: {that: r.rc == 0}",
    ] {
        assert_eq!(shown(may_fail), [1, 1], "{may_fail}");
    }
    let ran = run(
        "- command: echo one\n  register: r\n- debug: {msg: \"{{ r.missing }}\"}\n- command: echo never",
    );
    assert_eq!(asked(&ran), ["command echo one"]);
}

#[test]
fn another_way_to_the_host_is_another_message() {
    for other in ["remote_user: bob", "port: 2222", "vars: {ansible_host: elsewhere}"] {
        let ran = run(&format!("- command: echo a\n- command: echo b\n  {other}"));
        assert_eq!(ran.net.trips("h1"), [1, 1], "{other}");
    }
    let ran = run("- command: echo a\n- set_fact: {ansible_user: bob}\n- command: echo b");
    assert_eq!(ran.net.trips("h1"), [1, 1]);
}

/// Plays in which something happens in the middle of what is sent together.
const STORIES: &[&str] = &[
    "    - command: echo a\n      register: r\n      notify: [h, g]\n    - command: exit 2\n      ignore_errors: true\n      register: s\n    - debug: var=s.rc\n    - copy: {content: x, dest: /x}\n      notify: h\n    - command: echo {{ s.rc }}\n      when: s is failed\n      become: true\n    - meta: flush_handlers\n    - command: exit 3\n      notify: h\n    - command: echo never\n",
    "    - set_fact: {n: 1}\n    - block:\n        - command: echo {{ n }}\n          no_log: true\n        - set_fact: {n: \"{{ n + 1 }}\"}\n        - command: exit {{ n }}\n        - command: echo never\n      rescue:\n        - debug: msg={{ ansible_failed_result.rc }}\n        - command: echo {{ n }}\n        - set_fact: {n: 7}\n      always:\n        - command: echo {{ n }}\n          changed_when: n == 7\n        - service: {name: x, state: started}\n          notify: g\n",
    "    - include_vars: more.yml\n    - command: echo {{ more }}\n    - command: echo b\n      loop: [1, 2]\n      loop_control: {label: \"{{ more }}\"}\n      register: r\n    - debug: var=r.results\n    - fail: {msg: no}\n      when: more != 'here'\n    - assert: {that: more == 'here', quiet: true}\n    - copy: {content: \"{{ more }}\", dest: /y}\n      diff: true\n      notify: [h, g]\n    - package: {name: p}\n    - command: echo c\n      failed_when: r.results | length == 2\n    - command: echo never\n",
    "    - uri: {url: 'http://x'}\n    - command: echo a\n      check_mode: false\n      become: true\n      become_user: app\n      notify: h\n    - set_stats: {data: {a: 1}}\n    - command: echo b\n      tags: never\n    - command: echo c\n      notify: [g, h]\n",
];

#[test]
fn whether_tasks_go_out_together_is_seen_by_nobody() {
    let handlers = "  handlers:\n    - name: h\n      command: echo h\n      notify: later\n    - name: g\n      command: exit 1\n      ignore_errors: true\n    - name: later\n      command: echo later\n";
    for (story, free) in STORIES.iter().flat_map(|story| [(story, false), (story, true)]) {
        let strategy = if free { "  strategy: free\n" } else { "" };
        let play =
            format!("- hosts: all\n  gather_facts: false\n{strategy}  tasks:\n{story}{handlers}");
        let told = |hosts: &'static str, set: fn(&mut RunOptions)| {
            let case = Case::new(&play).file("vars/more.yml", "more: here\n");
            let ran = case.hosts(hosts).options(set).run();
            let trips = ran.net.trips("h1");
            let text = ran.text.replace(&ran.dir.path().display().to_string(), "HERE");
            (text, ran.net.requests("h1"), ran.counts("h1"), trips)
        };
        let modes: [fn(&mut RunOptions); 3] = [
            |_| {},
            |options| options.check = true,
            |options| (options.diff, options.verbosity) = (true, 2),
        ];
        for mode in modes {
            let together = told("h1\n", mode);
            let alone = told("h1 ansible_connection=local\n", mode);
            assert_eq!(together.0, alone.0, "{story}");
            assert_eq!(together.1, alone.1, "{story}");
            assert_eq!(together.2, alone.2, "{story}");
            assert!(together.3.len() < alone.3.len(), "{story}: {:?}", together.3);
            let together = told("h1\nh2\n", mode);
            let alone = told("h1 ansible_connection=local\nh2 ansible_connection=local\n", mode);
            assert_eq!(together.0, alone.0, "{story}");
            assert_eq!(together.1, alone.1, "{story}");
        }
    }
}
