//! Plans as text: no store, no files, no commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use hoist_core::{
    Digest,
    image::{Config, Image, RootFs},
};
use hoist_dockerfile::{
    Source, parse,
    stages::{self, resolve},
};

use super::*;

fn image(config: Config) -> Arc<StoredImage> {
    Arc::new(StoredImage {
        id: Digest::of(b"image"),
        image: Image {
            created: Some("2024-01-01T00:00:00Z".to_owned()),
            author: None,
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: None,
            },
            config,
            rootfs: RootFs::default(),
            history: Vec::new(),
        },
        size: 0,
        layers: Vec::new(),
    })
}

fn planned(text: &str, args: &[(&str, &str)], target: Option<&str>) -> Result<Plan, BuildError> {
    let listing = Listing {
        name: "Dockerfile".to_owned(),
        source: Source::new(text),
    };
    let dockerfile = parse(text).unwrap();
    let build_args: BTreeMap<String, String> = args
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let platform = image(Config::default()).image.platform.clone();
    let inputs = stages::Inputs {
        target,
        build_args: &build_args,
        build_platform: &platform,
        target_platform: &platform,
        contexts: &BTreeSet::new(),
    };
    let resolution = resolve(&dockerfile, &inputs).map_err(|error| listing.language(error))?;
    let images = |name: &str| match name {
        "trigger" => Ok(image(Config {
            on_build: vec![
                "COPY --from=tool /x /x".to_owned(),
                "RUN trigger".to_owned(),
            ],
            ..Config::default()
        })),
        "missing" => Err(BuildError::BaseImage {
            reference: name.to_owned(),
            similar: Vec::new(),
        }),
        _ => Ok(image(Config {
            env: vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()],
            ..Config::default()
        })),
    };
    let inputs = Inputs {
        listing: &listing,
        resolution: &resolution,
        build_args: &build_args,
        allowed: &[],
        devices: &|_| Ok(None),
        network: NetworkMode::Bridge,
        secrets: &[],
        contexts: &BTreeMap::new(),
        surroundings: &Surroundings::default(),
        can_run: &|_| true,
        agents: &[],
        platform: None,
        images: &images,
    };
    plan(&dockerfile, &inputs)
}

fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    let base = |base: &Base| match base {
        Base::Scratch => "scratch".to_owned(),
        Base::Stage(position) => plan.stages[*position].name.clone(),
        Base::Image(_) => "image".to_owned(),
    };
    let from = |from: &CopyFrom| match from {
        CopyFrom::Named(name) => format!("context {name}"),
        CopyFrom::Context => "context".to_owned(),
        CopyFrom::Other(other) => base(other),
    };
    for stage in &plan.stages {
        let _ = writeln!(text, "{} on {}", stage.name, base(&stage.base));
        for entry in &stage.entries {
            let step = match entry {
                Entry::Metadata(line) => {
                    let _ = writeln!(text, "  - {}", line.text);
                    continue;
                }
                Entry::Step(step) => step,
            };
            let _ = write!(text, "  {} ", step.index);
            let _ = match &step.action {
                Action::MakeDirectory { path, user } => writeln!(text, "mkdir {path} {user:?}"),
                Action::Copy(copy) => writeln!(
                    text,
                    "copy {:?} from {} to {} {:?}",
                    copy.sources,
                    from(&copy.from),
                    copy.destination,
                    copy.chown,
                ),
                Action::Run(run) => {
                    let env: Vec<_> = run
                        .variables
                        .iter()
                        .map(|found| format!("{:?} {}={}", found.origin, found.name, found.value))
                        .collect();
                    writeln!(
                        text,
                        "run {:?} in {} [{}]",
                        run.argv,
                        run.working_dir,
                        env.join(", ")
                    )
                }
            };
        }
    }
    text
}

