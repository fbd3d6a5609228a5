//! `RUN --mount=type=secret` and `type=ssh`: what they name, and whether the build has it.

use hoist_dockerfile::instruction::Mount;

use super::{MountAction, MountSource, actions::invalid, stage::Builder};
use crate::{config, error::BuildError, execute::Access};

impl Builder<'_> {
    pub(super) fn secret(&self, mount: &Mount, text: &str) -> Result<MountAction, BuildError> {
        let named = mount.id.as_deref().or(mount.source.as_deref());
        let target = mount.target.as_deref();
        let id = match (named, target) {
            (Some(id), _) => id,
            (None, target) => base_name(target.unwrap_or_default()),
        };
        let is_known = self.inputs.secrets.iter().any(|secret| secret.id() == id);
        if mount.required && !is_known {
            return Err(invalid(
                format!("secret {id}: not found"),
                &format!("build with --secret id={id},src=FILE or --secret id={id},env=NAME"),
            ));
        }
        let target = match (target, &mount.env) {
            (Some(target), _) => self.target(target)?,
            (None, Some(_)) => String::new(),
            (None, None) => format!("/run/secrets/{}", base_name(id)),
        };
        let variable = mount.env.as_deref().map(|name| match name {
            "" => id.to_owned(),
            name => name.to_owned(),
        });
        Ok(MountAction {
            text: text.to_owned(),
            target,
            read_only: true,
            source: MountSource::Secret {
                id: id.to_owned(),
                variable,
                access: access(mount, 0o400),
            },
        })
    }

    /// `number` counts the mounts of this type in the instruction.
    pub(super) fn ssh(
        &self,
        mount: &Mount,
        text: &str,
        number: usize,
    ) -> Result<MountAction, BuildError> {
        let id = mount.id.as_deref().unwrap_or("default");
        let is_known = self.inputs.agents.iter().any(|agent| agent.id == id);
        if mount.required && !is_known {
            let hint = match id {
                "default" => "build with --ssh default".to_owned(),
                id => format!("build with --ssh {id}=SOCKET"),
            };
            return Err(invalid(
                format!("the build was given no SSH agent \"{id}\""),
                &hint,
            ));
        }
        let target = match mount.target.as_deref() {
            Some(target) => self.target(target)?,
            None => format!("/run/buildkit/ssh_agent.{number}"),
        };
        Ok(MountAction {
            text: text.to_owned(),
            target,
            read_only: true,
            source: MountSource::Ssh {
                id: id.to_owned(),
                access: access(mount, 0o600),
            },
        })
    }

    /// The place of a mount, absolute.
    pub(super) fn target(&self, target: &str) -> Result<String, BuildError> {
        let target = config::absolute(self.config.working_dir(), target);
        if target == "/" {
            return Err(invalid("invalid mount target /", "mount below the root"));
        }
        Ok(target)
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path)
}

fn access(mount: &Mount, mode: u32) -> Access {
    Access {
        mode: mount.mode.unwrap_or(mode),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
    }
}
