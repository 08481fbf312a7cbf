//! Of all the places that a variable may be set in, the one wins that Ansible's documentation says.

use super::*;
use proptest::prelude::*;

#[path = "../../../tests/trees/mod.rs"]
mod trees;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn of_several_values_the_one_wins_that_is_documented(tree in trees::tree(1..=10)) {
        let named = trees::Named { tree: &tree, prefix: "", fact: "ansible_os_family" };
        let files = named.files();
        let mut case = Case::new("").inventory("inv/hosts");
        case.files = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        for (name, value) in named.extra() {
            case.options.extra_vars.insert(Key::str(&name), Value::from(value));
        }
        if let Some(differences) = named.differences(&case.run().text) {
            return Err(TestCaseError::fail(differences));
        }
    }
}
