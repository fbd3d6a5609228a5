//! An SSH agent reached from a step: a socket of the step's own, behind which the real agent
//! answers two questions and no other.
//!
//! The step may list keys and have data signed. It may not add, remove or lock keys: such requests
//! get the protocol's failure (draft-miller-ssh-agent) without reaching the agent.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::private::Access;
use crate::error::BuildError;

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`.
const ALLOWED: [u8; 2] = [11, 13];

/// `SSH_AGENT_FAILURE` as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// The longest message, in bytes: OpenSSH's limit.
const LONGEST: usize = 256 * 1024;

/// A socket that forwards to an agent until it is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    /// Closed on drop, which ends the thread that accepts.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Listen at `path`, which gets `access`, and forward to the agent at `agent`.
    pub(super) fn open(path: &Path, access: Access, agent: &Path) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Io {
            action: "listen at",
            path: path.to_owned(),
            source,
        };
        // An agent that is not there is told before the step runs.
        UnixStream::connect(agent).map_err(|source| BuildError::Agent {
            socket: agent.to_owned(),
            source,
        })?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        access.apply(path).map_err(failed)?;
        let (ended, stop) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let agent: Arc<PathBuf> = Arc::new(agent.to_owned());
        let thread = std::thread::spawn(move || accept(&listener, &ended, &agent));
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

/// Serve connections until `ended` is closed at its other end.
fn accept(listener: &UnixListener, ended: &OwnedFd, agent: &Arc<PathBuf>) {
    loop {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        if let Ok((client, _)) = listener.accept() {
            let agent = Arc::clone(agent);
            // It ends with its client, which is gone when the step is.
            std::thread::spawn(move || {
                // Either side may hang up at any time.
                let _ = serve(client, &agent);
            });
        }
    }
}

/// Answer the requests of one client.
fn serve(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent)?;
    while let Some(request) = message(&mut client)? {
        let is_allowed = request.get(4).is_some_and(|kind| ALLOWED.contains(kind));
        if !is_allowed {
            client.write_all(&FAILURE)?;
            continue;
        }
        agent.write_all(&request)?;
        let Some(answer) = message(&mut agent)? else {
            return Ok(());
        };
        client.write_all(&answer)?;
    }
    Ok(())
}

/// The next message with its length before it; `None` at the end of the stream.
fn message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(head) as usize;
    if length == 0 || length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = head.to_vec();
    bytes.resize(4 + length, 0);
    stream.read_exact(&mut bytes[4..])?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every message with the kind of it.
    fn agent(path: &Path) {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                while let Ok(Some(request)) = message(&mut client) {
                    client.write_all(&[0, 0, 0, 2, 12, request[4]]).unwrap();
                }
            }
        });
    }

    #[test]
    fn keys_are_listed_and_used_but_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        agent(&real);
        let path = directory.path().join("step");
        let access = Access {
            mode: 0o600,
            uid: 0,
            gid: 0,
        };
        let forward = Forward::open(&path, access, &real).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let mut ask = |kind: u8| {
            client.write_all(&[0, 0, 0, 1, kind]).unwrap();
            message(&mut client).unwrap().unwrap()
        };
        assert_eq!(ask(11), [0, 0, 0, 2, 12, 11]);
        assert_eq!(ask(13), [0, 0, 0, 2, 12, 13]);
        for refused in [17, 18, 19, 22, 23, 27] {
            assert_eq!(ask(refused), FAILURE);
        }
        // A message longer than any real one ends the connection.
        client.write_all(&[0xff; 4]).unwrap();
        assert_eq!(message(&mut client).unwrap_or(None), None);
        drop(forward);
        assert!(UnixStream::connect(&path).is_err());
    }

    #[test]
    fn an_agent_that_is_not_there_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let access = Access {
            mode: 0o600,
            uid: 0,
            gid: 0,
        };
        let missing = directory.path().join("missing");
        let error = Forward::open(&directory.path().join("step"), access, &missing).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot reach the SSH agent at ")
        );
    }
}
