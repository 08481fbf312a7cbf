//! Templates: images that were booted once and kept with their memory, shared by all sites.
//!
//! ```text
//! <root>/<name>/{ram,state,disk.qcow2,template.json}   a template, never written again
//! <root>/<name>/users/<machine id>                     one small file for each machine on it
//! <root>/tmp/<name>/                                   one that is being made
//! <root>/locks/<name>                                  held meanwhile
//! ```
//!
//! A template is named by what it was made from, by which emulator, and by the devices we give it.
//! It appears as a whole or not at all; what an interrupted maker left, its guest included, goes
//! when the same template is made or dropped.

use crate::accel::emulator_stamp;
use crate::command::{LAYOUT, Memory, SLOTS, emulator};
use crate::guest::{Guest, Record};
use crate::place::Place;
use crate::{Acceleration, fault};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use updraft_base::{Blame, ByteSize, Digest, Hasher, MachineId, Timestamp};
use updraft_host::{Cmd, FileLock, Holder, Host, HostError, OsChance};
use updraft_provider::{
    Boot, Channel, MachineOrder, Nursling, Progress, ProviderError, SiteMark, Start, Stop,
    TemplateOrder, TemplateSeen, bring_to_rest,
};

/// An emulated guest boots in 15 s; a maker on a busy machine is waited for much longer.
const OTHERS_WORK: Duration = Duration::from_secs(1800);

/// Room on the disk beside the template's memory: its own writes, and some to spare.
const DISK_TO_SPARE: ByteSize = ByteSize::mib(512);

/// What `template.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    version: u32,
    order: TemplateOrder,
    maker: Maker,
}

/// What makes templates here: a state can only be taken by the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Maker {
    /// The emulator's own word on its version.
    pub(crate) emulator: String,
    /// How guests run, and on which processor.
    pub(crate) how: String,
}

/// Where one template is, or will be.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) name: Digest,
    dir: PathBuf,
}

/// A machine on a template.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    /// Its directory: without its order in it, this file is a leftover.
    dir: PathBuf,
    /// What people call it.
    note: String,
}

impl Template {
    /// The one of this name.
    pub(crate) fn at(root: &Path, name: Digest) -> Self {
        Self { name, dir: root.join(name.to_string()) }
    }

    pub(crate) fn ram(&self) -> PathBuf {
        self.dir.join("ram")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    fn facts_path(&self) -> PathBuf {
        self.dir.join("template.json")
    }

    fn users_dir(&self) -> PathBuf {
        self.dir.join("users")
    }

    fn error(&self) -> String {
        format!("cannot use template {}", self.name.short())
    }

    pub(crate) fn missing(&self) -> ProviderError {
        let message = format!("template {} is not there", self.name.short());
        ProviderError::new(Blame::World, message).hinting("`updraft up` makes it again")
    }

    async fn facts(&self, host: &dyn Host) -> Result<Option<Facts>, ProviderError> {
        let path = self.facts_path();
        let Some(text) = host.read(&path).await.map_err(fault(self.error()))? else {
            return Ok(None);
        };
        let facts = serde_json::from_slice(&text).map_err(|source| {
            ProviderError::new(Blame::World, format!("`{}` cannot be understood", path.display()))
                .because(source)
        })?;
        Ok(Some(facts))
    }

    /// Writes down that a machine's disk will rest on it.
    pub(crate) async fn join(
        &self,
        host: &dyn Host,
        id: MachineId,
        dir: &Path,
        note: &str,
    ) -> Result<(), ProviderError> {
        let user = User { dir: dir.to_owned(), note: note.to_owned() };
        let text = serde_json::to_vec(&user).expect("a user is JSON");
        // The directory came with the template: without it the template is gone.
        let written = host.write_atomic(&self.users_dir().join(id.to_string()), &text, 0o600).await;
        let there = self.facts(host).await?.is_some();
        if !there {
            return Err(self.missing());
        }
        written.map_err(fault(self.error()))
    }

    /// Takes that back.
    pub(crate) async fn leave(&self, host: &dyn Host, id: MachineId) -> Result<(), ProviderError> {
        host.remove(&self.users_dir().join(id.to_string())).await.map_err(fault(self.error()))
    }

    /// The machines on it, as people know them. A machine whose directory is gone is none.
    async fn users(&self, host: &dyn Host) -> Result<Vec<String>, ProviderError> {
        let mut users = Vec::new();
        for name in host.list(&self.users_dir()).await.map_err(fault(self.error()))? {
            let path = self.users_dir().join(&name);
            let text = host.read(&path).await.map_err(fault(self.error()))?.unwrap_or_default();
            let Ok(user) = serde_json::from_slice::<User>(&text) else { continue };
            let order =
                host.read(&user.dir.join("order.json")).await.map_err(fault(self.error()))?;
            if order.is_some() {
                users.push(user.note);
            }
        }
        users.sort();
        Ok(users)
    }
}

/// The templates of one host.
pub(crate) struct Templates<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) mark: &'a SiteMark,
    pub(crate) root: &'a Path,
    /// The runtime directory that all sites share.
    pub(crate) runtime: &'a Path,
}

