//! Host ranges: `web[01:10:2].example.org`, `db[a:f]`.

/// No name stands for more hosts, so that a slip does not eat all memory.
const MOST: usize = 1_000_000;

/// Every name that a range stands for; the name itself if it holds none.
///
/// # Errors
/// With a sentence on what is wrong with the range.
pub(crate) fn expand(name: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = name.split_once('[') else { return Ok(vec![name.to_owned()]) };
    let Some((inside, tail)) = rest.split_once(']') else {
        return Err(format!("`{name}` begins a range with `[` that does not end"));
    };
    if !inside.contains(':') {
        return Err(format!("the range in `{name}` has no `:`"));
    }
    let parts: Vec<&str> = inside.split(':').collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1usize),
        [first, last, step] => (
            first,
            last,
            step.parse().map_err(|_| format!("the step in `{name}` is not a number"))?,
        ),
        _ => return Err(format!("the range in `{name}` has too many parts")),
    };
    if last.is_empty() {
        return Err("host range must specify end value".to_owned());
    }
    if step == 0 {
        return Err(format!("the range in `{name}` never ends"));
    }
    let first = if first.is_empty() { "0" } else { first };
    let middles: Vec<String> = if let (Ok(from), Ok(to)) =
        (first.parse::<u64>(), last.parse::<u64>())
    {
        if from > to || (to - from) / step as u64 > MOST as u64 {
            return Err(format!("the range in `{name}` goes backwards or is too long"));
        }
        let width = if first.starts_with('0') && first.len() > 1 {
            if first.len() != last.len() {
                return Err(format!("both ends of the range in `{name}` must be equally long"));
            }
            first.len()
        } else {
            0
        };
        (from..=to).step_by(step).map(|number| format!("{number:0>width$}")).collect()
    } else {
        match (first.as_bytes(), last.as_bytes()) {
            ([a], [b]) if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && a <= b => {
                (*a..=*b).step_by(step).map(|letter| char::from(letter).to_string()).collect()
            }
            _ => return Err(format!("the range in `{name}` is neither of numbers nor of letters")),
        }
    };
    let tails = expand(tail)?;
    // Ranges in one name multiply.
    if middles.len().saturating_mul(tails.len()) > MOST {
        return Err(format!("the ranges in `{name}` stand for more than {MOST} hosts"));
    }
    Ok(middles
        .iter()
        .flat_map(|middle| tails.iter().map(move |tail| format!("{head}{middle}{tail}")))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_in_numbers_and_letters() {
        assert_eq!(expand("w[01:03].x").unwrap(), ["w01.x", "w02.x", "w03.x"]);
        assert_eq!(expand("w[1:5:2]").unwrap(), ["w1", "w3", "w5"]);
        assert_eq!(expand("d[a:c]").unwrap(), ["da", "db", "dc"]);
        assert_eq!(expand("[a:b][1:2]").unwrap(), ["a1", "a2", "b1", "b2"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
        for bad in [
            "w[0:99999][0:99999]",
            "w[1:",
            "w[1]",
            "w[3:1]",
            "w[1:]",
            "w[1:9999999999]",
            "w[1:3:0]",
            "w[01:3]",
        ] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
