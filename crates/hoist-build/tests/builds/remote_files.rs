//! `ADD https://…`: what is fetched, what is not fetched again, and what is refused.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use hoist_build::{
    BuildRequest, CacheKind, CachePolicy, CacheScope, Secret, cache_entries, collect_cache,
};
use hoist_core::Digest;

use crate::support::{World, scripted::Scripted};

const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A server of one file, whose content a test may change, with a tag for each content.
struct Web {
    server: Scripted,
    content: Arc<Mutex<Vec<u8>>>,
    /// How often the file itself was sent.
    sent: Arc<AtomicUsize>,
}

impl Web {
    fn of(content: &[u8]) -> Self {
        let content = Arc::new(Mutex::new(content.to_vec()));
        let sent = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&content), Arc::clone(&sent));
        let server = Scripted::start(move |exchange| {
            let content = served.lock().expect("the content").clone();
            let tag = format!("\"{}\"", Digest::of(&content).short());
            if exchange.seen.header("if-none-match") == Some(&tag) {
                return exchange.reply(304, &[("ETag", &tag)], b"");
            }
            counted.fetch_add(1, Ordering::SeqCst);
            exchange.reply(200, &[("ETag", &tag), ("Last-Modified", TIME)], &content);
        });
        Self {
            server,
            content,
            sent,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

fn kept(world: &World) -> usize {
    let files = world.engine.settings().root.join("cache/http-v1/files");
    fs::read_dir(files).map_or(0, Iterator::count)
}

#[test]
fn a_file_has_the_mode_the_time_and_the_name_that_buildkit_gives_it() {
    let world = World::new();
    let web = Web::of(b"content");
    let url = web.url("/a/tool%20one.txt?token=x");
    let plain = web.url("/plain");
    let dockerfile = format!(
        "FROM base\nADD [\"{url}\", \"/dir/\"]\nADD {plain} /renamed\nADD {plain} /usr/share\n\
         ADD --chown=app --chmod=755 {plain} /own/\nADD {plain} {url} /two/\n\
         RUN stat -c '%Y %n' /renamed > /time\n"
    );
    let built = world.remote_dockerfile(&dockerfile).built();
    let shown = ["dir", "renamed", "usr/share/plain", "own", "two", "time"];
    let shown = shown.map(|path| world.files(&built.id, path));
    insta::assert_snapshot!(shown.join("\n"), @r#"
    0755 0:0 dir/
    0600 0:0 dir/tool one.txt "content"
    0600 0:0 renamed "content"
    0600 0:0 usr/share/plain "content"
    0755 1000:1001 own/
    0755 1000:1001 own/plain "content"
    0755 0:0 two/
    0600 0:0 two/plain "content"
    0600 0:0 two/tool one.txt "content"
    0644 0:0 time "784111777 /renamed\n"
    "#);
    assert_eq!(web.sent(), 2, "each address once");
    let image = world.engine.store().image(&built.id).unwrap().image;
    let line = image.history.iter().find_map(|line| {
        let text = line.created_by.clone()?;
        text.starts_with("ADD http").then_some(text)
    });
    assert!(!line.unwrap().contains("token"));
}

#[test]
fn an_unchanged_file_is_not_fetched_again_and_a_changed_one_says_so() {
    let world = World::new();
    let web = Web::of(b"one");
    let url = web.url("/file");
    let dockerfile = format!("FROM base\nADD {url} /file\nRUN cat /file > /copy\n");
    world.remote_dockerfile(&dockerfile).built();
    let again = world.remote_dockerfile(&dockerfile).built();
    assert_eq!((again.cached, web.sent()), (2, 1));
    *web.content.lock().unwrap() = b"two".to_vec();
    let steps = world.remote_dockerfile(&dockerfile).steps();
    assert!(
        steps.contains(&format!("(file {url} has changed)")),
        "{steps}"
    );
    assert_eq!(web.sent(), 2);
    // Without the step, the file is still here.
    let other = format!("FROM base\nADD {url} /elsewhere\n");
    world.remote_dockerfile(&other).built();
    assert_eq!(web.sent(), 2);
    // What was damaged is fetched anew.
    let files = world.engine.settings().root.join("cache/http-v1/files");
    fs::write(files.join(Digest::of(b"two").hex()), "tow").unwrap();
    let built = world
        .remote_dockerfile(&format!("FROM base\nADD {url} /third\n"))
        .built();
    assert_eq!(world.files(&built.id, "third"), "0600 0:0 third \"two\"");
    assert_eq!(web.sent(), 3);
}

#[test]
fn a_checksum_saves_the_request_and_refuses_everything_else() {
    let world = World::new();
    let web = Web::of(b"content");
    let url = web.url("/file");
    let (right, wrong) = (Digest::of(b"content"), Digest::of(b"other"));
    let add =
        |digest: &Digest, to: &str| format!("FROM base\nADD --checksum={digest} {url} {to}\n");
    let error = world.remote_dockerfile(&add(&wrong, "/x")).error();
    assert!(
        error.contains(&format!("expected {wrong}, got {right}")),
        "{error}"
    );
    assert!(error.contains("ADD --checksum"), "{error}");
    assert_eq!(kept(&world), 0, "nothing of it is kept");
    world.remote_dockerfile(&add(&right, "/x")).built();
    assert_eq!(web.sent(), 2);
    // From here on the server is not needed.
    drop(web);
    let built = world.remote_dockerfile(&add(&right, "/x")).built();
    assert_eq!(built.cached, 1);
    let built = world.remote_dockerfile(&add(&right, "/y")).built();
    assert_eq!(world.files(&built.id, "y"), "0600 0:0 y \"content\"");
    let mut request = world.remote_request();
    request.no_cache = true;
    world.build(&request).built();
    let error = world
        .remote_dockerfile(&format!("FROM base\nADD {url} /x\n"))
        .error();
    assert!(
        error.contains("connection refused") && error.contains("hint: check"),
        "{error}"
    );
}

#[test]
fn archives_from_elsewhere_stay_whole_unless_they_are_to_be_unpacked() {
    let world = World::new();
    let archive = |path: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_size(6);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, &b"inside"[..]).unwrap();
        builder.into_inner().unwrap()
    };
    let web = Web::of(&archive("top/file"));
    let url = web.url("/data.tar");
    let dockerfile = format!(
        "FROM base\nADD {url} /whole/\nADD --unpack=true {url} /parts/\nADD --unpack=false {url} /no/\n"
    );
    let built = world.remote_dockerfile(&dockerfile).built();
    assert!(
        world
            .files(&built.id, "whole")
            .ends_with("0600 0:0 whole/data.tar")
    );
    assert!(
        world
            .files(&built.id, "no")
            .ends_with("0600 0:0 no/data.tar")
    );
    let parts = world.files(&built.id, "parts");
    assert!(
        parts.ends_with("0640 0:0 parts/top/file \"inside\""),
        "{parts}"
    );
    *web.content.lock().unwrap() = archive("../../../../../../tmp/evil");
    let error = world
        .remote_dockerfile(&format!("FROM base\nADD --unpack=true {url} /parts/\n"))
        .error();
    assert!(error.contains("leads out of the destination"), "{error}");
}

