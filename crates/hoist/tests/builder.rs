//! `hoist builder du` and `prune`.

use crate::support::Sandbox;

#[test]
fn the_cache_is_listed_and_pruned() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox AS one\nRUN --mount=type=cache,target=/c echo 1 | tee /c/1 > /1\n\
         FROM busybox\nCOPY --from=one /1 /1\n",
    );
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox.hoist(&["build", "-t", "app", context]).ok();
    sandbox
        .hoist(&["builder", "du"])
        .ok()
        .prints("RECLAIMABLE")
        .prints("cache mount")
        .prints("Total:");
    sandbox
        .hoist(&["builder", "prune", "-f", "--filter", "until=24h"])
        .ok();
    sandbox
        .hoist(&["build", "--explain", context])
        .ok()
        .never_says("ran  ");
    sandbox
        .hoist(&["builder", "prune", "--force"])
        .ok()
        .prints("Total:");
    sandbox.hoist(&["builder", "du"]).ok().prints("cache mount");
    sandbox.hoist(&["builder", "prune", "-af"]).ok();
    let left = sandbox
        .hoist(&["builder", "du", "--format", "{{.ID}}"])
        .ok();
    assert_eq!(left.text(), "");
    sandbox
        .hoist(&["run", "--rm", "app", "cat", "/1"])
        .ok()
        .stdout_is("1");
    sandbox
        .hoist_with_input(&["builder", "prune"], "n\n")
        .fails(1)
        .says("builder prune has been cancelled");
}
