//! Several playbooks, files of variables and items: what one of them means for the others.

use super::Case;
use crate::config::{Setting, Source};

#[test]
fn an_item_of_an_include_is_kept_out_of_sight_too() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - include_tasks: inc.yml\n      loop: [hunter2, swordfish]\n      no_log: true\n")
        .file("inc.yml", "- debug: msg=\"{{ item | length }}\"\n")
        .run();
    assert_eq!(ran.said(), ["7", "9"]);
    assert!(!ran.text.contains("hunter2"), "{}", ran.text);
    assert!(ran.text.contains("(item=(censored due to no_log))"), "{}", ran.text);
}

#[test]
fn a_playbook_that_loses_a_host_is_the_last_and_who_failed_is_written_down() {
    let two = "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: two}}]\n";
    let site = "- hosts: all\n  gather_facts: false\n  tasks: [{fail: {}, when: inventory_hostname != 'h2'}, {debug: {msg: one}}]\n- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: more}}]\n";
    let mut case = Case::new(site).hosts("h3\nh2\nh1\n").then("two.yml", two);
    case.config.retry_files_enabled = Setting { value: true, from: Source::Asked };
    let ran = case.run();
    assert_eq!(ran.said(), ["one", "more"]);
    let retry = ran.dir.path().join("site.retry");
    assert_eq!(std::fs::read_to_string(&retry).unwrap(), "h1\nh3\n");
    let told = format!("\n\tto retry, use: --limit @{}\n", retry.display());
    assert!(ran.text.contains(&told), "{}", ran.text);
    assert_eq!(ran.text.matches("PLAY RECAP").count(), 1);
    // Where all is well, the next one has its turn; what is counted goes on.
    let ran = Case::new(two).then("two.yml", two).run();
    assert_eq!(ran.said(), ["two", "two"]);
    let recaps: Vec<&str> = ran.text.split("PLAY RECAP").skip(1).collect();
    assert!(recaps.len() == 2 && recaps[0].contains("ok=1 ") && recaps[1].contains("ok=2 "));
}

#[test]
fn banners_show_arguments_to_those_who_want_them() {
    let site = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: '{{ inventory_hostname }}'}\n    - command: echo hi\n      name: greet\n    - debug: msg=secret\n      no_log: true\n    - ping:\n";
    let mut case = Case::new(site);
    case.config.display_args = Setting { value: true, from: Source::Asked };
    let ran = case.run();
    for banner in [
        "TASK [debug msg={{ inventory_hostname }}] *",
        "TASK [greet _raw_params=echo hi] *",
        "TASK [debug] *",
        "TASK [ping ] *",
    ] {
        assert!(ran.text.contains(banner), "{banner}: {}", ran.text);
    }
    assert!(!Case::new(site).run().text.contains("_raw_params"));
}

#[test]
fn a_file_of_variables_is_passed_over_while_nobody_can_know_its_name() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  vars_files: ['{{ nope }}.yml', here.yml]\n  tasks: [{debug: {msg: '{{ here }}'}}]\n")
        .file("here.yml", "here: yes, here\n")
        .run();
    assert_eq!(ran.said(), ["yes, here"]);
    assert!(
        ran.text.contains("skipping vars_files item due to an undefined variable"),
        "{}",
        ran.text
    );
}

#[test]
fn hostvars_are_read_as_a_dict() {
    let ran = Case::new("- hosts: h1\n  gather_facts: false\n  tasks:\n    - debug: msg=\"{{ hostvars | dict2items | map(attribute='key') | join(' ') }} {{ (hostvars | dict2items)[1].value.addr }} {{ (hostvars | dictsort)[1][0] }} {{ dict(hostvars.h2.items()).addr }} {{ 'ten/24' in hostvars.h2.values() }}\"\n")
        .hosts("h1\nh2 it=ten addr='{{ it }}/24'\n")
        .run();
    assert_eq!(ran.said(), ["h1 h2 ten/24 h2 ten/24 True"]);
}

