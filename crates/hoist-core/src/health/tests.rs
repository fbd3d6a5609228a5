//! Scenarios of containers that become ready, hang, break and heal.

use proptest::prelude::*;

use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn check(interval: Duration, start_period: Duration, retries: u32) -> Healthcheck {
    Healthcheck {
        test: vec!["CMD".to_owned(), "probe".to_owned()],
        interval,
        start_period,
        retries,
        ..Healthcheck::default()
    }
}

/// A service: ready from `ready` on, broken from `broken` on; each probe takes `takes`.
#[derive(Clone, Copy)]
struct Service {
    ready: Duration,
    broken: Duration,
    takes: Duration,
}

const NEVER: Duration = Duration::MAX;

const fn ready_at(ready: Duration) -> Service {
    Service {
        ready,
        broken: NEVER,
        takes: ms(10),
    }
}

/// Runs `state` against `service` until `end`: changes of the status and when, and all probes.
fn run(
    state: &mut HealthState,
    service: Service,
    end: Duration,
) -> (Vec<(Duration, HealthStatus)>, Vec<ProbeResult>) {
    let (mut now, mut changes, mut probes) = (Duration::ZERO, Vec::new(), Vec::new());
    loop {
        let started = state.next_probe(now).max(now);
        if started >= end {
            return (changes, probes);
        }
        let timeout = state.timeout(started);
        let works = started >= service.ready && started < service.broken && service.takes < timeout;
        let result = ProbeResult {
            started,
            ended: started + service.takes.min(timeout),
            exit_code: if works { 0 } else { 1 },
            output: String::new(),
        };
        now = result.ended;
        probes.push(result.clone());
        if let Some(status) = state.record(result) {
            changes.push((now, status));
        }
    }
}

fn first_change(check: &Healthcheck, service: Service) -> (Duration, HealthStatus) {
    let (changes, _) = run(&mut HealthState::new(check), service, s(3600));
    changes[0]
}

#[test]
fn a_ready_service_is_healthy_at_once() {
    use HealthStatus::Healthy;
    let table = [
        // Interval 30 s, ready from the start: the first probe, after 100 ms.
        (check(s(30), s(0), 3), ready_at(s(0)), (ms(110), Healthy)),
        // Ready after 1 s: about 1 s, not 30.
        (check(s(30), s(0), 3), ready_at(s(1)), (ms(1110), Healthy)),
        (check(s(10), s(60), 3), ready_at(s(1)), (ms(1110), Healthy)),
        // Ready between two regular probes: eager ones see it before the next regular one.
        (
            check(s(10), s(0), 3),
            ready_at(s(13)),
            (ms(13_010), Healthy),
        ),
        // An interval shorter than the eager gap: every probe is regular.
        (check(ms(50), s(0), 3), ready_at(s(0)), (ms(60), Healthy)),
    ];
    for (check, service, (at, status)) in table {
        let (when, what) = first_change(&check, service);
        assert_eq!(what, status);
        assert!(
            when >= at.saturating_sub(ms(100)) && when <= at + ms(120),
            "{when:?} {at:?}"
        );
    }
}

#[test]
fn a_service_that_never_works_is_unhealthy_when_docker_says_so() {
    let never = ready_at(NEVER);
    let takes = never.takes;
    let table = [
        // Docker: probes at 10 s, 20 s, 30 s, each after the end of the one before.
        (check(s(10), s(0), 3), s(30) + 3 * takes),
        (check(s(30), s(0), 1), s(30) + takes),
        (check(s(5), s(0), 10), s(50) + 10 * takes),
        // The first probe that counts is the one at the end of the start period.
        (check(s(10), s(20), 3), s(40) + 3 * takes),
        (check(s(30), s(5), 2), s(35) + 2 * takes),
        // Defaults: every 30 s, three times.
        (Healthcheck::default(), s(90) + 3 * takes),
    ];
    for (check, at) in table {
        assert_eq!(first_change(&check, never), (at, HealthStatus::Unhealthy));
    }
}