impl Templates<'_> {
    /// What makes templates here now.
    pub(crate) async fn maker(&self, acceleration: &Acceleration) -> Result<Maker, ProviderError> {
        let what = || "cannot tell the version of the emulator".to_owned();
        let how = match acceleration {
            Acceleration::Emulated { .. } => "emulated".to_owned(),
            Acceleration::Kvm => {
                let text =
                    self.host.read(Path::new("/proc/cpuinfo")).await.map_err(fault(what()))?;
                let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
                let model = text.lines().find(|line| line.starts_with("model name"));
                format!("kvm on {}", model.and_then(|l| l.split(": ").nth(1)).unwrap_or("unknown"))
            }
        };
        Ok(Maker { emulator: self.emulator_version().await.map_err(fault(what()))?, how })
    }

    /// What the emulator said of its version last counts as long as its file is the same.
    async fn emulator_version(&self) -> Result<String, HostError> {
        let stamp = emulator_stamp(self.host).await?;
        let path = self.root.join("emulator.json");
        if let Some(known) = self.host.read(&path).await?
            && let Ok((known, version)) = serde_json::from_slice::<(String, String)>(&known)
            && known == stamp
        {
            return Ok(version);
        }
        let said = self.host.run(Cmd::new(emulator()).arg("--version")).await?.text();
        let version = said.lines().next().unwrap_or_default().to_owned();
        let text = serde_json::to_vec(&(stamp, &version)).expect("text is JSON");
        self.host.make_dir(self.root, 0o755).await?;
        self.host.write_atomic(&path, &text, 0o644).await?;
        Ok(version)
    }

    /// The template for an order, whether it is there or not.
    pub(crate) fn of(&self, order: &TemplateOrder, maker: &Maker) -> Template {
        let mut hasher = Hasher::default();
        let order = order.digest().to_string();
        for field in [LAYOUT, &order, &maker.emulator, &maker.how] {
            hasher.field(field);
        }
        Template::at(self.root, hasher.finish())
    }

    /// The template for an order, which must be there.
    pub(crate) async fn find(
        &self,
        order: &TemplateOrder,
        maker: &Maker,
    ) -> Result<Template, ProviderError> {
        let template = self.of(order, maker);
        match template.facts(self.host).await? {
            Some(_) => Ok(template),
            None => Err(template.missing()),
        }
    }

    /// All that are here. `maker` is asked for the one that would make each now.
    pub(crate) async fn list(
        &self,
        maker: Option<&Maker>,
    ) -> Result<Vec<TemplateSeen>, ProviderError> {
        let what = || "cannot read the templates".to_owned();
        let mut seen = Vec::new();
        for name in self.host.list(self.root).await.map_err(fault(what()))? {
            let Ok(name) = name.parse() else { continue };
            let template = Template::at(self.root, name);
            let Some(facts) = template.facts(self.host).await? else { continue };
            let size = Cmd::new("du").args(["-s", "--block-size=1", "--"]).arg(&template.dir);
            let size = self.host.run(size).await.map_err(fault(what()))?.text();
            let size = size.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            seen.push(TemplateSeen {
                name,
                // Its name says all that matters: emulator, processor, and our layout of devices.
                current: maker.is_some_and(|maker| self.of(&facts.order, maker).name == name),
                order: facts.order,
                stored: ByteSize::bytes(size),
                users: template.users(self.host).await?,
            });
        }
        Ok(seen)
    }

    fn building(&self, name: Digest) -> PathBuf {
        self.root.join("tmp").join(name.to_string())
    }

    /// Where sockets of the guest that becomes a template are: as short as other guests' are.
    fn place(&self, name: Digest) -> Place {
        let run = self.runtime.join(format!("t{}", &name.short()[..6]));
        Place { dir: self.building(name), run }
    }

    async fn lock(&self, name: Digest) -> Result<FileLock, HostError> {
        let dir = self.root.join("locks");
        self.host.make_dir(&dir, 0o755).await?;
        let holder = Holder::this_process("making a template", Timestamp::UNIX_EPOCH);
        let path = dir.join(name.to_string());
        FileLock::acquire_within(&path, &holder, OTHERS_WORK, &|_| ()).await
    }

    /// Makes a template, unless it is there. Who comes second waits for the first.
    pub(crate) async fn ensure(
        &self,
        order: &TemplateOrder,
        acceleration: &Acceleration,
        maker: &Maker,
    ) -> Result<(), ProviderError> {
        let template = self.of(order, maker);
        if template.facts(self.host).await?.is_some() {
            return Ok(());
        }
        if !matches!(order.files.boot, Boot::Kernel { .. }) {
            let message = "an image that boots through its firmware cannot be `live`";
            return Err(ProviderError::new(Blame::Asked, message)
                .hinting("leave out `live:`; its machines boot"));
        }
        let what = || format!("cannot make template {}", template.name.short());
        let lock = self.lock(template.name).await.map_err(fault(what()))?;
        if template.facts(self.host).await?.is_none() {
            self.clear(template.name).await?;
            let made = self.make(order, acceleration, maker, &template).await;
            if made.is_err() {
                // The first error is the one to tell; the next maker tidies up again.
                drop(self.clear(template.name).await);
            }
            made?;
        }
        lock.remove().map_err(fault(what()))
    }

    async fn make(
        &self,
        order: &TemplateOrder,
        acceleration: &Acceleration,
        maker: &Maker,
        template: &Template,
    ) -> Result<(), ProviderError> {
        let what = || format!("cannot make template {}", template.name.short());
        let id = MachineId::draw(Timestamp::UNIX_EPOCH, &mut OsChance);
        let machine = machine(id, order);
        let place = self.place(template.name);
        let guest =
            Guest { host: self.host, mark: self.mark, id, place: place.clone(), guard: None };
        guest.check_image(&machine).await?;
        for dir in [&place.dir, &place.run, &place.dir.join("users")] {
            self.host.make_dir(dir, 0o700).await.map_err(fault(what()))?;
        }
        self.check_room(order, &place.dir).await?;
        let record = Record::new(self.mark, &machine, None);
        let text = serde_json::to_vec_pretty(&record).expect("a record is JSON");
        self.host.write_atomic(&place.order(), &text, 0o600).await.map_err(fault(what()))?;
        let create = Cmd::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(&order.files.disk)
            .arg("--")
            .arg(place.disk())
            .arg(order.disk.as_bytes().to_string());
        self.host.run(create).await.map_err(fault(what()))?;
        guest.launch(&machine, acceleration, Memory::Kept(&place.dir.join("ram"))).await?;
        bring_to_rest(&guest, id).await?;
        let state = guest.freeze().await?;
        let written = self.host.write_atomic(&place.dir.join("state"), &state, 0o600).await;
        written.map_err(fault(what()))?;
        for name in self.host.list(&place.dir).await.map_err(fault(what()))? {
            if !["ram", "state", "disk.qcow2", "users"].contains(&name.as_str()) {
                self.host.remove(&place.dir.join(name)).await.map_err(fault(what()))?;
            }
        }
        self.host.remove(&place.run).await.map_err(fault(what()))?;
        let facts = Facts { version: 1, order: order.clone(), maker: maker.clone() };
        let text = serde_json::to_vec_pretty(&facts).expect("facts are JSON");
        let path = place.dir.join("template.json");
        self.host.write_atomic(&path, &text, 0o644).await.map_err(fault(what()))?;
        self.host.publish(&place.dir, &template.dir).await.map_err(fault(what()))
    }

    async fn check_room(&self, order: &TemplateOrder, dir: &Path) -> Result<(), ProviderError> {
        let what = || "cannot see how much room there is".to_owned();
        let free = self.host.free_space(dir).await.map_err(fault(what()))?;
        let needed = order.memory.as_bytes() + DISK_TO_SPARE.as_bytes();
        if free.as_bytes() >= needed {
            return Ok(());
        }
        let message = format!(
            "a template needs {} of room in `{}` and {free} are free",
            ByteSize::bytes(needed),
            self.root.display()
        );
        Err(ProviderError::new(Blame::World, message)
            .hinting("free some disk space and run the same command again"))
    }

    /// Removes what a maker left that did not come to its end: its guest, too.
    async fn clear(&self, name: Digest) -> Result<(), ProviderError> {
        let what = || format!("cannot tidy up after template {}", name.short());
        let place = self.place(name);
        let text = self.host.read(&place.order()).await.map_err(fault(what()))?;
        if let Some(record) = text.and_then(|text| serde_json::from_slice::<Record>(&text).ok()) {
            let id = record.order.id;
            let left = Guest {
                host: self.host,
                mark: &record.site,
                id,
                place: place.clone(),
                guard: None,
            };
            left.stop(Stop::Now).await?;
        }
        for dir in [&place.run, &place.dir] {
            self.host.remove(dir).await.map_err(fault(what()))?;
        }
        Ok(())
    }

    /// Removes a template that nobody uses, and what is left of one that was never made.
    pub(crate) async fn drop(&self, name: Digest) -> Result<(), ProviderError> {
        let what = || format!("cannot remove template {}", name.short());
        let template = Template::at(self.root, name);
        let in_use = |users: Vec<String>| {
            let message = format!("{}: {} rest on it", what(), users.join(", "));
            ProviderError::new(Blame::World, message).hinting("destroy these machines first")
        };
        let lock = self.lock(name).await.map_err(fault(what()))?;
        self.clear(name).await?;
        let users = template.users(self.host).await?;
        if !users.is_empty() {
            return Err(in_use(users));
        }
        if template.facts(self.host).await?.is_some() {
            // Out of sight first: a machine that joined at the last moment is seen in what was
            // moved, and one that comes later finds nothing to join.
            let tmp = self.root.join("tmp");
            self.host.make_dir(&tmp, 0o755).await.map_err(fault(what()))?;
            let gone = self.building(name);
            self.host.publish(&template.dir, &gone).await.map_err(fault(what()))?;
            let moved = Template { name, dir: gone.clone() };
            let users = moved.users(self.host).await?;
            if !users.is_empty() {
                self.host.publish(&gone, &template.dir).await.map_err(fault(what()))?;
                return Err(in_use(users));
            }
            self.host.remove(&gone).await.map_err(fault(what()))?;
        }
        lock.remove().map_err(fault(what()))
    }
}