#[test]
fn ansible_local_alone_keeps_its_whole_name_among_facts() {
    let ran = super::run(
        "- set_fact: {ansible_local: {a: 1}, ansible_other: 2, cacheable: true}\n- debug: msg=\"{{ ansible_facts.ansible_local.a }} {{ ansible_facts.local is defined }} {{ ansible_facts.other }}\"\n- group_by: {}\n  ignore_errors: true\n",
    );
    assert_eq!(ran.said(), ["1 False 2"]);
    assert!(ran.text.contains("the 'key' param is required"), "{}", ran.text);
}

#[test]
fn a_task_to_start_at_that_is_nowhere_is_told() {
    let site = "- hosts: all\n  gather_facts: false\n  tasks: [{name: one, debug: {msg: one}}, {name: two, debug: {msg: two}}]\n";
    let at = |task: &str| {
        Case::new(site).options(|options| options.start_at = Some(task.to_owned())).run()
    };
    assert_eq!(at("tw*").said(), ["two"]);
    assert!(!at("tw*").text.contains("No matching task"));
    assert!(at("three").text.contains("No matching task \"three\" found."));
}

#[test]
fn where_nobody_can_be_asked_a_prompt_has_its_default_or_nothing() {
    let site = "- hosts: all\n  gather_facts: false\n  vars_prompt: [{name: a, default: usual}, {name: b}]\n  tasks: [{debug: {msg: '{{ a }} {{ b }}'}}]\n";
    let ran = Case::new(site).run();
    assert_eq!(ran.said(), ["usual None"]);
    assert!(ran.text.contains("[WARNING]: Not prompting as we are not in interactive mode"));
    // Who is to say something twice is asked until both are the same.
    let twice = site.replace("{name: b}", "{name: b, confirm: true}");
    let ran = Case::new(&twice).answers(&["", "x", "y", "z", "z"]).run();
    assert_eq!(ran.said(), ["usual z"]);
    assert!(ran.text.contains("***** VALUES ENTERED DO NOT MATCH ****"), "{}", ran.text);
}

#[test]
fn what_failed_is_known_to_whoever_rescues_it() {
    let ran = super::run(
        "- block:\n    - name: do {{ who }}\n      command: exit {{ code }}\n      vars: {who: it, code: 2}\n      when: code == 2\n      tags: [a]\n      register: r\n      delay: 1\n  rescue:\n    - debug: msg=\"{{ (ansible_failed_task.name, ansible_failed_task.args, ansible_failed_task.when, ansible_failed_task.tags, ansible_failed_task.register, ansible_failed_task.vars, ansible_failed_task.delay, ansible_failed_task._resolved_action, ansible_failed_task.become, ansible_failed_task.delegate_to) | to_json }}\"\n- block:\n    - debug: msg={{ nope }}\n  rescue:\n    - debug: msg=\"{{ ansible_failed_task.name | length }} {{ ansible_failed_task.args.msg | default('unknown') }}\"\n",
    );
    let told = ran.said();
    assert!(told[0].contains("do it"), "{told:?}");
    for part in ["exit 2", "code == 2", "ansible.builtin.command", "null"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert_eq!(told[1], "0 unknown");
}

#[test]
fn a_file_that_is_nowhere_is_told_as_each_action_tells_it() {
    let ran = super::run(
        "- copy: {src: none, dest: /x}\n  ignore_errors: true\n- unarchive: {src: none, dest: /x}\n  ignore_errors: true\n- template: {src: none, dest: /x}\n  ignore_errors: true\n",
    );
    for part in [
        "[ERROR]: Task failed: Unexpected AnsibleActionFail error: Could not find",
        "\"msg\": \"Unexpected AnsibleActionFail error: Could not find",
        "[ERROR]: Task failed: Could not find",
        "\"msg\": \"Task failed: Could not find",
        "\"msg\": \"Could not find",
    ] {
        assert!(ran.text.contains(part), "{part} is not in\n{}", ran.text);
    }
    assert!(!ran.text.contains("Module failed"), "{}", ran.text);
}
