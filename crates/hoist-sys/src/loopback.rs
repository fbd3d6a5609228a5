//! Bringing up `lo` in the network namespace of the calling process: one socket, one `ioctl`.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Sets the loopback interface up; the kernel gives it 127.0.0.1/8 and ::1 by itself.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN` in the namespace.
pub fn up() -> io::Result<()> {
    let socket: OwnedFd = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    let flags = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or(0);
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
