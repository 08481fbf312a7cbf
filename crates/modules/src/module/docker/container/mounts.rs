//! What is mounted in a container: volumes as one line each, and mounts with all their options.

use super::super::beyond;
use super::super::words::{bytes, worded};
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Fault, fail};
use crate::place;
use serde_json::{Map, Value, json};
use std::path::{Component, Path, PathBuf};

/// Words that may stand behind the second colon of a volume.
const PERMISSIONS: &[&str] = &[
    "rw",
    "ro",
    "z",
    "Z",
    "consistent",
    "delegated",
    "cached",
    "rprivate",
    "private",
    "rshared",
    "shared",
    "rslave",
    "slave",
    "nocopy",
];

/// Options of mounts that only some types have.
const OF_TYPES: &[(&str, &[&str])] = &[
    ("create_mountpoint", &["bind"]),
    ("labels", &["volume"]),
    ("no_copy", &["volume"]),
    ("non_recursive", &["bind"]),
    ("propagation", &["bind"]),
    ("read_only_force_recursive", &["bind"]),
    ("read_only_non_recursive", &["bind"]),
    ("subpath", &["volume", "image"]),
    ("tmpfs_size", &["tmpfs"]),
    ("tmpfs_mode", &["tmpfs"]),
    ("tmpfs_options", &["tmpfs"]),
    ("volume_driver", &["volume"]),
    ("volume_options", &["volume"]),
];

/// What a task asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mounts {
    mounts: Option<Vec<Map<String, Value>>>,
    volumes: Option<Vec<String>>,
}

impl Mounts {
    pub(super) fn asked(args: &Args, ctx: &Context) -> Result<Self, Fault> {
        let mut places = Places::default();
        let mut asked = Self::default();
        if let Some(mounts) = args.raw("mounts").and_then(Value::as_array) {
            let mounts = mounts.iter().filter_map(Value::as_object);
            asked.mounts =
                Some(mounts.map(|mount| mount_of(mount, &mut places)).collect::<Result<_, _>>()?);
        }
        if args.raw("volumes").is_some() {
            let volumes = args.list("volumes");
            asked.volumes = Some(
                volumes
                    .iter()
                    .map(|volume| volume_of(volume, &mut places, ctx))
                    .collect::<Result<_, _>>()?,
            );
        }
        Ok(asked)
    }

    /// What they should look like on a container of `image`.
    pub(super) fn expected(&self, image: &Value, expected: &mut Map<String, Value>) {
        if let Some(mounts) = &self.mounts {
            expected.insert("mounts".into(), mounts.clone().into());
        }
        let mut volumes = image["Config"]["Volumes"].as_object().cloned().unwrap_or_default();
        let anonymous = self.volumes.iter().flatten().filter(|volume| is_anonymous(volume));
        volumes.extend(anonymous.map(|volume| (volume.clone(), json!({}))));
        if !volumes.is_empty() {
            expected.insert("volumes".into(), volumes.into());
        }
        expected.insert("volume_binds".into(), self.binds().into());
    }

    /// What is bound to places of the host or to volumes with names.
    fn binds(&self) -> Vec<String> {
        let bind = |volume: &String| {
            let parts: Vec<&str> = volume.split(':').collect();
            match parts.as_slice() {
                [_, _, _] => Some(volume.clone()),
                [_, second] if !is_permissions(second) => Some(format!("{volume}:rw")),
                _ => None,
            }
        };
        self.volumes.iter().flatten().filter_map(bind).collect()
    }

    /// Adds them to what makes a container.
    pub(super) fn create(&self, data: &mut Map<String, Value>, host: &mut Map<String, Value>) {
        if let Some(mounts) = &self.mounts {
            host.insert("Mounts".into(), mounts.iter().map(told).collect());
        }
        if let Some(volumes) = &self.volumes {
            let anonymous = volumes.iter().filter(|volume| is_anonymous(volume));
            let anonymous: Map<_, _> =
                anonymous.map(|volume| (volume.clone(), json!({}))).collect();
            data.insert("Volumes".into(), anonymous.into());
            host.insert("Binds".into(), self.binds().into());
        }
    }
}

