//! The last step: the command takes over the process.

use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use hoist_sys::{clone, process, signal};

use super::{Context, Failure, Result, init};
use crate::report::{Program, Reason};

/// Tells that everything is set up, and waits for the word.
pub(super) fn await_start(context: &Context<'_>) -> Result<()> {
    context.reporter.ready()?;
    if context.reporter.await_start()? {
        return Ok(());
    }
    // Dropped by the parent, which kills us, or gone itself.
    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
}

/// Executes the command; returns on failure only.
pub(super) fn execute(context: &mut Context<'_>, arguments: &[String]) -> Result<()> {
    if context.prepared.target.is_some() {
        context.reporter.ready()?;
    }
    // The parent may have ended before the kernel was asked to tell.
    if context.bound_to_parent && context.reporter.is_orphan()? {
        return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
    }
    if context.init {
        return execute_below_init(context, arguments);
    }
    Err(take_over(context, arguments))
}

/// Resets what a program expects to find, and looks for the command.
fn take_over(context: &Context<'_>, arguments: &[String]) -> Failure {
    signal::reset();
    if let Err(error) = process::close_on_exec_from(3) {
        return error.into();
    }
    let prepared = &context.prepared;
    for candidate in prepared.candidates {
        let error = prepared.arguments.execute(candidate);
        let passable = matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::PermissionDenied
        );
        // In a search through PATH, directories without the program are passed over, as by a
        // shell; a program that is there and does not run is what to tell of.
        let searching = prepared.candidates.len() > 1;
        if !(searching && passable) || is_program(path_of(candidate)) {
            return explain(candidate, &error, arguments);
        }
    }
    let error = io::Error::from(io::ErrorKind::NotFound);
    failure(&error, Path::new(""), arguments, Program::NotFound)
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn path_of(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

fn failure(error: &io::Error, path: &Path, arguments: &[String], file: Program) -> Failure {
    let command = arguments.first().cloned().unwrap_or_default();
    Failure::new(error)
        .at(path)
        .because(Reason::Execute { command, file })
}

/// Finds out why the kernel refused the file, for the message.
fn explain(path: &CStr, error: &io::Error, arguments: &[String]) -> Failure {
    let path = path_of(path);
    let file = match (std::fs::metadata(path), error.kind()) {
        (Err(missing), _) if missing.kind() == io::ErrorKind::NotFound => Program::Missing,
        (Ok(meta), _) if meta.is_dir() => Program::Directory,
        (Ok(_), io::ErrorKind::NotFound) => match head(path).as_deref().and_then(interpreter) {
            Some(interpreter) => Program::NoInterpreter(interpreter),
            None => Program::Other,
        },
        (Ok(_), _) if error.raw_os_error() == Some(ENOEXEC) => {
            Program::Foreign(head(path).as_deref().and_then(architecture))
        }
        _ => Program::Other,
    };
    failure(error, path, arguments, file)
}

const ENOEXEC: i32 = 8;

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut head)
        .ok()?;
    Some(head)
}

/// What a script's first line or an ELF file's header names as interpreter.
fn interpreter(head: &[u8]) -> Option<String> {
    let text = if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let line = line.trim_ascii_start();
        // A carriage return at the end is part of the name that the kernel looked for.
        line.split(|byte| matches!(byte, b' ' | b'\t')).next()?
    } else {
        elf_interpreter(head)?
    };
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

/// The `PT_INTERP` segment of a 64-bit little-endian ELF file.
fn elf_interpreter(head: &[u8]) -> Option<&[u8]> {
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let bytes = |at: usize, length: usize| head.get(at..at.checked_add(length)?);
    let number = |at: usize, length: usize| -> Option<usize> {
        let value = bytes(at, length)?
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if number(entry, 4)? == 3 {
            let (offset, length) = (
                number(entry.checked_add(8)?, 8)?,
                number(entry.checked_add(32)?, 8)?,
            );
            return bytes(offset, length)?.split(|byte| *byte == 0).next();
        }
    }
    None
}

/// The machine that an ELF file is for.
fn architecture(head: &[u8]) -> Option<String> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = u16::from_le_bytes([*head.get(18)?, *head.get(19)?]);
    Some(match machine {
        3 => "386".to_owned(),
        40 => "arm".to_owned(),
        62 => "amd64".to_owned(),
        183 => "arm64".to_owned(),
        243 => "riscv64".to_owned(),
        21 => "ppc64le".to_owned(),
        22 => "s390x".to_owned(),
        other => format!("ELF machine {other}"),
    })
}

/// Runs the command as the child of this process, which stays as init.
fn execute_below_init(context: &mut Context<'_>, arguments: &[String]) -> Result<()> {
    // From inside, /proc/1 must not lead to hoist's file, memory or descriptors.
    process::set_dumpable(false)?;
    let blocked = init::block_signals()?;
    let child = clone::fork(|| {
        // A process group of its own, in the foreground of the terminal if there is one.
        let _ = rustix::process::setpgid(None, None);
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
        let failure = take_over(context, arguments);
        context.reporter.failed(&Failure {
            step: "execute".to_owned(),
            ..failure
        });
        125
    })?;
    // Everything else is closed here: the end of the talk is the child's `execve` alone.
    process::run_with_stdio_only(move || init::run(child, &blocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters() {
        assert_eq!(interpreter(b"#!/bin/sh -e\nls").as_deref(), Some("/bin/sh"));
        assert_eq!(
            interpreter(b"#! /bin/sh\r\nls").as_deref(),
            Some("/bin/sh\r")
        );
        assert_eq!(interpreter(b"hello"), None);
        let own = head(Path::new("/bin/busybox")).unwrap();
        assert_eq!(elf_interpreter(&own), None, "static");
        let shell = head(Path::new("/bin/sh")).unwrap();
        assert!(interpreter(&shell).unwrap().contains("/ld-linux"));
        assert_eq!(interpreter(&shell[..60]), None, "cut short");
    }

    #[test]
    fn architectures() {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 183;
        assert_eq!(architecture(&elf).as_deref(), Some("arm64"));
        assert_eq!(architecture(b"#!/bin/sh"), None);
    }
}
