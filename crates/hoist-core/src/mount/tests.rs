//! The three syntaxes of mounts, by tables and properties.

use proptest::prelude::*;

use super::*;

const CWD: &str = "/work/app";

fn volume(text: &str) -> Result<MountRequest, MountError> {
    parse_volume(text, Path::new(CWD))
}

fn mount(text: &str) -> Result<MountRequest, MountError> {
    parse_mount(text, Path::new(CWD))
}

/// `kind source → target flags`, for tables.
fn shown(request: &MountRequest) -> String {
    let what = match &request.kind {
        MountKind::Bind {
            source,
            create_missing,
            recursion,
        } => {
            let create = if *create_missing {
                "create"
            } else {
                "must exist"
            };
            let recursion = match recursion {
                Recursion::Enabled => String::new(),
                other => format!(" {other:?}"),
            };
            format!("bind {} ({create}){recursion}", source.display())
        }
        MountKind::Volume { name, nocopy } => format!(
            "volume {}{}",
            name.as_deref().unwrap_or("(anonymous)"),
            if *nocopy { " nocopy" } else { "" }
        ),
        MountKind::Tmpfs {
            size,
            mode,
            options,
        } => format!(
            "tmpfs {size:?} {:?} {options:?}",
            mode.map(|mode| format!("{mode:o}"))
        ),
        MountKind::Image {
            source, subpath, ..
        } => format!("image {source} /{}", subpath.display()),
    };
    let access = if request.read_only { " ro" } else { "" };
    let propagation = match request.propagation {
        Propagation::Rprivate => String::new(),
        other => format!(" {}", other.as_str()),
    };
    format!(
        "{what} -> {}{access}{propagation}",
        request.target.display()
    )
}

