//! What goes wrong in a simulated world, and what a world in a file survives.

use super::*;
use updraft_base::Chance as _;
use updraft_wire::Request;

#[tokio::test]
async fn faults_do_what_they_are_named_for() {
    let one = order(Whose::Mine, 1);
    for (fault, made, blame) in [
        (Fault::Busy, 0, Blame::Passing),
        (Fault::Refused, 0, Blame::World),
        (Fault::ErrorAfterEffect, 1, Blame::World),
        (Fault::LostAnswer, 1, Blame::Passing),
    ] {
        let world = SimWorld::new(Tempo::INSTANT);
        let provider = world.provider(mark(Whose::Mine));
        world.set_faults(Faults::none().and(Op::Create, None, 1, fault));
        let error = provider.create_machine(&one).await.unwrap_err();
        assert_eq!(error.blame, blame, "{fault:?}: {error}");
        assert_eq!(world.effects(Op::Create, "mine-1"), made, "{fault:?}");
        assert_eq!(world.machines().unwrap().len(), made as usize, "{fault:?}");
        provider.create_machine(&one).await.unwrap();
        assert_eq!(world.machines().unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_crash_fault_hangs_every_call_until_the_next_life() {
    let one = order(Whose::Mine, 1);
    for (fault, made) in [(Fault::CrashBeforeEffect, 0), (Fault::CrashAfterEffect, 1)] {
        let world = SimWorld::new(Tempo::INSTANT);
        let provider = world.provider(mark(Whose::Mine));
        world.set_faults(Faults::none().and(Op::Create, None, 1, fault));
        tokio::select! {
            done = provider.create_machine(&one) => panic!("it returned {done:?}"),
            () = world.crashed() => {}
        }
        tokio::select! {
            biased;
            seen = provider.observe() => panic!("the dead see {seen:?}"),
            () = tokio::task::yield_now() => {}
        }
        world.come_alive();
        assert_eq!(provider.observe().await.unwrap().machines.len(), made);
    }
}

#[tokio::test]
async fn addresses_and_bridges_are_given_out_once() {
    let (_world, provider) = world_with(1).await;
    let mut second = order(Whose::Mine, 2);
    second.nics[0].address = order(Whose::Mine, 1).nics[0].address;
    let error = provider.create_machine(&second).await.unwrap_err();
    assert!(error.message.contains("is taken by `mine-1`"), "{error}");
    let mut overlapping = network(Whose::Mine);
    overlapping.name = "other".parse().unwrap();
    assert!(provider.ensure_network(&overlapping).await.is_err(), "its bridge exists already");
    overlapping.bridge = "up-other".to_owned();
    let error = provider.ensure_network(&overlapping).await.unwrap_err();
    assert!(error.message.contains("overlaps"), "{error}");
}

#[tokio::test]
async fn a_reboot_of_the_host_kills_machines_and_breaks_networks() {
    let (world, provider) = world_with(2).await;
    provider.stop_machine(order(Whose::Mine, 2).id, Stop::Now).await.unwrap();
    world.reboot_host().unwrap();
    let seen = provider.observe().await.unwrap();
    let mut powers: Vec<Power> = seen.machines.iter().map(|m| m.power).collect();
    powers.sort_by_key(|power| *power as u8);
    assert_eq!(powers, [Power::Off, Power::Dead]);
    assert!(!seen.networks[0].intact);
    let id = order(Whose::Mine, 1).id;
    assert!(provider.start_machine(id).await.is_err(), "it starts without its network");
    provider.ensure_network(&network(Whose::Mine)).await.unwrap();
    provider.start_machine(id).await.unwrap();
}

#[tokio::test]
async fn a_world_in_a_file_is_the_same_for_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sim.json");
    let tempo = Tempo { boot_signs: 0, ..Tempo::INSTANT };
    let [a, b] = [1, 2].map(|_| SimWorld::kept_in(&path, tempo));
    let [pa, pb] = [&a, &b].map(|world| world.provider(mark(Whose::Mine)));
    assert_eq!(pa.observe().await.unwrap(), Seen::default());
    assert!(!path.exists(), "looking made a file");
    pa.ensure_network(&network(Whose::Mine)).await.unwrap();
    for number in 1..=20 {
        let (one, other) = if number % 2 == 0 { (&pa, &pb) } else { (&pb, &pa) };
        one.create_machine(&order(Whose::Mine, number)).await.unwrap();
        other.start_machine(order(Whose::Mine, number).id).await.unwrap();
        let mark = Request::Mark { key: "n".to_owned(), value: Some(number.into()) };
        let session = one.session(order(Whose::Mine, number).id).unwrap();
        session.call(mark, SOON).await.unwrap();
    }
    let fresh = SimWorld::kept_in(&path, tempo);
    assert_eq!(fresh.machines().unwrap(), a.machines().unwrap());
    assert_eq!(fresh.machines().unwrap(), b.machines().unwrap());
    assert_eq!(fresh.machines().unwrap().len(), 20);
    assert!(fresh.machines().unwrap().iter().all(|m| m.is_up() && m.disk.marks.len() == 1));
}

#[tokio::test]
async fn a_line_that_was_cut_off_by_a_crash_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sim.json");
    let provider = SimWorld::kept_in(&path, Tempo::INSTANT).provider(mark(Whose::Mine));
    provider.create_machine(&order(Whose::Mine, 1)).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    provider.create_machine(&order(Whose::Mine, 2)).await.unwrap();
    let both = std::fs::read(&path).unwrap();
    for cut in [0, 1, whole.len() - 1, whole.len(), whole.len() + 1, both.len() - 1] {
        std::fs::write(&path, &both[..cut]).unwrap();
        let provider = SimWorld::kept_in(&path, Tempo::INSTANT).provider(mark(Whose::Mine));
        let seen = provider.observe().await.unwrap().machines.len();
        assert_eq!(seen, usize::from(cut >= whole.len()), "cut at {cut}");
        provider.create_machine(&order(Whose::Mine, 3)).await.unwrap();
        let fresh = SimWorld::kept_in(&path, Tempo::INSTANT).provider(mark(Whose::Mine));
        assert_eq!(fresh.observe().await.unwrap().machines.len(), seen + 1, "cut at {cut}");
    }
    std::fs::write(&path, "not a world\n").unwrap();
    let provider = SimWorld::kept_in(&path, Tempo::INSTANT).provider(mark(Whose::Mine));
    let error = provider.observe().await.unwrap_err();
    assert!(error.hint.is_some() && error.message.contains("is damaged"), "{error}");
}

#[tokio::test]
async fn a_file_full_of_dead_lines_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sim.json");
    let world = SimWorld::kept_in(&path, Tempo::INSTANT);
    let provider = world.provider(mark(Whose::Mine));
    let other = SimWorld::kept_in(&path, Tempo::INSTANT).provider(mark(Whose::Mine));
    provider.ensure_network(&network(Whose::Mine)).await.unwrap();
    let id = order(Whose::Mine, 1).id;
    provider.create_machine(&order(Whose::Mine, 1)).await.unwrap();
    for turn in 0..1_200 {
        let provider = if turn % 7 == 0 { &other } else { &provider };
        provider.start_machine(id).await.unwrap();
        provider.stop_machine(id, Stop::Now).await.unwrap();
    }
    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines < 1_100, "{lines} lines");
    assert_eq!(world.machines().unwrap()[0].boots, 1_200);
}

#[tokio::test]
async fn ten_thousand_machines_are_made_and_seen() {
    let (_world, provider) = world_with(0).await;
    let mut chance = SeededChance::new(9);
    let mut orders: Vec<MachineOrder> = (0..10_000).map(|n| order(Whose::Mine, n)).collect();
    for (n, order) in (0..).zip(&mut orders) {
        // Of drawn ones, two of ten thousand are likely the same.
        order.nics[0].mac = format!("52:54:00:00:{:02x}:{:02x}", n >> 8, n & 255).parse().unwrap();
    }
    for turn in 0..orders.len() {
        let other = usize::try_from(chance.below(orders.len() as u64)).unwrap();
        orders.swap(turn, other);
    }
    for order in &orders {
        provider.create_machine(order).await.unwrap();
    }
    let seen = provider.observe().await.unwrap();
    assert_eq!(seen.machines.len(), 10_000);
    assert!(seen.machines.is_sorted_by_key(|machine| machine.id));
}
