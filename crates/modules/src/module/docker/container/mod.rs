//! `docker_container`: a container with these options, made anew where it has others.
//!
//! What is asked for is read first, then compared with what is there, option by option, and only
//! then is anything stopped, removed or made. Never here: how single options are read
//! (`asked.rs`) and compared (`options.rs`), what the daemon is told to do (`life.rs`).

mod asked;
mod life;
mod mounts;
mod networks;
mod options;
mod ports;

use super::compare::{Rule, Shape, fits, in_order};
use super::{Differences, Docker, Version, images, json, quoted, warnings};
use crate::args::{Args, text_of};
use crate::context::Context;
use crate::outcome::{Done, Fault, Outcome, fail};
use asked::{Asked, flag};
use life::Wait;
use options::{OPTIONS, Rules};
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    if args.maybe("detach") == Some(false) && args.flag("output_logs") {
        return Err(super::beyond("`output_logs`"));
    }
    let docker = Docker::connect(args, ctx)?;
    docker.require(&too_new(args))?;
    let rules = Rules::asked(args)?;
    options::check_host_ip(args)?;
    let mut work = Work {
        args,
        ctx,
        docker,
        rules,
        actions: Vec::new(),
        changed: false,
        told: Differences::default(),
        diff: Map::new(),
        facts: Value::Null,
        warnings: Vec::new(),
        ended: None,
    };
    match work.run() {
        Ok(()) => Ok(work.outcome()),
        Err(fault) => Err(fault.with("warnings", work.warnings)),
    }
}

/// Options that old daemons do not have, and whether they are used.
fn too_new(args: &Args) -> Vec<(&'static str, Version, bool)> {
    /// Options of mounts.
    const INSIDE: &[(&str, &str, Version)] = &[
        ("non_recursive", "mounts.non_recursive", Version(1, 40)),
        ("create_mountpoint", "mounts.create_mountpoint", Version(1, 42)),
        ("read_only_non_recursive", "mounts.read_only_non_recursive", Version(1, 44)),
        ("read_only_force_recursive", "mounts.read_only_force_recursive", Version(1, 44)),
        ("subpath", "mounts.subpath", Version(1, 45)),
        ("tmpfs_options", "mounts.tmpfs_options", Version(1, 46)),
    ];
    let given = |name: &str| args.raw(name).is_some();
    let inside = |outer: &str, option: &str| {
        let mut all = args.raw(outer).and_then(Value::as_array).into_iter().flatten();
        all.any(|one| !one[option].is_null())
    };
    let mounts = |kind: &str| {
        let mut all = args.raw("mounts").and_then(Value::as_array).into_iter().flatten();
        all.any(|mount| mount["type"] == *kind)
    };
    let start = args.raw("healthcheck").is_some_and(|check| !check["start_interval"].is_null());
    let mut all = vec![
        ("cgroupns_mode", Version(1, 41), given("cgroupns_mode")),
        ("device_requests", Version(1, 40), given("device_requests")),
        ("device_cgroup_rules", Version(1, 28), given("device_cgroup_rules")),
        ("platform", Version(1, 41), given("platform")),
        ("healthcheck.start_interval", Version(1, 44), start),
        ("networks.mac_address", Version(1, 44), inside("networks", "mac_address")),
        ("mounts.type=cluster", Version(1, 42), mounts("cluster")),
        ("mounts.type=image", Version(1, 47), mounts("image")),
    ];
    let of_mounts = INSIDE.iter();
    all.extend(of_mounts.map(|(option, told, since)| (*told, *since, inside("mounts", option))));
    all
}

/// A container as the daemon tells of it; null if there is none.
#[derive(Clone, Debug, Default)]
struct Container(Value);

impl Container {
    fn exists(&self) -> bool {
        !self.0.is_null()
    }

    fn id(&self) -> &str {
        self.0["Id"].as_str().unwrap_or_default()
    }

    fn image(&self) -> &str {
        self.0["Image"].as_str().unwrap_or_default()
    }

