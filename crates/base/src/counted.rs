//! Numbers in sentences.

/// A number with its noun, for people: `1 machine`, `2 machines`.
pub fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_one_is_singular() {
        let told = [0, 1, 2].map(|number| counted(number, "group"));
        assert_eq!(told, ["0 groups", "1 group", "2 groups"]);
    }
}
