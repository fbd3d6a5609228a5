//! Templates and what `docker inspect --format` of Docker 28 printed for each, with the data in
//! [`DATA`]; the beginning of errors, the same for all, is left out.

/// The data.
pub(super) const DATA: &str = r#"{
    "Id": "0123", "Name": "/a", "Zed": null, "N": 3, "Big": 1234567890123, "F": 1.5, "T": true,
    "E": "", "L": ["a", "b c"], "M": {"b": "2", "a": "1"}, "LM": [{"x": 1}, {"y": [1, 2]}],
    "EL": [], "EM": {}, "S": "hello wörld <&>", "Nest": {"A": {"B": {"C": "deep"}}},
    "Mixed": [1, "a", null, true, 2.5]
}"#;

/// Templates that print.
pub(super) const PRINTED: &[(&str, &str)] = &[
    ("{{.Zed}}", "<no value>"),
    ("{{.N}} {{.F}} {{.T}} {{.Big}}", "3 1.5 true 1234567890123"),
    ("{{.E}}|", "|"),
    ("{{.L}}", "[a b c]"),
    ("{{.M}}", "map[a:1 b:2]"),
    ("{{.LM}}", "[map[x:1] map[y:[1 2]]]"),
    ("{{.Mixed}}", "[1 a <nil> true 2.5]"),
    ("{{.EL}} {{.EM}}", "[] map[]"),
    ("{{json .S}} {{json .Zed}}", r#""hello wörld <&>" null"#),
    ("{{.Nest.A.B.C}}", "deep"),
    ("{{range .L}}{{.}},{{end}}", "a,b c,"),
    ("{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
    ("{{range $i, $v := .L}}{{$i}}={{$v}};{{end}}", "0=a;1=b c;"),
    ("{{range .EL}}x{{else}}none{{end}}", "none"),
    ("{{range .Zed}}x{{else}}none{{end}}", "none"),
    (
        r#"{{index .L 1}} {{index .M "a"}} {{index .LM 1 "y" 0}}"#,
        "b c 1 1",
    ),
    ("{{index .Mixed 2}}|", "<no value>|"),
    ("{{len .L}} {{len .M}} {{len .S}}", "2 2 16"),
    (
        r#"{{printf "%s %v %d %q %5s|%-5s|" .S .L 42 "x" "ab" "cd"}}"#,
        r#"hello wörld <&> [a b c] 42 "x"    ab|cd   |"#,
    ),
    (r#"{{printf "%d" "x"}}"#, "%!d(string=x)"),
    (r#"{{printf "%s" 5}}"#, "%!s(int=5)"),
    (r#"{{printf "%d %d" 1}}"#, "1 %!d(MISSING)"),
    (r#"{{printf "%d" 1 2}}"#, "1%!(EXTRA int=2)"),
    (
        r#"{{printf "%T %t %x %X %o %b %c %U" 1 true 255 255 8 5 65 65}}"#,
        "int true ff FF 10 101 A U+0041",
    ),
    (
        r#"{{printf "%5.2f|%e|%g|%6d|%06d|%+d|%%" 1.5 1.5 1.5 42 42 42}}"#,
        " 1.50|1.500000e+00|1.5|    42|000042|+42|%",
    ),
    (
        r#"{{printf "%.3s|%x|%z" "abcdef" "hi" 3}}"#,
        "abc|6869|%!z(int=3)",
    ),
    (
        r#"{{printf "%v %+v %#v" .M .M "x"}}"#,
        r#"map[a:1 b:2] map[a:1 b:2] "x""#,
    ),
    (
        r#"{{lower "ABC"}} {{upper "abc"}} {{title "abc def"}} {{split "a,b" ","}}"#,
        "abc ABC Abc Def [a b]",
    ),
    (r#"{{truncate "hello" 3}} {{truncate "hi" 5}}"#, "hel hi"),
    (r#"{{pad "x" 2 3}}|"#, "  x   |"),
    (r#"{{println "a" 1}}x"#, "a 1\nx"),
    (r#"{{print "a" 1 2 "b" "c" true}}"#, "a1 2bctrue"),
    (
        r#"{{eq 1 1}} {{ne "a" "b"}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 1.0}}"#,
        "true true true true true true",
    ),
    (r#"{{eq "a" "b" "a"}}"#, "true"),
    ("{{eq .Zed nil}}", "true"),
    (r#"{{and 1 0 2}} {{or 0 "" "x"}} {{not 0}}"#, "0 x true"),
    ("{{if .T}}yes{{else}}no{{end}}", "yes"),
    ("{{if .E}}yes{{else if .N}}n{{else}}no{{end}}", "n"),
    ("{{with .M}}{{.a}}{{else}}no{{end}}", "1"),
    ("{{with $x := .S}}{{$x}}{{end}}", "hello wörld <&>"),
    ("{{$x := 1}}{{$x = 2}}{{$x}}", "2"),
    (
        r#"{{"quoted\tx"}} {{`raw\t`}} {{'a'}}"#,
        r#"quoted	x raw\t 97"#,
    ),
    (
        "{{1}} {{1.5}} {{0x10}} {{1e3}} {{true}}",
        "1 1.5 16 1000 true",
    ),
    (
        r#"{{ .S | printf "%s-%s" "a" | upper }}"#,
        "A-HELLO WÖRLD <&>",
    ),
    ("{{(index .LM 1).y}}", "[1 2]"),
    ("{{/* c */}}x", "x"),
    (r#"{{- "a" -}} b"#, "ab"),
    (r#"a {{- "b" -}} c"#, "abc"),
    (
        "{{range .L}}{{break}}{{end}}|{{range .L}}{{continue}}{{end}}",
        "|",
    ),
    (
        r#"{{html "<a>"}} {{urlquery "a b&c"}}"#,
        "&lt;a&gt; a+b%26c",
    ),
    ("{{slice .S 1 3}} {{slice .L 1}}", "el [b c]"),
    (r#"{{.S | len | printf "%03d"}}"#, "016"),
    ("{{print nil}}", "<nil>"),
    (r#"{{printf "%v" .Zed}}"#, "<nil>"),
    (r#"{{printf "%s" .Zed}}"#, "%!s(<nil>)"),
    ("{{print .Zed}}", "<nil>"),
    ("{{with .Zed}}a{{else with .S}}b{{end}}", "b"),
    ("{{range $x := .L}}{{$x}}{{end}}", "ab c"),
    (r#"{{printf "%q" .L}}"#, r#"["a" "b c"]"#),
    (r#"{{len "abc"|eq 3}}"#, "true"),
    ("{{1.}}", "1"),
    ("{{.5}}", "0.5"),
    (
        "{{print 1.0 1e21 1e20 0.00001 100000000.5}}",
        "1 1e+21 1e+20 1e-05 1.000000005e+08",
    ),
    ("{{print 1_000 0b11 0o17 017}}", "1000 3 15 15"),
    ("{{(.S)}}", "hello wörld <&>"),
    ("{{$.S}} {{range .L}}{{$.N}}{{end}}", "hello wörld <&> 33"),
    (r#"{{"a\"b\\\x41é\n"}}|"#, "a\"b\\Aé\n|"),
    ("{{print 'a'}}", "97"),
    (r#"{{printf "%c" 'a'}}"#, "a"),
    (r#"{{join (split "a,b" ",") "-"}}"#, "a-b"),
    (r#"{{if eq .S "x"}}{{else}}y{{end}}"#, "y"),
    (r#"{{index (index .LM 0) "x"}}"#, "1"),
    ("{{range .M}}{{.}}{{end}}", "12"),
    (
        r#"{{printf "%s" .M}} {{printf "%d" .L}}"#,
        "map[a:1 b:2] [%!d(string=a) %!d(string=b c)]",
    ),
    (r#"{{printf "%*d" 5 42}}"#, "   42"),
    (r#"{{printf "%!"}}"#, "%!!(MISSING)"),
    (r#"{{printf "%"}}"#, "%!(NOVERB)"),
    ("{{- /* x */ -}} y", "y"),
    ("{{$x := 1 | print}}{{$x}}", "1"),
    ("{{-3}}", "-3"),
    ("{{- 3}}", "3"),
    ("{{3 -}} x", "3x"),
    ("{{print (1)}}", "1"),
    ("{{true}}{{false|not}}", "truetrue"),
    (r#"{{print "a" | print "b"}}"#, "ba"),
    (r#"{{index "abc" 1}}"#, "98"),
    ("{{print (index .L 0) 1}}", "a1"),
    ("{{upper (index .L 0)}}", "A"),
    ("{{and .E (index .L 99)}}|", "|"),
    ("{{if not .E}}x{{end}}", "x"),
    ("{{eq .T true}}", "true"),
    ("{{eq .Mixed nil}}", "false"),
    (r#"{{title "a-b c_d é don't"}}"#, "A-B C_d É Don'T"),
    (
        r#"{{printf "%08.3f|%+.2e|% d|%x|%X" 3.14159 1234.5 7 -255 "hi"}}"#,
        "0003.142|+1.23e+03| 7|-ff|6869",
    ),
    (
        r#"{{printf "%-8q|%#x|%#q" "a" 255 "b"}}"#,
        r#""a"     |0xff|`b`"#,
    ),
    (
        r#"{{printf "%s %s" true nil}}"#,
        "%!s(bool=true) %!s(<nil>)",
    ),
    (
        r#"{{printf "%10v|%-10v|" .L .T}}"#,
        "[         a        b c]|true      |",
    ),
    (
        r#"{{printf "%v" 1234567.0}} {{print 0.1 100000.0}}"#,
        "1.234567e+06 0.1 100000",
    ),
    (
        r#"{{printf "%t" true}} {{printf "%5t|" true}}"#,
        "true  true|",
    ),
    (
        r#"{{printf "%d" 1.5}} {{printf "%f" 1}}"#,
        "%!d(float64=1.5) %!f(int=1)",
    ),
    (
        r#"{{printf "%x" .L}} {{printf "%q" 65}} {{printf "%05s" "ab"}} {{printf "%05d" -3}}"#,
        "[61 622063] 'A' 000ab -0003",
    ),
    (r#"{{split "abc" ""}} {{split "" ","}}"#, "[a b c] []"),
    (r#"{{pad "" 1 1}}|"#, "|"),
    (
        r#"{{if .T}}{{range .L}}{{if eq . "a"}}{{continue}}{{end}}{{.}}{{else}}e{{end}}{{end}}"#,
        "b c",
    ),
    (
        "{{range $i, $v := .L}}{{if $i}}, {{end}}{{$v}}{{end}}",
        "a, b c",
    ),
    ("{{$n := 0}}{{range .L}}{{$n = len .}}{{end}}{{$n}}", "3"),
    (
        "{{with $m := .M}}{{range $k, $_ := $m}}{{$k}}{{end}}{{end}}",
        "ab",
    ),
    (r#"{{printf "%.2f%%" 12.345}}"#, "12.35%"),
    (
        r#"{{printf "%-20s|%20s|" .Name .Name}}"#,
        "/a                  |                  /a|",
    ),
    ("{{not .EL}} {{not .EM}} {{not .F}}", "true true false"),
    (r#"{{eq .Name "/a"}} {{eq "/a" .Name .S}}"#, "true true"),
    (
        "{{.Name | json}} {{.L | json}} {{.T | not}}",
        r#""/a" ["a","b c"] false"#,
    ),
    (r#"{{ printf "%v" (index .Mixed 2) }}"#, "<nil>"),
    (r#"a}}b {{"}}"}} {{`{{`}}"#, "a}}b }} {{"),
    (r#"{{ "a" }}{{/* {{ }} */}}b"#, "ab"),
    (r#"{{printf "%3c|%-3c|" 65 66}}"#, "  A|B  |"),
    (
        r#"{{printf "%+q" "é"}} {{printf "%x" "é"}}"#,
        r#""\u00e9" c3a9"#,
    ),
    (
        r#"{{printf "%s" 1.5}} {{printf "%g" 1e6}} {{printf "%.3g" 1234.5678}} {{printf "%G" 1e-7}}"#,
        "%!s(float64=1.5) 1e+06 1.23e+03 1E-07",
    ),
    (r#"{{"a" | printf "%s %s" "b"}}"#, "b a"),
    ("{{1 | eq 1}} {{1 | lt 0}}", "true true"),
    ("{{index .Mixed 1 | upper}}", "A"),
    ("{{len (slice .L 0 1)}}", "1"),
    ("{{$x := .L}}{{index $x 0}}", "a"),
    (r#"{{"\u00e9\U0001F600\101"}}"#, "é😀A"),
    (r#"{{'\n'}} {{'\x41'}} {{'\''}}"#, "10 65 39"),
    ("{{+5}} {{-0x10}} {{1e-3}}", "5 -16 0.001"),
];

/// Texts that are no templates.
pub(super) const NOT_PARSED: &[(&str, &str)] = &[
    ("{{$x}}", r#":1: undefined variable "$x""#),
    ("{{.S", ":1: unclosed action"),
    ("{{.S}", ":1: bad character U+007D '}'"),
    ("{{}}", ":1: missing value for command"),
    ("{{end}}", ":1: unexpected {{end}}"),
    ("{{if}}x{{end}}", ":1: missing value for if"),
    ("{{if .T}}x", ":1: unexpected EOF"),
    ("{{foo .S}}", r#":1: function "foo" not defined"#),
    (r#"{{"abc}}"#, ":1: unterminated quoted string"),
    ("{{range}}x{{end}}", ":1: missing value for range"),
    ("{{else}}", ":1: unexpected {{else}}"),
    ("{{break}}", ":1: {{break}} outside {{range}}"),
    (
        "{{1 | 2}}",
        ":1: non executable command in pipeline stage 2",
    ),
    ("{{.L.0}}", r#":1: unexpected ".0" in operand"#),
    ("{{ .S , }}", r#":1: unexpected "," in operand"#),
    ("{{#}}", r##":1: unexpected "#" in command"##),
    (
        "{{range $a, $b, $c := .L}}{{end}}",
        ":1: too many declarations in range",
    ),
    ("{{(.S}}", ":1: unclosed left paren"),
    ("{{.S)}}", ":1: unexpected right paren"),
    (r#"{{"\q"}}"#, ":1: invalid syntax"),
    ("{{'ab'}}", ":1: malformed character constant: 'ab'"),
    (
        r#"{{"a" | index .M   | foo}}"#,
        r#":1: function "foo" not defined"#,
    ),
    ("{{.S|@}}", r#":1: unexpected "@" in command"#),
    ("{{.S@}}", ":1: bad character U+0040 '@'"),
    (r#"{{"x"y}}"#, r#":1: unexpected "y" in operand"#),
    ("{{1a}}", r#":1: bad number syntax: "1a""#),
    ("{{/* x}}", ":1: unclosed comment"),
    ("{{/* x */ }}", ":1: comment ends before closing delimiter"),
    (
        "{{if .T}}a{{else}}b{{else}}c{{end}}",
        ":1: expected end; found {{else}}",
    ),
    ("{{if .T}}a{{end}}{{end}}", ":1: unexpected {{end}}"),
    ("{{range .L}}", ":1: unexpected EOF"),
    ("{{$x := }}", ":1: missing value for command"),
    (
        "{{if $x := .S}}{{$x}}{{end}}{{$x}}",
        r#":1: undefined variable "$x""#,
    ),
    ("{{3-}}", r#":1: bad number syntax: "3-""#),
    ("{{.-}}", ":1: bad character U+002D '-'"),
    ("{{(1)(2)}}", r#":1: unexpected "(" in operand"#),
    ("{{print(1)}}", r#":1: unexpected "(" in operand"#),
    ("{{.S.}}", ":1: unexpected <.> in operand"),
    ("{{..S}}", r#":1: unexpected . after term ".""#),
    (
        "{{range $i, $e := .M}}{{end}}{{$i}}",
        r#":1: undefined variable "$i""#,
    ),
    ("{{$.}}", ":1: unexpected <.> in operand"),
    ("{{break .}}", ":1: unexpected <.> in {{break}}"),
    (
        "{{with .S}}{{.}}{{break}}{{end}}",
        ":1: {{break}} outside {{range}}",
    ),
    ("{{else if}}", ":1: unexpected {{else}}"),
    ("{{with}}{{end}}", ":1: missing value for with"),
    ("{{\"a\nb\"}}", ":1: unterminated quoted string"),
    (r#"{{template "a""#, ":1: unclosed action"),
    ("{{()}}", ":1: missing value for parenthesized pipeline"),
    (
        "{{print ()}}",
        ":1: missing value for parenthesized pipeline",
    ),
    ("{{with}}", ":1: missing value for with"),
    ("{{if .T}}{{else if}}{{end}}", ":1: missing value for if"),
    ("{{$x, $y := .L}}", ":1: too many declarations in command"),
    ("{{.x := 1}}", r#":1: unexpected ":=" in operand"#),
    ("{{= 1}}", r#":1: unexpected "=" in command"#),
    ("{{1 := 2}}", r#":1: unexpected ":=" in operand"#),
    ("{{.Id.}}", ":1: unexpected <.> in operand"),
    (r#"{{"unterminated}}"#, ":1: unterminated quoted string"),
    ("{{`raw}}", ":1: unterminated raw quoted string"),
    ("{{'a}}", ":1: unterminated character constant"),
];

/// Templates that do not fit the data.
pub(super) const NOT_EXECUTED: &[(&str, &str)] = &[
    (
        "{{.Foo}}",
        r#":1:2: executing "" at <.Foo>: map has no entry for key "Foo""#,
    ),
    (
        "{{.Zed.Foo}}",
        r#":1:6: executing "" at <.Zed.Foo>: nil pointer evaluating interface {}.Foo"#,
    ),
    (
        "{{.M.c}}",
        r#":1:4: executing "" at <.M.c>: map has no entry for key "c""#,
    ),
    (
        "{{.Nest.A.X.Y}}",
        r#":1:7: executing "" at <.Nest.A.X.Y>: map has no entry for key "X""#,
    ),
    (
        "{{range .N}}x{{end}}",
        r#":1:8: executing "" at <.N>: range can't iterate over 3"#,
    ),
    (
        "{{range .S}}x{{end}}",
        r#":1:8: executing "" at <.S>: range can't iterate over hello wörld <&>"#,
    ),
    (
        "{{index .L 5}}",
        r#":1:2: executing "" at <index .L 5>: error calling index: index out of range: 5"#,
    ),
    (
        "{{index .L -1}}",
        r#":1:2: executing "" at <index .L -1>: error calling index: index out of range: -1"#,
    ),
    (
        "{{index .M 1}}",
        r#":1:2: executing "" at <index .M 1>: error calling index: value has type int; should be string"#,
    ),
    (
        r#"{{index .L "a"}}"#,
        r#":1:2: executing "" at <index .L "a">: error calling index: cannot index slice/array with type string"#,
    ),
    (
        "{{index .Zed 1}}",
        r#":1:2: executing "" at <index .Zed 1>: error calling index: index of untyped nil"#,
    ),
    (
        "{{len .Zed}}",
        r#":1:2: executing "" at <len .Zed>: error calling len: len of nil pointer"#,
    ),
    (
        r#"{{eq "a" 1}}"#,
        r#":1:2: executing "" at <eq "a" 1>: error calling eq: incompatible types for comparison"#,
    ),
    (
        "{{eq 1 1.0}}",
        r#":1:2: executing "" at <eq 1 1.0>: error calling eq: incompatible types for comparison"#,
    ),
    (
        "{{lt true false}}",
        r#":1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison"#,
    ),
    (
        "{{eq .L .L}}",
        r#":1:2: executing "" at <eq .L .L>: error calling eq: non-comparable type [a b c]: []interface {}"#,
    ),
    (
        "{{nil | print}}",
        r#":1:2: executing "" at <nil>: nil is not a command"#,
    ),
    (
        "{{.S .N}}",
        r#":1:2: executing "" at <.S>: S is not a method but has arguments"#,
    ),
    (
        "{{json}}",
        r#":1:2: executing "" at <json>: wrong number of args for json: want 1 got 0"#,
    ),
    (
        "{{json 1 2}}",
        r#":1:2: executing "" at <json>: wrong number of args for json: want 1 got 2"#,
    ),
    (
        "{{lower .T}}",
        r#":1:8: executing "" at <.T>: wrong type for value; expected string; got bool"#,
    ),
    (
        "{{lower}}",
        r#":1:2: executing "" at <lower>: wrong number of args for lower: want 1 got 0"#,
    ),
    (
        r#"{{split "a"}}"#,
        r#":1:2: executing "" at <split>: wrong number of args for split: want 2 got 1"#,
    ),
    (
        "{{slice .S 5 3}}",
        r#":1:2: executing "" at <slice .S 5 3>: error calling slice: invalid slice index: 5 > 3"#,
    ),
    (
        r#"{{"a" "b"}}"#,
        r#":1:2: executing "" at <"a">: can't give argument to non-function "a""#,
    ),
    (
        r#"{{index .M "a" "b"}}"#,
        r#":1:2: executing "" at <index .M "a" "b">: error calling index: cannot index slice/array with type string"#,
    ),
    (
        "{{not}}",
        r#":1:2: executing "" at <not>: wrong number of args for not: want 1 got 0"#,
    ),
    (
        "{{eq}}",
        r#":1:2: executing "" at <eq>: wrong number of args for eq: want at least 1 got 0"#,
    ),
    (
        "{{eq 1}}",
        r#":1:2: executing "" at <eq 1>: error calling eq: missing argument for comparison"#,
    ),
    (
        "{{printf}}",
        r#":1:2: executing "" at <printf>: wrong number of args for printf: want at least 1 got 0"#,
    ),
    (
        "{{.Nest.A.Loooooooooooooong.Y}}",
        r#":1:7: executing "" at <.Nest.A.Loooooooooooooong.Y>: map has no entry for key "Loooooooooooooong""#,
    ),
    (
        "{{with .M}}{{.zzz}}{{end}}",
        r#":1:13: executing "" at <.zzz>: map has no entry for key "zzz""#,
    ),
    (
        "{{.S\n.M}}",
        r#":1:2: executing "" at <.S>: S is not a method but has arguments"#,
    ),
    (
        "{{\n.Foo}}",
        r#":2:0: executing "" at <.Foo>: map has no entry for key "Foo""#,
    ),
    (
        "{{nil}}",
        r#":1:2: executing "" at <nil>: nil is not a command"#,
    ),
    (
        "{{if nil}}{{end}}",
        r#":1:5: executing "" at <nil>: nil is not a command"#,
    ),
    (
        r#"{{.S "x"}}"#,
        r#":1:2: executing "" at <.S>: S is not a method but has arguments"#,
    ),
    (
        "{{or}}",
        r#":1:2: executing "" at <or>: wrong number of args for or: want at least 1 got 0"#,
    ),
    (
        "{{len}}",
        r#":1:2: executing "" at <len>: wrong number of args for len: want 1 got 0"#,
    ),
    (
        "{{ .S | truncate }}",
        r#":1:8: executing "" at <truncate>: wrong number of args for truncate: want 2 got 1"#,
    ),
    (
        "{{(nil)}}",
        r#":1:3: executing "" at <nil>: nil is not a command"#,
    ),
    (
        "{{.Foo.Bar}}",
        r#":1:6: executing "" at <.Foo.Bar>: map has no entry for key "Foo""#,
    ),
    (
        "{{if .Foo}}a{{end}}",
        r#":1:5: executing "" at <.Foo>: map has no entry for key "Foo""#,
    ),
    (
        "{{$.Nope}}",
        r#":1:3: executing "" at <$.Nope>: map has no entry for key "Nope""#,
    ),
    (
        "{{range .LM}}{{.x}}{{end}}",
        r#":1:15: executing "" at <.x>: map has no entry for key "x""#,
    ),
    (
        "{{slice .L 0 5}}",
        r#":1:2: executing "" at <slice .L 0 5>: error calling slice: index out of range: 5"#,
    ),
];
