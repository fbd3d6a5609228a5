//! `ADD` of git repositories: what is fetched of them, and what they cannot do.

use std::fs;

use hoist_build::{
    BuildRequest, CacheKind, CachePolicy, CacheScope, Secret, cache_entries, collect_cache,
};

use crate::support::{
    World,
    git_server::{GitServer, Repository},
};

/// A server that answers as git does.
fn server() -> GitServer {
    GitServer::start(|_| false)
}

/// A repository with some files, a tag and a branch beside `main`.
fn filled(server: &GitServer, name: &str) -> Repository {
    let repository = server.repository(name);
    repository
        .file("readme", "first\n")
        .file("app/run.sh", "#!/bin/sh\n");
    repository.git(&["update-index", "--add", "--chmod=+x", "app/run.sh"]);
    std::os::unix::fs::symlink("run.sh", repository.path().join("app/link")).expect("a link");
    fs::set_permissions(
        repository.path().join("app/run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("a mode");
    repository.commit();
    repository.git(&["tag", "-a", "-m", "x", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    repository.file("readme", "side\n").commit();
    repository.git(&["checkout", "--quiet", "main"]);
    repository.file("readme", "second\n").commit();
    repository
}

fn add(flags: &str, url: &str) -> String {
    format!("FROM base\nADD {flags} {url} /r/\n")
}

#[test]
fn a_repository_is_copied_at_a_branch_a_tag_or_a_commit() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    let url = server.url("r.git");
    let built = world
        .remote_dockerfile(&format!(
            "FROM base\nADD {url} /r\nRUN stat -c '%Y %n' /r /r/readme /r/app > /times\n"
        ))
        .built();
    let shown = ["r", "times"]
        .map(|path| world.files(&built.id, path))
        .join("\n");
    insta::assert_snapshot!(shown, @r##"
    0755 0:0 r/
    0755 0:0 r/app/
    0777 0:0 r/app/link -> run.sh
    0755 0:0 r/app/run.sh "#!/bin/sh\n"
    0644 0:0 r/readme "second\n"
    0644 0:0 times "1700000000 /r\n1700000000 /r/readme\n1700000000 /r/app\n"
    "##);
    let first = repository.git(&["rev-parse", "v1^{commit}"]);
    for (reference, content) in [
        ("#main", "second"),
        ("#side", "side"),
        ("#v1", "first"),
        ("?tag=v1", "first"),
        ("?branch=side", "side"),
        ("#refs/heads/side", "side"),
        (&format!("#{first}"), "first"),
        (&format!("?commit={first}&tag=v1"), "first"),
        (&format!("?checksum={}#v1", &first[..9]), "first"),
        (&format!("?fetch-by-commit&checksum={first}"), "first"),
        ("?subdir=/#side:", "side"),
    ] {
        let built = world
            .remote_dockerfile(&add("", &format!("{url}{reference}")))
            .built();
        let readme = world.files(&built.id, "r/readme");
        assert!(
            readme.ends_with(&format!("\"{content}\\n\"")),
            "{reference}: {readme}"
        );
    }
    let built = world
        .remote_dockerfile(&add("--chown=app --exclude=link", &format!("{url}#v1:app")))
        .built();
    insta::assert_snapshot!(world.files(&built.id, "r"), @r##"
    0755 1000:1001 r/
    0755 1000:1001 r/run.sh "#!/bin/sh\n"
    "##);
    let error = world
        .remote_dockerfile(&add("", &format!("{url}#nope")))
        .error();
    assert!(
        error.contains("repository does not contain ref nope"),
        "{error}"
    );
    let error = world
        .remote_dockerfile(&add("", &server.url("absent.git")))
        .error();
    assert!(
        error.contains("absent.git") && error.contains("not found"),
        "{error}"
    );
}

#[test]
fn the_commit_is_the_key_and_one_that_is_named_needs_nobody() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    let url = server.url("r.git");
    world.remote_dockerfile(&add("", &url)).built();
    let fetched = server.requests("git-upload-pack");
    let again = world.remote_dockerfile(&add("", &url)).built();
    assert_eq!(again.cached, 1);
    assert!(
        server.requests("git-upload-pack") > fetched,
        "it is asked what main is"
    );
    let before = repository.head();
    let after = repository.file("readme", "third\n").commit();
    let steps = world.remote_dockerfile(&add("", &url)).steps();
    let reason = format!("commit {url} changed from \"{before}\" to \"{after}\"");
    assert!(steps.contains(&reason), "{steps}");

    let pinned = format!("{url}#{after}");
    world.remote_dockerfile(&add("", &pinned)).built();
    let checked = format!("--checksum={after} {url}#main");
    world.remote_dockerfile(&add("", &checked)).built();
    drop(server);
    for (source, place) in [
        (pinned.as_str(), "/r/"),
        (pinned.as_str(), "/else/"),
        (&checked, "/r/"),
    ] {
        let built = world
            .remote_dockerfile(&format!("FROM base\nADD {source} {place}\n"))
            .built();
        assert!(
            world
                .files(&built.id, &place[1..place.len() - 1])
                .contains("third")
        );
    }
    let error = world
        .remote_dockerfile(&add("", &format!("{url}#main")))
        .error();
    assert!(error.contains("hint: check the address"), "{error}");
}

#[test]
fn servers_of_plain_files_and_servers_that_hide_commits_are_asked_for_more() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    let first = repository.git(&["rev-parse", "v1^{commit}"]);
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]);
    for url in [server.url("dumb/r.git"), server.url("r.git")] {
        for (reference, content) in [
            ("", "second"),
            ("#v1", "first"),
            (&format!("#{first}"), "first"),
        ] {
            let built = world
                .remote_dockerfile(&add("", &format!("{url}{reference}")))
                .built();
            let readme = world.files(&built.id, "r/readme");
            assert!(readme.contains(content), "{url}{reference}: {readme}");
        }
    }
    let unknown = "0123456789012345678901234567890123456789";
    let error = world
        .remote_dockerfile(&add("", &format!("{}#{unknown}", server.url("r.git"))))
        .error();
    assert!(
        error.contains(&format!("it has no commit {unknown}")),
        "{error}"
    );
}

#[test]
fn a_checksum_that_is_not_the_commit_is_refused() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    let (main, url) = (repository.head(), server.url("r.git"));
    let other = repository.git(&["rev-parse", "side"]);
    for (checksum, problem) in [
        (&other[..], format!("expected {other}, got {main}")),
        (&other[..8], format!("expected {}, got {main}", &other[..8])),
        ("xyz", "expected hex commit hash".to_owned()),
    ] {
        let flag = format!("--checksum={checksum}");
        let error = world
            .remote_dockerfile(&add(&flag, &format!("{url}#main")))
            .error();
        assert!(error.contains(&problem), "{error}");
    }
    let tag = repository.git(&["rev-parse", "v1"]);
    let flag = format!("--checksum={tag}");
    let built = world
        .remote_dockerfile(&add(&flag, &format!("{url}#v1")))
        .built();
    assert!(world.files(&built.id, "r/readme").contains("first"));
    let error = world
        .remote_dockerfile("FROM base\nADD --checksum=sha256:0 a b /\n")
        .error();
    assert!(
        error.contains("checksum can't be specified for multiple sources"),
        "{error}"
    );
}

