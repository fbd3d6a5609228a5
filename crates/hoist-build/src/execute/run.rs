//! `RUN`: a command in a container of its own, whose writable layer becomes the layer.

use hoist_core::event::BuildEvent;
use hoist_engine::{EngineError, step as engine_step};

use super::{Making, Worker, output::Output, step::At};
use crate::{
    error::BuildError,
    mistakes::{Failure, hints},
    plan::RunAction,
};

/// The host name of RUN steps: BuildKit's, which some tools write into what they make.
const HOSTNAME: &str = "buildkitsandbox";

impl Worker<'_> {
    /// Run the command; the layer is what it wrote.
    pub(super) fn execute(&self, at: At<'_>, action: &RunAction) -> Result<Making, BuildError> {
        let (making, draft) = self.begin(at.layers, at.stage.time)?;
        draft.finish()?;
        let mounts = self.mounts(at, action)?;
        let step = engine_step::Step {
            layers: at.layers.to_vec(),
            upper: making.layer.path().to_owned(),
            work: making.layer.work().to_owned(),
            args: action.argv.clone(),
            env: action
                .variables
                .iter()
                .map(|variable| format!("{}={}", variable.name, variable.value))
                .collect(),
            working_dir: action.working_dir.clone(),
            user: action.user.clone(),
            network: action.network,
            mounts: mounts.list(),
            hostname: HOSTNAME.to_owned(),
        };
        let (output, ends) = Output::new()?;
        let index = at.step.index;
        let (exit, tail) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                output.read(&|stream, bytes| {
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
        let exit = exit.map_err(|error| match error {
            EngineError::Cancelled => BuildError::Cancelled,
            error => error.into(),
        })?;
        if exit.code == 0 {
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
}
