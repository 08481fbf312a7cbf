//! Several playbooks, files of variables and items: what one of them means for the others.

use super::Case;

#[test]
fn an_item_of_an_include_is_kept_out_of_sight_too() {
    let ran = Case::new("- hosts: all\n  gather_facts: false\n  tasks:\n    - include_tasks: inc.yml\n      loop: [hunter2, swordfish]\n      no_log: true\n")
        .file("inc.yml", "- debug: msg=\"{{ item | length }}\"\n")
        .run();
    assert_eq!(ran.said(), ["7", "9"]);
    assert!(!ran.text.contains("hunter2"), "{}", ran.text);
    assert!(ran.text.contains("(item=(censored due to no_log))"), "{}", ran.text);
}