#[test]
fn probes_that_hang_neither_count_early_nor_delay_the_regular_ones() {
    let hanging = Service {
        takes: NEVER,
        ..ready_at(NEVER)
    };
    let check = Healthcheck {
        timeout: s(5),
        ..check(s(10), s(0), 2)
    };
    let mut state = HealthState::new(&check);
    let (changes, probes) = run(&mut state, hanging, s(60));
    let started: Vec<_> = probes.iter().take(6).map(|probe| probe.started).collect();
    // Eager at 0.1 s, cut off by the timeout; the next would not end before 10 s. Docker's
    // probes: 10 s to 15 s, 25 s to 30 s.
    assert_eq!(started[..2], [ms(100), s(10)]);
    assert_eq!(changes[0], (s(30), HealthStatus::Unhealthy));
    assert!(started.contains(&s(25)));
}

#[test]
fn an_eager_probe_is_cut_off_when_a_regular_one_is_due() {
    let state = HealthState::new(&check(s(10), s(0), 3));
    assert_eq!(state.timeout(s(1)), s(9));
    assert_eq!(state.timeout(s(10)), DEFAULT_TIMEOUT);
}

#[test]
fn eager_probes_keep_their_distance() {
    let distances = |start_interval, takes| {
        let check = Healthcheck {
            start_interval,
            ..check(s(30), s(0), 3)
        };
        let service = Service {
            takes,
            ..ready_at(NEVER)
        };
        let (_, probes) = run(&mut HealthState::new(&check), service, s(20));
        let distance = |pair: &[ProbeResult]| pair[1].started - pair[0].ended;
        let distances: Vec<_> = probes.windows(2).map(distance).collect();
        (probes[0].started, distances)
    };
    let (first, gaps) = distances(s(0), ms(10));
    assert_eq!(first, EAGER_GAP);
    assert!(gaps.iter().all(|gap| *gap == EAGER_GAP));
    let (_, gaps) = distances(s(0), ms(400));
    assert!(gaps.iter().all(|gap| *gap == ms(400)));
    let (_, gaps) = distances(s(0), s(3));
    assert!(gaps.iter().all(|gap| *gap == EAGER_GAP_LONGEST));
    let (first, gaps) = distances(s(2), ms(10));
    assert_eq!(first, s(2));
    assert!(gaps.iter().all(|gap| *gap == s(2)));
}

#[test]
fn a_healthy_container_is_probed_at_the_interval_and_fails_after_the_retries() {
    let mut state = HealthState::new(&check(s(10), s(0), 2));
    let service = Service {
        broken: s(25),
        ..ready_at(s(0))
    };
    let (changes, probes) = run(&mut state, service, s(60));
    let started: Vec<_> = probes
        .iter()
        .map(|probe| probe.started.as_millis())
        .collect();
    assert_eq!(started, [100, 10_110, 20_120, 30_130, 40_140, 50_150]);
    assert_eq!(
        changes,
        [
            (ms(110), HealthStatus::Healthy),
            (ms(40_150), HealthStatus::Unhealthy)
        ]
    );
    assert_eq!(state.failing_streak(), 3);
}

#[test]
fn failures_in_the_start_period_count_once_the_container_was_healthy() {
    let mut state = HealthState::new(&check(s(1), s(60), 2));
    let service = Service {
        broken: s(3),
        ..ready_at(s(0))
    };
    let (changes, _) = run(&mut state, service, s(10));
    assert_eq!(changes[1].1, HealthStatus::Unhealthy);
    assert!(changes[1].0 < s(6));
}

#[test]
fn one_success_sets_the_count_back_and_heals() {
    let mut state = HealthState::new(&check(s(10), s(0), 2));
    let mut probe = |started: u64, exit_code| {
        let change = state.record(ProbeResult {
            started: s(started),
            ended: s(started),
            exit_code,
            output: String::new(),
        });
        (change, state.failing_streak())
    };
    use HealthStatus::{Healthy, Unhealthy};
    assert_eq!(probe(5, 1), (None, 0));
    assert_eq!(probe(10, 1), (None, 1));
    assert_eq!(probe(15, 1), (None, 1));
    assert_eq!(probe(20, 0), (Some(Healthy), 0));
    assert_eq!(probe(30, 1), (None, 1));
    assert_eq!(probe(40, 0), (None, 0));
    assert_eq!(probe(50, 1), (None, 1));
    assert_eq!(probe(60, 1), (Some(Unhealthy), 2));
    assert_eq!(probe(70, 1), (None, 3));
    assert_eq!(probe(80, 0), (Some(Healthy), 0));
    assert_eq!(state.next_probe(s(80)), s(90));
}