/// What a container has of mounts, in our words.
pub(super) fn mounted(container: &Value) -> Value {
    let Some(mounts) = container["HostConfig"]["Mounts"].as_array() else { return Value::Null };
    let one = |mount: &Value| {
        let or = |value: &Value, otherwise: Value| {
            if value.is_null() { otherwise } else { value.clone() }
        };
        let (bind, volume, tmpfs) =
            (&mount["BindOptions"], &mount["VolumeOptions"], &mount["TmpfsOptions"]);
        json!({
            "type": mount["Type"],
            "source": mount["Source"],
            "target": mount["Target"],
            "read_only": or(&mount["ReadOnly"], false.into()),
            "consistency": mount["Consistency"],
            "propagation": bind["Propagation"],
            "no_copy": or(&volume["NoCopy"], false.into()),
            "labels": or(&volume["Labels"], json!({})),
            "volume_driver": volume["DriverConfig"]["Name"],
            "volume_options": or(&volume["DriverConfig"]["Options"], json!({})),
            "tmpfs_size": tmpfs["SizeBytes"],
            "tmpfs_mode": tmpfs["Mode"],
            "non_recursive": bind["NonRecursive"],
            "create_mountpoint": bind["CreateMountpoint"],
            "read_only_non_recursive": bind["ReadOnlyNonRecursive"],
            "read_only_force_recursive": bind["ReadOnlyForceRecursive"],
            "subpath": or(&volume["Subpath"], mount["ImageOptions"]["Subpath"].clone()),
            "tmpfs_options": tmpfs["Options"],
        })
    };
    mounts.iter().map(one).collect()
}