/// The machine that becomes a template: nobody, without a network.
fn machine(id: MachineId, order: &TemplateOrder) -> MachineOrder {
    MachineOrder {
        id,
        name: "template".parse().expect("a name"),
        group: "template".parse().expect("a name"),
        memory: order.memory,
        cpus: order.cpus,
        disk: order.disk,
        image: order.image,
        files: order.files.clone(),
        nics: Vec::new(),
        outlet: false,
        start: Start::Cold,
    }
}

#[async_trait]
impl Nursling for Guest<'_> {
    async fn channel(&self) -> Result<Box<dyn Channel>, ProviderError> {
        match UnixStream::connect(self.place.agent_socket()).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => {
                let message = "cannot reach the agent's line of the template";
                Err(ProviderError::new(Blame::Passing, message).because(source))
            }
        }
    }

    async fn progress(&self) -> Result<Progress, ProviderError> {
        Guest::progress(self).await
    }
}

/// Whether a machine can start live at all.
pub(crate) fn check(order: &MachineOrder) -> Result<(), ProviderError> {
    if order.nics.len() > SLOTS || order.outlet {
        let message = format!(
            "machine {} cannot start live: it has more network cards than the {SLOTS} that can be \
             plugged in",
            order.name
        );
        return Err(ProviderError::new(Blame::Asked, message).hinting("say `start: cold`"));
    }
    Ok(())
}