#[test]
fn after_unhealthy_there_are_no_eager_probes() {
    let mut state = HealthState::new(&check(s(10), s(0), 1));
    let (_, probes) = run(&mut state, ready_at(s(35)), s(60));
    let late: Vec<_> = probes
        .iter()
        .filter(|probe| probe.started >= s(10))
        .map(|probe| (probe.started.as_millis(), probe.exit_code))
        .collect();
    assert_eq!(
        late,
        [
            (10_000, 1),
            (20_010, 1),
            (30_020, 1),
            (40_030, 0),
            (50_040, 0)
        ]
    );
}

#[test]
fn the_log_has_the_last_five_and_short_outputs() {
    let mut state = HealthState::new(&Healthcheck::default());
    for index in 0..7 {
        state.record(ProbeResult {
            started: s(index),
            ended: s(index),
            exit_code: 1,
            output: "é".repeat(3000),
        });
    }
    let started: Vec<_> = state.log().map(|probe| probe.started.as_secs()).collect();
    assert_eq!(started, [2, 3, 4, 5, 6]);
    let output = &state.log().next().unwrap().output;
    assert!(output.len() <= OUTPUT_LENGTH && output.len() > OUTPUT_LENGTH - 3);
    assert!(output.ends_with("é..."));
    assert_eq!(state.status(), HealthStatus::Starting);
}

#[test]
fn a_pause_makes_the_next_probe_due_at_once() {
    let state = HealthState::new(&check(s(10), s(0), 3));
    assert_eq!(state.next_probe(s(5)), ms(100));
    assert_eq!(state.next_probe(s(50)), s(10));
}

#[test]
fn commands_take_the_shell_of_the_image() {
    let check = |words: &[&str]| Healthcheck {
        test: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Healthcheck::default()
    };
    let command = |words: &[&str], shell: Option<&[String]>| {
        super::command(&check(words), shell).map(|words| words.join("|"))
    };
    let bash = ["/bin/bash".to_owned(), "-ec".to_owned()];
    let table = [
        (
            command(&["CMD", "curl", "-f", "x"], None),
            Some("curl|-f|x"),
        ),
        (
            command(&["CMD-SHELL", "exit 1"], None),
            Some("/bin/sh|-c|exit 1"),
        ),
        (
            command(&["CMD-SHELL", "exit 1"], Some(&bash)),
            Some("/bin/bash|-ec|exit 1"),
        ),
        (
            command(&["CMD-SHELL", "exit 1"], Some(&[])),
            Some("/bin/sh|-c|exit 1"),
        ),
        (command(&["NONE"], None), None),
        (command(&["CMD"], None), None),
        (command(&["CMD-SHELL"], None), None),
        (command(&["WHAT", "x"], None), None),
        (command(&[], None), None),
    ];
    for (got, expected) in table {
        assert_eq!(got.as_deref(), expected);
    }
}

proptest! {
    /// Docker's own schedule for a service that never works, whatever the probes take.
    #[test]
    fn unhealthy_comes_when_docker_says(
        interval in 1_u64..60_000,
        start_period in 0_u64..60_000,
        start_interval in 0_u64..10_000,
        timeout in 1_u64..20_000,
        takes in 0_u64..30_000,
        retries in 1_u32..5,
    ) {
        let check = Healthcheck {
            start_interval: ms(start_interval),
            timeout: ms(timeout),
            ..check(ms(interval), ms(start_period), retries)
        };
        let service = Service { takes: ms(takes), ..ready_at(NEVER) };
        let first = if start_period > 0 { start_period } else { interval };
        let retries = u64::from(retries);
        let docker = first + retries * takes.min(timeout) + (retries - 1) * interval;
        prop_assert_eq!(first_change(&check, service), (ms(docker), HealthStatus::Unhealthy));
    }

    #[test]
    fn any_report_is_taken(
        reports in proptest::collection::vec((any::<u32>(), any::<u32>(), -1..3), 0..20),
        now: u64,
    ) {
        let mut state = HealthState::new(&check(s(1), s(0), 3));
        for (started, ended, exit_code) in reports {
            let (started, ended) = (ms(started.into()), ms(ended.into()));
            state.record(ProbeResult { started, ended, exit_code, output: String::new() });
            let _ = (state.next_probe(ms(now)), state.timeout(started));
        }
    }
}
