//! A tree to the bytes of its image: every inode gets a place, and then everything is written once,
//! from the beginning to the end.

use std::io::{self, Write};

use super::{
    attributes, directory,
    format::{self, BLOCK, Chunks, FIRST_INODE, INODE, Inode, Layout, SLOT, Summary},
    tree::{Node, NodeId, NodeKind, ROOT, Tree},
};

const PAGE: u64 = 4096;

/// Where one inode is, and its content.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    layout: Layout,
    /// Bytes of its content.
    size: u64,
}

/// Where everything goes.
struct Plan<'a> {
    tree: &'a Tree,
    /// Inodes in the order of their places.
    order: Vec<NodeId>,
    /// By node; `None` for those that are gone.
    places: Vec<Option<Place>>,
    /// The end of the inodes; whole blocks follow.
    inodes_end: u64,
    /// The end of the image, in blocks.
    blocks: u32,
}

/// Write the image of a tree over a tar of `tar_length` bytes.
pub(super) fn write(tree: &Tree, tar_length: u64, output: impl Write) -> io::Result<()> {
    let plan = Plan::new(tree)?;
    let mut output = Positioned {
        output,
        position: 0,
    };
    output.write_all(&format::head(&Summary {
        inodes: plan.order.len() as u64,
        blocks: plan.blocks,
        tar_blocks: block_address(tar_length.div_ceil(BLOCK))?,
    }))?;
    for (number, &id) in plan.order.iter().enumerate() {
        plan.inode(number, id, &mut output)?;
    }
    output.fill_to(plan.inodes_end)?;
    for &id in &plan.order {
        if let Some(Place {
            layout: Layout::Blocks(_),
            size: 1..,
            ..
        }) = plan.places[id]
        {
            output.write_all(&plan.content(id))?;
            output.fill_to(output.position.next_multiple_of(BLOCK))?;
        }
    }
    // Tools read the head in pages.
    output.fill_to(output.position.next_multiple_of(PAGE))?;
    output.output.flush()
}

impl<'a> Plan<'a> {
    fn new(tree: &'a Tree) -> io::Result<Self> {
        let mut plan = Self {
            tree,
            order: Vec::with_capacity(tree.len()),
            places: vec![None; tree.len()],
            inodes_end: FIRST_INODE,
            blocks: 0,
        };
        let mut left = vec![ROOT];
        while let Some(id) = left.pop() {
            // Another name of an inode that has its place.
            if plan.places[id].is_some() {
                continue;
            }
            plan.place(id);
            if let NodeKind::Directory { entries, .. } = &tree.node(id).kind {
                left.extend(entries.values().rev());
            }
        }
        plan.inodes_end = plan.inodes_end.next_multiple_of(BLOCK);
        let mut block = plan.inodes_end / BLOCK;
        for &id in &plan.order {
            if let Some(place) = &mut plan.places[id]
                && let Layout::Blocks(address) = &mut place.layout
                && place.size > 0
            {
                *address = block_address(block)?;
                block += place.size.div_ceil(BLOCK);
            }
        }
        plan.blocks = block_address(block)?;
        Ok(plan)
    }

    /// Give an inode the next place.
    fn place(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        let before = INODE + attributes::length(&node.attributes) as u64;
        let (size, mut layout) = match &node.kind {
            NodeKind::Directory { .. } => {
                (directory::length(self.tree, id) as u64, Layout::Blocks(0))
            }
            NodeKind::Symlink(target) => (target.len() as u64, Layout::Blocks(0)),
            NodeKind::File { size: 0, .. } => (0, Layout::Blocks(0)),
            NodeKind::File { size, .. } => (*size, Layout::Chunks(Chunks::of(*size))),
            NodeKind::CharacterDevice(major, minor) | NodeKind::BlockDevice(major, minor) => {
                (0, Layout::Device(format::device(*major, *minor)))
            }
            NodeKind::Fifo => (0, Layout::Device(0)),
        };
        let mut offset = self.inodes_end;
        let mut end = offset + before;
        match layout {
            Layout::Blocks(_) if size > 0 && before + size <= BLOCK => {
                // Content behind an inode lies in one block.
                layout = Layout::Inline;
                if end / BLOCK != (end + size - 1) / BLOCK {
                    offset = offset.next_multiple_of(BLOCK);
                }
                end = offset + before + size;
            }
            Layout::Chunks(chunks) => end = end.next_multiple_of(8) + 8 * chunks.count,
            _ => {}
        }
        self.inodes_end = end.next_multiple_of(SLOT);
        self.places[id] = Some(Place {
            offset,
            layout,
            size,
        });
        self.order.push(id);
    }

    /// The number by which entries name an inode.
    fn number(&self, id: NodeId) -> u64 {
        self.places[id].map_or(0, |place| place.offset / SLOT)
    }

    /// The content of a directory or link.
    fn content(&self, id: NodeId) -> Vec<u8> {
        match &self.tree.node(id).kind {
            NodeKind::Symlink(target) => target.to_vec(),
            _ => directory::bytes(self.tree, id, |id| self.number(id)),
        }
    }

    fn inode<W: Write>(
        &self,
        number: usize,
        id: NodeId,
        output: &mut Positioned<W>,
    ) -> io::Result<()> {
        let Some(place) = self.places[id] else {
            return Ok(());
        };
        let node = self.tree.node(id);
        let attributes = attributes::bytes(&node.attributes);
        let inode = Inode {
            layout: place.layout,
            attributes: attributes.len(),
            mode: node.full_mode(),
            size: place.size,
            number: u32::try_from(number + 1).unwrap_or(u32::MAX),
            user: node.user,
            group: node.group,
            modified: node.modified,
            links: links(self.tree, node),
        };
        output.fill_to(place.offset)?;
        output.write_all(&inode.bytes())?;
        output.write_all(&attributes)?;
        match (place.layout, &node.kind) {
            (Layout::Inline, _) => output.write_all(&self.content(id)),
            (Layout::Chunks(chunks), NodeKind::File { offset, .. }) => {
                output.fill_to(output.position.next_multiple_of(8))?;
                output.write_all(&chunks.indexes(block_address(offset / BLOCK)?))
            }
            _ => Ok(()),
        }
    }
}

/// How many links `stat(2)` shows: a directory has those of its subdirectories, too.
fn links(tree: &Tree, node: &Node) -> u32 {
    let NodeKind::Directory { entries, .. } = &node.kind else {
        return node.names;
    };
    let below = entries.values().filter(|&&id| tree.node(id).is_directory());
    u32::try_from(2 + below.count()).unwrap_or(u32::MAX)
}

fn block_address(block: u64) -> io::Result<u32> {
    // The last number means a hole.
    u32::try_from(block)
        .ok()
        .filter(|&block| block < u32::MAX)
        .ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// An output that knows how far it is.
struct Positioned<W> {
    output: W,
    position: u64,
}

impl<W: Write> Positioned<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    /// Write zeros up to `position`.
    fn fill_to(&mut self, position: u64) -> io::Result<()> {
        let mut count = position.saturating_sub(self.position);
        self.position += count;
        while count > 0 {
            let zeros = [0; 512];
            let most = usize::try_from(count).unwrap_or(512).min(zeros.len());
            self.output.write_all(&zeros[..most])?;
            count -= most as u64;
        }
        Ok(())
    }
}
