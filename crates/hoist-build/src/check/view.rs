//! The files of an image, and what one of its users may do with them.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use hoist_core::image::Config;
use rustix::fs::OFlags;

use crate::{
    execute::owner,
    tree::{Entry, Kind, Root, names_in},
};

/// The largest text of an image that is read.
const TEXT_LIMIT: u64 = 1 << 20;

/// Permission bits of one class of users.
const READ: u32 = 4;
const EXECUTE: u32 = 1;

/// An image as a container of it sees it.
pub(super) struct View<'a> {
    root: &'a Root,
    config: &'a Config,
    environment: BTreeMap<&'a str, &'a str>,
    user: User,
}

/// Who the container runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct User {
    uid: u32,
    gids: Vec<u32>,
    home: String,
}

/// Why a file is out of the user's reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    /// The file or directory that is closed, below the root.
    pub(super) path: PathBuf,
    /// `drwx------ 0:0`.
    pub(super) mode: String,
}

/// What becomes of the name of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// The file, as PATH names it.
    Found(PathBuf),
    /// The file is there, and the user may not run it.
    Closed(PathBuf, Closed),
    /// The file is a script of a program that is not there.
    NoInterpreter(PathBuf, String),
    Missing,
}

impl<'a> View<'a> {
    /// The image below `root`; `None` when its user is not known there.
    pub(super) fn new(root: &'a Root, config: &'a Config) -> Option<Self> {
        let environment: BTreeMap<&str, &str> = config
            .env
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let mut view = Self {
            root,
            config,
            environment,
            user: User::default(),
        };
        view.user = view.find_user()?;
        Some(view)
    }

