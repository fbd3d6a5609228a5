//! Rounds of netlink: a batch of requests goes out in one `sendmsg`, the answers come back.
//!
//! The kernel works through the requests of one buffer while the send call runs, so every answer
//! is in the receive queue when it returns. A round therefore never sleeps: it reads until the
//! last request is acknowledged, or until the queue is empty, and needs no timeout. Only the last
//! request asks for an acknowledgement; earlier ones speak up when they fail.
//!
//! [`route`] speaks `NETLINK_ROUTE` (links, addresses, routes), [`nftables`] and [`conntrack`]
//! speak `NETLINK_NETFILTER`. Formats: `linux/netlink.h`, `linux/rtnetlink.h`,
//! `linux/netfilter/nf_tables.h`, and the kernel's `Documentation/userspace-api/netlink/`.

pub mod conntrack;
mod message;
pub mod nftables;
pub mod route;

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink,
};

pub use message::{Attributes, Body, Requests};
use message::{HEADER, Header, align};

use crate::setns::within_network;

/// The kernel's side of a netlink socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses and routes.
    Route,
    /// nf_tables and connection tracking.
    Netfilter,
}

/// A netlink socket of one protocol in one network namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// One message that the kernel sent for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message type (`RTM_NEWLINK`, …).
    pub kind: u16,
    /// What follows the netlink header.
    pub payload: Vec<u8>,
}

/// A request that the kernel refused.
#[derive(Debug)]
pub struct RoundError {
    /// The position in the round's requests; absent when the whole round was refused.
    pub request: Option<usize>,
    /// Why.
    pub source: io::Error,
    /// The kernel's own words, where it has any.
    pub detail: Option<String>,
}

