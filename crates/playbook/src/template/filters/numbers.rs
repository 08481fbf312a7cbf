//! Filters over numbers and times.

use super::{Filter, required};
use crate::template::methods::sort_order;
use crate::template::{Fault, Interp, ast::Binary, ops, printf, time};
use crate::value::{Call, Moment, Value, parse_float};

pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "int" => |_, value, call| {
            let default = call.get(0, "default").cloned().unwrap_or(Value::Int(0));
            let base = u32::try_from(call.int(1, "base").unwrap_or(10))
                .ok()
                .filter(|base| (2..=36).contains(base));
            Ok(printf::to_int(&value, default, base.unwrap_or(10)))
        },
        "float" => |_, value, call| {
            let default = call.get(0, "default").cloned().unwrap_or(Value::Float(0.0));
            Ok(match &value {
                Value::Str(text) => parse_float(text).map_or(default, Value::Float),
                other => other.as_float().map_or(default, Value::Float),
            })
        },
        "abs" => |_, value, _| match &value {
            Value::Float(number) => Ok(Value::Float(number.abs())),
            other => match other.as_int() {
                Some(number) => Ok(Value::Int(number.saturating_abs())),
                None => {
                    Err(Fault::new(format!("bad operand type for abs(): '{}'", other.type_name())))
                }
            },
        },
        "round" => |_, value, call| {
            let places = i32::try_from(call.int(0, "precision").unwrap_or(0)).unwrap_or(0);
            let how = call.text(1, "method").unwrap_or_else(|| "common".to_owned());
            let number = value.as_float().ok_or_else(|| {
                Fault::new(format!("type {} doesn't define __round__ method", value.type_name()))
            })?;
            let scale = 10f64.powi(places);
            match (how.as_str(), &value) {
                ("ceil", _) => Ok(Value::Float((number * scale).ceil() / scale)),
                ("floor", _) => Ok(Value::Float((number * scale).floor() / scale)),
                ("common", Value::Int(_) | Value::Bool(_)) if places >= 0 => {
                    Ok(Value::Int(value.as_int().unwrap_or_default()))
                }
                ("common", Value::Int(_) | Value::Bool(_)) => {
                    Ok(Value::Int(((number * scale).round_ties_even() / scale) as i64))
                }
                // Written out, the number is rounded as Python rounds it: exactly, and a half to
                // the even neighbour.
                ("common", _) if places >= 0 => {
                    let places = usize::try_from(places).unwrap_or(0).min(400);
                    Ok(Value::Float(format!("{number:.places$}").parse().unwrap_or(number)))
                }
                ("common", _) => Ok(Value::Float((number * scale).round_ties_even() / scale)),
                _ => Err(Fault::new("method must be common, ceil or floor")),
            }
        },
        "sum" => |cx, value, call| {
            let mut total = call.get(1, "start").cloned().unwrap_or(Value::Int(0));
            let attribute = call.get(0, "attribute").filter(|name| !name.is_none()).cloned();
            for item in ops::iterate(&value)? {
                let item = match &attribute {
                    Some(name) => super::lists::path(cx, &item, name)?,
                    None => item,
                };
                cx.defined(&item)?;
                total = ops::binary(Binary::Add, &total, &item)?;
            }
            Ok(total)
        },
        "min" => |cx, value, call| extreme(cx, &value, call, std::cmp::Ordering::Less),
        "max" => |cx, value, call| extreme(cx, &value, call, std::cmp::Ordering::Greater),
        "pow" => |_, value, call| {
            let power = required(call, 0, "y")?;
            match (value.as_float(), power.as_float()) {
                (Some(base), Some(power)) => Ok(Value::Float(base.powf(power))),
                _ => Err(Fault::new("pow() can only be used on numbers")),
            }
        },
        "root" => |_, value, call| {
            let only = "root() can only be used on numbers";
            let number = value.as_float().ok_or_else(|| Fault::new(only))?;
            let base = call.get(0, "base").and_then(Value::as_float).unwrap_or(2.0);
            if number < 0.0 {
                return Err(Fault::new(format!("{only}: math domain error")));
            }
            Ok(Value::Float(if base == 2.0 { number.sqrt() } else { number.powf(1.0 / base) }))
        },
        "log" => |_, value, call| {
            let number =
                value.as_float().ok_or_else(|| Fault::new("log() can only be used on numbers"))?;
            if number <= 0.0 {
                return Err(Fault::new("math domain error"));
            }
            Ok(Value::Float(match call.get(0, "base").and_then(Value::as_float) {
                Some(10.0) => number.log10(),
                Some(base) => number.ln() / base.ln(),
                None => number.ln(),
            }))
        },
        "human_readable" => |_, value, call| {
            let size = value
                .as_float()
                .ok_or_else(|| Fault::new("human_readable() failed on bad input"))?;
            let bits = call.flag(0, "isbits").unwrap_or(false);
            let unit = call.text(1, "unit");
            Ok(Value::from(human_readable(size, bits, unit.as_deref())))
        },
        "human_to_bytes" => |_, value, call| {
            let unit = call.text(0, "default_unit");
            let bits = call.flag(1, "isbits").unwrap_or(false);
            human_to_bytes(&value.to_text(), unit.as_deref(), bits).map(Value::Int).map_err(|why| {
                Fault::new(format!(
                    "human_to_bytes() can't interpret the input: human_to_bytes() {why}"
                ))
            })
        },
        "filesizeformat" => |_, value, call| {
            let size =
                value.as_float().ok_or_else(|| Fault::new("filesizeformat takes a number"))?;
            let binary = call.flag(0, "binary").unwrap_or(false);
            let (base, names) = if binary {
                (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB"])
            } else {
                (1000.0, ["kB", "MB", "GB", "TB", "PB"])
            };
            if size == 1.0 {
                return Ok(Value::str("1 Byte"));
            }
            if size < base {
                return Ok(Value::from(format!("{} Bytes", size as i64)));
            }
            let mut number = size / base;
            let mut index = 0;
            while number >= base && index < 4 {
                number /= base;
                index += 1;
            }
            Ok(Value::from(format!("{number:.1} {}", names[index])))
        },
        "strftime" => |cx, value, call| {
            let utc = call.flag(1, "utc").unwrap_or(false);
            let seconds = match call.get(0, "second").filter(|second| !second.is_none()) {
                Some(Value::Str(text)) => Some(parse_float(text).ok_or_else(|| {
                    Fault::new(format!("Invalid value for epoch value ({text})"))
                })?),
                Some(other) => other.as_float(),
                None => None,
            };
            let at = match seconds {
                Some(seconds) => time::from_seconds(seconds, utc)?,
                None => time::civil(cx.cx.world.clock.now(), utc),
            };
            time::strftime(&value.to_text(), at, None).map(Value::from)
        },
        "to_datetime" => |_, value, call| {
            let format = call.text(0, "format").unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".to_owned());
            match &value {
                Value::Object(_) => Ok(value),
                other => time::to_datetime(&other.to_text(), &format),
            }
        },
        "to_time" => |_, value, _| {
            Moment::parse_yaml(&value.to_text())
                .map(Moment::into_value)
                .ok_or_else(|| Fault::new("this is not a time"))
        },
        _ => return None,
    })
}

