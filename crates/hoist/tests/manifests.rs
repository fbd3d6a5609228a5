//! `manifest create`, `annotate`, `push`, `inspect`, `rm`: against Debian's docker-registry, with
//! skopeo as the witness.

use serde_json::Value;

use crate::support::registry::{Registry, Users, skopeo};
use crate::support::{Sandbox, base_archive};

/// Gives busybox's files another platform, under another name.
fn import(sandbox: &Sandbox, platform: &str, name: &str) {
    let (tree, _) = base_archive("busybox:latest");
    let tree = tree.to_str().expect("a path");
    let words = ["import", "--platform", platform, tree, name];
    sandbox.hoist(&words).ok();
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What a registry has under a name, by skopeo.
fn raw(name: &str) -> Value {
    let place = format!("docker://{name}");
    document(&skopeo(&["inspect", "--tls-verify=false", "--raw", &place]))
}

fn platforms(index: &Value) -> Vec<String> {
    let entries = index["manifests"].as_array().expect("an index").iter();
    entries
        .map(|entry| {
            let platform = &entry["platform"];
            let part = |name: &str| platform[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{}/{}/{}",
                part("os"),
                part("architecture"),
                part("variant")
            )
        })
        .collect()
}

#[test]
fn images_of_two_platforms_get_one_name() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let (intel, arm) = (registry.name("me/intel:1"), registry.name("other/arm:1"));
    import(&sandbox, "linux/amd64", &intel);
    import(&sandbox, "linux/arm64", &arm);
    for name in [&intel, &arm] {
        sandbox.hoist(&["push", name]).ok();
    }
    // They are taken from the registry.
    sandbox.hoist(&["rmi", &intel, &arm]).ok();
    let list = registry.name("me/app:1");
    sandbox
        .hoist(&["manifest", "create", &list, &intel, &arm])
        .ok()
        .stdout_is(&format!("Created manifest list {list}"));
    sandbox
        .hoist(&["manifest", "create", &list, &intel])
        .fails(1)
        .says("refusing to amend an existing manifest list with no --amend flag");
    let annotate = |words: &[&str]| {
        let words = [&["manifest", "annotate"], words].concat();
        sandbox.hoist(&words)
    };
    annotate(&["--variant", "v8", "--os-features", "a,b", &list, &arm])
        .ok()
        .stdout_is("");
    annotate(&["--arch", "z80", &list, &arm])
        .fails(1)
        .says("unsupported os/arch combination: linux/z80");
    annotate(&["--arch", "arm", &list, "missing"])
        .fails(1)
        .says(&format!(
            "manifest for image docker.io/library/missing:latest does not exist in {list}"
        ));
    let shown = sandbox.hoist(&["manifest", "inspect", &list]).ok();
    let shown = document(&shown.stdout);
    assert_eq!(platforms(&shown), ["linux/amd64/", "linux/arm64/v8"]);
    assert_eq!(shown["manifests"][1]["platform"]["os.features"][1], "b");
    let one = sandbox.hoist(&["manifest", "inspect", &list, &arm]).ok();
    assert!(document(&one.stdout)["layers"].is_array(), "{one}");
    let all = sandbox.hoist(&["manifest", "inspect", "-v", &list]).ok();
    assert_eq!(document(&all.stdout)[0]["Ref"], intel.as_str());

    let push = sandbox.hoist(&["manifest", "push", "--purge", &list]).ok();
    let repository = registry.name("me/app");
    let lines: Vec<_> = push.stdout.lines().collect();
    let [first, second, digest] = lines[..] else {
        panic!("{push}");
    };
    for line in [first, second] {
        let digest = line.rsplit(' ').next().expect("a digest");
        assert_eq!(
            line,
            format!("Pushed ref {repository}@{digest} with digest: {digest}")
        );
    }
    assert_eq!(platforms(&raw(&list)), platforms(&shown));
    // What was made here is gone; the registry's is shown.
    let shown = sandbox.hoist(&["manifest", "inspect", &list]).ok();
    assert_eq!(document(&shown.stdout), raw(&list));
    sandbox
        .hoist(&["manifest", "push", &list])
        .fails(1)
        .says(&format!("{list} not found"));
    let pull = sandbox.hoist(&["pull", "--platform", "linux/arm64", &list]);
    pull.ok().prints(&format!("Digest: {digest}\n"));
    assert_eq!(sandbox.inspect(&list, "{{.Architecture}}"), "arm64");
    // An index is no member of another.
    sandbox
        .hoist(&["manifest", "create", &registry.name("me/outer"), &list])
        .fails(1)
        .says(&format!("{list} is a manifest list"));
    // Blobs were mounted, the common layer once; none was sent again.
    let requests = registry.requests();
    let mounts = |request: &&String| request.starts_with("POST /v2/me/app/blobs/uploads/?mount=");
    assert_eq!(requests.iter().filter(mounts).count(), 3, "{requests:#?}");
    let sent = |request: &&String| request.starts_with("PUT /v2/me/app/blobs/");
    assert_eq!(requests.iter().filter(sent).count(), 0, "{requests:#?}");
}

