//! What lies elsewhere, and builds that can be repeated: rows 25, 48–51, 74, 82, 84.

use hoist_build::{
    BuildRequest, CacheExport, CacheMode, CacheMounts, CacheTarget, ContextAddress, ContextTrust,
    ImageArchive, NamedContext, RemoteContext, Secret, Timestamps, fetch_context, verify,
    write_image_layout,
};
use hoist_core::Digest;
use hoist_engine::image::LayoutImage;

use super::{World, read};
use crate::{
    exchange::{export, from, place},
    support::{access, git_server::GitServer, scripted::Scripted},
};

static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A server of the file `content`, which changed last in 1994.
fn web() -> Scripted {
    Scripted::start(|exchange| {
        let changed = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        exchange.reply(200, &[changed], b"content");
    })
}

/// A server of the repository `r.git`: `file` and `sub/inner` on `main`, another `file` on `side`,
/// and a commit that only a request points to.
fn git() -> (GitServer, String) {
    let server = GitServer::start(|_| false);
    let repository = server.repository("r.git");
    repository.file("file", "main").file("sub/inner", "inner");
    let commit = repository.commit();
    for (branch, content) in [("side", "side"), ("asked", "request")] {
        repository.git(&["checkout", "--quiet", "-b", branch, "main"]);
        repository.file("file", content).commit();
    }
    repository.git(&["update-ref", "refs/pull/7/head", "asked"]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["branch", "--quiet", "-D", "asked"]);
    (server, commit)
}

#[test]
fn row_25_epochs_by_name() {
    let world = World::new();
    let web = web();
    let dockerfile = |value: &str| {
        format!(
            "ARG SOURCE_DATE_EPOCH={value}\nFROM scratch AS src\nADD http://{}/x.tar /\n\
             FROM base\nCOPY --from=src / /src\n",
            web.address
        )
    };
    for (value, epoch) in [
        ("5", Some(5)),
        ("context", None),
        ("src", Some(784_111_777)),
    ] {
        let built = world.remote_dockerfile(&dockerfile(value)).built();
        assert_eq!(built.epoch, epoch, "{value}");
    }
    let error = world.remote_dockerfile(&dockerfile("other")).error();
    assert!(
        error.contains("invalid SOURCE_DATE_EPOCH: other"),
        "{error}"
    );
}

#[test]
fn row_48_files_of_web_servers() {
    let world = World::new();
    let web = web();
    let dockerfile = format!(
        "FROM base\nADD http://{}/a/tool?x=y /d/\nRUN stat -c %Y /d/tool > /time\n",
        web.address
    );
    let built = world.remote_dockerfile(&dockerfile).built();
    let file = world.files(&built.id, "d/tool");
    assert_eq!(file, "0600 0:0 d/tool \"content\"");
    assert_eq!(read(&world, &built, "time"), "784111777\n");
}

#[test]
fn row_49_checksums() {
    let world = World::new();
    let web = web();
    let (git, commit) = git();
    let file = format!("http://{}/x", web.address);
    let repository = git.url("r.git");
    let right = Digest::of(b"content").to_string();
    let add = |checksum: &str, source: &str| {
        world.remote_dockerfile(&format!(
            "FROM base\nADD --checksum={checksum} {source} /x\n"
        ))
    };
    add(&right, &file).built();
    add(&commit, &repository).built();
    let wrong = Digest::of(b"other").to_string();
    let error = add(&wrong, &file).error();
    let both = format!("expected {wrong}, got {right}");
    assert!(error.contains(&both), "{error}");
    let error = add(&"0".repeat(40), &format!("{repository}#main")).error();
    assert!(error.contains(&commit), "{error}");
}

#[test]
fn row_50_repositories() {
    let world = World::new();
    let (git, commit) = git();
    let url = git.url("r.git");
    let dockerfile = format!(
        "FROM base\nADD {url}#side /side\nADD {url}#main:sub /sub\nADD {url}#pull/7/head /asked\n\
         ADD --keep-git-dir=true {url}#{commit} /whole\n"
    );
    let built = world.remote_dockerfile(&dockerfile).built();
    let files = ["side/file", "sub/inner", "asked/file", "whole/file"];
    let files = files.map(|name| read(&world, &built, name));
    assert_eq!(files, ["side", "inner", "request", "main"]);
    assert_eq!(
        read(&world, &built, "whole/.git/HEAD"),
        format!("{commit}\n")
    );
    // Without the flag there is no history.
    assert!(!world.files(&built.id, "side").contains(".git"));
}

#[test]
fn row_51_secrets_for_servers() {
    let world = World::new();
    let server = Scripted::start(|exchange| {
        let known = match exchange.seen.target.as_str() {
            "/token" => "Bearer t0ken-for-the-host",
            _ => "Basic for-the-host",
        };
        match exchange.seen.header("authorization") == Some(known) {
            true => exchange.reply(200, &[], b"content"),
            false => exchange.reply(401, &[], b""),
        }
    });
    let build = |path: &str, secrets: Vec<Secret>| {
        let url = format!("http://{}{path}", server.address);
        world.file("Dockerfile", format!("FROM base\nADD {url} /x\n"));
        world.build(&BuildRequest {
            secrets,
            ..world.remote_request()
        })
    };
    let token = || Secret::new("HTTP_AUTH_TOKEN_127.0.0.1", "t0ken-for-the-host");
    let header = || Secret::new("HTTP_AUTH_HEADER_127.0.0.1", "Basic for-the-host");
    assert!(build("/token", Vec::new()).error().contains("401"));
    assert!(build("/token", vec![header()]).error().contains("401"));
    build("/token", vec![token()]).built();
    build("/header", vec![header()]).built();
}

