//! The device program of cgroup v2: which device nodes the processes of a cgroup may open or make.
//!
//! cgroup v1 has files for this (`devices.allow`); v2 has only `BPF_PROG_TYPE_CGROUP_DEVICE`. The
//! program is straight-line code: each rule is a few comparisons that end in "allow", and whatever
//! matches no rule is denied.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block device.
    Block,
    /// Character device.
    Character,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Make a node for it.
    pub make: bool,
    /// Open it for reading.
    pub read: bool,
    /// Open it for writing.
    pub write: bool,
}

impl Access {
    /// Everything.
    pub const ALL: Self = Self {
        make: true,
        read: true,
        write: true,
    };
    /// Only making nodes.
    pub const MAKE: Self = Self {
        make: true,
        read: false,
        write: false,
    };

    fn bits(self) -> i32 {
        i32::from(self.make) | i32::from(self.read) << 1 | i32::from(self.write) << 2
    }
}

/// One rule: devices that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Block or character.
    pub kind: DeviceKind,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// What is allowed.
    pub access: Access,
}

/// One instruction of eBPF (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    }
}

// Registers: 1 is the context at the start; 2 kind, 3 access, 4 major, 5 minor.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_UNLESS_EQUAL_REGISTER: u8 = 0x5d;
const EXIT: u8 = 0x95;

fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx { u32 access_type (access << 16 | kind), major, minor }
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let kind = match rule.kind {
            DeviceKind::Block => 1,
            DeviceKind::Character => 2,
        };
        // Each test skips the rest of the rule when it fails; the distances are filled in below.
        let start = program.len();
        program.push(instruction(JUMP_UNLESS_EQUAL, 2, 0, 0, kind));
        if rule.access != Access::ALL {
            program.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
            program.push(instruction(AND, 1, 0, 0, rule.access.bits()));
            program.push(instruction(JUMP_UNLESS_EQUAL_REGISTER, 1, 3, 0, 0));
        }
        if let Some(major) = rule.major {
            program.push(instruction(JUMP_UNLESS_EQUAL, 4, 0, 0, major.cast_signed()));
        }
        if let Some(minor) = rule.minor {
            program.push(instruction(JUMP_UNLESS_EQUAL, 5, 0, 0, minor.cast_signed()));
        }
        program.push(instruction(MOVE, 0, 0, 0, 1));
        program.push(instruction(EXIT, 0, 0, 0, 0));
        let end = program.len();
        for (index, instruction) in program.iter_mut().enumerate().skip(start) {
            if matches!(
                instruction.code,
                JUMP_UNLESS_EQUAL | JUMP_UNLESS_EQUAL_REGISTER
            ) {
                instruction.offset = i16::try_from(end - index - 1).unwrap_or(i16::MAX);
            }
        }
    }
    program.push(instruction(MOVE, 0, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: `attributes` is the leading part of bpf_attr for `command`, of the stated size; the
    // kernel takes the rest as zero. The pointers in it outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}

/// Allows the processes of `cgroup` (a directory of a cgroup v2 tree) the devices of `rules`, and
/// no other. It holds as long as the cgroup exists.
///
/// # Errors
///
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`); `EINVAL` on a kernel built
/// without `CONFIG_CGROUP_BPF`.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, rules: &[DeviceRule]) -> io::Result<()> {
    const PROG_LOAD: libc::c_int = 5;
    const PROG_ATTACH: libc::c_int = 8;
    const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let program = program(rules);
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        instructions: program.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        ..Load::default()
    };
    let descriptor = bpf(PROG_LOAD, &load)?;
    // SAFETY: BPF_PROG_LOAD returned a new descriptor that nobody else owns.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let attach = Attach {
        target: cgroup.as_raw_fd().cast_unsigned(),
        program: descriptor.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replace: 0,
    };
    bpf(PROG_ATTACH, &attach).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_tests_then_allow() {
        let null = DeviceRule {
            kind: DeviceKind::Character,
            major: Some(1),
            minor: Some(3),
            access: Access::ALL,
        };
        let program = program(&[null]);
        assert_eq!(program.len(), 6 + 5 + 2);
        assert_eq!(program[6], instruction(JUMP_UNLESS_EQUAL, 2, 0, 4, 2));
        assert_eq!(program[7], instruction(JUMP_UNLESS_EQUAL, 4, 0, 3, 1));
        assert_eq!(program[8], instruction(JUMP_UNLESS_EQUAL, 5, 0, 2, 3));
    }
}
