//! The limits of a container, in the files of either version.

use std::{io, path::Path};

use hoist_core::spec::{CpuLimits, MemoryLimits, Resources};

use super::{Cgroup, Group, write};
use crate::RuntimeError;

/// Docker's smallest memory limit: 6 MiB.
const SMALLEST_MEMORY: i64 = 6 << 20;

pub(super) fn check(resources: &Resources) -> Result<(), RuntimeError> {
    match resources.memory.as_ref().and_then(|memory| memory.limit) {
        Some(bytes) if bytes > 0 && bytes < SMALLEST_MEMORY => {
            Err(RuntimeError::MemoryLimitTooSmall { bytes })
        }
        _ => Ok(()),
    }
}

pub(super) fn needs_cpuset(resources: &Resources) -> bool {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    resources
        .cpu
        .as_ref()
        .is_some_and(|cpu| given(&cpu.cpus) || given(&cpu.mems))
}

pub(super) fn apply(cgroup: &mut Cgroup, resources: &Resources) -> Result<(), RuntimeError> {
    if let Some(memory) = &resources.memory {
        apply_memory(cgroup, memory)?;
    }
    if let Some(cpu) = &resources.cpu {
        apply_cpu(cgroup, cpu)?;
    }
    if let Some(pids) = resources.pids.filter(|pids| pids.limit != 0) {
        let value = unlimited_or(pids.limit, "max");
        set(cgroup, "pids", "the limit of processes", "pids.max", &value)?;
    }
    Ok(())
}

fn apply_memory(cgroup: &mut Cgroup, memory: &MemoryLimits) -> Result<(), RuntimeError> {
    let given = |bytes: Option<i64>| bytes.filter(|bytes| *bytes != 0);
    if let Some(bytes) = given(memory.limit) {
        let (file, value) = if cgroup.version_2 {
            ("memory.max", unlimited_or(bytes, "max"))
        } else {
            ("memory.limit_in_bytes", bytes.to_string())
        };
        set(cgroup, "memory", "the memory limit", file, &value)?;
    }
    if let Some(bytes) = given(memory.reservation) {
        let (file, value) = if cgroup.version_2 {
            ("memory.low", unlimited_or(bytes, "max"))
        } else {
            ("memory.soft_limit_in_bytes", bytes.to_string())
        };
        set(cgroup, "memory", "the memory reservation", file, &value)?;
    }
    // Memory and swap together; version 2 counts swap alone.
    let Some(total) = given(memory.swap) else {
        return Ok(());
    };
    let (file, value) = if cgroup.version_2 {
        let swap = match memory.limit {
            _ if total < 0 => -1,
            Some(limit) if limit > 0 && total >= limit => total - limit,
            _ => {
                return Err(RuntimeError::Invalid {
                    field: "the swap limit".to_owned(),
                    reason: "it includes the memory limit and cannot be smaller".to_owned(),
                });
            }
        };
        ("memory.swap.max", unlimited_or(swap, "max"))
    } else {
        ("memory.memsw.limit_in_bytes", total.to_string())
    };
    match set(cgroup, "memory", "the swap limit", file, &value) {
        // Kernels without swap accounting: Docker, too, goes on with a warning.
        Err(RuntimeError::Limit { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            cgroup.unavailable.push("swap");
            Ok(())
        }
        result => result,
    }
}

fn apply_cpu(cgroup: &Cgroup, cpu: &CpuLimits) -> Result<(), RuntimeError> {
    const LIMIT: &str = "the processor limit";
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        let shares = shares.clamp(2, 262_144);
        if cgroup.version_2 {
            // From 2..262144 to 1..10000, as runc maps it.
            let weight = 1 + (shares - 2) * 9999 / 262_142;
            set(
                cgroup,
                "cpu",
                "the processor shares",
                "cpu.weight",
                &weight.to_string(),
            )?;
        } else {
            set(
                cgroup,
                "cpu",
                "the processor shares",
                "cpu.shares",
                &shares.to_string(),
            )?;
        }
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    if cgroup.version_2 {
        if quota.is_some() || period.is_some() {
            let quota = unlimited_or(quota.unwrap_or(-1), "max");
            let value = format!("{quota} {}", period.unwrap_or(100_000));
            set(cgroup, "cpu", LIMIT, "cpu.max", &value)?;
        }
    } else {
        if let Some(period) = period {
            set(
                cgroup,
                "cpu",
                LIMIT,
                "cpu.cfs_period_us",
                &period.to_string(),
            )?;
        }
        if let Some(quota) = quota {
            set(cgroup, "cpu", LIMIT, "cpu.cfs_quota_us", &quota.to_string())?;
        }
    }
    for (file, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            set(cgroup, "cpuset", "the choice of processors", file, list)?;
        }
    }
    Ok(())
}

/// Negative numbers mean no limit.
fn unlimited_or(value: i64, unlimited: &str) -> String {
    if value < 0 {
        unlimited.to_owned()
    } else {
        value.to_string()
    }
}

fn set(
    cgroup: &Cgroup,
    controller: &'static str,
    limit: &'static str,
    file: &str,
    value: &str,
) -> Result<(), RuntimeError> {
    let Some(Group { directory, .. }) = cgroup.group(controller) else {
        return Err(RuntimeError::MissingController { controller, limit });
    };
    write_limit(&directory.join(file), limit, value)
}

fn write_limit(path: &Path, limit: &'static str, value: &str) -> Result<(), RuntimeError> {
    write(path, value).map_err(|error| match error {
        RuntimeError::Cgroup { path, source } => RuntimeError::Limit {
            limit,
            value: value.to_owned(),
            path,
            source,
        },
        other => other,
    })
}
