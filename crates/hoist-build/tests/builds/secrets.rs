//! Secrets and agents in real builds, as root: who sees them, and where they must not stay.

use std::{fs, os::unix::net::UnixListener, path::Path};

use hoist_build::{BuildRequest, Secret, SshAgent};
use hoist_core::event::BuildEvent;

use crate::support::World;

fn with_secrets(world: &World, secrets: &[(&str, &str)]) -> BuildRequest {
    let secrets = secrets.iter().map(|(id, value)| Secret::new(*id, *value));
    BuildRequest {
        secrets: secrets.collect(),
        ..world.request()
    }
}

/// True when a file below `directory` holds `needle`.
fn holds(directory: &Path, needle: &[u8]) -> bool {
    fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        let found = fs::symlink_metadata(&path).expect("a file");
        if found.is_dir() {
            return holds(&path, needle);
        }
        let bytes = if found.is_file() {
            fs::read(&path).expect("a file")
        } else {
            Vec::new()
        };
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn secrets_are_files_and_variables_of_one_step_only() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base\n\
         RUN --mount=type=secret,id=token stat -c '%a %u %g' /run/secrets/token > /one && \
             case $(cat /run/secrets/token) in hunter2-*) ;; *) exit 1;; esac\n\
         RUN --mount=type=secret,id=token,target=/etc/deep/token,mode=0440,uid=1000,gid=33 \
             stat -c '%a %u %g' /etc/deep/token > /two\n\
         RUN --mount=type=secret,id=token,env=TOKEN \
             test ! -e /run/secrets && echo ${#TOKEN} > /three\n\
         RUN --mount=type=secret,id=absent,env=ABSENT test -z \"$ABSENT\"\n\
         RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n\
         RUN test ! -e /run/secrets && test ! -e /etc/deep && test -z \"$TOKEN\"\n",
    );
    let built = world.build(&with_secrets(&world, &[("token", "hunter2-of-old")]));
    let built = built.built();
    let text = ["one", "two", "three"].map(|name| world.files(&built.id, name));
    insta::assert_snapshot!(text.join("\n"), @r#"
    0644 0:0 one "400 0 0\n"
    0644 0:0 two "440 1000 33\n"
    0644 0:0 three "14\n"
    "#);
    assert!(!holds(
        world.directory.path().join("root").as_path(),
        b"hunter2-of-old"
    ));
    assert!(!holds(
        world.directory.path().join("run").as_path(),
        b"hunter2-of-old"
    ));

    // Its value does not enter the key, and a step that is cached needs none.
    let again = world
        .build(&with_secrets(&world, &[("token", "another-one-7")]))
        .built();
    assert_eq!(again.cached, again.steps);
}

#[test]
fn a_value_is_taken_out_of_output_errors_and_history() {
    let world = World::new();
    world.file("hunter3.conf", "x");
    world.file(
        "Dockerfile",
        "FROM base\nARG API_TOKEN\nCOPY ${API_TOKEN}.conf /x\n\
         RUN --mount=type=secret,id=token cat /run/secrets/token && echo $API_TOKEN >&2 && exit 3\n",
    );
    let mut request = with_secrets(&world, &[("token", "hunter2\n")]);
    request.build_args = vec![("API_TOKEN".to_owned(), Some("hunter3".to_owned()))];
    let outcome = world.build(&request);
    let mut told = format!("{:?}", outcome.result.as_ref().unwrap_err().output());
    for event in &outcome.events {
        if let BuildEvent::StepOutput { bytes, .. } = event {
            told.push_str(&String::from_utf8_lossy(bytes));
        }
        told.push_str(&serde_json::to_string(event).unwrap());
    }
    assert!(told.contains("***"), "{told}");
    assert!(!told.contains("hunter"), "{told}");
    let text = outcome.error();
    assert!(!text.contains("hunter"), "{text}");

    world.file(
        "Dockerfile",
        "FROM base\nARG API_TOKEN\nCOPY ${API_TOKEN}.conf /x\n",
    );
    let built = world.build(&request).built();
    let image = world.engine.store().image(&built.id).unwrap().image;
    let text = image.history.last().unwrap().created_by.clone();
    assert_eq!(text.as_deref(), Some("COPY ***.conf /x # buildkit"));
}

