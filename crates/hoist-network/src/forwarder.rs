//! The listening sockets of published ports, and what comes in through them.
//!
//! A monitor holds one [`Forwarder`] for its container. It makes conflicts of ports visible (to
//! other programs, `ss`, and firewalls), and it serves what the rules of the table do not see:
//! the host's own traffic, loopback, and IPv6. Traffic of other hosts over IPv4 is translated in
//! the kernel before it would get here.
//!
//! One thread, no waiting: everything is registered with one epoll descriptor, which the owner
//! watches among others; each time it is readable, [`Forwarder::turn`] does what can be done at
//! once. Bytes of connections go through pipes with `splice(2)` and are never copied.
//!
//! Descriptors are bounded by the soft limit of the process at the time of binding; past it,
//! clients wait in the kernel's queue. An idle connection costs two descriptors; pipes are
//! borrowed while bytes are on their way.

mod connection;
mod holder;
mod listen;
mod pipe;
mod session;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
    process::{Resource, getrlimit},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags},
};

use self::{
    connection::{Connection, Progress},
    listen::Listener,
    pipe::Pipes,
    session::Sessions,
};
use hoist_core::port::Protocol;

use crate::{NetworkError, PublishedPort};

/// Descriptors that are left for the rest of the process.
const RESERVE: usize = 64;
/// Two sockets, and two pipes of two ends.
const DESCRIPTORS_PER_CONNECTION: usize = 6;
const MOST_CONNECTIONS: usize = 10_000;
const MOST_SESSIONS: usize = 1024;
/// How many connections or datagrams one listener may take in one turn.
const BURST: usize = 64;
/// How often idle sessions are looked for, and accepting is tried again after a shortage.
const TICK: Duration = Duration::from_secs(15);

/// What an event of the epoll descriptor is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Listener(usize),
    Client(usize),
    Upstream(usize),
    Session(usize),
    Timer,
}

impl Token {
    fn data(self) -> EventData {
        let (kind, index) = match self {
            Self::Listener(n) => (0, n),
            Self::Client(n) => (1, n),
            Self::Upstream(n) => (2, n),
            Self::Session(n) => (3, n),
            Self::Timer => (4, 0),
        };
        EventData::new_u64(kind << 32 | index as u64)
    }

    fn of(data: EventData) -> Self {
        let index = (data.u64() & 0xffff_ffff)
            .try_into()
            .expect("indexes began as usize");
        match data.u64() >> 32 {
            0 => Self::Listener(index),
            1 => Self::Client(index),
            2 => Self::Upstream(index),
            3 => Self::Session(index),
            _ => Self::Timer,
        }
    }
}

/// Listens on published ports and carries what comes in to the container.
#[derive(Debug)]
pub struct Forwarder {
    epoll: OwnedFd,
    timer: OwnedFd,
    timer_runs: bool,
    listeners: Vec<Listener>,
    target: Option<Ipv4Addr>,
    connections: Vec<Option<Connection>>,
    /// Free places among the connections, and those that become free after this turn: an event
    /// that is still to be looked at may be about the old connection.
    vacant: Vec<usize>,
    vacated: Vec<usize>,
    open: usize,
    most_connections: usize,
    /// Whether the listeners are out of the epoll set for want of descriptors.
    paused: bool,
    /// Whether something has happened that may have ended the want.
    relieved: bool,
    pipes: Pipes,
    sessions: Sessions,
}

