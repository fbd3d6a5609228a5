//! `SOURCE_DATE_EPOCH` that names what lies elsewhere: a stage with one `ADD`, or a context.

use hoist_build::{
    BuildRequest, ContextAddress, ContextTrust, NamedContext, RemoteContext, Timestamps,
    fetch_context,
};
use hoist_core::{Digest, event::BuildEvent};

use crate::support::{Outcome, World, access, git_server::GitServer, scripted::Scripted};

/// A server of an archive whose newest file is of the year 2001, and of plain files; below `/dated/`
/// it says when they changed.
fn server() -> Scripted {
    let archive = archive(&[("old", 5), ("new", 1_000_000_000), ("older", 7)]);
    let future = archive_of_the_future();
    Scripted::start(move |exchange| {
        let target = exchange.seen.target.clone();
        let body = match target.rsplit('/').next() {
            Some("a.tar") => &archive,
            Some("future.tar") => &future,
            Some("damaged.tar") => &archive[..700],
            _ => &b"content"[..],
        };
        let dated = [("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let headers = match target.starts_with("/dated/") {
            true => &dated[..],
            false => &[],
        };
        exchange.reply(200, headers, body);
    })
}

fn archive(files: &[(&str, u64)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut directory = tar::Header::new_gnu();
    directory.set_entry_type(tar::EntryType::Directory);
    directory.set_mode(0o755);
    directory.set_size(0);
    directory.set_mtime(2_000_000_000);
    let appended = archive.append_data(&mut directory, "d/", &b""[..]);
    appended.expect("a directory");
    for (name, time) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(*time);
        header.set_size(600);
        let appended = archive.append_data(&mut header, name, &[b'x'; 600][..]);
        appended.expect("a member");
    }
    archive.into_inner().expect("an archive")
}

fn archive_of_the_future() -> Vec<u8> {
    archive(&[("late", u64::MAX >> 2)])
}

/// Build an image that the epoch is the label of, with `value` for the argument and `stages` in
/// front.
fn build(world: &World, value: &str, stages: &str) -> Outcome {
    world.remote_dockerfile(&format!(
        "ARG VERSION=1\nARG SOURCE_DATE_EPOCH={value}\n{stages}\nFROM base\nARG SOURCE_DATE_EPOCH\n\
         LABEL at=\"<$SOURCE_DATE_EPOCH>\"\n"
    ))
}

/// The epoch of such a build, and where it comes from.
fn epoch(world: &World, stages: &str) -> Option<String> {
    let outcome = build(world, "src", stages);
    let told = outcome.events.iter().find_map(|event| match event {
        BuildEvent::EpochChosen { seconds, source } => Some(format!("{seconds}: {source}")),
        _ => None,
    });
    let built = outcome.built();
    let shown = built.epoch.map_or(String::new(), |epoch| epoch.to_string());
    let label = built.image.config.labels.get("at").cloned();
    assert_eq!(label, Some(format!("<{shown}>")));
    assert_eq!(built.epoch.is_some(), told.is_some());
    told
}

#[test]
fn files_have_the_time_of_their_server_and_archives_that_of_their_newest_file() {
    let world = World::new();
    let server = server();
    let told = |path: &str| {
        let url = format!("http://{}{path}", server.address);
        let told = epoch(&world, &format!("FROM scratch AS src\nADD {url} /"));
        told.map(|text| text.replace(&server.address.to_string(), "HOST"))
    };
    let dated = "784111777: http://HOST/dated/file in the stage src";
    assert_eq!(told("/dated/file").as_deref(), Some(dated));
    let dated = "784111777: http://HOST/dated/a.tar in the stage src";
    assert_eq!(told("/dated/a.tar?token=x").as_deref(), Some(dated));
    let newest = "1000000000: http://HOST/a.tar in the stage src";
    assert_eq!(told("/a.tar").as_deref(), Some(newest));
    // Nobody says when it changed: as if the argument were not given.
    assert_eq!(told("/file"), None);
    // Whatever is claimed, images can say it.
    let last = "253402207200: http://HOST/future.tar in the stage src";
    assert_eq!(told("/future.tar").as_deref(), Some(last));
    let url = format!("http://{}/damaged.tar", server.address);
    let stages = format!("FROM scratch AS src\nADD {url} /");
    let error = build(&world, "src", &stages).error();
    assert!(
        error.contains(">>> ADD") && error.contains(&format!("cannot unpack {url}: ")),
        "{error}"
    );
}

#[test]
fn a_checksum_is_heeded_and_variables_are_replaced() {
    let world = World::new();
    let server = server();
    let stages = |checksum: &str| {
        format!(
            "FROM scratch AS src\nARG NAME=file\nADD --checksum={checksum} \
             http://{}/dated/$NAME-$VERSION /",
            server.address
        )
    };
    let told = epoch(&world, &stages(&Digest::of(b"content").to_string()));
    let told = told.expect("an epoch");
    assert!(told.contains("/dated/file-1 in the stage src"), "{told}");
    let wrong = Digest::of(b"other").to_string();
    let error = build(&world, "src", &stages(&wrong)).error();
    assert!(error.contains(&format!("expected {wrong}")), "{error}");
}

#[test]
fn a_repository_has_the_time_of_the_commit() {
    let world = World::new();
    let server = GitServer::start(|_| false);
    let repository = server.repository("r.git");
    let first = repository.file("d/x", "1").commit();
    let url = server.url("r.git");
    let told = |source: &str| {
        let told = epoch(&world, &format!("FROM scratch AS src\nADD {source} /"));
        told.map(|text| text.replace(&url, "URL"))
    };
    let commit = format!("1700000000: URL#{first}:d in the stage src");
    assert_eq!(told(&format!("{url}#{first}:d")), Some(commit));
    let branch = "1700000000: URL#main in the stage src";
    let checked = format!("--checksum={first} {url}#main");
    assert_eq!(told(&format!("{url}#main")).as_deref(), Some(branch));
    assert_eq!(told(&checked).as_deref(), Some(branch));
    // What is here needs nobody.
    drop(server);
    assert!(told(&format!("{url}#{first}")).is_some());
    let error = build(
        &world,
        "src",
        &format!("FROM scratch AS src\nADD {url}#gone /"),
    )
    .error();
    assert!(error.contains(">>> ADD"), "{error}");
}

#[test]
fn contexts_that_were_fetched_have_a_time() {
    let world = World::new();
    let server = server();
    let git = GitServer::start(|_| false);
    git.repository("r.git").file("x", "1").commit();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let table = [
        (git.url("r.git"), Some(1_700_000_000)),
        (url("/a.tar"), Some(1_000_000_000)),
        (url("/dated/a.tar"), Some(784_111_777)),
        (url("/file"), None),
    ];
    let never = std::sync::atomic::AtomicBool::new(false);
    for (address, time) in table {
        world.file(
            "Dockerfile",
            "ARG SOURCE_DATE_EPOCH=more\nFROM base\nCOPY --from=more / /m\n",
        );
        let context = NamedContext::Remote(address.clone());
        let request = BuildRequest {
            contexts: [("more".to_owned(), context)].into(),
            timestamps: Timestamps::Rewritten,
            ..world.remote_request()
        };
        assert_eq!(world.build(&request).built().epoch, time, "{address}");
        let address = ContextAddress {
            text: &address,
            keep_git_dir: false,
        };
        let trust = ContextTrust {
            secrets: &[],
            agents: &[],
        };
        match fetch_context(&world.engine, &access(), address, trust, &never).expect("a context") {
            RemoteContext::Files(files) => assert_eq!(files.time().expect("a time"), time),
            RemoteContext::Dockerfile(_) => assert_eq!(time, None),
        }
    }
}
