//! The system-call filter of a container: Docker's default profile, compiled when hoist is built.
//!
//! `numbers.rs` has the numbers of the calls, `profile.rs` says which are allowed, `compile.rs`
//! turns both into a program. The build script runs the three for the default capabilities; a
//! container with others gets its program compiled when it starts.

mod compile;
mod numbers;
mod profile;

use hoist_sys::{capability, seccomp::Instruction};

use compile::{Word, compile};
use profile::{Architecture, DEFAULT_CAPABILITIES, relevant};

include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

/// The filter for a container whose bounding set is `capabilities`.
pub(crate) fn program(capabilities: capability::Set) -> Vec<Instruction> {
    let to_instructions = |words: &[Word]| {
        words
            .iter()
            .map(|&(code, jump_true, jump_false, operand)| Instruction {
                code,
                jump_true,
                jump_false,
                operand,
            })
            .collect()
    };
    if relevant(capabilities.bits()) == relevant(DEFAULT_CAPABILITIES) {
        to_instructions(DEFAULT_PROGRAM)
    } else {
        to_instructions(&compile(ARCHITECTURES, capabilities.bits()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        profile::{Action, ENOSYS, EPERM, newest, number, rules},
        *,
    };

    /// What the program answers: runs it as the kernel would.
    fn run(program: &[Word], architecture: u32, call: u32, argument: u64) -> u32 {
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let (code, jump_true, jump_false, operand) = program[at];
            at += 1;
            let taken = match code {
                0x20 => {
                    accumulator = match operand {
                        0 => call,
                        4 => architecture,
                        16 => lower(argument),
                        other => panic!("load of {other}"),
                    };
                    continue;
                }
                0x05 => {
                    at += operand as usize;
                    continue;
                }
                0x06 => return operand,
                0x15 => accumulator == operand,
                0x35 => accumulator >= operand,
                0x45 => accumulator & operand != 0,
                other => panic!("code {other:#x}"),
            };
            at += usize::from(if taken { jump_true } else { jump_false });
        }
    }

    fn lower(argument: u64) -> u32 {
        u32::try_from(argument & u64::from(u32::MAX)).unwrap()
    }

    fn expected(
        architecture: Architecture,
        rules: &[(u32, Action)],
        call: u32,
        argument: u64,
    ) -> u32 {
        let low = lower(argument);
        let allowed = |yes: bool| {
            if yes {
                0x7fff_0000
            } else {
                0x5_0000 | u32::from(EPERM)
            }
        };
        let rule = rules.iter().find(|(known, _)| *known == call);
        match rule.map(|(_, action)| *action) {
            Some(Action::Allow) => allowed(true),
            Some(Action::Fail(error)) => 0x5_0000 | u32::from(error),
            Some(Action::AllowUnlessBits(bits)) => allowed(low & bits == 0),
            Some(Action::AllowValues(values)) => allowed(values.contains(&low)),
            Some(Action::AllowUnlessValues(values)) => allowed(!values.contains(&low)),
            None if call > newest(architecture) => 0x5_0000 | u32::from(ENOSYS),
            None => allowed(false),
        }
    }

    const BOTH: &[Architecture] = &[Architecture::X86_64, Architecture::I386];

    #[test]
    fn every_call_gets_what_the_profile_says() {
        for architectures in [BOTH, &[Architecture::Aarch64]] {
            for capabilities in [DEFAULT_CAPABILITIES, 0, u64::MAX] {
                let program = compile(architectures, capabilities);
                assert!(program.len() < 1000, "{}", program.len());
                for &architecture in architectures {
                    let rules = rules(architecture, capabilities);
                    for call in (0..520).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
                        for argument in [0, 2, 8, 38, 40, 0x7e02_0000, 0x1_0000_0026, u64::MAX] {
                            assert_eq!(
                                run(&program, architecture.audit(), call, argument),
                                expected(architecture, &rules, call, argument),
                                "{architecture:?} {call} {argument:#x}"
                            );
                        }
                    }
                }
                assert_eq!(run(&program, 0xdead_beef, 0, 0), 0x8000_0000);
            }
        }
    }

    proptest! {
        #[test]
        fn any_call_and_argument(call: u32, argument: u64, capabilities: u64) {
            let program = compile(BOTH, capabilities);
            for &architecture in BOTH {
                let rules = rules(architecture, capabilities);
                prop_assert_eq!(
                    run(&program, architecture.audit(), call, argument),
                    expected(architecture, &rules, call, argument)
                );
            }
        }
    }

    #[test]
    fn the_calls_that_matter() {
        let program = compile(BOTH, DEFAULT_CAPABILITIES);
        let verdict = |name: &str, argument: u64| {
            let call = number(Architecture::X86_64, name).unwrap();
            run(&program, Architecture::X86_64.audit(), call, argument)
        };
        let (allow, eperm) = (0x7fff_0000, 0x5_0001);
        for name in [
            "read", "openat", "execve", "chroot", "futex", "statx", "socket",
        ] {
            assert_eq!(verdict(name, 0), allow, "{name}");
        }
        for name in ["mount", "unshare", "setns", "bpf", "open_tree", "syslog"] {
            assert_eq!(verdict(name, 0), eperm, "{name}");
        }
        assert_eq!(verdict("clone3", 0), 0x5_0026);
        assert_eq!(verdict("clone", 0x1000_0000), eperm);
        assert_eq!(
            verdict("clone", 0x0012_0011),
            eperm,
            "SIGCHLD and CLONE_NEWNS"
        );
        assert_eq!(verdict("clone", 0x0010_0011), allow);
        assert_eq!(verdict("socket", 38), eperm);
        // The kernel reads an int: the upper half must not hide the family.
        assert_eq!(verdict("socket", 0x1_0000_0028), eperm);
        // Calls that the profile does not name: io_uring_setup, keyctl, userfaultfd.
        for call in [425, 250, 323] {
            assert_eq!(run(&program, Architecture::X86_64.audit(), call, 0), eperm);
        }
    }

    #[test]
    fn the_compiled_program_is_the_default() {
        let names = crate::defaults::capabilities();
        let set = capability::Set::from_names(&names).unwrap();
        assert_eq!(set.bits(), DEFAULT_CAPABILITIES);
        assert_eq!(
            DEFAULT_PROGRAM,
            compile(ARCHITECTURES, DEFAULT_CAPABILITIES)
        );
        assert_eq!(program(set).len(), DEFAULT_PROGRAM.len());
        assert_ne!(program(capability::Set::NONE).len(), 0);
    }
}
