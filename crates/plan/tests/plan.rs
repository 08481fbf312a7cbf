//! What plans say and do, on a world that does what they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod resize;
mod world;

use updraft_base::{ByteSize, Digest};
use updraft_plan::{Act, AgentFacts, ChangeKind, Plan, Power, SavedPlan, plan_destroy, render};
use world::{World, hello, recount};

fn check_golden(name: &str, text: &str) {
    let path = format!("{}/tests/goldens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "UPDATE=1 rewrites goldens")]
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

fn keys(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.key.as_str()).collect()
}

#[test]
fn a_second_plan_is_empty_after_the_first_is_done() {
    let mut world = World::new();
    let site = hello(2);
    assert!(!world.up(&site).is_empty());
    assert_eq!(keys(&world.plan(&site)), Vec::<&str>::new());
    assert_eq!(render(&world.plan(&site)), "Nothing to do.\n");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let mut world = World::new();
    let bytes = |plan: &Plan| serde_json::to_vec(plan).unwrap();
    assert_eq!(bytes(&world.plan(&hello(5))), bytes(&world.plan(&hello(5))));
}

#[test]
fn a_plan_survives_its_json() {
    let plan = World::new().plan(&hello(2));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn a_first_plan_reads_well() {
    check_golden("first", &render(&World::new().plan(&hello(2))));
}

#[test]
fn a_plan_for_a_thousand_machines_fits_a_screen() {
    let mut world = World::new();
    world.up(&hello(1000));
    let mut site = hello(1000);
    site.groups[1].memory = ByteSize::mib(512);
    site.services[0].version = "v2".to_owned();
    recount(&mut site, "worker", 990);
    let text = render(&world.plan(&site));
    assert!(text.lines().count() <= 24, "{text}");
    check_golden("thousand", &text);
}

#[test]
fn what_is_destroyed_stands_first() {
    let mut world = World::new();
    world.up(&hello(3));
    let mut site = hello(2);
    site.groups.push(world::group("extra", 1));
    let plan = world.plan(&site);
    assert!(plan.destroys());
    assert!(plan.changes.is_sorted_by_key(|change| change.kind));
    assert_eq!(plan.changes[0].kind, ChangeKind::Destroy);
    assert_eq!(plan.changes[0].subject, "worker-3");
    check_golden("shrink", &render(&plan));
}

#[test]
fn a_machine_is_drained_before_it_is_removed_and_the_balancer_forgets_it_first() {
    let mut world = World::new();
    world.up(&hello(3));
    let plan = world.plan(&hello(2));
    let position = |part: &str| keys(&plan).iter().position(|key| key.contains(part)).unwrap();
    assert!(position("worker-3/withdraw") < position("balance"));
    let destroy = &plan.steps[position("worker-3/destroy")];
    for before in ["worker-3/withdraw", "balancer-1/balance"] {
        assert!(destroy.after.contains(&u32::try_from(position(before)).unwrap()), "{before}");
    }
}

#[test]
fn a_new_version_goes_to_one_machine_after_the_other() {
    let mut world = World::new();
    world.up(&hello(3));
    let mut site = hello(3);
    site.services[0].version = "v2".to_owned();
    let plan = world.plan(&site);
    assert_eq!(
        keys(&plan),
        [
            "service/hello/worker-1/roll",
            "service/hello/worker-2/roll",
            "service/hello/worker-3/roll"
        ]
    );
    assert_eq!(plan.steps[0].after, Vec::<u32>::new());
    assert_eq!(plan.steps[1].after, [0]);
    assert_eq!(plan.steps[2].after, [1]);
    let Act::Roll { previous, .. } = &plan.steps[0].act else { panic!() };
    assert_eq!(previous.as_deref(), Some("v1"));
    check_golden("roll", &render(&plan));
}

#[test]
fn replaced_machines_of_a_group_are_never_away_together() {
    let mut world = World::new();
    world.up(&hello(2));
    let mut site = hello(2);
    site.images[0].digest = Digest::of("trixie");
    let plan = world.plan(&site);
    let find = |part: &str| plan.steps.iter().find(|step| step.key.contains(part)).unwrap();
    let second_goes = find("worker-2/withdraw");
    let first_serves = find("service/hello/worker-1/roll");
    assert!(second_goes.after.contains(&first_serves.id));
    check_golden("replace", &render(&plan));
    world.up(&site);
    assert!(world.plan(&site).is_empty());
}

#[test]
fn an_address_stays_with_its_name_when_the_machine_is_replaced() {
    let mut world = World::new();
    world.up(&hello(2));
    let before = world.memory.machines.clone();
    let mut site = hello(2);
    site.images.push(site.images[0].clone());
    site.images[1].name = "trixie".parse().unwrap();
    site.images[1].digest = Digest::of("trixie");
    site.groups[1].image = "trixie".parse().unwrap();
    world.up(&site);
    for (name, drawn) in &world.memory.machines {
        assert_eq!(drawn.address, before[name].address);
        assert_eq!(drawn.id == before[name].id, name.as_str() == "balancer-1");
    }
}

#[test]
fn a_machine_that_died_is_started_and_looked_at() {
    let mut world = World::new();
    world.up(&hello(2));
    let worker = &mut world.observed.machines[1];
    worker.power = Power::Dead;
    worker.agent = AgentFacts::Silent;
    let plan = world.plan(&hello(2));
    assert!(!plan.destroys());
    check_golden("dead", &render(&plan));
}

#[test]
fn a_machine_that_stands_still_is_started_again() {
    let mut world = World::new();
    world.up(&hello(2));
    let worker = &mut world.observed.machines[1];
    worker.power = Power::Stuck;
    worker.agent = AgentFacts::Silent;
    let plan = world.plan(&hello(2));
    assert!(!plan.destroys());
    assert!(keys(&plan).contains(&"machine/worker-1/start"), "{:?}", keys(&plan));
    assert!(render(&plan).contains("start: it stands still"), "{}", render(&plan));
}

#[test]
fn a_service_that_is_down_is_started() {
    let mut world = World::new();
    world.up(&hello(2));
    world.observed.machines[2].health.insert("hello".parse().unwrap(), false);
    let plan = world.plan(&hello(2));
    assert_eq!(keys(&plan), ["service/hello/worker-2/revive"]);
}

#[test]
fn a_lost_state_adopts_the_machines_that_are_there() {
    let mut world = World::new();
    world.up(&hello(2));
    let before = world.memory.clone();
    world.memory = updraft_plan::Memory { site: before.site, ..Default::default() };
    let plan = world.plan(&hello(2));
    assert!(plan.is_empty(), "{}", render(&plan));
    assert_eq!(plan.memory, before);
}

#[test]
fn of_two_machines_with_one_name_the_one_that_is_remembered_stays() {
    let mut world = World::new();
    world.up(&hello(1));
    let mut double = world.observed.machines[1].clone();
    double.id = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    world.observed.machines.push(double.clone());
    let plan = world.plan(&hello(1));
    let destroyed: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.act {
            Act::DestroyMachine { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(destroyed, [double.id]);
}

#[test]
fn a_network_with_other_addresses_takes_its_machines_with_it() {
    let mut world = World::new();
    world.up(&hello(2));
    let mut site = hello(2);
    site.networks[0].cidr = "10.65.0.0/16".parse().unwrap();
    let plan = world.up(&site);
    assert!(plan.destroys());
    assert!(world.plan(&site).is_empty());
}

#[test]
fn a_full_network_is_one_clear_error() {
    let mut site = hello(20);
    site.networks[0].cidr = "10.64.0.0/28".parse().unwrap();
    let world = World::new();
    let mut chance = updraft_base::SeededChance::new(1);
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let draw = updraft_plan::Draw { now, chance: &mut chance };
    let error = updraft_plan::plan_up(&site, &world.observed, &world.memory, draw).unwrap_err();
    assert_eq!(error.to_string(), "network `lan` (10.64.0.0/28) has no free address left");
}

#[test]
fn a_saved_plan_can_tell_what_moved() {
    let mut world = World::new();
    let plan = world.up(&hello(2));
    let saved = SavedPlan::new(plan, &world.observed);
    assert_eq!(saved.moved(&world.observed), [""; 0]);
    world.observed.machines[1].power = Power::Dead;
    world.observed.machines.pop();
    let told = saved.moved(&world.observed);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("machine worker-1") && told[0].ends_with("changed"));
    assert!(told[1].starts_with("machine worker-2") && told[1].ends_with("is gone"));
}

#[test]
fn a_machine_with_the_agent_of_another_updraft_keeps_everything_else() {
    let mut world = World::new();
    let mut site = hello(2);
    site.agent = Some(Digest::of("an agent"));
    world.up(&site);
    assert!(world.plan(&site).is_empty());
    site.agent = Some(Digest::of("a newer agent"));
    let plan = world.up(&site);
    let renewed = ["balancer-1", "worker-1", "worker-2"].map(|m| format!("machine/{m}/identify"));
    assert_eq!(keys(&plan)[..3], renewed);
    assert!(plan.changes.iter().all(|change| change.because == "agent: it is of another updraft"));
    assert!(world.plan(&site).is_empty());
    // Without an agent of our own there is nothing to bring.
    site.agent = None;
    assert!(world.plan(&site).is_empty());
}

#[test]
fn single_machines_are_stopped_and_started() {
    let mut world = World::new();
    world.up(&hello(2));
    let names = ["worker-2".parse().unwrap()];
    let stop = updraft_plan::plan_stop(&hello(2), &world.observed, &world.memory, &names);
    assert_eq!(keys(&stop), ["machine/worker-2/stop"]);
    world.act(&stop, 0);
    world.observed.machines[0].power = Power::Off;
    let whole = world.plan(&hello(2));
    let start = updraft_plan::plan_start(whole, &names);
    assert_eq!(keys(&start), ["machine/worker-2/start", "machine/worker-2/identify"]);
    assert_eq!(start.steps[1].after, [0]);
    assert_eq!(start.changes.len(), 1);
}

#[test]
fn a_service_is_deployed_again_machine_by_machine() {
    let mut world = World::new();
    world.up(&hello(3));
    let names = ["worker-1".parse().unwrap(), "worker-3".parse().unwrap()];
    let verb = updraft_plan::ServiceVerb::Deploy;
    let plan = updraft_plan::plan_service(
        &hello(3),
        &world.observed,
        &world.memory,
        &"hello".parse().unwrap(),
        verb,
        &names,
    );
    assert_eq!(keys(&plan), ["service/hello/worker-1/roll", "service/hello/worker-3/roll"]);
    assert_eq!(plan.steps[1].after, [0]);
    assert!(matches!(plan.steps[0].act, Act::Roll { again: true, .. }));
}

#[test]
fn destroy_removes_machines_before_the_network_they_are_on() {
    let mut world = World::new();
    world.up(&hello(2));
    let plan = plan_destroy(&hello(2), &world.observed, &world.memory);
    (0..plan.steps.len()).for_each(|step| world.act(&plan, step));
    assert!(world.observed.machines.is_empty() && world.observed.networks.is_empty());
    assert_eq!(plan.steps.last().unwrap().after.len(), 3);
}

#[test]
fn an_address_is_never_given_twice() {
    let mut world = World::new();
    world.up(&hello(300));
    let mut site = hello(200);
    site.groups.push(world::group("extra", 150));
    world.up(&site);
    let mut addresses: Vec<_> = world.memory.machines.values().map(|drawn| drawn.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 351);
}

#[test]
fn of_ten_thousand_machines_no_two_have_one_ethernet_address() {
    let plan = World::new().plan(&hello(10_000));
    let mut macs: Vec<_> = plan.memory.machines.values().map(|drawn| drawn.mac).collect();
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), 10_001);
}

#[test]
fn a_digest_tells_plans_apart() {
    let mut world = World::new();
    assert_ne!(world.plan(&hello(1)).digest(), world.plan(&hello(2)).digest());
    assert_ne!(hello(1).digest(), Digest::of("x"));
}

mod walks {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// However the site changes and wherever a run is cut off, planning again from what is
        /// seen reaches the site as asked, and then there is nothing to do.
        #[test]
        fn any_cut_off_run_is_finished_by_the_next_plan(
            walk in proptest::collection::vec((1u32..6, 0usize..40, any::<bool>(), 0u8..3, 1u32..4), 1..6)
        ) {
            let mut world = World::new();
            let mut site = hello(1);
            let mut disk = 2;
            for (workers, cut, bigger, version, cpus) in walk {
                recount(&mut site, "worker", workers);
                site.groups[1].memory = ByteSize::mib(if bigger { 512 } else { 256 });
                site.groups[1].cpus = cpus;
                disk = disk.max(cpus);
                site.groups[1].disk = ByteSize::gib(u64::from(disk));
                site.groups[0].live = bigger;
                site.services[0].version = format!("v{version}");
                let plan = world.plan(&site);
                for step in &plan.steps {
                    prop_assert!(step.after.iter().all(|before| *before < step.id));
                }
                world.begin(&plan);
                (0..plan.steps.len().min(cut)).for_each(|step| world.act(&plan, step));
            }
            world.up(&site);
            let last = world.plan(&site);
            prop_assert!(last.is_empty(), "{}", render(&last));
            let wanted: u32 = site.groups.iter().map(|group| group.count).sum();
            prop_assert_eq!(world.observed.machines.len(), usize::try_from(wanted).unwrap());
        }
    }
}

