//! Python's two ways to format text: `'%s' % x` and `'{}'.format(x)`.

use super::Fault;
use crate::value::{Call, Key, Value, float_text, parse_float, parse_int};

/// What stands between `%` and its letter, or after the `:` in braces.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    comma: bool,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

/// `format % args`.
pub(crate) fn percent(format: &str, args: &Value) -> Result<String, Fault> {
    let list = match args {
        Value::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    };
    let mut next = list.iter();
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut name = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            name = Some(chars.by_ref().take_while(|c| *c != ')').collect::<String>());
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '+' => spec.plus = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => spec.alternate = true,
            }
        }
        let mut take = || -> Result<Value, Fault> {
            next.next().cloned().ok_or_else(|| Fault::new("not enough arguments for format string"))
        };
        let star = |value: Value| value.as_int().ok_or_else(|| Fault::new("* wants int"));
        if chars.next_if_eq(&'*').is_some() {
            spec.width = usize::try_from(star(take()?)?).unwrap_or(0);
        } else {
            spec.width = digits(&mut chars).unwrap_or(0);
        }
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(if chars.next_if_eq(&'*').is_some() {
                usize::try_from(star(take()?)?).unwrap_or(0)
            } else {
                digits(&mut chars).unwrap_or(0)
            });
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        let Some(kind) = chars.next() else { return Err(Fault::new("incomplete format")) };
        if kind == '%' {
            out.push('%');
            continue;
        }
        spec.kind = kind;
        let value = match name {
            Some(name) => {
                match args.as_dict().and_then(|entries| entries.get(&Key::str(&name)).cloned()) {
                    Some(value) => value,
                    None => {
                        return Err(Fault::new(format!(
                            "format requires a mapping with the key '{name}'"
                        )));
                    }
                }
            }
            None => take()?,
        };
        out.push_str(&one(&value, &spec)?);
    }
    if next.next().is_some() && args.as_dict().is_none() {
        return Err(Fault::new("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        number =
            Some(number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit).min(100_000));
    }
    number
}

fn one(value: &Value, spec: &Spec) -> Result<String, Fault> {
    let text = match spec.kind {
        's' | 'r' | 'a' => {
            let text = if spec.kind == 's' { value.to_text() } else { value.repr() };
            let text = match spec.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            };
            return Ok(pad(text, spec, '>'));
        }
        'c' => match value {
            Value::Int(code) => u32::try_from(*code)
                .ok()
                .and_then(char::from_u32)
                .map(String::from)
                .ok_or_else(|| Fault::new("%c arg not in range"))?,
            other => other.to_text(),
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b' => {
            let number = match value {
                Value::Float(number) => *number as i64,
                other => other.as_int().ok_or_else(|| {
                    Fault::new(format!(
                        "%{} format: a real number is required, not {}",
                        spec.kind,
                        other.type_name()
                    ))
                })?,
            };
            integer(number, spec)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = value.as_float().ok_or_else(|| {
                Fault::new(format!("must be real number, not {}", value.type_name()))
            })?;
            float(number, spec)
        }
        other => return Err(Fault::new(format!("unsupported format character '{other}'"))),
    };
    Ok(pad(text, spec, '>'))
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn integer(number: i64, spec: &Spec) -> String {
    let size = number.unsigned_abs();
    let (prefix, digits) = match spec.kind {
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        'o' => ("0o", format!("{size:o}")),
        'b' => ("0b", format!("{size:b}")),
        _ => ("", if spec.comma { group(&size.to_string()) } else { size.to_string() }),
    };
    let prefix = if spec.alternate { prefix } else { "" };
    let digits = match spec.precision {
        Some(least) => format!("{digits:0>least$}"),
        None => digits,
    };
    format!("{}{prefix}{digits}", sign(number < 0, spec))
}

