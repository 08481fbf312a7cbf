//! What is sent together, and what is not.

use super::{Case, Ran, run};

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
    assert_eq!(ran.net.trips("h1"), [1, 2, 1, 1, 1, 1]);
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
fn another_user_and_local_hosts_are_asked_apart() {
    let ran = run(
        "- command: echo a\n- command: echo b\n  become: true\n- command: echo c\n  become: true",
    );
    assert_eq!(ran.net.trips("h1"), [1, 2]);
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
