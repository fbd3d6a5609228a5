//! `hoist build --cache-from` and `--cache-to`: two data roots are two machines, and between them lies
//! a directory or Debian's docker-registry.

use std::{collections::BTreeSet, path::PathBuf};

use crate::support::Sandbox;
use crate::support::registry::{Registry, Users, place, skopeo};

/// Two stages whose steps never give the same twice, and a cache mount.
const DOCKERFILE: &str = "FROM busybox AS builder\n\
    COPY lock /src/\n\
    RUN --mount=type=cache,id=wheels,target=/wheels \
      if test -e /wheels/one; then echo warm; else echo 1 > /wheels/one; echo cold; fi > /how\n\
    COPY main /src/\n\
    RUN cat /src/main /how /proc/sys/kernel/random/uuid > /program\n\
    FROM busybox\n\
    RUN cat /proc/sys/kernel/random/uuid > /id\n\
    COPY --from=builder /program /bin/program\n\
    COPY late /late\n\
    CMD [\"cat\", \"/bin/program\"]\n";

fn context(sandbox: &Sandbox) -> PathBuf {
    sandbox.file("app/lock", "1");
    sandbox.file("app/main", "main\n");
    sandbox.file("app/late", "late\n");
    sandbox.file("app/Dockerfile", DOCKERFILE);
    sandbox.path("app")
}

/// Builds, and returns what was said.
#[track_caller]
fn build(sandbox: &Sandbox, flags: &[&str]) -> String {
    let context = context_of(sandbox);
    let fixed = ["build", "--progress", "plain", "-t", "app"];
    let arguments = [&fixed[..], flags, &[context.as_str()]].concat();
    sandbox.hoist(&arguments).ok().stderr
}

fn context_of(sandbox: &Sandbox) -> String {
    sandbox.path("app").display().to_string()
}

fn id(sandbox: &Sandbox) -> String {
    sandbox.inspect("app", "{{.Id}}")
}

/// How many steps were cached; that a base image is here is no step.
fn cached(said: &str) -> usize {
    let is_base = |number: &str| {
        let mut lines = said.lines().filter(|line| line.starts_with(number));
        lines.any(|line| line.contains("] FROM "))
    };
    said.lines()
        .filter_map(|line| line.strip_suffix("CACHED"))
        .filter(|number| !is_base(number))
        .count()
}

