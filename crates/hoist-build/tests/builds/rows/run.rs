//! RUN: rows 26–35.

use std::fs;

use hoist_build::Entitlement;
use hoist_core::event::BuildEvent;
use hoist_engine::request::NetworkMode;

use super::{World, content, read, with_args};

#[test]
fn row_26_shell_and_exec_form() {
    let world = World::new();
    let dockerfile = "FROM base\nENV A=a\nRUN echo $A > /1\nRUN [\"sh\", \"-c\", \"echo exec > /2\"]\nRUN [\"touch\", \"/$A\"]\n";
    let built = world.dockerfile(dockerfile).built();
    assert_eq!(read(&world, &built, "1"), "a\n");
    assert_eq!(read(&world, &built, "2"), "exec\n");
    assert!(
        world.files(&built.id, "$A").starts_with("0644"),
        "exec form knows no variables"
    );
}

#[test]
fn row_27_bind_mounts() {
    let world = World::new();
    world.file("src/a", "from the context");
    let dockerfile = "FROM base AS tool\nRUN echo tool > /t\nFROM base\n\
        RUN --mount=target=/ctx cat /ctx/src/a > /1 && ! touch /ctx/x 2>/dev/null\n\
        RUN --mount=type=bind,from=tool,source=/t,target=/t cat /t > /2\n\
        RUN --mount=type=bind,from=base,source=/etc,target=/other cat /other/group | cat > /3\n\
        RUN --mount=source=src,target=/src,rw echo new > /src/a && cat /src/a > /4\n";
    let built = world.dockerfile(dockerfile).built();
    assert_eq!(read(&world, &built, "1"), "from the context");
    assert_eq!(read(&world, &built, "2"), "tool\n");
    assert!(read(&world, &built, "3").contains("web:x:33"));
    assert_eq!(read(&world, &built, "4"), "new\n");
    let kept = fs::read_to_string(world.context().join("src/a")).unwrap();
    assert_eq!(kept, "from the context", "what a step writes is discarded");
}

#[test]
fn row_28_cache_mounts() {
    let world = World::new();
    world.file("warm/first", "from the context");
    let step = "FROM base AS seed\nRUN mkdir /seed && echo a > /seed/a && chmod 711 /seed\nFROM base\nARG N\n\
        RUN --mount=type=cache,target=/plain,uid=1000,gid=33,mode=0750 stat -c '%a %u:%g' /plain > /stat\n\
        RUN --mount=type=cache,target=/c,from=seed,source=/seed echo $N >> /c/log; cat /c/a /c/log > /log; stat -c %a /c >> /log\n\
        RUN --mount=type=cache,target=/c,from=seed,source=/seed,ro cat /c/log > /again; ! touch /c/x 2>/dev/null\n\
        RUN --mount=type=cache,target=/w,id=other,from=ctx,source=warm,mode=0700 ls /w > /warm; stat -c %a /w >> /warm\n";
    let mut request = world.request();
    let context = hoist_build::NamedContext::Directory(world.context());
    request.contexts = [("ctx".to_owned(), context)].into();
    world.file("Dockerfile", step);
    for (number, log) in [("1", "a\n1\n711\n"), ("2", "a\n1\n2\n711\n")] {
        request.build_args = vec![("N".to_owned(), Some(number.to_owned()))];
        let built = world.build(&request).built();
        assert_eq!(read(&world, &built, "log"), log);
        assert_eq!(read(&world, &built, "stat"), "750 1000:33\n");
        assert_eq!(read(&world, &built, "warm"), "first\n700\n");
    }
    // Another content to start with is another cache.
    world.file("Dockerfile", step.replace("echo a >", "echo b >"));
    let built = world.build(&request).built();
    assert_eq!(read(&world, &built, "log"), "b\n2\n711\n");
    for sharing in ["shared", "private", "locked"] {
        let text =
            format!("FROM base\nRUN --mount=type=cache,target=/c,sharing={sharing} touch /c/x\n");
        assert!(world.dockerfile(&text).result.is_ok(), "{sharing}");
    }
}

#[test]
fn row_29_memory_mounts() {
    let dockerfile = "FROM base\nRUN --mount=type=tmpfs,target=/m,size=64k \
        cat /proc/mounts > /m/x; ! dd if=/dev/zero of=/m/big bs=1k count=100 2>/dev/null; stat -c %s /m/big > /size\n";
    let size = content(&World::new(), dockerfile, "size");
    assert!(size.trim().parse::<u64>().unwrap() <= 64 << 10, "{size}");
}

#[test]
fn row_30_secret_mounts() {
    let world = World::new();
    let dockerfile = "FROM base\n\
        RUN --mount=type=secret,id=s,uid=1000,mode=0440 stat -c '%a %u' /run/secrets/s > /stat && test $(cat /run/secrets/s) = hunter2hunter2\n\
        RUN --mount=type=secret,id=s,env=TOKEN,target=/t test $TOKEN = hunter2hunter2 && test -f /t\n\
        RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n";
    world.file("Dockerfile", dockerfile);
    let mut request = world.request();
    request.secrets = vec![hoist_build::Secret::new("s", "hunter2hunter2")];
    let built = world.build(&request).built();
    assert_eq!(read(&world, &built, "stat"), "440 1000\n");
    let required = "FROM base\nRUN --mount=type=secret,id=none,required true\n";
    assert!(
        world
            .dockerfile(required)
            .error()
            .contains("secret none: not found")
    );
}

