//! Properties of everything that reads bytes other people wrote: it never panics, and what can be
//! written can be read back.

use crate::module::apt::{Status, compare};
use crate::pattern::{Flags, Pattern, Template, glob};
use crate::{http, shlex};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_words_survive_quoting(words in prop::collection::vec("[^\\x00]{0,12}", 0..5)) {
        let line: Vec<String> = words.iter().map(|word| shlex::quote(word)).collect();
        prop_assert_eq!(shlex::split(&line.join(" ")).unwrap(), words);
    }

    #[test]
    fn any_text_is_split_or_refused(text in ".{0,40}") {
        drop(shlex::split(&text));
    }

    #[test]
    fn any_pattern_is_compiled_or_refused(pattern in "[\\[\\](){}^$|*+?.\\\\a-cxZ<>&~,0-3P=!:-]{0,12}", text in "[a-c\n{}]{0,8}") {
        if let Ok(pattern) = Pattern::new(&pattern, Flags::MultiLine) {
            drop(pattern.find(text.as_bytes()));
        }
    }

    #[test]
    fn any_literal_is_found_where_it_stands(before in "[a-z]{0,5}", literal in "[ -~]{1,8}", after in "[a-z]{0,5}") {
        let escaped: String = literal
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\{c}") })
            .collect();
        let text = format!("{before}{literal}{after}");
        let found = Pattern::new(&escaped, Flags::None).unwrap().find(text.as_bytes()).unwrap();
        let range = found.unwrap().range();
        prop_assert_eq!(&text[range], literal);
    }

    #[test]
    fn any_template_is_read_or_refused(text in "[\\\\g<>0-9a-c]{0,10}") {
        drop(Template::new(&text));
    }

    #[test]
    fn any_glob_ends(pattern in "[*?a\\[\\]!-]{0,8}", text in "[ab-]{0,8}") {
        glob(&pattern, &text);
        prop_assert!(glob("*", &text));
    }

    #[test]
    fn versions_are_in_one_order(a in "[0-9]{0,2}[.~+a-z0-9:-]{0,6}", b in "[0-9]{0,2}[.~+a-z0-9:-]{0,6}") {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert_eq!(compare(&a, &a), std::cmp::Ordering::Equal);
    }

    #[test]
    fn any_status_file_is_read(text in "([A-Z][a-z]{0,8}:? ?[a-z:,() .0-9]{0,12}\n{0,2}){0,12}") {
        let status = Status::parse(&text);
        drop(status.matching("*"));
    }

    #[test]
    fn any_url_is_read_or_refused(text in "(http|https|ftp)?:?/{0,2}[a-z@:\\[\\]0-9/?#%]{0,20}") {
        if let Ok(url) = http::Url::parse(&text) {
            drop(url.join("../x"));
        }
        drop(http::masked(&text));
        drop(http::file_name(&text));
    }
}