#[test]
fn submodules_come_along_from_where_their_repository_says() {
    let world = World::new();
    let server = server();
    let leaf = server.repository("leaf.git");
    leaf.file("leaf", "leaf\n").commit();
    let old = leaf.head();
    leaf.file("leaf", "new\n").commit();
    let middle = server.repository("group/middle.git");
    let link = |path: &str, commit: &str| format!("160000,{commit},{path}");
    middle.file("middle", "middle\n").file(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = deep/leaf\n\turl = ../../leaf.git\n",
    );
    middle.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &link("deep/leaf", &old),
    ]);
    middle.git(&["add", ".gitmodules", "middle"]);
    middle.git(&["commit", "--quiet", "-m", "x"]);
    let top = server.repository("top.git");
    let absolute = server.url("group/middle.git");
    top.file("app/top", "top\n").file(
        ".gitmodules",
        &format!(
            "[submodule \"m\"]\n\tpath = app/m\n\turl = {absolute}\n\
             [submodule \"never\"]\n\tpath = never\n\turl = ../nowhere.git\n\tupdate = none\n"
        ),
    );
    top.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &link("app/m", &middle.head()),
    ]);
    top.git(&["update-index", "--add", "--cacheinfo", &link("never", &old)]);
    top.git(&["add", ".gitmodules", "app/top"]);
    top.git(&["commit", "--quiet", "-m", "x"]);
    let url = server.url("top.git");
    let built = world
        .remote_dockerfile(&add("", &format!("{url}#:app")))
        .built();
    insta::assert_snapshot!(world.files(&built.id, "r"), @r#"
    0755 0:0 r/
    0755 0:0 r/m/
    0644 0:0 r/m/.gitmodules "[submodule \"x\"]\n\tpath = deep/leaf\n\turl = ../../leaf.git\n"
    0755 0:0 r/m/deep/
    0755 0:0 r/m/deep/leaf/
    0644 0:0 r/m/deep/leaf/leaf "leaf\n"
    0644 0:0 r/m/middle "middle\n"
    0644 0:0 r/top "top\n"
    "#);
    let built = world.remote_dockerfile(&add("", &url)).built();
    let files = world.files(&built.id, "r");
    assert!(
        files.contains("r/app/m/deep/leaf/leaf \"leaf\\n\""),
        "{files}"
    );
    assert!(files.ends_with("r/never/"), "{files}");
    let built = world
        .remote_dockerfile(&add("", &format!("{url}?submodules=false")))
        .built();
    assert!(
        world
            .files(&built.id, "r/app")
            .ends_with("r/app/top \"top\\n\"")
    );
}