#[test]
fn what_is_required_and_not_there_is_told_before_anything_runs() {
    let world = World::new();
    let mut shown = String::new();
    for mount in [
        "type=secret,id=token,required",
        "type=ssh,required=true",
        "type=secret,id=token,target=/",
    ] {
        let outcome = world.dockerfile(&format!("FROM base\nRUN true\nRUN --mount={mount} true\n"));
        assert!(outcome.steps().is_empty());
        let text = outcome.error();
        let text = text
            .lines()
            .filter(|line| !line.contains('|') && !line.starts_with('-'));
        shown.push_str(&text.collect::<Vec<_>>().join("\n"));
        shown.push('\n');
    }
    insta::assert_snapshot!(shown, @r#"
    Dockerfile:3
    secret token: not found
    hint: build with --secret id=token,src=FILE or --secret id=token,env=NAME
    Dockerfile:3
    the build was given no SSH agent "default"
    hint: build with --ssh default
    Dockerfile:3
    invalid mount target /
    hint: mount below the root
    "#);
}

#[test]
fn a_step_reaches_the_agent_that_the_build_was_given() {
    let world = World::new();
    let socket = world.directory.path().join("agent");
    let _listener = UnixListener::bind(&socket).unwrap();
    world.file(
        "Dockerfile",
        "FROM base\n\
         RUN --mount=type=ssh,uid=1000,mode=0660 test -S $SSH_AUTH_SOCK && \
             echo $SSH_AUTH_SOCK $(stat -c '%a %u' $SSH_AUTH_SOCK) > /seen\n\
         RUN --mount=type=ssh,id=other test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\n\
         RUN --mount=type=ssh,target=/agent,required test $SSH_AUTH_SOCK = /agent\n",
    );
    let mut request = world.request();
    request.agents = vec![SshAgent {
        id: "default".to_owned(),
        source: hoist_build::AgentSource::Socket(socket.clone()),
    }];
    let built = world.build(&request).built();
    insta::assert_snapshot!(world.files(&built.id, "seen"), @r#"0644 0:0 seen "/run/buildkit/ssh_agent.0 660 1000\n""#);
    assert_eq!(built.layers.len(), 2, "nothing is left of the sockets");

    fs::remove_file(&socket).unwrap();
    request.no_cache = true;
    let error = world.build(&request).error();
    assert!(error.contains("cannot reach the SSH agent at"), "{error}");
}

#[test]
fn a_layer_with_a_secret_in_it_ends_the_build_unless_it_is_meant() {
    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt\n\
        -----END OPENSSH PRIVATE KEY-----\n";
    let world = World::new();
    world
        .file("keys/id", KEY)
        .file("app/.env", "DATABASE_PASSWORD=x\n")
        .file("app/.env.example", "DATABASE_PASSWORD=\n");
    let mut request = with_secrets(&world, &[("token", "s3cr3t-value")]);
    let cases = [
        "COPY keys /root/.ssh",
        "COPY app /app",
        "RUN --mount=type=secret,id=token cp /run/secrets/token /kept",
        "RUN --mount=type=secret,id=token echo url=https://x:$(cat /run/secrets/token)@y > /etc/pip.conf",
    ];
    let mut shown = String::new();
    for case in cases {
        world.file("Dockerfile", format!("FROM base\n{case}\n"));
        let error = world.build(&request).error();
        let text = error
            .lines()
            .filter(|line| line.contains(">>>") || !line.contains('|'));
        let text: Vec<_> = text.filter(|line| !line.starts_with("---")).collect();
        shown.push_str(&format!("{}\n", text.join("\n")));
    }
    insta::assert_snapshot!(shown, @r"
    Dockerfile:2
       2 | >>> COPY keys /root/.ssh
    a private key is in the new layer: /root/.ssh/id
    hint: whoever has the image can read it, even when a later step removes it: keep it out with a line in .dockerignore, or show it to one step only with RUN --mount=type=secret
    hint: if it is meant to be there, build with --allow-secret-in-layer /root/.ssh/id
    Dockerfile:2
       2 | >>> COPY app /app
    a file of settings and secrets is in the new layer: /app/.env
    hint: whoever has the image can read it, even when a later step removes it: keep it out with a line in .dockerignore, or show it to one step only with RUN --mount=type=secret
    hint: if it is meant to be there, build with --allow-secret-in-layer /app/.env
    Dockerfile:2
       2 | >>> RUN --mount=type=secret,id=token cp /run/secrets/token /kept
    the value of the secret token is in the new layer: /kept
    hint: whoever has the image can read it, even when a later step removes it: keep it out with a line in .dockerignore, or show it to one step only with RUN --mount=type=secret
    hint: if it is meant to be there, build with --allow-secret-in-layer /kept
    Dockerfile:2
       2 | >>> RUN --mount=type=secret,id=token echo url=https://x:$(cat /run/secrets/token)@y > /etc/pip.conf
    the value of the secret token is in the new layer: /etc/pip.conf
    hint: whoever has the image can read it, even when a later step removes it: keep it out with a line in .dockerignore, or show it to one step only with RUN --mount=type=secret
    hint: if it is meant to be there, build with --allow-secret-in-layer /etc/pip.conf
    ");
    assert!(!holds(
        &world.directory.path().join("root"),
        b"s3cr3t-value"
    ));

    // Allowed: the file, or a directory above it. The cache remembers what was allowed.
    world.file(
        "Dockerfile",
        "FROM base\nCOPY keys /root/.ssh\nCOPY app /app\n",
    );
    request.allowed_secrets = vec!["/root".into(), "/app/.env".into()];
    world.build(&request).built();
    let again = world.build(&request).built();
    assert_eq!(again.cached, 2);
    request.allowed_secrets = vec!["/root/.ssh/id".into()];
    let error = world.build(&request).error();
    assert!(error.contains("is in the new layer: /app/.env"), "{error}");
}
