//! Templates against tables that Docker itself printed, and against anything.

mod cases;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const PREFIX: &str = "template parsing error: template: ";

fn data() -> Value {
    serde_json::from_str(cases::DATA).unwrap()
}

/// What `source` prints for the data, or its error.
fn shown(source: &str) -> String {
    match Template::parse(source).and_then(|template| template.render(&data())) {
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}

#[test]
fn templates_print_what_docker_prints() {
    for (source, expected) in cases::PRINTED {
        assert_eq!(shown(source), *expected, "{source}");
    }
}

#[test]
fn errors_have_dockers_words() {
    for (source, expected) in cases::NOT_PARSED.iter().chain(cases::NOT_EXECUTED) {
        assert_eq!(shown(source), format!("{PREFIX}{expected}"), "{source}");
    }
    for (source, _) in cases::NOT_PARSED {
        assert!(Template::parse(source).is_err(), "{source}");
    }
    for (source, _) in cases::NOT_EXECUTED {
        let error = Template::parse(source)
            .unwrap()
            .render(&data())
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

#[test]
fn what_docker_does_worse_or_otherwise_is_ours() {
    let table = [
        // Docker cuts the character in two.
        (r#"{{truncate "héllo" 2}}"#, "hé"),
        // Docker has a typed list here, and joins it.
        (r#"{{join .L ", "}}"#, "a, b c"),
        (r#"{{join .Zed ","}}|"#, "|"),
        // Labels are a typed map in Docker: a missing one is empty.
        (r#"{{index .M "zz"}}|"#, "|"),
        (r#"{{index .EM "zz"}}|"#, "|"),
        (r#"{{index .Nest "zz"}}"#, "<no value>"),
        (r#"{{eq .N 3}} {{lower .E}}|{{lt .F 2.0}}"#, "true |true"),
        (r#"{{printf "%6.2f" 3}}"#, "%!f(int=3)"),
        (
            r#"{{join .LM ","}}"#,
            r#":1:7: executing "" at <.LM>: wrong type for value; expected []string; got []interface {}"#,
        ),
        (
            r#"{{pad "x" -1 0}}"#,
            r#":1:2: executing "" at <pad "x" -1 0>: error calling pad: padding out of range: -1"#,
        ),
        (
            r#"{{truncate "x" -1}}"#,
            r#":1:2: executing "" at <truncate "x" -1>: error calling truncate: negative length: -1"#,
        ),
        (
            "{{.N.Foo}}",
            r#":1:4: executing "" at <.N.Foo>: can't evaluate field Foo in type int"#,
        ),
        ("{{$x = 1}}", r#":1: undefined variable "$x""#),
        (r#"{{"a".B}}"#, ":1: unexpected . after a string"),
        (
            r#"{{define "x"}}{{end}}"#,
            ":1: {{define}} is not supported in --format",
        ),
    ];
    for (source, expected) in table {
        let got = shown(source);
        assert_eq!(
            got.strip_prefix(PREFIX).unwrap_or(&got),
            expected,
            "{source}"
        );
    }
}

#[test]
fn a_missing_field_names_those_that_exist() {
    let error = Template::parse("{{.State.Runing}}")
        .unwrap()
        .render(&json!({"State": {"Status": "running", "Running": true}}))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "template parsing error: template: :1:8: executing \"\" at <.State.Runing>: map has no entry \
         for key \"Runing\""
    );
    assert_eq!(error.hints(), ["the names here are Status, Running"]);
}

#[test]
fn missing_fields_can_be_no_value() {
    let options = Options {
        missing: MissingKey::NoValue,
        ..Options::default()
    };
    let render = |source| {
        Template::parse(source)
            .unwrap()
            .render_with(&data(), options)
    };
    assert_eq!(
        render("{{.Foo}} {{.Foo.Bar}} {{.Zed.X}}").unwrap(),
        "<no value> <no value> <no value>"
    );
    assert!(render("{{.N.Foo}}").is_err());
}

#[test]
fn fields_with_arguments_ask_the_caller() {
    let label = |receiver: &Value, name: &str, arguments: &[Value]| match (name, arguments) {
        ("Label", [Value::String(key)]) => {
            let label = receiver.get("Labels").and_then(|labels| labels.get(key));
            Some(label.cloned().unwrap_or_else(|| "".into()))
        }
        _ => None,
    };
    let options = Options {
        method: Some(&label),
        ..Options::default()
    };
    let data = json!({"Labels": {"com.example": "x"}, "Inner": {"Labels": {"k": "v"}}});
    let render = |source| Template::parse(source).unwrap().render_with(&data, options);
    assert_eq!(
        render(r#"{{.Label "com.example"}}|{{.Label "no"}}|"#).unwrap(),
        "x||"
    );
    assert_eq!(render(r#"{{"k" | .Inner.Label | upper}}"#).unwrap(), "V");
    assert!(render(r#"{{.Other "x"}}"#).is_err());
    assert!(format!("{options:?}").starts_with("Options { missing: Error"));
}

#[test]
fn json_keeps_the_order_of_the_data() {
    let data = json!({"b": 1, "a": {"d": [1.5, null], "c": "<&>"}});
    let text = Template::parse("{{json .}} {{.}}")
        .unwrap()
        .render(&data)
        .unwrap();
    assert_eq!(
        text,
        r#"{"b":1,"a":{"d":[1.5,null],"c":"<&>"}} map[a:map[c:<&> d:[1.5 <nil>]] b:1]"#
    );
}

#[test]
fn shells_tabs_and_line_ends_are_unescaped() {
    assert_eq!(
        unescape(r"table {{.A}}\t{{.B}}\n"),
        "table {{.A}}\t{{.B}}\n"
    );
}

#[test]
fn lines_are_counted() {
    assert_eq!(
        shown("a\nb{{.N}}\n  {{.Nope}}"),
        format!("{PREFIX}:3:4: executing \"\" at <.Nope>: map has no entry for key \"Nope\"")
    );
    assert_eq!(
        shown("\n\n{{foo}}"),
        format!("{PREFIX}:3: function \"foo\" not defined")
    );
}

#[test]
fn depth_steps_and_output_are_bounded() {
    let nested = |open: &str, close: &str, depth: usize| {
        shown(&format!("{}1{}", open.repeat(depth), close.repeat(depth)))
    };
    assert_eq!(nested("{{if true}}", "{{end}}", 90), "1");
    let too_deep = format!("{PREFIX}:1: more than 100 blocks inside each other");
    assert_eq!(nested("{{if true}}", "{{end}}", 100_000), too_deep);
    assert_eq!(
        nested("{{if true}}{{else if true}}", "{{end}}", 100_000),
        too_deep
    );
    assert_eq!(
        shown(&format!(
            "{{{{{}1{}}}}}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        )),
        too_deep
    );

    let items = json!(vec![1; 100]);
    let ranges = "{{range $}}".repeat(5) + &"{{end}}".repeat(5);
    let error = Template::parse(&ranges)
        .unwrap()
        .render(&items)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the template takes too many steps")
    );

    let long = json!(vec!["x".repeat(1 << 20); 100]);
    let error = Template::parse("{{range .}}{{.}}{{end}}")
        .unwrap()
        .render(&long)
        .unwrap_err();
    assert!(error.to_string().ends_with("the output is too long"));
    assert_eq!(
        shown(r#"{{len (printf "%99999999999999999999d" 1)}}"#),
        "10000"
    );
}

/// Pieces of templates, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "{{", "}}", "{{- ", " -}}", "{{if ", "{{else}}", "{{else if ", "{{end}}", "{{range ",
            "{{with ", "$x", "$x := ", "$k, $v := ", "(", ")", " | ", ".", ".L", ".M", ".S", ".N",
            ".Zed", ".LM", ".Nest.A", " 1", " -1", " 2.5", " \"a\"", " `b`", " 'c'", " nil",
            " true", "index ", "len ", "printf \"%d %v %5.2f %q %x %*d\" ", "join ", "split ",
            "slice ", "truncate ", "pad ", "json ", "print ", "eq ", "lt ", "and ", "or ", "not ",
            "upper ", "title ", "html ", "urlquery ", "{{break}}", "{{continue}}", "{{/* ", " */}}",
            "text", "é", "\n", " ", "\\", "\"", "=", ",",
        ]).prop_map(str::to_owned),
        1 => ".{0,4}",
        1 => Just("{{.}}".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_template_or_refused(pieces in prop::collection::vec(piece(), 0..24)) {
        let _ = shown(&pieces.concat());
    }

    #[test]
    fn any_call_has_a_value_or_an_error(
        name in prop::sample::select(vec![
            "json", "split", "join", "title", "lower", "upper", "truncate", "pad", "len", "index",
            "slice", "not", "eq", "ne", "lt", "ge", "print", "println", "printf", "html", "urlquery",
        ]),
        arguments in prop::collection::vec(
            prop::sample::select(vec![
                ".L", ".M", ".S", ".N", ".F", ".T", ".E", ".Zed", ".Mixed", "nil", "0", "1", "-1",
                "3", "99999", "9223372036854775807", "-9223372036854775808", "1.5", "1e300", "\"\"",
                "\"é\"", "\"a\"", "\"%5d %-08.3f %+q %#x %c %U %z %*.*e\"",
            ]),
            0..5,
        ),
    ) {
        let _ = shown(&format!("{{{{{name} {}}}}}", arguments.join(" ")));
    }

    #[test]
    fn any_format_of_printf_is_taken(
        format in "(%[-+# 0]{0,3}[0-9*]{0,2}(\\.[0-9*]{0,2})?[a-zA-Z%!é]?|x){0,5}",
        number: i64,
        float: f64,
    ) {
        let values = [json!(number), json!(float), json!("é\n"), json!([1, null, {"a": true}])];
        for value in &values {
            print::printf(&format, &[value, value, value]);
        }
    }

    #[test]
    fn text_without_actions_is_printed_as_it_is(text in "[^{]{0,40}") {
        prop_assert_eq!(shown(&text), text);
    }

    #[test]
    fn strings_go_through_quotes(text in "[^`\r\u{0}-\u{1f}]{0,20}") {
        prop_assert_eq!(shown(&format!("{{{{`{text}`}}}}")), text.clone());
        let quoted = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(shown(&format!("{{{{{quoted}}}}}")), text.clone());
        let data = Value::String(text);
        let printed = Template::parse("{{printf \"%q\" .}}").unwrap().render(&data).unwrap();
        prop_assert_eq!(shown(&format!("{{{{{printed}}}}}")), data.as_str().unwrap());
    }
}
