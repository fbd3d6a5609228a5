//! Which devices a container may use: Docker's list, plus those of its specification.

use std::{fs::OpenOptions, io::Write, os::fd::AsFd, path::Path};

use hoist_core::spec::Device;
use hoist_sys::bpf::{Access, DeviceKind, DeviceRule, attach_device_program};

use super::error;
use crate::{RuntimeError, defaults};

/// Nodes of any device may be made, but only these opened: the default ones, the terminals and
/// the console, and `extra`.
fn rules(extra: &[Device]) -> Vec<DeviceRule> {
    let rule = |kind, major, minor, access| DeviceRule {
        kind,
        major,
        minor,
        access,
    };
    let mut rules = vec![
        rule(DeviceKind::Character, None, None, Access::MAKE),
        rule(DeviceKind::Block, None, None, Access::MAKE),
        // /dev/console, /dev/ptmx, /dev/pts/*
        rule(DeviceKind::Character, Some(5), Some(1), Access::ALL),
        rule(DeviceKind::Character, Some(5), Some(2), Access::ALL),
        rule(DeviceKind::Character, Some(136), None, Access::ALL),
    ];
    for device in defaults::devices().iter().chain(extra) {
        let kind = match device.kind {
            'b' => DeviceKind::Block,
            'c' | 'u' => DeviceKind::Character,
            // Pipes need no permission.
            _ => continue,
        };
        rules.push(rule(
            kind,
            Some(device.major),
            Some(device.minor),
            Access::ALL,
        ));
    }
    rules
}

/// Version 2: a program.
pub(super) fn attach(directory: &Path, extra: &[Device]) -> Result<(), RuntimeError> {
    let handle = std::fs::File::open(directory).map_err(error(directory))?;
    attach_device_program(handle.as_fd(), &rules(extra)).map_err(error(directory))
}

/// Version 1: one line a rule.
pub(super) fn write(directory: &Path, extra: &[Device]) -> Result<(), RuntimeError> {
    super::write(&directory.join("devices.deny"), "a")?;
    let allow = directory.join("devices.allow");
    let mut handle = OpenOptions::new()
        .write(true)
        .open(&allow)
        .map_err(error(&allow))?;
    for rule in rules(extra) {
        // One write a rule: the kernel reads no more than one from each.
        handle
            .write_all(line(rule).as_bytes())
            .map_err(error(&allow))?;
    }
    Ok(())
}

fn line(rule: DeviceRule) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let kind = match rule.kind {
        DeviceKind::Block => 'b',
        DeviceKind::Character => 'c',
    };
    let access: String = [
        (rule.access.read, 'r'),
        (rule.access.write, 'w'),
        (rule.access.make, 'm'),
    ]
    .into_iter()
    .filter_map(|(allowed, letter)| allowed.then_some(letter))
    .collect();
    format!(
        "{kind} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_lines() {
        let fuse = Device {
            kind: 'c',
            path: "/dev/fuse".into(),
            major: 10,
            minor: 229,
            file_mode: None,
            uid: None,
            gid: None,
        };
        let lines: Vec<String> = rules(&[fuse]).into_iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        c *:* m
        b *:* m
        c 5:1 rwm
        c 5:2 rwm
        c 136:* rwm
        c 1:3 rwm
        c 1:5 rwm
        c 1:7 rwm
        c 1:8 rwm
        c 1:9 rwm
        c 5:0 rwm
        c 10:229 rwm
        "#);
    }
}
