//! `hoist build --explain`, `--timings`, `--progress rawjson`, and the report on sizes.

use crate::support::Sandbox;

#[test]
fn a_build_explains_itself() {
    let sandbox = Sandbox::new();
    sandbox.file("context/data", "1");
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY data /data\nRUN dd if=/dev/zero of=/big bs=1000 count=300\nRUN rm /big\n",
    );
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox
        .hoist(&["build", "--timings", context])
        .ok()
        .says("milliseconds: context ")
        .says("of RUN dd if=/dev/zero of=/big bs=1000 count=300 are removed by RUN rm /big (/big)");
    sandbox
        .hoist(&["build", "--explain", context])
        .ok()
        .says("cached  COPY data /data: everything that enters it is as it was")
        .never_says("size ");
    sandbox.file("context/data", "2");
    let run = sandbox
        .hoist(&["build", "--explain=json", "--progress", "rawjson", context])
        .ok();
    let told: serde_json::Value = serde_json::from_str(run.text()).expect("JSON");
    assert_eq!(told["steps"][0]["outcome"], "ran");
    assert_eq!(told["steps"][0]["reason"], "data changed");
    run.says("{\"event\":\"step_reason\",\"index\":1,\"text\":\"data changed\"}");
    sandbox
        .hoist(&["build", "--explain=xml", context])
        .fails(125)
        .says("--explain=json");
}
