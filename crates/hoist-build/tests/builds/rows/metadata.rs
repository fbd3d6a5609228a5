//! What goes into the configuration: rows 52–63.

use hoist_core::Reference;

use super::{World, config, content, read};

#[test]
fn row_52_env() {
    let config = config(
        &World::new(),
        "FROM base\nENV A=1 B=\"x y\" C=x\\ y\nENV D legacy  value\nENV A=2\n",
    );
    assert_eq!(
        config.env[2..],
        ["A=2", "B=x y", "C=x y", "D=legacy  value"]
    );
}

#[test]
fn row_53_labels_and_maintainer() {
    let world = World::new();
    let built = world
        .dockerfile(
            "FROM base\nLABEL a=1 \"b c\"=\"d e\" \\\n f='g'\nMAINTAINER me <me@example.org>\n",
        )
        .built();
    let image = world.engine.store().image(&built.id).unwrap().image;
    let labels: Vec<_> = image
        .config
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(labels, ["a=1", "b c=d e", "f=g"]);
    assert_eq!(image.author.as_deref(), Some("me <me@example.org>"));
}

#[test]
fn row_54_expose() {
    let config = config(
        &World::new(),
        "FROM base\nARG P=9000\nEXPOSE 80 53/udp 8000-8002/tcp $P/sctp\n",
    );
    let ports: Vec<_> = config.exposed_ports.keys().map(String::as_str).collect();
    assert_eq!(
        ports,
        [
            "53/udp",
            "80/tcp",
            "8000/tcp",
            "8001/tcp",
            "8002/tcp",
            "9000/sctp"
        ]
    );
}