impl Forwarder {
    /// Listens on all of `requests`, or on none. A port without a host address is listened on
    /// over IPv4 and, where the host has it, IPv6. Returns the requests with every host port that
    /// was zero filled in.
    ///
    /// # Errors
    ///
    /// [`NetworkError::PortTaken`] with the process that holds it, [`NetworkError::Listen`] for
    /// other refusals, [`NetworkError::Serve`] when no descriptor is left.
    pub fn bind(requests: &[PublishedPort]) -> Result<(Self, Vec<PublishedPort>), NetworkError> {
        let (listeners, bound) = listen::all(requests)?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let room = limit.saturating_sub(RESERVE + listeners.len());
        let most_sessions = (room / 8).clamp(1, MOST_SESSIONS);
        let for_connections = room.saturating_sub(most_sessions) / DESCRIPTORS_PER_CONNECTION;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags);
        let forwarder = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(serve)?,
            timer: timer.map_err(serve)?,
            timer_runs: false,
            listeners,
            target: None,
            connections: Vec::new(),
            vacant: Vec::new(),
            vacated: Vec::new(),
            open: 0,
            most_connections: for_connections.clamp(1, MOST_CONNECTIONS),
            paused: true,
            relieved: false,
            pipes: Pipes::default(),
            sessions: Sessions::new(most_sessions),
        };
        forwarder
            .watch(&forwarder.timer, Token::Timer, EventFlags::IN)
            .map_err(serve)?;
        Ok((forwarder, bound))
    }

    /// Begins to serve: what comes in goes to the container at `address`. Until then clients wait
    /// in the kernel's queue.
    ///
    /// # Errors
    ///
    /// The listeners cannot be watched, for want of memory.
    pub fn connect_to(&mut self, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.target = Some(address);
        self.resume().map_err(serve)
    }

    /// How many listening sockets there are.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.listeners.len()
    }

    /// Does what can be done without waiting; call it whenever the descriptor is readable.
    ///
    /// # Errors
    ///
    /// Only a failure of the epoll descriptor itself; troubles of single clients end that
    /// client's connection and nothing else.
    pub fn turn(&mut self) -> Result<(), NetworkError> {
        let mut events: Vec<Event> = Vec::with_capacity(128);
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, room, Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(serve(errno)),
        }
        for event in &events {
            // The structure is packed on some machines: copy the fields out.
            let (data, flags) = (event.data, event.flags);
            match Token::of(data) {
                Token::Listener(n) => self.listener_ready(n),
                Token::Client(n) => self.connection_ready(n, false, flags),
                Token::Upstream(n) => self.connection_ready(n, true, flags),
                Token::Session(n) => self.sessions.answer(n, &self.listeners),
                Token::Timer => self.tick(Instant::now()),
            }
        }
        self.relieved |= !self.vacated.is_empty();
        self.vacant.append(&mut self.vacated);
        if std::mem::take(&mut self.relieved) && self.paused && self.target.is_some() {
            // A failure is tried again at the next tick.
            let _ = self.resume();
        }
        self.set_timer();
        Ok(())
    }

    fn watch(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, token.data(), flags)
    }

    /// Watches the listeners.
    fn resume(&mut self) -> rustix::io::Result<()> {
        for (n, listener) in self.listeners.iter().enumerate() {
            match self.watch(&listener.socket, Token::Listener(n), EventFlags::IN) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.paused = false;
        Ok(())
    }

    /// Leaves new connections in the kernel's queue until one of the present ones ends.
    fn pause(&mut self) {
        for listener in self
            .listeners
            .iter()
            .filter(|l| l.protocol == Protocol::Tcp)
        {
            let _ = epoll::delete(&self.epoll, &listener.socket);
        }
        self.paused = true;
    }

    fn listener_ready(&mut self, n: usize) {
        let Some(address) = self.target else { return };
        let listener = &self.listeners[n];
        let target = SocketAddrV4::new(address, listener.container_port).into();
        match listener.protocol {
            Protocol::Tcp => self.accept(n, target),
            Protocol::Udp => {
                let epoll = &self.epoll;
                let watch = |fd: BorrowedFd<'_>, session: usize| {
                    epoll::add(epoll, fd, Token::Session(session).data(), EventFlags::IN)
                };
                self.sessions
                    .carry((n, listener), target, Instant::now(), &watch);
            }
        }
    }

    fn accept(&mut self, n: usize, target: SocketAddr) {
        for _ in 0..BURST {
            if self.open >= self.most_connections {
                return self.pause();
            }
            match listen::accept(&self.listeners[n].socket) {
                Ok(client) => self.begin(client, target),
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.pause();
                }
                // The client is gone before it was accepted, or the network has had a trouble
                // that accept(2) passes on: the next one may be fine.
                Err(_) => {}
            }
        }
    }

    /// Starts a connection to the container for `client`; a failure resets the client.
    fn begin(&mut self, client: OwnedFd, target: SocketAddr) {
        let Some(connection) = Connection::begin(client, target) else {
            return;
        };
        let n = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let (client, upstream) = connection.sockets();
        let watched = self
            .watch(client, Token::Client(n), flags)
            .and_then(|()| self.watch(upstream, Token::Upstream(n), flags));
        if watched.is_err() {
            connection.abort();
            self.vacant.push(n);
            return;
        }
        self.connections[n] = Some(connection);
        self.open += 1;
        // What the client sent already raised its event before it was watched for.
        self.connection_ready(n, false, EventFlags::empty());
    }

    fn connection_ready(&mut self, n: usize, upstream: bool, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(n).and_then(Option::as_mut) else {
            return;
        };
        let progress = connection.proceed(upstream, flags, &mut self.pipes);
        match progress {
            Progress::Waits => {}
            Progress::HasMore => {
                // Setting the same interest again makes an edge-triggered event come again.
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                let (client, container) = connection.sockets();
                let _ = epoll::modify(&self.epoll, client, Token::Client(n).data(), flags);
                let _ = epoll::modify(&self.epoll, container, Token::Upstream(n).data(), flags);
            }
            Progress::Done | Progress::Failed => {
                if let Some(connection) = self.connections[n].take() {
                    if progress == Progress::Failed {
                        connection.abort();
                    }
                    self.open -= 1;
                    self.vacated.push(n);
                }
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut count);
        self.sessions.expire(now);
        self.relieved = true;
    }

    /// The timer runs while there is something to look after, so that an idle forwarder sleeps.
    fn set_timer(&mut self) {
        let needed = !self.sessions.is_empty() || (self.paused && self.target.is_some());
        if needed == self.timer_runs {
            return;
        }
        let interval = if needed { TICK } else { Duration::ZERO };
        let interval = Timespec::try_from(interval).expect("a few seconds");
        let spec = Itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        if rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec).is_ok() {
            self.timer_runs = needed;
        }
    }
}

/// The epoll descriptor: readable when [`Forwarder::turn`] has something to do.
impl AsFd for Forwarder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn serve(errno: Errno) -> NetworkError {
    NetworkError::Serve(io::Error::from(errno))
}
