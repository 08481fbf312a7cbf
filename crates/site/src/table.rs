//! The keys of a site file: the one place where they stand.
//!
//! The decoder takes from here which keys there are and what each may hold, the schema and the
//! reference are drawn from it. Relations between keys, such as a name that must exist, are in
//! [`crate::check`].
//! Never here: reading.

use crate::format::Format;

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Form {
    Text(Format),
    /// One of these words. The second list is known words that this version cannot do.
    Word(&'static [&'static str], &'static [&'static str]),
    Int {
        min: i64,
        max: i64,
    },
    Flag,
    /// A list with at least one item, all different.
    List(&'static Form),
    /// Things by name. The first word says what they are.
    Named(&'static str, Format, &'static Form),
    Shape(&'static Shape),
    /// A scalar of the first form, or a map of the second.
    Either(&'static Form, &'static Shape),
    /// Variables of a play: any values by name.
    Vars,
    Anything,
}

/// A map with known keys.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name in the schema and in the reference.
    pub(crate) id: &'static str,
    /// One paragraph for the reference.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Field],
    /// Exactly one of these keys stands there.
    pub(crate) one_of: &'static [&'static str],
    /// The first key makes sense only beside one of the others.
    pub(crate) only_with: &'static [(&'static str, &'static [&'static str])],
    /// Beside the first key the second must stand.
    pub(crate) needs: &'static [(&'static str, &'static str)],
}

/// A key.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) need: Need,
    pub(crate) about: &'static str,
    /// As it stands in a file, after the key.
    pub(crate) example: &'static str,
    /// Words that other tools use for it.
    pub(crate) also: &'static [&'static str],
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// Optional, and this is what stands there when it does not. In words for the reference.
    Default(&'static str),
    /// Known, but not in this version.
    NotYet,
}

use Form::{Anything, Either, Flag, Int, List, Named, Text, Vars, Word};
use Need::{Default, NotYet, Optional, Required};

pub(crate) const DEFAULT_DISK: &str = "2GiB";
pub(crate) const DEFAULT_MEMORY: &str = "512MiB";
pub(crate) const DEFAULT_CPUS: &str = "1";
pub(crate) const DEFAULT_COUNT: &str = "1";
pub(crate) const DEFAULT_WITHIN: &str = "60s";
pub(crate) const DEFAULT_EVERY: &str = "500ms";
pub(crate) const DEFAULT_DRAIN: &str = "10s";
pub(crate) const DEFAULT_STATUS: &str = "200";
/// Hosts of a /16 less the provider's own address: no network has room for more.
pub(crate) const MOST_MACHINES: i64 = 65_533;
/// QEMU 7.2 refuses more on its q35 machine.
const MOST_CPUS: i64 = 255;
const PORT: Form = Int { min: 1, max: 65_535 };

const fn field(
    name: &'static str,
    form: Form,
    need: Need,
    example: &'static str,
    about: &'static str,
    also: &'static [&'static str],
) -> Field {
    Field { name, form, need, about, example, also }
}

