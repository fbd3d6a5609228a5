//! `hoist build`.

use crate::support::{Run, Sandbox};

fn build(sandbox: &Sandbox, flags: &[&str]) -> Run {
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox.hoist(&[&["build", "-t", "built"], flags, &[context]].concat())
}

fn prints(sandbox: &Sandbox, expected: &str) {
    sandbox
        .hoist(&["run", "--rm", "built"])
        .ok()
        .stdout_is(expected);
}

#[test]
fn instructions_make_the_image() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/app.sh",
        "echo $GREETING from $(id -un) in $(pwd)\n",
    );
    let dockerfile = "FROM busybox\n\
        ENV GREETING=hello\n\
        WORKDIR /app\n\
        COPY app.sh .\n\
        RUN echo worker:x:1000:1000::/app:/bin/sh >> /etc/passwd && \\\n    echo made > made\n\
        USER worker\n\
        EXPOSE 8080\n\
        LABEL tier=test\n\
        ENTRYPOINT [\"sh\"]\n\
        CMD [\"app.sh\"]\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    prints(&sandbox, "hello from worker in /app");
    let format = "{{.Config.User}} {{.Config.WorkingDir}} {{json .Config.ExposedPorts}} {{.Config.Labels.tier}}";
    assert_eq!(
        sandbox.inspect("built", format),
        "worker /app {\"8080/tcp\":{}} test"
    );
    sandbox
        .hoist(&["run", "--rm", "built", "-c", "cat made"])
        .ok()
        .stdout_is("made");
    sandbox
        .hoist(&["history", "built"])
        .ok()
        .prints("COPY app.sh")
        .prints("ENV GREETING=hello");
}

#[test]
fn an_unchanged_build_runs_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /id\nCMD cat /id\n",
    );
    sandbox.file("context/a", "1");
    let id = || sandbox.inspect("built", "{{.Id}}");
    build(&sandbox, &[]).ok();
    let first = id();
    build(&sandbox, &[]).ok();
    assert_eq!(id(), first);
    // A touched file is the same file; a changed one is not.
    sandbox.file("context/a", "1");
    build(&sandbox, &[]).ok();
    assert_eq!(id(), first);
    sandbox.file("context/a", "2");
    build(&sandbox, &[]).ok();
    assert_ne!(id(), first);
    sandbox.file("context/a", "1");
    build(&sandbox, &[]).ok();
    assert_eq!(id(), first, "the earlier result is still known");
    build(&sandbox, &["--no-cache"]).ok();
    assert_ne!(id(), first);
}

#[test]
fn stages_copy_from_each_other_and_unneeded_ones_do_not_run() {
    let sandbox = Sandbox::new();
    let dockerfile = "FROM busybox as builder\nRUN mkdir /out && echo artefact > /out/file && ln -s file /out/link\n\
        FROM busybox AS unneeded\nRUN false\n\
        FROM busybox\nCOPY --from=builder /out /out\nCOPY --from=0 /out/file /other\nCMD cat /out/link /other\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    prints(&sandbox, "artefact\nartefact");
    build(&sandbox, &["--target", "unneeded"])
        .fails(1)
        .says("false");
    build(&sandbox, &["--target", "builder"]).ok();
    sandbox
        .hoist(&["run", "--rm", "built", "cat", "/out/file"])
        .ok()
        .stdout_is("artefact");
}

#[test]
fn arguments_and_expansion() {
    let sandbox = Sandbox::new();
    let dockerfile = "ARG TAG=latest\nFROM busybox:${TAG}\nARG NAME=nobody\nARG EMPTY\n\
        ENV WHO=$NAME PATH=/extra:$PATH\nENV TEXT=\"${WHO:-x} ${MISSING:-default} \\$literal ${EMPTY:+set}\"\n\
        CMD echo \"$TEXT\"; echo $PATH\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    let path = "/extra:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    prints(&sandbox, &format!("nobody default $literal \n{path}"));
    build(
        &sandbox,
        &["--build-arg", "NAME=somebody", "--build-arg", "EMPTY=1"],
    )
    .ok();
    prints(&sandbox, &format!("somebody default $literal set\n{path}"));
    build(&sandbox, &["--build-arg", "TAG=missing"])
        .fails(1)
        .says("busybox:missing");
}

#[test]
fn the_dockerfile_may_lie_elsewhere_or_come_from_standard_input() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/docker/Special",
        "FROM busybox\nCOPY data /data\nCMD cat /data\n",
    );
    sandbox.file("context/data", "the data");
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    let file = format!("{context}/docker/Special");
    build(&sandbox, &["-f", &file]).ok();
    prints(&sandbox, "the data");
    let input = "FROM busybox\nCMD echo from standard input\n";
    sandbox
        .hoist_with_input(&["build", "-t", "built", "-f", "-", context], input)
        .ok();
    prints(&sandbox, "from standard input");
}

