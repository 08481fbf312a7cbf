//! Sizes of logical volumes as tasks write them, beside what lvm tells of groups and volumes.
//!
//! Never here: programs.

use crate::outcome::{Fault, fail};
use serde_json::Value;

/// A size as tasks write it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Size {
    /// `+` or `-`, if it is a difference.
    pub(super) sign: Option<char>,
    /// What goes to lvm after the sign, without a unit.
    pub(super) text: String,
    pub(super) of: Of,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Of {
    /// So many of a unit, which is a letter.
    Unit(f64, char),
    /// So many hundredths of a whole: `VG`, `PVS`, `FREE` or `ORIGIN`.
    Whole(u8, String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    Extend,
    Reduce,
}

impl Size {
    pub(super) fn parse(text: &str, snapshot: bool) -> Result<Self, Fault> {
        let unsure = || Fault::beyond(format!("the size {text} is not surely understood"));
        let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'));
        let text = &text[sign.map_or(0, char::len_utf8)..];
        if let Some((percent, whole)) = text.split_once('%') {
            let digits = !percent.is_empty() && percent.bytes().all(|c| c.is_ascii_digit());
            let percent: u32 = percent.parse().ok().filter(|_| digits).ok_or_else(unsure)?;
            let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
            let percent =
                percent.ok_or_else(|| fail!("Size percentage cannot be larger than 100%"))?;
            if whole == "ORIGIN" && !snapshot {
                return Err(fail!("Percentage of ORIGIN supported only for snapshot volumes"));
            }
            if !matches!(whole, "VG" | "PVS" | "FREE" | "ORIGIN") {
                return Err(fail!("Specify extents as a percentage of VG|PVS|FREE|ORIGIN"));
            }
            return Ok(Self {
                sign,
                text: text.to_owned(),
                of: Of::Whole(percent, whole.to_owned()),
            });
        }
        let last = text.chars().next_back().ok_or_else(unsure)?;
        let has_unit =
            matches!(last.to_ascii_lowercase(), 'b' | 's' | 'k' | 'm' | 'g' | 't' | 'p' | 'e');
        let unit = if has_unit { last } else { 'm' };
        let text = if has_unit { &text[..text.len() - 1] } else { text };
        if !text.bytes().all(|c| c.is_ascii_graphic() && c != b'_') {
            return Err(unsure());
        }
        let number =
            text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
        let number = number.ok_or_else(|| fail!("Bad size specification of '{text}'"))?;
        Ok(Self { sign, text: text.to_owned(), of: Of::Unit(number, unit) })
    }

    /// The unit in which sizes are compared.
    pub(super) fn unit(&self) -> char {
        match self.of {
            Of::Unit(_, unit) => unit,
            Of::Whole(..) => 'm',
        }
    }

    /// What lvm is told, without the sign.
    pub(super) fn told(&self) -> String {
        match self.of {
            Of::Unit(_, unit) => format!("{}{unit}", self.text),
            Of::Whole(..) => self.text.clone(),
        }
    }

    /// The option that takes it.
    pub(super) fn option(&self) -> &'static str {
        match self.of {
            Of::Unit(..) => "-L",
            Of::Whole(..) => "-l",
        }
    }

    /// Whether a volume has to become larger or smaller.
    pub(super) fn decide(
        &self,
        now: &Volume,
        group: &Group,
        shrink: bool,
        force: bool,
    ) -> Result<Option<Way>, Fault> {
        let name = &now.name;
        let to_nothing = || fail!("Sorry, no shrinking of {name} to 0 permitted.");
        match &self.of {
            Of::Unit(number, _) => {
                if *number > now.size || self.sign == Some('+') {
                    return Ok(Some(Way::Extend));
                }
                if !(shrink && *number < now.size || self.sign == Some('-')) {
                    return Ok(None);
                }
                if *number == 0.0 {
                    return Err(to_nothing());
                }
                if !force {
                    return Err(fail!("Sorry, no shrinking of {name} without force=true."));
                }
                Ok(Some(Way::Reduce))
            }
            Of::Whole(percent, whole) => {
                if group.extent <= 0.0 {
                    return Err(Fault::beyond("extents that round to nothing are not supported"));
                }
                let all = if matches!(&**whole, "VG" | "PVS") { group.size } else { group.free };
                let part = f64::from(*percent) * all / 100.0;
                let wanted = match self.sign {
                    Some('+') => now.size + part,
                    Some(_) => now.size - part,
                    None => part,
                };
                // lvm rounds down to extents.
                let wanted = wanted - wanted.rem_euclid(group.extent);
                if now.size < wanted {
                    let more = wanted - now.size;
                    if group.free > 0.0 && group.free >= more {
                        return Ok(Some(Way::Extend));
                    }
                    let (more, free) = (Value::from(more), Value::from(group.free));
                    return Err(fail!(
                        "Logical Volume {name} could not be extended. Not enough free space left ({more}m required / {free}m available)"
                    ));
                }
                if !shrink || now.size <= wanted + group.extent {
                    return Ok(None);
                }
                if wanted < 1.0 {
                    return Err(to_nothing());
                }
                if !force {
                    return Err(fail!("Sorry, no shrinking of {name} without force=true"));
                }
                Ok(Some(Way::Reduce))
            }
        }
    }
}

/// What vgs tells of a group, in one unit.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) size: f64,
    pub(super) free: f64,
    pub(super) extent: f64,
}