/// The whole file.
pub(crate) static SITE: Shape = Shape {
    id: "site",
    about: "The top of the file.",
    keys: &[
        field("site", Text(Format::Name), Required, "hello", "The name of the site.", &["name"]),
        field(
            "domain",
            Text(Format::Domain),
            Default("`<site>.test`"),
            "hello.test",
            "The DNS domain that names of machines stand in: `worker-1.hello.test`.",
            &[],
        ),
        field(
            "extends",
            Text(Format::Path),
            Optional,
            "../base.yaml",
            "Another site file that this one changes. See [Environments](#environments).",
            &["include", "inherits", "base"],
        ),
        field(
            "admins",
            Named("admin", Format::AccountName, &Form::Shape(&ADMIN)),
            Optional,
            "{ ops: { keys: [~/.ssh/id_ed25519.pub] } }",
            "People, by the name of the account that each of them gets on every machine.",
            &["users"],
        ),
        field(
            "networks",
            Named("network", Format::Name, &Form::Shape(&NETWORK)),
            Optional,
            "{ lan: { cidr: 10.77.0.0/24 } }",
            "Networks by name. Machines reach each other and, through their host, the outside. No two may overlap.",
            &["network", "subnets"],
        ),
        field(
            "images",
            Named("image", Format::Name, &Form::Shape(&IMAGE)),
            Optional,
            "{ debian: { bootstrap: bookworm } }",
            "What machines start from, by name.",
            &["image"],
        ),
        field(
            "groups",
            Named("group", Format::GroupName, &Form::Shape(&GROUP)),
            Optional,
            "{ worker: { image: debian, count: 2 } }",
            "Groups of machines of one shape, by name. Machines are called after their group: `worker-1`, `worker-2`. Playbooks know the group by the same name.",
            &["group", "machines", "hosts"],
        ),
        field(
            "services",
            Named("service", Format::Name, &Form::Shape(&SERVICE)),
            Optional,
            "{ hello: { on: worker, version: v1, deploy: plays/hello.yaml } }",
            "What is deployed on groups, by name.",
            &["service"],
        ),
        field(
            "notify",
            Anything,
            NotYet,
            "{ log: { file: notifications.log } }",
            "Who is told what happens.",
            &["notifications"],
        ),
    ],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static ADMIN: Shape = Shape {
    id: "admin",
    about: "Someone with an account on every machine.",
    keys: &[field(
        "keys",
        List(&Text(Format::Key)),
        Required,
        "[~/.ssh/id_ed25519.pub]",
        "SSH public keys that may log in: each a line such as `ssh-ed25519 AAAA… ops`, or the path of a file with such lines.",
        &["key", "ssh_keys", "authorized_keys"],
    )],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static NETWORK: Shape = Shape {
    id: "network",
    about: "A network that machines attach to.",
    keys: &[field(
        "cidr",
        Text(Format::Cidr),
        Required,
        "10.77.0.0/24",
        "Its IPv4 addresses, from /16 to /29. The first address is the host's own.",
        &["subnet", "range", "address"],
    )],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static IMAGE: Shape = Shape {
    id: "image",
    about: "What machines start from.",
    keys: &[
        field(
            "bootstrap",
            Text(Format::Suite),
            Optional,
            "bookworm",
            "Build the image from the packages of this suite of Debian or Ubuntu.",
            &["suite", "release", "debian", "ubuntu"],
        ),
        field(
            "file",
            Text(Format::Path),
            Optional,
            "images/debian-12-genericcloud-amd64.qcow2",
            "Take this disk image: qcow2 or raw, plain or packed with xz, zstd or gzip. It boots by its own boot loader and is told who it is by a NoCloud seed, so cloud-init must be in it.",
            &["path", "disk_image"],
        ),
        field(
            "url",
            Text(Format::Url),
            Optional,
            "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
            "As `file`, fetched once.",
            &["download", "iso_url"],
        ),
        field(
            "box",
            Text(Format::Place),
            Optional,
            "boxes/debian.box",
            "As `file`, out of a Vagrant box for libvirt: a file or a URL.",
            &["vagrant"],
        ),
        field(
            "from",
            Text(Format::Name),
            Optional,
            "debian",
            "Build the image on top of another one of the site.",
            &["base", "parent"],
        ),
        field(
            "digest",
            Text(Format::Sha256),
            Optional,
            "sha256:1e4a1b9d3ae4d6f1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899",
            "SHA-256 of the file as it lies there or is fetched, before it is unpacked. Nothing else is accepted.",
            &["sha256", "checksum", "hash", "iso_checksum"],
        ),
        field(
            "format",
            Word(&["qcow2", "raw"], &["vmdk", "vdi", "vhdx", "vpc", "ova"]),
            Default("what its first bytes say"),
            "qcow2",
            "Format of the disk, once unpacked.",
            &["type", "disk_format"],
        ),
        field(
            "firmware",
            Word(&["bios", "uefi"], &[]),
            Default("bios"),
            "uefi",
            "What starts its boot loader.",
            &["boot", "bios", "efi", "uefi"],
        ),
        field(
            "packages",
            List(&Text(Format::Package)),
            Optional,
            "[openssh-server, python3-minimal]",
            "Packages to install: on top of the smallest system, or of what the image is made from.",
            &["install"],
        ),
        field(
            "mirror",
            Text(Format::Mirror),
            Optional,
            "https://deb.debian.org/debian",
            "Where packages come from. The builder's own configuration decides when it is not given.",
            &["repository"],
        ),
        field(
            "disk",
            Text(Format::Size),
            Default(DEFAULT_DISK),
            "4GiB",
            "Size of the disk that machines get when their group does not say more. At least what the image needs.",
            &["size", "storage"],
        ),
        field(
            "play",
            Text(Format::Path),
            Optional,
            "plays/base.yaml",
            "A play that is applied once, inside, while the image is made. Afterwards the image is sealed: whatever would make two machines the same is taken out.",
            &["playbook", "provision", "provisioners"],
        ),
        field(
            "vars",
            Vars,
            Optional,
            "{ http_port: 8080 }",
            "Variables for the play.",
            &["variables", "env"],
        ),
        field(
            "admins",
            List(&Text(Format::AccountName)),
            Optional,
            "[ops]",
            "Admins of the site whose accounts and keys are in the image itself. On machines of the site all admins have one anyway.",
            &["users", "accounts"],
        ),
        field(
            "test",
            List(&Text(Format::Words)),
            Optional,
            "[\"systemctl is-system-running --wait\"]",
            "Commands that must succeed inside, by `/bin/sh -c`. `updraft image test` boots the image alone and runs them.",
            &["tests", "check", "verify"],
        ),
        field(
            "live",
            Flag,
            Default("false"),
            "true",
            "Boot it once, keep the booted machine with its memory as a template, and start machines from that: they skip the boot.",
            &["template", "warm"],
        ),
    ],
    one_of: &["bootstrap", "file", "url", "box", "from"],
    only_with: &[
        ("mirror", &["bootstrap"]),
        ("disk", &["bootstrap", "file", "url", "box"]),
        ("digest", &["file", "url", "box"]),
        ("format", &["file", "url"]),
        ("firmware", &["file", "url", "box"]),
        ("vars", &["play"]),
    ],
    needs: &[("file", "digest"), ("url", "digest"), ("box", "digest")],
};

static GROUP: Shape = Shape {
    id: "group",
    about: "Machines of one shape.",
    keys: &[
        field(
            "image",
            Text(Format::Name),
            Required,
            "debian",
            "The image that its machines start from.",
            &[],
        ),
        field(
            "provider",
            Word(&["qemu", "sim"], &["virtualbox", "openstack", "ec2", "metal"]),
            Default("qemu"),
            "qemu",
            "Where its machines come from: `qemu` makes guests on this machine, `sim` only pretends, for rehearsals.",
            &["driver"],
        ),
        field(
            "network",
            Text(Format::Name),
            Default("the site's network, when there is only one"),
            "lan",
            "The network that its machines attach to.",
            &["networks"],
        ),
        field(
            "count",
            Either(&Int { min: 1, max: MOST_MACHINES }, &COUNT),
            Default(DEFAULT_COUNT),
            "2",
            "How many machines there are.",
            &["replicas", "instances", "number", "machines"],
        ),
        field(
            "memory",
            Text(Format::Size),
            Default(DEFAULT_MEMORY),
            "256MiB",
            "Memory of each, at least 64MiB.",
            &["ram", "mem"],
        ),
        field(
            "cpus",
            Int { min: 1, max: MOST_CPUS },
            Default(DEFAULT_CPUS),
            "2",
            "Virtual CPUs of each.",
            &["cpu", "vcpu", "vcpus", "cores"],
        ),
        field(
            "disk",
            Text(Format::Size),
            Default("the image's"),
            "10GiB",
            "Disk of each, at least the image's. It may be made larger, never smaller.",
            &["storage", "size"],
        ),
        field(
            "start",
            Word(&["live", "cold"], &[]),
            Default("live when the image is `live`, otherwise cold"),
            "cold",
            "How its machines come to life: `cold` boots them, `live` goes on from the image's template. Only the first time; later each boots from its own disk.",
            &["boot"],
        ),
        field(
            "play",
            Text(Format::Path),
            Optional,
            "plays/worker.yaml",
            "The play that configures its machines.",
            &["playbook", "plays"],
        ),
        field(
            "vars",
            Vars,
            Optional,
            "{ http_port: 8080 }",
            "Variables of the group, for its play and for the services on it.",
            &["variables", "env"],
        ),
        field(
            "scale",
            Anything,
            NotYet,
            "{ load: { above: 0.75, add: 1 } }",
            "When the group grows and shrinks.",
            &["autoscale", "scaling"],
        ),
    ],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static COUNT: Shape = Shape {
    id: "count",
    about: "How many machines a group may have. There are `min` of them as long as nothing scales the group.",
    keys: &[
        field(
            "min",
            Int { min: 1, max: MOST_MACHINES },
            Default("1"),
            "2",
            "Never fewer.",
            &["minimum"],
        ),
        field(
            "max",
            Int { min: 1, max: MOST_MACHINES },
            Required,
            "6",
            "Never more.",
            &["maximum"],
        ),
    ],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static SERVICE: Shape = Shape {
    id: "service",
    about: "Something deployed on the machines of a group.",
    keys: &[
        field(
            "on",
            Text(Format::Name),
            Required,
            "worker",
            "The group it runs on.",
            &["group", "hosts"],
        ),
        field(
            "version",
            Text(Format::Version),
            Required,
            "v1",
            "The version that should run. The play sees it as the variable `updraft_version`, and the service's name as `updraft_service`. Changing it replaces the service machine by machine.",
            &["tag", "release"],
        ),
        field(
            "vars",
            Vars,
            Optional,
            "{ greeting: hello }",
            "Variables for the play.",
            &["variables", "env"],
        ),
        field(
            "deploy",
            Text(Format::Path),
            Required,
            "plays/hello.yaml",
            "The play that puts a version on a machine.",
            &["play", "playbook"],
        ),
        field(
            "start",
            Form::Shape(&ACTION),
            Optional,
            "{ unit: hello.service }",
            "How to start it, where deploying does not.",
            &[],
        ),
        field(
            "stop",
            Form::Shape(&ACTION),
            Optional,
            "{ unit: hello.service }",
            "How to stop it.",
            &[],
        ),
        field(
            "test",
            Form::Shape(&TEST),
            Optional,
            "{ http: \":8080/health\", expect: ok }",
            "How to know that it is healthy on a machine. A version that does not become healthy is rolled back on the first machine.",
            &["check", "health", "healthcheck", "probe"],
        ),
        field(
            "balancer",
            Form::Shape(&BALANCER),
            Optional,
            "{ on: balancer, listen: 80, port: 8080 }",
            "A balancer in front of it.",
            &["loadbalancer", "load_balancer", "lb", "proxy"],
        ),
    ],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

static ACTION: Shape = Shape {
    id: "action",
    about: "One thing that is done to a service on a machine.",
    keys: &[
        field(
            "unit",
            Text(Format::Unit),
            Optional,
            "hello.service",
            "Start or stop this systemd unit.",
            &["service", "systemd"],
        ),
        field(
            "command",
            Text(Format::Words),
            Optional,
            "/opt/hello/ctl start",
            "Run this on the machine with `/bin/sh -c`.",
            &["cmd", "shell", "run", "exec"],
        ),
    ],
    one_of: &["unit", "command"],
    only_with: &[],
    needs: &[],
};

static TEST: Shape = Shape {
    id: "test",
    about: "How to know that a service is healthy on a machine.",
    keys: &[
        field(
            "http",
            Text(Format::HttpTarget),
            Optional,
            "\":8080/health\"",
            "Ask this port of the machine for this path. Without a path, for `/`.",
            &["url", "get"],
        ),
        field("tcp", PORT, Optional, "8080", "Connect to this port of the machine.", &["port"]),
        field(
            "command",
            Text(Format::Words),
            Optional,
            "/opt/hello/ctl check",
            "Run this on the machine with `/bin/sh -c`; 0 is healthy.",
            &["cmd", "shell", "exec"],
        ),
        field(
            "expect",
            Text(Format::Words),
            Optional,
            "ok",
            "Text that the answer's body must contain.",
            &["contains", "body"],
        ),
        field(
            "status",
            Int { min: 100, max: 599 },
            Default(DEFAULT_STATUS),
            "200",
            "Status that the answer must have. Redirections are not followed.",
            &["code"],
        ),
        field(
            "within",
            Text(Format::Wait),
            Default(DEFAULT_WITHIN),
            "60s",
            "How long until it must be healthy.",
            &["timeout", "deadline"],
        ),
        field(
            "every",
            Text(Format::Wait),
            Default(DEFAULT_EVERY),
            "500ms",
            "How long between two tries. At most `within`.",
            &["interval", "period"],
        ),
    ],
    one_of: &["http", "tcp", "command"],
    only_with: &[("expect", &["http"]), ("status", &["http"])],
    needs: &[],
};

static BALANCER: Shape = Shape {
    id: "balancer",
    about: "A balancer in front of a service: an HAProxy on each machine of a group, which spreads over the machines where the service is healthy. Before one of them is touched, it is drained.",
    keys: &[
        field(
            "on",
            Text(Format::Name),
            Required,
            "balancer",
            "The group it runs on.",
            &["group", "hosts"],
        ),
        field(
            "listen",
            PORT,
            Required,
            "80",
            "The port it listens on. No two balancers of a group share one.",
            &["frontend"],
        ),
        field(
            "port",
            PORT,
            Required,
            "8080",
            "The port of the service's machines.",
            &["backend", "target"],
        ),
        field(
            "drain",
            Text(Format::Duration),
            Default(DEFAULT_DRAIN),
            "10s",
            "How long open connections have to end before a machine is touched.",
            &["grace"],
        ),
    ],
    one_of: &[],
    only_with: &[],
    needs: &[],
};

impl Shape {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.keys.iter().find(|field| field.name == name)
    }
}

impl Form {
    /// The map with known keys that a value of this form may be.
    pub(crate) fn shape(&self) -> Option<&'static Shape> {
        match self {
            Form::Shape(shape) | Either(_, shape) => Some(shape),
            Named(_, _, form) => form.shape(),
            Text(_) | Word(..) | Int { .. } | Flag | List(_) | Vars | Anything => None,
        }
    }
}

/// Every map with known keys, in the order of the reference.
pub(crate) fn shapes() -> Vec<&'static Shape> {
    let mut found: Vec<&'static Shape> = vec![&SITE];
    let mut next = 0;
    while let Some(shape) = found.get(next).copied() {
        for inner in shape.keys.iter().filter_map(|field| field.form.shape()) {
            if found.iter().all(|known| known.id != inner.id) {
                found.push(inner);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests;
