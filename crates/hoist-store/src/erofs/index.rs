//! Members of an archive to the tree of the index. The archive may come from anybody.

use std::io::{self, Write};

use super::{
    BUDGET, attributes,
    format::BLOCK,
    image,
    resolve::{Dead, LONGEST_NAME, LONGEST_PATH},
    tree::{Node, NodeId, NodeKind, ROOT, Tree},
};
use crate::{
    archive::{Data, Member, MemberKind},
    error::Result,
    layer_tar::Xattrs,
    overlay::{AUFS, OPAQUE, OverlayXattrs, WHITEOUT, overlay_attribute},
    unpack::{clean, link_reason, refused},
};

/// Takes the members of an archive, and becomes the image over it.
#[derive(Default)]
pub(crate) struct Index {
    tree: Tree,
    /// Bytes of content in files.
    size: u64,
    /// The directory that the last entry was in: the next one mostly is, too.
    parent: Option<(Vec<u8>, NodeId)>,
    unfit: Option<&'static str>,
}

/// Why an entry is not taken into the tree.
enum Stop {
    /// It is refused, whatever the form of the layer.
    Refused(crate::error::StoreError),
    /// The layer has to be unpacked.
    Unfit(&'static str),
}

type Taken<T> = std::result::Result<T, Stop>;

/// An entry on its way: the member, its clean path and its parts.
struct Entry<'a> {
    member: &'a Member,
    path: &'a [u8],
    /// The last component.
    name: &'a [u8],
}

impl Entry<'_> {
    fn parent_path(&self) -> &[u8] {
        let length = self.path.len() - self.name.len();
        &self.path[..length.saturating_sub(1)]
    }

    fn refused<T>(&self, reason: &str) -> Taken<T> {
        Err(Stop::Refused(refused(self.member, reason)))
    }
}

