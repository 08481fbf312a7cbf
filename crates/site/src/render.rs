//! Faults as people read them: the line, the place in it, and what to do.
//!
//! The only module that knows the crate which draws excerpts.
//! Never here: deciding what is wrong, printing.

use crate::fault::{Fault, Faults};
use crate::text::{Span, Text};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

impl Faults {
    /// All faults with their excerpts, an empty line between two, for a terminal of this many
    /// columns. With `colour` there are ANSI escapes in it, which carry no meaning of their own.
    pub fn render(&self, colour: bool, columns: usize) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.term_width(columns);
        let mut out = String::new();
        for fault in &self.faults {
            out.push_str(&renderer.render(&[group(fault, &self.texts)]));
            out.push_str("\n\n");
        }
        if self.more() > 0 {
            out.push_str(&format!("and {} more faults\n\n", self.more()));
        }
        out
    }
}

fn group<'a>(fault: &'a Fault, texts: &'a [Text]) -> Group<'a> {
    let title = Level::ERROR.primary_title(fault.message.as_str()).id(fault.code);
    let mut group = if fault.excerpt {
        let mut main = excerpt(fault.at, texts).annotation(mark(
            AnnotationKind::Primary,
            fault.at,
            texts,
            fault.label.as_deref(),
        ));
        for related in fault.related.iter().filter(|r| r.at.file == fault.at.file) {
            let label = Some(related.message.as_str());
            main = main.annotation(mark(AnnotationKind::Context, related.at, texts, label));
        }
        title.element(main)
    } else {
        let origin = Origin::path(fault.file.as_str());
        title.element(match texts[fault.at.file].text.is_empty() {
            true => origin,
            false => origin.line(fault.line).char_column(fault.column),
        })
    };
    for related in fault.related.iter().filter(|r| r.at.file != fault.at.file) {
        let label = Some(related.message.as_str());
        group = group.element(excerpt(related.at, texts).annotation(mark(
            AnnotationKind::Context,
            related.at,
            texts,
            label,
        )));
    }
    match &fault.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

fn excerpt<'a>(at: Span, texts: &'a [Text]) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = &texts[at.file];
    Snippet::source(text.text.as_str()).path(text.path.as_str())
}

fn mark<'a>(
    kind: AnnotationKind,
    at: Span,
    texts: &'a [Text],
    label: Option<&'a str>,
) -> annotate_snippets::Annotation<'a> {
    let (start, end) = texts[at.file].first_line(at.start, at.end);
    kind.span(start..end).label(label)
}