#[test]
fn secrets_open_the_door_of_their_host_and_of_no_other() {
    let world = World::new();
    let other = Web::of(b"there");
    let away = other.url("/file");
    let server = Scripted::start(move |exchange| {
        let known = match exchange.seen.target.as_str() {
            "/header" => "Basic abc",
            _ => "Bearer t0ken-value-of-the-host",
        };
        if exchange.seen.header("authorization") != Some(known) {
            return exchange.reply(401, &[], b"no");
        }
        match exchange.seen.target.as_str() {
            "/away" => exchange.reply(302, &[("Location", &away)], b""),
            _ => exchange.reply(200, &[], b"here"),
        }
    });
    let url = |path: &str| format!("http://{}{path}", server.address);
    let dockerfile = format!("FROM base\nADD {} {} /x/\n", url("/token"), url("/away"));
    let error = world.remote_dockerfile(&dockerfile).error();
    assert!(
        error.contains("hint: give a token: --secret id=HTTP_AUTH_TOKEN_127.0.0.1"),
        "{error}"
    );
    let with = |id: &str, value: &str| BuildRequest {
        secrets: vec![Secret::new(id, value)],
        ..world.remote_request()
    };
    let request = with("HTTP_AUTH_TOKEN_127.0.0.1", "t0ken-value-of-the-host\n");
    let built = world.build(&request).built();
    assert!(world.files(&built.id, "x").contains("x/away \"there\""));
    assert!(
        other
            .server
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    world.file(
        "Dockerfile",
        format!("FROM base\nADD {} /x\n", url("/header")),
    );
    world
        .build(&with("HTTP_AUTH_HEADER_127.0.0.1", "Basic abc"))
        .built();
    let elsewhere = with("HTTP_AUTH_HEADER_example.com", "Basic abc");
    assert!(world.build(&elsewhere).error().contains("401"));
    // Not in any file of the data root.
    let root = &world.engine.settings().root;
    let found = std::process::Command::new("grep")
        .args(["-rl", "t0ken-value-of-the-host"])
        .arg(root)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn hostile_servers_are_told_and_leave_nothing() {
    let world = World::new();
    let server = Scripted::start(|exchange| match exchange.seen.target.as_str() {
        "/endless" => exchange.endless(&[], b"x"),
        "/loop" => exchange.reply(302, &[("Location", "/loop")], b""),
        "/short" => exchange.announce(200, &[], 99),
        "/file" => exchange.reply(302, &[("Location", "file:///etc/passwd")], b""),
        _ => exchange.reply(304, &[], b""),
    });
    for (path, problem) in [
        ("/endless", "is larger than 1048576 bytes"),
        ("/loop", "too many redirects"),
        ("/short", "the connection was closed early"),
        ("/file", "without a usable Location"),
        ("/liar", "304"),
    ] {
        world.file(
            "Dockerfile",
            format!("FROM base\nADD http://{}{path} /x\n", server.address),
        );
        let mut request = world.remote_request();
        request.remote.as_mut().unwrap().limit = 1 << 20;
        let error = world.build(&request).error();
        assert!(error.contains(problem), "{path}: {error}");
        assert!(error.contains(">>> ADD http"), "{path}: {error}");
    }
    assert_eq!(kept(&world), 0);
    let drafts = world.engine.settings().root.join("drafts");
    let left = fs::read_dir(drafts).map_or(0, Iterator::count);
    assert!(left <= 1, "{left} drafts");
    world.file("Dockerfile", "FROM base\nADD http://127.0.0.1:1/x /x\n");
    let error = world.build(&world.request()).error();
    assert!(error.contains("this build may fetch nothing"), "{error}");
}

#[test]
fn sources_are_copied_in_the_order_in_which_they_are_named() {
    let world = World::new();
    let web = Web::of(b"from the web");
    world.file("x/file", "from here");
    let url = web.url("/file");
    for (sources, content) in [
        (format!("x/ {url}"), "from the web"),
        (format!("{url} x/"), "from here"),
    ] {
        let built = world
            .remote_dockerfile(&format!("FROM base\nADD {sources} /d/\n"))
            .built();
        let shown = world.files(&built.id, "d/file");
        assert!(shown.ends_with(&format!("{content:?}")), "{shown}");
    }
    let excluded = format!("FROM base\nADD --exclude=file {url} x/ /d/\n");
    let built = world.remote_dockerfile(&excluded).built();
    assert_eq!(world.files(&built.id, "d").lines().count(), 1);
}

#[test]
fn files_are_part_of_the_cache_that_is_listed_and_pruned() {
    let mut world = World::new();
    let web = Web::of(&[7; 5000]);
    let url = web.url("/file");
    world
        .remote_dockerfile(&format!("FROM base\nADD {url} /x\n"))
        .built();
    let entries = cache_entries(&world.engine).unwrap();
    let file = entries
        .iter()
        .find(|entry| entry.kind == CacheKind::Download)
        .unwrap();
    assert_eq!((file.size, file.reclaimable()), (5000, 5000));
    assert_eq!(file.description, format!("file {url}"));
    world.reopen();
    let policy = CachePolicy {
        max_age: None,
        max_bytes: None,
        scope: CacheScope::All,
    };
    assert!(collect_cache(&world.engine, &policy).unwrap() >= 5000);
    assert_eq!(kept(&world), 0);
    collect_cache(&world.engine, &policy).unwrap();
    let urls = world.engine.settings().root.join("cache/http-v1/urls");
    assert_eq!(fs::read_dir(urls).unwrap().count(), 0);
    world
        .remote_dockerfile(&format!("FROM base\nADD {url} /x\n"))
        .built();
    assert_eq!(web.sent(), 2);
}
