//! `hoist build` of what lies elsewhere: contexts, Dockerfiles and sources of `ADD` from web servers
//! and git repositories.

use std::process::Command;

use crate::support::{
    Sandbox,
    git_server::{GitServer, Repository},
    scripted::Scripted,
};

/// A repository with an application in a directory of it.
fn application(server: &GitServer) -> Repository {
    let repository = server.repository("app.git");
    repository
        .file(
            "service/Dockerfile",
            "FROM busybox\nCOPY . /srv\nCMD ls -A /srv; cat /srv/data /srv/service/data 2>/dev/null; true\n",
        )
        .file("service/data", "of main\n")
        .file("service/secret.txt", "x\n")
        .file("service/.dockerignore", "secret.txt\n.dockerignore\n")
        .file("Dockerfile", "FROM busybox\nCOPY . /srv\nCMD ls -A /srv\n")
        .commit();
    repository.git(&["checkout", "--quiet", "-b", "next"]);
    repository.file("service/data", "of next\n").commit();
    repository.git(&["checkout", "--quiet", "main"]);
    repository
}

fn archive(sandbox: &Sandbox, compression: &str) -> Vec<u8> {
    sandbox.file(
        "packed/Dockerfile",
        "FROM busybox\nCOPY data /data\nCMD cat /data\n",
    );
    sandbox.file("packed/data", "packed\n");
    let output = Command::new("tar")
        .args([compression, "-cf", "-", "-C"])
        .arg(sandbox.path("packed"))
        .arg(".")
        .output()
        .expect("tar runs");
    assert!(output.status.success(), "apt-get install xz-utils bzip2");
    output.stdout
}

#[test]
fn a_context_from_git_is_a_commit_or_a_directory_of_it() {
    let sandbox = Sandbox::new();
    let server = GitServer::start(|_| false);
    let repository = application(&server);
    let url = server.url("app.git");
    let shows = |context: &str, flags: &[&str], shown: &str| {
        let arguments = [&["build", "-t", "app"], flags, &[context]].concat();
        sandbox.hoist(&arguments).ok();
        sandbox.hoist(&["run", "--rm", "app"]).ok().stdout_is(shown);
    };
    shows(&format!("{url}#:service"), &[], "Dockerfile\ndata\nof main");
    shows(
        &format!("{url}#next:service"),
        &[],
        "Dockerfile\ndata\nof next",
    );
    shows(
        &format!("{url}?branch=next&subdir=service"),
        &[],
        "Dockerfile\ndata\nof next",
    );
    shows(&url, &[], "Dockerfile\nservice");
    let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"];
    shows(&url, &keep, ".git\nDockerfile\nservice");
    shows(
        &url,
        &["-f", "service/Dockerfile"],
        "Dockerfile\nservice\nof main",
    );
    // Equal commits give equal images, found in the cache.
    sandbox
        .hoist(&["build", "--explain", &format!("{url}#next:service")])
        .ok()
        .never_says("ran  ");
    repository.file("service/data", "changed\n").commit();
    shows(&format!("{url}#:service"), &[], "Dockerfile\ndata\nchanged");
    let head = repository.head();
    sandbox
        .hoist(&["build", "-t", "app", &format!("{url}#{head}:service")])
        .ok();
    drop(server);
    shows(
        &format!("{url}#{head}:service"),
        &[],
        "Dockerfile\ndata\nchanged",
    );
    sandbox
        .hoist(&["build", &format!("{url}#--upload-pack=x")])
        .fails(1)
        .says("invalid git context");
    sandbox
        .hoist(&["build", "git@example.com:me/app.git"])
        .fails(1)
        .says("--ssh default");
}

#[test]
fn a_context_from_the_web_is_an_archive_or_a_dockerfile() {
    let sandbox = Sandbox::new();
    let archives = ["--gzip", "--bzip2", "--xz"].map(|how| archive(&sandbox, how));
    let server = Scripted::start(move |exchange| {
        let number = exchange
            .seen
            .target
            .strip_prefix("/context")
            .map(str::to_owned);
        match number.as_deref().map(str::parse::<usize>) {
            Some(Ok(number)) => exchange.reply(200, &[("ETag", "\"1\"")], &archives[number]),
            _ if exchange.seen.target == "/binary" => exchange.reply(200, &[], b"\xff\xfe"),
            _ => exchange.reply(200, &[], b"FROM busybox\nCMD echo from the web\n"),
        }
    });
    let url = |path: &str| format!("http://{}{path}", server.address);
    for number in 0..3 {
        let context = url(&format!("/context{number}"));
        sandbox.hoist(&["build", "-t", "app", &context]).ok();
        sandbox
            .hoist(&["run", "--rm", "app"])
            .ok()
            .stdout_is("packed");
    }
    sandbox
        .hoist(&["build", "-t", "app", &url("/Dockerfile")])
        .ok();
    sandbox
        .hoist(&["run", "--rm", "app"])
        .ok()
        .stdout_is("from the web");
    let context = sandbox.path("packed");
    let context = context.to_str().expect("a path");
    sandbox
        .hoist(&["build", "-t", "app", "-f", &url("/Dockerfile"), context])
        .ok();
    sandbox
        .hoist(&["run", "--rm", "app"])
        .ok()
        .stdout_is("from the web");
    sandbox
        .hoist_with_input(
            &["build", "-t", "app", "-f", "-", &url("/context0")],
            "FROM busybox\nCOPY data /x\nCMD cat /x\n",
        )
        .ok();
    sandbox
        .hoist(&["run", "--rm", "app"])
        .ok()
        .stdout_is("packed");
    sandbox
        .hoist(&["build", &url("/binary")])
        .fails(1)
        .says("is neither text nor an archive");
    drop(server);
    sandbox
        .hoist(&["build", "http://127.0.0.1:1/context.tar"])
        .fails(1)
        .says("connection refused")
        .says("hint: check the address");
}

