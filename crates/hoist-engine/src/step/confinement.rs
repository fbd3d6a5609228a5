//! A step without confinement: what is taken out of its specification.

use hoist_core::spec::{Capabilities, Spec};
use hoist_sys::capability;

use crate::error::EngineError;

/// Take the confinement out of `spec`; what root in the step may do is what hoist may do.
pub(super) fn lift(spec: &mut Spec) -> Result<(), EngineError> {
    let held = capability::permitted().map_err(EngineError::system("capget"))?;
    let names: Vec<String> = capability::all_names()
        .into_iter()
        .filter(|name| capability::number(name).is_some_and(|number| held.contains(number)))
        .collect();
    let own = if spec.process.user.uid == 0 {
        names.clone()
    } else {
        Vec::new()
    };
    spec.process.capabilities = Some(Capabilities {
        bounding: names,
        effective: own.clone(),
        permitted: own,
        ..Capabilities::default()
    });
    spec.linux.seccomp = None;
    spec.linux.masked_paths.clear();
    spec.linux.readonly_paths.clear();
    for mount in &mut spec.mounts {
        if mount.kind == "sysfs" || mount.kind == "cgroup" {
            mount.options.retain(|option| option != "ro");
        }
    }
    Ok(())
}
