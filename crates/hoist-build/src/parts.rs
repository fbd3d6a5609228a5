//! The parts of the cache key of each kind of step.

use hoist_core::{Digest, Platform};
use hoist_dockerfile::lint::is_secret;
use hoist_engine::step::Confinement;

use crate::{
    execute::draft::Owner,
    key::{Parts, chain},
    plan::{CopyAction, HOSTNAME, RunAction, VariableOrigin},
    remote::Pinned,
    sources::Source,
};

/// `RUN`: the command, what it stands on, and everything that it can see. `mounts` has a digest
/// for each bind mount: of what it shows, or of the layers that it is taken from.
pub(crate) fn run(
    action: &RunAction,
    layers: &[Digest],
    platform: &Platform,
    mounts: &[Option<Digest>],
) -> Parts {
    let mut parts = Parts::new();
    let argv = serde_json::to_string(&action.argv).unwrap_or_default();
    parts.push("instruction", format!("RUN {argv}"));
    if let Some((name, content)) = &action.script {
        parts.push(
            format!("script {name}"),
            Digest::of(content.as_bytes()).to_string(),
        );
    }
    parts.push("parent", chain(layers).to_string());
    for variable in &action.variables {
        let kind = match variable.origin {
            VariableOrigin::Env => "ENV",
            VariableOrigin::Arg => "ARG",
            VariableOrigin::Proxy => continue,
        };
        let value = if is_secret(&variable.name) {
            Digest::of(variable.value.as_bytes()).to_string()
        } else {
            variable.value.clone()
        };
        parts.push(format!("{kind} {}", variable.name), value);
    }
    parts.push("user", &action.user);
    parts.push("working directory", &action.working_dir);
    parts.push("network", action.network.as_str());
    parts.push("platform", platform.to_string());
    if action.confinement == Confinement::None {
        parts.push("security", "insecure");
    }
    for (name, _) in &action.devices.found {
        parts.push(format!("device {name}"), "");
    }
    if action.hostname != HOSTNAME {
        parts.push("hostname", &action.hostname);
    }
    let surroundings = &action.surroundings;
    for (name, address) in &surroundings.extra_hosts {
        parts.push(format!("host {name}"), address);
    }
    if let Some(bytes) = surroundings.shm_size {
        parts.push("shared memory", bytes.to_string());
    }
    if let Some(parent) = &surroundings.cgroup_parent {
        parts.push("cgroup parent", parent);
    }
    for limit in &surroundings.rlimits {
        parts.push(&limit.kind, format!("{}:{}", limit.soft, limit.hard));
    }
    for (mount, digest) in action.mounts.iter().zip(mounts) {
        let content = digest.map(|digest| digest.to_string()).unwrap_or_default();
        parts.push(format!("mount {}", mount.text), content);
    }
    parts
}

/// What a copy stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ground<'a> {
    /// The layers below: they decide where links lead, which directories exist, who users are.
    Layers(&'a [Digest]),
    /// `--link`: nothing but the owner that `--chown` names.
    Independent(Option<Owner>),
}

/// `COPY` and `ADD` by content: equal files give an equal key, wherever they come from.
pub(crate) fn copy(
    action: &CopyAction,
    ground: Ground<'_>,
    sources: &[Source],
    pinned: &[Pinned],
) -> Parts {
    let mut parts = copy_instruction(action, ground);
    for source in sources {
        let kind = if source.is_archive {
            "archive"
        } else {
            "content"
        };
        parts.push(
            format!("{kind} {}", source.label()),
            source.digest.to_string(),
        );
    }
    for Pinned {
        part: (name, value),
        ..
    } in pinned
    {
        parts.push(name, value);
    }
    parts
}

/// `COPY --from` by where it reads: found without looking at a file when the stage that it reads
/// from is the same.
pub(crate) fn copy_from(action: &CopyAction, ground: Ground<'_>, from: &[Digest]) -> Parts {
    let mut parts = copy_instruction(action, ground);
    parts.push("from", chain(from).to_string());
    parts
}