#[test]
fn a_directory_makes_a_fresh_machine_a_warm_one() {
    let (one, two) = (Sandbox::new(), Sandbox::new());
    context(&one);
    context(&two);
    let cache = one.path("cache");
    let to = format!("type=local,dest={},mode=max,mounts=all", cache.display());
    let said = build(&one, &["--cache-to", &to]);
    assert!(
        said.contains(&format!(" exporting cache to {}\n", cache.display()))
            && said.contains(" writing cache manifest sha256:"),
        "{said}"
    );
    let from = format!("type=local,src={}", cache.display());
    let said = build(&two, &["--cache-from", &from]);
    assert_eq!(cached(&said), 7, "{said}");
    for line in [
        &format!(
            "#2 importing cache manifest from {}\n#2 8 steps, 1 cache mount\n",
            cache.display()
        ),
        "] RUN cat /proc/sys/kernel/random/uuid > /id\n",
        " fetching 3 layers of the build cache\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert_eq!(id(&two), id(&one));
    // What changes late runs alone; what needs the mount finds it.
    two.file("app/late", "later");
    let said = build(&two, &["--cache-from", &from]);
    assert_eq!(cached(&said), 6, "{said}");
    assert!(said.contains(" not cached: late changed\n"), "{said}");
    two.file("app/lock", "2");
    let said = build(&two, &["--cache-from", &from, "--explain"]);
    assert!(
        said.contains(" importing cache mount wheels from "),
        "{said}"
    );
    assert!(
        said.contains("ran     COPY lock /src/: lock changed\n"),
        "{said}"
    );
    two.hoist(&["run", "--rm", "app"])
        .ok()
        .prints("main\nwarm\n");
    // Any tool reads it.
    let raw = skopeo(&["inspect", "--raw", &place("oci", &cache)]);
    let raw: serde_json::Value = serde_json::from_str(&raw).expect("JSON");
    let kind = &raw["config"]["mediaType"];
    assert_eq!(*kind, "application/vnd.hoist.cache.v1+json");
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers = raw["layers"].as_array().expect("layers");
    assert!(layers.len() == 8 && layers.iter().all(|layer| layer["mediaType"] == gzip));
}

/// Both machines build [`DOCKERFILE`] on base images of the registry, the builder on one of its own;
/// `two` has neither.
fn bases_in(registry: &Registry, one: &Sandbox, two: &Sandbox) {
    let (base, tools) = (registry.name("base:1"), registry.name("tools:1"));
    one.hoist(&["tag", "busybox", &base]).ok();
    one.file(
        "tools/Dockerfile",
        &format!("FROM {base}\nRUN echo tools > /tools\n"),
    );
    one.hoist(&["build", "-q", "-t", &tools, "tools"]).ok();
    for name in [&base, &tools] {
        one.hoist(&["push", "-q", name]).ok();
    }
    let builder = format!("FROM {tools} AS builder");
    let dockerfile = DOCKERFILE
        .replace("FROM busybox AS builder", &builder)
        .replace("FROM busybox\n", &format!("FROM {base}\n"));
    for sandbox in [one, two] {
        sandbox.file("app/Dockerfile", &dockerfile);
    }
    two.hoist(&["system", "prune", "-af"]).ok();
}

#[test]
fn a_base_image_is_pulled_when_a_step_stands_on_it() {
    let registry = Registry::start(Users::Anybody);
    let (one, two) = (Sandbox::new(), Sandbox::new());
    context(&one);
    context(&two);
    bases_in(&registry, &one, &two);
    let cache = one.path("cache");
    build(
        &one,
        &[
            "--cache-to",
            &format!("type=local,dest={}", cache.display()),
        ],
    );
    // No layer of the builder was exported: its steps run, on the image that they stand on.
    two.file("app/main", "other\n");
    let from = format!("type=local,src={}", cache.display());
    let said = build(&two, &["--cache-from", &from]);
    // Once, however often the lines of others come between.
    let pulling = format!(" pulling {}", registry.name("tools:1"));
    let pulls = said.lines().filter(|line| line.ends_with(&pulling));
    assert_eq!(pulls.collect::<BTreeSet<_>>().len(), 1, "{said}");
    assert!(
        said.contains(" not cached: the imported cache does not have its layer\n"),
        "{said}"
    );
    two.hoist(&["run", "--rm", "app"])
        .ok()
        .prints("other\ncold\n");
    two.hoist(&["images", "--format", "{{.Repository}}"])
        .ok()
        .prints(&registry.name("tools"));
}

#[test]
fn a_registry_is_asked_for_what_is_needed() {
    let registry = Registry::start(Users::Anybody);
    let (one, two) = (Sandbox::new(), Sandbox::new());
    context(&one);
    context(&two);
    let name = registry.name("app:cache");
    bases_in(&registry, &one, &two);
    let to = format!("type=registry,ref={name},mode=max,mounts=all");
    build(&one, &["--cache-to", &to]);
    // What is there is not sent again.
    let said = build(&one, &["--cache-to", &to]);
    let is_sent = |line: &str| line.contains(" writing layer ") && line.ends_with(" done");
    assert!(!said.lines().any(is_sent), "{said}");
    assert_eq!(said.matches(" is there already\n").count(), 8, "{said}");

    let said = build(&two, &["--cache-from", &name, "--cache-to", &to]);
    assert_eq!(cached(&said), 7, "{said}");
    assert_eq!(id(&two), id(&one));
    two.hoist(&["images", "--format", "{{.Repository}}"])
        .ok()
        .never_says("tools")
        .prints(&registry.name("base"));
    let wanted = |sandbox: &Sandbox| {
        let lines = sandbox.inspect("app", "{{range .RootFS.Layers}}{{println .}}{{end}}");
        lines.lines().count()
    };
    assert_eq!(wanted(&two), 4);
    let manifests = registry.requests();
    let fetched: Vec<_> = manifests
        .iter()
        .filter(|line| line.starts_with("GET ") && line.contains("/app/blobs/"))
        .collect();
    // The configuration of the cache, once a build, and three layers.
    assert_eq!(fetched.len(), 4, "{manifests:#?}");
    // The base image that only the builder stands on: its configuration.
    let fetched = manifests
        .iter()
        .filter(|line| line.starts_with("GET ") && line.contains("/tools/blobs/"));
    assert_eq!(fetched.count(), 1, "{manifests:#?}");
}

#[test]
fn an_image_carries_the_cache_of_its_own_layers() {
    let registry = Registry::start(Users::Anybody);
    let (one, two) = (Sandbox::new(), Sandbox::new());
    let dockerfile = "FROM busybox\nCOPY lock /lock\nRUN cat /proc/sys/kernel/random/uuid > /id\nCOPY late /late\n";
    for sandbox in [&one, &two] {
        context(sandbox);
        sandbox.file("app/Dockerfile", dockerfile);
    }
    let name = registry.name("app:1");
    // An ordinary image has none, which is no error.
    build(&one, &["-t", &name]);
    one.hoist(&["push", "-q", &name]).ok();
    let said = build(&two, &["--cache-from", &name]);
    assert!(
        said.contains(" it is an image without a build cache\n"),
        "{said}"
    );
    assert!(!said.contains("is not used"), "{said}");
    assert_eq!(cached(&said), 0, "{said}");
    two.hoist(&["builder", "prune", "-af"]).ok();
    two.hoist(&["rmi", "app"]).ok();
    two.hoist(&["system", "prune", "-f"]).ok();
    let before = one.inspect(&name, "{{.RootFS.Layers}}");
    for inline in [
        ["--cache-to", "type=inline"],
        ["--build-arg", "BUILDKIT_INLINE_CACHE=1"],
    ] {
        build(&one, &[&["-t", &name][..], &inline].concat());
        assert_eq!(one.inspect(&name, "{{.RootFS.Layers}}"), before);
    }
    one.hoist(&["push", "-q", &name]).ok();
    let said = build(&two, &["--cache-from", &name, "--cache-to", "type=inline"]);
    assert_eq!(cached(&said), 3, "{said}");
    assert_eq!(id(&two), id(&one));
    two.file("app/late", "later");
    let said = build(&two, &["--cache-from", &name]);
    assert_eq!(cached(&said), 2, "{said}");
}

#[test]
fn a_cache_that_is_not_there_costs_a_warning() {
    let sandbox = Sandbox::new();
    context(&sandbox);
    let registry = Registry::start(Users::Anybody);
    let missing = registry.name("none:cache");
    let nobody = "127.0.0.1:1/none:cache";
    let said = build(
        &sandbox,
        &[
            "--cache-from",
            &missing,
            "--cache-from",
            "type=local,src=/none",
            "--cache-from",
            nobody,
        ],
    );
    for (name, why) in [
        (missing.as_str(), ""),
        ("/none", "cannot read /none/index.json"),
        (nobody, ""),
    ] {
        let text = format!("the cache {name} is not used: {why}");
        assert!(said.contains(&text), "{text:?} is not in {said}");
    }
    assert!(said.contains("#2 ERROR: "), "{said}");
    // Where it goes is another matter.
    let context = context_of(&sandbox);
    let to = format!("type=registry,ref={nobody}");
    sandbox
        .hoist(&["build", "--cache-to", &to, &context])
        .fails(1)
        .says(&format!("cannot export the cache to {nobody}: "));
    let to = format!("{to},ignore-error=true");
    sandbox
        .hoist(&["build", "--cache-to", &to, &context])
        .ok()
        .says(&format!("the cache was not exported to {nobody}: "));
}

#[test]
fn options_are_buildxs_and_what_is_not_there_is_said() {
    let sandbox = Sandbox::new();
    context(&sandbox);
    let context = context_of(&sandbox);
    for (flag, value, says) in [
        (
            "--cache-to",
            "type=gha,mode=max",
            "cache type gha is not supported; there are registry, local, inline",
        ),
        (
            "--cache-from",
            "type=s3,bucket=x",
            "cache type s3 is not supported; there are registry, local\n",
        ),
        ("--cache-to", "type=local,dst=x", "did you mean dest?"),
        ("--cache-from", "type=lokal,src=x", "did you mean local?"),
        (
            "--cache-to",
            "type=local",
            "dest is required for type=local",
        ),
    ] {
        sandbox
            .hoist(&["build", flag, value, &context])
            .fails(125)
            .says(says);
    }
    let events = sandbox
        .hoist(&[
            "build",
            "--progress",
            "rawjson",
            "--cache-from",
            "type=local,src=x",
            "--cache-to",
            "type=local,dest=x",
            &context,
        ])
        .ok()
        .stderr;
    for event in [
        r#"{"event":"task_started","task":1,"text":"importing cache manifest from x"}"#,
        r#"{"event":"task_failed","task":1,"#,
        r#"{"event":"task_started","task":2,"text":"exporting cache to x"}"#,
        r#"{"event":"task_progress","task":2,"text":"preparing build cache for export"}"#,
        r#"{"event":"task_finished","task":2,"#,
    ] {
        assert!(events.contains(event), "{event} is not in {events}");
    }
}

#[test]
fn an_ordinary_user_exports_and_imports() {
    let (one, two) = (
        Sandbox::of_user(&["busybox:latest"]),
        Sandbox::of_user(&["busybox:latest"]),
    );
    let dockerfile = DOCKERFILE.replace(
        "FROM busybox\n",
        "FROM busybox\nRUN mkdir -m 700 /own && chown 1000:1000 /own\n",
    );
    for sandbox in [&one, &two] {
        context(sandbox);
        sandbox.file("app/Dockerfile", &dockerfile);
    }
    let to = "type=local,dest=cache,mode=max,mounts=all";
    build(&one, &["--cache-to", to]);
    let from = format!("type=local,src={}", one.path("cache").display());
    let said = build(&two, &["--cache-from", &from]);
    assert_eq!(cached(&said), 8, "{said}");
    two.file("app/main", "other\n");
    build(&two, &["--cache-from", &from]);
    two.hoist(&["run", "--rm", "--network", "none", "app"])
        .ok()
        .prints("other\ncold\n");
    two.file("app/lock", "2");
    build(&two, &["--cache-from", &from]);
    two.hoist(&["run", "--rm", "--network", "none", "app"])
        .ok()
        .prints("other\nwarm\n");
    two.hoist(&[
        "run",
        "--rm",
        "--network",
        "none",
        "app",
        "stat",
        "-c",
        "%a %u %g",
        "/own",
    ])
    .ok()
    .stdout_is("700 1000 1000");
}