#[test]
fn machines_that_start_live_wait_for_one_template_of_their_shape() {
    let mut world = World::new();
    let mut site = hello(2);
    site.groups.iter_mut().for_each(|group| group.live = true);
    let plan = world.plan(&site);
    let at = |key: &str| plan.steps.iter().find(|step| step.key == key).unwrap();
    let templates: Vec<u32> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::EnsureTemplate { .. }))
        .map(|step| step.id)
        .collect();
    assert_eq!(templates.len(), 1, "both groups have the same image and shape");
    let built = plan.steps.iter().find(|s| matches!(s.act, Act::BuildImage { .. })).unwrap();
    assert_eq!(plan.steps[templates[0] as usize].after, [built.id]);
    for machine in ["balancer-1", "worker-1", "worker-2"] {
        assert!(at(&format!("machine/{machine}/create")).after.contains(&templates[0]));
    }
    world.up(&site);
    assert!(world.plan(&site).is_empty());

    // Whether a machine started live is its past: it stays what it is.
    site.groups.iter_mut().for_each(|group| group.live = false);
    assert!(world.plan(&site).is_empty());
}

#[test]
fn a_template_goes_when_nothing_rests_on_it_and_nothing_starts_from_it() {
    let mut world = World::new();
    let mut site = hello(1);
    site.groups[1].live = true;
    world.up(&site);
    assert_eq!(world.observed.templates.len(), 1);
    world.observed.templates[0].used = false;
    assert!(world.plan(&site).is_empty(), "the next machine will start from it");
    site.groups[1].live = false;
    let plan = world.plan(&site);
    assert!(keys(&plan)[0].ends_with("/drop") && !plan.destroys(), "{:?}", keys(&plan));

    // Another site's, which nothing can start from any more, is of use to nobody.
    site.groups[1].live = true;
    world.observed.templates[0].image = Digest::of("another site's image");
    assert!(world.plan(&site).steps.iter().all(|s| !matches!(s.act, Act::DropTemplate { .. })));
    world.observed.templates[0].current = false;
    let plan = world.plan(&site);
    assert!(plan.steps.iter().any(|step| matches!(step.act, Act::DropTemplate { .. })));
    world.observed.templates[0].used = true;
    assert!(world.plan(&site).steps.iter().all(|s| !matches!(s.act, Act::DropTemplate { .. })));
}