fn group(digits: &str) -> String {
    let mut out = String::new();
    for (index, c) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn float(number: f64, spec: &Spec) -> String {
    let precision = spec.precision.unwrap_or(6);
    let size = number.abs();
    let text = match spec.kind {
        'e' | 'E' => exponent(size, precision),
        'g' | 'G' | '\0' => {
            let digits = precision.max(1);
            let power = if size == 0.0 { 0 } else { size.log10().floor() as i64 };
            if power < -4 || power >= digits as i64 {
                let text = exponent(size, digits - 1);
                let (mantissa, power) = text.split_once('e').unwrap_or((&text, "+00"));
                let mantissa = trim_zeros(mantissa);
                format!("{mantissa}e{power}")
            } else {
                let places = usize::try_from(digits as i64 - 1 - power).unwrap_or(0);
                trim_zeros(&format!("{size:.places$}")).to_owned()
            }
        }
        _ => {
            let text = format!("{size:.precision$}");
            match (spec.comma, text.split_once('.')) {
                (true, Some((whole, part))) => format!("{}.{part}", group(whole)),
                (true, None) => group(&text),
                (false, _) => text,
            }
        }
    };
    let text = if spec.kind.is_ascii_uppercase() { text.to_uppercase() } else { text };
    format!("{}{text}", sign(number.is_sign_negative() && number != 0.0, spec))
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', power),
    };
    format!("{mantissa}e{sign}{power:0>2}")
}

fn pad(text: String, spec: &Spec, default: char) -> String {
    let length = text.chars().count();
    if length >= spec.width {
        return text;
    }
    let missing = spec.width - length;
    let align = spec.align.unwrap_or(if spec.zero { '=' } else { default });
    let fill = spec.fill.unwrap_or(if spec.zero && align == '=' { '0' } else { ' ' });
    let filler = |count: usize| fill.to_string().repeat(count);
    match align {
        '<' => text + &filler(missing),
        '^' => format!("{}{text}{}", filler(missing / 2), filler(missing - missing / 2)),
        '=' => {
            let body = text.trim_start_matches(['-', '+', ' ']);
            let sign = &text[..text.len() - body.len()];
            format!("{sign}{}{body}", filler(missing))
        }
        _ => filler(missing) + &text,
    }
}

/// `format.format(*args, **named)`.
pub(crate) fn braces(format: &str, call: &Call) -> Result<String, Fault> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut auto = 0;
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => out.push('}'),
            '}' => return Err(Fault::new("Single '}' encountered in format string")),
            '{' => {
                let mut field = String::new();
                let mut level = 1;
                for c in chars.by_ref() {
                    match c {
                        '{' => level += 1,
                        '}' => level -= 1,
                        _ => {}
                    }
                    if level == 0 {
                        break;
                    }
                    field.push(c);
                }
                if level > 0 {
                    return Err(Fault::new("expected '}' before end of string"));
                }
                out.push_str(&replacement(&field, call, &mut auto)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn replacement(field: &str, call: &Call, auto: &mut usize) -> Result<String, Fault> {
    let (field, spec) = field.split_once(':').unwrap_or((field, ""));
    let spec = if spec.contains('{') { braces(spec, call)? } else { spec.to_owned() };
    let (path, conversion) = field.split_once('!').unwrap_or((field, ""));
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (head, mut rest) = path.split_at(end);
    let mut value = if head.is_empty() || head.bytes().all(|b| b.is_ascii_digit()) {
        let index = if head.is_empty() {
            *auto += 1;
            *auto - 1
        } else {
            head.parse().unwrap_or(usize::MAX)
        };
        call.args
            .get(index)
            .cloned()
            .ok_or_else(|| Fault::new("Replacement index out of range for positional args tuple"))?
    } else {
        call.named(head).cloned().ok_or_else(|| Fault::new(format!("KeyError: '{head}'")))?
    };
    while !rest.is_empty() {
        let key;
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            (key, rest) = tail.split_at(end);
        } else {
            let tail = &rest[1..];
            let end = tail.find(']').unwrap_or(tail.len());
            key = &tail[..end];
            rest = tail.get(end + 1..).unwrap_or_default();
        }
        let found = value
            .get(key)
            .cloned()
            .or_else(|| value.as_list()?.get(key.parse::<usize>().ok()?).cloned());
        value = found.ok_or_else(|| Fault::new(format!("KeyError: '{key}'")))?;
    }
    if conversion == "r" {
        value = Value::from(value.repr());
    }
    with_spec(&value, &spec)
}

/// `format(value, spec)`.
fn with_spec(value: &Value, text: &str) -> Result<String, Fault> {
    let mut spec = Spec::default();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    if chars.len() > 1 && "<>^=".contains(chars[1]) {
        spec.fill = Some(chars[0]);
        spec.align = Some(chars[1]);
        at = 2;
    } else if chars.first().is_some_and(|c| "<>^=".contains(*c)) {
        spec.align = Some(chars[0]);
        at = 1;
    }
    let mut rest = chars[at..].iter().collect::<String>();
    for (mark, flag) in [
        ('+', &mut spec.plus),
        (' ', &mut spec.space),
        ('#', &mut spec.alternate),
        ('0', &mut spec.zero),
    ] {
        if let Some(tail) = rest.strip_prefix(mark) {
            *flag = true;
            rest = tail.to_owned();
        }
    }
    let mut chars = rest.chars().peekable();
    spec.width = digits(&mut chars).unwrap_or(0);
    if chars.next_if_eq(&',').is_some() {
        spec.comma = true;
    }
    if chars.next_if_eq(&'.').is_some() {
        spec.precision = digits(&mut chars);
    }
    spec.kind = chars.next().unwrap_or('\0');
    match (value, spec.kind) {
        (Value::Int(number), '\0' | 'd' | 'x' | 'X' | 'o' | 'b' | 'n') => {
            Ok(pad(integer(*number, &spec), &spec, '>'))
        }
        (Value::Int(_) | Value::Float(_), '%') => {
            let number = value.as_float().unwrap_or(0.0) * 100.0;
            spec.kind = 'f';
            let text = float(number, &spec) + "%";
            Ok(pad(text, &spec, '>'))
        }
        (Value::Float(number), '\0') if spec.precision.is_none() => {
            Ok(pad(float_text(*number), &spec, '>'))
        }
        (Value::Int(_) | Value::Float(_), _) => {
            Ok(pad(float(value.as_float().unwrap_or(0.0), &spec), &spec, '>'))
        }
        (other, '\0' | 's') => {
            let text = other.to_text();
            let text = match spec.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            };
            Ok(pad(text, &spec, '<'))
        }
        (other, kind) => Err(Fault::new(format!(
            "Unknown format code '{kind}' for object of type '{}'",
            other.type_name()
        ))),
    }
}