#[test]
fn a_git_directory_is_kept_when_asked_for_and_holds_one_commit() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    let url = server.url("r.git");
    for (reference, shown) in [
        ("#v1", "(HEAD, tag: v1)"),
        ("#side", "(HEAD, side)"),
        ("", "(HEAD, origin/HEAD)"),
    ] {
        let source = format!("{url}{reference}");
        world.file(
            "Dockerfile",
            format!("FROM scratch\nADD --keep-git-dir=true {source} /r\n"),
        );
        let built = world.build(&world.remote_request()).built();
        let out = world
            .directory
            .path()
            .join(format!("out{}", reference.len()));
        fs::create_dir(&out).unwrap();
        let cancelled = std::sync::atomic::AtomicBool::new(false);
        hoist_build::write_directory(
            &world.engine,
            &built.id,
            None,
            (&out, hoist_build::Others::Stay),
            &cancelled,
        )
        .unwrap();
        let git = |arguments: &[&str]| {
            let output = std::process::Command::new("git")
                .args(["-c", "safe.directory=*", "-C"])
                .arg(out.join("r"))
                .args(arguments)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert_eq!(git(&["status", "--porcelain"]), "");
        assert_eq!(git(&["rev-list", "--count", "HEAD"]), "1");
        assert_eq!(git(&["remote", "get-url", "origin"]), url);
        let decorated = git(&["log", "--format=%d", "--decorate=short", "-1"]);
        assert_eq!(decorated.replace("grafted, ", ""), shown, "{reference}");
        assert!(!out.join("r/.git/hooks").exists());
    }
    // Without the flag, and below a directory, there is none.
    for source in [url.clone(), format!("{url}?keep-git-dir=true&subdir=app")] {
        let built = world.remote_dockerfile(&add("", &source)).built();
        assert!(!world.files(&built.id, "r").contains(".git/"));
    }
    drop(repository);
}