    fn is_removing(&self) -> bool {
        self.0["State"]["Status"] == "removing"
    }

    fn is_running(&self) -> bool {
        self.0["State"]["Running"] == true && self.0["State"]["Ghost"] != true
    }

    fn is_paused(&self) -> bool {
        self.0["State"]["Paused"] == true
    }
}

/// Images that count.
struct Images {
    /// The one that is asked for.
    asked: Value,
    /// The one whose own options count as asked for.
    compared: Value,
}

/// What a task does to one container, and what it tells of that.
struct Work<'a> {
    args: &'a Args,
    ctx: &'a Context,
    docker: Docker<'a>,
    rules: Rules,
    actions: Vec<Value>,
    changed: bool,
    /// What `diff` shows as before and after.
    told: Differences,
    diff: Map<String, Value>,
    /// The container as it is in the end.
    facts: Value,
    warnings: Vec<Value>,
    /// Status with which a container ended that was waited for, and what it said if it failed.
    ended: Option<(i64, Option<String>)>,
}

impl Work<'_> {
    fn outcome(mut self) -> Outcome {
        let debug = self.args.flag("debug");
        let mut outcome = Outcome::changed(self.changed);
        if self.ctx.check || debug {
            outcome = outcome.with("actions", self.actions);
        }
        if self.ctx.diff || debug {
            self.told.before_and_after(&mut self.diff);
            outcome = outcome.with("diff", self.diff);
        }
        if !self.facts.is_null() {
            outcome = outcome.with("container", self.facts);
        }
        if let Some((status, said)) = self.ended {
            outcome = outcome.with("status", status);
            if let Some(said) = said {
                outcome = outcome.with("failed", true).with("msg", said);
            }
        }
        outcome.with("warnings", self.warnings)
    }

    fn run(&mut self) -> Result<(), Fault> {
        if self.args.text("state") == "absent" {
            return self.absent();
        }
        let asked = Asked::from(self.args, &self.docker, self.ctx)?;
        self.warnings.extend(asked.warnings.iter().cloned());
        self.present(&asked)
    }

    fn look(&self, name: &str) -> Result<Container, Fault> {
        Ok(Container(self.docker.container(name)?.unwrap_or_default()))
    }

    fn absent(&mut self) -> Result<(), Fault> {
        let container = self.look(self.args.text("name"))?;
        if !container.exists() {
            return Ok(());
        }
        if container.is_running() {
            self.told.add("running", false, true);
            self.stop(container.id())?;
        }
        self.told.add("exists", false, true);
        self.remove(container.id(), false)
    }

    fn present(&mut self, asked: &Asked) -> Result<(), Fault> {
        let mut container = self.look(self.args.text("name"))?;
        let (was_running, was_paused) = (container.is_running(), container.is_paused());
        let mut images = self.images(&container)?;
        let host = if asked.needs_host() {
            self.docker.get("/info".to_owned(), &[]).map_err(Fault::from)?
        } else {
            Value::Null
        };
        let mut created = false;
        if !container.exists() || container.is_removing() {
            let image = self.args.text("image");
            if image.is_empty() {
                return Err(fail!("Cannot create container when image is not specified!"));
            }
            self.told.add("exists", true, false);
            if container.is_removing() {
                self.wait_for_removal(container.id())?;
            }
            container = self.create(image, asked)?.unwrap_or(container);
            created = true;
        } else if let Some(image) = self.must_be_made_anew(&container, asked, &images, &host)? {
            if container.is_running() {
                self.stop(container.id())?;
            }
            self.remove(container.id(), false)?;
            self.wait_for_removal(container.id())?;
            container = self.create(&image, asked)?.unwrap_or(container);
            created = true;
            images.compared = images.asked.clone();
        }
        if container.exists() {
            container = self.update(container, asked, &images, &host)?;
            container = self.connect(container, asked, created)?;
            container = self.run_or_stop(container, was_running)?;
            container = self.pause(container, was_paused)?;
        }
        self.facts = container.0.clone();
        if self.args.text("state") == "healthy" && !self.ctx.check {
            let longest = self.args.raw("healthy_wait_timeout").and_then(Value::as_f64);
            let longest = longest.filter(|seconds| *seconds > 0.0);
            let wait = Wait { states: &["starting", "unhealthy"], done: Some("healthy"), longest };
            if let Some(found) = self.wait(container.id(), &wait)? {
                self.facts = found;
            }
        }
        Ok(())
    }

    /// The image that a container has to be made anew from, if it has to.
    fn must_be_made_anew(
        &mut self,
        container: &Container,
        asked: &Asked,
        images: &Images,
        host: &Value,
    ) -> Result<Option<String>, Fault> {
        let mut differences = self.differences(container, asked, &images.compared, host, false)?;
        let mut different = !differences.0.is_empty();
        if different {
            let more = self.differences(container, asked, &images.compared, host, true)?;
            differences.merge(more);
        }
        let mut other_image = false;
        let image = self.args.str("image");
        if self.rules.of("image") == Rule::Strict {
            let (wanted, found) = (text_of(&images.asked["Id"]), container.image());
            if !images.asked["Id"].is_null() && !found.is_empty() && wanted != found {
                self.told.add("image", wanted, found);
                other_image = true;
            }
            let name = &container.0["Config"]["Image"];
            if let ("recreate", Some(image)) = (self.args.text("image_name_mismatch"), image)
                && *name != *image
            {
                different = true;
                self.told.add("image_name", image, name.clone());
            }
        }
        if !other_image && !different && !self.args.flag("recreate") {
            return Ok(None);
        }
        self.told.merge(differences.clone());
        let all = differences.0.into_iter();
        let all: Value = all
            .map(|(name, wanted, found)| {
                let mut one = Map::new();
                one.insert(name, json!({ "parameter": wanted, "container": found }));
                Value::Object(one)
            })
            .collect();
        self.diff.insert("differences".into(), all);
        if other_image {
            self.diff.insert("image_different".into(), true.into());
        }
        match image.filter(|image| !image.is_empty()).unwrap_or(container.image()) {
            "" => Err(fail!(
                "Cannot recreate container when image is not specified or cannot be extracted from current container!"
            )),
            image => Ok(Some(image.to_owned())),
        }
    }

    /// How a container differs from what is asked for, in options that can change while it lives
    /// or in the others.
    fn differences(
        &self,
        container: &Container,
        asked: &Asked,
        image: &Value,
        host: &Value,
        lives: bool,
    ) -> Result<Differences, Fault> {
        let expected = asked.expected(image)?;
        let mut differences = Differences::default();
        for option in OPTIONS.iter().filter(|option| option.lives == lives) {
            let Some(wanted) = expected.get(option.name) else { continue };
            let rule = self.rules.of(option.name);
            let found = asked::found(option.name, option.place, &container.0);
            if fits(wanted, &found, rule, option.shape) {
                continue;
            }
            if option.name == "network_mode" && *wanted == "default" {
                // What daemons since version 26.1 make of it.
                let usual = [("bridge", "linux"), ("nat", "windows")];
                if usual.iter().any(|(mode, os)| found == *mode && host["OSType"] == *os) {
                    continue;
                }
            }
            if option.name == "labels" && rule == Rule::Strict {
                let lost = asked.labels_lost(image);
                if !lost.is_empty() {
                    let lost: Vec<_> = lost.iter().map(|label| format!("\"{label}\"")).collect();
                    return Err(fail!(
                        "Some labels should be removed but are present in the base image. You can set image_label_mismatch to 'ignore' to ignore this error. Labels: {}",
                        lost.join(", ")
                    ));
                }
            }
            let (wanted, found) = match option.shape {
                Shape::Set | Shape::Dicts => {
                    (in_order(wanted, option.shape), in_order(&found, option.shape))
                }
                _ => (wanted.clone(), found),
            };
            differences.add(option.name, wanted, found);
        }
        Ok(differences)
    }

    /// The images that count, brought here where that is asked for.
    fn images(&mut self, container: &Container) -> Result<Images, Fault> {
        let image = self.args.text("image");
        if image.is_empty() {
            return Ok(Images { asked: Value::Null, compared: self.image_of(container)? });
        }
        let asked = if images::is_id(image) {
            let found = self.docker.image_by_id(image)?;
            found.ok_or_else(|| fail!("Cannot find image with ID {image}"))?
        } else {
            self.named_image(image)?
        };
        let compared = match self.args.text("image_comparison") {
            "current-image" => self.image_of(container)?,
            _ => asked.clone(),
        };
        Ok(Images { asked, compared })
    }

    /// The image of this name, brought here if it has to be; null if it would have to be.
    fn named_image(&mut self, image: &str) -> Result<Value, Fault> {
        let (repository, tag) = images::split(image);
        let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or("latest");
        let pull = match self.args.raw("pull").map(text_of).as_deref() {
            Some("always" | "True") => "always",
            Some("never") => "never",
            _ => "missing",
        };
        let found = self.docker.image(repository, tag)?;
        if found.is_none() && pull == "never" {
            return Err(fail!("Cannot find image with name {repository}:{tag}, and pull=never"));
        }
        if found.is_some() && pull != "always" {
            return Ok(found.unwrap_or_default());
        }
        let name = format!("{repository}:{tag}");
        if !self.ctx.check {
            let (image, same) = self.docker.pull(repository, tag, None)?;
            self.changed = !same;
            self.actions.push(json!({ "pulled_image": name, "changed": !same }));
            return Ok(image.unwrap_or_default());
        }
        if found.is_none() {
            self.changed = true;
            self.actions.push(json!({ "pulled_image": name, "changed": true }));
        } else if self.args.text("pull_check_mode_behavior") == "always" {
            self.changed = true;
            self.actions.push(json!({ "pulled_image": name }));
        }
        Ok(found.unwrap_or_default())
    }

    /// The image that a container was made from, if it is still there.
    fn image_of(&self, container: &Container) -> Result<Value, Fault> {
        if !container.exists() || container.is_removing() {
            return Ok(Value::Null);
        }
        let image = container.image();
        let found = if images::is_id(image) {
            self.docker.image_by_id(image)?
        } else {
            let (repository, tag) = images::split(image);
            self.docker.image(repository, tag.unwrap_or("latest"))?
        };
        Ok(found.unwrap_or_default())
    }

    /// Changes what can be changed while a container lives.
    fn update(
        &mut self,
        container: Container,
        asked: &Asked,
        images: &Images,
        host: &Value,
    ) -> Result<Container, Fault> {
        let differences = self.differences(&container, asked, &images.compared, host, true)?;
        if differences.0.is_empty() {
            return Ok(container);
        }
        self.told.merge(differences);
        if self.ctx.check {
            return Ok(container);
        }
        let (id, data) = (container.id(), asked.update());
        if !data.is_empty() {
            self.actions.push(json!({ "updated": id, "update_parameters": data }));
            self.changed = true;
            let path = format!("/containers/{}/update", quoted(id));
            let answer = self
                .docker
                .post_json(path, &[], &data)
                .and_then(|answer| json(&answer))
                .map_err(|refusal| fail!("Error updating container {id}: {refusal}"))?;
            self.warnings.extend(warnings(&answer, "Warnings"));
        }
        self.look(id)
    }

    /// Puts a container on its networks, and takes it from others where that is asked for.
    fn connect(
        &mut self,
        container: Container,
        asked: &Asked,
        created: bool,
    ) -> Result<Container, Fault> {
        let none = Vec::new();
        let networks = asked.networks.as_ref().unwrap_or(&none);
        let rule = self.rules.of("networks");
        let mut updated = None;
        if rule != Rule::Ignore || created {
            let missing = networks::missing(networks, &container.0);
            if !missing.is_empty() {
                let all: Value = missing
                    .iter()
                    .map(|one| json!({ "parameter": one.asked, "container": one.found }))
                    .collect();
                self.differ("network_differences", all);
                for one in &missing {
                    let name = format!("network.{}", text_of(&one.asked["name"]));
                    self.told.add(name, one.asked.clone(), one.found.clone());
                }
                for one in &missing {
                    self.join(container.id(), one)?;
                }
                updated = Some(self.look(container.id())?);
            }
        }
        if rule == Rule::Strict && asked.networks.is_some() {
            let extra = networks::extra(networks, &container.0);
            if !extra.is_empty() {
                self.differ("purge_networks", extra.clone().into());
                for one in &extra {
                    let name = format!("network.{}", text_of(&one["name"]));
                    self.told.add(name, Value::Null, one.clone());
                }
                for one in &extra {
                    self.leave(container.id(), &text_of(&one["name"]), &text_of(&one["name"]))?;
                }
                updated = Some(self.look(container.id())?);
            }
        }
        Ok(updated.unwrap_or(container))
    }

    /// Adds to what `diff` lists, and counts as a change.
    fn differ(&mut self, what: &str, all: Value) {
        let mut one = Map::new();
        one.insert(what.to_owned(), all);
        let list = self.diff.entry("differences").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(one.into());
        }
        self.changed = true;
    }

    fn join(&mut self, id: &str, missing: &networks::Missing) -> Result<(), Fault> {
        let (name, network) = (text_of(&missing.asked["name"]), text_of(&missing.asked["id"]));
        if !missing.found.is_null() {
            self.leave(id, &name, &network)?;
        }
        self.actions.push(json!({ "added_to_network": name, "network_parameters": missing.asked }));
        if self.ctx.check {
            return Ok(());
        }
        let parameters = networks::parameters(&missing.asked);
        self.docker
            .join(id, &network, &parameters)
            .map_err(|refusal| fail!("Error connecting container to network {name} - {refusal}"))
    }

    fn leave(&mut self, id: &str, name: &str, network: &str) -> Result<(), Fault> {
        self.actions.push(json!({ "removed_from_network": name }));
        if self.ctx.check {
            return Ok(());
        }
        self.docker.disconnect(id, network).map_err(|refusal| {
            fail!("Error disconnecting container from network {name} - {refusal}")
        })
    }

    /// Starts, restarts or stops a container, as its state is asked for.
    fn run_or_stop(&mut self, container: Container, was: bool) -> Result<Container, Fault> {
        let id = container.id().to_owned();
        match self.args.text("state") {
            "started" | "healthy" if !container.is_running() => {
                self.told.add("running", true, was);
                self.start(&id)
            }
            "started" | "healthy" if self.args.flag("restart") => {
                self.told.add("running", true, was);
                self.told.add("restarted", true, false);
                self.restart(&id)
            }
            "stopped" if container.is_running() => {
                self.told.add("running", false, was);
                self.stop(&id)?;
                self.look(&id)
            }
            _ => Ok(container),
        }
    }

    fn pause(&mut self, container: Container, was: bool) -> Result<Container, Fault> {
        let running = matches!(self.args.text("state"), "started" | "healthy");
        let Some(paused) =
            flag("paused", self.args).filter(|paused| running && *paused != container.is_paused())
        else {
            return Ok(container);
        };
        self.told.add("paused", paused, was);
        let mut container = container;
        if !self.ctx.check {
            let (verb, doing) =
                if paused { ("pause", "pausing") } else { ("unpause", "unpausing") };
            let id = container.id();
            self.docker
                .post(format!("/containers/{}/{verb}", quoted(id)), &[])
                .map_err(|refusal| fail!("Error {doing} container {id}: {refusal}"))?;
            container = self.look(id)?;
        }
        self.changed = true;
        self.actions.push(json!({ "set_paused": paused }));
        Ok(container)
    }
}