/// `int(value, default, base)`, as the filter has it.
pub(crate) fn to_int(value: &Value, default: Value, base: u32) -> Value {
    match value {
        Value::Int(_) => value.clone(),
        Value::Bool(truth) => Value::Int(i64::from(*truth)),
        Value::Float(number) if number.is_finite() => Value::Int(*number as i64),
        Value::Str(text) => match parse_int(text, base) {
            Some(number) => Value::Int(number),
            None => parse_float(text)
                .filter(|number| number.is_finite())
                .map_or(default, |number| Value::Int(number as i64)),
        },
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_formats_as_python_does() {
        let args = |items: Vec<Value>| Value::tuple(items);
        let cases = [
            ("%s-%05d", args(vec![Value::str("a"), Value::Int(42)]), "a-00042"),
            (
                "%5.2f|%-5s|%5s",
                args(vec![Value::Float(2.71801), Value::str("ab"), Value::str("cd")]),
                " 2.72|ab   |   cd",
            ),
            (
                "%x %X %o %#x",
                args(vec![Value::Int(255), Value::Int(255), Value::Int(8), Value::Int(255)]),
                "ff FF 10 0xff",
            ),
            ("%d%%", Value::Int(5), "5%"),
            ("%(a)s", Value::dict_of([("a", Value::Int(1))]), "1"),
            ("%r", Value::str("x"), "'x'"),
            (
                "%+d %e %g",
                args(vec![Value::Int(5), Value::Float(12345.678), Value::Float(0.00001)]),
                "+5 1.234568e+04 1e-05",
            ),
        ];
        for (format, args, text) in cases {
            assert_eq!(percent(format, &args).unwrap(), text);
        }
        assert!(percent("%d", &Value::str("x")).is_err());
        assert!(percent("%s %s", &Value::str("x")).is_err());
    }

    #[test]
    fn braces_format_as_python_does() {
        let call = Call {
            args: vec![Value::Int(5), Value::Float(2.71801), Value::str("x")],
            named: vec![("name".into(), Value::dict_of([("k", Value::str("v"))]))],
        };
        for (format, text) in [
            ("{} {} {}", "5 2.71801 x"),
            ("{0:03d}|{1:.2f}|{2:>4}|{2:*^5}", "005|2.72|   x|**x**"),
            ("{name[k]} {{}}", "v {}"),
            ("{0:x} {0:,}", "5 5"),
            ("{2!r}", "'x'"),
        ] {
            assert_eq!(braces(format, &call).unwrap(), text);
        }
    }
}
