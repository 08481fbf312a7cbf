//! Reading YAML: scalars, aliases, limits, and what is refused.

use super::*;

fn read(text: &str) -> serde_json::Value {
    let mut sink = Sink::default();
    let node = parse(0, text, &mut sink);
    assert!(sink.is_empty(), "{sink:?}");
    node.expect("no fault, so a document").to_json()
}

fn codes(text: &str) -> Vec<&'static str> {
    let mut sink = Sink::default();
    parse(0, text, &mut sink);
    let texts = vec![crate::text::Text::new("a.yaml".into(), text)];
    sink.finish(texts).iter().map(|fault| fault.code).collect()
}

#[test]
fn scalars_follow_the_core_schema() {
    let text = "[1, -2, +3, 0o17, 0xff, 1.5, .5, 1e3, ~, null, true, FALSE, yes, on, 1.10.2, v1, 12:30, 1_000, \"1\", 0]";
    let json = serde_json::json!([
        1, -2, 3, 15, 255, 1.5, 0.5, 1000.0, null, null, true, false, "yes", "on", "1.10.2", "v1",
        "12:30", "1_000", "1", 0
    ]);
    assert_eq!(read(text), json);
}

#[test]
fn text_that_looks_like_a_number_stays_text() {
    for text in ["-", "+", ".", "e5", "1e", "1e+", "0x", "0o8", "1.2.3", "--1", "1e5.5"] {
        assert_eq!(number(text), None, "`{text}`");
    }
}

#[test]
fn aliases_repeat_a_value() {
    assert_eq!(read("a: &x [1]\nb: *x\n"), serde_json::json!({"a": [1], "b": [1]}));
}

#[test]
fn a_bomb_of_aliases_is_refused_before_it_goes_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert_eq!(codes(&text), ["too-large"]);
}

#[test]
fn a_chain_of_aliases_counts_as_deep_as_it_stands() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_eq!(codes(&text), ["too-deep"]);
}

#[test]
fn depth_is_bounded_in_both_styles() {
    assert_eq!(codes(&"[".repeat(10_000)), ["too-deep"]);
    assert_eq!(codes(&"- ".repeat(10_000)), ["too-deep"]);
    assert_eq!(codes(&"{a: ".repeat(10_000)), ["too-deep"]);
}

#[test]
fn an_alias_inside_its_own_value_is_refused() {
    assert_eq!(codes("a: &x [*x]\n"), ["yaml"]);
}

#[test]
fn an_empty_file_is_an_empty_map() {
    assert_eq!(read(""), serde_json::json!({}));
    assert_eq!(read("# nothing\n"), serde_json::json!({}));
}

#[test]
fn unusable_keys_take_their_values_with_them() {
    assert_eq!(codes("? [a, b]\n: 1\nc: 2\n"), ["bad-key"]);
    assert_eq!(codes("a: &x {k: 1}\n<<: *x\n"), ["bad-key"]);
    assert_eq!(codes("a: 1\na: {b: 2}\nc: 3\n"), ["duplicate-key"]);
}