#[test]
fn what_an_address_or_a_repository_would_like_to_run_stays_text() {
    let world = World::new();
    let server = server();
    let marker = world.directory.path().join("marker");
    let touch = format!("touch {}", marker.display());
    let repository = filled(&server, "r.git");
    let url = server.url("r.git");
    for reference in [
        format!("#--upload-pack={touch}").replace(' ', "$IFS"),
        "#:../../etc".to_owned(),
        "#main:app/../../x".to_owned(),
        "?subdir=.git/hooks".to_owned(),
        "?ref=-v".to_owned(),
    ] {
        let source = format!("{url}{reference}");
        let error = world
            .remote_dockerfile(&format!("FROM base\nADD [\"{source}\", \"/r/\"]\n"))
            .error();
        assert!(error.contains("invalid git source"), "{reference}: {error}");
    }
    // A link is not a directory of the repository, wherever it leads.
    std::os::unix::fs::symlink("/etc", repository.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("app", repository.path().join("inside")).unwrap();
    // Attributes that hide files, change them, or call programs.
    repository
        .file(
            ".gitattributes",
            "readme export-ignore\nstamp export-subst\napp/** filter=evil diff=evil\n",
        )
        .file("stamp", "$Format:%H$\n")
        .file(".gitconfig", &format!("[core]\n\tfsmonitor = {touch}\n"))
        .file(
            ".gitmodules",
            &format!("[submodule \"x\"]\n\tpath = x\n\turl = u\n\tupdate = !{touch}\n"),
        )
        .commit();
    for directory in ["etc", "inside", "inside/x", "readme", "nowhere"] {
        let error = world
            .remote_dockerfile(&add("", &format!("{url}#:{directory}")))
            .error();
        assert!(
            error.contains("links are not followed"),
            "{directory}: {error}"
        );
    }
    let built = world.remote_dockerfile(&add("", &url)).built();
    let files = world.files(&built.id, "r");
    assert!(files.contains("r/readme \"second\\n\""), "{files}");
    assert!(files.contains("r/stamp \"$Format:%H$\\n\""), "{files}");
    assert!(!marker.exists());
}

#[test]
fn hostile_trees_and_submodules_are_refused() {
    let world = World::new();
    let server = server();
    let repository = server.repository("r.git");
    let commit = repository.file("x", "x").commit();
    let blob = repository.git(&["rev-parse", "HEAD:x"]);
    let url = server.url("r.git");
    let refused = |lines: &str, problem: &str| {
        repository.commit_tree(lines);
        let error = world.remote_dockerfile(&add("", &url)).error();
        assert!(error.contains(problem), "{lines}: {error}");
    };
    let hook = repository.git_with_input(
        &["mktree"],
        format!("100755 blob {blob}\thooks\n").as_bytes(),
    );
    refused(
        &format!("040000 tree {hook}\t.git\n"),
        "which is not written",
    );
    refused(
        &format!("040000 tree {hook}\t.GIT\n"),
        "which is not written",
    );
    refused(&format!("040000 tree {hook}\t..\n"), "which is not written");
    refused(&format!("100644 blob {blob}\t..\n"), "which is not written");
    let modules = |url: &str, path: &str| {
        let text = format!("[submodule \"s\"]\n\tpath = {path}\n\turl = {url}\n");
        let file = repository.git_with_input(&["hash-object", "-w", "--stdin"], text.as_bytes());
        format!("100644 blob {file}\t.gitmodules\n160000 commit {commit}\tsub\n")
    };
    for url in [
        "ext::sh -c touch",
        "file:///etc",
        "/etc",
        "-u./evil",
        "--upload-pack=x",
        "ssh://-oProxyCommand=x/y",
    ] {
        refused(&modules(url, "sub"), "cannot be fetched");
    }
    refused(&modules("../../../../x", "sub"), "leads above the root");
    refused(&modules("../r.git", "other"), "no url found in .gitmodules");
    // The path that CVE-2025-48384 is about: a carriage return at its end.
    let odd = modules("../r.git", "\"sub\r\"").replace("\tsub\n", "\tsub\r\n");
    repository.commit_tree(&odd);
    let built = world.remote_dockerfile(&add("", &url)).built();
    let files = world.files(&built.id, "r");
    assert!(files.contains("r/sub\r/x \"x\""), "{files:?}");
    // A name of a submodule that leads out of .git/modules is no path here.
    let named = format!(
        "[submodule \"../../../../../../{}\"]\n\tpath = sub\n\turl = ../r.git\n",
        world.directory.path().display()
    );
    let file = repository.git_with_input(&["hash-object", "-w", "--stdin"], named.as_bytes());
    repository.commit_tree(&format!(
        "100644 blob {file}\t.gitmodules\n160000 commit {commit}\tsub\n"
    ));
    let built = world.remote_dockerfile(&add("", &url)).built();
    assert!(world.files(&built.id, "r").contains("r/sub/x \"x\""));
}

#[test]
fn tokens_reach_their_server_and_no_other() {
    let world = World::new();
    let open = server();
    filled(&open, "leaf.git");
    let elsewhere = open.url("leaf.git");
    let closed = GitServer::start(move |exchange| {
        let known = "basic eC1hY2Nlc3MtdG9rZW46dDBrZW4tb2YtdGhlLWhvc3Q=";
        if exchange.seen.target.starts_with("/moved") {
            let to = format!(
                "{elsewhere}{}",
                exchange.seen.target.replacen("/moved.git", "", 1)
            );
            exchange.reply(302, &[("Location", &to)], b"");
            return true;
        }
        if exchange.seen.header("authorization") != Some(known) {
            exchange.reply(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b"");
            return true;
        }
        false
    });
    let top = filled(&closed, "r.git");
    let leaf = open.url("leaf.git");
    top.file(
        ".gitmodules",
        &format!("[submodule \"l\"]\n\tpath = l\n\turl = {leaf}\n"),
    );
    let commit = leaf_commit(&world, &leaf);
    top.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},l"),
    ]);
    top.git(&["add", ".gitmodules"]);
    top.git(&["commit", "--quiet", "-m", "x"]);
    let url = closed.url("r.git");
    let error = world.remote_dockerfile(&add("", &url)).error();
    let host = closed.server.address.to_string();
    assert!(
        error.contains(&format!("--secret id=GIT_AUTH_TOKEN.{host}")),
        "{error}"
    );
    let with = |id: &str| BuildRequest {
        secrets: vec![Secret::new(id, "t0ken-of-the-host\n")],
        ..world.remote_request()
    };
    // Without a host it goes over TLS only.
    assert!(world.build(&with("GIT_AUTH_TOKEN")).result.is_err());
    let request = with(&format!("GIT_AUTH_TOKEN.{host}"));
    let built = world.build(&request).built();
    assert!(world.files(&built.id, "r").contains("r/l/readme"));
    world.file("Dockerfile", add("", &closed.url("moved.git")));
    let error = world.build(&request).error();
    assert!(error.contains("hint: the repository has moved"), "{error}");
    let to_others = open.server.seen();
    assert!(
        to_others
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    // What an address brings along is not in the image, the cache or the arguments of git.
    let own = format!("http://x-access-token:t0ken-of-the-host@{host}/r.git#side");
    let built = world.remote_dockerfile(&add("", &own)).built();
    assert!(world.files(&built.id, "r/readme").contains("side"));
    let found = std::process::Command::new("grep")
        .args(["-rl", "t0ken-of-the-host"])
        .arg(&world.engine.settings().root)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

/// What `main` of the repository at `url` is.
fn leaf_commit(world: &World, url: &str) -> String {
    let output = std::process::Command::new("git")
        .args(["ls-remote", url, "HEAD"])
        .current_dir(world.directory.path())
        .output()
        .expect("git runs");
    String::from_utf8_lossy(&output.stdout)[..40].to_owned()
}

#[test]
fn ssh_has_the_agent_of_the_build_and_no_configuration() {
    let world = World::new();
    let server = server();
    let repository = filled(&server, "r.git");
    // A program in the place of ssh: it notes how it is called, and runs what it is told here.
    let programs = world.directory.path().join("programs");
    let log = world.directory.path().join("log");
    fs::create_dir(&programs).unwrap();
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$SSH_AUTH_SOCK\" \"$@\" >> {}\nfor last; do :; done\n\
         GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' exec sh -c \"$last\"\n",
        log.display()
    );
    fs::write(programs.join("ssh"), script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(programs.join("ssh"), mode).unwrap();
    let path = repository.path().display();
    for url in [
        format!("ssh://git@example.com:2222{path}#side"),
        format!("git@example.com:{path}#side"),
    ] {
        world.file("Dockerfile", add("", &url));
        let mut request = world.remote_request();
        request.agents = vec![hoist_build::SshAgent {
            id: "default".to_owned(),
            source: hoist_build::AgentSource::Socket("/run/the-agent".into()),
        }];
        let git = &mut request.remote.as_mut().unwrap().git;
        git.path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()).into();
        git.known_hosts = vec!["/home/me/.ssh/known_hosts".into()];
        let built = world.build(&request).built();
        assert!(world.files(&built.id, "r/readme").contains("side"));
    }
    let called = fs::read_to_string(log).unwrap();
    let own = world
        .engine
        .settings()
        .root
        .join("cache/git-v1/known_hosts");
    let hosts = format!(
        "UserKnownHostsFile=\"{}\" \"/home/me/.ssh/known_hosts\"",
        own.display()
    );
    for line in [
        "/run/the-agent",
        "/dev/null",
        "BatchMode=yes",
        "2222",
        "git@example.com",
        &hosts,
    ] {
        assert!(
            called.lines().any(|found| found == line),
            "{line}: {called}"
        );
    }
}

