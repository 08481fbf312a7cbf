//! Turns a checked site into what a plan compares: every file it names becomes a digest.

use crate::settings::Settings;
use crate::{ControlError, play};
use camino::Utf8Path;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use updraft_base::{Digest, Hasher};
use updraft_plan::{
    BalancerWanted, Desired, GroupWanted, ImageWanted, NetworkWanted, ServiceWanted,
};
use updraft_site::{Group, Service, Site};

/// What a site asks for.
///
/// # Errors
/// When a play it names cannot be read or has faults.
pub(crate) fn desire(site: &Site, settings: &Settings) -> Result<Desired, ControlError> {
    let mut plays = PlayDigests { known: BTreeMap::new(), settings };
    let groups = site
        .groups
        .iter()
        .map(|group| group_wanted(site, group, &mut plays))
        .collect::<Result<Vec<_>, _>>()?;
    let services = site
        .services
        .iter()
        .map(|service| service_wanted(site, service, &mut plays))
        .collect::<Result<Vec<_>, _>>()?;
    let mut images = Vec::new();
    for image in &site.images {
        let digest = crate::layers::identity(site, image, &mut |play| plays.of(play))?;
        images.push(ImageWanted { name: image.name.clone(), digest });
    }
    let mut admins = Hasher::default();
    for admin in &site.admins {
        admins.field(admin.name.as_str());
        admin.keys.iter().for_each(|key| admins.field(key));
    }
    Ok(Desired {
        site: site.name.clone(),
        domain: site.domain.clone(),
        admins: admins.finish(),
        agent: settings.agent.as_ref().map(crate::AgentProgram::digest),
        networks: site
            .networks
            .iter()
            .map(|network| NetworkWanted { name: network.name.clone(), cidr: network.cidr })
            .collect(),
        images,
        groups,
        services,
    })
}

/// Digests of plays, each computed once.
struct PlayDigests<'a> {
    known: BTreeMap<camino::Utf8PathBuf, Digest>,
    settings: &'a Settings,
}

impl PlayDigests<'_> {
    fn of(&mut self, path: &Utf8Path) -> Result<Digest, ControlError> {
        if let Some(digest) = self.known.get(path) {
            return Ok(*digest);
        }
        let digest = play::digest(path, self.settings)?;
        self.known.insert(path.to_owned(), digest);
        Ok(digest)
    }
}

fn with_vars(play: Digest, vars: &Map<String, Value>) -> Hasher {
    let mut hasher = Hasher::default();
    hasher.field(play.to_string());
    hasher.field(serde_json::to_vec(vars).expect("plain data always serializes"));
    hasher
}

fn group_wanted(
    site: &Site,
    group: &Group,
    plays: &mut PlayDigests<'_>,
) -> Result<GroupWanted, ControlError> {
    let image = site.image(&group.image).expect("a checked site names only images it has");
    let play = match &group.play {
        Some(play) => Some(with_vars(plays.of(play)?, &group.vars).finish()),
        None => None,
    };
    Ok(GroupWanted {
        name: group.name.clone(),
        provider: group.provider.as_str().to_owned(),
        image: group.image.clone(),
        network: group.network.clone(),
        count: group.count.wanted(),
        memory: group.memory,
        cpus: group.cpus,
        disk: group.disk.unwrap_or_else(|| site.image_disk(image)),
        live: site.starts_live(group),
        play,
    })
}

fn service_wanted(
    site: &Site,
    service: &Service,
    plays: &mut PlayDigests<'_>,
) -> Result<ServiceWanted, ControlError> {
    let mut content = with_vars(plays.of(&service.deploy)?, &service.vars);
    content.field(format!("{:?}", (&service.start, &service.stop)));
    let balancer = service.balancer.as_ref().map(|balancer| {
        let test = service.test.as_ref();
        // The configuration without members stands for everything in it but the members.
        let text = crate::haproxy::render(&service.name, balancer, test, &[]);
        // What its machines can hold is told with it.
        let memory = site.group(&balancer.on).map(|group| group.memory);
        let descriptors = memory.map_or(0, crate::haproxy::descriptors);
        BalancerWanted {
            on: balancer.on.clone(),
            content: Digest::of(format!("{}{descriptors}{text}", balancer.port)),
        }
    });
    Ok(ServiceWanted {
        name: service.name.clone(),
        on: service.on.clone(),
        version: service.version.clone(),
        content: content.finish(),
        tested: service.test.is_some(),
        balancer,
    })
}
