//! Layers from archives and registries in their two forms: one behaviour, and nothing of the mounts to be
//! seen.

use std::fs;
use std::path::PathBuf;

use crate::support::{Child, Run, Sandbox};

/// A hoist command with layers from elsewhere in this form.
pub(crate) fn hoist(sandbox: &Sandbox, form: &str, arguments: &[&str]) -> Run {
    let mut command = sandbox.command(arguments);
    command.env("HOIST_LAYER_FORM", form);
    Child::spawn(command).finish()
}

/// The directories of all layers.
fn layers(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.root().join("layers")).expect("layers");
    entries
        .map(|entry| entry.expect("a layer").path())
        .collect()
}

fn forget(sandbox: &Sandbox) {
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    assert_eq!(layers(sandbox), [] as [PathBuf; 0]);
}

const DOCKERFILE: &str = r#"FROM debian:bookworm-slim
RUN mkdir -p /data/sub /gone /kept && echo one >/data/one && ln /data/one /data/sub/two \
 && echo x >/gone/x && echo y >/kept/y && chown 70000:12 /data/one && touch -d @1234567890 /data/sub
RUN rm -r /gone && rm /kept/y && echo z >/kept/z && cp /usr/bin/id /bin/elevated && chmod 4755 /bin/elevated
RUN rm -r /data/sub && mkdir /data/sub && echo new >/data/sub/three
VOLUME /data
USER 1000:1000
CMD ["sh", "-c", "ls /gone; ls /kept /data/sub; stat -c %u:%g:%h:%a /data/one /bin/elevated; elevated -u"]
"#;

const SEEN: &str = "/data/sub:\nthree\n\n/kept:\nz\n70000:12:1:644\n0:0:1:4755\n0";

#[test]
fn an_image_is_the_same_in_both_forms() {
    let sandbox = Sandbox::with(&["debian:bookworm-slim"]);
    sandbox.file("app/Dockerfile", DOCKERFILE);
    sandbox.hoist(&["build", "-q", "-t", "app", "app"]).ok();
    sandbox.hoist(&["save", "-o", "app.tar", "app"]).ok();
    let archive = fs::read(sandbox.path("app.tar")).expect("an archive");
    let run = sandbox.hoist(&["run", "--rm", "app"]);
    run.says("cannot access '/gone'").stdout_is(SEEN);
    for form in ["indexed", "unpacked"] {
        forget(&sandbox);
        hoist(&sandbox, form, &["load", "-q", "-i", "app.tar"]).ok();
        let indexed = |layer: &PathBuf| layer.join("layer.erofs").exists();
        assert_eq!(layers(&sandbox).iter().all(indexed), form == "indexed");
        assert_eq!(layers(&sandbox).iter().any(indexed), form == "indexed");
        let run = sandbox.hoist(&["run", "--rm", "app"]);
        run.says("cannot access '/gone'").stdout_is(SEEN);
        sandbox.file(
            "next/Dockerfile",
            "FROM app AS next\nUSER root\nRUN echo more >>/data/one && elevated -u >/id\n\
             FROM scratch\nCOPY --from=next /data /id /\nCOPY --from=app /kept /kept\n",
        );
        let built = ["build", "--no-cache", "-q", "-o", form, "next"];
        sandbox.hoist(&built).ok();
        let read = |name: &str| fs::read_to_string(sandbox.path(&format!("{form}/{name}")));
        assert_eq!(read("one").expect("a file"), "one\nmore\n");
        assert_eq!(read("id").expect("a file"), "0\n");
        assert_eq!(read("kept/z").expect("a file"), "z\n");
        sandbox.hoist(&["save", "-o", "again.tar", "app"]).ok();
        let again = fs::read(sandbox.path("again.tar")).expect("an archive");
        assert!(again == archive, "{form}: the archive has other bytes");
    }
}