#[test]
fn row_31_ssh_mounts() {
    let world = World::new();
    let socket = world.directory.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    world.file(
        "Dockerfile",
        "FROM base\nRUN --mount=type=ssh,id=work,mode=0600 test -S $SSH_AUTH_SOCK\n",
    );
    let mut request = world.request();
    request.agents = vec![hoist_build::SshAgent {
        id: "work".to_owned(),
        source: hoist_build::AgentSource::Socket(socket),
    }];
    assert!(world.build(&request).result.is_ok());
}

#[test]
fn row_32_variables_in_mounts() {
    let world = World::new();
    world.file("list", "x");
    let dockerfile = "FROM base\nARG FILE=list\nENV AT=/at\nRUN --mount=source=$FILE,target=$AT/$FILE cat /at/list > /x\n";
    assert_eq!(content(&world, dockerfile, "x"), "x");
    let error = world
        .dockerfile("FROM base\nARG F=base\nRUN --mount=from=$F,target=/x true\n")
        .error();
    assert!(
        error.contains("'from' doesn't support variable expansion"),
        "{error}"
    );
}

#[test]
fn row_33_networks() {
    let world = World::new();
    let none = "FROM base\nRUN --network=none ls /sys/class/net > /x\n";
    assert_eq!(content(&world, none, "x"), "lo\n");
    let host = "FROM base\nRUN --network=host ls -l /proc/self/ns/net > /x\n";
    let error = world.dockerfile(host).error();
    assert!(
        error.contains("build with --allow network.host to allow it"),
        "{error}"
    );
    let mut request = world.request();
    request.allowed = vec![Entitlement::NetworkHost];
    let built = world.build(&request).built();
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    let theirs = read(&world, &built, "x");
    assert!(
        theirs.trim_end().ends_with(ours.to_str().unwrap()),
        "{theirs}"
    );
    request.allowed = Vec::new();
    request.network = NetworkMode::Host;
    assert!(
        world.build(&request).result.is_ok(),
        "--network host allows it, too"
    );
}

#[test]
fn row_34_security() {
    let world = World::new();
    let dockerfile = "FROM base\nRUN cat /proc/self/status > /sandbox\n\
        RUN --security=insecure cat /proc/self/status > /insecure && mkdir /m && busybox mount -t tmpfs x /m && busybox umount /m && \
        test -w /proc/sys/kernel/hostname && touch /sys/fs/cgroup/x 2>/dev/null; ls /proc/acpi > /dev/null 2>&1; rm -rf /m; true\n";
    let error = world.dockerfile(dockerfile).error();
    assert!(
        error.contains("build with --allow security.insecure to allow it"),
        "{error}"
    );
    let mut request = world.request();
    request.allowed = vec![Entitlement::SecurityInsecure];
    let built = world.build(&request).built();
    let layers = world.layers(&built.id);
    let status = |layer: usize, name: &str, field: &str| {
        let text = fs::read_to_string(layers[layer].join(name)).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(field))
            .unwrap()
            .to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(status(1, "sandbox", "Seccomp:"), "2");
    assert_eq!(status(2, "insecure", "Seccomp:"), "0");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own
        .lines()
        .find(|line| line.starts_with("CapPrm:"))
        .unwrap();
    assert_eq!(
        own.split_whitespace().nth(1),
        Some(status(2, "insecure", "CapEff:").as_str())
    );
    assert_eq!(status(1, "sandbox", "CapEff:"), "00000000a80425fb");
    let parts = world.build(&request).built();
    assert_eq!(parts.cached, 2);
}

#[test]
fn row_35_devices() {
    let world = World::new();
    let dockerfile = "FROM base\nRUN --device=example.org/mem=null,required test -c /dev/mine && echo x > /dev/mine && echo $FROM_CDI > /x\n";
    let mut request = world.request();
    world.file("Dockerfile", dockerfile);
    let error = world.build(&request).error();
    assert!(
        error.contains("build with --allow device=example.org/mem=null to allow it"),
        "{error}"
    );
    request.allowed = vec![Entitlement::Device("example.org/mem".to_owned())];
    let cdi = world.directory.path().join("cdi");
    request.cdi_directories = vec![cdi.clone()];
    let error = world.build(&request).error();
    assert!(
        error.contains("example.org/mem=null is required, and nothing describes it"),
        "{error}"
    );
    fs::create_dir(&cdi).unwrap();
    let text = r#"{"cdiVersion":"0.6.0","kind":"example.org/mem","devices":[{"name":"null","containerEdits":
        {"env":["FROM_CDI=yes"],"deviceNodes":[{"path":"/dev/mine","hostPath":"/dev/null"}]}}]}"#;
    fs::write(cdi.join("mem.json"), text).unwrap();
    let built = world.build(&request).built();
    assert_eq!(read(&world, &built, "x"), "yes\n");
    // One that is not required is done without, and that is said.
    world.file(
        "Dockerfile",
        "FROM base\nRUN --device=example.org/mem=other test ! -e /dev/mine\n",
    );
    let outcome = world.build(&request);
    let told = outcome.events.iter().any(|event| {
        matches!(event, BuildEvent::Warning(warning) if warning.message.contains("example.org/mem=other"))
    });
    assert!(told && outcome.result.is_ok());
    // A variable of the step, not of the image.
    let args = with_args(&world, "FROM base\nRUN echo $FROM_CDI > /x\n", &[]).built();
    assert_eq!(read(&world, &args, "x"), "\n");
}
