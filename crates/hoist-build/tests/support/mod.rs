//! A data root of its own for each test, with a base image made of the machine's busybox.

pub(crate) mod git_server;
#[allow(
    dead_code,
    reason = "made for registries, of which these tests have none"
)]
#[allow(clippy::unwrap_used, reason = "a failed call is a failed test")]
#[path = "../../../hoist-registry/tests/support/scripted.rs"]
pub(crate) mod scripted;

use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use hoist_build::{BuildError, BuildRequest, Built, GitProgram, ImportRequest, RemoteAccess};
use hoist_core::{Digest, Reference, event::BuildEvent};
use hoist_engine::{Engine, Settings, request::NetworkMode};
use hoist_registry::{Downloader, Options, Retries};
use tempfile::TempDir;

/// A static busybox (Debian's package busybox-static).
const BUSYBOX: &str = "/bin/busybox";

/// A data root and a build context, gone with the value.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) engine: Engine,
}

/// How a build ended, and what it told.
pub(crate) struct Outcome {
    pub(crate) result: Result<Built, BuildError>,
    pub(crate) events: Vec<BuildEvent>,
}

impl World {
    /// A root without images.
    pub(crate) fn bare() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = open(directory.path());
        fs::create_dir(directory.path().join("context")).expect("a context");
        Self { directory, engine }
    }

    /// As another process would see the root: nothing is kept for builds of this one.
    pub(crate) fn reopen(&mut self) {
        self.engine = open(self.directory.path());
    }

    /// A root with the image `base`: busybox, two users, and a link among the directories.
    pub(crate) fn new() -> Self {
        let world = Self::bare();
        import_base(&world.engine);
        world
    }

    /// Another machine with the same images; its context is its own.
    pub(crate) fn twin(&self) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.directory.path().join("root"))
            .arg(directory.path())
            .status();
        assert!(copied.expect("cp").success(), "a copy of the root");
        let engine = open(directory.path());
        fs::create_dir(directory.path().join("context")).expect("a context");
        Self { directory, engine }
    }

    /// Another root with the image `base`, below `directory`.
    pub(crate) fn elsewhere(&self, directory: &Path) -> Engine {
        let engine = open(directory);
        import_base(&engine);
        engine
    }

    /// The build context.
    pub(crate) fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    /// Write a file of the context.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
        self
    }

    /// A request to build the context, without a network.
    pub(crate) fn request(&self) -> BuildRequest {
        BuildRequest {
            context: self.context(),
            network: NetworkMode::None,
            ..BuildRequest::default()
        }
    }

    /// A request that may fetch what lies elsewhere.
    pub(crate) fn remote_request(&self) -> BuildRequest {
        BuildRequest {
            remote: Some(access()),
            ..self.request()
        }
    }

    /// Write the Dockerfile and build it, with access to what lies elsewhere.
    pub(crate) fn remote_dockerfile(&self, text: &str) -> Outcome {
        self.file("Dockerfile", text);
        self.build(&self.remote_request())
    }

    pub(crate) fn build(&self, request: &BuildRequest) -> Outcome {
        self.build_until(request, &AtomicBool::new(false), &|_| {})
    }

    /// Build; `watch` sees each event as it happens.
    pub(crate) fn build_until(
        &self,
        request: &BuildRequest,
        cancelled: &AtomicBool,
        watch: &(dyn Fn(&BuildEvent) + Sync),
    ) -> Outcome {
        let events = Mutex::new(Vec::new());
        let tell = |event: BuildEvent| {
            watch(&event);
            events.lock().expect("events").push(event);
        };
        let result = hoist_build::build(&self.engine, request, &tell, cancelled);
        Outcome {
            result,
            events: events.into_inner().expect("events"),
        }
    }

    /// Write the Dockerfile and build it.
    pub(crate) fn dockerfile(&self, text: &str) -> Outcome {
        self.file("Dockerfile", text);
        self.build(&self.request())
    }

    /// The layers of an image, opened, the lowest first.
    pub(crate) fn layers(&self, image: &Digest) -> Vec<Opened> {
        let store = self.engine.store();
        let layers = store.image(image).expect("the image").layers;
        let open = |layer: &hoist_store::Layer| store.open_layer(&layer.diff_id);
        layers
            .iter()
            .map(|layer| Opened(open(layer).expect("a layer")))
            .collect()
    }

    /// The files below `path` of an image: mode, owner, path, and content or target.
    pub(crate) fn files(&self, image: &Digest, path: &str) -> String {
        let stored = self.engine.store().image(image).expect("the image");
        let layers = &stored.image.rootfs.diff_ids;
        let view = self.engine.merged_view(layers).expect("a view");
        let base = PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd()));
        let mut lines = Vec::new();
        list(&base, &base.join(path), &mut lines);
        lines.join("\n")
    }
}

/// Impatient access to what lies elsewhere.
pub(crate) fn access() -> RemoteAccess {
    let options = Options {
        retries: Retries {
            attempts: 2,
            first_wait: std::time::Duration::from_millis(1),
            longest_wait: std::time::Duration::from_millis(1),
        },
        ..Options::default()
    };
    let git = GitProgram {
        path: "/usr/local/bin:/usr/bin:/bin".into(),
        ..GitProgram::default()
    };
    RemoteAccess::new(Downloader::new(options).expect("a client"), git)
}