#[test]
fn dockerignore_keeps_files_out() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY . /all\nCMD cd /all; find . -type f | sort\n",
    );
    sandbox.file(
        "context/.dockerignore",
        "# comment\n.env\n*.pyc\n**/cache\n!keep.pyc\ndocs/*\n!docs/README\n",
    );
    for name in [
        ".env",
        "a.pyc",
        "keep.pyc",
        "src/cache/x",
        "src/a.pyc",
        "src/main",
        "docs/x",
        "docs/README",
    ] {
        sandbox.file(&format!("context/{name}"), "");
    }
    build(&sandbox, &[]).ok();
    // As on Docker, `*.pyc` matches at the top only.
    prints(
        &sandbox,
        "./.dockerignore\n./Dockerfile\n./docs/README\n./keep.pyc\n./src/a.pyc\n./src/main",
    );
}

#[test]
fn copy_flags_owners_and_modes() {
    let sandbox = Sandbox::new();
    sandbox.file("context/a", "");
    sandbox.file("context/dir/b", "");
    let dockerfile = "FROM busybox\nCOPY --chown=33:100 a /a\nCOPY --chmod=640 a /dir/\nCOPY dir /copy\nCOPY a dir/b /several/\n\
        CMD stat -c '%n %u:%g %a' /a /dir/a /copy/b /several/a /several/b\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    prints(
        &sandbox,
        "/a 33:100 644\n/dir/a 0:0 640\n/copy/b 0:0 644\n/several/a 0:0 644\n/several/b 0:0 644",
    );
}

#[test]
fn layers_delete_what_lies_below() {
    let sandbox = Sandbox::new();
    let dockerfile = "FROM busybox\nRUN mkdir /d && touch /d/a /d/b\nRUN rm /d/a\nRUN rm -r /d && mkdir /d && touch /d/c\n\
        CMD ls /d\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    prints(&sandbox, "c");
}

#[test]
fn heredocs_and_shell_form() {
    let sandbox = Sandbox::new();
    let dockerfile = "FROM busybox\nRUN <<EOF\nset -e\necho one > /file\necho two >> /file\nEOF\n\
        COPY <<TEXT /text\nof the Dockerfile\nTEXT\nCMD cat /file /text\n";
    sandbox.file("context/Dockerfile", dockerfile);
    build(&sandbox, &[]).ok();
    prints(&sandbox, "one\ntwo\nof the Dockerfile");
}

#[test]
fn a_failing_step_shows_where_what_and_why() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nRUN echo fine\nRUN echo the last words && \\\n    exit 9\nRUN never\n",
    );
    let run = build(&sandbox, &[]).fails(1);
    let run = run
        .says("Dockerfile:3")
        .says("exit 9")
        .says("the last words");
    assert!(run.stderr.contains("exit code: 9"), "{run}");
    sandbox.hoist(&["images", "-q", "built"]).ok().stdout_is("");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
}

#[test]
fn quiet_prints_the_id_alone() {
    let sandbox = Sandbox::new();
    sandbox.file("context/Dockerfile", "FROM busybox\nRUN echo noise\n");
    let run = build(&sandbox, &["-q"]).ok();
    assert_eq!(run.text(), sandbox.inspect("built", "{{.Id}}"));
    assert_eq!(run.stderr, "");
}

#[test]
fn two_builds_from_the_same_inputs_agree() {
    let [one, other] = [(), ()].map(|()| {
        let sandbox = Sandbox::new();
        sandbox.file(
            "context/Dockerfile",
            "FROM busybox\nCOPY a /a\nCMD cat /a\n",
        );
        let file = sandbox.file("context/a", "1");
        // When a file was changed is part of it.
        let file = std::fs::File::options()
            .write(true)
            .open(file)
            .expect("the file");
        file.set_modified(std::time::UNIX_EPOCH).expect("its time");
        let layers = "{{json .RootFS.Layers}}";
        build(&sandbox, &[]).ok();
        sandbox.inspect("built", layers)
    });
    assert_eq!(one, other);
}

#[test]
fn independent_builds_run_side_by_side() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.file(
            &format!("{name}/Dockerfile"),
            &format!("FROM busybox\nRUN echo {name} > /name\nCMD cat /name\n"),
        );
    }
    let builds = ["a", "b", "c"].map(|name| {
        let context = sandbox.path(name);
        (
            name,
            sandbox.spawn(&["build", "-q", "-t", name, context.to_str().expect("a path")]),
        )
    });
    for (name, build) in builds {
        build.finish().ok();
        sandbox.hoist(&["run", "--rm", name]).ok().stdout_is(name);
    }
}

#[test]
fn pruning_everything_takes_the_build_cache_along() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY f /\nRUN --mount=type=cache,target=/c echo kept > /c/kept\n",
    );
    sandbox.file("context/f", "");
    let context = sandbox.path("context");
    sandbox
        .hoist(&["build", context.to_str().expect("a path")])
        .ok();
    let cache = sandbox.root().join("cache");
    let files = || {
        let listed = std::process::Command::new("find")
            .arg(&cache)
            .args(["-type", "f"])
            .output();
        String::from_utf8(listed.expect("find").stdout).expect("names")
    };
    sandbox.hoist(&["system", "prune", "-f"]).ok();
    assert!(files().contains("/kept\n"), "{}", files());
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    assert_eq!(files(), "");
}