#[test]
fn row_74_caches_elsewhere() {
    let one = World::new();
    let dockerfile = "FROM base AS tools\nRUN cat /proc/sys/kernel/random/uuid > /t\n\
        FROM base\nCOPY --from=tools /t /t\nRUN echo 1 > /1\n";
    one.file("Dockerfile", dockerfile);
    let directory = |name: &str| one.directory.path().join(name);
    let request = BuildRequest {
        cache_to: vec![
            export(&directory("min"), CacheMode::Min),
            export(&directory("max"), CacheMode::Max),
            CacheExport {
                to: CacheTarget::Inline,
                mounts: CacheMounts::None,
                ..export(&directory(""), CacheMode::Min)
            },
        ],
        ..one.request()
    };
    let built = one.build(&request).built();
    for name in ["min", "max"] {
        let two = one.twin();
        two.file("Dockerfile", dockerfile);
        let again = two.build(&from(&two, &directory(name))).built();
        assert_eq!((again.cached, &again.layers), (3, &built.layers), "{name}");
    }
    // A cache that cannot be written fails the build, unless that is to be ignored.
    one.file("file", "");
    let mut to = export(&one.context().join("file/below"), CacheMode::Min);
    let build = |to: &CacheExport| {
        one.build(&BuildRequest {
            cache_to: vec![to.clone()],
            ..one.request()
        })
    };
    assert!(build(&to).error().contains("cannot export the cache"));
    to.ignores_errors = true;
    build(&to).built();
    // One that is not there is no reason to fail.
    one.build(&BuildRequest {
        cache_from: vec![place(&directory("nowhere"))],
        ..one.request()
    })
    .built();
}

#[test]
fn row_82_reproducible_builds() {
    let world = World::new();
    let build = |dockerfile: &str, timestamps| {
        world.file("Dockerfile", dockerfile);
        let request = BuildRequest {
            timestamps,
            no_cache: true,
            build_args: vec![("SOURCE_DATE_EPOCH".to_owned(), Some("1000".to_owned()))],
            ..world.request()
        };
        let built = world.build(&request).built();
        let verified = verify(&world.engine, &request, &built, &|_| {}, &NEVER);
        (built, verified.expect("a second build").is_equal())
    };
    let now = "FROM base\nRUN --mount=type=cache,target=/c n=$(cat /c/n || echo 1700000000); \
        n=$((n + 100)); echo $n > /c/n; touch -d @$n /x\n";
    let (built, is_equal) = build(now, Timestamps::Kept);
    assert_eq!(built.image.created.as_deref(), Some("1970-01-01T00:16:40Z"));
    assert!(!is_equal, "files are as new as they are");
    assert!(build(now, Timestamps::Rewritten).1);
    assert!(build(now, Timestamps::Reproducible).1);
    let chance = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
    assert!(!build(chance, Timestamps::Reproducible).1);
}

#[test]
fn row_84_remote_contexts() {
    let world = World::new();
    let (git, commit) = git();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o644);
    let appended = archive.append_data(&mut header, "file", &b"packed"[..]);
    appended.expect("a member");
    let archive = archive.into_inner().expect("an archive");
    let web = Scripted::start(move |exchange| exchange.reply(200, &[], &archive));
    let url = git.url("r.git");
    let table = [
        (format!("{url}#side"), "file", "side"),
        (format!("{url}#pull/7/head"), "file", "request"),
        (format!("{url}#{commit}:sub"), "inner", "inner"),
        (format!("http://{}/c.tar", web.address), "file", "packed"),
    ];
    for (text, name, content) in table {
        let address = ContextAddress {
            text: &text,
            keep_git_dir: false,
        };
        let trust = ContextTrust {
            secrets: &[],
            agents: &[],
        };
        let context = fetch_context(&world.engine, &access(), address, trust, &NEVER);
        let RemoteContext::Files(files) = context.expect("a context") else {
            panic!("{text} is files");
        };
        let request = BuildRequest {
            context: files.path().to_owned(),
            context_label: Some(text.clone()),
            dockerfile_text: Some(format!("FROM base\nCOPY {name} /x\n")),
            ..world.request()
        };
        let built = world.build(&request).built();
        assert_eq!(read(&world, &built, "x"), content, "{text}");
    }
    // An image of a directory in OCI's layout.
    let built = world.dockerfile("FROM base\nENV FROM_LAYOUT=1\n").built();
    let layout = world.directory.path().join("layout");
    std::fs::create_dir(&layout).expect("a directory");
    let archive = ImageArchive::default();
    write_image_layout(&world.engine, &built.id, &archive, &layout).expect("a layout");
    let image = LayoutImage {
        directory: layout,
        tag: None,
        digest: None,
    };
    world.file("Dockerfile", "FROM elsewhere\n");
    let request = BuildRequest {
        contexts: [("elsewhere".to_owned(), NamedContext::Layout(image))].into(),
        ..world.request()
    };
    let env = world.build(&request).built().image.config.env;
    assert!(env.contains(&"FROM_LAYOUT=1".to_owned()), "{env:?}");
}