#[test]
fn a_plan_has_the_stages_that_the_target_needs_with_everything_expanded() {
    let text = "ARG BASE=python\nARG GLOBAL=g\nFROM $BASE AS tool\nARG GLOBAL\nARG V=1\nENV A=$V B=${A:-none}\n\
        WORKDIR src\nCOPY $V.txt ./\nRUN make\n\
        FROM other AS unneeded\nRUN false\n\
        FROM tool AS final\nUSER app\nWORKDIR ../lib/\nRUN echo $A\nCOPY --from=tool --chown=$USER:$V /src /out\nSHELL [\"bash\", \"-c\"]\nRUN true\n";
    let args = [("V", "2"), ("HTTP_PROXY", "p"), ("UNUSED", "u")];
    insta::assert_snapshot!(shown(&planned(text, &args, None).unwrap()), @r#"
    tool on image
      - ARG GLOBAL=g
      - ARG V=2
      - ENV A=2 B=none
      1 mkdir /src ""
      2 copy ["2.txt"] from context to /src/ None
      3 run ["/bin/sh", "-c", "make"] in /src [Env PATH=/bin, Env LANG=C, Env A=2, Env B=none, Arg GLOBAL=g, Arg V=2, Proxy HTTP_PROXY=p]
    final on tool
      - USER app
      4 mkdir /lib "app"
      5 run ["/bin/sh", "-c", "echo $A"] in /lib [Env PATH=/bin, Env LANG=C, Env A=2, Env B=none, Arg GLOBAL=g, Arg V=2, Proxy HTTP_PROXY=p]
      6 copy ["/src"] from tool to /out Some(":2")
      - SHELL [bash -c]
      7 run ["bash", "-c", "true"] in /lib [Env PATH=/bin, Env LANG=C, Env A=2, Env B=none, Arg GLOBAL=g, Arg V=2, Proxy HTTP_PROXY=p]
    "#);
    let tool = planned(text, &[], Some("tool")).unwrap();
    assert_eq!((tool.stages.len(), tool.total), (1, 3));
}

#[test]
fn triggers_run_first_and_may_read_stages() {
    let text = "FROM base AS tool\nRUN x\nFROM trigger\nRUN own\n";
    insta::assert_snapshot!(shown(&planned(text, &[], None).unwrap()), @r#"
    tool on image
      1 run ["/bin/sh", "-c", "x"] in / [Env PATH=/bin, Env LANG=C]
    stage-1 on image
      2 copy ["/x"] from tool to /x None
      3 run ["/bin/sh", "-c", "trigger"] in / [Env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin]
      4 run ["/bin/sh", "-c", "own"] in / [Env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin]
    "#);
}

#[test]
fn what_cannot_be_done_is_refused_with_its_line() {
    let mut text = String::new();
    for instruction in [
        "COPY https://x.org/a /",
        "COPY git@github.com:x/y.git /",
        "ADD https://x.org/y.git#--exec /",
        "ADD --checksum=sha256:0 https://x.org/a /",
        "ADD --checksum=abc https://x.org/a https://x.org/b /",
        "ADD --keep-git-dir=true https://x.org/y.git?keep-git-dir=false /",
        "ADD --checksum=sha256:0 a /",
        "COPY --chmod=rwx a /",
        "RUN --security=insecure x",
        "RUN --mount=type=ssh,required x",
        "RUN --mount=type=cache x",
        "RUN --mount=type=tmpfs,target=/ x",
        "RUN --mount=type=cache,target=/c,source=/x y",
        "RUN --network=host x",
        "RUN --device=v.org/gpu=0 x",
        "COPY --from=missing a /",
        "ENV A=\"${B:?is needed}\"",
        "STOPSIGNAL nothing",
        "EXPOSE 70000",
    ] {
        let file = format!("FROM base\nRUN first\n{instruction}\n");
        let error = planned(&file, &[], None).unwrap_err();
        let place = error.excerpt().and_then(|excerpt| excerpt.lines().next());
        let _ = writeln!(text, "{}: {error}", place.unwrap_or("nowhere"));
    }
    insta::assert_snapshot!(text, @r#"
    Dockerfile:3: source can't be a URL for COPY
    Dockerfile:3: source can't be a git ref for COPY
    Dockerfile:3: invalid git source: "--exec" is no name of a branch, tag or commit
    Dockerfile:3: invalid checksum sha256:0
    Dockerfile:3: checksum can't be specified for multiple sources
    Dockerfile:3: invalid git source: inconsistent keep-git-dir configuration
    Dockerfile:3: checksum requires HTTP(S) or Git sources
    Dockerfile:3: invalid chmod parameter: 'rwx'. it should be octal string and between 0 and 07777
    Dockerfile:3: RUN --security=insecure is not allowed: the step would have the rights of root on this machine
    Dockerfile:3: the build was given no SSH agent "default"
    Dockerfile:3: mount type=cache has no target
    Dockerfile:3: invalid mount target /
    Dockerfile:3: mount type=cache has the source /x, and no from
    Dockerfile:3: RUN --network=host is not allowed: a Dockerfile must not reach the host's network on its own
    Dockerfile:3: RUN --device=v.org/gpu=0 is not allowed
    Dockerfile:3: missing: image not found
    Dockerfile:3:8: failed to process ""${B:?is needed}"": B: is needed
    Dockerfile:3: Invalid signal: nothing
    Dockerfile:3: invalid containerPort: 70000
    "#);
}

#[test]
fn a_platform_that_the_base_is_not_for_is_refused() {
    let ok = planned("FROM --platform=$BUILDPLATFORM base\n", &[], None);
    assert!(ok.is_ok());
    let error = planned("FROM --platform=linux/arm64 base\n", &[], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "base is for linux/amd64, not for linux/arm64"
    );
}