fn copy_instruction(action: &CopyAction, ground: Ground<'_>) -> Parts {
    let mut parts = Parts::new();
    let CopyAction {
        sources,
        destination,
        chown,
        chmod,
        exclude,
        options,
        ..
    } = action;
    let mut text = format!(
        "{} {sources:?} {destination:?}",
        if options.unpack { "ADD" } else { "COPY" }
    );
    for (name, given) in [("link", options.link), ("parents", options.parents)] {
        if given {
            text.push_str(&format!(" --{name}"));
        }
    }
    if let Some(chown) = chown {
        text.push_str(&format!(" --chown={chown}"));
    }
    if let Some((chmod, _)) = chmod {
        text.push_str(&format!(" --chmod={chmod}"));
    }
    for pattern in exclude {
        text.push_str(&format!(" --exclude={pattern:?}"));
    }
    parts.push("instruction", text);
    match ground {
        Ground::Layers(layers) => parts.push("parent", chain(layers).to_string()),
        Ground::Independent(None) => {}
        Ground::Independent(Some(owner)) => {
            parts.push("owner", format!("{}:{}", owner.uid, owner.gid));
        }
    }
    for (name, content) in &action.inline {
        parts.push(
            format!("document {name}"),
            Digest::of(content.as_bytes()).to_string(),
        );
    }
    parts
}

/// `WORKDIR`.
pub(crate) fn make_directory(path: &str, user: &str, layers: &[Digest]) -> Parts {
    let mut parts = Parts::new();
    parts.push("instruction", format!("WORKDIR {path}"));
    parts.push("parent", chain(layers).to_string());
    parts.push("user", user);
    parts
}

#[cfg(test)]
mod tests {
    use hoist_engine::{request::NetworkMode, step::Surroundings};

    use super::*;
    use crate::plan::{Devices, Variable};

    fn action() -> RunAction {
        let variable = |name: &str, value: &str, origin| Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            origin,
        };
        RunAction {
            argv: ["/bin/sh", "-c", "make"].map(str::to_owned).to_vec(),
            command: "make".to_owned(),
            script: None,
            variables: vec![
                variable("PATH", "/bin", VariableOrigin::Env),
                variable("VERSION", "1", VariableOrigin::Arg),
                variable("API_KEY", "hunter2", VariableOrigin::Arg),
                variable("HTTP_PROXY", "http://proxy", VariableOrigin::Proxy),
            ],
            working_dir: "/src".to_owned(),
            user: "app".to_owned(),
            network: NetworkMode::Bridge,
            confinement: Confinement::Usual,
            devices: Devices::default(),
            hostname: HOSTNAME.to_owned(),
            mounts: Vec::new(),
            surroundings: Surroundings::default(),
        }
    }

    fn platform() -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        }
    }

    #[test]
    fn a_run_is_keyed_by_what_it_can_see_and_secrets_are_hashed() {
        let parts = run(&action(), &[Digest::of(b"layer")], &platform(), &[]);
        let lines: Vec<_> = parts
            .iter()
            .map(|part| format!("{}: {}", part.name, part.value))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        instruction: RUN ["/bin/sh","-c","make"]
        parent: sha256:853ab9dceb859a4c9245605e5c16b61a0d8c484f027b524caee4431a697ac9ac
        ENV PATH: /bin
        ARG VERSION: 1
        ARG API_KEY: sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7
        user: app
        working directory: /src
        network: bridge
        platform: linux/amd64
        "#);
    }

    #[test]
    fn each_of_them_changes_the_key_and_a_proxy_does_not() {
        let layers = [Digest::of(b"layer")];
        let key = |action: &RunAction| run(action, &layers, &platform(), &[]).key();
        let first = key(&action());
        let changes: [fn(&mut RunAction); 7] = [
            |action| action.argv.push("x".to_owned()),
            |action| action.variables[0].value.push('x'),
            |action| action.variables[1].value.push('x'),
            |action| action.variables[2].value.push('x'),
            |action| action.user.push('x'),
            |action| action.working_dir.push('x'),
            |action| action.network = NetworkMode::None,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = action();
            change(&mut other);
            assert_ne!(key(&other), first, "{number}");
        }
        let mut proxied = action();
        proxied.variables[3].value.push('x');
        assert_eq!(key(&proxied), first);
        assert_ne!(run(&action(), &[], &platform(), &[]).key(), first);
    }
}
