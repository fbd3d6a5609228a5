//! What `ps` says about how a container fares.

use hoist_core::{duration, health::HealthStatus, time::Timestamp};
use hoist_engine::{State, Status, container::Container};

/// Docker's words: `Up 3 seconds (healthy)`, `Exited (137) 2 minutes ago`, `Created`; and
/// `(out of memory)`, which Docker keeps to itself.
pub(super) fn text(status: &Status, now: Timestamp) -> String {
    let since = |moment: Option<Timestamp>| duration::human(now.since(moment.unwrap_or(now)));
    match status.state {
        State::Created => "Created".to_owned(),
        State::Exited => {
            let memory = if status.oom_killed {
                " (out of memory)"
            } else {
                ""
            };
            let ago = since(status.finished);
            format!("Exited ({}) {ago} ago{memory}", status.exit_code)
        }
        State::Running => {
            let up = format!("Up {}", since(status.started));
            match health(status) {
                Some("starting") => format!("{up} (health: starting)"),
                Some(health) => format!("{up} ({health})"),
                None => up,
            }
        }
    }
}

/// `starting`, `healthy` or `unhealthy`, where there is a health check.
pub(super) fn health(status: &Status) -> Option<&'static str> {
    status.health.as_ref().map(|health| match health.status {
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    })
}

/// Why the container is as it is, in one line, where there is something to say.
pub(super) fn reason(container: &Container) -> Option<String> {
    let Container { record, status } = container;
    if let Some(line) = status.oom_line(record.limits.memory) {
        return Some(line);
    }
    let probe = status
        .health
        .as_ref()
        .filter(|health| health.status == HealthStatus::Unhealthy);
    if let Some(line) = probe.and_then(|health| health.reason()) {
        return Some(format!("unhealthy: {line}"));
    }
    status.error.clone().or_else(|| status.stop_note.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_told_in_dockers_words() {
        let at = Timestamp::from_seconds;
        let now = at(1000);
        let status = |state, started, finished, exit_code| Status {
            state,
            started: Some(at(started)),
            finished: Some(at(finished)),
            exit_code,
            ..Status::default()
        };
        assert_eq!(text(&Status::default(), now), "Created");
        assert_eq!(
            text(&status(State::Running, 997, 0, 0), now),
            "Up 3 seconds"
        );
        assert_eq!(
            text(&status(State::Exited, 0, 880, 137), now),
            "Exited (137) 2 minutes ago"
        );
        assert_eq!(
            text(&status(State::Running, 1001, 0, 0), now),
            "Up Less than a second"
        );
    }
}
