//! The workspace as cargo sees it, and what every crate in it must have.
//!
//! Never here: which crate may depend on which; that is [`super::edges`].

use super::Fault;
use super::tree::Tree;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// One crate of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    /// The short name used in ARCHITECTURE.md: `engine` for `updraft-engine`, `cli` for `updraft`.
    pub(super) name: String,
    /// Folder of the manifest, from the root of the checkout.
    pub(super) folder: String,
    /// Workspace crates it is built on.
    pub(super) needs: Vec<String>,
    /// Workspace crates only its tests are built on.
    pub(super) needs_for_tests: Vec<String>,
}

/// Asks cargo for the members of the workspace at `root` and their edges.
#[expect(clippy::disallowed_methods, reason = "xtask runs at build time, before there is a Host")]
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = std::process::Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&output.stdout)
}

fn parse(metadata: &[u8]) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_slice(metadata).context("cargo metadata is not JSON")?;
    let root = metadata["workspace_root"].as_str().context("cargo metadata names no root")?;
    let found = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut short = BTreeMap::new();
    for package in found {
        let name = package["name"].as_str().context("a package has no name")?;
        short.insert(name, short_name(name));
    }
    let mut packages = Vec::new();
    for package in found {
        let name = package["name"].as_str().context("a package has no name")?;
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let folder = manifest
            .strip_prefix(root)
            .and_then(|path| path.strip_suffix("/Cargo.toml"))
            .with_context(|| format!("`{manifest}` is not below `{root}`"))?;
        let mut made = Package {
            name: short[name].clone(),
            folder: folder.trim_start_matches('/').to_owned(),
            ..Package::default()
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(target) = dependency["name"].as_str().and_then(|name| short.get(name)) else {
                continue;
            };
            match dependency["kind"].as_str() {
                Some("dev") => made.needs_for_tests.push(target.clone()),
                _ => made.needs.push(target.clone()),
            }
        }
        for list in [&mut made.needs, &mut made.needs_for_tests] {
            list.sort();
            list.dedup();
        }
        packages.push(made);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn short_name(package: &str) -> String {
    match package.strip_prefix("updraft-") {
        Some(rest) => rest.to_owned(),
        None if package == "updraft" => "cli".to_owned(),
        None => package.to_owned(),
    }
}

/// Every crate follows the workspace and holds something; the lock file is there.
pub(super) fn check(tree: &Tree, packages: &[Package], faults: &mut Vec<Fault>) {
    if tree.get("Cargo.lock").is_none() {
        faults.push(Fault::new("Cargo.lock", 1, "missing: the lock file is committed"));
    }
    for package in packages {
        let path = format!("{}/Cargo.toml", package.folder);
        let Some(manifest) = tree.get(&path) else {
            faults.push(Fault::new(&path, 1, "cargo sees this manifest, git ignores it"));
            continue;
        };
        let lines: Vec<&str> = manifest.text.lines().map(str::trim).collect();
        let inherits = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
        if !inherits {
            let message =
                "add `[lints]` with `workspace = true`: every crate keeps the workspace's lints";
            faults.push(Fault::new(&path, 1, message));
        }
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            if !lines.contains(&format!("{field}.workspace = true").as_str()) {
                faults.push(Fault::new(&path, 1, format!("take `{field}` from the workspace")));
            }
        }
        if !lines.iter().any(|line| line.starts_with("description = ")) {
            faults.push(Fault::new(&path, 1, "say in `description` what the crate is"));
        }
        check_not_empty(tree, package, faults);
    }
    for file in &tree.files {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { continue };
        let member = packages.iter().any(|package| package.folder == folder);
        if folder.starts_with("crates/") && !member && !file.is_data() {
            faults.push(Fault::new(&file.path, 1, "not a member of the workspace"));
        }
    }
}

/// A crate is born when its first real code is.
fn check_not_empty(tree: &Tree, package: &Package, faults: &mut Vec<Fault>) {
    let root = ["lib.rs", "main.rs"]
        .iter()
        .find_map(|name| tree.get(&format!("{}/src/{name}", package.folder)));
    let Some(root) = root else {
        let path = format!("{}/Cargo.toml", package.folder);
        return faults.push(Fault::new(
            &path,
            1,
            "the crate has neither src/lib.rs nor src/main.rs",
        ));
    };
    let says_something = root.text.lines().map(str::trim).any(|line| {
        !line.is_empty()
            && !line.starts_with("//")
            && line != "fn main() {}"
            && !line.starts_with("#!")
    });
    if !says_something {
        faults.push(Fault::new(
            &root.path,
            1,
            "an empty room: a crate is born when its first real code is",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"updraft-base\"\ndescription = \"x\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    fn base() -> Vec<Package> {
        vec![Package { name: "base".into(), folder: "crates/base".into(), ..Package::default() }]
    }

    fn check_crates(files: &[(&str, &str)]) -> Vec<String> {
        let mut faults = Vec::new();
        check(&Tree::of(files), &base(), &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn metadata_becomes_short_names_and_two_kinds_of_edges() {
        let metadata = br#"{"workspace_root": "/w", "packages": [
            {"name": "updraft", "manifest_path": "/w/crates/cli/Cargo.toml", "dependencies": [
                {"name": "updraft-base", "kind": null},
                {"name": "serde", "kind": null},
                {"name": "updraft-base", "kind": "dev"}]},
            {"name": "updraft-base", "manifest_path": "/w/crates/base/Cargo.toml", "dependencies": []}]}"#;
        let packages = parse(metadata).unwrap();
        assert_eq!(packages[1].name, "cli");
        assert_eq!(packages[1].folder, "crates/cli");
        assert_eq!(packages[1].needs, ["base"]);
        assert_eq!(packages[1].needs_for_tests, ["base"]);
    }

    #[test]
    fn a_crate_in_order_has_no_faults() {
        let faults = check_crates(&[
            ("Cargo.lock", ""),
            ("crates/base/Cargo.toml", GOOD),
            ("crates/base/src/lib.rs", "//! Base.\nmod name;\n"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_leaves_the_house_rules_is_named() {
        let manifest =
            GOOD.replace("[lints]\nworkspace = true\n", "").replace("edition.workspace", "x");
        let faults = check_crates(&[
            ("crates/base/Cargo.toml", &manifest),
            ("crates/base/src/lib.rs", "//! Base.\n\n"),
            ("crates/lost/Cargo.toml", GOOD),
        ]);
        for part in [
            "Cargo.lock:1: missing",
            "keeps the workspace's lints",
            "`edition`",
            "empty room",
            "crates/lost/Cargo.toml:1: not a member",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part} in {faults:?}");
        }
        assert_eq!(faults.len(), 5);
    }
}
