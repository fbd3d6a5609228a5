//! `RUN`: a command in a container of its own, whose writable layer becomes the layer.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Instant, SystemTime},
};

use hoist_core::{
    Digest,
    event::{BuildEvent, Warning},
    spec::Mount,
};
use hoist_engine::{EngineError, step as engine_step};

use super::{Making, Worker, mounts::Mounts, output::Output, step::At};
use crate::{
    error::BuildError,
    mistakes::{Failure, hints},
    plan::RunAction,
    tree::Root,
};

/// What the engine mounts into every step where the image may have nothing.
const OWN_MOUNTS: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

impl Worker<'_> {
    /// Run the command; the layer is what it wrote.
    pub(super) fn execute(&self, at: At<'_>, action: &RunAction) -> Result<Making, BuildError> {
        let index = at.step.index;
        let (mut making, mounts) = self.timed(index, "mount", || {
            let (making, draft) = self.begin(at.layers, at.stage.time)?;
            draft.finish()?;
            Ok::<_, BuildError>((making, self.mounts(at, action)?))
        })?;
        self.tell_absent(at, action);
        let edits = action.devices.found.iter().map(|(_, edits)| edits);
        let devices: Vec<_> = edits.clone().flat_map(|edits| &edits.nodes).collect();
        let device_mounts = edits.flat_map(|edits| edits.mounts.clone());
        let step = engine_step::Step {
            layers: at.layers.to_vec(),
            upper: making.layer.path().to_owned(),
            work: making.layer.work().to_owned(),
            args: action.argv.clone(),
            env: self.environment(action, &mounts),
            working_dir: action.working_dir.clone(),
            user: action.user.clone(),
            network: action.network,
            confinement: action.confinement,
            devices: devices.iter().map(|node| node.device.clone()).collect(),
            mounts: mounts.list().into_iter().chain(device_mounts).collect(),
            hostname: action.hostname.clone(),
            surroundings: action.surroundings.clone(),
        };
        let (output, ends) = Output::new()?;
        let (started, clock) = (Instant::now(), SystemTime::now());
        let (exit, tail) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                output.read(&self.trust.redactor, &|stream, bytes| {
                    let bytes = bytes.to_vec();
                    self.emit(BuildEvent::StepOutput {
                        index,
                        stream,
                        bytes,
                    });
                })
            });
            let exit = self
                .engine
                .run_step(&step, ends.stdout, ends.stderr, at.stop);
            (exit, reader.join().unwrap_or_default())
        });
        drop(mounts);
        self.emit(BuildEvent::PartFinished {
            index: Some(index),
            part: "run",
            duration: started.elapsed(),
        });
        let exit = exit.map_err(|error| match error {
            EngineError::Cancelled => BuildError::Cancelled,
            error => error.into(),
        })?;
        if exit.code == 0 {
            making.idle_caches = self.idle_caches(action, &step.mounts, clock);
            self.tidy(at.layers, &making, &step.mounts)?;
            return Ok(making);
        }
        let failure = Failure {
            command: &action.command,
            argv: &action.argv,
            code: exit.code,
            oom_killed: exit.oom_killed,
            tail: &tail,
            user: &action.user,
        };
        Err(BuildError::Step {
            command: action.argv.join(" "),
            code: exit.code,
            oom_killed: exit.oom_killed,
            hints: hints(&failure),
            tail,
        })
    }

    /// `NAME=value` of everything that the command sees.
    fn environment(&self, action: &RunAction, mounts: &Mounts) -> Vec<String> {
        let variables = action.variables.iter();
        let variables = variables.map(|variable| format!("{}={}", variable.name, variable.value));
        let devices = action.devices.found.iter();
        let devices = devices.flat_map(|(_, edits)| edits.env.clone());
        let own = self.times.variables().into_iter();
        let own = own.filter(|(name, _)| action.variables.iter().all(|known| known.name != *name));
        variables
            .chain(mounts.variables())
            .chain(devices)
            .chain(own.map(|(name, value)| format!("{name}={value}")))
            .collect()
    }

    /// Say which devices the step does without.
    fn tell_absent(&self, at: At<'_>, action: &RunAction) {
        for name in &action.devices.absent {
            self.emit(BuildEvent::Warning(Warning {
                rule: None,
                message: format!(
                    "nothing describes the device {name} on this machine: the step runs without it"
                ),
                file: Some(self.listing.name.clone()),
                line: Some(self.listing.line(at.step.span)),
                hints: vec!["write required behind it to make that an error".to_owned()],
            }));
        }
    }

    /// Take out of the layer the directories that are there only because something was mounted in
    /// them: empty, and otherwise as they are below.
    fn tidy(&self, layers: &[Digest], making: &Making, mounts: &[Mount]) -> Result<(), BuildError> {
        let upper = making.layer.path();
        let targets = mounts.iter().map(|mount| mount.destination.as_path());
        let mut lower = None;
        for target in targets.chain(OWN_MOUNTS.map(Path::new)) {
            for path in target.ancestors().skip(1) {
                let path = path.strip_prefix("/").unwrap_or(path);
                if path.as_os_str().is_empty() || !is_bare(&upper.join(path)) {
                    break;
                }
                let below = match &lower {
                    Some(below) => below,
                    None => lower.insert(self.tree(layers)?),
                };
                let Some(below) = below else { return Ok(()) };
                if !is_same(&upper.join(path), below, path) {
                    break;
                }
                std::fs::remove_dir(upper.join(path)).map_err(|source| BuildError::Io {
                    action: "remove",
                    path: upper.join(path),
                    source,
                })?;
            }
        }
        Ok(())
    }
}

/// True for a directory without entries that hides nothing.
fn is_bare(path: &Path) -> bool {
    let is_directory = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let opaque = |name| {
        let mut value = [0; 1];
        rustix::fs::lgetxattr(path, name, &mut value[..]).is_ok()
    };
    is_directory
        && super::is_empty(path).unwrap_or(false)
        && !opaque("trusted.overlay.opaque")
        && !opaque("user.overlay.opaque")
}

/// True when the directory has below the mode and owner that it has above.
fn is_same(upper: &Path, lower: &Root, path: &Path) -> bool {
    let (Ok(above), Ok(below)) = (std::fs::symlink_metadata(upper), lower.entry(path)) else {
        return false;
    };
    below.is_directory()
        && (above.mode() & 0o7777, above.uid(), above.gid()) == (below.mode, below.uid, below.gid)
}