#[test]
fn no_mount_of_a_layer_is_seen_anywhere() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["save", "-o", "box.tar", "busybox"]).ok();
    forget(&sandbox);
    hoist(&sandbox, "indexed", &["load", "-q", "-i", "box.tar"]).ok();
    let container = ["run", "-d", "--name", "busy", "busybox", "sleep", "1000"];
    sandbox.hoist(&container).ok();
    let host = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let own = sandbox.root();
    let own = own.to_str().expect("a path");
    let images = host.lines().filter(|line| line.contains(own));
    assert_eq!(images.count(), 0, "{host}");
    let inside = sandbox.hoist(&["exec", "busy", "cat", "/proc/1/mountinfo"]);
    inside.ok().never_says(" - erofs ").prints(" - overlay ");
    // What a container uses is kept, and what it has not read yet can be read.
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    assert_eq!(layers(&sandbox).len(), 1);
    let listed = sandbox.hoist(&["exec", "busy", "find", "/bin", "-name", "busybox"]);
    listed.ok().stdout_is("/bin/busybox");
    // Even one whose files somebody has removed by hand goes on to the end.
    let layer = layers(&sandbox).remove(0);
    for name in ["layer.tar", "layer.erofs"] {
        fs::remove_file(layer.join(name)).expect("a file of the layer");
    }
    sandbox.hoist(&["rm", "-f", "busy"]).ok();
    let run = sandbox.hoist(&["run", "--rm", "busybox", "true"]);
    run.fails(125).says("layer.tar").says("hoist system check");
}

#[test]
fn an_image_of_very_many_layers() {
    let sandbox = Sandbox::new();
    let count = 126;
    let mut text = "FROM busybox\n".to_owned();
    for number in 0..count {
        sandbox.file(&format!("many/{number}"), &format!("{number}\n"));
        text.push_str(&format!("COPY {number} /many/\n"));
    }
    sandbox.file("many/Dockerfile", &text);
    sandbox.hoist(&["build", "-q", "-t", "many", "many"]).ok();
    sandbox.hoist(&["save", "-o", "many.tar", "many"]).ok();
    forget(&sandbox);
    hoist(&sandbox, "indexed", &["load", "-q", "-i", "many.tar"]).ok();
    assert_eq!(layers(&sandbox).len(), count + 1);
    let counted = "ls /many | wc -l; cat /many/0 /many/125";
    sandbox
        .hoist(&["run", "--rm", "many", "sh", "-c", counted])
        .ok()
        .stdout_is("126\n0\n125");
}

#[test]
fn info_says_which_form_and_why() {
    let sandbox = Sandbox::with(&[]);
    let said = |form: &str| hoist(&sandbox, form, &["info"]);
    said("auto").ok().prints(" Layer form: indexed (kernel ");
    let unpacked = " Layer form: unpacked (as asked for)\n";
    said("unpacked").ok().prints(unpacked);
    let format = ["info", "--format", "{{.LayerForm.Form}}"];
    hoist(&sandbox, "", &format).ok().stdout_is("indexed");
    let wrong = said("folded").fails(1);
    wrong.says(
        "HOIST_LAYER_FORM: unknown layer form \"folded\": it is one of auto, unpacked, indexed",
    );
}

#[test]
fn an_ordinary_user_has_directories() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let info = sandbox.hoist(&["info"]).ok();
    info.prints(" Layer form: unpacked (an ordinary user cannot mount it)\n");
    sandbox.hoist(&["save", "-o", "box.tar", "busybox"]).ok();
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    sandbox.hoist(&["load", "-i", "box.tar"]).ok();
    let run = ["run", "--rm", "--network", "none", "busybox", "true"];
    sandbox.hoist(&run).ok();
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    let forced = hoist(&sandbox, "indexed", &["load", "-i", "box.tar"]).fails(1);
    forced
        .says("layers cannot be indexed here: an ordinary user cannot mount it")
        .says("HOIST_LAYER_FORM");
}
