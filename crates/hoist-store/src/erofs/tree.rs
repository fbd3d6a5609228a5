//! The tree of a layer in memory, as names and inodes.

use std::collections::BTreeMap;

use crate::{
    archive::{Member, MemberKind},
    layer_tar::Xattrs,
};

/// A place in the list of nodes.
pub(super) type NodeId = usize;

/// The root of the tree.
pub(super) const ROOT: NodeId = 0;

/// What a node takes in memory, with its name and the overhead of maps.
const NODE_COST: usize = size_of::<Node>() + 64;

/// An inode.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Permission bits with set-id and sticky bits.
    pub(super) mode: u16,
    pub(super) user: u32,
    pub(super) group: u32,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) attributes: Xattrs,
    /// Names that it has; of a directory, without those that are in it.
    pub(super) names: u32,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum NodeKind {
    Directory {
        entries: BTreeMap<Box<[u8]>, NodeId>,
        parent: NodeId,
    },
    /// Bytes of the tar.
    File {
        offset: u64,
        size: u64,
    },
    Symlink(Box<[u8]>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

impl Node {
    /// A directory of root, dated 1970.
    pub(super) const fn directory(parent: NodeId) -> Self {
        Self::new(
            NodeKind::Directory {
                entries: BTreeMap::new(),
                parent,
            },
            0o755,
        )
    }

    /// The mark of a deleted file.
    pub(super) const fn whiteout() -> Self {
        Self::new(NodeKind::CharacterDevice(0, 0), 0)
    }

    const fn new(kind: NodeKind, mode: u16) -> Self {
        Self {
            kind,
            mode,
            user: 0,
            group: 0,
            modified: (0, 0),
            attributes: Xattrs::new(),
            names: 1,
        }
    }

    /// What a member is, which is neither a directory nor a hard link; `offset` is where its data
    /// begin.
    pub(super) fn of_member(member: &Member, offset: u64) -> Self {
        let (major, minor) = member.device;
        let kind = match member.kind {
            MemberKind::Symlink => NodeKind::Symlink(member.link.as_slice().into()),
            MemberKind::CharacterDevice => NodeKind::CharacterDevice(major, minor),
            MemberKind::BlockDevice => NodeKind::BlockDevice(major, minor),
            MemberKind::Fifo => NodeKind::Fifo,
            MemberKind::File | MemberKind::Directory | MemberKind::HardLink => NodeKind::File {
                offset,
                size: member.size,
            },
        };
        Self::new(kind, 0)
    }

    pub(super) const fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory { .. })
    }

    pub(super) const fn is_whiteout(&self) -> bool {
        matches!(self.kind, NodeKind::CharacterDevice(0, 0))
    }

    /// Mode with the bits of the type, as `stat(2)` has it.
    pub(super) const fn full_mode(&self) -> u16 {
        let kind = match self.kind {
            NodeKind::Fifo => 0o010_000,
            NodeKind::CharacterDevice(..) => 0o020_000,
            NodeKind::Directory { .. } => 0o040_000,
            NodeKind::BlockDevice(..) => 0o060_000,
            NodeKind::File { .. } => 0o100_000,
            NodeKind::Symlink(_) => 0o120_000,
        };
        kind | self.mode
    }
}

/// All nodes of a layer; those without a name are gone.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// An estimate of the bytes in memory; what was replaced is still counted.
    pub(super) cost: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::directory(ROOT)],
            cost: 0,
        }
    }
}

impl Tree {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    pub(super) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What has this name in a directory.
    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[directory].kind {
            NodeKind::Directory { entries, .. } => entries.get(name).copied(),
            _ => None,
        }
    }

    /// Add a node; what has its name is gone before.
    pub(super) fn add(&mut self, directory: NodeId, name: &[u8], node: Node) -> NodeId {
        let id = self.nodes.len();
        self.cost += NODE_COST;
        if let NodeKind::Symlink(target) = &node.kind {
            self.cost += target.len();
        }
        self.nodes.push(node);
        self.name(directory, name, id);
        id
    }

    /// Give a node one more name.
    pub(super) fn link(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        self.nodes[id].names += 1;
        self.name(directory, name, id);
    }

    fn name(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        self.cost += 32 + name.len();
        if let NodeKind::Directory { entries, .. } = &mut self.nodes[directory].kind {
            entries.insert(name.into(), id);
        }
    }

    /// Add attributes to those that a node has.
    pub(super) fn describe(&mut self, id: NodeId, attributes: Xattrs) {
        for (name, value) in &attributes {
            self.cost += 64 + name.len() + value.len();
        }
        self.nodes[id].attributes.extend(attributes);
    }

    /// Take a name away, and everything below it.
    pub(super) fn remove(&mut self, directory: NodeId, name: &[u8]) {
        let NodeKind::Directory { entries, .. } = &mut self.nodes[directory].kind else {
            return;
        };
        let mut gone: Vec<NodeId> = entries.remove(name).into_iter().collect();
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id];
            node.names -= 1;
            if let NodeKind::Directory { entries, .. } = &mut node.kind {
                gone.extend(std::mem::take(entries).into_values());
            }
        }
    }
}
