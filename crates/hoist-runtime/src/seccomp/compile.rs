//! From rules to classic BPF: a binary search over system-call numbers.
//!
//! The rules of an architecture become a list of ranges, each with one action; the program finds
//! the range of a call in about seven comparisons, where a list would need hundreds.

use super::profile::{Action, Architecture, ENOSYS, EPERM, newest, rules};

/// `struct sock_filter`: code, jump if true, jump if false, operand.
pub(crate) type Word = (u16, u8, u8, u32);

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in `struct seccomp_data` (both architectures are little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT_LOW: u32 = 16;

const ALLOW: Word = (RETURN, 0, 0, 0x7fff_0000);
const KILL_PROCESS: Word = (RETURN, 0, 0, 0x8000_0000);

const fn fail(error: u16) -> Word {
    (RETURN, 0, 0, 0x0005_0000 | error as u32)
}

/// The program for processes of `architectures` with the capabilities of the bit set
/// `capabilities`. A process that calls in the manner of another architecture is killed; the x32
/// variant of x86-64 finds no system call.
pub(crate) fn compile(architectures: &[Architecture], capabilities: u64) -> Vec<Word> {
    let mut program = vec![(LOAD, 0, 0, ARCHITECTURE)];
    for architecture in architectures {
        let mut body = vec![(LOAD, 0, 0, NUMBER)];
        body.extend(search(&ranges(*architecture, capabilities)));
        program.push((JUMP_EQUAL, 1, 0, architecture.audit()));
        program.push((JUMP, 0, 0, distance(&body)));
        program.extend(body);
    }
    program.push(KILL_PROCESS);
    program
}

/// All numbers from 0 up as ranges: where each begins, and its action.
fn ranges(architecture: Architecture, capabilities: u64) -> Vec<(u32, Action)> {
    let mut ranges: Vec<(u32, Action)> = vec![(0, Action::Fail(EPERM))];
    let mut push = |start: u32, action: Action| match ranges.last_mut() {
        Some(last) if last.1 == action => {}
        Some(last) if last.0 == start => last.1 = action,
        _ => ranges.push((start, action)),
    };
    for (number, action) in rules(architecture, capabilities) {
        push(number, action);
        push(number + 1, Action::Fail(EPERM));
    }
    push(newest(architecture) + 1, Action::Fail(ENOSYS));
    // A range that took over its predecessor's start may now equal the one before.
    ranges.dedup_by(|next, previous| next.1 == previous.1);
    ranges
}

fn search(ranges: &[(u32, Action)]) -> Vec<Word> {
    match ranges {
        [] => vec![KILL_PROCESS],
        [(_, action)] => leaf(*action),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (low, start) = (search(low), high[0].0);
            let mut program = match u8::try_from(low.len()) {
                Ok(over) => vec![(JUMP_GREATER_EQUAL, over, 0, start)],
                Err(_) => {
                    vec![
                        (JUMP_GREATER_EQUAL, 0, 1, start),
                        (JUMP, 0, 0, distance(&low)),
                    ]
                }
            };
            program.extend(low);
            program.extend(search(high));
            program
        }
    }
}

fn leaf(action: Action) -> Vec<Word> {
    let argument = (LOAD, 0, 0, FIRST_ARGUMENT_LOW);
    match action {
        Action::Allow => vec![ALLOW],
        Action::Fail(error) => vec![fail(error)],
        Action::AllowUnlessBits(bits) => {
            vec![argument, (JUMP_BITS, 0, 1, bits), fail(EPERM), ALLOW]
        }
        Action::AllowValues(values) => one_of(argument, values, ALLOW, fail(EPERM)),
        Action::AllowUnlessValues(values) => one_of(argument, values, fail(EPERM), ALLOW),
    }
}

fn one_of(argument: Word, values: &[u32], then: Word, otherwise: Word) -> Vec<Word> {
    let mut program = vec![argument];
    for (index, value) in values.iter().enumerate() {
        // Over the remaining comparisons and `otherwise`; the lists are a handful long.
        let over = u8::try_from(values.len() - index).unwrap_or(u8::MAX);
        program.push((JUMP_EQUAL, over, 0, *value));
    }
    program.push(otherwise);
    program.push(then);
    program
}

fn distance(words: &[Word]) -> u32 {
    // A kernel takes 4096 words at most.
    u32::try_from(words.len()).unwrap_or(u32::MAX)
}