#[test]
fn what_is_missing_or_damaged_here_is_told_or_mended() {
    let world = World::new();
    let server = server();
    filled(&server, "r.git");
    let url = server.url("r.git");
    world.file("Dockerfile", add("", &url));
    let mut request = world.remote_request();
    request.remote.as_mut().unwrap().git.path = "/nowhere".into();
    let error = world.build(&request).error();
    assert!(error.contains("cannot run git"), "{error}");
    assert!(
        error.contains("hint: git fetches repositories: apt-get install git"),
        "{error}"
    );
    let error = world
        .remote_dockerfile(&add("", "git@example.com:x/y.git"))
        .error();
    assert!(
        error.contains("no SSH agent \"default\"") && error.contains("--ssh default"),
        "{error}"
    );
    world.remote_dockerfile(&add("", &url)).built();
    // Every object of the repository that is kept here, cut in two.
    let kept = world.engine.settings().root.join("cache/git-v1");
    let mut cut = 0;
    let mut open = vec![kept];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let is_object = entry
                .path()
                .components()
                .any(|part| part.as_os_str() == "objects");
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if is_object {
                let bytes = fs::read(entry.path()).unwrap();
                fs::remove_file(entry.path()).unwrap();
                fs::write(entry.path(), &bytes[..bytes.len() / 2]).unwrap();
                cut += 1;
            }
        }
    }
    assert!(cut > 0);
    let built = world
        .remote_dockerfile(&format!("FROM base\nADD {url} /again/\n"))
        .built();
    assert!(world.files(&built.id, "again").contains("second"));
}

#[test]
fn repositories_are_part_of_the_cache_that_is_listed_and_pruned() {
    let mut world = World::new();
    let server = server();
    filled(&server, "r.git");
    let url = server.url("r.git");
    world.remote_dockerfile(&add("", &url)).built();
    let entries = cache_entries(&world.engine).unwrap();
    let found = entries
        .iter()
        .find(|entry| entry.kind == CacheKind::Repository)
        .unwrap();
    assert!(found.size > 0 && found.reclaimable() == found.size);
    assert_eq!(found.description, format!("repository {url}"));
    world.reopen();
    let policy = CachePolicy {
        max_age: None,
        max_bytes: None,
        scope: CacheScope::All,
    };
    assert!(collect_cache(&world.engine, &policy).unwrap() > 0);
    let left = fs::read_dir(world.engine.settings().root.join("cache/git-v1")).unwrap();
    assert_eq!(left.count(), 0);
    world.remote_dockerfile(&add("", &url)).built();
}