#[test]
fn further_contexts_come_from_repositories_servers_and_layouts() {
    let sandbox = Sandbox::new();
    let git = GitServer::start(|_| false);
    application(&git);
    let packed = archive(&sandbox, "--xz");
    let web = Scripted::start(move |exchange| match exchange.seen.target.as_str() {
        "/archive" => exchange.reply(200, &[], &packed),
        _ => exchange.reply(200, &[], b"one file"),
    });
    sandbox.file("base/Dockerfile", "FROM busybox\nENV MARK=layout\n");
    let base = sandbox.path("base");
    let layout = sandbox.path("layout.tar");
    let output = format!("type=oci,dest={}", layout.display());
    sandbox
        .hoist(&[
            "build",
            "-t",
            "me/base:v2",
            "-o",
            &output,
            base.to_str().expect("a path"),
        ])
        .ok();
    let directory = sandbox.path("layout");
    std::fs::create_dir(&directory).expect("a directory");
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&layout)
        .arg("-C")
        .arg(&directory)
        .status();
    assert!(unpacked.expect("tar runs").success());
    sandbox.file(
        "context/Dockerfile",
        "FROM base\nCOPY --from=repo data /one\nCOPY --from=packed data /two\nCOPY --from=file context /three\n\
         RUN --mount=type=bind,from=repo,target=/m cat /m/data > /four\n\
         CMD echo $MARK; cat /one /two /three /four\n",
    );
    let contexts = [
        format!("base=oci-layout://{}:v2", directory.display()),
        format!("repo={}#next:service", git.url("app.git")),
        format!("packed=http://{}/archive", web.address),
        format!("file=http://{}/file", web.address),
    ];
    let mut arguments = vec!["build", "-t", "app"];
    for context in &contexts {
        arguments.extend(["--build-context", context]);
    }
    let context = sandbox.path("context");
    arguments.push(context.to_str().expect("a path"));
    sandbox.hoist(&arguments).ok();
    sandbox
        .hoist(&["run", "--rm", "app"])
        .ok()
        .stdout_is("layout\nof next\npacked\none fileof next");
    let missing = format!("base=oci-layout://{}:v9", directory.display());
    sandbox
        .hoist(&[
            "build",
            "--build-context",
            &missing,
            context.to_str().expect("a path"),
        ])
        .fails(1)
        .says("has no image with the tag v9")
        .says("it has the tags v2");
}

#[test]
fn git_heeds_nobodys_configuration() {
    let sandbox = Sandbox::new();
    let server = GitServer::start(|_| false);
    application(&server);
    let url = server.url("app.git");
    // What would lead every address elsewhere, and run a program.
    let marker = sandbox.path("marker");
    let configuration = format!(
        "[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = {}\n[core]\n\tfsmonitor = \"touch {}\"\n\
         [credential]\n\thelper = \"!touch {}\"\n",
        server.url(""),
        marker.display(),
        marker.display()
    );
    let file = sandbox.file(".gitconfig", &configuration);
    sandbox.file("c/Dockerfile", &format!("FROM busybox\nADD {url} /r\n"));
    let context = sandbox.path("c");
    let mut command = sandbox.command(&["build", context.to_str().expect("a path")]);
    command
        .env("GIT_CONFIG_GLOBAL", &file)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.sshCommand")
        .env("GIT_CONFIG_VALUE_0", "false")
        .env("GIT_DIR", "/nowhere")
        .env("GIT_TRACE", sandbox.path("trace"));
    let output = command.output().expect("hoist runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!marker.exists() && !sandbox.path("trace").exists());
}

#[test]
fn an_ordinary_user_builds_from_elsewhere_too() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let server = GitServer::start(|_| false);
    application(&server);
    let url = server.url("app.git");
    let web = Scripted::start(|exchange| exchange.reply(200, &[], b"from the web"));
    let dockerfile = format!(
        "FROM busybox\nADD --keep-git-dir=true {url} /r\nADD http://{}/file /f/\n\
         CMD ls -A /r && cat /f/file && stat -c ' %u:%g %a' /f/file\n",
        web.address
    );
    sandbox
        .hoist_with_input(&["build", "-t", "app", "-"], &dockerfile)
        .ok();
    sandbox
        .hoist(&["run", "--rm", "--network", "none", "app"])
        .ok()
        .stdout_is(".git\nDockerfile\nservice\nfrom the web 0:0 600");
    let context = format!("{url}#next:service");
    sandbox.hoist(&["build", "-t", "app", &context]).ok();
    sandbox
        .hoist(&["run", "--rm", "--network", "none", "app"])
        .ok()
        .stdout_is("Dockerfile\ndata\nof next");
    sandbox
        .hoist(&["builder", "du"])
        .ok()
        .prints("repository http://")
        .prints("file http://");
    sandbox.hoist(&["builder", "prune", "-af"]).ok();
}
