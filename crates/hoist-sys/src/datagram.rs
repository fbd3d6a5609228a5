//! Datagrams with the local address that they came to.
//!
//! A UDP socket bound to every address must answer from the address that its client wrote to, or
//! the client takes the answer for a stranger's. `IP_PKTINFO` and `IPV6_PKTINFO` (`ip(7)`,
//! `ipv6(7)`) tell the address on the way in and set it on the way out.

use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// A datagram that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer; a longer datagram is cut off.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The own address that it was sent to.
    pub to: Option<IpAddr>,
}

/// Room for one control message, aligned as `struct cmsghdr` wants it.
type Control = [u64; 8];

/// Asks that [`receive`] be told the local address. `ipv6` is the family of the socket.
///
/// # Errors
///
/// `setsockopt(2)` failed: the descriptor is no socket of that family.
pub fn report_local_address(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the option is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Receives one datagram into `buffer` without waiting.
///
/// # Errors
///
/// `WouldBlock` when there is none; otherwise what `recvmsg(2)` says.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: all-zero bytes are a valid value of both plain C structs.
    let (mut name, mut message): (libc::sockaddr_storage, libc::msghdr) = unsafe { mem::zeroed() };
    let mut control: Control = [0; 8];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    // SAFETY: every pointer in `message` leads to a live buffer of the length beside it.
    let length = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
        )
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let from = socket_address(&name)
        .ok_or_else(|| io::Error::other("a datagram came from an address of unknown family"))?;
    // SAFETY: `message` was filled in by `recvmsg`, and its control buffer is still alive.
    let to = unsafe { local_address(&message) };
    Ok(Received { length, from, to })
}

/// Sends `bytes` as one datagram to `to` without waiting, from the own address `from` if given.
///
/// # Errors
///
/// `WouldBlock` when the queue is full; otherwise what `sendmsg(2)` says.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C struct.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    let (mut name, name_length) = storage(to);
    let mut control: Control = [0; 8];
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = name_length;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(from) = from {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        // SAFETY: the control buffer is aligned, zeroed, and larger than either message.
        unsafe { set_source(&mut message, from) };
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer in `message` leads to a live buffer of the length beside it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Writes the control message that sets the source address, and the length of the buffer.
///
/// # Safety
///
/// `message` has a control buffer, aligned for `struct cmsghdr`, of 64 zeroed bytes.
unsafe fn set_source(message: &mut libc::msghdr, from: IpAddr) {
    // SAFETY: the caller vouches for the buffer; the casts read nothing, and both data
    // structures fit behind the header in 64 bytes.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        let data = libc::CMSG_DATA(header);
        let length = match from {
            IpAddr::V4(address) => {
                (*header).cmsg_level = libc::IPPROTO_IP;
                (*header).cmsg_type = libc::IP_PKTINFO;
                let mut info: libc::in_pktinfo = mem::zeroed();
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(address.octets());
                ptr::write_unaligned(data.cast(), info);
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(address) => {
                (*header).cmsg_level = libc::IPPROTO_IPV6;
                (*header).cmsg_type = libc::IPV6_PKTINFO;
                let mut info: libc::in6_pktinfo = mem::zeroed();
                info.ipi6_addr.s6_addr = address.octets();
                ptr::write_unaligned(data.cast(), info);
                size_of::<libc::in6_pktinfo>()
            }
        };
        (*header).cmsg_len = libc::CMSG_LEN(length as u32) as _;
        message.msg_controllen = libc::CMSG_SPACE(length as u32) as _;
    }
}

/// The local address among the control messages.
///
/// # Safety
///
/// `message` was filled in by `recvmsg(2)` and its control buffer is alive.
unsafe fn local_address(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the CMSG walk stays within the control buffer, whose length the kernel set; the
    // data of each message is as long as its type says.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = ptr::read_unaligned(data.cast());
                    return Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = ptr::read_unaligned(data.cast());
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, large and aligned enough for every
            // address, holds this one.
            let name: &libc::sockaddr_in = unsafe { &*(&raw const *name).cast() };
            let address = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(address, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name: &libc::sockaddr_in6 = unsafe { &*(&raw const *name).cast() };
            let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(SocketAddrV6::new(address, port, name.sin6_flowinfo, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn storage(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are a valid value of these plain C structs, and the storage is
    // large and aligned enough for either address.
    unsafe {
        let mut storage: libc::sockaddr_storage = mem::zeroed();
        let length = match address {
            SocketAddr::V4(address) => {
                let mut name: libc::sockaddr_in = mem::zeroed();
                name.sin_family = libc::AF_INET as libc::sa_family_t;
                name.sin_port = address.port().to_be();
                name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                ptr::write((&raw mut storage).cast(), name);
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(address) => {
                let mut name: libc::sockaddr_in6 = mem::zeroed();
                name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                name.sin6_port = address.port().to_be();
                name.sin6_addr.s6_addr = address.ip().octets();
                name.sin6_flowinfo = address.flowinfo();
                name.sin6_scope_id = address.scope_id();
                ptr::write((&raw mut storage).cast(), name);
                size_of::<libc::sockaddr_in6>()
            }
        };
        (storage, length as libc::socklen_t)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use super::*;

    fn wait(socket: &UdpSocket) {
        let mut fds = [rustix::event::PollFd::new(
            socket,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        report_local_address(server.as_fd(), false).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.77", port)).unwrap();
        client.send(b"question").unwrap();
        wait(&server);
        let mut buffer = [0; 64];
        let received = receive(server.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..received.length], b"question");
        assert_eq!(received.from, client.local_addr().unwrap());
        assert_eq!(received.to, Some(Ipv4Addr::new(127, 0, 0, 77).into()));
        send(server.as_fd(), b"answer", received.from, received.to).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer");
        let nothing = receive(server.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn ipv6_too() {
        let server = UdpSocket::bind("[::]:0").unwrap();
        report_local_address(server.as_fd(), true).unwrap();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client
            .connect(("::1", server.local_addr().unwrap().port()))
            .unwrap();
        client.send(b"q").unwrap();
        wait(&server);
        let mut buffer = [0; 8];
        let received = receive(server.as_fd(), &mut buffer).unwrap();
        assert_eq!(received.to, Some(Ipv6Addr::LOCALHOST.into()));
        send(server.as_fd(), b"a", received.from, received.to).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 1);
    }
}
