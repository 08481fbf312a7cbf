//! The `sequence` lookup: numbers, counted and formatted.

use crate::parse::split;
use crate::template::{Fault, printf};
use crate::value::{Call, Value};

/// No sequence is longer, so that a slip does not eat all memory.
const LONGEST: i64 = 1_000_000;

struct Plan {
    start: i64,
    end: Option<i64>,
    count: Option<i64>,
    stride: i64,
    format: String,
}

impl Plan {
    fn set(&mut self, name: &str, value: &Value) -> Result<(), Fault> {
        let number = || {
            let found = match value {
                Value::Str(text) => text.trim().parse().ok(),
                other => other.as_int(),
            };
            found.ok_or_else(|| {
                Fault::new(format!(
                    "Config '{name}' for 'sequence' lookup plugin from 'Direct' has an invalid value: Invalid value provided for 'integer': {}",
                    value.repr()
                ))
            })
        };
        match name {
            "start" => self.start = number()?,
            "end" => self.end = Some(number()?),
            "count" => self.count = Some(number()?),
            "stride" => self.stride = number()?,
            _ => self.format = value.to_text(),
        }
        Ok(())
    }
}

fn is_field(name: &str) -> bool {
    matches!(name, "start" | "end" | "count" | "stride" | "format")
}

/// The numbers of one term, which is a shortcut such as `0-10/2:v%d` or a list of `name=value`.
pub(super) fn count(term: &str, call: &Call) -> Result<Vec<Value>, Fault> {
    let mut plan = Plan { start: 1, end: None, count: None, stride: 1, format: "%d".to_owned() };
    for (name, value) in &call.named {
        if is_field(name) && !value.is_none() {
            plan.set(name, value)?;
        }
    }
    if term.contains('=') || term.trim().is_empty() {
        let mut unknown = Vec::new();
        for word in split::words(term).map_err(Fault::new)? {
            match word.split_once('=') {
                Some((name, value)) if is_field(name) => {
                    plan.set(name, &Value::from(split::unquote(value)))?;
                }
                Some((name, _)) => unknown.push(Value::str(name)),
                None => unknown.push(Value::str("_raw_params")),
            }
        }
        if !unknown.is_empty() {
            return Err(Fault::new(format!(
                "unrecognized arguments to with_sequence: {}",
                Value::list(unknown).repr()
            )));
        }
    } else {
        let (range, format) = term.split_once(':').map_or((term, None), |(a, b)| (a, Some(b)));
        let (range, stride) = range.split_once('/').map_or((range, None), |(a, b)| (a, Some(b)));
        let (start, end) = range.split_once('-').map_or((None, range), |(a, b)| (Some(a), b));
        for (name, value) in
            [("start", start), ("end", Some(end)), ("stride", stride), ("format", format)]
        {
            if let Some(value) = value {
                plan.set(name, &Value::str(value))?;
            }
        }
    }
    numbers(plan)
}

fn numbers(plan: Plan) -> Result<Vec<Value>, Fault> {
    let Plan { start, end, count, stride, format } = plan;
    let end = match (end, count) {
        (None, None) => return Err(Fault::new("must specify count or end in with_sequence")),
        (Some(_), Some(_)) => {
            return Err(Fault::new("can't specify both count and end in with_sequence"));
        }
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) => start + count.saturating_mul(stride) - 1,
        (Some(end), None) => end,
    };
    if stride > 0 && end < start {
        return Err(Fault::new("to count backwards make stride negative"));
    }
    if stride < 0 && end > start {
        return Err(Fault::new("to count forward don't make stride negative"));
    }
    if stride == 0 {
        return Ok(Vec::new());
    }
    if format.matches('%').count() != 1 {
        return Err(Fault::new(format!("bad formatting string: {format}")));
    }
    if end.abs_diff(start) / stride.unsigned_abs() > LONGEST.unsigned_abs() {
        return Err(Fault::new("a sequence of that length is refused"));
    }
    let mut out = Vec::new();
    let mut at = start;
    while (stride > 0 && at <= end) || (stride < 0 && at >= end) {
        let text = printf::percent(&format, &Value::Int(at))
            .map_err(|_| Fault::new(format!("problem formatting {at} with '{format}'")))?;
        out.push(Value::from(text));
        at += stride;
    }
    Ok(out)
}
