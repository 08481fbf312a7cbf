//! Playbooks and inventories made by chance, in which a few variables are set in a few of all the
//! places that Ansible knows, and what each task must then see.
//!
//! The places and their order are those of Ansible's documentation, "Understanding variable
//! precedence"; `model` says who wins, without a line of the engine. Never here: running anything.

mod files;
mod model;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Groups, hosts and variables of one playbook. The playbook itself is always the same.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    groups: Vec<Group>,
    /// The groups that each host is listed in.
    hosts: Vec<BTreeSet<usize>>,
    /// Where each variable is set.
    variables: Vec<Vec<Place>>,
    /// Facts are gathered, and the first variable is called like one of them.
    gathers: bool,
    /// The role that is included shows its variables to the play.
    public: bool,
}

#[derive(Clone, Debug)]
struct Group {
    /// Groups that it is a child of: some of those before it.
    parents: BTreeSet<usize>,
    priority: Option<u8>,
}

/// Whom a line of the inventory is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    All,
    Group(usize),
    Host(usize),
}

/// The roles of the playbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Listed by the play.
    Lone,
    /// Listed by the play, after that one; depends on the next.
    User,
    Needed,
    /// Pulled in by `import_role`.
    Brought,
    /// Pulled in by `include_role`; depends on the next.
    Guest,
    Friend,
    /// Pulled in by an `include_role` of the first.
    Nested,
}

const ROLES: [Role; 7] =
    [Role::Lone, Role::User, Role::Needed, Role::Friend, Role::Brought, Role::Guest, Role::Nested];

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Lone => "lone",
            Self::User => "user",
            Self::Needed => "needed",
            Self::Brought => "brought",
            Self::Guest => "guest",
            Self::Friend => "friend",
            Self::Nested => "nested",
        }
    }
}

/// Where a variable is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Defaults(Role),
    /// In the inventory.
    Listed(Whom),
    /// In `group_vars` or `host_vars` beside the inventory.
    BesideInventory(Whom),
    /// The same beside the playbook.
    BesidePlaybook(Whom),
    Fact,
    Play,
    Prompt,
    /// One of the two `vars_files`.
    File(u8),
    RoleVars(Role),
    /// Under `vars` where the role is listed, which the first four are.
    Given(Role),
    /// Beside the name of the role where it is listed.
    Params(Role),
    OuterBlock,
    InnerBlock,
    /// Under `vars` of an `import_tasks` or `import_role`.
    ImportTasks,
    ImportRole,
    /// Under `vars` of an `include_tasks` or `include_role`.
    IncludeTasks,
    IncludeRole,
    /// The same where a role includes one.
    IncludeNested,
    Task,
    /// A task of the play, at this moment; on all hosts, or on one of them.
    IncludeVars(u8, Option<usize>),
    SetFact(u8, Option<usize>),
    Register(u8),
    Extra,
}

/// A task that shows what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// Before the roles.
    Start,
    In(Role),
    /// In a block of a block.
    Middle,
    Included,
    Imported,
    /// After all that was included.
    After,
    /// What `hostvars` has of the first host then.
    Elsewhere,
    /// A play that says nothing itself.
    Next,
}

const WATCHES: [Watch; 14] = [
    Watch::Start,
    Watch::In(Role::Lone),
    Watch::In(Role::Nested),
    Watch::In(Role::Needed),
    Watch::In(Role::User),
    Watch::Middle,
    Watch::Included,
    Watch::Imported,
    Watch::In(Role::Friend),
    Watch::In(Role::Guest),
    Watch::In(Role::Brought),
    Watch::After,
    Watch::Elsewhere,
    Watch::Next,
];

impl Watch {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::In(role) => role.name(),
            Self::Middle => "middle",
            Self::Included => "included",
            Self::Imported => "imported",
            Self::After => "after",
            Self::Elsewhere => "elsewhere",
            Self::Next => "next",
        }
    }
}

/// A tree under names of its own, so that several can be in one run.
pub(crate) struct Named<'t> {
    pub(crate) tree: &'t Tree,
    /// What the names of groups, hosts and variables begin with.
    pub(crate) prefix: &'t str,
    /// A fact whose name the first variable has if facts are gathered.
    pub(crate) fact: &'t str,
}

