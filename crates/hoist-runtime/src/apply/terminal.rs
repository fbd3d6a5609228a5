//! The pseudo-terminal of a container, from the container's own devpts.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hoist_core::spec::ConsoleSize;
use hoist_sys::mount::{Attributes, Change, set_attributes};
use rustix::{
    fs::{Gid, Mode, OFlags, Uid},
    io::Errno,
    mount::OpenTreeFlags,
    pty::OpenptFlags,
    termios::Winsize,
};

use super::{Context, Failure, Result, mounts::attach, process::take};
use crate::in_root::{self, Links, Missing};

/// File system type of devpts (`DEVPTS_SUPER_MAGIC`).
const DEVPTS: u64 = 0x1cd1;

/// Opens a terminal, makes it the controlling one with standard input, output and error on it,
/// and passes the other side to the parent. With `console`, it is `/dev/console` too.
pub(super) fn open(
    context: &mut Context<'_>,
    size: Option<ConsoleSize>,
    console: bool,
) -> Result<()> {
    let path = Path::new("/dev/pts/ptmx");
    // A process that joins a container has its root already.
    let root = match &context.root {
        Some(root) => root.try_clone()?,
        None => rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = in_root::open(root.as_fd(), path, flags, Links::Refuse)
        .map_err(|error| Failure::new(&error).at(path))?;
    check(&terminal).map_err(|error| Failure::from(error).at(path))?;
    rustix::pty::unlockpt(&terminal)?;
    let user_side = rustix::pty::ioctl_tiocgptpeer(
        &terminal,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    if let Some(size) = size {
        rustix::termios::tcsetwinsize(
            &terminal,
            Winsize {
                ws_row: size.height,
                ws_col: size.width,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?;
    }
    let uid = context.prepared.owner;
    if uid != 0 {
        rustix::fs::fchown(&user_side, Some(Uid::from_raw(uid)), None::<Gid>)?;
    }
    if console {
        bind_console(context, &user_side)?;
    }
    rustix::process::ioctl_tiocsctty(&user_side)?;
    take([&user_side, &user_side, &user_side])?;
    context.reporter.terminal(terminal.as_fd())?;
    context.kept.extend([user_side, root, terminal]);
    Ok(())
}

/// An image or volume could offer another file of that name.
fn check(terminal: &OwnedFd) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::fstat(terminal)?;
    let number = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    let kind = rustix::fs::fstatfs(terminal)?.f_type.cast_unsigned();
    if number == (5, 2) && kind == DEVPTS {
        Ok(())
    } else {
        Err(Errno::NODEV)
    }
}

fn bind_console(context: &mut Context<'_>, user_side: &OwnedFd) -> Result<()> {
    let path = Path::new("/dev/console");
    let tree = rustix::mount::open_tree(
        user_side,
        "",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH,
    )?;
    // The mount of devpts forbids nothing that a console needs.
    let change = Change {
        set: Attributes::NO_SUID.with(Attributes::NO_EXEC),
        ..Change::default()
    };
    set_attributes(tree.as_fd(), change)?;
    let failed = |error: io::Error| Failure::new(&error).at(path);
    let place = in_root::open_or_make(context.root()?, path, Links::Refuse, Missing::File)
        .map_err(failed)?;
    attach(tree.as_fd(), place.as_fd()).map_err(|failure| failure.at(path))?;
    context.kept.extend([tree, place]);
    Ok(())
}