impl RoundError {
    /// The error number, when the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for RoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RoundError {}

impl From<io::Error> for RoundError {
    fn from(source: io::Error) -> Self {
        Self {
            request: None,
            source,
            detail: None,
        }
    }
}

/// Large batches (thousands of published ports) need more room than the default send buffer.
const ORDINARY_BATCH: usize = 96 * 1024;

/// The kernel fills a dump's buffers up to 32 KiB.
const RECEIVE_BUFFER: usize = 32 * 1024;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

impl Socket {
    /// A socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// `socket(2)` failed, or the kernel lacks the protocol.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(net::netlink::NETFILTER),
        };
        let fd = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            number,
        )?;
        let socket = Self { fd };
        socket.ask_for_details()?;
        Ok(socket)
    }

    /// A socket in the network namespace behind `namespace`; the calling thread visits it.
    ///
    /// # Errors
    ///
    /// Those of [`within_network`] and of [`Socket::open`].
    pub fn open_in(namespace: BorrowedFd<'_>, protocol: Protocol) -> io::Result<Self> {
        within_network(namespace, || Self::open(protocol))?
    }

    /// The index of the interface `name` in the socket's namespace (`SIOCGIFINDEX`), or nothing.
    ///
    /// # Errors
    ///
    /// The call failed for another reason than that there is no such interface.
    pub fn index_of(&self, name: &str) -> io::Result<Option<u32>> {
        match net::netdevice::name_to_index(&self.fd, name) {
            Ok(index) => Ok(Some(index)),
            Err(rustix::io::Errno::NODEV) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends `requests` at once and returns what the kernel answered.
    ///
    /// Route requests are independent of each other: the kernel goes on after one that fails.
    /// The requests of an nf_tables transaction take effect together or not at all.
    ///
    /// # Errors
    ///
    /// The first request that the kernel refused for a reason that was not
    /// [tolerated](Requests::tolerate), or a failure of the socket itself.
    pub fn round(&self, requests: Requests) -> Result<Vec<Reply>, RoundError> {
        let sealed = requests.seal();
        let Some(last) = sealed.last else {
            return Ok(Vec::new());
        };
        if sealed.bytes.len() > ORDINARY_BATCH {
            let room = sealed.bytes.len() * 2;
            net::sockopt::set_socket_send_buffer_size_force(&self.fd, room)
                .map_err(io::Error::from)?;
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        net::sendto(&self.fd, &sealed.bytes, SendFlags::empty(), &kernel)
            .map_err(io::Error::from)?;
        let mut answers = Answers {
            replies: Vec::new(),
            failure: None,
            finished: false,
            last,
            tolerated: &sealed.tolerated,
        };
        let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
        while !answers.finished {
            buffer.clear();
            match net::recv(
                &self.fd,
                rustix::buffer::spare_capacity(&mut buffer),
                RecvFlags::DONTWAIT,
            ) {
                Ok(_) => answers.take(&buffer),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        match answers.failure {
            Some(failure) => Err(failure),
            None if answers.finished => Ok(answers.replies),
            None => Err(io::Error::other("the kernel did not acknowledge the request").into()),
        }
    }

    /// Asks the kernel to say in words why it refuses a request (`NETLINK_EXT_ACK`).
    fn ask_for_details(&self) -> io::Result<()> {
        let on: libc::c_int = 1;
        // SAFETY: the descriptor is open, and the option is an int that outlives the call.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_EXT_ACK,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a round has heard so far.
struct Answers<'a> {
    replies: Vec<Reply>,
    failure: Option<RoundError>,
    finished: bool,
    /// The sequence number whose acknowledgement ends the round.
    last: u32,
    tolerated: &'a [(u32, i32)],
}

impl Answers<'_> {
    /// Takes in the messages of one datagram.
    fn take(&mut self, datagram: &[u8]) {
        let mut rest = datagram;
        while let Some((header, payload, next)) = Header::split(rest) {
            match header.kind {
                NLMSG_NOOP => {}
                NLMSG_ERROR => self.acknowledge(&header, payload),
                NLMSG_DONE => {
                    let status = payload.first_chunk().map_or(0, |&b| i32::from_ne_bytes(b));
                    self.conclude(header.sequence, status, None);
                }
                kind => self.replies.push(Reply {
                    kind,
                    payload: payload.to_vec(),
                }),
            }
            rest = next;
        }
    }

    fn acknowledge(&mut self, header: &Header, payload: &[u8]) {
        let status = payload
            .first_chunk()
            .map_or(-libc::EPROTO, |&b| i32::from_ne_bytes(b));
        let details = if header.flags & NLM_F_ACK_TLVS == 0 {
            None
        } else {
            // The refused request is repeated whole unless the answer is capped.
            let quoted = payload.get(4..).and_then(|quoted| quoted.first_chunk());
            let quoted = quoted.map_or(0, |&length| u32::from_ne_bytes(length) as usize);
            let quoted = if header.flags & NLM_F_CAPPED == 0 {
                align(quoted)
            } else {
                HEADER
            };
            payload.get(4 + quoted.max(HEADER)..)
        };
        let detail = details.and_then(|details| Attributes::new(details).text(NLMSGERR_ATTR_MSG));
        self.conclude(header.sequence, status, detail);
    }

    /// Notes the outcome (`0`, or a negative error number) of the request `sequence`.
    fn conclude(&mut self, sequence: u32, status: i32, detail: Option<String>) {
        let errno = status.saturating_neg();
        if errno > 0 && !self.tolerated.contains(&(sequence, errno)) && self.failure.is_none() {
            self.failure = Some(RoundError {
                request: (sequence as usize).checked_sub(1),
                source: io::Error::from_raw_os_error(errno),
                detail,
            });
        }
        self.finished |= sequence == self.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sequence: u32, status: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(36_u32.to_ne_bytes());
        bytes.extend(NLMSG_ERROR.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(status.to_ne_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    fn heard(tolerated: &[(u32, i32)], datagram: &[u8]) -> (Option<(usize, i32)>, bool) {
        let mut answers = Answers {
            replies: Vec::new(),
            failure: None,
            finished: false,
            last: 3,
            tolerated,
        };
        answers.take(datagram);
        let failure = answers
            .failure
            .map(|e| (e.request.unwrap(), e.errno().unwrap()));
        (failure, answers.finished)
    }

    #[test]
    fn the_first_failure_counts_and_the_last_request_ends_the_round() {
        let datagram = [error(2, -libc::EEXIST), error(3, -libc::ENODEV)].concat();
        assert_eq!(heard(&[], &datagram), (Some((1, libc::EEXIST)), true));
        assert_eq!(
            heard(&[(2, libc::EEXIST)], &datagram),
            (Some((2, libc::ENODEV)), true)
        );
        assert_eq!(heard(&[], &error(2, 0)), (None, false));
        assert_eq!(heard(&[], &error(3, 0)), (None, true));
    }

    #[test]
    fn a_refusal_carries_the_words_of_the_kernel() {
        let socket = Socket::open(Protocol::Route).unwrap();
        let mut requests = Requests::new();
        requests.create_bridge(&route::NewBridge {
            name: "",
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1,
        });
        let error = socket.round(requests).unwrap_err();
        assert_eq!(error.request, Some(0));
        assert!(error.errno().is_some(), "{error}");
    }

    #[test]
    fn an_empty_round_is_no_round() {
        let socket = Socket::open(Protocol::Route).unwrap();
        assert_eq!(socket.round(Requests::new()).unwrap(), []);
    }
}
