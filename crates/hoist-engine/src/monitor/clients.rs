//! Clients of a monitor: who is connected, what they want, what they have yet to take.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::{
    error::EngineError,
    wire::{self, Decoder, Kind},
};

/// Output is not read while an attached client has more than this to take.
const MAX_PENDING: usize = 1 << 20;

/// One connection.
pub(super) struct Client {
    socket: UnixStream,
    decoder: Decoder,
    pending: Vec<u8>,
    /// Gets the output.
    pub(super) attached: bool,
    /// Its bytes go to standard input; its end is not the input's end.
    pub(super) feeds: bool,
    /// Nothing more comes from it.
    pub(super) closed: bool,
}

impl Client {
    pub(super) fn new(socket: UnixStream) -> Result<Self, EngineError> {
        socket
            .set_nonblocking(true)
            .map_err(EngineError::system("fcntl"))?;
        Ok(Self {
            socket,
            decoder: Decoder::default(),
            pending: Vec::new(),
            attached: false,
            feeds: false,
            closed: false,
        })
    }

    /// Frames that have arrived. A peer that breaks the protocol is a peer that has gone.
    pub(super) fn receive(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let mut frames = Vec::new();
        match self.decoder.fill(&self.socket, 1 << 16) {
            Ok(0) => self.closed = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return frames,
                Err(_) => {
                    self.closed = true;
                    return frames;
                }
            }
        }
    }

    pub(super) fn push(&mut self, kind: Kind, body: &[u8]) {
        wire::push(&mut self.pending, kind, body);
        self.flush();
    }

    pub(super) const fn is_full(&self) -> bool {
        self.attached && self.pending.len() > MAX_PENDING
    }

    pub(super) const fn wants_to_write(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Write what the client takes.
    pub(super) fn flush(&mut self) {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    self.pending.clear();
                }
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