impl Index {
    /// Take a member whose data begin at `offset` of the archive.
    ///
    /// # Errors
    /// [`StoreError::Entry`](crate::StoreError::Entry), as for unpacking.
    pub(crate) fn member(&mut self, member: &Member, data: &Data, offset: u64) -> Result<()> {
        if self.unfit.is_some() {
            return Ok(());
        }
        let taken = self.take(member, data, offset);
        let taken = match taken {
            Ok(()) if self.tree.cost > BUDGET => Err(Stop::Unfit("it has too many entries")),
            taken => taken,
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Unfit(reason)) => {
                self.unfit = Some(reason);
                self.tree = Tree::default();
                Ok(())
            }
        }
    }

    /// Why the layer cannot have an index, if it cannot.
    pub(crate) const fn unfit(&self) -> Option<&'static str> {
        self.unfit
    }

    /// Bytes of content in the files of the archive.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Write the image, over an archive of `tar_length` bytes.
    pub(crate) fn write(&self, tar_length: u64, output: impl Write) -> io::Result<()> {
        image::write(&self.tree, tar_length, output)
    }

    fn take(&mut self, member: &Member, data: &Data, offset: u64) -> Taken<()> {
        let path = clean(&member.path).map_err(|reason| Stop::Refused(refused(member, reason)))?;
        if path.is_empty() {
            return self.root_itself(member);
        }
        let entry = Entry {
            member,
            path: &path,
            name: last_component(&path),
        };
        if entry.name.contains(&0) {
            return entry.refused("its path has a zero byte");
        }
        if path.len() > LONGEST_PATH || path.split(|&byte| byte == b'/').any(is_long) {
            return Err(Stop::Unfit("it has a name that no file system takes"));
        }
        if let Some(hidden) = entry.name.strip_prefix(WHITEOUT) {
            return self.whiteout(&entry, hidden);
        }
        match member.kind {
            MemberKind::Directory => self.directory(&entry),
            MemberKind::HardLink => self.hard_link(&entry),
            MemberKind::File => self.file(&entry, data, offset),
            MemberKind::Symlink => {
                let parent = self.parent_of(&entry)?;
                if member.link.contains(&0) {
                    return entry.refused("its link has a zero byte");
                }
                if member.link.is_empty() || member.link.len() > LONGEST_PATH {
                    return Err(Stop::Unfit("it has a link that no file system takes"));
                }
                self.replace(&entry, parent, 0)
            }
            MemberKind::CharacterDevice | MemberKind::BlockDevice | MemberKind::Fifo => {
                let parent = self.parent_of(&entry)?;
                self.replace(&entry, parent, 0)
            }
        }
    }

    fn root_itself(&mut self, member: &Member) -> Taken<()> {
        if member.kind != MemberKind::Directory {
            let error = refused(member, "the root of a layer is a directory");
            return Err(Stop::Refused(error));
        }
        self.describe(ROOT, member)
    }

    fn directory(&mut self, entry: &Entry<'_>) -> Taken<()> {
        let parent = self.parent_of(entry)?;
        let found = self.tree.child(parent, entry.name);
        let id = match found {
            Some(id) if self.tree.node(id).is_directory() => id,
            found => {
                let opaque = found.is_some_and(|id| self.tree.node(id).is_whiteout());
                self.clear(parent, entry.name);
                let id = self.tree.add(parent, entry.name, Node::directory(parent));
                if opaque {
                    self.make_opaque(id);
                }
                id
            }
        };
        self.describe(id, entry.member)?;
        self.parent = Some((entry.path.to_vec(), id));
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, data: &Data, offset: u64) -> Taken<()> {
        let parent = self.parent_of(entry)?;
        if *data != Data::Plain {
            return Err(Stop::Unfit("it has a sparse file"));
        }
        // No tar of such a length has a reader; and addresses of blocks have 32 bits.
        let end = offset.checked_add(entry.member.size);
        if end.is_none_or(|end| end / BLOCK >= u64::from(u32::MAX)) {
            return Err(Stop::Unfit("it is larger than 2 TiB"));
        }
        self.size += entry.member.size;
        self.replace(entry, parent, offset)
    }

    fn hard_link(&mut self, entry: &Entry<'_>) -> Taken<()> {
        let member = entry.member;
        let refuse = |reason| entry.refused(&link_reason(member, reason));
        let Ok(target) = clean(&member.link) else {
            return refuse("has a '..'");
        };
        if target.is_empty() || target == entry.path {
            return refuse("is not a file");
        }
        if target.contains(&0) {
            return entry.refused("its link has a zero byte");
        }
        let name = last_component(&target);
        let holder = &target[..(target.len() - name.len()).saturating_sub(1)];
        let holder = self.tree.directory(holder).ok();
        let found = holder.and_then(|holder| Some((holder, self.tree.child(holder, name)?)));
        let Some((holder, id)) = found else {
            return refuse("is not in the archive before it");
        };
        let parent = self.parent_of(entry)?;
        let replaced = self.tree.child(parent, entry.name);
        let replaces_directory = replaced.is_some_and(|id| self.tree.node(id).is_directory());
        // What a file system makes of these is its own affair.
        if self.tree.node(id).is_directory()
            || replaces_directory
            || (holder, name) == (parent, entry.name)
        {
            return Err(Stop::Unfit("it has a hard link that no file system takes"));
        }
        self.clear(parent, entry.name);
        self.tree.link(parent, entry.name, id);
        Ok(())
    }

    fn whiteout(&mut self, entry: &Entry<'_>, hidden: &[u8]) -> Taken<()> {
        if entry.name == OPAQUE {
            let parent = self.parent_of(entry)?;
            self.make_opaque(parent);
            return Ok(());
        }
        if entry.name.starts_with(AUFS) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return entry.refused("it deletes no file");
        }
        let parent = self.parent_of(entry)?;
        match self.tree.child(parent, hidden) {
            None => {
                self.tree.add(parent, hidden, Node::whiteout());
            }
            // A whiteout is about the layers below: what this layer has of that name stays.
            Some(id) if self.tree.node(id).is_directory() => self.make_opaque(id),
            Some(_) => {}
        }
        Ok(())
    }

    /// Add what the entry is; what has its name gives way.
    fn replace(&mut self, entry: &Entry<'_>, parent: NodeId, offset: u64) -> Taken<()> {
        self.clear(parent, entry.name);
        let node = Node::of_member(entry.member, offset);
        let id = self.tree.add(parent, entry.name, node);
        self.describe(id, entry.member)
    }

    /// Owner, mode, time and attributes of a member.
    fn describe(&mut self, id: NodeId, member: &Member) -> Taken<()> {
        let node = self.tree.node_mut(id);
        let regular = matches!(node.kind, NodeKind::File { .. });
        let directory = node.is_directory();
        node.mode = match node.kind {
            NodeKind::Symlink(_) => 0o777,
            _ => u16::try_from(member.mode & 0o7777).unwrap_or(0),
        };
        node.user = member.user;
        node.group = member.group;
        node.modified = (member.modified, member.nanoseconds);
        let own = member.xattrs.iter();
        let own: Xattrs = own
            .filter(|(name, _)| overlay_attribute(name).is_none())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let fit =
            |(name, value): (&Vec<u8>, &Vec<u8>)| attributes::fits(name, value, regular, directory);
        if !own.iter().all(fit) {
            return Err(Stop::Unfit("it has an attribute of an uncommon kind"));
        }
        self.tree.describe(id, own);
        if attributes::have_room(&self.tree.node(id).attributes) {
            Ok(())
        } else {
            Err(Stop::Unfit("a file of it has very large attributes"))
        }
    }

    /// The directory of an entry, made when the archive did not mention it.
    fn parent_of(&mut self, entry: &Entry<'_>) -> Taken<NodeId> {
        let path = entry.parent_path();
        if let Some((known, directory)) = &self.parent
            && known == path
        {
            return Ok(*directory);
        }
        let directory = match self.tree.directory(path) {
            Ok(directory) => directory,
            Err(Dead::Missing) => self.make_parents(entry, path)?,
            Err(dead) => return blocked(entry, dead),
        };
        self.parent = Some((path.to_vec(), directory));
        Ok(directory)
    }

    fn make_parents(&mut self, entry: &Entry<'_>, path: &[u8]) -> Taken<NodeId> {
        let mut holder = ROOT;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([path.len()]) {
            let prefix = &path[..end];
            holder = match self.tree.directory(prefix) {
                Ok(directory) => directory,
                Err(Dead::Missing) => self.imply(entry, holder, last_component(prefix))?,
                Err(dead) => return blocked(entry, dead),
            };
        }
        Ok(holder)
    }

    /// Make a directory that the archive needs but does not have.
    fn imply(&mut self, entry: &Entry<'_>, holder: NodeId, name: &[u8]) -> Taken<NodeId> {
        if name.contains(&0) {
            return entry.refused("its path has a zero byte");
        }
        let mut opaque = false;
        if let Some(found) = self.tree.child(holder, name) {
            match &self.tree.node(found).kind {
                NodeKind::CharacterDevice(0, 0) => opaque = true,
                NodeKind::Symlink(_) => {
                    return entry.refused("a part of its path is a link to nowhere");
                }
                _ => return entry.refused("a part of its path is not a directory"),
            }
            self.tree.remove(holder, name);
        }
        let id = self.tree.add(holder, name, Node::directory(holder));
        if opaque {
            // The whiteout hid the directory of that name below, and so does the one in its place.
            self.make_opaque(id);
        }
        Ok(id)
    }

    fn make_opaque(&mut self, id: NodeId) {
        let name = OverlayXattrs::Trusted.opaque().as_bytes().to_vec();
        self.tree
            .describe(id, Xattrs::from([(name, b"y".to_vec())]));
    }

    /// Remove what an earlier entry left at this place.
    fn clear(&mut self, parent: NodeId, name: &[u8]) {
        if self.tree.child(parent, name).is_some() {
            // It may have been, or led to, the directory that is remembered.
            self.parent = None;
            self.tree.remove(parent, name);
        }
    }
}

fn blocked<T>(entry: &Entry<'_>, dead: Dead) -> Taken<T> {
    match dead {
        Dead::Missing => entry.refused("a part of its path is not a directory"),
        Dead::Loop => entry.refused("a part of its path is a loop of links"),
        Dead::LongName => Err(Stop::Unfit("it has a name that no file system takes")),
    }
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

fn is_long(component: &[u8]) -> bool {
    component.len() > LONGEST_NAME
}