impl Named<'_> {
    /// What was seen, as the tasks told it on a screen: each line in the words of [`Named::expected`].
    pub(crate) fn seen(&self, screen: &str) -> BTreeSet<String> {
        let marks = self.marks();
        let told = screen.lines().filter_map(|line| line.trim().strip_prefix("\"msg\": \"seen "));
        told.filter(|line| line.split(' ').nth(1).is_some_and(|host| host.starts_with(self.prefix)))
            .map(|line| {
                let words = line.trim_end_matches(['"', ',']).split(' ').enumerate();
                let words = words.map(|(at, word)| match word.split_once('=') {
                    Some((name, value)) if at > 1 && !marks.contains(value) => {
                        format!("{name}={}", Place::Fact.mark())
                    }
                    _ => word.to_owned(),
                });
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// Everything that a variable can be, in this tree.
    fn marks(&self) -> BTreeSet<String> {
        let places = self.tree.variables.iter().flatten().map(|place| place.mark());
        places.chain([model::NOTHING.to_owned()]).collect()
    }

    /// One line for each watch and host: what the variables are there.
    pub(crate) fn expected(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for watch in WATCHES {
            for host in 0..self.tree.hosts.len() {
                let mut line = format!("{} {}", watch.name(), self.host(host));
                for at in 0..self.tree.variables.len() {
                    let value = self.tree.value(at, watch, host);
                    line += &format!(" {}={value}", self.variable(at));
                }
                lines.insert(line);
            }
        }
        lines
    }

    /// What differs between what is expected and what was seen, or nothing.
    pub(crate) fn differences(&self, screen: &str) -> Option<String> {
        let (expected, seen) = (self.expected(), self.seen(screen));
        if expected == seen {
            return None;
        }
        let mut told = String::new();
        for (whose, ours, other) in [("expected", &expected, &seen), ("seen", &seen, &expected)] {
            for line in ours.difference(other) {
                told += &format!("{whose:>8}: {line}\n");
            }
        }
        for (at, places) in self.tree.variables.iter().enumerate() {
            let places: Vec<String> = places.iter().map(|place| place.mark()).collect();
            told += &format!("{} is set by {}\n", self.variable(at), places.join(", "));
        }
        Some(told)
    }

    fn host(&self, at: usize) -> String {
        format!("{}h{at}", self.prefix)
    }

    fn group(&self, at: usize) -> String {
        format!("{}g{at}", self.prefix)
    }

    fn variable(&self, at: usize) -> String {
        match at {
            0 if self.tree.gathers => self.fact.to_owned(),
            _ => format!("{}v{at}", self.prefix),
        }
    }
}

/// Any tree with so many variables. It shrinks to few of them in few places.
pub(crate) fn tree(variables: RangeInclusive<usize>) -> impl Strategy<Value = Tree> {
    let some = |most| proptest::collection::btree_set(0..8usize, 0..=most);
    let group = (some(2), proptest::option::of(0..4u8))
        .prop_map(|(parents, priority)| Group { parents, priority });
    let variable = proptest::collection::vec(place(), 1..=4);
    (
        proptest::collection::vec(variable, variables),
        proptest::collection::vec(group, 0..=5),
        proptest::collection::vec(some(3), 1..=2),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(variables, groups, hosts, gathers, public)| {
            Tree { groups, hosts, variables, gathers, public }.settled()
        })
}

fn place() -> impl Strategy<Value = Place> {
    let whom = || {
        prop_oneof![
            Just(Whom::All),
            (0..8usize).prop_map(Whom::Group),
            (0..8usize).prop_map(Whom::Group),
            (0..2usize).prop_map(Whom::Host),
        ]
    };
    let role = |few: usize| (0..few).prop_map(|at| ROLES[at]);
    let on = || proptest::option::of(0..2usize);
    prop_oneof![
        3 => role(ROLES.len()).prop_map(Place::Defaults),
        3 => whom().prop_map(Place::Listed),
        3 => whom().prop_map(Place::BesideInventory),
        3 => whom().prop_map(Place::BesidePlaybook),
        3 => role(ROLES.len()).prop_map(Place::RoleVars),
        2 => role(4).prop_map(Place::Given),
        2 => role(4).prop_map(Place::Params),
        2 => (0..2u8).prop_map(Place::File),
        2 => (0..3u8, on()).prop_map(|(moment, on)| Place::IncludeVars(moment, on)),
        2 => (0..3u8, on()).prop_map(|(moment, on)| Place::SetFact(moment, on)),
        1 => (0..3u8).prop_map(Place::Register),
        8 => prop_oneof![
            Just(Place::Play),
            Just(Place::Prompt),
            Just(Place::OuterBlock),
            Just(Place::InnerBlock),
            Just(Place::ImportTasks),
            Just(Place::ImportRole),
            Just(Place::IncludeTasks),
            Just(Place::IncludeRole),
            Just(Place::IncludeNested),
            Just(Place::Task),
            Just(Place::Extra),
        ],
    ]
}

impl Tree {
    /// The same where every number means something that is there, and no place comes twice.
    fn settled(mut self) -> Self {
        for at in 0..self.groups.len() {
            let parents = std::mem::take(&mut self.groups[at].parents);
            self.groups[at].parents = match at {
                0 => BTreeSet::new(),
                _ => parents.into_iter().map(|parent| parent % at).collect(),
            };
        }
        let (groups, hosts) = (self.groups.len(), self.hosts.len());
        for host in &mut self.hosts {
            *host = match groups {
                0 => BTreeSet::new(),
                _ => host.iter().map(|group| group % groups).collect(),
            };
        }
        let whom = |whom| match whom {
            Whom::Group(_) if groups == 0 => Whom::All,
            Whom::Group(group) => Whom::Group(group % groups),
            Whom::Host(host) => Whom::Host(host % hosts),
            Whom::All => Whom::All,
        };
        for (at, places) in self.variables.iter_mut().enumerate() {
            let gathered = (at == 0 && self.gathers).then_some(Place::Fact);
            let mut kept = Vec::new();
            for place in gathered.into_iter().chain(std::mem::take(places)) {
                let place = match place {
                    Place::Listed(about) => Place::Listed(whom(about)),
                    Place::BesideInventory(about) => Place::BesideInventory(whom(about)),
                    Place::BesidePlaybook(about) => Place::BesidePlaybook(whom(about)),
                    Place::IncludeVars(moment, Some(host)) => {
                        Place::IncludeVars(moment, Some(host % hosts))
                    }
                    Place::SetFact(moment, Some(host)) => {
                        Place::SetFact(moment, Some(host % hosts))
                    }
                    other => other,
                };
                if !kept.contains(&place) {
                    kept.push(place);
                }
            }
            *places = kept;
        }
        self
    }
}
