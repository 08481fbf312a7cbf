//! Differences as Ansible shows them.

use crate::value::{Indent, Value, python_json};

/// More lines than this on both sides are not compared line by line.
const LINES: usize = 20_000;

/// The text for a result's `diff`, with so many lines around each change.
pub(super) fn render(diff: &Value, context: usize) -> String {
    match diff.as_list() {
        Some(parts) => parts.iter().map(|part| one(part, context)).collect::<Vec<_>>().concat(),
        None => one(diff, context),
    }
}

fn one(diff: &Value, context: usize) -> String {
    if let Some(prepared) = diff.get("prepared").filter(|text| text.is_true()) {
        return prepared.to_text() + "\n";
    }
    if diff.get("before").is_none() && diff.get("after").is_none() {
        return String::new();
    }
    for (mark, what) in [("src_binary", "source"), ("dst_binary", "destination")] {
        if diff.get(mark).is_some_and(Value::is_true) {
            return format!("diff skipped: {what} file appears to be binary\n");
        }
    }
    for mark in ["src_larger", "dst_larger"] {
        if let Some(size) = diff.get(mark).filter(|size| size.is_true()) {
            return format!("diff skipped: file size is greater than {}\n", size.to_text());
        }
    }
    let side = |name: &str| match diff.get(name) {
        None | Some(Value::None) => String::new(),
        Some(Value::Str(text)) => text.to_string(),
        Some(other) => {
            let indent = Indent { width: Some(4), sorted: true, ascii: false };
            python_json(&other.to_json(), indent) + "\n"
        }
    };
    let header = |name: &str, default: &str| match diff.get(name) {
        Some(label) if label.is_true() => format!("{default}: {}", label.to_text()),
        _ => default.to_owned(),
    };
    let (before, after) = (side("before"), side("after"));
    let text = unified(
        &before,
        &after,
        &header("before_header", "before"),
        &header("after_header", "after"),
        context,
    );
    if text.is_empty() { text } else { text + "\n" }
}

/// A unified diff, as Python's difflib writes it.
pub(super) fn unified(before: &str, after: &str, from: &str, to: &str, context: usize) -> String {
    if before == after {
        return String::new();
    }
    let (a, b) = (lines(before), lines(after));
    let mut out = format!("--- {from}\n+++ {to}\n");
    for hunk in hunks(&compare(&a, &b), context) {
        out.push_str(&hunk_text(&hunk, &a, &b));
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// A run of lines: equal, or replaced by others.
#[derive(Clone, Copy)]
struct Run {
    equal: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// Which lines stayed: by the longest common subsequence, after equal ends are set aside.
fn compare(a: &[&str], b: &[&str]) -> Vec<Run> {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let tail =
        a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (mid_a, mid_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    if mid_a.len().max(mid_b.len()) <= LINES
        && mid_a.len().saturating_mul(mid_b.len()) <= 25_000_000
    {
        pairs.extend(common(mid_a, mid_b).into_iter().map(|(i, j)| (i + head, j + head)));
    }
    pairs.extend((0..tail).map(|i| (a.len() - tail + i, b.len() - tail + i)));
    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (x, y) in pairs.into_iter().chain([(a.len(), b.len())]) {
        if x > i || y > j {
            runs.push(Run { equal: false, a: (i, x), b: (j, y) });
        }
        if x < a.len() {
            match runs.last_mut() {
                Some(run) if run.equal && run.a.1 == x && run.b.1 == y => {
                    run.a.1 += 1;
                    run.b.1 += 1;
                }
                _ => runs.push(Run { equal: true, a: (x, x + 1), b: (y, y + 1) }),
            }
        }
        (i, j) = (x + 1, y + 1);
    }
    runs
}

fn common(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut table = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if a[i] == b[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            pairs.push((i, j));
            i += 1;
            j += 1;
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Changes that lie close together, with the lines around them.
fn hunks(runs: &[Run], context: usize) -> Vec<Vec<Run>> {
    let mut hunks = Vec::new();
    let mut current: Vec<Run> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        if !run.equal {
            current.push(*run);
            continue;
        }
        let length = run.a.1 - run.a.0;
        let (first, last) = (index == 0, index + 1 == runs.len());
        let clip = |from_end: bool, run: Run| {
            let keep = length.min(context);
            if from_end {
                Run { a: (run.a.1 - keep, run.a.1), b: (run.b.1 - keep, run.b.1), ..run }
            } else {
                Run { a: (run.a.0, run.a.0 + keep), b: (run.b.0, run.b.0 + keep), ..run }
            }
        };
        if first {
            current.push(clip(true, *run));
        } else if last {
            current.push(clip(false, *run));
        } else if length > 2 * context {
            current.push(clip(false, *run));
            hunks.push(std::mem::take(&mut current));
            current.push(clip(true, *run));
        } else {
            current.push(*run);
        }
    }
    if current.iter().any(|run| !run.equal) {
        hunks.push(current);
    }
    hunks
}

fn hunk_text(hunk: &[Run], a: &[&str], b: &[&str]) -> String {
    let (first, last) = (hunk[0], hunk[hunk.len() - 1]);
    let range = |from: usize, to: usize| {
        let length = to - from;
        match length {
            0 => format!("{from},0"),
            1 => format!("{}", from + 1),
            _ => format!("{},{length}", from + 1),
        }
    };
    let mut out =
        format!("@@ -{} +{} @@\n", range(first.a.0, last.a.1), range(first.b.0, last.b.1));
    let mut push = |mark: char, line: &str| {
        out.push(mark);
        out.push_str(line.strip_suffix('\n').unwrap_or(line));
        out.push('\n');
        if !line.ends_with('\n') {
            out.push_str("\\ No newline at end of file\n");
        }
    };
    for run in hunk {
        if run.equal {
            a[run.a.0..run.a.1].iter().for_each(|line| push(' ', line));
        } else {
            a[run.a.0..run.a.1].iter().for_each(|line| push('-', line));
            b[run.b.0..run.b.1].iter().for_each(|line| push('+', line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_laid_out_as_difflib_lays_them_out() {
        assert_eq!(
            unified("", "hello\nworld\n", "before", "after: /x", 3),
            "--- before\n+++ after: /x\n@@ -0,0 +1,2 @@\n+hello\n+world\n"
        );
        assert_eq!(
            unified("hello\nworld\n", "hello\nthere\n", "before: /x", "after: /x", 3),
            "--- before: /x\n+++ after: /x\n@@ -1,2 +1,2 @@\n hello\n-world\n+there\n"
        );
        let long: String = (0..20).map(|n| format!("{n}\n")).collect();
        let changed = long.replace("3\n", "x\n").replace("16\n", "16");
        let text = unified(&long, &changed, "a", "b", 3);
        assert!(text.contains("@@ -1,7 +1,7 @@\n 0\n 1\n 2\n-3\n+x\n 4\n"), "{text}");
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        // As many lines around a change as are asked for.
        let text = unified(&long, &changed, "a", "b", 0);
        assert!(text.contains("+++ b\n@@ -4 +4 @@\n-3\n+x\n@@ -14 +14 @@\n"), "{text}");
        assert_eq!(unified(&long, &changed, "a", "b", 9).matches("@@ -").count(), 1);
    }
}
