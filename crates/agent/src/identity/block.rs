//! Our lines in files that are not ours alone.

const BEGIN: &str = "# updraft: begin, written by updraft, do not edit";
const END: &str = "# updraft: end";

/// `text` with `lines` as our block, in the place of the old one or at the end. Without lines the
/// block goes. Every other line stays as it is.
pub(super) fn replace(text: &str, lines: &[String]) -> String {
    let mut before = String::new();
    let mut after = String::new();
    let mut seen = false;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => (seen, inside) = (true, true),
            END if inside => inside = false,
            _ if inside => {}
            _ if seen => after.push_str(line),
            _ => before.push_str(line),
        }
    }
    if lines.is_empty() {
        return before + &after;
    }
    if !before.is_empty() && !before.ends_with('\n') {
        before.push('\n');
    }
    let block: String = [BEGIN, END].join("\n");
    let block = block.replacen('\n', &format!("\n{}\n", lines.join("\n")), 1);
    before + &block + "\n" + &after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_block_keeps_its_place_and_everything_around_it() {
        let first = replace("mine", &lines("a b"));
        assert_eq!(first, format!("mine\n{BEGIN}\na\nb\n{END}\n"));
        let second = replace(&format!("{first}later\n"), &lines("c"));
        assert_eq!(second, format!("mine\n{BEGIN}\nc\n{END}\nlater\n"));
        assert_eq!(replace(&second, &[]), "mine\nlater\n");
        assert_eq!(replace(&second, &lines("c")), second);
        assert_eq!(replace("", &[]), "");
    }
}
