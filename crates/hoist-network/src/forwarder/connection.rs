//! One client's TCP connection and the one to the container that goes with it.
//!
//! Both sockets are watched edge-triggered for everything, once; so every event leads to moving
//! bytes in both directions until neither moves. A side that ends is passed on as the end of
//! that direction only (half-close); an error on either side resets both.

use std::{net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::epoll::EventFlags,
    io::Errno,
    net::{self, AddressFamily, Shutdown, SocketFlags, SocketType, sockopt},
};

use super::pipe::{Moved, Pipe, Pipes};

/// How many times one event may fill a pipe, so that a fast connection leaves time for others.
const QUANTUM: usize = 16;

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    pipe: Option<Pipe>,
    /// The source has ended.
    ended: bool,
    /// The destination has been told.
    closed: bool,
}

/// A client, the container, and what is on its way between them.
#[derive(Debug)]
pub(super) struct Connection {
    client: OwnedFd,
    upstream: OwnedFd,
    connected: bool,
    request: Flow,
    response: Flow,
}

/// What becomes of a connection after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for the next event.
    Waits,
    /// It could go on at once.
    HasMore,
    /// Both directions have ended.
    Done,
    /// One side failed.
    Failed,
}

impl Connection {
    /// Starts to connect to `target`; on failure the client is reset and there is no connection.
    pub(super) fn begin(client: OwnedFd, target: SocketAddr) -> Option<Self> {
        let started = start(target);
        let Ok((upstream, connected)) = started else {
            reset(&client);
            return None;
        };
        for socket in [&client, &upstream] {
            // Small writes are passed on as they come, and peers that vanish are noticed at last.
            let _ = sockopt::set_tcp_nodelay(socket, true);
            let _ = sockopt::set_socket_keepalive(socket, true);
        }
        let (request, response) = (Flow::default(), Flow::default());
        Some(Self {
            client,
            upstream,
            connected,
            request,
            response,
        })
    }

    /// The client's socket and the container's.
    pub(super) fn sockets(&self) -> (&OwnedFd, &OwnedFd) {
        (&self.client, &self.upstream)
    }

    /// Takes note of an event on one of the sockets, and moves what can be moved.
    pub(super) fn proceed(
        &mut self,
        upstream: bool,
        flags: EventFlags,
        pipes: &mut Pipes,
    ) -> Progress {
        if flags.contains(EventFlags::ERR) {
            return Progress::Failed;
        }
        if !self.connected {
            if !upstream || !flags.intersects(EventFlags::OUT | EventFlags::HUP) {
                return Progress::Waits;
            }
            match sockopt::socket_error(&self.upstream) {
                Ok(Ok(())) => self.connected = true,
                _ => return Progress::Failed,
            }
        }
        let request = self.request.pump(&self.client, &self.upstream, pipes);
        let response = self.response.pump(&self.upstream, &self.client, pipes);
        let (Ok(request), Ok(response)) = (request, response) else {
            return Progress::Failed;
        };
        if self.request.closed && self.response.closed {
            Progress::Done
        } else if request || response {
            Progress::HasMore
        } else {
            Progress::Waits
        }
    }

    /// Resets both sides, so that neither takes what it got for complete.
    pub(super) fn abort(self) {
        reset(&self.client);
        reset(&self.upstream);
    }
}

/// A socket on its way to `target`, and whether it is there already.
fn start(target: SocketAddr) -> rustix::io::Result<(OwnedFd, bool)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if target.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, &target) {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS) => Ok((socket, false)),
        Err(errno) => Err(errno),
    }
}

/// Makes the close of `socket`, which follows, a reset.
fn reset(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

impl Flow {
    /// Moves bytes until neither end moves, or the quantum is used up: then `true`.
    fn pump(
        &mut self,
        source: &OwnedFd,
        destination: &OwnedFd,
        pipes: &mut Pipes,
    ) -> rustix::io::Result<bool> {
        if self.closed {
            return Ok(false);
        }
        let mut pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => pipes.take()?,
        };
        let more = self.move_through(&mut pipe, source, destination)?;
        let drained = pipe.is_empty();
        if drained {
            pipes.give(pipe);
        } else {
            self.pipe = Some(pipe);
        }
        if self.ended && drained {
            self.closed = true;
            match net::shutdown(destination, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(more)
    }

    fn move_through(
        &mut self,
        pipe: &mut Pipe,
        source: &OwnedFd,
        destination: &OwnedFd,
    ) -> rustix::io::Result<bool> {
        for _ in 0..QUANTUM {
            let filled = if self.ended {
                Moved::Nothing
            } else {
                pipe.fill(source)?
            };
            self.ended |= filled == Moved::End;
            let drained = pipe.drain(destination)?;
            if !matches!(filled, Moved::Bytes(_)) && !matches!(drained, Moved::Bytes(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
