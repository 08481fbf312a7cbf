//! Who is said to have set the variables of a task that cannot be settled.

use super::Case;

#[test]
fn a_failure_tells_who_set_its_variables_and_over_whom() {
    let site = "- hosts: all\n  gather_facts: false\n  vars:\n    port: \"{{ base + 1 }}\"\n  tasks:\n    - debug: msg=\"{{ lookup('env', 'X') }} {{ fine }} {{ port }}\"\n      vars: {fine: x}\n      ignore_errors: true\n    - debug: msg=x\n      when: count > 3\n      ignore_errors: true\n    - command: echo {{ item }} {{ nowhere }}\n      loop: [a]\n      ignore_errors: true\n    - set_fact: {base: ten}\n    - debug: msg={{ port }}\n      no_log: true\n      ignore_errors: true\n    - include_role: {name: r}\n";
    let ran = Case::new(site)
        .hosts("[web]\nh1\n[web:vars]\ncount=six\n")
        .file("group_vars/all.yml", "# first\nbase: 8000\n")
        .file("host_vars/h1/main.yml", "other: 1\nbase: eight\n")
        .file("roles/r/tasks/main.yml", "- debug: msg={{ mine + 1 }}\n")
        .file("roles/r/defaults/main.yml", "mine: low\n")
        .file("roles/r/vars/main.yml", "\nmine: high\n")
        .options(|options| options.explain = true)
        .run();
    let text = ran.text.replace(&format!("{}/", ran.dir.path().display()), "");
    let told: Vec<&str> = text
        .split("variables, and who set them last:\n")
        .skip(1)
        .map(|rest| rest.split("\n\n").next().unwrap_or_default())
        .collect();
    assert_eq!(
        told,
        [
            "  fine: vars of the task\n  port: vars of the play, site.yml:4:11\n  base: host_vars/h1/main.yml:2:1, over group_vars/all.yml:2:1",
            "  count: group `web` of the inventory",
            "  nowhere: nobody sets it\n...ignoring",
            "  mine: roles/r/vars/main.yml:2:1, over roles/r/defaults/main.yml:1:1",
        ],
        "{text}"
    );
    let plain = Case::new(site).run();
    assert!(!plain.text.contains("variables, and"), "{}", plain.text);
}
