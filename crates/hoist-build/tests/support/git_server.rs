//! Git repositories of a test, and a server on loopback that gives them out: by git's own program
//! below `/`, as plain files below `/dumb/`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::scripted::{Exchange, Scripted};

/// Repositories, served until the value goes.
pub(crate) struct GitServer {
    directory: TempDir,
    pub(crate) server: Scripted,
}

/// A repository that a test writes to, and from which it is served.
pub(crate) struct Repository {
    path: PathBuf,
}

impl GitServer {
    /// A server without repositories; `before` may answer in its place, and says so.
    pub(crate) fn start(before: impl Fn(&mut Exchange) -> bool + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().to_owned();
        let server = Scripted::start(move |exchange| {
            if !before(exchange) {
                serve(exchange, &root);
            }
        });
        Self { directory, server }
    }

    /// A new repository with nothing in it, on the branch `main`.
    pub(crate) fn repository(&self, name: &str) -> Repository {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        let repository = Repository { path };
        repository.git(&["init", "--quiet", "-b", "main"]);
        repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repository
    }

    /// `http://127.0.0.1:port/name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.server.address)
    }

    /// The requests so far, by the end of their path.
    pub(crate) fn requests(&self, end: &str) -> usize {
        let lines = self.server.lines();
        lines.iter().filter(|line| line.contains(end)).count()
    }
}

impl Repository {
    /// What git says to these arguments, in the working tree.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_with_input(arguments, b"")
    }

    #[track_caller]
    pub(crate) fn git_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args([
                "-c",
                "protocol.file.allow=always",
                "-c",
                "core.protectNTFS=false",
            ])
            .args(["-c", "core.protectHFS=false"])
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("git: {error}: apt-get install git"));
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input)
            .expect("input");
        let output = child.wait_with_output().expect("git ends");
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Write a file.
    pub(crate) fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
        self
    }

    /// Commit everything; the commit.
    #[track_caller]
    pub(crate) fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self.git(&["update-server-info"]);
        self.head()
    }

    /// The commit that the current branch points to.
    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Make `main` a commit of a tree that no working tree could have given: lines of `ls-tree`.
    #[track_caller]
    pub(crate) fn commit_tree(&self, lines: &str) -> String {
        let tree = self.git_with_input(&["mktree", "--missing"], lines.as_bytes());
        let commit = self.git(&["commit-tree", "-m", "x", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        self.git(&["update-server-info"]);
        commit
    }
}

fn serve(exchange: &mut Exchange, root: &Path) {
    let target = exchange.seen.target.clone();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if let Some(path) = path.strip_prefix("/dumb/") {
        // `name.git/info/refs` of the repository `name`.
        let file = path
            .split_once(".git/")
            .map(|(name, rest)| root.join(format!("{name}.git")).join(".git").join(rest));
        return match file.and_then(|file| fs::read(file).ok()) {
            Some(bytes) => exchange.reply(200, &[], &bytes),
            None => exchange.reply(404, &[], b""),
        };
    }
    let body = match exchange.seen.header("content-length") {
        Some(_) => exchange.body(),
        None => Vec::new(),
    };
    let header = |name| exchange.seen.header(name).unwrap_or_default();
    let mut program = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/dev/null")
        // Whoever runs the tests may not own the files.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &exchange.seen.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("git: {error}: apt-get install git"));
    let mut input = program.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = program.wait_with_output().expect("git ends").stdout;
    writer.join().expect("a thread");
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = output.split_at(end.map_or(0, |end| end + 4));
    let head = String::from_utf8_lossy(head).into_owned();
    let headers: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let status = headers.iter().find_map(|(name, value)| {
        (*name == "Status").then(|| value[..3].parse().expect("a status"))
    });
    exchange.reply(status.unwrap_or(200), &headers, body);
}