/// A layer that is open.
pub(crate) struct Opened(OwnedFd);

impl Opened {
    /// A path in the layer, that works as long as this value lives.
    pub(crate) fn join(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(path)
    }
}

/// Busybox with a few of its names, two users, and a link among the directories.
fn import_base(engine: &Engine) {
    let program = fs::read(BUSYBOX).expect("install it: apt-get install busybox-static");
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Regular {
            0o644
        } else {
            0o755
        });
        if path == "bin/busybox" {
            header.set_mode(0o755);
        }
        if path == "tmp/" {
            header.set_mode(0o1777);
        }
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            archive
                .append_data(&mut header, path, content)
                .expect("an entry");
        } else {
            archive
                .append_link(&mut header, path, link)
                .expect("a link");
        }
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    for path in [
        "bin/",
        "etc/",
        "tmp/",
        "usr/",
        "usr/share/",
        "dev/",
        "proc/",
        "sys/",
    ] {
        add(path, Directory, "", b"");
    }
    add("bin/busybox", Regular, "", &program);
    for applet in [
        "sh", "echo", "cat", "mkdir", "ln", "rm", "id", "ls", "touch", "sleep", "false", "true",
        "chmod", "test", "stat", "printf", "dd", "cp", "mv", "seq", "env", "pwd", "[",
    ] {
        add(&format!("bin/{applet}"), Symlink, "busybox", b"");
    }
    add("share", Symlink, "usr/share", b"");
    add(
        "etc/passwd",
        Regular,
        "",
        b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
    );
    add(
        "etc/group",
        Regular,
        "",
        b"root:x:0:\napp:x:1001:\nweb:x:33:\n",
    );
    let archive = archive.into_inner().expect("an archive");
    let request = ImportRequest {
        reference: Some(Reference::parse("base").expect("a name")),
        changes: vec!["CMD [\"sh\"]".to_owned(), "ENV BASE=yes".to_owned()],
        ..ImportRequest::default()
    };
    hoist_build::import(engine, &archive[..], &request).expect("an image");
}

fn open(directory: &Path) -> Engine {
    let settings = Settings {
        root: directory.join("root"),
        run: directory.join("run"),
        program: PathBuf::from(env!("CARGO_BIN_EXE_hoist-build-test")),
        rootless: false,
        layer_form: hoist_store::FormPolicy::Auto,
        default_root: false,
    };
    Engine::open(settings).expect("a data root")
}

fn list(base: &Path, path: &Path, lines: &mut Vec<String>) {
    let metadata = fs::symlink_metadata(path).expect("a file");
    let name = path.strip_prefix(base).expect("below").display();
    let mode = metadata.mode() & 0o7777;
    let owner = format!("{}:{}", metadata.uid(), metadata.gid());
    let mut line = format!("{mode:04o} {owner} {name}");
    if metadata.is_symlink() {
        line = format!(
            "{line} -> {}",
            fs::read_link(path).expect("a link").display()
        );
    } else if metadata.is_file() && metadata.len() < 200 {
        line = format!("{line} {:?}", fs::read_to_string(path).expect("text"));
    } else if metadata.is_dir() {
        line.push('/');
    }
    lines.push(line);
    if metadata.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        names.sort();
        for name in names {
            list(base, &name, lines);
        }
    }
}

impl Outcome {
    /// The image, or a panic that says everything.
    pub(crate) fn built(self) -> Built {
        match self.result {
            Ok(built) => built,
            Err(error) => panic!(
                "{}\n{}\n{:?}",
                error.excerpt().unwrap_or_default(),
                hoist_core::error::chain(&error),
                error.output()
            ),
        }
    }

    /// The error, as a person reads it: excerpt, message, hints.
    pub(crate) fn error(&self) -> String {
        use hoist_core::Describe;
        let error = self.result.as_ref().expect_err("a failure");
        let mut text = error.excerpt().unwrap_or_default().to_owned();
        text.push_str(&hoist_core::error::chain(error));
        for hint in error.hints() {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }

    /// What became of each step: `cached` or `ran`, with the reason where one was given.
    pub(crate) fn steps(&self) -> String {
        let mut lines = std::collections::BTreeMap::new();
        let mut reasons = std::collections::BTreeMap::new();
        for event in &self.events {
            match event {
                BuildEvent::StepStarted { index, text, .. } => {
                    lines.insert(*index, (text.clone(), "ran"));
                }
                BuildEvent::StepCached { index } => {
                    lines.get_mut(index).expect("started").1 = "cached";
                }
                BuildEvent::StepReason { index, text } => {
                    reasons.insert(*index, text.clone());
                }
                _ => {}
            }
        }
        let line = |(index, (text, how)): (&usize, &(String, &str))| match reasons.get(index) {
            Some(reason) => format!("{how}: {text} ({reason})"),
            None => format!("{how}: {text}"),
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
