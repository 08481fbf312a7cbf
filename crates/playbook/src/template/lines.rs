//! Statements and comments that are a line of their own, where a template asks for them: they are
//! written with delimiters before the template is read.

use super::Syntax;
use std::borrow::Cow;

/// White space that may stand before a statement on its line.
const BLANK: [char; 3] = [' ', '\t', '\u{b}'];

/// The template with delimiters around such statements, and without such comments. Every line
/// stays where it is.
pub(super) fn spelled_out<'s>(source: &'s str, syntax: &Syntax) -> Cow<'s, str> {
    let prefix = |prefix: &'_ Option<String>| prefix.clone().filter(|prefix| !prefix.is_empty());
    let (statement, comment) = (prefix(&syntax.line_statement), prefix(&syntax.line_comment));
    if statement.is_none() && comment.is_none() {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    for line in source.split_inclusive('\n') {
        let text = line.trim_end_matches(['\r', '\n']);
        if let Some(rest) =
            statement.as_deref().and_then(|it| text.trim_start_matches(BLANK).strip_prefix(it))
        {
            let rest = rest.trim().trim_end_matches(':');
            // The end of the line is part of the statement.
            out.push_str(&format!("{} {rest}\n{}", syntax.block.0, syntax.block.1));
            continue;
        }
        let opened = [&syntax.block.0, &syntax.variable.0, &syntax.comment.0]
            .into_iter()
            .filter_map(|open| text.find(open.as_str()))
            .min();
        match comment.as_deref().and_then(|it| text.find(it)) {
            Some(at) if opened.is_none_or(|opened| at < opened) => {
                out.push_str(text[..at].trim_end());
                out.push_str(&line[text.len()..]);
            }
            _ => out.push_str(line),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_statements_and_comments_where_that_is_asked_for() {
        let mut syntax = Syntax::default();
        assert_eq!(spelled_out(": if x\n", &syntax), ": if x\n");
        syntax.line_statement = Some(":".to_owned());
        syntax.line_comment = Some("##".to_owned());
        assert_eq!(
            spelled_out("  : if true:\nfoo  ## why\n: endif", &syntax),
            "{% if true\n%}foo\n{% endif\n%}"
        );
        assert_eq!(spelled_out("{{ '##' }}\n", &syntax), "{{ '##' }}\n");
    }
}
