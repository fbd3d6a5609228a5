//! An SSH agent reached from a step: a socket of the step's own, behind which the real agent, or
//! hoist with keys from files, answers two questions and no other.
//!
//! The step may list keys and have data signed. It may not add, remove or lock keys: such requests
//! get the protocol's failure (draft-ietf-sshm-ssh-agent) without reaching the agent.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    thread::JoinHandle,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::private::Access;
use crate::{
    error::BuildError,
    secret::{
        AgentSource, SshKey,
        key::{Cursor, put},
    },
};

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`.
const LIST: u8 = 11;
const SIGN: u8 = 13;

/// `SSH_AGENT_IDENTITIES_ANSWER` and `SSH_AGENT_SIGN_RESPONSE`.
const LISTED: u8 = 12;
const SIGNED: u8 = 14;

/// `SSH_AGENT_FAILURE` as a whole message.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// The longest message, in bytes: OpenSSH's limit.
const LONGEST: usize = 256 * 1024;

/// A socket that forwards to an agent until it is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Closed on drop, which ends the thread that accepts.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Listen at `path`, which gets `access`, and let `agent` answer.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        agent: &AgentSource,
    ) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Io {
            action: "listen at",
            path: path.to_owned(),
            source,
        };
        // An agent that is not there is told before the step runs.
        if let AgentSource::Socket(socket) = agent {
            UnixStream::connect(socket).map_err(|source| BuildError::Agent {
                socket: socket.clone(),
                source,
            })?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        access.apply(path).map_err(failed)?;
        let (ended, stop) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let agent = agent.clone();
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
fn accept(listener: &UnixListener, ended: &OwnedFd, agent: &AgentSource) {
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
            let agent = agent.clone();
            // It ends with its client, which is gone when the step is.
            std::thread::spawn(move || {
                // Either side may hang up at any time.
                let _ = serve(client, &agent);
            });
        }
    }
}

/// Answer the requests of one client.
fn serve(mut client: UnixStream, agent: &AgentSource) -> io::Result<()> {
    let mut real = match agent {
        AgentSource::Socket(socket) => Some(UnixStream::connect(socket)?),
        AgentSource::Keys(_) => None,
    };
    while let Some(request) = message(&mut client)? {
        let answer = match (request.get(4), &mut real, agent) {
            (Some(&(LIST | SIGN)), Some(real), _) => {
                real.write_all(&request)?;
                let Some(answer) = message(real)? else {
                    return Ok(());
                };
                answer
            }
            (Some(kind), None, AgentSource::Keys(keys)) => {
                answer(*kind, &request[5..], keys).unwrap_or(FAILURE.to_vec())
            }
            _ => FAILURE.to_vec(),
        };
        client.write_all(&answer)?;
    }
    Ok(())
}

/// What `keys` have to say to a request of this kind; `None` for a failure.
fn answer(kind: u8, body: &[u8], keys: &[SshKey]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match kind {
        LIST => {
            text.push(LISTED);
            text.extend_from_slice(&u32::try_from(keys.len()).ok()?.to_be_bytes());
            for key in keys {
                put(&mut text, key.public());
                put(&mut text, key.comment().as_bytes());
            }
        }
        SIGN => {
            let mut request = Cursor(body);
            let wanted = request.string()?;
            let data = request.string()?;
            let flags = request.number()?;
            let key = keys.iter().find(|key| key.public() == wanted)?;
            text.push(SIGNED);
            put(&mut text, &key.sign(data, flags)?);
        }
        _ => return None,
    }
    let mut answer = Vec::new();
    put(&mut answer, &text);
    Some(answer)
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
        let forward = Forward::open(&path, access, &AgentSource::Socket(real)).unwrap();
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
        let missing = AgentSource::Socket(missing);
        let error = Forward::open(&directory.path().join("step"), access, &missing).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot reach the SSH agent at ")
        );
    }
    #[test]
    fn keys_from_files_are_listed_and_sign_what_openssh_verifies() {
        let directory = tempfile::tempdir().unwrap();
        let ssh = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(program)
                .args(arguments)
                .current_dir(directory.path())
                .env("SSH_AUTH_SOCK", directory.path().join("step"))
                .output()
                .expect("install it: apt-get install openssh-client");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success(), text)
        };
        let kinds: [&[&str]; 3] = [
            &["-t", "ed25519", "-f", "one"],
            &["-t", "rsa", "-b", "2048", "-f", "two"],
            &["-t", "ecdsa", "-b", "256", "-f", "three"],
        ];
        let mut keys = Vec::new();
        for arguments in kinds {
            let name = arguments[arguments.len() - 1];
            let all = [&["-q", "-N", "", "-C", name], arguments].concat();
            assert!(ssh("ssh-keygen", &all).0);
            let text = std::fs::read(directory.path().join(name)).unwrap();
            keys.push(SshKey::parse(&text, name).unwrap());
        }
        let access = Access {
            mode: 0o600,
            uid: 0,
            gid: 0,
        };
        let source = AgentSource::Keys(keys.into());
        let _forward = Forward::open(&directory.path().join("step"), access, &source).unwrap();
        let (listed, text) = ssh("ssh-add", &["-L"]);
        assert!(listed && text.lines().count() == 3, "{text}");
        std::fs::write(directory.path().join("data"), "data").unwrap();
        for name in ["one", "two", "three"] {
            // Only the public key is there: the agent signs.
            std::fs::rename(directory.path().join(name), directory.path().join("away")).unwrap();
            let key = format!("{name}.pub");
            let sign = ["-Y", "sign", "-f", &key, "-n", "test", "data"];
            assert!(ssh("ssh-keygen", &sign).0, "{name}");
            let check = "ssh-keygen -Y check-novalidate -n test -s data.sig < data";
            assert!(ssh("sh", &["-c", check]).0, "{name}");
            std::fs::remove_file(directory.path().join("data.sig")).unwrap();
        }
        assert!(!ssh("ssh-add", &["-D"]).0, "keys are not taken away");
        assert!(!ssh("ssh-add", &["away"]).0, "nor added");
    }
}
