//! Messages over a local socket, each with at most one descriptor (`SCM_RIGHTS` of `unix(7)`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// A connected pair of close-on-exec sockets that keep message boundaries (`SOCK_SEQPACKET`).
///
/// # Errors
///
/// When the process has too many descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message, with a descriptor on top if given.
///
/// # Errors
///
/// `EPIPE` when the other end is closed (no signal is raised), and what `sendmsg(2)` says.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        match rustix::net::sendmsg(
            socket,
            &[IoSlice::new(message)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message into `buffer`: its length (0 when the other end is closed), and the
/// descriptor that came with it, close-on-exec.
///
/// # Errors
///
/// What `recvmsg(2)` says.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for received in descriptors {
                descriptor.get_or_insert(received);
            }
        }
    }
    Ok((received.bytes, descriptor))
}

/// Whether the other end of `socket` is closed and nothing is left to read.
///
/// # Errors
///
/// What `recv(2)` says.
pub fn is_closed(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut byte = [0_u8; 1];
    match rustix::net::recv(socket, &mut byte, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
        Ok((_, 0)) => Ok(true),
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Seek, Write},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn a_descriptor_goes_over() {
        let (left, right) = pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"inside").unwrap();
        file.rewind().unwrap();
        send(left.as_fd(), b"take", Some(file.as_fd())).unwrap();
        send(left.as_fd(), b"plain", None).unwrap();

        let mut buffer = [0; 16];
        let (length, descriptor) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"take");
        let mut text = String::new();
        File::from(descriptor.unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "inside");

        assert!(!is_closed(right.as_fd()).unwrap());
        let (length, descriptor) = receive(right.as_fd(), &mut buffer).unwrap();
        assert_eq!(
            (&buffer[..length], descriptor.is_none()),
            (&b"plain"[..], true)
        );
        drop(left);
        // A process that a test beside this one clones has the descriptor, too, until it executes.
        let begun = std::time::Instant::now();
        while !is_closed(right.as_fd()).unwrap() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10));
            std::thread::yield_now();
        }
        assert_eq!(receive(right.as_fd(), &mut buffer).unwrap().0, 0);
        assert!(send(right.as_fd(), b"x", None).is_err());
    }
}