fn extreme(
    cx: &mut Interp<'_>,
    value: &Value,
    call: &Call,
    wanted: std::cmp::Ordering,
) -> Result<Value, Fault> {
    let with_case = call.flag(0, "case_sensitive").unwrap_or(false);
    let attribute = call.get(1, "attribute").filter(|name| !name.is_none()).cloned();
    let mut best: Option<(Value, Value)> = None;
    for item in ops::iterate(value)? {
        let key = match &attribute {
            Some(name) => super::lists::path(cx, &item, name)?,
            None => item.clone(),
        };
        cx.defined(&key)?;
        let better = match &best {
            Some((old, _)) => sort_order(&key, old, with_case)? == wanted,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(
        || Value::undefined("No aggregated item, sequence was empty."),
        |(_, item)| item,
    ))
}

const SIZES: [(char, f64); 8] = [
    ('Y', 1208925819614629174706176.0),
    ('Z', 1180591620717411303424.0),
    ('E', 1152921504606846976.0),
    ('P', 1125899906842624.0),
    ('T', 1099511627776.0),
    ('G', 1073741824.0),
    ('M', 1048576.0),
    ('K', 1024.0),
];

fn human_readable(size: f64, bits: bool, unit: Option<&str>) -> String {
    let base = if bits { "bits" } else { "Bytes" };
    let wanted = unit.and_then(|unit| unit.chars().next()).map(|c| c.to_ascii_uppercase());
    let found = SIZES.iter().find(|(letter, scale)| match wanted {
        Some(wanted) => *letter == wanted,
        None => size >= *scale,
    });
    match found {
        Some((letter, scale)) => {
            format!("{:.2} {letter}{}", size / scale, if bits { "b" } else { "B" })
        }
        None => format!("{size:.2} {base}"),
    }
}

/// What each size is called with a whole word, without the `bit` or `byte` at its end.
const WORDS: [(char, &str); 9] = [
    ('B', ""),
    ('K', "kilo"),
    ('M', "mega"),
    ('G', "giga"),
    ('T', "tera"),
    ('P', "peta"),
    ('E', "exa"),
    ('Z', "zeta"),
    ('Y', "yotta"),
];

pub(crate) fn human_to_bytes(
    text: &str,
    default_unit: Option<&str>,
    bits: bool,
) -> Result<i64, String> {
    let shown = text;
    let text = text.trim_end();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().ok().filter(|_| !text[..end].ends_with('.'));
    let unit = text[end..].trim_start();
    let (Some(number), true) = (number, unit.chars().all(|c| c.is_ascii_alphabetic())) else {
        return Err(format!("can't interpret following string: {shown}"));
    };
    let unit = if unit.is_empty() { default_unit.unwrap_or_default() } else { unit };
    let Some(letter) = unit.chars().next().map(|c| c.to_ascii_uppercase()) else {
        return Ok(number.round_ties_even() as i64);
    };
    let scale = match SIZES.iter().find(|(name, _)| *name == letter) {
        Some((_, scale)) => *scale,
        None if letter == 'B' => 1.0,
        None => {
            return Err(format!(
                "failed to convert {shown} (unit = {unit}). The suffix must be one of Y, Z, E, P, T, G, M, K, B"
            ));
        }
    };
    let (class, word) = if bits { ('b', "bit") } else { ('B', "byte") };
    if unit.len() > 1 {
        let whole = WORDS.iter().find(|(name, _)| *name == letter).map_or("", |(_, word)| *word);
        let short = if letter == 'B' { class.to_string() } else { format!("{letter}{class}") };
        if unit.to_ascii_lowercase() != format!("{whole}{word}") && unit != short {
            let expected = if letter == 'B' {
                format!("{class} or {word}")
            } else {
                format!("{short} or {letter}")
            };
            return Err(format!(
                "failed to convert {shown}. Value is not a valid string (expect {expected})"
            ));
        }
    }
    Ok((number * scale).round_ties_even() as i64)
}