#[test]
fn images_of_the_store_are_pushed_with_their_list() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let list = registry.name("app:2");
    import(&sandbox, "linux/arm/v7", "local-arm");
    // Nobody answers for this name.
    let elsewhere = format!("127.0.0.1:{}/app:amd64", crate::support::free_port());
    sandbox.hoist(&["tag", "busybox", &elsewhere]).ok();
    let arm = registry.name("arm:7");
    sandbox.hoist(&["tag", "local-arm", &arm]).ok();
    sandbox
        .hoist(&["manifest", "create", &list, &elsewhere])
        .ok();
    sandbox
        .hoist(&["manifest", "create", "--amend", &list, &arm])
        .ok();
    sandbox.hoist(&["manifest", "push", &list]).ok();
    let index = raw(&list);
    assert_eq!(platforms(&index), ["linux/amd64/", "linux/arm/v7"]);
    sandbox.hoist(&["manifest", "push", &list]).ok();
    sandbox.hoist(&["rmi", "-f", &arm, "local-arm"]).ok();
    sandbox
        .hoist(&["manifest", "push", &list])
        .fails(1)
        .says(&format!(
            "the image of {arm} in the list is not here any more"
        ))
        .says(&format!("hoist manifest create --amend {list} {arm}"));
    sandbox
        .hoist(&["manifest", "rm", &list, "missing"])
        .fails(1)
        .says("No such manifest: docker.io/library/missing:latest");
    sandbox.hoist(&["manifest", "rm", &list]).fails(1);
    sandbox
        .hoist(&["manifest", "create", &list, &registry.name("nothing")])
        .fails(1)
        .says("manifest unknown");
    sandbox.hoist(&["run", "--rm", &list, "true"]).ok();
}

#[test]
fn manifests_are_copied_from_another_registry() {
    let sandbox = Sandbox::new();
    let (from, to) = (
        Registry::start(Users::Anybody),
        Registry::start(Users::Anybody),
    );
    let source = from.name("base:1");
    sandbox.hoist(&["tag", "busybox", &source]).ok();
    sandbox.hoist(&["push", &source]).ok();
    sandbox.hoist(&["rmi", "-f", &source, "busybox"]).ok();
    let list = to.name("copied:1");
    sandbox.hoist(&["manifest", "create", &list, &source]).ok();
    sandbox.hoist(&["manifest", "push", &list]).ok();
    drop(from);
    sandbox
        .hoist(&["run", "--rm", &list, "echo", "copied"])
        .ok()
        .stdout_is("copied");
}

#[test]
fn an_ordinary_user_makes_and_pushes_a_list() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let registry = Registry::start(Users::Password);
    let (list, member) = (registry.name("mine:all"), registry.name("mine:one"));
    sandbox.hoist(&["tag", "busybox", &member]).ok();
    sandbox
        .hoist_with_input(
            &["login", &registry.address, "-u", "me", "--password-stdin"],
            "s3cret\n",
        )
        .ok();
    sandbox.hoist(&["manifest", "create", &list, &member]).ok();
    let shown = sandbox.hoist(&["manifest", "inspect", &list]).ok();
    assert_eq!(platforms(&document(&shown.stdout)).len(), 1);
    sandbox.hoist(&["manifest", "push", "-p", &list]).ok();
    let shown = sandbox.hoist(&["manifest", "inspect", &list]).ok();
    shown.prints("application/vnd.oci.image.index.v1+json");
}