#[test]
fn volumes_take_every_form_of_docker() {
    let table = [
        ("/a:/b", "bind /a (create) -> /b"),
        ("/a:/b:ro", "bind /a (create) -> /b ro"),
        ("/a:/b:rw", "bind /a (create) -> /b"),
        ("/a:/b:", "bind /a (create) -> /b"),
        ("/a/:/b/", "bind /a (create) -> /b"),
        ("/a/../c:/b/./d//e", "bind /c (create) -> /b/d/e"),
        ("./x:/b", "bind /work/app/x (create) -> /b"),
        (".:/b", "bind /work/app (create) -> /b"),
        ("../x:/b", "bind /work/x (create) -> /b"),
        ("..:/b", "bind /work (create) -> /b"),
        ("/:/host:ro,rslave", "bind / (create) -> /host ro rslave"),
        ("/a:/b:Z,cached", "bind /a (create) -> /b"),
        ("/a b:/b", "bind /a b (create) -> /b"),
        ("data:/b", "volume data -> /b"),
        ("data:/b:ro,nocopy,z", "volume data nocopy -> /b ro"),
        ("a.b-c_1:/b", "volume a.b-c_1 -> /b"),
        ("/b", "volume (anonymous) -> /b"),
    ];
    for (text, expected) in table {
        let request = volume(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(shown(&request), expected, "{text}");
    }
}

#[test]
fn volumes_refuse_the_rest_in_dockers_words() {
    let name = |name: &str| {
        format!(
            "{name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        )
    };
    let table = [
        ("", "invalid empty volume spec".to_owned()),
        (
            ":/b",
            "invalid spec: :/b: empty section between colons".to_owned(),
        ),
        ("/a:", "invalid volume specification: '/a:'".to_owned()),
        (
            "/a::ro",
            "invalid spec: /a::ro: empty section between colons".to_owned(),
        ),
        ("/a:ro", "invalid volume specification: '/a:ro'".to_owned()),
        (
            "a:/b:c:d",
            "invalid volume specification: 'a:/b:c:d'".to_owned(),
        ),
        ("/a:/b:foo", "invalid mode: foo".to_owned()),
        ("/a:/b:ro,rw", "invalid mode: ro,rw".to_owned()),
        ("/a:/b:z,Z", "invalid mode: z,Z".to_owned()),
        (
            "/a:/b:shared,slave",
            "invalid mode: shared,slave".to_owned(),
        ),
        ("/a:/b:ro,", "invalid mode: ro,".to_owned()),
        ("/a:/b:nocopy", "invalid mode: nocopy".to_owned()),
        (
            "/a:b",
            "invalid mount path: 'b' mount path must be absolute".to_owned(),
        ),
        (
            "b",
            "invalid mount path: 'b' mount path must be absolute".to_owned(),
        ),
        (
            ".",
            "invalid mount path: '.' mount path must be absolute".to_owned(),
        ),
        (
            "/a:/",
            "invalid specification: destination can't be '/'".to_owned(),
        ),
        (
            "/a:/b/..",
            "invalid specification: destination can't be '/'".to_owned(),
        ),
        (
            "/",
            "invalid specification: destination can't be '/'".to_owned(),
        ),
        ("~/x:/b", name("~/x")),
        ("src/x:/b", name("src/x")),
        ("a b:/b", name("a b")),
        (
            "x:/b",
            "volume name is too short, names should be at least two alphanumeric characters"
                .to_owned(),
        ),
    ];
    for (text, message) in table {
        let error = volume(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert_eq!(
        volume("src/x:/b").unwrap_err().hints(),
        ["to mount a directory that lies here, write ./src/x"]
    );
    assert_eq!(
        volume("/a:./b").unwrap_err().hints(),
        ["write /b for the path in the container"]
    );
}

#[test]
fn mounts_take_every_key() {
    let table = [
        (
            "type=bind,source=/a,target=/b",
            "bind /a (must exist) -> /b",
        ),
        (
            "type=bind,src=./a,dst=/b,readonly",
            "bind /work/app/a (must exist) -> /b ro",
        ),
        (
            "TYPE=bind,source=/a,target=/b",
            "unexpected key 'TYPE' in 'TYPE=bind'",
        ),
        (
            "type=Bind,source=/a,destination=/b,ro=1",
            "bind /a (must exist) -> /b ro",
        ),
        (
            "type=bind,source=/a,target=/b,readonly=false",
            "bind /a (must exist) -> /b",
        ),
        (
            "type=bind,source=/a,target=/b,bind-propagation=RSlave,consistency=cached",
            "bind /a (must exist) -> /b rslave",
        ),
        (
            "type=bind,\"source=/a,b\",target=/b",
            "bind /a,b (must exist) -> /b",
        ),
        (
            "type=bind,\"source=/a\"\"b\",target=/b",
            "bind /a\"b (must exist) -> /b",
        ),
        (
            "type=bind,source=/a=b,target=/b",
            "bind /a=b (must exist) -> /b",
        ),
        (
            "type=bind,source=/a,target=/b,bind-recursive=disabled",
            "bind /a (must exist) Disabled -> /b",
        ),
        (
            "type=bind,source=/a,target=/b,bind-nonrecursive",
            "bind /a (must exist) Disabled -> /b",
        ),
        (
            "type=bind,source=/a,target=/b,readonly,bind-recursive=readonly,bind-propagation=rprivate",
            "bind /a (must exist) Readonly -> /b ro",
        ),
        ("target=/b", "volume (anonymous) -> /b"),
        ("source=data,target=/b", "volume data -> /b"),
        (
            "type=volume,source=data,target=/b,volume-nocopy,volume-driver=local,ro",
            "volume data nocopy -> /b ro",
        ),
        ("type=tmpfs,target=/b", "tmpfs None None [] -> /b"),
        (
            "type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=1770,ro",
            "tmpfs Some(1048576) Some(\"1770\") [] -> /b ro",
        ),
    ];
    for (text, expected) in table {
        let got = match mount(text) {
            Ok(request) => shown(&request),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }
}

fn refused(table: &[(&str, &str)]) {
    for (text, message) in table {
        let error = mount(text).unwrap_err();
        assert_eq!(error.to_string(), *message, "{text}");
        assert!(matches!(error.kind(), Kind::Invalid | Kind::Unsupported));
    }
}

#[test]
fn mounts_refuse_the_rest_in_dockers_words() {
    let table = [
        ("", "the value is empty"),
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("foo=bar", "unexpected key 'foo' in 'foo=bar'"),
        (
            "type=bind, source=/a,target=/b",
            "unexpected key ' source' in ' source=/a'",
        ),
        ("source=/a", "target is required"),
        ("type=bind,source=/a,target=", "target is required"),
        ("type=,target=/b", "type is required"),
        (
            "type=bind,source=/a,target=b",
            "invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
        ),
        (
            "type=bind,source=x,target=/b",
            "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be absolute",
        ),
        (
            "type=bind,target=/b",
            "invalid mount config for type \"bind\": field Source must not be empty",
        ),
        (
            "type=bind,source=/a,target=/",
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ),
        (
            "type=foo,target=/b",
            "invalid mount config for type \"foo\": mount type unknown",
        ),
        (
            "type=tmpfs,source=/a,target=/b",
            "invalid mount config for type \"tmpfs\": field Source must not be specified",
        ),
        (
            "target=/b,readonly",
            "invalid mount config for type \"volume\": must not set ReadOnly mode when using anonymous volumes",
        ),
    ];
    refused(&table);
}

#[test]
fn mounts_refuse_values_that_do_not_fit_in_dockers_words() {
    let table = [
        (
            "type=tmpfs,target=/b,tmpfs-size=zz",
            "invalid value for tmpfs-size: zz",
        ),
        (
            "type=tmpfs,target=/b,tmpfs-mode=9",
            "invalid value for tmpfs-mode: 9",
        ),
        (
            "type=tmpfs,target=/b,tmpfs-mode=",
            "invalid value for tmpfs-mode: ",
        ),
        (
            "type=bind,src=/a,dst=/b,ro=maybe",
            "invalid value for ro: maybe",
        ),
        (
            "type=bind,source=/a,target=/b,bind-propagation=foo",
            "invalid value for bind-propagation: foo",
        ),
        (
            "type=bind,source=/a,target=/b,bind-recursive=zz",
            "invalid value for bind-recursive: zz (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
        ),
        (
            "type=bind,source=/a,target=/b,bind-recursive=readonly",
            "invalid mount config for type \"bind\": option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
        ),
        (
            "type=bind,source=/a,target=/b,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        (
            "target=/b,tmpfs-size=1",
            "cannot mix 'tmpfs-*' options with mount type 'volume'",
        ),
        (
            "type=bind,so\"urce=/a,dst=/b",
            "parse error on line 1, column 13: bare \" in non-quoted-field",
        ),
        (
            "type=bind,\"source=/a",
            "parse error on line 1, column 21: extraneous or missing \" in quoted-field",
        ),
        (
            "\"type=bind\"x,target=/b",
            "parse error on line 1, column 12: extraneous or missing \" in quoted-field",
        ),
        ("target=/b\nx", "the value has more than one line"),
        (
            "type=image,target=/b",
            "invalid mount config for type \"image\": field Source must not be empty",
        ),
        (
            "type=image,source=x,target=/b,image-subpath=a/../b",
            "invalid mount config for type \"image\": subpath must be a relative path within the image: a/../b",
        ),
        (
            "type=bind,source=/x,target=/b,image-subpath=a",
            "cannot mix 'image-*' options with mount type 'bind'",
        ),
        (
            "source=x1,target=/b,volume-driver=nfs",
            "unsupported mount option: volume-driver=nfs",
        ),
    ];
    refused(&table);
}

#[test]
fn tmpfs_takes_path_and_options() {
    let table = [
        ("/a", "tmpfs None None [] -> /a"),
        ("/a:", "tmpfs None None [] -> /a"),
        (
            "/a:size=64m,mode=1777",
            "tmpfs Some(67108864) Some(\"1777\") [] -> /a",
        ),
        (
            "/a:rw,noexec,uid=1000,nr_inodes=10k",
            "tmpfs None None [\"noexec\", \"uid=1000\", \"nr_inodes=10k\"] -> /a",
        ),
        ("/a:size=50%,ro", "tmpfs None None [\"size=50%\"] -> /a ro"),
    ];
    for (text, expected) in table {
        let request = parse_tmpfs(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(shown(&request), expected);
    }
    let table = [
        ("", "invalid mount path: '' mount path must be absolute"),
        ("a", "invalid mount path: 'a' mount path must be absolute"),
        ("/:ro", "invalid specification: destination can't be '/'"),
        ("/a:foo", "invalid tmpfs option \"foo\""),
        ("/a:size=x", "invalid tmpfs option \"size=x\""),
        ("/a:mode=999", "invalid tmpfs option \"mode=999\""),
        ("/a:mode=+7", "invalid tmpfs option \"mode=+7\""),
        ("/a:uid=root", "invalid tmpfs option \"uid=root\""),
    ];
    for (text, message) in table {
        assert_eq!(parse_tmpfs(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn two_mounts_at_one_path_are_refused() {
    let mounts = [
        volume("/a:/x").unwrap(),
        volume("/y").unwrap(),
        parse_tmpfs("/x/").unwrap(),
    ];
    assert_eq!(check_duplicates(&mounts[..2]), Ok(()));
    let error = check_duplicates(&mounts).unwrap_err();
    assert_eq!(error.to_string(), "Duplicate mount point: /x");
    assert_eq!(
        error.hints(),
        ["give only one of -v, --mount and --tmpfs for /x"]
    );
}

#[test]
fn requests_go_through_json() {
    for text in ["/a:/b:ro", "data:/b", "/b"] {
        let request = volume(text).unwrap();
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(
            serde_json::from_str::<MountRequest>(&json).unwrap(),
            request
        );
    }
    assert_eq!(
        serde_json::to_string(&volume("data:/b").unwrap()).unwrap(),
        r#"{"type":"volume","name":"data","nocopy":false,"target":"/b","read_only":false,"propagation":"rprivate"}"#
    );
}

fn is_clean(target: &Path) -> bool {
    let text = target.to_str().unwrap();
    text.len() > 1
        && text.starts_with('/')
        && text[1..]
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
}

proptest! {
    #[test]
    fn any_volume_is_read_or_refused(text in "([a-z./~ ]{0,8}:?){0,4}(ro|z|,|rslave){0,3}|.{0,24}") {
        if let Ok(request) = volume(&text) {
            prop_assert!(is_clean(&request.target));
            if let MountKind::Bind { source, .. } = request.kind {
                prop_assert!(source.is_absolute());
            }
        }
        if let Ok(request) = parse_tmpfs(&text) {
            prop_assert!(is_clean(&request.target));
        }
    }

    #[test]
    fn any_mount_is_read_or_refused(
        text in "((type=(bind|volume|tmpfs)|source=[a-z/.]{0,6}|target=[a-z/.]{0,6}|ro|\"|tmpfs-size=1),?){0,5}|.{0,24}"
    ) {
        if let Ok(request) = mount(&text) {
            prop_assert!(is_clean(&request.target));
        }
    }

    #[test]
    fn quoted_fields_read_back(fields in proptest::collection::vec("[^\r\n]{0,8}", 1..5)) {
        let line: Vec<String> =
            fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        prop_assert_eq!(csv::fields(&line.join(",")), Ok(fields));
    }
}