    fn find_user(&self) -> Option<User> {
        let text = self.config.user.as_str();
        let owner = owner::look_up(text, Some(self.root)).ok()?;
        let passwd = self.text(Path::new("etc/passwd")).unwrap_or_default();
        let account = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| {
                fields
                    .get(2)
                    .is_some_and(|uid| uid.parse() == Ok(owner.uid))
            });
        let mut gids = vec![owner.gid];
        if let Some(account) = account.as_ref().filter(|_| !text.contains(':')) {
            let groups = self.text(Path::new("etc/group")).unwrap_or_default();
            let member = |fields: &Vec<&str>| {
                fields
                    .get(3)
                    .is_some_and(|members| members.split(',').any(|member| member == account[0]))
            };
            let fields = groups.lines().map(|line| line.split(':').collect());
            gids.extend(
                fields
                    .filter(member)
                    .filter_map(|fields: Vec<&str>| fields.get(2)?.parse::<u32>().ok()),
            );
        }
        let home = account.and_then(|account| account.get(5).map(|home| (*home).to_owned()));
        Some(User {
            uid: owner.uid,
            gids,
            home: home.unwrap_or_else(|| "/".to_owned()),
        })
    }

    /// A variable of the container's environment.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).copied()
    }

    /// The user's home directory, below the root.
    pub(super) fn home(&self) -> PathBuf {
        relative(self.variable("HOME").unwrap_or(&self.user.home))
    }

    /// The working directory, below the root.
    pub(super) fn working_directory(&self) -> PathBuf {
        relative(&self.config.working_dir)
    }

    /// Where `path` points to from the working directory, below the root.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let path = self.working_directory().join(path);
        relative(&path.to_string_lossy())
    }

    /// The name or number of the user.
    pub(super) fn user(&self) -> &'a str {
        match self.config.user.split(':').next() {
            None | Some("") => "root",
            Some(user) => user,
        }
    }

    /// Whether the image declares a volume at or above `path`, which may bring other files.
    pub(super) fn is_in_volume(&self, path: &Path) -> bool {
        let mut volumes = self.config.volumes.keys();
        volumes.any(|volume| path.starts_with(relative(volume)))
    }

    /// The file at `path`, links followed: where it really is.
    pub(super) fn find(&self, path: &Path) -> Option<(PathBuf, Entry)> {
        let real = self.root.follow(path).ok()?;
        let entry = self.root.entry(&real).ok()?;
        Some((real, entry))
    }

    /// Whether there is something at `path`.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.find(path).is_some()
    }

    /// The names in a directory; none when there is no such directory.
    pub(super) fn names(&self, path: &Path) -> Vec<String> {
        let real = self.root.follow(path).ok();
        let names = real.and_then(|real| names_in(self.root, &real).ok());
        let names = names.unwrap_or_default().into_iter();
        names.filter_map(|name| name.into_string().ok()).collect()
    }

    /// The text at `path`.
    pub(super) fn text(&self, path: &Path) -> Option<String> {
        let (real, entry) = self.find(path)?;
        if entry.kind != Kind::File {
            return None;
        }
        let fd = self.root.open(&real, OFlags::RDONLY).ok()?;
        let mut bytes = Vec::new();
        let file = std::fs::File::from(fd);
        file.take(TEXT_LIMIT).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What keeps the user from reading `path` (a real one): a directory on the way that may not
    /// be entered, or the file itself.
    pub(super) fn closed(&self, path: &Path) -> Option<Closed> {
        self.way(path).or_else(|| self.refused(path, READ))
    }

    /// The first directory above `path` that the user may not enter.
    fn way(&self, path: &Path) -> Option<Closed> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let mut above = above.into_iter();
        above.find_map(|directory| self.refused(directory, EXECUTE))
    }

    fn refused(&self, path: &Path, bit: u32) -> Option<Closed> {
        let entry = self.root.entry(path).ok()?;
        (!self.may(&entry, bit)).then(|| Closed {
            path: path.to_owned(),
            mode: shown_mode(&entry),
        })
    }

    fn may(&self, entry: &Entry, bit: u32) -> bool {
        let class = if self.user.uid == 0 {
            return true;
        } else if entry.uid == self.user.uid {
            6
        } else if self.user.gids.contains(&entry.gid) {
            3
        } else {
            0
        };
        entry.mode >> class & bit != 0
    }

    /// What a container finds when it runs `name`.
    pub(super) fn program(&self, name: &str) -> Program {
        if name.contains('/') {
            return self.runs(&self.resolve(name));
        }
        let mut closed = Program::Missing;
        for directory in self.variable("PATH").unwrap_or_default().split(':') {
            match self.runs(&relative(directory).join(name)) {
                Program::Missing => {}
                found @ (Program::Found(_) | Program::NoInterpreter(..)) => return found,
                found @ Program::Closed(..) => closed = found,
            }
        }
        closed
    }

    fn runs(&self, path: &Path) -> Program {
        let Some((real, entry)) = self.find(path) else {
            return Program::Missing;
        };
        if entry.kind != Kind::File || entry.mode & 0o111 == 0 {
            return Program::Missing;
        }
        let closed = self.way(&real).or_else(|| self.refused(&real, EXECUTE));
        if let Some(closed) = closed {
            return Program::Closed(path.to_owned(), closed);
        }
        match self.interpreter(&real) {
            Some(interpreter) if !self.has(&relative(&interpreter)) => {
                Program::NoInterpreter(path.to_owned(), interpreter)
            }
            _ => Program::Found(path.to_owned()),
        }
    }

    /// The program that a script's first line names.
    fn interpreter(&self, path: &Path) -> Option<String> {
        let fd = self.root.open(path, OFlags::RDONLY).ok()?;
        let mut head = Vec::new();
        let file = std::fs::File::from(fd);
        file.take(256).read_to_end(&mut head).ok()?;
        let line = head
            .strip_prefix(b"#!")?
            .split(|byte| *byte == b'\n')
            .next()?;
        let line = String::from_utf8_lossy(line);
        let line = line.trim_matches([' ', '\t']);
        let word = line.split([' ', '\t']).next()?;
        word.starts_with('/').then(|| word.to_owned())
    }
}

/// An absolute path without its slash, `.` and `..`.
pub(super) fn relative(path: &str) -> PathBuf {
    crate::tree::resolve::clean(path)
}

/// `drwx------ 0:0`.
fn shown_mode(entry: &Entry) -> String {
    let mut text = String::from(if entry.is_directory() { "d" } else { "-" });
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        let is_set = entry.mode >> (8 - at) & 1 == 1;
        text.push(if is_set { letter } else { '-' });
    }
    let owner = if entry.uid == 0 {
        "root".to_owned()
    } else {
        format!("{}:{}", entry.uid, entry.gid)
    };
    format!("{text} {owner}")
}
