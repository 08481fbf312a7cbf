//! Which tasks the tags on the command line leave.

use crate::value::Value;

/// Does a task with these tags run?
pub(crate) fn selected(own: &[String], only: &[String], skip: &[String]) -> bool {
    let has = |list: &[String], tag: &str| list.iter().any(|one| one == tag);
    let meets = |list: &[String]| own.iter().any(|tag| has(list, tag));
    let always = has(own, "always");
    let never = has(own, "never");
    let mut runs = true;
    if !only.is_empty() {
        runs = always
            || (has(only, "all") && !never)
            || meets(only)
            || (has(only, "tagged") && !own.is_empty() && !never)
            || (has(only, "untagged") && own.is_empty());
    } else if never {
        runs = false;
    }
    if runs && !skip.is_empty() {
        let skipped = if has(skip, "all") {
            !always || has(skip, "always")
        } else if meets(skip) {
            true
        } else {
            has(skip, "tagged") && !own.is_empty() && !always
                || has(skip, "untagged") && own.is_empty()
        };
        runs = !skipped;
    }
    runs
}

/// Tags as words, templates rendered by the caller.
pub(crate) fn words(values: &[Value]) -> Vec<String> {
    values
        .iter()
        .flat_map(|value| match value.as_list() {
            Some(items) => items.iter().map(Value::to_text).collect::<Vec<_>>(),
            None => value.to_text().split(',').map(|word| word.trim().to_owned()).collect(),
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_as_they_choose_for_ansible() {
        let list = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (own, only, skip, runs) in [
            ("", "", "", true),
            ("a", "", "", true),
            ("never", "", "", false),
            ("never a", "a", "", true),
            ("never", "all", "", false),
            ("a", "a", "", true),
            ("b", "a", "", false),
            ("", "a", "", false),
            ("always", "a", "", true),
            ("always", "a", "always", false),
            ("always", "", "all", true),
            ("a", "", "a", false),
            ("a b", "a", "b", false),
            ("a", "tagged", "", true),
            ("", "tagged", "", false),
            ("", "untagged", "", true),
            ("a", "untagged", "", false),
            ("a", "", "tagged", false),
            ("", "", "untagged", false),
        ] {
            assert_eq!(
                selected(&list(own), &list(only), &list(skip)),
                runs,
                "{own} only {only} skip {skip}"
            );
        }
    }
}