impl Group {
    pub(super) fn parse(said: &str) -> Option<Self> {
        let numbers: Vec<f64> = said
            .lines()
            .next()?
            .trim()
            .split(';')
            .skip(1)
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()?;
        let [size, free, extent] = numbers[..] else { return None };
        Some(Self { size, free, extent })
    }
}

/// What lvs tells of a volume.
#[derive(Debug, PartialEq)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) size: f64,
    pub(super) active: bool,
    pub(super) is_pool: bool,
    /// Whether it is in a thin pool.
    pub(super) is_thin: bool,
}

impl Volume {
    pub(super) fn parse_all(said: &str) -> Option<Vec<Self>> {
        said.lines().map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.trim().split(';');
        let name = parts.next()?.replace(['[', ']'], "");
        let size = parts.next()?.parse().ok()?;
        let mut attributes = parts.next()?.chars();
        let kind = attributes.next()?;
        let active = attributes.nth(3)? == 'a';
        Some(Self { name, size, active, is_pool: kind == 't', is_thin: kind == 'V' })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_volumes_are_read() {
        let said = "  root;512.00;-wi-ao----\n  pool;64.00;twi-a-tz--\n  thin;128.00;Vwi---tz--\n  [pool_tdata];64.00;Twi-ao----\n";
        let volumes = Volume::parse_all(said).unwrap();
        assert_eq!((volumes[0].active, volumes[2].active), (true, false));
        assert_eq!((volumes[1].is_pool, volumes[2].is_thin), (true, true));
        assert_eq!(volumes[3].name, "pool_tdata");
        let group = Group::parse("  data;1020.00;508.50;4.00\n").unwrap();
        assert_eq!(group, Group { size: 1020.0, free: 508.5, extent: 4.0 });
        // In units that are large for it an extent is told as nothing.
        assert!(Group::parse("  data;1.00;0.50;0\n").is_some());
        assert_eq!(Group::parse("  data;1020.00\n"), None);
    }

    #[test]
    fn sizes_are_read_as_tasks_write_them() {
        for (text, told, unit) in [
            ("512", "512m", 'm'),
            ("1.5G", "1.5G", 'G'),
            ("+10s", "10s", 's'),
            ("-2e", "2e", 'e'),
            ("80%VG", "80%VG", 'm'),
            ("+100%FREE", "100%FREE", 'm'),
        ] {
            let size = Size::parse(text, false).unwrap();
            assert_eq!((size.told().as_str(), size.unit()), (told, unit), "{text}");
            assert_eq!(size.sign, text.chars().next().filter(|c| "+-".contains(*c)));
        }
        for (text, message) in [
            ("m", "Bad size specification of ''"),
            (".5g", "Bad size specification of '.5'"),
            ("big", "Bad size specification of 'bi'"),
            ("101%VG", "Size percentage cannot be larger than 100%"),
            ("10%ORIGIN", "Percentage of ORIGIN supported only for snapshot volumes"),
            ("10%ALL", "Specify extents as a percentage of VG|PVS|FREE|ORIGIN"),
            ("1_0", "the size 1_0 is not surely understood"),
            ("+", "the size + is not surely understood"),
            ("x%VG", "the size x%VG is not surely understood"),
        ] {
            assert_eq!(Size::parse(text, false).unwrap_err().message, message, "{text}");
        }
        assert!(Size::parse("10%ORIGIN", true).is_ok());
    }

    #[test]
    fn a_volume_grows_at_once_and_shrinks_when_it_is_forced() {
        let group = Group { size: 1000.0, free: 495.0, extent: 4.0 };
        let now =
            Volume { name: "a".into(), size: 400.0, active: true, is_pool: false, is_thin: false };
        let decide = |text: &str, shrink: bool, force: bool| {
            let size = Size::parse(text, false).unwrap();
            size.decide(&now, &group, shrink, force).map_err(|fault| fault.message)
        };
        for (text, expected) in [
            ("400", Ok(None)),
            ("401", Ok(Some(Way::Extend))),
            ("+1", Ok(Some(Way::Extend))),
            ("300", Ok(Some(Way::Reduce))),
            ("-1", Ok(Some(Way::Reduce))),
            ("0", Err("Sorry, no shrinking of a to 0 permitted.")),
            ("40%VG", Ok(None)),
            ("100%FREE", Ok(Some(Way::Extend))),
            // An extent more than is asked for is let be.
            ("80%FREE", Ok(None)),
            ("79%FREE", Ok(Some(Way::Reduce))),
            ("-50%FREE", Ok(Some(Way::Reduce))),
            ("0%VG", Err("Sorry, no shrinking of a to 0 permitted.")),
            (
                "95%VG",
                Err(
                    "Logical Volume a could not be extended. Not enough free space left (548.0m required / 495.0m available)",
                ),
            ),
        ] {
            assert_eq!(decide(text, true, true), expected.map_err(str::to_owned), "{text}");
        }
        assert_eq!(decide("300", false, true), Ok(None));
        assert_eq!(decide("30%VG", false, true), Ok(None));
        for (text, message) in [
            ("300", "Sorry, no shrinking of a without force=true."),
            ("30%VG", "Sorry, no shrinking of a without force=true"),
        ] {
            assert_eq!(decide(text, true, false), Err(message.to_owned()));
        }
    }
}
