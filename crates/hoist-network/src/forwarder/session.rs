//! UDP: a session for each client, so that answers find their way back.
//!
//! A session is a socket of its own that is connected to the container; what comes out of it is
//! for one client, and goes back from the address that the client wrote to. Sessions end when
//! nothing has passed for a while; when there are too many, the one that was quiet longest goes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hoist_sys::datagram;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{BURST, listen::Listener};

/// How long a session without traffic lasts, as with Docker.
pub(super) const IDLE: Duration = Duration::from_secs(90);
/// The largest datagram that IP allows.
const LARGEST: usize = 64 * 1024;

/// Whose datagrams a session carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    listener: usize,
    client: SocketAddr,
    /// The own address that the client wrote to.
    local: Option<IpAddr>,
}

#[derive(Debug)]
struct Session {
    peer: Peer,
    socket: OwnedFd,
    used: Instant,
}

/// The sessions of all listeners.
#[derive(Debug)]
pub(super) struct Sessions {
    sessions: Vec<Option<Session>>,
    by_peer: HashMap<Peer, usize>,
    most: usize,
    buffer: Vec<u8>,
}

impl Sessions {
    /// No sessions yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            sessions: Vec::new(),
            by_peer: HashMap::new(),
            most,
            buffer: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_peer.is_empty()
    }

    /// Carries datagrams that wait at `listener` to `target`. `watch` registers the socket of a
    /// new session. What cannot be carried is lost, as datagrams are.
    pub(super) fn carry(
        &mut self,
        (number, listener): (usize, &Listener),
        target: SocketAddr,
        now: Instant,
        watch: &dyn Fn(BorrowedFd<'_>, usize) -> rustix::io::Result<()>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(LARGEST, 0);
        for _ in 0..BURST {
            let received = match datagram::receive(listener.socket.as_fd(), &mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let peer = Peer {
                listener: number,
                client: received.from,
                local: received.to,
            };
            let Ok(session) = self.session(peer, target, now, watch) else {
                continue;
            };
            session.used = now;
            let bytes = &buffer[..received.length];
            // An earlier refusal by the container is reported here once; then it may be sent.
            if net::send(&session.socket, bytes, SendFlags::DONTWAIT).is_err() {
                let _ = net::send(&session.socket, bytes, SendFlags::DONTWAIT);
            }
        }
        self.buffer = buffer;
    }

    /// Carries the answers that wait at session `n` back to its client.
    pub(super) fn answer(&mut self, n: usize, listeners: &[Listener]) {
        let Some(Some(session)) = self.sessions.get_mut(n) else {
            return;
        };
        let listener = &listeners[session.peer.listener];
        self.buffer.resize(LARGEST, 0);
        for _ in 0..BURST {
            match net::recv(&session.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    session.used = Instant::now();
                    let bytes = &self.buffer[..length];
                    let (client, local) = (session.peer.client, session.peer.local);
                    let _ = datagram::send(listener.socket.as_fd(), bytes, client, local);
                }
                // Nothing more, or the container refused: the client learns by silence.
                Err(_) => break,
            }
        }
    }

    /// Ends the sessions that have been idle at `now` for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        for place in &mut self.sessions {
            let idle = |session: &Session| now.saturating_duration_since(session.used) >= IDLE;
            if let Some(session) = place.take_if(|session| idle(session)) {
                self.by_peer.remove(&session.peer);
            }
        }
    }

    fn session(
        &mut self,
        peer: Peer,
        target: SocketAddr,
        now: Instant,
        watch: &dyn Fn(BorrowedFd<'_>, usize) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<&mut Session> {
        let n = match self.by_peer.get(&peer) {
            Some(&n) => n,
            None => {
                let n = self.vacancy();
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
                net::connect(&socket, &target)?;
                watch(socket.as_fd(), n)?;
                self.sessions[n] = Some(Session {
                    peer,
                    socket,
                    used: now,
                });
                self.by_peer.insert(peer, n);
                n
            }
        };
        Ok(self.sessions[n]
            .as_mut()
            .expect("a peer that is known has a session"))
    }

    /// A free place; the session that was quiet longest makes room if need be.
    fn vacancy(&mut self) -> usize {
        if self.by_peer.len() < self.most {
            if let Some(n) = self.sessions.iter().position(Option::is_none) {
                return n;
            }
            self.sessions.push(None);
            return self.sessions.len() - 1;
        }
        let used = |n: &usize| self.sessions[*n].as_ref().map(|session| session.used);
        let oldest = (0..self.sessions.len())
            .filter(|n| used(n).is_some())
            .min_by_key(used);
        let n = oldest.expect("there are sessions, for there are too many");
        if let Some(session) = self.sessions[n].take() {
            self.by_peer.remove(&session.peer);
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use hoist_core::port::Protocol;

    fn listener() -> (Listener, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let protocol = Protocol::Udp;
        (
            Listener {
                socket: socket.into(),
                protocol,
                container_port: 1,
            },
            address,
        )
    }

    #[test]
    fn idle_sessions_end_and_the_oldest_makes_room() {
        let (listener, address) = listener();
        let container = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = container.local_addr().unwrap();
        let mut sessions = Sessions::new(2);
        let start = Instant::now();
        let watch = |_: BorrowedFd<'_>, _: usize| Ok(());
        let clients: Vec<_> = (0..3)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for (n, client) in clients.iter().enumerate() {
            client
                .send_to(&[b'0' + u8::try_from(n).unwrap()], address)
                .unwrap();
            let now = start + Duration::from_secs(n as u64);
            sessions.carry((0, &listener), target, now, &watch);
            let mut buffer = [0; 8];
            assert_eq!(container.recv_from(&mut buffer).unwrap().0, 1);
            assert_eq!(usize::from(buffer[0] - b'0'), n);
        }
        assert_eq!(sessions.by_peer.len(), 2);
        let first = clients[0].local_addr().unwrap();
        assert!(sessions.by_peer.keys().all(|peer| peer.client != first));
        sessions.expire(start + IDLE);
        assert_eq!(sessions.by_peer.len(), 2);
        sessions.expire(start + IDLE + Duration::from_secs(1));
        assert_eq!(sessions.by_peer.len(), 1);
        sessions.expire(start + IDLE + Duration::from_secs(2));
        assert!(sessions.is_empty() && sessions.sessions.iter().all(Option::is_none));
    }
}