#[test]
fn row_55_workdir() {
    let world = World::new();
    let dockerfile =
        "FROM base\nWORKDIR /a\nWORKDIR b\nUSER app\nWORKDIR ../c/./d\nRUN pwd > /tmp/x\n";
    let built = world.dockerfile(dockerfile).built();
    assert_eq!(read(&world, &built, "tmp/x"), "/a/c/d\n");
    insta::assert_snapshot!(world.files(&built.id, "a"), @r"
    0755 0:0 a/
    0755 0:0 a/b/
    0755 1000:1001 a/c/
    0755 1000:1001 a/c/d/
    ");
}

#[test]
fn row_56_user() {
    let world = World::new();
    for (user, id) in [
        ("app", "1000:1001"),
        ("app:web", "1000:33"),
        ("1000", "1000:1001"),
        ("4000", "4000:0"),
        ("4000:4001", "4000:4001"),
        ("0:web", "0:33"),
    ] {
        let dockerfile = format!("FROM base\nUSER {user}\nRUN echo $(id -u):$(id -g) > /tmp/x\n");
        assert_eq!(content(&world, &dockerfile, "tmp/x").trim(), id, "{user}");
    }
    let error = world
        .dockerfile("FROM base\nUSER nobody\nRUN true\n")
        .error();
    assert!(error.contains("nobody"), "{error}");
    let error = world
        .dockerfile("FROM base\nUSER 4294967296\nRUN true\n")
        .error();
    assert!(error.contains("4294967296"), "{error}");
}

#[test]
fn row_57_volume() {
    let world = World::new();
    // What comes after VOLUME is kept, as BuildKit does and the builder before it did not.
    let dockerfile = "FROM base\nVOLUME /data [\"/x\"]\nVOLUME [\"/one\", \"/t wo\"]\nRUN mkdir /data && echo kept > /data/x\n";
    let built = world.dockerfile(dockerfile).built();
    assert_eq!(read(&world, &built, "data/x"), "kept\n");
    let config = world.engine.store().image(&built.id).unwrap().image.config;
    let volumes: Vec<_> = config.volumes.keys().map(String::as_str).collect();
    assert_eq!(volumes, ["/data", "/one", "/t wo", "[/x]"]);
}

#[test]
fn row_58_cmd_and_entrypoint() {
    let world = World::new();
    let both = |text: &str| {
        let config = config(&world, &format!("FROM base\n{text}\n"));
        (
            config.entrypoint.unwrap_or_default().join(" "),
            config.cmd.unwrap_or_default().join(" "),
        )
    };
    let pair = |entrypoint: &str, cmd: &str| (entrypoint.to_owned(), cmd.to_owned());
    assert_eq!(both(""), pair("", "sh"), "inherited");
    assert_eq!(both("CMD a b"), pair("", "/bin/sh -c a b"));
    assert_eq!(
        both("ENTRYPOINT [\"e\"]"),
        pair("e", ""),
        "the base's CMD goes"
    );
    assert_eq!(
        both("CMD [\"c\"]\nENTRYPOINT [\"e\"]"),
        pair("e", "c"),
        "one's own stays"
    );
    assert_eq!(both("ENTRYPOINT e\nCMD [\"c\"]"), pair("/bin/sh -c e", "c"));
    assert_eq!(both("ENTRYPOINT []\nCMD []"), pair("", ""));
}

#[test]
fn row_59_onbuild() {
    let world = World::new();
    world.file("data", "x");
    let mut request = world.request();
    request.tags = vec![Reference::parse("parent").unwrap()];
    world.file(
        "Dockerfile",
        "FROM base\nONBUILD ARG V=1\nONBUILD COPY --from=tool /t /t\nONBUILD RUN --mount=from=tool,source=/t,target=/m echo $V $(cat /m) > /seen\n",
    );
    let parent = world.build(&request).built();
    assert_eq!(
        world
            .engine
            .store()
            .image(&parent.id)
            .unwrap()
            .image
            .config
            .on_build
            .len(),
        3
    );
    let built = world
        .dockerfile("FROM base AS tool\nRUN echo tool > /t\nFROM parent\n")
        .built();
    assert_eq!(read(&world, &built, "seen"), "1 tool\n");
    for wrong in [
        "ONBUILD ONBUILD RUN x",
        "ONBUILD FROM base",
        "ONBUILD MAINTAINER me",
    ] {
        assert!(
            world
                .dockerfile(&format!("FROM base\n{wrong}\n"))
                .result
                .is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn row_60_stop_signal() {
    let world = World::new();
    for signal in ["SIGTERM", "TERM", "9", "SIGRTMIN+3", "RTMIN", "RTMAX-1"] {
        let config = config(&world, &format!("FROM base\nSTOPSIGNAL {signal}\n"));
        assert_eq!(config.stop_signal, signal);
    }
    let error = world.dockerfile("FROM base\nSTOPSIGNAL NOTHING\n").error();
    assert!(error.contains("Invalid signal: NOTHING"), "{error}");
}

#[test]
fn row_61_healthcheck() {
    let world = World::new();
    let check = |text: &str| {
        let check = config(&world, &format!("FROM base\nHEALTHCHECK {text}\n")).healthcheck;
        serde_json::to_string(&check).unwrap()
    };
    insta::assert_snapshot!(check("--interval=5s --timeout=1m30s --start-period=1s --retries=4 CMD curl x"), @r#"{"Test":["CMD-SHELL","curl x"],"Interval":5000000000,"Timeout":90000000000,"StartPeriod":1000000000,"Retries":4}"#);
    insta::assert_snapshot!(check("CMD [\"a\", \"b\"]"), @r#"{"Test":["CMD","a","b"]}"#);
    insta::assert_snapshot!(check("NONE"), @r#"{"Test":["NONE"]}"#);
}

#[test]
fn row_62_start_interval() {
    let world = World::new();
    let dockerfile = "FROM base\nHEALTHCHECK --start-period=10s --start-interval=250ms CMD true\n";
    let check = config(&world, dockerfile).healthcheck.unwrap();
    assert_eq!(check.start_interval.as_millis(), 250);
    let error = world
        .dockerfile("FROM base\nHEALTHCHECK --start-interval=1us CMD true\n")
        .error();
    assert!(error.contains("1ms"), "{error}");
}

#[test]
fn row_63_shell() {
    let world = World::new();
    let dockerfile =
        "FROM base\nSHELL [\"busybox\", \"sh\", \"-ec\"]\nRUN false; touch /not-reached\n";
    assert!(world.dockerfile(dockerfile).result.is_err());
    let dockerfile = "FROM base\nSHELL [\"busybox\", \"sh\", \"-c\"]\nCMD x\nHEALTHCHECK CMD y\n";
    let config = config(&world, dockerfile);
    assert_eq!(config.cmd.unwrap(), ["busybox", "sh", "-c", "x"]);
    assert_eq!(config.shell.unwrap(), ["busybox", "sh", "-c"]);
}