/// Where something is mounted already, and by which option.
#[derive(Debug, Default)]
struct Places(Vec<(String, &'static str)>);

impl Places {
    fn take(&mut self, place: &str, option: &'static str) -> Result<(), Fault> {
        match self.0.iter().find(|(taken, _)| taken == place) {
            Some((_, other)) if *other == option => {
                Err(fail!("The mount point \"{place}\" appears twice in the {option} option"))
            }
            Some((_, other)) => Err(fail!(
                "The mount point \"{place}\" appears both in the {option} and {other} option"
            )),
            None => {
                self.0.push((place.to_owned(), option));
                Ok(())
            }
        }
    }
}

fn mount_of(mount: &Map<String, Value>, places: &mut Places) -> Result<Map<String, Value>, Fault> {
    let (target, kind) = (text_of(&mount["target"]), text_of(&mount["type"]));
    places.take(&target, "mounts")?;
    if mount["source"].is_null() && !["tmpfs", "volume", "image", "cluster"].contains(&&*kind) {
        return Err(fail!("source must be specified for mount \"{target}\" of type \"{kind}\""));
    }
    for (option, types) in OF_TYPES {
        if !mount[*option].is_null() && !types.contains(&kind.as_str()) {
            return Err(fail!(
                "{option} cannot be specified for mount \"{target}\" of type \"{kind}\" (needs type{} \"{}\")",
                if types.len() == 1 { "" } else { "s" },
                types.join("\", \"")
            ));
        }
    }
    for option in
        ["tmpfs_options", "subpath", "read_only_non_recursive", "read_only_force_recursive"]
    {
        if !mount[option].is_null() {
            return Err(beyond(format!("`{option}` of a mount")));
        }
    }
    if !["bind", "volume", "tmpfs"].contains(&&*kind) {
        return Err(beyond(format!("a mount of type {kind}")));
    }
    let mut asked = mount.clone();
    asked.shift_remove("volume_options");
    if let (true, Some(options)) =
        (is_some(&mount["volume_driver"]), mount["volume_options"].as_object())
        && !options.is_empty()
    {
        asked.insert("volume_options".into(), worded(options).into());
    }
    if let Some(labels) = mount["labels"].as_object().filter(|labels| !labels.is_empty()) {
        asked.insert("labels".into(), worded(labels).into());
    }
    if let Some(size) = mount["tmpfs_size"].as_str() {
        asked.insert("tmpfs_size".into(), bytes(size)?.into());
    }
    if let Some(mode) = mount["tmpfs_mode"].as_str() {
        let octal = i64::from_str_radix(mode.trim(), 8);
        let octal = octal
            .map_err(|_| fail!("tmp_fs mode of mount \"{target}\" is not an octal string!"))?;
        asked.insert("tmpfs_mode".into(), octal.into());
    }
    Ok(asked.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

fn is_some(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// A volume with its place on the host written out.
fn volume_of(volume: &str, places: &mut Places, ctx: &Context) -> Result<String, Fault> {
    let parts: Vec<&str> = volume.split(':').collect();
    match parts.as_slice() {
        [host, place, mode] => {
            if !is_permissions(mode) {
                return Err(fail!("Found invalid volumes mode: {mode}"));
            }
            places.take(place, "volumes")?;
            Ok(format!("{}:{place}:{mode}", on_host(host, ctx)?))
        }
        [host, place] if !is_permissions(place) && host.starts_with(['.', '~']) => {
            places.take(place, "volumes")?;
            Ok(format!("{}:{place}:rw", on_host(host, ctx)?))
        }
        _ => {
            places.take(parts[1.min(parts.len() - 1)], "volumes")?;
            Ok(volume.to_owned())
        }
    }
}

/// A place of the host that may be given from here or from a home.
fn on_host(host: &str, ctx: &Context) -> Result<String, Fault> {
    if host.starts_with('.') {
        // Where a module runs is no place that anybody means.
        return Err(beyond("a place from here"));
    }
    if host.starts_with('~') {
        let home = place::expand_user(host, ctx);
        let home = Path::new(&home);
        if !home.is_absolute() {
            return Err(beyond(format!("the place {host}")));
        }
        return Ok(straight(home));
    }
    Ok(host.to_owned())
}

/// A path without `.` and `..` in it, by its letters alone.
fn straight(path: &Path) -> String {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out.display().to_string()
}

fn is_permissions(mode: &str) -> bool {
    mode.split(',').all(|part| PERMISSIONS.contains(&part))
}

/// Whether a volume is only a place in the container.
fn is_anonymous(volume: &str) -> bool {
    let parts: Vec<&str> = volume.split(':').collect();
    match parts.as_slice() {
        [_, _, _] => false,
        [_, second] => is_permissions(second),
        _ => true,
    }
}

/// A mount as the daemon is told of it.
fn told(mount: &Map<String, Value>) -> Value {
    let get = |name: &str| mount.get(name).cloned().unwrap_or_default();
    let mut told = Map::new();
    told.insert("Target".into(), get("target"));
    told.insert("Source".into(), get("source"));
    told.insert("Type".into(), get("type"));
    told.insert("ReadOnly".into(), get("read_only"));
    if mount.contains_key("consistency") {
        told.insert("Consistency".into(), get("consistency"));
    }
    let truthy = |name: &str| match mount.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::Object(map)) if map.is_empty() => None,
        Some(Value::Number(number)) if number.as_i64() == Some(0) => None,
        Some(value) => Some(value.clone()),
    };
    let mut options = Map::new();
    let name = match get("type").as_str() {
        Some("bind") => {
            for (ours, theirs) in [
                ("propagation", "Propagation"),
                ("non_recursive", "NonRecursive"),
                ("create_mountpoint", "CreateMountpoint"),
            ] {
                options.extend(mount.get(ours).map(|value| (theirs.to_owned(), value.clone())));
            }
            "BindOptions"
        }
        Some("volume") => {
            options.extend(truthy("no_copy").map(|value| ("NoCopy".to_owned(), value)));
            options.extend(truthy("labels").map(|value| ("Labels".to_owned(), value)));
            if let Some(driver) = truthy("volume_driver") {
                let mut config = Map::new();
                config.insert("Name".into(), driver);
                config.extend(truthy("volume_options").map(|value| ("Options".to_owned(), value)));
                options.insert("DriverConfig".into(), config.into());
            }
            "VolumeOptions"
        }
        _ => {
            options.extend(truthy("tmpfs_mode").map(|value| ("Mode".to_owned(), value)));
            options.extend(truthy("tmpfs_size").map(|value| ("SizeBytes".to_owned(), value)));
            "TmpfsOptions"
        }
    };
    if !options.is_empty() {
        told.insert(name.into(), options.into());
    }
    told.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_bound_or_anonymous() {
        let ctx = Context::system();
        let mut places = Places::default();
        for (given, written, bind) in [
            ("/a", "/a", None),
            ("/b:ro", "/b:ro", None),
            ("data:/c", "data:/c", Some("data:/c:rw")),
            ("/h:/d:ro,z", "/h:/d:ro,z", Some("/h:/d:ro,z")),
        ] {
            let volume = volume_of(given, &mut places, &ctx).unwrap();
            assert_eq!(volume, written);
            let asked = Mounts { mounts: None, volumes: Some(vec![volume]) };
            assert_eq!(asked.binds().pop().as_deref(), bind, "{given}");
        }
        for (volume, why) in [
            ("/x:/c", "The mount point \"/c\" appears twice in the volumes option"),
            ("/x:/y:w", "Found invalid volumes mode: w"),
        ] {
            assert_eq!(volume_of(volume, &mut places, &ctx).unwrap_err().message, why);
        }
        assert_eq!(straight(Path::new("/a/./b/../c")), "/a/c");
    }
}
